//! A query as the tree of its parts, in the shape of Prometheus's `parse_query`: for editors that show how a query is read.

use serde_json::{Value, json};
use series::promql::{
    Aggregate, At, Binary, Cardinality, Duration, Edges, Expr, ExprKind, Function, Selector, Shift, Subquery, Type,
    json_float,
};
use series::{MatchOp, Matcher, NAME};

/// The tree of an expression.
pub fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(value) => json!({"type": "numberLiteral", "val": json_float(*value)}),
        ExprKind::Text(text) => json!({"type": "stringLiteral", "val": text}),
        ExprKind::Bytes(bytes) => json!({"type": "stringLiteral", "val": String::from_utf8_lossy(bytes)}),
        ExprKind::Selector(selector) => selected("vectorSelector", selector),
        ExprKind::Range { selector, range } => with(selected("matrixSelector", selector), "range", millis(Some(range))),
        ExprKind::Subquery(subquery) => of_subquery(subquery),
        ExprKind::Call { function, args } => {
            json!({"type": "call", "func": of_function(function), "args": args.iter().map(tree).collect::<Vec<_>>()})
        }
        ExprKind::Aggregate(aggregate) => of_aggregate(aggregate),
        ExprKind::Binary(binary) => of_binary(binary),
        ExprKind::Negate(inner) => json!({"type": "unaryExpr", "op": "-", "expr": tree(inner)}),
        ExprKind::Wrapped { parentheses: true, inner } => json!({"type": "parenExpr", "expr": tree(inner)}),
        ExprKind::Wrapped { parentheses: false, inner } => json!({"type": "unaryExpr", "op": "+", "expr": tree(inner)}),
    }
}

fn with(mut value: Value, name: &str, more: Value) -> Value {
    value[name] = more;
    value
}

/// Milliseconds; nothing when they depend on the query's own times.
fn millis(duration: Option<&Duration>) -> Value {
    match duration {
        None => json!(0),
        Some(Duration::Fixed(ms)) => json!(ms),
        Some(_) => Value::Null,
    }
}

fn shifted(mut value: Value, shift: &Shift) -> Value {
    value["offset"] = millis(shift.offset.as_ref());
    value["timestamp"] = match shift.at {
        Some(At::Time(ms)) => json!(ms),
        _ => Value::Null,
    };
    value["startOrEnd"] = match shift.at {
        Some(At::Start) => json!("start"),
        Some(At::End) => json!("end"),
        _ => Value::Null,
    };
    value
}

fn selected(kind: &str, selector: &Selector) -> Value {
    let name = selector.matchers.iter().find(|m| m.name() == NAME && m.op() == MatchOp::Eq).map_or("", Matcher::value);
    let matchers: Vec<Value> = selector
        .matchers
        .iter()
        .map(|m| json!({"type": operator(m.op()), "name": m.name(), "value": m.value()}))
        .collect();
    let (anchored, smoothed) = (selector.edges == Edges::Anchored, selector.edges == Edges::Smoothed);
    let value = json!({"type": kind, "name": name, "matchers": matchers, "anchored": anchored, "smoothed": smoothed});
    shifted(value, &selector.shift)
}

fn operator(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Eq => "=",
        MatchOp::Ne => "!=",
        MatchOp::Re => "=~",
        MatchOp::Nre => "!~",
    }
}

fn of_subquery(subquery: &Subquery) -> Value {
    let (range, step) = (millis(Some(&subquery.range)), millis(subquery.step.as_ref()));
    let value = json!({"type": "subquery", "expr": tree(&subquery.inner), "range": range, "step": step});
    shifted(value, &subquery.shift)
}

fn of_type(kind: Type) -> &'static str {
    match kind {
        Type::Scalar => "scalar",
        Type::Vector => "vector",
        Type::Matrix => "matrix",
        Type::Text => "string",
    }
}

fn of_function(function: &Function) -> Value {
    let types: Vec<&str> = function.args.iter().map(|kind| of_type(*kind)).collect();
    // How many more arguments there may be; -1 for as many as one likes.
    let variadic = if function.variadic { -1 } else { i64::try_from(function.optional).unwrap_or(i64::MAX) };
    json!({"name": function.name, "argTypes": types, "variadic": variadic, "returnType": of_type(function.result)})
}

fn of_aggregate(aggregate: &Aggregate) -> Value {
    json!({"type": "aggregation", "op": aggregate.op.name(), "expr": tree(&aggregate.inner),
        "param": aggregate.parameter.as_ref().map_or(Value::Null, tree), "grouping": aggregate.grouping.labels,
        "without": aggregate.grouping.without})
}

fn of_binary(binary: &Binary) -> Value {
    let matching = &binary.matching;
    let between_vectors = [&binary.left, &binary.right].iter().all(|side| side.value_type() == Type::Vector);
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let matching = match between_vectors {
        true => json!({"card": card, "labels": matching.labels, "on": matching.on, "include": matching.include}),
        false => Value::Null,
    };
    json!({"type": "binaryExpr", "op": binary.op.name(), "lhs": tree(&binary.left), "rhs": tree(&binary.right),
        "matching": matching, "bool": binary.as_bool})
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::promql::Query;

    fn of(text: &str) -> Value {
        tree(Query::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).expr())
    }

    #[test]
    fn every_kind_of_part_has_its_place_in_the_tree() {
        let rate = of("sum by (job) (rate(up{job=~\"a.*\"}[5m] offset 1h))");
        assert_eq!(
            (rate["type"].as_str(), rate["op"].as_str(), &rate["grouping"]),
            (Some("aggregation"), Some("sum"), &json!(["job"]))
        );
        let selector = &rate["expr"]["args"][0];
        assert_eq!(
            rate["expr"]["func"],
            json!({"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"})
        );
        assert_eq!(
            (&selector["range"], &selector["offset"], &selector["name"]),
            (&json!(300_000), &json!(3_600_000), &json!("up"))
        );
        assert!(
            selector["matchers"]
                .as_array()
                .is_some_and(|all| all.contains(&json!({"type": "=~", "name": "job", "value": "a.*"})))
        );
        let binary = of("a * on (x) group_left (y) (b > bool 1)");
        assert_eq!(binary["matching"], json!({"card": "many-to-one", "labels": ["x"], "on": true, "include": ["y"]}));
        assert_eq!((&binary["rhs"]["type"], &binary["rhs"]["expr"]["bool"]), (&json!("parenExpr"), &json!(true)));
        assert_eq!(binary["rhs"]["expr"]["matching"], Value::Null, "there is nothing to match with a scalar");
        let subquery = &of("max_over_time((-up)[1h:5m] @ end())")["args"][0];
        assert_eq!(
            (&subquery["type"], &subquery["step"], &subquery["startOrEnd"]),
            (&json!("subquery"), &json!(300_000), &json!("end"))
        );
        assert_eq!(subquery["expr"]["expr"]["type"], "unaryExpr");
        assert_eq!(of("quantile(0.9, up @ 5)")["expr"]["timestamp"], json!(5_000));
        assert_eq!(of("\"a\""), json!({"type": "stringLiteral", "val": "a"}));
    }
}
