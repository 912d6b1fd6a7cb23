//! The quick way of reading against the careful one, and files of which nobody remembers where things are.

use std::sync::atomic::AtomicI64;

use super::*;
use crate::labels::{Sample, stale_marker};
use crate::{Engine, Options};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000;

struct World {
    _dir: tempfile::TempDir,
    engine: Engine,
}

/// An engine that was given these samples of three series, and sealed what was over after each part.
fn world(parts: &[Vec<(u8, i64, f64)>]) -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(0));
    let told = clock.clone();
    let now = Arc::new(move || told.load(std::sync::atomic::Ordering::SeqCst));
    let options =
        Options { clock: now, accept_ahead_ms: i64::MAX / 4, accept_late_ms: i64::MAX / 4, ..Options::default() };
    let engine = Engine::open(dir.path(), options).unwrap().0;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (n, part) in parts.iter().enumerate() {
        clock.store(n as i64 * 9 * HOUR, std::sync::atomic::Ordering::SeqCst);
        let sample = |(series, at_ms, value): &(u8, i64, f64)| Sample {
            labels: Labels::metric("m", &[("host", &series.to_string())]).unwrap(),
            at_ms: *at_ms,
            value: *value,
        };
        runtime.block_on(engine.append(1, part.iter().map(sample).collect())).unwrap();
        engine.flush().unwrap();
    }
    World { _dir: dir, engine }
}

fn visited(engine: &Engine, wanted: Wanted) -> Vec<(Labels, Vec<Point>)> {
    let mut found = Vec::new();
    let done: Result<(), ()> = engine.store().visit(1, &[], wanted, None, &mut |one| {
        match one {
            Found::Points(labels, rows, _) => found.push((labels, rows.clone())),
            Found::Careful(data) => found.push((data.labels, data.points)),
        }
        Ok(())
    });
    done.unwrap();
    found
}

fn bits(points: &[Point]) -> Vec<(i64, u64)> {
    points.iter().map(|(at, value)| (*at, value.to_bits())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_quick_way_reads_what_the_careful_one_reads(
        parts in prop::collection::vec(
            prop::collection::vec((0_u8..3, 0..30 * HOUR, prop_oneof![(0_i32..50).prop_map(f64::from), any::<f64>(), Just(stale_marker())]), 1..120), 1..5),
        (from, length) in (-HOUR..30 * HOUR, 0..40 * HOUR),
    ) {
        let world = world(&parts);
        let (from_ms, to_ms) = (from, from + length);
        let careful = world.engine.select(1, &[], from_ms, to_ms).unwrap();
        let quick = visited(&world.engine, Wanted { from_ms, to_ms, newest: false });
        prop_assert_eq!(quick.len(), careful.len());
        for (a, b) in quick.iter().zip(&careful) {
            prop_assert_eq!(&a.0, &b.labels);
            prop_assert_eq!(bits(&a.1), bits(&b.points));
        }
        let newest = visited(&world.engine, Wanted { from_ms, to_ms, newest: true });
        prop_assert_eq!(newest.len(), careful.len());
        for (a, b) in newest.iter().zip(&careful) {
            prop_assert_eq!(bits(a.1.last().map(std::slice::from_ref).unwrap_or_default()), bits(&b.points[b.points.len() - 1..]));
        }
    }
}

#[test]
fn a_file_that_was_let_go_is_read_again_and_one_that_is_gone_is_told_of() {
    let samples = (0..600).map(|n| (u8::try_from(n % 3).unwrap(), i64::from(n) * 30_000, f64::from(n))).collect();
    let world = world(&[samples, vec![(0, 20 * HOUR, 1.0)]]);
    let wanted = Wanted { from_ms: i64::MIN, to_ms: 10 * HOUR, newest: false };
    let before = visited(&world.engine, wanted);
    assert_eq!(before.iter().map(|(_, points)| points.len()).sum::<usize>(), 600);
    let blocks = world.engine.store().blocks_in(i64::MIN, i64::MAX);
    assert!(!blocks.is_empty());
    let rest = || blocks.iter().for_each(|block| (0..2).for_each(|_| block.rest()));
    rest();
    assert_eq!(blocks.iter().map(|b| b.layout_bytes()).sum::<usize>(), 0, "nothing is remembered");
    assert_eq!(visited(&world.engine, wanted), before);
    assert!(blocks.iter().any(|b| b.layout_bytes() > 0), "what was asked for is remembered");
    blocks.iter().for_each(|block| block.rest());
    assert!(blocks.iter().any(|b| b.layout_bytes() > 0), "it stays as long as it is asked for");
    rest();
    std::fs::remove_file(&blocks[0].path).unwrap();
    let lost = world.engine.select(1, &[], i64::MIN, 10 * HOUR).unwrap();
    assert!(lost.iter().any(|series| !series.lost.is_empty()), "what cannot be read is named");
}

/// An engine with as many series as are divided, and queries that may read with so many threads.
fn many(query_threads: usize) -> World {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { clock: Arc::new(|| 8 * HOUR), accept_late_ms: i64::MAX / 4, query_threads, ..Options::default() };
    let engine = Engine::open(dir.path(), options).unwrap().0;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for hour in 0..8 {
        let sample = |n: i64| Sample {
            labels: Labels::metric("m", &[("host", &format!("{:03}", n / 12))]).unwrap(),
            at_ms: hour * HOUR + n % 12 * 300_000,
            value: (n * hour) as f64,
        };
        runtime.block_on(engine.append(1, (0..300 * 12).map(sample).collect())).unwrap();
        if hour == 3 {
            engine.flush().unwrap();
        }
    }
    World { _dir: dir, engine }
}

#[test]
fn more_threads_read_the_same_in_the_same_order() {
    let wanted = Wanted { from_ms: HOUR + 1, to_ms: 7 * HOUR, newest: false };
    let alone = many(1);
    let expected = visited(&alone.engine, wanted);
    assert_eq!((expected.len(), expected[7].1.len()), (300, 72));
    for threads in [2, 4, 16] {
        let world = many(threads);
        for _ in 0..20 {
            assert_eq!(visited(&world.engine, wanted), expected, "{threads}");
        }
    }
}

#[test]
fn who_wants_no_more_ends_those_who_read_ahead() {
    let world = many(4);
    let wanted = Wanted { from_ms: 0, to_ms: 8 * HOUR, newest: false };
    for after in [0, 1, 100, 299] {
        let mut seen = 0;
        let ended = world.engine.store().visit(1, &[], wanted, None, &mut |_| {
            seen += 1;
            if seen > after { Err("enough") } else { Ok(()) }
        });
        assert_eq!((ended, seen), (Err("enough"), after + 1));
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.engine.store().visit::<()>(1, &[], wanted, None, &mut |_| panic!("a fault of the query"))
    }));
    assert!(outcome.is_err(), "and it ends too when the query dies");
}

#[test]
fn only_what_is_worth_it_is_divided() {
    let reading = crate::busy::Busy::default();
    let parts = |series, wanted, cores| {
        super::ahead::divide(series, wanted, &reading.begin(), cores)
            .map(|division| (division.series, division.helpers))
    };
    let hour = Wanted { from_ms: 0, to_ms: HOUR, newest: false };
    assert_eq!(parts(1000, hour, 2), Some((62, 1)));
    assert_eq!(parts(100, hour, 8), Some((8, 2)), "a thread for every six stretches");
    assert_eq!(parts(20, hour, 8), None, "too few");
    assert_eq!(parts(1000, Wanted { newest: true, ..hour }, 8), None, "a point each is read at once");
    assert_eq!(parts(10_000, Wanted { to_ms: 24 * HOUR, ..hour }, 2), Some((3, 1)), "less of long series at once");
    assert_eq!(parts(1000, hour, 1), None, "one core");
    let other = reading.begin();
    assert_eq!((parts(1000, hour, 2), parts(1000, hour, 3)), (None, Some((62, 1))), "one core is taken");
    drop(other);
    assert_eq!(parts(1000, hour, 2), Some((62, 1)), "and given back");
}
