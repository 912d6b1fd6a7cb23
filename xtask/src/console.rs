//! Console: its type check and its linter, when the packages are installed.
//!
//! Without Node or without `npm ci` the step says so and fails: a check that silently does not run is worse than none.

use crate::run::{command, must, step};
use anyhow::{Result, bail};
use std::path::Path;

/// Types and lint rules of the TypeScript sources.
pub fn lint() -> Result<()> {
    step("console", || {
        if !Path::new("console/node_modules").exists() {
            bail!("the console's packages are not installed: run `make console-packages` (it calls npm ci)");
        }
        must(command("npm", &["--prefix", "console", "run", "--silent", "check"]))?;
        must(command("npm", &["--prefix", "console", "run", "--silent", "lint"]))
    })
}
