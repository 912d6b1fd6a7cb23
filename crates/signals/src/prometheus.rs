//! The table of Prometheus's HTTP API: paths and words as Prometheus has them, below `/prometheus`.

use api::Operation;
use axum::handler::Handler;
use axum::http::Method;
use serde_json::{Value, json};

use crate::{lookups, query, status};

fn text() -> Value {
    json!({"type": "string"})
}

/// Schema of a refusal.
pub fn refused() -> Value {
    json!({"type": "object", "required": ["status", "errorType", "error"], "properties": {"status": {"const": "error"}, "errorType": text(), "error": text()}})
}

fn succeeded() -> Value {
    let texts = json!({"type": "array", "items": text()});
    json!({"type": "object", "required": ["status", "data"], "properties": {"status": {"const": "success"}, "data": {}, "warnings": texts, "infos": texts}})
}

/// An operation whose answers have Prometheus's envelope.
fn question(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let json = "application/json";
    [400, 422, 499, 500, 503]
        .into_iter()
        .fold(Operation::new(method, path, id, summary).answers(200, succeeded()), |o, status| {
            o.also(status, json, refused())
        })
}

/// The same question by GET and, with a form, by POST.
fn both<H, T>(
    path: &'static str,
    ids: (&'static str, &'static str),
    summary: &'static str,
    parameters: &[(&'static str, &'static str)],
    handler: H,
) -> [Operation; 2]
where
    H: Handler<T, api::App>,
    T: 'static,
{
    let asked = |operation: Operation| parameters.iter().fold(operation, |o, (name, help)| o.query(name, help, text()));
    [
        asked(question(Method::GET, path, ids.0, summary)).by(handler.clone()),
        asked(question(Method::POST, path, ids.1, summary)).may_take_form().by(handler),
    ]
}

const QUERY: (&str, &str) = ("query", "PromQL");
const START: (&str, &str) = ("start", "From: Unix seconds or RFC 3339");
const END: (&str, &str) = ("end", "To: Unix seconds or RFC 3339");
const MATCH: (&str, &str) = ("match[]", "Selector of series; may be given several times");
const LIMIT: (&str, &str) = ("limit", "At most so many; 0 for all. What is left out is told in warnings");
const TIMEOUT: (&str, &str) = ("timeout", "How long it may take, such as 30s");
const STATS: (&str, &str) =
    ("stats", "Anything: tell what the query cost; all: also how many samples each step looked at");
const LOOKBACK: (&str, &str) = ("lookback_delta", "How old a sample may be, such as 30s; 5m when left out");

/// All operations of the API that read.
pub fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    all.extend(both(
        "/prometheus/api/v1/query",
        ("prometheus_query", "prometheus_query_form"),
        "A PromQL query at one moment, as Prometheus answers it.",
        &[QUERY, ("time", "When: Unix seconds or RFC 3339; now when left out"), TIMEOUT, LIMIT, LOOKBACK, STATS],
        query::instant,
    ));
    all.extend(both(
        "/prometheus/api/v1/query_range",
        ("prometheus_query_range", "prometheus_query_range_form"),
        "A PromQL query over a stretch of time, step by step.",
        &[QUERY, START, END, ("step", "Seconds, or a duration such as 15s"), TIMEOUT, LIMIT, LOOKBACK, STATS],
        query::range,
    ));
    all.extend(both(
        "/prometheus/api/v1/query_exemplars",
        ("prometheus_query_exemplars", "prometheus_query_exemplars_form"),
        "Exemplars of the series that a query names.",
        &[QUERY, START, END],
        query::exemplars,
    ));
    all.extend(both(
        "/prometheus/api/v1/format_query",
        ("prometheus_format_query", "prometheus_format_query_form"),
        "A query in Prometheus's own layout.",
        &[QUERY],
        query::format,
    ));
    all.extend(both(
        "/prometheus/api/v1/parse_query",
        ("prometheus_parse_query", "prometheus_parse_query_form"),
        "A query as the tree of its parts.",
        &[QUERY],
        query::parse,
    ));
    all.extend(both(
        "/prometheus/api/v1/series",
        ("prometheus_series", "prometheus_series_form"),
        "Series that fit selectors, by their labels.",
        &[MATCH, START, END, LIMIT],
        lookups::series,
    ));
    all.extend(both(
        "/prometheus/api/v1/labels",
        ("prometheus_labels", "prometheus_labels_form"),
        "Names of labels.",
        &[MATCH, START, END, LIMIT],
        lookups::labels,
    ));
    all.extend(plain());
    all
}

/// Those that are asked by GET alone.
fn plain() -> [Operation; 7] {
    let get = |path, id, summary| question(Method::GET, path, id, summary);
    let asked = |operation: Operation, parameters: &[(&'static str, &'static str)]| {
        parameters.iter().fold(operation, |o, (name, help)| o.query(name, help, text()))
    };
    [
        asked(
            get("/prometheus/api/v1/label/{name}/values", "prometheus_label_values", "Values of a label."),
            &[MATCH, START, END, LIMIT],
        )
        .by(lookups::values),
        asked(
            get("/prometheus/api/v1/metadata", "prometheus_metadata", "Type, help and unit of metrics."),
            &[("metric", "Only of this one"), LIMIT, ("limit_per_metric", "At most so many of each")],
        )
        .by(lookups::metadata),
        asked(
            get("/prometheus/api/v1/rules", "prometheus_rules", "Rules with their state, in groups."),
            &[
                ("type", "alert or record"),
                ("rule_name[]", "Only of this name"),
                ("rule_group[]", "Only of this group"),
            ],
        )
        .by(status::rules),
        get("/prometheus/api/v1/alerts", "prometheus_alerts", "Alerts of rules that are pending or firing.")
            .by(status::alerts),
        asked(
            get("/prometheus/api/v1/targets", "prometheus_targets", "What is scraped, and how that went."),
            &[("state", "active, dropped or any")],
        )
        .by(status::targets),
        get("/prometheus/api/v1/status/buildinfo", "prometheus_buildinfo", "The version of the API that is spoken.")
            .by(status::build),
        asked(
            get(
                "/prometheus/api/v1/status/tsdb",
                "prometheus_tsdb",
                "Where the series are: the largest names and labels.",
            ),
            &[LIMIT],
        )
        .by(status::tsdb),
    ]
}
