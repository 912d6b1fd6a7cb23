//! A source that reads each thing once, for many queries about the same moment.
//!
//! Rules ask the same selectors again and again; between two of them nothing changes that would matter. It lives for one round
//! and is never kept, so it serves nothing stale.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::QueryError;
use super::source::{Each, Select, Selected, SeriesSamples, Source, Told};
use crate::error::SeriesError;
use crate::matcher::MatchOp;

/// Remembers what it has read from another source. One thread, one round of queries.
pub struct SharedSource<'a> {
    inner: &'a dyn Source,
    read: RefCell<HashMap<Key, Rc<Read>>>,
}

/// What another source answered.
struct Read {
    series: Vec<SeriesSamples>,
    told: Told,
}

/// What was asked for. The function is not part of it: the sources that mind have tiers, and the range tells them enough.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    matchers: Vec<(String, u8, String)>,
    from_ms: i64,
    to_ms: i64,
    step_ms: i64,
    range_ms: i64,
    function: Option<&'static str>,
    newest: bool,
}

impl Key {
    fn of(what: &Select<'_>) -> Self {
        let op = |op| match op {
            MatchOp::Eq => 0,
            MatchOp::Ne => 1,
            MatchOp::Re => 2,
            MatchOp::Nre => 3,
        };
        let matchers = what.matchers.iter().map(|m| (m.name().to_owned(), op(m.op()), m.value().to_owned())).collect();
        let Select { from_ms, to_ms, step_ms, range_ms, function, newest, .. } = *what;
        Self { matchers, from_ms, to_ms, step_ms, range_ms, function, newest }
    }
}

impl<'a> SharedSource<'a> {
    /// One that has read nothing yet.
    pub fn new(inner: &'a dyn Source) -> Self {
        Self { inner, read: RefCell::default() }
    }
}

impl Source for SharedSource<'_> {
    fn select(&self, what: &Select<'_>) -> Result<Selected, SeriesError> {
        self.inner.select(what)
    }

    fn visit(&self, what: &Select<'_>, each: &mut Each<'_>) -> Result<Told, QueryError> {
        let key = Key::of(what);
        let known = self.read.borrow().get(&key).cloned();
        if let Some(known) = known {
            let mut scratch = SeriesSamples::default();
            for series in &known.series {
                scratch.clone_from(series);
                each(&mut scratch)?;
            }
            return Ok(known.told.clone());
        }
        // Remembered only when the query took all of it: one that reached a limit fails here.
        let mut all = Vec::new();
        // What is made along is one query's own.
        let told = self.inner.visit(&Select { along: None, ..*what }, &mut |series| {
            all.push(series.clone());
            each(series)
        })?;
        self.read.borrow_mut().insert(key, Rc::new(Read { series: all, told: told.clone() }));
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::{Limits, MemorySource, Metric, Query, Settings, Value};
    use super::*;

    struct Counted(MemorySource, Cell<usize>);

    impl Source for Counted {
        fn select(&self, what: &Select<'_>) -> Result<Selected, SeriesError> {
            self.1.set(self.1.get() + 1);
            self.0.select(what)
        }
    }

    #[test]
    fn a_selector_that_many_queries_share_is_read_once_and_answers_as_alone() {
        let mut memory = MemorySource::default();
        for n in 0..5_u32 {
            for at in 0..20 {
                let metric = Metric::new([("__name__", "load"), ("host", &format!("h{n}"))]);
                memory.push(&metric, at * 15_000, f64::from(n) + at as f64);
            }
        }
        let counted = Counted(memory, Cell::new(0));
        let shared = SharedSource::new(&counted);
        for (text, reads) in [
            ("load > 20", 1),
            ("load < 20", 1),
            ("rate(load[1m])", 2),
            ("rate(load[1m]) > 0", 2),
            ("load{host=\"h1\"}", 3),
            ("load{host=\"h1\"} offset 1m", 4),
        ] {
            let query = Query::parse(text).unwrap();
            let (settings, limits) = (Settings::default(), Limits::default());
            let together = query.instant(&shared, 285_000, &settings, &limits).unwrap();
            assert_eq!(counted.1.get(), reads, "{text}");
            let alone = query.instant(&counted.0, 285_000, &settings, &limits).unwrap();
            assert_eq!(together.value, alone.value, "{text}");
            assert!(matches!(together.value, Value::Vector(all) if !all.is_empty()), "{text} finds something");
        }
    }
}
