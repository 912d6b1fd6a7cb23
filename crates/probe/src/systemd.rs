//! systemd: in which state a unit is. Asks `systemctl show`; starts and stops nothing.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, Ran};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::ParamError;
use crate::protocol::{Check, Cx};

/// Parameters of `systemd`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Systemd {
    /// Active states that are fine: active, inactive, failed, activating, deactivating, reloading, maintenance. For a unit that runs
    /// and ends (a oneshot started by a timer) say active and inactive.
    state: Vec<String>,
    /// WARNING when systemd restarted the unit at least this often since it was loaded. Not judged when left out.
    warn_restarts: Option<u32>,
}

const ACTIVE_STATES: &[&str] =
    &["active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance", "refreshing"];

impl Default for Systemd {
    fn default() -> Self {
        Systemd { state: vec!["active".to_owned()], warn_restarts: None }
    }
}

impl Check for Systemd {
    const NAME: &'static str = "systemd";
    const TITLE: &'static str = "systemd unit";
    const HELP: &'static str = "Whether a unit is active, and how often it was restarted.";
    const TARGET: &'static str = "a unit, for example nginx.service; nginx alone means nginx.service";
    const LOCAL: bool = true;

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        if !is_unit_name(target) {
            problems.push(ParamError::new("target", format!("{target:?} is no unit; write for example nginx.service")));
        }
        for state in self.state.iter().filter(|state| !ACTIVE_STATES.contains(&state.as_str())) {
            problems.push(ParamError::new("state", format!("{state:?} is none of {}", ACTIVE_STATES.join(", "))));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        cx.trace.phase("read", "asking systemd");
        let first = cx.env.host.read(Path::new("/proc/1/comm")).await.unwrap_or_default();
        if first.trim_ascii() != b"systemd" {
            return Err(Failure::Local(format!(
                "systemd does not run this machine (process 1 is {}); check the process instead",
                excerpt(&first)
            )));
        }
        let unit = full_name(cx.target);
        let argv = ["systemctl", "show", "--no-pager", PROPERTIES, "--", &unit];
        let ran = cx
            .env
            .host
            .run(&argv)
            .await
            .map_err(|error| Failure::Local(format!("systemctl cannot be run: {error}")))?;
        Ok(decide(self, &unit, &ran))
    }
}

const PROPERTIES: &str =
    "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts,MemoryCurrent,TasksCurrent,MainPID";

fn is_unit_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
}

fn full_name(name: &str) -> String {
    const KINDS: &[&str] =
        &["service", "socket", "timer", "mount", "target", "path", "slice", "scope", "device", "swap", "automount"];
    match name.rsplit_once('.') {
        Some((_, kind)) if KINDS.contains(&kind) => name.to_owned(),
        _ => format!("{name}.service"),
    }
}

/// A unit as `systemctl show` tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, `error` …; empty when not told.
    pub load_state: String,
    /// `active`, `inactive`, `failed` …; empty when not told.
    pub active_state: String,
    /// `running`, `exited`, `dead` …
    pub sub_state: String,
    /// `success`, `exit-code`, `signal`, `oom-kill` …
    pub result: String,
    /// How often systemd restarted it by itself.
    pub restarts: Option<u32>,
    /// Memory of its control group; `None` where it is not accounted.
    pub memory_bytes: Option<u64>,
    /// Tasks in its control group; `None` where they are not accounted.
    pub tasks: Option<u64>,
}

/// Reads the `Key=value` lines of `systemctl show` for one unit. Unknown keys are ignored; a later line wins.
pub fn parse_unit(bytes: &[u8]) -> Unit {
    let text = String::from_utf8_lossy(bytes);
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let word = |key: &str| fields.get(key).map(|value| value.trim().to_owned()).unwrap_or_default();
    // systemd writes "[not set]" or the largest number where it does not account.
    let number =
        |key: &str| fields.get(key).and_then(|value| value.trim().parse::<u64>().ok()).filter(|n| *n != u64::MAX);
    Unit {
        load_state: word("LoadState"),
        active_state: word("ActiveState"),
        sub_state: word("SubState"),
        result: word("Result"),
        restarts: number("NRestarts").and_then(|count| u32::try_from(count).ok()),
        memory_bytes: number("MemoryCurrent"),
        tasks: number("TasksCurrent"),
    }
}

/// The whole judgement, from what systemctl said.
pub fn decide(want: &Systemd, name: &str, ran: &Ran) -> Outcome {
    let unit = parse_unit(&ran.stdout);
    if unit.load_state.is_empty() || unit.active_state.is_empty() {
        let why = if ran.stderr.is_empty() { "nothing".to_owned() } else { excerpt(&ran.stderr) };
        return Outcome::new(State::Unknown, format!("systemctl told nothing about {name}; it said {why}"));
    }
    let is_wanted = want.state.contains(&unit.active_state);
    let restarts = unit.restarts.unwrap_or(0);
    let (state, summary) = match (unit.load_state.as_str(), unit.active_state.as_str()) {
        ("not-found", _) => (State::Critical, format!("{name} is not installed here: systemd does not know it")),
        ("masked", _) => (State::Critical, format!("{name} is masked, so it cannot start")),
        ("error" | "bad-setting", _) => {
            (State::Critical, format!("{name} has a faulty unit file ({})", unit.load_state))
        }
        (_, active) if is_wanted && want.warn_restarts.is_some_and(|bound| restarts >= bound) => {
            (State::Warning, format!("{name} is {active} ({}), but was restarted {restarts} times", unit.sub_state))
        }
        (_, active) if is_wanted => (State::Ok, format!("{name} is {active} ({})", unit.sub_state)),
        // On its way: neither up nor down. Whoever calls decides how long that may last.
        (_, active @ ("activating" | "reloading" | "deactivating" | "refreshing")) => {
            (State::Warning, format!("{name} is {active} ({})", unit.sub_state))
        }
        (_, active) if !matches!(unit.result.as_str(), "" | "success") => {
            (State::Critical, format!("{name} is {active} ({}, result {})", unit.sub_state, unit.result))
        }
        (_, active) => (State::Critical, format!("{name} is {active} ({})", unit.sub_state)),
    };
    let mut outcome = Outcome::new(state, summary).with("systemd_restarts_count", f64::from(restarts), "");
    if let Some(memory) = unit.memory_bytes {
        outcome = outcome.with("systemd_memory_bytes", memory as f64, "bytes");
    }
    if let Some(tasks) = unit.tasks {
        outcome = outcome.with("systemd_tasks_count", tasks as f64, "");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// As systemd 252 and 255 wrote them.
    const RUNNING: &str = "MainPID=812\nNRestarts=0\nResult=success\nMemoryCurrent=5033164\nTasksCurrent=3\nId=nginx.service\nLoadState=loaded\nActiveState=active\nSubState=running\n";
    const FAILED: &str = "MainPID=0\nNRestarts=5\nResult=exit-code\nMemoryCurrent=[not set]\nTasksCurrent=[not set]\nId=nginx.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\n";
    const STOPPED: &str = "MainPID=0\nNRestarts=0\nResult=success\nMemoryCurrent=18446744073709551615\nTasksCurrent=18446744073709551615\nId=apt-daily.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\n";
    const ABSENT: &str = "MainPID=0\nNRestarts=0\nResult=success\nId=nothing.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n";
    const MASKED: &str = "Id=x.service\nLoadState=masked\nActiveState=inactive\nSubState=dead\nResult=success\n";
    const STARTING: &str =
        "NRestarts=2\nResult=success\nId=db.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n";
    const TIMER: &str = "Result=success\nId=apt-daily.timer\nLoadState=loaded\nActiveState=active\nSubState=waiting\n";

    #[test]
    fn recorded_answers_are_judged() {
        for (params, answer, state, part) in [
            (json!({}), RUNNING, State::Ok, "u is active (running)"),
            (json!({}), FAILED, State::Critical, "u is failed (failed, result exit-code)"),
            (json!({}), STOPPED, State::Critical, "u is inactive (dead)"),
            (json!({"state": ["active", "inactive"]}), STOPPED, State::Ok, "u is inactive"), // a oneshot between runs
            (json!({}), ABSENT, State::Critical, "u is not installed here"),
            (json!({"state": ["inactive"]}), ABSENT, State::Critical, "not installed"), // inactive, but for want of a unit
            (json!({}), MASKED, State::Critical, "u is masked"),
            (json!({}), STARTING, State::Warning, "u is activating (auto-restart)"),
            (json!({}), TIMER, State::Ok, "u is active (waiting)"),
            (json!({"state": ["failed"], "warn_restarts": 5}), FAILED, State::Warning, "restarted 5 times"),
            (json!({}), "", State::Unknown, "told nothing"),
            (json!({}), "Failed to connect to bus", State::Unknown, "told nothing"),
        ] {
            let want: Systemd = serde_json::from_value(params.clone()).unwrap();
            let ran = Ran { code: Some(0), stdout: answer.into(), ..Ran::default() };
            let outcome = decide(&want, "u", &ran);
            assert_eq!(outcome.state, state, "{params} {answer}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn what_is_not_accounted_is_no_reading() {
        assert_eq!(parse_unit(RUNNING.as_bytes()).memory_bytes, Some(5_033_164));
        assert_eq!(parse_unit(FAILED.as_bytes()).memory_bytes, None);
        assert_eq!(parse_unit(STOPPED.as_bytes()).tasks, None);
    }

    #[test]
    fn a_unit_name_cannot_become_an_option() {
        for (name, full) in [
            ("nginx", "nginx.service"),
            ("apt-daily.timer", "apt-daily.timer"),
            ("getty@tty1", "getty@tty1.service"),
            ("a.b", "a.b.service"),
        ] {
            assert!(is_unit_name(name));
            assert_eq!(full_name(name), full);
        }
        for name in ["", "--now", "a b", "a;b", "a/b"] {
            assert!(!is_unit_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_of_systemctl_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_unit(&bytes);
            decide(&Systemd::default(), "u", &Ran { stdout: bytes.clone(), stderr: bytes, ..Ran::default() });
        }
    }
}
