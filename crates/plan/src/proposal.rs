//! Proposal: what we offer somebody, with its parts and prices. Sums are computed; nothing is promised before it was
//! accepted.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is offered: parts, prices, promises, until when it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// What is offered.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// The opportunity that it answers.
    pub opportunity: Option<Ref>,
    /// Its release, such as 2.
    #[schemars(length(max = 50))]
    pub release: Option<String>,
    /// What the customer needs, in our words.
    #[schemars(extend("x-multiline" = true))]
    pub introduction: Option<String>,
    /// What we offer, and why it fits.
    #[schemars(extend("x-multiline" = true))]
    pub solution: Option<String>,
    /// What it consists of.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub items: Vec<Item>,
    /// Discount on everything.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "percent"))]
    pub discount: f64,
    /// Sum of what is paid once.
    pub one_off_total: Option<f64>,
    /// Sum of what is paid every month.
    pub monthly_total: Option<f64>,
    /// Availability, response and restore times that go with it.
    #[schemars(extend("x-multiline" = true))]
    pub promises: Option<String>,
    /// What it rests on, and what it does not contain.
    #[schemars(extend("x-multiline" = true))]
    pub assumptions: Option<String>,
    /// Until when it holds.
    pub valid_until: Option<Time>,
    /// When it was sent.
    pub sent_at: Option<Time>,
    /// What the customer said.
    #[schemars(length(max = 1000))]
    pub answer: Option<String>,
}

/// One part of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it is.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What kind of part it is.
    #[serde(default)]
    pub kind: ItemKind,
    /// How many.
    #[serde(default = "item_quantity")]
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub quantity: f64,
    /// Of what: pieces, hours, users …
    #[schemars(length(max = 50))]
    pub unit: Option<String>,
    /// Price of one, without tax.
    #[serde(default)]
    #[schemars(range(min = -1000000000000.0, max = 1000000000000.0))]
    pub price: f64,
    /// How often.
    #[serde(default)]
    pub charged: Charged,
    /// Measured profile or calculation that the quantity comes from.
    #[schemars(length(max = 1000))]
    pub rests_on: Option<String>,
}

/// What kind of part it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// Hardware.
    Hardware,
    /// Software and licences.
    Software,
    /// A service of ours.
    #[default]
    Service,
    /// People's work.
    Labour,
    /// Something rented.
    Cloud,
}

/// How often it is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Charged {
    /// Once.
    #[default]
    Once,
    /// Every month.
    Monthly,
}

impl Class for Proposal {
    const KIND: &'static str = "proposal";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("PRO-")
            .states(&[
                ("draft", true, "Being written."),
                ("in-review", true, "Others look at it."),
                ("sent", true, "The customer has it."),
                ("accepted", false, "The customer said yes."),
                ("declined", false, "The customer said no."),
                ("expired", false, "Its time is over."),
            ])
            .step("submit", &["draft"], "in-review", "Asks others to look at it.")
            .transition(
                Step::new("send", &["draft", "in-review"], "sent", "The customer has it.")
                    .needs(&["valid_until"])
                    .sets("sent_at", "$now"),
            )
            .transition(
                Step::new("accept", &["sent", "expired"], "accepted", "The customer said yes.").asks_for(&["answer"]),
            )
            .transition(Step::new("decline", &["sent"], "declined", "The customer said no.").asks_for(&["answer"]))
            .step("expire", &["sent"], "expired", "Its time is over.")
            .step("revise", &["in-review", "sent", "declined", "expired"], "draft", "Takes it back to be changed.")
            .refers("opportunity", &["opportunity"], "part-of", OnDelete::Block)
            .link("agreed-with", &["tenant"], "The customer that it is for.")
            .link("leads-to", &["project", "contract", "service-level"], "What became of it.")
            .link("about", &["service", "catalogue-item"], "Services that it offers.")
            .computes(&["one_off_total", "monthly_total"], totals)
            .computes(&["sent_at"], |_| {})
            .indexed(&["valid_until"])
            .columns(&[
                "key",
                "title",
                "opportunity",
                "one_off_total",
                "monthly_total",
                "state",
                "valid_until",
                "owner",
            ])
            .sorts(&["-updated", "valid_until"])
            .practices(&["relationship management", "service design", "service financial management"])
    }
}

/// Fills the sums, discount taken off, to the cent.
fn totals(fields: &mut Map<String, Value>) {
    let items = fields.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let discount = fields.get("discount").and_then(Value::as_f64).unwrap_or(0.0);
    for (total, charged) in [("one_off_total", "once"), ("monthly_total", "monthly")] {
        let mut sum = 0.0;
        for item in &items {
            let number = |name: &str, otherwise: f64| item.get(name).and_then(Value::as_f64).unwrap_or(otherwise);
            if item.get("charged").and_then(Value::as_str).unwrap_or("once") == charged {
                sum += number("quantity", 1.0) * number("price", 0.0);
            }
        }
        let cents = (sum * (100.0 - discount)).round();
        fields.insert(total.into(), (cents / 100.0).into());
    }
}

fn item_quantity() -> f64 {
    1.0
}
