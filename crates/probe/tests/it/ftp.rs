//! FTP against proftpd with one user of its own.

use probe::State;
use serde_json::{Value, json};

use crate::peers::{free_port, start, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

/// `hunter2`, salted.
const HASH: &str = "$6$testsalt$ehrqOiQRn2f7nCvA/LgwTY1odMW9hjQ/GS8KC7ztGNzzC8hmzy8/g/pV7Ryg5gmQx7Wa1u13rOGLJIS5QQGcQ/";

#[tokio::test]
async fn a_real_file_server_greets_encrypts_lets_in_and_tells_of_files() {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let ca = authority.pem();
    let port = free_port();
    let configuration = format!(
        "LoadModule mod_tls.c\nServerType standalone\nServerName \"files\"\nDefaultAddress 127.0.0.1\nUseIPv6 off\nPort {port}\n\
         User nobody\nGroup nogroup\nAuthUserFile {{folder}}/passwd\nAuthOrder mod_auth_file.c\nRequireValidShell off\n\
         PidFile {{folder}}/pid\nScoreboardFile {{folder}}/score\nDelayEngine off\nWtmpLog off\nTransferLog none\n\
         UseReverseDNS off\nMaxLoginAttempts 1\nTLSEngine on\nTLSRequired off\nTLSECCertificateFile {{folder}}/crt\n\
         TLSECCertificateKeyFile {{folder}}/key\n"
    );
    let files = [
        ("crt", certificate),
        ("key", key),
        ("passwd", format!("mia:{HASH}:65534:65534::{{folder}}/home:/bin/false\n")),
        ("home/", String::new()),
        ("home/backup.tar", "x".repeat(1204)),
    ];
    let peer = start("/usr/sbin/proftpd", &configuration, &["-n", "-q", "-c", "{folder}/peer.conf"], &files);
    until_it_listens(&peer, port).await;
    let target = format!("localhost:{port}");
    let mia = |more: Value| {
        let mut params = json!({"user": "mia", "password": "hunter2", "ca": ca});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    for (params, state, part) in [
        (json!({}), State::Ok, "greets with \"220 "),
        (json!({"tls": "starttls", "ca": ca}), State::Ok, "greets with"),
        (mia(json!({})), State::Ok, "lets the user \"mia\" in"),
        (
            mia(json!({"tls": "starttls", "file": "backup.tar", "warn_age": "1h"})),
            State::Ok,
            "has backup.tar, 1204 bytes",
        ),
        (mia(json!({"file": "backup.tar", "critical_age": "0s"})), State::Critical, "has backup.tar, 1204 bytes"),
        (mia(json!({"file": "none.tar"})), State::Critical, "refuses the size of none.tar (\"550"),
        (mia(json!({"password": "letmein"})), State::Critical, "refuses the user \"mia\" (\"530"),
        (json!({"tls": "starttls"}), State::Critical, "no authority that is trusted"),
    ] {
        let outcome = check("ftp", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
    }
}
