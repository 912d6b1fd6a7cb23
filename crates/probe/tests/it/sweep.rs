//! Sweeps of loopback and what is found there: real echoes, real ports, real services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe::fingerprint::{ask_mdns, ask_netbios, ask_snmp, look_at_port};
use probe::sweep::{EchoPlan, Plan, Swept, discover, echo_sweep, parse_addresses, port_sweep};
use probe::{Env, Secret};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UdpSocket};

use crate::peers::{free_port, nginx, start, until_it_listens};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn everybody_on_loopback_answers_an_echo_and_the_excluded_are_not_asked() {
    let env = Env::real();
    let all = parse_addresses(b"127.9.0.0/22 ::1").unwrap().without(&parse_addresses(b"127.9.1.0/24").unwrap());
    let plan = EchoPlan { per_second: None, ..EchoPlan::default() };
    let mut last = (0, 0);
    let replied = echo_sweep(&env, &all, plan, &mut |sent, replied| last = (sent, replied)).await.unwrap().replied;
    assert_eq!(replied.len() as u64, all.len());
    assert_eq!(replied.iter().map(|one| one.address).collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
    assert!(replied.iter().all(|one| one.round_trip < SECOND));
    assert!(last.0 >= all.len() && last.1 == all.len(), "{last:?}");
}

#[tokio::test]
async fn a_sweep_keeps_its_rate_and_ends_when_nobody_answers() {
    let env = Env::real();
    let begun = env.clock.monotonic();
    let plan = EchoPlan { per_second: Some(100.0), patience: SECOND, again: 0 };
    let all = parse_addresses(b"127.9.0.1-50").unwrap();
    let replied = echo_sweep(&env, &all, plan, &mut |_, _| {}).await.unwrap().replied;
    let took = env.clock.monotonic() - begun;
    assert_eq!(replied.len(), 50);
    assert!((Duration::from_millis(350)..3 * SECOND).contains(&took), "50 at 100 a second took {took:?}");

    // 240.0.0.0/4 is nobody's (RFC 1112): the kernel refuses it, or nobody answers.
    let plan = EchoPlan { per_second: None, patience: Duration::from_millis(100), again: 1 };
    let nobody = parse_addresses(b"240.0.0.1-9").unwrap();
    assert_eq!(echo_sweep(&env, &nobody, plan, &mut |_, _| {}).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn a_sweep_asks_nobody_whom_the_address_policy_keeps_back() {
    let policy = serde_json::from_value(serde_json::json!({"deny": ["127.9.2.0/24", "::1"]})).unwrap();
    let env = Env::real().behind(policy);
    let plan = EchoPlan { per_second: None, patience: SECOND, again: 0 };
    let mut sent = 0;
    let all = parse_addresses(b"127.9.1.1-9 127.9.2.1-9 ::1").unwrap();
    let swept = echo_sweep(&env, &all, plan, &mut |went, _| sent = went).await.unwrap();
    assert_eq!((swept.replied.len(), swept.kept_back, sent), (9, 10, 9));
    assert!(swept.refusal.as_ref().is_some_and(|why| why.contains("127.9.2.0/24 is denied")), "{swept:?}");
    let denied = parse_addresses(b"127.9.2.1-9").unwrap();
    let why = echo_sweep(&env, &denied, plan, &mut |_, _| {}).await.unwrap_err().to_string();
    assert!(why.contains("address policy"), "{why}");
    // The whole discovery says so too, whether it begins with echoes or with ports.
    let look = |ping: bool, addresses: &[u8]| Plan {
        addresses: parse_addresses(addresses).unwrap(),
        ports: vec![9],
        per_second: None,
        patience: SECOND,
        ping,
        look: false,
        community: None,
    };
    let found = discover(&env, &look(true, b"127.9.1.1 127.9.2.1"), &mut |_, _, _| {}).await.unwrap();
    assert_eq!(found.hosts.len(), 1);
    assert!(found.notes.iter().any(|note| note.contains("1 addresses were not asked")), "{:?}", found.notes);
    let found = discover(&env, &look(false, b"127.9.2.1"), &mut |_, _, _| {}).await.unwrap();
    assert_eq!(found.hosts.len(), 0, "no port of it is tried");
}

/// A server that says that to everybody.
async fn says(text: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(text).await;
        }
    });
    address
}

#[tokio::test]
async fn real_services_are_recognised() {
    let env = Env::real();
    let port = free_port();
    let _nginx = nginx(
        &format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 '<title>Grafana</title>'; }} }}"),
        port,
        &[],
    )
    .await;
    let seen = look_at_port(&env, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SECOND).await;
    assert_eq!((seen.service.as_str(), seen.product.as_str()), ("http", "nginx"), "{seen:?}");
    assert_eq!(seen.application, "Grafana");
    assert!(seen.facts["version"].starts_with("1."), "{seen:?}");

    let port = free_port();
    let redis = start(
        "/usr/bin/redis-server",
        &format!("bind 127.0.0.1\nport {port}\ndir {{folder}}\nsave \"\"\n"),
        &["{folder}/peer.conf"],
        &[],
    );
    until_it_listens(&redis, port).await;
    // On a port that is not its own it is asked for a page, which it refuses in its own words.
    let seen = look_at_port(&env, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SECOND).await;
    assert_eq!(seen.service, "unknown", "{seen:?}");

    let seen = look_at_port(&env, says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n").await, SECOND).await;
    assert_eq!((seen.product.as_str(), seen.facts["os"].as_str()), ("OpenSSH", "Debian"));
}

#[tokio::test]
async fn a_service_in_tls_shows_its_certificate_and_its_page() {
    let authority = crate::tls::authority();
    let (certificate, key) = crate::tls::issue(&authority, crate::tls::named("shop.example.org"));
    let port = free_port();
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {{folder}}/crt; ssl_certificate_key {{folder}}/key; location / {{ return 200 'x'; }} }}"
    );
    let _nginx = nginx(&server, port, &[("crt", certificate), ("key", key)]).await;
    let seen = look_at_port(&Env::real(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SECOND).await;
    assert_eq!((seen.service.as_str(), seen.product.as_str()), ("http", "nginx"), "{seen:?}");
    let shown = seen.certificate.expect("it speaks TLS");
    assert_eq!(shown.names, ["shop.example.org"]);
    assert!(shown.version.starts_with("TLS"), "{shown:?}");
}

#[tokio::test]
async fn hosts_are_found_with_what_serves_on_them() {
    let address = says(b"SSH-2.0-dropbear_2022.83\r\n").await;
    let plan = Plan {
        addresses: parse_addresses(b"127.0.0.0/29").unwrap(),
        ports: vec![address.port(), free_port()],
        per_second: None,
        patience: Duration::from_millis(500),
        ping: true,
        look: true,
        community: None,
    };
    let mut stages = Vec::new();
    let found = discover(&Env::real(), &plan, &mut |what, _, _| stages.push(what.to_owned())).await.unwrap();
    assert_eq!((found.addresses, found.hosts.len()), (6, 6));
    assert!(found.hosts[0].round_trip_ms.is_some());
    assert_eq!(found.hosts[0].ports.len(), 1);
    assert_eq!(found.hosts[0].ports[0].service.product, "Dropbear");
    stages.dedup();
    assert_eq!(stages, ["echoes", "ports", "services", "names"]);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["hosts"][0]["ports"][0]["service"], "ssh");

    let without_echoes = Plan { ping: false, ..plan };
    let found = discover(&Env::real(), &without_echoes, &mut |_, _, _| {}).await.unwrap();
    assert_eq!(found.hosts.len(), 6, "who refuses a connection is there");
}

#[tokio::test]
async fn a_sweep_of_ports_tells_open_closed_and_silent_apart() {
    let open = says(b"").await.port();
    let mut seen = Vec::new();
    let hosts: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    port_sweep(&Env::real(), &hosts, &[open, 1], probe::sweep::PortPlan::default(), &mut |port| seen.push(port)).await;
    seen.sort_by_key(|port| port.peer.port());
    assert_eq!(seen[0].state, probe::sweep::PortState::Closed);
    assert!(matches!(seen[1].state, probe::sweep::PortState::Open(_)));
}

#[tokio::test]
async fn a_real_agent_says_what_its_device_is() {
    let (_snmpd, peer) = crate::snmp::snmpd().await;
    let said = ask_snmp(&Env::real(), peer, &Secret::new("public"), SECOND).await.expect("it answers");
    assert_eq!(said.name, "web-1");
    assert!(!said.device.vendor.is_empty() || !said.device.os.is_empty(), "{said:?}");
    assert!(ask_snmp(&Env::real(), peer, &Secret::new("wrong"), Duration::from_millis(200)).await.is_none());
}

#[tokio::test]
async fn who_answers_nonsense_has_no_name() {
    for port in [137, 5353] {
        let address = Ipv4Addr::new(127, 0, 77, 1);
        let Ok(socket) = UdpSocket::bind((address, port)).await else { continue };
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(&buffer[..length], from).await;
                let _ = socket.send_to(&[0xff; 100], from).await;
            }
        });
        let env = Env::real();
        assert_eq!(ask_netbios(&env, address.into(), Duration::from_millis(200)).await, None);
        assert_eq!(ask_mdns(&env, address.into(), Duration::from_millis(200)).await, None);
    }
}
