//! `mainstay rules`: Prometheus's rule files in and out, unit tests of rules, and rules replayed over the past.
//!
//! Files are read and tests are run here, where the files are; records go in through the API like everybody's.

mod replay;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use cli::{Client, Failure, output};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use watch::rule::Rule;
use watch::rules::{file, unit};

pub use replay::{Replays, operations};

/// What can be done with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Make records of Prometheus rule files: shows the plan, then does it.
    Import {
        /// Files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Only show what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print the records as configuration files, and send nothing.
        #[arg(long, conflicts_with = "dry_run")]
        print: bool,
    },
    /// Write rules as a Prometheus rule file.
    Export {
        /// Filter of rules, such as group:node.
        #[arg(default_value = "")]
        filter: String,
    },
    /// Run unit tests of rules, in the format of promtool; exit code 1 when one fails.
    Test {
        /// Test files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List what a rule would have fired in the past.
    Replay {
        /// Key of the rule.
        rule: String,
        /// How far back.
        #[arg(long, default_value = "30d")]
        since: String,
        /// From one evaluation to the next; the rule's interval when left out.
        #[arg(long)]
        step: Option<String>,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Form,
    },
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A table.
    #[default]
    Text,
    /// JSON, stable.
    Json,
}

impl RulesCommand {
    /// Whether it needs no server.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Test { .. } | Self::Import { print: true, .. })
    }
}

/// Runs a command that needs no server; its exit code.
///
/// # Errors
/// A file that cannot be read, with its line.
pub fn run_local(command: &RulesCommand) -> anyhow::Result<u8> {
    match command {
        RulesCommand::Test { files } => test(files),
        RulesCommand::Import { files, .. } => {
            output::line(&documents(files)?)?;
            Ok(0)
        }
        _ => anyhow::bail!("this command needs a server"),
    }
}

/// Runs a command against a server.
///
/// # Errors
/// What the server refuses, or a file that cannot be read.
pub async fn run(client: &Client, command: RulesCommand) -> anyhow::Result<()> {
    match command {
        RulesCommand::Import { files, dry_run, .. } => import(client, &files, dry_run).await,
        RulesCommand::Export { filter } => export(client, &filter).await,
        RulesCommand::Replay { rule, since, step, output } => {
            replay::run(client, &rule, &since, step.as_deref(), output).await
        }
        RulesCommand::Test { files } => {
            test(&files)?;
            Ok(())
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The rules of files, keys unique over all of them.
fn imported(files: &[PathBuf]) -> anyhow::Result<Vec<file::Imported>> {
    let mut taken = BTreeSet::new();
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for path in files {
        match file::import(&read(path)?, &mut taken) {
            Ok(rules) => all.extend(rules),
            Err(found) => {
                faults.extend(found.iter().map(|f| format!("{}:{}: {}", path.display(), f.line, f.message)));
            }
        }
    }
    if faults.is_empty() {
        return Ok(all);
    }
    Err(Failure::usage(format!("nothing was imported:\n  {}", faults.join("\n  "))).into())
}

/// Rules as documents of configuration as code.
fn documents(files: &[PathBuf]) -> anyhow::Result<String> {
    let mut text = String::new();
    for one in imported(files)? {
        let document = json!({"kind": "rule", "metadata": {"name": one.key}, "spec": spec(&one.rule)?});
        text.push_str("---\n");
        text.push_str(&yaml_serde::to_string(&document)?);
    }
    Ok(text)
}

/// What is written down of a rule: not what is empty, and not what Mainstay fills in itself.
fn spec(rule: &Rule) -> anyhow::Result<Map<String, Value>> {
    let Value::Object(mut fields) = serde_json::to_value(rule)? else { anyhow::bail!("a rule is an object") };
    for name in ["evaluation", "last_evaluated", "last_error"] {
        fields.shift_remove(name);
    }
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    fields.retain(|_, value| !empty(value));
    Ok(fields)
}

async fn import(client: &Client, files: &[PathBuf], dry_run: bool) -> anyhow::Result<()> {
    let text = documents(files)?;
    let body = json!({"files": [{"path": "rules", "text": text}], "dry_run": dry_run});
    let answer = client.json("POST", "/api/v1/apply", Some(&body)).await?;
    let word = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    for change in answer.get("plan").and_then(Value::as_array).into_iter().flatten() {
        output::say(&format!("{:<10} {} {}", word(change, "action"), word(change, "kind"), word(change, "name")))?;
    }
    let errors = answer.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors.iter().map(|e| format!("{}: {}", word(e, "field"), word(e, "message"))).collect();
    Err(Failure::usage(format!("nothing was imported:\n  {}", lines.join("\n  "))).into())
}

async fn export(client: &Client, filter: &str) -> anyhow::Result<()> {
    let (mut rules, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut path = format!("/api/v1/records/rule?limit=500&filter={}", cli::client::escaped(filter));
        if let Some(cursor) = &cursor {
            path.push_str(&format!("&cursor={}", cli::client::escaped(cursor)));
        }
        let page = client.json("GET", &path, None).await?;
        for record in page.get("records").and_then(Value::as_array).into_iter().flatten() {
            let key = record.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
            let fields = record.get("fields").cloned().unwrap_or_default();
            let rule = serde_json::from_value(fields).with_context(|| format!("rule {key} cannot be read"))?;
            rules.push((key, rule));
        }
        cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    output::line(&file::export(&rules)?)?;
    Ok(())
}

/// Runs test files; 1 when something was not as expected.
fn test(files: &[PathBuf]) -> anyhow::Result<u8> {
    let mut failed = false;
    for path in files {
        let report = test_one(path)?;
        let word = if report.failed.is_empty() { "ok" } else { "FAILED" };
        output::say(&format!("{}: {word}, {} of {} as expected", path.display(), passed(&report), report.looked_at))?;
        for one in &report.failed {
            output::say(&format!("  {}", one.to_string().replace('\n', "\n  ")))?;
        }
        failed |= !report.failed.is_empty();
    }
    Ok(u8::from(failed))
}

fn passed(report: &unit::Report) -> usize {
    report.looked_at.saturating_sub(report.failed.len())
}

fn test_one(path: &Path) -> anyhow::Result<unit::Report> {
    let faulty = |path: &Path, fault: &file::FileFault| {
        anyhow::Error::from(Failure::usage(format!("{}:{}: {}", path.display(), fault.line, fault.message)))
    };
    let suite = unit::parse(&read(path)?).map_err(|fault| faulty(path, &fault))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let (mut taken, mut rules) = (BTreeSet::new(), Vec::new());
    for pattern in &suite.rule_files {
        for named in matching(&folder.join(pattern))? {
            let found = file::import(&read(&named)?, &mut taken).map_err(|faults| faulty(&named, &faults[0]))?;
            rules.extend(found.into_iter().map(|one| one.rule));
        }
    }
    unit::run(&suite, &rules).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))
}

/// The files that a path means, whose last part may hold `*`; a path without one is itself.
fn matching(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let last = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !last.contains('*') {
        return Ok(vec![path.to_owned()]);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let fits = |path: &PathBuf| path.file_name().is_some_and(|name| fits(&name.to_string_lossy(), &last));
    let mut found: Vec<PathBuf> = names.filter(fits).collect();
    found.sort();
    Ok(found)
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((before, rest)) => name
            .strip_prefix(before)
            .is_some_and(|name| (0..=name.len()).any(|at| name.get(at..).is_some_and(|tail| fits(tail, rest)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (name, pattern, expected) in [
            ("a.yml", "*.yml", true),
            ("a.yaml", "*.yml", false),
            ("x-rules.yml", "x*s.y*", true),
            ("a", "a", true),
            ("ä.yml", "*.yml", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }
}
