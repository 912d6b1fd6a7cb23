//! Licence: a right to use software, in numbers. How much of it is used is counted from installations, never typed in.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A right to use software: how many, until when, and for how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// What the right is to.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// What is counted.
    #[serde(default)]
    pub metric: LicenceMetric,
    /// How many were bought; unlimited when left out.
    pub quantity: Option<u32>,
    /// How many are used, as counted.
    pub used: Option<u32>,
    /// Number of the agreement or order.
    #[schemars(length(max = 200))]
    pub agreement: Option<String>,
    /// When it was bought.
    pub purchased: Option<Time>,
    /// When it ends, if nobody renews it.
    pub expires: Option<Time>,
    /// By when it has to be ended, or it renews itself.
    pub notice_by: Option<Time>,
    /// It renews itself.
    #[serde(default)]
    pub renews: bool,
    /// What it costs a year, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub annual_cost: Option<f64>,
    /// What else was agreed: who, where, which releases.
    #[schemars(extend("x-multiline" = true))]
    pub terms: Option<String>,
}

/// What is counted for a licence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LicenceMetric {
    /// Each installation.
    #[default]
    Installation,
    /// Each named person.
    User,
    /// People at the same time.
    Concurrent,
    /// Processor cores.
    Core,
    /// A place as a whole.
    Site,
    /// A subscription as a whole.
    Subscription,
}

impl Class for Licence {
    const KIND: &'static str = "licence";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("active", true, "In force."),
            ("expired", true, "It has ended; somebody has to renew it or give up the use."),
            ("cancelled", false, "It was ended by us."),
        ])
        .step("expire", &["active"], "expired", "It has ended.")
        .step("cancel", &["active"], "cancelled", "We end it.")
        .transition(
            Step::new("renew", &["active", "expired", "cancelled"], "active", "It goes on.").needs(&["expires"]),
        )
        .link("licenses", &["software"], "The product that it is for.")
        .link("assigned-to", &["person", "host", "endpoint", "team", "service"], "Who or what uses it.")
        .link("supplied-by", &["supplier"], "Who sold it.")
        .link("part-of", &["contract"], "The contract that it is a part of.")
        .computes(&["used"], |_| {})
        .check(|fields| in_order(fields, "purchased", "expires"))
        .indexed(&["expires"])
        .columns(&["key", "name", "metric", "quantity", "used", "annual_cost", "expires", "renews", "state"])
        .sorts(&["expires", "key", "-updated"])
        .practices(&["IT asset management", "supplier management", "ISO/IEC 20000-1 8.2.5"])
    }
}
