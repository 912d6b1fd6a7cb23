//! From a time on the wall to a moment, in a time zone: the one place that knows what a change of the clocks does.
//!
//! A wall time that the clocks skip stands for the first moment after the gap; one that they show twice stands for the first of
//! the two. Nothing here reads a clock; zones come from the IANA database by name.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::error::near;

/// The IANA time zone of that name.
///
/// # Errors
/// A sentence with the names that look alike.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    let known = !name.is_empty() && name.len() <= 64;
    known.then(|| TimeZone::get(name).ok()).flatten().ok_or_else(|| {
        let names: Vec<String> = jiff::tz::db().available().map(|n| n.as_str().to_lowercase()).collect();
        let near = if known { near(name, names.iter().map(String::as_str)) } else { Vec::new() };
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
        format!("\"{name}\" is not an IANA time zone such as Europe/Berlin or UTC{hint}")
    })
}

/// The moment at which the clocks in `zone` show `wall`; the first moment after the gap when they skip it, the first of two when
/// they show it twice. `None` only at the ends of time.
pub fn moment(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            let shortly_before = after.to_timestamp(wall).ok()?;
            zone.following(shortly_before)
                .map(|t| (t.timestamp(), t.offset()))
                .find(|(_, offset)| *offset == after)
                .map(|(t, _)| t)
        }
    }
}

/// A stretch that the clocks show a second time, because they were set back at `start`.
#[derive(Clone, Copy, Debug)]
pub struct SecondPass {
    /// When the clocks were set back, and the second showing begins.
    pub start: Timestamp,
    /// First wall time that is shown again.
    pub from: DateTime,
    /// First wall time that is not.
    pub to: DateTime,
    /// What the clocks go by from `start` on.
    pub offset: Offset,
}

/// The second passes that end after `after` and begin before `before`, oldest first.
pub fn second_passes(zone: &TimeZone, after: Timestamp, before: Timestamp) -> impl Iterator<Item = SecondPass> + '_ {
    // No zone has ever set its clocks back by more than a day.
    let search_from = after.checked_sub(jiff::SignedDuration::from_hours(26)).unwrap_or(Timestamp::MIN);
    zone.following(search_from)
        .map(|t| (t.timestamp(), t.offset()))
        .take_while(move |(start, _)| *start < before)
        .filter_map(move |(start, offset)| {
            let shortly_before = start.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?;
            let pass = SecondPass {
                start,
                from: offset.to_datetime(start),
                to: zone.to_offset(shortly_before).to_datetime(start),
                offset,
            };
            let ends = offset.to_timestamp(pass.to).ok()?;
            (pass.from < pass.to && ends > after).then_some(pass)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_and_repeated_wall_times_have_one_stated_moment() {
        for (name, wall, expected, why) in [
            ("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:00:00Z", "skipped: the first moment after the gap"),
            ("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z", "shown twice: the first"),
            ("Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:30:00Z", "a gap of half an hour"),
            (
                "Antarctica/Troll",
                "2026-03-29T01:30:00",
                "2026-03-29T01:00:00Z",
                "a gap of two hours, from 01:00 to 03:00",
            ),
            ("Africa/Cairo", "2026-04-24T00:00:00", "2026-04-23T22:00:00Z", "the day has no midnight"),
            ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T10:00:00Z", "a whole day that never was"),
        ] {
            let zone = zone(name).expect(name);
            assert_eq!(
                moment(&zone, wall.parse().expect(wall)).expect(wall).to_string(),
                expected,
                "{name} {wall}: {why}"
            );
        }
    }

    #[test]
    fn an_unknown_zone_is_told_with_the_near_ones() {
        let error = zone("Europe/Berln").expect_err("no such zone");
        assert!(error.contains("europe/berlin"), "{error}");
        for bad in ["", "CET-1CEST", "+02:00", "../etc/passwd"] {
            assert!(zone(bad).is_err(), "{bad}");
        }
    }
}
