//! Starter: a small process that starts commands for a large one, with limits, and says what they did and cost.
//!
//! A process with many open files starts others dearly: each start copies the table of its files and closes them all again. So a
//! server runs its own program a second time under a word of its own ([`serve`] is all that this second process does), early, and
//! has it start plugins. Both ends speak over a pair of sockets ([`Order`], [`Done`]); nothing of it is reachable from elsewhere.
//!
//! The starter keeps the limits: time, output, memory, CPU. It ends a command with all that it started, and itself when its
//! server goes. It must never run a shell, and never wait for one command while another one is over.

mod client;
mod process;
#[cfg(test)]
mod promises;
mod wire;

pub use client::Starter;
pub use process::serve;
pub use wire::{Done, Ending, Order, parse_done, parse_order};

/// Where programs without a path are looked for, and `PATH` of what is started.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of a command's output, and of its complaints, is kept. What goes on writing gets SIGPIPE.
pub(crate) const OUTPUT_LIMIT_BYTES: u64 = 64 << 10;
/// Address space that a command may have.
pub(crate) const MEMORY_LIMIT_BYTES: u64 = 1 << 30;

/// The first of these programs that is there; a name without a slash is looked for in [`PATH`].
pub(crate) fn find<'a>(programs: impl IntoIterator<Item = &'a str>) -> Option<std::path::PathBuf> {
    use std::path::{Path, PathBuf};
    let is_there = |path: &Path| path.metadata().is_ok_and(|about| about.is_file());
    programs.into_iter().find_map(|program| {
        if program.contains('/') {
            return Some(PathBuf::from(program)).filter(|path| is_there(path));
        }
        PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| is_there(path))
    })
}
