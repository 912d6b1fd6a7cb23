//! A rule over the past, as an operation of the API and as a command. The answer comes in lines, so that progress is seen; whoever
//! goes away ends the work.

use api::App;
use api::caller::Caller;
use api::operation::Operation;
use api::problem::Problem;
use api::requests::Query;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use cli::{Client, Failure, output};
use kernel::Time;
use serde::Deserialize;
use serde_json::{Value, json};
use series::Metrics;
use series::promql::Cancel;
use std::sync::Arc;
use std::time::Duration;
use watch::rules::compile::Compiled;
use watch::rules::replay::{Past, replay};

use super::Form;

/// The measurements that are replayed.
#[derive(Clone)]
pub struct Replays(pub Arc<dyn Metrics>);

/// Evaluations of one replay at most: a year of every 10 seconds.
const MAX_EVALUATIONS: i64 = 3_200_000;

/// Operations on rules.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    vec![
        Operation::new(
            Method::GET,
            "/api/v1/rules/replay",
            "replay_rule",
            "What a rule would have fired in the past: lines of JSON with progress, and last the result. Changes nothing.",
        )
        .query("rule", "Key of the rule", text())
        .query("since", "How far back, such as 30d, or a time in RFC 3339; 30 days when left out", text())
        .query("step", "From one evaluation to the next; the rule's interval when left out", text())
        .answers(200, json!({"type": "object"}))
        .gives("application/x-ndjson")
        .by(serve),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    rule: Option<String>,
    since: Option<String>,
    step: Option<String>,
}

/// Ends the work when the connection is dropped.
struct Ends(Cancel);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn serve(
    State(app): State<App>,
    Extension(Replays(metrics)): Extension<Replays>,
    who: Caller,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    // Who may not read rules learns nothing about how to ask.
    let class = app.kernel.registry().need("rule")?;
    app.kernel.readable(&who.session, &class)?;
    let key = asked.rule.ok_or_else(|| Problem::not_found("name a rule with ?rule=KEY"))?;
    let record = app.kernel.get(&who.session, "rule", &key).await?;
    let rule = serde_json::from_value(Value::Object(record.fields.clone()))
        .map_err(|e| Problem::bad_request(format!("{key} is not a rule: {e}")))?;
    let rule = Compiled::new(&rule).map_err(|e| Problem::field(&e.field.clone(), e.message))?;
    let past = past(&rule, asked.since.as_deref(), asked.step.as_deref(), app.kernel.now())?;
    let tenant = signals::number(who.session.tenant());
    let (tell, told) = tokio::sync::mpsc::channel::<String>(64);
    let cancel = Cancel::default();
    let ends = Ends(cancel.clone());
    tokio::spawn(async move {
        let line = |value: Value| format!("{value}\n");
        let progress = tell.clone();
        // Who reads slowly misses some of the progress, and never the result.
        let mut progress = move |done: f64| drop(progress.try_send(line(json!({"progress": done}))));
        let result = replay(&*metrics, tenant, &rule, past, &cancel, &mut progress).await;
        let last = match result {
            Ok(result) => line(json!({"from": time(past.from_ms), "to": time(past.to_ms), "result": shown(&result)})),
            Err(error) => line(json!({"error": error.to_string()})),
        };
        drop(tell.send(last).await);
    });
    let lines = futures::stream::unfold((told, ends), |(mut told, ends)| async move {
        let line = told.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), (told, ends)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

fn past(rule: &Compiled, since: Option<&str>, step: Option<&str>, now: Time) -> Result<Past, Problem> {
    let since = since.unwrap_or("30d");
    let from = match Time::parse(since) {
        Some(time) => time,
        None => now.minus(kernel::clock::parse_duration(since).map_err(|e| Problem::field("since", e))?),
    };
    let step_ms = match step {
        Some(step) => {
            let step = kernel::clock::parse_duration(step).map_err(|e| Problem::field("step", e))?;
            i64::try_from(step.as_millis()).unwrap_or(i64::MAX)
        }
        None => rule.interval_ms(),
    };
    let span = now.as_millis() - from.as_millis();
    if step_ms <= 0 || span < 0 {
        return Err(Problem::field("since", "must be in the past, and the step longer than 0"));
    }
    if span / step_ms > MAX_EVALUATIONS {
        return Err(Problem::field(
            "step",
            format!("makes more than {MAX_EVALUATIONS} evaluations: take a longer one"),
        ));
    }
    Ok(Past { from_ms: from.as_millis(), to_ms: now.as_millis(), step_ms })
}

fn time(ms: i64) -> Time {
    Time::from_micros(ms.saturating_mul(1000))
}

/// The result with times as people and programs read them.
fn shown(result: &watch::rules::replay::Replayed) -> Value {
    let fired = |one: &watch::rules::replay::Fired| {
        json!({
            "labels": one.labels, "since": time(one.since_ms), "fired": time(one.fired_ms), "until": one.until_ms.map(time),
            "seconds": one.seconds, "value": one.value, "unknown_seconds": one.unknown_seconds, "pages": one.pages,
        })
    };
    json!({
        "fired": result.fired.iter().map(fired).collect::<Vec<_>>(), "more": result.more, "evaluations": result.evaluations,
        "without_data": result.without_data, "waited_only": result.waited_only,
    })
}

/// The command: progress on a terminal's error stream, the list on the output.
///
/// # Errors
/// What the server refuses, or says went wrong.
pub(super) async fn run(
    client: &Client,
    rule: &str,
    since: &str,
    step: Option<&str>,
    output: Form,
) -> anyhow::Result<()> {
    use std::io::{IsTerminal, Write};
    let mut path =
        format!("/api/v1/rules/replay?rule={}&since={}", cli::client::escaped(rule), cli::client::escaped(since));
    if let Some(step) = step {
        path.push_str(&format!("&step={}", cli::client::escaped(step)));
    }
    let (mut rest, mut last) = (Vec::new(), Value::Null);
    let terminal = std::io::stderr().is_terminal();
    let each = |bytes: &[u8]| {
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            last = serde_json::from_slice(&line).map_err(|e| Failure::new(format!("the answer is not JSON: {e}")))?;
            if let (true, Some(done)) = (terminal, last.get("progress").and_then(Value::as_f64)) {
                eprint!("\r{:3.0} %", done * 100.0);
                drop(std::io::stderr().flush());
            }
        }
        Ok::<(), Failure>(())
    };
    client.stream(&path, each).await?;
    if terminal {
        eprint!("\r      \r");
    }
    if let Some(error) = last.get("error").and_then(Value::as_str) {
        return Err(Failure::new(error).into());
    }
    let Some(result) = last.get("result") else {
        return Err(Failure::new("the server ended before the result came").into());
    };
    match output {
        Form::Json => output::json(&last)?,
        Form::Text => output::line(&table(rule, &last, result))?,
    }
    Ok(())
}

fn table(rule: &str, last: &Value, result: &Value) -> String {
    let word = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or("still").to_owned();
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_i64).unwrap_or_default();
    let fired = result.get("fired").and_then(Value::as_array).cloned().unwrap_or_default();
    let paging = fired.iter().filter(|one| one.get("pages") == Some(&Value::Bool(true))).count();
    let mut text = String::new();
    for one in &fired {
        let labels = one.get("labels").and_then(Value::as_object).into_iter().flatten();
        let labels: Vec<String> = labels
            .filter(|(name, _)| *name != "alertname")
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        let length = kernel::clock::format_duration(Duration::from_secs(number(one, "seconds").unsigned_abs()));
        let page = if one.get("pages") == Some(&Value::Bool(true)) { "pages" } else { "listed" };
        let unknown = number(one, "unknown_seconds");
        let unknown = if unknown > 0 { format!(" ({unknown} s without data)") } else { String::new() };
        text.push_str(&format!("{}  {length:>8}  {page:<6}  {}{unknown}\n", word(one, "fired"), labels.join(" ")));
    }
    text.push_str(&format!(
        "{rule} from {} to {}: {} evaluations, {} alerts, {paging} of them bad enough to page; {} only waited; {} evaluations without data\n",
        word(last, "from"),
        word(last, "to"),
        number(result, "evaluations"),
        fired.len(),
        number(result, "waited_only"),
        number(result, "without_data"),
    ));
    text
}
