//! Queries as text again, in the layout of Prometheus's `format_query`: on one line if it fits, else by its parts.

use std::fmt::{self, Display};

use super::ast::{
    Aggregate, At, Binary, Cardinality, Duration, DurationOp, Edges, Expr, ExprKind, Grouping, Matching, Selector,
    Shift,
};
use super::parse::quoted;
use super::value::plain_float;
use crate::labels::NAME;
use crate::matcher::{MatchOp, Matcher};

/// Longer lines are broken.
const WIDTH: usize = 100;

/// The query over as many lines as it takes.
pub(super) fn pretty(expr: &Expr) -> String {
    broken(expr, 0)
}

fn broken(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    let line = format!("{indent}{expr}");
    if line.len() <= WIDTH {
        return line;
    }
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            let parameter = aggregate.parameter.as_ref().map_or(String::new(), |p| broken(p, level + 1) + ",\n");
            let head = AggregateHead(aggregate);
            format!("{indent}{head}(\n{parameter}{}\n{indent})", broken(&aggregate.inner, level + 1))
        }
        ExprKind::Binary(binary) => {
            let (left, right) = (broken(&binary.left, level + 1), broken(&binary.right, level + 1));
            format!("{left}\n{indent}{}\n{right}", Operator(binary))
        }
        ExprKind::Call { function, args } if !args.is_empty() => {
            let args: Vec<String> = args.iter().map(|arg| broken(arg, level + 1)).collect();
            format!("{indent}{}(\n{}\n{indent})", function.name, args.join(",\n"))
        }
        ExprKind::Wrapped { parentheses: true, inner } => {
            format!("{indent}(\n{}\n{indent})", broken(inner, level + 1))
        }
        // The sign that is read before an infinite number is that which it is written with.
        ExprKind::Wrapped { inner, .. } if first_number(inner) == Some(f64::INFINITY) => broken(inner, level),
        ExprKind::Wrapped { inner, .. } => format!("{indent}+{}", broken(inner, level).trim_start()),
        ExprKind::Negate(inner) => format!("{indent}-{}", behind_sign(inner, broken(inner, level).trim_start())),
        ExprKind::Subquery(subquery) => {
            let mut tail = String::new();
            let _ = write_window(&mut tail, &subquery.range, subquery.step.as_ref(), true, &subquery.shift);
            format!("{}{tail}", broken(&subquery.inner, level))
        }
        _ => line,
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(value) => f.write_str(&plain_float(*value)),
            ExprKind::Text(text) => f.write_str(&quoted(text.as_bytes())),
            ExprKind::Bytes(bytes) => f.write_str(&quoted(bytes)),
            ExprKind::Selector(selector) => {
                write_selector(f, selector)?;
                write_shift(f, &selector.shift)
            }
            ExprKind::Range { selector, range } => {
                write_selector(f, selector)?;
                write_window(f, range, None, false, &Shift::default())?;
                f.write_str(match selector.edges {
                    Edges::Plain => "",
                    Edges::Anchored => " anchored",
                    Edges::Smoothed => " smoothed",
                })?;
                write_shift(f, &selector.shift)
            }
            ExprKind::Subquery(subquery) => {
                write!(f, "{}", subquery.inner)?;
                write_window(f, &subquery.range, subquery.step.as_ref(), true, &subquery.shift)
            }
            ExprKind::Call { function, args } => {
                write!(f, "{}(", function.name)?;
                write_list(f, args)?;
                f.write_str(")")
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", AggregateHead(aggregate))?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.inner)
            }
            ExprKind::Binary(binary) => write!(f, "{} {} {}", binary.left, Operator(binary), binary.right),
            ExprKind::Negate(inner) => write!(f, "-{}", behind_sign(inner, &inner.to_string())),
            ExprKind::Wrapped { parentheses: true, inner } => write!(f, "({inner})"),
            ExprKind::Wrapped { inner, .. } => write!(f, "+{}", behind_sign(inner, &inner.to_string())),
        }
    }
}

/// The text of an expression behind a sign. That of an infinite number has one of its own, which read again would be a second sign.
fn behind_sign<'t>(expr: &Expr, text: &'t str) -> &'t str {
    if first_number(expr).is_some() { text.strip_prefix('+').unwrap_or(text) } else { text }
}

/// The number that the text of an expression begins with.
fn first_number(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        ExprKind::Number(value) => Some(*value),
        ExprKind::Binary(binary) => first_number(&binary.left),
        _ => None,
    }
}

fn write_list(f: &mut impl fmt::Write, items: &[impl Display]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
    }
    Ok(())
}

/// A label, quoted if it is no plain name.
struct Label<'a>(&'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named =
            self.0.chars().all(plain) && !self.0.starts_with(|c: char| c.is_ascii_digit()) && !self.0.is_empty();
        if named { f.write_str(self.0) } else { f.write_str(&quoted(self.0.as_bytes())) }
    }
}

fn write_labels(f: &mut impl fmt::Write, labels: &[String]) -> fmt::Result {
    let labels: Vec<Label<'_>> = labels.iter().map(|label| Label(label)).collect();
    write_list(f, &labels)
}

/// `sum by (job) `
struct AggregateHead<'a>(&'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        let Grouping { without, labels } = &self.0.grouping;
        if !without && labels.is_empty() {
            return Ok(());
        }
        f.write_str(if *without { " without (" } else { " by (" })?;
        write_labels(f, labels)?;
        f.write_str(") ")
    }
}

/// An operator with its modifiers.
struct Operator<'a>(&'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Matching { cardinality, on, labels, include, fill_left, fill_right } = &self.0.matching;
        f.write_str(self.0.op.name())?;
        f.write_str(if self.0.as_bool { " bool" } else { "" })?;
        let grouped = match cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            _ => None,
        };
        if *on || !labels.is_empty() || grouped.is_some() {
            f.write_str(if *on { " on (" } else { " ignoring (" })?;
            write_labels(f, labels)?;
            f.write_str(")")?;
        }
        if let Some(grouped) = grouped {
            write!(f, " {grouped} (")?;
            write_labels(f, include)?;
            f.write_str(")")?;
        }
        match (fill_left, fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
                write!(f, " fill ({})", plain_float(*left))
            }
            (left, right) => {
                for (word, value) in [("fill_left", left), ("fill_right", right)] {
                    if let Some(value) = value {
                        write!(f, " {word} ({})", plain_float(*value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn write_selector(f: &mut impl fmt::Write, selector: &Selector) -> fmt::Result {
    let plain = |name: &str| {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        name.chars().all(part) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let is_name = |m: &&Matcher| m.name() == NAME && m.op() == MatchOp::Eq && !m.value().is_empty();
    // A name before the braces is read as the only thing that is said of the name.
    let alone = selector.matchers.iter().filter(|m| m.name() == NAME).count() == 1;
    let outside = selector.matchers.iter().find(is_name).filter(|m| alone && plain(m.value()));
    f.write_str(outside.map_or("", Matcher::value))?;
    let (names, rest): (Vec<&Matcher>, Vec<&Matcher>) = selector.matchers.iter().partition(is_name);
    let inside = names.iter().filter(|_| outside.is_none());
    let mut parts: Vec<String> = inside.map(|name| quoted(name.value().as_bytes())).collect();
    for matcher in rest {
        let op = match matcher.op() {
            MatchOp::Eq => "=",
            MatchOp::Ne => "!=",
            MatchOp::Re => "=~",
            MatchOp::Nre => "!~",
        };
        parts.push(format!("{}{op}{}", Label(matcher.name()), quoted(matcher.value().as_bytes())));
    }
    if parts.is_empty() && outside.is_some() { Ok(()) } else { write!(f, "{{{}}}", parts.join(",")) }
}

fn write_window(
    f: &mut impl fmt::Write,
    range: &Duration,
    step: Option<&Duration>,
    colon: bool,
    shift: &Shift,
) -> fmt::Result {
    write!(f, "[{range}")?;
    if colon {
        f.write_str(":")?;
    }
    if let Some(step) = step {
        write!(f, "{step}")?;
    }
    f.write_str("]")?;
    write_shift(f, shift)
}

fn write_shift(f: &mut impl fmt::Write, shift: &Shift) -> fmt::Result {
    match shift.at {
        None => {}
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        Some(At::Time(ms)) => {
            let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)?;
        }
    }
    match &shift.offset {
        None => Ok(()),
        Some(offset @ Duration::Combined(..)) => write!(f, " offset ({offset})"),
        Some(offset) => write!(f, " offset {offset}"),
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ms) => write_duration(f, *ms),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Negate(inner) => write!(f, "-({inner})"),
            Self::Combined(op, left, right) => {
                let sign = match op {
                    DurationOp::Add => "+",
                    DurationOp::Subtract => "-",
                    DurationOp::Multiply => "*",
                    DurationOp::Divide => "/",
                    DurationOp::Modulo => "%",
                    DurationOp::Power => "^",
                    DurationOp::Min => return write!(f, "min_of({left}, {right})"),
                    DurationOp::Max => return write!(f, "max_of({left}, {right})"),
                };
                let part = |duration: &Self| match duration {
                    Self::Combined(DurationOp::Min | DurationOp::Max, ..) => duration.to_string(),
                    Self::Combined(..) => format!("({duration})"),
                    plain => plain.to_string(),
                };
                write!(f, "{} {sign} {}", part(left), part(right))
            }
        }
    }
}

/// As Prometheus writes durations: from large units to small, weeks and years only when nothing is left over.
fn write_duration(f: &mut fmt::Formatter<'_>, ms: i64) -> fmt::Result {
    if ms == 0 {
        return f.write_str("0s");
    }
    if ms < 0 {
        f.write_str("-")?;
    }
    let mut rest = ms.unsigned_abs();
    let units = [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    for (unit, size, exact) in units {
        if exact && !rest.is_multiple_of(size) {
            continue;
        }
        if rest / size > 0 {
            write!(f, "{}{unit}", rest / size)?;
            rest %= size;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn a_query_is_written_as_prometheus_writes_it() {
        let table = [
            ("sum(rate(x{a='b'}[5m]))by(job)/2", r#"sum by (job) (rate(x{a="b"}[5m])) / 2"#),
            ("a+on(x)group_left(y)b", "a + on (x) group_left (y) b"),
            ("x[90m:1m]offset -1h@5", "x[1h30m:1m] @ 5.000 offset -1h"),
            ("x @ -.05", "x @ -0.050"),
            ("{\"a\",\"b\",job=\"x\"}", r#"{"a","b",job="x"}"#),
            ("{__name__=\"a\",__name__!~\"b\"}", r#"{"a",__name__!~"b"}"#),
            ("x @ -2.75", "x @ -2.750"),
            ("a == bool fill(0) b", "a == bool fill (0) b"),
            ("-(a)", "-(a)"),
            ("{\"my name\",\"a b\"=~\"x\"}", r#"{"my name","a b"=~"x"}"#),
            ("x[step()*2]", "x[step() * 2s]"),
            ("topk(3,x)", "topk(3, x)"),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).unwrap().to_string(), expected);
            assert_eq!(parse(expected).unwrap().to_string(), expected, "written again it stays so");
        }
    }

    #[test]
    fn a_sign_before_an_infinite_number_is_one_sign() {
        for (text, written) in [("-Inf ^ 2", "-Inf ^ 2"), ("+Inf^2", "+Inf ^ 2"), ("- +a", "-+a"), ("Inf", "+Inf")] {
            let once = crate::promql::Query::parse(text).unwrap().formatted();
            assert_eq!(
                (once.as_str(), crate::promql::Query::parse(&once).unwrap().formatted().as_str()),
                (written, written)
            );
        }
    }

    #[test]
    fn an_infinite_number_in_a_long_query_stays_where_it_is_written() {
        let powers = format!("a ^ Inf ^ {}", ["-Inf"; 40].join(" ^ "));
        let once = crate::promql::Query::parse(&powers).unwrap().formatted();
        assert_eq!(crate::promql::Query::parse(&once).unwrap().formatted(), once);
    }

    #[test]
    fn the_sign_of_a_number_is_no_level_of_nesting() {
        let mut most = 0;
        for levels in 1..=100 {
            let text = format!("{}Inf ^ Inf{}", "(".repeat(levels), ")".repeat(levels));
            let Ok(query) = crate::promql::Query::parse(&text) else { continue };
            let once = query.formatted();
            assert_eq!(crate::promql::Query::parse(&once).unwrap().formatted(), once, "{text}");
            most = levels;
        }
        assert!((90..100).contains(&most), "{most}");
    }

    #[test]
    fn a_long_query_is_broken_into_its_parts() {
        let long =
            "sum by (job) (rate(http_requests_total{job=\"a_long_name_of_a_job\",instance=\"a_long_name\"}[5m])) / 100";
        let expected = "  sum by (job) (rate(http_requests_total{job=\"a_long_name_of_a_job\",instance=\"a_long_name\"}[5m]))\n/\n  100";
        assert_eq!(pretty(&parse(long).unwrap()), expected);
    }
}
