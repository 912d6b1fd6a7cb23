//! Selectors: `match[]` parameters in, and the text of a selector that means one series exactly.

use series::promql::{ExprKind, Query, Shift};
use series::{Labels, Matcher};

use crate::answer::Refusal;

/// The sets of matchers that `match[]` parameters name.
///
/// # Errors
/// One of them is no selector.
pub fn sets<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<Matcher>>, Refusal> {
    texts.map(set).collect()
}

/// The set of matchers that a text names.
///
/// # Errors
/// It is no selector.
pub fn set(text: &str) -> Result<Vec<Matcher>, Refusal> {
    let query = Query::parse(text).map_err(|e| Refusal::parse("match[]", text, &e))?;
    match &query.expr().kind {
        ExprKind::Selector(selector) if selector.shift == Shift::default() => Ok(selector.matchers.clone()),
        _ => Err(Refusal::parameter("match[]", format!("{text:?} is not a selector of series"))),
    }
}

/// Text as PromQL quotes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A selector whose matchers are all labels of a series. Series with further labels are meant too.
pub fn exact(labels: &Labels) -> String {
    let pairs: Vec<(&str, String)> = labels.iter().map(|(name, value)| (name, value.to_owned())).collect();
    selector_of(&pairs)
}

/// A selector of series that have all these labels.
pub fn selector_of(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A label's name as it stands in a path: Prometheus's clients escape what is not plain as `U__…`.
pub fn unescaped(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(after) = behind.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let code = behind.split_once('_').and_then(|(hex, after)| {
            Some((char::from_u32(u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() <= 6)?)?, after))
        });
        // What is no escape was never escaped.
        let Some((letter, after)) = code else { return name.to_owned() };
        out.push(letter);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_selector_is_read_back_as_the_same_labels() {
        let labels =
            Labels::new([("__name__", "a.b"), ("job", "say \"no\"\n\\"), ("größe", "\u{1}é")]).expect("labels");
        let text = exact(&labels);
        let sets = sets([text.as_str()].into_iter()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        assert!(sets[0].iter().all(|matcher| matcher.matches(&labels)), "{text}");
        assert_eq!(sets[0].len(), 3);
    }

    #[test]
    fn only_plain_selectors_are_taken() {
        for wrong in ["", "{}", "up[5m]", "up offset 5m", "sum(up)", "1", "up{", "{job=~\".*\"}"] {
            assert!(sets([wrong].into_iter()).is_err(), "{wrong}");
        }
        assert_eq!(sets(["up", "{job=\"a\"}"].into_iter()).expect("two").len(), 2);
    }

    #[test]
    fn an_escaped_name_is_read_and_any_other_is_left() {
        for (given, expected) in [
            ("job", "job"),
            ("U__service_2e_name", "service.name"),
            ("U__a__b_20_c", "a_b c"),
            ("U__broken_zz_", "U__broken_zz_"),
            ("U__end_", "U__end_"),
            ("U__", ""),
        ] {
            assert_eq!(unescaped(given), expected, "{given}");
        }
    }
}
