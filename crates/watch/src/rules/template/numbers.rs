//! Numbers as Go and Prometheus write them for people.

use kernel::Time;

/// As Go's `%v` writes a float: shortest, with an exponent from a million on and for small ones.
pub(super) fn go_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-4..1e6).contains(&magnitude) {
        return exponent(&format!("{value:e}"));
    }
    series::promql::plain_float(value)
}

/// Rust writes `1e7`, Go `1e+07`.
fn exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn special(value: f64) -> Option<String> {
    (!value.is_finite()).then(|| series::promql::plain_float(value))
}

/// As `%.{digits}e` of Go.
pub(super) fn go_exponent(value: f64, digits: usize) -> String {
    special(value).unwrap_or_else(|| exponent(&format!("{value:.digits$e}")))
}

/// As `%.{digits}f` of Go.
pub(super) fn go_fixed(value: f64, digits: usize) -> String {
    special(value).unwrap_or_else(|| format!("{value:.digits$}"))
}

/// As `%.{digits}g` of Go: so many significant digits, without zeros at the end.
pub fn go_general(value: f64, digits: usize) -> String {
    if let Some(special) = special(value) {
        return special;
    }
    let digits = digits.clamp(1, 40);
    let rounded = format!("{value:.*e}", digits - 1);
    let (mantissa, power) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let power: i32 = power.parse().unwrap_or_default();
    let trim = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    let significant = i32::try_from(digits).unwrap_or(i32::MAX);
    if power < -4 || power >= significant {
        return exponent(&format!("{}e{power}", trim(mantissa)));
    }
    let decimals = usize::try_from(significant - 1 - power).unwrap_or_default();
    trim(&format!("{value:.decimals$}"))
}

/// With the prefixes of the metric system: `1.234M`, `25m`.
pub fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return go_general(value, 4);
    }
    let (scaled, prefix) = scaled(value);
    format!("{}{prefix}", go_general(scaled, 4))
}

fn scaled(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1000.0 {
                break;
            }
            (value, prefix) = (value / 1000.0, next);
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            (value, prefix) = (value * 1000.0, next);
        }
    }
    (value, prefix)
}

/// With the prefixes of powers of 1024: `1.5Mi`.
pub(super) fn humanize1024(mut value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return go_general(value, 4);
    }
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if value.abs() < 1024.0 {
            break;
        }
        (value, prefix) = (value / 1024.0, next);
    }
    format!("{}{prefix}", go_general(value, 4))
}

/// Seconds as a span: `1d 2h 3m 4s`, `25ms`.
pub fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return go_general(value, 4);
    }
    if value == 0.0 {
        return "0s".into();
    }
    if value.abs() < 1.0 {
        let (scaled, prefix) = scaled(value);
        return format!("{}{prefix}s", go_general(scaled, 4));
    }
    let (sign, value) = if value < 0.0 { ("-", -value) } else { ("", value) };
    let whole = value as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86400);
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", go_general(value, 4))
    }
}

/// Unix seconds as Go writes a time in UTC.
pub(super) fn moment(seconds: f64) -> String {
    if !seconds.is_finite() {
        return go_general(seconds, 4);
    }
    let time = Time::from_micros((seconds * 1e6).round() as i64).timestamp();
    let text = time.strftime("%Y-%m-%d %H:%M:%S%.f").to_string();
    format!("{text} +0000 UTC")
}
