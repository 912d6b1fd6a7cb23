//! LDAP against slapd, RADIUS against freeradius and Kerberos against MIT's KDC, each with one user of its own.

use std::time::Duration;

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, is_well, start, until_it_answers, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

const LDIF: &str = "dn: dc=example,dc=test\nobjectClass: dcObject\nobjectClass: organization\no: Example\n\n\
    dn: uid=mia,dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: mia\ncn: Mia\nsn: M\nmail: mia@example.test\n\
    mail: m@example.test\nuserPassword: hunter2\n\n\
    dn: uid=eve,dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: eve\ncn: Eve\nsn: E\n";

async fn slapd() -> (Peer, u16, u16, String) {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let (port, tls_port) = (free_port(), free_port());
    let configuration = "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
        include /etc/ldap/schema/inetorgperson.schema\npidfile {folder}/pid\nargsfile {folder}/args\n\
        modulepath /usr/lib/ldap\nmoduleload back_mdb\nTLSCertificateFile {folder}/crt\nTLSCertificateKeyFile {folder}/key\n\
        database mdb\nsuffix dc=example,dc=test\nrootdn cn=admin,dc=example,dc=test\ndirectory {folder}/data\n\
        access to attrs=userPassword by anonymous auth by * none\naccess to * by * read\n";
    let script = format!(
        "set -e; slapadd -q -f $1/slapd.conf -l $1/ldif\n\
         exec slapd -d 0 -f $1/slapd.conf -h 'ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}'\n"
    );
    let files = [
        ("slapd.conf", configuration.to_owned()),
        ("data/", String::new()),
        ("ldif", LDIF.to_owned()),
        ("crt", certificate),
        ("key", key),
    ];
    let peer = start("/bin/sh", &script, &["{folder}/peer.conf", "{folder}"], &files);
    until_it_listens(&peer, port).await;
    until_it_listens(&peer, tls_port).await;
    (peer, port, tls_port, authority.pem())
}

#[tokio::test]
async fn a_real_directory_lets_in_and_is_searched() {
    let (_slapd, port, tls_port, ca) = slapd().await;
    let (plain, tls) = (format!("localhost:{port}"), format!("localhost:{tls_port}"));
    let mia = |more: Value| {
        let mut params = json!({"user": "uid=mia,dc=example,dc=test", "password": "hunter2", "ca": ca});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let below = "dc=example,dc=test";
    for (target, params, state, part) in [
        (&plain, json!({}), State::Ok, "lets anybody in"),
        (&plain, mia(json!({})), State::Ok, "lets the user \"uid=mia"),
        (&plain, mia(json!({"tls": "starttls"})), State::Ok, "lets the user"),
        (&tls, mia(json!({"tls": "on", "base": below, "filter": "(uid=m*)"})), State::Ok, "finds 1 entries"),
        (&plain, json!({"base": below, "entries": 3}), State::Ok, "finds 3 entries"),
        (&plain, json!({"base": below, "scope": "one", "entries": 3}), State::Critical, "finds 2 entries"),
        (
            &plain,
            json!({"base": below, "filter": "(&(objectClass=inetOrgPerson)(!(uid=eve)))", "attributes": {"mail": "mia@example.test, m@example.test"}}),
            State::Ok,
            "finds 1 entries",
        ),
        (
            &plain,
            json!({"base": below, "filter": "(uid=eve)", "attributes": {"mail": "x"}}),
            State::Critical,
            "mail is not",
        ),
        (&plain, json!({"base": "", "scope": "base", "attributes": {"supportedLDAPVersion": 3}}), State::Ok, "finds 1"),
        (
            &plain,
            json!({"base": "dc=none"}),
            State::Critical,
            "refuses to search below \"dc=none\" (no such object, code 32",
        ),
        (&plain, mia(json!({"password": "letmein"})), State::Critical, "invalid credentials, code 49"),
        (&plain, json!({"tls": "starttls"}), State::Critical, "no authority that is trusted"),
    ] {
        let outcome = check("ldap", target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
    }
}

async fn freeradius() -> (Peer, String) {
    let port = free_port();
    let configuration = format!(
        "prefix = /usr\nlibdir = /usr/lib/freeradius\nlogdir = {{folder}}\nrun_dir = {{folder}}\npidfile = {{folder}}/pid\n\
         security {{\nstatus_server = yes\nreject_delay = 0\n}}\n\
         client here {{\nipaddr = 127.0.0.1\nsecret = shared5ecret\n}}\n\
         modules {{\npap {{\n}}\nfiles {{\nfilename = {{folder}}/users\n}}\n}}\n\
         server default {{\nlisten {{\ntype = auth\nipaddr = 127.0.0.1\nport = {port}\n}}\n\
         authorize {{\nfiles\npap\n}}\nauthenticate {{\nAuth-Type PAP {{\npap\n}}\n}}\n}}\n"
    );
    let files = [
        ("users", "mia Cleartext-Password := \"hunter2\"\n\tReply-Message := \"welcome\"\n".to_owned()),
        ("dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n".to_owned()),
    ];
    let peer =
        start("/usr/sbin/freeradius", &configuration, &["-f", "-l", "stdout", "-d", "{folder}", "-n", "peer"], &files);
    let target = format!("127.0.0.1:{port}");
    until_it_answers(&peer, "radius", &target, &json!({"secret": "shared5ecret"}), is_well).await;
    (peer, target)
}

#[tokio::test]
#[ignore = "needs FreeRADIUS: make test-peers"]
async fn a_real_radius_server_accepts_rejects_and_proves_itself() {
    let (_freeradius, target) = freeradius().await;
    for (params, state, part) in [
        (json!({}), State::Ok, "answers that it is there"),
        (json!({"user": "mia", "password": "hunter2"}), State::Ok, "accepts the user \"mia\" (\"welcome\")"),
        (json!({"user": "mia", "password": "letmein"}), State::Critical, "rejects the user \"mia\""),
        (json!({"user": "mia", "password": "a much longer wrong password than one block"}), State::Critical, "rejects"),
        (json!({"user": "eve", "password": "x", "expect": "reject"}), State::Ok, "rejects the user \"eve\""),
    ] {
        let mut all = params.clone();
        all["secret"] = "shared5ecret".into();
        let outcome = check("radius", &target, all, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("5ecret"), "{}", outcome.summary);
    }
    let silent = check("radius", &target, json!({"secret": "another"}), Duration::from_millis(500)).await;
    assert_eq!(silent.state, State::Critical);
    assert!(silent.summary.contains("silent to a wrong secret"), "{}", silent.summary);
}

#[tokio::test]
async fn an_answer_without_the_secret_is_not_believed() {
    let liar = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = liar.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut asked = [0; 2048];
        let (_, from) = liar.recv_from(&mut asked).await.unwrap();
        // Access-Accept for whoever asks, with a proof of zeros.
        let mut reply = vec![2, asked[1], 0, 20];
        reply.extend_from_slice(&[0; 16]);
        liar.send_to(&reply, from).await.unwrap();
    });
    let params = json!({"secret": "shared5ecret", "user": "mia", "password": "hunter2"});
    let outcome = check("radius", &target, params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("a proof that does not fit"), "{}", outcome.summary);
}

#[tokio::test]
#[ignore = "needs a Kerberos KDC: make test-peers"]
async fn a_real_key_server_serves_its_realm_and_no_other() {
    let port = free_port();
    let realm = "EXAMPLE.TEST";
    let kdc = format!(
        "[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n{realm} = {{\n\
         database_name = {{folder}}/db\nkey_stash_file = {{folder}}/stash\n}}\n[logging]\nkdc = STDERR\n"
    );
    let client = format!("[libdefaults]\ndefault_realm = {realm}\ndns_lookup_kdc = false\n");
    let script = format!(
        "set -e; export KRB5_CONFIG=$1/krb5.conf KRB5_KDC_PROFILE=$1/kdc.conf\n\
         /usr/sbin/kdb5_util create -s -W -r {realm} -P master >/dev/null\n\
         /usr/sbin/kadmin.local -r {realm} -q 'addprinc +requires_preauth -pw hunter2 mia' >/dev/null\n\
         exec /usr/sbin/krb5kdc -n -r {realm}\n"
    );
    let files = [("kdc.conf", kdc), ("krb5.conf", client)];
    let peer = start("/bin/sh", &script, &["{folder}/peer.conf", "{folder}"], &files);
    until_it_listens(&peer, port).await;
    let target = format!("127.0.0.1:{port}");
    for (params, state, part) in [
        (json!({"realm": realm}), State::Ok, "answers as a key server"),
        (json!({"realm": realm, "principal": "mia"}), State::Ok, "knows mia"),
        (json!({"realm": realm, "principal": "eve"}), State::Critical, "does not know the principal, code 6"),
        (
            json!({"realm": "ELSEWHERE.TEST", "principal": "mia"}),
            State::Critical,
            "refuses to answer for ELSEWHERE.TEST",
        ),
    ] {
        let outcome = check("kerberos", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        if state == State::Ok {
            assert!(outcome.reading("kerberos_clock_offset_seconds").unwrap().abs() < 3.0, "{:?}", outcome.readings);
        }
    }
}
