//! Status page: what users are told about services. It shows titles chosen for it and states, never a private record.

use kernel::{Class, Define};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page that tells users how services are, without being asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusPage {
    /// Heading of the page.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What stands under the heading.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Who can see it.
    #[serde(default)]
    pub audience: PageAudience,
    /// Host name at which it is served, apart from the console.
    #[schemars(length(max = 253))]
    pub host: Option<String>,
    /// What it shows, in order.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub components: Vec<Component>,
    /// Where users can turn to.
    #[schemars(length(max = 500))]
    pub contact: Option<String>,
    /// How far back it tells of incidents.
    #[serde(default = "history_days_default")]
    #[schemars(range(min = 0, max = 3650), extend("x-unit" = "days"))]
    pub history_days: u32,
}

/// One line of a status page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// What users call it.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Heading under which it stands.
    #[schemars(length(max = 200))]
    pub group: Option<String>,
    /// Key of the record whose health it shows.
    #[schemars(length(min = 1, max = 128))]
    pub service: String,
}

/// Who can see a status page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PageAudience {
    /// Everybody who can sign in.
    #[default]
    Internal,
    /// People of its tenant.
    Tenant,
    /// Everybody.
    Public,
}

impl Class for StatusPage {
    const KIND: &'static str = "status-page";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Status page", "Status pages")
            .states(&[
                ("draft", true, "Only its team sees it."),
                ("published", true, "Users see it."),
                ("withdrawn", false, "No longer shown."),
            ])
            .step("publish", &["draft", "withdrawn"], "published", "Shows it to its audience.")
            .step("withdraw", &["published"], "withdrawn", "Shows it no longer.")
            .link("shows", &[], "Services whose health it shows.")
            .indexed(&["audience"])
            .columns(&["key", "title", "audience", "host", "state", "updated"])
            .sorts(&["key", "-updated"])
            .practices(&["incident management", "service desk", "relationship management"])
    }
}

fn history_days_default() -> u32 {
    90
}
