//! Mail through a real mail server, Debian's exim4-daemon-light, started here on free ports and ended by its handle.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use notify::{Channel, Secret, Security, SendError, Smtp, send};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::peer::{identity, net, page};

const PROGRAM: &str = "/usr/sbin/exim4";

struct Exim {
    child: Child,
    dir: tempfile::TempDir,
    starttls: u16,
    tls: u16,
    certificate: CertificateDer<'static>,
}

impl Drop for Exim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn open_folder(path: &Path) {
    fs::create_dir_all(path).expect("a folder");
    fs::set_permissions(path, Permissions::from_mode(0o777)).expect("a folder that the server's user may write to");
}

/// Who delivers into the mailbox: exim's own user where we are root, else whoever runs the test.
fn delivers_as() -> String {
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if is_root { "user = Debian-exim\n".into() } else { String::new() }
}

fn start() -> Exim {
    assert!(Path::new(PROGRAM).exists(), "exim4-daemon-light is not installed: run `make test-deps`");
    let dir = tempfile::tempdir().expect("a folder");
    open_folder(dir.path());
    for sub in ["spool", "log", "box"] {
        open_folder(&dir.path().join(sub));
    }
    let id = identity();
    let (starttls, tls) = (free_port(), free_port());
    let root = dir.path().display();
    fs::write(dir.path().join("cert.pem"), &id.certificate_pem).expect("a file");
    fs::write(dir.path().join("key.pem"), &id.key_pem).expect("a file");
    let config = format!(
        "primary_hostname = mx.example.org\nspool_directory = {root}/spool\nlog_file_path = {root}/log/%slog\npid_file_path = {root}/spool/pid\n\
         daemon_smtp_ports = {starttls} : {tls}\ntls_on_connect_ports = {tls}\nlocal_interfaces = 127.0.0.1\nkeep_environment =\n\
         tls_advertise_hosts = *\ntls_certificate = {root}/cert.pem\ntls_privatekey = {root}/key.pem\n\
         auth_advertise_hosts = ${{if def:tls_in_cipher {{*}}{{}}}}\nacl_smtp_rcpt = rcpt\n\
         begin acl\nrcpt:\n  deny ! authenticated = *\n       message = sign in first\n\
         \x20 defer local_parts = busy\n       message = come back later\n  accept domains = example.org\n  deny message = relay not permitted\n\
         begin routers\nkeep:\n  driver = accept\n  transport = file\n\
         begin transports\nfile:\n  driver = appendfile\n  directory = {root}/box\n  maildir_format\n  {}\
         begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n\
         \x20 server_condition = ${{if and{{{{eq{{$auth2}}{{ops}}}}{{eq{{$auth3}}{{s3cret}}}}}}}}\n  server_set_id = $auth2\n",
        delivers_as()
    );
    let path = dir.path().join("exim.conf");
    fs::write(&path, config).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a file that only its owner may write");
    #[expect(clippy::disallowed_methods, reason = "the test's own peer, ended by its handle")]
    let mut child = Command::new(PROGRAM)
        .arg("-C")
        .arg(&path)
        .args(["-bdf", "-odf"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("exim starts");
    wait_until_ready(&mut child, starttls);
    Exim { child, dir, starttls, tls, certificate: id.certificate }
}

/// Connects until it is greeted: a refused connection returns at once, so this is not a busy second.
fn wait_until_ready(child: &mut Child, port: u16) {
    for _ in 0..20_000 {
        #[expect(clippy::disallowed_methods, reason = "the test asks its own peer on loopback")]
        if let Ok(stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
            let mut greeting = String::new();
            BufReader::new(stream).read_line(&mut greeting).expect("a greeting");
            assert!(greeting.starts_with("220 mx.example.org"), "{greeting}");
            return;
        }
        if let Some(status) = child.try_wait().expect("a child") {
            let said: Vec<String> = child
                .stderr
                .take()
                .map(|e| BufReader::new(e).lines().map_while(Result::ok).collect())
                .unwrap_or_default();
            panic!("exim ended with {status}: {said:?}");
        }
        std::thread::yield_now();
    }
    panic!("exim did not begin to listen");
}

impl Exim {
    fn channel(&self, security: Security, password: &str) -> Channel {
        let port = if security == Security::Tls { self.tls } else { self.starttls };
        let password = Some(Secret::new(password));
        Channel::Smtp(Smtp {
            host: "localhost".into(),
            port,
            security,
            user: Some("ops".into()),
            password,
            from: "Mainstay <ops@example.org>".into(),
        })
    }

    fn delivered(&self) -> Vec<PathBuf> {
        let new = self.dir.path().join("box/new");
        let found = fs::read_dir(new).map(|entries| entries.map_while(Result::ok).map(|e| e.path()).collect());
        found.unwrap_or_default()
    }
}

#[tokio::test]
async fn a_page_goes_through_a_real_mail_server_into_a_mailbox() {
    let exim = start();
    let trusting = net(std::slice::from_ref(&exim.certificate));
    for security in [Security::StartTls, Security::Tls] {
        let receipt = send(&trusting, &exim.channel(security, "s3cret"), &page()).await.unwrap();
        assert!(receipt.reference.starts_with("250 OK id="), "{}", receipt.reference);
    }
    // The server answers when the mail is in its spool; a moment later it is in the box.
    let arrived = async {
        while exim.delivered().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    let log = || fs::read_to_string(exim.dir.path().join("log/mainlog")).unwrap_or_default();
    tokio::time::timeout(Duration::from_secs(20), arrived).await.unwrap_or_else(|_| panic!("not delivered: {}", log()));
    let mails = exim.delivered();
    let mail = String::from_utf8(fs::read(&mails[0]).unwrap()).unwrap();
    assert!(mail.contains("with esmtpsa"), "it came signed in and over TLS: {mail}");
    assert!(mail.contains("Message-ID: <page-0192f5c2-7a10-7000-8000-000000000001@example.org>"), "{mail}");
    assert!(mail.contains("\n.\n") && mail.contains("QUIT"), "the text is whole: {mail}");

    let refused = send(&trusting, &exim.channel(Security::StartTls, "wrong"), &page()).await;
    let Err(SendError::Refused { why }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("535"), "{why}");
    let mut elsewhere = page();
    elsewhere.to = "somebody@example.com".into();
    let refused = send(&trusting, &exim.channel(Security::Tls, "s3cret"), &elsewhere).await;
    assert!(matches!(&refused, Err(SendError::Refused { why }) if why.contains("relay not permitted")), "{refused:?}");
    let mut busy = page();
    busy.to = "busy@example.org".into();
    let later = send(&trusting, &exim.channel(Security::Tls, "s3cret"), &busy).await;
    assert!(matches!(&later, Err(SendError::Retry { why, .. }) if why.contains("come back later")), "{later:?}");
}
