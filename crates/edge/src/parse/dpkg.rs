//! Debian's package database as text: `/var/lib/dpkg/status` and `/var/lib/dpkg/info/PACKAGE.list`. Never runs `dpkg`.

use std::path::Path;

/// One installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name, without architecture.
    pub name: String,
    /// Version as Debian writes it, with epoch and revision.
    pub version: String,
    /// Such as `amd64`, or `all`.
    pub architecture: String,
    /// Source package it is built from: what a security notice names.
    pub source: String,
    /// True when an administrator holds it back from upgrades.
    pub held: bool,
}

/// Packages that are installed, in the order of the file. Removed ones whose configuration is left are not among them.
#[must_use]
pub fn status(bytes: &[u8]) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut package = Package::default();
    let mut installed = false;
    for line in super::lines(bytes).chain(std::iter::once("".into())) {
        if line.is_empty() {
            let complete = std::mem::take(&mut package);
            if std::mem::take(&mut installed) && !complete.name.is_empty() {
                packages.push(with_source(complete));
            }
            continue;
        }
        let Some((field, value)) = line.split_once(": ") else { continue };
        match field {
            "Package" => package.name = value.to_owned(),
            "Version" => package.version = value.to_owned(),
            "Architecture" => package.architecture = value.to_owned(),
            // "src (1.2-3)" when the versions differ; the name is what matters.
            "Source" => package.source = value.split(' ').next().unwrap_or_default().to_owned(),
            "Status" => {
                package.held = value.starts_with("hold ");
                installed = value.ends_with(" installed");
            }
            _ => {}
        }
    }
    packages
}

fn with_source(mut package: Package) -> Package {
    if package.source.is_empty() {
        package.source.clone_from(&package.name);
    }
    package
}

/// Which of `files` a package's list names, by position. Debian moved `/bin` into `/usr/bin` by a link, and lists of old packages still
/// name the old place: both count.
#[must_use]
pub fn owns(list: &[u8], files: &[&Path]) -> Vec<usize> {
    let wanted: Vec<(usize, &[u8])> = files
        .iter()
        .enumerate()
        .flat_map(|(at, file)| {
            let whole = file.as_os_str().as_encoded_bytes();
            [Some(whole), whole.strip_prefix(b"/usr")].into_iter().flatten().map(move |path| (at, path))
        })
        .collect();
    let mut found = Vec::new();
    for line in list.split(|byte| *byte == b'\n') {
        for (at, path) in &wanted {
            if line == *path {
                found.push(*at);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
Package: nginx
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1.22.1-9+deb12u10
Description: small, powerful, scalable web/proxy server
 Nginx (\"engine X\") is a high-performance web and reverse proxy server
 Version: this is not a field but text

Package: libssl3
Status: hold ok installed
Architecture: amd64
Source: openssl (3.0.17-1)
Version: 3.0.17-1~deb12u2

Package: old-thing
Status: deinstall ok config-files
Architecture: all
Version: 1.0
";

    #[test]
    fn installed_packages_are_told_with_source_and_hold() {
        let packages = status(STATUS.as_bytes());
        let told: Vec<_> =
            packages.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.source.as_str(), p.held)).collect();
        assert_eq!(
            told,
            [("nginx", "1.22.1-9+deb12u10", "nginx", false), ("libssl3", "3.0.17-1~deb12u2", "openssl", true)],
            "a removed package is not installed"
        );
    }

    #[test]
    fn a_file_is_found_under_its_old_place_too() {
        let files = [Path::new("/usr/sbin/nginx"), Path::new("/usr/bin/bash"), Path::new("/opt/x")];
        assert_eq!(owns(b"/.\n/usr/sbin\n/usr/sbin/nginx\n", &files), [0]);
        assert_eq!(owns(b"/bin/bash\n", &files), [1], "merged /usr");
        assert_eq!(owns(b"/usr/sbin/nginx-debug\n/x\n", &files), Vec::<usize>::new(), "whole lines only");
    }
}
