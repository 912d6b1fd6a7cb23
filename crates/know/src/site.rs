//! Site: a place where things stand and people work. It holds no device; they are located in it.

use kernel::{Class, Define};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place: a data centre, an office, a plant, a branch, a street cabinet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Name of the place.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// What kind of place it is.
    #[serde(default)]
    pub kind: SiteKind,
    /// How to get in, whom to call, what to watch out for.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Street and number.
    #[schemars(length(max = 500))]
    pub street: Option<String>,
    /// Town.
    #[schemars(length(max = 200))]
    pub city: Option<String>,
    /// Country.
    #[schemars(length(max = 100))]
    pub country: Option<String>,
    /// Degrees north.
    #[schemars(range(min = -90.0, max = 90.0), extend("x-unit" = "degrees"))]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[schemars(range(min = -180.0, max = 180.0), extend("x-unit" = "degrees"))]
    pub longitude: Option<f64>,
    /// Zone of its clocks, such as Europe/London.
    #[schemars(length(max = 64))]
    pub timezone: Option<String>,
    /// Whom to call there.
    #[schemars(length(max = 500))]
    pub contact: Option<String>,
    /// Who may enter, when, and with what.
    #[schemars(extend("x-multiline" = true))]
    pub access: Option<String>,
}

/// What kind of place a site is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SiteKind {
    /// A place made for machines.
    DataCentre,
    /// A place where people work.
    #[default]
    Office,
    /// A factory or workshop.
    Plant,
    /// A shop or branch.
    Branch,
    /// A cabinet, a roof, a vehicle.
    Edge,
    /// Somebody's home.
    Home,
}

impl Class for Site {
    const KIND: &'static str = "site";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("active", true, "In use."),
            ("planned", true, "Not in use yet."),
            ("closed", false, "No longer in use."),
        ])
        .step("plan", &["active"], "planned", "It is not in use yet.")
        .step("open", &["planned", "closed"], "active", "It is in use from now on.")
        .step("close", &["active", "planned"], "closed", "It is no longer in use.")
        .link("part-of", &["site"], "The larger place that it is a part of: the campus, the building, the floor.")
        .link("served-by", &["circuit"], "Lines that connect it.")
        .link("depends-on", &[], "What the place needs: power, cooling.")
        .link("supported-by", &["contract"], "Contracts for the place: rent, power, cleaning, guards.")
        .indexed(&["kind"])
        .columns(&["key", "name", "health", "kind", "city", "country", "timezone", "state"])
        .sorts(&["key", "-updated"])
        .practices(&["infrastructure and platform management", "service configuration management"])
    }
}
