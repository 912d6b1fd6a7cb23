//! Recurrence rules of RFC 5545, on wall times.
//!
//! Written here and not taken from the `rrule` crate, because that brings a second time-zone database (chrono-tz) whose rules for
//! skipped and repeated hours are not ours; the tests compare with it. A rule is walked period by period (a year, a month, …): the
//! days of the period that pass, times the times of day, then `BYSETPOS`. Not supported, and refused by name: `SECONDLY`,
//! `BYWEEKNO`, `BYYEARDAY`, `BYSECOND`, `RDATE`, more than one rule.

use jiff::civil::{Date, DateTime, Time as DayTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::wall;

/// Most occurrences that a `COUNT` may ask for: they are counted from the start each time.
const MAX_COUNT: u32 = 10_000;
/// A rule without an occurrence for so many days in a row has ended: 41 years, the longest wait for a 29th of February that is
/// also a given weekday across a century that has none.
const MAX_WAIT_DAYS: i64 = 41 * 366;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Freq {
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    Wall(DateTime),
    Moment(Timestamp),
}

/// One rule with its start and the times it leaves out.
#[derive(Clone, Debug)]
pub struct Rule {
    start: DateTime,
    freq: Freq,
    interval: i64,
    count: Option<u32>,
    until: Option<Until>,
    months: Vec<i8>,
    month_days: Vec<i8>,
    /// With the ordinal that may stand before it: `2MO`, `-1FR`; 0 is every one.
    weekdays: Vec<(i16, Weekday)>,
    hours: Vec<i8>,
    minutes: Vec<i8>,
    positions: Vec<i32>,
    week_start: Weekday,
    left_out: Vec<DateTime>,
}

impl Rule {
    /// Reads the lines of a rule, given in upper case; `original` has the zone names as written. Also gives the zone that
    /// `DTSTART` names, if it does.
    ///
    /// # Errors
    /// A sentence that names the part and what is allowed.
    pub fn parse(upper: &str, original: &str) -> Result<(Self, Option<TimeZone>), String> {
        let (mut start, mut zone, mut parts, mut left_out) = (None, None, None, Vec::new());
        let mut start_parameters = "";
        for (line, written) in
            upper.lines().zip(original.lines()).map(|(l, w)| (l.trim(), w.trim())).filter(|(l, _)| !l.is_empty())
        {
            let (head, value) = line.split_once(':').unwrap_or(("RRULE", line));
            match head.split(';').next().unwrap_or_default() {
                "DTSTART" if start.is_none() => {
                    (start, zone) = dtstart(head, value, written).map(|(s, z)| (Some(s), z))?;
                    start_parameters = head.trim_start_matches("DTSTART");
                }
                // In the same zone as DTSTART, which must stand before it: anything else would be left out at the wrong time.
                "EXDATE" if head.trim_start_matches("EXDATE") == start_parameters => {
                    let utc = zone.as_ref().is_some_and(|z| *z == TimeZone::UTC);
                    for date in value.split(',') {
                        left_out.push(date_time(if utc { date.trim_end_matches('Z') } else { date })?);
                    }
                }
                "RRULE" if parts.is_none() => parts = Some(value),
                other => {
                    return Err(format!(
                        "{other} stands twice, is in another zone than DTSTART or is not supported; a rule has one DTSTART, one RRULE and any EXDATE"
                    ));
                }
            }
        }
        let mut rule = Self::of_parts(parts.ok_or("an RRULE line is missing")?, start)?;
        rule.left_out = left_out;
        Ok((rule, zone))
    }

    fn of_parts(parts: &str, start: Option<DateTime>) -> Result<Self, String> {
        let mut rule = Self {
            start: start.unwrap_or(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)),
            freq: Freq::Daily,
            interval: 1,
            count: None,
            until: None,
            months: Vec::new(),
            month_days: Vec::new(),
            weekdays: Vec::new(),
            hours: Vec::new(),
            minutes: Vec::new(),
            positions: Vec::new(),
            week_start: Weekday::Monday,
            left_out: Vec::new(),
        };
        let mut seen: Vec<&str> = Vec::new();
        for part in parts.split(';').filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("\"{part}\" is not NAME=VALUE"))?;
            if seen.contains(&name) {
                return Err(format!("{name} stands twice"));
            }
            seen.push(name);
            rule.set(name, value)?;
        }
        if !seen.contains(&"FREQ") {
            return Err("FREQ is missing".into());
        }
        rule.check(start.is_some())?;
        Ok(rule)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "FREQ" => {
                self.freq = match value {
                    "MINUTELY" => Freq::Minutely,
                    "HOURLY" => Freq::Hourly,
                    "DAILY" => Freq::Daily,
                    "WEEKLY" => Freq::Weekly,
                    "MONTHLY" => Freq::Monthly,
                    "YEARLY" => Freq::Yearly,
                    _ => {
                        return Err(format!(
                            "FREQ={value}: one of MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY, YEARLY; for seconds write \"every 30s\""
                        ));
                    }
                };
            }
            "INTERVAL" => self.interval = numbers(name, value, 1, 10_000)?[0].into(),
            "COUNT" => self.count = Some(numbers(name, value, 1, MAX_COUNT.cast_signed())?[0].cast_unsigned()),
            "UNTIL" => self.until = Some(until(value)?),
            "BYMONTH" => self.months = small(name, value, 1, 12)?,
            "BYMONTHDAY" => self.month_days = small(name, value, -31, 31)?,
            "BYHOUR" => self.hours = small(name, value, 0, 23)?,
            "BYMINUTE" => self.minutes = small(name, value, 0, 59)?,
            "BYSETPOS" => self.positions = numbers(name, value, -366, 366)?,
            "BYDAY" => self.weekdays = value.split(',').map(weekday).collect::<Result<_, _>>()?,
            "WKST" => self.week_start = weekday(value)?.1,
            _ => {
                return Err(format!(
                    "{name} is not supported; a rule has FREQ, INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSETPOS and WKST"
                ));
            }
        }
        Ok(())
    }

    fn check(&self, has_start: bool) -> Result<(), String> {
        if self.month_days.contains(&0) || self.positions.contains(&0) {
            return Err("BYMONTHDAY and BYSETPOS count from 1, or from -1 backwards".into());
        }
        if self.weekdays.iter().any(|(ordinal, _)| *ordinal != 0) && !matches!(self.freq, Freq::Monthly | Freq::Yearly)
        {
            return Err("a number before a weekday, as in 2MO, needs FREQ=MONTHLY or YEARLY".into());
        }
        if self.freq == Freq::Weekly && !self.month_days.is_empty() {
            return Err("BYMONTHDAY has no meaning with FREQ=WEEKLY".into());
        }
        if self.count.is_some() && self.until.is_some() {
            return Err("COUNT and UNTIL exclude each other".into());
        }
        if !has_start && (self.count.is_some() || (self.freq == Freq::Weekly && self.weekdays.is_empty())) {
            return Err("without DTSTART there can be no COUNT, and FREQ=WEEKLY needs BYDAY".into());
        }
        Ok(())
    }

    /// First wall time that it can have.
    pub fn start(&self) -> DateTime {
        self.start
    }

    /// Whether it happens in every hour, so that a repeated hour is to have it twice.
    pub fn every_hour(&self) -> bool {
        matches!(self.freq, Freq::Minutely | Freq::Hourly)
            && self.hours.is_empty()
            && self.count.is_none()
            && (self.freq == Freq::Minutely || self.interval == 1)
    }

    /// The moment after which nothing happens, when `UNTIL` is in UTC.
    pub fn until_moment(&self) -> Option<Timestamp> {
        match self.until {
            Some(Until::Moment(end)) => Some(end),
            _ => None,
        }
    }

    /// Its wall times from `from` (included), in order.
    pub fn walls_from(&self, from: DateTime) -> impl Iterator<Item = DateTime> + '_ {
        // COUNT counts from the start; everything else can begin near `from`.
        let first = if self.count.is_some() || from <= self.start {
            0
        } else {
            self.period_at(from.date(), from.hour(), from.minute())
        };
        let mut walk = Walk {
            rule: self,
            period: first,
            ready: Vec::new().into_iter(),
            last_day: from.date().max(self.start.date()),
            over: false,
        };
        let mut left = self.count.unwrap_or(u32::MAX);
        std::iter::from_fn(move || {
            loop {
                let wall = walk.next().filter(|_| left > 0)?;
                if matches!(self.until, Some(Until::Wall(end)) if wall > end) {
                    return None;
                }
                if wall < self.start {
                    continue;
                }
                left = left.saturating_sub(u32::from(self.count.is_some()));
                if wall >= from && !self.left_out.contains(&wall) {
                    return Some(wall);
                }
            }
        })
    }

    /// Number of the period in which that time lies, rounded down.
    fn period_at(&self, date: Date, hour: i8, minute: i8) -> i64 {
        let start = self.start.date();
        let days = days_between(start, date);
        let units = match self.freq {
            Freq::Yearly => i64::from(date.year() - start.year()),
            Freq::Monthly => i64::from(date.year() - start.year()) * 12 + i64::from(date.month() - start.month()),
            Freq::Weekly => days_between(self.week_of(start), self.week_of(date)) / 7,
            Freq::Daily => days,
            Freq::Hourly => days * 24 + i64::from(hour - self.start.hour()),
            Freq::Minutely => {
                (days * 24 + i64::from(hour - self.start.hour())) * 60 + i64::from(minute - self.start.minute())
            }
        };
        units.max(0).div_euclid(self.interval)
    }

    fn week_of(&self, date: Date) -> Date {
        let back = date.weekday().since(self.week_start);
        date.saturating_sub(i64::from(back).days())
    }

    /// The days of a period and, below a day, its hour and minute. `None` past the end of the calendar.
    fn period(&self, number: i64) -> Option<(Date, Date, Option<i8>, Option<i8>)> {
        let units = number.checked_mul(self.interval)?;
        let start = self.start.date();
        Some(match self.freq {
            Freq::Yearly => {
                let year = i16::try_from(units + i64::from(start.year())).ok()?;
                (Date::new(year, 1, 1).ok()?, Date::new(year, 12, 31).ok()?, None, None)
            }
            Freq::Monthly => {
                let months = units + i64::from(start.year()) * 12 + i64::from(start.month()) - 1;
                let first = Date::new(
                    i16::try_from(months.div_euclid(12)).ok()?,
                    i8::try_from(months.rem_euclid(12) + 1).ok()?,
                    1,
                )
                .ok()?;
                (first, first.last_of_month(), None, None)
            }
            Freq::Weekly => {
                let first =
                    self.week_of(start).checked_add(SignedDuration::from_hours(units.checked_mul(7 * 24)?)).ok()?;
                (first, first.checked_add(6.days()).ok()?, None, None)
            }
            Freq::Daily => {
                let day = start.checked_add(SignedDuration::from_hours(units.checked_mul(24)?)).ok()?;
                (day, day, None, None)
            }
            Freq::Hourly | Freq::Minutely => {
                let minutes = if self.freq == Freq::Hourly { units.checked_mul(60)? } else { units };
                let at = self.start.checked_add(SignedDuration::from_mins(minutes)).ok()?;
                (at.date(), at.date(), Some(at.hour()), (self.freq == Freq::Minutely).then(|| at.minute()))
            }
        })
    }

    fn day_passes(&self, day: Date) -> bool {
        let (monthly, yearly) = (self.freq == Freq::Monthly, self.freq == Freq::Yearly);
        let no_days = self.month_days.is_empty() && self.weekdays.is_empty();
        let month = self.months.is_empty() && !(yearly && no_days && day.month() != self.start.month())
            || self.months.contains(&day.month());
        let from_end = day.day() - day.days_in_month() - 1;
        let month_day =
            self.month_days.is_empty() || self.month_days.contains(&day.day()) || self.month_days.contains(&from_end);
        let weekday = self.weekdays.is_empty()
            || self
                .weekdays
                .iter()
                .any(|(ordinal, weekday)| day.weekday() == *weekday && (*ordinal == 0 || self.is_nth(day, *ordinal)));
        let by_start = match self.freq {
            _ if !no_days => true,
            Freq::Weekly => day.weekday() == self.start.weekday(),
            _ if monthly || yearly => day.day() == self.start.day(),
            _ => true,
        };
        month && month_day && weekday && by_start
    }

    /// Whether `day` is the n-th of its weekday: in its month, or in its year for a yearly rule that names no month.
    fn is_nth(&self, day: Date, ordinal: i16) -> bool {
        let (place, length) = if self.freq == Freq::Yearly && self.months.is_empty() {
            (day.day_of_year(), day.days_in_year())
        } else {
            (day.day().into(), day.days_in_month().into())
        };
        if ordinal > 0 { (place - 1) / 7 + 1 == ordinal } else { (length - place) / 7 + 1 == -ordinal }
    }

    fn hour_passes(&self, hour: i8) -> bool {
        self.hours.is_empty() || self.hours.contains(&hour)
    }

    /// The wall times of one period, in order.
    fn expand(&self, first: Date, last: Date, hour: Option<i8>, minute: Option<i8>) -> Vec<DateTime> {
        let one = |given: Option<i8>, by: &[i8], start: i8| match given {
            Some(value) if by.is_empty() || by.contains(&value) => vec![value],
            Some(_) => Vec::new(),
            None if by.is_empty() => vec![start],
            None => by.to_vec(),
        };
        let hours = one(hour, &self.hours, self.start.hour());
        let minutes = one(minute, &self.minutes, self.start.minute());
        let mut walls = Vec::new();
        for day in first.series(1.day()).take_while(|d| *d <= last).filter(|d| self.day_passes(*d)) {
            for &hour in &hours {
                walls.extend(
                    minutes
                        .iter()
                        .map(|&minute| day.to_datetime(DayTime::constant(hour, minute, self.start.second(), 0))),
                );
            }
        }
        if self.positions.is_empty() {
            return walls;
        }
        let count = i32::try_from(walls.len()).unwrap_or(i32::MAX);
        let mut places: Vec<usize> = self
            .positions
            .iter()
            .map(|&p| if p > 0 { p - 1 } else { count + p })
            .filter_map(|p| usize::try_from(p).ok())
            .collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|p| walls.get(p).copied()).collect()
    }
}

/// Walks the periods of a rule.
struct Walk<'a> {
    rule: &'a Rule,
    period: i64,
    ready: std::vec::IntoIter<DateTime>,
    /// Day of the last wall time found, or where the walk began.
    last_day: Date,
    over: bool,
}

impl Iterator for Walk<'_> {
    type Item = DateTime;

    fn next(&mut self) -> Option<DateTime> {
        loop {
            if let Some(wall) = self.ready.next() {
                self.last_day = wall.date();
                return Some(wall);
            }
            let (first, last, hour, minute) = self.rule.period(self.period).filter(|_| !self.over)?;
            if days_between(self.last_day, first) > MAX_WAIT_DAYS {
                self.over = true;
                return None;
            }
            let next = self.period + 1;
            // Below a day, days and hours that do not pass are jumped over: a minute at a time would take for ever.
            self.period = match hour {
                Some(_) if !self.rule.day_passes(first) => next.max(self.rule.period_at(first.tomorrow().ok()?, 0, 0)),
                Some(hour) if minute.is_some() && !self.rule.hour_passes(hour) => {
                    let (day, hour) = if hour == 23 { (first.tomorrow().ok()?, 0) } else { (first, hour + 1) };
                    next.max(self.rule.period_at(day, hour, 0))
                }
                _ => {
                    self.ready = self.rule.expand(first, last, hour, minute).into_iter();
                    next
                }
            };
        }
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    to.duration_since(from).as_hours() / 24
}

fn numbers(name: &str, value: &str, min: i32, max: i32) -> Result<Vec<i32>, String> {
    let all = value.split(',').map(|n| n.parse::<i32>().ok().filter(|n| (min..=max).contains(n)));
    let mut all: Vec<i32> =
        all.collect::<Option<_>>().ok_or_else(|| format!("{name}={value}: whole numbers from {min} to {max}"))?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn small(name: &str, value: &str, min: i32, max: i32) -> Result<Vec<i8>, String> {
    Ok(numbers(name, value, min, max)?.into_iter().filter_map(|n| i8::try_from(n).ok()).collect())
}

fn weekday(text: &str) -> Result<(i16, Weekday), String> {
    let wrong = || format!("\"{text}\" is not a weekday such as MO, 2TU or -1FR");
    let (ordinal, name) = text.is_ascii().then(|| text.split_at(text.len().saturating_sub(2))).ok_or_else(wrong)?;
    let weekday = match name {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return Err(wrong()),
    };
    let ordinal = if ordinal.is_empty() {
        0
    } else {
        ordinal.parse::<i16>().ok().filter(|n| *n != 0 && n.abs() <= 53).ok_or_else(wrong)?
    };
    Ok((ordinal, weekday))
}

fn dtstart(head: &str, value: &str, written: &str) -> Result<(DateTime, Option<TimeZone>), String> {
    let mut zone = None;
    for parameter in head.split(';').skip(1) {
        match parameter.split_once('=') {
            Some(("TZID", _)) => {
                let name = written
                    .split(':')
                    .next()
                    .and_then(|h| h.split(';').find_map(|p| p.split_once('=')))
                    .map_or("", |(_, name)| name);
                zone = Some(wall::zone(name)?);
            }
            Some(("VALUE", "DATE" | "DATE-TIME")) => {}
            _ => return Err(format!("DTSTART;{parameter}: only TZID=… and VALUE=DATE are known")),
        }
    }
    let local = value.strip_suffix('Z');
    if local.is_some() && zone.is_none() {
        zone = Some(TimeZone::UTC);
    }
    Ok((date_time(local.unwrap_or(value))?, zone))
}

fn until(value: &str) -> Result<Until, String> {
    if let Some(local) = value.strip_suffix('Z') {
        let moment = wall::moment(&TimeZone::UTC, date_time(local)?);
        return moment.map(Until::Moment).ok_or_else(|| format!("UNTIL={value} is out of range"));
    }
    let end = date_time(value)?;
    Ok(Until::Wall(if value.len() == 8 { end.date().to_datetime(DayTime::constant(23, 59, 59, 0)) } else { end }))
}

/// `20261121T090000`, or `20261121` for midnight.
fn date_time(text: &str) -> Result<DateTime, String> {
    let wrong = || format!("\"{text}\" is not a time such as 20261121T090000 or a date such as 20261121");
    let (date, time) = text.split_once('T').unwrap_or((text, "000000"));
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(date, 8) || !digits(time, 6) {
        return Err(wrong());
    }
    let part = |text: &str, at: usize| text[at..at + 2].parse::<i8>().map_err(|_| wrong());
    let year = date[..4].parse::<i16>().map_err(|_| wrong())?;
    let day = Date::new(year, part(date, 4)?, part(date, 6)?).map_err(|_| wrong())?;
    let time = DayTime::new(part(time, 0)?, part(time, 2)?, part(time, 4)?, 0).map_err(|_| wrong())?;
    Ok(day.to_datetime(time))
}
