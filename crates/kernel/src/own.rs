//! The kernel's own classes: what Mainstay itself needs to know about people, rights and itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Time;
use crate::class::{OnDelete, Verb};
use crate::define::{Class, Define, Ref, class};
use crate::registry::Domain;

/// A customer or part of the organisation whose data is kept apart from all others'.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Name of the organisation.
    pub name: String,
    /// Zone in which its people read times, such as Europe/London.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Who to talk to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

impl Class for Tenant {
    const KIND: &'static str = "tenant";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("active", true, "Served."), ("closed", false, "No longer served; its data is kept.")])
            .step("close", &["active"], "closed", "Stops serving it.")
            .step("reopen", &["closed"], "active", "Serves it again.")
            .practices(&["relationship management"])
    }
}

/// Somebody who uses Mainstay, answers for something or is served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Full name.
    pub name: String,
    /// Address that mail is sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Telephone number with country code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Roles held: what the person may see and do.
    #[serde(default)]
    pub roles: Vec<Ref>,
    /// Teams the person belongs to.
    #[serde(default)]
    pub teams: Vec<Ref>,
    /// Zone in which the person reads times, such as Europe/London.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What the person does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_title: Option<String>,
}

impl Class for Person {
    const KIND: &'static str = "person";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Person", "People")
            .states(&[
                ("active", true, "Can sign in."),
                ("disabled", false, "Cannot sign in; sessions and tokens are ended."),
            ])
            .step("disable", &["active"], "disabled", "Ends all sessions and tokens and refuses new ones.")
            .step("enable", &["disabled"], "active", "Lets the person sign in again.")
            .refers("roles", &["role"], "holds-role", OnDelete::Block)
            .reversed("held-by")
            .refers("teams", &["team"], "member-of", OnDelete::Unlink)
            .indexed(&["email"])
            .columns(&["key", "name", "email", "job_title", "state"])
            .sorts(&["key", "-updated"])
            .practices(&["workforce and talent management"])
    }
}

/// People who answer for something together.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Name of the team.
    pub name: String,
    /// What it answers for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Shared address that mail is sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Class for Team {
    const KIND: &'static str = "team";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("active", true, "At work."), ("dissolved", false, "No longer there.")])
            .step("dissolve", &["active"], "dissolved", "The team no longer exists.")
            .step("restore", &["dissolved"], "active", "The team exists again.")
            .sorts(&["key", "-updated"])
            .practices(&["workforce and talent management"])
    }
}

/// A named set of rights; the policies say what it may do.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Name of the role.
    pub name: String,
    /// What people in this role do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Verbs that stand open in the left bar of the console, first the most used.
    #[serde(default)]
    pub workspace: Vec<String>,
}

impl Class for Role {
    const KIND: &'static str = "role";
    fn define(def: Define<Self>) -> Define<Self> {
        def.sorts(&["key", "-updated"])
            .columns(&["key", "name", "help"])
            .practices(&["information security management"])
    }
}

/// A token of the API, an ingest key or an agent's key; only its fingerprint is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is for.
    pub name: String,
    /// What it can be used for.
    pub use_for: TokenUse,
    /// Roles it is limited to.
    #[serde(default)]
    pub roles: Vec<String>,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenUse {
    /// The API, with roles.
    Api,
    /// Handing in signals and events, nothing else.
    Ingest,
    /// An agent.
    Agent,
}

impl Class for Token {
    const KIND: &'static str = "token";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("active", true, "Works."), ("revoked", false, "Never works again.")])
            .step("revoke", &["active"], "revoked", "Ends it at once and for ever.")
            .columns(&["key", "name", "use_for", "expires", "owner", "state"])
            .practices(&["information security management"])
    }
}

/// A class of your own: its fields, states and links, live as soon as it is saved.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassDocument {
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The definition: help, verb, prefix, fields, states, transitions, links, columns, sort, rules.
    pub definition: Value,
}

impl Class for ClassDocument {
    const KIND: &'static str = "class";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Class", "Classes").check(well_defined).practices(&["service configuration management"])
    }
}

fn well_defined(fields: &serde_json::Map<String, Value>) -> Result<(), crate::FieldError> {
    // The name is the record's key, which a check of fields does not see; any valid one does for checking the document.
    let document = fields.get("definition").cloned().unwrap_or_default();
    let refuse = |why: Vec<String>| crate::FieldError::new("definition", why.join("; ").replace("class checked: ", ""));
    let class = crate::userclass::define("checked", &document).map_err(refuse)?;
    let wrong = crate::registry::faults(&class);
    if wrong.is_empty() { Ok(()) } else { Err(refuse(wrong)) }
}

/// A folder of YAML that teaches Mainstay one system, as installed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Name of the system.
    pub name: String,
    /// What the pack covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

impl Class for Pack {
    const KIND: &'static str = "pack";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("installed", true, "In use."), ("removed", false, "No longer in use.")])
            .step("remove", &["installed"], "removed", "Takes it out of use.")
            .step("install", &["removed"], "installed", "Puts it back in use.")
            .practices(&["deployment management"])
    }
}

/// An agent: Mainstay's hands and eyes on a machine.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Machine it runs on, as it calls itself.
    pub name: String,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// When it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Time>,
    /// What it cannot see, and what to do about it.
    #[serde(default)]
    pub cannot_see: Vec<String>,
}

impl Class for Agent {
    const KIND: &'static str = "agent";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[("active", true, "Trusted."), ("revoked", false, "No longer trusted.")])
            .step("revoke", &["active"], "revoked", "Trusts it no longer.")
            .link("runs-on", &[], "The machine it runs on.")
            .computes(&["last_seen", "cannot_see", "release"], |_| {})
            .columns(&["key", "name", "release", "last_seen", "state"])
            .practices(&["monitoring and event management"])
    }
}

/// A list with its filter, columns and order, kept under a name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedView {
    /// Name on the tab.
    pub name: String,
    /// Class that it lists.
    pub lists: String,
    /// Filter.
    #[serde(default)]
    pub query: String,
    /// Columns in order; empty: those of the class.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Sort order; empty: that of the class.
    #[serde(default)]
    pub sort: String,
    /// Everybody sees it; otherwise only its owner.
    #[serde(default)]
    pub shared: bool,
}

impl Class for SavedView {
    const KIND: &'static str = "saved-view";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("VIEW-")
            .indexed(&["lists"])
            .columns(&["key", "name", "lists", "query", "shared", "owner"])
            .sorts(&["key", "-updated"])
            .practices(&["knowledge management"])
    }
}

/// The kernel's own domain.
pub fn domain() -> Domain {
    Domain {
        classes: vec![
            class::<Tenant>(Verb::Kernel),
            class::<Person>(Verb::Kernel),
            class::<Team>(Verb::Kernel),
            class::<Role>(Verb::Kernel),
            class::<Token>(Verb::Kernel),
            class::<ClassDocument>(Verb::Kernel),
            class::<Pack>(Verb::Kernel),
            class::<Agent>(Verb::Kernel),
            class::<SavedView>(Verb::Kernel),
        ],
        lenses: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_classes_fit_together() {
        let registry = crate::Registry::new(vec![domain()]);
        assert!(registry.is_ok(), "{:?}", registry.err());
        let _ = crate::define::fields_of::<Person>().unwrap();
    }
}
