//! Client certificates: a real nginx that lets nobody in without one, before recorded answers of Docker and Kubernetes (no
//! engine with TLS and no cluster can be started here), and a real mosquitto and redis of the same mind.

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, nginx, start, until_it_listens};
use crate::tls::{Authority, authority, issue, named};
use crate::{SECONDS_5, check};

/// A nginx that wants a certificate of that authority; answers as Docker and Kubernetes do.
async fn interfaces(authority: &Authority) -> (Peer, u16) {
    let (certificate, key) = issue(authority, named("localhost"));
    let port = free_port();
    let containers = r#"[{"Names": ["/shop"], "State": "running", "Status": "Up 3 hours"}]"#;
    let nodes = r#"{"items": [{"metadata": {"name": "node-1"}, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}]}"#;
    let deployments = r#"{"items": [{"metadata": {"name": "shop", "namespace": "web"}, "spec": {"replicas": 1}, "status": {"availableReplicas": 1}}]}"#;
    let answers = [
        ("/version", r#"{"Version": "25.0.3", "ApiVersion": "1.44"}"#),
        ("/containers/json", containers),
        ("/readyz", "ok"),
        ("/api/v1/nodes", nodes),
        ("/apis/apps/v1/deployments", deployments),
    ];
    let places: String =
        answers.iter().map(|(path, body)| format!("location = {path} {{ return 200 '{body}'; }}\n")).collect();
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {{folder}}/crt; ssl_certificate_key {{folder}}/key;\n\
         ssl_client_certificate {{folder}}/ca; ssl_verify_client on;\n{places}\
         location = /away {{ return 302 https://127.0.0.1:{port}/version; }}\n}}\n"
    );
    let files = [("crt", certificate), ("key", key), ("ca", authority.pem())];
    (nginx(&server, port, &files).await, port)
}

fn with(base: &Value, more: &Value) -> Value {
    let mut params = base.clone();
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

#[tokio::test]
async fn an_interface_that_wants_a_certificate_is_shown_ours() {
    let authority = authority();
    let (_nginx, port) = interfaces(&authority).await;
    let (certificate, key) = issue(&authority, named("mainstay"));
    let (stranger, strangers_key) = issue(&crate::tls::authority(), named("mainstay"));
    let base = format!("https://localhost:{port}/");
    let ours = json!({"ca": authority.pem(), "client_certificate": certificate, "client_key": key});
    let strangers = json!({"ca": authority.pem(), "client_certificate": stranger, "client_key": strangers_key});
    for (protocol, params, state, part) in [
        ("docker", with(&ours, &json!({"running": "shop"})), State::Ok, "runs 1 of 1 containers"),
        ("docker", json!({"ca": authority.pem()}), State::Critical, "answers 400"),
        ("docker", strangers, State::Critical, "answers 400"),
        ("docker", json!({"client_certificate": certificate, "client_key": key}), State::Critical, "no authority"),
        ("kubernetes", with(&ours, &json!({"min_ready_nodes": 1})), State::Ok, "1 of 1 nodes ready and 1 deployments"),
    ] {
        let outcome = check(protocol, &base, params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{protocol}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{protocol}: {}", outcome.summary);
        assert!(!outcome.summary.contains("PRIVATE KEY"), "{}", outcome.summary);
    }
    let away = format!("https://localhost:{port}/away");
    let outcome = check("http", &away, with(&ours, &json!({"verify": false, "status": 400})), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "nothing is shown after a redirect elsewhere: {}", outcome.summary);
}

#[tokio::test]
async fn other_protocols_over_tls_show_it_too() {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let files = [("crt", certificate), ("key", key), ("ca", authority.pem())];
    let (broker, cache) = (free_port(), free_port());
    let configuration = format!(
        "listener {broker} 127.0.0.1\nallow_anonymous true\ncertfile {{folder}}/crt\nkeyfile {{folder}}/key\n\
         cafile {{folder}}/ca\nrequire_certificate true\nuser root\n"
    );
    let mosquitto = start("/usr/sbin/mosquitto", &configuration, &["-c", "{folder}/peer.conf"], &files);
    until_it_listens(&mosquitto, broker).await;
    let configuration = format!(
        "bind 127.0.0.1\nport 0\ntls-port {cache}\ntls-cert-file {{folder}}/crt\ntls-key-file {{folder}}/key\n\
         tls-ca-cert-file {{folder}}/ca\ntls-auth-clients yes\ndir {{folder}}\nsave \"\"\n"
    );
    let redis = start("/usr/bin/redis-server", &configuration, &["{folder}/peer.conf"], &files);
    until_it_listens(&redis, cache).await;
    let (certificate, key) = issue(&authority, named("mainstay"));
    for (protocol, port) in [("mqtt", broker), ("redis", cache)] {
        let base = json!({"tls": true, "ca": authority.pem()});
        let ours = with(&base, &json!({"client_certificate": certificate, "client_key": key}));
        let target = format!("localhost:{port}");
        let outcome = check(protocol, &target, ours, SECONDS_5).await;
        assert_eq!(outcome.state, State::Ok, "{protocol}: {}", outcome.summary);
        let outcome = check(protocol, &target, base, SECONDS_5).await;
        assert_eq!(outcome.state, State::Critical, "{protocol}: {}", outcome.summary);
        assert!(outcome.summary.contains("wants a client certificate"), "{protocol}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn a_key_of_another_place_or_of_no_use_is_refused_before_anybody_is_asked() {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("mainstay"));
    let refused = |protocol: &str, target: &str, params: Value| {
        let request = probe::Request { protocol: protocol.into(), target: target.into(), params, timeout: SECONDS_5 };
        assert!(!format!("{request:?}").contains("PRIVATE KEY"), "{request:?}");
        probe::validate(&request).unwrap_err()
    };
    let bound = json!({"client_certificate": certificate, "client_key": {"value": key, "for": "docker-1.example.org"}});
    let errors = refused("docker", "https://docker-2.example.org:2376/", bound);
    assert_eq!(errors[0].field, "client_key");
    let plain = json!({"client_certificate": certificate, "client_key": key});
    let errors = refused("icmp", "docker-1.example.org", plain);
    assert_eq!(errors[0].field, "client_certificate");
    assert!(errors[0].message.contains("nothing is said over TLS"), "{}", errors[0]);
}
