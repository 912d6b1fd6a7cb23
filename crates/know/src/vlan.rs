//! VLAN: a network that is kept apart from others on the same wires.

use kernel::{Class, Define, OnDelete, Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network that is kept apart from others on the same wires, with its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vlan {
    /// What it is for.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Its number (VLAN id).
    #[schemars(range(min = 1, max = 4094))]
    pub number: u32,
    /// Who belongs in it and what may pass.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Where the number holds; everywhere when left out.
    pub site: Option<Ref>,
    /// Security zone that it belongs to.
    #[schemars(length(max = 100))]
    pub zone: Option<String>,
}

impl Class for Vlan {
    const KIND: &'static str = "vlan";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def.titled("VLAN", "VLANs"))
            .refers("site", &["site"], "located-in", OnDelete::Block)
            .link("carried-by", &["network-device"], "Devices that it is set up on.")
            .indexed(&["number", "site"])
            .columns(&["key", "number", "name", "zone", "site", "state"])
            .sorts(&["key", "number", "-updated"])
            .practices(&["service configuration management", "infrastructure and platform management", "CIS 12.2"])
    }
}
