//! Native histograms as remote write has them; both versions use the same numbers.

use crate::formats::FormatError;
use crate::formats::proto::{Field, Proto, Width, zigzag};
use crate::histogram::{Counts, Histogram, ResetHint, Span, buckets};
use crate::wire::Put;

/// Reads one.
pub(super) fn histogram(message: &[u8]) -> Result<(i64, Histogram), FormatError> {
    let mut out = Histogram::default();
    let (mut at_ms, mut message) = (0, Proto::new(message));
    let (mut above, mut below) = (Side::default(), Side::default());
    while let Some((number, field)) = message.field()? {
        match number {
            1 => out.count = field.bits()? as f64,
            2 => out.count = field.f64()?,
            3 => out.sum = field.f64()?,
            4 => out.schema = field.zigzag()? as i32,
            5 => out.zero_threshold = field.f64()?,
            6 => out.zero_count = field.bits()? as f64,
            7 => out.zero_count = field.f64()?,
            8 => below.span(field)?,
            9 => below.deltas(field)?,
            10 => below.absolute(field)?,
            11 => above.span(field)?,
            12 => above.deltas(field)?,
            13 => above.absolute(field)?,
            14 => out.hint = hint(field.bits()?),
            15 => at_ms = field.bits()? as i64,
            16 => field.repeated(Width::Eight, |raw| out.custom_bounds.push(f64::from_bits(raw)))?,
            _ => {}
        }
    }
    (out.positive, out.negative) = (above.buckets()?, below.buckets()?);
    Ok((at_ms, out))
}

/// The buckets above or below zero as they come: runs, and their counts in one of two forms.
#[derive(Default)]
pub(in crate::formats) struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    absolute: Vec<f64>,
}

impl Side {
    /// Adds a run.
    pub(in crate::formats) fn span(&mut self, field: Field<'_>) -> Result<(), FormatError> {
        self.spans.push(span(field.bytes()?)?);
        Ok(())
    }

    /// Adds whole counts, each as the difference to the one before.
    pub(in crate::formats) fn deltas(&mut self, field: Field<'_>) -> Result<(), FormatError> {
        field.repeated(Width::Varint, |raw| self.deltas.push(zigzag(raw)))
    }

    /// Adds counts with fractions.
    pub(in crate::formats) fn absolute(&mut self, field: Field<'_>) -> Result<(), FormatError> {
        field.repeated(Width::Eight, |raw| self.absolute.push(f64::from_bits(raw)))
    }

    /// Whether not even a run has come.
    pub(in crate::formats) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.deltas.is_empty() && self.absolute.is_empty()
    }

    /// The buckets as pairs.
    pub(in crate::formats) fn buckets(self) -> Result<Vec<(i32, f64)>, FormatError> {
        let counts =
            if self.absolute.is_empty() { Counts::Deltas(self.deltas) } else { Counts::Absolute(self.absolute) };
        buckets(&self.spans, &counts)
            .map_err(|_| FormatError::Malformed { at: 0, reason: "runs of buckets that fit their counts" })
    }
}

fn hint(number: u64) -> ResetHint {
    match number {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NoReset,
        _ => ResetHint::Gauge,
    }
}

fn span(message: &[u8]) -> Result<Span, FormatError> {
    let (mut out, mut message) = (Span::default(), Proto::new(message));
    while let Some((number, field)) = message.field()? {
        match number {
            1 => out.offset = field.zigzag()? as i32,
            2 => out.length = field.bits()?.min(u64::from(u32::MAX)) as u32,
            _ => {}
        }
    }
    Ok(out)
}

/// Field number and wire type.
fn tag(out: &mut Vec<u8>, number: u64, wire: u64) {
    out.put_u64(number << 3 | wire);
}

fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    tag(out, number, 0);
    out.put_u64(value);
}

fn put_float(out: &mut Vec<u8>, number: u64, value: f64) {
    tag(out, number, 1);
    out.put_fixed(value.to_bits());
}

fn put_message(out: &mut Vec<u8>, number: u64, inner: &[u8]) {
    tag(out, number, 2);
    out.put_bytes(inner);
}

/// The message of one histogram at a time (Unix milliseconds), without field number and length: for whoever sends it on. Counts
/// are written whole when all of them are.
pub fn encode_histogram(at_ms: i64, from: &Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    let whole = |count: f64| count.fract() == 0.0 && (0.0..9e15).contains(&count);
    let counts = from.positive.iter().chain(&from.negative).map(|(_, count)| *count);
    let is_whole = counts.chain([from.count, from.zero_count]).all(whole);
    if is_whole {
        put_number(&mut out, 1, from.count as u64);
    } else {
        put_float(&mut out, 2, from.count);
    }
    put_float(&mut out, 3, from.sum);
    tag(&mut out, 4, 0);
    out.put_i64(i64::from(from.schema));
    put_float(&mut out, 5, from.zero_threshold);
    if is_whole {
        put_number(&mut out, 6, from.zero_count as u64);
    } else {
        put_float(&mut out, 7, from.zero_count);
    }
    put_side(&mut out, 8, &from.negative, is_whole);
    put_side(&mut out, 11, &from.positive, is_whole);
    put_number(&mut out, 14, hint_number(from.hint));
    put_number(&mut out, 15, at_ms as u64);
    if !from.custom_bounds.is_empty() {
        let bounds: Vec<u8> = from.custom_bounds.iter().flat_map(|bound| bound.to_le_bytes()).collect();
        put_message(&mut out, 16, &bounds);
    }
    out
}

/// Runs in field `first`, their counts in one of the two after it.
fn put_side(out: &mut Vec<u8>, first: u64, buckets: &[(i32, f64)], is_whole: bool) {
    let mut next = 0_i64;
    for run in buckets.chunk_by(|a, b| i64::from(a.0) + 1 == i64::from(b.0)) {
        let mut inner = Vec::new();
        tag(&mut inner, 1, 0);
        inner.put_i64(i64::from(run[0].0) - next);
        put_number(&mut inner, 2, run.len() as u64);
        put_message(out, first, &inner);
        next = i64::from(run[0].0) + run.len() as i64;
    }
    let (mut inner, mut before) = (Vec::new(), 0);
    for (_, count) in buckets {
        if is_whole {
            inner.put_i64(*count as i64 - std::mem::replace(&mut before, *count as i64));
        } else {
            inner.put_fixed(count.to_bits());
        }
    }
    if !inner.is_empty() {
        put_message(out, if is_whole { first + 1 } else { first + 2 }, &inner);
    }
}

fn hint_number(hint: ResetHint) -> u64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NoReset => 2,
        ResetHint::Gauge => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::testing;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_the_bit(sent in testing::histogram(), at_ms in any::<i64>()) {
            let (found_ms, found) = histogram(&encode_histogram(at_ms, &sent)).expect("it was just written");
            prop_assert_eq!(found_ms, at_ms);
            prop_assert_eq!(&found, &sent);
            prop_assert_eq!(found.hint, sent.hint);
        }
    }
}
