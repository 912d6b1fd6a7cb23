//! The local protocols on the machine that runs the tests.

use probe::State;
use serde_json::json;

use crate::peers::{free_port, nginx};
use crate::{SECONDS_5, check};

#[tokio::test]
async fn this_machine_is_read_in_every_local_protocol() {
    for (protocol, reading, low, high) in [
        ("load", "load_1m_per_core", 0.0, 10_000.0),
        ("memory", "memory_available_percent", 0.1, 100.0),
        ("disk", "disk_used_percent", 0.1, 100.0),
    ] {
        let outcome = check(protocol, "", json!({}), SECONDS_5).await;
        assert_ne!(outcome.state, State::Unknown, "{}", outcome.summary);
        let value = outcome.reading(reading).unwrap_or_else(|| panic!("{protocol}: {outcome:?}"));
        assert!((low..=high).contains(&value), "{reading} {value}");
    }
}

#[tokio::test]
async fn a_threshold_below_what_is_used_is_critical() {
    let params = json!({"warn_percent": 0.0, "critical_percent": 0.0});
    let outcome = check("disk", "/", params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    let outcome = check("disk", "/no/such/path", json!({}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Unknown, "{}", outcome.summary);
}

#[tokio::test]
async fn a_real_nginx_is_counted_until_it_is_gone() {
    let port = free_port();
    let nginx = nginx(&format!("server {{ listen 127.0.0.1:{port}; }}"), port, &[]).await;
    let folder = nginx.folder().to_str().unwrap().to_owned();
    // Other tests may run an nginx of their own at the same time: the folder tells them apart.
    let mine = json!({"command": format!("nginx.*{folder}/peer\\.conf")});
    let outcome = check("process", "nginx", mine.clone(), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert_eq!(outcome.reading("process_count"), Some(1.0));
    assert!(outcome.reading("process_resident_bytes").unwrap() > 100_000.0);
    let by_file = check("process", "nginx", json!({"pid_file": format!("{folder}/pid")}), SECONDS_5).await;
    assert_eq!(by_file.state, State::Ok, "{}", by_file.summary);
    drop(nginx);
    let mut outcome = check("process", "nginx", mine.clone(), SECONDS_5).await;
    while outcome.state == State::Ok {
        tokio::task::yield_now().await; // It was told to end; the kernel takes its moment.
        outcome = check("process", "nginx", mine.clone(), SECONDS_5).await;
    }
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.starts_with("no process nginx"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_machine_without_systemd_says_so_and_one_with_it_tells_the_state() {
    let first = std::fs::read_to_string("/proc/1/comm").unwrap();
    let outcome = check("systemd", "no-such-unit-here.service", json!({}), SECONDS_5).await;
    if first.trim() == "systemd" {
        assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
        assert!(outcome.summary.contains("not installed here"), "{}", outcome.summary);
    } else {
        assert_eq!(outcome.state, State::Unknown);
        assert!(outcome.summary.contains("systemd does not run this machine"), "{}", outcome.summary);
    }
}
