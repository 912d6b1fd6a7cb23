//! HTTP against a real nginx.

use probe::State;
use serde_json::json;

use crate::peers::{free_port, nginx};
use crate::{SECONDS_5, check};

const PLACES: &str = r#"
    location = / { default_type text/html; return 200 "<h1>Welcome to the shop</h1>"; }
    location = /health { default_type application/json; return 200 '{"status":"UP","queue":{"depth":7},"parts":[{"ok":true},{"ok":true}]}'; }
    location = /broken { return 503 "maintenance"; }
    location = /moved { return 302 /; }
    location = /loop { return 302 /loop; }
    location = /away { return 302 http://localhost:{port}/secret; }
    location = /secret { return 200 "authorization=[$http_authorization] method=[$request_method] host=[$host]"; }
"#;

#[tokio::test]
async fn a_real_web_server_is_judged_by_everything_it_answers() {
    let port = free_port();
    let places = PLACES.replace("{port}", &port.to_string());
    let _nginx = nginx(&format!("server {{ listen 127.0.0.1:{port}; {places} }}"), port, &[]).await;
    let address = format!("http://127.0.0.1:{port}");
    for (path, params, state, part) in [
        ("/", json!({"status": 200, "body": "Welcome"}), State::Ok, "answers 200"),
        ("/", json!({"header": {"content-type": "text/html", "server": "~ ^nginx"}}), State::Ok, "answers 200"),
        ("/", json!({"body": "Goodbye"}), State::Critical, "the body lacks \"Goodbye\"; it is \"<h1>Welcome"),
        ("/", json!({"body_regex": "<h1>.*shop</h1>"}), State::Ok, "answers 200"),
        (
            "/health",
            json!({"json": {"$.status": "UP", "$.queue.depth": "< 10", "$.parts[*].ok": true}}),
            State::Ok,
            "200",
        ),
        ("/health", json!({"json": {"$.queue.depth": "> 10"}}), State::Critical, "$.queue.depth is \"7\", not > 10"),
        ("/broken", json!({}), State::Critical, "status 503 instead of 2xx"),
        ("/broken", json!({"status": [200, "5xx"]}), State::Ok, "answers 503"),
        ("/none", json!({}), State::Critical, "status 404"),
        ("/moved", json!({}), State::Ok, "answers 200 after 1 redirect"),
        ("/moved", json!({"status": "3xx"}), State::Ok, "answers 302 in"), // wanted, so not followed
        ("/moved", json!({"redirects": 0}), State::Critical, "status 302 instead of 2xx"),
        ("/loop", json!({"redirects": 3}), State::Critical, "redirects on after 3 redirects"),
        ("/", json!({"critical_time": "0s"}), State::Critical, "but took"),
    ] {
        let outcome = check("http", &format!("{address}{path}"), params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{path} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{path} {params}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn what_is_sent_arrives_and_secrets_stay_with_their_host() {
    let port = free_port();
    let places = PLACES.replace("{port}", &port.to_string());
    let _nginx = nginx(&format!("server {{ listen 127.0.0.1:{port}; {places} }}"), port, &[]).await;
    let sent = json!({"method": "PUT", "send_body": "x", "send_headers": {"Authorization": "Bearer s3cret", "Host": "shop.test"},
        "body": "authorization=[Bearer s3cret] method=[PUT] host=[shop.test]"});
    let outcome = check("http", &format!("http://127.0.0.1:{port}/secret"), sent, SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    // From 127.0.0.1 to localhost is another host.
    let away = json!({"send_headers": {"Authorization": "Bearer s3cret"}, "body": "authorization=[] method=[GET] host=[localhost]"});
    let outcome = check("http", &format!("http://127.0.0.1:{port}/away"), away, SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
}

#[tokio::test]
async fn every_phase_is_timed_and_every_measure_has_its_unit() {
    let port = free_port();
    let places = PLACES.replace("{port}", &port.to_string());
    let _nginx = nginx(&format!("server {{ listen 127.0.0.1:{port}; {places} }}"), port, &[]).await;
    let outcome = check("http", &format!("http://localhost:{port}/"), json!({}), SECONDS_5).await;
    for phase in ["dns", "connect", "first_byte", "body", "total"] {
        assert!(outcome.timings.contains_key(phase), "{phase} of {:?}", outcome.timings);
    }
    let parts: f64 = outcome.timings.iter().filter(|(phase, _)| *phase != "total").map(|(_, seconds)| seconds).sum();
    assert!(parts <= outcome.timings["total"] + 1e-6, "{:?}", outcome.timings);
    assert_eq!(outcome.reading("http_status_code"), Some(200.0));
    assert_eq!(outcome.reading("http_body_bytes"), Some(28.0));
    assert!(outcome.readings.iter().all(|reading| reading.unit.is_empty() || reading.name.ends_with(&reading.unit)));
}

#[tokio::test]
async fn a_real_server_speaks_http_2_where_it_is_wanted() {
    let authority = crate::tls::authority();
    let (certificate, key) = crate::tls::issue(&authority, crate::tls::named("localhost"));
    let (two, one) = (crate::peers::free_port(), crate::peers::free_port());
    let server = |port: u16, word: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl{word}; ssl_certificate {{folder}}/crt; ssl_certificate_key {{folder}}/key;\n\
             location / {{ return 200 \"$server_protocol $http_x_mine $host\"; }} location /away {{ return 302 /there; }} }}\n"
        )
    };
    let files = [("crt", certificate), ("key", key)];
    let _nginx = crate::peers::nginx(&format!("{}{}", server(two, " http2"), server(one, "")), two, &files).await;
    for (port, path, more, state, part) in [
        (
            two,
            "",
            json!({"version": "2", "body": "HTTP/2.0 x localhost", "send_headers": {"X-Mine": "x"}}),
            State::Ok,
            "answers 200",
        ),
        (two, "", json!({"version": "1.1", "body": "HTTP/1.1"}), State::Ok, "answers 200"),
        (two, "away", json!({"version": "2", "body": "HTTP/2.0"}), State::Ok, "after 1 redirect"),
        (one, "", json!({"version": "2"}), State::Critical, "offers no version of the protocol that was asked for"),
    ] {
        let mut params = json!({"ca": authority.pem()});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let outcome = check("http", &format!("https://localhost:{port}/{path}"), params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{more}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{more}: {}", outcome.summary);
    }
}
