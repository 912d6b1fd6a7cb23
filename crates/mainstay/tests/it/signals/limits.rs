//! What a query may cost, and that one is stopped whose client has hung up.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::counter;
use crate::http::{Answer, escaped};
use crate::server::{Place, Server};
use crate::world::{self, Watch, until};

/// Seconds of work that need no data.
const LONG: &str = "count_over_time(vector(1)[200d:1s])";

fn asked(server: &Server, rest: &str) -> Answer {
    server.http.ask("GET", &format!("/prometheus/api/v1/{rest}"), &Value::Null).expect("an answer")
}

#[test]
fn a_query_has_limits_and_says_which_one_it_met() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent", "--query-samples", "10000000"]).with_admin();
    let (long, up) = (escaped(LONG), escaped("vector(1)"));
    for (rest, status, kind, words) in [
        (format!("query?query={long}"), 422, "execution", "too many samples"),
        (
            format!("query?timeout=1ms&query={}", escaped("count_over_time(vector(1)[40d:1s])")),
            503,
            "timeout",
            "timed out",
        ),
        (
            format!("query_range?query={up}&start=0&end=20000&step=1"),
            400,
            "bad_data",
            "maximum resolution of 11,000 points",
        ),
        (format!("query_range?query={up}&start=10&end=0&step=1"), 400, "bad_data", "end timestamp"),
        (format!("query_range?query={up}&start=0&end=10&step=0"), 400, "bad_data", "zero or negative"),
        ("query?query=up%7B".into(), 400, "bad_data", "1:4: parse error"),
        ("query".into(), 400, "bad_data", "query"),
        ("query?query=1&time=yesterday".into(), 400, "bad_data", "time"),
        ("series".into(), 400, "bad_data", "match[]"),
        ("series?match[]=sum(up)".into(), 400, "bad_data", "match[]"),
        ("labels?limit=-1".into(), 400, "bad_data", "limit"),
    ] {
        let answer = asked(&server, &rest);
        let said = answer.json();
        assert_eq!(
            (answer.status, said["status"].as_str(), said["errorType"].as_str()),
            (status, Some("error"), Some(kind)),
            "{rest}: {said}"
        );
        assert!(said["error"].as_str().is_some_and(|text| text.contains(words)), "{rest}: {said}");
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = server.http.send("POST", "/prometheus/api/v1/query?time=5", &form, b"query=1%2B1").expect("an answer");
    assert_eq!(answer.json()["data"], serde_json::json!({"resultType": "scalar", "result": [5, "2"]}));
    let page = (0..50).map(|i| format!("many{{i=\"{i}\"}} {i}\n")).collect::<String>();
    let pushed = server.http.send(
        "POST",
        "/prometheus/api/v1/import/prometheus",
        &[("Content-Type", "text/plain")],
        page.as_bytes(),
    );
    assert_eq!(pushed.expect("an answer").status, 204);
    for rest in ["query?query=many&limit=7", "series?match[]=many&limit=7"] {
        let said = asked(&server, rest).json();
        let list = said["data"]["result"].as_array().or(said["data"].as_array()).expect("a list");
        assert_eq!((list.len(), said["warnings"][0].as_str()), (7, Some("results truncated due to limit")), "{rest}");
    }
    assert_eq!(
        asked(&server, "parse_query?query=1").json()["data"],
        serde_json::json!({"type": "numberLiteral", "val": "1"})
    );
    assert_eq!(asked(&server, "format_query?query=sum(up)by(job)").json()["data"], "sum by (job) (up)");
}

#[test]
fn a_query_whose_client_hangs_up_is_stopped() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let token = server.http.token.clone().expect("it was just made");
    let mut stream = world::dial(server.http.address).expect("it listens");
    let head = format!(
        "GET /prometheus/api/v1/query?query={} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n",
        escaped(LONG)
    );
    stream.write_all(head.as_bytes()).expect("sent");
    // Long enough to have begun, and much shorter than it takes.
    world::let_pass(Duration::from_millis(300));
    drop(stream);
    let watch = Watch::start();
    until(Duration::from_secs(30), "it is stopped", || {
        let stopped = counter(&server.http, "mainstay_queries_cancelled_total");
        if stopped == 1.0 { Ok(()) } else { Err(stopped.to_string()) }
    });
    println!("noticed after {} ms", watch.passed().as_millis());
    assert_eq!(counter(&server.http, "mainstay_queries_failed_total"), 0.0);
}
