//! Schedules against an oracle that steps minute by minute and knows nothing of how they are computed.

use super::*;
use jiff::ToSpan;
use jiff::civil::DateTime;
use proptest::prelude::*;

/// Zones with unusual changes of the clocks among ordinary ones.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Havana",
    "America/Santiago",
    "Asia/Gaza",
    "America/Asuncion",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Pacific/Chatham",
    "America/St_Johns",
    "Asia/Kathmandu",
    "America/Nuuk",
    "Pacific/Easter",
    "Asia/Tehran",
    "America/Sao_Paulo",
];

fn time(text: &str) -> Time {
    Time::parse(text).unwrap_or_else(|| panic!("{text}"))
}

fn next(text: &str, zone: &str, after: &str) -> String {
    let schedule = Schedule::parse(text, zone).unwrap_or_else(|e| panic!("{text}: {e}"));
    schedule.next_after(time(after)).map_or("never".into(), |t| t.to_string())
}

/// Moments, minute by minute, at which a pattern given as a test of wall times happens, by the three stated rules.
fn stepped(
    zone: &TimeZone,
    from: Timestamp,
    to: Timestamp,
    every_hour: bool,
    matches: impl Fn(DateTime) -> bool,
) -> Vec<Time> {
    let mut found = Vec::new();
    let mut now = from.checked_sub(jiff::SignedDuration::from_hours(48)).expect("in range");
    let mut latest_wall = zone.to_datetime(now);
    while now < to {
        let wall = zone.to_datetime(now);
        let (mut skipped, mut hit) =
            (latest_wall.saturating_add(1.minute()), matches(wall) && (every_hour || wall > latest_wall));
        while skipped < wall {
            hit |= matches(skipped);
            skipped = skipped.saturating_add(1.minute());
        }
        if hit && now >= from {
            found.push(Time::from(now));
        }
        latest_wall = latest_wall.max(wall);
        now = now.checked_add(jiff::SignedDuration::from_mins(1)).expect("in range");
    }
    found
}

/// A cron pattern as sets, so that the oracle need not read the text.
#[derive(Debug, Clone)]
struct Pattern {
    minutes: Vec<i8>,
    hours: Option<Vec<i8>>,
    days: Option<Vec<i8>>,
    weekdays: Option<Vec<i8>>,
}

impl Pattern {
    fn text(&self) -> String {
        let list = |numbers: &Option<Vec<i8>>| {
            numbers.as_ref().map_or("*".into(), |n| n.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        };
        format!(
            "{} {} {} * {}",
            list(&Some(self.minutes.clone())),
            list(&self.hours),
            list(&self.days),
            list(&self.weekdays)
        )
    }

    fn matches(&self, wall: DateTime) -> bool {
        let has = |numbers: &Option<Vec<i8>>, value: i8| numbers.as_ref().is_none_or(|n| n.contains(&value));
        let (day, weekday) = (has(&self.days, wall.day()), has(&self.weekdays, wall.weekday().to_sunday_zero_offset()));
        // Cron's own rule: when both days are restricted, either will do.
        let either = if self.days.is_some() && self.weekdays.is_some() { day || weekday } else { day && weekday };
        self.minutes.contains(&wall.minute()) && has(&self.hours, wall.hour()) && either
    }
}

fn set(range: std::ops::Range<i8>, most: usize) -> impl Strategy<Value = Vec<i8>> {
    prop::collection::btree_set(range, 1..=most).prop_map(|s| s.into_iter().collect())
}

fn pattern() -> impl Strategy<Value = Pattern> {
    // Mostly night hours: there the clocks are changed.
    let hours = prop_oneof![Just(None), set(0..5, 3).prop_map(Some), set(0..24, 4).prop_map(Some)];
    (set(0..60, 4), hours, prop::option::weighted(0.2, set(1..32, 15)), prop::option::weighted(0.2, set(0..7, 4)))
        .prop_map(|(minutes, hours, days, weekdays)| Pattern { minutes, hours, days, weekdays })
}

/// A moment within two days of the `n`-th change of the clocks after 2024, or just some day where the zone has none.
fn near_change(zone: &TimeZone, n: usize, hours: i64) -> Timestamp {
    let start: Timestamp = "2024-01-01T00:00:00Z".parse().expect("a time");
    let change = zone.following(start).nth(n).map_or(start, |t| t.timestamp());
    // Zone files may end with a change in name only at 2038-01-19T03:14:07Z; the oracle steps by whole minutes.
    let minute = change.round(jiff::Unit::Minute).expect("in range");
    minute.checked_add(jiff::SignedDuration::from_hours(hours)).expect("in range")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cron_happens_exactly_when_the_minute_stepping_oracle_says(pattern in pattern(), zone in 0..ZONES.len(), n in 0usize..10, hours in -40i64..10) {
        let zone_name = ZONES[zone];
        let zone = wall::zone(zone_name).expect(zone_name);
        let from = near_change(&zone, n, hours);
        let to = from.checked_add(jiff::SignedDuration::from_hours(60)).expect("in range");
        let schedule = Schedule::parse(&pattern.text(), zone_name).expect("a pattern");
        let expected = stepped(&zone, from, to, pattern.hours.as_ref().is_none_or(|h| h.len() == 24), |wall| pattern.matches(wall));
        prop_assert_eq!(schedule.between(from.into(), to.into(), 10_000), expected, "{} in {} from {}", pattern.text(), zone_name, from);
    }

    #[test]
    fn a_daily_rule_happens_once_each_day_in_every_zone(zone in 0..ZONES.len(), hour in 0i8..24, minute in 0i8..60, n in 0usize..10) {
        let zone_name = ZONES[zone];
        let zone = wall::zone(zone_name).expect(zone_name);
        let from = near_change(&zone, n, -60);
        let to = from.checked_add(jiff::SignedDuration::from_hours(120)).expect("in range");
        let schedule = Schedule::parse(&format!("RRULE:FREQ=DAILY;BYHOUR={hour};BYMINUTE={minute}"), zone_name).expect("a rule");
        let expected = stepped(&zone, from, to, false, |wall| wall.hour() == hour && wall.minute() == minute);
        prop_assert_eq!(schedule.between(from.into(), to.into(), 100), expected, "in {} from {}", zone_name, from);
    }

    #[test]
    fn hourly_and_minutely_rules_agree_with_the_oracle(zone in 0..ZONES.len(), minute in 0i8..60, by_hour in prop::option::of(0i8..5), n in 0usize..10) {
        let zone_name = ZONES[zone];
        let zone = wall::zone(zone_name).expect(zone_name);
        let from = near_change(&zone, n, -20);
        let to = from.checked_add(jiff::SignedDuration::from_hours(40)).expect("in range");
        let hours = by_hour.map_or(String::new(), |h| format!(";BYHOUR={h}"));
        for (text, step) in [(format!("RRULE:FREQ=HOURLY;BYMINUTE={minute}{hours}"), 60), (format!("RRULE:FREQ=MINUTELY;INTERVAL=10{hours}"), 10)] {
            let schedule = Schedule::parse(&text, zone_name).expect("a rule");
            let expected = stepped(&zone, from, to, by_hour.is_none(), |wall| {
                by_hour.is_none_or(|h| wall.hour() == h) && if step == 60 { wall.minute() == minute } else { wall.minute() % 10 == 0 }
            });
            prop_assert_eq!(schedule.between(from.into(), to.into(), 10_000), expected, "{} in {} from {}", text, zone_name, from);
        }
    }

    #[test]
    fn the_next_time_is_later_and_nothing_lies_between(text in prop::sample::select(TEXTS), zone in 0..ZONES.len(), at in 1_700_000_000i64..1_900_000_000, part in 0.0f64..1.0) {
        let schedule = Schedule::parse(text, ZONES[zone]).expect(text);
        let at = Time::from_micros(at * 1_000_000 + 1);
        if let Some(next) = schedule.next_after(at) {
            prop_assert!(next > at);
            let between = at.plus(next.since(at).mul_f64(part * 0.999));
            prop_assert_eq!(schedule.next_after(between), Some(next), "{} after {} and after {}", text, at, between);
        }
    }

    #[test]
    fn rules_in_utc_agree_with_the_rrule_crate(rule in rule_text(), day in 1i8..29, month in 1i8..13, hour in 0i8..24) {
        let text = format!("DTSTART:2024{month:02}{day:02}T{hour:02}1500Z\nRRULE:{rule}");
        let theirs: rrule::RRuleSet = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        let theirs: Vec<Time> = theirs.all(40).dates.iter().map(|d| Time::from_micros(d.timestamp_micros())).collect();
        match Schedule::parse(&text, "UTC") {
            Ok(ours) => {
                let ours = ours.between(time("2024-01-01T00:00:00Z"), time("2064-01-01T00:00:00Z"), 40);
                let common = theirs.iter().filter(|t| **t < time("2064-01-01T00:00:00Z")).copied().collect::<Vec<_>>();
                prop_assert_eq!(ours, common, "{}", text);
            }
            Err(why) => prop_assert!(theirs.is_empty(), "{}: {}, but {:?}", text, why, theirs),
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n]{0,80}", rule in "(DTSTART[:;A-Z=0-9]{0,20}\n)?RRULE:FREQ=(DAILY|YEARLY|MINUTELY)(;[A-Z]{3,8}=[-A-Z0-9,]{0,8}){0,3}") {
        let _ = Schedule::parse(&text, "Europe/Berlin");
        let _ = Schedule::parse(&rule, "Europe/Berlin");
    }
}

const TEXTS: &[&str] = &[
    "0 3 * * 1",
    "*/5 * * * *",
    "@daily",
    "@hourly",
    "30 2 29 2 *",
    "0 0 L * *",
    "15 1-3 * * *",
    "every 15m",
    "every 90s",
    "every 1d",
    "RRULE:FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=2;BYMINUTE=30",
    "RRULE:FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=1",
    "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "RRULE:FREQ=MINUTELY;INTERVAL=7",
    "DTSTART:20250101T023000\nRRULE:FREQ=DAILY;INTERVAL=3;COUNT=900",
    "DTSTART:20250101T000000\nRRULE:FREQ=HOURLY;INTERVAL=5",
];

fn rule_text() -> impl Strategy<Value = String> {
    let numbers = |range: std::ops::Range<i8>, most| {
        set(range, most).prop_map(|s| s.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let freq = prop::sample::select(&["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"][..]);
    let by = (
        prop::option::weighted(0.3, numbers(1..13, 3)),
        prop::option::weighted(0.3, prop_oneof![numbers(1..32, 4), numbers(-5..0, 2)]),
        prop::option::weighted(0.4, prop::sample::subsequence(&["MO", "TU", "WE", "TH", "FR", "SA", "SU"][..], 1..4)),
        prop::option::weighted(0.3, prop::sample::select(&[-2i8, -1, 1, 2, 4][..])),
        prop::option::weighted(0.3, numbers(0..24, 3)),
        prop::option::weighted(0.3, prop::sample::select(&[-1i8, 1, 2][..])),
        prop::sample::select(&["MO", "SU"][..]),
    );
    (freq, 1..5u8, by).prop_map(|(freq, interval, (months, days, weekdays, ordinal, hours, position, week_start))| {
        let mut text = format!("FREQ={freq};INTERVAL={interval};WKST={week_start}");
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!(";{name}={value}"))
            }
        };
        // The crate counts positions of the first week from DTSTART on, we from the week's first day: a choice, so not compared.
        let selected = freq != "WEEKLY" && (weekdays.is_some() || months.is_some() || hours.is_some());
        add("BYMONTH", months);
        let has_days = days.is_some() && freq != "WEEKLY";
        add("BYMONTHDAY", days.filter(|_| has_days));
        let ordinal = ordinal
            .filter(|_| matches!(freq, "YEARLY" | "MONTHLY") && !has_days)
            .map_or(String::new(), |o| o.to_string());
        add("BYDAY", weekdays.map(|days| days.iter().map(|d| format!("{ordinal}{d}")).collect::<Vec<_>>().join(",")));
        add("BYHOUR", hours);
        add("BYSETPOS", position.filter(|_| selected || has_days).map(|p| p.to_string()));
        text
    })
}

#[test]
fn the_stated_rules_hold_at_changes_of_the_clocks() {
    for (text, zone, after, expected, why) in [
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T01:00:00Z",
            "skipped: first moment after the gap",
        ),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "twice on the wall: the first"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "and not the second"),
        (
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "every hour: also the repeated one",
        ),
        (
            "*/15 2 * * *",
            "Europe/Berlin",
            "2026-03-29T01:00:00Z",
            "2026-03-30T00:00:00Z",
            "four skipped times are one moment",
        ),
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-23T12:00:00Z",
            "2026-04-23T22:00:00Z",
            "no midnight: the day begins at 01:00",
        ),
        ("0 0 * * *", "America/Havana", "2026-03-07T12:00:00Z", "2026-03-08T05:00:00Z", "no midnight in Havana"),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z", "a gap of half an hour"),
        ("every 1h", "Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "elapsed time has no gaps"),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z", "2100 has no 29th of February"),
        (
            "DTSTART;TZID=America/New_York:20260301T093000\nRRULE:FREQ=WEEKLY;BYDAY=MO",
            "UTC",
            "2026-03-03T00:00:00Z",
            "2026-03-09T13:30:00Z",
            "TZID wins, and summer time counts",
        ),
        (
            "DTSTART:20260101T080000\nRRULE:FREQ=DAILY;COUNT=2",
            "UTC",
            "2026-01-02T08:00:00Z",
            "never",
            "COUNT is used up",
        ),
        (
            "DTSTART:20260101T080000\nRRULE:FREQ=DAILY;UNTIL=20260103T080000Z",
            "UTC",
            "2026-01-02T08:00:00Z",
            "2026-01-03T08:00:00Z",
            "UNTIL is included",
        ),
        (
            "DTSTART:20260101T080000\nRRULE:FREQ=DAILY;UNTIL=20260103",
            "UTC",
            "2026-01-03T08:00:00Z",
            "never",
            "UNTIL a day ends with the day",
        ),
        (
            "DTSTART:20260101T080000\nEXDATE:20260102T080000\nRRULE:FREQ=DAILY",
            "UTC",
            "2026-01-01T08:00:00Z",
            "2026-01-03T08:00:00Z",
            "EXDATE is left out",
        ),
        (
            "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=17",
            "UTC",
            "2026-05-01T00:00:00Z",
            "2026-05-29T17:00:00Z",
            "last working day",
        ),
        ("@midnight", "UTC", "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z", "a nickname that croner lacks"),
    ] {
        assert_eq!(next(text, zone, after), expected, "{text:?} in {zone} after {after}: {why}");
    }
}

#[test]
fn what_cannot_be_a_schedule_is_refused_with_a_sentence() {
    for (text, part) in [
        ("", "1 to 1024 bytes"),
        ("0 0 30 2 *", "never happens"),
        ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never happens"),
        ("RRULE:FREQ=MINUTELY;INTERVAL=60;BYMINUTE=5", "never happens"),
        ("61 * * * *", "not a schedule"),
        ("@reboot", "not a schedule"),
        ("every 10ms", "at least 1s"),
        ("every fortnight", "not a duration"),
        ("RRULE:FREQ=SECONDLY", "every 30s"),
        ("RRULE:FREQ=YEARLY;BYWEEKNO=3", "BYWEEKNO is not supported"),
        ("RRULE:FREQ=WEEKLY", "needs BYDAY"),
        ("RRULE:FREQ=WEEKLY;BYDAY=2MO", "needs FREQ=MONTHLY"),
        ("RRULE:FREQ=DAILY;BYHOUR=24", "from 0 to 23"),
        ("DTSTART:20260230T000000\nRRULE:FREQ=DAILY", "is not a time"),
        ("DTSTART;TZID=Mars/Olympus:20260101T000000\nRRULE:FREQ=DAILY", "IANA"),
        ("DTSTART:20260101T080000\nRRULE:FREQ=DAILY;UNTIL=20250101T000000Z", "never happens"),
    ] {
        let error = Schedule::parse(text, "UTC").expect_err(text);
        assert!(error.contains(part), "{text:?}: {error}");
    }
}
