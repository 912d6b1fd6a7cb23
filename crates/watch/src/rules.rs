//! Rules: conditions over measurements, evaluated again and again, and what becomes of them.
//!
//! [`state`] is the life of an alert, without a clock or a query; everything else serves it. The engine asks measurements only
//! through [`series::Metrics`], so that an engine far away works as well, and writes alerts only through the kernel. It never
//! tells people, and never takes missing data for good news.

mod allowance;
mod arrival;
mod asking;
mod board;
pub mod compile;
pub mod engine;
pub mod file;
mod hear;
pub mod hold;
mod keep;
mod narrow;
pub mod presence;
mod publish;
mod readers;
pub mod replay;
mod round;
pub mod see;
pub mod state;
pub mod template;
pub mod unit;
mod view;
mod writing;

pub use arrival::Heard;
pub use engine::{Counters, Number, Rules};
pub use see::Outside;
