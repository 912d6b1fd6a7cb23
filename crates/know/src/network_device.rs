//! Network device: what carries packets. Its interfaces and neighbours are observed tables, never fields.

use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{Criticality, Environment};

/// A switch, router, firewall, load balancer, access point or another device that carries traffic or is managed over
/// the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkDevice {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub kind: DeviceKind,
    /// Address that it is managed by.
    #[schemars(length(min = 1, max = 253))]
    pub address: Option<String>,
    /// What it is for and what one should know about it.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What it is used for: production, staging, test …
    pub environment: Option<Environment>,
    /// How much the business depends on it.
    pub criticality: Option<Criticality>,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<String>,
    /// Release of its software.
    #[schemars(length(max = 100))]
    pub firmware: Option<String>,
    /// What it says it is, by SNMP.
    #[schemars(length(max = 200))]
    pub snmp_object_id: Option<String>,
    /// Ports that it has.
    #[schemars(range(min = 0, max = 100000))]
    pub port_count: Option<u32>,
    /// Where it stands.
    pub site: Option<Ref>,
    /// The rack it is mounted in.
    pub rack: Option<Ref>,
    /// Lowest unit of the rack that it takes.
    #[schemars(range(min = 1, max = 100))]
    pub rack_unit: Option<u32>,
    /// Units of the rack that it takes.
    #[schemars(range(min = 1, max = 100))]
    pub rack_units: Option<u32>,
    /// Who made it.
    #[schemars(length(max = 200))]
    pub vendor: Option<String>,
    /// What the maker calls it.
    #[schemars(length(max = 200))]
    pub model: Option<String>,
    /// The maker's serial number.
    #[schemars(length(max = 200))]
    pub serial: Option<String>,
    /// The number on the organisation's own label.
    #[schemars(length(max = 100))]
    pub asset_tag: Option<String>,
    /// When it was bought.
    pub purchased: Option<Time>,
    /// What it cost, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub price: Option<f64>,
    /// Until when the maker repairs it.
    pub warranty_until: Option<Time>,
    /// Until when the maker supplies updates.
    pub supported_until: Option<Time>,
}

/// What a network device does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// Connects devices in one network.
    #[default]
    Switch,
    /// Connects networks.
    Router,
    /// Decides what may pass.
    Firewall,
    /// Spreads requests over servers.
    LoadBalancer,
    /// Connects wireless devices.
    AccessPoint,
    /// Connects sites or remote people, by VPN for example.
    Gateway,
    /// Keeps power when the mains fail.
    Ups,
    /// Distributes power in a rack.
    Pdu,
    /// Measures temperature, humidity, water, smoke or power.
    Sensor,
    /// Watches a room or a gate.
    Camera,
    /// Decides who may enter.
    DoorController,
    /// Controls machines, barriers or cooling.
    Plc,
    /// Anything else on the network.
    Other,
}

impl Class for NetworkDevice {
    const KIND: &'static str = "network-device";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::hardware(def)
            .refers("site", &["site"], "located-in", OnDelete::Block)
            .refers("rack", &["rack"], "mounted-in", OnDelete::Block)
            .link(
                "connects-to",
                &["network-device", "circuit"],
                "Devices and lines that it reaches the rest of the network by.",
            )
            .link("depends-on", &[], "What it needs to work.")
            .link("part-of", &["cluster"], "The stack or pair that it is a member of.")
            .link("secured-by", &["certificate"], "Certificates that it serves with.")
            .link("supported-by", &["contract"], "The contract under which it is mended.")
            .link("supplied-by", &["supplier"], "Who supplied it.")
            .indexed(&["kind", "criticality", "site"])
            .columns(&["key", "name", "health", "kind", "address", "model", "firmware", "site", "state"])
            .sorts(&["key", "-updated"])
            .practices(&[
                "service configuration management",
                "IT asset management",
                "ISO/IEC 20000-1 8.2.6",
                "CIS 12.1",
            ])
    }
}
