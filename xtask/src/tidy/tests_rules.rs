//! Rules on tests: each is run, none of them waits for a span of time, and linking them stays cheap.

use super::Finding;
use super::lexer::Kind;
use super::tree::Tree;

/// Every file in `tests/` is one more binary to link, which costs more than running it: one a crate, `tests/it/main.rs`.
/// Benchmarks of single crates are for engines; what the whole program promises is measured in `bench/`.
pub fn one_integration_binary_a_crate(tree: &Tree) -> Vec<Finding> {
    const MAY_BENCH: &[&str] = &["store", "series", "probe", "kernel", "watch"];
    let mut findings = Vec::new();
    for package in &tree.packages.0 {
        for target in &package.targets {
            let path = package.manifest();
            if target.kind == "test" && target.name != "it" {
                let message = format!("the test binary \"{}\": move it into tests/it/main.rs as a module", target.name);
                findings.push(Finding::new(&path, 1, message));
            }
            if target.kind == "bench" && !MAY_BENCH.contains(&package.name.as_str()) {
                let message = format!("the benchmark \"{}\": measure the whole program in bench/ instead", target.name);
                findings.push(Finding::new(&path, 1, message));
            }
        }
    }
    findings
}

/// A test that is switched off rots unseen. Assert what holds today, and say what should. Only a peer that is too heavy for every
/// run may be left to `make test-peers`, and the test says so: `#[ignore = "needs RabbitMQ: make test-peers"]`.
pub fn no_test_is_switched_off(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for (at, window) in source.tokens.windows(3).enumerate() {
            let heavy = source.tokens.get(at + 4).is_some_and(|reason| reason.text.contains(": make test-peers"));
            if window[0].is_sign('#') && window[1].is_sign('[') && window[2].is_word("ignore") && !heavy {
                let message = "a test that is switched off: assert what holds today and say what should";
                findings.push(Finding::new(&source.path, window[2].line, message));
            }
        }
    }
    findings
}

/// A span that is long enough on one machine is too short on another and wasted on the third. A test moves the clock by
/// hand; one with a real peer asks again until a deadline, and says so on the line: `// polls: what for`. A peer that is
/// slow on purpose says `// dawdles: as what`.
pub fn a_test_waits_for_a_condition(tree: &Tree) -> Vec<Finding> {
    const REASONS: &[&str] = &["polls: ", "dawdles: "];
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| source.is_test()) {
        for pair in source.tokens.windows(2) {
            if !pair[0].is_word("sleep") || !pair[1].is_sign('(') {
                continue;
            }
            let line = pair[0].line;
            let polls = |token: &super::lexer::Token| {
                token.kind == Kind::Comment && REASONS.iter().any(|reason| token.text.contains(reason))
            };
            if !source.tokens.iter().any(|token| (token.line == line || token.line + 1 == line) && polls(token)) {
                let message =
                    "a test that sleeps: move the clock, or ask again until a deadline (`// polls: what for`)";
                findings.push(Finding::new(&source.path, line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::packages::{Package, Packages, Target};
    use super::*;

    #[test]
    fn a_second_test_binary_and_a_stray_benchmark_are_found() {
        let target = |name: &str, kind: &str| Target { name: name.into(), kind: kind.into() };
        let package = |name: &str, targets| Package { name: name.into(), targets, ..Package::default() };
        let tree = Tree::with_packages(
            &[],
            Packages(vec![
                package("store", vec![target("it", "test"), target("write", "bench")]),
                package("plan", vec![target("more", "test"), target("speed", "bench")]),
            ]),
        );
        let found: Vec<String> = one_integration_binary_a_crate(&tree).into_iter().map(|f| f.message).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("\"more\"") && found[1].contains("\"speed\""));
    }

    #[test]
    fn a_test_neither_rests_nor_sleeps() {
        let off = concat!("#[test]\n#[ig", "nore]\nfn a() {}");
        assert_eq!(no_test_is_switched_off(&Tree::sample(&[("crates/x/src/a.rs", off)])).len(), 1);
        let table = [
            ("crates/x/tests/it/main.rs", "sleep(SECOND).await;", 1, "a guess about time"),
            ("crates/x/tests/it/main.rs", "sleep(TICK).await; // polls: the port is open", 0, "asks again"),
            (
                "crates/x/tests/it/main.rs",
                "// dawdles: as a peer behind a slow line\nsleep(TICK).await;",
                0,
                "a slow peer",
            ),
            ("crates/x/src/a.rs", "sleep(SECOND).await;", 0, "code that waits is no test"),
        ];
        for (path, text, expected, why) in table {
            assert_eq!(a_test_waits_for_a_condition(&Tree::sample(&[(path, text)])).len(), expected, "{why}");
        }
    }
}
