//! SMTP against exim, IMAP and POP3 against dovecot, each in the clear, with STARTTLS and with TLS from the first byte.

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, start, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

/// What every peer here gets: a certificate for localhost.
fn identity() -> (String, Vec<(&'static str, String)>) {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    (authority.pem(), vec![("crt", certificate), ("key.pem", key)])
}

/// Takes mail for example.test, after signing in as mia (hunter2) when it is for somebody else.
async fn exim() -> (Peer, u16, u16, String) {
    let (ca, mut files) = identity();
    files.extend(["spool/", "logs/", "box/"].map(|name| (name, String::new())));
    let (port, tls_port) = (free_port(), free_port());
    let configuration = format!(
        "primary_hostname = mail.example.test\nspool_directory = {{folder}}/spool\nlog_file_path = {{folder}}/logs/%slog\n\
         pid_file_path = {{folder}}/spool/pid\ndaemon_smtp_ports = {port} : {tls_port}\ntls_on_connect_ports = {tls_port}\n\
         local_interfaces = 127.0.0.1\nkeep_environment =\ntls_advertise_hosts = *\ntls_certificate = {{folder}}/crt\n\
         tls_privatekey = {{folder}}/key.pem\nauth_advertise_hosts = *\nacl_smtp_rcpt = rcpt\n\
         begin acl\nrcpt:\n  defer local_parts = busy\n       message = come back later\n  accept domains = example.test\n\
         \x20 accept authenticated = *\n  deny message = relay not permitted\n\
         begin routers\nkeep:\n  driver = accept\n  transport = file\n\
         begin transports\nfile:\n  driver = appendfile\n  directory = {{folder}}/box\n  maildir_format\n  user = Debian-exim\n\
         begin authenticators\nlogin:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = Username:: : Password::\n\
         \x20 server_condition = ${{if and{{{{eq{{$auth1}}{{mia}}}}{{eq{{$auth2}}{{hunter2}}}}}}}}\n  server_set_id = $auth1\n\
         plain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n\
         \x20 server_advertise_condition = $tls_in_cipher\n\
         \x20 server_condition = ${{if and{{{{eq{{$auth2}}{{mia}}}}{{eq{{$auth3}}{{hunter2}}}}}}}}\n  server_set_id = $auth2\n"
    );
    let peer = start("/usr/sbin/exim4", &configuration, &["-C", "{folder}/peer.conf", "-bdf", "-odf"], &files);
    until_it_listens(&peer, port).await;
    (peer, port, tls_port, ca)
}

async fn hold(protocol: &str, rows: Vec<(String, Value, State, &str)>) {
    for (target, params, state, part) in rows {
        let outcome = check(protocol, &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{protocol} {target} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{protocol} {params}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
        let tls = params["tls"].as_str().is_some_and(|tls| tls != "off") && state == State::Ok;
        let days = outcome.reading(&format!("{protocol}_certificate_left_days"));
        assert_eq!(days.is_some_and(|days| days > 1.0), tls, "{params}: {:?}", outcome.readings);
    }
}

#[tokio::test]
async fn a_real_mail_server_greets_encrypts_lets_in_and_takes_mail() {
    let (exim, port, tls_port, ca) = exim().await;
    let (plain, tls) = (format!("localhost:{port}"), format!("localhost:{tls_port}"));
    let mia = |more: Value| {
        let mut params = json!({"user": "mia", "password": "hunter2", "ca": ca});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let to = "somebody@elsewhere.test";
    hold(
        "smtp",
        vec![
            (plain.clone(), json!({}), State::Ok, "greets with \"220 mail.example.test ESMTP Exim"),
            (plain.clone(), json!({"tls": "starttls", "ca": ca}), State::Ok, "greets with"),
            (tls.clone(), json!({"tls": "on", "ca": ca}), State::Ok, "greets with"),
            (plain.clone(), json!({"tls": "starttls"}), State::Critical, "no authority that is trusted"),
            (plain.clone(), mia(json!({})), State::Ok, "lets the user in"), // AUTH LOGIN
            (plain.clone(), mia(json!({"tls": "starttls"})), State::Ok, "lets the user in"), // AUTH PLAIN
            (tls, mia(json!({"tls": "on", "recipient": to})), State::Ok, "accepts mail for somebody@elsewhere.test"),
            (plain.clone(), mia(json!({"password": "letmein"})), State::Critical, "refuses the user \"mia\" (\"535"),
            (plain.clone(), json!({"recipient": to}), State::Critical, "refuses the recipient (\"550 relay not"),
            (plain.clone(), json!({"recipient": "busy@example.test"}), State::Critical, "(\"451 come back later"),
            (plain, json!({"recipient": "ops@example.test", "send_mail": true}), State::Ok, "took a mail for ops@"),
        ],
    )
    .await;
    let arrived = exim.folder().join("box/new");
    let deadline = tokio::time::timeout(SECONDS_5, async {
        loop {
            let mail = std::fs::read_dir(&arrived).ok().and_then(|mut mails| mails.next());
            if let Some(Ok(mail)) = mail {
                return std::fs::read_to_string(mail.path()).unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // polls: the mail is in the box
        }
    });
    let mail = deadline.await.expect("the test mail arrives");
    assert!(mail.contains("Subject: Test mail of a Mainstay check"), "{mail}");
    assert!(mail.contains("Auto-Submitted: auto-generated"), "{mail}");
}

/// Mailboxes of IMAP and POP3 with one message, for every user whose password is hunter2; ports plain and TLS of each.
async fn dovecot() -> (Peer, [u16; 4], String) {
    let (ca, mut files) = identity();
    files.extend(["box/", "box/cur/", "box/new/", "box/tmp/"].map(|name| (name, String::new())));
    files.push(("box/new/1.mail", "From: a@example.test\r\nSubject: hello\r\n\r\nhello\r\n".to_owned()));
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let [imap, imaps, pop3, pop3s] = ports;
    let configuration = format!(
        "base_dir = {{folder}}/run\nprotocols = imap pop3\nlog_path = {{folder}}/log\nlisten = 127.0.0.1\nssl = yes\n\
         ssl_cert = <{{folder}}/crt\nssl_key = <{{folder}}/key.pem\nmail_location = maildir:{{folder}}/box\n\
         first_valid_uid = 8\ndisable_plaintext_auth = no\nauth_failure_delay = 0\n\
         passdb {{\n driver = static\n args = password=hunter2\n}}\n\
         userdb {{\n driver = static\n args = uid=8 gid=8 home={{folder}}/box\n}}\n\
         service imap-login {{\n inet_listener imap {{\n port = {imap}\n }}\n inet_listener imaps {{\n port = {imaps}\n }}\n}}\n\
         service pop3-login {{\n inet_listener pop3 {{\n port = {pop3}\n }}\n inet_listener pop3s {{\n port = {pop3s}\n }}\n}}\n"
    );
    let peer = start("/usr/sbin/dovecot", &configuration, &["-F", "-c", "{folder}/peer.conf"], &files);
    for port in ports {
        until_it_listens(&peer, port).await;
    }
    (peer, ports, ca)
}

#[tokio::test]
async fn a_real_mailbox_server_is_spoken_to_in_both_its_languages() {
    let (_dovecot, [imap, imaps, pop3, pop3s], ca) = dovecot().await;
    let at = |port: u16| format!("localhost:{port}");
    let mia = |more: Value| {
        let mut params = json!({"user": "mia", "password": "hunter2", "ca": ca});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    hold(
        "imap",
        vec![
            (at(imap), json!({}), State::Ok, "greets with \"OK [CAPABILITY IMAP4rev1"),
            (at(imap), mia(json!({"tls": "starttls"})), State::Ok, "lets the user in"),
            (
                at(imaps),
                mia(json!({"tls": "on", "mailbox": "INBOX"})),
                State::Ok,
                "1 messages in INBOX, 1 of them unseen",
            ),
            (at(imap), mia(json!({"mailbox": "INBOX", "warn_messages": 1})), State::Warning, "1 messages in INBOX"),
            (
                at(imap),
                mia(json!({"mailbox": "Nowhere"})),
                State::Critical,
                "refuses to tell of the mailbox \"Nowhere\"",
            ),
            (at(imap), mia(json!({"password": "letmein"})), State::Critical, "refuses the user \"mia\""),
            (at(imap), json!({"tls": "starttls"}), State::Critical, "no authority that is trusted"),
            (at(pop3), json!({}), State::Critical, "does not speak IMAP: it said \"+OK"),
        ],
    )
    .await;
    hold(
        "pop3",
        vec![
            (at(pop3), json!({}), State::Ok, "greets with \"Dovecot"),
            (at(pop3), mia(json!({"tls": "starttls"})), State::Ok, "1 messages in the mailbox"),
            (at(pop3s), mia(json!({"tls": "on"})), State::Ok, "1 messages in the mailbox"),
            (at(pop3), mia(json!({"critical_messages": 1})), State::Critical, "1 messages in the mailbox"),
            (at(pop3), mia(json!({"password": "letmein"})), State::Critical, "refuses the user \"mia\""),
            (at(imap), json!({}), State::Critical, "does not speak POP3: it said \"* OK"),
        ],
    )
    .await;
}
