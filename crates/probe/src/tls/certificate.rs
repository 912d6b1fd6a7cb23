//! Certificate: what an X.509 certificate says, and reading authorities from PEM. Bytes in, value out; verifies nothing.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// What matters of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's distinguished name, at most 200 characters; often only `CN=…`, sometimes empty.
    pub subject: String,
    /// The issuer's distinguished name, at most 200 characters.
    pub issuer: String,
    /// Host names and addresses it is for, at most 100.
    pub names: Vec<String>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// What of it is too weak for today, as a part of a sentence: a short key, a broken hash.
    pub weakness: Option<String>,
}

/// Reads one certificate in DER.
///
/// # Errors
/// A sentence, when the bytes are no X.509 certificate or its dates lie outside the years 1 to 9999.
pub fn parse_certificate(der: &[u8]) -> Result<Certificate, String> {
    const MAX_NAMES: usize = 100;
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| format!("no X.509 certificate ({error})"))?;
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_| "its dates are out of range".to_owned())
    };
    let names = match parsed.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(shown_name).take(MAX_NAMES).collect(),
        _ => Vec::new(),
    };
    Ok(Certificate {
        subject: short(&parsed.subject().to_string()),
        issuer: short(&parsed.issuer().to_string()),
        names,
        not_before: moment(parsed.validity().not_before)?,
        not_after: moment(parsed.validity().not_after)?,
        weakness: weakness(&parsed),
    })
}

/// Keys below 2048 bits (RSA) or 224 (curves) can be broken by those who want to; MD5 and SHA-1 are.
fn weakness(certificate: &X509Certificate<'_>) -> Option<String> {
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    let broken = match algorithm.as_str() {
        "1.2.840.113549.1.1.2" | "1.2.840.113549.1.1.4" => Some("a signature with MD5"),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("a signature with SHA-1"),
        _ => None,
    };
    // An authority's own signature over itself proves nothing, so it need not be strong.
    if let Some(broken) = broken.filter(|_| certificate.subject() != certificate.issuer()) {
        return Some(broken.to_owned());
    }
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < 2048 => Some(format!("an RSA key of {} bits", key.key_size())),
        Ok(PublicKey::EC(key)) if key.key_size() < 224 => Some(format!("a key on a curve of {} bits", key.key_size())),
        Ok(PublicKey::DSA(_)) => Some("a DSA key".to_owned()),
        _ => None,
    }
}

fn shown_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(short(name)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(std::net::Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Reads certificate authorities from PEM text: at least one certificate, at most 1,000.
///
/// # Errors
/// A sentence, when there is none or one of them is damaged.
pub fn parse_authorities(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    const MAX_AUTHORITIES: usize = 1000;
    let mut authorities = Vec::new();
    for item in CertificateDer::pem_slice_iter(bytes).take(MAX_AUTHORITIES) {
        let der = item.map_err(|error| format!("is not PEM text: {error}"))?;
        parse_certificate(&der)?;
        authorities.push(der);
    }
    if authorities.is_empty() {
        return Err("holds no certificate; paste PEM text that begins with -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(authorities)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec!["shop.example.org".into(), "192.0.2.7".into()]).unwrap()
    }

    #[test]
    fn a_certificate_tells_its_names_and_dates() {
        let made = example();
        let read = parse_certificate(made.cert.der()).unwrap();
        assert_eq!(read.names, ["shop.example.org", "192.0.2.7"]);
        assert!(read.not_before < read.not_after);
        assert_eq!(read.subject, read.issuer);
    }

    #[test]
    fn authorities_are_read_from_pem_or_refused() {
        let pem = example().cert.pem();
        assert_eq!(parse_authorities(format!("{pem}\n{pem}").as_bytes()).unwrap().len(), 2);
        assert!(parse_authorities(b"").unwrap_err().contains("no certificate"));
        assert!(parse_authorities(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }

    proptest! {
        #[test]
        fn no_certificate_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_certificate(&bytes);
            let _ = parse_authorities(&bytes);
        }

        #[test]
        fn no_damaged_certificate_panics(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut der = example().cert.der().to_vec();
            let at = at % der.len();
            der[at] = byte;
            let _ = parse_certificate(&der);
            let _ = parse_certificate(&der[..cut.min(der.len())]);
        }
    }
}
