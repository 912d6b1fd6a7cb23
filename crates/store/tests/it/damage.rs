//! What the store promises when its files are not what it wrote: told, never served. And backups, which must be whole or refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel::backend::{Backend, JournalQuery, Step};
use kernel::error::StoreError;
use kernel::observation::Look;
use kernel::query::Predicate;
use kernel::record::HealthState;
use serde_json::json;
use store::{Anchor, BackupError, OpenError, Options, Report, Scrub, Store};

use crate::kit::*;
use crate::sqlite::open;

const FILE: &str = "records.db";

/// A store with something in every table.
async fn filled(dir: &Path) -> Arc<Store> {
    let store = open(dir);
    fitted(store.clone()).await;
    for i in 0..30 {
        let tenant = if i % 3 == 0 { OTHER } else { HOME };
        let new =
            add(&*store, tenant, "thing", &format!("k{i}"), json!({"site": format!("site {i}"), "level": i})).await;
        let peer = add(&*store, tenant, "big-place", &format!("p{i}"), json!({})).await;
        let rows = (0..5).map(|n| (format!("package-{n}"), json!(format!("1.{i}")))).collect();
        let interval = kernel::interval::Interval {
            id: kernel::ids::Id::new(at(i)),
            subject: Some(new.id),
            state: HealthState::Up,
            start: at(i),
            end: None,
            cause: 0,
            reason: "seen".into(),
            corrected_by: None,
        };
        let steps = vec![
            Step::Link(link(&new, &peer)),
            Step::Observe {
                subject: new.id,
                look: Look { table: "packages".into(), source: "agent".into(), rows, whole: true },
                at: at(i),
            },
            Step::OpenInterval(interval),
            entry(&new, "note"),
        ];
        store.commit(commit(tenant, steps)).await.unwrap();
    }
    store.put_private("session", "s", Some(b"value")).await.unwrap();
    store
}

/// Runs SQL on a closed database: what somebody with access to the file could do.
fn tamper(dir: &Path, sql: &str) {
    let db = rusqlite::Connection::open(dir.join(FILE)).unwrap();
    let flags =
        rusqlite::functions::FunctionFlags::SQLITE_DETERMINISTIC | rusqlite::functions::FunctionFlags::SQLITE_INNOCUOUS;
    for name in ["ms_time", "ms_span", "ms_lower"] {
        db.create_scalar_function(name, 1, flags, |_| Ok(None::<i64>)).unwrap();
    }
    db.execute_batch(sql).unwrap();
}

async fn report(dir: &Path, anchors: &[Anchor]) -> Report {
    open(dir).verify(anchors).await.unwrap()
}

#[tokio::test]
async fn a_damaged_record_is_named_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let bad = store.by_key(HOME, "k1").await.unwrap().unwrap();
    drop(store);
    tamper(dir.path(), "UPDATE c_thing SET fields = replace(fields, 'site 1', 'site 2') WHERE key = 'k1'");
    let store = open(dir.path());
    for refused in [store.get(HOME, bad.id).await, store.by_key(HOME, "k1").await] {
        assert!(matches!(&refused, Err(StoreError::Damaged { what }) if what == "thing k1"), "{refused:?}");
    }
    let page = store.page(HOME, &query("thing", Predicate::All, "key", 100)).await.unwrap();
    assert_eq!((page.records.len(), page.damaged), (19, vec!["k1".to_owned()]));
    assert!(store.by_key(HOME, "k2").await.unwrap().is_some());
    let write = store.commit(commit(HOME, vec![next(&bad, |_| {}).1])).await;
    assert!(matches!(write, Err(StoreError::Damaged { .. })), "damage is not sealed over: {write:?}");
    let found = store.verify(&[]).await.unwrap();
    assert_eq!(
        found.damaged.iter().map(|d| (d.table.as_str(), d.key.as_str())).collect::<Vec<_>>(),
        [("c_thing", "k1")]
    );
}

#[tokio::test]
async fn a_whole_store_is_found_whole_at_once_and_by_the_scrub() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let whole = store.verify(&store.heads().await.unwrap()).await.unwrap();
    assert!(whole.is_whole(), "{whole:?}");
    assert_eq!(whole.entries, 90);
    let mut scrub = Scrub::default();
    let mut ticks = 0;
    while scrub.rounds == 0 {
        scrub = store.scrub_tick(scrub, 7).await.unwrap();
        ticks += 1;
        assert!(ticks < 1000);
    }
    let last = scrub.last.unwrap();
    assert!(last.is_whole(), "{last:?}");
    assert_eq!(last.rows, whole.rows, "a little at a time meets every row once");
}

#[tokio::test]
async fn the_scrub_tells_of_a_damaged_row() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()).await);
    tamper(dir.path(), "UPDATE observation SET value = '\"9\"' WHERE item = 'package-3' AND value = '\"1.7\"'");
    let store = open(dir.path());
    let mut scrub = Scrub::default();
    while scrub.rounds == 0 {
        scrub = store.scrub_tick(scrub, 50).await.unwrap();
    }
    assert_eq!(scrub.last.unwrap().damaged_rows, 1);
}

#[tokio::test]
async fn every_edit_of_the_journal_is_found_at_its_first_bad_entry() {
    // (what is done, tenant whose chain breaks, first bad sequence)
    let edits: [(&str, i64, u64); 9] = [
        ("UPDATE journal SET after = '{}' WHERE seq = 8", 1, 8),
        ("UPDATE journal SET actor = 'person:eve' WHERE seq = 8", 1, 8),
        ("UPDATE journal SET cause = 3 WHERE seq = 8", 1, 8),
        ("DELETE FROM journal WHERE seq = 8", 1, 8),
        ("DELETE FROM journal WHERE seq > 60", 2, 61),
        ("DELETE FROM journal", 1, 1),
        (
            "UPDATE journal SET seq = 1000 WHERE seq = 8; UPDATE journal SET seq = 8 WHERE seq = 9; UPDATE journal SET seq = 9 WHERE seq = 1000",
            1,
            8,
        ),
        (
            "INSERT INTO journal SELECT 91, tenant, time, actor, subject, subject_key, kind, action, cause, before, after, note, hash, sum FROM journal WHERE seq = 8",
            1,
            91,
        ),
        ("UPDATE journal SET hash = zeroblob(32) WHERE seq = 90", 1, 90),
    ];
    for (edit, tenant, first_bad) in edits {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path()).await);
        tamper(dir.path(), edit);
        let found = report(dir.path(), &[]).await;
        let of = found.chains.iter().find(|c| c.tenant.0 == tenant);
        assert_eq!(of.map(|c| c.seq), Some(first_bad), "{edit}: {:?}", found.chains);
    }
}

#[tokio::test]
async fn only_an_anchor_shows_that_everything_was_rolled_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    drop(store);
    let old = std::fs::read(dir.path().join(FILE)).unwrap();
    let store = open(dir.path());
    add(&*store, HOME, "thing", "later", json!({})).await;
    let anchors = store.heads().await.unwrap();
    drop(store);
    std::fs::write(dir.path().join(FILE), old).unwrap();
    assert!(report(dir.path(), &[]).await.is_whole(), "an old state is whole in itself");
    let found = report(dir.path(), &anchors).await;
    assert_eq!(found.chains.iter().map(|c| (c.tenant, c.seq)).collect::<Vec<_>>(), [(HOME, 91)]);
}

#[tokio::test]
async fn a_damaged_journal_entry_is_told_of_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()).await);
    tamper(dir.path(), "UPDATE journal SET note = 'forged' WHERE seq = 5");
    let entries =
        open(dir.path()).journal(&JournalQuery { since: 3, limit: 3, ..JournalQuery::default() }).await.unwrap();
    assert_eq!(
        entries.iter().map(|e| (e.seq, e.action.as_str())).collect::<Vec<_>>(),
        [(4, "create"), (5, "damaged"), (6, "note")]
    );
    assert!(!entries[1].note.as_deref().unwrap_or_default().contains("forged"));
}

/// A small generator whose seed is the test's.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

#[tokio::test]
async fn a_flipped_bit_is_found_or_changes_nothing() {
    let made = tempfile::tempdir().unwrap();
    let store = filled(made.path()).await;
    let wanted = store.dump().await.unwrap();
    drop(store);
    let good = std::fs::read(made.path().join(FILE)).unwrap();
    let mut dice = Dice(7);
    let (mut refused, mut found, mut harmless) = (0, 0, 0);
    for _ in 0..80 {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = good.clone();
        // Half of them where there is something: most of a small database's pages are empty.
        let mut place = dice.roll(bytes.len());
        for _ in 0..dice.roll(2) * 1000 {
            if bytes[place] != 0 {
                break;
            }
            place = dice.roll(bytes.len());
        }
        bytes[place] ^= 1 << dice.roll(8);
        std::fs::write(dir.path().join(FILE), bytes).unwrap();
        let store = match Store::open_sqlite(dir.path(), Options::default()) {
            Ok(store) => store,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        match store.verify(&[]).await {
            Ok(report) if report.is_whole() => {
                assert_eq!(store.dump().await.unwrap(), wanted, "a flip at {place} was served in silence");
                harmless += 1;
            }
            _ => found += 1,
        }
    }
    println!("80 flips: {refused} refused at start, {found} found, {harmless} in nothing that is stored");
    assert!(found > 20);
}

fn backup_of(store: &Store, to: &Path, extra: &[(PathBuf, String)]) -> Result<store::Manifest, BackupError> {
    store.backup(to, extra, at(100))
}

#[tokio::test]
async fn a_backup_taken_while_writing_restores_to_the_same() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(data.path()).await;
    std::fs::write(other.path().join("chunk"), b"samples").unwrap();
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..50 {
                add(&*store, HOME, "thing", &format!("during-{i}"), json!({})).await;
            }
        })
    };
    let to = other.path().join("backup");
    let extra = [(other.path().join("chunk"), "series/1/chunk".to_owned())];
    let manifest = tokio::task::spawn_blocking({
        let (store, to) = (store.clone(), to.clone());
        move || backup_of(&store, &to, &extra).unwrap()
    })
    .await
    .unwrap();
    writing.await.unwrap();
    let target = other.path().join("restored");
    assert_eq!(store::restore(&to, &target, false).unwrap(), manifest);
    let restored = open(&target);
    assert!(restored.verify(&manifest.heads).await.unwrap().is_whole());
    assert_eq!(restored.heads().await.unwrap(), manifest.heads);
    assert_eq!(restored.by_key(HOME, "k1").await.unwrap(), store.by_key(HOME, "k1").await.unwrap());
    assert_eq!(std::fs::read(target.join("series/1/chunk")).unwrap(), b"samples");
    let again = backup_of(&store, &to, &[]);
    assert!(matches!(again, Err(BackupError::NotEmpty(_))), "{again:?}");
}

#[tokio::test]
async fn a_backup_that_is_not_whole_is_refused_and_nothing_is_overwritten() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(data.path()).await;
    let to = other.path().join("backup");
    backup_of(&store, &to, &[]).unwrap();
    let wanted = store.dump().await.unwrap();
    let held = store::restore(&to, data.path(), true);
    assert!(matches!(held, Err(BackupError::Open(OpenError::Locked { .. }))), "a running server's data: {held:?}");
    drop(store);
    let full = store::restore(&to, data.path(), false);
    assert!(matches!(full, Err(BackupError::NotEmpty(_))), "{full:?}");
    let manifest = std::fs::read_to_string(to.join("manifest.json")).unwrap();
    let database = std::fs::read(to.join(FILE)).unwrap();
    let mut flipped = database.clone();
    flipped[database.len() / 2] ^= 4;
    let damages: [(&str, Vec<u8>, &str); 6] = [
        (FILE, flipped, "a flipped bit"),
        (FILE, database[..database.len() - 8192].to_vec(), "a page less"),
        ("manifest.json", b"{".to_vec(), "half a manifest"),
        ("manifest.json", manifest.replace("\"layout\": 1", "\"layout\": 99").into_bytes(), "a newer layout"),
        ("manifest.json", manifest.replace("records.db", "../records.db").into_bytes(), "a path that leads out"),
        (
            "manifest.json",
            manifest.replacen("\"seq\": 9", "\"seq\": 99", 1).into_bytes(),
            "an anchor that the journal does not reach",
        ),
    ];
    for (file, content, what) in damages {
        let good = std::fs::read(to.join(file)).unwrap();
        assert_ne!(good, content, "{what}");
        std::fs::write(to.join(file), content).unwrap();
        let refused = store::restore(&to, data.path(), true);
        assert!(matches!(refused, Err(BackupError::Damaged { .. } | BackupError::Newer { .. })), "{what}: {refused:?}");
        std::fs::write(to.join(file), good).unwrap();
    }
    std::fs::remove_file(to.join("manifest.json")).unwrap();
    assert!(store::restore(&to, data.path(), true).is_err(), "without a manifest it is no backup");
    std::fs::write(to.join("manifest.json"), manifest).unwrap();
    assert_eq!(open(data.path()).dump().await.unwrap(), wanted, "what was there is as it was");
    let store = open(data.path());
    add(&*store, HOME, "thing", "after", json!({})).await;
    drop(store);
    store::restore(&to, data.path(), true).unwrap();
    assert_eq!(open(data.path()).dump().await.unwrap(), wanted);
    assert!(data.path().join("before-restore").join(FILE).exists(), "what was replaced is kept");
}

#[tokio::test]
async fn a_newer_layout_is_refused_and_a_file_that_is_no_database_too() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()).await);
    tamper(dir.path(), "UPDATE meta SET value = 2 WHERE name = 'layout'");
    let refused = Store::open_sqlite(dir.path(), Options::default()).map(|_| ());
    assert!(
        matches!(&refused, Err(error @ OpenError::Newer { found: 2, known: 1 }) if error.to_string().contains("newer Mainstay")),
        "{refused:?}"
    );
    std::fs::write(dir.path().join(FILE), [7; 20_000]).unwrap();
    let refused = Store::open_sqlite(dir.path(), Options::default()).map(|_| ());
    assert!(
        matches!(&refused, Err(error @ OpenError::Damaged { .. }) if error.to_string().contains("restore")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_index_that_lost_a_row_is_found() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()).await);
    // The row leaves the index but not the table: only the database's own check can see that.
    tamper(
        dir.path(),
        "PRAGMA writable_schema = ON; CREATE TABLE keep AS SELECT rootpage FROM sqlite_master WHERE name = 'link_back'; \
         UPDATE sqlite_master SET sql = 'CREATE INDEX link_back ON link (tenant, to_id, type, from_id) WHERE tenant = 1' WHERE name = 'link_back'; PRAGMA writable_schema = RESET;",
    );
    tamper(
        dir.path(),
        "REINDEX link_back; PRAGMA writable_schema = ON; \
         UPDATE sqlite_master SET sql = 'CREATE INDEX link_back ON link (tenant, to_id, type, from_id)' WHERE name = 'link_back'; PRAGMA writable_schema = RESET;",
    );
    let found = report(dir.path(), &[]).await;
    assert!(!found.database.is_empty());
    assert_eq!(found.damaged_rows, 0);
}
