//! The commands of the client: their words, and those that change one thing. What looks and what carries many records stand apart.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::output::{self, Format, cell};

mod carry;
mod history;
mod look;
mod series;

use carry::{apply, export, import};
pub use look::entry_line;
use look::{classes, controllers, impact, journal, list, record, search};

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
    /// Delete a record, whose key stays taken; or measurements for good, with `delete series`.
    Delete {
        /// Class, or `series`.
        class: String,
        /// Key of the record.
        key: Option<String>,
        /// Of series: which, such as 'up{job="old"}'; may be given several times.
        #[arg(long = "match")]
        matches: Vec<String>,
        /// Of series: from when, RFC 3339 or Unix seconds; from the first sample on when left out.
        #[arg(long)]
        from: Option<String>,
        /// Of series: until when; up to the last sample when left out.
        #[arg(long)]
        to: Option<String>,
        /// Of series: why they have to go; it stays in the journal.
        #[arg(long)]
        reason: Option<String>,
        /// Of series: only count what would go.
        #[arg(long)]
        dry_run: bool,
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
    /// Write records as YAML that apply takes, JSON lines or CSV; or measurements, with `export series`.
    Export {
        /// Class, or `series`; all classes when left out.
        class: Option<String>,
        /// Filter.
        #[arg(long, short)]
        filter: Option<String>,
        /// Form: yaml, json or csv; of series csv, jsonl or parquet.
        #[arg(long, short)]
        output: Option<String>,
        /// Of series: which, such as 'up{job="node"}'; may be given several times.
        #[arg(long = "match")]
        matches: Vec<String>,
        /// Of series: from when, RFC 3339 or Unix seconds; an hour ago when left out.
        #[arg(long)]
        from: Option<String>,
        /// Of series: until when; now when left out.
        #[arg(long)]
        to: Option<String>,
    },
    /// Ask measurements: `mainstay query 'rate(requests_total[5m])' --range 1h --step 15s`.
    Query {
        /// PromQL.
        promql: String,
        /// When, RFC 3339 or Unix seconds; with --range when it ends. Now when left out.
        #[arg(long)]
        time: Option<String>,
        /// Over how long back, such as 1h; at one moment when left out.
        #[arg(long)]
        range: Option<String>,
        /// How far apart the answers are, such as 15s.
        #[arg(long, default_value = "15s", requires = "range")]
        step: String,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
    /// Take a table of records in, by key: CSV, or a YAML or JSON list; or measurements of any age, with `import series`.
    Import {
        /// Class, or `series`.
        class: String,
        /// File, or - for standard input.
        file: String,
        /// Only tell what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Of series: csv, jsonl, parquet or openmetrics; by the file's name when left out.
        #[arg(long)]
        form: Option<String>,
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
        /// Only tell what would be done; nothing is run and nobody is asked.
        #[arg(long)]
        dry_run: bool,
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
        Command::Delete { class, key, matches, from, to, reason, dry_run } => {
            delete(client, &class, key, history::Deletion { matches, from, to, reason, dry_run }).await
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
        Command::Export { class, output, matches, from, to, .. } if class.as_deref() == Some("series") => {
            series::export(client, &matches, from, to, output.as_deref().unwrap_or("csv")).await
        }
        Command::Export { class, filter, output, .. } => {
            export(client, class, filter, output.as_deref().unwrap_or("yaml")).await
        }
        Command::Query { promql, time, range, step, output } => {
            series::query(client, &promql, time, range.map(|range| (range, step)), output).await
        }
        Command::Import { class, file, dry_run, form } if class == "series" => {
            history::import(client, &file, form, dry_run).await
        }
        Command::Import { class, file, dry_run, .. } => import(client, &class, &file, dry_run).await,
        Command::Run { runbook, on, params, no_wait, dry_run } => {
            crate::runbook(client, &runbook, on, &params, crate::Go { wait: !no_wait, dry: dry_run }).await
        }
        Command::Controllers { output } => controllers(client, output).await,
    }
}

async fn delete(
    client: &Client,
    class: &str,
    key: Option<String>,
    measurements: history::Deletion,
) -> Result<(), Failure> {
    match key {
        None if class == "series" => history::delete(client, measurements).await,
        None => Err(Failure::usage(format!("say which: mainstay delete {class} KEY"))),
        Some(_) if measurements.is_asked_for() => {
            Err(Failure::usage("--match, --from, --to, --reason and --dry-run are for `mainstay delete series`"))
        }
        Some(key) => {
            client.json("DELETE", &path(class, &key), None).await?;
            output::line(&format!("deleted {class} {key}\n"))
        }
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
