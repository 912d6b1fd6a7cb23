//! What every backend promises the kernel. Each promise is a function over `dyn Backend`; [`ALL`] is run on each database.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::backend::{Backend, Commit, JournalQuery, NewKey, Step};
use kernel::error::StoreError;
use kernel::ids::{Id, Kind};
use kernel::interval::Interval;
use kernel::job::{JobDraft, JobFinish, JobState, Lease};
use kernel::link::{Direction, Link, Side, Walk};
use kernel::observation::{FIELDS, Look};
use kernel::query::{Compare, Operand, Predicate};
use kernel::record::{Health, HealthState, Record};
use serde_json::json;

use crate::kit::*;

type Shared = Arc<dyn Backend>;
type Promise = (&'static str, fn(Shared) -> Pin<Box<dyn Future<Output = ()> + Send>>);

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
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
    a_walk_reaches_what_hangs_on_a_record,
    a_request_that_comes_twice_is_done_once,
    a_tail_of_the_journal_misses_nothing_while_many_write,
    the_journal_is_chained,
    touched_records_come_once,
    a_job_is_held_by_one_worker_at_a_time,
    a_job_with_a_known_key_is_not_enqueued_again,
    an_observation_leaves_its_past_behind,
    an_interval_is_closed_by_the_next_and_kept_when_corrected,
    words_find_the_newest_of_the_tenant_only,
    pages_meet_every_record_once_in_order,
    filters_mean_what_the_kernel_means,
    health_and_values_are_written_apart,
    controllers_and_private_values_are_kept,
    a_scan_meets_every_open_record,
];

async fn a_record_is_read_back_as_it_was_written(store: Shared) {
    let mut written = record(HOME, "thing", "web-1", json!({"side": "left", "level": 7, "ratio": 0.25, "tags": ["a", "ü"], "note": "\"quoted\"\n", "none": null}));
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
    let insert = Step::Insert { record: Box::new(new.clone()), key: NewKey::Numbered("THG-".into()), search: "lon".into() };
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
    let told = store.journal(&JournalQuery { tenant: Some(HOME), subject: Some(new.id), limit: 5, ..JournalQuery::default() }).await.unwrap();
    assert_eq!(told[0].subject, key, "and stands in the journal");
    assert_eq!(store.search(HOME, &["42".into()], &[(Kind::new("thing"), Predicate::All)], 5).await.unwrap().len(), 1, "and can be searched for");
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

async fn a_walk_reaches_what_hangs_on_a_record(store: Shared) {
    let mut all = Vec::new();
    for i in 0..6 {
        all.push(add(&*store, HOME, if i % 2 == 0 { "thing" } else { "big-place" }, &format!("n{i}"), json!({})).await);
    }
    // 0 ← 1 ← 2 ← 3, 1 ← 3, and a ring 3 ← 0; 5 stands alone.
    for (from, to) in [(1, 0), (2, 1), (3, 2), (3, 1), (0, 3)] {
        store.commit(commit(HOME, vec![Step::Link(link(&all[from], &all[to]))])).await.unwrap();
    }
    let walk = |direction, depth, limit| Walk { direction, depth, limit, types: vec!["needs".into()] };
    let up = store.walk(HOME, all[0].id, &walk(Direction::Up, 9, 100)).await.unwrap();
    let reached: Vec<(&str, u32)> = up.nodes.iter().map(|n| (n.head.key.as_str(), n.depth)).collect();
    assert_eq!(reached[..2], [("n0", 0), ("n1", 1)]);
    assert_eq!(reached.len(), 4, "{reached:?}");
    assert_eq!((up.links.len(), up.truncated), (5, false));
    let near = store.walk(HOME, all[0].id, &walk(Direction::Up, 1, 100)).await.unwrap();
    assert_eq!((near.nodes.len(), near.truncated), (2, false));
    let cut = store.walk(HOME, all[0].id, &walk(Direction::Up, 9, 2)).await.unwrap();
    assert_eq!((cut.nodes.len(), cut.truncated), (2, true));
    let none = store.walk(HOME, all[0].id, &Walk { types: vec!["other".into()], ..walk(Direction::Both, 9, 100) }).await.unwrap();
    assert_eq!(none.nodes.len(), 1);
    assert!(store.walk(OTHER, all[0].id, &walk(Direction::Both, 9, 100)).await.unwrap().nodes.is_empty());
}

async fn a_request_that_comes_twice_is_done_once(store: Shared) {
    let first = record(HOME, "thing", "once", json!({}));
    let request = |print: u8, record: &Record| Commit { idempotency: Some(("ana|k1".into(), [print; 32])), ..commit(HOME, insert_steps(record)) };
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
                seqs.extend(insert(&*store, &record(HOME, "thing", &format!("w{writer}-{i}"), json!({}))).await.unwrap().seqs);
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
    assert_eq!(store.journal(&JournalQuery { kinds: vec![Kind::new("big-place")], ..of(HOME) }).await.unwrap().len(), 0);
}

async fn touched_records_come_once(store: Shared) {
    let a = add(&*store, HOME, "thing", "a", json!({})).await;
    let b = add(&*store, HOME, "big-place", "b", json!({})).await;
    let c = add(&*store, HOME, "thing", "c", json!({})).await;
    for (r, n) in [(&a, 3), (&c, 2)] {
        for _ in 0..n {
            store.commit(commit(HOME, vec![entry(r, "note")])).await.unwrap();
        }
    }
    let things = [Kind::new("thing")];
    let touched = store.touched_after(&things, 0, 10).await.unwrap();
    assert_eq!(touched.iter().map(|t| (t.id, t.seq)).collect::<Vec<_>>(), [(a.id, 6), (c.id, 8)]);
    let one = store.touched_after(&things, 0, 1).await.unwrap();
    assert_eq!(one.iter().map(|t| (t.id, t.seq)).collect::<Vec<_>>(), [(a.id, 1)], "a limit counts records, and the place before the next one");
    let both = store.touched_after(&[Kind::new("thing"), Kind::new("big-place")], 1, 10).await.unwrap();
    assert_eq!(both.iter().map(|t| t.id).collect::<Vec<_>>(), [b.id, a.id, c.id]);
    assert!(store.touched_after(&things, 8, 10).await.unwrap().is_empty());
}

fn job(kind: &str, run_at: i64, key: Option<&str>) -> JobDraft {
    JobDraft { id: Id::new(at(run_at)), kind: kind.into(), args: json!({"n": run_at}), run_at: at(run_at), deadline: None, max_attempts: 3, idempotency: key.map(str::to_owned), cause: None }
}

fn lease_at(worker: &str, now: i64) -> Lease {
    Lease { worker: worker.into(), now: at(now), span: Duration::from_secs(60) }
}

async fn a_job_is_held_by_one_worker_at_a_time(store: Shared) {
    let (late, early) = (job("mail", 20, None), job("mail", 10, None));
    store.commit(commit(HOME, vec![Step::Enqueue(late.clone()), Step::Enqueue(early.clone())])).await.unwrap();
    assert_eq!(store.next_due(&["mail", "call"]).await.unwrap(), Some(at(10)));
    assert!(store.lease(&["call"], &lease_at("w1", 100), 9).await.unwrap().is_empty(), "another kind");
    assert!(store.lease(&["mail"], &lease_at("w1", 9), 9).await.unwrap().is_empty(), "not yet");
    let held = store.lease(&["mail"], &lease_at("w1", 30), 1).await.unwrap();
    assert_eq!((held[0].id, held[0].attempts, held[0].state), (early.id, 1, JobState::Running));
    let rest = store.lease(&["mail"], &lease_at("w2", 31), 9).await.unwrap();
    assert_eq!(rest.iter().map(|j| j.id).collect::<Vec<_>>(), [late.id]);
    assert!(store.heartbeat(early.id, &lease_at("w1", 80)).await.unwrap());
    assert!(!store.heartbeat(early.id, &lease_at("w2", 80)).await.unwrap(), "not its lease");
    assert!(store.lease(&["mail"], &lease_at("w3", 92), 9).await.unwrap().iter().all(|j| j.id == late.id), "a heartbeat keeps the lease, silence loses it");
    let taken = store.lease(&["mail"], &lease_at("w3", 200), 9).await.unwrap();
    let again = taken.iter().find(|j| j.id == early.id).expect("a lease that ran out is free");
    assert_eq!((again.attempts, again.fence), (2, 2));
    let finish = |fence, to| Step::Finish(JobFinish { id: early.id, fence, to, run_at: at(300), said: "sent".into() });
    let lost = store.commit(commit(HOME, vec![finish(1, JobState::Done)])).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost(_))), "the fence of the first lease is old: {lost:?}");
    store.commit(commit(HOME, vec![finish(2, JobState::Waiting)])).await.unwrap();
    assert_eq!(store.jobs(Some(HOME), Some("waiting"), 9).await.unwrap()[0].last.as_deref(), Some("sent"));
    let last = store.lease(&["mail"], &lease_at("w4", 300), 9).await.unwrap();
    store.commit(commit(HOME, vec![finish(last.iter().find(|j| j.id == early.id).unwrap().fence, JobState::Done)])).await.unwrap();
    assert_eq!(store.jobs(None, Some("done"), 9).await.unwrap().len(), 1);
    assert!(store.jobs(Some(OTHER), None, 9).await.unwrap().is_empty());
}

async fn a_job_with_a_known_key_is_not_enqueued_again(store: Shared) {
    let first = store.commit(commit(HOME, vec![Step::Enqueue(job("page", 1, Some("k"))), Step::Enqueue(job("page", 1, None))])).await.unwrap();
    assert_eq!(first.jobs.len(), 2);
    assert!(store.commit(commit(HOME, vec![Step::Enqueue(job("page", 2, Some("k")))])).await.unwrap().jobs.is_empty());
    assert_eq!(store.commit(commit(OTHER, vec![Step::Enqueue(job("page", 2, Some("k")))])).await.unwrap().jobs.len(), 1, "another tenant's key");
}

async fn an_observation_leaves_its_past_behind(store: Shared) {
    let host = add(&*store, HOME, "thing", "host", json!({})).await;
    let look = |second: i64, whole: bool, rows: &[(&str, &str)]| Step::Observe {
        subject: host.id,
        look: Look { table: "packages".into(), source: "agent".into(), rows: rows.iter().map(|(i, v)| ((*i).to_owned(), json!(v))).collect(), whole },
        at: at(second),
    };
    let observe = async |step| store.commit(commit(HOME, vec![step])).await.unwrap().observed[0];
    assert_eq!(observe(look(10, true, &[("nginx", "1.22"), ("openssl", "3.0"), ("bash", "5")])).await, (3, 0, 0));
    assert_eq!(observe(look(20, true, &[("nginx", "1.24"), ("openssl", "3.0")])).await, (0, 1, 1));
    assert_eq!(observe(look(30, false, &[("openssl", "3.0")])).await, (0, 0, 0));
    let all = store.observations(HOME, host.id, Some("packages"), "", None, 10).await.unwrap();
    let shown: Vec<(&str, i64, i64, Option<i64>)> =
        all.iter().map(|o| (o.item.as_str(), o.first_seen.as_micros() / 1_000_000, o.last_seen.as_micros() / 1_000_000, o.gone.map(|t| t.as_micros() / 1_000_000))).collect();
    assert_eq!(shown, [("bash", 10, 10, Some(20)), ("nginx", 20, 20, None), ("openssl", 10, 30, None)]);
    let past = store.observation_history(HOME, host.id, "packages", "nginx", 10).await.unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!((&past[0].value, past[0].last_seen, past[0].gone), (&json!("1.22"), at(10), Some(at(20))));
    assert_eq!(observe(look(40, true, &[("bash", "5"), ("nginx", "1.24"), ("openssl", "3.0")])).await, (1, 0, 0), "what comes back is new");
    assert_eq!(store.observed_tables(HOME, host.id).await.unwrap(), [("packages".to_owned(), 3)].into());
    let found = store.observations(HOME, host.id, Some("packages"), "SSL", None, 10).await.unwrap();
    assert_eq!(found.iter().map(|o| o.item.as_str()).collect::<Vec<_>>(), ["openssl"]);
    let page = store.observations(HOME, host.id, Some("packages"), "", Some("bash"), 1).await.unwrap();
    assert_eq!(page[0].item, "nginx");
    let declared = Look { table: FIELDS.into(), source: "agent".into(), rows: vec![("os".into(), json!("12"))], whole: false };
    store.commit(commit(HOME, vec![Step::Observe { subject: host.id, look: declared, at: at(50) }])).await.unwrap();
    assert_eq!(store.observations(HOME, host.id, None, "", None, 10).await.unwrap().len(), 1, "without a table: only of declared fields");
    assert!(store.observations(OTHER, host.id, None, "", None, 10).await.unwrap().is_empty());
}

async fn an_interval_is_closed_by_the_next_and_kept_when_corrected(store: Shared) {
    let host = add(&*store, HOME, "thing", "host", json!({})).await;
    let interval = |state, start: i64, end: Option<i64>| Interval {
        id: Id::new(at(start)),
        subject: Some(host.id),
        state,
        start: at(start),
        end: end.map(at),
        cause: 0,
        reason: "seen".into(),
        corrected_by: None,
    };
    let (up, down) = (interval(HealthState::Up, 10, None), interval(HealthState::Down, 20, None));
    store.commit(commit(HOME, vec![Step::OpenInterval(up.clone())])).await.unwrap();
    let seq = store.commit(commit(HOME, vec![entry(&host, "health"), Step::OpenInterval(down.clone())])).await.unwrap().seqs[0];
    let all = store.intervals(HOME, host.id, at(0), at(100), 10).await.unwrap();
    assert_eq!(all.iter().map(|i| (i.state, i.end)).collect::<Vec<_>>(), [(HealthState::Up, Some(at(20))), (HealthState::Down, None)]);
    assert_eq!(all[1].cause, seq, "the entry above is the cause");
    assert!(store.intervals(HOME, host.id, at(0), at(20), 10).await.unwrap().len() == 1, "what begins at the end of the span is not in it");
    let pieces = vec![interval(HealthState::Down, 20, Some(30)), interval(HealthState::Up, 30, None)];
    store.commit(commit(HOME, vec![Step::CorrectInterval { old: down.id, new: pieces.clone() }])).await.unwrap();
    let old = store.interval(HOME, down.id).await.unwrap().unwrap();
    assert_eq!((old.corrected_by, old.state, old.subject), (Some(pieces[0].id), HealthState::Down, Some(host.id)), "kept, and names its successor");
    let twice = store.commit(commit(HOME, vec![Step::CorrectInterval { old: down.id, new: pieces }])).await;
    assert!(matches!(twice, Err(StoreError::Link(_))), "{twice:?}");
    store.commit(commit(HOME, vec![Step::OpenInterval(interval(HealthState::Degraded, 40, None))])).await.unwrap();
    let all = store.intervals(HOME, host.id, at(0), at(100), 10).await.unwrap();
    assert_eq!(all.iter().filter(|i| i.counts() && i.end.is_none()).count(), 1, "one open interval that counts");
    assert!(store.interval(OTHER, down.id).await.unwrap().is_none());
}

async fn words_find_the_newest_of_the_tenant_only(store: Shared) {
    for (tenant, kind, key, site) in [
        (HOME, "thing", "a", "slow Zürich checkout"),
        (HOME, "big-place", "b", "checkout of the zürich shop is slow"),
        (HOME, "thing", "c", "checkout"),
        (OTHER, "thing", "d", "slow checkout §1 §1kthing"),
    ] {
        add(&*store, tenant, kind, key, json!({"site": site})).await;
    }
    let both = [(Kind::new("thing"), Predicate::All), (Kind::new("big-place"), Predicate::All)];
    let find = async |words: &[&str], readable: &[(Kind, Predicate)], limit| {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        store.search(HOME, &words, readable, limit).await.unwrap().into_iter().map(|r| r.key).collect::<Vec<_>>()
    };
    assert_eq!(find(&["checkout"], &both, 10).await, ["c", "b", "a"]);
    assert_eq!(find(&["checkout", "slow"], &both, 10).await, ["b", "a"]);
    assert_eq!(find(&["checkout", "slow"], &both[..1], 10).await, ["a"]);
    assert_eq!(find(&["zürich", "check"], &both, 10).await, ["b", "a"], "the last word may be a beginning");
    assert_eq!(find(&["checkout"], &both, 2).await, ["c", "b"]);
    assert_eq!(find(&["nothing"], &both, 10).await, [""; 0]);
    let only_a = [(Kind::new("thing"), Predicate::In(column("key"), vec![Operand::Text("a".into())]))];
    assert_eq!(find(&["checkout"], &only_a, 10).await, ["a"], "only what may be read");
    let a = store.by_key(HOME, "a").await.unwrap().unwrap();
    let (changed, update) = next(&a, |r| r.title = "quick".into());
    store.commit(commit(HOME, vec![update])).await.unwrap();
    assert_eq!(find(&["slow"], &both, 10).await, ["b"]);
    assert_eq!(find(&["quick"], &both, 10).await, ["a"]);
    let (_, delete) = next(&changed, |r| r.deleted = true);
    store.commit(commit(HOME, vec![delete])).await.unwrap();
    assert_eq!(find(&["quick"], &both, 10).await, [""; 0]);
    let listed = paged(&*store, query("big-place", Predicate::Words(vec!["slow".into()]), "key", 5)).await;
    assert_eq!(listed, ["b"]);
}

async fn pages_meet_every_record_once_in_order(store: Shared) {
    let mut all = Vec::new();
    for i in 0..40_i64 {
        let mut fields = json!({"level": i % 4, "ratio": (i % 3) as f64 / 7.0, "site": format!("s{}", i % 5)});
        if i % 4 == 0 {
            fields = json!({"level": null});
        } else if i % 2 == 0 {
            fields["due"] = json!(format!("2026-11-{:02}T00:00:00{}Z", 1 + i % 7, if i % 3 == 0 { ".5" } else { "" }));
            fields["patience"] = json!(["90s", "1m", "1h", "0"][(i % 4) as usize]);
        }
        let mut new = record_at(HOME, "thing", &format!("k{i:02}"), fields, at(i / 3));
        new.title = format!("title {}", i % 6);
        new.owner = (i % 5 == 0).then(|| "ana".to_owned());
        insert(&*store, &new).await.unwrap();
        all.push(new);
    }
    for sort in ["key", "title", "updated", "owner", "level", "ratio", "site", "due", "patience"] {
        let whole = store.page(HOME, &query("thing", Predicate::All, sort, 100)).await.unwrap();
        assert_eq!((whole.records.len(), whole.more), (40, false));
        let forward: Vec<String> = whole.records.iter().map(|r| r.key.clone()).collect();
        let sorted: Vec<f64> = whole.records.iter().map(|r| sort_value(r, &column(sort)).as_f64().unwrap_or(-1.0)).collect();
        assert!(sorted.is_sorted(), "{sort}: {sorted:?}");
        for limit in [1, 7] {
            assert_eq!(paged(&*store, query("thing", Predicate::All, sort, limit)).await, forward, "{sort} by {limit}");
            let mut backward = paged(&*store, query("thing", Predicate::All, &format!("-{sort}"), limit)).await;
            backward.reverse();
            assert_eq!(backward, forward, "-{sort} by {limit}");
        }
    }
    assert!(store.page(OTHER, &query("thing", Predicate::All, "key", 5)).await.unwrap().records.is_empty());
    assert!(store.page(HOME, &query("no-such-class", Predicate::All, "key", 5)).await.unwrap().records.is_empty());
}

async fn filters_mean_what_the_kernel_means(store: Shared) {
    let rows = [
        ("a", json!({"side": "left", "hot": true, "site": "LON", "level": 5, "ratio": 0.5, "due": "2026-11-21T00:00:00.5Z", "patience": "1m30s", "tags": ["x", "y"]})),
        ("b", json!({"side": "right", "hot": false, "site": "50%_!", "level": -1, "ratio": 2.0, "due": "2026-11-21T00:00:00Z", "patience": "2m"})),
        ("c", json!({"tags": []})),
    ];
    let mut all = Vec::new();
    for (key, fields) in rows {
        let mut new = record(HOME, "thing", key, fields);
        new.title = format!("Größe {key}");
        new.owner = (key == "a").then(|| "ana".to_owned());
        insert(&*store, &new).await.unwrap();
        all.push(new);
    }
    let text = |t: &str| Operand::Text(t.into());
    let in_ = |name: &str, operands: Vec<Operand>| Predicate::In(column(name), operands);
    let cmp = |name: &str, compare, operand| Predicate::Cmp(column(name), compare, operand);
    let due = kernel::clock::Time::parse("2026-11-21T00:00:00.2Z").unwrap().as_micros();
    let leaves = vec![
        in_("side", vec![text("left")]),
        in_("side", vec![text("left"), text("right")]),
        in_("hot", vec![Operand::Bool(false)]),
        in_("level", vec![Operand::Int(5), Operand::Int(6)]),
        in_("ratio", vec![Operand::Float(0.5)]),
        in_("level", vec![text("5")]),
        in_("title", vec![text("GRÖSSE A"), text("größe B")]),
        in_("key", vec![text("a"), text("c")]),
        in_("owner", vec![text("ana")]),
        in_("open", vec![Operand::Bool(true)]),
        in_("patience", vec![Operand::Int(90_000)]),
        cmp("level", Compare::Ge, Operand::Int(0)),
        cmp("level", Compare::Lt, Operand::Float(4.5)),
        cmp("ratio", Compare::Gt, Operand::Int(1)),
        cmp("due", Compare::Gt, Operand::Int(due)),
        cmp("due", Compare::Le, Operand::Int(due)),
        cmp("patience", Compare::Gt, Operand::Int(100_000)),
        cmp("site", Compare::Lt, text("A")),
        Predicate::Like(column("site"), "l*n".into()),
        Predicate::Like(column("site"), "*%_!".into()),
        Predicate::Like(column("title"), "GRÖ*".into()),
        Predicate::Like(column("level"), "*".into()),
        Predicate::Present(column("due")),
        Predicate::Present(column("owner")),
        Predicate::Present(column("tags")),
        Predicate::Contains(column("tags"), vec![text("y"), text("z")]),
        Predicate::Ids(vec![all[1].id, Id::new(at(9))]),
        Predicate::Or(vec![]),
        Predicate::And(vec![]),
    ];
    let mut asked = leaves.clone();
    for leaf in &leaves {
        asked.push(Predicate::Not(Box::new(leaf.clone())));
        asked.push(Predicate::Not(Box::new(Predicate::Or(vec![leaf.clone(), in_("site", vec![text("LON")])]))));
        asked.push(Predicate::And(vec![leaf.clone(), Predicate::Not(Box::new(in_("side", vec![text("right")])))]));
    }
    for predicate in asked {
        let wanted: Vec<&str> = all.iter().filter(|r| kernel::eval::matches(&predicate, r) == Some(true)).map(|r| r.key.as_str()).collect();
        let found = paged(&*store, query("thing", predicate.clone(), "key", 10)).await;
        assert_eq!(found, wanted, "{predicate:?}");
        let total = store.total(HOME, &Kind::new("thing"), &predicate, 10).await.unwrap();
        assert_eq!(total.exact, Some(wanted.len() as u64), "{predicate:?}");
    }
    let db = add(&*store, HOME, "big-place", "db", json!({"site": "LON"})).await;
    store.commit(commit(HOME, vec![Step::Link(Link { from: all[0].id, name: "needs".into(), to: db.id })])).await.unwrap();
    let linked = |out, inner: Predicate, kinds: Vec<Kind>| Predicate::Linked { name: Some("needs".into()), out, kinds, inner: Box::new(inner) };
    let london = || in_("site", vec![text("LON")]);
    for (predicate, wanted) in [
        (linked(true, Predicate::All, vec![]), vec!["a"]),
        (linked(false, Predicate::All, vec![]), vec![]),
        (linked(true, london(), vec![Kind::new("big-place")]), vec!["a"]),
        (linked(true, london(), vec![Kind::new("thing")]), vec![]),
        (linked(true, london(), vec![]), vec!["a"]),
        (Predicate::Not(Box::new(linked(true, london(), vec![]))), vec!["b", "c"]),
    ] {
        assert_eq!(paged(&*store, query("thing", predicate.clone(), "key", 10)).await, wanted, "{predicate:?}");
    }
    let counts = store.counts(HOME, &Kind::new("thing"), &Predicate::All, &column("hot")).await.unwrap();
    assert!(counts.len() == 3 && counts.contains(&(json!(true), 1)) && counts.contains(&(json!(null), 1)), "{counts:?}");
    let capped = store.total(HOME, &Kind::new("thing"), &Predicate::All, 2).await.unwrap();
    assert_eq!((capped.exact, capped.at_least), (None, 2));
}

async fn health_and_values_are_written_apart(store: Shared) {
    let first = add(&*store, HOME, "thing", "web-1", json!({"level": 1})).await;
    let health = Health { state: HealthState::Degraded, since: at(5), reason: "slow".into() };
    store.commit(commit(HOME, vec![Step::Health { subject: first.id, health: Some(health.clone()) }])).await.unwrap();
    // A writer that read the record before its health changed does not take the health away.
    let (second, update) = next(&first, |r| r.title = "second".into());
    store.commit(commit(HOME, vec![update])).await.unwrap();
    let stored = store.get(HOME, first.id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.title.as_str(), stored.health.as_ref()), (second.version, "second", Some(&health)));
    store.commit(commit(HOME, vec![Step::Health { subject: first.id, health: None }])).await.unwrap();
    assert_eq!(store.get(HOME, first.id).await.unwrap().unwrap().health, None);
}

async fn controllers_and_private_values_are_kept(store: Shared) {
    let state = kernel::backend::ControllerState { name: "respond.escalate".into(), cursor: 7, runs: 3, last_run: Some(at(1)), last_reason: "paged step 2".into(), last_error: None };
    store.keep_controller(&state).await.unwrap();
    let later = kernel::backend::ControllerState { cursor: 9, last_error: Some("no route".into()), ..state };
    store.keep_controller(&later).await.unwrap();
    assert_eq!(store.controller("respond.escalate").await.unwrap(), Some(later.clone()));
    assert_eq!(store.controllers().await.unwrap(), [later]);
    assert_eq!(store.controller("nobody").await.unwrap(), None);
    store.put_private("session", "s1", Some(b"one")).await.unwrap();
    store.put_private("session", "s1", Some(b"two")).await.unwrap();
    assert!(!store.claim_private("session", "s1", b"three").await.unwrap());
    assert!(store.claim_private("bootstrap", "done", b"x").await.unwrap());
    assert_eq!(store.private("session", "s1").await.unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(store.privates("session").await.unwrap(), [("s1".to_owned(), b"two".to_vec())]);
    store.put_private("session", "s1", None).await.unwrap();
    assert_eq!(store.private("session", "s1").await.unwrap(), None);
    assert_eq!(store.tenants().await.unwrap(), [(HOME, "internal".to_owned()), (OTHER, "customer".to_owned())]);
    assert_eq!(store.add_tenant("customer").await.unwrap(), OTHER, "a tenant keeps its number");
    assert!(store.writable().is_ok());
}

async fn a_scan_meets_every_open_record(store: Shared) {
    let mut wanted = Vec::new();
    for i in 0..9 {
        let mut new = record(if i == 8 { OTHER } else { HOME }, "thing", &format!("k{i}"), json!({}));
        new.open = i % 3 != 0;
        new.deleted = i == 1;
        insert(&*store, &new).await.unwrap();
        wanted.push(new);
    }
    let kind = Kind::new("thing");
    let mut met = Vec::new();
    loop {
        let some = store.scan(&kind, None, true, met.last().map(|(_, id)| *id), 2).await.unwrap();
        if some.is_empty() {
            break;
        }
        met.extend(some);
    }
    let open: Vec<_> = wanted.iter().filter(|r| r.open && !r.deleted).map(|r| (r.tenant, r.id)).collect();
    assert_eq!(met, open);
    assert_eq!(store.scan(&kind, Some(HOME), false, None, 100).await.unwrap().len(), 7);
}
