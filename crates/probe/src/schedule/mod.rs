//! Schedule: many checks, each asked in its time, none waiting for another.
//!
//! [`Board`] decides: what is due, what a budget holds back, when a check comes again. It is given the time and does
//! nothing, so a day of ten thousand checks is tested in a second. [`Scheduler`] acts: one task for each question in flight
//! and none for a check that waits. How late questions are is counted for every one of them ([`Lag`]) and can be read at
//! any time.
//!
//! What is absent: states, retries and their meaning. Whoever takes the answers ([`Answers`]) says whether to ask again
//! sooner. The crate keeps no history.

mod board;
mod budget;
mod lag;
mod pace;
#[cfg(test)]
mod promises;
mod run;

pub use board::{Board, Start};
pub use budget::Budget;
pub use lag::{BOUNDS_SECONDS, Lag, LagFigures};
pub use pace::Pace;
pub use run::{Again, Answers, Asked, Figures, Limits, Plan, Scheduler};
