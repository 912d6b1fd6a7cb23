//! Circuit: a line that somebody else provides. What it carries is measured on the devices at its ends.

use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A line to the outside or between places, provided by a supplier: internet access, leased line, dark fibre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Circuit {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// The provider's number of it, which one is asked for when calling.
    #[schemars(length(max = 200))]
    pub circuit_id: Option<String>,
    /// What kind of line it is.
    #[serde(default)]
    pub kind: CircuitKind,
    /// Rate from the provider, as agreed.
    #[schemars(range(min = 0.0, max = 10000000000000.0), extend("x-unit" = "bits per second"))]
    pub down_rate: Option<f64>,
    /// Rate to the provider, as agreed.
    #[schemars(range(min = 0.0, max = 10000000000000.0), extend("x-unit" = "bits per second"))]
    pub up_rate: Option<f64>,
    /// Number to call when it is down.
    #[schemars(length(max = 100))]
    pub phone: Option<String>,
    /// What it costs a month, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub monthly_cost: Option<f64>,
    /// Share of the time that the provider promises.
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "percent"))]
    pub promised_availability: Option<f64>,
    /// When it ends, if nobody renews it.
    pub ends: Option<Time>,
}

/// What kind of line a circuit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitKind {
    /// Access to the internet.
    #[default]
    Internet,
    /// A line of one's own between two places.
    LeasedLine,
    /// A private network of the provider.
    Mpls,
    /// Fibre without equipment.
    Fibre,
    /// A mobile network.
    Mobile,
    /// By satellite.
    Satellite,
    /// Telephone lines or SIP trunks.
    Telephone,
    /// Electric power.
    Power,
}

impl Class for Circuit {
    const KIND: &'static str = "circuit";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def)
            .link("located-in", &["site"], "Places that it ends at.")
            .link("supplied-by", &["supplier"], "Who provides it.")
            .link("supported-by", &["contract"], "The contract for it.")
            .link("depends-on", &["circuit"], "Another line that this one is carried by.")
            .indexed(&["kind", "ends"])
            .columns(&["key", "name", "health", "kind", "circuit_id", "down_rate", "monthly_cost", "ends", "state"])
            .sorts(&["key", "-updated", "ends"])
            .practices(&["service configuration management", "supplier management"])
    }
}
