//! The suite on SQLite, and what only a file has to promise.

use std::sync::Arc;

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
