//! An interval: a stretch of time during which something had a health state.
//!
//! Service levels, status pages and incidents all read the same intervals. A correction supersedes one and keeps it: nothing here
//! is ever overwritten except the open end of the newest.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::Id;
use crate::record::HealthState;

/// A stretch of time of one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Its id.
    pub id: Id,
    /// Whose state it was.
    #[serde(skip)]
    pub subject: Option<Id>,
    /// The state.
    pub state: HealthState,
    /// From, inclusive.
    pub start: Time,
    /// To, exclusive; `None` while it lasts.
    pub end: Option<Time>,
    /// Journal entry that opened it.
    pub cause: u64,
    /// What was seen, or why it was corrected.
    pub reason: String,
    /// The interval that replaced this one by a correction; such an interval no longer counts.
    pub corrected_by: Option<Id>,
}

impl Interval {
    /// Whether it counts: not superseded by a correction.
    pub fn counts(&self) -> bool {
        self.corrected_by.is_none()
    }
}

/// A correction of the past: what it should have said, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// The state it really was.
    pub state: HealthState,
    /// From.
    pub start: Time,
    /// To; `None` only when the corrected interval is still open.
    pub end: Option<Time>,
    /// Why; asked for, since the figure that customers see changes.
    pub reason: String,
}

/// Total time in each state between `from` and `to`, in microseconds, over intervals that count.
pub fn totals(intervals: &[Interval], from: Time, to: Time, now: Time) -> Vec<(HealthState, i64)> {
    let mut totals: Vec<(HealthState, i64)> = Vec::new();
    for interval in intervals.iter().filter(|i| i.counts()) {
        let start = interval.start.max(from);
        let end = interval.end.unwrap_or(now).min(to);
        let span = end.as_micros().saturating_sub(start.as_micros()).max(0);
        match totals.iter_mut().find(|(s, _)| *s == interval.state) {
            Some((_, total)) => *total += span,
            None => totals.push((interval.state, span)),
        }
    }
    totals
}
