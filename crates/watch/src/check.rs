//! Check: a question asked again and again, whose latest answer is its state. No protocol is named here, and nothing but
//! a measurement moves the state.

use kernel::define::Step;
use kernel::{Class, Define, Dur, FieldError, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::severity::Severity;

/// A question that Mainstay asks a system again and again; its state is the latest answer, and UNKNOWN when there is
/// none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What it is called in lists and pages; its key when left out.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// How it asks: http, tcp, icmp, dns, tls, ntp, process, systemd, disk … `mainstay check list` tells all of them.
    #[schemars(length(min = 1, max = 63))]
    pub protocol: String,
    /// What it asks: an address, a URL, the name of a process or unit.
    #[schemars(length(max = 2000))]
    pub target: Option<String>,
    /// Time from one question to the next while all is well.
    #[serde(default = "interval_default")]
    pub interval: Dur,
    /// How long it waits for an answer. No answer in time counts as a failure.
    #[serde(default = "timeout_default")]
    pub timeout: Dur,
    /// Failures in a row, beyond the first, before the state changes.
    #[serde(default = "retries_default")]
    #[schemars(range(min = 0, max = 100))]
    pub retries: u32,
    /// Time between those retries; a fifth of the interval when left out.
    pub retry_interval: Option<Dur>,
    /// How long it must stay well before it counts as recovered; at once when left out.
    pub hold_down: Option<Dur>,
    /// What the answer must be, in the words of the protocol: `{ status: 200, body: Welcome }`.
    #[serde(default)]
    pub expect: Value,
    /// Further settings of the protocol, such as port, method or query.
    #[serde(default)]
    pub params: Value,
    /// How bad it is when the answer is CRITICAL; a WARNING counts one step less.
    #[serde(default)]
    pub severity: Severity,
    /// Whether it is asked at all. A check that is not asked is UNKNOWN, never OK.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
    /// The record whose health this is; found by the target when left out.
    pub on: Option<Ref>,
    /// The agent or site from which it is asked; the server itself when left out.
    pub from: Option<Ref>,
    /// The secret that it signs in with.
    pub credential: Option<Ref>,
    /// The latest answer in one line.
    pub last_summary: Option<String>,
    /// When it last had an answer, good or bad.
    pub last_checked: Option<Time>,
}

impl Class for Check {
    const KIND: &'static str = "check";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            (
                "UNKNOWN",
                true,
                "There is no fresh answer: not asked yet, not asked at all, or the question could not be put.",
            ),
            ("OK", false, "The answer is as expected."),
            ("WARNING", true, "It works, and somebody should look soon."),
            ("CRITICAL", true, "It does not work, or is about to stop."),
        ])
        .transition(Step::new("ok", &[], "OK", "The answer was as expected.").titled("OK").machine())
        .transition(Step::new("warning", &[], "WARNING", "The answer crossed the first bound.").machine())
        .transition(
            Step::new("critical", &[], "CRITICAL", "The answer crossed the last bound, or none came in time.")
                .machine(),
        )
        .transition(Step::new("unknown", &[], "UNKNOWN", "There is no fresh answer.").machine())
        .refers("on", &[], "on", OnDelete::Cascade)
        .refers("from", &["agent", "site"], "checked-from", OnDelete::Unlink)
        .refers("credential", &["credential"], "uses", OnDelete::Block)
        .computes(&["last_summary", "last_checked"], |_| {})
        .check(takes_its_time)
        .indexed(&["on", "protocol", "enabled"])
        .columns(&["key", "state", "on", "protocol", "target", "last_summary", "last_checked", "interval", "enabled"])
        .sorts(&["key", "-updated"])
        .practices(&["monitoring and event management", "availability management", "ISO/IEC 20000-1 8.7.1"])
    }
}

impl Check {
    /// Time between retries: as declared, or a fifth of the interval, and never less than a second.
    pub fn retry_after(&self) -> Dur {
        let fifth = Dur((self.interval.0 / 5).max(std::time::Duration::from_secs(1)));
        self.retry_interval.unwrap_or(fifth)
    }

    /// How long an answer is waited for: never longer than the interval, or answers would overtake each other.
    pub fn patience(&self) -> Dur {
        self.timeout.min(self.interval)
    }
}

/// A check that is asked without a pause, or given no time to answer, would never have an answer.
fn takes_its_time(fields: &Map<String, Value>) -> Result<(), FieldError> {
    for name in ["interval", "timeout"] {
        let span = fields.get(name).and_then(Value::as_str).and_then(|t| kernel::clock::parse_duration(t).ok());
        if span.is_some_and(|s| s.is_zero()) {
            return Err(FieldError::new(name, "must be longer than 0"));
        }
    }
    Ok(())
}

fn interval_default() -> Dur {
    Dur::seconds(30)
}

fn timeout_default() -> Dur {
    Dur::seconds(5)
}

fn retries_default() -> u32 {
    1
}

fn enabled_default() -> bool {
    true
}
