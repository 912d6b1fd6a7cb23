//! Influx line protocol: `measurement,tag=value field=1.5,other=2i time`.
//!
//! A field becomes a series `measurement_field`; a field named `value` takes the measurement's name alone. Numbers and booleans are
//! samples; texts are no samples and are left out without a word, since every sender mixes them in. A wrong line is listed, the rest is taken.

use std::borrow::Cow;

use super::batch::Batch;
use super::lines::shown;
use super::{FormatError, Limits, within};
use crate::labels::NAME;

/// What the times of a body count. Senders say so in the request (`precision=ms`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// `ns` or `n`, the default of the protocol.
    #[default]
    Nanoseconds,
    /// `us` or `u`.
    Microseconds,
    /// `ms`.
    Milliseconds,
    /// `s`.
    Seconds,
}

impl Precision {
    /// From the parameter of a request.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "ns" | "n" => Self::Nanoseconds,
            "us" | "u" | "µ" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            _ => return None,
        })
    }

    fn to_ms(self, time: i64) -> Option<i64> {
        match self {
            Self::Nanoseconds => Some(time.div_euclid(1_000_000)),
            Self::Microseconds => Some(time.div_euclid(1_000)),
            Self::Milliseconds => Some(time),
            Self::Seconds => time.checked_mul(1_000),
        }
    }
}

/// Reads lines. `now_ms` (Unix milliseconds) is the time of lines without one.
///
/// # Errors
/// [`FormatError::TooLarge`]; a wrong line is none.
pub fn decode(body: &[u8], precision: Precision, now_ms: i64, limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    let mut batch = Batch::new(limits);
    let text = super::lines::utf8(body)?;
    let (mut rest, mut number) = (text, 0);
    while !rest.is_empty() {
        number += 1;
        let end = line_end(rest);
        let line = rest[..end].trim_end_matches('\r').trim_start();
        number += line.matches('\n').count();
        rest = rest.get(end + 1..).unwrap_or("");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match read(line, precision, now_ms) {
            Ok(read) => read.store(&mut batch)?,
            Err(reason) => batch.reject(number, reason),
        }
    }
    Ok(batch)
}

/// Where a line ends: a line break inside a text in quotes belongs to it.
fn line_end(text: &str) -> usize {
    // Without a quote in the line, or with none that opens a field's value, the first line break is the end.
    let (mut quoted, mut previous) = (false, b' ');
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' if quoted => quoted = false,
            b'"' if previous == b'=' => quoted = true,
            b'\n' if !quoted => return at,
            _ => {}
        }
        previous = byte;
    }
    // A quote that is never closed must not swallow the lines behind it.
    if quoted { text.find('\n').unwrap_or(text.len()) } else { text.len() }
}

struct Read<'a> {
    measurement: Cow<'a, str>,
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    fields: Vec<(Cow<'a, str>, f64)>,
    at_ms: i64,
}

impl Read<'_> {
    fn store(&self, batch: &mut Batch) -> Result<(), FormatError> {
        for (field, value) in &self.fields {
            let name = if field == "value" {
                Cow::Borrowed(self.measurement.as_ref())
            } else {
                Cow::Owned(format!("{}_{field}", self.measurement))
            };
            let mut pairs: Vec<(&str, &str)> = self.tags.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
            pairs.push((NAME, &name));
            batch.sample(&mut pairs, self.at_ms, *value)?;
        }
        Ok(())
    }
}

fn read(line: &str, precision: Precision, now_ms: i64) -> Result<Read<'_>, String> {
    let (measurement, mut rest) = piece(line, b", ");
    if measurement.is_empty() {
        return Err("no measurement".into());
    }
    let mut tags: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    while let Some(after) = rest.strip_prefix(',') {
        let (name, after) = piece(after, b"=, ");
        let Some(after) = after.strip_prefix('=') else {
            return Err(format!("the tag {:?} has no value", shown(&name)));
        };
        let (value, after) = piece(after, b", ");
        if name.is_empty() || name == NAME || tags.iter().any(|(n, _)| *n == name) {
            return Err(format!("the tag {:?} is empty, reserved or given twice", shown(&name)));
        }
        tags.push((name, value));
        rest = after;
    }
    let mut fields = Vec::new();
    rest = rest.trim_start_matches(' ');
    loop {
        let (name, after) = piece(rest, b"=, ");
        let Some(after) = after.strip_prefix('=') else { return Err("a field is expected".into()) };
        if name.is_empty() {
            return Err("a field has no name".into());
        }
        let (value, after) = field_value(after)?;
        fields.extend(value.map(|value| (name, value)));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                rest = after;
                break;
            }
        }
    }
    let time = rest.trim();
    let at_ms = match time {
        "" => now_ms,
        _ => {
            let found = time.parse().ok().and_then(|t| precision.to_ms(t));
            found.ok_or_else(|| format!("{:?} is not a time", shown(time)))?
        }
    };
    Ok(Read { measurement, tags, fields, at_ms })
}

/// A name or tag up to one of `ends`; a backslash takes the meaning from the character behind it.
fn piece<'a>(text: &'a str, ends: &[u8]) -> (Cow<'a, str>, &'a str) {
    let (mut escapes, mut at) = (false, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() && !ends.contains(&bytes[at]) {
        let escaped = bytes[at] == b'\\' && bytes.get(at + 1).is_some_and(|b| b",= \\".contains(b));
        escapes |= escaped;
        at += if escaped { 2 } else { 1 };
    }
    let (raw, rest) = text.split_at(at);
    if !escapes {
        return (raw.into(), rest);
    }
    let mut plain = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match (c, next) {
            ('\\', Some(escaped @ (',' | '=' | ' ' | '\\'))) => {
                plain.push(escaped);
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    (plain.into(), rest)
}

/// A field's value; none when it is a text.
fn field_value(text: &str) -> Result<(Option<f64>, &str), String> {
    if let Some(inside) = text.strip_prefix('"') {
        let mut escaped = false;
        for (at, byte) in inside.bytes().enumerate() {
            match byte {
                b'"' if !escaped => return Ok((None, &inside[at + 1..])),
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        return Err("a quote is not closed".into());
    }
    let end = text.bytes().position(|b| b == b',' || b == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let value = match word {
        "t" | "T" | "true" | "True" | "TRUE" => Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => Some(0.0),
        _ => match word.strip_suffix(['i', 'u']) {
            Some(whole) => whole.parse::<i128>().ok().map(|n| n as f64),
            None => word.parse().ok().filter(|_| word.as_bytes().first().is_some_and(|b| b"+-.0123456789".contains(b))),
        },
    };
    value.map(|value| (Some(value), rest)).ok_or_else(|| format!("{:?} is not a value", shown(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown_of(body: &str) -> Batch {
        decode(body.as_bytes(), Precision::Nanoseconds, 42, Limits::default()).unwrap()
    }

    #[test]
    fn every_kind_of_field_tag_and_escape_is_read() {
        let batch = shown_of(
            "weather,location=us\\ midwest,season=summer temperature=82,humid=71i,dry=F,note=\"a \\\"b\\\", c=d\" 1465839830100400200\n\
             # a comment\nmy\\,host,a\\=b=c\\\\d value=-1.5e2\ncpu value=1u,text=\"two\nlines\",load=2\n",
        );
        assert_eq!(
            batch.shown(),
            [
                ("weather_temperature{location=us midwest,season=summer}".into(), vec![(1_465_839_830_100, 82.0)]),
                ("weather_humid{location=us midwest,season=summer}".into(), vec![(1_465_839_830_100, 71.0)]),
                ("weather_dry{location=us midwest,season=summer}".into(), vec![(1_465_839_830_100, 0.0)]),
                ("my,host{a=b=c\\d}".into(), vec![(42, -150.0)]),
                ("cpu{}".into(), vec![(42, 1.0)]),
                ("cpu_load{}".into(), vec![(42, 2.0)]),
            ]
        );
        assert_eq!(batch.rejected, []);
    }

    #[test]
    fn times_count_what_the_request_says() {
        for (precision, time, expected) in
            [("ns", "-1", -1), ("us", "1500", 1), ("ms", "1500", 1_500), ("s", "15", 15_000)]
        {
            let body = format!("m value=1 {time}");
            let batch = decode(body.as_bytes(), Precision::parse(precision).unwrap(), 0, Limits::default()).unwrap();
            assert_eq!(batch.shown()[0].1[0].0, expected, "{precision}");
        }
        assert_eq!(Precision::parse("h"), None);
    }

    #[test]
    fn a_wrong_line_is_listed_and_the_next_one_is_read() {
        let wrong = [
            "m",
            "m,a value=1",
            "m,a=1,a=2 value=1",
            "m value=",
            "m value=x",
            "m value=1 x",
            "m value=\"open",
            " ,a=1 v=1",
            "m =1",
            "m v=nan",
            "m v=1i2 3",
        ];
        for line in wrong {
            let batch = shown_of(&format!("{line}\nm value=7 1000000\n"));
            assert_eq!(batch.rejected.first().map(|r| r.line), Some(1), "{line}");
            assert_eq!(batch.shown(), [("m{}".into(), vec![(1, 7.0)])], "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[a-z,= \"\\\\0-9.\ni#é-]{0,120}", bytes in any::<Vec<u8>>()) {
            let _ = shown_of(&text);
            let _ = decode(&bytes, Precision::Seconds, 0, Limits::default());
        }
    }
}
