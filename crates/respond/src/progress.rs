//! How far a run is: from its steps and what came of them so far to what is next. Pure; nothing here does a step, reads a clock
//! or writes.
//!
//! The results on the record are all that is known of the past. A run that was interrupted, or that waited for a person, goes
//! on from them alone, so this is asked before every step.

use crate::runbook::{OnFailure, RunbookStep};
use crate::runbook_run::{Begun, StepResult};

/// One of the two lists of steps that a runbook has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is done.
    Steps,
    /// What is done to go back.
    Undo,
}

/// What is next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<'a> {
    /// This step.
    Do(Part, &'a RunbookStep),
    /// Nothing: every step was done. The sentence says so.
    Succeeded(String),
    /// Nothing: a step failed, and what could be undone has been tried. The sentence tells both.
    Failed(String),
}

/// What is next for a run that began as `begun` and has these results.
pub fn next<'a>(begun: &'a Begun, results: &[StepResult]) -> Next<'a> {
    let done: Vec<&StepResult> = results.iter().filter(|r| !r.undo).collect();
    let Some(broken) = stopped_at(&begun.steps, &done) else {
        return begun.steps.get(done.len()).map_or_else(
            || Next::Succeeded(format!("{} done", all(begun.steps.len(), "step"))),
            |step| Next::Do(Part::Steps, step),
        );
    };
    let undone: Vec<&StepResult> = results.iter().filter(|r| r.undo).collect();
    let stopped = stopped_at(&begun.undo, &undone);
    if stopped.is_none()
        && let Some(step) = begun.undo.get(undone.len())
    {
        return Next::Do(Part::Undo, step);
    }
    let undo = match undone.iter().position(|r| !r.ok) {
        _ if begun.undo.is_empty() => "the runbook has no undo steps".to_owned(),
        None => format!("undone: {} done", all(begun.undo.len(), "undo step")),
        Some(at) => format!("undo failed at its step {}: {}", at + 1, undone[at].said),
    };
    Next::Failed(format!("step {}: {}; {undo}", broken + 1, done[broken].said))
}

fn all(count: usize, what: &str) -> String {
    if count == 1 { format!("the one {what}") } else { format!("all {count} {what}s") }
}

/// The first step that failed and stops what follows it.
fn stopped_at(steps: &[RunbookStep], results: &[&StepResult]) -> Option<usize> {
    steps.iter().zip(results).position(|(step, result)| !result.ok && step.on_failure == OnFailure::Stop)
}

/// How often the run has asked a person, the question that stands now included. A job carries the number under which it was
/// enqueued: one that was interrupted just after it asked must not go on beside the one that the answer began.
pub fn turn(results: &[StepResult], asks_now: Option<&str>) -> u64 {
    let asked = results.iter().filter(|r| r.asked_at.is_some()).count() + usize::from(asks_now.is_some());
    asked as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(on_failure: OnFailure) -> RunbookStep {
        RunbookStep { run: vec!["true".into()], on_failure, ..RunbookStep::default() }
    }

    fn result(ok: bool, part: Part) -> StepResult {
        StepResult {
            ok,
            undo: part == Part::Undo,
            said: if ok { "well" } else { "broken" }.into(),
            ..StepResult::default()
        }
    }

    /// A run, whether each step and each undo step so far went well, what is next, and why.
    type Case<'a> = (&'a Begun, &'a [bool], &'a [bool], &'a str, &'a str);

    #[test]
    fn a_run_goes_forward_stops_at_a_failure_and_goes_back() {
        use OnFailure::{Continue, Stop};
        let begun = |steps: &[OnFailure], undo: &[OnFailure]| Begun {
            steps: steps.iter().map(|f| step(*f)).collect(),
            undo: undo.iter().map(|f| step(*f)).collect(),
            ..Begun::default()
        };
        let two_and_two = begun(&[Stop, Stop], &[Stop, Stop]);
        let table: [Case; 11] = [
            (&two_and_two, &[], &[], "do Steps", "the first step"),
            (&two_and_two, &[true], &[], "do Steps", "the second"),
            (&two_and_two, &[true, true], &[], "all 2 steps done", "and no undo step"),
            (&two_and_two, &[false], &[], "do Undo", "the first may have done half of it"),
            (&two_and_two, &[true, false], &[true], "do Undo", "the second undo step"),
            (
                &two_and_two,
                &[true, false],
                &[true, true],
                "failed: step 2: broken; undone: all 2 undo steps done",
                "a run that was undone has failed all the same",
            ),
            (
                &two_and_two,
                &[true, false],
                &[false],
                "failed: step 2: broken; undo failed at its step 1: broken",
                "a broken undo stops",
            ),
            (&begun(&[Stop], &[Continue, Stop]), &[false], &[false], "do Undo", "unless it is to go on"),
            (
                &begun(&[Stop], &[Continue, Stop]),
                &[false],
                &[false, true],
                "failed: step 1: broken; undo failed at its step 1: broken",
                "which does not make it a success",
            ),
            (&begun(&[Continue, Stop], &[Stop]), &[false], &[], "do Steps", "a step that may fail"),
            (
                &begun(&[Stop], &[]),
                &[false],
                &[],
                "failed: step 1: broken; the runbook has no undo steps",
                "nothing to go back with",
            ),
        ];
        for (begun, done, undone, expected, why) in table {
            let results: Vec<StepResult> = done
                .iter()
                .map(|ok| result(*ok, Part::Steps))
                .chain(undone.iter().map(|ok| result(*ok, Part::Undo)))
                .collect();
            let found = match next(begun, &results) {
                Next::Do(part, _) => format!("do {part:?}"),
                Next::Succeeded(said) => said,
                Next::Failed(said) => format!("failed: {said}"),
            };
            assert_eq!(found, expected, "{why}");
        }
    }

    proptest! {
        /// Whatever fails: a run ends, no step is done twice, it succeeds only when nothing stopped it, and nothing is undone
        /// unless something did.
        #[test]
        fn every_run_ends_and_undoes_only_what_failed(
            steps in proptest::collection::vec(any::<(bool, bool)>(), 0..12),
            undo in proptest::collection::vec(any::<(bool, bool)>(), 0..12),
        ) {
            let list = |of: &[(bool, bool)]| -> Vec<RunbookStep> {
                of.iter().map(|(_, goes_on)| step(if *goes_on { OnFailure::Continue } else { OnFailure::Stop })).collect()
            };
            let begun = Begun { steps: list(&steps), undo: list(&undo), ..Begun::default() };
            let mut results: Vec<StepResult> = Vec::new();
            let ended = loop {
                prop_assert!(results.len() <= steps.len() + undo.len(), "it goes round in a circle");
                match next(&begun, &results) {
                    Next::Do(part, _) => {
                        let number = results.iter().filter(|r| r.undo == (part == Part::Undo)).count();
                        let ok = if part == Part::Undo { undo[number].0 } else { steps[number].0 };
                        results.push(result(ok, part));
                    }
                    end => break end,
                }
            };
            let stops = |of: &[(bool, bool)]| of.iter().any(|(ok, goes_on)| !ok && !goes_on);
            let undone = results.iter().filter(|r| r.undo).count();
            match ended {
                Next::Succeeded(_) => prop_assert!(!stops(&steps) && undone == 0 && results.len() == steps.len()),
                Next::Failed(_) => {
                    prop_assert!(stops(&steps));
                    prop_assert!(stops(&undo) || undone == undo.len(), "a part of the undo was left out");
                }
                Next::Do(..) => prop_assert!(false, "it has not ended"),
            }
            prop_assert!(results.windows(2).all(|w| w[0].undo <= w[1].undo), "undo steps come last");
        }
    }

    #[test]
    fn each_question_is_a_turn_of_its_own() {
        let at = kernel::Time::parse("2026-11-21T03:00:00Z");
        let answered = StepResult { ask: Some("look".into()), asked_at: at, ..StepResult::default() };
        for (results, now, expected, why) in [
            (vec![], None, 0, "nobody was asked yet"),
            (vec![], Some("look"), 1, "a question stands"),
            (vec![answered.clone()], None, 1, "and was answered"),
            (vec![StepResult::default(), answered], Some("look again"), 2, "the next one"),
        ] {
            assert_eq!(turn(&results, now), expected, "{why}");
        }
    }
}
