//! The kernel: ten nouns and one way to change them.
//!
//! Everything Mainstay keeps track of is a [`Record`] of a [class](class::ClassDef); every change to one goes
//! through [`Kernel::act`](act), which authorises, validates, guards and then commits record, links and journal entry together.
//! Controllers keep promises by reading the present state; surfaces are projections of the [registry](registry::Registry).
//!
//! What is absent, on purpose: no SQL (that is `store`), no socket, no process, no wall clock (a [`Clock`] is a
//! parameter), and no class of any verb: the only classes defined here are those that Mainstay itself needs ([`own`]).

pub mod error;
pub mod ids;
pub mod clock;
pub mod secret;
pub mod shape;
pub mod validate;
pub mod class;
pub mod define;
pub mod userclass;
pub mod registry;
pub mod lens;
pub mod record;
pub mod link;
pub mod journal;
pub mod interval;
pub mod observation;
pub mod session;
pub mod filter;
pub mod query;
pub mod schedule;
pub mod calendar;
pub mod job;
pub mod backend;
pub mod act;
pub mod eval;
mod plan;
pub mod read;
pub mod controller;
pub mod driver;
pub mod own;
mod classes;

pub use act::{Act, Done, Kernel};
pub use class::{ClassDef, LinkDef, OnDelete, StateDef, TransitionDef, Verb};
pub use clock::{Clock, SystemClock, Time};
pub use define::{Bytes, Class, Define, Dur, Ref};
pub use error::{ActError, FieldError};
pub use ids::{Id, Kind, TenantId};
pub use record::{Health, HealthState, Record};
pub use registry::{Domain, Registry};
pub use session::{Actor, Session};
