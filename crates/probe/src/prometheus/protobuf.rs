//! Protobuf: the samples of a page of `MetricFamily` messages, each with its length before it. Pure, bounded by the page.

use std::borrow::Cow;

use crate::prometheus::page::MAX_SAMPLES;
use crate::prometheus::{Labels, Sample};
use crate::receive::protobuf::{Field, Wire, pair};

/// Reads a page of messages.
///
/// # Errors
/// What is wrong with it, as the end of a sentence about the page.
pub fn parse_delimited(bytes: &[u8]) -> Result<Vec<Sample<'_>>, String> {
    let wrong = || "is no page of protobuf messages".to_owned();
    let mut samples = Vec::new();
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        let family = wire.delimited().ok_or_else(wrong)?;
        read_family(family, &mut samples).ok_or_else(wrong)?;
        if samples.len() > MAX_SAMPLES {
            return Err(format!("has more than {MAX_SAMPLES} samples"));
        }
    }
    Ok(samples)
}

fn read_family<'a>(bytes: &'a [u8], samples: &mut Vec<Sample<'a>>) -> Option<()> {
    let mut name = Cow::default();
    let mut metrics = Vec::new();
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Bytes(text)) => name = String::from_utf8_lossy(text),
            (4, Field::Bytes(metric)) => metrics.push(metric),
            _ => {}
        }
    }
    for metric in metrics {
        read_metric(name.clone(), metric, samples)?;
    }
    Some(())
}

fn read_metric<'a>(name: Cow<'a, str>, bytes: &[u8], samples: &mut Vec<Sample<'a>>) -> Option<()> {
    let mut labels = Labels::new();
    let mut bodies = Vec::new();
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Bytes(label)) => labels.push(pair(label).map(|(name, value)| (name.into(), value.into()))?),
            (kind @ (2 | 3 | 4 | 5 | 7), Field::Bytes(body)) => bodies.push((kind, body)),
            _ => {}
        }
    }
    for (kind, body) in bodies {
        match kind {
            4 | 7 => read_distribution(&name, kind == 7, &labels, body, samples)?,
            _ => samples.push(Sample { name: name.clone(), labels: labels.clone(), value: number(body, 1)? }),
        }
    }
    Some(())
}

/// The number in that field; 0 when it is absent, as protobuf has it.
fn number(bytes: &[u8], wanted: u64) -> Option<f64> {
    let mut value = 0.0;
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (field, Field::Fixed64(bits)) if field == wanted => value = f64::from_bits(bits),
            (field, Field::Varint(count)) if field == wanted => value = count as f64,
            _ => {}
        }
    }
    Some(value)
}

/// A summary with its quantiles or a histogram with its buckets, as the text format writes them.
fn read_distribution<'a>(
    name: &str,
    is_histogram: bool,
    labels: &Labels<'a>,
    bytes: &[u8],
    samples: &mut Vec<Sample<'a>>,
) -> Option<()> {
    let mut add = |suffix: &str, more: Option<(&str, f64)>, value: f64| {
        let mut labels = labels.clone();
        labels.extend(more.map(|(label, bound)| {
            let bound = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
            (label.to_owned().into(), bound.into())
        }));
        samples.push(Sample { name: format!("{name}{suffix}").into(), labels, value });
    };
    add("_count", None, number(bytes, 1)?);
    add("_sum", None, number(bytes, 2)?);
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        if let (3, Field::Bytes(part)) = wire.field()? {
            if is_histogram {
                add("_bucket", Some(("le", number(part, 2)?)), number(part, 1)?);
            } else {
                add("", Some(("quantile", number(part, 1)?)), number(part, 2)?);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_read_as_its_text_would_be() {
        // requests_total{code="200"} 3, with its length before it.
        let mut family = b"\x0a\x0erequests_total\x18\x00\x22\x1a\x0a\x0b\x0a\x04code\x12\x03200\x1a\x09\x09".to_vec();
        family.extend_from_slice(&3f64.to_le_bytes());
        family[19] = 0x18; // the metric's own length
        let mut page = vec![u8::try_from(family.len()).unwrap()];
        page.extend_from_slice(&family);
        let samples = parse_delimited(&page).unwrap();
        assert_eq!(samples[0].to_string(), "requests_total{code=\"200\"}");
        assert_eq!(samples[0].value, 3.0);
        assert!(parse_delimited(&page[..page.len() - 1]).is_err());
        assert!(parse_delimited(b"# TYPE a gauge\na 1\n").is_err());
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_delimited(&bytes);
        }
    }
}
