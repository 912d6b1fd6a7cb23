//! IPP: is a printer ready, and what does it lack? Asks for its attributes (RFC 8011); prints nothing.

mod message;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

pub use message::{Attributes, parse_answer};

use crate::env::Failure;
use crate::http::{Answer, Ask};
use crate::outcome::{Outcome, State};
use crate::params::{ParamError, ordered};
use crate::protocol::{Check, Cx};
use crate::web::{Access, Findings};

/// Parameters of `ipp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Ipp {
    /// WARNING when a supply (toner, ink) has at most this many percent left.
    warn_supply_percent: f64,
    /// CRITICAL when a supply has at most this many percent left.
    critical_supply_percent: f64,
    /// WARNING when at least so many jobs wait.
    warn_jobs: Option<u32>,
    /// CRITICAL when at least so many jobs wait.
    critical_jobs: Option<u32>,
    /// How to get at it.
    #[serde(flatten)]
    access: Access,
}

impl Default for Ipp {
    fn default() -> Self {
        Ipp {
            warn_supply_percent: 10.0,
            critical_supply_percent: 0.0,
            warn_jobs: None,
            critical_jobs: None,
            access: Access::default(),
        }
    }
}

impl Check for Ipp {
    const NAME: &'static str = "ipp";
    const TITLE: &'static str = "IPP printer";
    const HELP: &'static str = "Asks a printer or print server for state, reasons, supplies and waiting jobs.";
    const TARGET: &'static str = "the printer's address, for example ipp://printer-1.example.org/ipp/print or ipps://cups.example.org/printers/hall";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = self.access.own_problems();
        problems.extend(parse_address(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        problems.extend(ordered(("warn_jobs", "critical_jobs"), self.warn_jobs, self.critical_jobs, |a, b| a > b));
        let supplies = (Some(self.warn_supply_percent), Some(self.critical_supply_percent));
        problems
            .extend(ordered(("warn_supply_percent", "critical_supply_percent"), supplies.0, supplies.1, |a, b| a < b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let (url, printer) = parse_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let ask = Ask::post(url, "application/ipp", message::question(&printer, self.access.user.as_deref()));
        let answer = self.access.ask(ask).well(cx).await?;
        let attributes = parse_answer(&answer.body).map_err(|why| Failure::Peer(format!("{} {why}", cx.target)))?;
        Ok(decide(self, cx.target, &attributes, &answer))
    }
}

/// The web address behind an address of a printer, and the name it has in IPP.
///
/// # Errors
/// A sentence that names the text.
pub fn parse_address(bytes: &[u8]) -> Result<(Url, String), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "an address is text in UTF-8".to_owned())?;
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        format!("{text:?} is no printer's address; write for example ipp://printer.example.org/ipp/print")
    })?;
    let (web, own, port) = match scheme {
        "ipp" => ("http", "ipp", 631),
        "ipps" => ("https", "ipps", 631),
        "http" => ("http", "ipp", 80),
        "https" => ("https", "ipps", 443),
        _ => return Err(format!("{scheme:?} is not ipp, ipps, http or https")),
    };
    let mut url = crate::target::parse_web_address(format!("{web}://{rest}").as_bytes())?;
    // 80 and 443 are never written out, so that a text without a port is told by its text.
    if url.port().is_none() && port == 631 {
        url.set_port(Some(631)).map_err(|()| format!("{text:?} is no printer's address"))?;
    }
    let place = &url[url::Position::BeforeHost..];
    let printer = format!("{own}://{place}");
    Ok((url, printer))
}

/// The whole judgement.
pub fn decide(want: &Ipp, printer: &str, attributes: &Attributes, answer: &Answer) -> Outcome {
    let mut findings = Findings::default();
    let first = |name: &str| attributes.get(name).and_then(|values| values.first()).map(String::as_str);
    let state = match first("printer-state") {
        Some("3") => "idle",
        Some("4") => "printing",
        Some("5") => {
            findings.add(State::Critical, "it has stopped");
            "stopped"
        }
        _ => {
            findings.add(State::Unknown, "it tells no state");
            "in an unknown state"
        }
    };
    if first("printer-is-accepting-jobs") == Some("false") {
        findings.add(State::Critical, "it takes no jobs");
    }
    for reason in attributes.get("printer-state-reasons").into_iter().flatten().filter(|reason| *reason != "none") {
        if let Some(trouble) = reason.strip_suffix("-error") {
            findings.add(State::Critical, trouble);
        } else if let Some(trouble) = reason.strip_suffix("-warning") {
            findings.add(State::Warning, trouble);
        } else if let Some(state) = severity(reason) {
            findings.add(state, reason.as_str());
        }
    }
    let mut supplies = Vec::new();
    let names = attributes.get("marker-names").map(Vec::as_slice).unwrap_or_default();
    let levels = attributes.get("marker-levels").map(Vec::as_slice).unwrap_or_default();
    for (name, level) in names.iter().zip(levels) {
        // -1, -2 and -3 mean: no limit, unknown, some is left.
        let Some(level) = level.parse::<f64>().ok().filter(|level| *level >= 0.0) else { continue };
        if level <= want.critical_supply_percent {
            findings.add(State::Critical, format!("{name} is used up"));
        } else if level <= want.warn_supply_percent {
            findings.add(State::Warning, format!("{name} has {level} % left"));
        }
        supplies.push((name, level));
    }
    let jobs = first("queued-job-count").and_then(|count| count.parse::<u32>().ok());
    if let Some(jobs) = jobs {
        let bound = |bound: Option<u32>| bound.map(f64::from);
        match State::when_above(f64::from(jobs), bound(want.warn_jobs), bound(want.critical_jobs)) {
            State::Ok => {}
            bad => findings.add(bad, format!("{jobs} jobs wait")),
        }
    }
    let model = first("printer-make-and-model").map(|model| format!(" ({model})")).unwrap_or_default();
    let (worst, end) = findings.verdict();
    let mut outcome = want.access.outcome("ipp", answer, worst, &format!("{printer}{model} is {state}{end}"));
    if let Some(jobs) = jobs {
        outcome = outcome.with("ipp_waiting_jobs_count", f64::from(jobs), "");
    }
    for (name, level) in supplies {
        outcome = outcome.with_labels("ipp_supply_left_percent", level, "percent", &[("name", name)]);
    }
    outcome
}

/// How bad a reason is that does not say so itself.
fn severity(reason: &str) -> Option<State> {
    let reason = reason.trim_end_matches("-report");
    let bad =
        ["-empty", "-jam", "-missing", "-full", "door-open", "cover-open", "interlock-open", "stopped", "shutdown"];
    let doubtful = ["-low", "-needed", "-almost-full", "paused", "offline", "timed-out", "connecting-to-device"];
    if doubtful.iter().any(|end| reason.contains(end)) {
        Some(State::Warning)
    } else {
        bad.iter().any(|end| reason.ends_with(end)).then_some(State::Critical)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::web;

    fn printer(more: &[(&str, &[&str])]) -> Attributes {
        let mut attributes = Attributes::new();
        for (name, values) in [("printer-state", &["3"][..]), ("printer-state-reasons", &["none"])].iter().chain(more) {
            attributes.insert((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect());
        }
        attributes
    }

    #[test]
    fn state_reasons_and_supplies_decide() {
        for (params, attributes, state, part) in [
            (json!({}), printer(&[]), State::Ok, "is idle"),
            (json!({}), printer(&[("printer-state", &["5"])]), State::Critical, "it has stopped"),
            (
                json!({}),
                printer(&[("printer-state-reasons", &["media-empty-error"])]),
                State::Critical,
                ": media-empty",
            ),
            (json!({}), printer(&[("printer-state-reasons", &["toner-low-warning"])]), State::Warning, "toner-low"),
            (json!({}), printer(&[("printer-state-reasons", &["media-jam"])]), State::Critical, "media-jam"),
            (json!({}), printer(&[("printer-state-reasons", &["paused"])]), State::Warning, "paused"),
            (
                json!({}),
                printer(&[("marker-names", &["black"]), ("marker-levels", &["7"])]),
                State::Warning,
                "black has 7 % left",
            ),
            (json!({}), printer(&[("marker-names", &["black"]), ("marker-levels", &["-3"])]), State::Ok, "idle"),
            (json!({"warn_jobs": 2}), printer(&[("queued-job-count", &["3"])]), State::Warning, "3 jobs wait"),
            (json!({}), printer(&[("printer-is-accepting-jobs", &["false"])]), State::Critical, "takes no jobs"),
        ] {
            let want: Ipp = serde_json::from_value(params).unwrap();
            let outcome = decide(&want, "ipp://a/", &attributes, &web::answer("http://a:631/", ""));
            assert_eq!(outcome.state, state, "{attributes:?}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{attributes:?}: {}", outcome.summary);
        }
    }

    #[test]
    fn a_printer_is_found_at_its_port() {
        for (text, web, name) in [
            ("ipp://p/ipp/print", "http://p:631/ipp/print", "ipp://p:631/ipp/print"),
            ("ipps://p:8631/x", "https://p:8631/x", "ipps://p:8631/x"),
            ("http://[::1]:631/printers/a", "http://[::1]:631/printers/a", "ipp://[::1]:631/printers/a"),
        ] {
            let (url, printer) = parse_address(text.as_bytes()).unwrap();
            assert_eq!((url.as_str(), printer.as_str()), (web, name));
        }
        for wrong in ["printer", "lpd://p/", "ipp://", "ipp://me:pw@p/"] {
            assert!(parse_address(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_address_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "ipps?://\\PC{0,20}") {
            let _ = (parse_address(&bytes), parse_address(text.as_bytes()));
        }
    }
}
