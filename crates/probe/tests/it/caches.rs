//! Redis and memcached against the real servers.

use probe::State;
use serde_json::json;

use crate::peers::{Peer, free_port, start, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

/// A master with a password and a port for TLS; gives its port, that of TLS, and the authority.
async fn redis() -> (Peer, u16, u16, String) {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let (port, tls_port) = (free_port(), free_port());
    let configuration = format!(
        "bind 127.0.0.1\nport {port}\ntls-port {tls_port}\ntls-cert-file {{folder}}/crt\ntls-key-file {{folder}}/key\n\
         tls-ca-cert-file {{folder}}/crt\ntls-auth-clients no\nrequirepass hunter2\ndir {{folder}}\nsave \"\"\n"
    );
    let files = [("crt", certificate), ("key", key)];
    let peer = start("/usr/bin/redis-server", &configuration, &["{folder}/peer.conf"], &files);
    until_it_listens(&peer, port).await;
    (peer, port, tls_port, authority.pem())
}

#[tokio::test]
async fn a_real_redis_is_judged_by_password_role_and_fields() {
    let (_redis, port, tls_port, ca) = redis().await;
    let plain = format!("127.0.0.1:{port}");
    let tls = format!("localhost:{tls_port}");
    for (target, params, state, part) in [
        (&plain, json!({"password": "hunter2", "role": "master"}), State::Ok, "answers as master (7."),
        (&plain, json!({"user": "default", "password": "hunter2"}), State::Ok, "answers as master"),
        (&plain, json!({"password": "hunter2", "role": "replica"}), State::Critical, "not replica"),
        (&plain, json!({"password": "hunter2", "info": {"maxmemory": "> 1"}}), State::Critical, "maxmemory is \"0\""),
        (&plain, json!({"password": "letmein"}), State::Critical, "refuses the password (\"WRONGPASS"),
        (&plain, json!({}), State::Critical, "refuses PING (\"NOAUTH"),
        (&tls, json!({"password": "hunter2", "tls": true, "ca": ca}), State::Ok, "answers as master"),
        (&tls, json!({"password": "hunter2", "tls": true}), State::Critical, "no authority that is trusted"),
        (&plain, json!({"password": "hunter2", "tls": true}), State::Critical, "TLS"),
    ] {
        let outcome = check("redis", target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
        if state == State::Ok {
            assert!(outcome.reading("redis_memory_bytes").unwrap() > 1000.0);
            assert_eq!(outcome.reading("redis_certificate_left_days").is_some(), params.get("tls").is_some());
        }
    }
}

#[tokio::test]
async fn a_replica_without_its_master_is_critical() {
    let (port, nobody) = (free_port(), free_port());
    let configuration =
        format!("bind 127.0.0.1\nport {port}\ndir {{folder}}\nsave \"\"\nreplicaof 127.0.0.1 {nobody}\n");
    let peer = start("/usr/bin/redis-server", &configuration, &["{folder}/peer.conf"], &[]);
    until_it_listens(&peer, port).await;
    let outcome = check("redis", &format!("127.0.0.1:{port}"), json!({"role": "replica"}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("its link to its master is down"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_real_memcached_tells_its_statistics() {
    let port = free_port();
    let port_text = port.to_string();
    let arguments = ["-u", "root", "-l", "127.0.0.1", "-p", &port_text, "-U", "0"];
    let peer = start("/usr/bin/memcached", "", &arguments, &[]);
    until_it_listens(&peer, port).await;
    let target = format!("127.0.0.1:{port}");
    for (params, state, part) in [
        (json!({"stats": {"curr_connections": "< 100", "evictions": 0}}), State::Ok, "answers (1.6."),
        (json!({"stats": {"max_connections": "< 10"}}), State::Critical, "max_connections is \"1024\""),
    ] {
        let outcome = check("memcached", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        assert_eq!(outcome.reading("memcached_memory_limit_bytes"), Some(67_108_864.0));
        assert!(outcome.readings.iter().any(|reading| reading.name == "memcached_value"));
    }
}
