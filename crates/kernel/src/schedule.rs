//! When something is to happen again and again: cron patterns, recurrence rules (RFC 5545) and plain intervals, in IANA zones.
//!
//! Patterns and rules speak of times on the wall. Where the clocks are changed:
//! - a wall time that is skipped happens at the first moment after the gap (once, however many fall into the gap);
//! - a wall time that is shown twice happens once, the first time;
//! - except that what is to happen in *every* hour (cron with `*` for the hour, `FREQ=HOURLY` or `MINUTELY`) also happens in the
//!   repeated hour: an hour of silence would be worse than a wall time that is met twice.
//!
//! `every 15m` counts elapsed time from 1970-01-01T00:00Z and does not see the zone at all. Nothing here reads a clock, keeps
//! state or knows what is scheduled.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::{Time, parse_duration};

mod rule;
pub(crate) mod wall;

use rule::Rule;

/// Longest text of a schedule, in bytes.
pub const MAX_TEXT: usize = 1024;
/// A pattern that does not come round within so many years is refused: `0 0 30 2 *`.
const HORIZON_YEARS: i16 = 41;

/// A schedule: text, zone, and the times that follow from them.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    zone: TimeZone,
    plan: Plan,
}

#[derive(Clone)]
enum Plan {
    Every { micros: i64 },
    Cron { cron: Box<Cron>, every_hour: bool },
    Rule(Box<Rule>),
}

impl Schedule {
    /// Reads a schedule in the IANA zone `timezone`.
    ///
    /// - cron: five fields, or six with seconds first; `@hourly` `@daily` `@midnight` `@weekly` `@monthly` `@yearly`
    /// - `every 15m`: at least a second, at most 366 days
    /// - `RRULE:FREQ=WEEKLY;BYDAY=MO`, with `DTSTART:…` and `EXDATE:…` lines before or after it. Without `DTSTART` it starts on
    ///   1970-01-01 at midnight; a `TZID` of `DTSTART`, or its `Z`, wins over `timezone`.
    ///
    /// # Errors
    /// A sentence that says what is wrong, also for a pattern that never happens.
    pub fn parse(text: &str, timezone: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(format!(
                "a schedule has 1 to {MAX_TEXT} bytes, such as \"0 3 * * 1\", \"@daily\", \"every 15m\" or \"RRULE:FREQ=WEEKLY;BYDAY=MO\""
            ));
        }
        let mut zone = wall::zone(timezone)?;
        let upper = text.to_ascii_uppercase();
        let plan = if let Some(span) = upper.strip_prefix("EVERY ") {
            every(span)?
        } else if upper.contains("FREQ=") || upper.starts_with("DTSTART") {
            let (rule, own_zone) = Rule::parse(&upper, text)?;
            zone = own_zone.unwrap_or(zone);
            Plan::Rule(Box::new(rule))
        } else {
            cron(text)?
        };
        let schedule = Self { text: text.to_owned(), zone, plan };
        schedule.refuse_if_never()?;
        Ok(schedule)
    }

    /// The first time after `after`; `None` when there is none any more.
    pub fn next_after(&self, after: Time) -> Option<Time> {
        if let Plan::Every { micros } = self.plan {
            return after.as_micros().div_euclid(micros).checked_add(1)?.checked_mul(micros).map(Time::from_micros);
        }
        let after = after.timestamp();
        let first = self.next_first_pass(after);
        let until = first.unwrap_or(after);
        let second = if self.every_hour() { self.next_second_pass(after, until) } else { None };
        second.or(first).map(Time::from)
    }

    /// Times from `from` (included) to `to` (excluded), at most `limit`.
    pub fn between(&self, from: Time, to: Time, limit: usize) -> Vec<Time> {
        let mut times = Vec::new();
        let mut last = Time::from_micros(from.as_micros().saturating_sub(1));
        while times.len() < limit
            && let Some(next) = self.next_after(last)
            && next < to
        {
            times.push(next);
            last = next;
        }
        times
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The next moment of a wall time that is shown for the first time, or skipped.
    fn next_first_pass(&self, after: Timestamp) -> Option<Timestamp> {
        // No earlier wall time can have a later moment: only the second pass goes back, and it is not asked for here.
        let mut walls = self.walls_from(whole_second(self.zone.to_datetime(after)));
        loop {
            let wall = walls.next()?;
            let moment = wall::moment(&self.zone, wall)?;
            if !self.ended(moment) && moment > after {
                return Some(moment);
            }
            if self.ended(moment) {
                return None;
            }
        }
    }

    /// The next moment of a wall time that is shown for the second time, before `until`.
    fn next_second_pass(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        wall::second_passes(&self.zone, after, until).find_map(|pass| {
            let from = if after >= pass.start {
                whole_second(pass.offset.to_datetime(after)).max(pass.from)
            } else {
                pass.from
            };
            let mut walls = self.walls_from(from);
            loop {
                let moment = pass.offset.to_timestamp(walls.next().filter(|w| *w < pass.to)?).ok()?;
                if moment > after {
                    return (moment < until && !self.ended(moment)).then_some(moment);
                }
            }
        })
    }

    /// Wall times of the pattern from `from` (included), in order.
    fn walls_from(&self, from: DateTime) -> Box<dyn Iterator<Item = DateTime> + '_> {
        match &self.plan {
            Plan::Every { .. } => Box::new(std::iter::empty()),
            Plan::Rule(rule) => Box::new(rule.walls_from(from)),
            Plan::Cron { cron, .. } => {
                let mut last = None;
                Box::new(std::iter::from_fn(move || {
                    let next = match last {
                        None => cron.find_next_occurrence(&from, true),
                        Some(last) => cron.find_next_occurrence(&last, false),
                    };
                    last = Some(next.ok()?);
                    last
                }))
            }
        }
    }

    fn every_hour(&self) -> bool {
        match &self.plan {
            Plan::Every { .. } => false,
            Plan::Cron { every_hour, .. } => *every_hour,
            Plan::Rule(rule) => rule.every_hour(),
        }
    }

    /// Past the `UNTIL` of a rule, where that is a moment and not a wall time.
    fn ended(&self, moment: Timestamp) -> bool {
        matches!(&self.plan, Plan::Rule(rule) if rule.until_moment().is_some_and(|end| moment > end))
    }

    fn refuse_if_never(&self) -> Result<(), String> {
        let from = match &self.plan {
            Plan::Every { .. } => return Ok(()),
            Plan::Cron { .. } => DateTime::constant(2000, 1, 1, 0, 0, 0, 0),
            Plan::Rule(rule) => rule.start(),
        };
        let first = self.walls_from(from).next();
        let reached = first.is_some_and(|first| first.year().saturating_sub(from.year()) <= HORIZON_YEARS);
        let ended = first.and_then(|first| wall::moment(&self.zone, first)).is_none_or(|moment| self.ended(moment));
        if reached && !ended { Ok(()) } else { Err(format!("\"{}\" never happens", self.text)) }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?} in {})", self.text, self.zone.iana_name().unwrap_or("UTC"))
    }
}

fn whole_second(wall: DateTime) -> DateTime {
    wall.with().subsec_nanosecond(0).build().unwrap_or(wall)
}

fn every(span: &str) -> Result<Plan, String> {
    let span = parse_duration(&span.to_ascii_lowercase())?;
    if span < Duration::from_secs(1) || span > Duration::from_secs(366 * 86_400) {
        return Err("an interval is at least 1s and at most 366d".into());
    }
    let micros = i64::try_from(span.as_micros()).expect("366 days of microseconds fit");
    Ok(Plan::Every { micros })
}

fn cron(text: &str) -> Result<Plan, String> {
    // croner knows the other nicknames; an unknown one must not be taken for a pattern of one field.
    let pattern = if text.eq_ignore_ascii_case("@midnight") { "0 0 * * *" } else { text };
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(pattern).map_err(|e| format!("\"{text}\" is not a schedule such as \"0 3 * * 1\", \"@daily\", \"every 15m\" or \"RRULE:FREQ=WEEKLY;BYDAY=MO\": {e}"))?;
    let every_hour = cron.pattern.hours.count_set_values(1) == 24;
    Ok(Plan::Cron { cron: Box::new(cron), every_hour })
}

impl FromStr for Schedule {
    type Err = String;

    /// In UTC.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, "UTC")
    }
}

#[cfg(test)]
mod tests;
