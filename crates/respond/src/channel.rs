//! Channel: a way to reach people. Its secrets are not here: they are kept encrypted, bound to the address they were
//! entered for. What settings a type has is notify's to say; here they are held against it when they are entered, since the
//! first page is a bad time to learn of a wrong one.

use kernel::define::Step;
use kernel::error::near;
use kernel::{Class, Define, FieldError, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A way to reach people: a mail server or a web address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What it is called in lists; its key when left out.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// How messages go out.
    pub r#type: ChannelType,
    /// For smtp: host, from, port (25, 587 or 465 by tls), tls (none, starttls, tls), username. For webhook: url, headers.
    /// Secrets are entered separately.
    #[serde(default)]
    pub settings: Value,
    /// Whether it is used.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
    /// For smtp: the address that messages for nobody in particular go to. A webhook's messages go to its url.
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
        .check(settings_fit_the_type)
        .check(somebody_is_reached)
        .columns(&["key", "type", "enabled", "state", "last_sent", "last_error"])
        .sorts(&["key", "-updated"])
        .practices(&["incident management", "service desk"])
    }
}

/// Whatever `type` and `settings` say, a message could be sent with them.
fn settings_fit_the_type(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let settings = fields.get("settings").unwrap_or(&Value::Null);
    let known = notify::Channel::settings(kind);
    for name in settings.as_object().into_iter().flat_map(Map::keys) {
        if !known.contains(&name.as_str()) {
            return Err(FieldError::new(format!("settings.{name}"), unknown(kind, name, known)));
        }
    }
    notify::Channel::check(kind, settings).map_err(|fault| match fault.field.as_str() {
        "settings" | "type" => FieldError::new(fault.field.as_str(), fault.message),
        setting => FieldError::new(format!("settings.{setting}"), fault.message),
    })
}

/// What is said of a setting that the type does not have.
fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let close = near(name, known.iter().copied());
    let lower = name.to_lowercase();
    if kind == "smtp" && lower == "to" {
        "is not one of the settings: the address stands beside them, as to of the channel itself".into()
    } else if ["password", "passwd", "secret", "token", "key"].iter().any(|word| lower.contains(word)) {
        "is not kept here, where everybody who may read the channel would see it: enter it with mainstay channel secret"
            .into()
    } else if close.is_empty() {
        format!("{kind} has no such setting; there are {}", known.join(", "))
    } else {
        format!("{kind} has no such setting; did you mean {}?", close.join(", "))
    }
}

/// A page without a person has an address, and only one place says which.
fn somebody_is_reached(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let to = fields.get("to").and_then(Value::as_str);
    match (fields.get("type").and_then(Value::as_str), to) {
        (Some("smtp"), None) => {
            Err(FieldError::new("to", "must have a value: the address that messages for nobody in particular go to"))
        }
        (Some("smtp"), Some(to)) if !notify::is_mail_address(to) => {
            Err(FieldError::new("to", format!("must be one mail address, not {to:?}")))
        }
        (Some("webhook"), Some(_)) => {
            Err(FieldError::new("to", "is for smtp; a webhook's messages go to settings.url"))
        }
        _ => Ok(()),
    }
}

fn enabled_default() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Verb;
    use kernel::define::class;
    use serde_json::json;

    #[test]
    fn a_channel_that_could_not_carry_a_page_is_refused_in_words() {
        let mail = |change: Value| {
            let mut all = json!({"host": "mail.example.org", "from": "ops@example.org"});
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!({"type": "smtp", "to": "on-call@example.org", "settings": all})
        };
        let hook = |settings: Value| json!({"type": "webhook", "settings": settings});
        let without = |field: &str| {
            let mut all = mail(json!({}));
            all["settings"].as_object_mut().unwrap().remove(field);
            all
        };
        let secret = "is not kept here, where everybody who may read the channel would see it: enter it with mainstay channel secret";
        let settings = "there are host, port, from, tls, security, username, user";
        let table = [
            (mail(json!({})), "", "the least"),
            (mail(json!({"port": 587, "tls": "starttls", "username": "ops"})), "", "the password comes later"),
            (
                mail(json!({"form": "x@example.org"})),
                "settings.form: smtp has no such setting; did you mean from?",
                "a slip",
            ),
            (
                mail(json!({"zzz": 1})),
                &format!("settings.zzz: smtp has no such setting; {settings}"),
                "nothing like it",
            ),
            (
                mail(json!({"to": "a@example.org"})),
                "settings.to: is not one of the settings: the address stands beside them, as to of the channel itself",
                "another place",
            ),
            (mail(json!({"password": "x"})), &format!("settings.password: {secret}"), "a secret in the open"),
            (
                mail(json!({"url": "https://example.org"})),
                &format!("settings.url: smtp has no such setting; {settings}"),
                "that of the other type",
            ),
            (without("host"), "settings.host: is required: the mail server's name", "no host"),
            (without("from"), "settings.from: is required: the sender's address", "no sender"),
            (mail(json!({"from": "ops"})), "settings.from: must be a mail address, not \"ops\"", "no address"),
            (mail(json!({"port": 70000})), "settings.port: must be 1 to 65535, not 70000", "no port"),
            (
                mail(json!({"tls": "yes"})),
                "settings.tls: must be none, starttls or tls, not \"yes\"",
                "none of the three",
            ),
            (json!({"type": "smtp"}), "settings.host: is required: the mail server's name", "nothing at all"),
            (json!({"type": "smtp", "settings": ["x"]}), "settings: must be a map of settings", "no map"),
            (
                json!({"type": "smtp", "settings": {"host": "h", "from": "a@b.org"}}),
                "to: must have a value: the address that messages for nobody in particular go to",
                "nobody to send to",
            ),
            (
                json!({"type": "smtp", "to": "a@b.org, c@d.org", "settings": {"host": "h", "from": "a@b.org"}}),
                "to: must be one mail address, not \"a@b.org, c@d.org\"",
                "two are not one",
            ),
            (hook(json!({"url": "https://example.org/x", "headers": {"X-Team": "7"}})), "", "the least"),
            (hook(json!({})), "settings.url: is required: where requests go", "no URL"),
            (
                hook(json!({"uri": "https://example.org"})),
                "settings.uri: webhook has no such setting; did you mean url?",
                "a slip",
            ),
            (
                hook(json!({"url": "example.org"})),
                "settings.url: must be a URL such as https://example.org/hook: relative URL without a base",
                "no scheme",
            ),
            (
                hook(json!({"url": "https://e.org", "secret": "x"})),
                &format!("settings.secret: {secret}"),
                "a secret in the open",
            ),
            (
                hook(json!({"url": "https://e.org", "headers": {"Host": "x"}})),
                "settings.headers.Host: is set by Mainstay itself",
                "a header of ours",
            ),
            (
                json!({"type": "webhook", "to": "https://other.example", "settings": {"url": "https://e.org"}}),
                "to: is for smtp; a webhook's messages go to settings.url",
                "two places for one thing",
            ),
        ];
        let class = class::<Channel>(Verb::Respond);
        for (given, expected, why) in table {
            let Value::Object(fields) = given else { panic!("fields are an object") };
            let refused = kernel::validate::fields(&class, fields).err();
            assert_eq!(refused.map(|e| e[0].to_string()).unwrap_or_default(), expected, "{why}");
        }
    }
}
