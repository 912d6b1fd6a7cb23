//! Carries notifications over `notify`: channel records become channels, their secrets come from the vault.

use access::Access;
use async_trait::async_trait;
use kernel::{Kernel, Record};
use notify::{Channel, Egress, Page, SendError};
use respond::page::{Courier, Receipt, Refusal};
use serde_json::{Value, json};
use std::sync::Arc;

/// Over `notify`.
pub struct Post {
    /// For secrets.
    pub access: Arc<Access>,
    /// For views of records.
    pub kernel: Kernel,
    /// Where messages may go.
    pub egress: Egress,
    /// Address of the console, for links.
    pub public_url: String,
}

/// What a channel's secret is bound to: the server that it was entered for.
pub fn destination(channel: &Record) -> String {
    let setting = |name: &str| channel.get("settings").and_then(|s| s.get(name));
    let text = |name: &str| setting(name).and_then(Value::as_str).unwrap_or_default();
    match channel.text("type") {
        "smtp" => format!("smtp:{}:{}", text("host"), setting("port").map(ToString::to_string).unwrap_or_default()),
        _ => {
            let url = text("url");
            let rest = url.split_once("://").map_or(url, |(_, r)| r);
            format!("webhook:{}", rest.split(['/', '?', '#']).next().unwrap_or_default())
        }
    }
}

#[async_trait]
impl Courier for Post {
    async fn deliver(
        &self,
        channel: &Record,
        notification: &Record,
        subject: Option<&Record>,
    ) -> Result<Receipt, Refusal> {
        let secret = match self.access.vault().secret(channel.tenant, &channel.key, &destination(channel)).await {
            Ok(secret) => secret,
            Err(error) => return Err(Refusal::Later(format!("the channel's secret: {error}"), None)),
        };
        let secret = secret.map(|s| notify::Secret::new(s.expose()));
        let settings = channel.get("settings").cloned().unwrap_or_else(|| json!({}));
        let out = Channel::from_parts(channel.text("type"), &settings, secret)
            .map_err(|e| Refusal::Never(format!("channel {}: {e}", channel.key)))?;
        let page = self.page(notification, subject);
        match notify::send(&self.egress, &out, &page).await {
            Ok(receipt) => Ok(Receipt {
                provider: receipt.provider,
                reference: receipt.reference,
                elapsed_seconds: receipt.elapsed_seconds,
            }),
            Err(SendError::Retry { why, after }) => Err(Refusal::Later(why, after)),
            Err(SendError::Refused { why }) => Err(Refusal::Never(why)),
        }
    }
}

impl Post {
    fn page(&self, notification: &Record, subject: Option<&Record>) -> Page {
        let mut links = Vec::new();
        let mut data = json!({"page_id": notification.text("page_id"), "subject": notification.text("subject"), "text": notification.text("text")});
        if let (Some(record), Some(object)) = (subject, data.as_object_mut()) {
            links.push((
                format!("Open {}", record.key),
                format!("{}/r/{}/{}", self.public_url, record.kind, record.key),
            ));
            object.insert("record".into(), record.view(&self.kernel.tenant_key(record.tenant)));
        }
        let mut text = notification.text("text").to_owned();
        for (title, address) in &links {
            text.push_str(&format!("\n{title}: {address}\n"));
        }
        Page {
            id: notification.text("page_id").to_owned(),
            to: notification.text("recipient").to_owned(),
            subject: notification.text("subject").to_owned(),
            text,
            html: None,
            data,
            links,
        }
    }
}

/// Where webhooks may go: public addresses, and what the administrator lists as host:port. A Mainstay that only this machine can
/// reach may also call this machine and its private networks: whoever could misuse that sits at this machine already.
///
/// # Errors
/// An entry that is not host:port.
pub fn egress(allowed: &[String], only_here: bool) -> anyhow::Result<Egress> {
    let mut list = Vec::new();
    for entry in allowed {
        list.push(entry.parse().map_err(|e| anyhow::anyhow!("--allow-webhook {entry}: {e}"))?);
    }
    let mut egress = Egress::allowing(list);
    egress.allow_loopback_private = only_here;
    Ok(egress)
}

/// TLS for the client: the system's authorities.
///
/// # Errors
/// They cannot be read.
pub fn client_tls() -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
