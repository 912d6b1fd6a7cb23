//! DNS: does a name server give the right answer? Asks one server one question: over UDP, then TCP when it does not fit, or
//! over TCP or TLS from the beginning.
//!
//! It asks the server itself and no resolver library, so that the server's words (response code, authority, TTL) are seen
//! as they were said, and no cache stands between.

mod ask;
mod message;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use ask::parse_framed;
pub use message::{Answer, Found, parse_answer, parse_resolv_conf};

use crate::env::{Failure, parse_server_name};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{OneOrMany, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;
use crate::tls::parse_authorities;

/// Parameters of `dns`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// What is asked for: A, AAAA, CNAME, MX, NS, TXT, PTR, SOA, SRV, CAA, TLSA, SSHFP, NAPTR, SVCB, HTTPS, DS or DNSKEY.
    #[serde(rename = "type")]
    kind: Kind,
    /// The name server, with a port where it is not 53 (853 over TLS); the first one of /etc/resolv.conf when left out.
    server: Option<String>,
    /// What the question goes over: udp (TCP where the answer does not fit), tcp or tls.
    transport: Transport,
    /// The name that the server's certificate must be for, where it is not that of the server; those of same_on show
    /// certificates for their own names. With transport tls.
    tls_name: Option<String>,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// Values that must be among the answers, as dig shows them: "192.0.2.1", "10 mail.example.org". A text or a list.
    answer: OneOrMany,
    /// Whether there may be no other answers than those.
    exactly: bool,
    /// The response code that is expected.
    rcode: Rcode,
    /// Whether the server must be an authority for the name.
    authoritative: bool,
    /// Other name servers that must give the same answer (for SOA the same serial number): a text or a list of at most 10.
    same_on: OneOrMany,
    /// What is expected of DNSSEC: any, signed (the answer carries signatures) or proven (a resolver has proven them).
    dnssec: Dnssec,
    /// WARNING when a signature ends within so many days; CRITICAL when it has ended. With dnssec signed.
    warn_signature_days: u16,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
}

impl Default for Dns {
    fn default() -> Self {
        Dns {
            kind: Kind::A,
            server: None,
            transport: Transport::Udp,
            tls_name: None,
            verify: true,
            ca: None,
            answer: OneOrMany::default(),
            exactly: false,
            rcode: Rcode::NoError,
            authoritative: false,
            same_on: OneOrMany::default(),
            dnssec: Dnssec::Any,
            warn_signature_days: 3,
            warn_time: None,
            critical_time: None,
        }
    }
}

/// What a question goes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection.
    Tcp,
    /// A connection that nobody else can read (RFC 7858).
    Tls,
}

/// What is expected of DNSSEC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    /// Nothing.
    #[default]
    Any,
    /// Signatures, as an authority gives them.
    Signed,
    /// That the server says it has proven the answer; believe it only over a way that nobody else is on.
    Proven,
}

/// The types of records that can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name this one is an alias of.
    Cname,
    /// Mail servers with preference.
    Mx,
    /// Name servers.
    Ns,
    /// Texts.
    Txt,
    /// The name of an address; the target may be the address itself.
    Ptr,
    /// The zone's start of authority.
    Soa,
    /// Servers of a service, with priority, weight and port.
    Srv,
    /// Who may issue certificates for the name.
    Caa,
    /// The certificate that a service shows (DANE).
    Tlsa,
    /// Fingerprints of SSH host keys.
    Sshfp,
    /// Rules from telephone numbers to addresses.
    Naptr,
    /// How a service is reached.
    Svcb,
    /// How a web server is reached.
    Https,
    /// Digest of the key that signs the zone, as the zone above has it.
    Ds,
    /// Keys that sign the zone.
    Dnskey,
}

/// The response codes that can be expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Rcode {
    /// There is such a name.
    #[default]
    NoError,
    /// There is no such name.
    NxDomain,
    /// The server will not answer us.
    Refused,
    /// The server could not find out.
    ServFail,
}

impl Rcode {
    /// The word that dig shows.
    fn as_str(self) -> &'static str {
        match self {
            Rcode::NoError => "NOERROR",
            Rcode::NxDomain => "NXDOMAIN",
            Rcode::Refused => "REFUSED",
            Rcode::ServFail => "SERVFAIL",
        }
    }
}

impl Check for Dns {
    const NAME: &'static str = "dns";
    const TITLE: &'static str = "DNS";
    const HELP: &'static str = "Asks a name server for a name and compares the answer with what is expected.";
    const TARGET: &'static str = "the name to ask for, for example www.example.org; for PTR also an address";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(message::question_name(target, self.kind).err().map(|why| ParamError::new("target", why)));
        let server = self.server.as_deref().and_then(|server| parse_host_port(server.as_bytes()).err());
        problems.extend(server.map(|why| ParamError::new("server", why)));
        let others = self.same_on.0.iter().filter_map(|server| parse_host_port(server.as_bytes()).err());
        problems.extend(others.map(|why| ParamError::new("same_on", why)));
        if self.same_on.0.len() > 10 {
            problems.push(ParamError::new("same_on", "names more than 10 servers"));
        }
        if self.exactly && self.answer.0.is_empty() {
            problems.push(ParamError::new("exactly", "needs the answers that are expected, in answer"));
        }
        if self.rcode != Rcode::NoError && !self.answer.0.is_empty() {
            problems.push(ParamError::new("answer", format!("there are no answers with {}", self.rcode.as_str())));
        }
        if self.transport == Transport::Tls {
            problems.extend(self.name_problems());
        } else if self.tls_name.is_some() {
            problems.push(ParamError::new("tls_name", "is of use with transport tls only"));
        }
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|why| ParamError::new("ca", why)));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let server = self.first_server(cx).await?;
        let (answer, seconds) = self.ask(cx, &server).await?;
        let outcome = decide(self, cx.target, &server.address.to_string(), &answer, seconds, cx.env.clock.now());
        if outcome.state == State::Critical {
            return Ok(outcome);
        }
        for other in &self.same_on.0 {
            let (theirs, _) = self.ask(cx, &self.server(cx, other).await?).await?;
            if let Some(differs) = difference(self, &answer, &theirs) {
                let sentence =
                    format!("{other} answers otherwise than {} for {}: {differs}", server.address, cx.target);
                return Ok(Outcome { state: State::Critical, summary: sentence, ..outcome });
            }
        }
        Ok(outcome)
    }
}

impl Dns {
    /// Names that no certificate can be for.
    fn name_problems(&self) -> Vec<ParamError> {
        // What is no place at all is told as such.
        let host = |place: &String| Some(parse_host_port(place.as_bytes()).ok()?.host);
        let first = match &self.tls_name {
            Some(name) => Some(("tls_name", name.clone())),
            None => self.server.as_ref().and_then(host).map(|host| ("server", host)),
        };
        let others = self.same_on.0.iter().filter_map(host).map(|host| ("same_on", host));
        let names = first.into_iter().chain(others);
        names.filter_map(|(field, name)| Some(ParamError::new(field, parse_server_name(&name).err()?))).collect()
    }
}

/// What another server says otherwise, if anything: code, values, or the serial number of a zone.
fn difference(want: &Dns, ours: &Answer, theirs: &Answer) -> Option<String> {
    if ours.rcode != theirs.rcode {
        return Some(format!("{} instead of {}", theirs.rcode, ours.rcode));
    }
    let kind = message::kind_name(want.kind);
    let said = |answer: &Answer| {
        let mut values: Vec<String> = answer
            .records
            .iter()
            .filter(|record| record.kind == kind)
            .map(|record| match record.serial {
                Some(serial) => format!("serial {serial}"),
                None => message::comparable(want.kind, &record.value),
            })
            .collect();
        values.sort();
        values
    };
    let (ours, theirs) = (said(ours), said(theirs));
    (ours != theirs).then(|| format!("{} instead of {}", theirs.join(", "), ours.join(", ")))
}

/// What is wrong with the signatures, if anything.
fn signature_trouble(want: &Dns, answer: &Answer, now: Timestamp) -> Option<(State, String)> {
    match want.dnssec {
        Dnssec::Any => None,
        Dnssec::Proven if answer.proven => None,
        Dnssec::Proven => Some((State::Critical, "not proven by DNSSEC".to_owned())),
        Dnssec::Signed => {
            let Some(end) = answer.signed_until else {
                return Some((State::Critical, "without signatures".to_owned()));
            };
            let days = (i64::from(end) - now.as_second()) as f64 / 86_400.0;
            match State::when_below(days, Some(f64::from(want.warn_signature_days)), Some(0.0)) {
                State::Ok => None,
                State::Critical => {
                    Some((State::Critical, format!("with a signature that ended {:.0} days ago", -days)))
                }
                state => Some((state, format!("with a signature that ends in {days:.1} days"))),
            }
        }
    }
}

/// The whole judgement of one server's answer at that time.
pub fn decide(want: &Dns, name: &str, server: &str, answer: &Answer, seconds: f64, now: Timestamp) -> Outcome {
    let kind = message::kind_name(want.kind);
    let found: Vec<&Found> = answer.records.iter().filter(|record| record.kind == kind).collect();
    let shown = if found.is_empty() {
        format!("no {kind} record")
    } else {
        let values: Vec<&str> = found.iter().take(5).map(|record| record.value.as_str()).collect();
        let more = if found.len() > 5 { format!(" and {} more", found.len() - 5) } else { String::new() };
        format!("{kind} {}{more}", values.join(", "))
    };
    let plain = |value: &str| message::comparable(want.kind, value);
    let seen: Vec<String> = found.iter().map(|record| plain(&record.value)).collect();
    let wanted: Vec<String> = want.answer.0.iter().map(|value| plain(value)).collect();
    let missing = wanted.iter().find(|value| !seen.contains(value));
    let surplus = seen.iter().find(|value| want.exactly && !wanted.contains(value));
    let slow = State::when_above(seconds, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds));
    let (state, summary) = if answer.rcode != want.rcode.as_str() {
        let expected = want.rcode.as_str();
        (State::Critical, format!("{server} answers {} for {name}, not {expected}", answer.rcode))
    } else if want.rcode == Rcode::NoError && found.is_empty() {
        (State::Critical, format!("{server} has {shown} for {name}"))
    } else if let Some(value) = missing {
        (State::Critical, format!("{server} answers {shown} for {name}, without {value}"))
    } else if let Some(value) = surplus {
        (State::Critical, format!("{server} answers {value} for {name}, which is not expected"))
    } else if want.authoritative && !answer.authoritative {
        (State::Critical, format!("{server} answers {shown} for {name}, but is no authority for it"))
    } else if let Some((state, trouble)) = signature_trouble(want, answer, now) {
        (state.max(slow), format!("{server} answers {shown} for {name}, {trouble}"))
    } else if want.rcode != Rcode::NoError {
        (slow, format!("{server} answers {} for {name} in {}", answer.rcode, in_words(seconds)))
    } else {
        (slow, format!("{server} answers {shown} for {name} in {}", in_words(seconds)))
    };
    let mut outcome = Outcome::new(state, summary).with("dns_response_seconds", seconds, "seconds").with(
        "dns_answers_count",
        found.len() as f64,
        "",
    );
    if let Some(ttl) = found.iter().map(|record| record.ttl_seconds).min() {
        outcome = outcome.with("dns_ttl_seconds", f64::from(ttl), "seconds");
    }
    if let Some(serial) = found.iter().find_map(|record| record.serial) {
        outcome = outcome.with("dns_zone_serial", f64::from(serial), "");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(kind: &str, value: &str) -> Found {
        Found { kind: kind.into(), value: value.into(), ttl_seconds: 60, serial: None }
    }

    fn answered(rcode: &str, records: Vec<Found>) -> Answer {
        Answer { rcode: rcode.into(), authoritative: false, proven: false, signed_until: None, records }
    }

    #[test]
    fn signatures_decide_where_they_are_wanted() {
        const DAY: u32 = 86_400;
        for (params, proven, until, state, part) in [
            (json!({"dnssec": "signed"}), false, Some(10 * DAY), State::Ok, "A 192.0.2.1 for n in"),
            (json!({"dnssec": "signed"}), false, Some(2 * DAY), State::Warning, "ends in 2.0 days"),
            (json!({"dnssec": "signed"}), false, None, State::Critical, "without signatures"),
            (json!({"dnssec": "proven"}), true, None, State::Ok, "192.0.2.1"),
            (json!({"dnssec": "proven"}), false, Some(10 * DAY), State::Critical, "not proven"),
        ] {
            let want: Dns = serde_json::from_value(params.clone()).unwrap();
            let answer = Answer { proven, signed_until: until, ..answered("NOERROR", vec![found("A", "192.0.2.1")]) };
            let outcome = decide(&want, "n", "s", &answer, 0.02, Timestamp::UNIX_EPOCH);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        let ended = Answer { signed_until: Some(DAY), ..answered("NOERROR", vec![found("A", "192.0.2.1")]) };
        let want: Dns = serde_json::from_value(json!({"dnssec": "signed"})).unwrap();
        let later = Timestamp::from_second(3 * i64::from(DAY)).unwrap();
        assert_eq!(decide(&want, "n", "s", &ended, 0.02, later).state, State::Critical);
    }

    #[test]
    fn a_name_that_no_certificate_can_be_for_is_told_before_anybody_is_asked() {
        for (params, fields) in [
            (json!({"transport": "tls", "server": "ns-1.example.org", "tls_name": "dns example"}), vec!["tls_name"]),
            (json!({"transport": "tls", "server": "ns-.example.org"}), vec!["server"]),
            (json!({"transport": "tls", "server": "ns-.example.org", "tls_name": "ns-1.example.org"}), vec![]),
            (json!({"transport": "tls", "same_on": ["192.0.2.53:853", "ns-.example.org"]}), vec!["same_on"]),
            (json!({"server": "ns-.example.org"}), vec![]),
            (json!({"tls_name": "ns-1.example.org"}), vec!["tls_name"]),
        ] {
            let want: Dns = serde_json::from_value(params.clone()).unwrap();
            let told: Vec<String> = want.problems("n").into_iter().map(|problem| problem.field).collect();
            assert_eq!(told, fields, "{params}");
        }
    }

    #[test]
    fn servers_may_differ_in_order_and_in_nothing_else() {
        let want = Dns::default();
        let two = |a: &str, b: &str| answered("NOERROR", vec![found("A", a), found("A", b)]);
        assert_eq!(difference(&want, &two("192.0.2.1", "192.0.2.2"), &two("192.0.2.2", "192.0.2.1")), None);
        assert!(difference(&want, &two("192.0.2.1", "192.0.2.2"), &two("192.0.2.1", "192.0.2.3")).is_some());
        assert!(difference(&want, &two("192.0.2.1", "192.0.2.2"), &answered("SERVFAIL", vec![])).is_some());
    }

    #[test]
    fn code_values_and_authority_decide() {
        let two = || vec![found("CNAME", "web.example.org."), found("A", "192.0.2.1"), found("A", "192.0.2.2")];
        for (params, rcode, records, state, part) in [
            (json!({}), "NOERROR", two(), State::Ok, "A 192.0.2.1, 192.0.2.2"),
            (json!({"answer": "192.0.2.2"}), "NOERROR", two(), State::Ok, "192.0.2.1"),
            (json!({"answer": ["192.0.2.3"]}), "NOERROR", two(), State::Critical, "without 192.0.2.3"),
            (
                json!({"answer": "192.0.2.1", "exactly": true}),
                "NOERROR",
                two(),
                State::Critical,
                "192.0.2.2 for n, which is not expected",
            ),
            (json!({"answer": ["192.0.2.2", "192.0.2.1"], "exactly": true}), "NOERROR", two(), State::Ok, "A "),
            (json!({"type": "AAAA"}), "NOERROR", two(), State::Critical, "no AAAA record"),
            (json!({}), "NXDOMAIN", vec![], State::Critical, "answers NXDOMAIN for n, not NOERROR"),
            (json!({"rcode": "NXDOMAIN"}), "NXDOMAIN", vec![], State::Ok, "NXDOMAIN"),
            (json!({"authoritative": true}), "NOERROR", two(), State::Critical, "no authority"),
            (
                json!({"type": "MX", "answer": "10 MAIL.example.org"}),
                "NOERROR",
                vec![found("MX", "10 mail.example.org.")],
                State::Ok,
                "MX 10",
            ),
            (
                json!({"type": "TXT", "answer": "v=Spf1"}),
                "NOERROR",
                vec![found("TXT", "v=spf1")],
                State::Critical,
                "without v=Spf1",
            ),
            (
                json!({"type": "AAAA", "answer": "2001:DB8:0::1"}),
                "NOERROR",
                vec![found("AAAA", "2001:db8::1")],
                State::Ok,
                "AAAA",
            ),
            (json!({"warn_time": "10ms"}), "NOERROR", two(), State::Warning, "in 20.0 ms"),
        ] {
            let want: Dns = serde_json::from_value(params.clone()).unwrap();
            let answer = answered(rcode, records);
            let outcome = decide(&want, "n", "192.0.2.53:53", &answer, 0.02, Timestamp::UNIX_EPOCH);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }
}
