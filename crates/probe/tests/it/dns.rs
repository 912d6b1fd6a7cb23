//! DNS against a real named that is an authority for a zone made for the test, and a real Unbound that proves its answers.

use std::time::Duration;

use probe::State;
use serde_json::json;

use crate::peers::{Peer, free_port, start, until_it_answers, until_it_listens};
use crate::tls::{authority, issue};
use crate::{SECONDS_5, check};

const CONFIGURATION: &str = r#"
options { directory "{folder}"; pid-file "{folder}/pid"; session-keyfile "{folder}/session.key";
    managed-keys-directory "{folder}"; listen-on port {port} { 127.0.0.1; }; listen-on-v6 { none; };
    recursion no; dnssec-validation no; allow-query { any; }; };
controls { };
zone "example.test" { type primary; file "{folder}/zone"; };
zone "2.0.192.in-addr.arpa" { type primary; file "{folder}/reverse"; };
"#;

const ZONE: &str = r#"$TTL 300
@ IN SOA ns.example.test. admin.example.test. ( 2026112101 3600 600 86400 60 )
@ IN NS ns.example.test.
@ IN MX 10 mail.example.test.
@ IN TXT "v=spf1 " "-all"
ns IN A 127.0.0.1
www IN A 192.0.2.1
www IN A 192.0.2.2
www IN AAAA 2001:db8::1
shop IN CNAME www
mail IN A 192.0.2.25
_sip._tcp IN SRV 5 10 5060 mail.example.test.
@ IN CAA 0 issue "ca.example.test"
_443._tcp.www IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
host IN SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
web IN HTTPS 1 www.example.test. alpn="h2"
child IN NS ns.example.test.
child IN DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"#;

const REVERSE: &str = "$TTL 300\n@ IN SOA ns.example.test. admin.example.test. ( 1 3600 600 86400 60 )\n@ IN NS ns.example.test.\n1 IN PTR www.example.test.\n";

async fn named() -> (Peer, u16) {
    let port = free_port();
    // More texts than fit into 1,232 bytes, so that the answer has to come over TCP.
    let long: String = (0..30).map(|n| format!("long IN TXT \"{n} {}\"\n", "x".repeat(100))).collect();
    let files = [("zone", format!("{ZONE}{long}")), ("reverse", REVERSE.to_owned())];
    let configuration = CONFIGURATION.replace("{port}", &port.to_string());
    let peer = start("/usr/sbin/named", &configuration, &["-g", "-c", "{folder}/peer.conf", "-n", "1"], &files);
    until_it_listens(&peer, port).await;
    (peer, port)
}

#[tokio::test]
async fn every_type_is_asked_for_and_compared() {
    let (_named, port) = named().await;
    let server = format!("127.0.0.1:{port}");
    for (name, mut params, state, part) in [
        (
            "www.example.test",
            json!({"answer": ["192.0.2.2", "192.0.2.1"], "exactly": true, "authoritative": true}),
            State::Ok,
            "A 192.0.2.",
        ),
        ("www.example.test", json!({"answer": "192.0.2.3"}), State::Critical, "without 192.0.2.3"),
        ("www.example.test", json!({"answer": "192.0.2.1", "exactly": true}), State::Critical, "not expected"),
        ("www.example.test", json!({"type": "AAAA", "answer": "2001:DB8::1"}), State::Ok, "AAAA 2001:db8::1"),
        ("www.example.test", json!({"type": "MX"}), State::Critical, "no MX record"),
        ("shop.example.test", json!({"answer": "192.0.2.1"}), State::Ok, "A 192.0.2."), // through the alias
        ("shop.example.test", json!({"type": "CNAME", "answer": "www.example.test"}), State::Ok, "CNAME www"),
        ("example.test", json!({"type": "MX", "answer": "10 mail.example.test"}), State::Ok, "MX 10 mail"),
        ("example.test", json!({"type": "NS", "answer": "NS.example.test."}), State::Ok, "NS ns"),
        ("example.test", json!({"type": "TXT", "answer": "v=spf1 -all"}), State::Ok, "TXT v=spf1 -all"),
        ("example.test", json!({"type": "SOA"}), State::Ok, "2026112101"),
        (
            "_sip._tcp.example.test",
            json!({"type": "SRV", "answer": "5 10 5060 mail.example.test"}),
            State::Ok,
            "SRV 5 10 5060",
        ),
        ("example.test", json!({"type": "CAA", "answer": "0 issue \"ca.example.test\""}), State::Ok, "CAA 0 issue"),
        (
            "_443._tcp.www.example.test",
            json!({"type": "TLSA", "answer": "3 1 1 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"}),
            State::Ok,
            "TLSA 3 1 1",
        ),
        ("host.example.test", json!({"type": "SSHFP"}), State::Ok, "SSHFP 4 2 0123456789"),
        ("web.example.test", json!({"type": "HTTPS"}), State::Ok, "HTTPS 1 www.example.test"),
        ("child.example.test", json!({"type": "DS"}), State::Ok, "DS 12345 13 2 0123456789ABCDEF"),
        ("192.0.2.1", json!({"type": "PTR", "answer": "www.example.test"}), State::Ok, "PTR www"),
        ("none.example.test", json!({}), State::Critical, "answers NXDOMAIN"),
        ("none.example.test", json!({"rcode": "NXDOMAIN"}), State::Ok, "NXDOMAIN"),
        ("elsewhere.test", json!({}), State::Critical, "answers REFUSED"),
    ] {
        params["server"] = server.clone().into();
        let outcome = check("dns", name, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{name} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{name} {params}: {}", outcome.summary);
    }
}

/// A name server that signs a zone by itself, which takes it a moment.
async fn signing_server(port: u16) -> Peer {
    let configuration = CONFIGURATION.replace("{port}", &port.to_string()).replace(
        "controls",
        "zone \"signed.test\" { type primary; file \"{folder}/signed\"; dnssec-policy default; inline-signing yes; };\ncontrols",
    );
    let files = [
        ("zone", ZONE.to_owned()),
        ("reverse", REVERSE.to_owned()),
        ("signed", ZONE.replace("example.test", "signed.test")),
    ];
    let peer = start("/usr/sbin/named", &configuration, &["-g", "-c", "{folder}/peer.conf", "-n", "1"], &files);
    let asked = json!({"server": format!("127.0.0.1:{port}"), "dnssec": "signed"});
    until_it_answers(&peer, "dns", "www.signed.test", &asked, |outcome| outcome.state == State::Ok).await;
    peer
}

#[tokio::test]
async fn a_signed_zone_shows_its_signatures_and_servers_are_compared() {
    let port = free_port();
    let _named = signing_server(port).await;
    let server = format!("127.0.0.1:{port}");
    let ask = |name: &'static str, mut params: serde_json::Value| {
        params["server"] = server.clone().into();
        async move { check("dns", name, params, SECONDS_5).await }
    };
    for (name, params, state, part) in [
        (
            "www.signed.test",
            json!({"dnssec": "signed", "warn_signature_days": 300}),
            State::Warning,
            "with a signature that ends in",
        ),
        ("www.example.test", json!({"dnssec": "signed"}), State::Critical, "without signatures"),
        ("www.signed.test", json!({"dnssec": "proven"}), State::Critical, "not proven by DNSSEC"), // an authority proves nothing
    ] {
        let outcome = ask(name, params.clone()).await;
        assert_eq!(outcome.state, state, "{name} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{name} {params}: {}", outcome.summary);
    }
    let (_other, other_port) = named().await;
    let other = format!("127.0.0.1:{other_port}");
    for (name, params, state, part) in [
        ("www.example.test", json!({"same_on": other}), State::Ok, "A 192.0.2."),
        ("example.test", json!({"type": "SOA", "same_on": [other]}), State::Ok, "2026112101"),
        ("www.signed.test", json!({"same_on": other}), State::Critical, "REFUSED instead of NOERROR"),
    ] {
        let outcome = ask(name, params.clone()).await;
        assert_eq!(outcome.state, state, "{name} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{name} {params}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_comes_over_tcp() {
    let (_named, port) = named().await;
    let params = json!({"type": "TXT", "server": format!("127.0.0.1:{port}")});
    let outcome = check("dns", "long.example.test", params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert_eq!(outcome.reading("dns_answers_count"), Some(30.0));
    assert_eq!(outcome.reading("dns_ttl_seconds"), Some(300.0));
    assert!(outcome.timings.contains_key("tcp_query"), "{:?}", outcome.timings);
}

#[tokio::test]
async fn a_question_goes_over_tcp_and_tls_where_it_is_wanted() {
    let authority = authority();
    let (certificate, key) = issue(&authority, crate::tls::named("localhost"));
    let (port, tls_port) = (free_port(), free_port());
    let configuration = CONFIGURATION
        .replace("{port}", &port.to_string())
        .replace("recursion no;", &format!("recursion no; listen-on port {tls_port} tls ours {{ 127.0.0.1; }};"))
        .replace("controls", "tls ours { cert-file \"{folder}/crt\"; key-file \"{folder}/key.pem\"; };\ncontrols");
    let files = [("zone", ZONE.to_owned()), ("reverse", REVERSE.to_owned()), ("crt", certificate), ("key.pem", key)];
    let peer = start("/usr/sbin/named", &configuration, &["-g", "-c", "{folder}/peer.conf", "-n", "1"], &files);
    until_it_listens(&peer, tls_port).await;
    let ca = authority.pem();
    let (plain, tls) = (format!("localhost:{port}"), format!("localhost:{tls_port}"));
    for (params, state, part) in [
        (json!({"server": plain, "transport": "tcp", "answer": "192.0.2.1"}), State::Ok, "A 192.0.2."),
        (json!({"server": tls, "transport": "tls", "ca": ca, "answer": "192.0.2.1"}), State::Ok, "A 192.0.2."),
        (
            json!({"server": format!("127.0.0.1:{tls_port}"), "transport": "tls", "ca": ca, "tls_name": "localhost"}),
            State::Ok,
            "A 192.0.2.",
        ),
        (json!({"server": tls, "transport": "tls"}), State::Critical, "no authority that is trusted"),
        (
            json!({"server": format!("127.0.0.1:{tls_port}"), "transport": "tls", "ca": ca}),
            State::Critical,
            "for another name",
        ),
        (json!({"server": plain, "transport": "tls", "ca": ca}), State::Critical, "TLS"),
    ] {
        let outcome = check("dns", "www.example.test", params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{:?}: {}", params["server"], outcome.summary);
        assert!(outcome.summary.contains(part), "{:?}: {}", params["server"], outcome.summary);
    }
}

#[tokio::test]
#[ignore = "needs Unbound: make test-peers"]
async fn a_real_resolver_proves_what_an_authority_has_signed() {
    let authority_port = free_port();
    let _named = signing_server(authority_port).await;
    // The resolver is told whom to believe by the key that the authority itself shows.
    let params = json!({"server": format!("127.0.0.1:{authority_port}"), "type": "DNSKEY"});
    let outcome = check("dns", "signed.test", params, SECONDS_5).await;
    let key = outcome.summary.split_once("DNSKEY ").and_then(|(_, rest)| rest.split(" for signed.test").next());
    let key = key.unwrap_or_else(|| panic!("{}", outcome.summary));
    assert!(key.starts_with("257 3 "), "{key}");
    let port = free_port();
    let configuration = format!(
        "server:\n  interface: 127.0.0.1@{port}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{{folder}}\"\n\
         \x20 pidfile: \"{{folder}}/pid\"\n  do-not-query-localhost: no\n  use-syslog: no\n  local-zone: \"test.\" nodefault\n\
         \x20 trust-anchor: \"signed.test. DNSKEY {key}\"\n  module-config: \"validator iterator\"\n\
         stub-zone:\n  name: \"signed.test\"\n  stub-addr: 127.0.0.1@{authority_port}\n\
         stub-zone:\n  name: \"example.test\"\n  stub-addr: 127.0.0.1@{authority_port}\nremote-control:\n  control-enable: no\n"
    );
    let unbound = start("/usr/sbin/unbound", &configuration, &["-d", "-p", "-c", "{folder}/peer.conf"], &[]);
    until_it_listens(&unbound, port).await;
    for (name, params, state, part) in [
        ("www.signed.test", json!({"dnssec": "proven", "answer": "192.0.2.1"}), State::Ok, "A 192.0.2."),
        ("www.example.test", json!({"dnssec": "proven"}), State::Critical, "not proven by DNSSEC"),
        ("www.example.test", json!({}), State::Ok, "A 192.0.2."),
    ] {
        let mut params = params;
        params["server"] = format!("127.0.0.1:{port}").into();
        let outcome = check("dns", name, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{name} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{name} {params}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn a_name_server_that_is_not_there_or_silent_is_critical() {
    let params = json!({"server": format!("127.0.0.1:{}", free_port())});
    let outcome = check("dns", "www.example.test", params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("connection refused"), "{}", outcome.summary);

    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let params = json!({"server": silent.local_addr().unwrap().to_string()});
    let outcome = check("dns", "www.example.test", params, Duration::from_millis(300)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("while waiting for the name server (timeout)"), "{}", outcome.summary);
}
