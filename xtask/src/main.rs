//! xtask: what a developer and CI run, as one program, so that both run the same.
//!
//! `cargo xtask ci` is everything; each step stands alone too. It knows the tree and the tools and never the product:
//! nothing here is linked into Mainstay, and no rule lives only in CI.

mod bench;
mod console;
mod deny;
mod dist;
mod reference;
mod run;
mod steps;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <what>

  ci          everything below that must hold: lint and test
  lint        format, walls and house rules, clippy, console checks, licences and advisories,
              documentation, reference
  tidy        the walls and house rules alone (seconds; builds nothing)
  test        all Rust tests and the examples in the documentation; further words are passed on
  deny        licences, bans, sources, advisories
  reference   write docs/reference from the registry; --check only compares
  bench       all benchmarks; --write renews docs/figures.md from what they print
  fuzz        a million inputs for every parser: the tests named `fuzz…`
  torture     the long versions of the tests named `torture…`
  dist        a release archive with checksums, below the size that was promised
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace: the causes tell which step and which command, and the line in here helps nobody.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rest: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    run::enter_root()?;
    match words.first().map(String::as_str) {
        Some("ci") => {
            steps::lint()?;
            steps::test(&rest)
        }
        Some("lint") => steps::lint(),
        Some("tidy") => run::step("tidy", tidy::run),
        Some("test") => steps::test(&rest),
        Some("deny") => deny::run(),
        Some("reference") => reference::run(&rest),
        Some("fuzz") => steps::fuzz(),
        Some("torture") => steps::torture(),
        Some("bench") => bench::run(&rest),
        Some("dist") => dist::run(),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("there is no \"{other}\"\n\n{HELP}"),
    }
}
