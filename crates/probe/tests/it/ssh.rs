//! SSH against a real sshd with host keys made for the test.

use std::path::Path;

use probe::State;
use serde_json::json;

use crate::peers::{free_port, run, start, until_it_listens};
use crate::{SECONDS_5, check};

/// A new host key in that folder; gives its fingerprint, as ssh-keygen itself says it.
pub fn host_key(folder: &Path, kind: &str) -> String {
    let file = folder.join(kind);
    let file = file.to_str().unwrap();
    run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", file]);
    print_of(&folder.join(format!("{kind}.pub")))
}

/// The fingerprint of a public key, as ssh-keygen itself says it.
pub fn print_of(file: &Path) -> String {
    let said = run("ssh-keygen", &["-lf", file.to_str().unwrap()]);
    said.split(' ').find(|word| word.starts_with("SHA256:")).unwrap().to_owned()
}

#[tokio::test]
async fn a_real_sshd_proves_each_kind_of_host_key() {
    let keys = tempfile::tempdir().unwrap();
    let prints = ["ed25519", "ecdsa", "rsa"].map(|kind| (kind, host_key(keys.path(), kind)));
    let port = free_port();
    let place = keys.path().display();
    let configuration = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/ed25519\nHostKey {place}/ecdsa\nHostKey {place}/rsa\n\
         PidFile none\nUsePAM no\n"
    );
    std::fs::create_dir_all("/run/sshd").unwrap(); // Where sshd locks its unprivileged half in; Debian's unit makes it.
    let peer = start("/usr/sbin/sshd", &configuration, &["-D", "-e", "-f", "{folder}/peer.conf"], &[]);
    until_it_listens(&peer, port).await;
    let target = format!("127.0.0.1:{port}");
    for (kind, print) in &prints {
        let params = json!({"key_type": kind, "fingerprint": [print], "identification": "OpenSSH"});
        let outcome = check("ssh", &target, params, SECONDS_5).await;
        assert_eq!(outcome.state, State::Ok, "{kind}: {}", outcome.summary);
        assert!(outcome.summary.contains(print.as_str()), "{kind}: {}", outcome.summary);
    }
    for (params, state, part) in [
        (json!({}), State::Ok, "(ssh-ed25519)"),
        (json!({"warn_weak": true}), State::Ok, "OpenSSH"),
        (json!({"fingerprint": prints[2].1}), State::Critical, "another host key than expected"),
        (json!({"identification": "dropbear"}), State::Critical, "does not match dropbear"),
    ] {
        let outcome = check("ssh", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn weak_algorithms_and_other_key_exchanges_are_met() {
    let keys = tempfile::tempdir().unwrap();
    let print = host_key(keys.path(), "rsa");
    let port = free_port();
    let configuration = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}/rsa\nPidFile none\nUsePAM no\nHostKeyAlgorithms ssh-rsa\n\
         KexAlgorithms diffie-hellman-group14-sha1\nCiphers aes128-cbc,aes128-ctr\nMACs hmac-md5,hmac-sha2-256\n",
        keys.path().display()
    );
    let peer = start("/usr/sbin/sshd", &configuration, &["-D", "-e", "-f", "{folder}/peer.conf"], &[]);
    until_it_listens(&peer, port).await;
    let target = format!("127.0.0.1:{port}");
    // As old devices are: nothing of it is good, and yet they must be watched.
    let outcome = check("ssh", &target, json!({"fingerprint": print}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    let outcome = check("ssh", &target, json!({"warn_weak": true}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Warning, "{}", outcome.summary);
    let weak = "diffie-hellman-group14-sha1, ssh-rsa, aes128-cbc, hmac-md5";
    assert!(outcome.summary.contains(weak), "{}", outcome.summary);
    let outcome = check("ssh", &target, json!({"key_type": "ed25519"}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("no host key of a type that is wanted"), "{}", outcome.summary);
}
