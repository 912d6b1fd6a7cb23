//! TLS: is the certificate chain valid for the name, and for how long? Judges what was shown; sends no application data.

mod certificate;
mod explain;
mod legacy;
mod proof;
mod staple;

use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use schemars::JsonSchema;
use serde::Deserialize;

pub use certificate::{Certificate, parse_authorities, parse_certificate};
pub(crate) use explain::{explain, handshake_failure};
pub use legacy::parse_hello;
pub use proof::Doubt;
pub use staple::{Standing, Staple, parse_staple};

use self::proof::Beliefs;
use crate::env::{Failure, dial, parse_server_name};
use crate::outcome::{Outcome, State};
use crate::params::{Family, ParamError, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `tls`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// WARNING when a certificate of the chain expires within this many days.
    warn_days: u16,
    /// CRITICAL when a certificate of the chain expires within this many days.
    critical_days: u16,
    /// The name to ask for (SNI) and to find in the certificate; the target's host when left out.
    name: Option<String>,
    /// Whether the chain must lead to a trusted authority and the name must fit. Expiry is judged either way.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// Whether weak certificates (RSA below 2048 bits, SHA-1, MD5) are passed over; WARNING when not.
    allow_weak: bool,
    /// Whether the peer must refuse TLS 1.0 and 1.1: it is greeted in these, too, and WARNING when it answers.
    refuse_old: bool,
    /// Whether an answer about revocation (OCSP) must come with the certificate; WARNING when it does not. One that comes is
    /// looked at either way: CRITICAL when it says that the certificate is revoked, WARNING when it is out of date, about
    /// another certificate, or not signed by the certificate's issuer or somebody whom that one appointed.
    stapled: bool,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            warn_days: 21,
            critical_days: 7,
            name: None,
            verify: true,
            ca: None,
            allow_weak: false,
            refuse_old: false,
            stapled: false,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 443;

impl Check for Tls {
    const NAME: &'static str = "tls";
    const TITLE: &'static str = "TLS certificate";
    const HELP: &'static str = "Shakes hands and judges the chain that the peer shows: trusted authority, name, and the days until it expires.";
    const TARGET: &'static str = "host and port, for example mail.example.org:993; port 443 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_host_port(target.as_bytes()).err().map(|message| ParamError::new("target", message)));
        let name = self.name.as_deref().and_then(|name| parse_server_name(name).err());
        problems.extend(name.map(|message| ParamError::new("name", message)));
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|message| ParamError::new("ca", message)));
        let days = (Some(self.warn_days), Some(self.critical_days));
        problems.extend(ordered(("warn_days", "critical_days"), days.0, days.1, |a, b| a < b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let host = self.name.as_deref().unwrap_or(&target.host);
        let name = parse_server_name(host).map_err(Failure::Local)?;
        let (stream, peer) = dial(cx, &target.host, target.port.unwrap_or(PORT), self.family).await?;
        cx.trace.phase("tls", "shaking hands over TLS");
        let (config, recording) = cx.env.trust.for_inspection()?;
        let session = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name.clone(), stream)
            .await
            .map_err(|error| handshake_failure(&peer.to_string(), &error))?;
        let chain = recording.chain();
        let trouble = if self.verify {
            cx.env.trust.judge(&chain, &name, self.ca.as_deref())?.err().map(|error| explain(&error))
        } else {
            None
        };
        let version = session.get_ref().1.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
        let handshake_seconds = cx.trace.seconds("tls");
        let mut old = Vec::new();
        if self.refuse_old {
            cx.trace.phase("old_versions", "greeting in old versions of TLS");
            for (name, number) in legacy::OLD {
                if legacy::accepts(cx, peer, host, number).await? {
                    old.push(name);
                }
            }
        }
        let seen = Seen {
            peer: cx.target.to_owned(),
            name: host.to_owned(),
            chain: read_chain(&chain)?,
            trouble,
            version: version.to_owned(),
            handshake_seconds,
            old,
            staple: self.read_staple(cx, &recording.staple(), &chain),
        };
        Ok(decide(self, &seen, cx.env.clock.now()))
    }
}

impl Tls {
    /// What the answer about revocation proves; `None` when there is none.
    fn read_staple(&self, cx: &Cx<'_>, staple: &[u8], chain: &[CertificateDer<'_>]) -> Option<Result<Standing, Doubt>> {
        let trust = &cx.env.trust;
        let none = |_| Arc::new(RootCertStore::empty());
        let authorities = trust.authorities(self.ca.as_deref()).unwrap_or_else(none);
        let by = Beliefs { authorities: &authorities, algorithms: trust.algorithms(), now: cx.env.clock.now() };
        (!staple.is_empty()).then(|| proof::prove(staple, chain, &by))
    }
}

fn read_chain(chain: &[CertificateDer<'_>]) -> Result<Vec<Certificate>, Failure> {
    const MAX_CHAIN: usize = 10;
    if chain.is_empty() || chain.len() > MAX_CHAIN {
        return Err(Failure::Peer(format!(
            "the peer showed {} certificates, where 1 to {MAX_CHAIN} are usual",
            chain.len()
        )));
    }
    chain
        .iter()
        .map(|der| {
            parse_certificate(der).map_err(|why| Failure::Peer(format!("the peer's certificate cannot be read: {why}")))
        })
        .collect()
}

/// What the peer showed.
pub struct Seen {
    peer: String,
    name: String,
    /// Leaf first; never empty.
    chain: Vec<Certificate>,
    /// What a client would object to, as a part of a sentence.
    trouble: Option<String>,
    version: String,
    handshake_seconds: f64,
    /// Old versions that the peer still speaks.
    old: Vec<&'static str>,
    /// What came with the certificate about its revocation, or why that proves nothing.
    staple: Option<Result<Standing, Doubt>>,
}

/// What is doubtful of a certificate that is valid, as a part of a sentence.
fn doubt(want: &Tls, seen: &Seen) -> Option<(State, String)> {
    match &seen.staple {
        Some(Ok(Standing::Revoked)) => {
            return Some((State::Critical, "the certificate is revoked, says its own staple".to_owned()));
        }
        Some(Ok(Standing::Unknown)) => {
            return Some((State::Warning, "its staple about revocation does not know the certificate".to_owned()));
        }
        Some(Err(why)) => return Some((State::Warning, format!("its staple about revocation {why}"))),
        None if want.stapled => return Some((State::Warning, "no staple about revocation comes with it".to_owned())),
        Some(Ok(Standing::Good)) | None => {}
    }
    if !seen.old.is_empty() {
        return Some((State::Warning, format!("the peer still speaks {}", seen.old.join(" and "))));
    }
    let weak = seen.chain.iter().find_map(|one| Some((one, one.weakness.as_ref()?)));
    let (whose, weakness) = weak.filter(|_| !want.allow_weak)?;
    Some((State::Warning, format!("{} has {weakness}", whose.subject)))
}

/// The whole judgement at that time.
pub fn decide(want: &Tls, seen: &Seen, now: Timestamp) -> Outcome {
    let leaf = &seen.chain[0];
    let soonest = seen.chain.iter().min_by_key(|one| one.not_after).unwrap_or(leaf);
    let days_left = days_between(now, soonest.not_after);
    let expiry = State::when_below(days_left, Some(f64::from(want.warn_days)), Some(f64::from(want.critical_days)));
    let whose = if soonest == leaf { "the certificate" } else { "a certificate of the chain" };
    let until = soonest.not_after.strftime("%Y-%m-%d");
    let (state, summary) = if days_left < 0.0 {
        (
            State::Critical,
            format!("{}: {whose} ({}) expired {:.0} days ago, on {until}", seen.peer, soonest.subject, -days_left),
        )
    } else if now < leaf.not_before {
        (
            State::Critical,
            format!("{}: the certificate ({}) is not valid before {}", seen.peer, leaf.subject, leaf.not_before),
        )
    } else if let Some(trouble) = &seen.trouble {
        let names = leaf.names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        (
            State::Critical,
            format!("{}: {trouble} (asked for {}, shown for {names}, issued by {})", seen.peer, seen.name, leaf.issuer),
        )
    } else if let Some((state, doubt)) = doubt(want, seen).filter(|(state, _)| *state > expiry) {
        (state, format!("{}: {doubt}", seen.peer))
    } else {
        (
            expiry,
            format!(
                "{}: {whose} ({}) is valid for {days_left:.0} more days, until {until}",
                seen.peer, soonest.subject
            ),
        )
    };
    Outcome::new(state, format!("{summary}, {}", seen.version))
        .with("tls_certificate_left_days", days_left, "days")
        .with("tls_handshake_seconds", seen.handshake_seconds, "seconds")
}

/// Days from one moment to another, with fractions; negative when the second is earlier.
pub(crate) fn days_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() / 86_400.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-21T08:00:00Z";

    fn certificate(subject: &str, not_before: &str, not_after: &str) -> Certificate {
        Certificate {
            subject: subject.into(),
            issuer: "Example CA".into(),
            names: vec!["shop.example.org".into()],
            not_before: not_before.parse().unwrap(),
            not_after: not_after.parse().unwrap(),
            weakness: None,
        }
    }

    #[test]
    fn weak_old_and_revoked_are_told() {
        let now: Timestamp = NOW.parse().unwrap();
        for (params, weakness, old, staple, state, part) in [
            (
                json!({}),
                Some("an RSA key of 1024 bits"),
                vec![],
                None,
                State::Warning,
                "CN=shop has an RSA key of 1024 bits",
            ),
            (json!({"allow_weak": true}), Some("an RSA key of 1024 bits"), vec![], None, State::Ok, "valid for"),
            (json!({"refuse_old": true}), None, vec!["TLS 1.0"], None, State::Warning, "still speaks TLS 1.0"),
            (json!({}), None, vec![], Some(Ok(Standing::Good)), State::Ok, "valid for"),
            (json!({}), None, vec![], Some(Ok(Standing::Revoked)), State::Critical, "is revoked"),
            (json!({}), None, vec![], Some(Ok(Standing::Unknown)), State::Warning, "does not know"),
            (json!({}), None, vec![], Some(Err(Doubt::Late(now))), State::Warning, "out of date"),
            (json!({}), None, vec![], Some(Err(Doubt::Forged)), State::Warning, "a signature that is wrong"),
            (json!({"stapled": true}), None, vec![], None, State::Warning, "no staple"),
        ] {
            let want: Tls = serde_json::from_value(params.clone()).unwrap();
            let leaf = certificate("CN=shop", "2026-01-01T00:00:00Z", "2027-02-21T08:00:00Z");
            let seen = Seen {
                peer: "shop:443".into(),
                name: "shop".into(),
                chain: vec![Certificate { weakness: weakness.map(str::to_owned), ..leaf }],
                trouble: None,
                version: "TLSv1_3".into(),
                handshake_seconds: 0.01,
                old,
                staple,
            };
            let outcome = decide(&want, &seen, now);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn trust_name_and_expiry_decide() {
        let valid = || certificate("CN=shop", "2026-01-01T00:00:00Z", "2027-02-21T08:00:00Z");
        for (params, chain, trouble, state, part) in [
            (json!({}), vec![valid()], None, State::Ok, "valid for 92 more days, until 2027-02-21"),
            (json!({"warn_days": 100}), vec![valid()], None, State::Warning, "92 more days"),
            (json!({"warn_days": 200, "critical_days": 100}), vec![valid()], None, State::Critical, "92 more days"),
            (
                json!({}),
                vec![valid()],
                Some("the name does not fit"),
                State::Critical,
                "the name does not fit (asked for",
            ),
            (
                json!({"verify": false}), // expiry counts even where trust does not
                vec![certificate("CN=shop", "2026-01-01T00:00:00Z", "2026-11-18T08:00:00Z")],
                None,
                State::Critical,
                "expired 3 days ago",
            ),
            (
                json!({}), // the authority between runs out first
                vec![valid(), certificate("CN=between", "2020-01-01T00:00:00Z", "2026-11-30T08:00:00Z")],
                None,
                State::Warning,
                "a certificate of the chain (CN=between) is valid for 9 more days",
            ),
            (
                json!({}),
                vec![certificate("CN=shop", "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z")],
                Some("it is not valid yet"),
                State::Critical,
                "is not valid before 2026-12-01",
            ),
        ] {
            let want: Tls = serde_json::from_value(params.clone()).unwrap();
            let seen = Seen {
                peer: "shop.example.org:443".into(),
                name: "shop.example.org".into(),
                chain,
                trouble: trouble.map(str::to_owned),
                version: "TLSv1_3".into(),
                handshake_seconds: 0.01,
                old: vec![],
                staple: None,
            };
            let outcome = decide(&want, &seen, NOW.parse().unwrap());
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }
}
