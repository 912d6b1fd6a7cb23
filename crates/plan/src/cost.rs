//! Cost: money for something, once or again and again. What a service costs is the sum over its tree, computed elsewhere.

use kernel::define::in_order;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Money for something, once or again and again, planned and spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// What for.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// What kind of cost it is.
    #[serde(default)]
    pub kind: CostKind,
    /// How much, without tax; negative for money that comes in.
    #[schemars(range(min = -1000000000000.0, max = 1000000000000.0))]
    pub amount: f64,
    /// Currency, such as EUR, when it is not the organisation's own.
    #[schemars(length(min = 3, max = 3))]
    pub currency: Option<String>,
    /// How often.
    #[serde(default)]
    pub period: Period,
    /// From when, or when.
    pub from: Option<Time>,
    /// Until when.
    pub until: Option<Time>,
    /// Months over which a purchase is written off.
    #[schemars(range(min = 1, max = 600), extend("x-unit" = "months"))]
    pub depreciated_over: Option<u32>,
    /// Account or cost centre.
    #[schemars(length(max = 100))]
    pub account: Option<String>,
    /// How much was planned for the same.
    #[schemars(range(min = -1000000000000.0, max = 1000000000000.0))]
    pub budget: Option<f64>,
    /// Number of the invoice.
    #[schemars(length(max = 200))]
    pub invoice: Option<String>,
    /// What else one should know.
    #[schemars(extend("x-multiline" = true))]
    pub remark: Option<String>,
}

/// What kind of cost it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CostKind {
    /// Something was bought and is written off.
    Purchase,
    /// Running costs.
    #[default]
    Operation,
    /// Software.
    Licence,
    /// A cloud provider.
    Cloud,
    /// Lines.
    Line,
    /// Power and cooling.
    Energy,
    /// People's work.
    Labour,
    /// Work of others.
    Supplier,
    /// Paid back because a promise was not kept.
    Credit,
}

/// How often money is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// Once.
    #[default]
    Once,
    /// Every month.
    Monthly,
    /// Every three months.
    Quarterly,
    /// Every year.
    Yearly,
}

impl Class for Cost {
    const KIND: &'static str = "cost";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("CST-")
            .states(&[
                ("planned", true, "It is in the budget."),
                ("committed", true, "It has been ordered."),
                ("running", true, "It is being paid, again and again."),
                ("paid", false, "It has been paid."),
                ("cancelled", false, "It is not paid."),
            ])
            .step("commit", &["planned"], "committed", "It has been ordered.")
            .step("run", &["planned", "committed"], "running", "It is paid again and again from now on.")
            .step("pay", &["planned", "committed", "running"], "paid", "It has been paid, for good.")
            .step("cancel", &["planned", "committed", "running"], "cancelled", "It is not paid.")
            .link("about", &[], "What it is paid for.")
            .link("part-of", &["contract", "project"], "The contract or project that it belongs to.")
            .link("supplied-by", &["supplier"], "Who is paid.")
            .check(|fields| in_order(fields, "from", "until"))
            .indexed(&["kind", "account", "from"])
            .columns(&["key", "title", "kind", "amount", "currency", "period", "from", "until", "account", "state"])
            .sorts(&["-updated", "-from", "-amount"])
            .practices(&["service financial management", "ISO/IEC 20000-1 8.4.1"])
    }
}
