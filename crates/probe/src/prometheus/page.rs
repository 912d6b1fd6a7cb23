//! Page: the samples of a page in the text format or in OpenMetrics, and which of them a name with labels means. Pure.
//!
//! Comments, types, timestamps and exemplars are passed over: a check asks what stands there now.

use std::borrow::Cow;
use std::fmt;

use crate::outcome::excerpt;

/// Names and values of labels, taken from the page wherever they stand there as they are.
pub type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One number of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name.
    pub name: Cow<'a, str>,
    /// Its labels in the page's order.
    pub labels: Labels<'a>,
    /// The number; NaN and the infinities are allowed here.
    pub value: f64,
}

impl fmt::Display for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}}", labels.join(","))
    }
}

/// The most samples that one page may have.
pub const MAX_SAMPLES: usize = 200_000;
const MAX_LABELS: usize = 64;

/// Reads a page.
///
/// # Errors
/// The line that is none, as the end of a sentence about the page.
pub fn parse_page(bytes: &[u8]) -> Result<Vec<Sample<'_>>, String> {
    let mut samples = Vec::new();
    for line in lines(bytes) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let wrong = || format!("is no page of metrics: it says {}", excerpt(line));
        let text = std::str::from_utf8(line).map_err(|_| wrong())?;
        if samples.len() == MAX_SAMPLES {
            return Err(format!("has more than {MAX_SAMPLES} samples"));
        }
        samples.push(parse_sample(text).ok_or_else(wrong)?);
    }
    Ok(samples)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr::memchr_iter(b'\n', bytes)
        .chain([bytes.len()])
        .map(move |end| &bytes[std::mem::replace(&mut begin, end + 1)..end])
}

fn parse_sample(line: &str) -> Option<Sample<'_>> {
    let (name, labels, rest) = parse_name(line)?;
    let mut words = rest.split_ascii_whitespace();
    let value = parse_value(words.next()?)?;
    // A timestamp may follow, and in OpenMetrics an exemplar.
    match words.next() {
        None => {}
        Some(stamp) if stamp.parse::<f64>().is_ok() || stamp == "#" => {}
        Some(_) => return None,
    }
    Some(Sample { name, labels, value })
}

fn parse_value(word: &str) -> Option<f64> {
    match word {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        number if number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE_".contains(&byte)) => number.parse().ok(),
        _ => None,
    }
}

type Named<'a> = (Cow<'a, str>, Labels<'a>, &'a str);

/// A name, its labels, and what comes after. The name may stand quoted inside the braces.
fn parse_name(text: &str) -> Option<Named<'_>> {
    let end = text.bytes().position(|byte| byte == b'{' || byte.is_ascii_whitespace()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut name = Cow::Borrowed(name);
    if !name.is_empty() && !is_name(&name) {
        return None;
    }
    let mut labels = Vec::new();
    let mut rest = rest.trim_ascii_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_ascii_start();
        while !rest.starts_with('}') {
            if labels.len() == MAX_LABELS {
                return None;
            }
            if rest.starts_with('"') {
                let (word, after) = quoted(rest)?;
                let after = after.trim_ascii_start();
                if let Some(after) = after.strip_prefix('=') {
                    let (value, after) = quoted(after.trim_ascii_start())?;
                    labels.push((word, value));
                    rest = after;
                } else if name.is_empty() {
                    (name, rest) = (word, after);
                } else {
                    return None;
                }
            } else {
                let (label, after) = rest.split_once('=')?;
                let (value, after) = quoted(after.trim_ascii_start())?;
                labels.push((Cow::Borrowed(label.trim()), value));
                rest = after;
            }
            rest = rest.trim_ascii_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_ascii_start();
        }
        rest = &rest[1..];
    }
    (!name.is_empty() && labels.iter().all(|(label, _)| !label.is_empty())).then_some((name, labels, rest))
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A text in quotes, and what comes after.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let end = memchr::memchr2(b'"', b'\\', text.as_bytes())?;
    if text.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = text[..end].to_owned();
    let mut chars = text[end..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &text[end + at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// Which samples are meant: by name, and by the labels that are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: String,
    labels: Vec<(String, String)>,
}

impl Selector {
    /// Whether the sample is one of them.
    pub fn fits(&self, sample: &Sample<'_>) -> bool {
        let has = |(name, value): &(String, String)| sample.labels.iter().any(|(n, v)| n == name && v == value);
        self.name == sample.name && self.labels.iter().all(has)
    }
}

/// Reads `queue_depth` or `queue_depth{queue="mail"}`.
///
/// # Errors
/// A sentence that names the text.
pub fn parse_selector(bytes: &[u8]) -> Result<Selector, String> {
    let wrong = || format!("{} is no sample; write for example queue_depth{{queue=\"mail\"}}", excerpt(bytes));
    let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    match parse_name(text.trim()) {
        Some((name, labels, rest)) if rest.trim().is_empty() => {
            Ok(Selector { name: name.into_owned(), labels: owned(labels) })
        }
        _ => Err(wrong()),
    }
}

/// The labels of `name{label="value"}`, and nothing behind them.
pub(crate) fn labels_of(text: &str) -> Option<Vec<(String, String)>> {
    parse_name(text).filter(|(_, _, rest)| rest.is_empty()).map(|(_, labels, _)| owned(labels))
}

fn owned(labels: Labels<'_>) -> Vec<(String, String)> {
    labels.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_text_formats_are_read() {
        let page = "# HELP a A \"b\"\n# TYPE a counter\na_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 1.5e3 1700000000000\n\
            b -Inf\n\nc{} NaN\na_bucket{le=\"0.1\"} 5 # {trace_id=\"x\"} 0.05 1700000000.1\n{\"d.e\",f=\"g\"} 7\n# EOF\n";
        let samples = parse_page(page.as_bytes()).unwrap();
        let shown: Vec<String> = samples.iter().map(|sample| format!("{sample} {}", sample.value)).collect();
        assert_eq!(
            shown,
            [
                "a_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 1500",
                "b -inf",
                "c NaN",
                "a_bucket{le=\"0.1\"} 5",
                "d.e{f=\"g\"} 7"
            ]
        );
        for wrong in ["<html>", "a", "a b", "a{x=1} 2", "a{x=\"1\" 2", "1a 2", "a 1 x", "a 0x10", "{x=\"1\"} 2"] {
            assert!(parse_page(wrong.as_bytes()).unwrap_err().contains("no page of metrics"), "{wrong}");
        }
    }

    #[test]
    fn a_selector_means_what_has_its_labels() {
        let sample =
            Sample { name: "a".into(), labels: vec![("x".into(), "1".into()), ("y".into(), "2".into())], value: 0.0 };
        for (text, fits) in
            [("a", true), ("a{x=\"1\"}", true), ("a{x=\"2\"}", false), ("a{z=\"1\"}", false), ("b", false)]
        {
            assert_eq!(parse_selector(text.as_bytes()).unwrap().fits(&sample), fits, "{text}");
        }
        assert!(parse_selector(b"a{x} 1").is_err());
    }

    proptest! {
        #[test]
        fn no_page_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[a-c{}\",=\\\\ #\n0-9.]{0,80}") {
            let _ = (parse_page(&bytes), parse_page(text.as_bytes()));
            let _ = (parse_selector(&bytes), parse_selector(text.as_bytes()));
        }

        #[test]
        fn what_is_shown_is_read_again(name in "[a-z_:]{1,9}", label in "[a-z]{1,5}", text in "[ -~äö\n]{0,20}", value in -1e9f64..1e9) {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let page = format!("{name}{{{label}=\"{quoted}\"}} {value}\n");
            let expected = Sample { name: name.into(), labels: vec![(label.into(), text.into())], value };
            prop_assert_eq!(parse_page(page.as_bytes()), Ok(vec![expected]));
        }
    }
}
