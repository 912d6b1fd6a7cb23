//! Types: which expression may stand where. Looks at no data.

use super::ast::{Aggregate, AggregateOp, Binary, Cardinality, Expr, Span, Type};
use super::error::ParseError;
use super::functions::Function;

fn expect(expr: &Expr, wanted: Type, context: &str) -> Result<(), ParseError> {
    let found = expr.value_type();
    if found == wanted {
        return Ok(());
    }
    let reason = format!("expected type {} in {context}, got {}", wanted.name(), found.name());
    Err(ParseError::at(expr.span.start, reason))
}

/// A call has the arguments that its function takes.
pub(super) fn call(function: &Function, args: &[Expr], place: Span) -> Result<(), ParseError> {
    let (least, most) = (function.args.len() - function.optional, function.args.len());
    let refuse = |text: String| {
        Err(ParseError::at(place.start, format!("{text} in call to {:?}, got {}", function.name, args.len())))
    };
    if args.len() < least {
        let word = if function.optional == 0 && !function.variadic { "expected" } else { "expected at least" };
        return refuse(format!("{word} {least} argument(s)"));
    }
    if args.len() > most && !function.variadic {
        let word = if function.optional == 0 { "expected" } else { "expected at most" };
        return refuse(format!("{word} {most} argument(s)"));
    }
    for (at, arg) in args.iter().enumerate() {
        expect(arg, function.args[at.min(most - 1)], &format!("call to function {:?}", function.name))?;
    }
    Ok(())
}

/// An aggregation has a vector, and the parameter that it takes.
pub(super) fn aggregate(aggregate: &Aggregate) -> Result<(), ParseError> {
    expect(&aggregate.inner, Type::Vector, "aggregation expression")?;
    let Some(parameter) = &aggregate.parameter else { return Ok(()) };
    let wanted = if aggregate.op == AggregateOp::CountValues { Type::Text } else { Type::Scalar };
    expect(parameter, wanted, "aggregation parameter")
}

/// Operands are scalars or vectors, and modifiers stand only where they mean something.
pub(super) fn binary(binary: &Binary, place: Span) -> Result<(), ParseError> {
    let refuse = |reason: String| Err(ParseError::at(place.start, reason));
    let (left, right) = (binary.left.value_type(), binary.right.value_type());
    for side in [&binary.left, &binary.right] {
        if !matches!(side.value_type(), Type::Scalar | Type::Vector) {
            let reason = "binary expression must contain only scalar and instant vector types";
            return Err(ParseError::at(side.span.start, reason));
        }
    }
    let scalars = (left == Type::Scalar, right == Type::Scalar);
    if binary.as_bool && !binary.op.is_comparison() {
        return refuse("bool modifier can only be used on comparison operators".into());
    }
    if scalars == (true, true) && binary.op.is_comparison() && !binary.as_bool {
        return refuse("comparisons between scalars must use BOOL modifier".into());
    }
    if scalars == (false, false) {
        return Ok(());
    }
    if binary.op.is_set() {
        return refuse(format!("set operator {:?} not allowed in binary scalar expression", binary.op.name()));
    }
    let matching = &binary.matching;
    let matched = matching.on || !matching.labels.is_empty() || matching.cardinality != Cardinality::OneToOne;
    if matched || matching.fill_left.is_some() || matching.fill_right.is_some() {
        return refuse("vector matching only allowed between instant vectors".into());
    }
    Ok(())
}
