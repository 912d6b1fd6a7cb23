//! `mainstay.toml` in the data directory: flags of the server that need not be written on every start.
//!
//! A flag on the command line wins over its variable, and that over the file. The file is turned into arguments before they are
//! read, so that help, types and errors are those of the flags.

use anyhow::{Context, bail};
use clap::Command;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Flags before the subcommand that take a value.
const BEFORE: [&str; 4] = ["--data", "--server", "--token", "--tenant"];

/// Where the subcommand is, if it is one that serves.
pub fn serving(words: &[impl AsRef<str>]) -> Option<usize> {
    let mut at = 1;
    loop {
        match words.get(at)?.as_ref() {
            flag if BEFORE.contains(&flag) => at += 2,
            flag if flag.starts_with('-') => at += 1,
            word => return (word == "up" || word == "server").then_some(at),
        }
    }
}

/// The arguments with those of the file put behind the subcommand, for subcommands that serve.
///
/// # Errors
/// A file that cannot be read, or a key that is no flag, with the near ones.
pub fn with_file(
    arguments: Vec<OsString>,
    command: &Command,
    variables: &dyn Fn(&str) -> Option<OsString>,
) -> anyhow::Result<Vec<OsString>> {
    let words: Vec<String> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let Some(at) = serving(&words) else { return Ok(arguments) };
    let path = data(&words, variables).join("mainstay.toml");
    if !path.exists() {
        return Ok(arguments);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let flags = command.find_subcommand(&words[at]).context("the subcommand is known")?;
    let extra = extra(&text, &path, flags, &words, variables)?;
    let mut all = arguments;
    for (i, word) in extra.into_iter().enumerate() {
        all.insert(at + 1 + i, word.into());
    }
    Ok(all)
}

fn data(words: &[String], variables: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    let given = words.iter().enumerate().find_map(|(i, w)| match w.strip_prefix("--data=") {
        Some(value) => Some(value.to_owned()),
        None if w == "--data" => words.get(i + 1).cloned(),
        None => None,
    });
    given
        .map(PathBuf::from)
        .or_else(|| variables("MAINSTAY_DATA").map(PathBuf::from))
        .unwrap_or_else(|| "./data".into())
}

/// Arguments from the file for flags that are given neither on the command line nor as a variable.
fn extra(
    text: &str,
    path: &Path,
    flags: &Command,
    words: &[String],
    variables: &dyn Fn(&str) -> Option<OsString>,
) -> anyhow::Result<Vec<String>> {
    let table: toml::Table = text.parse().map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    let mut extra = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let Some(flag) = flags.get_arguments().find(|a| a.get_long() == Some(&name)) else {
            let known: Vec<&str> = flags.get_arguments().filter_map(|a| a.get_long()).collect();
            let near = kernel::error::near(&name, known.iter().copied());
            let hint = if near.is_empty() { known.join(", ") } else { near.join(", ") };
            bail!("{}: there is no setting \"{key}\"; there is {hint}", path.display());
        };
        let long = format!("--{name}");
        let given = words.iter().any(|w| *w == long || w.starts_with(&format!("{long}=")));
        let variable = flag.get_env().is_some_and(|v| variables(&v.to_string_lossy()).is_some());
        if given || variable {
            continue;
        }
        match value {
            toml::Value::Boolean(true) => extra.push(long),
            toml::Value::Boolean(false) => {}
            toml::Value::Array(items) => extra.extend(items.iter().map(|i| format!("{long}={}", shown(i)))),
            other => extra.push(format!("{long}={}", shown(&other))),
        }
    }
    Ok(extra)
}

fn shown(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Command {
        let flag = |name: &'static str| clap::Arg::new(name).long(name);
        Command::new("up")
            .arg(flag("listen").env("X_LISTEN"))
            .arg(flag("allow-webhook"))
            .arg(flag("no-agent").action(clap::ArgAction::SetTrue))
    }

    fn read(text: &str, words: &[&str], variable: Option<&str>) -> anyhow::Result<Vec<String>> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        extra(text, Path::new("mainstay.toml"), &flags(), &words, &|name| {
            variable.filter(|v| *v == name).map(OsString::from)
        })
    }

    #[test]
    fn the_command_line_wins_over_the_variable_and_that_over_the_file() {
        let text = "listen = \"127.0.0.1:9\"\nno_agent = true\nallow-webhook = [\"a:1\", \"b:2\"]\n";
        let all = ["--allow-webhook=a:1", "--allow-webhook=b:2", "--listen=127.0.0.1:9", "--no-agent"];
        assert_eq!(read(text, &["mainstay", "up"], None).unwrap(), all);
        let rest = ["--allow-webhook=a:1", "--allow-webhook=b:2", "--no-agent"];
        assert_eq!(read(text, &["mainstay", "up", "--listen", "x"], None).unwrap(), rest);
        assert_eq!(read(text, &["mainstay", "up"], Some("X_LISTEN")).unwrap(), rest);
    }

    #[test]
    fn only_the_subcommand_is_taken_for_one_that_serves() {
        let of = |line: &str| serving(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(of("mainstay up"), Some(1));
        assert_eq!(of("mainstay --data x --tenant=up server --listen y"), Some(4));
        for line in [
            "mainstay",
            "mainstay --data server",
            "mainstay --data x check run snmp 192.0.2.1 --profile server",
            "mainstay check run tcp up",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        // Every one of the flags before a subcommand that takes a value is known here.
        let command = <crate::Arguments as clap::CommandFactory>::command();
        let with_value = |flag: &&clap::Arg| flag.get_action().takes_values();
        let mut all: Vec<String> = command
            .get_arguments()
            .filter(with_value)
            .filter_map(|flag| Some(format!("--{}", flag.get_long()?)))
            .collect();
        all.sort();
        assert_eq!(all, {
            let mut known = BEFORE.to_vec();
            known.sort_unstable();
            known
        });
    }

    #[test]
    fn a_setting_that_does_not_exist_is_told_with_the_near_one() {
        let error = read("lisen = 1\n", &["mainstay", "up"], None).unwrap_err().to_string();
        assert_eq!(error, "mainstay.toml: there is no setting \"lisen\"; there is listen");
    }
}
