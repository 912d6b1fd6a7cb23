//! Hostile peers beside a good one, on one scheduler: each is bounded, told in one sentence, and the good one's checks stay on
//! time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe::schedule::{Again, Asked, Limits, Pace, Plan};
use probe::snmp::{
    Body, ErrorStatus, Kind, Message, Oid, Pdu, Value as SnmpValue, VarBind, community_message, parse_message,
};
use probe::{Outcome, State};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UdpSocket};

use crate::hostile::server;
use crate::schedule::{next, plan, running};

const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the hostile peer, and beside it a good one ten times a second; what the hostile check says.
async fn beside_a_good_one(protocol: &str, target: &str, params: Value) -> Outcome {
    let good = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let good_target = good.local_addr().unwrap().to_string();
    tokio::spawn(async move { while good.accept().await.is_ok() {} });
    let (scheduler, mut told) = running(Limits::default(), Again::Usual);
    let hostile = Plan {
        pace: Pace { first_within: Duration::from_millis(1), ..Pace::every(Duration::from_secs(60)) },
        ..plan(protocol, target, params, 1000, 60_000)
    };
    scheduler.put(1, &hostile).unwrap();
    scheduler.put(2, &plan("tcp", &good_target, json!({}), 1000, 100)).unwrap();
    let (mut answer, mut on_time) = (None, 0);
    while answer.is_none() || on_time < 12 {
        let Asked { id, outcome, late } = next(&mut told).await;
        if id == 2 {
            assert!(late < Duration::from_secs(1), "the good check was {late:?} late");
            assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
            on_time += 1;
        } else {
            answer = Some(outcome);
        }
    }
    let outcome = answer.expect("it was waited for");
    let took = outcome.timings["total"];
    assert!(took < TIMEOUT.as_secs_f64() + 0.4, "{took} s: {}", outcome.summary);
    assert!(!outcome.summary.is_empty() && outcome.summary.lines().count() == 1, "{:?}", outcome.summary);
    outcome
}

/// An agent whose tables are made by `follow`, from the object that was asked for and the number of the repetition.
async fn agent(follow: fn(&Oid, u32) -> Oid) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let peer = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(Message::Community { body: Body::Pdu(asked), .. }) = parse_message(&buffer[..length]) else {
                continue;
            };
            let object = |oid: Oid| VarBind { oid, value: SnmpValue::Integer(7) };
            let objects = match asked.kind {
                Kind::Get => asked.objects.iter().map(|asked| object(asked.oid.clone())).collect(),
                _ => (0..asked.error_index.max(1))
                    .flat_map(|nth| asked.objects.iter().map(move |asked| object(follow(&asked.oid, nth as u32))))
                    .collect(),
            };
            let (kind, error_status) = (Kind::Response, ErrorStatus::NONE);
            let pdu = Pdu { kind, error_status, error_index: 0, objects, request_id: asked.request_id };
            let _ = socket.send_to(&community_message(1, b"public", &pdu), from).await;
        }
    });
    peer
}

// On two threads, as a server has: what was read is a lot to think about, and others must not wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_never_ends_is_cut() {
    let peer = agent(|oid, nth| {
        let (last, before) = oid.arcs().split_last().unwrap();
        if oid.arcs().len() < 11 { oid.with(&[nth + 1]) } else { Oid::new(before).with(&[last + nth + 1]) }
    });
    let params = json!({"profile": "if-mib"});
    let outcome = beside_a_good_one("snmp", &peer.await.to_string(), params).await;
    assert_ne!(outcome.state, State::Ok, "{}", outcome.summary);
}

#[tokio::test]
async fn a_table_that_loops_is_left() {
    let peer = agent(|oid, _| if oid.arcs().len() < 11 { oid.with(&[5]) } else { oid.clone() });
    let outcome = beside_a_good_one("snmp", &peer.await.to_string(), json!({"profile": "if-mib"})).await;
    assert!(outcome.timings["total"] < 1.0, "{outcome:?}");
}

#[tokio::test]
async fn a_body_without_end_is_read_to_the_limit() {
    let port = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        loop {
            stream.write_all(&[b'x'; 65_536]).await?;
        }
    });
    let target = format!("http://127.0.0.1:{}/", port.await);
    let outcome = beside_a_good_one("http", &target, json!({"body": "the end"})).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("within the first 1024 KiB"), "{}", outcome.summary);
}

#[tokio::test]
async fn one_byte_a_second_ends_with_the_timeout() {
    let port = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await?;
        loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_secs(1)).await; // dawdles: as the peer that sends one byte a second
        }
    });
    let outcome = beside_a_good_one("http", &format!("http://127.0.0.1:{}/", port.await), json!({})).await;
    assert!(outcome.summary.contains("within 1 s while reading the body (timeout)"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_certificate_of_ten_megabytes_is_refused() {
    let port = server(|mut stream| async move {
        const MEGABYTES_10: u32 = 10_000_000;
        // TLS 1.2, ECDHE-RSA with AES-128-GCM, no session, no extensions; then a certificate that says how large it is.
        let hello = [&[0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3][..], &[7; 32], &[0, 0xc0, 0x2f, 0]].concat();
        stream.write_all(&hello).await?;
        let length = MEGABYTES_10.to_be_bytes();
        let mut message = vec![0x0b, length[1], length[2], length[3]];
        message.resize(MEGABYTES_10 as usize, 0x30);
        for part in message.chunks(16_384) {
            stream.write_all(&[&[0x16, 3, 3][..], &(part.len() as u16).to_be_bytes(), part].concat()).await?;
        }
        Ok(())
    });
    let outcome = beside_a_good_one("tls", &format!("127.0.0.1:{}", port.await), json!({})).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.timings["total"] < 1.0, "refused, not waited for: {}", outcome.summary);
}

#[tokio::test]
async fn a_redirect_to_itself_is_followed_so_often_and_no_more() {
    let port = server(|mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await
    });
    let outcome =
        beside_a_good_one("http", &format!("http://127.0.0.1:{}/", port.await), json!({"redirects": 20})).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("redirect"), "{}", outcome.summary);
}

#[tokio::test]
async fn an_answer_of_dns_that_points_into_itself_ends() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // The question back as an answer with one record, whose name is a pointer to itself.
            let mut answer = buffer[..length].to_vec();
            answer[2] |= 0x80;
            answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            let question_ends = answer[12..].iter().position(|byte| *byte == 0).unwrap() + 12 + 5;
            answer.truncate(question_ends);
            let here = u16::try_from(answer.len()).unwrap() | 0xc000;
            answer.extend(here.to_be_bytes());
            answer.extend([0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
            let _ = socket.send_to(&answer, from).await;
        }
    });
    let outcome = beside_a_good_one("dns", "www.example.org", json!({"server": server})).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
}
