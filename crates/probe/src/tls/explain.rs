//! Explain: what went wrong in a handshake, in words for somebody who has to mend it.

use rustls::{AlertDescription, CertificateError, Error};

use crate::env::Failure;

/// The error as a part of a sentence about the peer.
pub(crate) fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(wrong) => certificate(wrong),
        Error::NoCertificatesPresented => "it showed no certificate".to_owned(),
        Error::InvalidMessage(_) => "what it speaks is not TLS".to_owned(),
        Error::PeerIncompatible(why) => format!("it offers no TLS version or cipher that is still safe ({why:?})"),
        Error::AlertReceived(AlertDescription::ProtocolVersion) => "it speaks only TLS older than 1.2".to_owned(),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => "it does not know the name asked for".to_owned(),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "it offers no version of the protocol that was asked for (ALPN)".to_owned()
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => "it wants a client certificate".to_owned(),
        Error::AlertReceived(alert) => format!("it broke off the handshake (alert {alert:?})"),
        other => other.to_string(),
    }
}

fn certificate(wrong: &CertificateError) -> String {
    use CertificateError as Wrong;
    match wrong {
        Wrong::Expired | Wrong::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => "the certificate is not valid yet".to_owned(),
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            "the certificate is for another name".to_owned()
        }
        Wrong::UnknownIssuer => "the certificate comes from no authority that is trusted here".to_owned(),
        Wrong::Revoked => "the certificate is revoked".to_owned(),
        Wrong::BadSignature => "the certificate's signature is wrong".to_owned(),
        Wrong::BadEncoding => "the certificate is damaged".to_owned(),
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => {
            "the certificate is not made for servers".to_owned()
        }
        // Shown as webpki's own word, since rustls has none: an authority that is used as a server's certificate.
        Wrong::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the certificate is an authority's own, signed by itself".to_owned()
        }
        other => format!("the certificate is not acceptable ({other:?})"),
    }
}

/// A failed handshake: rustls hands its errors out wrapped in I/O errors.
pub(crate) fn handshake_failure(peer: &str, error: &std::io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(reason) => Failure::Peer(format!("no TLS with {peer}: {}", explain(reason))),
        None => Failure::from_io(&format!("the TLS handshake with {peer}"), error),
    }
}
