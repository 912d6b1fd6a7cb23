//! What is appended is read: the same points, by matcher, by tenant, by time, before and after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use series::{
    Engine, Labels, MatchOp, Matcher, Metrics, NAME, Options, Refusal, Sample, SeriesError, is_stale, stale_marker,
};

use crate::world::{HOUR, SECOND, T0, World, all, labels, points, put, sample};

type Model = BTreeMap<(u64, Labels), BTreeMap<i64, u64>>;

fn read_back(engine: &series::Engine) -> Model {
    let mut found = Model::new();
    for tenant in [1, 2] {
        for series in all(engine, tenant) {
            assert!(series.points.windows(2).all(|pair| pair[0].0 < pair[1].0), "rising in time");
            let bits = series.points.iter().map(|(t, v)| (*t, v.to_bits())).collect();
            found.insert((tenant, series.labels), bits);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_appended_is_read_before_and_after_a_restart_and_a_seal(
        batches in prop::collection::vec(
            prop::collection::vec((1_u64..3, 0_u8..4, 0_i64..6 * 3600, prop_oneof![any::<f64>(), Just(1.0)]), 1..40), 1..12),
        seal_after in prop::collection::vec(any::<bool>(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = World::new();
        world.now(T0 + 6 * HOUR);
        let mut model = Model::new();
        let (engine, _) = world.open();
        for (round, batch) in batches.iter().enumerate() {
            for tenant in [1, 2] {
                let mine = batch.iter().filter(|s| s.0 == tenant);
                let samples: Vec<_> = mine.map(|(_, host, at, v)| sample("m", &host.to_string(), T0 + at * SECOND, *v)).collect();
                let answer = runtime.block_on(put(&engine, tenant, samples.clone()));
                for (index, s) in samples.into_iter().enumerate() {
                    let points = model.entry((tenant, s.labels)).or_default();
                    let kept = *points.entry(s.at_ms).or_insert(s.value.to_bits());
                    // In a sealed window a second value is not told apart from a first; the first one stays all the same.
                    if kept == s.value.to_bits() {
                        prop_assert!(!answer.refused.iter().any(|r| r.index == index), "a new or repeated sample is taken");
                    }
                }
            }
            prop_assert_eq!(&read_back(&engine), &model);
            if seal_after[round % seal_after.len()] {
                world.now(T0 + 9 * HOUR + round as i64 * HOUR);
                engine.flush().unwrap();
                prop_assert_eq!(&read_back(&engine), &model);
            }
        }
        drop(engine);
        let (engine, recovery) = world.open();
        prop_assert_eq!(recovery.damaged, vec![]);
        prop_assert_eq!(read_back(&engine), model);
        prop_assert!(engine.verify().unwrap().is_clean());
    }
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let world = World::new();
    let (engine, _) = world.open();
    put(&engine, 1, vec![sample("secret", "a", T0, 1.0)]).await;
    put(&engine, 2, vec![sample("up", "b", T0, 2.0)]).await;
    assert_eq!(engine.series(2, &[]), [labels("up", "b")]);
    assert_eq!(engine.label_values(2, NAME, &[]), ["up"]);
    assert!(engine.select(2, &[Matcher::eq(NAME, "secret")], i64::MIN, i64::MAX).unwrap().is_empty());
    assert!(engine.latest(3, &[], HOUR).unwrap().is_empty());
}

#[tokio::test]
async fn a_window_of_time_includes_both_its_ends() {
    let world = World::new();
    let (engine, _) = world.open();
    world.now(T0 + HOUR);
    put(&engine, 1, (0..10).map(|i| sample("m", "a", T0 + i, i as f64)).collect()).await;
    let times = |from, to| {
        let found = engine.select(1, &[], from, to).unwrap();
        found.into_iter().flat_map(|s| s.points).map(|p| p.0 - T0).collect::<Vec<_>>()
    };
    assert_eq!(times(T0 + 3, T0 + 5), [3, 4, 5]);
    assert_eq!(times(T0 + 9, i64::MAX), [9]);
    assert!(times(T0 + 5, T0 + 3).is_empty(), "an empty stretch is no error");
}

#[tokio::test]
async fn matchers_and_the_latest_value_work_together() {
    let world = World::new();
    let (engine, _) = world.open();
    world.now(T0 + 60 * SECOND);
    put(&engine, 1, vec![sample("load", "a", T0, 1.0), sample("load", "a", T0 + 30 * SECOND, 2.0)]).await;
    put(&engine, 1, vec![sample("load", "b", T0, 5.0), sample("up", "b", T0 + SECOND, 1.0)]).await;
    put(&engine, 1, vec![sample("up", "b", T0 + 2 * SECOND, stale_marker())]).await;
    let load = Matcher::new(NAME, MatchOp::Re, "lo.*").unwrap();
    assert_eq!(engine.latest(1, std::slice::from_ref(&load), HOUR).unwrap().len(), 2);
    let young = engine.latest(1, &[load], 45 * SECOND).unwrap();
    assert_eq!(young, [(labels("load", "a"), (T0 + 30 * SECOND, 2.0))], "what is older than asked for is not news");
    assert!(
        engine.latest(1, &[Matcher::eq(NAME, "up")], HOUR).unwrap().is_empty(),
        "what has ended has no latest value"
    );
    let up = points(&engine, 1, "up");
    assert!(is_stale(up[1].1), "the marker itself is kept");
}

#[tokio::test]
async fn what_is_refused_is_named_and_the_rest_is_taken() {
    let mut world = World::new();
    world.options.max_series = 2;
    let (engine, _) = world.open();
    let late = world.options.accept_late_ms;
    put(&engine, 1, vec![sample("m", "a", T0 - SECOND, 1.0)]).await;
    let table = [
        (sample("m", "a", T0 - SECOND, 1.0), None, "a repeat is accepted"),
        (
            sample("m", "a", T0 - SECOND, 2.0),
            Some(Refusal::Conflict { at_ms: T0 - SECOND }),
            "a second value at one time",
        ),
        (sample("m", "a", T0 - late - 1, 1.0), Some(Refusal::TooOld { late_ms: 1, accept_late_ms: late }), "too old"),
        (sample("m", "a", T0 - late, 1.0), None, "just not too old"),
        (sample("m", "a", T0 + HOUR, 1.0), Some(Refusal::TooFarAhead { ahead_ms: HOUR }), "from the future"),
        (sample("m", "b", T0, 1.0), None, "the second series"),
        (sample("m", "b", T0, 1.0), None, "a repeat within one request"),
        (sample("m", "b", T0, 3.0), Some(Refusal::Conflict { at_ms: T0 }), "a conflict within one request"),
        (sample("m", "c", T0, 1.0), Some(Refusal::TooManySeries { limit: 2 }), "the third series"),
    ];
    let answer = put(&engine, 1, table.iter().map(|row| row.0.clone()).collect()).await;
    for (index, (_, expected, why)) in table.iter().enumerate() {
        let found = answer.refused.iter().find(|r| r.index == index).map(|r| r.reason.clone());
        assert_eq!(&found, expected, "{why}");
    }
    assert_eq!(answer.accepted + answer.refused.len(), table.len());
    assert_eq!(put(&engine, 2, vec![sample("m", "c", T0, 1.0)]).await.accepted, 1, "another tenant has its own limit");
    let stats = engine.stats();
    assert_eq!((stats.refused, stats.repeated), (5, 2));
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_as_a_whole() {
    let mut world = World::new();
    world.options.max_request_samples = 3;
    let (engine, _) = world.open();
    let four = (0..4).map(|i| sample("m", "a", T0 + i, 0.0)).collect();
    assert!(matches!(engine.append(1, four).await, Err(SeriesError::TooMany { given: 4, limit: 3 })));
    assert!(all(&engine, 1).is_empty());
}

#[tokio::test]
async fn a_second_engine_on_the_same_directory_is_refused() {
    let world = World::new();
    let (engine, _) = world.open();
    let second = series::Engine::open(world.dir.path(), world.options.clone());
    assert!(matches!(second, Err(SeriesError::Locked { .. })));
    drop(engine);
    world.open();
}

#[tokio::test]
async fn a_picture_of_a_day_keeps_its_spike() {
    let world = World::new();
    let (engine, _) = world.open();
    world.now(T0 + 24 * HOUR);
    let day = (0..17_280).map(|i| sample("m", "a", T0 + i * 5 * SECOND, if i == 9_999 { 100.0 } else { 1.0 }));
    put(&engine, 1, day.collect()).await;
    let found = engine.range(1, &[], T0, T0 + 24 * HOUR, 600).unwrap();
    assert!(found[0].points.len() <= 602, "{}", found[0].points.len());
    assert!(found[0].points.contains(&(T0 + 9_999 * 5 * SECOND, 100.0)));
}

#[tokio::test]
async fn series_as_json_are_the_series() {
    let dir = tempfile::tempdir().expect("it is there");
    let engine =
        Engine::open(dir.path(), Options { clock: Arc::new(|| 5_000), ..Options::default() }).expect("it is there").0;
    let sample = |name: &str, host: &str| Sample {
        labels: Labels::metric(name, &[("host", host), ("path", "C:\\ \"x\"\n")]).expect("it is there"),
        at_ms: 1_000,
        value: 1.0,
    };
    let all = ["b", "a", "c"].iter().flat_map(|host| [sample("up", host), sample("load", host)]).collect();
    engine.append(1, all).await.expect("it is there");
    let metrics: Arc<dyn Metrics> = Arc::new(Arc::new(engine));
    let set = |name: &str, value: &str| vec![Matcher::eq(name, value)];
    for (sets, most, expected) in [
        (vec![set(NAME, "up")], 0, 3),
        (vec![set(NAME, "up"), set("host", "a")], 0, 4),
        (vec![set(NAME, "up"), set("host", "a")], 2, 2),
        (Vec::new(), 6, 6),
        (vec![set(NAME, "none")], 0, 0),
    ] {
        let time = (0, 10_000);
        let (found, mut series) = (
            metrics.series_json(1, sets.clone(), time, most, b"").await.expect("it is there"),
            metrics.series(1, sets.clone(), time).await.expect("it is there"),
        );
        let cut = most > 0 && series.len() > most;
        series.truncate(if most == 0 { series.len() } else { most });
        let shown = |one: &Labels| one.iter().map(|(n, v)| (n.to_owned(), v.into())).collect::<serde_json::Map<_, _>>();
        let expected_json = serde_json::to_string(&series.iter().map(shown).collect::<Vec<_>>()).expect("it is there");
        let as_value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).expect("it is there");
        assert_eq!(as_value(&found.json), as_value(expected_json.as_bytes()), "{sets:?}");
        assert_eq!((series.len(), found.cut), (expected, cut), "{sets:?}");
    }
}
