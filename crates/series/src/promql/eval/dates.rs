//! Parts of a date, in UTC, of values that are Unix seconds. Computed from days alone: no time zone is ever asked.

/// A day of the calendar.
struct Day {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The date of a day counted from 1970. Years are taken to begin in March, so that the leap day is their last.
fn date(days: i64) -> Day {
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Day { year: year + era * 400 + i64::from(month <= 2), month, day }
}

/// The part of a date that a function of that name takes.
pub(super) fn part(name: &str) -> Option<fn(f64) -> f64> {
    fn of(seconds: f64, take: impl Fn(i64, i64) -> i64) -> f64 {
        if !seconds.is_finite() {
            return f64::NAN;
        }
        let whole = seconds.trunc().clamp(-1e14, 1e14) as i64;
        take(whole.div_euclid(86_400), whole.rem_euclid(86_400)) as f64
    }
    Some(match name {
        "year" => |s| of(s, |days, _| date(days).year),
        "month" => |s| of(s, |days, _| date(days).month),
        "day_of_month" => |s| of(s, |days, _| date(days).day),
        "day_of_week" => |s| of(s, |days, _| (days + 4).rem_euclid(7)),
        "day_of_year" => |s| {
            of(s, |days, _| {
                let today = date(days);
                (1..today.month).map(|month| days_in_month(today.year, month)).sum::<i64>() + today.day
            })
        },
        "days_in_month" => |s| {
            of(s, |days, _| {
                let today = date(days);
                days_in_month(today.year, today.month)
            })
        },
        "hour" => |s| of(s, |_, seconds| seconds / 3600),
        "minute" => |s| of(s, |_, seconds| seconds / 60 % 60),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates_are_those_of_the_calendar() {
        let table = [
            (0.0, [1970.0, 1.0, 1.0, 4.0, 1.0, 31.0, 0.0, 0.0], "the beginning was a Thursday"),
            (951_782_400.0, [2000.0, 2.0, 29.0, 2.0, 60.0, 29.0, 0.0, 0.0], "2000 was a leap year"),
            (1_136_239_445.0, [2006.0, 1.0, 2.0, 1.0, 2.0, 31.0, 22.0, 4.0], "an afternoon"),
            (-1.0, [1969.0, 12.0, 31.0, 3.0, 365.0, 31.0, 23.0, 59.0], "before the beginning"),
        ];
        let names = ["year", "month", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute"];
        for (seconds, expected, why) in table {
            assert_eq!(names.map(|name| part(name).unwrap()(seconds)), expected, "{why}");
        }
    }
}
