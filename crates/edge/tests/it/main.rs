//! Edge against this very machine: real files, real processes, real sockets on loopback.

mod discovery;
mod recorded;
mod steps;

/// A moment at most this many seconds away: a wait for a condition ends there with a failure.
#[expect(clippy::disallowed_methods, reason = "a test waits for real processes")]
fn in_seconds(seconds: u64) -> impl Fn() -> bool {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    move || std::time::Instant::now() < end
}
