//! Prometheus's protocol buffers: what `/metrics` answers to those who ask for `io.prometheus.client.MetricFamily`, one message after
//! another with its length before it. It is the only form of exposition that has native histograms.
//!
//! Classic buckets, counts and quantiles become series as the text formats name them. A page is taken whole or not at all.

use std::borrow::Cow;

use super::batch::{Batch, MetricKind};
use super::proto::{Field, Proto};
use super::remote_write::native::Side;
use super::{FormatError, Limits, within};
use crate::histogram::{Histogram, ResetHint};
use crate::labels::NAME;
use crate::promql::label_float;

/// Which buckets of histograms are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buckets {
    /// Those with a bound for each; native ones are left out.
    Classic,
    /// Native ones where there are any, else the classic.
    #[default]
    Native,
    /// All.
    Both,
}

/// Reads a page. `now_ms` (Unix milliseconds) is the time of every sample that has none of its own.
///
/// # Errors
/// [`FormatError::Malformed`] when it is no such page; [`FormatError::TooLarge`] when limits are passed.
pub fn decode(body: &[u8], now_ms: i64, wanted: Buckets, limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    let mut batch = Batch::new(limits);
    let mut page = Proto::new(body);
    while !page.is_empty() {
        let end = page.piece()?;
        family(&body[page.at()..end], now_ms, wanted, &mut batch)?;
        page.skip_to(end);
    }
    Ok(batch)
}

fn family(message: &[u8], now_ms: i64, wanted: Buckets, batch: &mut Batch) -> Result<(), FormatError> {
    let (mut name, mut help, mut unit, mut kind) = ("", "", "", 0);
    let mut metrics = Vec::new();
    let mut fields = Proto::new(message);
    while let Some((number, field)) = fields.field()? {
        match number {
            1 => name = field.text()?,
            2 => help = field.text()?,
            3 => kind = field.bits()?,
            4 => metrics.push(field.bytes()?),
            5 => unit = field.text()?,
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(FormatError::Malformed { at: fields.at(), reason: "a family has no name" });
    }
    let about = batch.describe(name)?;
    (about.help, about.unit) = (help.into(), unit.into());
    about.kind = match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Summary,
        4 => MetricKind::Histogram,
        5 => MetricKind::GaugeHistogram,
        _ => MetricKind::Unknown,
    };
    let hint = if kind == 5 { ResetHint::Gauge } else { ResetHint::Unknown };
    metrics.into_iter().try_for_each(|one| Metric::read(name, one, now_ms)?.put(wanted, hint, batch))
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One metric of a family: its labels, and the message with its values by the number of its field.
struct Metric<'a> {
    name: &'a str,
    labels: Pairs<'a>,
    at_ms: i64,
    values: Option<(u64, &'a [u8])>,
}

impl<'a> Metric<'a> {
    fn read(name: &'a str, message: &'a [u8], now_ms: i64) -> Result<Self, FormatError> {
        let mut found = Self { name, labels: Vec::new(), at_ms: now_ms, values: None };
        let mut fields = Proto::new(message);
        while let Some((number, field)) = fields.field()? {
            match number {
                1 => found.labels.push(pair(field.bytes()?)?),
                2..=5 | 7 => found.values = Some((number, field.bytes()?)),
                // Zero is what the schema says when nothing is said.
                6 => found.at_ms = Some(field.bits()? as i64).filter(|at| *at != 0).unwrap_or(now_ms),
                _ => {}
            }
        }
        Ok(found)
    }

    fn put(self, wanted: Buckets, hint: ResetHint, batch: &mut Batch) -> Result<(), FormatError> {
        match self.values {
            Some((4, message)) => self.summary(message, batch),
            Some((7, message)) => self.histogram(&Counted::read(message, hint)?, wanted, batch),
            Some((_, message)) => self.single(message, batch),
            None => Err(FormatError::Malformed { at: 0, reason: "a metric has no value" }),
        }
    }

    /// A series whose name ends so, perhaps with one more label.
    fn series(&self, suffix: &str, more: Option<(&'static str, f64)>, batch: &mut Batch) -> Result<(), FormatError> {
        let mut pairs = self.labels.clone();
        let name = if suffix.is_empty() { self.name.into() } else { format!("{}{suffix}", self.name).into() };
        pairs.push((NAME.into(), name));
        pairs.extend(more.map(|(label, value)| (label.into(), label_float(value).into())));
        batch.begin_pairs(&mut pairs)
    }

    /// A counter, a gauge, or what has no type.
    fn single(&self, message: &[u8], batch: &mut Batch) -> Result<(), FormatError> {
        let (mut value, mut example) = (0.0, None);
        let mut fields = Proto::new(message);
        while let Some((number, field)) = fields.field()? {
            match (number, field) {
                (1, field) => value = field.f64()?,
                (2, Field::Bytes(message)) => example = Some(message),
                _ => {}
            }
        }
        self.series("", None, batch)?;
        batch.point(self.at_ms, value)?;
        example.map_or(Ok(()), |message| exemplar(message, batch))
    }

    fn summary(&self, message: &[u8], batch: &mut Batch) -> Result<(), FormatError> {
        let (mut count, mut sum, mut quantiles) = (0.0, 0.0, Vec::new());
        let mut fields = Proto::new(message);
        while let Some((number, field)) = fields.field()? {
            match number {
                1 => count = field.bits()? as f64,
                2 => sum = field.f64()?,
                3 => {
                    let (mut quantile, mut value, mut inner) = (0.0, 0.0, Proto::new(field.bytes()?));
                    while let Some((number, field)) = inner.field()? {
                        match number {
                            1 => quantile = field.f64()?,
                            2 => value = field.f64()?,
                            _ => {}
                        }
                    }
                    quantiles.push((quantile, value));
                }
                _ => {}
            }
        }
        for (quantile, value) in quantiles {
            self.series("", Some(("quantile", quantile)), batch)?;
            batch.point(self.at_ms, value)?;
        }
        self.total("_count", count, batch)?;
        self.total("_sum", sum, batch)
    }

    fn total(&self, suffix: &str, value: f64, batch: &mut Batch) -> Result<(), FormatError> {
        self.series(suffix, None, batch)?;
        batch.point(self.at_ms, value)
    }

    fn histogram(&self, counted: &Counted<'_>, wanted: Buckets, batch: &mut Batch) -> Result<(), FormatError> {
        let takes_native = counted.is_native && wanted != Buckets::Classic;
        if takes_native {
            self.series("", None, batch)?;
            batch.histogram(self.at_ms, counted.native.clone())?;
            let of_buckets = counted.classic.iter().filter_map(|bucket| bucket.example);
            counted.examples.iter().copied().chain(of_buckets).try_for_each(|message| exemplar(message, batch))?;
        }
        if takes_native && wanted == Buckets::Native {
            return Ok(());
        }
        let mut bounded = false;
        for bucket in &counted.classic {
            bounded |= bucket.upper == f64::INFINITY;
            self.series("_bucket", Some(("le", bucket.upper)), batch)?;
            batch.point(self.at_ms, bucket.count)?;
            bucket.example.map_or(Ok(()), |message| exemplar(message, batch))?;
        }
        // The last bucket holds everything, and need not be sent.
        if !bounded {
            self.series("_bucket", Some(("le", f64::INFINITY)), batch)?;
            batch.point(self.at_ms, counted.native.count)?;
        }
        self.total("_count", counted.native.count, batch)?;
        self.total("_sum", counted.native.sum, batch)
    }
}

/// A histogram of either kind, or of both.
struct Counted<'a> {
    is_native: bool,
    native: Histogram,
    classic: Vec<Bucket<'a>>,
    /// Exemplars that are of no single bucket.
    examples: Vec<&'a [u8]>,
}

struct Bucket<'a> {
    upper: f64,
    count: f64,
    example: Option<&'a [u8]>,
}

impl<'a> Counted<'a> {
    fn read(message: &'a [u8], hint: ResetHint) -> Result<Self, FormatError> {
        let native = Histogram { hint, ..Histogram::default() };
        let mut found = Self { is_native: false, native, classic: Vec::new(), examples: Vec::new() };
        let (mut above, mut below) = (Side::default(), Side::default());
        let mut fields = Proto::new(message);
        while let Some((number, field)) = fields.field()? {
            let native = &mut found.native;
            match number {
                1 => native.count = field.bits()? as f64,
                // Of a histogram of whole numbers this is zero, and says nothing.
                4 => native.count = field.f64().map(|count| if count > 0.0 { count } else { native.count })?,
                2 => native.sum = field.f64()?,
                3 => found.classic.push(Bucket::read(field.bytes()?)?),
                5 => native.schema = i32::try_from(field.zigzag()?).unwrap_or(i32::MAX),
                6 => native.zero_threshold = field.f64()?,
                7 => native.zero_count = field.bits()? as f64,
                8 => {
                    native.zero_count = field.f64().map(|count| if count > 0.0 { count } else { native.zero_count })?
                }
                9 => below.span(field)?,
                10 => below.deltas(field)?,
                11 => below.absolute(field)?,
                12 => above.span(field)?,
                13 => above.deltas(field)?,
                14 => above.absolute(field)?,
                16 => found.examples.push(field.bytes()?),
                _ => {}
            }
        }
        // One without observations yet has a run of no buckets, by which it is known.
        let zero = found.native.zero_threshold > 0.0 || found.native.zero_count > 0.0;
        found.is_native = zero || !above.is_empty() || !below.is_empty();
        (found.native.positive, found.native.negative) = (above.buckets()?, below.buckets()?);
        Ok(found)
    }
}

impl<'a> Bucket<'a> {
    fn read(message: &'a [u8]) -> Result<Self, FormatError> {
        let (mut bucket, mut fields) = (Self { upper: 0.0, count: 0.0, example: None }, Proto::new(message));
        while let Some((number, field)) = fields.field()? {
            match number {
                1 => bucket.count = field.bits()? as f64,
                2 => bucket.upper = field.f64()?,
                3 => bucket.example = Some(field.bytes()?),
                4 => bucket.count = field.f64().map(|count| if count > 0.0 { count } else { bucket.count })?,
                _ => {}
            }
        }
        Ok(bucket)
    }
}

/// A message of a name and a value.
fn pair(message: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), FormatError> {
    let (mut pair, mut fields) = (("", ""), Proto::new(message));
    while let Some((number, field)) = fields.field()? {
        match number {
            1 => pair.0 = field.text()?,
            2 => pair.1 = field.text()?,
            _ => {}
        }
    }
    Ok((pair.0.into(), pair.1.into()))
}

/// Adds an exemplar to the series that was begun last.
fn exemplar(message: &[u8], batch: &mut Batch) -> Result<(), FormatError> {
    let (mut labels, mut value, mut at_ms, mut fields) = (Vec::new(), 0.0, None, Proto::new(message));
    while let Some((number, field)) = fields.field()? {
        match number {
            1 => labels.push(pair(field.bytes()?)?),
            2 => value = field.f64()?,
            3 => at_ms = Some(timestamp(field.bytes()?)?),
            _ => {}
        }
    }
    batch.exemplar(labels.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect(), value, at_ms)
}

/// Seconds and nanoseconds as milliseconds.
fn timestamp(message: &[u8]) -> Result<i64, FormatError> {
    let (mut seconds, mut nanos, mut fields) = (0, 0, Proto::new(message));
    while let Some((number, field)) = fields.field()? {
        match number {
            1 => seconds = field.bits()? as i64,
            2 => nanos = field.bits()? as i64,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

#[cfg(test)]
mod tests;
