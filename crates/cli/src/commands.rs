//! The commands of the client.

use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::io::Write;

use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Format, cell};

/// What can be asked of a server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List records of a class, or show one.
    Get {
        /// Class, such as incident; `mainstay classes` lists them.
        class: String,
        /// Key, such as INC-7.
        key: Option<String>,
        /// Filter, such as 'state:open priority:1,2'.
        #[arg(long, short)]
        filter: Option<String>,
        /// Field to sort by; - for greatest or newest first.
        #[arg(long, allow_hyphen_values = true)]
        sort: Option<String>,
        /// Records at most; 0 for all.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Everything about a record: fields, state, links, intervals, last journal entries.
    Describe {
        /// Class.
        class: String,
        /// Key.
        key: String,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Create a record.
    Create {
        /// Class.
        class: String,
        /// Values: field=value. A value that reads as JSON is taken as JSON.
        fields: Vec<String>,
        /// Key; left out, it is numbered or made from the title.
        #[arg(long)]
        key: Option<String>,
        /// Who answers for it.
        #[arg(long)]
        owner: Option<String>,
        /// Link: type=key, such as affects=shop.
        #[arg(long = "link")]
        links: Vec<String>,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Change fields of a record: field=value; field= takes the value away; owner=KEY changes the owner.
    Set {
        /// Class.
        class: String,
        /// Key.
        key: String,
        /// Values.
        #[arg(required = true)]
        fields: Vec<String>,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Do a step of the life cycle: mainstay do acknowledge incident INC-7.
    Do {
        /// Step.
        transition: String,
        /// Class.
        class: String,
        /// Key.
        key: String,
        /// What it asks for: field=value.
        fields: Vec<String>,
        /// Why.
        #[arg(long)]
        note: Option<String>,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Write a sentence into the timeline of a record.
    Note {
        /// Class.
        class: String,
        /// Key.
        key: String,
        /// The text.
        text: String,
    },
    /// Delete a record; its key stays taken.
    Delete {
        /// Class.
        class: String,
        /// Key.
        key: String,
    },
    /// Take back what a journal entry tells of.
    Undo {
        /// Class.
        class: String,
        /// Key.
        key: String,
        /// Sequence of the entry.
        seq: u64,
    },
    /// Link two records: mainstay link shop depends-on db.
    Link {
        /// Key of the source.
        from: String,
        /// Type of the link.
        link: String,
        /// Key of the target.
        to: String,
    },
    /// Take a link off.
    Unlink {
        /// Key of the source.
        from: String,
        /// Type of the link.
        link: String,
        /// Key of the target.
        to: String,
    },
    /// What depends on a record: who is hurt when it breaks.
    Impact {
        /// Class.
        class: String,
        /// Key.
        key: String,
        /// Links from the start, at most.
        #[arg(long, default_value_t = 5)]
        depth: u32,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Find records by words.
    Search {
        /// Words; all must be there.
        #[arg(required = true)]
        words: Vec<String>,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// What happened, newest last.
    Journal {
        /// Stay and show what happens.
        #[arg(long)]
        follow: bool,
        /// Entries to begin with.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Classes with their verb and number of fields.
    Classes {
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Make records what YAML files say: shows the plan, then does it.
    Apply {
        /// File, folder, or - for standard input.
        #[arg(short = 'f', long = "file")]
        file: String,
        /// Only show the plan.
        #[arg(long)]
        dry_run: bool,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Write records as YAML that apply takes, JSON lines or CSV.
    Export {
        /// Class; all classes when left out.
        class: Option<String>,
        /// Filter.
        #[arg(long, short)]
        filter: Option<String>,
        /// Form: yaml, json or csv.
        #[arg(long, short, default_value = "yaml")]
        output: String,
    },
    /// Take a table of records in, by key: CSV, or a YAML or JSON list.
    Import {
        /// Class.
        class: String,
        /// File, or - for standard input.
        file: String,
        /// Only tell what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Start a runbook: mainstay run restart-nginx --on web-1 --param unit=nginx.service.
    Run {
        /// Key of the runbook.
        runbook: String,
        /// Key of the record that it is run on.
        #[arg(long)]
        on: Option<String>,
        /// Parameter: name=value.
        #[arg(long = "param")]
        params: Vec<String>,
        /// Come back at once instead of waiting for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Controllers: their last run, its reason, how far they lag.
    Controllers {
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
}

/// Does a command.
///
/// # Errors
/// Why it was not done, with the exit code.
pub async fn run(client: &Client, command: Command) -> Result<(), Failure> {
    match command {
        Command::Get { class, key: Some(key), output, .. } => record(client, &class, &key, output).await,
        Command::Get { class, key: None, filter, sort, limit, output } => {
            list(client, &class, filter, sort, limit, output).await
        }
        Command::Describe { class, key, output } => crate::describe(client, &class, &key, output).await,
        Command::Create { class, fields, key, owner, links, output } => {
            let links: Vec<Value> = pairs(&links)?.into_iter().map(|(t, to)| json!({"type": t, "to": to})).collect();
            let body = json!({"key": key, "fields": values(&fields)?, "links": links, "owner": owner});
            let made = client.json("POST", &format!("/api/v1/records/{}", escaped(&class)), Some(&body)).await?;
            told(&made, output)
        }
        Command::Set { class, key, fields, output } => set(client, &class, &key, &fields, output).await,
        Command::Do { transition, class, key, fields, note, output } => {
            let body = json!({"fields": values(&fields)?, "note": note});
            let done = client
                .json("POST", &format!("{}/transitions/{}", path(&class, &key), escaped(&transition)), Some(&body))
                .await?;
            told(&done, output)
        }
        Command::Note { class, key, text } => {
            client.json("POST", &format!("{}/notes", path(&class, &key)), Some(&json!({"text": text}))).await?;
            output::line(&format!("noted on {key}\n"))
        }
        Command::Delete { class, key } => {
            client.json("DELETE", &path(&class, &key), None).await?;
            output::line(&format!("deleted {class} {key}\n"))
        }
        Command::Undo { class, key, seq } => {
            let record =
                client.json("POST", &format!("{}/undo", path(&class, &key)), Some(&json!({"seq": seq}))).await?;
            told(&record, Format::Table)
        }
        Command::Link { from, link, to } => {
            client.json("POST", "/api/v1/links", Some(&json!({"from": from, "type": link, "to": to}))).await?;
            output::line(&format!("{from} {link} {to}\n"))
        }
        Command::Unlink { from, link, to } => {
            client.json("DELETE", "/api/v1/links", Some(&json!({"from": from, "type": link, "to": to}))).await?;
            output::line(&format!("{from} no longer {link} {to}\n"))
        }
        Command::Impact { class, key, depth, output } => impact(client, &class, &key, depth, output).await,
        Command::Search { words, output } => search(client, &words.join(" "), output).await,
        Command::Journal { follow, limit, output } => journal(client, follow, limit, output).await,
        Command::Classes { output } => classes(client, output).await,
        Command::Apply { file, dry_run, output } => apply(client, &file, dry_run, output).await,
        Command::Export { class, filter, output } => export(client, class, filter, &output).await,
        Command::Import { class, file, dry_run } => import(client, &class, &file, dry_run).await,
        Command::Run { runbook, on, params, no_wait } => crate::runbook(client, &runbook, on, &params, no_wait).await,
        Command::Controllers { output } => controllers(client, output).await,
    }
}

/// Address of a record.
pub fn path(class: &str, key: &str) -> String {
    format!("/api/v1/records/{}/{}", escaped(class), escaped(key))
}

/// `name=value` pairs.
///
/// # Errors
/// A word without `=`.
pub fn pairs(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    words
        .iter()
        .map(|w| {
            w.split_once('=')
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .ok_or_else(|| Failure::usage(format!("\"{w}\" is not name=value")))
        })
        .collect()
}

/// Fields from `name=value` words: what reads as JSON (numbers, true, lists) is JSON, the rest is text, nothing is null.
fn values(words: &[String]) -> Result<Map<String, Value>, Failure> {
    let value = |text: &str| match text {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    };
    Ok(pairs(words)?.into_iter().map(|(n, v)| (n, value(&v))).collect())
}

fn told(record: &Value, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Csv => {
            let text = |name: &str| cell(record.get(name));
            output::line(&format!(
                "{} {} is {} (version {}): {}\n",
                text("class"),
                text("key"),
                text("state"),
                text("version"),
                text("title")
            ))
        }
        other => output::value(record, other),
    }
}

async fn record(client: &Client, class: &str, key: &str, format: Format) -> Result<(), Failure> {
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

async fn list(
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

async fn set(client: &Client, class: &str, key: &str, words: &[String], format: Format) -> Result<(), Failure> {
    let mut fields = values(words)?;
    let mut body = Map::new();
    if let Some(owner) = fields.shift_remove("owner") {
        body.insert("owner".into(), owner);
    }
    body.insert("fields".into(), fields.into());
    let record = client.json("PATCH", &path(class, key), Some(&Value::Object(body))).await?;
    told(&record, format)
}

async fn impact(client: &Client, class: &str, key: &str, depth: u32, format: Format) -> Result<(), Failure> {
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

async fn search(client: &Client, words: &str, format: Format) -> Result<(), Failure> {
    let found = client.json("GET", &format!("/api/v1/search?q={}&limit=50", escaped(words)), None).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        return output::value(&found, format);
    }
    let hits = found.get("hits").and_then(Value::as_array).cloned().unwrap_or_default();
    rows(&["class", "key", "title", "state", "updated"].map(str::to_owned), &hits, format)
}

async fn journal(client: &Client, follow: bool, limit: usize, format: Format) -> Result<(), Failure> {
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
                    std::io::stdout().flush()?;
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

async fn classes(client: &Client, format: Format) -> Result<(), Failure> {
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

async fn controllers(client: &Client, format: Format) -> Result<(), Failure> {
    let all = client.json("GET", "/api/v1/controllers", None).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        return output::value(&all, format);
    }
    let list = all.get("controllers").and_then(Value::as_array).cloned().unwrap_or_default();
    let names = ["name", "lag", "runs", "last_run", "last_reason", "last_error"];
    let rows: Vec<Vec<String>> = list.iter().map(|c| names.iter().map(|n| cell(c.get(n))).collect()).collect();
    output::table(&names.map(str::to_uppercase), &rows)
}

async fn apply(client: &Client, file: &str, dry_run: bool, format: Format) -> Result<(), Failure> {
    let body = json!({"files": files::read(file)?, "dry_run": dry_run});
    let answer = client.json("POST", "/api/v1/apply", Some(&body)).await?;
    if matches!(format, Format::Json | Format::Yaml) {
        output::value(&answer, format)?;
    } else {
        for change in answer.get("plan").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| cell(change.get(name));
            output::line(&format!("{:<10} {} {}\n", text("action"), text("kind"), text("name")))?;
            let after = change.get("changes").and_then(|c| c.get("after")).and_then(Value::as_object);
            for (name, value) in after.into_iter().flatten() {
                let before = change.get("changes").and_then(|c| c.get("before")).and_then(|b| b.get(name));
                output::line(&format!("             {name}: {} -> {}\n", shown(before), shown(Some(value))))?;
            }
        }
    }
    let errors = answer.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|e| {
            format!(
                "{}:{}: {}: {}",
                cell(e.get("file")),
                cell(e.get("line")),
                cell(e.get("field")),
                cell(e.get("message"))
            )
        })
        .collect();
    Err(Failure::usage(format!("nothing was applied:\n  {}", lines.join("\n  "))))
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "null".into(), ToString::to_string)
}

async fn export(client: &Client, class: Option<String>, filter: Option<String>, form: &str) -> Result<(), Failure> {
    let classes = match class {
        Some(class) => vec![class],
        None => {
            let all = client.json("GET", "/api/v1/classes", None).await?;
            all.get("classes").and_then(Value::as_array).into_iter().flatten().map(|c| cell(c.get("name"))).collect()
        }
    };
    for class in classes {
        let filter = filter.as_deref().map(|f| format!("&filter={}", escaped(f))).unwrap_or_default();
        let address = format!("/api/v1/export/{}?format={}{filter}", escaped(&class), escaped(form));
        client
            .stream(&address, |chunk| {
                std::io::stdout().lock().write_all(chunk)?;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn import(client: &Client, class: &str, file: &str, dry_run: bool) -> Result<(), Failure> {
    let text = if file == "-" {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(file).map_err(|e| Failure::new(format!("{file}: {e}")))?
    };
    let media = if file.ends_with(".yaml") || file.ends_with(".yml") || file.ends_with(".json") {
        "application/yaml"
    } else {
        "text/csv"
    };
    let answer =
        client.upload(&format!("/api/v1/import?class={}&dry_run={dry_run}", escaped(class)), media, text).await?;
    let number = |name: &str| cell(answer.get(name));
    output::line(&format!(
        "{} rows: {} new, {} changed, {} as they are\n",
        number("rows"),
        number("created"),
        number("updated"),
        number("unchanged")
    ))?;
    let errors = answer.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|e| format!("row {}: {}: {}", cell(e.get("row")), cell(e.get("field")), cell(e.get("message"))))
        .collect();
    Err(Failure::usage(format!("nothing was written:\n  {}", lines.join("\n  "))))
}
