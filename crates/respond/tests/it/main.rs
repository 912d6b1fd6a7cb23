//! Runs as people meet them: on a real store, over restarts, on a clock moved by hand. What commands do is told by [`Script`], so
//! that a step can fail when the test wants it to; what a machine permits is edge's to prove.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asks;
mod channels;
mod dry;
mod undo;
mod world;
