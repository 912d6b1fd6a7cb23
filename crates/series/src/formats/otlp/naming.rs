//! OpenTelemetry's names as Prometheus's: letters, digits and underscores, the unit and the kind as suffixes.

/// What a metric is, as far as its name shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Only rises: `_total`.
    Counter,
    /// Of unit `1`: `_ratio`.
    Gauge,
    Other,
}

/// The name of a metric: its parts joined by underscores, then the unit, then `_total` or `_ratio`, none of them twice.
pub(super) fn metric(name: &str, unit: &str, shape: Shape) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let mut parts: Vec<String> = name.split(|c| !legal(c)).filter(|p| !p.is_empty()).map(str::to_owned).collect();
    let (main, per) = unit_words(unit);
    for word in [main, per].into_iter().flatten() {
        let parts_of_word: Vec<&str> = word.split('_').collect();
        if !parts_of_word.iter().all(|w| parts.iter().any(|p| p == w)) {
            parts.extend(parts_of_word.into_iter().map(str::to_owned));
        }
    }
    let last = match shape {
        Shape::Counter => Some("total"),
        Shape::Gauge if unit == "1" => Some("ratio"),
        Shape::Gauge | Shape::Other => None,
    };
    if let Some(last) = last {
        parts.retain(|p| p != last);
        parts.push(last.into());
    }
    let mut out = parts.join("_");
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// The name of a label.
pub(super) fn label(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    }
    out
}

/// The unit of metadata: its word, without what it is per.
pub(super) fn unit(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    [main, per].into_iter().flatten().collect::<Vec<_>>().join("_")
}

fn unit_words(unit: &str) -> (Option<String>, Option<String>) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let clean = |word: &str| -> Option<String> {
        let legal: String = word.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let trimmed = legal.trim_matches('_');
        (!trimmed.is_empty() && !word.contains(['{', '}'])).then(|| trimmed.to_owned())
    };
    let main = MAIN.iter().find(|(short, _)| *short == main).map_or_else(|| clean(main), |(_, long)| clean(long));
    let per = PER.iter().find(|(short, _)| *short == per).map_or_else(|| clean(per), |(_, long)| clean(long));
    (main, per.map(|per| format!("per_{per}")))
}

const MAIN: [(&str, &str); 32] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("B", "bytes"),
    ("KB", "kilobytes"),
    ("MB", "megabytes"),
    ("GB", "gigabytes"),
    ("TB", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("bit", "bits"),
    ("1", ""),
];

const PER: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_prometheus_gives() {
        for (name, unit, shape, expected) in [
            ("http.server.duration", "s", Shape::Other, "http_server_duration_seconds"),
            ("http.server.requests", "{request}", Shape::Counter, "http_server_requests_total"),
            ("system.disk.io", "By", Shape::Counter, "system_disk_io_bytes_total"),
            ("disk_io_bytes_total", "By", Shape::Counter, "disk_io_bytes_total"),
            ("system.cpu.utilization", "1", Shape::Gauge, "system_cpu_utilization_ratio"),
            ("speed", "m/s", Shape::Gauge, "speed_meters_per_second"),
            ("2xx.rate", "", Shape::Gauge, "_2xx_rate"),
            ("a..b  c", "", Shape::Gauge, "a_b_c"),
            ("requests", "1", Shape::Counter, "requests_total"),
        ] {
            assert_eq!(metric(name, unit, shape), expected, "{name} in {unit:?}");
        }
        assert_eq!(label("http.status-code"), "http_status_code");
        assert_eq!(label("2xx"), "key_2xx");
        assert_eq!(unit("By"), "bytes");
    }
}
