//! Endpoint: a device that a person works with. What is installed on it is an observed table, never a field.

use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{Criticality, Environment};

/// A device that people work with: PC, laptop, phone, printer, screen in a meeting room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: EndpointKind,
    /// The person who works with it.
    pub user: Option<Ref>,
    /// Address that it is reached by.
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
    /// Operating system, as it calls itself.
    #[schemars(length(max = 200))]
    pub os_name: Option<String>,
    /// Release of the operating system.
    #[schemars(length(max = 100))]
    pub os_version: Option<String>,
    /// Whether its disk is encrypted.
    #[serde(default)]
    pub encrypted: Option<bool>,
    /// Fingerprint by which the device is recognised under any name.
    #[schemars(length(max = 200))]
    pub machine_id: Option<String>,
    /// By when it is to be returned.
    pub lent_until: Option<Time>,
    /// Where it is.
    pub site: Option<Ref>,
    /// Room that it stands in.
    #[schemars(length(max = 100))]
    pub room: Option<String>,
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

/// What an endpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointKind {
    /// A portable computer.
    #[default]
    Laptop,
    /// A computer that stays where it is.
    Desktop,
    /// A tablet.
    Tablet,
    /// A mobile phone.
    Phone,
    /// A telephone on a desk, by SIP for example.
    DeskPhone,
    /// A printer, scanner or copier.
    Printer,
    /// A set for video conferences.
    Conference,
    /// A terminal.
    ThinClient,
    /// A device for the public.
    Kiosk,
    /// Anything else that people work with.
    Other,
}

impl Class for Endpoint {
    const KIND: &'static str = "endpoint";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::hardware(def)
            .refers("user", &["person"], "worked-with-by", OnDelete::Unlink)
            .refers("site", &["site"], "located-in", OnDelete::Block)
            .link("connects-to", &["network-device"], "What it reaches the network by.")
            .link("supported-by", &["contract"], "The contract under which it is mended.")
            .link("supplied-by", &["supplier"], "Who supplied it.")
            .link("part-of", &["service"], "The service that it is a part of.")
            .indexed(&["kind", "user", "site", "machine_id"])
            .columns(&["key", "name", "kind", "user", "os_name", "model", "site", "state"])
            .sorts(&["key", "-updated"])
            .practices(&["IT asset management", "service configuration management", "ISO/IEC 20000-1 8.2.5", "CIS 1.1"])
    }
}
