//! One attempt, with its deadline and its receipt.

use crate::channel::Channel;
use crate::egress::Egress;
use crate::page::{Page, Receipt, SendError};
use crate::{smtp, webhook};

/// Sends one page over one channel, once.
///
/// An error does not prove that nobody received it: the answer may have been lost. Every attempt therefore carries the page's
/// id, and the outbox tries again.
///
/// # Errors
/// [`SendError::Retry`] when another attempt may succeed, [`SendError::Refused`] when none will.
pub async fn send(net: &Egress, channel: &Channel, page: &Page) -> Result<Receipt, SendError> {
    #[expect(clippy::disallowed_methods, reason = "times real work, here where it is done")]
    let started = tokio::time::Instant::now();
    let attempt = async {
        match channel {
            Channel::Smtp(smtp) => smtp::send(net, smtp, page).await,
            Channel::Webhook(webhook) => webhook::send(net, webhook, page).await,
        }
    };
    let late = |_| {
        SendError::retry(format!(
            "no answer within {} s; it may have arrived all the same",
            net.send_timeout.as_secs_f32()
        ))
    };
    let (provider, reference) = tokio::time::timeout(net.send_timeout, attempt).await.map_err(late)??;
    Ok(Receipt { provider, reference, accepted_at_ms: net.now_ms(), elapsed_seconds: started.elapsed().as_secs_f64() })
}
