//! Exports: the same samples in three forms, read by somebody else's reader of Parquet; and the command line.

use std::fs;
use std::path::Path;

use super::value;
use crate::http::escaped;
use crate::server::{Place, Server};
use crate::world;

#[test]
fn a_selection_comes_out_in_every_form_with_every_sample() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let now = world::unix_seconds() * 1000;
    // Over two days, so that it is more than one sealed file's worth, and one series whose labels begin another's.
    let points: Vec<(u64, u64)> = (0..5_000).map(|i| (now - i * 30_000, i)).collect();
    let mut page: String = points.iter().map(|(at, i)| format!("load{{host=\"a\"}} {i}.5 {at}\n")).collect();
    page.push_str(&format!("load{{host=\"a\",disk=\"x\"}} 7 {now}\n"));
    let pushed = server.http.send(
        "POST",
        "/prometheus/api/v1/import/prometheus",
        &[("Content-Type", "text/plain")],
        page.as_bytes(),
    );
    assert_eq!(pushed.expect("an answer").status, 204);
    let from = now / 1000 - 4 * 86_400;
    let get = |form: &str| {
        let path = format!("/api/v1/series/export?format={form}&from={from}&match[]={}", escaped("load{host=\"a\"}"));
        let answer = server.http.send("GET", &path, &[], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body
    };
    let csv = String::from_utf8(get("csv")).expect("text");
    assert_eq!(csv.lines().count(), 1 + 5_001);
    assert!(csv.contains("\"load\",\"{\"\"disk\"\":\"\"x\"\",\"\"host\"\":\"\"a\"\"}\""), "{}", &csv[..300]);
    let lines = String::from_utf8(get("jsonl")).expect("text");
    let counts: Vec<usize> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["values"].as_array().expect("values").len()
        })
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 5_001, "{counts:?}");
    let file = place.beside("load.parquet");
    fs::write(&file, get("parquet")).expect("a file");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let script = "import sys, pyarrow.parquet as p\nt = p.read_table(sys.argv[1])\nprint(t.num_rows, sum(t['value'].to_pylist()), t['time'].type)";
    let output = world::run(&python, &["-c", script, &file.display().to_string()]);
    if !output.status.success() {
        return world::not_run(
            "a Parquet export is read by another program",
            "pyarrow is not installed; `make test-deps` does it",
        );
    }
    let total: f64 = points.iter().map(|(_, i)| *i as f64 + 0.5).sum::<f64>() + 7.0;
    assert_eq!(world::text(&output).trim(), format!("5001 {total:?} timestamp[ms, tz=UTC]"));
}

#[test]
fn the_command_line_asks_and_exports() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let page = "# TYPE up gauge\nup{job=\"a\"} 1\nup{job=\"b\"} 0\n";
    let pushed = server.http.send(
        "POST",
        "/prometheus/api/v1/import/prometheus",
        &[("Content-Type", "text/plain")],
        page.as_bytes(),
    );
    assert_eq!(pushed.expect("an answer").status, 204);
    assert_eq!(value(&server.http, "count(up)"), Ok(2.0));
    let run = |words: &[&str]| {
        let output = server.cli(words);
        assert!(output.status.success(), "{words:?}: {}", world::text(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let table = run(&["query", "up"]);
    assert!(table.contains("up{job=\"a\"}\t1") && table.contains("up{job=\"b\"}\t0"), "{table}");
    let csv = run(&["query", "up", "--range", "5m", "--step", "1m", "-o", "csv"]);
    assert!(csv.lines().any(|line| line.contains("job=\"\"a\"\"") && line.ends_with(",1")), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&run(&["query", "sum(up)", "-o", "json"])).expect("JSON");
    assert_eq!(json["data"]["result"][0]["value"][1], "1");
    let lines = run(&["export", "series", "--match", "up{job=\"a\"}", "-o", "jsonl"]);
    assert_eq!(lines.lines().count(), 1);
    let wrong = server.cli(&["query", "up{"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", world::text(&wrong));
    assert!(world::text(&wrong).contains("parse error"), "{}", world::text(&wrong));
}
