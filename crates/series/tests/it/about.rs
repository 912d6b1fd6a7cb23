//! What is kept beside samples (metadata, exemplars), and the limits of tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use series::formats::{Batch, MetricKind};
use series::promql::Query;
use series::{Engine, Labels, Metrics, Options, Refusal, Sample, SeriesError, TenantLimits};

use crate::world::{HOUR, SECOND, T0, World, copy, labels, put, sample};

fn told(families: &[(&str, &str)]) -> Batch {
    let mut batch = Batch::default();
    for (family, help) in families {
        let about = batch.describe(family).expect("it is taken");
        (about.kind, about.unit, about.help) = (MetricKind::Counter, "seconds".into(), (*help).into());
    }
    batch
}

fn helps(engine: &Engine, tenant: u64) -> Vec<(String, String)> {
    engine.metadata(tenant, None).into_iter().map(|m| (m.family, m.help)).collect()
}

fn traced(host: &str, traces: &[(i64, &str)]) -> Batch {
    let mut batch = Batch::default();
    batch.begin_series(&labels("m_total", host)).expect("it is taken");
    for (at_ms, trace) in traces {
        batch.point(*at_ms, *at_ms as f64).expect("it is taken");
        batch.exemplar(vec![("trace_id".into(), (*trace).into())], 0.5, Some(*at_ms)).expect("it is taken");
    }
    batch
}

fn traces(engine: &Engine) -> Vec<(String, Vec<(i64, String)>)> {
    let found = engine.exemplars(1, &[&[]], (i64::MIN, i64::MAX)).into_iter();
    let shown = |e: series::formats::Exemplar| (e.at_ms.expect("it is there"), e.labels[0].1.clone());
    found
        .map(|s| (s.labels.get("host").expect("it is there").into(), s.exemplars.into_iter().map(shown).collect()))
        .collect()
}

async fn flush(engine: &Arc<Engine>) {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.flush()).await.expect("it ends").expect("the disk takes it");
}

#[tokio::test]
async fn metadata_and_exemplars_outlive_restart_sealing_and_copy() {
    let mut world = World::new();
    world.options.wal_checkpoint_bytes = 1;
    let engine = Arc::new(world.open().0);
    engine.append_batch(1, told(&[("a", "one"), ("b", "two")])).await.unwrap();
    engine.append_batch(1, told(&[("b", "three")])).await.unwrap();
    engine.append_batch(1, traced("x", &[(T0, "t1"), (T0 + 5, "t2")])).await.unwrap();
    let expected_helps = vec![("a".to_owned(), "one".to_owned()), ("b".to_owned(), "three".to_owned())];
    let expected_traces = vec![("x".to_owned(), vec![(T0, "t1".to_owned()), (T0 + 5, "t2".to_owned())])];
    let check = |engine: &Engine, why: &str| {
        assert_eq!((helps(engine, 1), traces(engine)), (expected_helps.clone(), expected_traces.clone()), "{why}");
    };
    check(&engine, "at once");
    let again = engine.append_batch(1, traced("x", &[(T0, "t1"), (T0 + 5, "t2")])).await.unwrap();
    assert_eq!(again.accepted, 2);
    check(&engine, "a repeat changes nothing");
    let killed = copy(world.dir.path());
    check(&world.open_copy(killed.path()).0, "after a kill");
    world.now(T0 + 3 * HOUR);
    flush(&engine).await;
    assert_eq!(engine.stats().head_samples, 0);
    check(&engine, "sealed");
    let target = tempfile::tempdir().unwrap();
    engine.snapshot_to(target.path()).unwrap();
    check(&world.open_copy(target.path()).0, "in a copy");
    drop(engine);
    check(&world.open().0, "after a restart");
    assert!(helps(&world.open().0, 2).is_empty(), "another tenant's");
}

#[tokio::test]
async fn the_seam_answers_from_what_is_kept() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    let batch = told(&[("m_total", "so many")]);
    Metrics::write(&engine, 1, batch).await.unwrap();
    Metrics::write(&engine, 1, traced("x", &[(T0, "t1"), (T0 + 5, "t2")])).await.unwrap();
    Metrics::write(&engine, 1, traced("y", &[(T0, "t3")])).await.unwrap();
    let one = Metrics::metadata(&engine, 1, Some("m_total".into())).await.unwrap();
    assert_eq!((one.len(), one[0].help.as_str()), (1, "so many"));
    assert!(Metrics::metadata(&engine, 1, Some("other".into())).await.unwrap().is_empty());
    let ask = async |query: &str, from: i64, to: i64| {
        let query = Query::parse(query).unwrap();
        let found = Metrics::exemplars(&engine, 1, query, (from, to)).await.unwrap();
        found.iter().map(|s| s.exemplars.len()).collect::<Vec<_>>()
    };
    assert_eq!(ask(r#"rate(m_total{host="x"}[5m]) + 1"#, T0, T0 + 9).await, [2]);
    assert_eq!(ask(r#"sum(m_total) / sum(rate(m_total{host="y"}[1m]))"#, T0 + 1, T0 + 9).await, [1]);
    assert_eq!(ask("other", T0, T0 + 9).await, [] as [usize; 0]);
}

#[tokio::test]
async fn both_are_bounded_and_what_belongs_to_no_series_is_not_kept() {
    let mut world = World::new();
    (world.options.max_exemplars, world.options.max_families) = (3, 2);
    let (engine, _) = world.open();
    engine.append_batch(1, told(&[("a", "x"), ("b", "x"), ("c", "x")])).await.unwrap();
    assert_eq!(helps(&engine, 1).len(), 2);
    for at in 0..5 {
        let told = engine.append_batch(1, traced("x", &[(T0 + at, "t")])).await.unwrap();
        assert_eq!(told.exemplars, 1);
    }
    let again = engine.append_batch(1, traced("x", &[(T0 + 4, "t")])).await.unwrap();
    assert_eq!(again.exemplars, 1, "it is there");
    assert_eq!(traces(&engine)[0].1.iter().map(|e| e.0 - T0).collect::<Vec<_>>(), [2, 3, 4]);
    let mut orphan = Batch::default();
    orphan.begin_series(&labels("never", "x")).unwrap();
    orphan.exemplar(vec![("trace_id".into(), "t".into())], 1.0, Some(T0)).unwrap();
    orphan.begin_series(&labels("m_total", "x")).unwrap();
    orphan.exemplar(vec![("trace_id".into(), "t".repeat(200))], 1.0, Some(T0)).unwrap();
    assert_eq!(engine.append_batch(1, orphan).await.unwrap().exemplars, 0);
    assert_eq!((engine.stats().refused_exemplars, engine.stats().series), (2, 1));
}

#[tokio::test]
async fn a_series_with_more_or_longer_labels_than_allowed_is_refused_and_told_why() {
    let mut world = World::new();
    (world.options.max_labels, world.options.max_label_name_bytes) = (3, 10);
    world.options.max_label_value_bytes = 20;
    let (engine, _) = world.open();
    let of = |pairs: &[(&str, &str)]| Sample { labels: Labels::metric("m", pairs).unwrap(), at_ms: T0, value: 1.0 };
    let long = "v".repeat(21);
    let table = [
        (of(&[("a", "1"), ("b", "2")]), None, "as many as allowed"),
        (
            of(&[("a", "1"), ("b", "2"), ("c", "3")]),
            Some("the number of labels of 4 is over the limit of 3"),
            "too many",
        ),
        (
            of(&[("a_long_name", "1")]),
            Some("the length in bytes of a label's name of 11 is over the limit of 10"),
            "name",
        ),
        (of(&[("a", &long)]), Some("the length in bytes of a label's value of 21 is over the limit of 20"), "value"),
    ];
    for (sample, expected, why) in table {
        let answer = put(&engine, 1, vec![sample]).await;
        let told = answer.refused.first().map(|r| r.reason.to_string());
        assert_eq!(told.as_deref(), expected, "{why}");
    }
    let stats = engine.stats();
    assert_eq!((stats.refused, stats.refused_by.label_limit, stats.series), (3, 3, 1));
}

#[tokio::test]
async fn a_tenant_that_is_too_fast_is_told_to_come_again_and_others_are_not_held_up() {
    let mut world = World::new();
    world.options.max_samples_per_second = 100;
    let (engine, _) = world.open();
    let many = |n: i64| (0..n).map(|i| sample("m", "a", T0 + i, 1.0)).collect::<Vec<_>>();
    put(&engine, 1, many(1_500)).await;
    let error = engine.append(1, many(1)).await.unwrap_err();
    assert!(matches!(error, SeriesError::TooFast { limit: 100, retry_after_ms: 5_001..=5_020 }), "{error:?}");
    assert!(error.is_retryable() && error.to_string().contains("100 samples a second"), "{error}");
    put(&engine, 2, many(10)).await;
    world.now(T0 + 6 * SECOND);
    put(&engine, 1, many(1)).await;
    assert_eq!(engine.stats().refused_by.rate, 1);
    engine.set_limits(1, Some(TenantLimits { max_samples_per_second: u64::MAX, ..engine.limits(1) }));
    for _ in 0..5 {
        put(&engine, 1, many(1_500)).await;
    }
}

#[tokio::test]
async fn a_tenant_may_have_limits_of_its_own() {
    let world = World::new();
    let (engine, _) = world.open();
    engine.set_limits(7, Some(TenantLimits { max_series: 2, ..Options::default().tenant_limits() }));
    let hosts = |hosts: &[&str]| hosts.iter().map(|h| sample("m", h, T0, 1.0)).collect::<Vec<_>>();
    let answer = put(&engine, 7, hosts(&["a", "b", "c"])).await;
    assert!(matches!(answer.refused[0].reason, Refusal::TooManySeries { limit: 2 }), "{answer:?}");
    assert_eq!(put(&engine, 8, hosts(&["a", "b", "c"])).await.accepted, 3);
    engine.set_limits(7, None);
    assert_eq!(put(&engine, 7, hosts(&["c"])).await.accepted, 1);
    let stats = engine.stats().refused_by;
    assert_eq!((stats.series_limit, stats.conflict), (1, 0));
    put(
        &engine,
        7,
        vec![sample("m", "a", T0, 2.0), sample("m", "a", T0 - 900 * HOUR, 1.0), sample("m", "a", T0 + HOUR, 1.0)],
    )
    .await;
    let stats = engine.stats().refused_by;
    assert_eq!((stats.conflict, stats.too_old, stats.too_far_ahead), (1, 1, 1));
}

#[tokio::test]
async fn look_ups_know_only_what_has_samples_in_their_time() {
    let world = World::new();
    world.now(T0 + HOUR);
    let engine = Arc::new(world.open().0);
    put(&engine, 1, vec![sample("old", "a", T0, 1.0)]).await;
    world.now(T0 + 5 * HOUR);
    flush(&engine).await;
    put(&engine, 1, vec![sample("new", "b", T0 + 5 * HOUR, 1.0)]).await;
    let mut native = Batch::default();
    native.begin_series(&labels("native", "c")).unwrap();
    native.histogram(T0 + 5 * HOUR, series::Histogram::default()).unwrap();
    engine.append_batch(1, native).await.unwrap();
    let names = async |from: i64, to: i64| {
        let found = Metrics::series(&engine, 1, vec![], (from, to)).await.unwrap();
        let hosts = Metrics::label_values(&engine, 1, "host".into(), vec![], (from, to)).await.unwrap();
        assert_eq!(found.len(), hosts.len());
        let labels = Metrics::label_names(&engine, 1, vec![], (from, to)).await.unwrap();
        assert_eq!(labels.is_empty(), found.is_empty());
        hosts.concat()
    };
    assert_eq!(names(T0, T0 + HOUR).await, "a");
    assert_eq!(names(T0 + 5 * HOUR, T0 + 6 * HOUR).await, "bc");
    assert_eq!(names(T0, T0 + 6 * HOUR).await, "abc");
    assert_eq!(names(i64::MIN, i64::MAX).await, "abc");
    assert_eq!(names(T0 + 2 * HOUR, T0 + 3 * HOUR).await, "", "between");
    assert_eq!(names(i64::MIN, T0 - 1).await, "", "before everything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_miss_nothing_while_windows_are_sealed() {
    let world = World::new();
    world.now(T0);
    let engine = Arc::new(world.open().0);
    put(&engine, 1, vec![sample("m", "before", T0 - 4 * HOUR, 1.0)]).await;
    let kept = Arc::new(AtomicUsize::new(0));
    let asking = {
        let (engine, kept) = (engine.clone(), kept.clone());
        tokio::task::spawn_blocking(move || {
            let mut asked = 0;
            while kept.load(Relaxed) < 12_000 {
                let least = kept.load(Relaxed);
                let found = engine.label_values_in(1, "host", &[], (T0, i64::MAX)).len();
                assert!(found >= least, "{found} of {least}");
                asked += 1;
            }
            asked
        })
    };
    // Many in each, since the moment between looking into files and into the head is short.
    for window in 0..12 {
        let at = T0 + 2 * HOUR * window;
        put(&engine, 1, (0..1000).map(|n| sample("m", &format!("{window}-{n}"), at, 1.0)).collect()).await;
        kept.fetch_add(1000, Relaxed);
        world.now(at + 4 * HOUR);
        flush(&engine).await;
    }
    assert!(asking.await.unwrap() > 12);
}

#[tokio::test]
async fn a_log_of_another_format_is_refused_and_left_as_it_is() {
    let world = World::new();
    let (engine, _) = world.open();
    put(&engine, 1, vec![sample("m", "a", T0, 1.0)]).await;
    drop(engine);
    let path = world.wal_files()[0].clone();
    let whole = std::fs::read(&path).unwrap();
    // The first frame is magic, length, checksum and two bytes: the tag and the version.
    for (version, readable) in [(1_u8, false), (2, true), (3, true), (4, true), (5, false)] {
        let mut bytes = whole.clone();
        bytes[17] = version;
        let mut covered = 2_u32.to_le_bytes().to_vec();
        covered.extend_from_slice(&bytes[16..18]);
        bytes[8..16].copy_from_slice(&xxhash_rust::xxh3::xxh3_64(&covered).to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        match Engine::open(world.dir.path(), world.options.clone()) {
            Ok((engine, recovery)) => {
                assert!(readable, "format {version}");
                assert_eq!((recovery.samples, engine.stats().series), (1, 1));
            }
            Err(error) => {
                assert!(!readable, "format {version}: {error}");
                assert!(error.to_string().contains(&format!("is in format {version}")), "{error}");
                assert_eq!(std::fs::read(&path).unwrap(), bytes);
            }
        }
    }
}

#[tokio::test]
async fn every_flipped_byte_of_what_is_kept_beside_samples_is_told_of_and_never_served() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    engine.append_batch(1, told(&[("a", "one")])).await.unwrap();
    engine.append_batch(1, traced("x", &[(T0, "t1")])).await.unwrap();
    put(&engine, 1, vec![sample("gone", "z", T0, 1.0)]).await;
    let deleter = engine.clone();
    let gone = vec![series::Matcher::eq("__name__", "gone")];
    tokio::task::spawn_blocking(move || Engine::delete(&deleter, 1, &gone, T0, T0)).await.unwrap().unwrap();
    let (truth_helps, truth_traces) = (helps(&engine, 1), traces(&engine));
    drop(engine);
    let log = world.wal_files()[0].clone();
    let whole = std::fs::read(&log).unwrap();
    for at in 0..whole.len() {
        let dir = copy(world.dir.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(dir.path().join("wal").join(log.file_name().unwrap()), bytes).unwrap();
        assert!(!series::verify_directory(dir.path()).unwrap().is_clean(), "flip at {at} is found");
        let (engine, recovery) = world.open_copy(dir.path());
        assert_eq!(recovery.damaged.len(), 1, "flip at {at} is told of");
        let (helps, traces) = (helps(&engine, 1), traces(&engine));
        assert!(helps.is_empty() || helps == truth_helps, "flip at {at}: {helps:?}");
        assert!(traces.is_empty() || traces == truth_traces, "flip at {at}: {traces:?}");
        assert!(!helps.is_empty() || !traces.is_empty(), "flip at {at}: the rest is readable");
    }
}

#[tokio::test]
async fn exemplars_of_a_tenant_that_may_have_none_are_not_written() {
    let mut world = World::new();
    world.options.max_exemplars = 0;
    let (engine, _) = world.open();
    engine.append_batch(1, traced("x", &[(T0, "t")])).await.unwrap();
    let before = engine.stats();
    let again = engine.append_batch(1, traced("x", &[(T0, "another")])).await.unwrap();
    assert_eq!((again.accepted, again.exemplars), (1, 0));
    let after = engine.stats();
    assert_eq!((after.wal_bytes, after.syncs), (before.wal_bytes, before.syncs), "there is nothing new to write");
}
