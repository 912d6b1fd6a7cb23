//! OpenMetrics 1.0 text: the stricter exposition format, with units, exemplars, times in seconds and an end that is said.
//!
//! A page without `# EOF` was cut short on its way and is refused: that is what the end is for.

use std::borrow::Cow;

use super::batch::{Batch, MetricKind};
use super::lines::{Line, shown, unescaped, utf8};
use super::{FormatError, Limits, within};

/// Reads a page. `now_ms` (Unix milliseconds) is the time of every sample that has none of its own.
///
/// `_created` lines are samples like any other: dropping them is for who stores them to decide.
///
/// # Errors
/// [`FormatError::Line`] names the first line that is wrong; [`FormatError::TooLarge`] when limits are passed.
pub fn decode(body: &[u8], now_ms: i64, limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    let mut batch = Batch::new(limits);
    let mut pairs = Vec::new();
    let mut ended = false;
    let text = utf8(body)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut count = 0;
    for (i, text) in text.split('\n').enumerate() {
        count = i + 1;
        let mut line = Line::new(text, count);
        if ended {
            return Err(line.wrong("more after # EOF"));
        }
        if let Some(comment) = text.strip_prefix("# ") {
            ended = comment == "EOF";
            if !ended {
                about(comment, &line, &mut batch)?;
            }
            continue;
        }
        pairs.clear();
        line.series(&mut pairs)?;
        sample(&mut line, &mut pairs, now_ms, &mut batch)?;
    }
    if ended { Ok(batch) } else { Err(Line::new("", count).wrong("the page does not end with # EOF")) }
}

/// What comes after the series: value, time, exemplar.
fn sample<'a>(
    line: &mut Line<'a>,
    pairs: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    now_ms: i64,
    batch: &mut Batch,
) -> Result<(), FormatError> {
    if !line.take(' ') {
        return Err(line.wrong("a blank and a value are expected"));
    }
    let value = line.float()?;
    let mut at_ms = now_ms;
    line.take(' ');
    if !line.rest().is_empty() && !line.rest().starts_with('#') {
        at_ms = seconds(line)?;
        line.take(' ');
    }
    batch.sample(pairs, at_ms, value)?;
    if line.rest().is_empty() {
        return Ok(());
    }
    if !(line.take('#') && line.take(' ') && line.take('{')) {
        return Err(line.wrong("an exemplar or the end of the line is expected"));
    }
    let mut labels = Vec::new();
    line.label_set(&mut labels)?;
    line.take(' ');
    let value = line.float()?;
    line.take(' ');
    let at_ms = if line.rest().is_empty() { None } else { Some(seconds(line)?) };
    if !line.rest().is_empty() {
        return Err(line.wrong("more after the exemplar"));
    }
    batch.exemplar(labels.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect(), value, at_ms)
}

/// A time in seconds, perhaps with a fraction, as milliseconds.
fn seconds(line: &mut Line<'_>) -> Result<i64, FormatError> {
    let word = line.word();
    let found = word.parse::<f64>().ok().map(|s| s * 1000.0).filter(|ms| ms.abs() < 9e15);
    found.map(|ms| ms.round() as i64).ok_or_else(|| line.wrong(format!("{:?} is not a time in seconds", shown(word))))
}

fn about(comment: &str, line: &Line<'_>, batch: &mut Batch) -> Result<(), FormatError> {
    let (word, rest) = comment.split_once(' ').unwrap_or((comment, ""));
    let (family, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if family.is_empty() {
        return Err(line.wrong("a metric's name is expected"));
    }
    match word {
        "HELP" => batch.describe(family)?.help = unescaped(rest),
        "UNIT" => {
            if !rest.is_empty() && !family.ends_with(&format!("_{rest}")) {
                return Err(line.wrong(format!("the name does not end in its unit {:?}", shown(rest))));
            }
            batch.describe(family)?.unit = rest.into();
        }
        "TYPE" => {
            batch.describe(family)?.kind = match rest {
                "counter" => MetricKind::Counter,
                "gauge" => MetricKind::Gauge,
                "histogram" => MetricKind::Histogram,
                "gaugehistogram" => MetricKind::GaugeHistogram,
                "summary" => MetricKind::Summary,
                "info" => MetricKind::Info,
                "stateset" => MetricKind::StateSet,
                "unknown" => MetricKind::Unknown,
                other => return Err(line.wrong(format!("{:?} is not a type", shown(other)))),
            }
        }
        other => return Err(line.wrong(format!("{:?} is none of HELP, TYPE, UNIT, EOF", shown(other)))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_with_everything_that_is_legal_is_read() {
        let page = "# TYPE latency_seconds histogram\n# UNIT latency_seconds seconds\n# HELP latency_seconds How \\\"long\\\".\n\
            latency_seconds_bucket{le=\"0.1\"} 8 # {} 0.054\n\
            latency_seconds_bucket{le=\"1.0\"} 11 123.5 # {trace_id=\"KOO5S4vxi0o\"} 0.67 123.25\n\
            latency_seconds_sum 3.24 -0.001\n# TYPE build info\nbuild_info{v=\"1\"} 1\n# EOF\n";
        let batch = decode(page.as_bytes(), 7, Limits::default()).unwrap();
        let shown = batch.shown();
        assert_eq!(shown[0], ("latency_seconds_bucket{le=0.1}".into(), vec![(7, 8.0)]));
        assert_eq!(shown[1].1, [(123_500, 11.0)]);
        assert_eq!(shown[2].1, [(-1, 3.24)]);
        assert_eq!((batch.exemplars[0].series, batch.exemplars[0].at_ms), (0, None));
        assert_eq!((batch.exemplars[1].value, batch.exemplars[1].at_ms), (0.67, Some(123_250)));
        assert_eq!(batch.exemplars[1].labels[0].1, "KOO5S4vxi0o");
        let told = &batch.metadata[0];
        assert_eq!(
            (told.kind, told.unit.as_str(), told.help.as_str()),
            (MetricKind::Histogram, "seconds", "How \"long\".")
        );
        assert_eq!(batch.metadata[1].kind, MetricKind::Info);
    }

    #[test]
    fn what_is_cut_short_or_loose_is_refused() {
        for (page, why) in [
            ("a 1\n", "no end"),
            ("", "nothing at all"),
            ("# EOF\na 1\n", "more after the end"),
            ("a 1\n\n# EOF\n", "an empty line"),
            ("a  1\n# EOF\n", "two blanks"),
            ("#comment\n# EOF\n", "a free comment"),
            ("# UNIT a seconds\n# EOF\n", "a unit that the name does not have"),
            ("a 1 2 3\n# EOF\n", "two times"),
            ("a 1 # {b=\"c\"}\n# EOF\n", "an exemplar without a value"),
            ("a 1 1e300\n# EOF\n", "a time beyond all"),
        ] {
            assert!(decode(page.as_bytes(), 0, Limits::default()).is_err(), "{why}");
        }
        assert!(decode(b"# EOF", 0, Limits::default()).is_ok(), "the last line break may be missing");
    }

    proptest! {
        #[test]
        fn any_text_is_a_page_or_an_error(text in "[a-z{}=\",# 0-9.\\\\\n\t+eé-]{0,80}", bytes in any::<Vec<u8>>()) {
            let _ = decode(format!("{text}\n# EOF\n").as_bytes(), 0, Limits::default());
            let _ = decode(&bytes, 0, Limits::default());
        }
    }
}
