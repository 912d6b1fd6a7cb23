//! Address: one IP address that is given to something. Addresses that were merely seen are observations.

use kernel::{Class, Define, FieldError, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// One IP address and what it was given to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The address, such as 192.0.2.7 or 2001:db8::7.
    #[schemars(length(min = 2, max = 64))]
    pub ip: String,
    /// What it is for, in a few words.
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    /// Name in the DNS.
    #[schemars(length(max = 253))]
    pub dns_name: Option<String>,
    /// Routing table that it belongs to, when ranges repeat.
    #[schemars(length(max = 100))]
    pub vrf: Option<String>,
    /// The prefix that it lies in.
    pub prefix: Option<Ref>,
    /// Interface that has it.
    #[schemars(length(max = 100))]
    pub interface: Option<String>,
    /// Hardware address of that interface.
    #[schemars(length(max = 23))]
    pub mac: Option<String>,
    /// How it is used.
    #[serde(default)]
    pub kind: AddressKind,
    /// When something last answered at it.
    pub last_seen: Option<Time>,
}

/// How an address is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddressKind {
    /// It belongs to one interface.
    #[default]
    Fixed,
    /// It is handed out for a while.
    Dhcp,
    /// It moves between machines, or stands before several.
    Virtual,
    /// Several machines have it at the same time.
    Anycast,
}

impl Class for Address {
    const KIND: &'static str = "address";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Address", "Addresses")
            .states(&[
                ("assigned", true, "In use."),
                ("reserved", true, "Kept for something that is not there yet."),
                ("free", false, "May be given to something else."),
            ])
            .step("reserve", &["assigned", "free"], "reserved", "Keeps it for something that is not there yet.")
            .step("assign", &["reserved", "free"], "assigned", "It is in use from now on.")
            .step("release", &["assigned", "reserved"], "free", "It may be given to something else.")
            .refers("prefix", &["prefix"], "part-of", OnDelete::Block)
            .link("assigned-to", &[], "What has it.")
            .computes(&["last_seen"], |_| {})
            .check(is_address)
            .indexed(&["ip", "prefix", "dns_name"])
            .columns(&["key", "ip", "dns_name", "title", "kind", "prefix", "last_seen", "state"])
            .sorts(&["key", "-updated"])
            .practices(&["service configuration management", "infrastructure and platform management", "CIS 12.4"])
    }
}

fn is_address(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let text = fields.get("ip").and_then(Value::as_str).unwrap_or_default();
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(FieldError::new("ip", format!("must be an address such as 192.0.2.7 or 2001:db8::7, not \"{text}\"")))
}
