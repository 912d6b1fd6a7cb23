//! The store: records, links, journal, intervals, observations and jobs in SQLite or PostgreSQL, under the kernel's `Backend`.
//!
//! The only SQL of Mainstay is here, written once above a small driver seam ([`conn`]). One writer takes everything through a bounded
//! queue and answers when it is on disk ([`writer`]); readers are apart ([`readers`]). Every row carries a checksum ([`layout`]); a
//! row that does not fit its own is told of and never served. Nothing here knows a class by name or decides what may be done.

mod backend;
mod backup;
mod columns;
mod conn;
mod encryption;
mod graph;
mod history;
mod jobs;
mod journal;
mod layout;
mod lock;
mod observe;
mod pages;
mod postgres;
mod predicate;
mod readers;
mod rows;
mod small;
mod sqlite;
mod steps;
mod store;
mod verify;
mod words;
mod writer;

pub use backup::{BackupError, BackupFile, Manifest, check_backup, restore};
pub use store::{Claim, OpenError, Options, Store};
pub use verify::{Anchor, BrokenChain, DamagedRow, Report, Scrub};
