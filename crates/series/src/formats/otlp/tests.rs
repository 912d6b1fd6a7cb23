//! What SDKs send is what is read, the same from both encodings.

use super::*;
use crate::formats::MetricKind;
use crate::labels::is_stale;
use proptest::prelude::*;

const JSON: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[
  {"key":"service.name","value":{"stringValue":"shop"}},{"key":"service.namespace","value":{"stringValue":"acme"}},
  {"key":"service.instance.id","value":{"stringValue":"i-1"}},{"key":"host.name","value":{"stringValue":"web-1"}},
  {"key":"ports","value":{"arrayValue":{"values":[{"intValue":"80"}]}}}]},
 "scopeMetrics":[{"scope":{"name":"sdk"},"metrics":[
  {"name":"http.requests","unit":"{request}","description":"All of them","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
    {"attributes":[{"key":"code","value":{"intValue":200}}],"timeUnixNano":"1700000000123456789","asInt":"42",
     "exemplars":[{"timeUnixNano":"1700000000000000000","asDouble":1,"traceId":"0af7","spanId":"b7ad"}]}]}},
  {"name":"temp","unit":"Cel","gauge":{"dataPoints":[{"timeUnixNano":1700000000000000000,"asDouble":"NaN"},{"timeUnixNano":"1700000001000000000","flags":1}]}},
  {"name":"latency","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[
    {"timeUnixNano":"1700000000000000000","count":"6","sum":1.5,"bucketCounts":["1","2",3],"explicitBounds":[0.1,1]}]}},
  {"name":"size","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[
    {"timeUnixNano":"1700000000000000000","count":"5","sum":9,"scale":3,"zeroCount":"1","positive":{"offset":-2,"bucketCounts":["1","3"]}}]}},
  {"name":"quick","summary":{"dataPoints":[{"timeUnixNano":"1700000000000000000","count":"2","sum":3,"quantileValues":[{"quantile":0.5,"value":1.5}]}]}},
  {"name":"delta","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1"},{"asInt":"2"}]}}
 ]}],"unknownField":{"x":1}}]}"#;

#[test]
fn every_kind_of_metric_becomes_its_series() {
    let batch = decode_json(JSON.as_bytes(), Limits::default()).unwrap();
    let shown = batch.shown();
    let value = |name: &str| {
        let found = shown.iter().find(|(n, _)| n == name);
        found.unwrap_or_else(|| panic!("{name} in {shown:#?}")).1.clone()
    };
    let at = 1_700_000_000_000;
    let who = "instance=i-1,job=acme/shop";
    assert_eq!(value(&format!("http_requests_total{{code=200,{who}}}")), [(at + 123, 42.0)]);
    assert_eq!(value(&format!("latency_seconds_bucket{{{who},le=0.1}}")), [(at, 1.0)]);
    assert_eq!(value(&format!("latency_seconds_bucket{{{who},le=1}}")), [(at, 3.0)]);
    assert_eq!(value(&format!("latency_seconds_bucket{{{who},le=+Inf}}")), [(at, 6.0)]);
    assert_eq!(value(&format!("latency_seconds_sum{{{who}}}")), [(at, 1.5)]);
    assert_eq!(value(&format!("latency_seconds_count{{{who}}}")), [(at, 6.0)]);
    assert_eq!(value(&format!("quick{{{who},quantile=0.5}}")), [(at, 1.5)]);
    let info = shown.iter().find(|(n, _)| n.starts_with("target_info")).unwrap();
    assert!(info.0.contains("host_name=web-1") && info.0.contains("80"), "{}", info.0);
    assert_eq!(info.1, [(at + 1000, 1.0)]);
    let temp: Vec<_> = shown.iter().filter(|(n, _)| n.starts_with("temp_celsius")).map(|(_, p)| p[0].1).collect();
    assert!(temp[0].is_nan() && !is_stale(temp[0]) && is_stale(temp[1]), "a point without a value ends the series");
    let native = &batch.histograms[0].histogram;
    assert_eq!((native.schema, native.count, native.zero_count), (3, 5.0, 1.0));
    assert_eq!(native.positive, [(-1, 1.0), (0, 3.0)]);
    assert_eq!(batch.exemplars[0].labels, [("span_id".into(), "b7ad".into()), ("trace_id".into(), "0af7".into())]);
    assert_eq!(batch.metadata[0].kind, MetricKind::Counter);
    assert_eq!(batch.rejected_lines, 2, "delta points are told of");
}

fn put(out: &mut Vec<u8>, number: u64, piece: &[u8]) {
    crate::wire::Put::put_u64(out, number << 3 | 2);
    crate::wire::Put::put_u64(out, piece.len() as u64);
    out.extend_from_slice(piece);
}

fn fixed(out: &mut Vec<u8>, number: u64, value: u64) {
    crate::wire::Put::put_u64(out, number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn varint(out: &mut Vec<u8>, number: u64, value: u64) {
    crate::wire::Put::put_u64(out, number << 3);
    crate::wire::Put::put_u64(out, value);
}

fn within_field(number: u64, piece: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, number, piece);
    out
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut out = within_field(1, key.as_bytes());
    put(&mut out, 2, &within_field(1, value.as_bytes()));
    out
}

#[test]
fn both_encodings_say_the_same() {
    let at = 1_700_000_000_000_000_000_u64;
    let mut point = Vec::new();
    put(&mut point, 9, &attribute("path", "/"));
    fixed(&mut point, 3, at);
    fixed(&mut point, 4, 3);
    fixed(&mut point, 5, 2.5_f64.to_bits());
    put(&mut point, 6, &[1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat());
    put(&mut point, 7, &0.5_f64.to_le_bytes());
    let mut histogram = within_field(1, &point);
    varint(&mut histogram, 2, 2);
    let mut one = within_field(1, b"latency");
    put(&mut one, 3, b"ms");
    put(&mut one, 9, &histogram);
    let mut number = Vec::new();
    fixed(&mut number, 3, at);
    fixed(&mut number, 6, (-7_i64) as u64);
    let mut two = within_field(1, b"level");
    put(&mut two, 5, &within_field(1, &number));
    let mut scope = within_field(2, &one);
    put(&mut scope, 2, &two);
    let mut resource = within_field(1, &within_field(1, &attribute("service.name", "shop")));
    put(&mut resource, 2, &scope);
    let binary = decode(&within_field(1, &resource), Limits::default()).unwrap();
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeMetrics":[{"metrics":[
      {"name":"latency","unit":"ms","histogram":{"aggregationTemporality":2,"dataPoints":[{"attributes":[{"key":"path","value":{"stringValue":"/"}}],
        "timeUnixNano":"1700000000000000000","count":3,"sum":2.5,"bucketCounts":[1,2],"explicitBounds":[0.5]}]}},
      {"name":"level","gauge":{"dataPoints":[{"timeUnixNano":"1700000000000000000","asInt":-7}]}}]}]}]}"#;
    let json = decode_json(json.as_bytes(), Limits::default()).unwrap();
    assert_eq!(binary.shown(), json.shown());
    assert_eq!(binary.shown().len(), 5);
    assert!(binary.shown().contains(&("level{job=shop}".into(), vec![(1_700_000_000_000, -7.0)])));
}

#[test]
fn lists_within_lists_end() {
    let mut value = within_field(1, b"x");
    for _ in 0..100 {
        value = within_field(5, &within_field(1, &value));
    }
    let mut pair = within_field(1, b"k");
    put(&mut pair, 2, &value);
    let body = within_field(1, &within_field(1, &within_field(1, &pair)));
    assert!(decode(&body, Limits::default()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_batch_or_an_error(bytes in any::<Vec<u8>>(), wrap in 0_usize..8) {
        let wrapped = (0..wrap).fold(bytes.clone(), |inner, i| within_field([1, 2, 2, 7, 1, 9, 10, 11][i % 8], &inner));
        let _ = decode(&wrapped, Limits::default());
        let _ = decode_json(&bytes, Limits::default());
    }
}
