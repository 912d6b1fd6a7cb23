//! Reference: `docs/reference` is printed by the program itself from its registry, so it cannot tell a different story.

use crate::run::{cargo, command, must, step, target_dir, works};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const REFERENCE: &str = "docs/reference";

/// Writes the reference; with `--check` writes it elsewhere and compares.
pub fn run(words: &[&str]) -> Result<()> {
    let check = match words {
        [] => false,
        ["--check"] => true,
        other => bail!("reference knows only --check, not {other:?}"),
    };
    step("reference", || {
        // With the tests, so that the dependencies are the ones the tests have built already.
        must(cargo(&["build", "--quiet", "--workspace", "--bins", "--tests"]))?;
        let program = target_dir()?.join("debug").join("mainstay");
        if !works(command(&program, &["reference", "--help"])) {
            println!("not checked: this program has no `reference` command");
            return Ok(());
        }
        if !check {
            return print_to(&program, Path::new(REFERENCE));
        }
        let fresh = target_dir()?.join("xtask").join("reference");
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        print_to(&program, &fresh)?;
        match first_difference(&files_below(Path::new(REFERENCE))?, &files_below(&fresh)?) {
            None => Ok(()),
            Some(file) => {
                bail!("{REFERENCE}/{} is not what the program says: run `cargo xtask reference`", file.display())
            }
        }
    })
}

fn print_to(program: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    must(command(program, &["reference".as_ref(), folder.as_os_str()]))
}

/// Every file below `folder`, by its path from there. A folder that does not exist has none.
fn files_below(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        if !next.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder)?.to_path_buf(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

fn first_difference(committed: &BTreeMap<PathBuf, Vec<u8>>, fresh: &BTreeMap<PathBuf, Vec<u8>>) -> Option<PathBuf> {
    committed.keys().chain(fresh.keys()).find(|path| committed.get(*path) != fresh.get(*path)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_differs_is_missing_or_is_too_many_is_named() {
        let tree = |files: &[(&str, &str)]| -> BTreeMap<PathBuf, Vec<u8>> {
            files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
        };
        let one = tree(&[("a.md", "A")]);
        let table = [
            (&one, tree(&[("a.md", "A")]), None, "the same"),
            (&one, tree(&[("a.md", "B")]), Some("a.md"), "another text"),
            (&one, tree(&[]), Some("a.md"), "no longer printed"),
            (&one, tree(&[("a.md", "A"), ("b.md", "")]), Some("b.md"), "not committed"),
        ];
        for (committed, fresh, expected, why) in table {
            assert_eq!(first_difference(committed, &fresh), expected.map(PathBuf::from), "{why}");
        }
    }
}
