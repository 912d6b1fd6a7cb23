//! Remote write, written: series, points and what goes with them as `prometheus.WriteRequest`, and that as the message of
//! version 2. Bytes only: what is compressed, queued or sent is decided elsewhere. It must never write what the decoders
//! of `series::formats` would not read back.

use std::collections::HashMap;

use series::formats::{Batch, Exemplar, FormatError, Limits, Metadata, MetricKind, remote_write};
use series::{Histogram, Labels};

use crate::protobuf::{bytes, float, message, number, varint};

/// Everything that one series carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// Unix milliseconds and value.
    pub points: &'a [(i64, f64)],
    /// Native histograms with their time.
    pub histograms: &'a [(i64, &'a Histogram)],
    /// Examples; their `series` is not looked at.
    pub exemplars: &'a [&'a Exemplar],
}

/// Appends one label of a series. Receivers want them in order of their names.
pub fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, 1, |inner| {
        bytes(inner, 1, name.as_bytes());
        bytes(inner, 2, value.as_bytes());
    });
}

/// The labels of a series as remote write carries them, with one more pair that wins over one of the same name.
pub fn key(labels: &Labels, more: (&str, &str)) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + labels.iter().map(|(n, v)| n.len() + v.len() + 6).sum::<usize>());
    let mut placed = false;
    for (name, value) in labels.iter() {
        if !placed && more.0 <= name {
            label(&mut out, more.0, more.1);
            placed = true;
        }
        if name != more.0 {
            label(&mut out, name, value);
        }
    }
    if !placed {
        label(&mut out, more.0, more.1);
    }
    out
}

/// Appends a series to a `WriteRequest`. `key` is its labels, as [`label`] writes them.
pub fn series(out: &mut Vec<u8>, key: &[u8], content: Content<'_>) {
    let mut inner = Vec::with_capacity(key.len() + content.points.len() * 20);
    inner.extend_from_slice(key);
    put_content(&mut inner, (2, 4, 3), content, |out, labels| {
        for (name, value) in labels {
            label(out, name, value);
        }
    });
    bytes(out, 1, &inner);
}

/// Points, histograms and exemplars with the field numbers `(points, histograms, exemplars)` of either version.
fn put_content(
    out: &mut Vec<u8>,
    (points, histograms, exemplars): (u8, u8, u8),
    content: Content<'_>,
    mut put_labels: impl FnMut(&mut Vec<u8>, &[(String, String)]),
) {
    for (at_ms, value) in content.points {
        message(out, points, |inner| {
            float(inner, 1, *value);
            number(inner, 2, *at_ms as u64);
        });
    }
    for exemplar in content.exemplars {
        message(out, exemplars, |inner| {
            put_labels(inner, &exemplar.labels);
            float(inner, 2, exemplar.value);
            // An example without a time of its own is as old as the newest point.
            let at_ms = exemplar.at_ms.or(content.points.last().map(|(at, _)| *at));
            number(inner, 3, at_ms.unwrap_or_default() as u64);
        });
    }
    for (at_ms, histogram) in content.histograms {
        bytes(out, histograms, &remote_write::encode_histogram(*at_ms, histogram));
    }
}

fn kind_number(kind: MetricKind) -> u64 {
    match kind {
        MetricKind::Unknown => 0,
        MetricKind::Counter => 1,
        MetricKind::Gauge => 2,
        MetricKind::Histogram => 3,
        MetricKind::GaugeHistogram => 4,
        MetricKind::Summary => 5,
        MetricKind::Info => 6,
        MetricKind::StateSet => 7,
    }
}

/// Appends what is said of a family to a `WriteRequest`.
pub fn metadata(out: &mut Vec<u8>, about: &Metadata) {
    message(out, 3, |inner| {
        number(inner, 1, kind_number(about.kind));
        bytes(inner, 2, about.family.as_bytes());
        bytes(inner, 4, about.help.as_bytes());
        bytes(inner, 5, about.unit.as_bytes());
    });
}

/// What goes with one series of a batch beside its points: histograms with their times, and exemplars.
pub type Extras<'a> = (Vec<(i64, &'a Histogram)>, Vec<&'a Exemplar>);

/// The histograms and exemplars of each series of a batch, by its place.
pub fn extras(batch: &Batch) -> HashMap<usize, Extras<'_>> {
    let mut by_series: HashMap<usize, Extras<'_>> = HashMap::new();
    for point in &batch.histograms {
        by_series.entry(point.series).or_default().0.push((point.at_ms, &point.histogram));
    }
    for exemplar in &batch.exemplars {
        by_series.entry(exemplar.series).or_default().1.push(exemplar);
    }
    by_series
}

/// The texts of a version 2 request, each once; the first is empty.
struct Symbols {
    places: HashMap<String, u64>,
    message: Vec<u8>,
}

impl Symbols {
    fn place(&mut self, text: &str) -> u64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.places.len() as u64;
        self.places.insert(text.to_owned(), place);
        bytes(&mut self.message, 4, text.as_bytes());
        place
    }

    fn pairs<'a>(&mut self, out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        let places: Vec<u64> = pairs.flat_map(|(name, value)| [self.place(name), self.place(value)]).collect();
        message(out, 1, |inner| places.iter().for_each(|place| varint(inner, *place)));
    }
}

/// A version 1 request as one of version 2, both without compression. Families that no series here is of are left out:
/// version 2 has no place for them.
///
/// # Errors
/// The request is not one.
pub fn version_two(request: &[u8]) -> Result<Vec<u8>, FormatError> {
    let batch = remote_write::decode_plain(remote_write::Version::One, request.to_vec(), Limits::NONE)?;
    let families: HashMap<&str, &Metadata> =
        batch.metadata.iter().map(|about| (about.family.as_str(), about)).collect();
    let by_series = extras(&batch);
    let mut symbols = Symbols { places: HashMap::new(), message: Vec::new() };
    symbols.place("");
    let mut all = Vec::with_capacity(request.len() / 2);
    for (place, one) in batch.series().enumerate() {
        let labels = one.labels?;
        let mut inner = Vec::new();
        symbols.pairs(&mut inner, labels.iter());
        let (histograms, exemplars) = by_series.get(&place).map_or((&[][..], &[][..]), |(h, e)| (h, e));
        let content = Content { points: one.points, histograms, exemplars };
        put_content(&mut inner, (2, 3, 4), content, |out, pairs| {
            symbols.pairs(out, pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        });
        if let Some(about) = family(labels.name(), &families) {
            let (help, unit) = (symbols.place(&about.help), symbols.place(&about.unit));
            message(&mut inner, 5, |m| {
                number(m, 1, kind_number(about.kind));
                number(m, 3, help);
                number(m, 4, unit);
            });
        }
        bytes(&mut all, 5, &inner);
    }
    symbols.message.append(&mut all);
    Ok(symbols.message)
}

fn family<'a>(name: &str, families: &HashMap<&str, &'a Metadata>) -> Option<&'a Metadata> {
    let stems = ["_bucket", "_count", "_sum", "_total", "_created"].iter().filter_map(|end| name.strip_suffix(end));
    std::iter::once(name).chain(stems).find_map(|stem| families.get(stem).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use series::formats::remote_write::Version;

    fn decoded(version: Version, body: &[u8]) -> Batch {
        remote_write::decode_plain(version, body.to_vec(), Limits::default()).unwrap()
    }

    fn histogram() -> Histogram {
        Histogram {
            schema: 3,
            count: 12.0,
            sum: -1.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive: vec![(-2, 3.0), (-1, 1.0), (3, 2.0)],
            negative: vec![(0, 1.0)],
            hint: series::ResetHint::Gauge,
            ..Histogram::default()
        }
    }

    fn full() -> Vec<u8> {
        let labels = Labels::metric("x_total", &[("job", "a")]).unwrap();
        let example = Exemplar { series: 0, labels: vec![("trace_id".into(), "t".into())], value: 2.0, at_ms: Some(9) };
        let counted = histogram();
        let floats = Histogram { positive: vec![(0, 0.5), (7, 2.5)], ..counted.clone() };
        let custom = Histogram {
            schema: series::CUSTOM_BUCKETS,
            count: 4.0,
            positive: vec![(0, 1.0), (2, 3.0)],
            custom_bounds: vec![0.5, 1.0],
            ..Histogram::default()
        };
        let content = Content {
            points: &[(5, 1.5), (-6, f64::INFINITY)],
            histograms: &[(7, &counted), (8, &floats), (9, &custom)],
            exemplars: &[&example],
        };
        let mut out = Vec::new();
        series(&mut out, &key(&labels, ("mine", "7")), content);
        let about = Metadata { family: "x".into(), kind: MetricKind::Counter, unit: "s".into(), help: "What".into() };
        metadata(&mut out, &about);
        out
    }

    #[test]
    fn everything_that_a_series_carries_is_read_back_from_both_versions() {
        let one = full();
        let two = version_two(&one).unwrap();
        for batch in [decoded(Version::One, &one), decoded(Version::Two, &two)] {
            let series = batch.series().next().unwrap();
            assert_eq!(series.labels.unwrap(), Labels::metric("x_total", &[("job", "a"), ("mine", "7")]).unwrap());
            assert_eq!(series.points, [(5, 1.5), (-6, f64::INFINITY)]);
            assert_eq!(batch.histograms[0].histogram, histogram());
            assert_eq!((batch.histograms[0].at_ms, batch.histograms[1].at_ms), (7, 8));
            assert_eq!(batch.histograms[1].histogram.positive, [(0, 0.5), (7, 2.5)]);
            assert_eq!(batch.histograms[2].histogram.custom_bounds, [0.5, 1.0]);
            assert_eq!(batch.histograms[2].histogram.positive, [(0, 1.0), (2, 3.0)]);
            assert_eq!((batch.exemplars[0].at_ms, batch.exemplars[0].labels[0].1.as_str()), (Some(9), "t"));
            assert_eq!((batch.metadata[0].kind, batch.metadata[0].help.as_str()), (MetricKind::Counter, "What"));
        }
    }

    #[test]
    fn a_pair_of_the_same_name_is_replaced_not_added() {
        let labels = Labels::metric("x", &[("tenant", "stolen")]).unwrap();
        let mut out = Vec::new();
        series(&mut out, &key(&labels, ("tenant", "mine")), Content { points: &[(1, 1.0)], ..Content::default() });
        let batch = decoded(Version::One, &out);
        assert_eq!(batch.series().next().unwrap().labels.unwrap().get("tenant"), Some("mine"));
    }

    proptest! {
        #[test]
        fn labels_keep_their_order_wherever_the_tenant_falls(
            names in prop::collection::btree_set("[a-z_]{1,6}", 1..8), more in "[a-z_]{1,6}",
        ) {
            let labels = Labels::new(names.iter().map(|n| (n.as_str(), "v"))).unwrap();
            let mut out = Vec::new();
            series(&mut out, &key(&labels, (&more, "mine")), Content { points: &[(1, 1.0)], ..Content::default() });
            let found = decoded(Version::One, &out).series().next().unwrap().labels.unwrap();
            prop_assert_eq!(found.get(&more), Some("mine"));
            prop_assert_eq!(found.iter().len(), names.len() + usize::from(!names.contains(&more)));
        }
    }
}
