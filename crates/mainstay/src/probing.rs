//! `mainstay check`: one question, now, with the exit code of its state (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN).

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value};
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
        Check::List { protocol } => {
            list(protocol.as_deref())?;
            Ok(0)
        }
        Check::Run { protocol, target, expect, timeout, output } => {
            let known = probe::protocol(&protocol).map_err(|e| cli::Failure::usage(e.to_string()))?;
            let words = cli::commands::pairs(&expect)?;
            let wrong = |errors: Vec<probe::ParamError>| {
                cli::Failure::usage(
                    errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>().join("\n"),
                )
            };
            let params = known.params_from_words(&words).map_err(wrong)?;
            let timeout = kernel::clock::parse_duration(&timeout).map_err(cli::Failure::usage)?;
            if timeout < Duration::from_millis(1) {
                bail!(cli::Failure::usage("--timeout must be longer than 0"));
            }
            let request = probe::Request { protocol, target, params, timeout };
            probe::validate(&request).map_err(wrong)?;
            let outcome = probe::check(&probe::Env::real(), &request).await;
            if output == Form::Json {
                println!("{}", serde_json::to_string_pretty(&outcome)?);
            } else {
                println!("{}: {}", outcome.state, outcome.summary);
                for reading in &outcome.readings {
                    let labels: Vec<String> = reading.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                    println!("  {} {} {} {}", reading.name, reading.value, reading.unit, labels.join(" "));
                }
            }
            Ok(u8::try_from(outcome.state.exit_code()).unwrap_or(3))
        }
    }
}

fn list(only: Option<&str>) -> anyhow::Result<()> {
    if let Some(name) = only {
        let protocol = probe::protocol(name).map_err(|e| cli::Failure::usage(e.to_string()))?;
        println!("{}: {}\n\ntarget: {}\n", protocol.name, protocol.help, protocol.target);
        for (name, schema) in properties(&(protocol.schema)()) {
            println!(
                "  {name:<28} {}",
                schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
            );
        }
        return Ok(());
    }
    for protocol in probe::protocols() {
        println!("{:<10} {}", protocol.name, protocol.help.replace('\n', " "));
        let names: Vec<String> = properties(&(protocol.schema)()).into_iter().map(|(n, _)| n).collect();
        println!("{:<10} {}", "", names.join(", "));
    }
    Ok(())
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}
