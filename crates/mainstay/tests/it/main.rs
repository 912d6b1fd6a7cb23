//! Mainstay as people run it: the real program in a process of its own, real peers on loopback, and faults that the
//! system itself makes. Nothing of the program is called from here but its command line, its socket and its HTTP API.

mod world;
mod http;
mod server;
mod nginx;
mod rules;
mod mailbox;
mod webhook;

mod access_matrix;
mod asking;
mod configuration;
mod credentials;
mod doctor;
mod fuzz;
mod output;
mod schema;
mod signals;
mod survives;
mod the_loop;
mod watchdog;
