//! Contract: what was agreed with somebody outside, or between teams, and the day by which it has to be ended.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Dur, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was agreed with a supplier, a customer or another team: what, until when, for how much, and how fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// What it is about.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Its number.
    #[schemars(length(max = 200))]
    pub number: Option<String>,
    /// What kind of contract it is.
    #[serde(default)]
    pub kind: ContractKind,
    /// When it was signed.
    pub signed: Option<Time>,
    /// From when it holds.
    pub starts: Option<Time>,
    /// Until when it holds.
    pub ends: Option<Time>,
    /// By when it has to be ended, or it goes on.
    pub notice_by: Option<Time>,
    /// It goes on by itself.
    #[serde(default)]
    pub renews: bool,
    /// For how long it then goes on.
    pub renewed_for: Option<Dur>,
    /// What it costs a year, in the organisation's currency; negative when it is paid to us.
    #[schemars(range(min = -1000000000000.0, max = 1000000000000.0))]
    pub annual_cost: Option<f64>,
    /// Currency, such as EUR, when it is another one.
    #[schemars(length(min = 3, max = 3))]
    pub currency: Option<String>,
    /// Hours in which its promises hold; around the clock when left out.
    pub hours: Option<Ref>,
    /// In how much time an answer is promised.
    pub response_time: Option<Dur>,
    /// In how much time the service is promised to work again.
    pub restore_time: Option<Dur>,
    /// Share of the time that is promised.
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "percent"))]
    pub availability: Option<f64>,
    /// What is paid when promises are not kept.
    #[schemars(extend("x-multiline" = true))]
    pub penalties: Option<String>,
    /// What else was agreed.
    #[schemars(extend("x-multiline" = true))]
    pub terms: Option<String>,
    /// Why it was ended.
    #[schemars(length(max = 1000))]
    pub ended_because: Option<String>,
}

/// What kind of contract it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContractKind {
    /// Somebody mends what is broken.
    #[default]
    Support,
    /// Software or a cloud is used.
    Subscription,
    /// Something is rented.
    Lease,
    /// Something is bought.
    Purchase,
    /// A line is provided.
    Line,
    /// A service of ours rests on it.
    Underpinning,
    /// Between teams of the organisation (OLA).
    Operational,
    /// A customer pays us for a service.
    Customer,
}

impl Class for Contract {
    const KIND: &'static str = "contract";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("CTR-")
            .states(&[
                ("draft", true, "Being negotiated."),
                ("active", true, "It holds."),
                ("ending", true, "Notice was given; it still holds."),
                ("ended", false, "It does not hold any more."),
            ])
            .transition(Step::new("sign", &["draft", "ended"], "active", "It holds.").asks_for(&["signed", "ends"]))
            .transition(Step::new("renew", &["active", "ending", "ended"], "active", "It goes on.").needs(&["ends"]))
            .transition(
                Step::new("give-notice", &["active"], "ending", "It will end.")
                    .needs(&["ends"])
                    .asks_for(&["ended_because"]),
            )
            .transition(
                Step::new("end", &["draft", "active", "ending"], "ended", "It does not hold any more.")
                    .asks_for(&["ended_because"]),
            )
            .refers("hours", &["calendar"], "follows-calendar", OnDelete::Block)
            .link("supplied-by", &["supplier"], "The supplier that it was made with.")
            .link("agreed-with", &["tenant", "team"], "The customer or team that it was made with.")
            .link("part-of", &["contract"], "The larger contract that it belongs to.")
            .check(|fields| in_order(fields, "starts", "ends"))
            .check(|fields| in_order(fields, "notice_by", "ends"))
            .indexed(&["kind", "ends", "notice_by"])
            .columns(&[
                "key",
                "title",
                "kind",
                "annual_cost",
                "starts",
                "ends",
                "notice_by",
                "renews",
                "owner",
                "state",
            ])
            .sorts(&["notice_by", "ends", "-updated"])
            .practices(&["supplier management", "service financial management", "ISO/IEC 20000-1 8.3.4"])
    }
}
