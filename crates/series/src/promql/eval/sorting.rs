//! `sort` and its kin. They order an instant vector; the series of a range query are always in order of labels.

use std::cmp::Ordering;

use super::calls::text;
use super::{Evaluator, Grid};
use crate::promql::annotation::Remark;
use crate::promql::ast::{Expr, Span};
use crate::promql::column::Line;
use crate::promql::error::QueryError;

impl Evaluator<'_> {
    pub(super) fn sorted(
        &self,
        name: &'static str,
        span: Span,
        args: &[Expr],
        grid: Grid,
    ) -> Result<Vec<Line>, QueryError> {
        let mut lines = self.lines(&args[0], grid)?;
        let by_label = name.starts_with("sort_by_label");
        if !by_label {
            for line in &mut lines {
                line.column.histograms = Vec::new();
            }
            lines.retain(|line| !line.column.is_empty());
        }
        if self.query.step_ms != 0 {
            self.remark(span, &Remark::SortInRange);
            return Ok(lines);
        }
        if grid.steps != 1 {
            return Ok(lines);
        }
        let descending = name.ends_with("_desc");
        if by_label {
            let labels: Result<Vec<&str>, _> = args[1..].iter().map(text).collect();
            let labels = labels?;
            lines.sort_by(|a, b| {
                let by = |label: &&str| natural(a.metric.get(label), b.metric.get(label));
                let order = labels.iter().map(by).find(|order| *order != Ordering::Equal);
                let order = order.unwrap_or_else(|| a.metric.cmp(&b.metric));
                if descending { order.reverse() } else { order }
            });
        } else {
            lines.sort_by(|a, b| by_value(a.column.floats[0], b.column.floats[0], descending));
        }
        Ok(lines)
    }
}

/// In order of value; NaN always comes last.
pub(super) fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) if descending => b.total_cmp(&a),
        (false, false) => a.total_cmp(&b),
    }
}

/// As people order names: numbers within them by value.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (chunks(a), chunks(b));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) if one == other => {}
            (Some(one), Some(other)) => {
                let numbers = (one.parse::<u64>(), other.parse::<u64>());
                let by_text = one.cmp(other);
                return match numbers {
                    (Ok(one), Ok(other)) => one.cmp(&other).then(by_text),
                    _ => by_text,
                };
            }
        }
    }
}

/// Stretches of digits and of anything else, in turn.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digits = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (chunk, after) = rest.split_at(end);
        rest = after;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_by_value() {
        let mut names = ["4m1000", "4m600", "4m5", "10", "2", "a", ""];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "2", "4m5", "4m600", "4m1000", "10", "a"]);
    }
}
