//! Packages: our crates with what they depend on and what they build, from `cargo metadata`.

use crate::run::metadata;
use anyhow::Result;
use serde_json::Value;

/// All packages of the workspace.
#[derive(Default)]
pub struct Packages(pub Vec<Package>);

/// One crate of ours.
#[derive(Default)]
pub struct Package {
    pub name: String,
    /// Its folder from the root, such as `crates/kernel`.
    pub folder: String,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
    /// Dependencies that no source names but that are needed, for a feature: `[package.metadata.tidy] kept`.
    pub kept: Vec<String>,
}

/// One line under `dependencies`.
#[derive(Default)]
pub struct Dependency {
    /// As the registry knows it.
    pub name: String,
    /// As the sources know it: the name or its replacement, with `_` for `-`.
    pub ident: String,
    pub for_tests_only: bool,
    pub ours: bool,
}

/// Something that cargo builds.
pub struct Target {
    pub name: String,
    pub kind: String,
}

impl Packages {
    /// Asks cargo, without the network.
    pub fn read() -> Result<Self> {
        Ok(Self::of(&metadata()?))
    }

    fn of(metadata: &Value) -> Self {
        let root = text(metadata, "workspace_root");
        let packages = list(metadata, "packages").map(|package| {
            let manifest = text(package, "manifest_path");
            let folder = manifest.trim_end_matches("/Cargo.toml").trim_start_matches(root).trim_start_matches('/');
            let target = |target: &Value| Target {
                name: text(target, "name").into(),
                kind: target["kind"][0].as_str().unwrap_or_default().into(),
            };
            Package {
                name: text(package, "name").into(),
                folder: folder.into(),
                dependencies: list(package, "dependencies").map(dependency).collect(),
                targets: list(package, "targets").map(target).collect(),
                kept: list(&package["metadata"]["tidy"], "kept").filter_map(Value::as_str).map(str::to_owned).collect(),
            }
        });
        Self(packages.collect())
    }

    /// Names of the packages that have benchmarks.
    pub fn with_benches(&self) -> Vec<String> {
        let has_bench = |package: &&Package| package.targets.iter().any(|target| target.kind == "bench");
        self.0.iter().filter(has_bench).map(|package| package.name.clone()).collect()
    }
}

impl Package {
    /// The path of its manifest.
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

fn dependency(value: &Value) -> Dependency {
    let name = text(value, "name");
    let ident = value["rename"].as_str().unwrap_or(name).replace('-', "_");
    let for_tests_only = value["kind"].as_str() == Some("dev");
    Dependency { name: name.into(), ident, for_tests_only, ours: value["path"].is_string() }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cargo_metadata_is_read_as_far_as_the_rules_need_it() {
        let packages = Packages::of(&json!({"workspace_root": "/r", "packages": [{
            "name": "store", "manifest_path": "/r/crates/store/Cargo.toml",
            "metadata": {"tidy": {"kept": ["ring"]}},
            "targets": [{"name": "it", "kind": ["test"]}, {"name": "write", "kind": ["bench"]}],
            "dependencies": [
                {"name": "kernel", "kind": null, "path": "/r/crates/kernel"},
                {"name": "serde_yaml-x", "rename": "yaml", "kind": "dev"},
            ],
        }]}));
        let store = &packages.0[0];
        assert_eq!((store.folder.as_str(), store.kept[0].as_str()), ("crates/store", "ring"));
        assert!(store.dependencies[0].ours && !store.dependencies[0].for_tests_only);
        assert_eq!(store.dependencies[1].ident, "yaml");
        assert!(store.dependencies[1].for_tests_only && !store.dependencies[1].ours);
        assert_eq!(packages.with_benches(), ["store"]);
    }
}
