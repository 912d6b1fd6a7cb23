//! Files: length, names, and links between documents.

use super::Finding;
use super::tree::{File, Tree};

/// From here on a file asks to be two.
const ASKS_LINES: usize = 600;
/// From here on it must say why it is not.
const LIMIT_LINES: usize = 800;

/// A file that is read in one sitting is understood; past 800 lines it says `//! Long because …` in its header.
pub fn a_file_is_short(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_written_by_hand(file)) {
        let lines = file.text.lines().count();
        if lines > LIMIT_LINES && !says_why_it_is_long(file) {
            let message =
                format!("{lines} lines, {LIMIT_LINES} at most: make it two, or say in its header `Long because …`");
            findings.push(Finding::new(&file.path, LIMIT_LINES + 1, message));
        }
    }
    findings
}

/// Files between the two limits, as sentences: they are told and not refused.
pub fn files_that_ask_to_be_two(tree: &Tree) -> Vec<String> {
    let ask = |file: &&File| (ASKS_LINES + 1..=LIMIT_LINES).contains(&file.text.lines().count());
    let hand = tree.files.iter().filter(|file| is_written_by_hand(file));
    hand.filter(ask)
        .map(|file| format!("{} has {} lines and asks to be two", file.path, file.text.lines().count()))
        .collect()
}

fn is_written_by_hand(file: &File) -> bool {
    let source = [".rs", ".ts", ".tsx", ".mjs"].iter().any(|end| file.path.ends_with(end));
    let generated = file.path.ends_with(".d.ts") || file.text.lines().take(5).any(|line| line.contains("@generated"));
    source && !generated
}

fn says_why_it_is_long(file: &File) -> bool {
    let comments = file.text.lines().take_while(|line| line.starts_with("//"));
    comments.map(|line| line.trim_start_matches(['/', '!']).trim()).any(|line| line.starts_with("Long because "))
}

/// A name that says nothing gathers what belongs nowhere.
pub fn a_file_is_named_for_what_is_in_it(tree: &Tree) -> Vec<Finding> {
    const EMPTY: &[&str] = &["util", "utils", "helper", "helpers", "manager", "common", "misc"];
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_written_by_hand(file)) {
        let parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        if let Some(part) = parts.into_iter().find(|part| EMPTY.contains(part)) {
            let message = format!("\"{part}\" names nothing: call it by the noun or the verb that is in it");
            findings.push(Finding::new(&file.path, 1, message));
        }
    }
    findings
}

/// A dead link in a document costs its reader more than no link.
pub fn a_link_leads_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in file.text.lines().enumerate() {
            for target in links_of(line) {
                let path = resolve(&file.path, target);
                let below = format!("{path}/");
                let exists = tree.files.iter().any(|other| other.path == path || other.path.starts_with(&below));
                if !exists {
                    findings.push(Finding::new(
                        &file.path,
                        index + 1,
                        format!("the link leads nowhere: there is no {path}"),
                    ));
                }
            }
        }
    }
    findings
}

/// Targets of `[text](target)` within the repository, without their anchor.
fn links_of(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let inside = targets
        .filter(|target| !target.contains("://") && !target.starts_with(['#', '/']) && !target.starts_with("mailto:"));
    inside.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty() && !target.contains(' '))
}

/// The path from the root that `target` means when written in the document `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_past_the_limit_says_why() {
        let long = "//! A table.\n".repeat(LIMIT_LINES + 1);
        let reasoned = format!("//! A table.\n//! Long because every row is one promise.\n{long}");
        let fine = "//! A table.\n".repeat(LIMIT_LINES);
        let table = [
            ("crates/x/src/a.rs", &long, 1, "too long"),
            ("crates/x/src/a.rs", &reasoned, 0, "says why"),
            ("crates/x/src/a.rs", &fine, 0, "the limit itself"),
            ("console/src/api/schema.d.ts", &long, 0, "generated"),
            ("docs/a.md", &long, 0, "prose"),
        ];
        for (path, text, expected, why) in table {
            let tree = Tree::sample(&[(path, text.as_str())]);
            assert_eq!(a_file_is_short(&tree).len(), expected, "{why}");
        }
        assert_eq!(files_that_ask_to_be_two(&Tree::sample(&[("crates/x/src/a.rs", &fine)])).len(), 1);
    }

    #[test]
    fn an_empty_name_is_refused_as_file_and_as_folder() {
        for (path, expected) in
            [("crates/x/src/utils.rs", 1), ("console/src/helpers/a.ts", 1), ("crates/x/src/commons.rs", 0)]
        {
            assert_eq!(a_file_is_named_for_what_is_in_it(&Tree::sample(&[(path, "")])).len(), expected, "{path}");
        }
    }

    #[test]
    fn a_link_is_followed_from_where_it_is_written() {
        let tree = Tree::sample(&[
            ("README.md", "[a](docs/a.md) [b](docs/b.md#top) [web](https://example.org/) [here](#top)\n[docs](docs/)"),
            ("docs/a.md", "[up](../README.md)\n[gone](../gone.md)"),
        ]);
        let found: Vec<String> = a_link_leads_somewhere(&tree).iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "README.md:1: the link leads nowhere: there is no docs/b.md",
                "docs/a.md:2: the link leads nowhere: there is no gone.md"
            ]
        );
    }
}
