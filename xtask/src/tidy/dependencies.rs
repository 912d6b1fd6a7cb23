//! Dependencies: each is explained, used, and none is one that we keep out.

use super::Finding;
use super::lexer::Kind;
use super::packages::{Dependency, Package};
use super::tree::Tree;

const MANIFEST: &str = "Cargo.toml";
const DOCUMENT: &str = "docs/dependencies.md";
const LOCK: &str = "Cargo.lock";

/// A dependency is somebody else's code in our promise: `docs/dependencies.md` says its job and why this one.
pub fn each_dependency_is_explained(tree: &Tree) -> Vec<Finding> {
    let manifest = tree.text(MANIFEST).unwrap_or_default();
    let document = tree.text(DOCUMENT).unwrap_or_default();
    let used: Vec<(usize, &str)> = workspace_dependencies(manifest);
    let explained: Vec<(usize, &str)> = explained_dependencies(document);
    let mut findings = Vec::new();
    for (line, name) in &used {
        if !explained.iter().any(|(_, other)| other == name) {
            let message = format!("{name} has no line in {DOCUMENT}: say its job, why this one, and what it costs");
            findings.push(Finding::new(MANIFEST, *line, message));
        }
        let wanted = |dependency: &Dependency| dependency.ident == name.replace('-', "_");
        if !tree.packages.0.iter().any(|package| package.dependencies.iter().any(wanted)) {
            findings.push(Finding::new(MANIFEST, *line, format!("no crate of ours uses {name}: take its line out")));
        }
    }
    for (line, name) in explained {
        if !used.iter().any(|(_, other)| *other == name) {
            findings.push(Finding::new(
                DOCUMENT,
                line,
                format!("{name} is no longer in {MANIFEST}: take its line out"),
            ));
        }
    }
    findings
}

/// Names under `[workspace.dependencies]` that are not ours, with their lines.
fn workspace_dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let numbered = manifest.lines().enumerate().map(|(index, line)| (index + 1, line));
    let section = numbered.skip_while(|(_, line)| line.trim() != "[workspace.dependencies]").skip(1);
    let section = section.take_while(|(_, line)| !line.starts_with('['));
    let entries = section.filter(|(_, line)| !line.starts_with('#') && !line.contains("path = "));
    entries.filter_map(|(number, line)| Some((number, line.split_once('=')?.0.trim()))).collect()
}

/// Names in the first column of the document's tables: "| `name` | …".
fn explained_dependencies(document: &str) -> Vec<(usize, &str)> {
    let numbered = document.lines().enumerate();
    numbered.filter_map(|(index, line)| Some((index + 1, line.strip_prefix("| `")?.split_once("` |")?.0))).collect()
}

/// A dependency that no source names is built and audited for nothing. One that is there for a feature alone is listed in
/// the crate's `[package.metadata.tidy] kept = ["name"]`, with the reason beside it.
pub fn each_dependency_is_used(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages.0 {
        for dependency in &package.dependencies {
            if !package.kept.contains(&dependency.name) && !is_named(tree, package, dependency) {
                let message = format!("{} does not use {}: take it out", package.name, dependency.name);
                let line = tree.line_of(package, &dependency.name);
                findings.push(Finding::new(&package.manifest(), line, message));
            }
        }
    }
    findings
}

/// Whether a source of the package says the name as a word, or an example in its documentation as a path.
fn is_named(tree: &Tree, package: &Package, dependency: &Dependency) -> bool {
    let folder = format!("{}/", package.folder);
    let in_comment = format!("{}::", dependency.ident);
    tree.sources.iter().filter(|source| source.path.starts_with(&folder)).any(|source| {
        source.tokens.iter().any(|token| match token.kind {
            Kind::Word => token.text == dependency.ident,
            Kind::Comment => dependency.for_tests_only && token.text.contains(&in_comment),
            Kind::Sign | Kind::Text => false,
        })
    })
}

/// One TLS stack, one SQLite: a default feature that slips in brings a second, with its own bugs and minutes of C.
pub fn the_lock_holds_no_banned_crate(tree: &Tree) -> Vec<Finding> {
    const BANNED: &[(&str, &str)] = &[
        ("aws-lc-sys", "ring is our cryptography: switch the default features of what brings it off"),
        ("aws-lc-rs", "ring is our cryptography: switch the default features of what brings it off"),
        ("openssl-sys", "rustls is our TLS: choose the rustls feature of what brings it"),
        ("native-tls", "rustls is our TLS: choose the rustls feature of what brings it"),
        ("sqlx-core", "it brings a second SQLite: use the store"),
    ];
    const ONCE: &[&str] = &["libsqlite3-sys", "rustls", "ring", "tokio", "jiff"];
    let lock = tree.text(LOCK).unwrap_or_default();
    let named: Vec<(usize, &str)> = lock
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, line.strip_prefix("name = \"")?.trim_end_matches('"'))))
        .collect();
    let mut findings = Vec::new();
    for (line, name) in &named {
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| banned == name) {
            findings.push(Finding::new(LOCK, *line, format!("{name} is in the lock: {why}")));
        }
    }
    for name in ONCE {
        if let Some((line, _)) = named.iter().filter(|(_, other)| other == name).nth(1) {
            findings.push(Finding::new(LOCK, *line, format!("{name} is in the lock twice: agree on one version")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::packages::Packages;
    use super::*;

    fn dependency(name: &str) -> Dependency {
        Dependency { name: name.into(), ident: name.replace('-', "_"), ..Dependency::default() }
    }

    fn package(names: &[&str]) -> Packages {
        let dependencies = names.iter().map(|name| dependency(name)).collect();
        Packages(vec![Package { name: "x".into(), folder: "crates/x".into(), dependencies, ..Package::default() }])
    }

    #[test]
    fn manifest_and_document_say_the_same() {
        let manifest = "[workspace.dependencies]\nkernel = { path = \"crates/kernel\" }\n# text\nserde = \"1\"\nregex = \"1\"\n[profile.dev]\nx = 1\n";
        let document = "| crate | job |\n|---|---|\n| `serde` | shapes |\n| `gone` | nothing |\n";
        let tree = Tree::with_packages(&[(MANIFEST, manifest), (DOCUMENT, document)], package(&["serde"]));
        let found: Vec<String> = each_dependency_is_explained(&tree).iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("Cargo.toml:5: regex has no line"));
        assert!(found[1].starts_with("Cargo.toml:5: no crate of ours uses regex"));
        assert!(found[2].starts_with("docs/dependencies.md:4: gone is no longer"));
    }

    #[test]
    fn a_dependency_nobody_names_is_found() {
        let source = "//! X. See tower::Service.\nuse tokio_util::sync;\n";
        let tree = Tree::with_packages(&[("crates/x/src/lib.rs", source)], package(&["tokio-util", "tower"]));
        let found = each_dependency_is_used(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("tower"), "prose is no use");
    }

    #[test]
    fn a_banned_or_doubled_crate_in_the_lock_is_found() {
        let lock = "[[package]]\nname = \"ring\"\n[[package]]\nname = \"native-tls\"\n[[package]]\nname = \"ring\"\n";
        let lines: Vec<usize> =
            the_lock_holds_no_banned_crate(&Tree::sample(&[(LOCK, lock)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [4, 6]);
    }
}
