//! Decide: the judgement of an HTTP answer. Pure; told everything that was seen.

use http::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::http::{BODY_LIMIT_BYTES, Condition, Http};
use crate::outcome::{Outcome, State, excerpt, in_words};
use crate::params::Span;

/// What a server answered in the end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The address that answered, after redirects.
    pub url: Url,
    /// Its status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether there was more than was read.
    pub cut: bool,
    /// How many redirects were followed.
    pub redirects: u8,
    /// Seconds until the first byte of the last answer.
    pub first_byte_seconds: f64,
    /// Seconds that everything took.
    pub total_seconds: f64,
    /// Days until the server's certificate expires; `None` without TLS.
    pub certificate_left_days: Option<f64>,
}

/// The whole judgement: whatever is not as expected is told, the first three of it.
pub fn decide(want: &Http, answer: &Answer) -> Outcome {
    let mut wrong = Vec::new();
    if !want.status.accepts(answer.status) {
        wrong.push(format!("status {} instead of {}", answer.status, want.status));
    }
    for (name, condition) in &want.header {
        wrong.extend(header_trouble(answer, name, condition));
    }
    wrong.extend(body_trouble(want, answer));
    let took = in_words(answer.total_seconds);
    let slow = State::when_above(
        answer.total_seconds,
        want.warn_time.map(Span::seconds),
        want.critical_time.map(Span::seconds),
    );
    let via = match answer.redirects {
        0 => String::new(),
        1 => " after 1 redirect".to_owned(),
        count => format!(" after {count} redirects"),
    };
    let (state, summary) = if !wrong.is_empty() {
        wrong.truncate(3);
        (State::Critical, format!("{}{via}: {}", answer.url, wrong.join("; ")))
    } else if slow != State::Ok {
        (slow, format!("{} answers {}{via}, but took {took}", answer.url, answer.status))
    } else {
        (State::Ok, format!("{} answers {}{via} in {took}", answer.url, answer.status))
    };
    with_readings(Outcome::new(state, summary), answer)
}
fn with_readings(outcome: Outcome, answer: &Answer) -> Outcome {
    let outcome = outcome
        .with("http_response_seconds", answer.total_seconds, "seconds")
        .with("http_first_byte_seconds", answer.first_byte_seconds, "seconds")
        .with("http_status_code", f64::from(answer.status), "")
        .with("http_body_bytes", answer.body.len() as f64, "bytes");
    match answer.certificate_left_days {
        Some(days) => outcome.with("http_certificate_left_days", days, "days"),
        None => outcome,
    }
}

fn header_trouble(answer: &Answer, name: &str, condition: &Condition) -> Option<String> {
    let values: Vec<String> = answer
        .headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    if values.is_empty() {
        return Some(format!("no header {name}"));
    }
    // A header may come several times; one that fits is enough.
    let fits = values.iter().any(|value| condition.holds(&Value::from(value.as_str())));
    (!fits).then(|| format!("header {name} is {}, not {condition}", excerpt(values.join(", ").as_bytes())))
}

fn body_trouble(want: &Http, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    let within = if answer.cut { format!(" within the first {} KiB", BODY_LIMIT_BYTES / 1024) } else { String::new() };
    if let Some(text) = &want.body
        && !contains(&answer.body, text.as_bytes())
    {
        wrong.push(format!("the body lacks {}{within}; it is {}", excerpt(text.as_bytes()), shown(&answer.body)));
    }
    if let Some(pattern) = &want.body_regex
        && !pattern.0.is_match(&answer.body)
    {
        wrong.push(format!("the body does not match {}{within}; it is {}", pattern.0, shown(&answer.body)));
    }
    if want.json.is_empty() {
        return wrong;
    }
    if answer.cut {
        wrong.push(format!("the JSON body is longer than {} KiB", BODY_LIMIT_BYTES / 1024));
        return wrong;
    }
    let Ok(json) = serde_json::from_slice::<Value>(&answer.body) else {
        wrong.push(format!("the body is not JSON; it is {}", shown(&answer.body)));
        return wrong;
    };
    wrong.extend(want.json.troubles(&json));
    wrong
}

fn shown(body: &[u8]) -> String {
    if body.is_empty() { "empty".to_owned() } else { excerpt(body) }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    // Both are bounded (1 MiB and a parameter), and a plain search needs no index.
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/html; charset=utf-8".parse().unwrap());
        headers.insert("x-queue", "12".parse().unwrap());
        Answer {
            url: "https://shop.example.org/".parse().unwrap(),
            status,
            headers,
            body: body.into(),
            cut: false,
            redirects: 0,
            first_byte_seconds: 0.1,
            total_seconds: 0.2,
            certificate_left_days: Some(30.0),
        }
    }

    #[test]
    fn what_is_expected_decides() {
        let health = r#"{"status":"UP","queue":{"depth":7},"parts":[{"ok":true},{"ok":false}]}"#;
        for (params, answer, state, part) in [
            (json!({}), answer(204, ""), State::Ok, "answers 204 in 200.0 ms"),
            (json!({}), answer(500, "x"), State::Critical, "status 500 instead of 2xx"),
            (json!({"status": 404}), answer(404, ""), State::Ok, "answers 404"),
            (json!({"status": 200, "body": "Welcome"}), answer(200, "<h1>Welcome</h1>"), State::Ok, "200"),
            (
                json!({"status": 200, "body": "Welcome"}),
                answer(200, "Error"),
                State::Critical,
                "the body lacks \"Welcome\"; it is \"Error\"",
            ),
            (json!({"body": "Welcome"}), answer(503, ""), State::Critical, "status 503 instead of 2xx; the body lacks"),
            (json!({"body_regex": "v[0-9]+"}), answer(200, "v12"), State::Ok, "200"),
            (json!({"body_regex": "^v$"}), answer(200, "v12"), State::Critical, "does not match ^v$"),
            (json!({"json": {"$.status": "UP", "$.queue.depth": "< 10"}}), answer(200, health), State::Ok, "200"),
            (
                json!({"json": {"$.queue.depth": "< 5"}}),
                answer(200, health),
                State::Critical,
                "$.queue.depth is \"7\", not < 5",
            ),
            (
                json!({"json": {"$.parts[*].ok": true}}),
                answer(200, health),
                State::Critical,
                "$.parts[*].ok is \"false\"",
            ), // all of them
            (json!({"json": {"$.gone": "!= 1"}}), answer(200, health), State::Critical, "nothing at $.gone"),
            (json!({"json": {"$.a": 1}}), answer(200, "<html>"), State::Critical, "not JSON"),
            (
                json!({"json": {"$.a": 1}}),
                Answer { cut: true, ..answer(200, "{") },
                State::Critical,
                "longer than 1024 KiB",
            ),
            (json!({"header": {"content-type": "~ ^text/html", "X-Queue": "< 20"}}), answer(200, ""), State::Ok, "200"),
            (
                json!({"header": {"x-queue": "< 2"}}),
                answer(200, ""),
                State::Critical,
                "header x-queue is \"12\", not < 2",
            ),
            (json!({"header": {"x-none": "a"}}), answer(200, ""), State::Critical, "no header x-none"),
            (json!({"warn_time": "200ms"}), answer(200, ""), State::Warning, "took 200.0 ms"),
            (
                json!({"critical_time": "100ms"}),
                Answer { redirects: 2, ..answer(200, "") },
                State::Critical,
                "after 2 redirects, but took",
            ),
        ] {
            let want: Http = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, &answer);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn the_certificate_of_the_answer_is_a_reading() {
        let outcome = decide(&Http::default(), &answer(200, "x"));
        assert_eq!(outcome.reading("http_certificate_left_days"), Some(30.0));
        assert_eq!(outcome.reading("http_body_bytes"), Some(1.0));
    }
}
