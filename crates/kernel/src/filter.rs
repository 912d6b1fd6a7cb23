//! The filter language: one grammar for the API, the command line, the search bar, saved views and rules.
//!
//! `state:open priority:1,2 service:"Payments API" owner:none updated:>-7d -tenant:internal affects.site:LON checkout slow`
//!
//! Parsing never fails on its own: every refusal names the place and the near names. Resolution against a class turns names into
//! columns; a dotted name follows a link or goes into a group. Nothing here evaluates anything: the backend does.

use std::time::Duration;

use crate::class::ClassDef;
use crate::clock::{Time, parse_duration};
use crate::error::{ActError, near};
use crate::ids::Kind;
use crate::query::{Column, Compare, Operand, Predicate, SortKey};
use crate::registry::Registry;
use crate::shape::{Field, Word};

/// Longest filter text, in bytes.
pub const MAX_FILTER: usize = 4096;
/// Most terms in one filter.
pub const MAX_TERMS: usize = 64;

/// One term as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Where it starts, in characters.
    pub at: usize,
    /// Negated with `-`.
    pub negated: bool,
    /// Name before the colon; `None` for a bare word.
    pub name: Option<String>,
    /// Comparison written after the colon.
    pub compare: Option<Compare>,
    /// Values, in order; a quoted one is marked.
    pub values: Vec<(String, bool)>,
}

/// Splits a filter into terms.
///
/// # Errors
/// The place and the sentence, for an open quote, an empty name or value, or too much text.
pub fn parse(text: &str) -> Result<Vec<Term>, ActError> {
    let wrong = |at: usize, message: &str| ActError::Filter { at, message: message.into(), near: Vec::new() };
    if text.len() > MAX_FILTER {
        return Err(wrong(0, "the filter is longer than 4096 bytes"));
    }
    let chars: Vec<char> = text.chars().collect();
    let mut terms = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        if chars[i].is_whitespace() {
            i += 1;
            continue;
        }
        let at = i;
        let negated = chars[i] == '-' && chars.get(i + 1).is_some_and(|c| !c.is_whitespace());
        if negated {
            i += 1;
        }
        let start = i;
        while i < chars.len() && (chars[i].is_ascii_alphanumeric() || matches!(chars[i], '_' | '-' | '.')) {
            i += 1;
        }
        let named = chars.get(i) == Some(&':') && i > start && chars.get(i + 1).is_some_and(|c| !c.is_whitespace());
        let mut term = Term { at, negated, name: None, compare: None, values: Vec::new() };
        if named {
            term.name = Some(chars[start..i].iter().collect());
            i += 1;
            (term.compare, i) = comparison(&chars, i);
            loop {
                let (value, quoted, next) = value(&chars, i).map_err(|m| wrong(i, m))?;
                term.values.push((value, quoted));
                i = next;
                if chars.get(i) == Some(&',') {
                    i += 1;
                } else {
                    break;
                }
            }
        } else {
            i = start;
            let (word, quoted, next) = value(&chars, i).map_err(|m| wrong(i, m))?;
            term.values.push((word, quoted));
            i = next.max(i + 1);
        }
        terms.push(term);
        if terms.len() > MAX_TERMS {
            return Err(wrong(at, "the filter has more than 64 terms"));
        }
    }
    Ok(terms)
}

fn comparison(chars: &[char], i: usize) -> (Option<Compare>, usize) {
    match (chars.get(i), chars.get(i + 1)) {
        (Some('>'), Some('=')) => (Some(Compare::Ge), i + 2),
        (Some('<'), Some('=')) => (Some(Compare::Le), i + 2),
        (Some('>'), _) => (Some(Compare::Gt), i + 1),
        (Some('<'), _) => (Some(Compare::Lt), i + 1),
        _ => (None, i),
    }
}

/// One value: quoted, or up to white space or a comma.
fn value(chars: &[char], start: usize) -> Result<(String, bool, usize), &'static str> {
    if chars.get(start) == Some(&'"') {
        let mut text = String::new();
        let mut i = start + 1;
        loop {
            match chars.get(i) {
                None => return Err("a quote is opened here and not closed"),
                Some('"') => return Ok((text, true, i + 1)),
                Some('\\') if matches!(chars.get(i + 1), Some('"' | '\\')) => {
                    text.push(chars[i + 1]);
                    i += 2;
                }
                Some(c) => {
                    text.push(*c);
                    i += 1;
                }
            }
        }
    }
    let mut i = start;
    while i < chars.len() && !chars[i].is_whitespace() && chars[i] != ',' {
        i += 1;
    }
    if i == start {
        return Err("a value is missing here");
    }
    Ok((chars[start..i].iter().collect(), false, i))
}

/// Compiles a filter for records of `class`. `now` is what relative times are relative to.
///
/// # Errors
/// [`ActError::Filter`], naming the place and the near names.
pub fn compile(text: &str, class: &ClassDef, registry: &Registry, now: Time) -> Result<Predicate, ActError> {
    let mut all = Predicate::All;
    for term in parse(text)? {
        let predicate = term_predicate(&term, class, registry, now)?;
        all = all.and(if term.negated { Predicate::Not(Box::new(predicate)) } else { predicate });
    }
    Ok(all)
}

fn term_predicate(term: &Term, class: &ClassDef, registry: &Registry, now: Time) -> Result<Predicate, ActError> {
    let Some(name) = &term.name else {
        let words = term.values.iter().flat_map(|(v, _)| words_of(v)).collect::<Vec<_>>();
        return Ok(if words.is_empty() { Predicate::All } else { Predicate::Words(words) });
    };
    named(term, name, class, registry, now, 0)
}

fn named(
    term: &Term,
    name: &str,
    class: &ClassDef,
    registry: &Registry,
    now: Time,
    depth: usize,
) -> Result<Predicate, ActError> {
    if depth > 4 {
        return Err(ActError::Filter {
            at: term.at,
            message: "a name follows more than four links".into(),
            near: Vec::new(),
        });
    }
    if let Some(column) = column_of(name, class) {
        return column_predicate(term, column, class, now);
    }
    let (first, rest) = name.split_once('.').map_or((name, None), |(a, b)| (a, Some(b)));
    let first_kebab = first.replace('_', "-");
    if let Some(link) = class.links.iter().find(|l| l.name == first_kebab) {
        let kinds: Vec<Kind> = link.to.iter().map(|k| Kind::new(k)).collect();
        let inner = other_end(term, rest, &kinds, registry, now, depth)?;
        return Ok(linked(term, Some(link.name.clone()), true, kinds, inner));
    }
    for source in registry.classes() {
        let back = source
            .links
            .iter()
            .find(|l| l.reverse == first_kebab && (l.to.is_empty() || l.to.iter().any(|t| t == class.name.as_str())));
        if let Some(link) = back {
            let kinds = registry.sources_of_reverse(&first_kebab, &class.name);
            let inner = other_end(term, rest, &kinds, registry, now, depth)?;
            return Ok(linked(term, Some(link.name.clone()), false, kinds, inner));
        }
    }
    if let Some(other) = registry.class(first) {
        let kinds = vec![other.name.clone()];
        let inner = other_end(term, rest, &kinds, registry, now, depth)?;
        let out = linked(term, None, true, kinds.clone(), inner.clone());
        return Ok(Predicate::Or(vec![out, linked(term, None, false, kinds, inner)]));
    }
    let names = names_of(class);
    Err(ActError::Filter {
        at: term.at,
        message: format!("{} has no field or link \"{name}\"", class.name),
        near: near(name, names.iter().map(String::as_str)),
    })
}

fn linked(term: &Term, name: Option<String>, out: bool, kinds: Vec<Kind>, inner: Predicate) -> Predicate {
    let any = Predicate::Linked { name, out, kinds, inner: Box::new(inner) };
    let wants_none = term.values.len() == 1
        && term.values[0] == ("none".to_owned(), false)
        && !term.name.as_deref().unwrap_or_default().contains('.');
    if wants_none { Predicate::Not(Box::new(any)) } else { any }
}

/// What the other end of a link must match: its key or title, or by a further name.
fn other_end(
    term: &Term,
    rest: Option<&str>,
    kinds: &[Kind],
    registry: &Registry,
    now: Time,
    depth: usize,
) -> Result<Predicate, ActError> {
    let Some(rest) = rest else {
        if term.values.iter().all(|(v, quoted)| !quoted && (v == "none" || v == "any")) {
            return Ok(Predicate::All);
        }
        let texts: Vec<Operand> = term.values.iter().map(|(v, _)| Operand::Text(v.clone())).collect();
        return Ok(Predicate::Or(vec![Predicate::In(Column::Key, texts.clone()), Predicate::In(Column::Title, texts)]));
    };
    let mut alternatives = Vec::new();
    let mut last = None;
    let targets: Vec<_> = if kinds.is_empty() {
        registry.classes()
    } else {
        kinds.iter().filter_map(|k| registry.class(k.as_str())).collect()
    };
    for target in targets {
        match named(term, rest, &target, registry, now, depth + 1) {
            Ok(p) if !alternatives.contains(&p) => alternatives.push(p),
            Ok(_) => {}
            Err(e) => last = Some(e),
        }
    }
    match (alternatives.len(), last) {
        (0, Some(error)) => Err(error),
        (0, None) => Ok(Predicate::All),
        (1, _) => Ok(alternatives.remove(0)),
        _ => Ok(Predicate::Or(alternatives)),
    }
}

/// The column of that name, if the class has it.
pub fn column_of(name: &str, class: &ClassDef) -> Option<Column> {
    Some(match name {
        "key" => Column::Key,
        "state" => Column::State,
        "open" => Column::Open,
        "title" if class.field("title").is_none_or(|f| f.word == Word::Text) => Column::Title,
        "owner" => Column::Owner,
        "health" => Column::Health,
        "version" => Column::Version,
        "created" => Column::Created,
        "updated" => Column::Updated,
        "state_since" => Column::StateSince,
        _ => {
            let field = field_at(&class.fields, name)?;
            Column::Field { path: name.to_owned(), word: field.word, indexed: field.indexed }
        }
    })
}

fn field_at<'a>(fields: &'a [Field], path: &str) -> Option<&'a Field> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let field = fields.iter().find(|f| f.name == first)?;
    match rest {
        None => Some(field),
        Some(rest) if field.word == Word::Group => field_at(&field.fields, rest),
        Some(_) => None,
    }
}

/// All names that a filter on the class can use.
pub fn names_of(class: &ClassDef) -> Vec<String> {
    let own = ["key", "state", "open", "title", "owner", "health", "version", "created", "updated", "state_since"];
    own.iter()
        .map(|s| (*s).to_owned())
        .chain(class.fields.iter().map(|f| f.name.clone()))
        .chain(class.links.iter().map(|l| l.name.clone()))
        .collect()
}

fn column_predicate(term: &Term, column: Column, class: &ClassDef, now: Time) -> Result<Predicate, ActError> {
    let refuse = |message: String, near: Vec<String>| ActError::Filter { at: term.at, message, near };
    if let Some(compare) = term.compare {
        let [(value, _)] = term.values.as_slice() else {
            return Err(refuse("a comparison takes one value".into(), Vec::new()));
        };
        let operand = operand(value, &column, now).map_err(|m| refuse(m, Vec::new()))?;
        return Ok(Predicate::Cmp(column, compare, operand));
    }
    let mut any = Vec::new();
    let mut exact = Vec::new();
    for (value, quoted) in &term.values {
        match value.as_str() {
            "none" if !quoted => any.push(Predicate::Not(Box::new(Predicate::Present(column.clone())))),
            "any" if !quoted => any.push(Predicate::Present(column.clone())),
            "open" if column == Column::State => any.push(Predicate::In(Column::Open, vec![Operand::Bool(true)])),
            "closed" if column == Column::State && !class.states.iter().any(|s| s.name == "closed") => {
                any.push(Predicate::In(Column::Open, vec![Operand::Bool(false)]))
            }
            text if !quoted && text.contains('*') => any.push(Predicate::Like(column.clone(), text.to_owned())),
            text => {
                let text = known_value(text, &column, class).map_err(|(m, n)| refuse(m, n))?;
                exact.push(operand(&text, &column, now).map_err(|m| refuse(m, Vec::new()))?);
            }
        }
    }
    if !exact.is_empty() {
        let list = matches!(column, Column::Field { word: Word::List, .. });
        any.push(if list { Predicate::Contains(column, exact) } else { Predicate::In(column, exact) });
    }
    Ok(if any.len() == 1 { any.remove(0) } else { Predicate::Or(any) })
}

/// For states, health and enums the value must exist; its case does not matter.
fn known_value(text: &str, column: &Column, class: &ClassDef) -> Result<String, (String, Vec<String>)> {
    let health = ["up", "degraded", "down", "unknown", "maintenance"].map(str::to_owned);
    let known: Vec<String> = match column {
        Column::State => class.states.iter().map(|s| s.name.clone()).collect(),
        Column::Health => health.to_vec(),
        Column::Field { path, word: Word::Enum, .. } => {
            field_at(&class.fields, path).map(|f| f.values.clone()).unwrap_or_default()
        }
        _ => return Ok(text.to_owned()),
    };
    known.iter().find(|k| k.eq_ignore_ascii_case(text)).cloned().ok_or_else(|| {
        let close = near(text, known.iter().map(String::as_str));
        let offered = if close.is_empty() { known.clone() } else { close };
        (format!("{} of {} is never \"{text}\"", column.name(), class.name), offered)
    })
}

fn operand(text: &str, column: &Column, now: Time) -> Result<Operand, String> {
    let word = match column {
        Column::Created | Column::Updated | Column::StateSince => Word::Time,
        Column::Version => Word::Int,
        Column::Open => Word::Bool,
        Column::Field { word, .. } => *word,
        _ => Word::Text,
    };
    Ok(match word {
        Word::Time => Operand::Int(time_operand(text, now)?.as_micros()),
        Word::Int | Word::Bytes => Operand::Int(number_with_unit(text)?),
        Word::Float => Operand::Float(text.parse().map_err(|_| format!("\"{text}\" is not a number"))?),
        Word::Bool => Operand::Bool(match text {
            "true" | "yes" => true,
            "false" | "no" => false,
            _ => return Err(format!("\"{text}\" is neither true nor false")),
        }),
        Word::Duration => Operand::Int(i64::try_from(parse_duration(text)?.as_millis()).unwrap_or(i64::MAX)),
        _ => Operand::Text(text.to_owned()),
    })
}

/// `-7d` and `+2h` from now, `today`, `now`, a date, or RFC 3339.
fn time_operand(text: &str, now: Time) -> Result<Time, String> {
    if let Some(span) = text.strip_prefix('-') {
        return parse_duration(span).map(|d| now.minus(d));
    }
    if let Some(span) = text.strip_prefix('+') {
        return parse_duration(span).map(|d| now.plus(d));
    }
    let day = Duration::from_secs(86_400);
    match text {
        "now" => return Ok(now),
        "today" => {
            return Ok(Time::from_micros(now.as_micros().div_euclid(day.as_micros() as i64) * day.as_micros() as i64));
        }
        _ => {}
    }
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Time::parse(&full)
        .ok_or_else(|| format!("\"{text}\" is not a time such as -7d, today, 2026-11-21 or 2026-11-21T03:12:09Z"))
}

fn number_with_unit(text: &str) -> Result<i64, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let scale: i64 = match unit {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(format!("\"{text}\" is not a whole number")),
    };
    digits
        .parse::<i64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(|| format!("\"{text}\" is not a whole number"))
}

/// The words of a text as the index knows them: lower case, letters and digits.
pub fn words_of(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// Reads a sort order such as `-updated`.
///
/// # Errors
/// [`ActError::Unknown`] with the near names.
pub fn sort_key(text: &str, class: &ClassDef) -> Result<SortKey, ActError> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |n| (n, true));
    let column = column_of(name, class)
        .filter(|c| !matches!(c, Column::Field { word: Word::List | Word::Map | Word::Group, .. }));
    let column = column.ok_or_else(|| {
        let names = names_of(class);
        ActError::unknown(crate::error::Noun::Field, name, names.iter().map(String::as_str))
    })?;
    Ok(SortKey { column, descending })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_quoted_value_comes_back_whole(value in "[^\\x00]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let terms = parse(&format!("title:\"{quoted}\"")).unwrap();
            prop_assert_eq!(&terms[0].values[0], &(value, true));
        }
    }

    #[test]
    fn the_example_of_the_contract_is_read() {
        let text = r#"state:open priority:1,2 service:"Payments API" owner:none updated:>-7d -tenant:internal affects.site:LON checkout slow"#;
        let terms = parse(text).unwrap();
        let names: Vec<_> = terms.iter().map(|t| t.name.as_deref().unwrap_or("·")).collect();
        assert_eq!(names, ["state", "priority", "service", "owner", "updated", "tenant", "affects.site", "·", "·"]);
        assert_eq!(terms[1].values.len(), 2);
        assert_eq!(terms[4].compare, Some(Compare::Gt));
        assert!(terms[5].negated);
    }

    #[test]
    fn bad_filters_say_where_and_what() {
        for (text, at, part) in [("title:\"open", 6, "not closed"), ("a:b,", 4, "missing")] {
            match parse(text) {
                Err(ActError::Filter { at: found, message, .. }) => {
                    assert_eq!(found, at, "{text}");
                    assert!(message.contains(part), "{message}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
