//! Remote write by hand: what a well-behaved sender never sends, and version 2, which no packaged Prometheus speaks yet.

use serde_json::json;

use super::{value, vector};
use crate::server::{Place, Server};
use crate::world;

/// As snappy packs what it cannot make smaller.
fn snappy(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, plain.len() as u64);
    for piece in plain.chunks(60) {
        out.push(u8::try_from((piece.len() - 1) << 2).expect("a short literal"));
        out.extend_from_slice(piece);
    }
    out
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

fn sample(value: f64, at_ms: u64) -> Vec<u8> {
    let mut out = vec![0x09];
    out.extend_from_slice(&value.to_le_bytes());
    out.push(0x10);
    varint(&mut out, at_ms);
    out
}

/// Version 1: a series with samples.
fn one(labels: &[(&str, &str)], samples: &[(f64, u64)]) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in labels {
        series.extend(field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat()));
    }
    for (value, at_ms) in samples {
        series.extend(field(2, &sample(*value, *at_ms)));
    }
    field(1, &series)
}

/// Version 2: a series whose labels are places in the table of texts.
fn two(symbols: &[&str], refs: &[u8], samples: &[(f64, u64)]) -> Vec<u8> {
    let mut series = field(1, refs);
    for (value, at_ms) in samples {
        series.extend(field(2, &sample(*value, *at_ms)));
    }
    let table: Vec<u8> = symbols.iter().flat_map(|text| field(4, text.as_bytes())).collect();
    [table, field(5, &series)].concat()
}

const PATH: &str = "/prometheus/api/v1/write";
const ONE: &str = "application/x-protobuf";
const TWO: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

#[test]
fn both_versions_are_taken_and_senders_learn_whether_to_send_again() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let now = world::unix_seconds() * 1000;
    let old = now - 100 * 3_600_000;
    let (first, second) = ([("__name__", "one"), ("job", "a")], ["", "__name__", "two"]);
    let good = snappy(&one(&first, &[(1.5, now)]));
    let stale = snappy(&one(&[("__name__", "stale")], &[(1.0, old), (2.0, now)]));
    let unsorted = snappy(&two(&second, &[1, 9], &[(1.0, now)]));
    let partly = snappy(&two(&["", "__name__", "partly"], &[1, 2], &[(1.0, old), (2.0, now)]));
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x07, 0x00, 0x00];
    let cases: [(&str, &str, &str, &[u8], u16); 11] = [
        ("a good body", ONE, "snappy", &good, 204),
        ("the same again", ONE, "snappy", &good, 204),
        ("no content type, as old senders", "", "snappy", &good, 204),
        ("a sample that is too old beside a good one", ONE, "snappy", &stale, 400),
        ("version 2", TWO, "snappy", &snappy(&two(&second, &[1, 2], &[(2.5, now)])), 204),
        ("a symbol that is not there", TWO, "snappy", &unsorted, 400),
        ("version 2, partly too old", TWO, "snappy", &partly, 400),
        ("a message that nobody knows", "application/x-protobuf;proto=some.Other", "snappy", &good, 415),
        ("JSON", "application/json", "snappy", &good, 415),
        ("another packing", ONE, "zstd", &good, 415),
        ("a bomb", ONE, "snappy", &bomb, 413),
    ];
    for (what, media, packing, body, status) in cases {
        let answer = server.http.send("POST", PATH, &[("Content-Type", media), ("Content-Encoding", packing)], body);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    let huge = server.http.send("POST", PATH, &[("Content-Type", ONE), ("Expect", "")], &vec![0; 17 << 20]);
    assert!(huge.map_or(true, |answer| answer.status == 413), "a body of 17 MiB is refused or cut off");
    for (query, expected) in [("one{job=\"a\"}", 1.5), ("stale", 2.0), ("two", 2.5), ("partly", 2.0)] {
        assert_eq!(value(&server.http, query), Ok(expected), "{query}");
    }
}

#[test]
fn version_2_tells_how_much_was_written() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let now = world::unix_seconds() * 1000;
    let body = place.beside("body");
    std::fs::write(&body, snappy(&two(&["", "__name__", "two"], &[1, 2], &[(1.0, now - 1000), (2.0, now)])))
        .expect("a body");
    let (file, url) = (format!("@{}", body.display()), format!("http://{}{PATH}", server.http.address));
    let token = format!("Authorization: Bearer {}", server.http.token.as_deref().expect("it was just made"));
    let media = format!("Content-Type: {TWO}");
    let words =
        ["-sS", "-i", "-H", &token, "-H", &media, "-H", "Content-Encoding: snappy", "--data-binary", &file, &url];
    let said = world::text(&world::run("curl", &words)).to_lowercase();
    assert!(said.starts_with("http/1.1 204"), "{said}");
    assert!(said.contains("x-prometheus-remote-write-samples-written: 2"), "{said}");
    assert!(said.contains("x-prometheus-remote-write-histograms-written: 0"), "{said}");
}

#[test]
fn an_ingest_key_writes_and_reads_nothing_and_a_reader_writes_nothing() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let made = |words: &[&str]| {
        let made = server.cli_json(&[&["admin", "token", "create", "-o", "json"], words].concat());
        server.http.with(made["token"].as_str().expect("a token"))
    };
    server.http.must("POST", "/api/v1/records/tenant", &json!({"key": "acme", "fields": {"name": "Acme"}}));
    let (ingest, reader) = (made(&["--use-for", "ingest"]), made(&["--role", "read-only"]));
    let stranger = made(&["--tenant", "acme", "--role", "admin"]);
    let body = snappy(&one(&[("__name__", "ours")], &[(1.0, world::unix_seconds() * 1000)]));
    let write =
        |http: &crate::http::Http| http.send("POST", PATH, &[("Content-Type", ONE)], &body).expect("an answer").status;
    assert_eq!((write(&ingest), write(&reader), write(&server.http.anonymous())), (204, 403, 401));
    let read = |http: &crate::http::Http| {
        http.ask("GET", "/prometheus/api/v1/labels", &json!(null)).expect("an answer").status
    };
    assert_eq!((read(&ingest), read(&reader), read(&server.http.anonymous())), (403, 200, 401));
    assert_eq!(value(&reader, "ours"), Ok(1.0));
    assert_eq!(vector(&stranger, "{__name__=~\".+\"}"), [], "another tenant sees nothing of it");
    assert_eq!(write(&stranger), 204);
    assert_eq!(value(&stranger, "count(ours)"), Ok(1.0));
    assert_eq!(value(&server.http, "count(ours)"), Ok(1.0), "and what it writes is its own");
}
