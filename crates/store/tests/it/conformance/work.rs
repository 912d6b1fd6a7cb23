//! Promises about what goes on beside records: jobs, observations, intervals, small values.

use std::time::Duration;

use kernel::backend::Step;
use kernel::error::StoreError;
use kernel::ids::Id;
use kernel::interval::Interval;
use kernel::job::{JobDraft, JobFinish, JobState, Lease};
use kernel::observation::{FIELDS, Look};
use kernel::record::HealthState;
use serde_json::json;

use super::Shared;
use crate::kit::*;

fn job(kind: &str, run_at: i64, key: Option<&str>) -> JobDraft {
    JobDraft {
        id: Id::new(at(run_at)),
        kind: kind.into(),
        args: json!({"n": run_at}),
        run_at: at(run_at),
        deadline: None,
        max_attempts: 3,
        idempotency: key.map(str::to_owned),
        cause: None,
    }
}

fn lease_at(worker: &str, now: i64) -> Lease {
    Lease { worker: worker.into(), now: at(now), span: Duration::from_secs(60) }
}

pub async fn a_job_is_held_by_one_worker_at_a_time(store: Shared) {
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
    assert!(
        store.lease(&["mail"], &lease_at("w3", 92), 9).await.unwrap().iter().all(|j| j.id == late.id),
        "a heartbeat keeps the lease, silence loses it"
    );
    let taken = store.lease(&["mail"], &lease_at("w3", 200), 9).await.unwrap();
    let again = taken.iter().find(|j| j.id == early.id).expect("a lease that ran out is free");
    assert_eq!((again.attempts, again.fence), (2, 2));
    let finish = |fence, to| Step::Finish(JobFinish { id: early.id, fence, to, run_at: at(300), said: "sent".into() });
    let lost = store.commit(commit(HOME, vec![finish(1, JobState::Done)])).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost(_))), "the fence of the first lease is old: {lost:?}");
    store.commit(commit(HOME, vec![finish(2, JobState::Waiting)])).await.unwrap();
    assert_eq!(store.jobs(Some(HOME), Some("waiting"), 9).await.unwrap()[0].last.as_deref(), Some("sent"));
    let last = store.lease(&["mail"], &lease_at("w4", 300), 9).await.unwrap();
    store
        .commit(commit(HOME, vec![finish(last.iter().find(|j| j.id == early.id).unwrap().fence, JobState::Done)]))
        .await
        .unwrap();
    assert_eq!(store.jobs(None, Some("done"), 9).await.unwrap().len(), 1);
    assert!(store.jobs(Some(OTHER), None, 9).await.unwrap().is_empty());
}

pub async fn a_job_with_a_known_key_is_not_enqueued_again(store: Shared) {
    let first = store
        .commit(commit(HOME, vec![Step::Enqueue(job("page", 1, Some("k"))), Step::Enqueue(job("page", 1, None))]))
        .await
        .unwrap();
    assert_eq!(first.jobs.len(), 2);
    assert!(store.commit(commit(HOME, vec![Step::Enqueue(job("page", 2, Some("k")))])).await.unwrap().jobs.is_empty());
    assert_eq!(
        store.commit(commit(OTHER, vec![Step::Enqueue(job("page", 2, Some("k")))])).await.unwrap().jobs.len(),
        1,
        "another tenant's key"
    );
}

pub async fn an_observation_leaves_its_past_behind(store: Shared) {
    let host = add(&*store, HOME, "thing", "host", json!({})).await;
    let look = |second: i64, whole: bool, rows: &[(&str, &str)]| Step::Observe {
        subject: host.id,
        look: Look {
            table: "packages".into(),
            source: "agent".into(),
            rows: rows.iter().map(|(i, v)| ((*i).to_owned(), json!(v))).collect(),
            whole,
        },
        at: at(second),
    };
    let observe = async |step| store.commit(commit(HOME, vec![step])).await.unwrap().observed[0];
    assert_eq!(observe(look(10, true, &[("nginx", "1.22"), ("openssl", "3.0"), ("bash", "5")])).await, (3, 0, 0));
    assert_eq!(observe(look(20, true, &[("nginx", "1.24"), ("openssl", "3.0")])).await, (0, 1, 1));
    assert_eq!(observe(look(30, false, &[("openssl", "3.0")])).await, (0, 0, 0));
    let all = store.observations(HOME, host.id, Some("packages"), "", None, 10).await.unwrap();
    let shown: Vec<(&str, i64, i64, Option<i64>)> = all
        .iter()
        .map(|o| {
            (
                o.item.as_str(),
                o.first_seen.as_micros() / 1_000_000,
                o.last_seen.as_micros() / 1_000_000,
                o.gone.map(|t| t.as_micros() / 1_000_000),
            )
        })
        .collect();
    assert_eq!(shown, [("bash", 10, 10, Some(20)), ("nginx", 20, 20, None), ("openssl", 10, 30, None)]);
    let past = store.observation_history(HOME, host.id, "packages", "nginx", 10).await.unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!((&past[0].value, past[0].last_seen, past[0].gone), (&json!("1.22"), at(10), Some(at(20))));
    assert_eq!(
        observe(look(40, true, &[("bash", "5"), ("nginx", "1.24"), ("openssl", "3.0")])).await,
        (1, 0, 0),
        "what comes back is new"
    );
    assert_eq!(store.observed_tables(HOME, host.id).await.unwrap(), [("packages".to_owned(), 3)].into());
    let found = store.observations(HOME, host.id, Some("packages"), "SSL", None, 10).await.unwrap();
    assert_eq!(found.iter().map(|o| o.item.as_str()).collect::<Vec<_>>(), ["openssl"]);
    let page = store.observations(HOME, host.id, Some("packages"), "", Some("bash"), 1).await.unwrap();
    assert_eq!(page[0].item, "nginx");
    let declared =
        Look { table: FIELDS.into(), source: "agent".into(), rows: vec![("os".into(), json!("12"))], whole: false };
    store.commit(commit(HOME, vec![Step::Observe { subject: host.id, look: declared, at: at(50) }])).await.unwrap();
    assert_eq!(
        store.observations(HOME, host.id, None, "", None, 10).await.unwrap().len(),
        1,
        "without a table: only of declared fields"
    );
    assert!(store.observations(OTHER, host.id, None, "", None, 10).await.unwrap().is_empty());
}

pub async fn an_interval_is_closed_by_the_next_and_kept_when_corrected(store: Shared) {
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
    let seq =
        store.commit(commit(HOME, vec![entry(&host, "health"), Step::OpenInterval(down.clone())])).await.unwrap().seqs
            [0];
    let all = store.intervals(HOME, host.id, at(0), at(100), 10).await.unwrap();
    assert_eq!(
        all.iter().map(|i| (i.state, i.end)).collect::<Vec<_>>(),
        [(HealthState::Up, Some(at(20))), (HealthState::Down, None)]
    );
    assert_eq!(all[1].cause, seq, "the entry above is the cause");
    assert!(
        store.intervals(HOME, host.id, at(0), at(20), 10).await.unwrap().len() == 1,
        "what begins at the end of the span is not in it"
    );
    let pieces = vec![interval(HealthState::Down, 20, Some(30)), interval(HealthState::Up, 30, None)];
    store.commit(commit(HOME, vec![Step::CorrectInterval { old: down.id, new: pieces.clone() }])).await.unwrap();
    let old = store.interval(HOME, down.id).await.unwrap().unwrap();
    assert_eq!(
        (old.corrected_by, old.state, old.subject),
        (Some(pieces[0].id), HealthState::Down, Some(host.id)),
        "kept, and names its successor"
    );
    let twice = store.commit(commit(HOME, vec![Step::CorrectInterval { old: down.id, new: pieces }])).await;
    assert!(matches!(twice, Err(StoreError::Link(_))), "{twice:?}");
    store.commit(commit(HOME, vec![Step::OpenInterval(interval(HealthState::Degraded, 40, None))])).await.unwrap();
    let all = store.intervals(HOME, host.id, at(0), at(100), 10).await.unwrap();
    assert_eq!(all.iter().filter(|i| i.counts() && i.end.is_none()).count(), 1, "one open interval that counts");
    assert!(store.interval(OTHER, down.id).await.unwrap().is_none());
}

pub async fn controllers_and_private_values_are_kept(store: Shared) {
    let state = kernel::backend::ControllerState {
        name: "respond.escalate".into(),
        cursor: 7,
        runs: 3,
        last_run: Some(at(1)),
        last_reason: "paged step 2".into(),
        last_error: None,
    };
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
