//! Channels: how messages leave. Settings come as JSON, secrets apart; what is wrong is said by the field's name.

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::address::{AddressKind, classify};
use crate::egress::describe;
use crate::secret::Secret;

/// A way to reach people or systems, checked.
#[derive(Clone)]
pub enum Channel {
    /// By mail, through a server that takes it from us.
    Smtp(Smtp),
    /// By a signed HTTP request.
    Webhook(Webhook),
}

/// A mail server.
#[derive(Clone)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port; by default 465, 587 or 25, by security.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Who signs in, when it asks for that.
    pub user: Option<String>,
    /// The password for it.
    pub password: Option<Secret>,
    /// The sender, as `name@example.org` or `Mainstay <name@example.org>`.
    pub from: String,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all; only to this machine, or to a host and port that the administrator has listed.
    None,
    /// TLS after `STARTTLS`; a server that does not offer it gets nothing.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// An address that takes signed requests.
#[derive(Clone)]
pub struct Webhook {
    /// Where to: `https`, or `http` to an address that is not public.
    pub url: Url,
    /// The key that requests are signed with. Without it they are not signed.
    pub secret: Option<Secret>,
    /// Further headers, such as a tenant's number; never those that Mainstay sets itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The setting's name.
    pub field: String,
    /// What is wrong, with what is allowed. It never repeats a secret.
    pub message: String,
}

fn wrong(field: &str, message: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), message: message.into() }
}

impl Channel {
    /// A channel from the record's `type` (`smtp` or `webhook`), its settings and its secret.
    ///
    /// `smtp`: `host`, `port`, `from`, `tls` (none, starttls, tls; or `security`), `username` (or `user`).
    /// `webhook`: `url`, `headers` (a map of texts), `method` (only POST).
    ///
    /// # Errors
    /// The first setting that is missing, unknown or wrong, by name.
    pub fn from_parts(kind: &str, settings: &Value, secret: Option<Secret>) -> Result<Self, FieldError> {
        match Self::without_secret(kind, settings)? {
            Self::Smtp(smtp) => match (&smtp.user, &secret) {
                (Some(_), None) => Err(wrong("secret", "is required: the password of the username")),
                (None, Some(_)) => Err(wrong("username", "is required when there is a password")),
                _ => Ok(Self::Smtp(Smtp { password: secret, ..smtp })),
            },
            Self::Webhook(webhook) => Ok(Self::Webhook(Webhook { secret, ..webhook })),
        }
    }

    /// Whether a channel of type `kind` could be made of these settings, as far as they alone can tell: before its secret is
    /// entered, and without asking the network. What this takes, [`from_parts`](Self::from_parts) takes with the right secret.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts), and for an address that nothing is ever sent to.
    pub fn check(kind: &str, settings: &Value) -> Result<(), FieldError> {
        let (field, host) = match Self::without_secret(kind, settings)? {
            Self::Smtp(smtp) => ("host", smtp.host),
            Self::Webhook(webhook) => ("url", webhook.url.host_str().unwrap_or_default().to_owned()),
        };
        let address = host.trim_matches(['[', ']']).parse().map(classify);
        match address {
            Ok(kind @ (AddressKind::Metadata | AddressKind::Multicast | AddressKind::Unspecified)) => {
                Err(wrong(field, format!("{host} is {}; nothing is ever sent there", describe(kind))))
            }
            _ => Ok(()),
        }
    }

    /// The names of the settings of a type; none for a type that there is not.
    pub fn settings(kind: &str) -> &'static [&'static str] {
        match kind {
            "smtp" => &["host", "port", "from", "tls", "security", "username", "user"],
            "webhook" => &["url", "headers", "method"],
            _ => &[],
        }
    }

    fn without_secret(kind: &str, settings: &Value) -> Result<Self, FieldError> {
        let empty = Map::new();
        let settings = match settings {
            Value::Object(settings) => settings,
            Value::Null => &empty,
            _ => return Err(wrong("settings", "must be a map of settings")),
        };
        let names = Self::settings(kind);
        if names.is_empty() {
            return Err(wrong("type", format!("must be smtp or webhook, not {kind:?}")));
        }
        if let Some(key) = settings.keys().find(|key| !names.contains(&key.as_str())) {
            return Err(wrong(key, format!("is no setting of {kind}; there are {}", names.join(", "))));
        }
        match kind {
            "smtp" => smtp(settings).map(Self::Smtp),
            _ => webhook(settings).map(Self::Webhook),
        }
    }
}

fn text<'a>(settings: &'a Map<String, Value>, names: &[&str]) -> Result<Option<&'a str>, FieldError> {
    for name in names {
        match settings.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) if text.chars().any(char::is_control) => {
                return Err(wrong(name, "must not hold control characters"));
            }
            Some(Value::String(text)) => return Ok(Some(text)),
            Some(_) => return Err(wrong(name, "must be a text")),
        }
    }
    Ok(None)
}

fn smtp(settings: &Map<String, Value>) -> Result<Smtp, FieldError> {
    let host = text(settings, &["host"])?.ok_or_else(|| wrong("host", "is required: the mail server's name"))?;
    if host.contains(['/', ' ', '@']) {
        return Err(wrong("host", format!("must be a host's name or address, not {host:?}")));
    }
    if host.contains(':') && host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_err() {
        return Err(wrong("host", format!("must be a host's name or address alone, not {host:?}; the port is port")));
    }
    let security = match text(settings, &["tls", "security"])?.unwrap_or("starttls") {
        "none" => Security::None,
        "starttls" => Security::StartTls,
        "tls" => Security::Tls,
        other => return Err(wrong("tls", format!("must be none, starttls or tls, not {other:?}"))),
    };
    let port = match settings.get("port") {
        None | Some(Value::Null) => match security {
            Security::None => 25,
            Security::StartTls => 587,
            Security::Tls => 465,
        },
        Some(given) => {
            let number = given.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
            number.ok_or_else(|| wrong("port", format!("must be 1 to 65535, not {given}")))?
        }
    };
    let from = text(settings, &["from"])?.ok_or_else(|| wrong("from", "is required: the sender's address"))?;
    if from.parse::<lettre::message::Mailbox>().is_err() {
        return Err(wrong("from", format!("must be a mail address, not {from:?}")));
    }
    let user = text(settings, &["username", "user"])?.map(str::to_owned);
    Ok(Smtp { host: host.to_owned(), port, security, user, password: None, from: from.to_owned() })
}

/// Headers that Mainstay sets, and those that would change how the request is read.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "user-agent",
    "idempotency-key",
    "expect",
];

fn webhook(settings: &Map<String, Value>) -> Result<Webhook, FieldError> {
    let given = text(settings, &["url"])?.ok_or_else(|| wrong("url", "is required: where requests go"))?;
    let url =
        Url::parse(given).map_err(|e| wrong("url", format!("must be a URL such as https://example.org/hook: {e}")))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("url", format!("must begin with https:// or http://, not {}:", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("url", "must not hold a user or a password: enter a secret, or a header"));
    }
    if url.host_str().is_none_or(str::is_empty) || url.port_or_known_default().is_none_or(|port| port == 0) {
        return Err(wrong("url", "must name a host"));
    }
    if text(settings, &["method"])?.is_some_and(|method| method != "POST") {
        return Err(wrong("method", "must be POST"));
    }
    let mut headers = Vec::new();
    let named = match settings.get("headers") {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) if map.len() <= 20 => Some(map),
        Some(_) => return Err(wrong("headers", "must be a map of at most 20 texts")),
    };
    for (name, value) in named.into_iter().flatten() {
        let field = format!("headers.{name}");
        let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong(&field, "is no name of a header"))?;
        if OWN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("mainstay-") {
            return Err(wrong(&field, "is set by Mainstay itself"));
        }
        let value = value.as_str().ok_or_else(|| wrong(&field, "must be a text"))?;
        let mut value =
            HeaderValue::try_from(value).map_err(|_| wrong(&field, "must be visible ASCII without line ends"))?;
        value.set_sensitive(true);
        headers.push((name, value));
    }
    Ok(Webhook { url, secret: None, headers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn fault(kind: &str, settings: &Value, secret: bool) -> String {
        let secret = secret.then(|| Secret::new("canary"));
        match Channel::from_parts(kind, settings, secret) {
            Ok(_) => "taken".into(),
            Err(error) => {
                assert!(!error.message.contains("canary"), "a secret is never repeated");
                error.field
            }
        }
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let mail = |change: Value| {
            let mut all = json!({"host": "mail.example.org", "from": "Ops <ops@example.org>"});
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            all
        };
        let table = [
            ("smtp", mail(json!({})), false, "taken", "the least"),
            ("smtp", mail(json!({"port": 25, "tls": "none"})), false, "taken", "plain"),
            ("smtp", mail(json!({"username": "ops"})), true, "taken", "with a password"),
            ("smtp", mail(json!({"username": "ops"})), false, "secret", "a user without a password"),
            ("smtp", mail(json!({})), true, "username", "a password without a user"),
            ("smtp", mail(json!({"host": ""})), false, "host", "no host"),
            ("smtp", mail(json!({"host": "a b"})), false, "host", "a space in the host"),
            ("smtp", mail(json!({"host": "mail.example.org:25"})), false, "host", "a port in the host"),
            ("smtp", mail(json!({"host": "::1"})), false, "taken", "an IPv6 address"),
            ("smtp", mail(json!({"to": "a@example.org"})), false, "to", "the recipient is no setting"),
            ("smtp", mail(json!({"host": "a\r\nRCPT TO:<x>"})), false, "host", "a line end in the host"),
            ("smtp", mail(json!({"port": 0})), false, "port", "port 0"),
            ("smtp", mail(json!({"port": 65536})), false, "port", "too large a port"),
            ("smtp", mail(json!({"port": "25"})), false, "port", "a text as port"),
            ("smtp", mail(json!({"tls": true})), false, "tls", "not a text"),
            ("smtp", mail(json!({"tls": "maybe"})), false, "tls", "none of the three"),
            ("smtp", mail(json!({"from": "ops"})), false, "from", "no address"),
            ("smtp", mail(json!({"from": "a@b\r\nBcc: x@y"})), false, "from", "a header in the sender"),
            ("smtp", mail(json!({"form": "x"})), false, "form", "unknown"),
            ("smtp", json!([]), false, "settings", "no map"),
            ("webhook", json!({"url": "https://example.org/hook"}), true, "taken", "the least"),
            (
                "webhook",
                json!({"url": "https://example.org", "method": "POST", "headers": {"X-Team": "7"}}),
                false,
                "taken",
                "all",
            ),
            ("webhook", json!({}), false, "url", "no URL"),
            ("webhook", json!({"url": "ftp://example.org"}), false, "url", "another scheme"),
            ("webhook", json!({"url": "file:///etc/passwd"}), false, "url", "a file"),
            ("webhook", json!({"url": "https://u:p@example.org"}), false, "url", "a password in the URL"),
            ("webhook", json!({"url": "https://example.org:0"}), false, "url", "port 0"),
            ("webhook", json!({"url": "example.org"}), false, "url", "no scheme"),
            ("webhook", json!({"url": "https://e.org", "method": "GET"}), false, "method", "another method"),
            (
                "webhook",
                json!({"url": "https://e.org", "headers": {"a b": "x"}}),
                false,
                "headers.a b",
                "no header name",
            ),
            (
                "webhook",
                json!({"url": "https://e.org", "headers": {"a": "x\r\nb: c"}}),
                false,
                "headers.a",
                "a header in a header",
            ),
            (
                "webhook",
                json!({"url": "https://e.org", "headers": {"Host": "x"}}),
                false,
                "headers.Host",
                "our own header",
            ),
            (
                "webhook",
                json!({"url": "https://e.org", "headers": {"Mainstay-Signature": "x"}}),
                false,
                "headers.Mainstay-Signature",
                "a forged one",
            ),
            ("pager", json!({}), false, "type", "another type"),
        ];
        for (kind, settings, secret, expected, why) in table {
            assert_eq!(fault(kind, &settings, secret), expected, "{why}");
        }
    }

    #[test]
    fn what_can_never_be_sent_to_is_found_before_anything_is_sent() {
        for (kind, settings, expected, why) in [
            ("webhook", json!({"url": "http://169.254.169.254/latest"}), Some("url"), "a cloud's metadata service"),
            ("webhook", json!({"url": "http://[::]/"}), Some("url"), "no address"),
            ("webhook", json!({"url": "http://0/"}), Some("url"), "no address, written in another way"),
            ("webhook", json!({"url": "http://10.0.0.5:9000/"}), None, "an administrator may have listed it"),
            ("smtp", json!({"host": "224.0.0.1", "from": "a@example.org"}), Some("host"), "a group of machines"),
            (
                "smtp",
                json!({"host": "mail", "from": "a@example.org", "username": "ops"}),
                None,
                "its secret comes later",
            ),
        ] {
            assert_eq!(Channel::check(kind, &settings).err().map(|e| e.field).as_deref(), expected, "{why}");
        }
    }

    /// Settings made of right and wrong names and values.
    fn any_settings() -> impl Strategy<Value = Value> {
        let name = prop::sample::select(vec![
            "host", "port", "from", "tls", "security", "username", "user", "url", "headers", "method", "to", "form",
        ]);
        let value = prop::sample::select(vec![
            json!("mail.example.org"),
            json!("ops@example.org"),
            json!("https://example.org/hook"),
            json!("http://0.0.0.0/"),
            json!("none"),
            json!("POST"),
            json!(""),
            json!(25),
            json!(0),
            json!({"X-Team": "7"}),
            json!({"Host": "x"}),
            json!(["x"]),
            Value::Null,
        ]);
        prop::collection::hash_map(name, value, 0..5)
            .prop_map(|all| Value::Object(all.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()))
    }

    proptest! {
        /// What is taken when it is entered is taken when a page is sent, and what is refused then is refused before.
        #[test]
        fn a_setting_is_judged_the_same_by_day_and_at_night(kind in "smtp|webhook|pager", settings in any_settings()) {
            let named = ["username", "user"].iter().any(|n| settings[*n].as_str().is_some_and(|t| !t.is_empty()));
            let secret = (kind == "smtp" && named).then(|| Secret::new("canary"));
            let at_night = Channel::from_parts(&kind, &settings, secret).map(|_| ());
            match Channel::check(&kind, &settings) {
                Ok(()) => prop_assert_eq!(at_night, Ok(())),
                Err(by_day) if by_day.message.ends_with("nothing is ever sent there") => {}
                Err(by_day) => prop_assert_eq!(at_night, Err(by_day)),
            }
        }
    }

    #[test]
    fn the_port_follows_from_the_security() {
        for (tls, port) in [("none", 25), ("starttls", 587), ("tls", 465)] {
            let settings = json!({"host": "h", "from": "a@example.org", "tls": tls});
            let Ok(Channel::Smtp(smtp)) = Channel::from_parts("smtp", &settings, None) else {
                panic!("a mail channel")
            };
            assert_eq!(smtp.port, port);
        }
    }
}
