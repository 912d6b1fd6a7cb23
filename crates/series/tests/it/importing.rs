//! Samples of long ago, brought from elsewhere.

use std::sync::Arc;

use series::formats::Batch;
use series::{Appended, Engine, Histogram, Refusal};

use crate::world::{HOUR, SECOND, T0, World, all, labels, points, put, sample};

const DAY: i64 = 24 * HOUR;

async fn import(engine: &Arc<Engine>, batch: Batch) -> Appended {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.import(1, batch)).await.expect("it ends").expect("the disk takes it")
}

fn batch(name: &str, host: &str, points: &[(i64, f64)]) -> Batch {
    let mut batch = Batch::default();
    batch.begin_series(&labels(name, host)).expect("it is taken");
    points.iter().for_each(|(at, value)| batch.point(*at, *value).expect("it is taken"));
    batch
}

#[tokio::test]
async fn a_year_goes_into_files_by_day_and_outlives_restart_and_compaction() {
    let mut world = World::new();
    world.options.compact_after_ms = HOUR;
    world.now(T0 + 300 * DAY);
    let engine = Arc::new(world.open().0);
    let expected: Vec<(i64, f64)> = (0..300).map(|d| (T0 + d * DAY + HOUR, d as f64)).collect();
    let mut shuffled = expected.clone();
    shuffled.sort_by_key(|(at, _)| at.wrapping_mul(0x9e37_79b9) % 7_919);
    assert_eq!(import(&engine, batch("m", "a", &shuffled)).await.accepted, 300);
    assert_eq!((points(&engine, 1, "m"), engine.stats().head_samples), (expected.clone(), 0));
    let again = import(&engine, batch("m", "a", &expected)).await;
    assert_eq!(
        (again.accepted, engine.stats().repeated, engine.stats().blocks),
        (300, 300, 300),
        "a repeat makes no file"
    );
    let mut native = Batch::default();
    native.begin_series(&labels("n", "a")).unwrap();
    native.histogram(T0 + HOUR, Histogram { count: 2.0, zero_count: 2.0, ..Histogram::default() }).unwrap();
    assert_eq!(import(&engine, native).await.accepted, 1);
    assert_eq!(engine.stats().blocks, 301);
    for _ in 0..2 {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || engine.flush()).await.unwrap().unwrap();
    }
    assert_eq!(engine.stats().blocks, 300, "the files of a day become one");
    assert!(engine.verify().unwrap().is_clean());
    drop(engine);
    let (engine, recovery) = world.open();
    assert_eq!((points(&engine, 1, "m"), recovery.damaged), (expected, vec![]));
    assert_eq!(all(&engine, 1)[1].histograms.len(), 1);
}

#[tokio::test]
async fn what_is_stored_stays_and_what_is_wrong_is_told() {
    let mut world = World::new();
    world.options.retention_ms = 10 * DAY;
    world.now(T0 + HOUR);
    let engine = Arc::new(world.open().0);
    put(&engine, 1, vec![sample("m", "a", T0, 1.0)]).await;
    let sent = [
        (T0, 1.0),
        (T0, 2.0),
        (T0 - DAY, 3.0),
        (T0 - DAY, 4.0),
        (T0 - 11 * DAY, 5.0),
        (T0 + 2 * HOUR, 6.0),
        (T0 + SECOND, 7.0),
    ];
    let mut batch = batch("m", "a", &sent);
    batch.histogram(T0 - DAY, Histogram::default()).unwrap();
    batch.histogram(T0, Histogram { schema: 99, ..Histogram::default() }).unwrap();
    let answer = import(&engine, batch).await;
    assert_eq!(answer.accepted, 3);
    let refused: Vec<_> = answer.refused.iter().map(|r| (r.index, r.reason.clone())).collect();
    assert!(
        matches!(
            refused.as_slice(),
            [
                (1, Refusal::Conflict { .. }),
                (3, Refusal::Conflict { .. }),
                (4, Refusal::TooOld { .. }),
                (5, Refusal::TooFarAhead { .. }),
                (7, Refusal::Conflict { .. }),
                (8, Refusal::Histogram { .. }),
            ]
        ),
        "{refused:?}"
    );
    let expected = [(T0 - DAY, 3.0), (T0, 1.0), (T0 + SECOND, 7.0)];
    assert_eq!(points(&engine, 1, "m"), expected);
    world.now(T0 + 3 * HOUR);
    let sealing = engine.clone();
    tokio::task::spawn_blocking(move || sealing.flush()).await.unwrap().unwrap();
    assert_eq!((points(&engine, 1, "m"), engine.stats().head_samples), (expected.to_vec(), 0));
    drop(engine);
    assert_eq!(points(&world.open().0, 1, "m"), expected);
}
