//! Measurements of the past: out as a file, deleted with a reason, and back again; who did it stays in the journal.

use serde_json::{Value, json};
use std::fs;

use super::value;
use crate::http::{Http, escaped};
use crate::server::{Place, Server};
use crate::world;

const HOUR_MS: u64 = 3_600_000;

/// Three days of two series, an hour apart, with values that are hard to write down; and of one that nobody asks for.
fn fill(http: &Http, now: u64) {
    let odd = ["0.1", "1e300", "-0", "NaN", "+Inf", "123456789.123456789"];
    let page: String = (0..72)
        .map(|n| {
            let (at, odd) = (now - n * HOUR_MS, odd[n as usize % odd.len()]);
            format!(
                "load{{host=\"a\",path=\"C:\\\\x \\\"y\\\"\"}} {odd} {at}\nload{{host=\"b\"}} {n} {at}\nother 1 {at}\n"
            )
        })
        .collect();
    let pushed =
        http.send("POST", "/prometheus/api/v1/import/prometheus", &[("Content-Type", "text/plain")], page.as_bytes());
    let answer = pushed.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn export(http: &Http, form: &str, from: u64) -> Vec<u8> {
    let path = format!("/api/v1/series/export?format={form}&from={from}&match[]=load");
    let answer = http.send("GET", &path, &[], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.body
}

#[test]
fn what_is_exported_deleted_and_imported_is_as_it_was() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let http = &server.http;
    let now = world::unix_seconds() * 1000 - HOUR_MS;
    fill(http, now);
    let from = now / 1000 - 20 * 86_400;
    let before = export(http, "jsonl", from);
    for (n, form) in (1..).zip(["csv", "jsonl", "parquet"]) {
        let file = place.beside(&format!("load.{form}"));
        fs::write(&file, export(http, form, from)).expect("a file");
        let looked = server.cli(&["delete", "series", "--match", "load", "--dry-run"]);
        assert!(world::text(&looked).contains("144 samples of 2 series"), "{form}: {}", world::text(&looked));
        let gone = server.cli(&["delete", "series", "--match", "load", "--reason", "to see them come back"]);
        assert!(gone.status.success(), "{form}: {}", world::text(&gone));
        assert!(
            world::text(&gone).contains(&format!("DEL-{n}: deleted 144 samples of 2 series")),
            "{}",
            world::text(&gone)
        );
        assert!(export(http, "jsonl", from).is_empty(), "{form}");
        assert_eq!(value(http, "count_over_time(other[100h])"), Ok(72.0), "{form}: another series stays");
        let path = file.display().to_string();
        let looked = server.cli(&["import", "series", &path, "--dry-run"]);
        assert!(world::text(&looked).contains("144 samples of 2 series"), "{form}: {}", world::text(&looked));
        assert!(export(http, "jsonl", from).is_empty(), "{form}: a dry run stores nothing");
        for again in ["first", "again"] {
            let done = server.cli(&["import", "series", &path]);
            assert!(done.status.success(), "{form} {again}: {}", world::text(&done));
            assert!(
                world::text(&done).contains("144 of 144 samples of 2 series are stored, 0 were refused"),
                "{}",
                world::text(&done)
            );
            assert!(export(http, "jsonl", from) == before, "{form} {again}: other samples than before");
        }
    }
    let imports = server.cli_json(&["get", "series-import", "-o", "json"]);
    assert_eq!(imports["records"].as_array().map(Vec::len), Some(6), "{imports}");
    let last = &http.get("/api/v1/records/series-import/TAKE-6")["fields"];
    assert_eq!((&last["form"], &last["samples"], &last["refused"]), (&json!("parquet"), &json!(144), &json!(0)));
    let journal = http.get("/api/v1/records/series-deletion/DEL-1/journal");
    let entries = journal["entries"].as_array().expect("entries");
    let of =
        |action: &str| entries.iter().find(|e| e["action"] == action).unwrap_or_else(|| panic!("{action}: {journal}"));
    assert_eq!(of("create")["after"]["reason"], "to see them come back");
    assert_eq!((&of("finish")["after"]["samples"], &of("finish")["after"]["series"]), (&json!(144), &json!(2)));
}

#[test]
fn a_delete_keeps_to_its_series_and_its_time_in_both_ways_to_ask_for_it() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let http = &server.http;
    let now = world::unix_seconds() * 1000 - HOUR_MS;
    fill(http, now);
    let count = |query: &str| value(http, &format!("count_over_time({query}[100h])"));
    let ask = json!({"match": ["load{host=\"a\"}"], "from": ((now - 10 * HOUR_MS) / 1000).to_string(), "to": (now / 1000).to_string(),
        "reason": "wrong clock"});
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "once")];
    let body = ask.to_string();
    let post = || http.send("POST", "/api/v1/series/delete", &headers, body.as_bytes()).expect("an answer");
    let (first, second) = (post(), post());
    assert_eq!((first.status, &first.json()["samples"]), (200, &json!(11)), "{}", first.text());
    assert_eq!(first.json(), second.json(), "the same request is done once");
    assert_eq!((count("load{host=\"a\"}"), count("load{host=\"b\"}")), (Ok(61.0), Ok(72.0)));
    let path = format!(
        "/prometheus/api/v1/admin/tsdb/delete_series?match[]={}&end={}",
        escaped("load{host=\"b\"}"),
        (now - 70 * HOUR_MS) / 1000
    );
    let answer = http.send("POST", &path, &[], b"").expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(count("load{host=\"b\"}"), Ok(70.0));
    for (wrong, status) in [
        ("/prometheus/api/v1/admin/tsdb/delete_series", 400),
        ("/prometheus/api/v1/admin/tsdb/delete_series?match[]=%7B%7D", 400),
        ("/prometheus/api/v1/admin/tsdb/delete_series?match[]=up&start=9&end=1", 400),
    ] {
        assert_eq!(http.send("POST", wrong, &[], b"").expect("an answer").status, status, "{wrong}");
    }
    for wrong in [
        json!({"match": [], "reason": "x"}),
        json!({"match": ["{}"], "reason": "x"}),
        json!({"match": ["up"], "reason": ""}),
    ] {
        assert_eq!(http.ask("POST", "/api/v1/series/delete", &wrong).expect("an answer").status, 422, "{wrong}");
    }
    let reader = http.with(&server.token("read-only"));
    assert_eq!(reader.ask("POST", "/api/v1/series/delete", &ask).expect("an answer").status, 403);
    assert_eq!(reader.send("POST", &path, &[], b"").expect("an answer").status, 403);
    server.kill();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    assert_eq!(value(&server.http, "count_over_time(load{host=\"a\"}[100h])"), Ok(61.0), "gone stays gone");
}

#[test]
fn a_file_with_a_fault_is_told_by_its_lines_and_nothing_of_it_is_stored() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let now = world::unix_seconds();
    let file = place.beside("load.csv");
    fs::write(&file, format!("metric,labels,time,value\nload,{{}},{now}000,1\nload,{{}},noon,1\n")).expect("a file");
    let path = file.display().to_string();
    let refused = server.cli(&["import", "series", &path]);
    assert_eq!(refused.status.code(), Some(2), "{}", world::text(&refused));
    assert!(
        world::text(&refused).contains("line 3") && world::text(&refused).contains("noon"),
        "{}",
        world::text(&refused)
    );
    assert!(value(&server.http, "load").is_err(), "nothing is stored");
    fs::write(&file, format!("metric,labels,time,value\nload,{{}},{now}000,1\nload,{{}},{now}000,2\n"))
        .expect("a file");
    let told = server.cli(&["import", "series", &path]);
    assert!(told.status.success(), "{}", world::text(&told));
    assert!(
        world::text(&told).contains("line 3") && world::text(&told).contains("1 were refused"),
        "{}",
        world::text(&told)
    );
    assert_eq!(value(&server.http, "load"), Ok(1.0), "the first of two stays");
    let page = format!("old 1 {}\n# EOF\n", now - 100 * 86_400);
    let done = server.cli_with_input(&["import", "series", "-", "--form", "openmetrics"], &page);
    assert!(done.status.success(), "{}", world::text(&done));
    let at = now - 100 * 86_400;
    let old = server.http.get(&format!("/prometheus/api/v1/query?query=old&time={at}"));
    assert_eq!(old["data"]["result"][0]["value"][1], Value::from("1"), "{old}");
    let nobody = server.http.ask("POST", "/api/v1/records/series-import", &json!({"fields": {"name": "no file"}}));
    let key = nobody.expect("an answer").json()["key"].as_str().expect("a key").to_owned();
    world::until(std::time::Duration::from_secs(10), "an import that nobody is at is ended", || {
        let now = server.http.get(&format!("/api/v1/records/series-import/{key}"));
        if now["state"] == "failed" { Ok(()) } else { Err(now.to_string()) }
    });
}
