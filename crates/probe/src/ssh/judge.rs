//! Judge: what a command that ran over SSH says about the state. Pure.

use super::{ExitCode, Ssh};
use crate::env::Ran;
use crate::outcome::{Outcome, State, excerpt};
use crate::plugin;

/// The whole judgement of somebody who signed in, however long it took; `met` is what was judged of the server itself.
pub fn judge(want: &Ssh, user: &str, peer: &str, ran: Option<&Ran>, met: Outcome) -> Outcome {
    let Some(ran) = ran else {
        let summary = if met.state == State::Ok { format!("{peer} lets {user:?} in") } else { met.summary };
        return Outcome { summary, ..met };
    };
    let output = (want.exit_code == ExitCode::Plugin).then(|| plugin::parse_output(&ran.stdout));
    let (mut state, mut sentence) = match &output {
        Some(output) => plugin::own_judgement("the command", ran, output),
        None => by_success(peer, ran),
    };
    if let Some(pattern) = &want.output
        && !pattern.0.is_match(&ran.stdout)
        && state < State::Critical
    {
        state = State::Critical;
        sentence = format!("the command on {peer} writes nothing that matches {}", pattern.0);
    }
    let mut numbers = Vec::new();
    for (name, pattern) in &want.numbers {
        let found = pattern.0.captures(&ran.stdout).and_then(|groups| groups.get(1)).map(|found| found.as_bytes());
        let trouble = match (parse_number(found.unwrap_or_default()), want.values.get(name)) {
            (Err(Unread::NoNumber), _) => Some(format!("the command on {peer} writes no number {name}")),
            (Err(Unread::Thousands), _) => {
                let found = excerpt(found.unwrap_or_default());
                Some(format!("the command on {peer} writes {found} for {name}, which may be thousands or a fraction"))
            }
            (Ok(number), condition) => {
                numbers.push((name.as_str(), number));
                let broken = condition.filter(|condition| !condition.holds(&number.into()));
                broken.map(|condition| format!("{name} on {peer} is {number}, where {condition} is expected"))
            }
        };
        if let Some(trouble) = trouble.filter(|_| state < State::Critical) {
            (state, sentence) = (State::Critical, trouble);
        }
    }
    if met.state > state {
        (state, sentence) = (met.state, met.summary);
    }
    let mut outcome = Outcome::new(state, sentence);
    outcome.readings = met.readings;
    outcome = outcome.with("ssh_output_bytes", ran.stdout.len() as f64, "bytes");
    if let Some(code) = ran.code {
        outcome = outcome.with("ssh_exit_code", f64::from(code), "");
    }
    for (name, number) in numbers {
        outcome = outcome.with_labels("ssh_value", number, "", &[("name", name)]);
    }
    match output {
        Some(output) => plugin::with_performance(outcome, "ssh_plugin_value", &output.performance),
        None => outcome,
    }
}

/// Why something is not taken for a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    NoNumber,
    /// Its comma stands before three digits: a thousand to some, a little more than one to others.
    Thousands,
}

/// Reads a number as people write it, with a point or a comma before its fraction. What has no end (`inf`) is none.
fn parse_number(text: &[u8]) -> Result<f64, Unread> {
    let text = std::str::from_utf8(text).map_err(|_| Unread::NoNumber)?;
    let is_thousands = text.split_once(',').is_some_and(|(whole, rest)| {
        rest.len() == 3
            && rest.bytes().all(|byte| byte.is_ascii_digit())
            && whole.trim_start_matches(['-', '+']).starts_with(|c: char| ('1'..='9').contains(&c))
    });
    if is_thousands {
        return Err(Unread::Thousands);
    }
    let number = text.replace(',', ".").parse::<f64>().ok();
    number.filter(|number| number.is_finite()).ok_or(Unread::NoNumber)
}

/// What it means when nothing but 0 is well.
fn by_success(peer: &str, ran: &Ran) -> (State, String) {
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
        let fraction = || json!({"numbers": {"load": "load (\\S+)"}, "values": {"load": "!= 5"}});
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
            (fraction(), ran(Some(0), "load nan"), State::Critical, "writes no number load"),
            (fraction(), ran(Some(0), "load inf"), State::Critical, "writes no number load"),
            (fraction(), ran(Some(0), "load 5,0"), State::Critical, "load on s:22 is 5, where != 5 is expected"),
            (fraction(), ran(Some(0), "load 0,125"), State::Ok, "load 0,125"),
            (fraction(), ran(Some(0), "load 1,234"), State::Critical, "\"1,234\" for load, which may be thousands"),
            (json!({}), ran(Some(0), "load 1, 2, 3"), State::Ok, "load 1, 2, 3"),
            // Time is judged at the end, of all of it.
            (json!({"critical_time": "0ms"}), ran(Some(0), "fine"), State::Ok, "fine"),
        ] {
            let want: Ssh = serde_json::from_value(params.clone()).unwrap();
            let met = Outcome::new(State::Ok, "met").with("ssh_weak_algorithms_count", 2.0, "");
            let outcome = judge(&want, "mia", "s:22", Some(&ran), met);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("ssh_weak_algorithms_count"), Some(2.0));
        }
    }

    #[test]
    fn what_is_weak_stays_told_when_the_command_is_well() {
        let met = || Outcome::new(State::Warning, "s:22 offers what is no longer safe: arcfour, 3des-cbc");
        let ran = Ran { code: Some(0), stdout: b"fine".to_vec(), stderr: Vec::new(), cost: None };
        for ran in [None, Some(&ran)] {
            let outcome = judge(&Ssh::default(), "mia", "s:22", ran, met());
            assert_eq!(outcome.state, State::Warning, "{}", outcome.summary);
            assert_eq!(outcome.summary, "s:22 offers what is no longer safe: arcfour, 3des-cbc");
        }
    }
}
