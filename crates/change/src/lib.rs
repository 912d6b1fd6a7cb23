//! Change: what are we about to alter, who agreed, and can we go back?
//!
//! A [`Change`](change::Change) is the decision; a [`Release`](release::Release) is what goes live together; a
//! [`Deployment`](deployment::Deployment) is one thing brought to one place. Nothing here runs anything: runbooks and pipelines do.

pub mod change;
pub mod release;
pub mod deployment;
pub mod patch;
pub mod project;
pub mod task;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<change::Change>(Verb::Change),
            class::<release::Release>(Verb::Change),
            class::<deployment::Deployment>(Verb::Change),
            class::<patch::Patch>(Verb::Change),
            class::<project::Project>(Verb::Change),
            class::<task::Task>(Verb::Change),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
