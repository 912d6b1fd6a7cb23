//! A small web server that answers as a test says, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What was asked: the head in lower-case names, and the body.
#[derive(Clone)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn path(&self) -> &str {
        self.head.split_whitespace().nth(1).unwrap_or_default()
    }
}

/// What to answer.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Go on sending the body again and again, for ever.
    endless: bool,
    /// Say nothing at all.
    silent: bool,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), endless: false, silent: false }
    }

    pub fn page(text: impl Into<Vec<u8>>) -> Self {
        Self { body: text.into(), ..Self::status(200) }.header("content-type", "text/plain; version=0.0.4")
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    pub fn silent() -> Self {
        Self { silent: true, ..Self::status(200) }
    }
}

type Seen = Arc<Mutex<Vec<Request>>>;

/// The server; it ends when it is dropped.
pub struct Web {
    pub address: String,
    seen: Seen,
    _tasks: JoinSet<()>,
}

impl Web {
    pub async fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    /// The same over TLS, with that certificate and key in DER.
    pub async fn start_tls(
        identity: (Vec<u8>, Vec<u8>),
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls_pki_types::PrivateKeyDer::try_from(identity.1).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.0.into()], key)
            .unwrap();
        Self::start_with(Some(tokio_rustls::TlsAcceptor::from(Arc::new(config))), answer).await
    }

    async fn start_with(
        tls: Option<tokio_rustls::TlsAcceptor>,
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (seen, answer): (Seen, _) = (Seen::default(), Arc::new(answer));
        let mut tasks = JoinSet::new();
        let kept = seen.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer, tls) = (kept.clone(), answer.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, seen, &*answer).await,
                        Some(tls) => serve(tls.accept(stream).await.ok()?, seen, &*answer).await,
                    }
                });
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    seen: Seen,
    answer: &(dyn Fn(&Request, usize) -> Answer + Send + Sync),
) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .unwrap_or(0);
        while bytes.len() < end + length {
            stream.read_buf(&mut bytes).await.ok()?;
        }
        let request = Request { head, body: bytes[end..end + length].to_vec() };
        bytes.drain(..end + length);
        let nth = {
            let mut all = seen.lock().unwrap();
            all.push(request.clone());
            all.len() - 1
        };
        let answer = answer(&request, nth);
        if answer.silent {
            std::future::pending::<()>().await;
        }
        let mut head = format!("HTTP/1.1 {} x\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !answer.endless {
            head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&answer.body).await.ok()?;
        if answer.endless {
            loop {
                stream.write_all(&answer.body).await.ok()?;
            }
        }
    }
}
