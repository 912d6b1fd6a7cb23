//! NTP against a real chronyd that serves this machine's own clock, and never sets it.

use probe::State;
use serde_json::json;

use crate::peers::{Peer, free_port, start, until_it_answers};
use crate::{SECONDS_5, check};

/// `-x` keeps its hands off the clock; the time is served on UDP only, so the first answer is waited for.
async fn chronyd(source: &str) -> (Peer, String) {
    let port = free_port();
    let configuration = format!(
        "{source}\nport {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\ncmdport 0\nbindcmdaddress /\npidfile {{folder}}/pid\n"
    );
    let peer = start("/usr/sbin/chronyd", &configuration, &["-d", "-x", "-u", "root", "-f", "{folder}/peer.conf"], &[]);
    let target = format!("127.0.0.1:{port}");
    // One without a source says so, and that is an answer.
    until_it_answers(&peer, "ntp", &target, &json!({}), |outcome| {
        outcome.state == State::Ok || outcome.summary.contains("not synchronised")
    })
    .await;
    (peer, target)
}

#[tokio::test]
async fn a_real_time_server_agrees_with_this_clock() {
    let (_chronyd, target) = chronyd("local stratum 3").await;
    let outcome = check("ntp", &target, json!({}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert_eq!(outcome.reading("ntp_stratum"), Some(3.0));
    assert!(outcome.reading("ntp_offset_seconds").unwrap().abs() < 0.05, "{:?}", outcome.readings);
    let strict = check("ntp", &target, json!({"max_stratum": 2}), SECONDS_5).await;
    assert_eq!(strict.state, State::Warning, "{}", strict.summary);
}

#[tokio::test]
async fn a_time_server_without_a_source_is_critical() {
    let (_chronyd, target) = chronyd("").await;
    let outcome = check("ntp", &target, json!({}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("not synchronised"), "{}", outcome.summary);
}
