//! The address policy and the way to the peer: whatever a check is told, it reaches what it may and nothing else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use probe::env::{Egress, Env, Failure, Net, Stream};
use probe::{Outcome, Request, State};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::peers::{free_port, start, until_it_listens};
use crate::{SECONDS_5, check};

/// A name server that answers differently each time, before the real network; it notes what is connected to.
struct Rebinding {
    real: Arc<dyn Net>,
    answers: Vec<&'static str>,
    asked: AtomicUsize,
    reached: Arc<Mutex<Vec<SocketAddr>>>,
}

#[async_trait]
impl Net for Rebinding {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let turn = self.asked.fetch_add(1, Ordering::Relaxed).min(self.answers.len() - 1);
        Ok(vec![self.answers[turn].parse().unwrap()])
    }

    async fn connect(&self, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        self.reached.lock().unwrap().push(peer);
        self.real.connect(peer).await
    }

    async fn exchange(
        &self,
        peer: SocketAddr,
        datagram: &[u8],
        is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        self.reached.lock().unwrap().push(peer);
        self.real.exchange(peer, datagram, is_answer).await
    }

    async fn ping(&self, peer: IpAddr, bytes: usize, within: Duration) -> Result<Option<Duration>, Failure> {
        self.reached.lock().unwrap().push(SocketAddr::new(peer, 0));
        self.real.ping(peer, bytes, within).await
    }
}

async fn behind(policy: Value, protocol: &str, target: &str, answers: &[&'static str]) -> (Outcome, Vec<SocketAddr>) {
    let real = Env::real();
    let reached = Arc::new(Mutex::new(Vec::new()));
    let net = Rebinding {
        real: real.net.clone(),
        answers: answers.to_vec(),
        asked: AtomicUsize::new(0),
        reached: reached.clone(),
    };
    let policy: Egress = serde_json::from_value(policy).unwrap();
    let env = Env::new(Arc::new(net), real.host.clone(), real.clock.clone()).behind(policy);
    let params =
        if protocol == "http" { json!({"send_headers": {"Authorization": "Bearer hunter2"}}) } else { json!({}) };
    let request = Request { protocol: protocol.into(), target: target.into(), params, timeout: Duration::from_secs(2) };
    let outcome = probe::check(&env, &request).await;
    let reached = reached.lock().unwrap().clone();
    (outcome, reached)
}

/// Answers each request with that text and keeps what it was sent.
async fn web_server(address: &str, answer: String) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut said = vec![0; 8192];
            let length = stream.read(&mut said).await.unwrap_or(0);
            kept.lock().unwrap().push(String::from_utf8_lossy(&said[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, seen)
}

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[tokio::test]
async fn what_is_denied_is_reached_by_no_protocol_and_told_as_our_own_doing() {
    let policy = json!({"deny": ["127.0.0.0/8", "::1"]});
    for (protocol, target) in [
        ("tcp", "127.0.0.1:80"),
        ("tcp", "[::ffff:127.0.0.1]:80"),
        ("tcp", "[::1]:80"),
        ("tcp", "somewhere.example:80"),
        ("http", "http://127.0.0.1/"),
        ("http", "http://2130706433/"),      // the same address as a number
        ("http", "http://0x7f.1/"),          // and in hexadecimal
        ("http", "http://[::ffff:7f00:1]/"), // and mapped
        ("tls", "127.0.0.1:443"),
        ("icmp", "127.0.0.1"),
        ("traceroute", "127.0.0.1"),
        ("statsd", "127.0.0.1"),
        ("ntp", "127.0.0.1"),
        ("redis", "somewhere.example"),
        ("snmp", "127.0.0.1"),
        ("ssh", "127.0.0.1"),
    ] {
        let (outcome, reached) = behind(policy.clone(), protocol, target, &["127.0.0.1"]).await;
        assert_eq!(outcome.state, State::Unknown, "{protocol} {target}: {}", outcome.summary);
        assert!(outcome.summary.contains("address policy"), "{protocol} {target}: {}", outcome.summary);
        assert_eq!(reached, [], "{protocol} {target}");
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_by_what_is_connected_to() {
    // First an address that is allowed; were it looked up again for the connection, the second would be reached.
    let (port, _) = web_server("127.0.0.1", WELL.to_owned()).await;
    let policy = json!({"deny": ["127.0.0.2"]});
    let target = format!("http://rebinding.example:{port}/");
    let (outcome, reached) = behind(policy.clone(), "http", &target, &["127.0.0.1", "127.0.0.2"]).await;
    assert_eq!((outcome.state, reached.len()), (State::Ok, 1), "{}", outcome.summary);
    assert_eq!(reached[0].ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    // A redirect to the same name is a new connection, so it is looked up and judged anew.
    let again = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (port, _) = web_server("127.0.0.1", again).await;
    let target = format!("http://rebinding.example:{port}/");
    let (outcome, reached) = behind(policy, "http", &target, &["127.0.0.1", "127.0.0.2"]).await;
    assert_eq!(outcome.state, State::Unknown, "{}", outcome.summary);
    assert!(reached.iter().all(|peer| peer.ip() == IpAddr::from(Ipv4Addr::LOCALHOST)), "{reached:?}");
}

#[tokio::test]
async fn a_redirect_to_the_inside_ends_there_and_takes_no_credentials_to_another_host() {
    let (inside, seen) = web_server("127.0.0.1", WELL.to_owned()).await;
    for (place, reached_it) in [
        (format!("http://127.0.0.1:{inside}/"), true),
        (format!("http://[::ffff:127.0.0.1]:{inside}/"), true),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), false),
        ("http://[fd00:ec2::254]/".to_owned(), false),
        ("http://[::ffff:a9fe:a9fe]/".to_owned(), false),
    ] {
        let redirect =
            format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let (port, first) = web_server("127.0.0.2", redirect).await;
        let policy = serde_json::to_value(Egress::server()).unwrap();
        let (outcome, reached) = behind(policy, "http", &format!("http://127.0.0.2:{port}/"), &["127.0.0.1"]).await;
        let state = if reached_it { State::Ok } else { State::Unknown };
        assert_eq!(
            (outcome.state, reached.len()),
            (state, 1 + usize::from(reached_it)),
            "{place}: {}",
            outcome.summary
        );
        assert!(first.lock().unwrap()[0].contains("Bearer hunter2") || first.lock().unwrap()[0].contains("bearer"));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|request| !request.to_lowercase().contains("authorization")), "{seen:?}");
}

#[tokio::test]
async fn a_check_asks_from_the_address_it_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let params = json!({"source_address": "127.0.0.9"});
    let (outcome, accepted) = tokio::join!(check("tcp", &target, params, SECONDS_5), listener.accept());
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert_eq!(accepted.unwrap().1.ip().to_string(), "127.0.0.9");

    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = socket.local_addr().unwrap().to_string();
    let mut buffer = [0; 10];
    let answer = async {
        let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(b"pong", from).await.unwrap();
        from
    };
    let params = json!({"source_address": "127.0.0.9", "send": "ping"});
    let (outcome, from) = tokio::join!(check("udp", &target, params, SECONDS_5), answer);
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert_eq!(from.ip().to_string(), "127.0.0.9");

    for (source, part) in [("192.0.2.77", "no address"), ("::1", "no address")] {
        let outcome = check("tcp", &target, json!({"source_address": source}), SECONDS_5).await;
        assert_eq!(outcome.state, State::Unknown, "{source}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{source}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn a_real_proxy_carries_every_protocol_over_tcp() {
    let port = free_port();
    let configuration = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 10\nMaxClients 10\nBasicAuth mia hunter2\nLogFile \"{{folder}}/proxy.log\"\n"
    );
    let peer = start("/usr/bin/tinyproxy", &configuration, &["-d", "-c", "{folder}/peer.conf"], &[]);
    until_it_listens(&peer, port).await;
    let (web, _) = web_server("127.0.0.1", WELL.to_owned()).await;
    let proxy = format!("127.0.0.1:{port}");
    let through = |password: &str| json!({"proxy": proxy, "proxy_user": "mia", "proxy_password": password});
    for (protocol, target, params, state, part) in [
        ("http", format!("http://127.0.0.1:{web}/"), through("hunter2"), State::Ok, "answers 200"),
        ("tcp", format!("127.0.0.1:{web}"), through("hunter2"), State::Ok, ""),
        ("tcp", format!("127.0.0.1:{web}"), through("letmein"), State::Unknown, "does not connect to"),
        ("tcp", format!("127.0.0.1:{}", free_port()), through("hunter2"), State::Unknown, "the proxy"),
        ("ntp", "127.0.0.1".to_owned(), through("hunter2"), State::Unknown, "carries no datagrams"),
        ("icmp", "127.0.0.1".to_owned(), through("hunter2"), State::Unknown, "carries no echoes"),
        ("traceroute", "127.0.0.1".to_owned(), through("hunter2"), State::Unknown, "leave proxy out"),
        (
            "tcp",
            format!("127.0.0.1:{web}"),
            json!({"proxy": format!("127.0.0.1:{}", free_port())}),
            State::Unknown,
            "cannot be reached",
        ),
    ] {
        let outcome = check(protocol, &target, params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{protocol} {target}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{protocol} {target}: {}", outcome.summary);
        assert!(!outcome.summary.contains("letmein"), "{}", outcome.summary);
    }
    // The policy holds for the peer behind the proxy, too.
    let policy: Egress = serde_json::from_value(json!({"deny": ["127.0.0.3"]})).unwrap();
    let params = through("hunter2");
    let request = Request { protocol: "tcp".into(), target: "127.0.0.3:80".into(), params, timeout: SECONDS_5 };
    let outcome = probe::check(&Env::real().behind(policy), &request).await;
    assert!(outcome.summary.contains("address policy"), "{}", outcome.summary);
}
