//! Tells systemd that Mainstay is ready, that it lives, and that it is about to end.
//!
//! It must never say that Mainstay lives because a timer ran: only what went through the store and the runner's board says so,
//! so that a standstill of either ends in a restart. Without systemd (no `NOTIFY_SOCKET`) nothing is said.

use sd_notify::NotifyState;

/// Everything listens: units that wait for this one may start.
pub fn ready() {
    say(NotifyState::Ready);
}

/// The store and the runner answered just now.
pub fn alive() {
    say(NotifyState::Watchdog);
}

/// The end has begun.
pub fn ending() {
    say(NotifyState::Stopping);
}

fn say(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told how Mainstay is");
    }
}
