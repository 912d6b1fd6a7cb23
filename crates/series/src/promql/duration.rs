//! What a duration of a query comes to, once its step and range are known.

use super::ast::{Duration, DurationOp};
use super::error::QueryError;

/// Seconds as whole milliseconds; `None` when they are no such time.
pub(super) fn milliseconds(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    (ms.is_finite() && ms.abs() < 9.2e18).then_some(ms as i64)
}

/// The step and the range of the query that a duration stands in, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) step_ms: i64,
    pub(super) range_ms: i64,
}

impl Duration {
    /// In milliseconds.
    pub(super) fn resolve(&self, frame: Frame) -> Result<i64, QueryError> {
        match self {
            Self::Fixed(ms) => Ok(*ms),
            other => {
                milliseconds(other.seconds(frame)?).ok_or_else(|| QueryError::Execution("duration out of range".into()))
            }
        }
    }

    fn seconds(&self, frame: Frame) -> Result<f64, QueryError> {
        Ok(match self {
            Self::Fixed(ms) => *ms as f64 / 1000.0,
            Self::Step => frame.step_ms as f64 / 1000.0,
            Self::Range => frame.range_ms as f64 / 1000.0,
            Self::Negate(inner) => -inner.seconds(frame)?,
            Self::Combined(op, left, right) => {
                let (left, right) = (left.seconds(frame)?, right.seconds(frame)?);
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Subtract => left - right,
                    DurationOp::Multiply => left * right,
                    DurationOp::Divide | DurationOp::Modulo if right == 0.0 => {
                        return super::error::execution("division by zero in a duration");
                    }
                    DurationOp::Divide => left / right,
                    DurationOp::Modulo => left % right,
                    DurationOp::Power => left.powf(right),
                    DurationOp::Min => left.min(right),
                    DurationOp::Max => left.max(right),
                }
            }
        })
    }
}
