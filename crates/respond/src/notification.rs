//! Notification: one message to one recipient over one channel, with its receipt. It is never sent again once a provider
//! took it.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One message to one person over one channel, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// What it is about, in one line.
    #[schemars(length(min = 1, max = 500))]
    pub subject: String,
    /// What it says.
    #[schemars(extend("x-multiline" = true))]
    pub text: String,
    /// Address, number or URL that it goes to.
    #[schemars(length(min = 1, max = 500))]
    pub recipient: String,
    /// The channel that carries it.
    pub channel: Option<Ref>,
    /// The person it is for.
    pub person: Option<Ref>,
    /// The same for every attempt, so that a provider can tell a repeat from a new page.
    #[schemars(length(max = 100))]
    pub page_id: Option<String>,
    /// Step of the escalation that it belongs to.
    pub step: Option<u32>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it will be tried again.
    pub next_attempt: Option<Time>,
    /// When the provider took it.
    pub sent_at: Option<Time>,
    /// When the provider says that it arrived.
    pub delivered_at: Option<Time>,
    /// What the provider answered.
    #[schemars(length(max = 2000))]
    pub receipt: Option<String>,
    /// Why the last attempt failed.
    #[schemars(length(max = 2000))]
    pub last_error: Option<String>,
    /// Why it was not sent.
    #[schemars(length(max = 500))]
    pub suppressed_because: Option<String>,
}

impl Class for Notification {
    const KIND: &'static str = "notification";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("NTF-")
            .states(&[
                ("queued", true, "It will be sent."),
                ("sent", false, "The provider took it."),
                ("delivered", false, "It arrived."),
                (
                    "failed",
                    true,
                    "It could not be sent, and will not be tried again: somebody has to be told in another way.",
                ),
                ("suppressed", false, "It was not sent, because of a silence, a maintenance window or a limit."),
            ])
            .transition(
                Step::new("send", &["queued"], "sent", "The provider took it.").sets("sent_at", "$now").machine(),
            )
            .transition(
                Step::new("deliver", &["queued", "sent"], "delivered", "It arrived.")
                    .sets("delivered_at", "$now")
                    .machine(),
            )
            .transition(Step::new("fail", &["queued", "sent"], "failed", "It could not be sent.").machine())
            .transition(Step::new("suppress", &["queued"], "suppressed", "It is not sent.").machine())
            .step("retry", &["failed"], "queued", "Tries it again.")
            .step("dismiss", &["failed"], "suppressed", "Whom it was for has been told in another way.")
            .refers("channel", &["channel"], "sent-through", OnDelete::Unlink)
            .refers("person", &["person"], "notifies", OnDelete::Unlink)
            .link("about", &[], "What it tells of.")
            .computes(
                &["attempts", "next_attempt", "sent_at", "delivered_at", "receipt", "last_error", "suppressed_because"],
                |_| {},
            )
            .indexed(&["page_id"])
            .columns(&["key", "subject", "recipient", "channel", "state", "attempts", "sent_at", "last_error"])
            .sorts(&["-updated", "-sent_at"])
            .practices(&["monitoring and event management", "incident management"])
            .retention_days(400)
    }
}
