//! Bench: runs every benchmark and keeps the figures that they print.
//!
//! A benchmark that has a promise to keep prints lines of the form `figure: what | measured | promised | kept or missed`.
//! Those lines are all that this reads; everything else passes through. A missed promise fails the run.

use crate::run::{cargo, command, output, step};
use crate::tidy::Packages;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

const FIGURES: &str = "docs/figures.md";

/// Benches of the crates, then `bench/run`, which measures the whole program.
pub fn run(words: &[&str]) -> Result<()> {
    let write = match words {
        [] => false,
        ["--write"] => true,
        other => bail!("bench knows only --write, not {other:?}"),
    };
    let mut printed = String::new();
    for package in Packages::read()?.with_benches() {
        printed += &step(&format!("bench {package}"), || {
            let text = output(cargo(&["bench", "--quiet", "--package", &package, "--benches"]))?;
            print!("{text}");
            Ok(text)
        })?;
    }
    if Path::new("bench/run").exists() {
        printed += &step("bench of the whole program", || {
            let text = output(command("bench/run", &[] as &[&str]))?;
            print!("{text}");
            Ok(text)
        })?;
    }
    let figures = Figure::all(&printed)?;
    if write {
        fs::write(FIGURES, page(&figures))?;
        println!("{} figures written to {FIGURES}", figures.len());
    }
    let missed: Vec<&str> = figures.iter().filter(|figure| !figure.kept).map(|figure| figure.what.as_str()).collect();
    if missed.is_empty() { Ok(()) } else { bail!("missed: {}", missed.join("; ")) }
}

#[derive(Debug, PartialEq)]
struct Figure {
    what: String,
    measured: String,
    promised: String,
    kept: bool,
}

impl Figure {
    fn all(text: &str) -> Result<Vec<Figure>> {
        text.lines().filter_map(|line| line.trim().strip_prefix("figure: ")).map(Figure::read).collect()
    }

    fn read(line: &str) -> Result<Figure> {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [what, measured, promised, verdict] = parts[..] else {
            bail!("\"figure: {line}\" has {} parts; it needs what | measured | promised | kept or missed", parts.len());
        };
        let kept = match verdict {
            "kept" => true,
            "missed" => false,
            other => bail!("\"figure: {line}\" ends in \"{other}\"; it must end in kept or missed"),
        };
        Ok(Figure { what: what.into(), measured: measured.into(), promised: promised.into(), kept })
    }
}

fn page(figures: &[Figure]) -> String {
    let mut text = String::from(
        "# Figures\n\nWritten by `cargo xtask bench --write`; not by hand. Ratios come from interleaved runs on one machine, \
         absolute figures only describe that machine.\n\n| what | measured | promised | |\n|---|---|---|---|\n",
    );
    for Figure { what, measured, promised, kept } in figures {
        let verdict = if *kept { "kept" } else { "**missed**" };
        text += &format!("| {what} | {measured} | {promised} | {verdict} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_four_parts_and_a_verdict() {
        let text =
            "noise\nfigure: page of 50, p99 | 3.1 ms | ≤ 10 ms | kept\n  figure: binary | 70 MB | ≤ 60 MB | missed\n";
        let figures = Figure::all(text).unwrap();
        assert_eq!(figures.len(), 2);
        assert!(figures[0].kept && !figures[1].kept);
        assert!(page(&figures).contains("| binary | 70 MB | ≤ 60 MB | **missed** |"));
        assert!(Figure::all("figure: a | b | c").is_err(), "a part is missing");
        assert!(Figure::all("figure: a | b | c | perhaps").is_err(), "a verdict is yes or no");
    }
}
