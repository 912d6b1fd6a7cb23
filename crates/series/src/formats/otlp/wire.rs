//! OTLP as protocol buffers, read into the model. Field numbers are those of `opentelemetry/proto/metrics/v1/metrics.proto`.

use super::model::{
    AnyValue, Buckets, Exemplar, ExponentialPoint, Exponentials, HistogramPoint, Histograms, KeyValue, Metric,
    NumberPoint, Numbers, Quantile, Request, Resource, ResourceMetrics, ScopeMetrics, Summaries, SummaryPoint,
};
use crate::formats::FormatError;
use crate::formats::proto::{Field, Proto, Width};

type Read<T> = Result<T, FormatError>;

/// Lists within lists are read so deep and no deeper.
const MAX_DEPTH: usize = 8;

/// Calls `each` with every field of a message.
fn fields<'a>(bytes: &'a [u8], mut each: impl FnMut(u64, Field<'a>) -> Read<()>) -> Read<()> {
    let mut message = Proto::new(bytes);
    while let Some((number, field)) = message.field()? {
        each(number, field)?;
    }
    Ok(())
}

pub(super) fn request(bytes: &[u8]) -> Read<Request> {
    let mut out = Request::default();
    fields(bytes, |number, field| {
        if number == 1 {
            out.resource_metrics.push(resource_metrics(field.bytes()?)?);
        }
        Ok(())
    })?;
    Ok(out)
}

fn resource_metrics(bytes: &[u8]) -> Read<ResourceMetrics> {
    let mut out = ResourceMetrics::default();
    fields(bytes, |number, field| {
        match number {
            1 => out.resource = Resource { attributes: attributes(field.bytes()?, 1)? },
            2 => {
                let mut scope = ScopeMetrics::default();
                fields(field.bytes()?, |number, field| {
                    if number == 2 {
                        scope.metrics.push(metric(field.bytes()?)?);
                    }
                    Ok(())
                })?;
                out.scope_metrics.push(scope);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

/// All attributes of a message that has them in one field.
fn attributes(bytes: &[u8], of: u64) -> Read<Vec<KeyValue>> {
    let mut out = Vec::new();
    fields(bytes, |number, field| {
        if number == of {
            out.push(key_value(field.bytes()?, 0)?);
        }
        Ok(())
    })?;
    Ok(out)
}

fn key_value(bytes: &[u8], depth: usize) -> Read<KeyValue> {
    let mut out = KeyValue::default();
    fields(bytes, |number, field| {
        match number {
            1 => out.key = field.text()?.into(),
            2 => out.value = any_value(field.bytes()?, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn any_value(bytes: &[u8], depth: usize) -> Read<AnyValue> {
    if depth > MAX_DEPTH {
        return Err(FormatError::Malformed { at: 0, reason: "lists within lists within lists" });
    }
    let mut out = AnyValue::default();
    fields(bytes, |number, field| {
        out = AnyValue::default();
        match number {
            1 => out.string_value = Some(field.text()?.into()),
            2 => out.bool_value = Some(field.bits()? != 0),
            3 => out.int_value = Some(field.bits()? as i64),
            4 => out.double_value = Some(field.f64()?),
            5 => {
                let mut items = Vec::new();
                fields(field.bytes()?, |_, item| {
                    items.push(plain(&any_value(item.bytes()?, depth + 1)?));
                    Ok(())
                })?;
                out.array_value = Some(items.into());
            }
            6 => {
                let mut items = serde_json::Map::new();
                fields(field.bytes()?, |_, item| {
                    let pair = key_value(item.bytes()?, depth + 1)?;
                    items.insert(pair.key, plain(&pair.value));
                    Ok(())
                })?;
                out.kvlist_value = Some(items.into());
            }
            7 => out.bytes_value = Some(hex(field.bytes()?)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn plain(value: &AnyValue) -> serde_json::Value {
    match value {
        AnyValue { bool_value: Some(b), .. } => (*b).into(),
        AnyValue { int_value: Some(n), .. } => (*n).into(),
        AnyValue { double_value: Some(n), .. } => (*n).into(),
        AnyValue { array_value: Some(v), .. } | AnyValue { kvlist_value: Some(v), .. } => v.clone(),
        other => other.label().into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn metric(bytes: &[u8]) -> Read<Metric> {
    let mut out = Metric::default();
    fields(bytes, |number, field| {
        match number {
            1 => out.name = field.text()?.into(),
            2 => out.description = field.text()?.into(),
            3 => out.unit = field.text()?.into(),
            5 => out.gauge = Some(numbers(field.bytes()?)?),
            7 => out.sum = Some(numbers(field.bytes()?)?),
            9 => {
                let mut of = Histograms::default();
                fields(field.bytes()?, |number, field| {
                    match number {
                        1 => of.data_points.push(histogram(field.bytes()?)?),
                        2 => of.aggregation_temporality = field.bits()? as i32,
                        _ => {}
                    }
                    Ok(())
                })?;
                out.histogram = Some(of);
            }
            10 => {
                let mut of = Exponentials::default();
                fields(field.bytes()?, |number, field| {
                    match number {
                        1 => of.data_points.push(exponential(field.bytes()?)?),
                        2 => of.aggregation_temporality = field.bits()? as i32,
                        _ => {}
                    }
                    Ok(())
                })?;
                out.exponential_histogram = Some(of);
            }
            11 => {
                let mut of = Summaries::default();
                fields(field.bytes()?, |number, field| {
                    if number == 1 {
                        of.data_points.push(summary(field.bytes()?)?);
                    }
                    Ok(())
                })?;
                out.summary = Some(of);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn numbers(bytes: &[u8]) -> Read<Numbers> {
    let mut out = Numbers::default();
    fields(bytes, |number, field| {
        match number {
            1 => out.data_points.push(number_point(field.bytes()?)?),
            2 => out.aggregation_temporality = field.bits()? as i32,
            3 => out.is_monotonic = field.bits()? != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn number_point(bytes: &[u8]) -> Read<NumberPoint> {
    let mut out = NumberPoint::default();
    fields(bytes, |number, field| {
        match number {
            3 => out.time_unix_nano = field.bits()?,
            4 => out.as_double = Some(field.f64()?),
            5 => out.exemplars.push(exemplar(field.bytes()?)?),
            6 => out.as_int = Some(field.bits()? as i64),
            7 => out.attributes.push(key_value(field.bytes()?, 0)?),
            8 => out.flags = field.bits()? as u32,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn histogram(bytes: &[u8]) -> Read<HistogramPoint> {
    let mut out = HistogramPoint::default();
    fields(bytes, |number, field| {
        match number {
            3 => out.time_unix_nano = field.bits()?,
            4 => out.count = field.bits()?,
            5 => out.sum = Some(field.f64()?),
            6 => field.repeated(Width::Eight, |raw| out.bucket_counts.push(raw))?,
            7 => field.repeated(Width::Eight, |raw| out.explicit_bounds.push(f64::from_bits(raw)))?,
            8 => out.exemplars.push(exemplar(field.bytes()?)?),
            9 => out.attributes.push(key_value(field.bytes()?, 0)?),
            10 => out.flags = field.bits()? as u32,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn exponential(bytes: &[u8]) -> Read<ExponentialPoint> {
    let mut out = ExponentialPoint::default();
    fields(bytes, |number, field| {
        match number {
            1 => out.attributes.push(key_value(field.bytes()?, 0)?),
            3 => out.time_unix_nano = field.bits()?,
            4 => out.count = field.bits()?,
            5 => out.sum = Some(field.f64()?),
            6 => out.scale = field.zigzag()? as i32,
            7 => out.zero_count = field.bits()?,
            8 => out.positive = buckets(field.bytes()?)?,
            9 => out.negative = buckets(field.bytes()?)?,
            10 => out.flags = field.bits()? as u32,
            11 => out.exemplars.push(exemplar(field.bytes()?)?),
            14 => out.zero_threshold = Some(field.f64()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn buckets(bytes: &[u8]) -> Read<Buckets> {
    let mut out = Buckets::default();
    fields(bytes, |number, field| {
        match number {
            1 => out.offset = field.zigzag()? as i32,
            2 => field.repeated(Width::Varint, |raw| out.bucket_counts.push(raw))?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn summary(bytes: &[u8]) -> Read<SummaryPoint> {
    let mut out = SummaryPoint::default();
    fields(bytes, |number, field| {
        match number {
            3 => out.time_unix_nano = field.bits()?,
            4 => out.count = field.bits()?,
            5 => out.sum = Some(field.f64()?),
            6 => {
                let mut of = Quantile::default();
                fields(field.bytes()?, |number, field| {
                    match number {
                        1 => of.quantile = Some(field.f64()?),
                        2 => of.value = Some(field.f64()?),
                        _ => {}
                    }
                    Ok(())
                })?;
                out.quantile_values.push(of);
            }
            7 => out.attributes.push(key_value(field.bytes()?, 0)?),
            8 => out.flags = field.bits()? as u32,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn exemplar(bytes: &[u8]) -> Read<Exemplar> {
    let mut out = Exemplar::default();
    fields(bytes, |number, field| {
        match number {
            2 => out.time_unix_nano = field.bits()?,
            3 => out.as_double = Some(field.f64()?),
            4 => out.span_id = hex(field.bytes()?),
            5 => out.trace_id = hex(field.bytes()?),
            6 => out.as_int = Some(field.bits()? as i64),
            7 => out.filtered_attributes.push(key_value(field.bytes()?, 0)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}
