//! `histogram_quantile` and its kin, for classic histograms (a series for each bucket) and native ones side by side.

use std::collections::HashMap;

use super::calls::text;
use super::{Evaluator, Grid};
use crate::histogram::{Histogram, NanObservations};
use crate::promql::annotation::Remark;
use crate::promql::ast::{Expr, Span};
use crate::promql::column::Line;
use crate::promql::error::QueryError;
use crate::promql::lex::parse_number;
use crate::promql::metric::Metric;
use crate::promql::value::label_float;

/// The label that holds the upper bound of a classic bucket.
const LE: &str = "le";

/// Counts below upper bounds, of one classic histogram at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Below {
    upper: f64,
    count: f64,
}

/// The series of one histogram.
struct Family {
    metric: Metric,
    classic: Vec<(f64, Line)>,
    native: Vec<Line>,
}

impl Evaluator<'_> {
    /// Puts the series of each histogram together.
    fn families(&self, lines: Vec<Line>, span: Span) -> Result<Vec<Family>, QueryError> {
        let mut places: HashMap<Metric, usize> = HashMap::new();
        let mut families: Vec<Family> = Vec::new();
        for line in lines {
            self.budget.work(16)?;
            let has_floats = (0..line.column.len()).any(|step| line.column.float(step).is_some());
            let metric = line.metric.filtered(|name| name != LE);
            let native = !line.column.histograms.is_empty();
            let bound = line.metric.get(LE);
            let upper = parse_number(bound).or_else(|| bound.parse().ok());
            if has_floats && upper.is_none() {
                let (label, metric) = (bound.to_owned(), line.metric.name().to_owned());
                self.remark(span, &Remark::BadBucketLabel { label, metric });
            }
            let key = if native && !has_floats { line.metric.clone() } else { metric };
            let place = *places.entry(key.clone()).or_insert_with(|| {
                families.push(Family { metric: key, classic: Vec::new(), native: Vec::new() });
                families.len() - 1
            });
            match upper {
                Some(upper) if has_floats => families[place].classic.push((upper, line.clone())),
                _ => {}
            }
            if native {
                families[place].native.push(line);
            }
        }
        Ok(families)
    }

    /// One number a step from each histogram, classic or native.
    fn each_family(
        &self,
        families: &[Family],
        grid: Grid,
        span: Span,
        classic: impl Fn(&Family, usize, &mut [Below]) -> f64,
        native: impl Fn(&Family, usize, &Histogram) -> f64,
    ) -> Result<Vec<Line>, QueryError> {
        let mut lines = Vec::new();
        let mut buckets: Vec<Below> = Vec::new();
        for family in families {
            let mut column = self.absent(grid)?;
            for step in 0..grid.steps {
                self.budget.work(family.classic.len())?;
                buckets.clear();
                let present =
                    |(upper, line): &(f64, Line)| Some(Below { upper: *upper, count: line.column.float(step)? });
                buckets.extend(family.classic.iter().filter_map(present));
                let histogram = family.native.iter().find_map(|line| line.column.histogram(step));
                match (histogram, buckets.is_empty()) {
                    (Some(_), false) => {
                        self.remark(span, &Remark::MixedClassicNative(family.metric.name().to_owned()));
                    }
                    (Some(histogram), true) => column.set(step, native(family, step, histogram)),
                    (None, false) => column.set(step, classic(family, step, &mut buckets)),
                    (None, true) => {}
                }
            }
            if !column.is_empty() {
                lines.push(Line { metric: family.metric.clone(), drop_name: true, column });
            }
        }
        Ok(lines)
    }

    fn quantiles(&self, families: &[Family], grid: Grid, span: Span, q: &[f64]) -> Result<Vec<Line>, QueryError> {
        let classic = |family: &Family, step: usize, buckets: &mut [Below]| {
            let found = classic_quantile(q[step], buckets);
            if let Some((lowest, highest, most)) = found.forced {
                let metric = family.metric.name().to_owned();
                self.remark(span, &Remark::Monotonicity { metric, at_ms: grid.at(step), lowest, highest, most });
            }
            found.value
        };
        let native = |family: &Family, step: usize, histogram: &Histogram| {
            let (value, nan) = histogram.quantile(q[step]);
            let metric = || family.metric.name().to_owned();
            match nan {
                NanObservations::Absent => {}
                NanObservations::Skewed => self.remark(span, &Remark::QuantileSkewed(metric())),
                NanObservations::Dominant => self.remark(span, &Remark::QuantileNan(metric())),
            }
            value
        };
        self.each_family(families, grid, span, classic, native)
    }

    fn check_quantile(&self, q: &[f64], span: Span) {
        for q in q.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            self.remark(span, &Remark::BadQuantile(*q));
        }
    }

    pub(super) fn histogram_quantile(&self, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let q = self.scalar(&args[0], grid)?;
        self.check_quantile(&q, args[0].span);
        let families = self.families(self.lines(&args[1], grid)?, args[1].span)?;
        self.quantiles(&families, grid, args[1].span, &q)
    }

    pub(super) fn histogram_quantiles(&self, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let label = text(&args[1])?;
        let span = args[0].span;
        let families = self.families(self.lines(&args[0], grid)?, span)?;
        let mut all = Vec::new();
        for arg in &args[2..] {
            let q = self.scalar(arg, grid)?;
            self.check_quantile(&q, arg.span);
            let lines = self.quantiles(&families, grid, span, &q)?;
            if q.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits()) {
                let value = label_float(q.first().copied().unwrap_or(f64::NAN));
                all.extend(lines.into_iter().map(|line| Line { metric: line.metric.with(label, &value), ..line }));
                continue;
            }
            // The quantile differs from step to step, and the label with it.
            for line in lines {
                for (step, q) in q.iter().enumerate() {
                    let mut column = self.absent(grid)?;
                    column.set_cell(step, line.column.cell(step));
                    all.push(Line { metric: line.metric.with(label, &label_float(*q)), column, ..line.clone() });
                }
            }
        }
        super::merge::join(all)
    }

    pub(super) fn histogram_fraction(&self, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let (lower, upper) = (self.scalar(&args[0], grid)?, self.scalar(&args[1], grid)?);
        let span = args[2].span;
        let families = self.families(self.lines(&args[2], grid)?, span)?;
        let classic =
            |_: &Family, step: usize, buckets: &mut [Below]| classic_fraction(lower[step], upper[step], buckets);
        let native = |family: &Family, step: usize, histogram: &Histogram| {
            let (value, nan) = histogram.fraction(lower[step], upper[step]);
            if nan != NanObservations::Absent {
                self.remark(span, &Remark::FractionNan(family.metric.name().to_owned()));
            }
            value
        };
        self.each_family(&families, grid, span, classic, native)
    }
}

/// Counts fell from one bound to the next and were raised: the lowest and highest bound of those, and by how much at most.
type Raised = Option<(f64, f64, f64)>;

/// A quantile, and what had to be done to find it.
struct Found {
    value: f64,
    forced: Raised,
}

/// Sorted, each bound once, rising in count. `None` without a bucket for everything.
fn tidy(buckets: &mut [Below]) -> Option<(Vec<Below>, Raised)> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    let mut merged: Vec<Below> = Vec::with_capacity(buckets.len());
    for bucket in buckets.iter() {
        match merged.last_mut() {
            Some(last) if last.upper == bucket.upper => last.count += bucket.count,
            _ => merged.push(*bucket),
        }
    }
    let mut forced: Raised = None;
    let mut before = merged[0].count;
    for bucket in &mut merged[1..] {
        // Differences this small come from rounding.
        let close = (bucket.count - before).abs() <= 1e-12 * (bucket.count.abs() + before.abs());
        if bucket.count < before && !close {
            let (lowest, highest, most) = forced.unwrap_or((bucket.upper, bucket.upper, 0.0));
            forced = Some((lowest, highest.max(bucket.upper), f64::max(most, before - bucket.count)));
        }
        if close || bucket.count < before {
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    Some((merged, forced))
}

fn classic_quantile(q: f64, buckets: &mut [Below]) -> Found {
    let plain = |value: f64| Found { value, forced: None };
    if q.is_nan() {
        return plain(f64::NAN);
    }
    if !(0.0..=1.0).contains(&q) {
        return plain(if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let Some((buckets, forced)) = tidy(buckets) else { return plain(f64::NAN) };
    let all = buckets[buckets.len() - 1].count;
    if buckets.len() < 2 || all == 0.0 || all.is_nan() {
        return plain(f64::NAN);
    }
    let rank = q * all;
    let last = buckets.len() - 1;
    let place = buckets[..last].iter().position(|bucket| bucket.count >= rank).unwrap_or(last);
    if place == last {
        return Found { value: buckets[last - 1].upper, forced };
    }
    let bucket = buckets[place];
    if place == 0 && bucket.upper <= 0.0 {
        return Found { value: bucket.upper, forced };
    }
    let (lower, below) = if place == 0 { (0.0, 0.0) } else { (buckets[place - 1].upper, buckets[place - 1].count) };
    let value = lower + (bucket.upper - lower) * ((rank - below) / (bucket.count - below));
    Found { value, forced }
}

fn classic_fraction(lower: f64, upper: f64, buckets: &mut [Below]) -> f64 {
    let Some((buckets, _)) = tidy(buckets) else { return f64::NAN };
    let all = buckets[buckets.len() - 1].count;
    if all == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |value: f64| {
        let (mut start, mut rank) = (if buckets[0].upper > 0.0 { 0.0 } else { f64::NEG_INFINITY }, 0.0);
        for bucket in &buckets {
            if start >= value {
                return rank;
            }
            if bucket.upper > value {
                // Nothing is known of where observations of an unbounded bucket are, so they are in no share that cuts it.
                let share = match (start.is_finite(), bucket.upper.is_finite()) {
                    (true, true) => (value - start) / (bucket.upper - start),
                    (bounded_below, _) => f64::from(u8::from(!bounded_below)),
                };
                return rank + (bucket.count - rank) * share;
            }
            (start, rank) = (bucket.upper, bucket.count);
        }
        all
    };
    (below(upper) - below(lower)) / all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_and_fraction_are_each_other_s_inverse() {
        let counts = [(0.1, 4.0), (0.2, 10.0), (0.5, 18.0), (f64::INFINITY, 20.0)];
        let make = || counts.map(|(upper, count)| Below { upper, count });
        for q in [0.05, 0.2, 0.4, 0.6, 0.85] {
            let value = classic_quantile(q, &mut make()).value;
            assert!((classic_fraction(f64::NEG_INFINITY, value, &mut make()) - q).abs() < 1e-12);
        }
        assert_eq!(classic_quantile(0.95, &mut make()).value, 0.5, "beyond the last bound");
    }

    #[test]
    fn falling_counts_are_raised_and_told_of() {
        let mut buckets = [(1.0, 5.0), (2.0, 3.0), (f64::INFINITY, 6.0)].map(|(upper, count)| Below { upper, count });
        assert_eq!(classic_quantile(0.5, &mut buckets).forced, Some((2.0, 2.0, 2.0)));
    }
}
