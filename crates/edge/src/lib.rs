//! Edge: the agent's side of Mainstay: what a machine is, what runs on it, and the hands that run one runbook step on it.
//!
//! [`discover`] only looks: it reads `/proc`, `/sys`, `/etc` and asks systemd, through one trait ([`System`]), and turns bytes
//! into values in [`parse`]. [`hands`] only does: it renders an argument vector, compares it with the machine's own allow list and
//! runs it within limits. Neither knows a record, a tenant or the server; whoever calls decides what the values mean.
//!
//! What must never happen here: a shell, a write outside the command that was asked for, a secret of the machine (password
//! hashes, raw machine id, command lines of processes) in a value that leaves, a guess where something could not be seen (it is named in
//! [`discover::CannotSee`]).

pub mod discover;
pub mod hands;
pub mod parse;
mod real;
mod recorded;
mod system;

pub use real::RealSystem;
pub use recorded::Recorded;
pub use system::{FileStat, FileSystemSize, Ran, RunLimits, System, Uname};
