//! Prove: can we show that the service was as good as promised?
//!
//! A [`ServiceLevel`](service_level::ServiceLevel) is one promise and a [`Report`](report::Report) tells how it was kept; complaints,
//! improvements and audits say what to do about it. Every figure comes from intervals and records; none is typed in.

pub mod service_level;
pub mod report;
pub mod complaint;
pub mod improvement;
pub mod audit;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<service_level::ServiceLevel>(Verb::Prove),
            class::<report::Report>(Verb::Prove),
            class::<complaint::Complaint>(Verb::Prove),
            class::<improvement::Improvement>(Verb::Prove),
            class::<audit::Audit>(Verb::Prove),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
