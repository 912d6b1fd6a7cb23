//! Measurements in and out with the clients that people have: Prometheus and its promtool, the OpenTelemetry SDK, collectd,
//! curl, a reader of Parquet; and what is refused, limited, stopped and kept over kill -9.

use serde_json::Value;

use crate::http::{Http, escaped};

mod export;
mod history;
mod kills;
mod limits;
mod otel;
mod prometheus;
mod pushes;
mod remote_write;

/// The vector that an instant query answers: labels without the name, and value.
fn vector(http: &Http, query: &str) -> Vec<(Value, f64)> {
    let said = http.get(&format!("/prometheus/api/v1/query?query={}", escaped(query)));
    let list = said["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {said}"));
    let number = |v: &Value| v["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a number");
    list.iter().map(|v| (v["metric"].clone(), number(v))).collect()
}

/// The one value that a query answers.
fn value(http: &Http, query: &str) -> Result<f64, String> {
    let found = vector(http, query);
    match found.as_slice() {
        [(_, value)] => Ok(*value),
        _ => Err(format!("{query}: {found:?}")),
    }
}

/// One of Mainstay's own counters.
fn counter(http: &Http, name: &str) -> f64 {
    let page = http.send("GET", "/metrics", &[], b"").expect("an answer").text();
    let line =
        page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("no {name}: {page}"));
    line.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number")
}
