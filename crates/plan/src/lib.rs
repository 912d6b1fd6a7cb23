//! Plan: will it still do next year, and at what cost?
//!
//! A [`Forecast`](forecast::Forecast) is computed from what was measured; a [`Contract`](contract::Contract) has a day by which it must
//! be ended; a [`Proposal`](proposal::Proposal) becomes a project after a yes. Sums and forecasts are computed, never typed in.

pub mod capacity_plan;
pub mod forecast;
pub mod supplier;
pub mod contract;
pub mod cost;
pub mod opportunity;
pub mod proposal;

use kernel::define::class;
use kernel::{Domain, Verb};

/// What this verb brings.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<capacity_plan::CapacityPlan>(Verb::Plan),
            class::<forecast::Forecast>(Verb::Plan),
            class::<supplier::Supplier>(Verb::Plan),
            class::<contract::Contract>(Verb::Plan),
            class::<cost::Cost>(Verb::Plan),
            class::<opportunity::Opportunity>(Verb::Plan),
            class::<proposal::Proposal>(Verb::Plan),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
