//! Commands that only look: lists, records, impact, search, the journal, classes and controllers.

use serde_json::{Value, json};

use super::path;
use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::output::{self, Format, cell};

pub(super) async fn record(client: &Client, class: &str, key: &str, format: Format) -> Result<(), Failure> {
    let record = client.json("GET", &path(class, key), None).await?;
    match format {
        Format::Table | Format::Csv => {
            let columns = columns(client, class).await?;
            rows(&columns, std::slice::from_ref(&record), format)
        }
        other => output::value(&record, other),
    }
}

async fn columns(client: &Client, class: &str) -> Result<Vec<String>, Failure> {
    let class = client.json("GET", &format!("/api/v1/classes/{}", escaped(class)), None).await?;
    let columns = class.get("columns").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    Ok(columns.map(str::to_owned).collect())
}

fn rows(columns: &[String], records: &[Value], format: Format) -> Result<(), Failure> {
    let value = |record: &Value, column: &str| match column {
        "health" => cell(record.get("health").and_then(|h| h.get("state"))),
        "title" if record.get("title").is_some() => cell(record.get("title")),
        _ => cell(record.get(column).or_else(|| record.get("fields").and_then(|f| f.get(column)))),
    };
    let rows: Vec<Vec<String>> = records.iter().map(|r| columns.iter().map(|c| value(r, c)).collect()).collect();
    if format == Format::Csv {
        return output::csv(columns, &rows);
    }
    let header: Vec<String> = columns.iter().map(|c| c.to_uppercase()).collect();
    output::table(&header, &rows)
}

pub(super) async fn list(
    client: &Client,
    class: &str,
    filter: Option<String>,
    sort: Option<String>,
    limit: usize,
    format: Format,
) -> Result<(), Failure> {
    let mut records: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    let mut last = json!({});
    loop {
        let want = if limit == 0 { 500 } else { (limit - records.len()).min(500) };
        let mut address = format!("/api/v1/records/{}?limit={want}", escaped(class));
        for (name, value) in [("filter", &filter), ("sort", &sort), ("cursor", &cursor)] {
            if let Some(value) = value {
                address.push_str(&format!("&{name}={}", escaped(value)));
            }
        }
        last = client.json("GET", &address, None).await?;
        records.extend(last.get("records").and_then(Value::as_array).cloned().unwrap_or_default());
        cursor = last.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || (limit != 0 && records.len() >= limit) {
            break;
        }
    }
    match format {
        Format::Table | Format::Csv => {
            let columns = columns(client, class).await?;
            rows(&columns, &records, format)?;
            if cursor.is_some() {
                eprintln!(
                    "{} of {} shown; --limit 0 shows all",
                    records.len(),
                    cell(last.get("total").filter(|t| !t.is_null()).or(last.get("estimate")))
                );
            }
            Ok(())
        }
        other => output::value(&json!({"records": records, "next_cursor": cursor, "total": last.get("total")}), other),
    }
}

pub(super) async fn impact(client: &Client, class: &str, key: &str, depth: u32, format: Format) -> Result<(), Failure> {
    let graph = client
        .json("GET", &format!("{}/graph?direction=up&depth={depth}&types=impact", path(class, key)), None)
        .await?;
    if matches!(format, Format::Json | Format::Yaml) {
        return output::value(&graph, format);
    }
    let header = ["DEPTH", "CLASS", "KEY", "TITLE", "HEALTH"].map(str::to_owned);
    let rows: Vec<Vec<String>> = graph
        .get("nodes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|n| {
            vec![
                cell(n.get("depth")),
                cell(n.get("class")),
                cell(n.get("key")),
                cell(n.get("title")),
                cell(n.get("health").and_then(|h| h.get("state"))),
            ]
        })
        .collect();
    output::table(&header, &rows)
}

pub(super) async fn search(client: &Client, words: &str, format: Format) -> Result<(), Failure> {
    let found = client.json("GET", &format!("/api/v1/search?q={}&limit=50", escaped(words)), None).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        return output::value(&found, format);
    }
    let hits = found.get("hits").and_then(Value::as_array).cloned().unwrap_or_default();
    rows(&["class", "key", "title", "state", "updated"].map(str::to_owned), &hits, format)
}

pub(super) async fn journal(client: &Client, follow: bool, limit: usize, format: Format) -> Result<(), Failure> {
    let page = client.json("GET", &format!("/api/v1/journal?before=0&limit={}", limit.clamp(1, 1000)), None).await?;
    let mut entries = page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    entries.reverse();
    for entry in &entries {
        output::line(&entry_line(entry, format))?;
    }
    if !follow {
        return Ok(());
    }
    let since = entries.last().and_then(|e| e.get("seq")).and_then(Value::as_u64).unwrap_or(0);
    let mut rest = String::new();
    client
        .stream(&format!("/api/v1/stream?since={since}"), |chunk| {
            rest.push_str(&String::from_utf8_lossy(chunk));
            while let Some(end) = rest.find("\n\n") {
                let event: String = rest.drain(..end + 2).collect();
                if let Some(data) = event.lines().find_map(|l| l.strip_prefix("data:")) {
                    output::line(&entry_line(&serde_json::from_str(data.trim_start()).unwrap_or(Value::Null), format))?;
                }
            }
            Ok(())
        })
        .await
}

/// One entry in one line: when, what, to what, by whom, because of what.
pub fn entry_line(entry: &Value, format: Format) -> String {
    if format != Format::Table {
        return format!("{entry}\n");
    }
    let text = |name: &str| cell(entry.get(name));
    let actor =
        entry.get("actor").map(|a| format!("{}:{}", cell(a.get("kind")), cell(a.get("key")))).unwrap_or_default();
    let cause = entry.get("cause").filter(|c| !c.is_null()).map(|c| format!(" because of #{c}")).unwrap_or_default();
    let note = entry.get("note").and_then(Value::as_str).map(|n| format!(": {n}")).unwrap_or_default();
    format!(
        "#{} {} {} {} {} by {actor}{cause}{note}\n",
        text("seq"),
        text("time"),
        text("action"),
        text("class"),
        text("subject")
    )
}

pub(super) async fn classes(client: &Client, format: Format) -> Result<(), Failure> {
    let all = client.json("GET", "/api/v1/classes", None).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        return output::value(&all, format);
    }
    let classes = all.get("classes").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = classes
        .iter()
        .map(|c| vec![cell(c.get("name")), cell(c.get("verb")), cell(c.get("prefix")), cell(c.get("help"))])
        .collect();
    output::table(&["NAME", "VERB", "PREFIX", "HELP"].map(str::to_owned), &rows)
}

pub(super) async fn controllers(client: &Client, format: Format) -> Result<(), Failure> {
    let all = client.json("GET", "/api/v1/controllers", None).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        return output::value(&all, format);
    }
    let list = all.get("controllers").and_then(Value::as_array).cloned().unwrap_or_default();
    let names = ["name", "lag", "runs", "last_run", "last_reason", "last_error"];
    let rows: Vec<Vec<String>> = list.iter().map(|c| names.iter().map(|n| cell(c.get(n))).collect()).collect();
    output::table(&names.map(str::to_uppercase), &rows)
}
