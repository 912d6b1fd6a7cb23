//! Whose watch it is: layers of people who take turns, in the schedule's own zone, and exceptions to them. Pure but for the look-up.
//!
//! Turns change at the stated time on the wall clock of the zone, so a turn that holds a change of the clocks is an hour shorter
//! or longer. Within a layer exactly one person has the watch at any moment.

use jiff::civil::{Date, DateTime, Time as Wall};
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use kernel::controller::Cx;
use kernel::error::ActError;
use kernel::{Record, Time};
use serde_json::Value;

/// The person whose watch it is now, if there is one.
///
/// # Errors
/// What the kernel says.
pub async fn now(cx: &Cx, schedule: &Record) -> Result<Option<Record>, ActError> {
    match at(schedule, cx.kernel.now()) {
        Some(key) => Ok(cx.kernel.find(&cx.session, &key).await.ok()),
        None => Ok(None),
    }
}

/// Key of the person whose watch it is at `time`: an exception first, else the first layer that has somebody.
pub fn at(schedule: &Record, time: Time) -> Option<String> {
    let zone = TimeZone::get(schedule.text("timezone")).unwrap_or(TimeZone::UTC);
    let layers = schedule.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    let turn = layers.iter().find_map(|layer| of_layer(layer, schedule.created, time, &zone));
    let overrides = schedule.get("overrides").and_then(Value::as_array).cloned().unwrap_or_default();
    let exception = overrides.iter().rev().find(|o| {
        let when = |name: &str| o.get(name).and_then(Value::as_str).and_then(Time::parse);
        let on = when("start").is_some_and(|s| s <= time) && when("end").is_some_and(|e| time < e);
        let instead = o.get("instead_of").and_then(Value::as_str);
        on && (instead.is_none() || instead == turn.as_deref())
    });
    exception.and_then(|o| o.get("person")).and_then(Value::as_str).map(str::to_owned).or(turn)
}

fn of_layer(layer: &Value, created: Time, time: Time, zone: &TimeZone) -> Option<String> {
    let text = |name: &str| layer.get(name).and_then(Value::as_str);
    let people: Vec<&str> = layer.get("people").and_then(Value::as_array)?.iter().filter_map(Value::as_str).collect();
    let local = time.timestamp().to_zoned(zone.clone());
    if people.is_empty() || !holds(layer, &local) {
        return None;
    }
    let hand_off = text("hand_off").and_then(wall).unwrap_or(Wall::constant(9, 0, 0, 0));
    let turns = layer.get("turns").and_then(Value::as_i64).unwrap_or(1).max(1);
    let starts = text("starts").and_then(Time::parse).unwrap_or(created);
    let first = starts.timestamp().to_zoned(zone.clone());
    let passed = turns_passed(text("rotation").unwrap_or("weekly"), &first, &local, hand_off)?.div_euclid(turns);
    let index = passed.rem_euclid(i64::try_from(people.len()).ok()?);
    people.get(usize::try_from(index).ok()?).map(|p| (*p).to_owned())
}

/// Whole units of the rotation between the hand-off at or before `first` and the one at or before `local`; negative before it.
fn turns_passed(rotation: &str, first: &Zoned, local: &Zoned, hand_off: Wall) -> Option<i64> {
    // The day of a moment, where a day begins at the hand-off.
    let day =
        |z: &Zoned| -> Option<Date> { if z.time() >= hand_off { Some(z.date()) } else { z.date().yesterday().ok() } };
    let (from, to) = (day(first)?, day(local)?);
    let days = i64::from(from.until(to).ok()?.get_days());
    Some(match rotation {
        "hourly" => {
            let hour = |z: &Zoned| -> Option<DateTime> {
                DateTime::from_parts(z.date(), Wall::new(z.hour(), 0, 0, 0).ok()?).checked_add(Span::new()).ok()
            };
            let span = hour(first)?.until((jiff::Unit::Hour, hour(local)?)).ok()?;
            i64::from(span.get_hours())
        }
        "daily" => days,
        "monthly" => {
            (i64::from(to.year()) - i64::from(from.year())) * 12 + i64::from(to.month())
                - i64::from(from.month())
                - i64::from(to.day() < from.day())
        }
        _ => days.div_euclid(7),
    })
}

/// Whether the layer holds at that moment: its days and hours.
fn holds(layer: &Value, local: &Zoned) -> bool {
    let text = |name: &str| layer.get(name).and_then(Value::as_str).and_then(wall);
    let days: Vec<&str> =
        layer.get("days").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let on = |offset: i8| {
        let day = (local.weekday().to_monday_zero_offset() + offset).rem_euclid(7);
        days.is_empty() || usize::try_from(day).is_ok_and(|d| days.contains(&names[d]))
    };
    let now = local.time();
    match (text("from"), text("to")) {
        (None, None) => on(0),
        (from, to) => {
            let (from, to) = (from.unwrap_or(Wall::midnight()), to.unwrap_or(Wall::midnight()));
            if from < to {
                on(0) && from <= now && now < to
            } else {
                // Over midnight: the evening belongs to its own day, the morning to the day before.
                (on(0) && now >= from) || (on(-1) && now < to)
            }
        }
    }
}

fn wall(text: &str) -> Option<Wall> {
    let (hour, minute) = text.split_once(':')?;
    Wall::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schedule(layers: Value, overrides: Value) -> Record {
        let fields = json!({"timezone": "Europe/London", "layers": layers, "overrides": overrides});
        crate::testing::record("on-call-schedule", "active", fields)
    }

    fn who(s: &Record, time: &str) -> Option<String> {
        at(s, Time::parse(time).unwrap())
    }

    #[test]
    fn turns_change_at_the_wall_time_also_when_the_clocks_do() {
        let s = schedule(
            json!([{"name": "primary", "people": ["ana", "bob"], "rotation": "weekly", "hand_off": "09:00", "starts": "2026-03-23T09:00:00Z"}]),
            json!([]),
        );
        for (time, person, why) in [
            ("2026-03-23T09:00:00Z", "ana", "the first turn begins"),
            ("2026-03-30T07:59:59Z", "ana", "08:59 in London, which is an hour ahead by now"),
            ("2026-03-30T08:00:00Z", "bob", "09:00 in London"),
            ("2026-04-06T08:00:00Z", "ana", "round again"),
        ] {
            assert_eq!(who(&s, time).as_deref(), Some(person), "{why}");
        }
    }

    #[test]
    fn nights_belong_to_the_evening_they_begin_in() {
        let s = schedule(
            json!([{"name": "nights", "people": ["ana"], "rotation": "daily", "from": "18:00", "to": "08:00", "days": ["friday"], "starts": "2026-11-01T09:00:00Z"}]),
            json!([]),
        );
        assert_eq!(who(&s, "2026-11-20T19:00:00Z").as_deref(), Some("ana"), "Friday evening");
        assert_eq!(who(&s, "2026-11-21T07:00:00Z").as_deref(), Some("ana"), "Saturday morning is Friday's night");
        assert_eq!(who(&s, "2026-11-21T19:00:00Z"), None, "Saturday evening is not");
    }

    #[test]
    fn an_exception_wins_while_it_lasts() {
        let layers =
            json!([{"name": "primary", "people": ["ana"], "rotation": "daily", "starts": "2026-11-01T09:00:00Z"}]);
        let s = schedule(
            layers,
            json!([{"person": "eve", "instead_of": "ana", "start": "2026-11-21T00:00:00Z", "end": "2026-11-22T00:00:00Z"}]),
        );
        assert_eq!(who(&s, "2026-11-21T12:00:00Z").as_deref(), Some("eve"));
        assert_eq!(who(&s, "2026-11-22T00:00:00Z").as_deref(), Some("ana"));
    }
}
