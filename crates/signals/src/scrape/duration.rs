//! Durations and sizes as Prometheus's configuration writes them: `1h30m`, `15s`, `10MB`. Text in, number out.

use std::time::Duration;

/// Reads `1d12h`, `15s`, `500ms` or `0`: units from large to small, each at most once.
///
/// # Errors
/// A sentence with the text.
pub fn parse(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let wrong = || format!("{text:?} is no duration; write for example 15s, 1m30s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut total, mut from) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let (number, unit) = (rest[..digits].parse::<u64>(), &rest[digits..digits + letters]);
        let place = UNITS[from..].iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let size = UNITS[from + place].1;
        total = number.ok().and_then(|n| n.checked_mul(size)).and_then(|ms| total.checked_add(ms)).ok_or_else(wrong)?;
        from += place + 1;
        rest = &rest[digits + letters..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(total)) }
}

/// As Prometheus writes it back.
pub fn shown(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest / size > 0 {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    out
}

/// Reads `10MB`, `1GiB`, `512`: a power of 1024 either way, as Prometheus takes it.
///
/// # Errors
/// A sentence with the text.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write for example 10MB");
    let digits = text.bytes().take_while(|b| b.is_ascii_digit()).count();
    let power = match text[digits..].trim() {
        "" | "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        _ => return Err(wrong()),
    };
    text[..digits].parse::<u64>().ok().and_then(|n| n.checked_mul(1 << power)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_prometheus_does() {
        for (text, ms, back) in [
            ("15s", 15_000, "15s"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("500ms", 500, "500ms"),
            ("1d", 86_400_000, "1d"),
            ("1w", 604_800_000, "7d"),
            ("0", 0, "0s"),
        ] {
            assert_eq!(parse(text).unwrap().as_millis(), ms, "{text}");
            assert_eq!(shown(parse(text).unwrap()), back);
        }
        for text in ["", "15", "s", "1s1m", "1.5s", "-1s", "15 s", "1s1s", "99999999999999999999s", "1é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(
            (parse_bytes("10MB"), parse_bytes("512"), parse_bytes("1GiB")),
            (Ok(10 << 20), Ok(512), Ok(1 << 30))
        );
        for text in ["", "MB", "1 parsec", "-1B", "99999999999TB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
