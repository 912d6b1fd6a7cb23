//! Steps: what must hold before a change lands, in the order in which it is cheapest to hear that it does not.

use crate::run::{cargo, must, step, works};
use crate::{console, deny, reference, tidy};
use anyhow::Result;

/// Everything that reads the code without running it.
pub fn lint() -> Result<()> {
    step("fmt", || must(cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", tidy::run)?;
    console::lint()?;
    step("clippy", || must(cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])))?;
    deny::run()?;
    step("doc", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        must(doc)
    })?;
    reference::run(&["--check"])
}

/// All Rust tests, then the examples in the documentation, which nextest does not run.
pub fn test(more: &[&str]) -> Result<()> {
    step("tests", || {
        let mut words = if works(cargo(&["nextest", "--version"])) {
            vec!["nextest", "run", "--workspace", "--no-fail-fast"]
        } else {
            println!("cargo-nextest is not installed: running with cargo test, one test binary after the other");
            vec!["test", "--workspace", "--all-targets", "--no-fail-fast"]
        };
        words.extend(more);
        must(cargo(&words))
    })?;
    if !more.is_empty() {
        return Ok(()); // Somebody wants certain tests; the examples are not among them.
    }
    step("examples in the documentation", || must(cargo(&["test", "--workspace", "--doc", "--quiet"])))
}

/// A million inputs for every parser: the tests that are named `fuzz…`, which take their number of inputs from outside.
pub fn fuzz() -> Result<()> {
    long("fuzz", &[("PROPTEST_CASES", "1000000"), ("MAINSTAY_FUZZ_INPUTS", "1000000")])
}

/// The long versions of the tests in modules named `torture`, whose short ones run with all others.
pub fn torture() -> Result<()> {
    long("torture", &[("MAINSTAY_TORTURE", "long")])
}

fn long(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    step(name, || {
        let filter = format!("test({name})");
        let words = ["nextest", "run", "--release", "--workspace", "--profile", "long", "--filterset", &filter];
        let mut tests = cargo(&words);
        tests.envs(settings.iter().copied());
        must(tests)
    })
}
