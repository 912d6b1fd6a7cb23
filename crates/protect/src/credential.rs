//! Credential: that there is a secret, what it opens and when it is changed. The secret itself is never in a record.

use kernel::{Class, Define, Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That there is a secret: what it opens, who may use it, when it has to be changed. The secret itself is kept
/// elsewhere, encrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// What it opens.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What kind of secret it is.
    #[serde(default)]
    pub kind: CredentialKind,
    /// Name that goes with it.
    #[schemars(length(max = 200))]
    pub username: Option<String>,
    /// Hosts or addresses that it may be sent to; it is never sent anywhere else.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub bound_to: Vec<String>,
    /// How often it has to be changed.
    pub rotate_every: Option<Dur>,
    /// When it was last changed.
    pub rotated_at: Option<Time>,
    /// When it stops working.
    pub expires: Option<Time>,
    /// The secret has been entered.
    #[serde(default)]
    pub stored: bool,
    /// When it was last used.
    pub last_used: Option<Time>,
}

/// What kind of secret it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A name and a password.
    #[default]
    Password,
    /// A key of an API.
    ApiKey,
    /// A private key for SSH.
    SshKey,
    /// A community, or names and keys of SNMP version 3.
    Snmp,
    /// A certificate with its private key.
    Certificate,
    /// A key that copies or stores are encrypted with.
    Encryption,
    /// Anything else.
    Other,
}

impl Class for Credential {
    const KIND: &'static str = "credential";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("active", true, "It may be used."), ("revoked", false, "It is not used any more.")])
            .step("revoke", &["active"], "revoked", "It is not used any more.")
            .step("restore", &["revoked"], "active", "It may be used again.")
            .link("unlocks", &[], "What it opens.")
            .computes(&["stored", "last_used", "rotated_at"], |_| {})
            .indexed(&["kind", "expires"])
            .columns(&[
                "key",
                "title",
                "kind",
                "username",
                "stored",
                "rotated_at",
                "expires",
                "last_used",
                "owner",
                "state",
            ])
            .sorts(&["key", "expires", "-updated"])
            .practices(&["information security management", "ISO/IEC 27001 A.5.17", "CIS 5.2"])
    }
}
