//! Traces: what a file says about the machine it was written on.

use super::Finding;
use super::tree::Tree;

/// A path of one machine works nowhere else, and a registry's address belongs to the user's own configuration.
pub fn no_trace_of_a_machine(tree: &Tree) -> Vec<Finding> {
    // In pieces, so that this file does not find itself.
    const TRACES: &[&str] = &[
        concat!("/", "work/"),
        concat!("/", "farm/"),
        concat!("/", "root/"),
        concat!("crates", ".io"),
        concat!("npmjs", "."),
        concat!("pypi", ".org"),
    ];
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !is_a_lock(&file.path)) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(trace) = TRACES.iter().find(|trace| line.contains(**trace)) {
                let message = format!("\"{trace}\" belongs to one machine: use a relative path or a setting");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

/// Locks are written by their tools, addresses included.
fn is_a_lock(path: &str) -> bool {
    path.ends_with(".lock") || path.ends_with("package-lock.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_path_is_found_and_a_lock_is_left_alone() {
        let bad = concat!("fine\ncd /", "work/main");
        let tree = Tree::sample(&[("docs/a.md", bad), ("Cargo.lock", bad), ("docs/b.md", "a framework/house")]);
        let found = no_trace_of_a_machine(&tree);
        assert_eq!(found.iter().map(|f| (f.path.as_str(), f.line)).collect::<Vec<_>>(), [("docs/a.md", 2)]);
    }
}
