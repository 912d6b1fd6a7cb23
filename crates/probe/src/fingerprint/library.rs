//! Library: the signatures, questions and makers that Mainstay brings. Read once, on first use.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::signature::{Signature, parse_signatures};
use crate::snmp::Oid;

/// All that is known of services and makers.
#[derive(Debug, Default)]
pub struct Fingerprints {
    signatures: Vec<Signature>,
    asks: HashMap<u16, Vec<u8>>,
    tls: Vec<u16>,
    makers: HashMap<u32, String>,
}

const SIGNATURES: &[(&str, &str)] = &[
    ("services-hosts.yaml", include_str!("../../fingerprints/services-hosts.yaml")),
    ("services-data.yaml", include_str!("../../fingerprints/services-data.yaml")),
    ("services-web.yaml", include_str!("../../fingerprints/services-web.yaml")),
];
const ASKS: &str = include_str!("../../fingerprints/asks.yaml");
const MAKERS: &str = include_str!("../../fingerprints/enterprises.yaml");

/// One line of `asks.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asks {
    ports: Vec<u16>,
    send: String,
    tls: Vec<u16>,
}

impl Fingerprints {
    /// Those that Mainstay brings.
    pub fn own() -> &'static Fingerprints {
        static OWN: OnceLock<Fingerprints> = OnceLock::new();
        OWN.get_or_init(|| {
            Fingerprints::read(SIGNATURES, ASKS, MAKERS).unwrap_or_else(|faults| {
                // A test reads them, so a release cannot have one that is wrong.
                tracing::error!(?faults, "a fingerprint of Mainstay's own is wrong");
                Fingerprints::default()
            })
        })
    }

    /// Those of these files.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub fn read(signatures: &[(&str, &str)], asks: &str, makers: &str) -> Result<Fingerprints, Vec<String>> {
        let mut all = Fingerprints::default();
        let mut faults = Vec::new();
        for (file, text) in signatures {
            match parse_signatures(file, text.as_bytes()) {
                Ok(found) => all.signatures.extend(found),
                Err(found) => faults.extend(found),
            }
        }
        match yaml_serde::from_str::<Vec<Asks>>(asks) {
            Ok(lines) => {
                for line in lines {
                    all.tls.extend(line.tls);
                    match parse_bytes(line.send.as_bytes()) {
                        Ok(bytes) => all.asks.extend(line.ports.into_iter().map(|port| (port, bytes.clone()))),
                        Err(why) => faults.push(format!("asks.yaml: {why}")),
                    }
                }
            }
            Err(error) => faults.push(format!("asks.yaml: {error}")),
        }
        match yaml_serde::from_str(makers) {
            Ok(found) => all.makers = found,
            Err(error) => faults.push(format!("enterprises.yaml: {error}")),
        }
        if faults.is_empty() { Ok(all) } else { Err(faults) }
    }

    /// The signatures, in the order in which they are tried.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// What a service at that port is asked; `Some` of nothing is a service that is only listened to.
    pub fn ask(&self, port: u16) -> Option<&[u8]> {
        self.asks.get(&port).map(Vec::as_slice)
    }

    /// Whether what listens there usually speaks TLS from the first byte.
    pub fn is_tls(&self, port: u16) -> bool {
        self.tls.contains(&port)
    }

    /// Who makes devices of that identity (`sysObjectID`), by the number of the enterprise in it.
    pub fn maker(&self, identity: &Oid) -> Option<&str> {
        let number = identity.arcs().strip_prefix(&[1, 3, 6, 1, 4, 1])?.first()?;
        self.makers.get(number).map(String::as_str)
    }
}

/// The bytes that a text with `\r`, `\n`, `\\` and `\xNN` stands for.
///
/// # Errors
/// A sentence that names what is no such sign.
pub fn parse_bytes(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, used) = match rest {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => {
                let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, 3),
                    _ => return Err("\\x is followed by two hexadecimal digits".to_owned()),
                }
            }
            _ => return Err("a backslash is followed by r, n, x or a backslash".to_owned()),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_fingerprint_of_our_own_is_valid() {
        match Fingerprints::read(SIGNATURES, ASKS, MAKERS) {
            Err(faults) => panic!("{}", faults.join("\n")),
            Ok(all) => assert!(all.signatures.len() > 100 && all.makers.len() > 80 && all.tls.len() > 10),
        }
    }

    #[test]
    fn makers_are_known_by_their_number() {
        let own = Fingerprints::own();
        assert_eq!(own.maker(&"1.3.6.1.4.1.14988.1".parse().unwrap()), Some("MikroTik"));
        assert_eq!(own.maker(&"1.3.6.1.2.1.1".parse().unwrap()), None);
        assert_eq!(own.ask(6379), Some(&b"PING\r\n"[..]));
        assert_eq!(own.ask(5432), Some(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f][..]));
        assert!(own.is_tls(443) && !own.is_tls(80));
    }

    proptest! {
        #[test]
        fn no_text_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "(\\\\[rnx\\\\]?[0-9a-g]{0,3}){0,6}") {
            let _ = (parse_bytes(&bytes), parse_bytes(text.as_bytes()));
            let _ = parse_signatures("x", &bytes);
        }
    }
}
