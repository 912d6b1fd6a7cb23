//! Graphite's plaintext protocol: `path value seconds` a line, tags as `path;tag=value`.
//!
//! The path is the metric's name as it is, dots and all: a series can be named so, and a query finds it by
//! `{__name__="servers.web.load"}`. Lines that are wrong are listed and the rest is taken, as Graphite itself does.

use super::batch::Batch;
use super::lines::{number, shown};
use super::{FormatError, Limits, within};
use crate::labels::NAME;

/// Reads lines. `now_ms` (Unix milliseconds) stands for a time that is left out, or given as -1 or `N`.
///
/// # Errors
/// [`FormatError::TooLarge`]; a wrong line is none.
pub fn decode(body: &[u8], now_ms: i64, limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    let mut batch = Batch::new(limits);
    let mut pairs = Vec::new();
    for (i, line) in body.split(|b| *b == b'\n').enumerate() {
        let Ok(line) = std::str::from_utf8(line) else {
            batch.reject(i + 1, "not UTF-8");
            continue;
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        pairs.clear();
        match read(line, now_ms, &mut pairs) {
            Ok((value, at_ms)) => batch.sample(&mut pairs, at_ms, value)?,
            Err(reason) => batch.reject(i + 1, reason),
        }
    }
    Ok(batch)
}

fn read<'a>(line: &'a str, now_ms: i64, pairs: &mut Vec<(&'a str, &'a str)>) -> Result<(f64, i64), String> {
    let mut words = line.split_ascii_whitespace();
    let (path, value) = (words.next().unwrap_or_default(), words.next().ok_or("no value")?);
    let value = number(value).ok_or_else(|| format!("{:?} is not a number", shown(value)))?;
    let at_ms = match words.next() {
        None | Some("-1" | "N") => now_ms,
        Some(seconds) => {
            let found = number(seconds).map(|s| s * 1000.0).filter(|ms| ms.abs() < 9e15);
            found.ok_or_else(|| format!("{:?} is not a time in seconds", shown(seconds)))?.round() as i64
        }
    };
    if words.next().is_some() {
        return Err("more after the time".into());
    }
    let mut parts = path.split(';');
    let name = parts.next().unwrap_or_default();
    if name.is_empty() {
        return Err("no name before the tags".into());
    }
    pairs.push((NAME, name));
    for tag in parts {
        let (name, value) = tag.split_once('=').ok_or_else(|| format!("{:?} is not a tag", shown(tag)))?;
        if name.is_empty() || pairs.iter().any(|(n, _)| *n == name) {
            return Err(format!("the tag {:?} is empty or given twice", shown(name)));
        }
        pairs.push((name, value));
    }
    Ok((value, at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_lines_are_taken_and_bad_ones_listed() {
        let body =
            b"servers.web.load 1.5 1700000000\r\nnow 2\nold;dc=a;rack=7 3e2 -1\n\n# x\nbad\nbad x 1\nbad;tag 1 1\n\
            bad;a=1;a=2 1 1\n\xff 1 1\nfraction 1 1700000000.5\nbad 1 1 1\n;a=b 1 1\n";
        let batch = decode(body, 42, Limits::default()).unwrap();
        assert_eq!(
            batch.shown(),
            [
                ("servers.web.load{}".into(), vec![(1_700_000_000_000, 1.5)]),
                ("now{}".into(), vec![(42, 2.0)]),
                ("old{dc=a,rack=7}".into(), vec![(42, 300.0)]),
                ("fraction{}".into(), vec![(1_700_000_000_500, 1.0)]),
            ]
        );
        assert_eq!(batch.rejected.iter().map(|r| r.line).collect::<Vec<_>>(), [6, 7, 8, 9, 10, 12, 13]);
        assert_eq!(batch.rejected_lines, 7);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_every_line_is_accounted_for(bytes in any::<Vec<u8>>(), text in "[a-z;=. 0-9\n-]{0,80}") {
            let _ = decode(&bytes, 0, Limits::default());
            let batch = decode(text.as_bytes(), 0, Limits::default()).unwrap();
            let lines = text.split('\n').filter(|l| !l.trim().is_empty()).count();
            prop_assert_eq!(batch.samples() + batch.rejected_lines, lines);
        }
    }
}
