//! A receiver of webhooks that believes nothing but a signature: it checks time stamp and HMAC of every request.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::http::{read_headers, read_line};
use crate::world::{self, Watch};

/// A request that was accepted.
#[derive(Clone)]
pub struct Call {
    /// The same for every attempt of one page.
    pub idempotency_key: String,
    /// Whether time stamp and signature were right; `None` when it was not signed.
    pub signed: Option<bool>,
    /// The body.
    pub body: Value,
    /// Started when it was accepted.
    pub accepted: Watch,
}

/// The receiver.
pub struct Receiver {
    /// Where it listens.
    pub port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    /// Opens one that knows `secret`; it listens until the test's process ends.
    pub fn open(secret: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let (kept, secret) = (calls.clone(), secret.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, secret) = (kept.clone(), secret.clone());
                // A client that breaks off has handed nothing over; that is all there is to know about it.
                std::thread::spawn(move || drop(take(stream, &secret, &kept)));
            }
        });
        Self { port, calls }
    }

    /// `host:port`.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All that was accepted so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("nobody panics with it").clone()
    }
}

fn take(stream: TcpStream, secret: &str, kept: &Mutex<Vec<Call>>) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    read_line(&mut reader)?;
    let headers = read_headers(&mut reader)?;
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let signature = header("mainstay-signature");
    let signed =
        signature.map(|given| is_right(secret, header("mainstay-timestamp").unwrap_or_default(), &body, given));
    let status = if signed == Some(false) { "401 Unauthorized" } else { "202 Accepted" };
    let call = Call {
        idempotency_key: header("idempotency-key").unwrap_or_default().to_owned(),
        signed,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        accepted: Watch::start(),
    };
    kept.lock().expect("nobody panics with it").push(call);
    writer.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
}

/// `v1=` and the HMAC-SHA256 over "timestamp.body", of a moment that is not five minutes away.
fn is_right(secret: &str, timestamp: &str, body: &[u8], given: &str) -> bool {
    let fresh = timestamp.parse::<u64>().is_ok_and(|at| at.abs_diff(world::unix_seconds()) < 300);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let mine = hex(&mac.finalize().into_bytes());
    fresh && given.split(',').any(|part| part.trim().strip_prefix("v1=") == Some(mine.as_str()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
