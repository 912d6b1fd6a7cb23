//! Native histograms from the buckets of a JSON answer, which gives bounds and counts but not the schema they come from.
//!
//! The schema is worked out from the bounds. It must never guess: bounds that fit no schema become custom bounds, as they stand.

use serde::Deserialize;
use series::{CUSTOM_BUCKETS, Histogram};

use super::answer::AnswerError;

/// A histogram as Prometheus writes it in JSON.
#[derive(Deserialize)]
pub(crate) struct Counted {
    count: String,
    sum: String,
    /// Which bounds belong to the bucket (0: the upper, 1: the lower, 2: none, 3: both), lower, upper, count.
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

struct Bounds {
    both: bool,
    lower: f64,
    upper: f64,
    count: f64,
}

/// The finest and the coarsest exponential schema.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// The histogram whose buckets these are.
///
/// # Errors
/// A number is none.
pub(crate) fn from_buckets(counted: &Counted) -> Result<Histogram, AnswerError> {
    let number =
        |text: &str| text.parse::<f64>().map_err(|_| AnswerError("a histogram has a count that is no number".into()));
    let mut buckets = Vec::with_capacity(counted.buckets.len());
    for (rule, lower, upper, count) in &counted.buckets {
        buckets.push(Bounds { both: *rule == 3, lower: number(lower)?, upper: number(upper)?, count: number(count)? });
    }
    let mut out = Histogram { count: number(&counted.count)?, sum: number(&counted.sum)?, ..Histogram::default() };
    let zero = buckets.iter().position(|b| b.both && b.lower == -b.upper);
    if let Some(zero) = zero.map(|at| buckets.remove(at)) {
        (out.zero_threshold, out.zero_count) = (zero.upper, zero.count);
    }
    match schema(&buckets, out.zero_threshold) {
        Some(schema) => exponential(&mut out, schema, &buckets),
        None => custom(&mut out, &buckets),
    }
    Ok(out)
}

/// The outer bound of a bucket, away from zero.
fn outer(bucket: &Bounds) -> f64 {
    if bucket.lower < 0.0 { -bucket.lower } else { bucket.upper }
}

fn inner(bucket: &Bounds) -> f64 {
    if bucket.lower < 0.0 { -bucket.upper } else { bucket.lower }
}

/// The schema that all bounds are of. A bucket that the zero bucket cuts into has its outer bound only.
fn schema(buckets: &[Bounds], zero_threshold: f64) -> Option<i32> {
    let whole = |b: &&Bounds| inner(b) > zero_threshold && outer(b).is_finite();
    let growth = |b: &Bounds| (outer(b) / inner(b)).log2();
    let widths: Vec<f64> = buckets.iter().filter(whole).map(growth).collect();
    let Some(width) = widths.first() else { return if buckets.is_empty() { Some(0) } else { None } };
    let found = SCHEMAS.rev().find(|schema| (width - (-f64::from(*schema)).exp2()).abs() < 1e-9 * width.max(1e-3))?;
    let fits = |b: &Bounds| {
        let place = outer(b).log2() * f64::from(found).exp2();
        !outer(b).is_finite() || (place - place.round()).abs() < 1e-6 * place.abs().max(1.0)
    };
    buckets.iter().all(fits).then_some(found)
}

fn exponential(out: &mut Histogram, schema: i32, buckets: &[Bounds]) {
    out.schema = schema;
    for bucket in buckets {
        let place = (outer(bucket).min(f64::MAX).log2() * f64::from(schema).exp2()).round() as i32;
        if bucket.lower < 0.0 {
            out.negative.push((place, bucket.count))
        } else {
            out.positive.push((place, bucket.count))
        }
    }
    // From the lowest bucket to the highest they come; those below zero are kept away from zero.
    out.negative.reverse();
}

fn custom(out: &mut Histogram, buckets: &[Bounds]) {
    out.schema = CUSTOM_BUCKETS;
    let mut bounds: Vec<f64> = buckets.iter().flat_map(|b| [b.lower, b.upper]).filter(|b| b.is_finite()).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    for bucket in buckets {
        let place = bounds.iter().position(|bound| *bound == bucket.upper).unwrap_or(bounds.len());
        out.positive.push((place as i32, bucket.count));
    }
    out.custom_bounds = bounds;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use series::promql::{SampleValue, Value, VectorSample};
    use std::sync::Arc;

    fn through_json(histogram: &Histogram) -> Histogram {
        let sample = VectorSample {
            metric: Default::default(),
            at_ms: 0,
            value: SampleValue::Histogram(Arc::new(histogram.clone())),
        };
        let mut json = Vec::new();
        series::promql::json::result(&mut json, &Value::Vector(vec![sample]), None).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let counted: Counted = serde_json::from_value(json["result"][0]["histogram"][1].clone()).unwrap();
        from_buckets(&counted).unwrap()
    }

    #[test]
    fn custom_bounds_stay_as_they_are() {
        let given = Histogram {
            schema: CUSTOM_BUCKETS,
            count: 9.0,
            sum: 4.5,
            positive: vec![(0, 2.0), (1, 3.0), (3, 4.0)],
            custom_bounds: vec![0.1, 0.25, 7.0],
            ..Histogram::default()
        };
        assert_eq!(through_json(&given), given);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            schema in -2_i32..=8,
            positive in prop::collection::btree_map(-40_i32..40, 1_u32..1000, 1..12),
            negative in prop::collection::btree_map(-40_i32..40, 1_u32..1000, 0..12),
            zero in 0_u32..5,
        ) {
            let list = |from: std::collections::BTreeMap<i32, u32>| from.into_iter().map(|(i, c)| (i, f64::from(c))).collect();
            let given = Histogram {
                schema, zero_threshold: if zero > 0 { 1e-128 } else { 0.0 }, zero_count: f64::from(zero), count: 5.0, sum: 2.5,
                positive: list(positive), negative: list(negative), ..Histogram::default()
            };
            prop_assert_eq!(through_json(&given), given);
        }
    }
}
