//! Dist: what a release consists of: one archive with the program, its licence and its unit file, and its checksum.

use crate::run::{cargo, command, must, output, step, target_dir};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// What the released program may weigh, in bytes.
const BINARY_LIMIT_BYTES: u64 = 60_000_000;

/// Builds the release and packs it into `<target>/dist`.
pub fn run() -> Result<()> {
    step("release build", || must(cargo(&["build", "--release", "--locked", "--package", "mainstay"])))?;
    step("archive", || {
        let target = target_dir()?;
        let program = target.join("release").join("mainstay");
        let bytes = fs::metadata(&program).with_context(|| format!("no {}", program.display()))?.len();
        within_limit(bytes)?;
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("mainstay-{version}-{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let folder = target.join("dist").join(&name);
        fs::create_dir_all(&folder)?;
        fs::copy(&program, folder.join("mainstay"))?;
        for file in ["LICENSE", "README.md", "CHANGELOG.md", "packaging/mainstay.service"] {
            let base = Path::new(file).file_name().context("a file has a name")?;
            fs::copy(file, folder.join(base)).with_context(|| format!("cannot copy {file}"))?;
        }
        pack(&target.join("dist"), &name)
    })
}

/// The same input gives the same archive: sorted names, no owner, one date.
fn pack(dist: &Path, name: &str) -> Result<()> {
    let archive = format!("{name}.tar.gz");
    let words =
        ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-czf", archive.as_str(), name];
    let mut tar = command("tar", &words);
    tar.current_dir(dist).env("GZIP", "-n");
    must(tar)?;
    let mut sum = command("sha256sum", &[archive.as_str()]);
    sum.current_dir(dist);
    let line = output(sum)?;
    fs::write(dist.join(format!("{archive}.sha256")), &line)?;
    print!("{}/{archive}\n{line}", dist.display());
    Ok(())
}

fn within_limit(bytes: u64) -> Result<()> {
    if bytes > BINARY_LIMIT_BYTES {
        bail!("the program weighs {bytes} bytes; {BINARY_LIMIT_BYTES} were promised");
    }
    println!("the program weighs {bytes} of at most {BINARY_LIMIT_BYTES} bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_past_its_promised_weight_is_not_packed() {
        assert!(within_limit(BINARY_LIMIT_BYTES).is_ok());
        assert!(within_limit(BINARY_LIMIT_BYTES + 1).is_err());
    }
}
