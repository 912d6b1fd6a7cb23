//! Watch: is it healthy, right now and for how long has it been?
//!
//! A [`Check`](check::Check) asks a system, a [`Rule`](rule::Rule) asks its metrics; what they find wrong is an
//! [`Alert`](alert::Alert). Missing data is UNKNOWN and never fine. Nothing here tells people: that is for respond.

pub mod severity;
pub mod check;
pub mod rule;
pub mod rules;
pub mod alert;
pub mod silence;
pub mod maintenance_window;
pub mod dashboard;
pub mod judge;
pub mod runner;
pub mod controllers;
pub mod rollup;
pub mod maintenance;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<check::Check>(Verb::Watch),
            class::<rule::Rule>(Verb::Watch),
            class::<alert::Alert>(Verb::Watch),
            class::<silence::Silence>(Verb::Watch),
            class::<maintenance_window::MaintenanceWindow>(Verb::Watch),
            class::<dashboard::Dashboard>(Verb::Watch),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
