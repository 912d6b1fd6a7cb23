//! `mainstay check`: one question, now, with the exit code of its state (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN).

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use cli::output;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Check {
    /// Ask once: mainstay check run http https://shop.example.org --expect status=200.
    Run {
        /// Protocol; `mainstay check list` tells all.
        protocol: String,
        /// What to ask; some protocols need none.
        #[arg(default_value = "")]
        target: String,
        /// What the answer must be, or a setting: name=value.
        #[arg(long = "expect", short)]
        expect: Vec<String>,
        /// For snmp: what is read of the device: its role, such as `core-switch`; `auto` for all that fits; or a profile.
        #[arg(long)]
        profile: Option<String>,
        /// Say what would be sent, and send nothing.
        #[arg(long)]
        dry_run: bool,
        /// How long it may take.
        #[arg(long, default_value = "5s")]
        timeout: String,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Form,
    },
    /// All protocols with their parameters.
    List {
        /// One protocol only, with each parameter's help.
        protocol: Option<String>,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Form,
    },
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// State and sentence.
    #[default]
    Text,
    /// JSON, stable.
    Json,
}

/// Asks, or lists.
///
/// # Errors
/// A protocol or parameter that does not exist.
pub async fn run(check: Check) -> anyhow::Result<u8> {
    match check {
        Check::List { protocol, output } => {
            list(protocol.as_deref(), output)?;
            Ok(0)
        }
        Check::Run { protocol, target, expect, profile, dry_run, timeout, output } => {
            let request = request(protocol, target, &expect, profile, &timeout)?;
            let prepared = probe::prepare(&request).map_err(wrong)?;
            if dry_run {
                let lines = probe::rehearse(&prepared).await;
                if output == Form::Json {
                    output::json(&json!({ "would": lines }))?;
                } else {
                    lines.iter().try_for_each(|line| output::say(&format!("would {line}")))?;
                }
                return Ok(0);
            }
            let outcome = prepared.run(&probe::Env::real()).await;
            if output == Form::Json {
                output::json(&outcome)?;
            } else {
                output::say(&format!("{}: {}", outcome.state, outcome.summary))?;
                for reading in &outcome.readings {
                    let labels: Vec<String> = reading.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                    output::say(&format!(
                        "  {} {} {} {}",
                        reading.name,
                        reading.value,
                        reading.unit,
                        labels.join(" ")
                    ))?;
                }
            }
            Ok(u8::try_from(outcome.state.exit_code()).unwrap_or(3))
        }
    }
}

fn wrong(errors: Vec<probe::ParamError>) -> cli::Failure {
    cli::Failure::usage(errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>().join("\n"))
}

fn request(
    protocol: String,
    target: String,
    expect: &[String],
    profile: Option<String>,
    timeout: &str,
) -> anyhow::Result<probe::Request> {
    let known = probe::protocol(&protocol).map_err(|e| cli::Failure::usage(e.to_string()))?;
    let mut words = cli::commands::pairs(expect)?;
    words.extend(profile.map(|name| ("profile".to_owned(), name)));
    let params = known.params_from_words(&words).map_err(wrong)?;
    let timeout = kernel::clock::parse_duration(timeout).map_err(cli::Failure::usage)?;
    if timeout < Duration::from_millis(1) {
        bail!(cli::Failure::usage("--timeout must be longer than 0"));
    }
    Ok(probe::Request { protocol, target, params, timeout })
}

fn list(only: Option<&str>, output: Form) -> anyhow::Result<()> {
    let only = only.map(|name| probe::protocol(name).map_err(|e| cli::Failure::usage(e.to_string()))).transpose()?;
    if output == Form::Json {
        let described = |p: &probe::Protocol| {
            json!({ "name": p.name, "title": p.title, "help": p.help, "target": p.target, "local": p.local,
                "parameters": properties(&(p.schema)()) })
        };
        let all: Vec<Value> = match only {
            Some(protocol) => vec![described(protocol)],
            None => probe::protocols().iter().map(described).collect(),
        };
        output::json(&all)?;
        return Ok(());
    }
    if let Some(protocol) = only {
        output::say(&format!("{}: {}\n\ntarget: {}\n", protocol.name, protocol.help, protocol.target))?;
        for (name, schema) in properties(&(protocol.schema)()) {
            let help = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
            let default = schema.get("default").filter(|default| !is_nothing(default));
            let default = default.map(|default| format!(" Default: {default}.")).unwrap_or_default();
            output::say(&format!("  {name:<28} {help}{default}"))?;
        }
        return Ok(());
    }
    for protocol in probe::protocols() {
        output::say(&format!("{:<10} {}", protocol.name, protocol.help.replace('\n', " ")))?;
        let names: Vec<String> = properties(&(protocol.schema)()).into_iter().map(|(n, _)| n).collect();
        output::say(&format!("{:<10} {}", "", names.join(", ")))?;
    }
    Ok(())
}

/// A default that says nothing to a reader.
fn is_nothing(default: &Value) -> bool {
    match default {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}
