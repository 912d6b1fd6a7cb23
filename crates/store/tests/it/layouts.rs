//! Every layout that was ever released still opens. Fixtures stay for ever; the newest is what this program writes.

use kernel::backend::{Backend, JournalQuery};
use kernel::ids::Kind;
use kernel::query::Predicate;

use crate::kit::*;
use crate::sqlite::open;

/// A database of layout 1, as SQL: a record with journal, link, words, observation, interval, job and private value.
const LAYOUT_1: &str = include_str!("../fixtures/layout-1.sql");

fn restore(sql: &str, dir: &std::path::Path) {
    let db = rusqlite::Connection::open(dir.join("records.db")).unwrap();
    let flags =
        rusqlite::functions::FunctionFlags::SQLITE_DETERMINISTIC | rusqlite::functions::FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function("ms_time", 1, flags, |args| {
        Ok(args.get::<Option<String>>(0)?.and_then(|t| kernel::clock::Time::parse(&t)).map(|t| t.as_micros()))
    })
    .unwrap();
    db.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn layout_1_opens_whole_and_is_written_to() {
    let dir = tempfile::tempdir().unwrap();
    restore(LAYOUT_1, dir.path());
    let store = open(dir.path());
    let report = store.verify(&[]).await.unwrap();
    assert!(report.is_whole(), "{report:?}");
    fitted(store.clone()).await;
    let thing = store.by_key(HOME, "web-1").await.unwrap().unwrap();
    assert_eq!((thing.text("site"), thing.version), ("LON", 2));
    assert_eq!(store.neighbours(HOME, thing.id).await.unwrap().len(), 1);
    assert_eq!(store.observations(HOME, thing.id, Some("packages"), "", None, 9).await.unwrap().len(), 1);
    assert_eq!(store.intervals(HOME, thing.id, at(0), at(100), 9).await.unwrap().len(), 1);
    assert_eq!(store.jobs(None, None, 9).await.unwrap().len(), 1);
    assert_eq!(store.private("area", "key").await.unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(store.search(HOME, &["web".into()], &[(Kind::new("thing"), Predicate::All)], 9).await.unwrap().len(), 1);
    assert_eq!(paged(&*store, query("thing", Predicate::All, "-updated", 9)).await, ["web-1"]);
    let seqs = store.journal(&JournalQuery { limit: 9, ..JournalQuery::default() }).await.unwrap().len() as u64;
    let new = add(&*store, HOME, "thing", "web-2", serde_json::json!({})).await;
    assert_eq!(store.get(HOME, new.id).await.unwrap(), Some(new));
    assert_eq!(store.head().await.unwrap(), seqs + 1, "numbers go on where they were");
    assert!(store.verify(&[]).await.unwrap().is_whole());
}
