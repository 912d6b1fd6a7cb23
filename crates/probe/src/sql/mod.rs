//! SQL: one query to one server, and what its rows must say. A folder for what the databases have in common; each speaks
//! its protocol in a file of its own. Nothing is written unless the query says so: give the check a user that may only read.

pub mod clickhouse;
pub mod mysql;
mod mysql_packet;
pub mod postgresql;
mod postgresql_message;
mod table;

pub use table::{Table, Wanted, decide};
