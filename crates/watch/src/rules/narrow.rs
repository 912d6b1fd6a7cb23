//! A query that reads less for the same answer: what one side of an operator asks of labels is asked of the other side too.
//!
//! `free{host="a"} / size` meets `size` of host a only, so only that is read. It must never change an answer, nor whether there
//! is one: it is done only where series meet by all their labels and each side tells its own apart by them, so that no
//! contradiction is hidden.

use series::promql::{Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, ExprKind, Query, Selector, Type};
use series::{MatchOp, Matcher, NAME};

/// Functions of a range that give each series back under its own labels.
const OF_RANGE: [&str; 18] = [
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
];
/// Functions of a vector, its first argument, that do.
const OF_VECTOR: [&str; 13] =
    ["abs", "ceil", "clamp", "clamp_max", "clamp_min", "exp", "floor", "ln", "log10", "log2", "round", "sgn", "sqrt"];

/// The query with the same answers that reads less; itself when there is nothing to be spared.
pub fn narrowed(query: &Query) -> Query {
    let mut expr = query.expr().clone();
    if !narrow(&mut expr) {
        return query.clone();
    }
    // As text and back: a query is always something that could have been typed, and that can be sent to another engine.
    Query::parse(&expr.to_string()).unwrap_or_else(|_| query.clone())
}

/// True when something was changed.
fn narrow(expr: &mut Expr) -> bool {
    match &mut expr.kind {
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Bytes(_)
        | ExprKind::Selector(_)
        | ExprKind::Range { .. } => false,
        ExprKind::Subquery(subquery) => narrow(&mut subquery.inner),
        ExprKind::Call { args, .. } => args.iter_mut().fold(false, |changed, arg| narrow(arg) | changed),
        ExprKind::Aggregate(aggregate) => narrow(&mut aggregate.inner),
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => narrow(inner),
        ExprKind::Binary(binary) => {
            // What the sides ask for before they are narrowed is all that they ask for.
            let changed = meet(binary);
            narrow(&mut binary.left) | narrow(&mut binary.right) | changed
        }
    }
}

/// Asks each side of an operator for what the other one asks for.
fn meet(binary: &mut Binary) -> bool {
    let (to_left, to_right) = match binary.op {
        _ if !is_by_all_labels(binary) => return false,
        BinaryOp::Or => return false,
        BinaryOp::And => (true, true),
        BinaryOp::Unless => (false, true),
        _ => {
            let apart = is_told_apart(&binary.left) && is_told_apart(&binary.right);
            (apart, apart)
        }
    };
    let (of_left, of_right) = (asked(&binary.left), asked(&binary.right));
    (to_right && ask(&mut binary.right, &of_left)) | (to_left && ask(&mut binary.left, &of_right))
}

/// Whether series of both sides meet when all their labels but the name are equal.
fn is_by_all_labels(binary: &Binary) -> bool {
    let matching = &binary.matching;
    let vectors = binary.left.value_type() == Type::Vector && binary.right.value_type() == Type::Vector;
    let plain = matches!(matching.cardinality, Cardinality::OneToOne | Cardinality::ManyToMany);
    let all = !matching.on && matching.labels.is_empty() && matching.include.is_empty();
    vectors && plain && all && matching.fill_left.is_none() && matching.fill_right.is_none()
}

/// The side of an operator between a vector and a scalar that is the vector.
fn vector_of(binary: &Binary) -> Option<&Expr> {
    match (binary.left.value_type(), binary.right.value_type()) {
        (Type::Vector, Type::Scalar) => Some(&binary.left),
        (Type::Scalar, Type::Vector) => Some(&binary.right),
        _ => None,
    }
}

/// Whether no two series of the answer have the same labels when their names are left out.
fn is_told_apart(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            selector.matchers.iter().any(|m| m.name() == NAME && m.op() == MatchOp::Eq && !m.value().is_empty())
        }
        ExprKind::Call { .. } => passed_through(expr).is_some_and(is_told_apart),
        ExprKind::Aggregate(aggregate) => is_one_a_group(aggregate.op) || is_told_apart(&aggregate.inner),
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => is_told_apart(inner),
        ExprKind::Binary(binary) => match (vector_of(binary), binary.op) {
            (Some(vector), _) => is_told_apart(vector),
            (None, BinaryOp::And | BinaryOp::Unless) => is_told_apart(&binary.left),
            (None, op) => {
                op != BinaryOp::Or
                    && is_by_all_labels(binary)
                    && is_told_apart(&binary.left)
                    && is_told_apart(&binary.right)
            }
        },
        _ => false,
    }
}

/// Whether an aggregation gives one series for each group.
fn is_one_a_group(op: AggregateOp) -> bool {
    use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Topk};
    !matches!(op, Topk | Bottomk | Limitk | LimitRatio | CountValues)
}

/// The argument of a call whose series the call gives back under their own labels.
fn passed_through(expr: &Expr) -> Option<&Expr> {
    let ExprKind::Call { function, args } = &expr.kind else { return None };
    let first = args.first()?;
    let range = OF_RANGE.contains(&function.name) && matches!(first.kind, ExprKind::Range { .. });
    (range || OF_VECTOR.contains(&function.name)).then_some(first)
}

/// What is true of the labels, but the name, of every series of the answer.
fn asked(expr: &Expr) -> Vec<Matcher> {
    match &expr.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            selector.matchers.iter().filter(|m| m.name() != NAME).cloned().collect()
        }
        ExprKind::Call { .. } => passed_through(expr).map(asked).unwrap_or_default(),
        ExprKind::Aggregate(aggregate) => {
            asked(&aggregate.inner).into_iter().filter(|m| is_shared(aggregate, m)).collect()
        }
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => asked(inner),
        ExprKind::Binary(binary) => match (vector_of(binary), binary.op) {
            (Some(vector), _) => asked(vector),
            (None, BinaryOp::Or) => Vec::new(),
            (None, BinaryOp::Unless) => asked(&binary.left),
            (None, _) if is_by_all_labels(binary) => {
                let mut both = asked(&binary.left);
                add(&mut both, &asked(&binary.right));
                both
            }
            (None, BinaryOp::And) => asked(&binary.left),
            (None, _) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether all series of one group of an aggregation have the matcher's label with one value.
fn is_shared(aggregate: &Aggregate, matcher: &Matcher) -> bool {
    let listed = aggregate.grouping.labels.iter().any(|label| label == matcher.name());
    aggregate.op != AggregateOp::CountValues && listed != aggregate.grouping.without
}

/// Asks an expression for series that fit as well; true when it did not already.
fn ask(expr: &mut Expr, more: &[Matcher]) -> bool {
    match &mut expr.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => ask_selector(selector, more),
        ExprKind::Call { .. } => {
            let passes = passed_through(expr).is_some();
            let ExprKind::Call { args, .. } = &mut expr.kind else { return false };
            passes && args.first_mut().is_some_and(|arg| ask(arg, more))
        }
        ExprKind::Aggregate(aggregate) => {
            let more: Vec<Matcher> = more.iter().filter(|m| is_shared(aggregate, m)).cloned().collect();
            ask(&mut aggregate.inner, &more)
        }
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => ask(inner, more),
        ExprKind::Binary(binary) => {
            let vector_is_left = binary.left.value_type() == Type::Vector;
            match (vector_of(binary).is_some(), binary.op) {
                (true, _) if vector_is_left => ask(&mut binary.left, more),
                (true, _) => ask(&mut binary.right, more),
                (false, BinaryOp::And | BinaryOp::Unless) => ask(&mut binary.left, more),
                (false, _) => false,
            }
        }
        _ => false,
    }
}

fn ask_selector(selector: &mut Selector, more: &[Matcher]) -> bool {
    let before = selector.matchers.len();
    add(&mut selector.matchers, more);
    selector.matchers.len() > before
}

fn add(to: &mut Vec<Matcher>, more: &[Matcher]) {
    for one in more {
        let same = |m: &Matcher| (m.name(), m.op(), m.value()) == (one.name(), one.op(), one.value());
        if !to.iter().any(same) {
            to.push(one.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use series::promql::{Limits, MemorySource, Metric, Settings};

    #[test]
    fn what_one_side_asks_for_is_asked_of_the_other() {
        for (text, expected) in [
            ("a{h=\"x\"} / b < 1", "a{h=\"x\"} / b{h=\"x\"} < 1"),
            ("a / b{h=~\"x|y\"}", "a{h=~\"x|y\"} / b{h=~\"x|y\"}"),
            ("rate(a{h=\"x\"}[5m]) / rate(b[5m])", "rate(a{h=\"x\"}[5m]) / rate(b{h=\"x\"}[5m])"),
            (
                "sum by (h) (a{h=\"x\",m=\"y\"}) / (sum by (h) (b) * 2)",
                "sum by (h) (a{h=\"x\",m=\"y\"}) / (sum by (h) (b{h=\"x\"}) * 2)",
            ),
            ("a{h=\"x\"} > 1 and b > 2 unless c", "a{h=\"x\"} > 1 and b{h=\"x\"} > 2 unless c{h=\"x\"}"),
            ("max(a{h=\"x\"} / b)", "max(a{h=\"x\"} / b{h=\"x\"})"),
        ] {
            assert_eq!(narrowed(&Query::parse(text).unwrap()).text(), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_asked_where_an_answer_could_become_another() {
        for text in [
            "a{h=\"x\"}",
            "a{h=\"x\"} > 1",
            "a{h=\"x\"} or b",
            "a unless b{h=\"x\"}",
            "a{h=\"x\"} / on (m) b",
            "a{h=\"x\"} / ignoring (m) b",
            "a{h=\"x\"} * on (h) group_left b",
            // Two series of one name apart could meet one of `a`, which is an error today.
            "a{h=\"x\"} / {job=\"j\"}",
            "sum by (m) (a{h=\"x\"}) / sum by (m) (b)",
            "a{h=\"x\"} / absent(b)",
            "a{h=\"x\"} / label_replace(b, \"h\", \"x\", \"\", \"\")",
            "count_values by (h) (\"h\", a{h=\"x\"}) / sum by (h) (b)",
        ] {
            assert_eq!(narrowed(&Query::parse(text).unwrap()).text(), text);
        }
    }

    const SHAPES: [&str; 16] = [
        "a{h=\"x\"} / b",
        "a{h=\"x\",m!=\"p\"} > b",
        "a / b{h=~\"x|y\"} > 0",
        "a{h=\"x\"} and b",
        "a and b{h!=\"x\"}",
        "a{h=\"x\"} unless b",
        "a unless b{h=\"x\"}",
        "sum by (h) (a{h=\"x\",m=\"p\"}) / sum by (h) (b)",
        "sum without (m) (a{h=\"x\",m=\"p\"}) - (b and c{m=\"q\"})",
        "topk by (h) (1, a{h=\"x\"}) - b",
        "(a{h=\"x\"} + b) * c",
        "(a or b{h=\"x\"}) / c",
        "abs(a{h=\"x\"}) - sum_over_time(b[1m])",
        "a{h=\"x\"} - {__name__=~\"b|c\"}",
        "{__name__=~\"a|b\",h=\"x\"} and c",
        "-a{h=\"\"} < bool b",
    ];

    proptest! {
        /// The narrowed query has the same answer, or the same complaint.
        #[test]
        fn the_answer_is_the_same(
            values in proptest::collection::vec((0usize..3, 0usize..3, 0usize..3, -3i32..4), 0..16),
            shape in 0usize..SHAPES.len(),
        ) {
            let mut source = MemorySource::default();
            for (name, host, mount, value) in values {
                let labels = [("__name__", ["a", "b", "c"][name]), ("h", ["x", "y", ""][host]), ("m", ["p", "q", ""][mount])];
                source.push(&Metric::new(labels), 1000, f64::from(value));
            }
            let query = Query::parse(SHAPES[shape]).unwrap();
            let answer = |query: &Query| {
                let answer = query.instant(&source, 2000, &Settings::default(), &Limits::default());
                answer.map(|answer| format!("{:?}", answer.value)).map_err(|e| e.to_string())
            };
            prop_assert_eq!(answer(&narrowed(&query)), answer(&query), "{}", SHAPES[shape]);
        }
    }
}
