//! Incident: the one record that pages people. It holds what happened and who acts; what is wrong right now is in its
//! alerts.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::priority::{Level, priority};

/// An interruption of a service, or a loss of its quality, from the first sign to the review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// What the people affected see, in their words. Not the cause.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What is known: what was seen, since when, by whom.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// How much of the business it hits.
    #[serde(default)]
    pub impact: Level,
    /// How long the business can wait.
    #[serde(default)]
    pub urgency: Level,
    /// From 1 (drop everything) to 5, from impact and urgency.
    #[schemars(range(min = 1, max = 5))]
    pub priority: Option<u32>,
    /// What kind of trouble it is: hardware, network, application, capacity …
    #[schemars(length(min = 1, max = 100))]
    pub category: Option<String>,
    /// A major incident: management is told, updates go out at fixed times, and it is always reviewed.
    #[serde(default)]
    pub major: bool,
    /// A security incident: only its team sees it, and evidence is kept.
    #[serde(default)]
    pub security: bool,
    /// How many people are hit, as far as known.
    pub users_affected: Option<u32>,
    /// Where it was first noticed: a check, a rule, another system, a person.
    #[schemars(length(max = 200))]
    pub source: Option<String>,
    /// What makes a later alert part of this incident; a relapse reopens it by this.
    #[schemars(length(max = 500))]
    pub fingerprint: Option<String>,
    /// The person who told us.
    pub reporter: Option<Ref>,
    /// Who is paged, and who next; that of the service, or the one called `default`, when left out.
    pub escalation_policy: Option<Ref>,
    /// When the trouble began, which may be long before it was noticed.
    pub started_at: Option<Time>,
    /// When it was first noticed.
    pub detected_at: Option<Time>,
    /// When somebody took it.
    pub acknowledged_at: Option<Time>,
    /// When the service worked again.
    pub resolved_at: Option<Time>,
    /// Why it happened, as far as known.
    #[schemars(extend("x-multiline" = true))]
    pub cause_summary: Option<String>,
    /// What ended it.
    #[schemars(extend("x-multiline" = true))]
    pub resolution: Option<String>,
    /// How it ended, for the statistics.
    pub closure_code: Option<ClosureCode>,
    /// How often it came back after it was resolved.
    #[serde(default)]
    pub relapses: u32,
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClosureCode {
    /// The cause was removed.
    Fixed,
    /// The service works again; the cause is still there.
    Workaround,
    /// It went away by itself.
    Recovered,
    /// It was another incident's trouble.
    Duplicate,
    /// There was no trouble.
    FalseAlarm,
}

impl Class for Incident {
    const KIND: &'static str = "incident";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("INC-")
            .states(&[
                ("detected", true, "Noticed and recorded; nobody looks into it yet."),
                ("investigating", true, "Somebody finds out what it is and whom it hits."),
                ("contained", true, "It does not spread any more; the service may still be down."),
                ("recovering", true, "The service is being brought back."),
                ("resolved", false, "The service works again; a relapse opens it again."),
                ("reviewed", false, "What is to be learned from it has been written down."),
            ])
            .transition(
                Step::new("acknowledge", OPEN, "", "You take it: it is yours, and nobody else is paged for it.")
                    .takes_owner()
                    .sets("acknowledged_at", "$now"),
            )
            .step(
                "investigate",
                &["detected", "contained", "recovering"],
                "investigating",
                "Cause and impact are being looked into.",
            )
            .step("contain", &["detected", "investigating", "recovering"], "contained", "It does not spread any more.")
            .step(
                "recover",
                &["detected", "investigating", "contained"],
                "recovering",
                "The service is being brought back.",
            )
            .transition(
                Step::new("resolve", OPEN, "resolved", "The service works again.")
                    .asks_for(&["resolution", "cause_summary", "closure_code"])
                    .sets("resolved_at", "$now"),
            )
            .transition(
                Step::new(
                    "review",
                    &["resolved"],
                    "reviewed",
                    "What is to be learned has been written down; it is over.",
                )
                .needs(&["resolution"])
                .asks_for(&["cause_summary"]),
            )
            .transition(
                Step::new("reopen", &["resolved"], "detected", "It came back: somebody must act again.")
                    .sets("resolved_at", Value::Null)
                    .sets("acknowledged_at", Value::Null)
                    .sets("relapses", "$next"),
            )
            .refers("escalation_policy", &["escalation-policy"], "escalates-by", OnDelete::Block)
            .refers("reporter", &["person"], "reported-by", OnDelete::Unlink)
            .link("affects", &[], "Services, machines and other records that it hits.")
            .link("caused-by", &[], "The problem, change or broken record that caused it.")
            .link("part-of", &["incident"], "The major incident that it belongs to.")
            .at_most_one()
            .link("duplicate-of", &["incident"], "The incident that already tells of this trouble.")
            .at_most_one()
            .link("resolved-by", &["change"], "The change that ended it.")
            .link("relates-to", &[], "Anything else that helps to understand it.")
            .computes(&["priority"], priority)
            .computes(&["acknowledged_at", "resolved_at", "relapses"], |_| {})
            .check(|fields| in_order(fields, "started_at", "detected_at"))
            .indexed(&["priority", "fingerprint", "category", "major"])
            .columns(&["key", "priority", "title", "state", "owner", "started_at", "category", "updated"])
            .sorts(&["-updated", "priority", "-started_at"])
            .practices(&["incident management", "service desk", "ISO/IEC 20000-1 8.6.1", "ISO/IEC 27001 A.5.26"])
    }
}

/// The states before `resolved`: somebody still has to act.
const OPEN: &[&str] = &["detected", "investigating", "contained", "recovering"];
