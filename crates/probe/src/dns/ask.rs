//! Ask: one question to one name server, over UDP, TCP or TLS. Judges nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::message::{self, Answer, parse_answer, parse_resolv_conf};
use super::{Dns, Dnssec, Transport};
use crate::dialog::{Dialog, Parsed};
use crate::env::{Failure, addresses};
use crate::params::Family;
use crate::protocol::Cx;
use crate::target::parse_host_port;

/// A name server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// What it is called, as its certificate has it.
    name: String,
}

impl Dns {
    fn port(&self) -> u16 {
        if self.transport == Transport::Tls { 853 } else { 53 }
    }

    /// The server that a parameter names, under the name that it has there.
    pub(super) async fn server(&self, cx: &Cx<'_>, named: &str) -> Result<Server, Failure> {
        let parsed = parse_host_port(named.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &parsed.host, Family::Any).await?;
        let address = SocketAddr::new(found[0], parsed.port.unwrap_or(self.port()));
        Ok(Server { address, name: parsed.host })
    }

    /// The server to ask first. It alone may be known by another name than it is reached by.
    pub(super) async fn first_server(&self, cx: &Cx<'_>) -> Result<Server, Failure> {
        let found = match &self.server {
            Some(named) => self.server(cx, named).await?,
            None => self.systems_server(cx).await?,
        };
        let name = self.tls_name.clone().unwrap_or(found.name);
        Ok(Server { name, ..found })
    }

    /// The server that this machine asks itself.
    async fn systems_server(&self, cx: &Cx<'_>) -> Result<Server, Failure> {
        const FILE: &str = "/etc/resolv.conf";
        let bytes = cx.env.host.read(Path::new(FILE)).await.unwrap_or_default();
        let servers: Vec<IpAddr> = parse_resolv_conf(&bytes);
        let first = servers.first();
        let first = first.ok_or_else(|| Failure::Local(format!("{FILE} names no name server; give one in server")))?;
        Ok(Server { address: SocketAddr::new(*first, self.port()), name: first.to_string() })
    }

    /// Asks that server, and how long that took.
    pub(super) async fn ask(&self, cx: &Cx<'_>, server: &Server) -> Result<(Answer, f64), Failure> {
        let question =
            message::question(cx.target, self.kind, self.dnssec == Dnssec::Signed).map_err(Failure::Local)?;
        let address = server.address;
        cx.trace.phase("query", "waiting for the name server");
        let before = cx.trace.elapsed();
        let mut bytes = Vec::new();
        if self.transport == Transport::Udp {
            let is_answer = |bytes: &[u8]| message::answers(bytes, &question);
            let said = cx.env.net.exchange(address, &question.bytes, &is_answer).await;
            bytes = said.map_err(|error| Failure::from_io(&format!("asking the name server {address}"), &error))?;
        }
        if bytes.is_empty() || message::is_truncated(&bytes) {
            bytes = self.ask_over_connection(cx, server, &question.bytes).await?;
            if !message::answers(&bytes, &question) {
                return Err(Failure::Peer(format!("the name server {address} answers another question")));
            }
        }
        let seconds = cx.trace.elapsed().saturating_sub(before).as_secs_f64();
        let answer = parse_answer(&bytes).map_err(|why| Failure::Peer(format!("the name server {address} {why}")))?;
        Ok((answer, seconds))
    }

    async fn ask_over_connection(&self, cx: &Cx<'_>, server: &Server, question: &[u8]) -> Result<Vec<u8>, Failure> {
        let address = server.address;
        let mut dialog = Dialog::dial(cx, &address.ip().to_string(), address.port(), Family::Any).await?;
        if self.transport == Transport::Tls {
            dialog = dialog.known_as(&server.name).secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("tcp_query", "waiting for the name server over its connection");
        let length =
            u16::try_from(question.len()).map_err(|_| Failure::Local("the question is too long".to_owned()))?;
        dialog.say(&[&length.to_be_bytes(), question].concat()).await?;
        dialog.next(2 + usize::from(u16::MAX), parse_framed).await
    }
}

/// Reads a message with its length before it, as it goes over connections (RFC 1035, section 4.2.2).
///
/// # Errors
/// When it is empty, as the end of a sentence about the peer.
pub fn parse_framed(bytes: &[u8]) -> Parsed<Vec<u8>> {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 {
        return Err("sends an empty message".to_owned());
    }
    Ok(rest.get(..length).map(|message| (message.to_vec(), 2 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_name_is_that_of_the_first_server_alone() {
        let params = serde_json::json!({"transport": "tls", "server": "192.0.2.1", "tls_name": "ns-1.example.org"});
        let dns: Dns = serde_json::from_value(params).unwrap();
        let env = crate::Env::real();
        let trace = crate::trace::Trace::new(env.clock.clone());
        let cx = Cx { env: &env, target: "n", timeout: std::time::Duration::from_secs(5), trace: &trace };
        assert_eq!(dns.first_server(&cx).await.unwrap().name, "ns-1.example.org");
        assert_eq!(dns.server(&cx, "192.0.2.2").await.unwrap().name, "192.0.2.2");
    }

    #[test]
    fn a_message_is_as_long_as_it_says() {
        assert_eq!(parse_framed(&[0, 2, 7, 8, 9]), Ok(Some((vec![7, 8], 4))));
        assert_eq!(parse_framed(&[0, 2, 7]), Ok(None));
        assert_eq!(parse_framed(&[0]), Ok(None));
        assert!(parse_framed(&[0, 0, 1]).is_err());
    }
}
