//! Native histograms, written as remote write has them in both versions. It must never write what the decoder would not read back.

use series::formats::{BucketCounts, NativeHistogram, Span};

use super::encode::{float, message, number, varint, zigzag};

/// A histogram as a batch holds it.
pub type Native = NativeHistogram;

/// Appends the message of a histogram at a time, Unix milliseconds, without field number and length.
pub fn put(out: &mut Vec<u8>, at_ms: i64, from: &Native) {
    let fractions =
        matches!(from.positive, BucketCounts::Absolute(_)) || matches!(from.negative, BucketCounts::Absolute(_));
    if fractions {
        float(out, 2, from.count);
    } else {
        number(out, 1, from.count as u64);
    }
    float(out, 3, from.sum);
    number(out, 4, zigzag(i64::from(from.schema)));
    float(out, 5, from.zero_threshold);
    if fractions {
        float(out, 7, from.zero_count);
    } else {
        number(out, 6, from.zero_count as u64);
    }
    put_buckets(out, (8, 9, 10), &from.negative_spans, &from.negative);
    put_buckets(out, (11, 12, 13), &from.positive_spans, &from.positive);
    number(out, 14, u64::from(from.reset_hint));
    number(out, 15, at_ms as u64);
    if !from.custom_bounds.is_empty() {
        message(out, 16, |inner| from.custom_bounds.iter().for_each(|b| inner.extend_from_slice(&b.to_le_bytes())));
    }
}

fn put_buckets(out: &mut Vec<u8>, (spans, deltas, absolute): (u8, u8, u8), runs: &[Span], counts: &BucketCounts) {
    for run in runs {
        message(out, spans, |inner| {
            number(inner, 1, zigzag(i64::from(run.offset)));
            number(inner, 2, u64::from(run.length));
        });
    }
    match counts {
        BucketCounts::Deltas(list) if list.is_empty() => {}
        BucketCounts::Deltas(list) => message(out, deltas, |inner| list.iter().for_each(|n| varint(inner, zigzag(*n)))),
        BucketCounts::Absolute(list) => {
            message(out, absolute, |inner| list.iter().for_each(|n| inner.extend_from_slice(&n.to_le_bytes())));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One with whole counts, and one with fractions.
    pub fn two() -> [Native; 2] {
        let counted = Native {
            schema: -53,
            count: 7.0,
            sum: -1.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            positive: BucketCounts::Deltas(vec![3, -2, 1]),
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative: BucketCounts::Deltas(vec![1]),
            custom_bounds: vec![0.5, 1.0],
            reset_hint: 2,
        };
        let floats = Native {
            positive: BucketCounts::Absolute(vec![0.5, 1.5, 2.5]),
            negative: BucketCounts::Absolute(vec![0.25]),
            ..counted.clone()
        };
        [counted, floats]
    }
}
