//! Outcome: what a check has to say. Plain values; knows no protocol.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How it stands with what was checked, in the field's four words.
///
/// Ordered by badness, so that `max` over several is the worst: OK < WARNING < UNKNOWN < CRITICAL. Not knowing is worse
/// than a warning, since it may hide anything, and better than knowing that it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should look soon.
    Warning,
    /// It does not work, or is about to stop.
    Critical,
    /// We could not find out. Never to be read as fine.
    Unknown,
}

impl State {
    /// The exit code of the field's plugins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    pub fn exit_code(self) -> i32 {
        match self {
            State::Ok => 0,
            State::Warning => 1,
            State::Critical => 2,
            State::Unknown => 3,
        }
    }

    /// The word as users and JSON write it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warning => "WARNING",
            State::Critical => "CRITICAL",
            State::Unknown => "UNKNOWN",
        }
    }

    fn badness(self) -> u8 {
        match self {
            State::Ok => 0,
            State::Warning => 1,
            State::Unknown => 2,
            State::Critical => 3,
        }
    }

    /// The state of a value that is bad when it is high. A bound that is `None` is never crossed.
    pub(crate) fn when_above(value: f64, warn: Option<f64>, critical: Option<f64>) -> State {
        match (warn, critical) {
            (_, Some(critical)) if value >= critical => State::Critical,
            (Some(warn), _) if value >= warn => State::Warning,
            _ => State::Ok,
        }
    }

    /// The state of a value that is bad when it is low. A bound that is `None` is never crossed.
    pub(crate) fn when_below(value: f64, warn: Option<f64>, critical: Option<f64>) -> State {
        match (warn, critical) {
            (_, Some(critical)) if value < critical => State::Critical,
            (Some(warn), _) if value < warn => State::Warning,
            _ => State::Ok,
        }
    }
}

impl Ord for State {
    fn cmp(&self, other: &Self) -> Ordering {
        self.badness().cmp(&other.badness())
    }
}

impl PartialOrd for State {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One number that a check measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// snake_case with the unit last: `tcp_connect_seconds`.
    pub name: String,
    /// The number, in `unit`. Always finite.
    pub value: f64,
    /// `seconds`, `bytes`, `percent`, `days`, or empty for a plain count.
    pub unit: String,
    /// What tells this one from others of the same name: `{mount="/var"}`. Often empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The whole answer of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it stands.
    pub state: State,
    /// One sentence for people, without a full stop, at most [`Outcome::SUMMARY_CHARS`] characters on one line.
    pub summary: String,
    /// What was measured, in the order it was measured.
    pub readings: Vec<Reading>,
    /// Seconds that each phase took, `total` among them. A phase that was not reached is absent.
    pub timings: BTreeMap<String, f64>,
}

impl Outcome {
    /// The longest summary, in characters; what a peer sends must not fill a pager.
    pub const SUMMARY_CHARS: usize = 400;

    /// An outcome without readings. The sentence is brought onto one line and cut where it is too long.
    pub fn new(state: State, summary: impl AsRef<str>) -> Outcome {
        Outcome { state, summary: one_line(summary.as_ref()), readings: Vec::new(), timings: BTreeMap::new() }
    }

    /// With one more reading. A value that is no number is left out rather than told wrongly.
    #[must_use]
    pub fn with(self, name: &str, value: f64, unit: &str) -> Outcome {
        self.with_labels(name, value, unit, &[])
    }

    /// With one more reading that carries labels.
    #[must_use]
    pub fn with_labels(mut self, name: &str, value: f64, unit: &str, labels: &[(&str, &str)]) -> Outcome {
        if value.is_finite() {
            self.readings.push(Reading {
                name: name.to_owned(),
                value,
                unit: unit.to_owned(),
                labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            });
        }
        self
    }

    /// The value of the first reading of that name.
    pub fn reading(&self, name: &str) -> Option<f64> {
        self.readings.iter().find(|reading| reading.name == name).map(|reading| reading.value)
    }
}

/// Text that a peer may have sent, fit for one line: control characters become spaces, the rest is cut.
fn one_line(text: &str) -> String {
    let mut line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(Outcome::SUMMARY_CHARS).collect();
    if text.chars().nth(Outcome::SUMMARY_CHARS).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// A short, readable excerpt of bytes that a peer sent, for a sentence.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
    let mut chars = text.trim().chars();
    let mut shown: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() || bytes.len() > 4 * SHOWN {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Bytes in hexadecimal, with that between each two of them.
pub(crate) fn hex(bytes: &[u8], between: &str) -> String {
    let mut text = String::with_capacity(bytes.len() * (2 + between.len()));
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            text.push_str(between);
        }
        for half in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(half), 16));
        }
    }
    text
}

/// Seconds as people read them: `3.2 ms`, `1.50 s`, `2 min`.
pub(crate) fn in_words(seconds: f64) -> String {
    let magnitude = seconds.abs();
    if magnitude < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if magnitude < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else if magnitude < 120.0 {
        let text = format!("{seconds:.2}");
        format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_everybody_writes_them() {
        assert_eq!(hex(&[0, 0x1b, 0xff], ":"), "00:1b:ff");
        assert_eq!(hex(&[0x0a, 0xb0], ""), "0ab0");
        assert_eq!(hex(&[], " "), "");
    }

    #[test]
    fn the_worst_of_several_states_is_their_maximum() {
        for (states, worst) in [
            (vec![State::Ok, State::Warning], State::Warning),
            (vec![State::Warning, State::Unknown], State::Unknown), // may hide anything
            (vec![State::Critical, State::Unknown], State::Critical), // known to be down
        ] {
            assert_eq!(states.iter().copied().max(), Some(worst), "{states:?}");
        }
    }

    #[test]
    fn states_are_written_as_the_field_writes_them() {
        for (state, text, code) in [
            (State::Ok, "\"OK\"", 0),
            (State::Warning, "\"WARNING\"", 1),
            (State::Critical, "\"CRITICAL\"", 2),
            (State::Unknown, "\"UNKNOWN\"", 3),
        ] {
            assert_eq!(serde_json::to_string(&state).unwrap(), text);
            assert_eq!(serde_json::from_str::<State>(text).unwrap(), state);
            assert_eq!(state.exit_code(), code);
        }
    }

    #[test]
    fn a_peer_cannot_break_the_line_or_fill_the_pager() {
        let outcome = Outcome::new(State::Ok, format!("first\nsecond\u{1b}[31m{}", "x".repeat(1000)));
        assert!(outcome.summary.starts_with("first second [31m"), "{}", outcome.summary);
        assert_eq!(outcome.summary.chars().count(), Outcome::SUMMARY_CHARS);
        assert!(outcome.summary.ends_with('…'));
    }

    #[test]
    fn thresholds_count_the_bound_itself_as_too_high_and_not_as_too_low() {
        assert_eq!(State::when_above(80.0, Some(80.0), Some(90.0)), State::Warning);
        assert_eq!(State::when_above(90.0, Some(80.0), Some(90.0)), State::Critical);
        assert_eq!(State::when_above(1e9, None, None), State::Ok);
        assert_eq!(State::when_below(10.0, Some(10.0), Some(5.0)), State::Ok);
        assert_eq!(State::when_below(4.9, Some(10.0), Some(5.0)), State::Critical);
    }

    #[test]
    fn a_reading_is_always_a_number() {
        let outcome = Outcome::new(State::Ok, "x").with("a", f64::NAN, "").with("b", 1.0, "");
        assert_eq!(outcome.readings.len(), 1);
        assert_eq!(outcome.reading("b"), Some(1.0));
    }

    #[test]
    fn times_read_well() {
        for (seconds, text) in [
            (0.000_25, "250 µs"),
            (0.0032, "3.2 ms"),
            (1.5, "1.5 s"),
            (5.0, "5 s"),
            (600.0, "10 min"),
            (-0.5, "-500.0 ms"),
        ] {
            assert_eq!(in_words(seconds), text);
        }
    }
}
