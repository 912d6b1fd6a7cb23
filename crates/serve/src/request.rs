//! Request: somebody asks for something. What is broken is an incident; what is asked for here can be refused.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Record, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Something that somebody asks for: access, a device, information, a standard service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is asked for, in one line.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What exactly, for whom, and why.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// The entry of the catalogue that was chosen.
    pub item: Option<Ref>,
    /// The person who asks.
    pub requester: Option<Ref>,
    /// The person it is for, when that is somebody else.
    pub receiver: Option<Ref>,
    /// What was filled in on the form of the catalogue.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub answers: BTreeMap<String, String>,
    /// How it came in.
    #[serde(default)]
    pub source: Source,
    /// From 1 (now) to 5 (when there is time).
    #[serde(default = "priority_default")]
    #[schemars(range(min = 1, max = 5))]
    pub priority: u32,
    /// What it is about: access, hardware, software, information …
    #[schemars(length(min = 1, max = 100))]
    pub category: Option<String>,
    /// Somebody must agree before it is fulfilled.
    #[serde(default)]
    pub needs_approval: bool,
    /// People of whom one must agree.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub approvers: Vec<Ref>,
    /// Who agreed.
    pub approved_by: Option<String>,
    /// When it was agreed to.
    pub approved_at: Option<Time>,
    /// Why it was refused.
    #[schemars(length(max = 1000))]
    pub rejection: Option<String>,
    /// Whom or what it waits for.
    #[schemars(length(max = 500))]
    pub waiting_for: Option<String>,
    /// By when it was promised.
    pub due: Option<Time>,
    /// When the one who asked first heard from us.
    pub first_answer_at: Option<Time>,
    /// When it was fulfilled.
    pub fulfilled_at: Option<Time>,
    /// What was done.
    #[schemars(extend("x-multiline" = true))]
    pub fulfilment: Option<String>,
    /// What it cost, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub cost: Option<f64>,
    /// How glad the one who asked was, from 1 to 5.
    #[schemars(range(min = 1, max = 5))]
    pub satisfaction: Option<u32>,
}

/// How a request came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// By the portal.
    #[default]
    Portal,
    /// By mail.
    Mail,
    /// By telephone.
    Phone,
    /// By chat.
    Chat,
    /// Somebody came by.
    Visit,
    /// From another program.
    Api,
}

impl Class for Request {
    const KIND: &'static str = "request";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("REQ-")
            .states(&[
                ("submitted", true, "It has come in; nobody does anything yet."),
                ("awaiting-approval", true, "Somebody must agree."),
                ("approved", true, "It was agreed to and can be fulfilled."),
                ("in-progress", true, "Somebody is fulfilling it."),
                (
                    "waiting",
                    true,
                    "It waits for somebody outside the team; the clock of what was promised stands still.",
                ),
                ("fulfilled", false, "It was done; the one who asked can object."),
                ("closed", false, "It is over."),
                ("rejected", false, "It was refused."),
                ("cancelled", false, "It is no longer wanted."),
            ])
            .step("ask-approval", &["submitted"], "awaiting-approval", "Asks for somebody's agreement.")
            .transition(
                Step::new("approve", &["submitted", "awaiting-approval"], "approved", "You agree to it.")
                    .sets("approved_by", "$actor")
                    .sets("approved_at", "$now"),
            )
            .transition(
                Step::new("reject", &["submitted", "awaiting-approval", "approved"], "rejected", "It is refused.")
                    .needs(&["rejection"]),
            )
            .transition(
                Step::new("start", &["submitted", "approved", "waiting"], "in-progress", "You are fulfilling it.")
                    .takes_owner()
                    .guarded(agreed_to),
            )
            .transition(
                Step::new("wait", &["in-progress"], "waiting", "It waits for somebody outside the team.")
                    .needs(&["waiting_for"]),
            )
            .transition(
                Step::new("resume", &["waiting"], "in-progress", "It goes on.").sets("waiting_for", Value::Null),
            )
            .transition(
                Step::new(
                    "fulfil",
                    &["submitted", "approved", "in-progress", "waiting"],
                    "fulfilled",
                    "It has been done.",
                )
                .asks_for(&["fulfilment"])
                .sets("fulfilled_at", "$now")
                .guarded(agreed_to),
            )
            .transition(Step::new("close", &["fulfilled"], "closed", "It is over.").asks_for(&["satisfaction"]))
            .transition(
                Step::new("reopen", &["fulfilled", "closed"], "in-progress", "It was not what was asked for.")
                    .sets("fulfilled_at", Value::Null),
            )
            .step(
                "cancel",
                &["submitted", "awaiting-approval", "approved", "in-progress", "waiting"],
                "cancelled",
                "It is no longer wanted.",
            )
            .refers("item", &["catalogue-item"], "of", OnDelete::Unlink)
            .refers("requester", &["person"], "requested-by", OnDelete::Unlink)
            .refers("receiver", &["person"], "requested-for", OnDelete::Unlink)
            .refers("approvers", &["person", "team"], "approved-by", OnDelete::Unlink)
            .link("about", &[], "What it is about: a device, a service, an application.")
            .link("part-of", &["request", "project"], "The larger request or project that it is a part of.")
            .link("relates-to", &[], "Anything else that helps to understand it.")
            .link("resolved-by", &["change", "task"], "How it is fulfilled.")
            .computes(&["approved_by", "approved_at", "fulfilled_at", "first_answer_at"], |_| {})
            .indexed(&["priority", "requester", "category", "item"])
            .columns(&["key", "priority", "title", "state", "requester", "owner", "due", "updated"])
            .sorts(&["-updated", "priority", "due"])
            .practices(&["service request management", "service desk", "ISO/IEC 20000-1 8.6.2"])
    }
}

/// What needs somebody's agreement is not done without it.
fn agreed_to(request: &Record) -> Result<(), String> {
    if request.flag("needs_approval") && request.get("approved_by").is_none() {
        return Err(format!("{} needs somebody's agreement first: ask-approval, then approve", request.key));
    }
    Ok(())
}

fn priority_default() -> u32 {
    4
}
