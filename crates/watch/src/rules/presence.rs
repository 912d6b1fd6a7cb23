//! What an expression reads, and the question "is there data at all?" that belongs to a condition.
//!
//! `up == 0` answers nothing when all is well and when nothing is measured. The expression without its comparisons, `up - 0`,
//! answers for everything that is measured, with the same labels: what it leaves out is unknown.

use series::MatchOp;
use series::promql::{AggregateOp, BinaryOp, Expr, ExprKind, Query, Selector};

/// Which metrics an expression reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// A selector names none, so that it may read any.
    pub any: bool,
    /// What each selector asks of a series, as far as it is equal or not equal.
    pub wants: Vec<Want>,
}

/// What a selector asks of a series. A series that does not fit is not read; one that fits may still not be.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    /// The metric's name; empty for any.
    pub name: String,
    /// Label, whether it must be equal or must not be, and the value; a missing label is an empty one.
    pub conditions: Vec<(String, bool, String)>,
}

impl Want {
    fn of(selector: &Selector) -> Self {
        let mut want = Self::default();
        for matcher in &selector.matchers {
            let (label, value) = (matcher.name().to_owned(), matcher.value().to_owned());
            match matcher.op() {
                MatchOp::Eq if label == series::NAME => want.name = value,
                MatchOp::Eq => want.conditions.push((label, true, value)),
                MatchOp::Ne => want.conditions.push((label, false, value)),
                MatchOp::Re | MatchOp::Nre => {}
            }
        }
        want
    }
}

impl Reads {
    /// What these expressions read.
    pub fn of<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> Self {
        let mut reads = Self::default();
        for expression in expressions {
            for want in expression.selectors().into_iter().map(Want::of) {
                match want.name.as_str() {
                    "" => reads.any = true,
                    name => reads.names.push(name.to_owned()),
                }
                reads.wants.push(want);
            }
        }
        reads.names.sort_unstable();
        reads.names.dedup();
        reads.wants.sort_unstable();
        reads.wants.dedup();
        reads
    }
}

/// The query for everything that a condition could hold for; `None` when it has an answer whatever there is.
pub fn presence(query: &Query) -> Option<Query> {
    if asks_for_absence(query.expr()) {
        return None;
    }
    let mut expr = query.expr().clone();
    unfilter(&mut expr);
    // As text and back: a query is always something that could have been typed, and that can be sent to another engine.
    Query::parse(&expr.to_string()).ok()
}

fn asks_for_absence(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call { function, args } => {
            matches!(function.name, "absent" | "absent_over_time") || args.iter().any(asks_for_absence)
        }
        ExprKind::Subquery(subquery) => asks_for_absence(&subquery.inner),
        ExprKind::Aggregate(aggregate) => asks_for_absence(&aggregate.inner),
        ExprKind::Binary(binary) => asks_for_absence(&binary.left) || asks_for_absence(&binary.right),
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => asks_for_absence(inner),
        _ => false,
    }
}

/// Takes out of an expression all that leaves series out by their value.
fn unfilter(expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Bytes(_)
        | ExprKind::Selector(_)
        | ExprKind::Range { .. } => {}
        ExprKind::Subquery(subquery) => unfilter(&mut subquery.inner),
        ExprKind::Call { args, .. } => args.iter_mut().for_each(unfilter),
        ExprKind::Aggregate(aggregate) => {
            unfilter(&mut aggregate.inner);
            let picks = matches!(
                aggregate.op,
                AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
            );
            if picks {
                let inner = std::mem::replace(&mut aggregate.inner, number());
                *expr = wrapped(inner);
            }
        }
        ExprKind::Binary(binary) => {
            unfilter(&mut binary.left);
            unfilter(&mut binary.right);
            if binary.op == BinaryOp::Unless {
                let left = std::mem::replace(&mut binary.left, number());
                *expr = wrapped(left);
            } else if binary.op.is_comparison() && !binary.as_bool {
                binary.op = BinaryOp::Sub;
                // It binds tighter than what it takes the place of.
                for side in [&mut binary.left, &mut binary.right] {
                    let inner = std::mem::replace(side, number());
                    *side = wrapped(inner);
                }
                let whole = std::mem::replace(expr, number());
                *expr = wrapped(whole);
            }
        }
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => unfilter(inner),
    }
}

fn number() -> Expr {
    Expr { kind: ExprKind::Number(0.0), span: Default::default() }
}

fn wrapped(inner: Expr) -> Expr {
    let span = inner.span;
    Expr { kind: ExprKind::Wrapped { parentheses: true, inner: Box::new(inner) }, span }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use series::promql::{Limits, MemorySource, Metric, Settings, Value};
    use std::collections::BTreeSet;

    #[test]
    fn the_question_for_data_is_the_condition_without_its_comparisons() {
        for (condition, data) in [
            ("up == 0", Some("((up) - (0))")),
            ("a > b and c < 1", Some("((a) - (b)) and ((c) - (1))")),
            ("sum by (job) (up == 0) > 1", Some("((sum by (job) (((up) - (0)))) - (1))")),
            ("a unless b", Some("(a)")),
            ("topk(3, a) > 5", Some("(((a)) - (5))")),
            ("a == bool 1", Some("a == bool 1")),
            ("absent(up)", None),
            ("a > 1 or absent(a)", None),
            ("rate(a[5m]) / rate(b[5m]) > 0.1", Some("((rate(a[5m]) / rate(b[5m])) - (0.1))")),
            ("avg_over_time((a > 1)[1h:1m])", Some("avg_over_time((((a) - (1)))[1h:1m])")),
        ] {
            let query = Query::parse(condition).unwrap();
            assert_eq!(presence(&query).map(|q| q.text().to_owned()).as_deref(), data, "{condition}");
        }
    }

    #[test]
    fn a_rule_knows_which_metrics_it_reads() {
        let reads = |text: &str| Reads::of([Query::parse(text).unwrap().expr()]);
        assert_eq!(reads("rate(a[5m]) > b and c").names, ["a", "b", "c"]);
        assert_eq!(reads("max_over_time(sum(x)[1h:]) > quantile(scalar(q), -y)").names, ["q", "x", "y"]);
        assert!(reads("{job=\"x\"} > 1").any && !reads("a > 1").any);
        let condition = |label: &str, equal, value: &str| (label.to_owned(), equal, value.to_owned());
        let want = reads("a{host=\"x\",job!=\"y\",dc=~\"e.*\"} > 1").wants.remove(0);
        assert_eq!(
            (want.name.as_str(), &want.conditions[..]),
            ("a", &[condition("host", true, "x"), condition("job", false, "y")][..])
        );
    }

    proptest! {
        /// Whatever a condition holds for, there is data for it under the same labels.
        #[test]
        fn what_a_condition_holds_for_has_data(
            values in proptest::collection::vec((0usize..3, 0usize..3, -3i32..4), 0..12),
            shape in 0usize..8,
        ) {
            let mut source = MemorySource::default();
            for (name, host, value) in values {
                let metric = Metric::new([("__name__", ["a", "b", "c"][name]), ("host", ["x", "y", "z"][host])]);
                source.push(&metric, 1000, f64::from(value));
            }
            let text = [
                "a > 0", "a > b", "a > 0 and b < 1", "a > 0 or b > 1", "a > 0 unless b > 0", "sum by (host) (a > 0) > 1",
                "topk(1, a) >= 0", "a * on (host) group_left b > c",
            ][shape];
            let query = Query::parse(text).unwrap();
            let labels = |query: &Query| -> BTreeSet<String> {
                match query.instant(&source, 2000, &Settings::default(), &Limits::default()).unwrap().value {
                    Value::Vector(all) => all.iter().map(|s| s.metric.without_name().to_string()).collect(),
                    other => panic!("{other:?}"),
                }
            };
            prop_assert!(labels(&query).is_subset(&labels(&presence(&query).unwrap())), "{}", text);
        }
    }
}
