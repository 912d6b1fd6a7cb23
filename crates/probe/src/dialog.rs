//! Dialog: one conversation over one connection. Every message has a limit; the time is the check's own. Knows no protocol.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::env::{Failure, Stream, dial, parse_server_name};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::Cx;
use crate::target::{HostPort, parse_host_port};
use crate::tls::{days_between, handshake_failure, parse_authorities, parse_certificate};

/// A connection, and what arrived on it and was not read yet.
pub(crate) struct Dialog {
    stream: Box<dyn Stream>,
    host: String,
    /// `host:port`, as sentences name it.
    peer: String,
    held: Vec<u8>,
    certificate_left_days: Option<f64>,
}

/// When a conversation becomes one over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Never: all is said in the clear.
    #[default]
    Off,
    /// After a greeting in the clear, by the protocol's own command.
    StartTls,
    /// From the first byte.
    On,
}

/// A message and the bytes it takes, or `None` while more bytes are needed. An error ends a sentence that begins with
/// the peer's name.
pub(crate) type Parsed<T> = Result<Option<(T, usize)>, String>;

impl Dialog {
    /// Connects to the check's target, at `port` where it names none.
    pub(crate) async fn open(cx: &Cx<'_>, port: u16, family: Family) -> Result<Dialog, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        Dialog::dial(cx, &target.host, target.port.unwrap_or(port), family).await
    }

    /// Connects to that host and port.
    pub(crate) async fn dial(cx: &Cx<'_>, host: &str, port: u16, family: Family) -> Result<Dialog, Failure> {
        let (stream, _) = dial(cx, host, port, family).await?;
        let named = HostPort { host: host.to_owned(), port: Some(port) };
        Ok(Dialog {
            stream,
            peer: named.with_port(port),
            host: named.host,
            held: Vec::new(),
            certificate_left_days: None,
        })
    }

    /// `host:port`, as sentences name it.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// The host as the target names it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The same peer under the name that its certificate is to be for.
    pub(crate) fn known_as(self, name: &str) -> Dialog {
        Dialog { host: name.to_owned(), ..self }
    }

    /// Shakes hands over TLS; from now on all is said through it. With `verify` false anyone is believed.
    pub(crate) async fn secure(mut self, cx: &Cx<'_>, verify: bool, ca: Option<&str>) -> Result<Dialog, Failure> {
        if !self.held.is_empty() {
            // What was put in before the handshake would be taken for the peer's own words after it.
            return Err(Failure::Peer(format!("{} goes on in the clear after it agreed to TLS", self.peer)));
        }
        cx.trace.phase("tls", "shaking hands over TLS");
        let name = parse_server_name(&self.host).map_err(Failure::Local)?;
        let config = cx.env.trust.for_stream(verify, ca)?;
        let session = tokio_rustls::TlsConnector::from(Arc::clone(&config))
            .connect(name, self.stream)
            .await
            .map_err(|error| handshake_failure(&self.peer, &error))?;
        let shown = session.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = shown.and_then(|certificate| parse_certificate(certificate).ok());
        self.certificate_left_days =
            certificate.map(|certificate| days_between(cx.env.clock.now(), certificate.not_after));
        self.stream = Box::new(session);
        Ok(self)
    }

    /// Sends these bytes.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| Failure::from_io(&format!("sending to {}", self.peer), &error))
    }

    /// The next message, of at most `limit` bytes.
    pub(crate) async fn next<T>(
        &mut self,
        limit: usize,
        mut parse: impl FnMut(&[u8]) -> Parsed<T>,
    ) -> Result<T, Failure> {
        loop {
            let found = parse(&self.held).map_err(|why| Failure::Peer(format!("{} {why}", self.peer)))?;
            if let Some((message, length)) = found {
                self.held.drain(..length);
                return Ok(message);
            }
            if self.held.len() >= limit {
                return Err(Failure::Peer(format!("{} sends a message of more than {limit} bytes", self.peer)));
            }
            if self.read_some().await? == 0 {
                let said = if self.held.is_empty() { "without a word" } else { "in the middle of its answer" };
                return Err(Failure::Peer(format!("{} hung up {said}", self.peer)));
            }
        }
    }

    /// Everything until the peer ends, at most `limit` bytes of it.
    pub(crate) async fn rest(&mut self, limit: usize) -> Result<Vec<u8>, Failure> {
        while self.held.len() < limit && self.read_some().await? > 0 {}
        let mut all = std::mem::take(&mut self.held);
        all.truncate(limit);
        Ok(all)
    }

    async fn read_some(&mut self) -> Result<usize, Failure> {
        let mut chunk = [0; 8192];
        let read = self.stream.read(&mut chunk).await;
        let length =
            read.map_err(|error| Failure::from_io(&format!("waiting for the answer of {}", self.peer), &error))?;
        self.held.extend_from_slice(&chunk[..length]);
        Ok(length)
    }

    /// What was measured until now.
    pub(crate) fn measured(&self, cx: &Cx<'_>) -> Measured {
        Measured {
            seconds: cx.trace.elapsed().as_secs_f64(),
            certificate_left_days: self.certificate_left_days,
            peer: self.peer.clone(),
        }
    }
}

/// A line without its end (`\n` or `\r\n`), for protocols of lines.
pub(crate) fn parse_line(bytes: &[u8]) -> Parsed<Vec<u8>> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    Ok(Some((line.to_vec(), end + 1)))
}

/// What every conversation measures.
#[derive(Clone, Debug)]
pub struct Measured {
    /// `host:port`, as sentences name it.
    pub peer: String,
    /// Seconds since the check began.
    pub seconds: f64,
    /// Days until the peer's certificate expires; `None` without TLS.
    pub certificate_left_days: Option<f64>,
}

impl Measured {
    /// The outcome of a conversation that went as it should: its state is that of its time or worse.
    pub(crate) fn outcome(
        &self,
        protocol: &str,
        state: State,
        sentence: &str,
        (warn_time, critical_time): (Option<Span>, Option<Span>),
    ) -> Outcome {
        let slow = State::when_above(self.seconds, warn_time.map(Span::seconds), critical_time.map(Span::seconds));
        let outcome = Outcome::new(slow.max(state), format!("{sentence}, {}", in_words(self.seconds))).with(
            &format!("{protocol}_response_seconds"),
            self.seconds,
            "seconds",
        );
        match self.certificate_left_days {
            Some(days) => outcome.with(&format!("{protocol}_certificate_left_days"), days, "days"),
            None => outcome,
        }
    }
}

/// What is wrong with the parameters that conversations share.
pub(crate) fn problems(
    target: &str,
    ca: Option<&str>,
    (warn_time, critical_time): (Option<Span>, Option<Span>),
) -> Vec<ParamError> {
    let target = parse_host_port(target.as_bytes()).err().map(|why| ParamError::new("target", why));
    let ca = ca.and_then(|pem| parse_authorities(pem.as_bytes()).err()).map(|why| ParamError::new("ca", why));
    let times = ordered(("warn_time", "critical_time"), warn_time, critical_time, |a, b| a > b);
    target.into_iter().chain(ca).chain(times).collect()
}

/// A text that becomes part of a line must not be able to begin another one.
pub(crate) fn one_line_problem(field: &str, text: Option<&str>) -> Option<ParamError> {
    text.filter(|text| text.chars().any(char::is_control) || text.len() > 1024)
        .map(|_| ParamError::new(field, "must be at most 1,024 bytes without line breaks or other control characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_its_line_break() {
        assert_eq!(parse_line(b"220 a\r\n220 b\r\n"), Ok(Some((b"220 a".to_vec(), 7))));
        assert_eq!(parse_line(b"a\nb"), Ok(Some((b"a".to_vec(), 2))));
        assert_eq!(parse_line(b"half"), Ok(None));
    }

    #[test]
    fn a_text_cannot_smuggle_a_line() {
        assert!(one_line_problem("user", Some("a\r\nDELETE b")).is_some());
        assert!(one_line_problem("user", Some("müller")).is_none());
    }
}
