//! Rack: a frame with units, power and weight. What stands in it says so itself.

use kernel::{Class, Define, OnDelete, Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rack in a room: units, power, weight and who may open it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rack {
    /// Name on the rack.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Where it stands.
    pub site: Option<Ref>,
    /// Room that it stands in.
    #[schemars(length(max = 100))]
    pub room: Option<String>,
    /// Row that it stands in.
    #[schemars(length(max = 50))]
    pub row: Option<String>,
    /// Units that it has.
    #[serde(default = "units_default")]
    #[schemars(range(min = 1, max = 100))]
    pub units: u32,
    /// Power that it may draw.
    #[schemars(range(min = 0.0, max = 1000000.0), extend("x-unit" = "watts"))]
    pub power_limit: Option<f64>,
    /// Weight that it may carry.
    #[schemars(range(min = 0.0, max = 100000.0), extend("x-unit" = "kilograms"))]
    pub weight_limit: Option<f64>,
    /// Heat that can be taken away from it.
    #[schemars(range(min = 0.0, max = 1000000.0), extend("x-unit" = "watts"))]
    pub cooling_limit: Option<f64>,
    /// The maker's serial number.
    #[schemars(length(max = 200))]
    pub serial: Option<String>,
    /// The number on the organisation's own label.
    #[schemars(length(max = 100))]
    pub asset_tag: Option<String>,
}

impl Class for Rack {
    const KIND: &'static str = "rack";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def)
            .refers("site", &["site"], "located-in", OnDelete::Block)
            .link("depends-on", &["network-device"], "Power and cooling that it hangs on.")
            .indexed(&["site"])
            .columns(&["key", "name", "site", "room", "row", "units", "power_limit", "state"])
            .sorts(&["key", "-updated"])
            .practices(&["infrastructure and platform management", "capacity and performance management"])
    }
}

fn units_default() -> u32 {
    42
}
