//! Supplier: somebody outside who delivers. How well is counted from incidents and contracts, never typed in.

use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody outside who delivers something: goods, lines, clouds, people, support.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Supplier {
    /// Name of the company.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// What it delivers: hardware, lines, cloud, support, people …
    #[schemars(length(max = 100))]
    pub kind: Option<String>,
    /// How much depends on it.
    #[serde(default)]
    pub importance: Importance,
    /// Our number there.
    #[schemars(length(max = 200))]
    pub account: Option<String>,
    /// Whom to talk to.
    #[schemars(length(max = 300))]
    pub contact: Option<String>,
    /// Address that mail is sent to.
    #[schemars(length(max = 300))]
    pub email: Option<String>,
    /// Telephone number with country code.
    #[schemars(length(max = 100))]
    pub phone: Option<String>,
    /// Telephone number for the night.
    #[schemars(length(max = 100))]
    pub emergency_phone: Option<String>,
    /// Where tickets are opened there.
    #[schemars(length(max = 2000))]
    pub portal: Option<String>,
    /// By when its performance is to be looked at.
    pub review_by: Option<Time>,
    /// What one should know when dealing with it.
    #[schemars(extend("x-multiline" = true))]
    pub notes: Option<String>,
}

/// How much depends on a supplier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// The organisation could not do without it.
    Strategic,
    /// Replacing it would take months.
    Tactical,
    /// It could be replaced.
    #[default]
    Operational,
    /// Anybody could deliver it.
    Commodity,
}

impl Class for Supplier {
    const KIND: &'static str = "supplier";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("active", true, "It delivers."),
            ("candidate", true, "It may deliver; nothing has been agreed."),
            ("ended", false, "It does not deliver any more."),
        ])
        .step("consider", &["active", "ended"], "candidate", "Nothing is agreed at present.")
        .step("engage", &["candidate", "ended"], "active", "It delivers from now on.")
        .step("end", &["active", "candidate"], "ended", "It does not deliver any more.")
        .link("part-of", &["supplier"], "The company that it belongs to.")
        .link("depends-on", &["supplier"], "Its own suppliers, as far as they matter to us.")
        .indexed(&["importance", "review_by"])
        .columns(&[
            "key",
            "name",
            "health",
            "kind",
            "importance",
            "contact",
            "emergency_phone",
            "review_by",
            "owner",
            "state",
        ])
        .sorts(&["key", "-updated"])
        .practices(&["supplier management", "ISO/IEC 20000-1 8.3.4", "ISO/IEC 27001 A.5.19"])
    }
}
