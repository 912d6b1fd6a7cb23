//! The promises of the engine, kept on a real directory: what was acknowledged is there, what is damaged is told of.

mod bench_world;
mod damage;
mod reading;
mod sealing;
