//! Tree: what the rules look at: every file of the repository, every Rust source as tokens, every package.

use super::lexer::{Kind, Token, lex};
use super::packages::{Package, Packages};
use crate::run::{command, output};
use anyhow::Result;
use std::collections::BTreeSet;

/// The repository as the rules see it.
pub struct Tree {
    pub files: Vec<File>,
    pub sources: Vec<Source>,
    pub packages: Packages,
}

/// A text file, with its path from the root.
pub struct File {
    pub path: String,
    pub text: String,
}

/// A Rust file as tokens.
pub struct Source {
    pub path: String,
    pub tokens: Vec<Token>,
    /// Whether the token of the same index is compiled for tests only.
    test: Vec<bool>,
}

impl Tree {
    /// Reads what git tracks and what it would track: a new file is judged before it is added.
    pub fn read() -> Result<Self> {
        let list = output(command("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        let mut files = Vec::new();
        for path in list.split('\0').filter(|path| !path.is_empty()) {
            let Ok(bytes) = std::fs::read(path) else { continue }; // Deleted, and not yet so in the index.
            let Ok(text) = String::from_utf8(bytes) else { continue }; // Pictures and fixtures have no lines.
            files.push(File { path: path.to_owned(), text });
        }
        Ok(Self::of(files, Packages::read()?))
    }

    fn of(files: Vec<File>, packages: Packages) -> Self {
        let mut sources: Vec<Source> = files
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
            .map(|file| Source::of(&file.path, &file.text))
            .collect();
        let test_modules: BTreeSet<String> = sources.iter().flat_map(Source::test_modules).collect();
        for source in &mut sources {
            if test_modules.contains(&source.path) {
                source.test.fill(true);
            }
        }
        Self { files, sources, packages }
    }

    /// A small tree for the tests of the rules.
    #[cfg(test)]
    pub fn sample(files: &[(&str, &str)]) -> Self {
        Self::with_packages(files, Packages::default())
    }

    #[cfg(test)]
    pub fn with_packages(files: &[(&str, &str)], packages: Packages) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Self::of(files.iter().map(file).collect(), packages)
    }

    /// The line of the package's manifest that names the dependency, or the first.
    pub fn line_of(&self, package: &Package, dependency: &str) -> usize {
        let ends = |rest: &str| rest.starts_with([' ', '.', '=']);
        let names = |line: &str| line.strip_prefix(dependency).is_some_and(ends);
        let text = self.text(&package.manifest()).unwrap_or_default();
        text.lines().position(names).map_or(1, |index| index + 1)
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

impl Source {
    fn of(path: &str, text: &str) -> Self {
        let tokens = lex(text);
        let outside = ["/tests/", "/benches/", "/examples/"].iter().any(|folder| path.contains(folder));
        let all = outside || path.ends_with("/tests.rs");
        let test = if all { vec![true; tokens.len()] } else { test_marks(&tokens) };
        Self { path: path.to_owned(), tokens, test }
    }

    /// The crate's folder name, when the file is in one of `crates/`.
    pub fn krate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// Tokens that are not compiled for tests only, comments included.
    pub fn outside_tests(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().zip(&self.test).filter(|(_, test)| !**test).map(|(token, _)| token)
    }

    /// Whether the whole file is compiled for tests only.
    pub fn is_test(&self) -> bool {
        self.test.iter().all(|test| *test)
    }

    /// Paths of the modules that this file declares with `#[cfg(test)] mod name;`.
    fn test_modules(&self) -> Vec<String> {
        let folder = self.module_folder();
        let mut found = Vec::new();
        for (index, window) in self.tokens.windows(3).enumerate() {
            let [keyword, name, end] = window else { continue };
            if self.test[index] && keyword.is_word("mod") && name.kind == Kind::Word && end.is_sign(';') {
                found.push(format!("{folder}/{}.rs", name.text));
                found.push(format!("{folder}/{}/mod.rs", name.text));
            }
        }
        found
    }

    /// Where the files of this module's children are.
    fn module_folder(&self) -> String {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            other => format!("{folder}/{}", other.trim_end_matches(".rs")),
        }
    }
}

/// For each token whether it belongs to an item under `#[cfg(test)]`, the attribute included.
fn test_marks(tokens: &[Token]) -> Vec<bool> {
    let mut marks = vec![false; tokens.len()];
    let mut at = 0;
    while at < tokens.len() {
        let Some((attribute_end, inner)) = test_attribute(tokens, at) else {
            at += 1;
            continue;
        };
        let end = if inner { tokens.len() } else { item_end(tokens, attribute_end) };
        marks[at..end].fill(true);
        at = end;
    }
    marks
}

/// When `#[cfg(test)]` or `#![cfg(test)]` begins here: where it ends, and whether it is the inner form.
fn test_attribute(tokens: &[Token], at: usize) -> Option<(usize, bool)> {
    if !tokens[at].is_sign('#') {
        return None;
    }
    let inner = tokens.get(at + 1)?.is_sign('!');
    let open = at + 1 + usize::from(inner);
    if !tokens.get(open)?.is_sign('[') || !tokens.get(open + 1)?.is_word("cfg") {
        return None;
    }
    let end = open + tokens[open..].iter().position(|token| token.is_sign(']'))? + 1;
    let has = |word: &str| tokens[open..end].iter().any(|token| token.is_word(word));
    (has("test") && !has("not")).then_some((end, inner))
}

/// The end of the item that begins at `from`: its `;`, or the `}` that closes its first block.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            _ if token.kind != Kind::Sign => {}
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tree: &Tree, path: &str) -> Vec<String> {
        let source = tree.sources.iter().find(|source| source.path == path).unwrap();
        source.outside_tests().filter(|t| t.kind == Kind::Word).map(|t| t.text.clone()).collect()
    }

    #[test]
    fn code_for_tests_is_told_from_the_rest() {
        let table = [
            ("fn a() {} #[cfg(test)] mod tests { fn b() { c(); } } fn d() {}", "fn a fn d", "a module"),
            ("#[cfg(test)] use x::y; fn a() {}", "fn a", "an item without a block"),
            ("#[cfg(test)] #[allow(dead_code)] fn b(x: [u8; 2]) -> u8 { x[0] } fn a() {}", "fn a", "more attributes"),
            ("#[cfg(not(test))] fn a() {}", "cfg not test fn a", "the opposite is code"),
            ("#![cfg(test)] fn b() {}", "", "a whole file"),
        ];
        for (text, expected, why) in table {
            let tree = Tree::sample(&[("crates/x/src/lib.rs", text)]);
            assert_eq!(words(&tree, "crates/x/src/lib.rs").join(" "), expected, "{why}");
        }
    }

    #[test]
    fn a_module_file_that_only_tests_declare_is_a_test() {
        let tree = Tree::sample(&[
            ("crates/x/src/lib.rs", "mod a;"),
            ("crates/x/src/a.rs", "#[cfg(test)] mod world; mod real;"),
            ("crates/x/src/a/world.rs", "fn b() {}"),
            ("crates/x/src/a/real.rs", "fn c() {}"),
        ]);
        assert_eq!(words(&tree, "crates/x/src/a/world.rs").len(), 0);
        assert_eq!(words(&tree, "crates/x/src/a/real.rs"), ["fn", "c"]);
    }
}
