//! What a run of answers means: retries before a state is believed, hold-down before a recovery is. Pure; no clock, no store.

use kernel::Time;
use probe::State;
use std::time::Duration;

/// What is known of a check between two answers; kept in memory, as it can be measured again at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state that is recorded.
    pub state: State,
    /// The state that the latest answers speak for, if it is another.
    pub candidate: Option<State>,
    /// How many answers in a row have spoken against the recorded state.
    pub streak: u32,
    /// Since when the candidate has held.
    pub since: Option<Time>,
}

impl Standing {
    /// As recorded, with nothing against it.
    pub fn recorded(state: State) -> Self {
        Self { state, candidate: None, streak: 0, since: None }
    }
}

/// The rules of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Answers in a row, beyond the first, that a worse state needs.
    pub retries: u32,
    /// How long a better state must have held.
    pub hold_down: Duration,
}

/// What an answer did; the variant is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It speaks for the recorded state.
    Same,
    /// It speaks against it, and is not believed yet: ask again soon.
    Doubt,
    /// It is better, and has not been for long enough yet.
    Holding,
    /// The state changes.
    Changed(State),
}

/// Judges one answer. A check that has never been measured believes its first answer, whatever it is.
pub fn judge(standing: &mut Standing, answer: State, rules: Rules, now: Time) -> Verdict {
    if answer == standing.state {
        *standing = Standing::recorded(standing.state);
        return Verdict::Same;
    }
    // Any answer against the recorded state counts towards the streak: WARNING, CRITICAL, WARNING is not health.
    standing.streak += 1;
    if standing.candidate != Some(answer) {
        standing.candidate = Some(answer);
        standing.since = Some(now);
    }
    if standing.state == State::Unknown {
        *standing = Standing::recorded(answer);
        return Verdict::Changed(answer);
    }
    let recovery = answer == State::Ok;
    if recovery && standing.since.is_some_and(|s| now.since(s) < rules.hold_down) {
        return Verdict::Holding;
    }
    if !recovery && standing.streak <= rules.retries {
        return Verdict::Doubt;
    }
    *standing = Standing::recorded(answer);
    Verdict::Changed(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(answers: &[(i64, State)], retries: u32, hold_down: u64) -> Vec<Verdict> {
        let mut standing = Standing::recorded(State::Ok);
        let rules = Rules { retries, hold_down: Duration::from_secs(hold_down) };
        answers.iter().map(|(s, a)| judge(&mut standing, *a, rules, Time::from_micros(s * 1_000_000))).collect()
    }

    #[test]
    fn a_state_is_believed_after_its_retries() {
        use State::*;
        type Row = (&'static [(i64, State)], u32, u64, Verdict, &'static str);
        let table: [Row; 7] = [
            (&[(0, Critical)], 0, 0, Verdict::Changed(Critical), "without retries the first failure counts"),
            (&[(0, Critical)], 1, 0, Verdict::Doubt, "one failure of two"),
            (&[(0, Critical), (1, Critical)], 1, 0, Verdict::Changed(Critical), "two in a row"),
            (&[(0, Critical), (1, Ok), (2, Critical)], 1, 0, Verdict::Doubt, "a success in between begins anew"),
            (&[(0, Warning), (1, Critical)], 1, 0, Verdict::Changed(Critical), "neither of the two was well"),
            (&[(0, Critical), (1, Ok)], 0, 60, Verdict::Holding, "well, but not for a minute yet"),
            (&[(0, Critical), (1, Ok), (61, Ok)], 0, 60, Verdict::Changed(Ok), "well for a minute"),
        ];
        for (answers, retries, hold_down, last, why) in table {
            assert_eq!(run(answers, retries, hold_down).last(), Some(&last), "{why}");
        }
    }

    proptest! {
        /// UNKNOWN is never green: it takes an OK answer to become OK.
        #[test]
        fn nothing_but_an_ok_answer_makes_a_check_ok(answers in proptest::collection::vec(0u8..4, 1..40), retries in 0u32..4, hold in 0u64..5) {
            let states = [State::Ok, State::Warning, State::Critical, State::Unknown];
            let mut standing = Standing::recorded(State::Unknown);
            let rules = Rules { retries, hold_down: Duration::from_secs(hold) };
            for (i, a) in answers.iter().enumerate() {
                let answer = states[usize::from(*a)];
                if judge(&mut standing, answer, rules, Time::from_micros(i as i64 * 1_000_000)) == Verdict::Changed(State::Ok) {
                    prop_assert_eq!(answer, State::Ok);
                }
            }
        }
    }
}
