//! Which formats a target is asked for: Prometheus's names of them, and the header that says so. No other name is taken.

use super::text::unknown;

/// Name and media type of each, as they are asked for when nothing is said: the best first. Native histograms come by the first alone.
const PROTOCOLS: [(&str, &str); 5] = [
    ("PrometheusProto", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"),
    ("OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0"),
    ("OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1"),
    ("PrometheusText1.0.0", "text/plain;version=1.0.0"),
    ("PrometheusText0.0.4", "text/plain;version=0.0.4"),
];

/// The header for what a job names, or for all of them: protocol buffers only where native histograms are wanted, since text is
/// read more quickly.
///
/// # Errors
/// A name is not known, or none is given.
pub(super) fn accept(named: Option<&[String]>, native: bool) -> Result<String, String> {
    let names = || PROTOCOLS.iter().map(|(name, _)| *name);
    let media = |wanted: &str| PROTOCOLS.iter().find(|(name, _)| *name == wanted).map(|(_, media)| *media);
    let wanted: Vec<&str> = match named {
        Some([]) => return Err("its scrape_protocols names none".to_owned()),
        Some(named) => {
            let media = |name: &String| media(name).ok_or_else(|| unknown("scrape protocol", name, names()));
            named.iter().map(media).collect::<Result<_, _>>()?
        }
        None => PROTOCOLS.iter().skip(usize::from(!native)).map(|(_, media)| *media).collect(),
    };
    // The first is wanted most; whatever else there is comes last.
    let ranked = wanted.iter().zip((2_u32..=9).rev().chain(std::iter::repeat(1)));
    let all: Vec<String> = ranked.map(|(media, rank)| format!("{media};q=0.{rank}")).collect();
    Ok(format!("{},*/*;q=0.1", all.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_wanted_most_and_anything_else_is_taken_last() {
        let all = accept(None, true).unwrap();
        let ranks: Vec<&str> = all.split(',').map(|one| one.rsplit_once(";q=").unwrap().1).collect();
        assert_eq!(ranks, ["0.9", "0.8", "0.7", "0.6", "0.5", "0.1"]);
        assert!(accept(None, false).unwrap().starts_with("application/openmetrics-text;version=1.0.0;q=0.9,"));
        let text = ["PrometheusText0.0.4".to_owned()];
        assert_eq!(accept(Some(&text), true).unwrap(), "text/plain;version=0.0.4;q=0.9,*/*;q=0.1");
    }
}
