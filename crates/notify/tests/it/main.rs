//! The promises of notify, kept against real peers: listeners on loopback, and Debian's exim.

mod exim;
mod mail;
mod peer;
mod tricks;
mod web;
