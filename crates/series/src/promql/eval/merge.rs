//! Series that have come to have the same labels: joined where they do not meet, refused where they do.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::promql::column::{Cell, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::metric::Metric;

pub(super) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// Drops the names that no longer fit, and joins.
pub(super) fn finish(mut lines: Vec<Line>) -> Result<Vec<Line>, QueryError> {
    for line in &mut lines {
        if line.drop_name {
            line.metric = line.metric.without_name();
        }
    }
    // Most come in order of their labels, and then none of them twice.
    if lines.windows(2).all(|pair| pair[0].metric < pair[1].metric) {
        return Ok(lines);
    }
    join(lines)
}

/// Joins series of the same labels; refuses when two have a value at one step.
pub(super) fn join(lines: Vec<Line>) -> Result<Vec<Line>, QueryError> {
    let mut places: HashMap<Metric, usize> = HashMap::with_capacity(lines.len());
    let mut joined: Vec<Line> = Vec::with_capacity(lines.len());
    for line in lines {
        match places.entry(line.metric.clone()) {
            Entry::Vacant(place) => {
                place.insert(joined.len());
                joined.push(line);
            }
            Entry::Occupied(place) => {
                let into = &mut joined[*place.get()];
                into.drop_name |= line.drop_name;
                for step in 0..line.column.len() {
                    match line.column.cell(step) {
                        Cell::Absent => {}
                        _ if into.column.is_present(step) => return execution(SAME_LABELS),
                        cell => into.column.set_cell(step, cell),
                    }
                }
            }
        }
    }
    Ok(joined)
}
