//! Commands on measurements: a PromQL query as a table, and an export as the server writes it. Nothing is computed here.

use serde_json::Value;

use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::output::{self, Format, cell};

const API: &str = "/prometheus/api/v1";

/// Asks at one moment, or over a stretch with a step.
pub(super) async fn query(
    client: &Client,
    promql: &str,
    time: Option<String>,
    range: Option<(String, String)>,
    format: Format,
) -> Result<(), Failure> {
    let promql = escaped(promql);
    let path = match range {
        None => {
            let time = time.map(|time| format!("&time={}", escaped(&time))).unwrap_or_default();
            format!("{API}/query?query={promql}{time}")
        }
        Some((range, step)) => {
            // The server's own clock and reading of times and durations, so that both ends are of one hand.
            let moment = |text: &str| format!("{API}/query?query={}", escaped(text));
            let at = time.map(|time| format!("&time={}", escaped(&time))).unwrap_or_default();
            let end = scalar(client, &format!("{}{at}", moment("time()"))).await?;
            let span = scalar(client, &moment(&format!("0 + {range}"))).await?;
            format!("{API}/query_range?query={promql}&start={:.3}&end={end:.3}&step={}", end - span, escaped(&step))
        }
    };
    let answer = client.json("GET", &path, None).await?;
    for remark in ["warnings", "infos"].iter().filter_map(|name| answer.get(*name)).flat_map(|v| v.as_array()).flatten()
    {
        eprintln!("mainstay: {}", cell(Some(remark)));
    }
    match format {
        Format::Json | Format::Yaml => output::value(&answer, format),
        Format::Table => rows(&answer, output::table),
        Format::Csv => rows(&answer, output::csv),
    }
}

async fn scalar(client: &Client, path: &str) -> Result<f64, Failure> {
    let answer = client.json("GET", path, None).await?;
    let value = answer.pointer("/data/result/1").and_then(Value::as_str).and_then(|text| text.parse().ok());
    value.ok_or_else(|| Failure::usage("--range and --time must be a duration such as 1h and a time"))
}

/// Puts rows out.
type Put = fn(&[String], &[Vec<String>]) -> Result<(), Failure>;

fn rows(answer: &Value, write: Put) -> Result<(), Failure> {
    let result = answer.pointer("/data/result").cloned().unwrap_or_default();
    let kind = answer.pointer("/data/resultType").and_then(Value::as_str).unwrap_or_default();
    let head = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let series = result.as_array().cloned().unwrap_or_default();
    match kind {
        "matrix" => {
            let mut rows = Vec::new();
            for one in &series {
                let name = named(one.get("metric"));
                for point in ["values", "histograms"].iter().filter_map(|list| one.get(*list)?.as_array()).flatten() {
                    rows.push(vec![name.clone(), moment(point.get(0)), shown(point.get(1))]);
                }
            }
            write(&head(&["SERIES", "TIME", "VALUE"]), &rows)
        }
        "vector" => {
            let point = |one: &Value| one.get("value").or_else(|| one.get("histogram")).and_then(|p| p.get(1)).cloned();
            let rows: Vec<_> =
                series.iter().map(|one| vec![named(one.get("metric")), shown(point(one).as_ref())]).collect();
            write(&head(&["SERIES", "VALUE"]), &rows)
        }
        _ => write(&head(&["VALUE"]), &[vec![shown(result.get(1))]]),
    }
}

/// A number as it is; of a histogram how many and how much.
fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::Object(histogram)) => {
            format!("count {} sum {}", cell(histogram.get("count")), cell(histogram.get("sum")))
        }
        other => cell(other),
    }
}

/// Labels as people write them: `up{job="node"}`.
fn named(labels: Option<&Value>) -> String {
    let labels = labels.and_then(Value::as_object).cloned().unwrap_or_default();
    let name = cell(labels.get("__name__"));
    let rest = labels.iter().filter(|(label, _)| *label != "__name__");
    let rest: Vec<String> = rest.map(|(label, value)| format!("{label}={value}")).collect();
    if rest.is_empty() && !name.is_empty() { name } else { format!("{name}{{{}}}", rest.join(",")) }
}

/// Unix seconds as RFC 3339.
fn moment(seconds: Option<&Value>) -> String {
    let Some(seconds) = seconds.and_then(Value::as_f64) else { return String::new() };
    let ms = (seconds * 1000.0).round() as i64;
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Civil days since 1 March of the year 0: four centuries are 146,097 of them.
    let day = days + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let (date, month) =
        (of_year - (153 * from_march + 2) / 5 + 1, if from_march < 10 { from_march + 3 } else { from_march - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second, ms) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000);
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Writes samples as the server gives them, piece by piece.
pub(super) async fn export(
    client: &Client,
    matches: &[String],
    from: Option<String>,
    to: Option<String>,
    form: &str,
) -> Result<(), Failure> {
    if matches.is_empty() {
        return Err(Failure::usage("say which series: mainstay export series --match 'up{job=\"node\"}'"));
    }
    let mut path = format!("/api/v1/series/export?format={}", escaped(form));
    for selector in matches {
        path.push_str(&format!("&match[]={}", escaped(selector)));
    }
    for (name, time) in [("from", from), ("to", to)] {
        path.extend(time.map(|time| format!("&{name}={}", escaped(&time))));
    }
    client.stream(&path, output::bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn seconds_become_a_time_that_people_read() {
        for (seconds, expected) in [
            (0.0, "1970-01-01T00:00:00Z"),
            (1_435_781_451.781, "2015-07-01T20:10:51.781Z"),
            (951_782_400.0, "2000-02-29T00:00:00Z"),
            (4_107_542_399.0, "2100-02-28T23:59:59Z"),
            (-1.0, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(moment(Some(&json!(seconds))), expected);
        }
    }

    #[test]
    fn a_series_is_written_as_people_write_it() {
        assert_eq!(named(Some(&json!({"__name__": "up", "job": "a\"b"}))), "up{job=\"a\\\"b\"}");
        assert_eq!(named(Some(&json!({"__name__": "up"}))), "up");
        assert_eq!(named(Some(&json!({}))), "{}");
    }
}
