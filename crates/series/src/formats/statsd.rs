//! StatsD: `name:value|type|@rate|#tag:value`, and the sums that a StatsD server keeps between two looks at it.
//!
//! [`Aggregate`] is that state, as a value: packets go in, [`flush`](Aggregate::flush) with a time gives samples. Nothing here has a
//! timer or a socket. Counters are given as running totals, so that a lost flush loses nothing; timers as quantiles, sum and count.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Batch;
use super::lines::{number, shown};
use super::{FormatError, Limits, within};
use crate::labels::NAME;

/// Quantiles that timers give.
const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.9, "0.9"), (0.95, "0.95"), (0.99, "0.99")];
/// Buckets of a timer grow by this factor, so a quantile is right within one percent.
const GROWTH: f64 = 1.02;
/// Different members of a set that are counted in one interval.
const SET_MEMBERS: usize = 10_000;

/// Who a value is of: its name and tags.
type Who = Vec<(String, String)>;

/// What StatsD has summed up so far.
#[derive(Clone, Debug)]
pub struct Aggregate {
    held: BTreeMap<(Kind, Who), Held>,
    max_series: usize,
    idle_ms: i64,
    /// Lines not taken since the start: wrong ones, and those beyond the limit of series.
    pub rejected: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Counter,
    Gauge,
    Timer,
    Set,
}

#[derive(Clone, Debug)]
struct Held {
    sum: Sum,
    touched_ms: i64,
}

#[derive(Clone, Debug)]
enum Sum {
    /// A running total, or the value of a gauge.
    Number(f64),
    Timer(Timer),
    Set(BTreeSet<String>),
}

/// Values by logarithm.
#[derive(Clone, Debug, Default)]
struct Timer {
    /// Of the interval.
    buckets: BTreeMap<i32, f64>,
    below: f64,
    /// Since the start.
    count: f64,
    sum: f64,
}

impl Aggregate {
    /// Nothing summed up yet. `max_series` names are held; what was not heard of for `idle_ms` milliseconds is forgotten.
    pub fn new(max_series: usize, idle_ms: i64) -> Self {
        Self { held: BTreeMap::new(), max_series, idle_ms, rejected: 0 }
    }

    /// Adds the lines of one packet or one piece of a stream, at `now_ms` (Unix milliseconds). Wrong lines are counted and
    /// the first reason is given back, for a log.
    pub fn receive(&mut self, packet: &[u8], now_ms: i64) -> Option<String> {
        let mut first = None;
        for line in packet.split(|b| *b == b'\n') {
            let outcome = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned());
            if let Err(reason) = outcome.and_then(|text| self.line(text.trim(), now_ms)) {
                self.rejected += 1;
                first.get_or_insert(reason);
            }
        }
        first
    }

    fn line(&mut self, line: &str, now_ms: i64) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        let (name, rest) = line.split_once(':').ok_or("no value")?;
        let mut parts = rest.split('|');
        let values = parts.next().unwrap_or_default();
        let kind = parts.next().ok_or("no type")?;
        let (mut rate, mut who) = (1.0, Vec::new());
        for part in parts {
            if let Some(given) = part.strip_prefix('@') {
                let valid = number(given).filter(|r| *r > 0.0 && *r <= 1.0);
                rate = valid.ok_or_else(|| format!("{:?} is not a rate", shown(given)))?;
            } else if let Some(tags) = part.strip_prefix('#') {
                who.extend(tags.split(',').filter(|t| !t.is_empty()).map(|tag| {
                    let (name, value) = tag.split_once(':').unwrap_or((tag, "true"));
                    (name.to_owned(), value.to_owned())
                }));
            }
        }
        if name.is_empty() {
            return Err("no name".into());
        }
        who.retain(|(name, _)| name != NAME);
        who.push((NAME.into(), name.into()));
        who.sort_unstable();
        who.dedup_by(|a, b| a.0 == b.0);
        // Several values of one name may stand in one line: `a:1:2:3|c`.
        values.split(':').try_for_each(|value| self.add(kind, &who, value, rate, now_ms))
    }

    fn add(&mut self, kind: &str, who: &Who, value: &str, rate: f64, now_ms: i64) -> Result<(), String> {
        let numeric = || {
            let found = number(value).filter(|n| n.is_finite());
            found.ok_or_else(|| format!("{:?} is not a number", shown(value)))
        };
        let relative = value.starts_with(['+', '-']);
        let kind = match kind {
            "c" | "m" => Kind::Counter,
            "g" => Kind::Gauge,
            "ms" | "h" | "d" => Kind::Timer,
            "s" => Kind::Set,
            other => return Err(format!("{:?} is not a type", shown(other))),
        };
        let given = if kind == Kind::Set { 0.0 } else { numeric()? };
        let held = self.held(kind, who, now_ms)?;
        match &mut held.sum {
            Sum::Number(total) if kind == Kind::Counter => *total += given / rate,
            Sum::Number(gauge) => *gauge = if relative { *gauge + given } else { given },
            Sum::Timer(timer) => timer.add(given, 1.0 / rate),
            Sum::Set(members) if members.len() < SET_MEMBERS => drop(members.insert(value.into())),
            Sum::Set(_) => {}
        }
        Ok(())
    }

    fn held(&mut self, kind: Kind, who: &Who, now_ms: i64) -> Result<&mut Held, String> {
        let key = (kind, who.clone());
        if !self.held.contains_key(&key) && self.held.len() >= self.max_series {
            return Err(format!("{} names are held already", self.max_series));
        }
        let held = self.held.entry(key).or_insert_with(|| {
            let sum = match kind {
                Kind::Counter | Kind::Gauge => Sum::Number(0.0),
                Kind::Timer => Sum::Timer(Timer::default()),
                Kind::Set => Sum::Set(BTreeSet::new()),
            };
            Held { sum, touched_ms: now_ms }
        });
        held.touched_ms = now_ms;
        Ok(held)
    }

    /// Samples of everything that is held, at `now_ms` (Unix milliseconds); quantiles and sets begin anew.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when the samples are more than `limits` allow.
    pub fn flush(&mut self, now_ms: i64, limits: Limits) -> Result<Batch, FormatError> {
        let idle_ms = self.idle_ms;
        self.held.retain(|_, held| now_ms.saturating_sub(held.touched_ms) <= idle_ms);
        let mut batch = Batch::new(limits);
        for ((_, who), held) in &mut self.held {
            match &mut held.sum {
                Sum::Number(value) => put(&mut batch, who, "", None, now_ms, *value)?,
                Sum::Set(members) => {
                    put(&mut batch, who, "", None, now_ms, members.len() as f64)?;
                    members.clear();
                }
                Sum::Timer(timer) => {
                    for (quantile, text) in QUANTILES {
                        if let Some(value) = timer.quantile(quantile) {
                            put(&mut batch, who, "", Some(text), now_ms, value)?;
                        }
                    }
                    put(&mut batch, who, "_sum", None, now_ms, timer.sum)?;
                    put(&mut batch, who, "_count", None, now_ms, timer.count)?;
                    timer.buckets.clear();
                    timer.below = 0.0;
                }
            }
        }
        Ok(batch)
    }

    /// How many names are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// Reads one body and gives its sums at once: for a push that stands for itself.
///
/// # Errors
/// [`FormatError::TooLarge`]; wrong lines are only counted, in the batch.
pub fn decode(body: &[u8], now_ms: i64, limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    let mut state = Aggregate::new(limits.series, 0);
    let reason = state.receive(body, now_ms);
    let mut batch = state.flush(now_ms, limits)?;
    if let Some(reason) = reason {
        batch.reject(0, reason);
        batch.rejected_lines = usize::try_from(state.rejected).unwrap_or(usize::MAX);
    }
    Ok(batch)
}

fn put(
    batch: &mut Batch,
    who: &Who,
    suffix: &str,
    quantile: Option<&str>,
    at_ms: i64,
    value: f64,
) -> Result<(), FormatError> {
    let name = who.iter().find(|(n, _)| n == NAME).map_or("", |(_, v)| v);
    let name = format!("{name}{suffix}");
    let mut pairs: Vec<(&str, &str)> = vec![(NAME, &name)];
    pairs.extend(who.iter().filter(|(n, _)| n != NAME && n != "quantile").map(|(n, v)| (n.as_str(), v.as_str())));
    pairs.extend(quantile.map(|q| ("quantile", q)));
    batch.sample(&mut pairs, at_ms, value)
}

impl Timer {
    fn add(&mut self, value: f64, weight: f64) {
        self.count += weight;
        self.sum += value * weight;
        if value > 0.0 {
            let bucket = (value.ln() / GROWTH.ln()).ceil().clamp(-100_000.0, 100_000.0) as i32;
            *self.buckets.entry(bucket).or_default() += weight;
        } else {
            self.below += weight;
        }
    }

    fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.below + self.buckets.values().sum::<f64>();
        if total <= 0.0 {
            return None;
        }
        let wanted = quantile * total;
        let mut seen = self.below;
        if seen >= wanted {
            return Some(0.0);
        }
        let found = self.buckets.iter().find(|(_, weight)| {
            seen += **weight;
            seen >= wanted
        });
        let bucket = found.or_else(|| self.buckets.last_key_value())?.0;
        // The middle of the bucket, which is within one percent of everything in it.
        Some(GROWTH.powi(*bucket) * 2.0 / (1.0 + GROWTH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flushed(state: &mut Aggregate, now_ms: i64) -> Vec<(String, f64)> {
        let batch = state.flush(now_ms, Limits::default()).unwrap();
        batch.shown().into_iter().map(|(name, points)| (name, points[0].1)).collect()
    }

    #[test]
    fn counters_go_on_gauges_stay_sets_begin_anew() {
        let mut state = Aggregate::new(100, 60_000);
        state.receive(
            b"hits:1|c\nhits:2|c|@0.1\nhits:1:1|c|#host:web\nlevel:7|g\nlevel:-3|g\nwho:ann|s\nwho:bob|s\nwho:ann|s",
            0,
        );
        let first = flushed(&mut state, 10);
        assert_eq!(
            first,
            [("hits{}".into(), 21.0), ("hits{host=web}".into(), 2.0), ("level{}".into(), 4.0), ("who{}".into(), 2.0)]
        );
        state.receive(b"hits:1|c", 20);
        let second = flushed(&mut state, 30);
        assert_eq!((second[0].1, second[2].1, second[3].1), (22.0, 4.0, 0.0));
        assert_eq!(flushed(&mut state, 60_020).len(), 1, "what is silent is forgotten");
    }

    #[test]
    fn timers_give_quantiles_within_one_percent() {
        let mut state = Aggregate::new(100, 60_000);
        for value in 1..=1000 {
            state.receive(format!("t:{value}|ms").as_bytes(), 0);
        }
        let shown = flushed(&mut state, 10);
        for (name, expected) in [("t{quantile=0.5}", 500.0), ("t{quantile=0.99}", 990.0)] {
            let found = shown.iter().find(|(n, _)| n == name).unwrap().1;
            assert!((found / expected - 1.0).abs() < 0.011, "{name} is {found}");
        }
        assert!(shown.contains(&("t_sum{}".into(), 500_500.0)) && shown.contains(&("t_count{}".into(), 1000.0)));
        assert_eq!(flushed(&mut state, 20).len(), 2, "without a value in the interval there is no quantile");
    }

    #[test]
    fn wrong_lines_and_too_many_names_are_counted() {
        let mut state = Aggregate::new(1, 0);
        let packet = b"a:1|c\nb:1|c\na\na:1\na:x|c\na:1|z\na:1|c|@0\n:1|c\n\xff\na:inf|g";
        assert!(state.receive(packet, 0).is_some());
        assert_eq!((state.rejected, state.len()), (9, 1));
    }

    proptest! {
        #[test]
        fn any_packet_is_taken_without_a_panic(text in "[a-z:|@#,.0-9+\n-]{0,80}", bytes in any::<Vec<u8>>()) {
            let mut state = Aggregate::new(10, 1000);
            state.receive(text.as_bytes(), 0);
            state.receive(&bytes, 5);
            let _ = state.flush(10, Limits::default()).unwrap();
            prop_assert!(state.len() <= 10);
        }
    }
}
