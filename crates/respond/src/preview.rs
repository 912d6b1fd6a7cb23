//! A dry run: tells what a run would do, step by step and then for the undo steps, and whether it could.
//!
//! Nothing is run, no check is asked, no person is asked; what is compared is what each step names with what there is.

use kernel::Kernel;
use kernel::clock::format_duration;
use kernel::error::ActError;
use kernel::{Record, TenantId};

use crate::ask::PATIENCE;
use crate::run::{CHECK_WITHIN, Runs};
use crate::runbook::RunbookStep;
use crate::runbook_run::{Begun, StepResult};

/// What came of a dry run.
pub(crate) struct Preview {
    /// A result for each step.
    pub(crate) results: Vec<StepResult>,
    /// The transition that ends it: succeed when every step could be done.
    pub(crate) ends: &'static str,
    /// In a sentence.
    pub(crate) said: String,
}

impl Runs {
    /// What a run that began like this would do.
    pub(crate) async fn preview(
        &self,
        kernel: &Kernel,
        begun: &Begun,
        on: Option<&Record>,
        tenant: TenantId,
    ) -> Result<Preview, ActError> {
        let mut results = Vec::new();
        for step in &begun.steps {
            results.push(self.would(kernel, step, begun, on, tenant).await?);
        }
        for step in &begun.undo {
            let result = self.would(kernel, step, begun, on, tenant).await?;
            let said = format!("if a step failed: {}", result.said);
            results.push(StepResult { undo: true, said, ..result });
        }
        let (ends, what) = match results.iter().position(|r| !r.ok) {
            None => ("succeed", counted(begun)),
            Some(at) if results[at].undo => {
                ("fail", format!("undo step {} could not be done: {}", at + 1 - begun.steps.len(), results[at].said))
            }
            Some(at) => ("fail", format!("step {} could not be done: {}", at + 1, results[at].said)),
        };
        Ok(Preview { results, ends, said: format!("dry run, nothing was done: {what}") })
    }

    async fn would(
        &self,
        kernel: &Kernel,
        step: &RunbookStep,
        begun: &Begun,
        on: Option<&Record>,
        tenant: TenantId,
    ) -> Result<StepResult, ActError> {
        let values = begun.parameters.as_object().cloned().unwrap_or_default();
        let mut result = StepResult { at: Some(kernel.now()), check: step.check.clone(), ..StepResult::default() };
        if let Some(text) = &step.ask {
            let within = format_duration(step.within.map_or(PATIENCE, |w| w.0));
            match self.asked(text, &values) {
                Ok(text) => {
                    (result.ok, result.said) = (true, format!("would ask a person and wait up to {within}: {text}"));
                    result.ask = Some(text);
                }
                Err(why) => (result.ask, result.said) = (Some(text.clone()), why),
            }
        } else if let Some(check) = &step.check {
            let found = kernel.backend().by_key(tenant, check).await?;
            result.ok = found.is_some_and(|r| !r.deleted && r.kind.as_str() == "check");
            let within = format_duration(step.within.map_or(CHECK_WITHIN, |w| w.0));
            result.said = if result.ok {
                format!("would wait up to {within} for {check} to be OK")
            } else {
                format!("there is no check \"{check}\"")
            };
        } else {
            let done = self.hands.would_run(on, &step.run, &values).await;
            result.run = self.hands.fill(&step.run, &values).unwrap_or_else(|_| step.run.clone());
            (result.ok, result.said, result.detail) = (done.ok, done.said, done.detail);
        }
        Ok(result.clipped())
    }
}

fn counted(begun: &Begun) -> String {
    let of = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    };
    format!("{} and {} could be done", of(begun.steps.len(), "step"), of(begun.undo.len(), "undo step"))
}
