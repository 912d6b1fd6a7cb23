//! Text and actions, and the words of an action.

use super::TemplateError;

/// A stretch of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// What stands between the braces, as words, and the line it begins on.
    Action(Vec<Word>, usize),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// `range`, `humanize`
    Name(String),
    /// `$x`; empty for `$`.
    Variable(String),
    /// `.x`, which follows a value or stands for the dot's.
    Field(String),
    /// `.` alone.
    Dot,
    Text(String),
    Int(i64),
    Float(f64),
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
    Assign,
    /// Blanks before the next word: `$x .y` is two values, `$x.y` one.
    Gap,
}

/// Splits a template.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let (mut rest, mut line, mut trim) = (text, 1, false);
    while let Some(start) = rest.find("{{") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        let trims_left = after.starts_with("- ") || after.starts_with("-\n") || after.starts_with("-\t");
        push_text(&mut pieces, before, trim, trims_left);
        line += before.matches('\n').count();
        let inner = if trims_left { &after[1..] } else { after };
        let (length, words) = action(inner, line)?;
        let body = &inner[..length];
        trim = body.ends_with(" -") || body.ends_with("\n-") || body.ends_with("\t-");
        if let Some(words) = words {
            pieces.push(Piece::Action(words, line));
        }
        line += body.matches('\n').count();
        rest = &inner[length + 2..];
    }
    push_text(&mut pieces, rest, trim, false);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, left: bool, right: bool) {
    let text = if left { text.trim_start_matches([' ', '\t', '\r', '\n']) } else { text };
    let text = if right { text.trim_end_matches([' ', '\t', '\r', '\n']) } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// The words of an action up to its `}}`, and how long it is; no words for a comment.
fn action(text: &str, line: usize) -> Result<(usize, Option<Vec<Word>>), TemplateError> {
    let wrong = |reason: String| TemplateError { line, reason };
    let comment = text.trim_start_matches([' ', '\t', '\r', '\n']);
    if comment.starts_with("/*") {
        let end = text.find("*/").ok_or_else(|| wrong("a comment that does not end".into()))?;
        let after = &text[end + 2..];
        let close = after.find("}}").filter(|at| after[..*at].trim().is_empty() || after[..*at].trim() == "-");
        let close = close.ok_or_else(|| wrong("a comment ends with */}}".into()))?;
        return Ok((end + 2 + close, None));
    }
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with("}}") {
            return Ok((at, Some(words)));
        }
        let Some(first) = rest.chars().next() else {
            return Err(wrong("an action that does not end: }} is missing".into()));
        };
        if rest.starts_with("-}}") && words.last() == Some(&Word::Gap) {
            at += 1;
            continue;
        }
        let (word, length) = match first {
            c if c.is_whitespace() => (Word::Gap, rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len())),
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '|' => (Word::Pipe, 1),
            ',' => (Word::Comma, 1),
            ':' if rest.starts_with(":=") => (Word::Declare, 2),
            '=' => (Word::Assign, 1),
            '"' => quoted(rest).map_err(wrong)?,
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| wrong("a text in ` that does not end".into()))?;
                (Word::Text(rest[1..=end].to_owned()), end + 2)
            }
            '$' => {
                let length = 1 + name_length(&rest[1..]);
                (Word::Variable(rest[1..length].to_owned()), length)
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let length = 1 + name_length(&rest[1..]);
                if length == 1 { (Word::Dot, 1) } else { (Word::Field(rest[1..length].to_owned()), length) }
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => number(rest).map_err(wrong)?,
            c if c.is_alphabetic() || c == '_' => {
                let length = name_length(rest);
                (Word::Name(rest[..length].to_owned()), length)
            }
            other => return Err(wrong(format!("unexpected {other:?} in an action"))),
        };
        words.push(word);
        at += length;
    }
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

fn quoted(text: &str) -> Result<(Word, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Word::Text(out), at + 1)),
            '\n' => break,
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('"' | '\\' | '\'')) => out.push(c),
                Some(other) => return Err(format!("\\{other} is not known in a text")),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("a text in \" that does not end".into())
}

fn number(text: &str) -> Result<(Word, usize), String> {
    let mut length = 0;
    for (at, c) in text.char_indices() {
        let sign = matches!(c, '+' | '-') && (at == 0 || text[..at].ends_with(['e', 'E']));
        if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign) {
            break;
        }
        length = at + c.len_utf8();
    }
    let found = text[..length].replace('_', "");
    let whole = match found.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => found.parse().ok(),
    };
    match (whole, found.parse::<f64>()) {
        (Some(whole), _) => Ok((Word::Int(whole), length)),
        (None, Ok(float)) if found.contains(|c: char| c.is_ascii_digit()) => Ok((Word::Float(float), length)),
        _ => Err(format!("{found:?} is not a number")),
    }
}
