//! The command line as a client: every class is served through the API, and no class is named here.
//!
//! Lists are tables on a terminal and plain on a pipe; `-o json` is stable. Exit codes: 0 done, 1 failed, 2 usage, 3 not found,
//! 4 refused by policy, 5 conflict. Nothing here touches the store: without `--server` it talks to the local socket.

pub mod client;
pub mod commands;
mod about;
pub mod output;
pub mod failure;
pub mod files;

pub(crate) use about::{Go, describe, runbook};
pub use client::{Client, Connection};
pub use commands::{Command, run};
pub use failure::Failure;
