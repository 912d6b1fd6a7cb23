//! Reply: three digits and text, over one line or several, as SMTP and FTP answer. Pure.

use crate::dialog::{Parsed, parse_line};
use crate::outcome::excerpt;

/// One whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 100 to 599: the first digit says whether it went well.
    pub code: u16,
    /// The text of each line, without the code. Never empty.
    pub lines: Vec<String>,
}

impl Reply {
    /// True for 2yz: done.
    pub fn is_done(&self) -> bool {
        self.code / 100 == 2
    }

    /// The code and the first line, for a sentence.
    pub fn shown(&self) -> String {
        excerpt(format!("{} {}", self.code, self.lines[0]).as_bytes())
    }
}

const MAX_LINES: usize = 100;

/// Reads one reply: lines `250-text` and a last one `250 text`.
///
/// # Errors
/// When a line is none of a reply, as the end of a sentence about the peer.
pub fn parse_reply(bytes: &[u8]) -> Parsed<Reply> {
    // A peer that speaks first in another way is told at once, and not after its first line break.
    if bytes.iter().take(3).any(|byte| !byte.is_ascii_digit()) {
        return Err(format!("does not begin its answer with three digits: it said {}", excerpt(bytes)));
    }
    let mut lines = Vec::new();
    let mut first = None;
    let mut at = 0;
    while let Some((line, length)) = parse_line(&bytes[at..])? {
        at += length;
        let text = String::from_utf8_lossy(&line).into_owned();
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|code| (100..600).contains(code));
        let code = match (code, first) {
            (Some(code), _) => code,
            (None, Some(first)) => first, // FTP lets the lines between be any text (RFC 959, section 4.2).
            (None, None) => return Err(format!("gives no code that an answer can have: {}", excerpt(&line))),
        };
        let goes_on = text.as_bytes().get(3) == Some(&b'-') || first.is_some_and(|first| first != code);
        let between = first.is_some() && !text.starts_with(|c: char| c.is_ascii_digit());
        lines.push(text.get(4..).filter(|_| !between).unwrap_or(if between { &text } else { "" }).to_owned());
        let first = *first.get_or_insert(code);
        if lines.len() > MAX_LINES {
            return Err(format!("answers with more than {MAX_LINES} lines"));
        }
        if !goes_on && !between {
            return Ok(Some((Reply { code: first, lines }, at)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replies_of_one_line_and_of_several_are_read() {
        for (bytes, code, lines) in [
            ("220 mail ready\r\n", 220, vec!["mail ready"]),
            ("250-mail\r\n250-SIZE 5\r\n250 STARTTLS\r\nrest", 250, vec!["mail", "SIZE 5", "STARTTLS"]),
            ("230-Welcome\r\n to this place\r\n230 in\r\n", 230, vec!["Welcome", " to this place", "in"]),
            ("221\r\n", 221, vec![""]),
        ] {
            let (reply, _) = parse_reply(bytes.as_bytes()).unwrap().unwrap();
            assert_eq!((reply.code, reply.lines), (code, lines.into_iter().map(str::to_owned).collect()), "{bytes}");
        }
        assert_eq!(parse_reply(b"250-half\r\n"), Ok(None));
        assert_eq!(parse_reply(b"22"), Ok(None));
        for wrong in ["SSH-2.0-x\r\n", "999 what\r\n", "HTTP/1.1", "\0\0\0"] {
            assert!(parse_reply(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_reply_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "([0-9]{0,4}[- ]?\\PC{0,9}\r\n){0,5}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(Some((reply, length))) = parse_reply(bytes) {
                    prop_assert!(length <= bytes.len() && !reply.lines.is_empty());
                    let _ = reply.shown();
                }
            }
        }
    }
}
