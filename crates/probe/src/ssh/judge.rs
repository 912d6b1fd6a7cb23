//! Judge: what a command that ran over SSH says about the state. Pure.

use super::{ExitCode, Ssh};
use crate::dialog::Measured;
use crate::env::Ran;
use crate::outcome::{Outcome, State, excerpt};
use crate::plugin;

/// The whole judgement of somebody who signed in; `met` is what was judged before, of the server itself.
pub fn judge(want: &Ssh, user: &str, ran: Option<&Ran>, met: Outcome, measured: &Measured) -> Outcome {
    let Some(ran) = ran else {
        let (state, sentence) = match met.state {
            State::Ok => (State::Ok, format!("{} lets {user:?} in", measured.peer)),
            state => (state, untimed(&met).to_owned()),
        };
        return timed(want, measured, state, &sentence, met);
    };
    let (mut state, mut sentence) = by_exit_code(want.exit_code, measured, ran);
    if let Some(pattern) = &want.output
        && !pattern.0.is_match(&ran.stdout)
        && state < State::Critical
    {
        state = State::Critical;
        sentence = format!("the command on {} writes nothing that matches {}", measured.peer, pattern.0);
    }
    let mut numbers = Vec::new();
    for (name, pattern) in &want.numbers {
        let found = pattern.0.captures(&ran.stdout).and_then(|groups| groups.get(1));
        let number =
            found.and_then(|found| std::str::from_utf8(found.as_bytes()).ok()?.replace(',', ".").parse::<f64>().ok());
        let condition = want.values.get(name);
        let trouble = match (number, condition) {
            (None, _) => Some(format!("the command on {} writes no number {name}", measured.peer)),
            (Some(number), Some(condition)) if !condition.holds(&number.into()) => {
                Some(format!("{name} on {} is {number}, where {condition} is expected", measured.peer))
            }
            _ => None,
        };
        if let Some(trouble) = trouble.filter(|_| state < State::Critical) {
            (state, sentence) = (State::Critical, trouble);
        }
        numbers.extend(number.filter(|number| number.is_finite()).map(|number| (name.as_str(), number)));
    }
    if met.state > state {
        (state, sentence) = (met.state, untimed(&met).to_owned());
    }
    let mut outcome =
        timed(want, measured, state, &sentence, met).with("ssh_output_bytes", ran.stdout.len() as f64, "bytes");
    if let Some(code) = ran.code {
        outcome = outcome.with("ssh_exit_code", f64::from(code), "");
    }
    for (name, number) in numbers {
        outcome = outcome.with_labels("ssh_value", number, "", &[("name", name)]);
    }
    if want.exit_code == ExitCode::Plugin {
        let output = plugin::parse_output(&ran.stdout);
        outcome = plugin::with_performance(outcome, "ssh_plugin_value", &output.performance);
    }
    outcome
}

/// The state that the exit code means, and what the command says.
fn by_exit_code(meaning: ExitCode, measured: &Measured, ran: &Ran) -> (State, String) {
    let peer = &measured.peer;
    if meaning == ExitCode::Plugin {
        let said = plugin::decide("the command", ran);
        return (said.state, said.summary);
    }
    let first = ran.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let complaint = if ran.stderr.is_empty() { first } else { ran.stderr.as_slice() };
    match ran.code {
        Some(0) => (State::Ok, format!("the command on {peer} ends well ({})", excerpt(first))),
        Some(127) => {
            (State::Critical, format!("there is no such command on {peer} (code 127): {}", excerpt(complaint)))
        }
        Some(code) => {
            (State::Critical, format!("the command on {peer} ends with the code {code}: {}", excerpt(complaint)))
        }
        None => (State::Critical, format!("a signal ended the command on {peer}: {}", excerpt(complaint))),
    }
}

/// The sentence from before without the time that it ended with: it has gone on since.
fn untimed(met: &Outcome) -> &str {
    met.summary.rsplit_once(", ").map_or(met.summary.as_str(), |(sentence, _)| sentence)
}

/// With the time of all of it, and the readings from before that stay true.
fn timed(want: &Ssh, measured: &Measured, state: State, sentence: &str, met: Outcome) -> Outcome {
    let mut outcome = measured.outcome("ssh", state, sentence, (want.warn_time, want.critical_time));
    outcome.readings.extend(met.readings.into_iter().filter(|reading| reading.name != "ssh_response_seconds"));
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exit_code_output_and_numbers_decide() {
        let ran = |code: Option<i32>, stdout: &str| Ran {
            code,
            stdout: stdout.into(),
            stderr: b"oh no".to_vec(),
            cost: None,
        };
        let numbers = json!({"numbers": {"jobs": "(\\d+) jobs"}, "values": {"jobs": "< 10"}});
        for (params, ran, state, part) in [
            (json!({}), ran(Some(0), "DISK OK | /=3GB;4;5"), State::Ok, "DISK OK"),
            (json!({}), ran(Some(1), "DISK WARNING"), State::Warning, "DISK WARNING"),
            (json!({}), ran(Some(2), ""), State::Critical, "said nothing"),
            (json!({}), ran(Some(9), "x"), State::Unknown, "the code 9"),
            (json!({"exit_code": "success"}), ran(Some(0), "ok\nmore"), State::Ok, "ends well (\"ok\")"),
            (json!({"exit_code": "success"}), ran(Some(9), "x"), State::Critical, "the code 9: \"oh no\""),
            (json!({"exit_code": "success"}), ran(Some(127), ""), State::Critical, "no such command"),
            (json!({"exit_code": "success"}), ran(None, ""), State::Critical, "a signal ended"),
            (
                json!({"output": "^all well"}),
                ran(Some(0), "most well"),
                State::Critical,
                "nothing that matches ^all well",
            ),
            (numbers.clone(), ran(Some(0), "9 jobs"), State::Ok, "9 jobs"),
            (numbers.clone(), ran(Some(0), "10 jobs"), State::Critical, "jobs on s:22 is 10, where < 10 is expected"),
            (numbers.clone(), ran(Some(0), "no jobs"), State::Critical, "writes no number jobs"),
            (json!({"critical_time": "50ms"}), ran(Some(0), "fine"), State::Critical, "fine, 100.0 ms"),
        ] {
            let want: Ssh = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "s:22".into(), seconds: 0.1, certificate_left_days: None };
            let met = Outcome::new(State::Ok, "met").with("ssh_weak_algorithms_count", 2.0, "");
            let outcome = judge(&want, "mia", Some(&ran), met, &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("ssh_weak_algorithms_count"), Some(2.0));
        }
    }

    #[test]
    fn what_is_weak_stays_told_when_the_command_is_well() {
        let measured = Measured { peer: "s:22".into(), seconds: 0.1, certificate_left_days: None };
        let met = || Outcome::new(State::Warning, "s:22 offers what is no longer safe: 3des-cbc, 5 ms");
        let ran = Ran { code: Some(0), stdout: b"fine".to_vec(), stderr: Vec::new(), cost: None };
        for ran in [None, Some(&ran)] {
            let outcome = judge(&Ssh::default(), "mia", ran, met(), &measured);
            assert_eq!(outcome.state, State::Warning, "{}", outcome.summary);
            assert_eq!(outcome.summary, "s:22 offers what is no longer safe: 3des-cbc, 100.0 ms");
        }
    }
}
