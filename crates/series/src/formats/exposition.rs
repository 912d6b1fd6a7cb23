//! The Prometheus text format, version 0.0.4: what `/metrics` answers. A page is taken whole or not at all, as Prometheus does.
//!
//! Names may be quoted inside the braces, as Prometheus 3 writes those that are not plain.

use super::batch::{Batch, MetricKind};
use super::lines::{Line, shown, unescaped, utf8};
use super::{FormatError, Limits, within};

/// Reads a page. `now_ms` (Unix milliseconds) is the time of every sample that has none of its own.
///
/// # Errors
/// [`FormatError::Line`] names the first line that is wrong; [`FormatError::TooLarge`] when limits are passed.
pub fn decode(body: &[u8], now_ms: i64, limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    let mut batch = Batch::new(limits);
    let mut pairs = Vec::new();
    for (i, text) in utf8(body)?.split('\n').enumerate() {
        let mut line = Line::new(text.trim_end_matches('\r'), i + 1);
        line.skip_blanks();
        if line.rest().is_empty() {
            continue;
        }
        if line.take('#') {
            comment(&mut line, &mut batch)?;
            continue;
        }
        pairs.clear();
        line.series(&mut pairs)?;
        line.skip_blanks();
        let value = line.float()?;
        line.skip_blanks();
        let at = line.word();
        let at_ms = match at {
            "" => now_ms,
            _ => at.parse().map_err(|_| line.wrong(format!("{:?} is not a time in milliseconds", shown(at))))?,
        };
        line.skip_blanks();
        if !line.rest().is_empty() {
            return Err(line.wrong("more after the time"));
        }
        batch.sample(&mut pairs, at_ms, value)?;
    }
    Ok(batch)
}

fn comment(line: &mut Line<'_>, batch: &mut Batch) -> Result<(), FormatError> {
    line.skip_blanks();
    let word = line.word();
    if word != "HELP" && word != "TYPE" {
        return Ok(());
    }
    line.skip_blanks();
    let family = line.word();
    if family.is_empty() {
        return Err(line.wrong("a metric's name is expected"));
    }
    line.skip_blanks();
    let rest = line.rest();
    if word == "HELP" {
        batch.describe(family)?.help = unescaped(rest);
        return Ok(());
    }
    batch.describe(family)?.kind = match rest.trim_end() {
        "counter" => MetricKind::Counter,
        "gauge" => MetricKind::Gauge,
        "histogram" => MetricKind::Histogram,
        "summary" => MetricKind::Summary,
        "untyped" | "unknown" => MetricKind::Unknown,
        other => return Err(line.wrong(format!("{:?} is not a type", shown(other)))),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: &str = "# HELP http_requests_total The total number\\nof \\\\ requests.\n# TYPE http_requests_total counter\n\
        http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\n# a comment\n\
        msdos_file{path=\"C:\\\\DIR\\\\F.TXT\",error=\"say \\\"no\\\"\\nnow\"}\t1.458255915e9\n\
        bare 12.47\n  something_weird{problem=\"division by zero\",} +Inf -3982045\r\n\
        {\"dotted.name\",\"a b\"=\"c\"} NaN\n";

    #[test]
    fn a_page_with_everything_that_is_legal_is_read() {
        let batch = decode(PAGE.as_bytes(), 42, Limits::default()).unwrap();
        let shown = batch.shown();
        assert_eq!(shown[0], ("http_requests_total{code=200,method=post}".into(), vec![(1_395_066_363_000, 1027.0)]));
        assert_eq!(shown[1].0, "msdos_file{error=say \"no\"\nnow,path=C:\\DIR\\F.TXT}");
        assert_eq!(shown[1].1, [(42, 1.458_255_915e9)]);
        assert_eq!(shown[2], ("bare{}".into(), vec![(42, 12.47)]));
        assert_eq!(shown[3], ("something_weird{problem=division by zero}".into(), vec![(-3_982_045, f64::INFINITY)]));
        assert_eq!(shown[4].0, "dotted.name{a b=c}");
        assert!(shown[4].1[0].1.is_nan());
        let told = &batch.metadata[0];
        assert_eq!((told.kind, told.help.as_str()), (MetricKind::Counter, "The total number\nof \\ requests."));
    }

    #[test]
    fn a_wrong_line_is_named_and_nothing_is_taken() {
        for (page, line) in [
            ("a 1\nb\n", 2),
            ("a{b=c} 1", 1),
            ("a{b=\"c} 1", 1),
            ("a{b=\"c\"", 1),
            ("a one", 1),
            ("a 1 2.5", 1),
            ("a 1 2 3", 1),
            ("# TYPE a thing", 1),
            ("1a 1", 1),
            ("a{b} 1", 1),
        ] {
            let found = decode(page.as_bytes(), 0, Limits::default());
            assert!(matches!(&found, Err(FormatError::Line { line: l, .. }) if *l == line), "{page:?}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[a-z_:][a-z0-9_:]{0,9}", label in "\\PC{0,20}", value in any::<f64>(), at in any::<i64>()) {
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"");
            let page = format!("{name}{{l=\"{escaped}\"}} {value} {at}\n");
            let batch = decode(page.as_bytes(), 0, Limits::default()).unwrap();
            let series = batch.series().next().unwrap();
            let labels = series.labels.unwrap();
            prop_assert_eq!(labels.get("l").unwrap_or(""), label);
            prop_assert_eq!(series.points[0].0, at);
            prop_assert!(series.points[0].1 == value || value.is_nan());
        }

        #[test]
        fn any_text_is_a_page_or_an_error(text in "[a-z{}=\",# 0-9.\\\\\n\t+eé-]{0,80}", bytes in any::<Vec<u8>>()) {
            let _ = decode(text.as_bytes(), 0, Limits::default());
            let _ = decode(&bytes, 0, Limits::default());
        }
    }
}
