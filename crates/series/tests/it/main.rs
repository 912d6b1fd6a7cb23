//! The promises of the engine, kept on a real directory: what was acknowledged is there, what is damaged is told of.

mod damage;
mod kill;
mod promql;
mod reading;
mod sealing;
mod survival;
mod tiers;
mod world;
