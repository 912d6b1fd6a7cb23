//! How answers are shown: aligned tables on a terminal, tab-separated on a pipe, JSON, YAML or CSV when asked.
//!
//! All of it may be read by a program that has soon read enough: that ends the command, quietly. So nothing is printed past this.

use serde_json::Value;
use std::io::{IsTerminal, Write};

use crate::failure::Failure;

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns on a terminal, tab-separated on a pipe.
    #[default]
    Table,
    /// JSON, stable.
    Json,
    /// YAML.
    Yaml,
    /// CSV with a header.
    Csv,
}

/// Writes rows under a header.
///
/// # Errors
/// What cannot be written.
pub fn table(header: &[String], rows: &[Vec<String>]) -> Result<(), Failure> {
    let text = if std::io::stdout().is_terminal() { aligned(header, rows) } else { tabbed(header, rows) };
    line(&text)
}

fn tabbed(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        format!("{}\n", cells.iter().map(|c| c.replace(['\t', '\n'], " ")).collect::<Vec<_>>().join("\t"))
    };
    std::iter::once(line(header)).chain(rows.iter().map(|r| line(r))).collect()
}

/// Columns padded to the widest cell, at most 60 characters each.
pub fn aligned(header: &[String], rows: &[Vec<String>]) -> String {
    let clip = |cell: &str| {
        let flat = cell.replace(['\n', '\t'], " ");
        if flat.chars().count() > 60 { format!("{}…", flat.chars().take(59).collect::<String>()) } else { flat }
    };
    let shown: Vec<Vec<String>> = std::iter::once(header.to_vec())
        .chain(rows.iter().cloned())
        .map(|r| r.iter().map(|c| clip(c)).collect())
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|i| shown.iter().map(|r| r.get(i).map_or(0, |c| c.chars().count())).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &shown {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Writes a value as JSON or YAML; a table of name and value otherwise.
///
/// # Errors
/// What cannot be written.
pub fn value(value: &Value, format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Yaml => yaml_serde::to_string(value).map_err(|e| Failure::new(e.to_string()))?,
        _ => return json(value),
    };
    line(&text)
}

/// Writes a value as JSON.
///
/// # Errors
/// What cannot be written.
pub fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    say(&serde_json::to_string_pretty(value).map_err(|e| Failure::new(e.to_string()))?)
}

/// Writes a sentence, and ends its line.
///
/// # Errors
/// As [`bytes`].
pub fn say(text: &str) -> Result<(), Failure> {
    line(&format!("{text}\n"))
}

/// Writes text as it is.
///
/// # Errors
/// As [`bytes`].
pub fn line(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes a piece of a file as it is.
///
/// # Errors
/// [`Failure::closed`] when nobody reads on; else what cannot be written, such as a full disk.
pub fn bytes(piece: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(piece).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::closed(),
        _ => error.into(),
    })
}

/// Writes rows as CSV.
///
/// # Errors
/// What cannot be written.
pub fn csv(header: &[String], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(&header.to_vec()).chain(rows) {
        writer.write_record(row).map_err(|e| Failure::new(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| Failure::new(e.to_string()))?;
    line(&String::from_utf8_lossy(&bytes))
}

/// A value in a cell.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let rows = vec![vec!["INC-7".to_owned(), "open".into()], vec!["INC-10".into(), String::new()]];
        assert_eq!(aligned(&["KEY".into(), "STATE".into()], &rows), "KEY     STATE\nINC-7   open\nINC-10\n");
    }
}
