//! Extract: how answers become samples, states, discovered items and facts, said in YAML and not in code.
//!
//! A [`Profile`] has sources (tables of SNMP, JSON paths, JMX beans, SQL answers, texts) and rules: one rule makes an item
//! of every row. It is data: it has no loops, cannot ask for anything by itself, and a row it does not understand is left
//! out. Nothing here opens a socket or reads a clock.

mod device;
mod expr;
mod library;
mod role;
mod run;
mod schema;
mod source;
mod template;
mod validate;

pub use device::{Device, Entry, describe, detect, fact_roots, parse_list, questions, system};
pub use library::{Library, Wanted};
pub use role::Role;
pub use run::{Extracted, Item, Sample, Standing, extract, objects, roots};
pub use schema::{Fault, Profile};
pub use source::{Input, Snapshot};
