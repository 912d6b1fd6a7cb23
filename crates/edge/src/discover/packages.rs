//! Installed packages, and which of them brought a file. Debian's database so far; others are told as not seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CannotSee, Table};
use crate::parse::dpkg::{self, Package};
use crate::system::System;

const STATUS: &str = "/var/lib/dpkg/status";
const LISTS: &str = "/var/lib/dpkg/info";

/// Most of the database that is read: some 60,000 packages.
const STATUS_BYTES: usize = 64 << 20;
/// Most of one package's list that is read.
const LIST_BYTES: usize = 16 << 20;

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Version by name; empty until the first look.
    versions: HashMap<String, String>,
    /// Owner of each file asked for; none where no package brought it. Forgotten at each full look.
    owners: HashMap<PathBuf, Option<String>>,
}

impl Memory {
    /// The table: a row for each installed package. The name is the item; of a package that is there for two architectures, both have theirs in the name.
    pub fn look(&mut self, sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Option<Table> {
        self.owners.clear();
        let bytes = match sys.read(Path::new(STATUS), STATUS_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => {
                cannot_see.push(CannotSee {
                    what: "packages".into(),
                    why: format!("{STATUS}: {error}; only Debian's package database is read so far"),
                    remedy: "none yet on systems with another package manager".into(),
                });
                return None;
            }
        };
        let packages = dpkg::status(&bytes);
        self.versions = packages.iter().map(|package| (package.name.clone(), package.version.clone())).collect();
        let mut count: HashMap<&str, usize> = HashMap::new();
        for package in &packages {
            *count.entry(&package.name).or_default() += 1;
        }
        Some(packages.iter().map(|package| row(package, count[package.name.as_str()] > 1)).collect())
    }

    /// Package and version of those of `files` that a package brought. Files not asked for before cost a walk over all lists of files.
    pub fn owners(&mut self, sys: &dyn System, files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, (String, String)> {
        let new: Vec<&Path> =
            files.iter().map(PathBuf::as_path).filter(|file| !self.owners.contains_key(*file)).collect();
        if !new.is_empty() {
            if self.versions.is_empty() {
                let packages = dpkg::status(&sys.read(Path::new(STATUS), STATUS_BYTES).unwrap_or_default());
                self.versions = packages.into_iter().map(|package| (package.name, package.version)).collect();
            }
            let found = search(sys, &new);
            self.owners.extend(new.iter().enumerate().map(|(at, file)| (file.to_path_buf(), found.get(&at).cloned())));
        }
        files
            .iter()
            .filter_map(|file| {
                let package = self.owners.get(file)?.as_ref()?;
                Some((file.clone(), (package.clone(), self.versions.get(package)?.clone())))
            })
            .collect()
    }
}

fn row(package: &Package, several: bool) -> (String, serde_json::Value) {
    let item = if several { format!("{}:{}", package.name, package.architecture) } else { package.name.clone() };
    let value = json!({
        "version": package.version,
        "architecture": package.architecture,
        "source": package.source,
        "held": package.held,
    });
    (item, value)
}

/// Which package's list names which of the files, by position.
fn search(sys: &dyn System, files: &[&Path]) -> HashMap<usize, String> {
    let mut found = HashMap::new();
    let mut names = sys.list(Path::new(LISTS)).unwrap_or_default();
    // What runs as `nginx` is most likely in a package called so: those lists first, and often none else.
    let likely = |list: &String| {
        !files
            .iter()
            .any(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(|name| list.starts_with(name)))
    };
    names.sort_by_key(|list| (likely(list), list.len()));
    for name in &names {
        let Some(package) = name.strip_suffix(".list") else { continue };
        let package = package.split(':').next().unwrap_or(package); // `libssl3:amd64.list`
        let Ok(list) = sys.read(&Path::new(LISTS).join(name), LIST_BYTES) else { continue };
        for at in dpkg::owns(&list, files) {
            found.entry(at).or_insert_with(|| package.to_owned());
        }
        if found.len() == files.len() {
            break;
        }
    }
    found
}
