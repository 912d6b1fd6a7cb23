//! Prometheus's own evaluation tests, run as data; and what PromQL promises beside them. The files in `tests/promql` are
//! Prometheus's (Apache-2.0, licence beside them) and are never changed.

mod cost;
mod language;
mod robust;
mod same;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use language::{Command, Script};
use series::promql::{Answer, Limits, MemorySource, Query, QueryError, Settings};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promql")
}

/// All test files, by name.
pub fn scripts() -> Vec<(String, Script)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the folder of test files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let script = Script::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, script)
    };
    paths.into_iter().map(read).collect()
}

/// Asks a query as a case of the test language asks it.
pub fn ask(source: &MemorySource, case: &language::Case) -> Result<Answer, QueryError> {
    let query = Query::parse(&case.query)?;
    let (settings, limits) = (Settings::default(), Limits::default());
    match case.times {
        language::Times::At(at_ms) => query.instant(source, at_ms, &settings, &limits),
        language::Times::Range(times) => query.range(source, times, &settings, &limits),
    }
}

/// The cases known to fail: `file:line reason`.
fn listed() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder().join("cannot-pass.txt")).expect("the list of what cannot pass");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| line.split_once(' ').map(|(case, reason)| (case.to_owned(), reason.to_owned()));
    lines.map(|line| entry(line).unwrap_or_else(|| panic!("no reason: {line}"))).collect()
}

#[test]
fn what_the_files_of_prometheus_do_not_ask_is_answered_too() {
    let script = Script::parse(include_str!("promql/own.test")).expect("a script");
    let mut source = MemorySource::default();
    let mut wrong = Vec::new();
    for command in &script.commands {
        match command {
            Command::Clear => source = MemorySource::default(),
            Command::Load(load) => load.fill(&mut source),
            Command::Eval(case) => {
                let verdict = verdict::judge(case, &ask(&source, case));
                wrong.extend(verdict.err().map(|why| format!("line {}: {}\n    {why}", case.line, case.query)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn prometheus_s_own_evaluation_tests_pass() {
    let listed = listed();
    let mut surprises = Vec::new();
    let mut summary = String::new();
    for (name, script) in scripts() {
        let (mut source, mut passed, mut failed) = (MemorySource::default(), 0, 0);
        for command in &script.commands {
            match command {
                Command::Clear => source = MemorySource::default(),
                Command::Load(load) => load.fill(&mut source),
                Command::Eval(case) => {
                    let place = format!("{name}:{}", case.line);
                    let verdict = verdict::judge(case, &ask(&source, case));
                    match (verdict, listed.get(&place)) {
                        (Ok(()), None) => passed += 1,
                        (Err(_), Some(_)) => failed += 1,
                        (Ok(()), Some(_)) => surprises.push(format!("{place}: is listed, but passes")),
                        (Err(why), None) => surprises.push(format!("{place}: {}\n    {why}", case.query)),
                    }
                }
            }
        }
        summary += &format!("{name}: {passed} passed, {failed} listed\n");
    }
    println!("{summary}");
    assert!(surprises.is_empty(), "{summary}{} surprises\n{}", surprises.len(), surprises.join("\n"));
}
