//! Tiers: what they answer is what the samples would have answered, they say so, and they outlive the samples.

use series::formats::Batch;
use series::promql::{Answer, EngineSource, Limits, Query, Settings, Value};
use series::{Appended, Engine, Options, Refusal, Sample, Tier, stale_marker};

use crate::world::{HOUR, SECOND, T0, World, files, labels, put};

const MINUTE: i64 = 60 * SECOND;
const DAYS: i64 = 72 * HOUR;
const TEN_YEARS: i64 = 3_650 * 24 * HOUR;

fn tiers() -> Vec<Tier> {
    let tier = |interval_ms| Tier { interval_ms, after_ms: 0, retention_ms: TEN_YEARS };
    vec![tier(MINUTE), tier(10 * MINUTE)]
}

/// Three days, a sample every twenty seconds or so.
fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    let mut push = |host: &str, at_ms: i64, value: f64| {
        all.push(Sample { labels: labels("m_total", host), at_ms: T0 + at_ms, value });
    };
    for n in 0..DAYS / (20 * SECOND) {
        let at = n * 20 * SECOND;
        // A counter that is reset at odd times, and one that comes a little late each time.
        push("counter", at, ((n % 1_237) * 3 + n % 5) as f64);
        push("jitter", at + (n * 7_919) % 15_000, n as f64 * 0.25);
        push("gauge", at, ((n * 2_654_435_761) % 10_007) as f64 - 5_000.0);
        let lives = n / 300 % 3 != 1;
        if lives {
            push("sometimes", at, n as f64);
        } else if n % 300 == 0 {
            push("sometimes", at, stale_marker());
        }
    }
    all
}

fn options(tiers: Vec<Tier>, world: &World) -> Options {
    Options { tiers, accept_late_ms: DAYS + HOUR, ..world.options.clone() }
}

/// An engine that has the samples, at so long after the last of them, with everything made that is due.
async fn filled(tiers: Vec<Tier>, after_ms: i64) -> (World, Engine) {
    let mut world = World::new();
    world.options = options(tiers, &world);
    let engine = world.open().0;
    world.now(T0 + DAYS);
    for part in samples().chunks(50_000) {
        put(&engine, 1, part.to_vec()).await;
    }
    world.now(T0 + DAYS + after_ms);
    tend(&engine);
    (world, engine)
}

fn tend(engine: &Engine) {
    tokio::task::block_in_place(|| (0..40).for_each(|_| engine.flush().expect("the disk takes it")));
}

fn ask(engine: &Engine, text: &str, times: (i64, i64, i64)) -> Answer {
    let source = EngineSource { engine, tenant: 1 };
    let query = Query::parse(text).expect("a query");
    query.range(&source, times, &Settings::default(), &Limits::default()).expect("an answer")
}

fn close(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

fn assert_same(thinned: &Answer, raw: &Answer, why: &str) {
    let (Value::Matrix(thinned), Value::Matrix(raw)) = (&thinned.value, &raw.value) else { panic!("matrices") };
    assert_eq!(thinned.len(), raw.len(), "{why}: series");
    for (a, b) in thinned.iter().zip(raw) {
        assert_eq!(a.metric, b.metric, "{why}");
        assert_eq!(a.floats.len(), b.floats.len(), "{why}: {}", a.metric);
        for (x, y) in a.floats.iter().zip(b.floats.iter()) {
            assert!(x.0 == y.0 && close(x.1, y.1), "{why}: {}: {x:?} is not {y:?}", a.metric);
        }
    }
}

const FUNCTIONS: [&str; 11] = [
    "rate(m_total[RANGE])",
    "increase(m_total[RANGE])",
    "delta(m_total[RANGE])",
    "sum_over_time(m_total[RANGE])",
    "avg_over_time(m_total[RANGE])",
    "min_over_time(m_total[RANGE])",
    "max_over_time(m_total[RANGE])",
    "count_over_time(m_total[RANGE])",
    "sum(first_over_time(m_total[RANGE]))",
    "last_over_time(m_total[RANGE]) + present_over_time(m_total[RANGE])",
    "m_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tier_answers_is_what_the_samples_answer() {
    let (_raw_world, raw) = filled(Vec::new(), 10 * HOUR).await;
    let (start, end) = (T0.div_euclid(HOUR) * HOUR, T0 + DAYS);
    // All of it is in the tiers, or some of it, the rest being thinned on the way.
    for after in [200 * HOUR, 40 * HOUR] {
        let (_world, engine) = filled(tiers(), after).await;
        for (step, range, tier) in
            [(MINUTE, "5m", "60 s"), (10 * MINUTE, "10m", "600 s"), (HOUR, "3h", "600 s"), (HOUR, "15m", "60 s")]
        {
            for function in FUNCTIONS {
                let text = function.replace("RANGE", range);
                let from = if step == MINUTE { end - 40 * HOUR } else { start };
                let from = if after == 40 * HOUR && step == MINUTE { start + 12 * HOUR } else { from };
                let to = end.min(from + 10_000 * step);
                let (thinned, samples) = (ask(&engine, &text, (from, to, step)), ask(&raw, &text, (from, to, step)));
                let tier = if text == "m_total" && step >= 10 * MINUTE { "600 s" } else { tier };
                let told = thinned.infos.iter().any(|info| info.contains(&format!("the tier of {tier}")));
                assert!(told, "{text} every {step} says which tier it is of: {:?}", thinned.infos);
                assert!(samples.infos.iter().all(|info| !info.contains("tier")), "{:?}", samples.infos);
                assert_same(&thinned, &samples, &format!("{text} every {step} after {after}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tier_cannot_answer_is_read_from_samples() {
    let (_world, engine) = filled(tiers(), 200 * HOUR).await;
    let (start, end) = (T0 + HOUR, T0 + DAYS);
    let table = [
        ("rate(m_total[5m])", 20 * SECOND, "a step finer than any tier"),
        ("rate(m_total[90s])", HOUR, "a window that is not of whole intervals"),
        ("stddev_over_time(m_total[1h])", HOUR, "a function that needs every sample"),
        ("irate(m_total[1h])", HOUR, "a function of the last two samples"),
        ("timestamp(m_total)", HOUR, "the time of a sample"),
    ];
    for (text, step, why) in table {
        let answer = ask(&engine, text, (end - 10 * HOUR, end, step));
        assert!(answer.infos.iter().all(|info| !info.contains("tier")), "{why}: {:?}", answer.infos);
        assert!(matches!(&answer.value, Value::Matrix(series) if !series.is_empty()), "{why}");
    }
    // Between two full intervals the answer is that of the earlier one.
    let at = |from: i64| ask(&engine, "rate(m_total[10m])", (from, from + 20 * HOUR, 10 * MINUTE));
    let aligned = (start + HOUR).div_euclid(HOUR) * HOUR;
    let (Value::Matrix(full), Value::Matrix(later)) = (at(aligned).value, at(aligned + 7 * SECOND).value) else {
        panic!("matrices")
    };
    let values = |series: &[series::promql::MatrixSeries]| -> Vec<u64> {
        series.iter().flat_map(|s| s.floats.iter().map(|(_, value)| value.to_bits())).collect()
    };
    assert_eq!(values(&full), values(&later));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_outlives_the_samples_a_restart_and_a_copy() {
    let (mut world, engine) = filled(tiers(), 200 * HOUR).await;
    let times = (T0 + HOUR, T0 + 20 * HOUR, HOUR);
    let before = ask(&engine, "increase(m_total[1h])", times);
    assert!(engine.verify().expect("it can be checked").is_clean());
    drop(engine);
    world.options.retention_ms = 10 * HOUR;
    let (engine, recovery) = world.open();
    assert_eq!(recovery.damaged, []);
    tend(&engine);
    assert!(engine.select(1, &[], T0, T0 + 40 * HOUR).expect("a read").is_empty(), "the samples are gone");
    assert_same(&ask(&engine, "increase(m_total[1h])", times), &before, "without samples");
    assert_eq!(engine.series(1, &[]).len(), 4, "the series are known as long as a tier has them");
    let copy = tempfile::tempdir().expect("a temporary folder");
    engine.snapshot_to(copy.path()).expect("a copy");
    let (copied, recovery) = world.open_copy(copy.path());
    assert_eq!(recovery.damaged, []);
    assert_same(&ask(&copied, "increase(m_total[1h])", times), &before, "of the copy");
    drop((engine, copied));
    for tier in &mut world.options.tiers {
        tier.retention_ms = HOUR;
    }
    let engine = world.open().0;
    tend(&engine);
    let Value::Matrix(none) = ask(&engine, "increase(m_total[1h])", times).value else { panic!("a matrix") };
    assert!(none.is_empty(), "a tier ends with its own retention");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_tier_is_told_of_and_read_from_samples() {
    let (world, engine) = filled(tiers(), 200 * HOUR).await;
    let times = (T0 + HOUR, T0 + 20 * HOUR, HOUR);
    let before = ask(&engine, "sum_over_time(m_total[1h])", times);
    drop(engine);
    for file in files(&world.dir.path().join("tiers/600000/sum")) {
        let mut bytes = std::fs::read(&file).expect("a file");
        for place in 100..bytes.len() / 2 {
            bytes[place] ^= 0x55;
        }
        std::fs::write(&file, bytes).expect("written");
    }
    let engine = world.open().0;
    let damaged = engine.verify().expect("it can be checked").damaged;
    assert!(!damaged.is_empty(), "a check finds it");
    assert_same(&ask(&engine, "sum_over_time(m_total[1h])", times), &before, "from the samples");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_was_not_finished_is_made_anew() {
    let (world, engine) = filled(tiers(), 200 * HOUR).await;
    let times = (T0 + HOUR, T0 + 20 * HOUR, HOUR);
    let before = ask(&engine, "rate(m_total[1h])", times);
    drop(engine);
    // As a kill leaves it: the counts, which come last, are not there, nor is some column.
    for file in files(&world.dir.path().join("tiers/600000/count")) {
        std::fs::remove_file(file).expect("removed");
    }
    std::fs::remove_file(&files(&world.dir.path().join("tiers/60000/min"))[0]).expect("removed");
    std::fs::write(world.dir.path().join("tiers/600000/min/17.1.part"), b"half").expect("written");
    let (engine, recovery) = world.open();
    assert_eq!(recovery.damaged, []);
    tend(&engine);
    assert!(engine.verify().expect("it can be checked").is_clean());
    let after = ask(&engine, "rate(m_total[1h])", times);
    assert!(after.infos.iter().any(|info| info.contains("the tier of 600 s")), "{:?}", after.infos);
    assert_same(&after, &before, "made anew");
}

/// Samples that come years later: of a series that nobody knew, and between those of one that is there.
fn brought() -> Batch {
    let mut batch = Batch::default();
    for (host, from, step) in [("brought", 20 * HOUR, 7 * SECOND), ("gauge", 30 * HOUR + 1, 60 * SECOND)] {
        batch.begin_series(&labels("m_total", host)).expect("it is taken");
        for n in 0..3_000 {
            batch.point(T0 + from + n * step, (n % 97) as f64).expect("it is taken");
        }
    }
    batch
}

fn import(engine: &Engine, batch: Batch) -> Appended {
    tokio::task::block_in_place(|| engine.import(1, batch)).expect("the disk takes it")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_into_a_thinned_out_time_is_in_its_answers() {
    let (_raw_world, raw) = filled(Vec::new(), 200 * HOUR).await;
    let (world, engine) = filled(tiers(), 200 * HOUR).await;
    for engine in [&raw, &engine] {
        assert_eq!(import(engine, brought()).accepted, 6_000);
    }
    let (start, end) = (T0.div_euclid(HOUR) * HOUR, T0 + DAYS);
    let same = |engine: &Engine, tier: &str, why: &str| {
        for function in FUNCTIONS {
            let text = function.replace("RANGE", "1h");
            let times = (start + HOUR, end, HOUR);
            let thinned = ask(engine, &text, times);
            assert!(thinned.infos.iter().any(|info| info.contains(tier)), "{why}: {text}");
            assert_same(&thinned, &ask(&raw, &text, times), &format!("{why}: {text}"));
        }
    };
    // Some periods of the finer tier are not touched, so that a tier answers throughout.
    same(&engine, "the tier of 60 s", "at once");
    let copy = world.dir.path().join("copy");
    engine.snapshot_to(&copy).expect("a copy");
    tend(&engine);
    same(&engine, "the tier of 600 s", "made anew");
    assert!(engine.verify().expect("it can be checked").is_clean());
    assert_eq!(import(&engine, brought()).accepted, 6_000, "a repeat changes nothing");
    same(&engine, "the tier of 600 s", "sent again");
    drop(engine);
    for dir in [world.dir.path(), &copy] {
        let (engine, recovery) = world.open_copy(dir);
        assert_eq!(recovery.damaged, []);
        same(&engine, "the tier of", "after a restart");
        tend(&engine);
        same(&engine, "the tier of 600 s", "and after what is due");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_added_to_a_thinned_out_time_is_refused_with_the_period() {
    let (mut world, engine) = filled(tiers(), 200 * HOUR).await;
    let times = (T0 + HOUR, T0 + DAYS, HOUR);
    drop(engine);
    // The samples of the first day and a half go, and would be welcome again later.
    world.options.retention_ms = 38 * HOUR;
    let engine = world.open().0;
    tend(&engine);
    drop(engine);
    world.options.retention_ms = 1_000 * HOUR;
    let engine = world.open().0;
    let before = ask(&engine, "sum_over_time(m_total[1h])", times);
    let gone = engine.select(1, &[], T0, T0 + 32 * HOUR - 1).expect("a read").is_empty();
    assert!(gone, "the samples of that time are gone");
    let answer = import(&engine, brought());
    let periods: std::collections::BTreeSet<_> = answer
        .refused
        .iter()
        .map(|refused| match &refused.reason {
            Refusal::Thinned { from_ms, to_ms } => (*from_ms, *to_ms),
            other => panic!("{other}"),
        })
        .collect();
    assert!(
        !periods.is_empty() && periods.iter().all(|(from, to)| to - from == 48 * HOUR || to - from == 48 * 6 * MINUTE)
    );
    assert_eq!(answer.accepted + answer.refused.len(), 6_000, "each is stored or told of");
    assert!(answer.accepted > 2_000, "where the samples are all there, more may come");
    assert_eq!(engine.stats().refused_by.thinned, answer.refused.len() as u64);
    tend(&engine);
    let after = ask(&engine, "sum_over_time(m_total{host!=\"brought\"}[1h])", times);
    let until = T0 + 34 * HOUR;
    let (Value::Matrix(before), Value::Matrix(after)) = (before.value, after.value) else { panic!("matrices") };
    for (a, b) in before.iter().zip(&after) {
        let early = |s: &series::promql::MatrixSeries| s.floats.iter().take_while(|p| p.0 < until).collect::<Vec<_>>();
        assert_eq!((&a.metric, early(a)), (&b.metric, early(b)), "what was thinned out is as it was");
    }
    let (_raw_world, raw) = filled(Vec::new(), 200 * HOUR).await;
    assert_eq!(import(&raw, brought()).accepted, 6_000);
    let (text, later) = ("sum_over_time(m_total{host=\"gauge\"}[1h])", (until + HOUR, T0 + DAYS, HOUR));
    assert_same(&ask(&engine, text, later), &ask(&raw, text, later), "what was added is there");
}

/// One sample at a time that is thinned out.
fn one_more(at_ms: i64) -> Batch {
    let mut batch = Batch::default();
    batch.begin_series(&labels("m_total", "one more")).expect("it is taken");
    batch.point(at_ms, 1.0).expect("it is taken");
    batch
}

/// Bytes of the sealed files that begin before a time.
fn bytes_before(world: &World, at_ms: i64) -> u64 {
    let start = |file: &std::path::Path| -> i64 {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        name.split('.').next().and_then(|start| start.parse().ok()).expect("it begins with its start")
    };
    let older = world.block_files().into_iter().filter(|file| start(file) < at_ms);
    older.map(|file| std::fs::metadata(file).expect("a file").len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_of_a_day_goes_at_once_so_that_nothing_thinned_out_is_made_of_a_part_of_it() {
    let (mut world, engine) = filled(vec![tiers()[0]], 200 * HOUR).await;
    // Files of all of a day, beside those of two hours.
    assert_eq!(import(&engine, brought()).accepted, 6_000);
    tend(&engine);
    let times = (T0 + HOUR, T0 + DAYS, HOUR);
    let before = ask(&engine, "sum_over_time(m_total[1h])", times);
    let bytes = engine.stats().block_bytes;
    drop(engine);
    // Days begin at midnight, which is ten hours on. The first day has to go, and a byte more.
    let (second, third) = (T0 + 10 * HOUR, T0 + 34 * HOUR);
    world.options.retention_bytes = bytes - bytes_before(&world, second) - 1;
    let engine = world.open().0;
    tend(&engine);
    let left = engine.select(1, &[], second, third - 1).expect("a read");
    assert!(left.is_empty(), "nothing of the day is left, when any of it had to go");
    assert_eq!(engine.select(1, &[], third, third + HOUR).expect("a read").len(), 4, "and all of the next is");
    let answer = import(&engine, one_more(second + HOUR));
    assert!(matches!(answer.refused[0].reason, Refusal::Thinned { .. }), "{answer:?}");
    tend(&engine);
    assert_same(&ask(&engine, "sum_over_time(m_total[1h])", times), &before, "it is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_whose_first_samples_are_gone_is_not_made_anew_of_the_others() {
    // Intervals of seven hours begin in the middle of files.
    let tier = Tier { interval_ms: 7 * HOUR, after_ms: 0, retention_ms: TEN_YEARS };
    let (mut world, engine) = filled(vec![tier], 2_400 * HOUR).await;
    let times = (T0 + 7 * HOUR, T0 + DAYS, 7 * HOUR);
    let before = ask(&engine, "count_over_time(m_total[7h])", times);
    assert!(before.infos.iter().any(|info| info.contains("the tier of 25200 s")), "{:?}", before.infos);
    let bytes = engine.stats().block_bytes;
    drop(engine);
    world.options.retention_bytes = bytes - 1;
    let engine = world.open().0;
    tend(&engine);
    assert!(engine.select(1, &[], T0, T0 + 2 * HOUR - 1).expect("a read").is_empty(), "the first file is gone");
    let answer = import(&engine, one_more(T0 + 40 * HOUR));
    assert!(matches!(answer.refused[..], [series::Refused { reason: Refusal::Thinned { .. }, .. }]), "{answer:?}");
    tend(&engine);
    assert_same(&ask(&engine, "count_over_time(m_total[7h])", times), &before, "it is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_waits_for_its_own_periods_and_for_no_others() {
    let (mut world, engine) = filled(Vec::new(), 200 * HOUR).await;
    let (before, start) = (world.block_files().len(), T0.div_euclid(HOUR) * HOUR);
    let ask_it =
        |engine: &Engine| ask(engine, "max_over_time(m_total[5m])", (start + HOUR, start + 2 * HOUR, 5 * MINUTE));
    let truth = ask_it(&engine);
    drop(engine);
    // A tier is new, so that all of its sixteen periods are due, and the first file is too old.
    world.options.tiers = vec![tiers()[0]];
    world.options.retention_ms = DAYS - 3 * HOUR;
    let engine = world.open().0;
    let made = || files(&world.dir.path().join("tiers/60000/count")).len();
    // A period a look.
    tokio::task::block_in_place(|| (0..3).for_each(|_| engine.flush().expect("the disk takes it")));
    assert_eq!((world.block_files().len(), made()), (before - 1, 3), "two periods have some of the file");
    let answer = ask_it(&engine);
    assert!(answer.infos.iter().any(|info| info.contains("the tier of 60 s")), "{:?}", answer.infos);
    assert_same(&answer, &truth, "what is gone was thinned out before");
    tend(&engine);
    assert!(made() > 12, "the others are made as well");
}
