//! Announcement: something that users are told before they ask. Who gets it is chosen by what they use.

use kernel::define::in_order;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that users are told before they ask: work that is planned, a known trouble, a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// What it is about, in one line.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// What people should know, and what they should do.
    #[schemars(extend("x-multiline" = true))]
    pub text: String,
    /// What kind of news it is.
    #[serde(default)]
    pub kind: AnnouncementKind,
    /// From when it is shown; at once when left out.
    pub starts_at: Option<Time>,
    /// Until when it is shown.
    pub ends_at: Option<Time>,
    /// Filter of the people who get it; users of what it is about when left out.
    #[schemars(length(max = 1000))]
    pub audience: Option<String>,
    /// It is also sent by mail.
    #[serde(default)]
    pub by_mail: bool,
    /// It is also shown on the status page.
    #[serde(default = "on_status_page_default")]
    pub on_status_page: bool,
}

/// What kind of news an announcement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnnouncementKind {
    /// Something to know.
    #[default]
    Information,
    /// Work that is planned.
    Maintenance,
    /// Something does not work.
    Trouble,
    /// Something to beware of, such as forged mail.
    Warning,
}

impl Class for Announcement {
    const KIND: &'static str = "announcement";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("NEWS-")
            .states(&[
                ("draft", true, "Being written."),
                ("published", true, "Shown, once its time has come."),
                ("withdrawn", false, "No longer shown."),
            ])
            .step("publish", &["draft", "withdrawn"], "published", "Shows it, once its time has come.")
            .step("withdraw", &["published"], "withdrawn", "Shows it no longer.")
            .step("revise", &["published"], "draft", "Takes it back to be changed.")
            .link("about", &["service", "incident", "change", "maintenance-window", "site"], "What it is about.")
            .check(|fields| in_order(fields, "starts_at", "ends_at"))
            .indexed(&["kind"])
            .columns(&["key", "title", "kind", "starts_at", "ends_at", "state", "owner"])
            .sorts(&["-updated", "-starts_at"])
            .practices(&["service desk", "relationship management"])
    }
}

fn on_status_page_default() -> bool {
    true
}
