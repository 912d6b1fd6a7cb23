//! UDP against a socket of this process, which is as real as any, and against nobody.

use std::time::Duration;

use probe::State;
use serde_json::json;

use crate::peers::free_port;
use crate::{SECONDS_5, check};

#[tokio::test]
async fn a_datagram_is_answered_or_the_silence_is_told() {
    let echo = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = echo.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = echo.recv_from(&mut buffer).await?;
            if !buffer.starts_with(b"hush") {
                echo.send_to(&buffer[..length], from).await?;
            }
        }
        #[expect(unreachable_code, reason = "names the type of the errors above")]
        Ok::<(), std::io::Error>(())
    });
    for (params, state, part) in [
        (json!({"send": "ping", "expect": "^ping$"}), State::Ok, "said \"ping\""),
        (json!({"send": "70 69 6e 67", "encoding": "hex", "expect": "^ping$"}), State::Ok, "said \"ping\""),
        (json!({"send": "ping", "expect": "^pong$"}), State::Critical, "does not match ^pong$"),
    ] {
        let outcome = check("udp", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
    let silent = check("udp", &target, json!({"send": "hush"}), Duration::from_millis(300)).await;
    assert_eq!(silent.state, State::Critical);
    assert!(silent.summary.contains("while waiting for a datagram from the peer (timeout)"), "{}", silent.summary);
}

#[tokio::test]
async fn a_closed_port_is_told_where_the_peer_says_so() {
    let outcome = check("udp", &format!("127.0.0.1:{}", free_port()), json!({}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("connection refused"), "{}", outcome.summary);
}
