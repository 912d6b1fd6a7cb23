//! TCP against listeners of this process, which are as real as any.

use std::net::Ipv4Addr;
use std::time::Duration;

use probe::State;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::peers::free_port;
use crate::{SECONDS_5, check};

/// Greets everyone, and answers PING.
async fn greeter() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"220 ready\r\n").await?;
                let mut asked = [0; 6];
                stream.read_exact(&mut asked).await?;
                stream.write_all(if &asked == b"PING\r\n" { b"+PONG\r\n" } else { b"-what?\r\n" }).await
            });
        }
    });
    port
}

#[tokio::test]
async fn a_connection_a_banner_and_an_answer_are_checked() {
    let target = format!("127.0.0.1:{}", greeter().await);
    for (params, state, part) in [
        (json!({}), State::Ok, "accepts connections"),
        (json!({"banner": "^220 "}), State::Ok, "said \"220 ready\""),
        (json!({"send": "PING\r\n", "banner": "\\+PONG"}), State::Ok, "+PONG"),
    ] {
        let outcome = check("tcp", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        assert!(outcome.reading("tcp_connect_seconds").unwrap() >= 0.0);
    }
}

#[tokio::test]
async fn a_wrong_banner_is_waited_for_and_then_told() {
    let target = format!("127.0.0.1:{}", greeter().await);
    let outcome = check("tcp", &target, json!({"banner": "^SSH-2"}), Duration::from_millis(300)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("while waiting for the peer's words (timeout)"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_closed_port_and_a_missing_name_are_critical() {
    for (target, part) in [
        (format!("127.0.0.1:{}", free_port()), "connection refused"),
        ("no-such-host.invalid:80".to_owned(), "no-such-host.invalid"),
    ] {
        let outcome = check("tcp", &target, json!({}), SECONDS_5).await;
        // Where no name server can be asked at all, that is told instead, and is UNKNOWN.
        let expected =
            if outcome.summary.contains("could not be looked up") { State::Unknown } else { State::Critical };
        assert_eq!(outcome.state, expected, "{}", outcome.summary);
        assert!(outcome.summary.contains(part), "{}", outcome.summary);
    }
}

#[tokio::test]
async fn a_family_that_the_host_lacks_is_told() {
    let outcome = check("tcp", "127.0.0.1:80", json!({"family": "ipv6"}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("no IPv6 address"), "{}", outcome.summary);
}

#[tokio::test]
async fn ipv6_is_spoken_as_well() {
    // A machine without IPv6 has nothing to promise here.
    let Ok(listener) = TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).await else { return };
    let target = format!("[::1]:{}", listener.local_addr().unwrap().port());
    let outcome = check("tcp", &target, json!({"family": "ipv6"}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
}
