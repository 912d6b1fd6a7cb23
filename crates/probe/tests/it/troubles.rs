//! The same troubles for every protocol of conversations: nobody there, a silent peer, one that hangs up, one that speaks
//! something else, one that never ends. Each is CRITICAL, in time, in one sentence that names the peer.

use std::net::Ipv4Addr;
use std::time::Duration;

use probe::State;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::check;
use crate::peers::free_port;

/// Every protocol over TCP with a port of its own, and the least parameters it needs.
fn protocols() -> Vec<(&'static str, Value)> {
    vec![
        ("amqp", json!({})),
        ("checkmk", json!({})),
        ("ftp", json!({})),
        ("imap", json!({})),
        ("kafka", json!({})),
        ("kerberos", json!({"realm": "EXAMPLE.TEST"})),
        ("ldap", json!({})),
        ("memcached", json!({})),
        ("modbus", json!({})),
        ("mongodb", json!({})),
        ("mqtt", json!({})),
        ("nrpe", json!({"tls": false})),
        ("pop3", json!({})),
        ("redis", json!({})),
        ("mysql", json!({})),
        ("postgresql", json!({})),
        ("sip", json!({"transport": "tcp"})),
        ("smb", json!({})),
        ("smtp", json!({})),
        ("ssh", json!({})),
        ("zabbix", json!({})),
        ("zookeeper", json!({})),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Silent,
    HangsUp,
    Speaks(&'static [u8]),
    NeverEnds(&'static [u8]),
}

async fn troubled(trouble: Trouble) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream, trouble));
        }
    });
    port
}

async fn behave(mut stream: TcpStream, trouble: Trouble) -> std::io::Result<()> {
    match trouble {
        Trouble::Silent => std::future::pending().await,
        Trouble::HangsUp => Ok(()),
        Trouble::Speaks(words) => {
            stream.write_all(words).await?;
            std::future::pending().await
        }
        Trouble::NeverEnds(words) => loop {
            stream.write_all(words).await?;
        },
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_refused() {
    for (protocol, params) in protocols() {
        let outcome = check(protocol, &format!("127.0.0.1:{}", free_port()), params, Duration::from_secs(2)).await;
        assert_eq!(outcome.state, State::Critical, "{protocol}: {}", outcome.summary);
        assert!(outcome.summary.contains("connection refused"), "{protocol}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn silence_ends_with_the_timeout_and_tells_what_was_waited_for() {
    let port = troubled(Trouble::Silent).await;
    for (protocol, params) in protocols() {
        let outcome = check(protocol, &format!("127.0.0.1:{port}"), params, Duration::from_millis(200)).await;
        assert_eq!(outcome.state, State::Critical, "{protocol}: {}", outcome.summary);
        assert!(outcome.summary.contains("(timeout)"), "{protocol}: {}", outcome.summary);
        assert!(outcome.summary.contains("while waiting"), "{protocol}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn whatever_else_a_peer_does_is_critical_and_bounded() {
    for trouble in [
        Trouble::HangsUp,
        Trouble::Speaks(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\nContent-Length: 0\r\n\r\n"),
        Trouble::Speaks(b"\x15\x03\x01\x00\x02\x02\x46"), // a TLS alert
        Trouble::NeverEnds(&[b'x'; 8192]),
        Trouble::NeverEnds(&[0; 8192]),
        Trouble::NeverEnds(b"\r\n"),
    ] {
        let port = troubled(trouble).await;
        for (protocol, params) in protocols() {
            let target = format!("127.0.0.1:{port}");
            let outcome = check(protocol, &target, params, Duration::from_secs(1)).await;
            assert_eq!(outcome.state, State::Critical, "{protocol}, {trouble:?}: {}", outcome.summary);
            assert!(outcome.summary.contains(&target), "{protocol}, {trouble:?}: {}", outcome.summary);
        }
    }
}
