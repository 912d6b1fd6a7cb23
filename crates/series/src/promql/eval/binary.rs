//! Binary operators, value by value; and between scalars and vectors.

use std::sync::Arc;

use super::{Evaluated, Evaluator, Grid};
use crate::histogram::{Histogram, ResetHint};
use crate::promql::annotation::Remark;
use crate::promql::ast::{Binary, BinaryOp, Cardinality, Span};
use crate::promql::column::{Cell, Column, Line};
use crate::promql::error::{QueryError, execution};

/// A value that an operator works on.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Operand<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }

    fn cell(self) -> Cell {
        match self {
            Self::Float(value) => Cell::Float(value),
            Self::Histogram(histogram) => Cell::Histogram(histogram.clone()),
        }
    }
}

impl Column {
    pub(super) fn operand(&self, step: usize) -> Option<Operand<'_>> {
        self.float(step).map(Operand::Float).or_else(|| self.histogram(step).map(Operand::Histogram))
    }
}

/// Arithmetic on floats.
#[inline]
pub(super) fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => f64::NAN,
    }
}

/// Whether a comparison of floats holds.
#[inline]
pub(super) fn compare(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Eq => left == right,
        BinaryOp::Ne => left != right,
        BinaryOp::Gt => left > right,
        BinaryOp::Lt => left < right,
        BinaryOp::Ge => left >= right,
        BinaryOp::Le => left <= right,
        _ => false,
    }
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

impl Evaluator<'_> {
    pub(super) fn binary(&self, binary: &Binary, span: Span, grid: Grid) -> Result<Evaluated, QueryError> {
        let left = self.eval(&binary.left, grid)?;
        let right = self.eval(&binary.right, grid)?;
        match (left, right) {
            (Evaluated::Scalar(left), Evaluated::Scalar(right)) => {
                scalars(binary.op, &left, &right).map(Evaluated::Scalar)
            }
            (Evaluated::Lines(lines), Evaluated::Scalar(values)) => {
                self.with_scalar(binary, span, lines, &values, Side::Right).map(Evaluated::Lines)
            }
            (Evaluated::Scalar(values), Evaluated::Lines(lines)) => {
                self.with_scalar(binary, span, lines, &values, Side::Left).map(Evaluated::Lines)
            }
            (Evaluated::Lines(left), Evaluated::Lines(right)) => {
                let lines = if binary.matching.cardinality == Cardinality::ManyToMany {
                    self.sets(binary, left, right)
                } else {
                    self.vectors(binary, span, left, right, grid)
                };
                lines.map(Evaluated::Lines)
            }
            _ => execution("binary expression must contain only scalar and instant vector types"),
        }
    }

    fn with_scalar(
        &self,
        binary: &Binary,
        span: Span,
        lines: Vec<Line>,
        values: &[f64],
        scalar: Side,
    ) -> Result<Vec<Line>, QueryError> {
        let mut kept = Vec::with_capacity(lines.len());
        for mut line in lines {
            self.budget.work(values.len())?;
            line.drop_name |= binary.as_bool || binary.op.drops_name();
            if line.column.histograms.is_empty() && !binary.op.is_trim() {
                floats_with_scalar(binary, &mut line.column, values, scalar);
            } else {
                let old = std::mem::replace(&mut line.column, Column::absent(values.len()));
                for (step, value) in values.iter().enumerate() {
                    let Some(vector) = old.operand(step) else { continue };
                    let pair = match scalar {
                        Side::Left => (Operand::Float(*value), vector),
                        Side::Right => (vector, Operand::Float(*value)),
                    };
                    line.column.set_cell(step, self.element(binary, span, pair, vector)?);
                }
            }
            if !line.column.is_empty() {
                kept.push(line);
            }
        }
        Ok(kept)
    }

    /// One operation. `kept` is what a comparison that holds lets through.
    pub(super) fn element(
        &self,
        binary: &Binary,
        span: Span,
        (left, right): (Operand<'_>, Operand<'_>),
        kept: Operand<'_>,
    ) -> Result<Cell, QueryError> {
        let op = binary.op;
        let compared = |holds: bool| match (binary.as_bool, holds) {
            (true, holds) => Cell::Float(truth(holds)),
            (false, true) => kept.cell(),
            (false, false) => Cell::Absent,
        };
        let made = |mut histogram: Histogram| {
            histogram.compact();
            Cell::Histogram(Arc::new(histogram))
        };
        self.budget.work(4)?;
        Ok(match (left, right, op) {
            (Operand::Float(l), Operand::Float(r), op) if op.is_comparison() => compared(compare(op, l, r)),
            (Operand::Float(l), Operand::Float(r), op) if !op.is_trim() => Cell::Float(arithmetic(op, l, r)),
            (Operand::Histogram(h), Operand::Float(f), BinaryOp::Mul)
            | (Operand::Float(f), Operand::Histogram(h), BinaryOp::Mul) => {
                let mut scaled = Histogram::clone(h);
                scaled.scale(f);
                made(scaled)
            }
            (Operand::Histogram(h), Operand::Float(f), BinaryOp::Div) => {
                let mut scaled = Histogram::clone(h);
                scaled.divide(f);
                made(scaled)
            }
            (Operand::Histogram(h), Operand::Float(f), BinaryOp::TrimUpper) => made(h.trim_above(f)),
            (Operand::Histogram(h), Operand::Float(f), BinaryOp::TrimLower) => made(h.trim_below(f)),
            (Operand::Histogram(l), Operand::Histogram(r), BinaryOp::Add | BinaryOp::Sub) => {
                self.two_histograms_of(op, l, r, span)
            }
            (Operand::Histogram(l), Operand::Histogram(r), BinaryOp::Eq) => compared(l == r),
            (Operand::Histogram(l), Operand::Histogram(r), BinaryOp::Ne) => compared(l != r),
            (left, right, op) => {
                self.remark(span, &Remark::TypesInOperator { left: left.kind(), op: op.name(), right: right.kind() });
                Cell::Absent
            }
        })
    }

    fn two_histograms_of(&self, op: BinaryOp, left: &Histogram, right: &Histogram, span: Span) -> Cell {
        let mut result = left.clone();
        let (combined, during) = match op {
            BinaryOp::Add => (result.add(right), "addition"),
            _ => (result.subtract(right), "subtraction"),
        };
        let Ok(combined) = combined else {
            self.remark(span, &Remark::MixedSchemasInOperator(op.name()));
            return Cell::Absent;
        };
        if combined.hints_collide {
            self.remark(span, &Remark::HintsCollide(during));
        }
        if combined.bounds_reconciled {
            self.remark(span, &Remark::BoundsReconciled(during));
        }
        if op == BinaryOp::Sub {
            result.hint = ResetHint::Gauge;
        }
        result.compact();
        Cell::Histogram(Arc::new(result))
    }
}

/// On which side of the operator the scalar stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn scalars(op: BinaryOp, left: &[f64], right: &[f64]) -> Result<Vec<f64>, QueryError> {
    if op.is_trim() {
        return execution(format!("operator {:?} needs a vector of histograms", op.name()));
    }
    let one = |(left, right): (&f64, &f64)| {
        if op.is_comparison() { truth(compare(op, *left, *right)) } else { arithmetic(op, *left, *right) }
    };
    Ok(left.iter().zip(right).map(one).collect())
}

/// The usual case, without a look at histograms.
fn floats_with_scalar(binary: &Binary, column: &mut Column, values: &[f64], scalar: Side) {
    let op = binary.op;
    for (cell, value) in column.floats.iter_mut().zip(values) {
        if crate::labels::is_stale(*cell) {
            continue;
        }
        let (left, right) = if scalar == Side::Left { (*value, *cell) } else { (*cell, *value) };
        if !op.is_comparison() {
            *cell = arithmetic(op, left, right);
        } else if binary.as_bool {
            *cell = truth(compare(op, left, right));
        } else if !compare(op, left, right) {
            *cell = crate::labels::stale_marker();
        }
    }
}
