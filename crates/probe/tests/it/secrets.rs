//! Secrets: nothing that a check was given in confidence is in what it says, whatever the peer does with it.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine;
use probe::{Env, Request, State};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::peers::free_port;

/// Says back everything it hears, in words of many protocols.
async fn parrot(greeting: &'static [u8]) -> u16 {
    loop {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await;
        let (Ok(listener), Ok(socket)) = (listener, socket) else { continue };
        tokio::spawn(async move {
            let mut heard = vec![0; 1 << 16];
            while let Ok((length, from)) = socket.recv_from(&mut heard).await {
                let _ = socket.send_to(&heard[..length], from).await;
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut heard = vec![0; 1 << 16];
                    stream.write_all(greeting).await?;
                    while let Ok(length) = stream.read(&mut heard).await {
                        if length == 0 {
                            break;
                        }
                        stream.write_all(&heard[..length]).await?;
                    }
                    Ok::<_, std::io::Error>(())
                });
            }
        });
        return port;
    }
}

/// Every parameter that can be given, each secret one with the canary; as many as the protocol accepts together.
fn params(protocol: &probe::Protocol, target: &str, canary: &str) -> Value {
    let schema = (protocol.schema)();
    let properties = schema["properties"].as_object().unwrap();
    let mut given = json!({});
    let words: &[(&str, Value)] = &[
        ("user", json!("mia")),
        ("realm", json!("EXAMPLE.TEST")),
        ("version", json!("3")),
        ("auth", json!("sha256")),
        ("privacy", json!("aes128")),
        ("queue", json!("mail")),
        ("query", json!("SELECT 1")),
        ("security", json!("off")),
        ("tls", json!(false)),
        ("verify", json!(false)),
        ("allow_plaintext", json!(true)),
    ];
    let secrets = properties.iter().filter(|(name, property)| {
        property.to_string().contains("x-secret") && *name != "proxy_password" && *name != "community"
    });
    let secrets: Vec<(String, Value)> = secrets.map(|(name, _)| (name.clone(), json!(canary))).collect();
    let known = words.iter().filter(|(name, _)| properties.contains_key(*name));
    for (name, value) in known.map(|(name, value)| ((*name).to_owned(), value.clone())).chain(secrets) {
        let mut more = given.clone();
        more[&name] = value;
        given = more;
    }
    if properties.contains_key("send_headers") {
        given["send_headers"] = json!({"Authorization": format!("Bearer {canary}"), "X-Api-Key": canary});
    }
    // What does not fit together is taken out again, one by one, but never a secret before the rest.
    for name in ["version", "privacy", "auth", "query", "queue", "realm", "tls"] {
        let request =
            Request { protocol: protocol.name.into(), target: target.into(), params: given.clone(), timeout: LIMIT };
        if probe::validate(&request).is_ok() {
            break;
        }
        given.as_object_mut().unwrap().remove(name);
    }
    given
}

const LIMIT: Duration = Duration::from_millis(250);

fn leaks(text: &str, canary: &str) -> bool {
    let base64 = base64::engine::general_purpose::STANDARD;
    let forms = [canary.to_owned(), base64.encode(canary), base64.encode(format!("mia:{canary}"))];
    forms.iter().any(|form| text.contains(form.as_str())) || text.contains(&canary[..6])
}

#[test]
fn no_protocol_shows_a_secret_whatever_the_peer_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let canaries = "[a-zA-Z0-9+/\"'%&<]{2}[a-zA-Z0-9]{10,24}";
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 3, failure_persistence: None, ..ProptestConfig::default() });
    let promise = |canary: String| {
        runtime.block_on(async {
            let greetings: [&[u8]; 3] = [b"", b"220 parrot\r\n", b"HTTP/1.1 401 Unauthorized\r\n\r\n"];
            let mut ports = vec![free_port()];
            for greeting in greetings {
                ports.push(parrot(greeting).await);
            }
            let env = Env::real();
            let mut running = Vec::new();
            for (protocol, port) in probe::protocols().iter().flat_map(|one| ports.iter().map(move |port| (one, *port)))
            {
                if protocol.local {
                    continue;
                }
                let web = protocol.target.contains("web address");
                let target = if web { format!("http://127.0.0.1:{port}/") } else { format!("127.0.0.1:{port}") };
                let params = params(protocol, &target, &canary);
                let request = Request { protocol: protocol.name.into(), target, params, timeout: LIMIT };
                let (env, canary) = (env.clone(), canary.clone());
                running.push(tokio::spawn(async move {
                    let outcome = probe::check(&env, &request).await;
                    let told = format!("{outcome:?} {} {request:?}", serde_json::to_string(&outcome).unwrap());
                    assert!(!leaks(&told, &canary), "{} shows {canary}: {told}", request.protocol);
                }));
            }
            for one in running {
                one.await.unwrap();
            }
        });
        Ok(())
    };
    runner.run(&canaries.prop_map(|text| text), promise).unwrap();
}

#[tokio::test]
async fn a_secret_that_was_entered_for_another_place_is_not_sent() {
    let port = parrot(b"").await;
    let target = format!("127.0.0.1:{port}");
    let bound = |place: &str| json!({"password": {"value": "hunter2", "for": place}});
    let ask = |params| Request { protocol: "redis".into(), target: target.clone(), params, timeout: LIMIT };
    let outcome = probe::check(&Env::real(), &ask(bound("cache-1.example.org"))).await;
    assert_eq!(outcome.state, State::Unknown);
    assert!(outcome.summary.contains("was entered for cache-1.example.org"), "{}", outcome.summary);
    let outcome = probe::check(&Env::real(), &ask(bound("127.0.0.1"))).await;
    assert!(outcome.summary.contains("does not speak the Redis protocol"), "it was asked: {}", outcome.summary);
    assert!(!outcome.summary.contains("hunter2"), "{}", outcome.summary);
}
