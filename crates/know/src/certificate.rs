//! Certificate: a proof of identity that ends on a day. Its private key is never here.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate that machines prove their name with, and the day it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Name that it is for, such as shop.example.org.
    #[schemars(length(min = 1, max = 500))]
    pub name: String,
    /// Its subject, in full.
    #[schemars(length(max = 1000))]
    pub subject: Option<String>,
    /// Who issued it.
    #[schemars(length(max = 1000))]
    pub issuer: Option<String>,
    /// Its serial number.
    #[schemars(length(max = 200))]
    pub serial: Option<String>,
    /// SHA-256 of the certificate, in hexadecimal.
    #[schemars(length(max = 200))]
    pub fingerprint: Option<String>,
    /// Names that it is valid for.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub names: Vec<String>,
    /// From when it is valid.
    pub valid_from: Option<Time>,
    /// Until when it is valid.
    pub expires: Option<Time>,
    /// Kind and size of its key.
    #[schemars(length(max = 100))]
    pub algorithm: Option<String>,
    /// What it proves.
    #[serde(default)]
    pub usage: CertificateUsage,
    /// How it is renewed.
    #[serde(default)]
    pub renewal: Renewal,
    /// When it was last seen in use.
    pub last_seen: Option<Time>,
}

/// What a certificate proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateUsage {
    /// The name of a server.
    #[default]
    Server,
    /// Who a client is.
    Client,
    /// Who signed code or mail.
    Signing,
    /// It issues other certificates.
    Authority,
}

/// How a certificate is renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Renewal {
    /// Somebody has to do it.
    #[default]
    Manual,
    /// It happens by itself, and is watched.
    Automatic,
    /// It is not to be renewed.
    None,
}

impl Class for Certificate {
    const KIND: &'static str = "certificate";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("valid", true, "In force."),
            ("expired", true, "Its day has passed; somebody has to replace it."),
            ("revoked", false, "Its issuer says that it is not to be trusted any more."),
            ("replaced", false, "Another one is in use."),
        ])
        .step("expire", &["valid"], "expired", "Its day has passed.")
        .step("revoke", &["valid", "expired", "replaced"], "revoked", "It is not to be trusted any more.")
        .step("replace", &["valid", "expired"], "replaced", "Another one is in use.")
        .transition(
            Step::new("renew", &["valid", "expired", "replaced"], "valid", "It goes on, until another day.")
                .needs(&["expires"]),
        )
        .link("installed-on", &["host", "network-device", "application", "cloud-resource"], "Where it was seen or put.")
        .link("issued-by", &["certificate"], "The certificate of its issuer.")
        .link("replaced-by", &["certificate"], "The one that came after it.")
        .computes(&["last_seen"], |_| {})
        .check(|fields| in_order(fields, "valid_from", "expires"))
        .indexed(&["fingerprint", "expires"])
        .columns(&["key", "name", "issuer", "expires", "renewal", "usage", "owner", "state"])
        .sorts(&["expires", "key", "-updated"])
        .practices(&[
            "information security management",
            "service configuration management",
            "availability management",
        ])
    }
}
