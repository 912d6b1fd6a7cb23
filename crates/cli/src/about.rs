//! Commands that ask several things: everything about a record, and a runbook from start to end.

use serde_json::{Value, json};
use std::time::Duration;

use crate::client::{Client, escaped};
use crate::commands::{entry_line, pairs, path};
use crate::failure::Failure;
use crate::output::{self, Format, cell};

/// Fields, state, links, intervals and the last journal entries of a record.
///
/// # Errors
/// What the server refuses.
pub async fn describe(client: &Client, class: &str, key: &str, format: Format) -> Result<(), Failure> {
    let base = path(class, key);
    let record = client.json("GET", &base, None).await?;
    let intervals = client.json("GET", &format!("{base}/intervals"), None).await?;
    let journal = client.json("GET", &format!("{base}/journal?limit=20"), None).await?;
    let seen = client.json("GET", &format!("{base}/observations"), None).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        let all = json!({"record": record, "intervals": intervals["intervals"], "journal": journal["entries"], "drift": seen["drift"], "tables": seen["tables"]});
        return output::value(&all, format);
    }
    let text = |name: &str| cell(record.get(name));
    let mut out = format!("{} {}: {}\n", text("class"), text("key"), text("title"));
    out.push_str(&format!(
        "  state    {}\n  owner    {}\n  version  {}\n  updated  {}\n",
        text("state"),
        text("owner"),
        text("version"),
        text("updated")
    ));
    if let Some(health) = record.get("health").filter(|h| !h.is_null()) {
        out.push_str(&format!(
            "  health   {} since {}: {}\n",
            cell(health.get("state")),
            cell(health.get("since")),
            cell(health.get("reason"))
        ));
    }
    out.push_str("fields\n");
    for (name, value) in record.get("fields").and_then(Value::as_object).into_iter().flatten() {
        out.push_str(&format!("  {name}: {}\n", cell(Some(value)).replace('\n', "\n    ")));
    }
    section(&mut out, "links", record.get("links"), |l| {
        format!(
            "{} {} {} {}: {} ({})",
            cell(l.get("direction")),
            cell(l.get("type")),
            cell(l.get("class")),
            cell(l.get("key")),
            cell(l.get("title")),
            cell(l.get("state"))
        )
    });
    section(&mut out, "drift", seen.get("drift"), |d| {
        format!(
            "{}: declared {}, {} sees {}",
            cell(d.get("field")),
            cell(d.get("declared")),
            cell(d.get("source")),
            cell(d.get("observed"))
        )
    });
    for (table, rows) in seen.get("tables").and_then(Value::as_object).into_iter().flatten() {
        out.push_str(&format!("observed {table}: {rows} rows\n"));
    }
    section(&mut out, "intervals", intervals.get("intervals"), |i| {
        let end = cell(i.get("end"));
        let corrected = if i.get("corrected_by").is_some_and(|c| !c.is_null()) { " (corrected)" } else { "" };
        format!(
            "{} {} to {}: {}{corrected}",
            cell(i.get("state")),
            cell(i.get("start")),
            if end.is_empty() { "now" } else { &end },
            cell(i.get("reason"))
        )
    });
    section(&mut out, "journal, newest first", journal.get("entries"), |e| {
        entry_line(e, Format::Table).trim_end().to_owned()
    });
    output::line(&out)
}

fn section(out: &mut String, title: &str, rows: Option<&Value>, line: impl Fn(&Value) -> String) {
    let rows = rows.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    out.push_str(&format!("{title}\n"));
    for row in rows {
        out.push_str(&format!("  {}\n", line(row)));
    }
}

/// How a runbook is gone about.
#[derive(Clone, Copy, Debug)]
pub struct Go {
    /// Stay until its end.
    pub wait: bool,
    /// Only tell what would be done.
    pub dry: bool,
}

/// Starts a runbook and, unless told otherwise, waits for its end, showing each step as it is done.
///
/// # Errors
/// What the server refuses; a run that failed, was rejected or cancelled.
pub async fn runbook(
    client: &Client,
    key: &str,
    on: Option<String>,
    params: &[String],
    how: Go,
) -> Result<(), Failure> {
    let parameters: serde_json::Map<String, Value> =
        pairs(params)?.into_iter().map(|(n, v)| (n, serde_json::from_str(&v).unwrap_or_else(|_| v.into()))).collect();
    let body = json!({"fields": {"runbook": key, "on": on, "parameters": parameters, "reason": "started by hand", "dry_run": how.dry}});
    let run = client.json("POST", "/api/v1/records/runbook-run", Some(&body)).await?;
    let run_key = cell(run.get("key"));
    output::line(&format!("{run_key} is {}\n", cell(run.get("state"))))?;
    if !how.wait {
        return Ok(());
    }
    let (mut shown, mut state) = (0, cell(run.get("state")));
    loop {
        let run = client.json("GET", &format!("/api/v1/records/runbook-run/{}", escaped(&run_key)), None).await?;
        let results =
            run.get("fields").and_then(|f| f.get("results")).and_then(Value::as_array).cloned().unwrap_or_default();
        for result in results.iter().skip(shown) {
            let mark = if result.get("ok").and_then(Value::as_bool) == Some(true) { "done  " } else { "failed" };
            output::line(&format!("  {mark} {}\n", cell(result.get("said"))))?;
        }
        shown = results.len();
        let now = cell(run.get("state"));
        if now != state {
            output::line(&format!("{run_key} is {now}\n"))?;
            if now == "proposed" {
                output::line(&format!("  it waits for approval: mainstay do approve runbook-run {run_key}\n"))?;
            }
            if now == "waiting" {
                let asked = cell(run.get("fields").and_then(|f| f.get("asked")));
                output::line(&format!(
                    "  {asked}\n  done: mainstay do confirm runbook-run {run_key}; otherwise: mainstay do did-not-work runbook-run {run_key}\n"
                ))?;
            }
            state = now;
        }
        match state.as_str() {
            "succeeded" => return Ok(()),
            "failed" | "rejected" | "cancelled" => {
                return Err(Failure::new(format!("{run_key} is {state}: mainstay describe runbook-run {run_key}")));
            }
            _ => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}
