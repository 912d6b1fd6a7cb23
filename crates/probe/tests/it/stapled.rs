//! Stapled answers about revocation: signed by OpenSSL's responder, shown by a real nginx.

use std::path::Path;

use probe::State;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use serde_json::json;

use crate::peers::{Peer, free_ports, nginx, run};
use crate::tls::{Authority, authority, issue, named};
use crate::{SECONDS_5, check};

/// A folder of certificates, and the answers that are made from them.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(files: &[(&str, &str)]) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        for (name, content) in files {
            std::fs::write(desk.folder.path().join(name), content).unwrap();
        }
        desk
    }

    fn place(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// What OpenSSL's responder answers about `crt`, issued by `ca`, signed with `NAME` and `NAME.key`: `standing` is V (valid), R
    /// (revoked) or nothing (unknown to it), and `since` the day that it believes to have.
    fn answer(&self, signer: &str, about: &str, standing: &str, since: Option<&str>, more: &[&str]) -> Vec<u8> {
        let serial = self.serial(about);
        let line = match standing {
            "R" => format!("R\t351231235959Z\t261101000000Z\t{serial}\tunknown\t/CN=localhost\n"),
            "V" => format!("V\t351231235959Z\t\t{serial}\tunknown\t/CN=localhost\n"),
            _ => String::new(),
        };
        std::fs::write(self.place("index"), line).unwrap();
        let [ca, index, answer, about] = ["ca", "index", "answer", about].map(|name| self.place(name));
        let (signer, key) = (self.place(signer), self.place(&format!("{signer}.key")));
        let made = ["ocsp", "-index", &index, "-CA", &ca, "-rsigner", &signer, "-rkey", &key, "-respout", &answer];
        let whom = ["-issuer", &ca, "-cert", &about];
        let week: &[&str] = if more.is_empty() { &["-ndays", "7"] } else { more };
        match since {
            Some(day) => run("faketime", &[&[day, "openssl"], &made[..], week, &whom].concat()),
            None => run("openssl", &[&made[..], week, &whom].concat()),
        };
        std::fs::read(Path::new(&answer)).unwrap()
    }

    fn serial(&self, certificate: &str) -> String {
        let serial = run("openssl", &["x509", "-in", &self.place(certificate), "-noout", "-serial"]);
        serial.trim().trim_start_matches("serial=").to_owned()
    }
}

/// An nginx that shows one certificate on a port for each answer, with that answer.
async fn showing(certificate: &str, key: &str, answers: &[Vec<u8>]) -> (Peer, Vec<u16>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports(answers.len());
    let mut servers = String::new();
    for (index, (answer, port)) in answers.iter().zip(&ports).enumerate() {
        let place = folder.path().join(format!("{index}.der"));
        std::fs::write(&place, answer).unwrap();
        servers += &format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {{folder}}/crt; ssl_certificate_key {{folder}}/key; \
             ssl_stapling on; ssl_stapling_file {}; }}\n",
            place.display()
        );
    }
    let peer = nginx(&servers, ports[0], &[("crt", certificate.to_owned()), ("key", key.to_owned())]).await;
    (peer, ports, folder)
}

fn responder(name: &str, uses: &[ExtendedKeyUsagePurpose]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = uses.to_vec();
    params
}

/// A second authority of the same name: only its key tells it from the first.
fn desk(authority: &Authority, stranger: &Authority, served: &(String, String)) -> Desk {
    use ExtendedKeyUsagePurpose::{OcspSigning, ServerAuth};
    let mut lapsed = responder("yesterday's", &[OcspSigning]);
    (lapsed.not_before, lapsed.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let appointed = issue(authority, responder("appointed", &[OcspSigning]));
    let other_use = issue(authority, responder("a web server", &[ServerAuth]));
    let lapsed = issue(authority, lapsed);
    let foreign = issue(stranger, responder("foreign", &[OcspSigning]));
    let other = issue(authority, named("localhost"));
    Desk::new(&[
        ("ca", &authority.pem()),
        ("ca.key", &authority.key().serialize_pem()),
        ("stranger", &stranger.pem()),
        ("stranger.key", &stranger.key().serialize_pem()),
        ("crt", &served.0),
        ("other", &other.0),
        ("appointed", &appointed.0),
        ("appointed.key", &appointed.1),
        ("other_use", &other_use.0),
        ("other_use.key", &other_use.1),
        ("lapsed", &lapsed.0),
        ("lapsed.key", &lapsed.1),
        ("foreign", &foreign.0),
        ("foreign.key", &foreign.1),
    ])
}

#[tokio::test]
async fn only_an_answer_that_the_issuer_stands_for_counts() {
    let (authority, stranger) = (authority(), authority());
    let served = issue(&authority, named("localhost"));
    let desk = desk(&authority, &stranger, &served);
    let good = desk.answer("ca", "crt", "V", None, &[]);
    // The last byte belongs to a certificate that comes with it; the signature stands before that one.
    let bare = desk.answer("ca", "crt", "V", None, &["-ndays", "7", "-resp_no_certs"]);
    let mut forged = bare.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut redated = bare.clone();
    let at = redated.windows(2).rposition(|two| two == b"20").unwrap(); // the end of the last time in it
    redated[at + 2] = b'9';
    let cases = [
        (good, State::Ok, "is valid for"),
        (bare, State::Ok, "is valid for"),
        (desk.answer("ca", "crt", "V", None, &["-ndays", "7", "-resp_key_id"]), State::Ok, "is valid for"),
        // Another digest to name the issuer by.
        (desk.answer("ca", "crt", "V", None, &["-ndays", "7", "-sha256"]), State::Ok, "is valid for"),
        (desk.answer("appointed", "crt", "V", None, &[]), State::Ok, "is valid for"),
        (desk.answer("ca", "crt", "V", None, &["-ndays", "7", "-rmd", "sha384"]), State::Ok, "is valid for"),
        (desk.answer("ca", "crt", "R", None, &[]), State::Critical, "is revoked, says its own staple"),
        (desk.answer("appointed", "crt", "R", None, &[]), State::Critical, "is revoked, says its own staple"),
        (desk.answer("ca", "crt", "", None, &[]), State::Warning, "does not know the certificate"),
        (forged, State::Warning, "carries a signature that is wrong"),
        (redated, State::Warning, "carries a signature that is wrong"),
        // The same name and another key: found by its name, and its signature does not fit.
        (desk.answer("stranger", "crt", "V", None, &[]), State::Warning, "carries a signature that is wrong"),
        (desk.answer("stranger", "crt", "R", None, &[]), State::Warning, "carries a signature that is wrong"),
        (
            desk.answer("stranger", "crt", "V", None, &["-ndays", "7", "-resp_key_id"]),
            State::Warning,
            "whom the certificate's issuer has not appointed",
        ),
        (desk.answer("foreign", "crt", "V", None, &[]), State::Warning, "signed by CN=foreign, whom the"),
        (desk.answer("other_use", "crt", "V", None, &[]), State::Warning, "not made for signing such answers"),
        (
            desk.answer("lapsed", "crt", "V", None, &[]),
            State::Warning,
            "CN=yesterday's, whose certificate is not valid",
        ),
        (
            desk.answer("appointed", "crt", "V", None, &["-ndays", "7", "-resp_no_certs"]),
            State::Warning,
            "is not signed by whoever issued the certificate",
        ),
        (desk.answer("ca", "other", "V", None, &[]), State::Warning, "is about another certificate"),
        (desk.answer("ca", "crt", "V", Some("2026-01-01"), &[]), State::Warning, "is out of date since 2026-01-08"),
        // Without an end it is for at once.
        (desk.answer("ca", "crt", "V", Some("2026-01-01"), &["-no_nonce"]), State::Warning, "out of date since"),
        (desk.answer("ca", "crt", "V", Some("2099-01-01"), &[]), State::Warning, "is not valid before 2099-01-01"),
        (desk.answer("ca", "crt", "R", Some("2026-01-01"), &[]), State::Critical, "is revoked"),
    ];
    let answers: Vec<_> = cases.iter().map(|(answer, ..)| answer.clone()).collect();
    let (_nginx, ports, _folder) = showing(&served.0, &served.1, &answers).await;
    for ((_, state, part), port) in cases.iter().zip(ports) {
        let params = json!({"ca": authority.pem(), "stapled": true});
        let outcome = check("tls", &format!("localhost:{port}"), params, SECONDS_5).await;
        assert_eq!(outcome.state, *state, "{part}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{part}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn who_issued_it_is_found_in_the_chain_or_among_the_authorities_or_missed() {
    let folder = Desk::new(&[]);
    let [ca, key, crt, leaf_key] = ["ca", "ca.key", "crt", "crt.key"].map(|name| folder.place(name));
    // RSA, as most authorities have it.
    let make = |name: &str, key: &str, certificate: &str, issuer: &[&str]| {
        let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", name, "-days", "60"];
        run("openssl", &[&made[..], &["-keyout", key, "-out", certificate], issuer].concat());
    };
    make("/CN=RSA", &key, &ca, &[]);
    make("/CN=localhost", &leaf_key, &crt, &["-CA", &ca, "-CAkey", &key]);
    let answer = folder.answer("ca", "crt", "V", None, &[]);
    let read = |name: &str| std::fs::read_to_string(folder.place(name)).unwrap();
    let chain = format!("{}{}", read("crt"), read("ca"));
    let unseen = KeyPair::generate().unwrap();
    let alone = named("localhost").self_signed(&unseen).unwrap().pem();
    for (shown, params, state, part) in [
        (read("crt"), json!({"verify": false, "ca": read("ca")}), State::Ok, "is valid for"),
        (chain, json!({"verify": false, "ca": alone}), State::Ok, "is valid for"),
        (read("crt"), json!({"verify": false, "ca": alone}), State::Warning, "neither shown nor among the authorities"),
    ] {
        let (_nginx, ports, _folder) = showing(&shown, &read("crt.key"), std::slice::from_ref(&answer)).await;
        let outcome = check("tls", &format!("localhost:{}", ports[0]), params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{part}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{part}: {}", outcome.summary);
    }
}
