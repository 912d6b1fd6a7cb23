//! The functions that a text may call: Go's own, and those that Prometheus adds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use regex::RegexBuilder;

use super::numbers::{go_exponent, go_fixed, go_general, humanize, humanize_duration, humanize1024};
use super::run::{Value, wrong};
use super::{Failure, Fill, Found};

/// Calls a function.
pub(super) fn call(fill: &Fill<'_>, name: &str, arguments: Vec<Value>) -> Result<Value, Failure> {
    if let Some(value) = logic(name, &arguments)? {
        return Ok(value);
    }
    if let Some(value) = texts(name, &arguments)? {
        return Ok(value);
    }
    if let Some(value) = numeric(name, &arguments)? {
        return Ok(value);
    }
    match (name, arguments.as_slice()) {
        ("query", [text]) => answer(fill, &text.shown()),
        ("now", []) => Ok(Value::Float(fill.now)),
        ("externalURL", []) => Ok(Value::Text(fill.external_url.into())),
        ("pathPrefix", []) => Ok(Value::Text(String::new())),
        // Mainstay's own short words, beside Prometheus's function of the same name.
        ("value", []) => Ok(Value::Float(fill.value)),
        ("labels", []) => Ok(super::run::map(&fill.labels)),
        ("first", [Value::List(list)]) => {
            list.first().cloned().ok_or_else(|| Failure::Wrong("first() of an answer without series".into()))
        }
        ("value", [sample]) => field(sample, "Value"),
        ("label", [name, sample]) => label(sample, &name.shown()),
        ("strvalue", [sample]) => label(sample, "__value__"),
        ("sortByLabel", [by, Value::List(list)]) => {
            let mut list = list.clone();
            list.sort_by_cached_key(|one| label(one, &by.shown()).map(|v| v.shown()).unwrap_or_default());
            Ok(Value::List(list))
        }
        ("args", values) => {
            let named = values.iter().enumerate().map(|(i, value)| (format!("arg{i}"), value.clone()));
            Ok(Value::Map(named.collect()))
        }
        (known, given) if KNOWN.contains(&known) => wrong(format!("{known} cannot take {} such values", given.len())),
        _ => {
            let close = kernel::error::near(name, KNOWN.iter().copied());
            let hint = close.first().map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            wrong(format!("there is no function {name}{hint}"))
        }
    }
}

/// All names, to tell a wrong use from a wrong name.
pub(super) const KNOWN: &[&str] = &[
    "query",
    "now",
    "externalURL",
    "pathPrefix",
    "value",
    "labels",
    "first",
    "label",
    "strvalue",
    "sortByLabel",
    "args",
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "print",
    "println",
    "printf",
    "html",
    "urlquery",
    "js",
    "safeHtml",
    "title",
    "toUpper",
    "toLower",
    "match",
    "reReplaceAll",
    "graphLink",
    "tableLink",
    "stripPort",
    "stripDomain",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toTime",
    "parseDuration",
];

fn answer(fill: &Fill<'_>, text: &str) -> Result<Value, Failure> {
    match fill.answers.get(text) {
        None => Err(Failure::Needs(text.to_owned())),
        Some(Err(reason)) => wrong(format!("query {text:?}: {reason}")),
        Some(Ok(found)) => Ok(Value::List(found.iter().map(sample).collect())),
    }
}

fn sample(found: &Found) -> Value {
    Value::Map(BTreeMap::from([
        ("Labels".into(), super::run::map(&found.labels)),
        ("Value".into(), Value::Float(found.value)),
    ]))
}

fn field(sample: &Value, name: &str) -> Result<Value, Failure> {
    match sample {
        Value::Map(map) if map.contains_key(name) => Ok(map[name].clone()),
        other => wrong(format!("{} is not a series of an answer", other.shown())),
    }
}

fn label(sample: &Value, name: &str) -> Result<Value, Failure> {
    match field(sample, "Labels")? {
        Value::Map(mut labels) => Ok(labels.remove(name).unwrap_or_else(|| Value::Text(String::new()))),
        _ => wrong("labels are missing"),
    }
}

fn number(value: &Value) -> Result<f64, Failure> {
    match value {
        Value::Int(value) => Ok(*value as f64),
        Value::Float(value) => Ok(*value),
        Value::Text(text) => series::promql::notation::number(text).map_err(Failure::Wrong),
        other => wrong(format!("{} is not a number", other.shown())),
    }
}

fn logic(name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let same = |a: &Value, b: &Value| match (a, b) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => number(a).ok() == number(b).ok(),
        _ => a == b,
    };
    let order = |a: &Value, b: &Value| match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Text(_), _) | (_, Value::Text(_)) => wrong("a text and a number have no order"),
        _ => Ok(number(a)?.partial_cmp(&number(b)?)),
    };
    use std::cmp::Ordering::{Equal, Greater, Less};
    Ok(Some(match (name, arguments) {
        // What decides has been answered before; the last one is left.
        ("and" | "or", [.., last]) => last.clone(),
        ("not", [value]) => Value::Bool(!value.is_true()),
        ("eq", [first, others @ ..]) if !others.is_empty() => Value::Bool(others.iter().any(|o| same(first, o))),
        ("ne", [a, b]) => Value::Bool(!same(a, b)),
        ("lt", [a, b]) => Value::Bool(order(a, b)? == Some(Less)),
        ("le", [a, b]) => Value::Bool(matches!(order(a, b)?, Some(Less | Equal))),
        ("gt", [a, b]) => Value::Bool(order(a, b)? == Some(Greater)),
        ("ge", [a, b]) => Value::Bool(matches!(order(a, b)?, Some(Greater | Equal))),
        ("len", [Value::Text(text)]) => Value::Int(text.len() as i64),
        ("len", [Value::List(list)]) => Value::Int(list.len() as i64),
        ("len", [Value::Map(map)]) => Value::Int(map.len() as i64),
        ("index", [of, at @ ..]) => {
            let mut value = of.clone();
            for at in at {
                value = match (value, at) {
                    (Value::Map(mut map), at) => map.remove(&at.shown()).unwrap_or_else(|| Value::Text(String::new())),
                    (Value::List(list), Value::Int(at)) => {
                        let one = usize::try_from(*at).ok().and_then(|at| list.get(at).cloned());
                        one.ok_or_else(|| Failure::Wrong(format!("index {at} is out of range")))?
                    }
                    (value, at) => return wrong(format!("{} has no {}", value.shown(), at.shown())),
                };
            }
            value
        }
        _ => return Ok(None),
    }))
}

fn texts(name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let text = |value: &Value| value.shown();
    Ok(Some(Value::Text(match (name, arguments) {
        ("print", all) => spaced(all),
        ("println", all) => all.iter().map(text).collect::<Vec<_>>().join(" ") + "\n",
        ("printf", [format, values @ ..]) => printf::printf(&text(format), values),
        ("html", all) => escaped(&spaced(all)),
        ("safeHtml", [one]) => text(one),
        ("js", all) => script_escaped(&spaced(all)),
        ("urlquery", all) => query_escaped(&spaced(all)),
        ("toUpper", [one]) => text(one).to_uppercase(),
        ("toLower", [one]) => text(one).to_lowercase(),
        ("title", [one]) => titled(&text(one)),
        ("graphLink", [one]) => format!("/graph?g0.expr={}&g0.tab=0", query_escaped(&text(one))),
        ("tableLink", [one]) => format!("/graph?g0.expr={}&g0.tab=1", query_escaped(&text(one))),
        ("stripPort", [one]) => split_port(&text(one)).map_or_else(|| text(one), |(host, _)| host),
        ("stripDomain", [one]) => strip_domain(&text(one)),
        ("reReplaceAll", [pattern, with, of]) => {
            regex(&text(pattern))?.replace_all(&text(of), text(with).as_str()).into_owned()
        }
        ("match", [pattern, of]) => return Ok(Some(Value::Bool(regex(&text(pattern))?.is_match(&text(of))))),
        _ => return Ok(None),
    })))
}

fn numeric(name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let [value] = arguments else { return Ok(None) };
    Ok(Some(Value::Text(match name {
        "humanize" => humanize(number(value)?),
        "humanize1024" => humanize1024(number(value)?),
        "humanizeDuration" => humanize_duration(number(value)?),
        "humanizePercentage" => format!("{}%", go_general(number(value)? * 100.0, 4)),
        "humanizeTimestamp" => super::numbers::moment(number(value)?),
        "toTime" => return Ok(Some(Value::Moment(number(value)?))),
        "parseDuration" => {
            let ms = series::promql::notation::duration(&value.shown()).map_err(Failure::Wrong)?;
            return Ok(Some(Value::Float(ms as f64 / 1000.0)));
        }
        _ => return Ok(None),
    })))
}

fn regex(pattern: &str) -> Result<regex::Regex, Failure> {
    RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|e| Failure::Wrong(format!("{pattern:?}: {e}")))
}

/// As Go's `Sprint`: a blank between two values when neither is a text.
fn spaced(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            out.push(' ');
        }
        out.push_str(&value.shown());
    }
    out
}

fn escaped(text: &str) -> String {
    let with = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")];
    text.chars().fold(String::new(), |mut out, c| {
        match with.iter().find(|(of, _)| *of == c) {
            Some((_, to)) => out.push_str(to),
            None => out.push(c),
        }
        out
    })
}

fn script_escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
        out
    })
}

fn query_escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
        out
    })
}

fn titled(text: &str) -> String {
    let mut before = ' ';
    let upper = |c: char| {
        let within = before.is_alphanumeric() || before == '_' || !(before.is_ascii() || before.is_whitespace());
        let begins = !within;
        before = c;
        if begins { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(upper).collect()
}

/// Host and port of `host:port`; `None` when it is not that.
fn split_port(text: &str) -> Option<(String, String)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => Some((inner.strip_suffix(']')?.to_owned(), port.to_owned())),
        None if host.contains([':', ']']) => None,
        None => Some((host.to_owned(), port.to_owned())),
    }
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_port(text).unwrap_or_else(|| (text.to_owned(), String::new()));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let short = host.split('.').next().unwrap_or_default();
    if port.is_empty() { short.to_owned() } else { format!("{short}:{port}") }
}

mod printf {
    //! `printf` with Go's verbs.

    use super::super::numbers::go_float;
    use super::{Value, go_exponent, go_fixed, go_general};

    /// Longest padding and precision that a text may ask for.
    const MOST: usize = 200;

    pub(super) fn printf(format: &str, values: &[Value]) -> String {
        let (mut out, mut rest, mut values) = (String::new(), format, values.iter());
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let flags = rest.find(|c: char| !"+-# 0".contains(c)).unwrap_or(rest.len());
            let (flags, after) = rest.split_at(flags);
            let (width, after) = digits(after);
            let (precision, after) = match after.strip_prefix('.') {
                Some(after) => {
                    let (precision, after) = digits(after);
                    (Some(precision.unwrap_or(0)), after)
                }
                None => (None, after),
            };
            let Some(verb) = after.chars().next() else {
                out.push_str("%!(NOVERB)");
                return out;
            };
            rest = &after[verb.len_utf8()..];
            if verb == '%' {
                out.push('%');
                continue;
            }
            let text = match values.next() {
                Some(value) => one(verb, flags, precision, value),
                None => format!("%!{verb}(MISSING)"),
            };
            out.push_str(&padded(&text, flags, width.unwrap_or(0)));
        }
        out.push_str(rest);
        out
    }

    fn digits(text: &str) -> (Option<usize>, &str) {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        (text[..end].parse().ok().map(|n: usize| n.min(MOST)), &text[end..])
    }

    fn padded(text: &str, flags: &str, width: usize) -> String {
        let missing = width.saturating_sub(text.chars().count());
        if missing == 0 {
            text.to_owned()
        } else if flags.contains('-') {
            format!("{text}{}", " ".repeat(missing))
        } else if flags.contains('0') {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            format!("{sign}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{text}", " ".repeat(missing))
        }
    }

    fn one(verb: char, flags: &str, precision: Option<usize>, value: &Value) -> String {
        let signed =
            |text: String| if flags.contains('+') && !text.starts_with('-') { format!("+{text}") } else { text };
        match (verb, value) {
            ('f' | 'F', Value::Float(v)) => signed(go_fixed(*v, precision.unwrap_or(6))),
            ('e', Value::Float(v)) => signed(go_exponent(*v, precision.unwrap_or(6))),
            ('g' | 'v', Value::Float(v)) => {
                signed(precision.map_or_else(|| go_float(*v), |digits| go_general(*v, digits)))
            }
            ('d' | 'v', Value::Int(v)) => signed(v.to_string()),
            ('x', Value::Int(v)) => format!("{v:x}"),
            ('s' | 'v', Value::Text(text)) => match precision {
                Some(most) => text.chars().take(most).collect(),
                None => text.clone(),
            },
            ('q', Value::Text(text)) => format!("{text:?}"),
            ('t' | 'v', Value::Bool(v)) => v.to_string(),
            ('s' | 'v', Value::Map(_) | Value::List(_) | Value::Moment(_) | Value::Nil) => value.shown(),
            (verb, value) => format!("%!{verb}({}={})", type_name(value), value.shown()),
        }
    }

    fn type_name(value: &Value) -> &'static str {
        match value {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Map(_) => "map[string]string",
            Value::List(_) => "[]*template.sample",
            Value::Moment(_) => "time.Time",
        }
    }
}
