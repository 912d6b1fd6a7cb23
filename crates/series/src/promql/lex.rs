//! From text to tokens, each with its place. Knows words and signs, and nothing of what they mean together.

use super::ast::Span;
use super::error::ParseError;

/// One token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A word: a name, a keyword, a function. Keywords are told apart by the parser, since most are names too.
    Word(String),
    /// A number; its text is needed to print it again.
    Number(f64),
    /// `5m`, in milliseconds.
    Duration(i64),
    /// What a quoted string holds. Escapes can make bytes that are no text.
    Text(Vec<u8>),
    /// A sign of one or two characters.
    Sign(&'static str),
    /// After the last one.
    End,
}

/// Longest first, so that `==` is not two `=`.
const SIGNS: [&str; 28] = [
    "==", "!=", "<=", ">=", "=~", "!~", "</", ">/", "+", "-", "*", "/", "%", "^", "<", ">", "=", "@", "(", ")", "{",
    "}", "[", "]", ",", ":", "!", ";",
];

/// Splits a query into tokens; the last one is always [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { text, at: 0, in_brackets: false };
    let mut found = Vec::new();
    loop {
        let token = lexer.next()?;
        let end = token.kind == TokenKind::End;
        found.push(token);
        if end {
            return Ok(found);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Inside `[…]` a colon separates range and step, so it is no part of a word there.
    in_brackets: bool,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        self.skip_blanks();
        let start = self.at;
        let kind = self.kind()?;
        Ok(Token { kind, span: Span { start, end: self.at } })
    }

    fn kind(&mut self) -> Result<TokenKind, ParseError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(TokenKind::End) };
        let second_is_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        if first.is_ascii_digit() || (first == '.' && second_is_digit) {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' || (first == ':' && !self.in_brackets) {
            return Ok(self.word());
        }
        if matches!(first, '"' | '\'' | '`') {
            return self.quoted(first);
        }
        let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
            return Err(ParseError::at(self.at, format!("unexpected character: {first:?}")));
        };
        self.in_brackets = match *sign {
            "[" => true,
            "]" => false,
            _ => self.in_brackets,
        };
        self.at += sign.len();
        Ok(TokenKind::Sign(sign))
    }

    fn word(&mut self) -> TokenKind {
        let colons = !self.in_brackets;
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == ':' && colons);
        let length = self.rest().find(|c| !part(c)).unwrap_or(self.rest().len());
        let word = self.rest()[..length].to_owned();
        self.at += length;
        TokenKind::Word(word)
    }

    /// A number or a duration: both begin with a digit.
    fn number(&mut self) -> Result<TokenKind, ParseError> {
        let rest = self.rest();
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let mut length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        // `1e-5`: the sign belongs to the exponent.
        let signed = |l: usize| rest[..l].ends_with(['e', 'E']) && rest[l..].starts_with(['+', '-']);
        if !hex && signed(length) && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            let digits = &rest[length + 1..];
            length += 1 + digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        }
        let text = &rest[..length];
        let kind = if let Some(value) = parse_number(text) {
            TokenKind::Number(value)
        } else if let Some(ms) = parse_duration(text) {
            TokenKind::Duration(ms)
        } else {
            return Err(ParseError::at(self.at, format!("bad number or duration syntax: {text:?}")));
        };
        self.at += length;
        Ok(kind)
    }

    fn quoted(&mut self, quote: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        let body = &self.text[start + 1..];
        if quote == '`' {
            let Some(length) = body.find('`') else { return Err(ParseError::at(start, "unterminated raw string")) };
            self.at += length + 2;
            return Ok(TokenKind::Text(body.as_bytes()[..length].to_vec()));
        }
        let mut bytes = Vec::new();
        let mut characters = body.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '\n' => break,
                '\\' => {
                    let (value, length) = escape(&body[at + 1..])
                        .ok_or_else(|| ParseError::at(start + 1 + at, "unknown escape sequence in a string"))?;
                    bytes.extend(value);
                    for _ in body[at + 1..at + 1 + length].chars() {
                        characters.next();
                    }
                }
                c if c == quote => {
                    self.at = start + 1 + at + c.len_utf8();
                    return Ok(TokenKind::Text(bytes));
                }
                c => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(ParseError::at(start, "unterminated quoted string"))
    }
}

/// What an escape (without its backslash) stands for, and its length in bytes.
fn escape(text: &str) -> Option<(Vec<u8>, usize)> {
    let first = text.chars().next()?;
    let simple = |byte: u8| Some((vec![byte], 1));
    let number = |skip: usize, digits: usize, radix: u32| {
        let digits = text.get(skip..skip + digits)?;
        digits.chars().all(|c| c.is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok())?
    };
    let character = |digits: usize| {
        let c = char::from_u32(number(1, digits, 16)?)?;
        Some((c.to_string().into_bytes(), 1 + digits))
    };
    match first {
        'a' => simple(7),
        'b' => simple(8),
        'f' => simple(12),
        'n' => simple(b'\n'),
        'r' => simple(b'\r'),
        't' => simple(b'\t'),
        'v' => simple(11),
        '\\' | '"' | '\'' => simple(u8::try_from(first).ok()?),
        'x' => Some((vec![u8::try_from(number(1, 2, 16)?).ok()?], 3)),
        '0'..='7' => Some((vec![u8::try_from(number(0, 3, 8)?).ok()?], 3)),
        'u' => character(4),
        'U' => character(8),
        _ => None,
    }
}

/// A number as PromQL writes it: decimal, hexadecimal, `Inf`, `NaN`.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok().map(|n| n as f64);
    }
    match text.to_ascii_lowercase().trim_start_matches('+') {
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        plain if plain.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-')) => plain.parse().ok(),
        _ => None,
    }
}

/// `1h30m` in milliseconds: units from large to small, each once.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut next_unit) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let amount: i64 = rest[..digits].parse().ok()?;
        let letters = &rest[digits..];
        let length = letters.find(|c: char| c.is_ascii_digit()).unwrap_or(letters.len());
        let unit = UNITS.iter().position(|(name, _)| *name == &letters[..length])?;
        if unit < next_unit {
            return None;
        }
        next_unit = unit + 1;
        total = total.checked_add(amount.checked_mul(UNITS[unit].1)?)?;
        rest = &letters[length..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        let table = [
            ("5m", Some(300_000), "one unit"),
            ("1h30m", Some(5_400_000), "two units"),
            ("100ms", Some(100), "the longest unit name"),
            ("1y", Some(31_536_000_000), "a year has 365 days"),
            ("30m1h", None, "small before large"),
            ("5mm", None, "not a unit"),
            ("5", None, "no unit"),
            ("99999999999y", None, "too long for the clock"),
        ];
        for (text, expected, why) in table {
            assert_eq!(parse_duration(text), expected, "{why}");
        }
    }

    #[test]
    fn strings_hold_what_their_escapes_stand_for() {
        let table: [(&str, &[u8]); 5] = [
            (r#""a\tb\"c""#, b"a\tb\"c"),
            (r"'\x41\101\u00e9'", "AAé".as_bytes()),
            (r"`raw\n`", br"raw\n"),
            (r#""\xff""#, b"\xff"),
            ("'é'", "é".as_bytes()),
        ];
        for (text, expected) in table {
            assert_eq!(tokens(text).unwrap()[0].kind, TokenKind::Text(expected.to_vec()), "{text}");
        }
        for bad in ["\"open", "'a\nb'", "`open", r#""\q""#] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signs_and_numbers_stand_where_they_are() {
        let found = tokens("a:b[5m:1m] >/ 1e-3 # end").unwrap();
        let kinds: Vec<String> = found.iter().map(|t| format!("{:?}@{}", t.kind, t.span.start)).collect();
        let expected = [
            "Word(\"a:b\")@0",
            "Sign(\"[\")@3",
            "Duration(300000)@4",
            "Sign(\":\")@6",
            "Duration(60000)@7",
            "Sign(\"]\")@9",
            "Sign(\">/\")@11",
            "Number(0.001)@14",
            "End@24",
        ];
        assert_eq!(kinds, expected);
    }
}
