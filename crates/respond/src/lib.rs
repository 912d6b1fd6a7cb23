//! Respond: it broke: who acts, on what, with what, and is it over?
//!
//! An [`Incident`](incident::Incident) is the only record that pages people. Alerts open it, people move it along its states,
//! runbooks mend what they can, and a [`Review`](review::Review) keeps what was learned. Nothing here knows how a message
//! travels (that is notify) or how a command is run (that is an agent).

pub mod priority;
pub mod incident;
pub mod problem;
pub mod known_error;
pub mod runbook;
pub mod runbook_run;
pub mod calendar;
pub mod on_call_schedule;
pub mod escalation_policy;
pub mod channel;
pub mod notification;
pub mod status_page;
pub mod review;
pub mod improvement_action;
pub mod fold;
pub mod hold;
pub mod recover;
pub mod oncall;
pub mod escalate;
pub mod page;
pub mod remediate;
pub mod scheduled;
pub mod progress;
pub mod start;
pub mod run;
mod ask;
mod preview;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<incident::Incident>(Verb::Respond),
            class::<problem::Problem>(Verb::Respond),
            class::<known_error::KnownError>(Verb::Respond),
            class::<runbook::Runbook>(Verb::Respond),
            class::<runbook_run::RunbookRun>(Verb::Respond),
            class::<calendar::Calendar>(Verb::Respond),
            class::<on_call_schedule::OnCallSchedule>(Verb::Respond),
            class::<escalation_policy::EscalationPolicy>(Verb::Respond),
            class::<channel::Channel>(Verb::Respond),
            class::<notification::Notification>(Verb::Respond),
            class::<status_page::StatusPage>(Verb::Respond),
            class::<review::Review>(Verb::Respond),
            class::<improvement_action::ImprovementAction>(Verb::Respond),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod testing;
