//! Walls: who may see whom, and where the crates that touch the outside may be used.

use super::Finding;
use super::tree::Tree;

/// The verbs of the product; no two of them see each other.
const DOMAINS: &[&str] = &["know", "watch", "respond", "serve", "change", "protect", "plan", "prove"];

/// What a domain may see: the nouns, and the engines that do its work.
const FOR_A_DOMAIN: &[&str] = &["kernel", "series", "probe", "edge", "notify", "access"];

/// Which of our crates each crate may see, and why not more.
const WALLS: &[(&str, &[&str], &str)] = &[
    ("kernel", &[], "everything stands on the kernel, so it stands on nothing of ours"),
    ("series", &[], "series keeps samples and knows no record"),
    ("probe", &[], "a protocol is bytes in and a value out; it knows no record"),
    ("web", &[], "web serves files; what is in them comes over the API"),
    ("edge", &["probe"], "an agent runs where there is no store and no registry"),
    ("store", &["kernel"], "store is the kernel's backend and nothing else's"),
    ("access", &["kernel"], "who may do what is decided over records alone"),
    ("notify", &["kernel"], "a channel delivers what it is handed and decides nothing"),
    ("pack", &["kernel", "probe"], "a pack is data about protocols and classes"),
    ("logs", &[], "logs keeps lines and knows no record"),
    (
        "api",
        &["kernel", "access", "series", "edge", "probe"],
        "a surface is generic over the registry and names no domain",
    ),
    (
        "signals",
        &["kernel", "api", "series", "probe"],
        "it carries measurements between protocols and the engine and names no domain",
    ),
    ("cli", &["kernel", "probe"], "a surface is generic over the registry and names no domain"),
    (
        "testkit",
        &["kernel", "store", "series", "probe"],
        "testkit makes worlds for all, so it stands below the domains",
    ),
    ("xtask", &[], "the tools must build when the product does not"),
];

/// Crates that tests of any crate may use besides.
const FOR_TESTS: &[&str] = &["testkit", "store", "series", "probe"];

/// Crates of others that only certain crates of ours may use, and what to do instead.
const ENGINES: &[(&[&str], &[&str], &str)] = &[
    (
        &["rusqlite", "libsqlite3-sys", "postgres", "tokio-postgres", "deadpool-postgres", "sqlx"],
        &["store"],
        "SQL lives in store alone: use the kernel's Backend",
    ),
    (
        &["reqwest", "hyper", "hyper-util", "axum-server", "tokio-rustls", "hickory-resolver", "surge-ping", "rsntp"],
        SOCKETS,
        "sockets are opened at the rim only: take what you need as a parameter",
    ),
    (
        &["lettre", "russh", "snmp2", "ldap3", "rumqttc", "ureq", "isahc", "tungstenite"],
        SOCKETS,
        "sockets are opened at the rim only: take what you need as a parameter",
    ),
    (&["cedar-policy"], &["access"], "policies are decided in access alone: ask the kernel's Policy"),
    (&["tantivy"], &["logs"], "records are searched by the store; only log lines need this index"),
    (&["chrono", "time"], &[], "jiff is our one calendar; two of them disagree about time zones"),
];

/// Crates that may open sockets.
const SOCKETS: &[&str] = &["probe", "edge", "api", "notify", "store", "cli", "watch", "signals", "mainstay"];

/// No domain sees a domain, no surface a domain, no engine a record: so one can be read, tested and replaced alone, and
/// an edit in one rebuilds one. Domains meet in the journal, by links and by lenses.
pub fn who_may_see_whom(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages.0 {
        if package.name == "mainstay" {
            continue; // The one crate that links all.
        }
        let Some((may_see, why)) = wall_of(&package.name) else {
            let message =
                format!("{} is new: say in WALLS of xtask's tidy which crates it may see, and why", package.name);
            findings.push(Finding::new(&package.manifest(), 1, message));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.ours) {
            let name = dependency.name.as_str();
            let in_tests = dependency.for_tests_only && FOR_TESTS.contains(&name);
            if !in_tests && !may_see.contains(&name) {
                let message = format!("{} must not see {name}: {why}", package.name);
                findings.push(Finding::new(&package.manifest(), tree.line_of(package, name), message));
            }
        }
    }
    findings
}

fn wall_of(name: &str) -> Option<(&'static [&'static str], &'static str)> {
    if DOMAINS.contains(&name) {
        return Some((FOR_A_DOMAIN, "domains meet in the journal, by links and by lenses, never by import"));
    }
    WALLS.iter().find(|(krate, ..)| *krate == name).map(|(_, may_see, why)| (*may_see, *why))
}

/// Databases, sockets and policies each have a home: elsewhere a decision could reach around its parameters.
pub fn engines_live_where_they_belong(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages.0 {
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.for_tests_only) {
            for (engines, homes, instead) in ENGINES {
                if engines.contains(&dependency.name.as_str()) && !homes.contains(&package.name.as_str()) {
                    let message = format!("{} must not use {}: {instead}", package.name, dependency.name);
                    findings.push(Finding::new(&package.manifest(), tree.line_of(package, &dependency.name), message));
                }
            }
        }
    }
    findings
}

/// The standard library and tokio open sockets too, and no manifest shows it.
pub fn sockets_are_at_the_rim(tree: &Tree) -> Vec<Finding> {
    const TYPES: &[&str] = &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "UnixDatagram"];
    let mut findings = Vec::new();
    for source in &tree.sources {
        let Some(krate) = source.krate() else { continue };
        if SOCKETS.contains(&krate) || krate == "testkit" {
            continue;
        }
        for token in source.outside_tests().filter(|token| TYPES.iter().any(|name| token.is_word(name))) {
            let message = format!("{krate} must not open sockets ({}): take the network as a parameter", token.text);
            findings.push(Finding::new(&source.path, token.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::packages::{Dependency, Package, Packages};
    use super::*;

    fn package(name: &str, dependencies: &[(&str, bool, bool)]) -> Package {
        let dependency = |(name, ours, for_tests_only): &(&str, bool, bool)| Dependency {
            name: (*name).into(),
            ident: name.replace('-', "_"),
            ours: *ours,
            for_tests_only: *for_tests_only,
        };
        Package {
            name: name.into(),
            folder: format!("crates/{name}"),
            dependencies: dependencies.iter().map(dependency).collect(),
            ..Package::default()
        }
    }

    #[test]
    fn a_crate_sees_only_what_its_wall_lets_through() {
        let table = [
            ("respond", "kernel", false, true, "domains stand on the kernel"),
            ("respond", "watch", false, false, "a domain is not another's business"),
            ("respond", "watch", true, false, "not even in tests"),
            ("respond", "store", false, false, "a domain that sees the store can go around the write path"),
            ("respond", "testkit", true, true, "tests may build a world"),
            ("api", "respond", false, false, "a surface names no domain"),
            ("edge", "probe", false, true, "the agent runs protocols"),
            ("edge", "kernel", false, false, "the agent has no registry"),
            ("kernel", "series", false, false, "the kernel stands on nothing"),
            ("mainstay", "respond", false, true, "somebody must link all"),
            ("novelty", "kernel", false, false, "a new crate has to be placed"),
        ];
        for (from, to, for_tests_only, allowed, why) in table {
            let packages = Packages(vec![package(from, &[(to, true, for_tests_only)])]);
            let found = who_may_see_whom(&Tree::with_packages(&[], packages));
            assert_eq!(found.is_empty(), allowed, "{why}: {found:?}");
        }
    }

    #[test]
    fn a_wall_is_reported_where_the_dependency_is_written() {
        let manifest = "[package]\nname = \"plan\"\n[dependencies]\nprobe-extra = \"1\"\nprove.workspace = true\n";
        let tree = Tree::with_packages(
            &[("crates/plan/Cargo.toml", manifest)],
            Packages(vec![package("plan", &[("prove", true, false)])]),
        );
        let found = who_may_see_whom(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("crates/plan/Cargo.toml:5: plan must not see prove"), "{}", found[0]);
    }

    #[test]
    fn an_engine_is_used_at_home_only() {
        let table = [
            ("store", "rusqlite", false, true, "home"),
            ("api", "rusqlite", false, false, "SQL elsewhere"),
            ("know", "reqwest", false, false, "a domain with a socket"),
            ("notify", "lettre", false, true, "a channel sends"),
            ("kernel", "chrono", false, false, "a second calendar"),
            ("know", "reqwest", true, true, "a test may ask a real server"),
        ];
        for (krate, engine, for_tests_only, allowed, why) in table {
            let packages = Packages(vec![package(krate, &[(engine, false, for_tests_only)])]);
            let found = engines_live_where_they_belong(&Tree::with_packages(&[], packages));
            assert_eq!(found.is_empty(), allowed, "{why}: {found:?}");
        }
    }

    #[test]
    fn a_socket_in_a_domain_is_found_at_its_line() {
        let bad = "fn f() {\n    tokio::net::TcpStream::connect(x)\n}\n#[cfg(test)]\nmod tests { use std::net::TcpListener; }";
        let tree = Tree::sample(&[("crates/plan/src/lib.rs", bad), ("crates/probe/src/lib.rs", bad)]);
        let found = sockets_are_at_the_rim(&tree);
        assert_eq!(
            found.iter().map(|f| (f.path.as_str(), f.line)).collect::<Vec<_>>(),
            [("crates/plan/src/lib.rs", 2)]
        );
    }
}
