//! Run: the one place where xtask starts processes and looks at a clock.
//!
//! A step prints its name, what its tool says, and how long it took; the first that fails ends the run, because what
//! comes after it would only repeat the news.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes the root of the workspace the current directory, so that every path here is written as in the repository.
pub fn enter_root() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    std::env::set_current_dir(root).with_context(|| format!("cannot enter {}", root.display()))
}

/// Runs `work` as a named step and prints its time.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "the time of a step is printed, nothing is decided by it")]
    let start = std::time::Instant::now();
    println!("── {name}");
    let result = work();
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    println!("── {name}: {verdict} in {:.1} s", start.elapsed().as_secs_f64());
    result.with_context(|| format!("step \"{name}\" failed"))
}

/// A command that is not started yet, with the words as its argument vector.
pub fn command<W: AsRef<OsStr>>(program: impl AsRef<OsStr>, words: &[W]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one place where xtask starts processes")]
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    command
}

/// The cargo that runs us.
pub fn cargo(words: &[&str]) -> Command {
    command(setting("CARGO").unwrap_or_else(|| "cargo".into()), words)
}

/// An environment variable, when set and not empty.
pub fn setting(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "xtask is a main program: this is its start")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs to the end, with the output shown; fails when the command does.
pub fn must(mut command: Command) -> Result<()> {
    let what = words_of(&command);
    let status = command.status().with_context(|| format!("cannot start `{what}`: is it installed?"))?;
    if status.success() { Ok(()) } else { bail!("`{what}` ended with {status}") }
}

/// Runs to the end and returns what was printed on standard output; fails when the command does.
pub fn output(mut command: Command) -> Result<String> {
    let what = words_of(&command);
    let out = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{what}`"))?;
    if !out.status.success() {
        bail!("`{what}` ended with {}", out.status);
    }
    String::from_utf8(out.stdout).with_context(|| format!("`{what}` printed something that is not UTF-8"))
}

/// Whether the command can be started and ends well; what it prints is not shown.
pub fn works(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Where cargo puts what it builds; honours every way to set it.
pub fn target_dir() -> Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata.get("target_directory").and_then(|dir| dir.as_str());
    Ok(PathBuf::from(dir.context("cargo metadata names no target directory")?))
}

/// `cargo metadata` of our own packages, without the network.
pub fn metadata() -> Result<serde_json::Value> {
    let text = output(cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    serde_json::from_str(&text).context("cargo metadata is not JSON")
}

fn words_of(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
