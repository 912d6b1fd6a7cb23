//! The store, as its callers meet it: one suite of promises, run on both databases, and what only one of them has to keep.

mod conformance;
mod damage;
mod kit;
mod model;
mod postgres;
mod sqlite;
