//! Sweep: who is there, in a list of addresses? Echoes and connections in batches, at a polite rate unless told otherwise.
//!
//! [`discover()`] is all of it for people: echoes, then the ports of who answers, then what serves there. Each part can be
//! stopped at any moment by dropping its future, tells how far it is, and asks nobody who is on the list of exclusions.
//! Nothing here keeps a record.

mod addresses;
mod discover;
mod echo;
mod icmp;
mod neighbours;
mod ports;
mod rate;

pub use addresses::{Addresses, parse_addresses};
pub use discover::{Discovery, Found, Host, Plan, USUAL_PORTS, discover, outline};
pub(crate) use echo::checksum;
pub use echo::{Echo, parse_echo};
pub use icmp::{EchoPlan, Replied, Swept, echo_sweep};
pub use neighbours::{Manufacturers, parse_manufacturers, parse_neighbours};
pub use ports::{Port, PortPlan, PortState, port_sweep};
pub use rate::Rate;
