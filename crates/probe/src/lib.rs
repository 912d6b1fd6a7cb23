//! Probe: protocols spoken to real peers. Bytes in, value out.
//!
//! A [`Request`] names a [`Protocol`], a target and typed parameters; [`check`] answers with an [`Outcome`]: a
//! [`State`], one sentence, readings with units, and what each phase took. Every decision is a pure function
//! (`decide` in each protocol's file) of what was seen, so it is tested without a network.
//!
//! What is absent, and why:
//! - No record, no tenant and no history (but how far a log file was read, in memory): hold-down, retries and soft states belong to
//!   whoever calls; [`schedule`] knows when to ask, and not what an answer means. The crate must never depend on `kernel`.
//! - No direct network, file, process or clock outside [`env`](mod@env): a decision cannot do I/O.
//! - No shell. A command is an argument vector with a time limit and an output limit.
//! - No answer without bounds: every check ends within its timeout, every body, list and loop has a limit.
//!
//! Who lies? Nobody: what the peer did (refused, was silent, answered wrongly) is CRITICAL; what *we* could not do (no
//! permission, a wrong parameter, no resolver) is UNKNOWN, with a sentence that says what to do about it.
//!
//! Parsers, each `pub`, total and fuzzed (`bytes in, value or error out`, never a panic):
//! [`target::parse_host_port`], [`target::parse_web_address`], [`params::parse_span`], [`dns::parse_answer`],
//! [`dns::parse_resolv_conf`], [`http::parse_json_condition`], [`ntp::parse_answer`], [`tls::parse_certificate`],
//! [`tls::parse_authorities`], [`process::parse_status`], [`process::parse_command_line`],
//! [`process::parse_pid_file`], [`systemd::parse_unit`], [`disk::parse_mounts`], [`memory::parse_meminfo`],
//! [`load::parse_load_average`], [`load::parse_cpu_list`], [`snmp::parse_message`], [`snmp::parse_notification`],
//! [`snmp::parse_notification_v3`], [`extract::Profile::parse_all`], [`extract::parse_list`], [`extract::Role::parse_list`], [`udp::parse_datagram`], [`redis::parse_reply`],
//! [`redis::parse_info`], [`memcached::parse_stats`], [`reply::parse_reply`], [`imap::parse_greeting`],
//! [`imap::parse_answer`], [`imap::parse_status`], [`pop3::parse_status`], [`pop3::parse_stat`], [`ftp::parse_file`],
//! [`ssh::parse_identification`], [`ssh::parse_packet`], [`ssh::parse_offers`], [`ssh::parse_server_key`],
//! [`ssh::parse_message`], [`ssh::parse_private_key`], [`statsd::parse_stats`], [`traceroute::parse_heard`],
//! [`sql::postgresql::parse_message`], [`sql::mysql::parse_packet`], [`sql::mysql::parse_greeting`], [`sql::mysql::parse_row`], [`sql::clickhouse::parse_table`],
//! [`ldap::parse_message`], [`ldap::parse_filter`], [`radius::parse_reply`], [`mqtt::parse_packet`], [`mqtt::parse_message`],
//! [`amqp::parse_frame`], [`amqp::parse_product`], [`kafka::parse_metadata`], [`kafka::parse_mechanisms`], [`kafka::parse_proof`], [`zookeeper::parse_state`],
//! [`plugin::parse_output`], [`plugin::parse_performance`], [`nrpe::parse_answer`], [`zabbix::parse_value`],
//! [`websocket::parse_frame`], [`modbus::parse_answer`], [`sip::parse_answer`],
//! [`kerberos::parse_answer`], [`sweep::parse_addresses`], [`sweep::parse_echo`], [`sweep::parse_neighbours`],
//! [`sweep::parse_manufacturers`], [`fingerprint::parse_status`], [`fingerprint::parse_announcement`],
//! [`fingerprint::parse_signatures`], [`fingerprint::parse_bytes`],
//! [`mongodb::parse_message`], [`mongodb::parse_document`], [`prometheus::parse_page`],
//! [`prometheus::parse_delimited`], [`prometheus::parse_selector`], [`jmx::parse_attribute`], [`ipmi::parse_packet`],
//! [`ipmi::parse_sensor`], [`ipp::parse_answer`], [`ipp::parse_address`], [`smb::parse_answer`], [`rtsp::parse_answer`],
//! [`bacnet::parse_answer`], [`dhcp::parse_offer`], [`checkmk::parse_output`], [`docker::parse_containers`],
//! [`kubernetes::parse_ready`], [`winrm::parse_identity`], [`tls::parse_staple`], [`tls::parse_hello`], the ranges of
//! [`env::Egress`], [`env::parse_policies`], [`starter::parse_order`], [`starter::parse_done`], and those of [`receive`].
//!
//! *Proven on recorded answers*, since no real peer can be installed where the tests run: `checkmk`, `kubernetes`, `mongodb`,
//! `winrm`. Every other protocol has a test against a real one.

mod asn1;
mod dialog;
pub mod env;
pub mod extract;
pub mod facts;
pub mod fingerprint;
mod outcome;
pub mod params;
mod protocol;
pub mod receive;
mod registry;
mod rehearse;
pub mod reply;
pub mod schedule;
mod scram;
pub mod secret;
pub mod starter;
pub mod sweep;
pub mod target;
mod together;
mod trace;
mod web;

pub mod amqp;
pub mod amqp_management;
pub mod bacnet;
pub mod checkmk;
pub mod dhcp;
pub mod disk;
pub mod dns;
pub mod docker;
pub mod ftp;
pub mod http;
pub mod icmp;
pub mod imap;
pub mod ipmi;
pub mod ipp;
pub mod jmx;
pub mod kafka;
pub mod kerberos;
pub mod kubernetes;
pub mod ldap;
pub mod load;
pub mod logfile;
pub mod memcached;
pub mod memory;
pub mod modbus;
pub mod mongodb;
pub mod mqtt;
pub mod nrpe;
pub mod ntp;
pub mod plugin;
pub mod pop3;
pub mod process;
pub mod prometheus;
pub mod radius;
pub mod redis;
pub mod redfish;
pub mod rtsp;
pub mod sip;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod sql;
pub mod ssh;
pub mod statsd;
pub mod systemd;
pub mod tcp;
pub mod tls;
pub mod traceroute;
pub mod udp;
pub mod websocket;
pub mod winrm;
pub mod zabbix;
pub mod zookeeper;

pub use dialog::{Measured, Security};
pub use env::{Clock, Env, Failure, Host, Net};
pub use outcome::{Outcome, Reading, State};
pub use params::ParamError;
pub use protocol::{ProbeError, Protocol, Request};
pub use registry::{Prepared, check, prepare, protocol, protocols, validate};
pub use rehearse::rehearse;
pub use secret::Secret;
pub use together::together;
