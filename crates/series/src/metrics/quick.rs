//! Small questions, answered on the thread where they are asked: to wake another and to be woken by it takes longer than they do.
//!
//! It must never hold up those who share the thread. Whatever means more than a few series or samples, takes more than some
//! milliseconds or fails is given up, and asked again where it has a thread of its own; and only on half of the cores is anything
//! read so at a time, so that a disk that stands still leaves the others. Names, values and series are told from memory, on any of them.

use crate::busy::OneBusy;
use crate::engine::Engine;
use crate::error::SeriesError;
use crate::matcher::{MatchOp, Matcher};
use crate::metrics::{SeriesList, Span};
use crate::promql::{
    Answer, Each, EachThinned, EngineSource, Limits, Query, QueryError, Select, Selected, Settings, Source, Told,
};

/// Series of one selector.
const FEW_SERIES: i64 = 64;
/// Samples of a query, of which a selector may be expected to read so many.
const FEW_SAMPLES: i64 = 20_000;
/// Sealed files that are read.
pub(crate) const FEW_FILES: usize = 4;
/// How far samples are taken to be apart at least.
const INTERVAL_MS: i64 = 10_000;
/// How long it may take, in milliseconds of the query's clock.
const SOON_MS: i64 = 5;

/// A place on one of half the cores.
fn place(engine: &Engine) -> Option<OneBusy<'_>> {
    engine.answering().begin_within((engine.cores() / 2).max(1))
}

/// The moments that a query is asked about.
#[derive(Clone, Copy)]
pub(super) enum When {
    At(i64),
    Range((i64, i64, i64)),
}

impl When {
    /// The answer of an engine.
    pub(super) fn ask(self, query: &Query, source: &dyn Source, limits: &Limits) -> Result<Answer, QueryError> {
        match self {
            Self::At(at_ms) => query.instant(source, at_ms, &Settings::default(), limits),
            Self::Range(times) => query.range(source, times, &Settings::default(), limits),
        }
    }
}

/// The answer, when the question is a small one.
pub(super) fn answered(engine: &Engine, tenant: u64, query: &Query, when: When, limits: &Limits) -> Option<Answer> {
    // What a counted query costs is told once.
    if limits.tally.is_some() || !query.expr().selectors().iter().all(|s| by_value(&s.matchers)) {
        return None;
    }
    let _place = place(engine)?;
    let soon = (limits.clock)().saturating_add(SOON_MS);
    let limits = Limits {
        max_samples: limits.max_samples.min(FEW_SAMPLES.unsigned_abs()),
        deadline_ms: Some(limits.deadline_ms.map_or(soon, |deadline| deadline.min(soon))),
        ..limits.clone()
    };
    when.ask(query, &Small(EngineSource { engine, tenant }), &limits).ok()
}

/// Whether none of them is an expression, which is tried on as many values as there are.
fn by_value(matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matches!(matcher.op(), MatchOp::Eq | MatchOp::Ne))
}

/// The series that one set of matchers means in a time, as JSON, when they are few and soon known. No place is taken for them,
/// nor for names and values: they are looked up in memory alone, where no disk can stand still.
pub(super) fn series_json(
    engine: &Engine,
    tenant: u64,
    sets: &[Vec<Matcher>],
    time: Span,
    most: usize,
    beginning: &[u8],
) -> Option<SeriesList> {
    match sets {
        [set] if by_value(set) => engine.few_series_json(tenant, set, time, most, beginning),
        _ => None,
    }
}

/// The label names of all series of a time, when they are few and soon known.
pub(super) fn label_names(engine: &Engine, tenant: u64, sets: &[Vec<Matcher>], time: Span) -> Option<Vec<String>> {
    if sets.is_empty() { engine.few_label_names(tenant, time) } else { None }
}

/// The values of one of their labels, when they are few and soon known.
pub(super) fn label_values(
    engine: &Engine,
    tenant: u64,
    name: &str,
    sets: &[Vec<Matcher>],
    time: Span,
) -> Option<Vec<String>> {
    if sets.is_empty() { engine.few_label_values(tenant, name, time) } else { None }
}

/// An engine that gives up where a selector means more than a little.
struct Small<'a>(EngineSource<'a>);

impl Small<'_> {
    fn check(&self, what: &Select<'_>) -> Result<(), QueryError> {
        let given_up = Err(QueryError::TooManySamples { limit: FEW_SAMPLES.unsigned_abs() });
        // A time that ends before it begins holds nothing.
        let each = what.to_ms.saturating_sub(what.from_ms).max(0) / INTERVAL_MS + 1;
        let most = FEW_SERIES.min(FEW_SAMPLES / each);
        let EngineSource { engine, tenant } = self.0;
        if engine.may_thin(what.step_ms) || !engine.is_at_hand((what.from_ms, what.to_ms), FEW_FILES) {
            return given_up;
        }
        if engine.means_few(tenant, what.matchers, most.unsigned_abs() as usize) { Ok(()) } else { given_up }
    }
}

impl Source for Small<'_> {
    fn select(&self, what: &Select<'_>) -> Result<Selected, SeriesError> {
        self.0.select(what)
    }

    fn visit(&self, what: &Select<'_>, each: &mut Each<'_>) -> Result<Told, QueryError> {
        self.check(what)?;
        self.0.visit(what, each)
    }

    fn thinned(&self, what: &Select<'_>, ends: &[i64], each: &mut EachThinned<'_>) -> Result<Option<Told>, QueryError> {
        self.check(what)?;
        self.0.thinned(what, ends, each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{Labels, Sample};
    use crate::{MetricsError, Options};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    const MINUTE: i64 = 60_000;

    /// A hundred series of two hours, a sample a minute.
    async fn engine() -> (tempfile::TempDir, Arc<Engine>) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { clock: Arc::new(|| 120 * MINUTE), query_threads: 4, ..Options::default() };
        let engine = Engine::open(dir.path(), options).unwrap().0;
        let sample = |n: i64| Sample {
            labels: Labels::metric("m", &[("host", &(n / 120).to_string()), ("even", &(n / 120 % 2).to_string())])
                .unwrap(),
            at_ms: n % 120 * MINUTE,
            value: n as f64,
        };
        engine.append(1, (0..100 * 120).map(sample).collect()).await.unwrap();
        (dir, Arc::new(engine))
    }

    fn limits() -> Limits {
        Limits { clock: Arc::new(|| 0), ..Limits::default() }
    }

    #[tokio::test]
    async fn few_series_are_answered_on_the_spot_and_alike() {
        let (_dir, engine) = engine().await;
        let range = When::Range((70 * MINUTE, 100 * MINUTE, MINUTE));
        for (text, when, quick) in [
            ("1 + 1", When::At(0), true),
            ("m{host='7'}", When::At(100 * MINUTE), true),
            ("m{host='7'}", range, true),
            ("sum(rate(m{even='1'}[10m]))", range, true),
            ("m{host!='7',even='1'}", When::At(100 * MINUTE), true),
            ("nothing", When::At(100 * MINUTE), true),
            ("m", When::At(100 * MINUTE), false),
            ("sum(m)", When::At(100 * MINUTE), false),
            ("m{host=~'7'}", When::At(100 * MINUTE), false),
            ("{host!='7',even!=''}", When::At(100 * MINUTE), false),
            ("sum_over_time(m{even='1'}[99d])", When::At(100 * MINUTE), false),
            ("m{host='7'} / on(even) m{even='1'}", When::At(100 * MINUTE), false),
        ] {
            let query = Query::parse(text).unwrap();
            let source = EngineSource { engine: &engine, tenant: 1 };
            let expected = when.ask(&query, &source, &limits());
            let answer = answered(&engine, 1, &query, when, &limits());
            assert_eq!(answer.is_some(), quick, "{text}");
            if let Some(answer) = answer {
                assert_eq!(answer.value, expected.unwrap().value, "{text}");
            }
        }
    }

    #[tokio::test]
    async fn what_takes_too_much_or_is_counted_or_finds_no_place_is_asked_elsewhere() {
        let (_dir, engine) = engine().await;
        let range = When::Range((70 * MINUTE, 100 * MINUTE, MINUTE));
        let query = Query::parse("m{even='1'}").unwrap();
        assert!(answered(&engine, 1, &query, range, &limits()).is_some());
        let few = Limits { max_samples: 1000, ..limits() };
        assert!(answered(&engine, 1, &query, range, &few).is_none(), "the query's own limit still holds");
        let counted = Limits { tally: Some(crate::promql::Tally::default()), ..limits() };
        assert!(answered(&engine, 1, &query, range, &counted).is_none());
        let told = Arc::new(std::sync::atomic::AtomicI64::new(0));
        let slow = Limits { clock: Arc::new(move || told.fetch_add(1 + SOON_MS, Relaxed)), ..limits() };
        assert!(answered(&engine, 1, &query, range, &slow).is_none(), "it took too long");
        let taken = [engine.answering().begin_within(2), engine.answering().begin_within(2)];
        assert!(taken.iter().all(Option::is_some) && engine.answering().begin_within(2).is_none());
        assert!(answered(&engine, 1, &query, range, &limits()).is_none(), "half the cores answer already");
        drop(taken);
        assert!(answered(&engine, 1, &query, range, &limits()).is_some());
    }

    #[tokio::test]
    async fn a_time_that_ends_before_it_begins_holds_nothing() {
        let (_dir, engine) = engine().await;
        let matchers = [Matcher::eq("host", "7")];
        for before in [1, 9_999, 10_000, 19_999, i64::MAX] {
            let what = Select {
                matchers: &matchers,
                from_ms: 50 * MINUTE,
                to_ms: (50 * MINUTE).saturating_sub(before),
                step_ms: 0,
                range_ms: 0,
                function: None,
                newest: false,
                most_samples: 1000,
                along: None,
            };
            let small = Small(EngineSource { engine: &engine, tenant: 1 });
            small.visit(&what, &mut |_| panic!("it holds a sample")).unwrap();
        }
    }

    #[tokio::test]
    async fn few_series_are_listed_on_the_spot_and_alike() {
        let (_dir, engine) = engine().await;
        let long = |n: i64| Sample {
            labels: Labels::metric("long", &[("n", &n.to_string()), ("text", &"x".repeat(2000))]).unwrap(),
            at_ms: n * MINUTE,
            value: 1.0,
        };
        engine.append(1, (0..110).map(long).collect()).await.unwrap();
        let many = |n: i64| Sample {
            labels: Labels::metric("many", &[("n", &n.to_string())]).unwrap(),
            at_ms: MINUTE,
            value: 1.0,
        };
        engine.append(1, (0..1_001).map(many).collect()).await.unwrap();
        let name = |name: &str| Matcher::eq("__name__", name);
        let expression = Matcher::new("host", MatchOp::Re, "7").unwrap();
        for (set, time, quick) in [
            (vec![name("m")], (0, 120 * MINUTE), true),
            (vec![name("m"), Matcher::eq("even", "1")], (0, 120 * MINUTE), true),
            (vec![name("m")], (300 * MINUTE, 400 * MINUTE), true),
            (vec![name("nothing")], (0, 120 * MINUTE), true),
            (vec![name("long")], (0, 120 * MINUTE), true),
            (vec![name("many")], (0, 120 * MINUTE), false),
            (vec![name("m"), expression], (0, 120 * MINUTE), false),
        ] {
            for most in [0, 7] {
                let list = series_json(&engine, 1, std::slice::from_ref(&set), time, most, b"behind ");
                assert_eq!(list.is_some(), quick, "{set:?} {time:?}");
                let expected = engine.series_json(1, &[&set], time, most, b"behind ");
                assert!(list.is_none_or(|list| list == expected), "{set:?} {time:?} {most}");
            }
        }
        engine.append(1, (200..230).map(|n| Sample { at_ms: MINUTE, ..long(n) }).collect()).await.unwrap();
        assert!(series_json(&engine, 1, &[vec![name("long")]], (0, 120 * MINUTE), 0, b"").is_none(), "it is long");
        assert!(
            series_json(&engine, 1, &[vec![name("m")], vec![name("n")]], (0, MINUTE), 0, b"").is_none(),
            "two sets"
        );
    }

    #[tokio::test]
    async fn few_names_and_values_are_told_on_the_spot_and_alike() {
        let (_dir, engine) = engine().await;
        for time in [(0, 120 * MINUTE), (10 * MINUTE, 20 * MINUTE), (300 * MINUTE, 400 * MINUTE)] {
            assert_eq!(label_names(&engine, 1, &[], time), Some(engine.label_names_in(1, &[], time)), "{time:?}");
            for name in ["host", "even", "nothing"] {
                let values = engine.label_values_in(1, name, &[], time);
                assert_eq!(label_values(&engine, 1, name, &[], time), Some(values), "{name} {time:?}");
            }
        }
        assert!(label_values(&engine, 1, "host", &[vec![Matcher::eq("even", "1")]], (0, MINUTE)).is_none());
        let sample = |n: i64| Sample {
            labels: Labels::metric("many", &[("n", &n.to_string()), ("few", &(n % 7).to_string())]).unwrap(),
            at_ms: 110 * MINUTE,
            value: 1.0,
        };
        engine.append(1, (0..6000).map(sample).collect()).await.unwrap();
        let time = (105 * MINUTE, 120 * MINUTE);
        assert!(label_values(&engine, 1, "n", &[], time).is_none(), "they are many");
        assert_eq!(label_values(&engine, 1, "few", &[], time).map(|all| all.len()), Some(7));
        let later = (300 * MINUTE, 400 * MINUTE);
        assert_eq!(label_values(&engine, 1, "few", &[], later), Some(Vec::new()), "nothing is of that time");
        let other = Sample { labels: Labels::metric("other", &[]).unwrap(), at_ms: 121 * MINUTE, value: 1.0 };
        engine.append(1, vec![other]).await.unwrap();
        let next = (121 * MINUTE, 122 * MINUTE);
        assert!(label_values(&engine, 1, "few", &[], next).is_none(), "all must be looked at");
    }

    #[tokio::test]
    async fn a_file_that_must_be_looked_through_first_is_read_elsewhere() {
        let (dir, engine) = engine().await;
        drop(Arc::into_inner(engine));
        let clock = Arc::new(std::sync::atomic::AtomicI64::new(480 * MINUTE));
        let told = clock.clone();
        let options = Options { clock: Arc::new(move || told.load(Relaxed)), query_threads: 4, ..Options::default() };
        let engine = Arc::new(Engine::open(dir.path(), options).unwrap().0);
        clock.fetch_add(60 * MINUTE, Relaxed);
        engine.flush().unwrap();
        let files: Vec<_> = engine.store().blocks.read().values().cloned().collect();
        assert!(!files.is_empty(), "it is sealed");
        files.iter().for_each(|file| [file.rest(), file.rest()].into_iter().collect());
        let query = Query::parse("m{host='7'}").unwrap();
        assert!(answered(&engine, 1, &query, When::At(100 * MINUTE), &limits()).is_none());
        let beside = crate::Metrics::instant(&engine, 1, query.clone(), 100 * MINUTE, limits()).await.unwrap();
        let quick = answered(&engine, 1, &query, When::At(100 * MINUTE), &limits()).expect("it is known by now");
        assert_eq!(quick.value, beside.value);
        let steps = When::Range((70 * MINUTE, 100 * MINUTE, 5 * MINUTE));
        assert!(answered(&engine, 1, &query, steps, &limits()).is_none(), "thinned-out samples may answer that");
    }

    #[tokio::test]
    async fn a_limit_is_told_as_the_query_has_it() {
        let (_dir, engine) = engine().await;
        let query = Query::parse("m{even='1'}").unwrap();
        let few = Limits { max_samples: 1000, ..limits() };
        let refused = crate::Metrics::range(&engine, 1, query, (70 * MINUTE, 100 * MINUTE, MINUTE), few).await;
        assert!(
            matches!(&refused, Err(MetricsError::Query(QueryError::TooManySamples { limit: 1000 }))),
            "{refused:?}"
        );
    }
}
