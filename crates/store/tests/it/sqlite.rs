//! The suite on SQLite, and what only a file has to promise.

use std::sync::Arc;

use kernel::backend::{Backend as _, ControllerState, Step};
use kernel::error::StoreError;
use kernel::ids::Id;
use kernel::observation::Look;
use serde_json::json;
use store::{OpenError, Options, Store};

use crate::conformance;
use crate::kit::*;

pub fn open(dir: &std::path::Path) -> Arc<Store> {
    Store::open_sqlite(dir, Options { ballast_bytes: 0, ..Options::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_promise() {
    for (name, promise) in conformance::ALL {
        let dir = tempfile::tempdir().unwrap();
        println!("{name}");
        let store = fitted(open(dir.path())).await;
        promise(store).await;
    }
}

#[tokio::test]
async fn a_second_server_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    match Store::open_sqlite(dir.path(), Options::default()).map(|_| ()) {
        Err(error @ OpenError::Locked { .. }) => {
            assert!(error.to_string().contains(&std::process::id().to_string()), "{error}")
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    open(dir.path());
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_no_log_to_read_and_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let closing = open(dir.path());
    let store = fitted(closing.clone()).await;
    let host = add(&*store, HOME, "thing", "host", json!({})).await;
    let log = || std::fs::metadata(dir.path().join("records.db-wal")).map_or(0, |about| about.len());
    assert!(log() > 0);
    closing.close();
    assert_eq!(log(), 0);
    let (_, step) = next(&host, |r| r.title = "changed".into());
    assert!(matches!(store.commit(commit(HOME, vec![step])).await, Err(StoreError::Closed(_))));
    assert!(store.get(HOME, host.id).await.unwrap().is_some(), "reading goes on");
    closing.close();
    drop((store, closing));
    assert!(open(dir.path()).get(HOME, host.id).await.unwrap().is_some());
}

#[tokio::test]
async fn the_edition_is_another_when_a_record_or_private_value_may_be_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = fitted(open(dir.path())).await;
    let host = add(&*store, HOME, "thing", "host", json!({})).await;
    let mut last = store.edition().expect("nobody else writes there");
    let mut moved = || {
        let now = store.edition().expect("still nobody");
        std::mem::replace(&mut last, now) != now
    };
    assert!(!moved());
    add(&*store, HOME, "thing", "other", json!({})).await;
    assert!(moved(), "a record");
    let (_, step) = next(&host, |r| r.title = "changed".into());
    store.commit(commit(HOME, vec![step])).await.unwrap();
    assert!(moved(), "a change");
    store.put_private("token", "a", Some(b"1")).await.unwrap();
    assert!(moved(), "a private value");
    assert!(store.claim_private("token", "b", b"1").await.unwrap() && moved());
    store.put_private("token", "a", None).await.unwrap();
    assert!(moved(), "one that goes");
    let look = Look { table: "packages".into(), source: "agent".into(), rows: vec![], whole: true };
    let observe = Step::Observe { subject: host.id, look, at: at(5) };
    store.commit(commit(HOME, vec![observe.clone()])).await.unwrap();
    store.keep_controller(&ControllerState { name: "c".into(), ..ControllerState::default() }).await.unwrap();
    store
        .heartbeat(Id::new(at(1)), &kernel::job::Lease { worker: "w".into(), now: at(1), span: at(2).since(at(1)) })
        .await
        .unwrap();
    assert!(!moved(), "what was seen, and what controllers and workers write of themselves");
    let (host, _) = next(&host, |_| ());
    store.commit(commit(HOME, vec![observe, next(&host, |r| r.title = "again".into()).1])).await.unwrap();
    assert!(moved(), "a change beside it");
}
