//! Rehearse: what a check would send, without sending it. The check itself runs, in a world that writes down what it is asked
//! for and answers nothing, so what is told is what would be done, up to the first answer that it would wait for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::env::{Clock, Env, Failure, Host, Net, Ran, RawProcess, Space, Stream};
use crate::outcome::hex;
use crate::registry::Prepared;

/// Stands for an address that would have to be looked up (RFC 5737).
const SOMEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A check that waits for an answer has told all that it can.
const PATIENCE: Duration = Duration::from_millis(200);
const MAX_LINES: usize = 50;

/// What the check would do until the first answer, a sentence each; secrets are veiled.
pub async fn rehearse(prepared: &Prepared) -> Vec<String> {
    let notes = Notes::default();
    let clock: Arc<dyn Clock> = Env::real().clock;
    let stage = Env::new(Arc::new(Stage(notes.clone())), Arc::new(Stage(notes.clone())), clock);
    let outcome = tokio::time::timeout(PATIENCE, prepared.run(&stage)).await;
    let mut lines = std::mem::take(&mut *notes.0.lock().unwrap_or_else(PoisonError::into_inner));
    if let (Ok(outcome), true) = (outcome, lines.is_empty()) {
        lines.push(format!("send nothing: {}", outcome.summary));
    }
    lines.iter().map(|line| prepared.veiled.hide(line)).collect()
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MAX_LINES && lines.last() != Some(&line) {
            lines.push(line);
        }
    }
}

/// A network and a machine where nothing happens.
struct Stage(Notes);

#[async_trait]
impl Net for Stage {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        self.0.add(format!("look up the name {host} (here it stands as {SOMEWHERE})"));
        Ok(vec![SOMEWHERE.into()])
    }

    async fn connect(&self, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        self.0.add(format!("connect to {peer} over TCP"));
        Ok(Box::new(Deaf { notes: self.0.clone(), peer }))
    }

    async fn exchange(
        &self,
        peer: SocketAddr,
        datagram: &[u8],
        _: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        self.0.add(format!("send {} to {peer} over UDP", shown(datagram)));
        std::future::pending().await
    }

    async fn ping(&self, peer: IpAddr, payload_bytes: usize, _: Duration) -> Result<Option<Duration>, Failure> {
        self.0.add(format!("send ICMP echoes with {payload_bytes} bytes to {peer}"));
        std::future::pending().await
    }
}

#[async_trait]
impl Host for Stage {
    async fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.add(format!("read {}", path.display()));
        std::future::pending().await
    }

    async fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.add(format!("ask how full the file system of {} is", path.display()));
        std::future::pending().await
    }

    async fn processes(&self) -> io::Result<Vec<RawProcess>> {
        self.0.add("list the processes of this machine".to_owned());
        std::future::pending().await
    }

    async fn run(&self, argv: &[&str]) -> io::Result<Ran> {
        self.0.add(format!("run {argv:?}"));
        std::future::pending().await
    }
}

/// A connection that takes everything and says nothing.
struct Deaf {
    notes: Notes,
    peer: SocketAddr,
}

impl AsyncRead for Deaf {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending // Nobody will wake it: the rehearsal ends by its own time.
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.notes.add(format!("send {} to {}", shown(bytes), self.peer));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Bytes as people read them: a text, the beginning of TLS, or hexadecimal digits; the first part of what is long.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 300;
    if bytes.starts_with(&[0x16, 3]) {
        return format!("{} bytes that begin a TLS handshake", bytes.len());
    }
    let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r' | b'\n' | b'\t'));
    if is_text {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned();
        return format!("{} bytes, {text:?}", bytes.len());
    }
    let digits = hex(&bytes[..bytes.len().min(MOST / 4)], "");
    let more = if bytes.len() > MOST / 4 { "…" } else { "" };
    format!("{} bytes, {digits}{more}", bytes.len())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Request, prepare};

    async fn lines(protocol: &str, target: &str, params: Value) -> String {
        let timeout = Duration::from_secs(5);
        let request = Request { protocol: protocol.into(), target: target.into(), params, timeout };
        rehearse(&prepare(&request).unwrap()).await.join("\n")
    }

    #[tokio::test]
    async fn what_would_be_sent_is_told_and_nothing_is_sent() {
        let told = lines("http", "http://shop.example.org/x", json!({})).await;
        assert!(told.starts_with("look up the name shop.example.org"), "{told}");
        assert!(told.contains("connect to 192.0.2.1:80 over TCP") && told.contains("GET /x HTTP/1.1"), "{told}");
        let told = lines("https", "https://192.0.2.9/", json!({"verify": false})).await;
        assert!(told.contains("connect to 192.0.2.9:443") && told.contains("begin a TLS handshake"), "{told}");
        let told = lines("snmp", "192.0.2.9", json!({"community": "hunter2"})).await;
        assert!(told.contains("to 192.0.2.9:161 over UDP"), "{told}");
        let told = lines("redis", "192.0.2.9", json!({"password": "hunter2"})).await;
        assert!(told.contains("AUTH") && !told.contains("hunter2"), "{told}");
        let told = lines("plugin", "check_dummy", json!({"arguments": ["0"]})).await;
        assert!(told.contains("check_dummy\", \"0\"]"), "{told}");
    }
}
