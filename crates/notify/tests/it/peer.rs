//! Peers of this process: a mail server and a web server that say what a test wants, over real sockets and real TLS.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify::{Channel, Egress, Page, Resolve, Secret, Security, Smtp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub const NOW_MS: i64 = 1_763_718_000_000;

pub fn page() -> Page {
    Page {
        id: "0192f5c2-7a10-7000-8000-000000000001".into(),
        to: "oncall@example.org".into(),
        subject: "Störung: nginx is down on web-1".into(),
        text: "The check http failed.\n.\nQUIT\n".into(),
        html: None,
        data: json!({"page_id": "0192f5c2", "record": {"key": "INC-7"}}),
        links: vec![],
    }
}

/// A network that trusts the test's certificate, with a clock that stands and short deadlines.
pub fn net(trusted: &[CertificateDer<'static>]) -> Egress {
    let mut net = Egress::allowing(vec![]).with_clock(Arc::new(|| NOW_MS)).trusting(trusted);
    net.allow_loopback_private = true;
    net.send_timeout = Duration::from_secs(20);
    net
}

/// The same, changed.
pub fn net_with(trusted: &[CertificateDer<'static>], change: impl FnOnce(&mut Egress)) -> Egress {
    let mut net = net(trusted);
    change(&mut net);
    net
}

/// A name server of the test's own, which counts its answers.
#[derive(Default)]
pub struct Names {
    pub answers: Mutex<Vec<Vec<SocketAddr>>>,
    pub asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Resolve for Names {
    async fn resolve(&self, _: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        let turn = self.asked.fetch_add(1, SeqCst);
        let answers = self.answers.lock().expect("no test panics while it holds this");
        Ok(answers[turn.min(answers.len() - 1)].clone())
    }
}

/// A certificate for `localhost` and its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub certificate_pem: String,
    pub key_pem: String,
    pub acceptor: TlsAcceptor,
}

pub fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a server's configuration");
    let (certificate_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
    Identity { certificate, certificate_pem, key_pem, acceptor: TlsAcceptor::from(Arc::new(config)) }
}

/// What a peer heard, a text a connection.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("no test panics while it holds this").clone()
    }

    fn begin(&self) -> usize {
        let mut all = self.0.lock().expect("no test panics while it holds this");
        all.push(String::new());
        all.len() - 1
    }

    fn add(&self, turn: usize, text: &str) {
        self.0.lock().expect("no test panics while it holds this")[turn].push_str(text);
    }
}

/// How the mail server behaves.
#[derive(Clone, Default)]
pub struct Manners {
    /// Replies to commands by their first word, instead of the good one. `DROP` closes, `HANG` says nothing more.
    pub replies: Vec<(&'static str, &'static str)>,
    /// Said in the clear right after the reply to STARTTLS.
    pub injected: &'static str,
    /// TLS before the greeting, and STARTTLS.
    pub wrapped: Option<TlsAcceptor>,
    pub upgrade: Option<TlsAcceptor>,
}

/// A mail server by RFC 5321 that takes everything it is not told to refuse.
pub async fn mail_server(manners: Manners) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = Heard::default();
    let told = heard.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (manners, told) = (manners.clone(), told.clone());
            tokio::spawn(async move {
                let turn = told.begin();
                let stream = BufReader::new(tcp);
                match manners.wrapped.clone() {
                    None => {
                        if let Some(rest) = dialogue(stream, &manners, &told, turn, true).await
                            && let Some(acceptor) = &manners.upgrade
                            && let Ok(tls) = acceptor.accept(rest).await
                        {
                            let inside = Manners { upgrade: None, ..manners.clone() };
                            dialogue(BufReader::new(tls), &inside, &told, turn, false).await;
                        }
                    }
                    Some(acceptor) => {
                        if let Ok(tls) = acceptor.accept(stream).await {
                            dialogue(BufReader::new(tls), &manners, &told, turn, true).await;
                        }
                    }
                }
            });
        }
    });
    (address, heard)
}

/// One dialogue; gives the stream back when TLS is to begin.
async fn dialogue<S>(
    mut stream: BufReader<S>,
    manners: &Manners,
    heard: &Heard,
    turn: usize,
    greet: bool,
) -> Option<BufReader<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let reply = |word: &str, good: &str| {
        let told = manners.replies.iter().find(|(w, _)| *w == word).map(|(_, r)| (*r).to_owned());
        told.unwrap_or_else(|| good.to_owned())
    };
    if greet && !say(&mut stream, &reply("GREETING", "220 sink ESMTP")).await {
        return None;
    }
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        heard.add(turn, &line);
        let word = line.split([' ', '\r', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let good = match word.as_str() {
            "EHLO" if manners.upgrade.is_some() => "250-sink\r\n250-8BITMIME\r\n250 STARTTLS",
            "EHLO" => "250-sink\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
            "STARTTLS" => "220 go on",
            "AUTH" => "235 welcome",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let answer = reply(&word, good);
        if word == "STARTTLS" {
            let both = format!("{answer}\r\n{}", manners.injected);
            stream.write_all(both.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            return Some(stream);
        }
        if !say(&mut stream, &answer).await {
            return None;
        }
        if word == "DATA" && answer.starts_with("354") {
            loop {
                line.clear();
                stream.read_line(&mut line).await.ok()?;
                heard.add(turn, &line);
                if line == ".\r\n" {
                    break;
                }
            }
            if !say(&mut stream, &reply("BODY", "250 2.0.0 queued as 4711")).await {
                return None;
            }
        }
    }
}

async fn say<S: AsyncWrite + AsyncRead + Unpin>(stream: &mut BufReader<S>, answer: &str) -> bool {
    match answer {
        "DROP" => false,
        "HANG" => {
            // Until the client gives up.
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
            false
        }
        "FLOOD" => {
            let line = "250-never ending words of a server\r\n".repeat(100);
            while stream.write_all(line.as_bytes()).await.is_ok() {}
            false
        }
        _ => stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_ok() && stream.flush().await.is_ok(),
    }
}

/// A web server that answers every request with the same bytes; `DROP` and `HANG` as above.
pub async fn web_server(at: &str, answer: String, tls: Option<TlsAcceptor>) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind(at).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = Heard::default();
    let told = heard.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (answer, told, tls) = (answer.clone(), told.clone(), tls.clone());
            tokio::spawn(async move {
                let turn = told.begin();
                match tls {
                    None => request(BufReader::new(tcp), &answer, &told, turn).await,
                    Some(acceptor) => {
                        let tls = acceptor.accept(tcp).await.ok()?;
                        request(BufReader::new(tls), &answer, &told, turn).await
                    }
                }
            });
        }
    });
    (address, heard)
}

async fn request<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    answer: &str,
    heard: &Heard,
    turn: usize,
) -> Option<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
        heard.add(turn, &line);
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    heard.add(turn, &String::from_utf8_lossy(&body));
    say(&mut stream, answer.trim_end_matches("\r\n")).await;
    stream.write_all(b"\r\n").await.ok()?;
    stream.shutdown().await.ok()
}

pub fn smtp(address: SocketAddr, security: Security) -> Channel {
    let (host, port) = ("localhost".to_owned(), address.port());
    Channel::Smtp(Smtp { host, port, security, user: None, password: None, from: "Mainstay <ops@example.org>".into() })
}

pub fn webhook(settings: &Value, secret: Option<&str>) -> Channel {
    match Channel::from_parts("webhook", settings, secret.map(Secret::new)) {
        Ok(channel) => channel,
        Err(error) => panic!("{error}"),
    }
}
