//! Functions of one float at a time.

use super::Evaluator;
use crate::promql::column::{Column, Line};
use crate::promql::error::QueryError;

/// Replaces every float that is there.
#[inline]
pub(super) fn map_present(column: &mut Column, run: impl Fn(f64) -> f64) {
    for value in &mut column.floats {
        if !crate::labels::is_stale(*value) {
            *value = run(*value);
        }
    }
}

/// The function of that name.
pub(super) fn of_float(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}

impl Evaluator<'_> {
    /// Runs down the floats of each series; histograms are left out. The step tells the function its other arguments.
    pub(super) fn of_each(
        &self,
        lines: Vec<Line>,
        run: impl Fn(usize, f64) -> Option<f64>,
    ) -> Result<Vec<Line>, QueryError> {
        let mut kept = Vec::with_capacity(lines.len());
        for mut line in lines {
            self.budget.work(line.column.len())?;
            line.column.histograms = Vec::new();
            line.drop_name = true;
            for step in 0..line.column.len() {
                let Some(value) = line.column.float(step) else { continue };
                match run(step, value) {
                    Some(value) => line.column.set(step, value),
                    None => line.column.clear(step),
                }
            }
            if !line.column.is_empty() {
                kept.push(line);
            }
        }
        Ok(kept)
    }
}

/// Go's minimum and maximum: NaN wins, unlike in Rust.
pub(super) fn least(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// See [`least`].
pub(super) fn greatest(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
