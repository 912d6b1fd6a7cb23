//! Syslog: messages of RFC 5424 and RFC 3164, and both ways in which TCP parts them. Borrows from what it reads.

use std::borrow::Cow;

use jiff::Timestamp;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// 0 to 23: what kind of program speaks (3 is a daemon, 4 is security).
    pub facility: u8,
    /// 0 (emergency) to 7 (debug).
    pub severity: u8,
    /// When it was written, as far as it says.
    pub time: Time,
    /// The host that it names.
    pub host: Option<&'a str>,
    /// The program (APP-NAME, TAG).
    pub program: Option<&'a str>,
    /// The process (PROCID).
    pub process: Option<&'a str>,
    /// The kind of message (MSGID).
    pub id: Option<&'a str>,
    /// Structured data, in their order.
    pub elements: Vec<Element<'a>>,
    /// What it says, without a byte order mark.
    pub text: &'a str,
}

/// When a message was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// It does not say.
    None,
    /// The moment.
    At(Timestamp),
    /// Month, day, hour, minute and second, without a year and without a zone (RFC 3164).
    Local([u8; 5]),
}

/// One element of structured data: `[id name="value"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its name, for example `exampleSDID@32473`.
    pub id: &'a str,
    /// Its parameters.
    pub params: Vec<(&'a str, Cow<'a, str>)>,
}

const MAX_ELEMENTS: usize = 100;

/// Reads one message. One without a priority is from a user, of the severity notice, as RFC 3164 wants it.
///
/// # Errors
/// When it is empty, or its priority cannot be one.
pub fn parse_message(text: &str) -> Result<Message<'_>, String> {
    let text = text.trim_end_matches(['\n', '\r', '\0']);
    if text.is_empty() {
        return Err("the message is empty".to_owned());
    }
    const USER_NOTICE: u8 = 13;
    let (priority, rest) = match text.strip_prefix('<') {
        None => (USER_NOTICE, text),
        Some(after) => {
            let (digits, rest) = after.split_once('>').ok_or("the priority has no end")?;
            let is_number = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse::<u8>().ok().filter(|number| is_number && *number <= 191);
            (number.ok_or_else(|| format!("{digits:?} is no priority; they go from 0 to 191"))?, rest)
        }
    };
    let empty = Message {
        facility: priority >> 3,
        severity: priority & 7,
        time: Time::None,
        host: None,
        program: None,
        process: None,
        id: None,
        elements: Vec::new(),
        text: rest,
    };
    match rest.strip_prefix("1 ") {
        Some(after) => Ok(new_style(after, &empty).unwrap_or(empty)),
        None => Ok(old_style(rest, empty)),
    }
}

/// RFC 5424. `None` when it breaks the rules; then all of it is text.
fn new_style<'a>(text: &'a str, empty: &Message<'a>) -> Option<Message<'a>> {
    let mut rest = text;
    let mut field = || {
        let (field, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        if field.is_empty() { None } else { Some((field != "-").then_some(field)) }
    };
    let (time, host, program, process, id) = (field()?, field()?, field()?, field()?, field()?);
    let time = match time {
        None => Time::None,
        Some(time) => Time::At(time.parse().ok()?),
    };
    let (elements, rest) = structured(rest)?;
    let text = rest.strip_prefix(' ').unwrap_or(rest);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Some(Message { time, host, program, process, id, elements, text, ..empty.clone() })
}

fn structured(text: &str) -> Option<(Vec<Element<'_>>, &str)> {
    if text.is_empty() {
        return Some((Vec::new(), ""));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return Some((Vec::new(), rest));
    }
    let mut elements = Vec::new();
    let mut rest = text;
    while let Some(after) = rest.strip_prefix('[') {
        let end = after.find([' ', ']'])?;
        let (id, mut inside) = after.split_at(end);
        let mut params = Vec::new();
        while let Some(after) = inside.strip_prefix(' ') {
            let (name, after) = after.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            params.push((name, value));
            inside = after;
        }
        rest = inside.strip_prefix(']')?;
        elements.push(Element { id, params });
        if elements.len() > MAX_ELEMENTS {
            return None;
        }
    }
    (!elements.is_empty()).then_some((elements, rest))
}

/// A value up to its quote; `\"`, `\\` and `\]` stand for what follows the backslash.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = Cow::Borrowed("");
    let mut from = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => {
                value += &text[from..at];
                return Some((value, &text[at + 1..]));
            }
            b'\\' if matches!(bytes.get(at + 1), Some(b'"' | b'\\' | b']')) => {
                value += &text[from..at];
                from = at + 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// RFC 3164 and what people make of it: every part may be missing.
fn old_style<'a>(text: &'a str, empty: Message<'a>) -> Message<'a> {
    let Some((time, rest)) = old_time(text) else {
        // Without a time there is no host either; a tag is still likely.
        let (program, process, text) = tag(text);
        return Message { program, process, text, ..empty };
    };
    // A host is one word without a colon at its end: that would be the tag of a message without a host.
    let (host, rest) = match rest.split_once(' ') {
        Some((word, after)) if !word.ends_with(':') && !word.ends_with(']') && !word.is_empty() => (Some(word), after),
        _ => (None, rest),
    };
    let (program, process, text) = tag(rest);
    Message { time, host, program, process, text, ..empty }
}

fn old_time(text: &str) -> Option<(Time, &str)> {
    // Many senders write the newer time into the older format.
    if text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        let (word, rest) = text.split_once(' ')?;
        return Some((Time::At(word.parse().ok()?), rest));
    }
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let head = text.get(..15)?;
    let bytes = head.as_bytes();
    let month = MONTHS.iter().position(|month| head.starts_with(month))? + 1;
    let number = |at: usize| match (bytes[at], bytes[at + 1]) {
        (b' ', ones) if ones.is_ascii_digit() => Some(ones - b'0'),
        (tens, ones) if tens.is_ascii_digit() && ones.is_ascii_digit() => Some((tens - b'0') * 10 + ones - b'0'),
        _ => None,
    };
    let marks = bytes[3] == b' ' && bytes[6] == b' ' && bytes[9] == b':' && bytes[12] == b':';
    let (day, hour, minute, second) = (number(4)?, number(7)?, number(10)?, number(13)?);
    let fits = marks && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    let rest = text[15..].strip_prefix(' ').filter(|_| fits)?;
    Some((Time::Local([u8::try_from(month).ok()?, day, hour, minute, second]), rest))
}

/// `program[123]: text` or `program: text`; otherwise all is text.
fn tag(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-/@+".contains(c))).unwrap_or(text.len());
    let (program, rest) = text.split_at(end);
    if program.is_empty() || program.len() > 48 {
        return (None, None, text);
    }
    let (process, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((process, rest)) => (Some(process), rest),
        None => (None, rest),
    };
    match rest.strip_prefix(':') {
        Some(rest) => (Some(program), process, rest.strip_prefix(' ').unwrap_or(rest)),
        None => (None, None, text),
    }
}

/// Takes one message off a stream: `LENGTH MESSAGE` (octet counting, RFC 6587) or a line. Gives the message and the bytes
/// that it takes; `None` while more bytes are needed. A message begins with `<`, so the two cannot be mistaken.
///
/// # Errors
/// When a message is longer than `limit`, or the length cannot be one: the stream cannot be read on.
pub fn parse_frame(bytes: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, String> {
    const MAX_DIGITS: usize = 8;
    let too_long = || format!("a message has more than {limit} bytes");
    let digits = bytes.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits > MAX_DIGITS {
        return Err(too_long());
    }
    if digits > 0 && bytes.get(digits) == Some(&b' ') {
        let length = bytes[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
        if length > limit {
            return Err(too_long());
        }
        let begin = digits + 1;
        return Ok(bytes.get(begin..begin + length).map(|message| (message, begin + length)));
    }
    if digits == bytes.len() {
        return Ok(None);
    }
    match bytes.iter().take(limit + 1).position(|byte| matches!(byte, b'\n' | 0)) {
        Some(end) => Ok(Some((&bytes[..end], end + 1))),
        None if bytes.len() > limit => Err(too_long()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_of_the_newer_kind_are_read() {
        let text = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 8710 ID47 \
            [exampleSDID@32473 iut=\"3\" eventSource=\"a \\\"b\\\" \\] c\"][examplePriority@32473 class=\"high\"] \u{feff}An event";
        let message = parse_message(text).unwrap();
        assert_eq!((message.facility, message.severity), (20, 5));
        assert_eq!(message.time, Time::At("2003-10-11T22:14:15.003Z".parse().unwrap()));
        assert_eq!((message.host, message.program), (Some("mymachine.example.com"), Some("evntslog")));
        assert_eq!((message.process, message.id, message.text), (Some("8710"), Some("ID47"), "An event"));
        assert_eq!(message.elements.len(), 2);
        assert_eq!(message.elements[0].params[1], ("eventSource", "a \"b\" ] c".into()));
        let bare = parse_message("<0>1 - - - - - -").unwrap();
        assert_eq!((bare.time, bare.host, bare.text), (Time::None, None, ""));
    }

    #[test]
    fn messages_of_the_older_kind_are_read_as_far_as_they_go() {
        for (text, time, host, program, process, said) in [
            (
                "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
                Time::Local([10, 11, 22, 14, 15]),
                Some("mymachine"),
                Some("su"),
                None,
                "'su root' failed",
            ),
            (
                "<13>Feb  5 17:32:18 10.0.0.99 cron[12]: run",
                Time::Local([2, 5, 17, 32, 18]),
                Some("10.0.0.99"),
                Some("cron"),
                Some("12"),
                "run",
            ),
            (
                "<13>Feb  5 17:32:18 sshd[7]: no host",
                Time::Local([2, 5, 17, 32, 18]),
                None,
                Some("sshd"),
                Some("7"),
                "no host",
            ),
            ("<13>kernel: no time", Time::None, None, Some("kernel"), None, "no time"),
            ("<13>only words, no tag", Time::None, None, None, None, "only words, no tag"),
            ("no priority", Time::None, None, None, None, "no priority"),
            (
                "<13>2026-11-21T08:00:00.5+01:00 web-1 nginx: new time",
                Time::At("2026-11-21T07:00:00.5Z".parse().unwrap()),
                Some("web-1"),
                Some("nginx"),
                None,
                "new time",
            ),
            (
                "<189>45: *Mar  1 18:46:11: %SYS-5-CONFIG_I: x",
                Time::None,
                None,
                Some("45"),
                None,
                "*Mar  1 18:46:11: %SYS-5-CONFIG_I: x",
            ),
        ] {
            let message = parse_message(text).unwrap();
            assert_eq!((message.time, message.host, message.program), (time, host, program), "{text}");
            assert_eq!((message.process, message.text), (process, said), "{text}");
        }
        for wrong in ["", "\n", "<999>x", "<", "<>x", "<a>x", "<1000"] {
            assert!(parse_message(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn both_framings_are_told_apart() {
        let mut rest = b"13 <13>a\nb c d e<13>line\n5 <1>xy<1>".as_slice();
        let mut found = Vec::new();
        while let Some((message, length)) = parse_frame(rest, 100).unwrap() {
            found.push(message);
            rest = &rest[length..];
        }
        assert_eq!(found, [b"<13>a\nb c d e".as_slice(), b"<13>line", b"<1>xy"]);
        assert_eq!(rest, b"<1>");
        assert!(parse_frame(b"101 x", 100).is_err());
        assert!(parse_frame(b"999999999", 100).is_err());
        assert!(parse_frame(&[b'x'; 101], 100).is_err());
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "<[0-9]{0,4}>1? ?\\PC{0,20}[\\[\\]\" =\\\\]{0,9}\\PC{0,20}") {
            let _ = parse_frame(&bytes, 20);
            let _ = parse_message(&String::from_utf8_lossy(&bytes));
            let _ = parse_message(&text);
        }
    }
}
