//! What every backend promises the kernel. Each promise is a function over `dyn Backend`; [`ALL`] is run on each database.

mod questions;
mod work;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kernel::backend::{Backend, Commit, JournalQuery, NewKey, Step};
use kernel::error::StoreError;
use kernel::ids::Kind;
use kernel::link::Side;
use kernel::query::Predicate;
use kernel::record::{Health, HealthState, Record};
use serde_json::json;

use crate::kit::*;

type Shared = Arc<dyn Backend>;
type Promise = (&'static str, fn(Shared) -> Pin<Box<dyn Future<Output = ()> + Send>>);

macro_rules! promises {
    ($($name:path),* $(,)?) => {
        /// All promises, by name.
        pub const ALL: &[Promise] = &[$((stringify!($name), |store| Box::pin($name(store)))),*];
    };
}

promises![
    a_record_is_read_back_as_it_was_written,
    a_stale_write_changes_nothing,
    a_taken_key_is_refused_and_stays_taken_by_a_tombstone,
    numbers_have_no_gaps_with_many_writers,
    a_refused_commit_leaves_nothing_behind,
    no_link_crosses_tenants,
    links_are_seen_from_both_ends_and_not_to_the_deleted,
    questions::a_walk_reaches_what_hangs_on_a_record,
    a_request_that_comes_twice_is_done_once,
    a_tail_of_the_journal_misses_nothing_while_many_write,
    the_journal_is_chained,
    questions::touched_records_come_once,
    work::a_job_is_held_by_one_worker_at_a_time,
    work::a_job_with_a_known_key_is_not_enqueued_again,
    work::an_observation_leaves_its_past_behind,
    work::an_interval_is_closed_by_the_next_and_kept_when_corrected,
    questions::words_find_the_newest_of_the_tenant_only,
    questions::pages_meet_every_record_once_in_order,
    questions::filters_mean_what_the_kernel_means,
    health_and_values_are_written_apart,
    work::controllers_and_private_values_are_kept,
    questions::a_scan_meets_every_open_record,
];

async fn a_record_is_read_back_as_it_was_written(store: Shared) {
    let mut written = record(
        HOME,
        "thing",
        "web-1",
        json!({"side": "left", "level": 7, "ratio": 0.25, "tags": ["a", "ü"], "note": "\"quoted\"\n", "none": null}),
    );
    written.owner = Some("ana".into());
    written.health = Some(Health { state: HealthState::Down, since: at(3), reason: "no answer".into() });
    insert(&*store, &written).await.unwrap();
    assert_eq!(store.get(HOME, written.id).await.unwrap(), Some(written.clone()));
    assert_eq!(store.by_key(HOME, "web-1").await.unwrap(), Some(written.clone()));
    assert_eq!(store.get(OTHER, written.id).await.unwrap(), None, "another tenant does not see it");
    assert_eq!(store.by_key(OTHER, "web-1").await.unwrap(), None);
}

async fn a_stale_write_changes_nothing(store: Shared) {
    let first = add(&*store, HOME, "thing", "web-1", json!({"level": 1})).await;
    let (second, update) = next(&first, |r| r.title = "second".into());
    store.commit(commit(HOME, vec![update.clone(), entry(&second, "update")])).await.unwrap();
    let head = store.head().await.unwrap();
    let refused = store.commit(commit(HOME, vec![update, entry(&second, "update")])).await;
    assert!(matches!(refused, Err(StoreError::Stale(id)) if id == first.id), "{refused:?}");
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(store.get(HOME, first.id).await.unwrap().unwrap(), second);
}

async fn a_taken_key_is_refused_and_stays_taken_by_a_tombstone(store: Shared) {
    let first = add(&*store, HOME, "thing", "web-1", json!({})).await;
    let refused = insert(&*store, &record(HOME, "big-place", "web-1", json!({}))).await;
    assert!(matches!(&refused, Err(StoreError::KeyTaken(key)) if key == "web-1"), "over all classes: {refused:?}");
    insert(&*store, &record(OTHER, "thing", "web-1", json!({}))).await.unwrap();
    let (gone, delete) = next(&first, |r| r.deleted = true);
    store.commit(commit(HOME, vec![delete])).await.unwrap();
    assert!(store.get(HOME, gone.id).await.unwrap().unwrap().deleted);
    let refused = insert(&*store, &record(HOME, "thing", "web-1", json!({}))).await;
    assert!(matches!(refused, Err(StoreError::KeyTaken(_))), "{refused:?}");
}

fn numbered(tenant: kernel::ids::TenantId) -> (Record, Commit) {
    let mut new = record(tenant, "thing", "", json!({"site": "lon"}));
    new.title = String::new();
    let insert =
        Step::Insert { record: Box::new(new.clone()), key: NewKey::Numbered("THG-".into()), search: "lon".into() };
    (new.clone(), commit(tenant, vec![insert, entry(&new, "create")]))
}

async fn numbers_have_no_gaps_with_many_writers(store: Shared) {
    insert(&*store, &record(HOME, "thing", "THG-5", json!({}))).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = store.clone();
        tasks.spawn(async move { store.commit(numbered(HOME).1).await.unwrap().keys[0].clone() });
    }
    let mut keys: Vec<u32> = tasks.join_all().await.iter().map(|k| k["THG-".len()..].parse().unwrap()).collect();
    keys.sort_unstable();
    let wanted: Vec<u32> = (1..=41).filter(|n| *n != 5).collect();
    assert_eq!(keys, wanted, "each number once, and 5 was taken by hand");
    let (new, with_key) = numbered(HOME);
    let key = store.commit(with_key).await.unwrap().keys[0].clone();
    let stored = store.get(HOME, new.id).await.unwrap().unwrap();
    assert_eq!((stored.key.as_str(), stored.title.as_str()), (key.as_str(), key.as_str()), "the key is the title too");
    let told = store
        .journal(&JournalQuery { tenant: Some(HOME), subject: Some(new.id), limit: 5, ..JournalQuery::default() })
        .await
        .unwrap();
    assert_eq!(told[0].subject, key, "and stands in the journal");
    assert_eq!(
        store.search(HOME, &["42".into()], &[(Kind::new("thing"), Predicate::All)], 5).await.unwrap().len(),
        1,
        "and can be searched for"
    );
}

async fn a_refused_commit_leaves_nothing_behind(store: Shared) {
    let there = add(&*store, HOME, "thing", "there", json!({})).await;
    let before = store.head().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..30 {
        let (store, there) = (store.clone(), there.clone());
        tasks.spawn(async move {
            let fresh = record(HOME, "thing", &format!("fresh-{i}"), json!({}));
            let mut steps = insert_steps(&fresh);
            if i % 3 == 0 {
                // After writes of its own it runs into a key that is taken.
                steps.extend(insert_steps(&record(HOME, "thing", "there", json!({}))));
            }
            if i % 3 == 1 {
                steps.push(Step::Link(link(&fresh, &there)));
            }
            (i, store.commit(commit(HOME, steps)).await.is_ok())
        });
    }
    for (i, ok) in tasks.join_all().await {
        assert_eq!(ok, i % 3 != 0, "{i}");
        assert_eq!(store.by_key(HOME, &format!("fresh-{i}")).await.unwrap().is_some(), ok, "{i}");
    }
    assert_eq!(store.head().await.unwrap(), before + 20, "refused commits use up no journal numbers");
    let entries = store.journal(&JournalQuery { limit: 1000, ..JournalQuery::default() }).await.unwrap();
    assert!(entries.windows(2).all(|w| w[1].seq == w[0].seq + 1));
}

async fn no_link_crosses_tenants(store: Shared) {
    let ours = add(&*store, HOME, "thing", "ours", json!({})).await;
    let theirs = add(&*store, OTHER, "thing", "theirs", json!({})).await;
    for (tenant, from, to) in [(HOME, &ours, &theirs), (OTHER, &ours, &theirs), (HOME, &theirs, &ours)] {
        let refused = store.commit(commit(tenant, vec![Step::Link(link(from, to))])).await;
        assert!(matches!(refused, Err(StoreError::Link(_))), "{refused:?}");
    }
    assert!(store.neighbours(HOME, ours.id).await.unwrap().is_empty());
    let refused = store.commit(commit(OTHER, vec![next(&ours, |_| {}).1])).await;
    assert!(matches!(refused, Err(StoreError::Stale(_))), "and no write does: {refused:?}");
}

async fn links_are_seen_from_both_ends_and_not_to_the_deleted(store: Shared) {
    let shop = add(&*store, HOME, "thing", "shop", json!({})).await;
    let db = add(&*store, HOME, "big-place", "db", json!({})).await;
    store.commit(commit(HOME, vec![Step::Link(link(&shop, &db))])).await.unwrap();
    assert!(store.linked(HOME, &link(&shop, &db)).await.unwrap());
    let twice = store.commit(commit(HOME, vec![Step::Link(link(&shop, &db))])).await;
    assert!(matches!(twice, Err(StoreError::Link(_))), "{twice:?}");
    let seen = store.neighbours(HOME, db.id).await.unwrap();
    assert_eq!((seen[0].direction, seen[0].other.key.as_str(), seen[0].name.as_str()), (Side::In, "shop", "needs"));
    assert_eq!(store.neighbours(HOME, shop.id).await.unwrap()[0].direction, Side::Out);
    let (_, delete) = next(&shop, |r| r.deleted = true);
    store.commit(commit(HOME, vec![delete])).await.unwrap();
    assert!(store.neighbours(HOME, db.id).await.unwrap().is_empty());
    let dead = store.commit(commit(HOME, vec![Step::Link(link(&db, &shop))])).await;
    assert!(matches!(dead, Err(StoreError::Link(_))), "{dead:?}");
    store.commit(commit(HOME, vec![Step::Unlink(link(&shop, &db)), Step::Unlink(link(&shop, &db))])).await.unwrap();
    assert!(!store.linked(HOME, &link(&shop, &db)).await.unwrap(), "gone already is fine");
}

async fn a_request_that_comes_twice_is_done_once(store: Shared) {
    let first = record(HOME, "thing", "once", json!({}));
    let request = |print: u8, record: &Record| Commit {
        idempotency: Some(("ana|k1".into(), [print; 32])),
        ..commit(HOME, insert_steps(record))
    };
    store.commit(request(1, &first)).await.unwrap();
    let again = store.commit(request(1, &record(HOME, "thing", "twice", json!({})))).await;
    assert!(matches!(again, Err(StoreError::Repeated { same: true, record: Some(id) }) if id == first.id), "{again:?}");
    let other = store.commit(request(2, &record(HOME, "thing", "twice", json!({})))).await;
    assert!(matches!(other, Err(StoreError::Repeated { same: false, .. })), "{other:?}");
    assert_eq!(store.by_key(HOME, "twice").await.unwrap(), None);
}

async fn a_tail_of_the_journal_misses_nothing_while_many_write(store: Shared) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..64 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut seqs = Vec::new();
            for i in 0..4 {
                seqs.extend(
                    insert(&*store, &record(HOME, "thing", &format!("w{writer}-{i}"), json!({}))).await.unwrap().seqs,
                );
            }
            seqs
        });
    }
    let mut tailed = Vec::new();
    while tailed.len() < 256 {
        let since = tailed.last().copied().unwrap_or(0);
        let some = store.journal(&JournalQuery { since, limit: 50, ..JournalQuery::default() }).await.unwrap();
        tailed.extend(some.iter().map(|e| e.seq));
        tokio::task::yield_now().await;
    }
    let mut written: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
    written.sort_unstable();
    assert_eq!(tailed, written);
    assert_eq!(written, (1..=256).collect::<Vec<u64>>());
}

async fn the_journal_is_chained(store: Shared) {
    for (tenant, key) in [(HOME, "a"), (OTHER, "b"), (HOME, "c")] {
        add(&*store, tenant, "thing", key, json!({})).await;
    }
    let of = |tenant| JournalQuery { tenant: Some(tenant), limit: 10, ..JournalQuery::default() };
    let ours = store.journal(&of(HOME)).await.unwrap();
    assert_eq!(ours.iter().map(|e| (e.seq, e.subject.as_str())).collect::<Vec<_>>(), [(1, "a"), (3, "c")]);
    assert_ne!(ours[0].hash, ours[1].hash);
    assert_eq!(ours[0].hash.len(), 64);
    let newest = store.journal(&JournalQuery { before: Some(u64::MAX >> 1), ..of(HOME) }).await.unwrap();
    assert_eq!(newest[0].seq, 3, "newest first below a place");
    assert_eq!(
        store.journal(&JournalQuery { kinds: vec![Kind::new("big-place")], ..of(HOME) }).await.unwrap().len(),
        0
    );
}

async fn health_and_values_are_written_apart(store: Shared) {
    let first = add(&*store, HOME, "thing", "web-1", json!({"level": 1})).await;
    let health = Health { state: HealthState::Degraded, since: at(5), reason: "slow".into() };
    store.commit(commit(HOME, vec![Step::Health { subject: first.id, health: Some(health.clone()) }])).await.unwrap();
    // A writer that read the record before its health changed does not take the health away.
    let (second, update) = next(&first, |r| r.title = "second".into());
    store.commit(commit(HOME, vec![update])).await.unwrap();
    let stored = store.get(HOME, first.id).await.unwrap().unwrap();
    assert_eq!(
        (stored.version, stored.title.as_str(), stored.health.as_ref()),
        (second.version, "second", Some(&health))
    );
    store.commit(commit(HOME, vec![Step::Health { subject: first.id, health: None }])).await.unwrap();
    assert_eq!(store.get(HOME, first.id).await.unwrap().unwrap().health, None);
}
