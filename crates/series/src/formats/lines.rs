//! A line of the text formats, read from left to right: names, label sets, numbers. Shared by the exposition formats.

use std::borrow::Cow;

use super::FormatError;
use crate::labels::NAME;

/// Pairs of a label set, the metric's name among them.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A line that is being read.
pub(crate) struct Line<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Line<'a> {
    pub(crate) fn new(text: &'a str, number: usize) -> Self {
        Self { rest: text, number }
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn wrong(&self, reason: impl Into<String>) -> FormatError {
        FormatError::Line { line: self.number, reason: reason.into() }
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Takes `prefix` when it comes next.
    pub(crate) fn take(&mut self, prefix: char) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Everything up to the next blank.
    pub(crate) fn word(&mut self) -> &'a str {
        let end = self.rest.bytes().position(|b| b == b' ' || b == b'\t').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A metric's or a label's name without quotes; a colon is of metrics only.
    fn name(&mut self) -> Result<&'a str, FormatError> {
        let legal = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b':';
        let end = self.rest.bytes().position(|b| !legal(&b)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return Err(self.wrong("a name is expected"));
        }
        self.rest = rest;
        Ok(name)
    }

    /// A text in quotes, after its first quote.
    fn quoted(&mut self) -> Result<Cow<'a, str>, FormatError> {
        let bytes = self.rest.as_bytes();
        let plain = bytes.iter().position(|b| *b == b'"' || *b == b'\\');
        let Some(end) = plain else { return Err(self.wrong("a quote is not closed")) };
        if bytes[end] == b'"' {
            let text = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            return Ok(text.into());
        }
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text.into());
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some(c @ ('\\' | '"')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.wrong("a quote is not closed"))
    }

    /// `name{label="value",…}`, the name perhaps quoted inside the braces. Appends to `pairs`.
    pub(crate) fn series(&mut self, pairs: &mut Pairs<'a>) -> Result<(), FormatError> {
        if !self.rest.starts_with('{') {
            pairs.push((Cow::Borrowed(NAME), self.name()?.into()));
        }
        // A blank before the brace is legal in one of the formats; a blank before the value is for the caller to see.
        match self.rest.trim_start_matches([' ', '\t']).strip_prefix('{') {
            Some(rest) => {
                self.rest = rest;
                self.label_set(pairs)
            }
            None => Ok(()),
        }
    }

    /// The rest of a label set, after its brace.
    pub(crate) fn label_set(&mut self, pairs: &mut Pairs<'a>) -> Result<(), FormatError> {
        loop {
            self.skip_blanks();
            if self.take('}') {
                return Ok(());
            }
            let quoted = self.take('"');
            let name: Cow<'a, str> = if quoted { self.quoted()? } else { self.name()?.into() };
            self.skip_blanks();
            if self.take('=') {
                self.skip_blanks();
                if !self.take('"') {
                    return Err(self.wrong("a label's value is not in quotes"));
                }
                let value = self.quoted()?;
                pairs.push((name, value));
            } else if quoted && !pairs.iter().any(|(n, _)| n == NAME) {
                pairs.push((NAME.into(), name));
            } else {
                return Err(self.wrong("a label without a value"));
            }
            self.skip_blanks();
            if !self.take(',') && !self.rest.starts_with('}') {
                return Err(self.wrong("a comma or a closing brace is expected"));
            }
        }
    }

    pub(crate) fn float(&mut self) -> Result<f64, FormatError> {
        let word = self.word();
        number(word).ok_or_else(|| self.wrong(format!("{:?} is not a number", shown(word))))
    }
}

/// A number as people and Go write it.
pub(crate) fn number(word: &str) -> Option<f64> {
    // Counters are mostly short whole numbers: these are read without the general machinery, exactly.
    let digits = word.as_bytes();
    if (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
        return Some(digits.iter().fold(0_u64, |n, d| n * 10 + u64::from(d - b'0')) as f64);
    }
    word.parse().ok()
}

/// A piece of what was given, short enough for an error.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The text behind a `# HELP`, with its escapes undone.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(c @ ('\\' | '"'))) => out.push(c),
            ('\\', Some(c)) => out.extend(['\\', c]),
            (c, _) => out.push(c),
        }
    }
    out
}

/// The body as text.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, FormatError> {
    std::str::from_utf8(body)
        .map_err(|e| FormatError::Malformed { at: e.valid_up_to(), reason: "the body is not UTF-8" })
}
