//! Channel: a way to reach people. Its secrets are not here: they are kept encrypted, bound to the address they were
//! entered for.

use kernel::define::Step;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A way to reach people: a mail server or a web address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What it is called in lists; its key when left out.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// How messages go out.
    pub r#type: ChannelType,
    /// For smtp: host, port, from, tls, username. For webhook: url, method, headers. Secrets are entered separately.
    #[serde(default)]
    pub settings: Value,
    /// Whether it is used.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
    /// Address or URL that messages without a person go to.
    #[schemars(length(min = 1, max = 2000))]
    pub to: Option<String>,
    /// Messages in an hour; what goes beyond is put together into one.
    #[schemars(range(min = 1, max = 100000))]
    pub max_per_hour: Option<u32>,
    /// When a message last went out.
    pub last_sent: Option<Time>,
    /// Why the last message did not go out.
    pub last_error: Option<String>,
}

/// How messages go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelType {
    /// By mail.
    Smtp,
    /// By an HTTP request that is signed.
    Webhook,
}

impl Class for Channel {
    const KIND: &'static str = "channel";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("untested", true, "Nobody has seen a message arrive; send a test."),
            ("proven", true, "A message has gone out and was taken."),
            ("failing", true, "The last message did not go out."),
        ])
        .transition(Step::new("prove", &[], "proven", "A message was taken.").sets("last_sent", "$now").machine())
        .transition(Step::new("fail", &[], "failing", "A message was not taken.").machine())
        .computes(&["last_sent", "last_error"], |_| {})
        .columns(&["key", "type", "enabled", "state", "last_sent", "last_error"])
        .sorts(&["key", "-updated"])
        .practices(&["incident management", "service desk"])
    }
}

fn enabled_default() -> bool {
    true
}
