//! Messages written field by field, and what is read of them. No test knows how the reader goes about it.

use super::*;
use crate::wire::Put;
use proptest::prelude::*;

/// A message, written field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u64, value: u64) -> Self {
        self.0.put_u64(field << 3);
        self.0.put_u64(value);
        self
    }

    fn zigzag(self, field: u64, value: i64) -> Self {
        self.number(field, ((value << 1) ^ (value >> 63)) as u64)
    }

    fn float(mut self, field: u64, value: f64) -> Self {
        self.0.put_u64(field << 3 | 1);
        self.0.put_fixed(value.to_bits());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.0.put_u64(field << 3 | 2);
        self.0.put_bytes(bytes);
        self
    }

    fn inner(self, field: u64, inner: Self) -> Self {
        self.bytes(field, &inner.0)
    }

    fn label(self, name: &str, value: &str) -> Self {
        self.inner(1, Self::default().bytes(1, name.as_bytes()).bytes(2, value.as_bytes()))
    }
}

fn family_of(name: &str, kind: u64, metrics: impl IntoIterator<Item = Message>) -> Vec<u8> {
    let about = Message::default().bytes(1, name.as_bytes()).bytes(2, b"What it counts.").number(3, kind);
    let family = metrics.into_iter().fold(about, |family, metric| family.inner(4, metric)).bytes(5, b"seconds");
    let mut page = Vec::new();
    page.put_bytes(&family.0);
    page
}

fn read(page: &[u8], wanted: Buckets) -> Batch {
    decode(page, 7, wanted, Limits::default()).unwrap()
}

fn example(trace: &str) -> Message {
    let at = Message::default().number(1, 12).number(2, 345_000_000);
    Message::default().label("trace_id", trace).float(2, 0.5).inner(3, at)
}

/// Four observations, in classic buckets and in native ones.
fn both() -> Message {
    let bucket = |upper, count| Message::default().number(1, count).float(2, upper);
    let span = Message::default().zigzag(1, -1).number(2, 2);
    let histogram = Message::default()
        .number(1, 4)
        .float(2, 5.5)
        .inner(3, bucket(0.5, 1).inner(3, example("of a bucket")))
        .inner(3, bucket(1.0, 3))
        .zigzag(5, 3)
        .float(6, 0.001)
        .number(7, 1)
        .inner(12, span)
        .zigzag(13, 1)
        .zigzag(13, 1)
        .inner(16, example("of all"));
    Message::default().label("path", "/").inner(7, histogram)
}

#[test]
fn counters_gauges_and_what_has_no_type_are_read_with_their_labels_times_and_exemplars() {
    let counter = Message::default()
        .label("code", "200")
        .label("empty", "")
        .inner(3, Message::default().float(1, 3.0).inner(2, example("t")));
    let gauge = Message::default().inner(2, Message::default().float(1, -1.5)).number(6, 99);
    let untyped = Message::default().inner(5, Message::default());
    let pages =
        [family_of("requests_total", 0, [counter]), family_of("heat", 1, [gauge]), family_of("x", 3, [untyped])];
    let batch = read(&pages.concat(), Buckets::Native);
    assert_eq!(
        batch.shown(),
        [
            ("requests_total{code=200}".into(), vec![(7, 3.0)]),
            ("heat{}".into(), vec![(99, -1.5)]),
            ("x{}".into(), vec![(7, 0.0)])
        ]
    );
    assert_eq!((batch.exemplars[0].series, batch.exemplars[0].at_ms), (0, Some(12_345)));
    let told: Vec<_> = batch.metadata.iter().map(|about| (about.kind, about.unit.as_str())).collect();
    let seconds = "seconds";
    assert_eq!(told, [(MetricKind::Counter, seconds), (MetricKind::Gauge, seconds), (MetricKind::Unknown, seconds)]);
    assert_eq!(batch.metadata[0].help, "What it counts.");
}

#[test]
fn a_summary_is_its_quantiles_its_count_and_its_sum() {
    let quantile = |q, value| Message::default().float(1, q).float(2, value);
    let summary =
        Message::default().number(1, 9).float(2, 4.5).inner(3, quantile(0.5, 0.25)).inner(3, quantile(1.0, 2.0));
    let batch = read(&family_of("took", 2, [Message::default().inner(4, summary)]), Buckets::Native);
    let shown = batch.shown();
    let names: Vec<_> = shown.iter().map(|(name, points)| (name.as_str(), points[0].1)).collect();
    assert_eq!(
        names,
        [("took{quantile=0.5}", 0.25), ("took{quantile=1.0}", 2.0), ("took_count{}", 9.0), ("took_sum{}", 4.5)]
    );
}

#[test]
fn a_histogram_of_both_kinds_is_taken_as_asked() {
    let page = family_of("took", 4, [both()]);
    let classic = [
        "took_bucket{le=0.5,path=/}",
        "took_bucket{le=1.0,path=/}",
        "took_bucket{le=+Inf,path=/}",
        "took_count{path=/}",
        "took_sum{path=/}",
    ];
    for (wanted, natives, names) in [
        (Buckets::Native, 1, vec!["took{path=/}"]),
        (Buckets::Classic, 0, classic.to_vec()),
        (Buckets::Both, 1, [&["took{path=/}"], &classic[..]].concat()),
    ] {
        let batch = read(&page, wanted);
        let shown = batch.shown();
        assert_eq!(shown.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names, "{wanted:?}");
        assert_eq!(batch.histograms.len(), natives, "{wanted:?}");
    }
    let batch = read(&page, Buckets::Both);
    let found = &batch.histograms[0].histogram;
    assert_eq!((found.schema, found.count, found.sum), (3, 4.0, 5.5));
    assert_eq!((found.zero_threshold, found.zero_count), (0.001, 1.0));
    assert_eq!(found.positive, [(-1, 1.0), (0, 2.0)]);
    assert_eq!(batch.shown()[3].1, [(7, 4.0)], "the last bucket holds everything");
    let examples: Vec<_> = batch.exemplars.iter().map(|e| (e.series, e.labels[0].1.as_str())).collect();
    assert_eq!(examples, [(0, "of all"), (0, "of a bucket"), (1, "of a bucket")]);
}

#[test]
fn histograms_of_fractions_of_gauges_and_without_observations_are_native_ones() {
    let span = Message::default().zigzag(1, 0).number(2, 1);
    let fractions = Message::default().number(1, 0).float(4, 2.5).float(2, 1.0).inner(9, span).float(11, 2.5);
    let empty = Message::default().number(1, 0).zigzag(5, 3).inner(12, Message::default());
    let metrics = [fractions, empty].map(|histogram| Message::default().inner(7, histogram));
    let batch = read(&family_of("took", 5, metrics), Buckets::Native);
    let [fractions, empty] = batch.histograms.as_slice() else { panic!("two of them") };
    assert_eq!((fractions.histogram.count, fractions.histogram.hint), (2.5, ResetHint::Gauge));
    assert_eq!(fractions.histogram.negative, [(0, 2.5)]);
    assert_eq!((empty.histogram.count, empty.histogram.schema), (0.0, 3));
}

#[test]
fn what_is_cut_short_or_no_page_is_refused() {
    let page = family_of("took", 4, [both()]);
    let nameless = family_of("", 1, [Message::default().inner(2, Message::default())]);
    let empty = family_of("x", 1, [Message::default()]);
    for (page, why) in [
        (&page[..page.len() - 1], "its end is missing"),
        (&b"# TYPE a gauge\na 1\n"[..], "text"),
        (&nameless[..], "a family without a name"),
        (&empty[..], "a metric without a value"),
    ] {
        assert!(decode(page, 0, Buckets::Native, Limits::default()).is_err(), "{why}");
    }
    assert!(decode(b"", 0, Buckets::Native, Limits::default()).is_ok_and(|batch| batch.is_empty()));
}

proptest! {
    #[test]
    fn any_bytes_are_a_page_or_an_error(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let _ = decode(&bytes, 0, Buckets::Both, Limits::default());
        let mut page = family_of("took", 4, [both()]);
        let place = at.index(page.len());
        page[place] = to;
        let _ = decode(&page, 0, Buckets::Both, Limits::default());
    }
}
