//! YAML files for `apply`: one file, standard input, or every `.yaml` and `.yml` in a folder, in the order of their names.

use serde_json::{Value, json};
use std::path::Path;

use crate::failure::Failure;

/// Largest file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The files at `path` (`-` is standard input) as `apply` takes them.
///
/// # Errors
/// What cannot be read, by name.
pub fn read(path: &str) -> Result<Vec<Value>, Failure> {
    if path == "-" {
        let text =
            std::io::read_to_string(std::io::stdin()).map_err(|e| Failure::new(format!("standard input: {e}")))?;
        return Ok(vec![json!({"path": "stdin", "text": text})]);
    }
    let mut files = Vec::new();
    collect(Path::new(path), &mut files, 0)?;
    if files.is_empty() {
        return Err(Failure::new(format!("{path}: no .yaml or .yml file is there")));
    }
    Ok(files)
}

fn collect(path: &Path, files: &mut Vec<Value>, depth: usize) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    let meta = std::fs::metadata(path).map_err(failed)?;
    if meta.is_dir() {
        if depth > 16 {
            return Err(Failure::new(format!("{}: folders are nested more than 16 deep", path.display())));
        }
        let mut entries: Vec<_> =
            std::fs::read_dir(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let inner = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let yaml = inner.extension().is_some_and(|e| e == "yaml" || e == "yml");
            if !hidden && (inner.is_dir() || yaml) {
                collect(&inner, files, depth + 1)?;
            }
        }
        return Ok(());
    }
    if meta.len() > MAX_FILE {
        return Err(Failure::new(format!("{}: is larger than 4 MiB", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    files.push(json!({"path": path.display().to_string(), "text": text}));
    Ok(())
}
