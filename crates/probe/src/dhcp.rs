//! DHCP: does a server offer an address? Sends one DISCOVER (RFC 2131) and takes the first offer; requests nothing, so that
//! no address is taken. Needs the right to use port 68 and to choose an interface (`CAP_NET_BIND_SERVICE`, `CAP_NET_RAW`).

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, random};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{ParamError, Span, ordered};
use crate::protocol::{Check, Cx};

/// Parameters of `dhcp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dhcp {
    /// The server that must make the offer; any when left out.
    server: Option<Ipv4Addr>,
    /// The router that the offer must name.
    router: Option<Ipv4Addr>,
    /// A name server that the offer must name.
    name_server: Option<Ipv4Addr>,
    /// Hardware address to ask with, as six pairs of digits: "02:4d:61:69:6e:01". Servers that know their clients by it
    /// must know this one.
    hardware_address: String,
    /// WARNING when the offer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the offer took at least this long.
    critical_time: Option<Span>,
}

impl Default for Dhcp {
    fn default() -> Self {
        Dhcp {
            server: None,
            router: None,
            name_server: None,
            hardware_address: "02:4d:61:69:6e:01".to_owned(),
            warn_time: None,
            critical_time: None,
        }
    }
}

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

impl Check for Dhcp {
    const NAME: &'static str = "dhcp";
    const TITLE: &'static str = "DHCP";
    const HELP: &'static str =
        "Asks everybody behind an interface for an address and judges the first offer. Takes none.";
    const TARGET: &'static str = "the interface of this machine to ask behind, for example eth0";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        if target.is_empty() || target.len() > 15 || !target.bytes().all(fits) {
            problems
                .push(ParamError::new("target", format!("{target:?} is no interface's name; write for example eth0")));
        }
        if parse_hardware_address(self.hardware_address.as_bytes()).is_none() {
            let why = format!("{:?} is not six pairs of hexadecimal digits with colons", self.hardware_address);
            problems.push(ParamError::new("hardware_address", why));
        }
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let hardware = parse_hardware_address(self.hardware_address.as_bytes()).unwrap_or_default();
        let id = random::<4>()?;
        cx.trace.phase("exchange", "waiting for an offer");
        let wanted = |bytes: &[u8]| {
            let offer = parse_offer(bytes).filter(|offer| offer.id == id && offer.hardware == hardware);
            offer.is_some_and(|offer| self.server.is_none() || offer.server == self.server)
        };
        let said = cx.env.net.shout(cx.target, (CLIENT_PORT, SERVER_PORT), &discover(id, hardware), &wanted).await;
        let said = said.map_err(|error| match error.raw_os_error() {
            Some(19) => Failure::Local(format!("this machine has no interface {}", cx.target)),
            Some(98) => Failure::Local("port 68 is in use: a DHCP client of this machine has it".to_owned()),
            Some(1 | 13) => Failure::Local(
                "this process may not use port 68 behind an interface; give it CAP_NET_BIND_SERVICE and CAP_NET_RAW"
                    .to_owned(),
            ),
            _ => Failure::from_io(&format!("asking behind {}", cx.target), &error),
        })?;
        let offer = parse_offer(&said).ok_or_else(|| Failure::Peer("the offer cannot be read".to_owned()))?;
        Ok(decide(self, cx.target, &offer, cx.trace.seconds("exchange")))
    }
}

fn parse_hardware_address(bytes: &[u8]) -> Option<[u8; 6]> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut address = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut address {
        let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(address)
}

const COOKIE: [u8; 4] = [99, 130, 83, 99];

fn discover(id: [u8; 4], hardware: [u8; 6]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0];
    bytes.extend(id);
    bytes.extend([0, 0, 0x80, 0]); // answered to everybody: we have no address to be answered at
    bytes.resize(28, 0);
    bytes.extend(hardware);
    bytes.resize(236, 0);
    bytes.extend(COOKIE);
    bytes.extend([53, 1, 1]); // DISCOVER
    bytes.extend([55, 5, 1, 3, 6, 51, 54]); // mask, router, name servers, lease, server
    bytes.push(255);
    bytes.resize(300, 0); // as short as old relays let through
    bytes
}

/// What a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The number of the question.
    pub id: [u8; 4],
    /// The hardware address that asked.
    pub hardware: [u8; 6],
    /// The address that is offered.
    pub address: Ipv4Addr,
    /// Who offers it.
    pub server: Option<Ipv4Addr>,
    /// Routers, the best first.
    pub routers: Vec<Ipv4Addr>,
    /// Name servers, the best first.
    pub name_servers: Vec<Ipv4Addr>,
    /// For how many seconds.
    pub lease_seconds: Option<u32>,
}

/// Reads an offer; anything else is none.
pub fn parse_offer(bytes: &[u8]) -> Option<Offer> {
    if bytes.first() != Some(&2) || bytes.get(236..240)? != COOKIE {
        return None;
    }
    let address = |bytes: &[u8]| Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?));
    let addresses = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|four| Ipv4Addr::from(*four)).collect();
    let mut offer = Offer {
        id: *bytes.get(4..8)?.first_chunk()?,
        hardware: *bytes.get(28..34)?.first_chunk()?,
        address: address(bytes.get(16..20)?)?,
        server: None,
        routers: Vec::new(),
        name_servers: Vec::new(),
        lease_seconds: None,
    };
    let mut kind = None;
    let mut rest = &bytes[240..];
    while let [code, after @ ..] = rest {
        match code {
            0 => rest = after,
            255 => break,
            _ => {
                let (length, after) = after.split_first()?;
                let (value, after) = after.split_at_checked(usize::from(*length))?;
                match code {
                    53 => kind = value.first().copied(),
                    3 => offer.routers = addresses(value),
                    6 => offer.name_servers = addresses(value),
                    51 => offer.lease_seconds = value.first_chunk().map(|four| u32::from_be_bytes(*four)),
                    54 => offer.server = address(value),
                    _ => {}
                }
                rest = after;
            }
        }
    }
    (kind == Some(2)).then_some(offer)
}

/// The whole judgement.
pub fn decide(want: &Dhcp, interface: &str, offer: &Offer, seconds: f64) -> Outcome {
    let shown = |list: &[Ipv4Addr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let server = offer.server.map_or("a server without a name".to_owned(), |server| server.to_string());
    let slow = State::when_above(seconds, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds));
    let (state, end) = if let Some(router) = want.router.filter(|router| !offer.routers.contains(router)) {
        (State::Critical, format!(" with the router {}, not {router}", shown(&offer.routers)))
    } else if let Some(name_server) = want.name_server.filter(|one| !offer.name_servers.contains(one)) {
        (State::Critical, format!(" with the name servers {}, without {name_server}", shown(&offer.name_servers)))
    } else {
        (slow, String::new())
    };
    let took = in_words(seconds);
    let outcome = Outcome::new(state, format!("{server} offers {} behind {interface}{end}, {took}", offer.address))
        .with("dhcp_offer_seconds", seconds, "seconds");
    match offer.lease_seconds {
        Some(lease) => outcome.with("dhcp_lease_seconds", f64::from(lease), "seconds"),
        None => outcome,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn offered() -> Vec<u8> {
        let mut bytes = discover([1, 2, 3, 4], [2, 0, 0, 0, 0, 1]);
        bytes[0] = 2;
        bytes[16..20].copy_from_slice(&[10, 0, 0, 77]);
        bytes.truncate(240);
        bytes.extend([
            53, 1, 2, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 3, 4, 10, 0, 0, 1, 6, 8, 10, 0, 0, 1, 9, 9, 9, 9, 255,
        ]);
        bytes
    }

    #[test]
    fn the_offer_decides() {
        let offer = parse_offer(&offered()).unwrap();
        for (params, state, part) in [
            (json!({}), State::Ok, "10.0.0.1 offers 10.0.0.77 behind eth0"),
            (json!({"router": "10.0.0.1", "name_server": "9.9.9.9"}), State::Ok, "offers"),
            (json!({"router": "10.0.0.2"}), State::Critical, "with the router 10.0.0.1, not 10.0.0.2"),
            (json!({"name_server": "8.8.8.8"}), State::Critical, "10.0.0.1 and 9.9.9.9, without 8.8.8.8"),
            (json!({"warn_time": "10ms"}), State::Warning, "20.0 ms"),
        ] {
            let want: Dhcp = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, "eth0", &offer, 0.02);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("dhcp_lease_seconds"), Some(3600.0));
        }
        assert_eq!(parse_offer(&discover([0; 4], [0; 6])), None, "our own question is no offer");
        assert_eq!(parse_hardware_address(b"02:4D:61:69:6e:01"), Some([2, 0x4d, 0x61, 0x69, 0x6e, 1]));
        for wrong in ["", "02:4d", "02:4d:61:69:6e:1", "02-4d-61-69-6e-01", "02:4d:61:69:6e:01:02", "+2:4d:61:69:6e:01"]
        {
            assert_eq!(parse_hardware_address(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_offer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), options in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_offer(&bytes);
            let mut damaged = offered();
            damaged.truncate(240);
            damaged.extend(options);
            let _ = parse_offer(&damaged);
        }
    }
}
