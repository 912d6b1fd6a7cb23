//! The wall between tenants in an engine that knows none: every series carries its tenant as a label, every selector of every
//! query is told to look at one value of it, and no answer shows it.
//!
//! It must never let a query through of which one selector is not so bound. What was written is read again before it is sent.

use series::promql::{Expr, ExprKind, Query, Selector, parse};
use series::{MatchOp, Matcher};

/// The label that says whose a series is.
pub const LABEL: &str = "mainstay_tenant";

/// Why a query cannot be asked of an engine that many tenants share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The label is the wall itself.
    #[error("the label {LABEL} is kept for Mainstay: leave it out")]
    Reserved,
    /// It reads `target_info` by itself, where no matcher can be put.
    #[error(
        "info() cannot be asked of an engine elsewhere: it reads series that it does not name; join with * on (…) group_left (…)"
    )]
    Info,
    /// The text that was made is not the query that was meant.
    #[error("the query cannot be written so that it is sure to stay within its tenant")]
    Unsure,
}

/// The query as text, each of its selectors bound to the tenant.
///
/// # Errors
/// [`ScopeError`].
pub fn scoped(query: &Query, tenant: u64) -> Result<String, ScopeError> {
    let mut expr = query.expr().clone();
    bind(&mut expr, tenant)?;
    let text = expr.to_string();
    let read_again = parse(&text).map_err(|_| ScopeError::Unsure)?;
    if is_bound(&read_again, tenant) { Ok(text) } else { Err(ScopeError::Unsure) }
}

/// A set of matchers as the text of a selector that is bound to the tenant.
///
/// # Errors
/// [`ScopeError`].
pub fn scoped_set(matchers: &[Matcher], tenant: u64) -> Result<String, ScopeError> {
    let mut selector = Selector { matchers: matchers.to_vec(), ..Selector::default() };
    bind_selector(&mut selector, tenant)?;
    let expr = Expr { kind: ExprKind::Selector(Box::new(selector)), span: series::promql::Span::default() };
    let text = expr.to_string();
    let read_again = parse(&text).map_err(|_| ScopeError::Unsure)?;
    if is_bound(&read_again, tenant) { Ok(text) } else { Err(ScopeError::Unsure) }
}

fn bind_selector(selector: &mut Selector, tenant: u64) -> Result<(), ScopeError> {
    if selector.matchers.iter().any(|m| m.name() == LABEL) {
        return Err(ScopeError::Reserved);
    }
    selector.matchers.push(Matcher::eq(LABEL, tenant.to_string()));
    Ok(())
}

fn unreserved(labels: &[String]) -> Result<(), ScopeError> {
    if labels.iter().any(|label| label == LABEL) { Err(ScopeError::Reserved) } else { Ok(()) }
}

fn bind(expr: &mut Expr, tenant: u64) -> Result<(), ScopeError> {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::Bytes(_) => Ok(()),
        // The name of a label, where a function makes or reads one.
        ExprKind::Text(text) => unreserved(std::slice::from_ref(text)),
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => bind_selector(selector, tenant),
        ExprKind::Subquery(subquery) => bind(&mut subquery.inner, tenant),
        ExprKind::Call { function, .. } if function.name == "info" => Err(ScopeError::Info),
        ExprKind::Call { args, .. } => args.iter_mut().try_for_each(|arg| bind(arg, tenant)),
        ExprKind::Aggregate(aggregate) => {
            unreserved(&aggregate.grouping.labels)?;
            aggregate.parameter.iter_mut().try_for_each(|parameter| bind(parameter, tenant))?;
            bind(&mut aggregate.inner, tenant)
        }
        ExprKind::Binary(binary) => {
            unreserved(&binary.matching.labels)?;
            unreserved(&binary.matching.include)?;
            bind(&mut binary.left, tenant)?;
            bind(&mut binary.right, tenant)?;
            // One side may have lost the label in an aggregation, so it must not decide who finds whom.
            let vector = series::promql::Type::Vector;
            if !binary.matching.on && binary.left.value_type() == vector && binary.right.value_type() == vector {
                binary.matching.labels.push(LABEL.to_owned());
            }
            Ok(())
        }
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => bind(inner, tenant),
    }
}

/// Whether every selector looks at this tenant's series alone.
fn is_bound(expr: &Expr, tenant: u64) -> bool {
    let value = tenant.to_string();
    let bound = |selector: &Selector| {
        let ours = |m: &Matcher| m.name() == LABEL && m.op() == MatchOp::Eq && m.value() == value;
        selector.matchers.iter().any(ours)
    };
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Bytes(_) => true,
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => bound(selector),
        ExprKind::Subquery(subquery) => is_bound(&subquery.inner, tenant),
        ExprKind::Call { function, args } => function.name != "info" && args.iter().all(|arg| is_bound(arg, tenant)),
        ExprKind::Aggregate(aggregate) => {
            aggregate.parameter.iter().all(|p| is_bound(p, tenant)) && is_bound(&aggregate.inner, tenant)
        }
        ExprKind::Binary(binary) => is_bound(&binary.left, tenant) && is_bound(&binary.right, tenant),
        ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => is_bound(inner, tenant),
    }
}

#[cfg(test)]
mod tests;
