//! The promises of the engine, kept on a real directory: what was acknowledged is there, what is damaged is told of.

mod about;
mod damage;
mod deletes;
mod importing;
mod kill;
mod native;
mod promql;
mod reading;
mod sealing;
mod survival;
mod tiers;
mod torture;
mod world;
