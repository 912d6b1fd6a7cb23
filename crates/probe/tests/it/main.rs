//! Probe against real peers: nginx, bind9, chrony and hostile servers, on loopback and free ports, ended by pid.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod agents;
mod brokers;
mod caches;
mod clusters;
mod controllers;
mod devices;
mod directories;
mod dns;
mod egress;
mod ftp;
mod hostile;
mod http;
mod icmp;
mod interfaces;
mod kafka_users;
mod local;
mod mail;
mod mutual;
mod ntp;
mod peers;
mod receive;
mod recorded;
mod schedule;
mod scheduled_hostile;
mod scripted;
mod secrets;
mod sessions;
mod simulated;
mod sql;
mod ssh;
mod ssh_command;
mod stapled;
mod statsd;
mod snmp;
mod snmp_hostile;
mod sweep;
mod tcp;
mod tls;
mod traceroute;
mod troubles;
mod udp;

use std::time::Duration;

use probe::{Env, Outcome, Request};
use serde_json::Value;

/// Runs a real check and holds it to its promise: an answer within its timeout, whatever the peer does.
async fn check(protocol: &str, target: &str, params: Value, timeout: Duration) -> Outcome {
    let request = Request { protocol: protocol.into(), target: target.into(), params, timeout };
    assert_eq!(probe::validate(&request), Ok(()), "{request:?}");
    let outcome = tokio::time::timeout(timeout + Duration::from_millis(500), probe::check(&Env::real(), &request))
        .await
        .expect("a check keeps its timeout");
    assert!(outcome.timings.contains_key("total"), "{outcome:?}");
    outcome
}

const SECONDS_5: Duration = Duration::from_secs(5);
