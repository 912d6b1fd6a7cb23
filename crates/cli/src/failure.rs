//! Failures with their exit codes and a sentence that says the next step.

use serde_json::Value;
use std::fmt;

/// The code of a command whose reader has gone away, as a shell tells it of every program that a closed pipe ended: 128 and SIGPIPE.
const CLOSED: u8 = 141;

/// Why a command did not do it.
#[derive(Debug)]
pub struct Failure {
    /// 1 failed, 2 usage, 3 not found, 4 refused by policy, 5 conflict, 141 nobody reads on.
    pub code: u8,
    /// Sentences for people.
    pub text: String,
}

impl Failure {
    /// A failure of any kind.
    pub fn new(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// The command was written wrongly.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// Whoever read the output has read enough, as `head` has. The command ends; nobody is told, for nothing is wrong.
    pub fn closed() -> Self {
        Self { code: CLOSED, text: "nobody reads the output any more".into() }
    }

    /// True when there is nothing to say about it.
    pub fn is_quiet(&self) -> bool {
        self.code == CLOSED
    }

    /// From a problem document of the server.
    pub fn of_problem(status: u16, problem: &Value) -> Self {
        let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut said = text("detail").to_owned();
        if said.is_empty() {
            // Questions to measurements are refused in Prometheus's shape.
            said = text("error").to_owned();
        }
        if said.is_empty() {
            // What is not ready says so of each dependency.
            let all = problem.get("dependencies").and_then(Value::as_object);
            let wrong =
                all.into_iter().flatten().filter_map(|(name, d)| Some(format!("{name}: {}", d.get("why")?.as_str()?)));
            said = wrong.collect::<Vec<_>>().join("\n  ");
        }
        if said.is_empty() {
            said = format!("the server answered with status {status}");
        }
        for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
            let line = format!("{}: {}", part("field"), part("message"));
            if !said.contains(part("message")) {
                said.push_str(&format!("\n  {line}"));
            }
        }
        let near: Vec<&str> =
            problem.get("near").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if !near.is_empty() && !said.contains("did you mean") {
            said.push_str(&format!("; did you mean {}?", near.join(", ")));
        }
        let code = match status {
            400 | 415 | 422 => 2,
            401 | 403 => 4,
            404 | 405 => 3,
            409 | 412 => 5,
            _ => 1,
        };
        if status == 401 {
            said.push_str("\n  give a token with --token or MAINSTAY_TOKEN, or run the command on the host itself");
        }
        Self { code, text: said }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_ready_is_named_with_its_reason() {
        let said = json!({"ready": false, "dependencies": {"store": {"ready": true}, "metrics": {"ready": false, "why": "it answered 401"}}});
        assert_eq!(Failure::of_problem(503, &said).text, "metrics: it answered 401");
        assert_eq!(Failure::of_problem(503, &Value::Null).text, "the server answered with status 503");
    }
}
