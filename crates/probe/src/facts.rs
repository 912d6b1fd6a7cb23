//! Facts: named values that a peer tells about itself, the conditions on them, and the readings they become. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt};

/// What must hold of named values: `{"connected_clients": "< 1000", "role": "master"}`.
pub type Conditions = BTreeMap<String, Condition>;

/// Named values, in the peer's own words; numbers as text. At most [`MAX_FACTS`].
pub type Facts = BTreeMap<String, String>;

/// The most values that are kept of one answer.
pub const MAX_FACTS: usize = 2000;

/// The first condition that does not hold, as a part of a sentence about the peer: `role is "slave", not master`.
pub(crate) fn first_broken(conditions: &Conditions, facts: &Facts) -> Option<String> {
    conditions.iter().find_map(|(name, condition)| match facts.get(name) {
        None => Some(format!("{name} is not among its values, where {condition} is expected")),
        Some(value) if condition.holds(&Value::from(value.as_str())) => None,
        Some(value) => Some(format!("{name} is {}, where {condition} is expected", excerpt(value.as_bytes()))),
    })
}

/// State and the end of the sentence.
pub(crate) fn judge(conditions: &Conditions, facts: &Facts) -> (State, String) {
    match first_broken(conditions, facts) {
        Some(broken) => (State::Critical, format!(": {broken}")),
        None => (State::Ok, String::new()),
    }
}

/// The outcome with a reading `<protocol>_value{name="…"}` for each value that a condition names and that is a number.
pub(crate) fn with_named(mut outcome: Outcome, protocol: &str, conditions: &Conditions, facts: &Facts) -> Outcome {
    for name in conditions.keys() {
        if let Some(number) = facts.get(name).and_then(|value| value.trim().parse::<f64>().ok()) {
            outcome = outcome.with_labels(&format!("{protocol}_value"), number, "", &[("name", name)]);
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_condition_that_does_not_hold_is_told() {
        let facts = Facts::from([("role".into(), "slave".into()), ("clients".into(), "12".into())]);
        for (conditions, broken) in [
            (json!({}), None),
            (json!({"clients": "< 20", "role": "slave"}), None),
            (json!({"role": "master"}), Some("role is \"slave\", where master is expected")),
            (json!({"clients": "< 10"}), Some("clients is \"12\", where < 10 is expected")),
            (json!({"none": "1"}), Some("none is not among its values, where 1 is expected")),
        ] {
            let conditions: Conditions = serde_json::from_value(conditions).unwrap();
            assert_eq!(first_broken(&conditions, &facts).as_deref(), broken);
            let outcome = with_named(Outcome::new(State::Ok, ""), "x", &conditions, &facts);
            assert_eq!(outcome.readings.len(), usize::from(conditions.contains_key("clients")));
        }
    }
}
