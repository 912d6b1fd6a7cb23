//! Business calendars: when somebody is there to do the work, and how much working time lies between two moments.
//!
//! A [`CalendarSpec`] is what people write (weekly hours in a zone, holidays); a [`Calendar`] is the same, checked, and answers.
//! All spans are elapsed time: a stretch of opening hours is an hour longer or shorter on the day the clocks are changed. Wall
//! times that the clocks skip or repeat mean what they mean in [`crate::schedule`]. Nothing here reads a clock.

use jiff::ToSpan;
use jiff::civil::{Date, Time as DayTime, Weekday};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::clock::Time;
use crate::error::FieldError;
use crate::schedule::wall;

/// Days without an opening after which a calendar counts as closed for good: more than any list of holidays should hold.
const MAX_CLOSED_DAYS: usize = 3 * 366;
const MINUTES_A_DAY: u16 = 24 * 60;

/// Opening hours and holidays as people write them. Hours are `09:00-17:30`, several a day; an end at or before the beginning is
/// on the next day (`22:00-06:00`); `00:00-24:00` is the whole day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarSpec {
    /// IANA time zone of the hours, for example `Europe/Berlin`.
    pub timezone: String,
    /// Hours on Mondays.
    pub monday: Vec<String>,
    /// Hours on Tuesdays.
    pub tuesday: Vec<String>,
    /// Hours on Wednesdays.
    pub wednesday: Vec<String>,
    /// Hours on Thursdays.
    pub thursday: Vec<String>,
    /// Hours on Fridays.
    pub friday: Vec<String>,
    /// Hours on Saturdays.
    pub saturday: Vec<String>,
    /// Hours on Sundays.
    pub sunday: Vec<String>,
    /// Days on which nothing opens. What opened the evening before runs to its end.
    pub holidays: Vec<Holiday>,
}

/// A day or a period in which nothing opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// What it is called.
    pub name: String,
    /// First day, for example `2026-12-24`.
    pub from: String,
    /// Last day; the first when left out.
    #[serde(default)]
    pub to: Option<String>,
    /// Comes back every year on the same dates.
    #[serde(default)]
    pub yearly: bool,
}

/// Minutes after midnight; an end past 24:00 is on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hours {
    from: u16,
    to: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Off {
    from: Date,
    days: i64,
    yearly: bool,
    name: String,
}

/// A checked calendar: opens at least once a week, holidays apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    zone: TimeZone,
    /// By weekday, Monday first.
    week: [Vec<Hours>; 7],
    off: Vec<Off>,
}

impl Calendar {
    /// Checks a specification.
    ///
    /// # Errors
    /// The field, what is wrong with it and what is allowed.
    pub fn new(spec: &CalendarSpec) -> Result<Self, FieldError> {
        let zone = wall::zone(&spec.timezone).map_err(|e| FieldError::new("timezone", e))?;
        let days =
            [&spec.monday, &spec.tuesday, &spec.wednesday, &spec.thursday, &spec.friday, &spec.saturday, &spec.sunday];
        let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        let mut week: [Vec<Hours>; 7] = Default::default();
        for ((written, name), hours) in days.into_iter().zip(names).zip(&mut week) {
            *hours = hours_of(written, name)?;
        }
        if week.iter().all(Vec::is_empty) {
            return Err(FieldError::new(
                "monday",
                "a calendar opens on at least one day of the week, for example [\"09:00-17:00\"]",
            ));
        }
        let off = spec
            .holidays
            .iter()
            .enumerate()
            .map(|(i, h)| off_of(h).map_err(|(part, why)| FieldError::new(format!("holidays.{i}.{part}"), why)));
        Ok(Self { zone, week, off: off.collect::<Result<_, _>>()? })
    }

    /// A calendar that is always open.
    pub fn always() -> Self {
        let day = vec![Hours { from: 0, to: MINUTES_A_DAY }];
        Self { zone: TimeZone::UTC, week: std::array::from_fn(|_| day.clone()), off: Vec::new() }
    }

    /// Whether it is open; at the moment of closing it is not.
    pub fn is_open(&self, at: Time) -> bool {
        self.stretches(at).next().is_some_and(|(open, _)| open <= at)
    }

    /// The name of the holiday on that moment's day, if it is one.
    pub fn holiday(&self, at: Time) -> Option<&str> {
        let day = self.zone.to_datetime(at.timestamp()).date();
        self.off.iter().find(|o| o.covers(day)).map(|o| o.name.as_str())
    }

    /// The first moment, from `at` on, at which it is open: `at` itself when it is. `None` when holidays close it for three years.
    pub fn next_open(&self, at: Time) -> Option<Time> {
        self.stretches(at).next().map(|(open, _)| open.max(at))
    }

    /// The first moment after `at` at which it closes; `None` when it does not within three years.
    pub fn next_close(&self, at: Time) -> Option<Time> {
        let mut close = None;
        for (from, to) in self.stretches(at).take(MAX_CLOSED_DAYS) {
            if close.is_some_and(|c| c < from) {
                return close;
            }
            close = Some(to);
        }
        None
    }

    /// The earliest moment by which `span` of opening time has passed since `start`; `start` itself for no span.
    ///
    /// When the calendar closes for good before that, or the span does not fit into it, the end of time.
    pub fn add(&self, start: Time, span: Duration) -> Time {
        let mut left = span;
        if left.is_zero() {
            return start;
        }
        for (open, close) in self.stretches(start) {
            let open = open.max(start);
            let length = close.since(open);
            if left <= length {
                return open.plus(left);
            }
            left -= length;
        }
        Time::from(jiff::Timestamp::MAX)
    }

    /// How much opening time lies between two moments; none when `to` is not after `from`.
    pub fn elapsed(&self, from: Time, to: Time) -> Duration {
        let mut sum = Duration::ZERO;
        for (open, close) in self.stretches(from).take_while(|(open, _)| *open < to) {
            sum += close.min(to).since(open.max(from));
        }
        sum
    }

    /// Stretches of opening that end after `at`, in order, none overlapping; they may adjoin.
    fn stretches(&self, at: Time) -> impl Iterator<Item = (Time, Time)> + '_ {
        // What opens in the evening may run into the next day, so look from the day before.
        let today = self.zone.to_datetime(at.timestamp()).date();
        let mut day = today.yesterday().ok();
        let mut opened: std::vec::IntoIter<(Time, Time)> = Vec::new().into_iter();
        let (mut before, mut closed_days) = (at, 0);
        std::iter::from_fn(move || {
            loop {
                for (open, close) in opened.by_ref() {
                    if close > before {
                        let open = if before > at { open.max(before) } else { open };
                        (before, closed_days) = (close, 0);
                        return Some((open, close));
                    }
                }
                closed_days += 1;
                let this = day.filter(|_| closed_days <= MAX_CLOSED_DAYS)?;
                day = this.tomorrow().ok();
                opened = self.opened_on(this).into_iter();
            }
        })
    }

    fn opened_on(&self, day: Date) -> Vec<(Time, Time)> {
        if self.off.iter().any(|o| o.covers(day)) {
            return Vec::new();
        }
        let hours = &self.week[usize::from(day.weekday().since(Weekday::Monday).unsigned_abs())];
        hours
            .iter()
            .filter_map(|h| Some((self.moment(day, h.from)?, self.moment(day, h.to)?)))
            .filter(|(open, close)| open < close)
            .collect()
    }

    fn moment(&self, day: Date, minutes: u16) -> Option<Time> {
        let day = if minutes < MINUTES_A_DAY { day } else { day.tomorrow().ok()? };
        let minutes = i8::try_from(minutes % 60).ok().zip(i8::try_from(minutes % MINUTES_A_DAY / 60).ok());
        let (minute, hour) = minutes?;
        wall::moment(&self.zone, day.to_datetime(DayTime::new(hour, minute, 0, 0).ok()?)).map(Time::from)
    }
}

impl Off {
    fn covers(&self, day: Date) -> bool {
        let in_period =
            |from: Date| (0..=self.days).contains(&(day.duration_since(from).as_hours() / 24)) && day >= from;
        if !self.yearly {
            return in_period(self.from);
        }
        // A period that spans the new year began in the year before.
        [0, 1]
            .into_iter()
            .filter_map(|back| Date::new(day.year() - back, self.from.month(), self.from.day()).ok())
            .any(in_period)
    }
}

fn hours_of(written: &[String], name: &str) -> Result<Vec<Hours>, FieldError> {
    let mut hours = Vec::new();
    for (i, text) in written.iter().enumerate() {
        let parsed = text
            .split_once('-')
            .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)))
            .filter(|(from, _)| *from < MINUTES_A_DAY);
        let (from, to) = parsed.ok_or_else(|| {
            FieldError::new(
                format!("{name}.{i}"),
                format!("\"{text}\" is not a stretch such as 09:00-17:30, 22:00-06:00 or 00:00-24:00"),
            )
        })?;
        hours.push(Hours { from, to: if to <= from { to + MINUTES_A_DAY } else { to } });
    }
    hours.sort_unstable();
    match hours.windows(2).find(|w| w[1].from < w[0].to) {
        Some(_) => Err(FieldError::new(name, "stretches of one day must not overlap")),
        None => Ok(hours),
    }
}

/// `09:30` as minutes; `24:00` is allowed.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 || !text.trim().bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    Some(hour * 60 + minute).filter(|m| minute < 60 && *m <= MINUTES_A_DAY)
}

fn off_of(holiday: &Holiday) -> Result<Off, (&'static str, String)> {
    let date = |part: &'static str, text: &str| {
        let date = (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten();
        date.ok_or_else(|| (part, format!("\"{text}\" is not a date such as 2026-12-24")))
    };
    let from = date("from", &holiday.from)?;
    let to = holiday.to.as_deref().map_or(Ok(from), |to| date("to", to))?;
    let longest = from.saturating_add(366.days());
    if to < from || (to > longest) {
        return Err(("to", format!("{to} is before {from}, or more than 366 days after it")));
    }
    Ok(Off { from, days: to.duration_since(from).as_hours() / 24, yearly: holiday.yearly, name: holiday.name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> Time {
        Time::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    fn hours(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    /// Nine to five with a break, Berlin, Christmas off, an evening shift on Fridays.
    fn office() -> CalendarSpec {
        let day = || vec!["09:00-12:00".to_owned(), "13:00-17:00".to_owned()];
        CalendarSpec {
            timezone: "Europe/Berlin".into(),
            monday: day(),
            tuesday: day(),
            wednesday: day(),
            thursday: day(),
            friday: vec!["09:00-12:00".into(), "22:00-02:00".into()],
            holidays: vec![
                Holiday {
                    name: "Christmas".into(),
                    from: "2020-12-24".into(),
                    to: Some("2021-01-01".into()),
                    yearly: true,
                },
                Holiday { name: "Stocktaking".into(), from: "2026-11-23".into(), to: None, yearly: false },
            ],
            ..CalendarSpec::default()
        }
    }

    #[test]
    fn opening_time_is_counted_over_nights_weekends_and_holidays() {
        let calendar = Calendar::new(&office()).expect("a calendar");
        for (start, minutes, expected, why) in [
            ("2026-11-24T08:00:00Z", 60, "2026-11-24T09:00:00Z", "within a morning"),
            ("2026-11-24T10:00:00Z", 120, "2026-11-24T13:00:00Z", "over the break"),
            ("2026-11-24T15:00:00Z", 60, "2026-11-24T16:00:00Z", "to the very close, not to the next opening"),
            ("2026-11-24T20:00:00Z", 1, "2026-11-25T08:01:00Z", "starts when it opens"),
            (
                "2026-11-20T11:00:00Z",
                241,
                "2026-11-24T08:01:00Z",
                "evening shift, weekend, and the Monday is a holiday",
            ),
            ("2026-12-23T15:00:00Z", 61, "2027-01-04T08:01:00Z", "Christmas every year, over the new year"),
            ("2026-11-24T20:00:00Z", 0, "2026-11-24T20:00:00Z", "no span is no wait"),
        ] {
            assert_eq!(calendar.add(time(start), hours(minutes)), time(expected), "{start} + {minutes} min: {why}");
        }
        assert_eq!(calendar.holiday(time("2026-12-31T12:00:00Z")), Some("Christmas"));
        assert!(
            calendar.is_open(time("2026-11-21T00:59:59Z")) && !calendar.is_open(time("2026-11-21T01:00:00Z")),
            "Friday's shift ends on Saturday at 02:00"
        );
        assert_eq!(calendar.next_open(time("2026-11-21T01:00:00Z")), Some(time("2026-11-24T08:00:00Z")));
        assert_eq!(calendar.next_close(time("2026-11-21T01:00:00Z")), Some(time("2026-11-24T11:00:00Z")));
        assert_eq!(calendar.next_close(time("2026-11-24T09:00:00Z")), Some(time("2026-11-24T11:00:00Z")));
    }

    #[test]
    fn a_day_with_a_change_of_the_clocks_has_its_real_length() {
        let day = vec!["00:00-24:00".to_owned()];
        for (zone, sunday, minutes) in [
            ("Europe/Berlin", "2026-03-29T00:00:00+01:00", 23 * 60),
            ("Europe/Berlin", "2026-10-25T00:00:00+02:00", 25 * 60),
            ("Australia/Lord_Howe", "2026-04-05T00:00:00+11:00", 24 * 60 + 30),
            ("Antarctica/Troll", "2026-03-29T00:00:00+00:00", 22 * 60),
            ("America/Havana", "2026-03-08T01:00:00-04:00", 23 * 60),
        ] {
            let calendar =
                Calendar::new(&CalendarSpec { timezone: zone.into(), sunday: day.clone(), ..CalendarSpec::default() })
                    .expect(zone);
            let start = time(sunday);
            assert_eq!(calendar.elapsed(start.minus(hours(2000)), start.plus(hours(3000))), hours(minutes), "{zone}");
            assert!(calendar.is_open(start) && !calendar.is_open(start.minus(hours(1))), "{zone}");
        }
    }

    #[test]
    fn a_calendar_that_is_always_open_never_closes_and_counts_plain_time() {
        let calendar = Calendar::always();
        let start = time("2026-02-28T12:34:56Z");
        assert_eq!(calendar.next_close(start), None);
        assert_eq!(calendar.add(start, hours(50_000)), start.plus(hours(50_000)));
    }

    #[test]
    fn a_holiday_that_never_ends_closes_the_calendar_for_good() {
        let holidays = vec![Holiday {
            name: "Shut".into(),
            from: "2020-01-01".into(),
            to: Some("2020-12-31".into()),
            yearly: true,
        }];
        let calendar = Calendar::new(&CalendarSpec { holidays, ..office() }).expect("a calendar");
        let start = time("2026-02-28T12:00:00Z");
        assert_eq!((calendar.next_open(start), calendar.is_open(start)), (None, false));
        assert_eq!(calendar.add(start, hours(1)), Time::from(jiff::Timestamp::MAX));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let bad = |change: fn(&mut CalendarSpec)| {
            let mut spec = office();
            change(&mut spec);
            Calendar::new(&spec).expect_err("refused").field
        };
        assert_eq!(bad(|s| s.timezone = "Berlin".into()), "timezone");
        assert_eq!(bad(|s| s.tuesday = vec!["9-17".into()]), "tuesday.0");
        assert_eq!(bad(|s| s.tuesday = vec!["09:00-24:30".into()]), "tuesday.0");
        assert_eq!(bad(|s| s.tuesday = vec!["09:00-17:00".into(), "16:00-18:00".into()]), "tuesday");
        assert_eq!(bad(|s| s.holidays[1].from = "2026-02-30".into()), "holidays.1.from");
        assert_eq!(bad(|s| s.holidays[0].to = Some("2019-01-01".into())), "holidays.0.to");
        assert!(
            Calendar::new(&CalendarSpec { timezone: "UTC".into(), ..CalendarSpec::default() }).is_err(),
            "never opens"
        );
    }

    fn calendar() -> impl Strategy<Value = Calendar> {
        let stretch = (0u16..1430, 1u16..900).prop_map(|(from, length)| {
            let to = (from + length) % MINUTES_A_DAY;
            format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
        });
        let week = prop::collection::vec(prop::option::weighted(0.7, stretch), 7);
        let zones = prop::sample::select(
            &["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo", "Antarctica/Troll"][..],
        );
        (week, zones, 1i8..29, 0i64..10).prop_map(|(week, zone, day, days)| {
            let mut week = week.into_iter().map(|d| d.into_iter().collect::<Vec<_>>());
            let mut next = || week.next().unwrap_or_default();
            let from: Date = Date::new(2026, 3, day).expect("a date");
            let holidays = vec![Holiday {
                name: "Off".into(),
                from: from.to_string(),
                to: Some(from.saturating_add(days.days()).to_string()),
                yearly: true,
            }];
            let spec = CalendarSpec {
                timezone: zone.into(),
                monday: next(),
                tuesday: next(),
                wednesday: vec!["08:00-16:00".into()],
                thursday: next(),
                friday: next(),
                saturday: next(),
                sunday: next(),
                holidays,
            };
            Calendar::new(&spec).expect("a calendar")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn what_is_added_has_then_elapsed(calendar in calendar(), start in 1_770_000_000i64..1_800_000_000, seconds in 0u64..2_000_000) {
            let (start, span) = (Time::from_micros(start * 1_000_000), Duration::from_secs(seconds));
            let end = calendar.add(start, span);
            prop_assert_eq!(calendar.elapsed(start, end), span);
            // The earliest such moment: a little before it, less has passed.
            if seconds > 0 {
                prop_assert!(calendar.elapsed(start, end.minus(Duration::from_micros(1))) < span);
            }
        }

        #[test]
        fn opening_time_adds_up_and_never_shrinks(calendar in calendar(), start in 1_770_000_000i64..1_800_000_000, a in 0u64..2_000_000, b in 0u64..2_000_000) {
            let start = Time::from_micros(start * 1_000_000);
            let (middle, end) = (start.plus(Duration::from_secs(a)), start.plus(Duration::from_secs(a + b)));
            prop_assert_eq!(calendar.elapsed(start, middle) + calendar.elapsed(middle, end), calendar.elapsed(start, end));
            prop_assert!(calendar.elapsed(start, end) <= end.since(start));
            prop_assert_eq!(calendar.elapsed(end, start), Duration::ZERO.max(if b + a == 0 { calendar.elapsed(start, end) } else { Duration::ZERO }));
        }

        #[test]
        fn a_count_by_minutes_agrees(calendar in calendar(), start in 29_500_000i64..30_000_000, minutes in 1u64..4_000) {
            let start = Time::from_micros(start * 60_000_000);
            let counted = (0..minutes).filter(|m| calendar.is_open(start.plus(Duration::from_secs(m * 60)))).count() as u64;
            prop_assert_eq!(calendar.elapsed(start, start.plus(Duration::from_secs(minutes * 60))), Duration::from_secs(counted * 60));
        }

        #[test]
        fn next_open_and_next_close_are_edges(calendar in calendar(), start in 1_770_000_000i64..1_800_000_000) {
            let start = Time::from_micros(start * 1_000_000);
            let (open, close) = (calendar.next_open(start).expect("opens"), calendar.next_close(start).expect("closes"));
            let little = Duration::from_micros(1);
            prop_assert!(calendar.is_open(open) && !calendar.is_open(close) && calendar.is_open(close.minus(little)));
            prop_assert!(open < close && calendar.elapsed(start, open) == Duration::ZERO);
        }
    }
}
