//! Hostile peers: endless, slow, silent, rude. Every check ends in time and tells in one sentence what it met.

use std::net::Ipv4Addr;
use std::time::Duration;

use probe::State;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::check;

/// Serves every connection with that behaviour, after it said something.
pub async fn server<F>(behave: fn(TcpStream) -> F) -> u16
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = [0; 4096];
                match stream.read(&mut said).await? {
                    0 => Ok(()),
                    _ => behave(stream).await,
                }
            });
        }
    });
    port
}

async fn http(port: u16, params: Value) -> probe::Outcome {
    check("http", &format!("http://127.0.0.1:{port}/"), params, Duration::from_secs(1)).await
}

#[tokio::test]
async fn a_body_of_one_byte_a_second_ends_with_the_timeout() {
    let port = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await?;
        loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_secs(1)).await; // dawdles: as the peer that sends one byte a second
        }
    });
    let outcome = http(port.await, json!({})).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("within 1 s while reading the body (timeout)"), "{}", outcome.summary);
    assert!(outcome.timings["total"] < 1.4, "{:?}", outcome.timings);
}

#[tokio::test]
async fn headers_of_one_byte_a_second_end_with_the_timeout() {
    let port = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await?;
        loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_secs(1)).await; // dawdles: as the peer that sends one byte a second
        }
    });
    let outcome = http(port.await, json!({})).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("while waiting for the first byte"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_body_without_end_is_read_to_the_limit_and_no_further() {
    let port = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nstart").await?;
        let chunk = vec![b'x'; 64 << 10];
        loop {
            stream.write_all(&chunk).await?;
        }
    });
    let port = port.await;
    let outcome = http(port, json!({"body": "start"})).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert_eq!(outcome.reading("http_body_bytes"), Some(f64::from(1 << 20)));
    let outcome = http(port, json!({"body": "the end"})).await;
    assert!(outcome.summary.contains("within the first 1024 KiB"), "{}", outcome.summary);
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let port = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(b"X-More: and more and more and more and more and more\r\n").await?;
        }
    });
    let outcome = http(port.await, json!({})).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("headers"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_peer_that_does_not_speak_http_or_hangs_up_is_told_apart() {
    let other = server(|mut stream| async move { stream.write_all(b"220 mail.example.org ESMTP\r\n").await });
    let outcome = http(other.await, json!({})).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("is not HTTP"), "{}", outcome.summary);

    let gone = server(|stream| async move {
        drop(stream);
        Ok(())
    });
    let outcome = http(gone.await, json!({})).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("hung up"), "{}", outcome.summary);

    let half =
        server(|mut stream| async move { stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await });
    let outcome = http(half.await, json!({})).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("hung up"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_told() {
    let port = server(|mut stream| async move { stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await }).await;
    let outcome = check("tls", &format!("127.0.0.1:{port}"), json!({}), Duration::from_secs(1)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("what it speaks is not TLS"), "{}", outcome.summary);

    let silent = server(|stream| async move {
        let _open = stream;
        std::future::pending().await
    });
    let outcome = check("tls", &format!("127.0.0.1:{}", silent.await), json!({}), Duration::from_millis(500)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("within 500.0 ms while shaking hands over TLS (timeout)"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_banner_without_end_is_read_to_the_limit() {
    let port = server(|mut stream| async move {
        loop {
            stream.write_all(&[b'x'; 4096]).await?;
        }
    });
    let target = format!("127.0.0.1:{}", port.await);
    let outcome = check("tcp", &target, json!({"send": "hello", "banner": "never"}), Duration::from_secs(5)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("does not match never"), "{}", outcome.summary);
}
