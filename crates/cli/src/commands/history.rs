//! Commands that change measurements of the past: delete them, and bring them from a file. The server decides and counts; here it
//! is asked and told.

use serde_json::{Value, json};
use std::io::{IsTerminal, Write};

use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::output::{self, cell};

/// Which measurements are to go, and why.
pub(super) struct Deletion {
    pub(super) matches: Vec<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) dry_run: bool,
}

impl Deletion {
    /// Whether any of it was said.
    pub(super) fn is_asked_for(&self) -> bool {
        let Self { matches, from, to, reason, dry_run } = self;
        *dry_run || !matches.is_empty() || [from, to, reason].into_iter().any(Option::is_some)
    }
}

/// Deletes measurements; a dry run only counts them.
pub(super) async fn delete(client: &Client, what: Deletion) -> Result<(), Failure> {
    let Deletion { matches, from, to, reason, dry_run } = what;
    if matches.is_empty() {
        return Err(Failure::usage("say which series: mainstay delete series --match 'up{job=\"old\"}' --reason '…'"));
    }
    if reason.is_none() && !dry_run {
        return Err(Failure::usage(
            "say why with --reason: it stays in the journal; --dry-run only counts what would go",
        ));
    }
    let body =
        json!({"match": matches, "from": from, "to": to, "reason": reason.unwrap_or_default(), "dry_run": dry_run});
    let answer = client.json("POST", "/api/v1/series/delete", Some(&body)).await?;
    let many = match answer.get("samples").and_then(Value::as_u64) {
        None => "an unknown number of samples".to_owned(),
        Some(samples) => format!("{samples} samples of {} series", cell(answer.get("series"))),
    };
    let line = match answer.get("deletion").and_then(Value::as_str) {
        None => format!("would delete {many}; nothing was deleted\n"),
        Some(key) if cell(answer.get("state")) == "done" => format!("{key}: deleted {many}\n"),
        Some(key) => format!("{key} is not done yet and goes on by itself: mainstay get series-deletion {key}\n"),
    };
    output::line(&line)
}

/// The form that the name of a file says.
fn form_of(file: &str) -> Result<&'static str, Failure> {
    let ending = file.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "csv" => Ok("csv"),
        "jsonl" | "ndjson" => Ok("jsonl"),
        "parquet" => Ok("parquet"),
        "om" | "openmetrics" | "prom" | "txt" => Ok("openmetrics"),
        _ => Err(Failure::usage("say what the file is with --form: csv, jsonl, parquet or openmetrics")),
    }
}

/// Brings samples from a file; a dry run only reads it.
pub(super) async fn import(client: &Client, file: &str, form: Option<String>, dry_run: bool) -> Result<(), Failure> {
    let form = match &form {
        Some(form) => form.as_str(),
        None => form_of(file)?,
    };
    let path = if file == "-" { "/dev/stdin" } else { file };
    let opened = std::fs::File::open(path).map_err(|error| Failure::new(format!("{file}: {error}")))?;
    let name = file.rsplit('/').next().unwrap_or(file);
    let address = format!("/api/v1/series/import?format={}&dry_run={dry_run}&name={}", escaped(form), escaped(name));
    let (mut lines, mut last) = (Vec::new(), Value::Null);
    let seen = std::io::stderr().is_terminal();
    let each = |piece: &[u8]| {
        lines.extend_from_slice(piece);
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            last = serde_json::from_slice(&line).unwrap_or(Value::Null);
            if seen && let (Some(done), Some(of)) = (last.get("done"), last.get("of")) {
                write!(std::io::stderr(), "\r{done} of {of} samples ")?;
            }
        }
        Ok(())
    };
    client.send_file(&address, opened, each).await?;
    if seen {
        write!(std::io::stderr(), "\r")?;
    }
    told(&last)
}

fn told(last: &Value) -> Result<(), Failure> {
    let text = |name: &str| cell(last.get(name));
    let state = text("state");
    if last.get("dry_run").is_some() {
        return output::line(&format!(
            "{} samples of {} series, from {} to {}; nothing was stored\n",
            text("samples"),
            text("series"),
            text("from"),
            text("to")
        ));
    }
    let reasons = last.get("reasons").and_then(Value::as_array).cloned().unwrap_or_default();
    for reason in &reasons {
        let place = ["line", "row"].iter().find_map(|name| Some(format!("{name} {}", reason.get(*name)?)));
        eprintln!("mainstay: not taken: {}: {}", place.unwrap_or_default(), cell(reason.get("why")));
    }
    if state != "done" {
        let why = if state.is_empty() { "the answer broke off".to_owned() } else { text("failure") };
        return Err(Failure::new(format!(
            "{} ended early: {why}\n  what was stored stays; the same file again brings the rest",
            text("import")
        )));
    }
    output::line(&format!(
        "{}: {} of {} samples of {} series are stored, {} were refused\n",
        text("import"),
        text("stored"),
        text("samples"),
        text("series"),
        text("refused")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_what_it_is() {
        for (file, form) in
            [("a.csv", "csv"), ("/x/b.JSONL", "jsonl"), ("c.parquet", "parquet"), ("metrics.om", "openmetrics")]
        {
            assert_eq!(form_of(file).expect("a form"), form);
        }
        assert_eq!(form_of("-").expect_err("nothing says it").code, 2);
    }

    #[test]
    fn an_import_that_broke_off_is_a_failure() {
        assert!(told(&Value::Null).is_err());
        assert!(told(&json!({"done": 5, "of": 10})).is_err());
        assert!(told(&json!({"import": "TAKE-1", "state": "failed", "failure": "no room"})).is_err());
        assert!(told(&json!({"import": "TAKE-1", "state": "done", "stored": 1, "reasons": []})).is_ok());
    }
}
