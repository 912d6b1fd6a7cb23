//! A page over SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS (RFC 8314) and AUTH.
//!
//! The connection is made here: to an address that was judged, with one trust configuration, with a limit on what the
//! server may say, and with nothing taken over from before TLS. The dialogue after that is lettre's.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::address::{AddressKind, classify};
use crate::channel::{Security, Smtp};
use crate::egress::{Egress, Purpose};
use crate::mail::{Mail, build};
use crate::page::{Page, SendError, one_line};

/// All that a server may say in one dialogue. A real one says a few hundred bytes.
const SERVER_BYTES: usize = 64 << 10;

/// Sends it; provider and reference of the receipt.
pub(crate) async fn send(net: &Egress, to: &Smtp, page: &Page) -> Result<(String, String), SendError> {
    let provider = format!("{}:{}", to.host, to.port);
    let mail = build(page, &to.from, net.now_ms())?;
    let addresses = net.addresses(Purpose::Mail, &to.host, to.port).await?;
    let near = addresses.iter().all(|a| classify(a.ip()) == AddressKind::Loopback) || net.lists(&to.host, to.port);
    if to.security == Security::None && !near {
        return Err(SendError::refused(format!("{provider} is not this machine, so tls must be starttls or tls")));
    }
    let tcp = net.dial(&addresses).await?;
    // This host's own name: servers that check a greeting refuse an invented one.
    let hello = ClientId::default();
    let line = match to.security {
        Security::None => Line::new(Wire::Plain(tcp), b""),
        Security::Tls => Line::new(handshake(net, to, tcp).await?, b""),
        Security::StartTls => {
            let tcp = start_tls(tcp, &hello, &provider).await?;
            // The greeting came before TLS and is not trusted; the client below waits for one.
            Line::new(handshake(net, to, tcp).await?, b"220 ready\r\n")
        }
    };
    let mut session =
        AsyncSmtpConnection::connect_with_transport(Box::new(line), &hello).await.map_err(|e| judge(&provider, &e))?;
    if let (Some(user), Some(password)) = (&to.user, &to.password) {
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        let signed_in = session.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
        signed_in.map_err(|e| judge(&provider, &e))?;
    }
    let reference = deliver(&mut session, &mail).await.map_err(|e| judge(&provider, &e))?;
    // The mail is taken; how the goodbye goes changes nothing.
    session.abort().await;
    Ok((provider, reference))
}

async fn deliver(session: &mut AsyncSmtpConnection, mail: &Mail) -> Result<String, lettre::transport::smtp::Error> {
    let reply = session.send(&mail.envelope, &mail.bytes).await?;
    let text: Vec<&str> = reply.message().collect();
    Ok(one_line(&format!("{} {}", reply.code(), text.join(" ")), 300))
}

/// What the server's word, or its silence, means for the page.
fn judge(provider: &str, error: &lettre::transport::smtp::Error) -> SendError {
    let mut why = format!("{provider}: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        if !why.contains(&next.to_string()) {
            why.push_str(&format!(": {next}"));
        }
        cause = next.source();
    }
    if error.is_permanent() || error.is_client() {
        return SendError::refused(why);
    }
    if !error.is_transient() {
        why.push_str("; it may have arrived all the same");
    }
    SendError::retry(why)
}

async fn handshake(net: &Egress, to: &Smtp, tcp: TcpStream) -> Result<Wire, SendError> {
    let name = ServerName::try_from(to.host.trim_end_matches('.').to_owned())
        .map_err(|_| SendError::refused(format!("{:?} is no name that a certificate could have", to.host)))?;
    let stream = TlsConnector::from(net.tls()).connect(name, tcp).await;
    let stream = stream.map_err(|e| SendError::retry(format!("{}:{}: no TLS: {e}", to.host, to.port)))?;
    Ok(Wire::Tls(Box::new(stream)))
}

/// Greeting, EHLO and STARTTLS in the clear. Whatever came along with the answer to STARTTLS was said by who knows whom:
/// then nothing is sent at all.
async fn start_tls(mut tcp: TcpStream, hello: &ClientId, provider: &str) -> Result<TcpStream, SendError> {
    let mut said = Vec::new();
    reply(&mut tcp, &mut said, provider).await?;
    say(&mut tcp, &format!("EHLO {hello}\r\n"), provider).await?;
    let offers = reply(&mut tcp, &mut said, provider).await?;
    if !offers.lines().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"))) {
        return Err(SendError::retry(format!("{provider} does not offer STARTTLS, so it gets nothing")));
    }
    say(&mut tcp, "STARTTLS\r\n", provider).await?;
    reply(&mut tcp, &mut said, provider).await?;
    if !said.is_empty() {
        return Err(SendError::retry(format!(
            "{provider} said more before TLS than it may; someone may be in between"
        )));
    }
    Ok(tcp)
}

async fn say(tcp: &mut TcpStream, command: &str, provider: &str) -> Result<(), SendError> {
    tcp.write_all(command.as_bytes()).await.map_err(|e| SendError::retry(format!("{provider}: {e}")))
}

/// One whole reply, if it is a good one; what was said beyond it stays in `said`.
async fn reply(tcp: &mut TcpStream, said: &mut Vec<u8>, provider: &str) -> Result<String, SendError> {
    loop {
        if let Some(end) = reply_end(said) {
            let text = String::from_utf8_lossy(&said.drain(..end).collect::<Vec<u8>>()).into_owned();
            let why = || format!("{provider}: {}", text.trim());
            return match text.as_bytes().first() {
                Some(b'2') => Ok(text),
                Some(b'5') => Err(SendError::refused(why())),
                _ => Err(SendError::retry(why())),
            };
        }
        if said.len() > SERVER_BYTES {
            return Err(SendError::retry(format!("{provider} does not stop talking")));
        }
        let mut more = [0; 1024];
        let count = tcp.read(&mut more).await.map_err(|e| SendError::retry(format!("{provider}: {e}")))?;
        if count == 0 {
            return Err(SendError::retry(format!("{provider} closed the connection")));
        }
        said.extend_from_slice(&more[..count]);
    }
}

/// Where the first reply ends: after the first line that is not continued.
fn reply_end(said: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = said[at..].iter().position(|b| *b == b'\n')? + 1;
        let continued = said[at..at + length].get(3) == Some(&b'-');
        at += length;
        if !continued {
            return Some(at);
        }
    }
}

/// The stream below the dialogue.
#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream that says `before` first and lets the server say only so much.
#[derive(Debug)]
struct Line {
    wire: Wire,
    before: &'static [u8],
    left: usize,
}

impl Line {
    fn new(wire: Wire, before: &'static [u8]) -> Self {
        Self { wire, before, left: SERVER_BYTES }
    }
}

impl AsyncTokioStream for Line {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.wire {
            Wire::Plain(tcp) => tcp.peer_addr(),
            Wire::Tls(tls) => tls.get_ref().0.peer_addr(),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let (now, later) = self.before.split_at(self.before.len().min(out.remaining()));
            out.put_slice(now);
            self.before = later;
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_read(cx, out),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, out),
        })?;
        let count = out.filled().len() - before;
        self.left = self.left.checked_sub(count).ok_or_else(|| io::Error::other("the server does not stop talking"))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reply_ends_after_the_line_that_is_not_continued() {
        let table: [(&[u8], Option<usize>); 6] = [
            (b"220 hello\r\n", Some(11)),
            (b"250-a\r\n250 b\r\n", Some(14)),
            (b"250-a\r\n250 b", None),
            (b"220 ready\r\n250 injected\r\n", Some(11)),
            (b"", None),
            (b"\n", Some(1)),
        ];
        for (said, end) in table {
            assert_eq!(reply_end(said), end, "{:?}", String::from_utf8_lossy(said));
        }
    }

    proptest! {
        #[test]
        fn finding_the_end_of_anything_never_panics(said in any::<Vec<u8>>()) {
            if let Some(end) = reply_end(&said) {
                prop_assert!(end <= said.len());
            }
        }
    }
}
