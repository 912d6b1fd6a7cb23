//! The store, as its callers meet it: one suite of promises, run on both databases, and what only one of them has to keep.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
mod damage;
mod kit;
mod layouts;
mod model;
mod plans;
mod postgres;
mod sqlite;
