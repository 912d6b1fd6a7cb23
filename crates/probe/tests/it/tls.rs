//! TLS against a real nginx that shows good, expired, wrongly named and self-signed certificates made for the test.

use probe::State;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use serde_json::json;

use crate::peers::{Peer, free_port, free_ports, nginx};
use crate::{SECONDS_5, check};

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Test Authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Certificate and key as PEM.
pub fn issue(authority: &Authority, params: CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

/// An nginx that shows each certificate on its own port.
async fn showing(certificates: &[(String, String)]) -> (Peer, Vec<u16>) {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut servers = String::new();
    let ports = free_ports(certificates.len());
    for (index, ((certificate, key), port)) in certificates.iter().zip(&ports).enumerate() {
        files.push((format!("{index}.crt"), certificate.clone()));
        files.push((format!("{index}.key"), key.clone()));
        servers += &format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {{folder}}/{index}.crt; \
             ssl_certificate_key {{folder}}/{index}.key; location / {{ return 200 \"Welcome\"; }} }}\n"
        );
    }
    let files: Vec<(&str, String)> = files.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
    let peer = nginx(&servers, ports[0], &files).await;
    (peer, ports)
}

#[tokio::test]
async fn good_expired_wrongly_named_and_self_signed_certificates_are_told_apart() {
    let authority = authority();
    let mut expired = named("localhost");
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut self_signed = named("localhost");
    self_signed.distinguished_name.push(DnType::CommonName, "alone");
    let own_key = KeyPair::generate().unwrap();
    let alone = (self_signed.self_signed(&own_key).unwrap().pem(), own_key.serialize_pem());
    let mut early = named("localhost");
    early.not_before = date_time_ymd(2900, 1, 1);
    early.not_after = date_time_ymd(2901, 1, 1);
    let certificates = [
        issue(&authority, named("localhost")),
        issue(&authority, expired),
        issue(&authority, named("other.example.org")),
        alone,
        issue(&authority, early),
    ];
    let (_nginx, ports) = showing(&certificates).await;
    let ca = authority.pem();
    for (index, params, state, part) in [
        (0, json!({"ca": ca}), State::Ok, "(CN=localhost) is valid for"),
        (0, json!({}), State::Critical, "no authority that is trusted here"),
        (0, json!({"verify": false}), State::Ok, "is valid for"),
        (1, json!({"ca": ca}), State::Critical, "expired"),
        (1, json!({"verify": false}), State::Critical, "expired"),
        (
            2,
            json!({"ca": ca}),
            State::Critical,
            "for another name (asked for localhost, shown for other.example.org, issued by CN=Test Authority)",
        ),
        (2, json!({"ca": ca, "name": "other.example.org"}), State::Ok, "is valid for"),
        (3, json!({"ca": ca}), State::Critical, "no authority that is trusted here"),
        (4, json!({"ca": ca}), State::Critical, "not valid before 2900-01-01"),
    ] {
        let outcome = check("tls", &format!("localhost:{}", ports[index]), params.clone(), SECONDS_5).await;
        let without_ca: Vec<_> = params.as_object().unwrap().keys().collect();
        assert_eq!(outcome.state, state, "{index} {without_ca:?}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{index} {without_ca:?}: {}", outcome.summary);
        assert!(outcome.timings.contains_key("tls"), "{:?}", outcome.timings);
    }
}

#[tokio::test]
async fn days_until_expiry_are_counted_by_the_thresholds() {
    let authority = authority();
    let mut short = named("localhost");
    short.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let today = probe::Env::real().clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let end = today.checked_add(jiff::Span::new().days(10)).unwrap();
    short.not_after = date_time_ymd(end.year().into(), end.month().try_into().unwrap(), end.day().try_into().unwrap());
    let (_nginx, ports) = showing(&[issue(&authority, short)]).await;
    let target = format!("localhost:{}", ports[0]);
    for (warn, critical, state) in [(5, 3, State::Ok), (30, 5, State::Warning), (30, 20, State::Critical)] {
        let params = json!({"ca": authority.pem(), "warn_days": warn, "critical_days": critical});
        let outcome = check("tls", &target, params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{warn} {critical}: {}", outcome.summary);
        let left = outcome.reading("tls_certificate_left_days").unwrap();
        assert!((9.0..=10.0).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn https_trusts_whom_it_is_told_to() {
    let authority = authority();
    let certificates = [issue(&authority, named("localhost")), issue(&authority, named("other.example.org"))];
    let (_nginx, ports) = showing(&certificates).await;
    for (index, params, state, part) in [
        (0, json!({"ca": authority.pem(), "body": "Welcome"}), State::Ok, "answers 200"),
        (0, json!({}), State::Critical, "no authority that is trusted here"),
        (0, json!({"verify": false}), State::Ok, "answers 200"),
        (1, json!({"ca": authority.pem()}), State::Critical, "the certificate is for another name"),
    ] {
        let outcome = check("http", &format!("https://localhost:{}/", ports[index]), params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{index}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{index}: {}", outcome.summary);
        if state == State::Ok {
            assert!(outcome.reading("http_certificate_left_days").unwrap() > 1.0);
            assert!(outcome.timings.contains_key("tls"));
        }
    }
}

/// OpenSSL's own server with that certificate and these settings.
async fn openssl(files: &[(&str, String)], arguments: &[&str]) -> (Peer, u16) {
    let port = free_port();
    let accept = format!("127.0.0.1:{port}");
    let base = ["s_server", "-accept", &accept, "-cert", "{folder}/crt", "-key", "{folder}/key", "-quiet"];
    let peer = crate::peers::start("/usr/bin/openssl", "", &[&base[..], arguments].concat(), files);
    crate::peers::until_it_listens(&peer, port).await;
    (peer, port)
}

#[tokio::test]
async fn old_versions_and_weak_keys_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (place("key"), place("crt"));
    let made = [
        "req",
        "-x509",
        "-newkey",
        "rsa:1024",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-days",
        "90",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    crate::peers::run("openssl", &made);
    let files =
        [("crt", std::fs::read_to_string(&certificate).unwrap()), ("key", std::fs::read_to_string(&key).unwrap())];
    let (_old, port) = openssl(&files, &["-cipher", "ALL:@SECLEVEL=0"]).await;
    let target = format!("localhost:{port}");
    for (params, state, part) in [
        (json!({"verify": false}), State::Warning, "has an RSA key of 1024 bits"),
        (json!({"verify": false, "allow_weak": true}), State::Ok, "is valid for"),
        (json!({"verify": false, "refuse_old": true}), State::Warning, "still speaks TLS 1.0 and TLS 1.1"),
        (json!({"verify": false, "allow_weak": true, "stapled": true}), State::Warning, "no staple"),
    ] {
        let outcome = check("tls", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
    let (_new, port) = openssl(&files, &["-cipher", "ALL:@SECLEVEL=0", "-no_tls1", "-no_tls1_1"]).await;
    let params = json!({"verify": false, "refuse_old": true, "allow_weak": true});
    let outcome = check("tls", &format!("localhost:{port}"), params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
}
