//! The OpenTelemetry SDK for Python, over HTTP and over gRPC, packed by gzip as it likes to.

use std::path::Path;
use std::process::Output;

use super::{value, vector};
use crate::server::{Place, Server};
use crate::world;

const PROMISE: &str = "what the OpenTelemetry SDK takes for delivered is stored";

fn python() -> Option<std::path::PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let there = program.exists() && world::run(&program, &["-c", "import opentelemetry.sdk.metrics"]).status.success();
    there.then_some(program)
}

fn sent(python: &Path, way: &str, endpoint: &str, token: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/signals/otel.py");
    world::run(python, &[script.as_os_str(), way.as_ref(), endpoint.as_ref(), token.as_ref()])
}

#[test]
fn metrics_of_the_opentelemetry_sdk_are_stored_over_http_and_grpc() {
    let Some(python) = python() else {
        return world::not_run(PROMISE, "the OpenTelemetry SDK is not installed; `make test-deps` does it");
    };
    let place = Place::new();
    let grpc = format!("127.0.0.1:{}", world::free_port());
    let server = Server::start(&place.data, &["--no-agent", "--otlp-grpc-listen", &grpc]).with_admin();
    let made = server.cli_json(&["admin", "token", "create", "--use-for", "ingest", "-o", "json"]);
    let ingest = made["token"].as_str().expect("a token");
    let http = format!("http://{}/otlp/v1/metrics", server.http.address);
    for (way, endpoint) in [("http", http.as_str()), ("grpc", grpc.as_str())] {
        let refused = sent(&python, way, endpoint, "wrong");
        assert!(!refused.status.success(), "{way} takes a wrong token: {}", world::text(&refused));
        assert_eq!(vector(&server.http, &format!("{{job=\"shop-{way}\"}}")).len(), 0, "{way} stored what it refused");
        let output = sent(&python, way, endpoint, ingest);
        assert!(output.status.success(), "{way}: {}", world::text(&output));
        for (query, expected) in [
            (format!("orders_total{{job=\"shop-{way}\",country=\"at\"}}"), 5.0),
            (format!("sum(orders_total{{job=\"shop-{way}\",instance=\"one\"}})"), 12.0),
            (format!("cart_size_bytes{{job=\"shop-{way}\"}}"), -3.0),
            (format!("latency_seconds_count{{job=\"shop-{way}\"}}"), 3.0),
            (format!("latency_seconds_sum{{job=\"shop-{way}\"}}"), 37.2),
            (format!("latency_seconds_bucket{{job=\"shop-{way}\",le=\"10\"}}"), 2.0),
        ] {
            assert_eq!(value(&server.http, &query), Ok(expected), "{query}");
        }
    }
}
