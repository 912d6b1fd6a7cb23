//! Host: a machine with an operating system. What is seen on it (packages, ports, disks, users) are observations, never
//! fields.

use kernel::{Bytes, Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{Criticality, Environment};

/// A machine with an operating system, physical or virtual, that services run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Full name in the DNS.
    #[schemars(length(min = 1, max = 253))]
    pub fqdn: Option<String>,
    /// Name that the machine calls itself.
    #[schemars(length(min = 1, max = 253))]
    pub hostname: Option<String>,
    /// Address that Mainstay and its agents reach it by.
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
    /// What it does: web server, database server, hypervisor …
    #[schemars(length(max = 200))]
    pub role: Option<String>,
    /// Operating system, as it calls itself.
    #[schemars(length(max = 200))]
    pub os_name: Option<String>,
    /// Short name of the operating system, such as debian.
    #[schemars(length(max = 100))]
    pub os_id: Option<String>,
    /// Release of the operating system.
    #[schemars(length(max = 100))]
    pub os_version: Option<String>,
    /// Kernel and its release.
    #[schemars(length(max = 200))]
    pub kernel: Option<String>,
    /// Processor architecture, such as x86_64.
    #[schemars(length(max = 50))]
    pub architecture: Option<String>,
    /// What it is virtualised by, or none.
    #[schemars(length(max = 50))]
    pub virtualisation: Option<String>,
    /// Fingerprint by which the machine is recognised under any name.
    #[schemars(length(max = 200))]
    pub machine_id: Option<String>,
    /// Processors that the operating system sees.
    #[schemars(range(min = 0, max = 100000))]
    pub cpu_count: Option<u32>,
    /// Model of the processor.
    #[schemars(length(max = 200))]
    pub cpu_model: Option<String>,
    /// Main memory.
    pub memory_bytes: Option<Bytes>,
    /// Swap space.
    pub swap_bytes: Option<Bytes>,
    /// Zone of its clock, such as Europe/London.
    #[schemars(length(max = 64))]
    pub timezone: Option<String>,
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

impl Class for Host {
    const KIND: &'static str = "host";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::hardware(def)
            .refers("site", &["site"], "located-in", OnDelete::Block)
            .refers("rack", &["rack"], "mounted-in", OnDelete::Block)
            .link("runs-on", &["host", "cluster", "cloud-resource"], "The hypervisor or cloud that it runs on.")
            .link("connects-to", &["network-device", "circuit"], "Switches and lines that it reaches the network by.")
            .link("depends-on", &[], "What it needs to work.")
            .link("part-of", &["cluster"], "The cluster that it is a member of.")
            .link("secured-by", &["certificate"], "Certificates that it serves with.")
            .link("supported-by", &["contract"], "The contract under which it is mended.")
            .link("supplied-by", &["supplier"], "Who supplied it.")
            .indexed(&["machine_id", "environment", "criticality", "site"])
            .columns(&["key", "name", "health", "role", "os_name", "environment", "site", "owner", "state"])
            .sorts(&["key", "-updated", "name"])
            .practices(&["service configuration management", "IT asset management", "ISO/IEC 20000-1 8.2.6", "CIS 1.1"])
    }
}
