//! What the log keeps beside floats: histograms, and what is said about series. One record each, in frames of their own.
//!
//! A record of a series names it by its number, which the segment defines before it; everything else says itself whose it
//! is. [`replay`](crate::replay) reads them.

use crate::about::{LogExemplar, kind_number, kind_of};
use crate::cut::Cut;
use crate::formats::{Exemplar, Metadata};
use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::key;
use crate::labels::Labels;
use crate::matcher::{MatchOp, Matcher};
use crate::native::{NativePart, put_single};
use crate::wire::{Put, Take};

pub(crate) const TAG_HISTOGRAM: u8 = 4;
pub(crate) const TAG_HISTOGRAMS: u8 = 5;
pub(crate) const TAG_METADATA: u8 = 6;
pub(crate) const TAG_EXEMPLARS: u8 = 7;
pub(crate) const TAG_CUT: u8 = 8;

/// One record on its way into the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    /// A histogram of a series.
    Histogram { id: SeriesId, at_ms: i64, histogram: &'a Histogram },
    /// Those of a window, as the head has them.
    Histograms { id: SeriesId, part: &'a NativePart },
    /// Type, unit and help of a family.
    Metadata { tenant: u64, told: &'a Metadata },
    /// An exemplar.
    Exemplar { tenant: u64, one: &'a LogExemplar },
    /// Several of a series, one after the other.
    Exemplars { tenant: u64, labels: &'a Labels, kept: &'a [(i64, &'a Exemplar)] },
    /// A delete.
    Cut(&'a Cut),
}

impl Record<'_> {
    /// The series that must be defined before it.
    pub(crate) fn series(&self) -> Option<SeriesId> {
        match self {
            Self::Histogram { id, .. } | Self::Histograms { id, .. } => Some(*id),
            Self::Metadata { .. } | Self::Exemplar { .. } | Self::Exemplars { .. } | Self::Cut(_) => None,
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Histogram { id, at_ms, histogram } => {
                out.push(TAG_HISTOGRAM);
                out.put_u64(u64::from(*id));
                out.put_i64(*at_ms);
                put_single(histogram, out);
            }
            Self::Histograms { id, part } => {
                out.push(TAG_HISTOGRAMS);
                out.put_u64(u64::from(*id));
                out.put_i64(part.start_ms);
                part.rows.put(out);
                out.put_u64(part.late.len() as u64);
                for (at_ms, histogram) in &part.late {
                    out.put_i64(at_ms.wrapping_sub(part.start_ms));
                    put_single(histogram, out);
                }
            }
            Self::Metadata { tenant, told } => {
                out.push(TAG_METADATA);
                out.put_u64(*tenant);
                out.push(kind_number(told.kind));
                [&told.family, &told.unit, &told.help].into_iter().for_each(|text| out.put_bytes(text.as_bytes()));
            }
            Self::Exemplar { tenant, one } => {
                put_exemplars(*tenant, &one.labels, &[(one.at_ms, &one.exemplar)], out);
            }
            Self::Exemplars { tenant, labels, kept } => put_exemplars(*tenant, labels, kept, out),
            Self::Cut(cut) => put_cut(cut, out),
        }
    }
}

fn put_exemplars(tenant: u64, labels: &Labels, all: &[(i64, &Exemplar)], out: &mut Vec<u8>) {
    out.push(TAG_EXEMPLARS);
    out.put_u64(tenant);
    out.put_bytes(&key::of(labels));
    out.put_u64(all.len() as u64);
    for (at_ms, exemplar) in all {
        out.put_i64(*at_ms);
        out.put_fixed(exemplar.value.to_bits());
        out.put_u64(exemplar.labels.len() as u64);
        for (name, value) in &exemplar.labels {
            out.put_bytes(name.as_bytes());
            out.put_bytes(value.as_bytes());
        }
    }
}

fn put_cut(cut: &Cut, out: &mut Vec<u8>) {
    out.push(TAG_CUT);
    out.put_u64(cut.tenant);
    out.put_i64(cut.from_ms);
    out.put_i64(cut.to_ms);
    out.put_u64(u64::from(cut.upto));
    out.put_u64(cut.matchers.len() as u64);
    for matcher in &cut.matchers {
        let op = OPS.iter().position(|op| *op == matcher.op()).unwrap_or(0);
        out.push(op as u8);
        out.put_bytes(matcher.name().as_bytes());
        out.put_bytes(matcher.value().as_bytes());
    }
}

const OPS: [MatchOp; 4] = [MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre];

fn take_text(take: &mut Take<'_>) -> Option<String> {
    String::from_utf8(take.bytes()?.to_vec()).ok()
}

/// Reads what follows [`TAG_METADATA`].
pub(crate) fn take_metadata(take: &mut Take<'_>) -> Option<(u64, Metadata)> {
    let (tenant, kind) = (take.u64()?, kind_of(take.byte()?)?);
    Some((tenant, Metadata { kind, family: take_text(take)?, unit: take_text(take)?, help: take_text(take)? }))
}

/// Reads what follows [`TAG_EXEMPLARS`].
pub(crate) fn take_exemplars(take: &mut Take<'_>) -> Option<(u64, Vec<LogExemplar>)> {
    let (tenant, labels) = (take.u64()?, key::labels(take.bytes()?).ok()?);
    let mut all = Vec::new();
    for _ in 0..take.u64()? {
        let (at_ms, value) = (take.i64()?, f64::from_bits(take.fixed()?));
        let mut own = Vec::new();
        for _ in 0..take.u64()? {
            own.push((take_text(take)?, take_text(take)?));
        }
        let exemplar = Exemplar { series: 0, labels: own, value, at_ms: Some(at_ms) };
        all.push(LogExemplar { labels: labels.clone(), at_ms, exemplar });
    }
    Some((tenant, all))
}

/// Reads what follows [`TAG_CUT`].
pub(crate) fn take_cut(take: &mut Take<'_>) -> Option<Cut> {
    let (tenant, from_ms, to_ms, upto) = (take.u64()?, take.i64()?, take.i64()?, take.u32()?);
    let mut matchers = Vec::new();
    for _ in 0..take.u64()? {
        let op = *OPS.get(usize::from(take.byte()?))?;
        let (name, value) = (take_text(take)?, take_text(take)?);
        matchers.push(Matcher::new(name, op, value).ok()?);
    }
    Some(Cut { tenant, matchers, from_ms, to_ms, upto })
}
