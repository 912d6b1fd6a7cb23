//! What senders write is what is read, in both versions; and nothing that they could write is a panic.

use super::*;
use crate::Labels;
use proptest::prelude::*;

fn put(out: &mut Vec<u8>, number: u64, piece: &[u8]) {
    crate::wire::Put::put_u64(out, number << 3 | 2);
    crate::wire::Put::put_u64(out, piece.len() as u64);
    out.extend_from_slice(piece);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    crate::wire::Put::put_u64(out, field << 3);
    crate::wire::Put::put_u64(out, value);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    crate::wire::Put::put_u64(out, field << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn pressed(raw: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(raw).unwrap()
}

fn raw_sample(at_ms: i64, value: f64) -> Vec<u8> {
    let mut out = Vec::new();
    double(&mut out, 1, value);
    number(&mut out, 2, at_ms as u64);
    out
}

fn raw_label(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, 1, name.as_bytes());
    put(&mut out, 2, value.as_bytes());
    out
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        rows in prop::collection::vec(("[a-z]{1,8}", "\\PC{1,40}", prop::collection::vec((any::<i64>(), any::<f64>()), 0..5)), 0..20),
    ) {
        let rows: Vec<_> = rows.into_iter().map(|(n, v, p)| (Labels::metric(&n, &[("l", &v)]).unwrap(), p)).collect();
        let body = encode(rows.iter().map(|(l, p)| (l, p.as_slice())));
        let batch = decode(Version::One, &body, Limits::default()).unwrap();
        let found: Vec<_> = batch.series().map(|s| (s.labels.unwrap(), s.points.to_vec())).collect();
        let bits = |rows: &[(Labels, Vec<(i64, f64)>)]| -> Vec<_> {
            rows.iter().map(|(l, p)| (l.clone(), p.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>())).collect()
        };
        prop_assert_eq!(bits(&found), bits(&rows));
    }

    #[test]
    fn any_bytes_are_a_batch_or_an_error(raw in any::<Vec<u8>>()) {
        for version in [Version::One, Version::Two] {
            if let Ok(batch) = decode(version, &pressed(&raw), Limits::default()) {
                prop_assert!(batch.series().map(|s| s.points.len()).sum::<usize>() == batch.samples());
            }
        }
    }
}

#[test]
fn labels_behind_samples_and_fields_of_the_future_are_read_all_the_same() {
    let mut series = Vec::new();
    put(&mut series, 1, &raw_label("job", "web"));
    put(&mut series, 2, &raw_sample(5, 1.5));
    put(&mut series, 1, &raw_label("__name__", "up"));
    put(&mut series, 99, b"new");
    put(&mut series, 1, &raw_label("zone", "a"));
    put(&mut series, 2, &[]);
    let mut request = Vec::new();
    put(&mut request, 1, &series);
    put(&mut request, 1, &series);
    let batch = decode(Version::One, &pressed(&request), Limits::default()).unwrap();
    let one = ("up{job=web,zone=a}".to_owned(), vec![(5, 1.5), (0, 0.0)]);
    assert_eq!(batch.shown(), [one.clone(), one]);
}

#[test]
fn metadata_exemplars_and_native_histograms_are_told() {
    let mut histogram_bytes = Vec::new();
    number(&mut histogram_bytes, 1, 12);
    double(&mut histogram_bytes, 3, 18.4);
    number(&mut histogram_bytes, 4, 5); // zigzag of -3
    let mut span_bytes = Vec::new();
    number(&mut span_bytes, 1, 1);
    number(&mut span_bytes, 2, 2);
    put(&mut histogram_bytes, 11, &span_bytes);
    put(&mut histogram_bytes, 12, &[2, 1]);
    number(&mut histogram_bytes, 15, 7_000);
    let mut example = Vec::new();
    put(&mut example, 1, &raw_label("trace_id", "abc"));
    double(&mut example, 2, 0.3);
    number(&mut example, 3, 6_999);
    let mut series = Vec::new();
    put(&mut series, 1, &raw_label("__name__", "latency"));
    put(&mut series, 3, &example);
    put(&mut series, 4, &histogram_bytes);
    let mut told = Vec::new();
    number(&mut told, 1, 3);
    put(&mut told, 2, b"latency");
    put(&mut told, 4, b"how long");
    put(&mut told, 5, b"seconds");
    let mut request = Vec::new();
    put(&mut request, 1, &series);
    put(&mut request, 3, &told);
    let batch = decode(Version::One, &pressed(&request), Limits::default()).unwrap();
    assert_eq!(batch.metadata[0].kind, MetricKind::Histogram);
    assert_eq!((batch.metadata[0].unit.as_str(), batch.metadata[0].help.as_str()), ("seconds", "how long"));
    assert_eq!(batch.exemplars[0].labels, [("trace_id".to_owned(), "abc".to_owned())]);
    let found = &batch.histograms[0];
    assert_eq!((found.at_ms, found.histogram.schema, found.histogram.count), (7_000, -3, 12.0));
    assert_eq!(found.histogram.positive, [(-1, 1.0)], "the empty bucket is left out");
}

#[test]
fn version_two_names_labels_by_symbols() {
    let mut series = Vec::new();
    put(&mut series, 1, &[1, 2, 3, 4]);
    put(&mut series, 2, &raw_sample(10, 2.0));
    let mut about = Vec::new();
    number(&mut about, 1, 1);
    number(&mut about, 3, 5);
    put(&mut series, 5, &about);
    let request = |symbols: &[&str]| {
        let mut out = Vec::new();
        put(&mut out, 5, &series);
        for symbol in symbols {
            put(&mut out, 4, symbol.as_bytes());
        }
        pressed(&out)
    };
    let whole = ["", "job", "web", "__name__", "hits_total", "hits so far"];
    let batch = decode(Version::Two, &request(&whole), Limits::default()).unwrap();
    assert_eq!(batch.shown(), [("hits_total{job=web}".to_owned(), vec![(10, 2.0)])]);
    assert_eq!((batch.metadata[0].kind, batch.metadata[0].help.as_str()), (MetricKind::Counter, "hits so far"));
    assert!(decode(Version::Two, &request(&whole[..4]), Limits::default()).is_err(), "a symbol that is not there");
    assert!(decode(Version::Two, &request(&["x"; 6]), Limits::default()).is_err(), "the first symbol is not empty");
}

#[test]
fn limits_hold_for_everything_that_is_counted() {
    let labels = Labels::metric("m", &[]).unwrap();
    let points = [(1, 1.0), (2, 2.0), (3, 3.0)];
    let body = encode([(&labels, points.as_slice()), (&labels, points.as_slice())]);
    let table = [
        (Limits { samples: 5, ..Limits::default() }, "samples"),
        (Limits { series: 1, ..Limits::default() }, "series"),
        (Limits { bytes: 10, ..Limits::default() }, "bytes"),
    ];
    for (limits, what) in table {
        assert!(
            matches!(decode(Version::One, &body, limits), Err(FormatError::TooLarge { what: w, .. }) if w == what),
            "{what}"
        );
    }
}

#[test]
fn the_content_type_says_which_version_it_is() {
    let table = [
        ("application/x-protobuf", Some(Version::One)),
        ("application/x-protobuf;proto=prometheus.WriteRequest", Some(Version::One)),
        ("application/x-protobuf; proto=io.prometheus.write.v2.Request", Some(Version::Two)),
        ("application/x-protobuf;proto=io.prometheus.write.v9.Request", None),
        ("application/json", None),
    ];
    for (content_type, version) in table {
        assert_eq!(Version::of_content_type(content_type), version, "{content_type}");
    }
}
