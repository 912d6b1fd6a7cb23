//! Notify: the hands of the outbox. One page, one channel, one attempt: delivered with a receipt, or not, with the reason.
//!
//! Nothing here decides who is told, when, or how often: the outbox does, and keeps what is to be sent. Nothing here
//! knows a record or keeps state; every attempt for a page carries the page's id, so whoever receives twice can tell.
//! Nothing connects to an address that [`Egress`] has not judged, follows a redirect, or lets a text become a header.

mod address;
mod backoff;
mod channel;
mod egress;
mod mail;
mod page;
mod secret;
mod send;
mod signature;
mod smtp;
mod webhook;

pub use address::{AddressKind, classify};
pub use backoff::backoff;
pub use channel::{Channel, FieldError, Security, Smtp, Webhook};
pub use egress::{Clock, Egress, HostPort, Resolve};
pub use mail::is_mail_address;
pub use page::{Page, Receipt, SendError};
pub use secret::Secret;
pub use send::send;
pub use signature::{SignatureError, sign, verify};
