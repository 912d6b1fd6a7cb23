//! The HTTP API: a projection of the registry. It names no domain; a class added anywhere is served here without a line.
//!
//! Every operation stands in one table ([`operation`]), from which the router, the OpenAPI document and the authorisation matrix
//! are made. A [`Caller`](caller::Caller) is the only source of a session: forgetting to ask who calls does not compile.

pub mod app;
pub mod apply;
pub mod bulk;
pub mod caller;
pub mod export;
pub mod feed;
pub mod graph;
pub mod import;
pub mod openapi;
pub mod operation;
pub mod own;
pub mod problem;
pub mod records;
pub mod requests;
pub mod signin;
pub mod table;

pub use app::{App, Gate, Probe};
pub use operation::{Operation, operations, router};
