//! `/etc/os-release` (os-release(5)), which also is the form of `/etc/default/*`: `NAME=value` with shell quotes. Never evaluates it.

use std::collections::BTreeMap;

/// Fields by name, unquoted. What would be a substitution in a shell stays as it is written.
#[must_use]
pub fn fields(bytes: &[u8]) -> BTreeMap<String, String> {
    super::lines(bytes)
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
            Some((name.to_owned(), unquote(value)))
        })
        .collect()
}

fn unquote(value: &str) -> String {
    let quoted = |mark| value.strip_prefix(mark).and_then(|rest: &str| rest.strip_suffix(mark));
    if let Some(inner) = quoted('\'') {
        return inner.to_owned();
    }
    let inner = quoted('"').unwrap_or(value);
    let mut out = String::with_capacity(inner.len());
    let mut escaped = false;
    for character in inner.chars() {
        if character == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_off_and_comments_left_out() {
        let found = fields(b"# a comment=1\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nX='a b'\nY=\"say \\\"hi\\\"\"\n\nbad\n");
        assert_eq!(found["PRETTY_NAME"], "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(found["ID"], "debian");
        assert_eq!(found["X"], "a b");
        assert_eq!(found["Y"], "say \"hi\"");
        assert_eq!(found.len(), 4);
    }
}
