//! Relay.
pub mod encode;
pub mod frame;
