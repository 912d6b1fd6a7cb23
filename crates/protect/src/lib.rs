//! Protect: could we lose it, or let the wrong one in?
//!
//! A [`BackupPolicy`](backup_policy::BackupPolicy) says what is copied and a [`RestoreTest`](restore_test::RestoreTest) proves it; a
//! [`Finding`](finding::Finding) is a weakness and a [`Control`](control::Control) keeps a [`Risk`](risk::Risk) small. No secret is ever in a
//! record, and nothing here counts as proven because somebody typed it in.

pub mod backup_policy;
pub mod restore_test;
pub mod continuity_plan;
pub mod drill;
pub mod finding;
pub mod control;
pub mod risk;
pub mod security_policy;
pub mod access_review;
pub mod credential;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<backup_policy::BackupPolicy>(Verb::Protect),
            class::<restore_test::RestoreTest>(Verb::Protect),
            class::<continuity_plan::ContinuityPlan>(Verb::Protect),
            class::<drill::Drill>(Verb::Protect),
            class::<finding::Finding>(Verb::Protect),
            class::<control::Control>(Verb::Protect),
            class::<risk::Risk>(Verb::Protect),
            class::<security_policy::SecurityPolicy>(Verb::Protect),
            class::<access_review::AccessReview>(Verb::Protect),
            class::<credential::Credential>(Verb::Protect),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
