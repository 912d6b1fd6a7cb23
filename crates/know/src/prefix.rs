//! Prefix: a range of addresses and what it is for. Which of them are taken is counted from the address records and
//! observations.

use kernel::{Class, Define, FieldError, OnDelete, Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// A range of IP addresses, what it is for and who gets addresses from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The range, such as 192.0.2.0/24 or 2001:db8::/48.
    #[schemars(length(min = 1, max = 64))]
    pub cidr: String,
    /// What it is for, in a few words.
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    /// What one should know about it.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub kind: PrefixKind,
    /// Routing table that it belongs to, when ranges repeat.
    #[schemars(length(max = 100))]
    pub vrf: Option<String>,
    /// Address of the gateway.
    #[schemars(length(max = 64))]
    pub gateway: Option<String>,
    /// Where it is used.
    pub site: Option<Ref>,
    /// The VLAN that carries it.
    pub vlan: Option<Ref>,
    /// Whether it is searched for devices from time to time.
    #[serde(default)]
    pub scan: bool,
    /// Addresses at its beginning that are not handed out.
    pub reserved: Option<u32>,
}

/// What a prefix is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PrefixKind {
    /// Other prefixes lie in it.
    Container,
    /// Devices have addresses in it.
    #[default]
    Network,
    /// Addresses are handed out from it, by DHCP or to customers.
    Pool,
}

impl Class for Prefix {
    const KIND: &'static str = "prefix";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Prefix", "Prefixes")
            .states(&[
                ("active", true, "In use."),
                ("planned", true, "Set aside, not in use yet."),
                ("deprecated", true, "Still in use; nothing new may get an address in it."),
                ("released", false, "No longer in use."),
            ])
            .step("plan", &["active"], "planned", "It is not in use yet.")
            .step("activate", &["planned", "deprecated", "released"], "active", "It is in use from now on.")
            .step("deprecate", &["active"], "deprecated", "Nothing new may get an address in it.")
            .step("release", &["active", "planned", "deprecated"], "released", "It is no longer in use.")
            .refers("site", &["site"], "located-in", OnDelete::Block)
            .refers("vlan", &["vlan"], "carried-by", OnDelete::Unlink)
            .link("part-of", &["prefix"], "The larger prefix that it lies in.")
            .at_most_one()
            .check(is_range)
            .indexed(&["cidr", "vrf", "site"])
            .columns(&["key", "cidr", "title", "kind", "vlan", "site", "vrf", "state"])
            .sorts(&["key", "cidr", "-updated"])
            .practices(&["service configuration management", "infrastructure and platform management", "CIS 12.4"])
    }
}

fn is_range(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let text = fields.get("cidr").and_then(Value::as_str).unwrap_or_default();
    let wrong = |what: &str| {
        Err(FieldError::new("cidr", format!("must be a range such as 192.0.2.0/24, not \"{text}\": {what}")))
    };
    let Some((address, length)) = text.split_once('/') else { return wrong("there is no /") };
    let Ok(address) = address.parse::<IpAddr>() else { return wrong("what stands before the / is not an address") };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let Some(length) = length.parse::<u32>().ok().filter(|n| *n <= most) else {
        return wrong("the length is not a number that fits");
    };
    let beyond = match address {
        IpAddr::V4(a) => u32::from(a).checked_shl(length).unwrap_or(0) != 0,
        IpAddr::V6(a) => u128::from(a).checked_shl(length).unwrap_or(0) != 0,
    };
    if beyond { wrong("the address is not the first one of the range") } else { Ok(()) }
}
