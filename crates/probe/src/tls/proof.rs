//! Proof: whether an answer about revocation is to be believed. RFC 6960, sections 3.2 and 4.2.2.2: it must be about this
//! certificate, signed by whoever issued it or by whom they appointed, and in time.
//!
//! Never asks anybody: whether the one who was appointed is revoked in turn is not looked at.

use jiff::{SignedDuration, Timestamp};
use ring::digest;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::staple::{Responder, Signed, Single, Standing, Staple, parse_staple, take_signed};
use crate::asn1::{SEQUENCE, take_bits, take_of};

/// What one believes by.
pub(super) struct Beliefs<'a> {
    /// Authorities that may have issued the certificate without being shown.
    pub authorities: &'a RootCertStore,
    /// Signatures that count.
    pub algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
    pub now: Timestamp,
}

/// Why an answer proves nothing, as the end of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Its bytes are wrong, or it is a refusal.
    #[error("{0}")]
    Unreadable(String),
    /// Its certificate's issuer is not to be found.
    #[error("cannot be checked, since who issued the certificate is neither shown nor among the authorities (ca)")]
    IssuerUnknown,
    /// It is about others only.
    #[error("is about another certificate")]
    Elsewhere,
    /// The signature does not fit.
    #[error("carries a signature that is wrong")]
    Forged,
    /// Its key or algorithm is none that is believed.
    #[error("is signed in a way that is not believed, or not known here")]
    Weak,
    /// Nobody who is shown has signed it.
    #[error("is not signed by whoever issued the certificate")]
    Stranger,
    /// Somebody has who was not appointed.
    #[error("is signed by {0}, whom the certificate's issuer has not appointed for that")]
    NotAppointed(String),
    /// Somebody has who was appointed for something else.
    #[error("is signed by {0}, whose certificate is not made for signing such answers")]
    NotForThis(String),
    /// Somebody has whose certificate is not valid now.
    #[error("is signed by {0}, whose certificate is not valid now")]
    Lapsed(String),
    /// It speaks of a later time.
    #[error("is not valid before {0}; whose clock is wrong?")]
    Early(Timestamp),
    /// It has run out.
    #[error("is out of date since {0}")]
    Late(Timestamp),
}

/// How it stands with the first certificate of a chain, by the answer that came with it.
///
/// # Errors
/// Why the answer proves nothing.
pub(super) fn prove(staple: &[u8], chain: &[CertificateDer<'_>], by: &Beliefs<'_>) -> Result<Standing, Doubt> {
    let staple = parse_staple(staple).map_err(Doubt::Unreadable)?;
    let leaf = chain.first().and_then(|der| X509Certificate::from_der(der).ok()).ok_or(Doubt::IssuerUnknown)?.1;
    let key = issuer_key(&leaf, chain, by).ok_or(Doubt::IssuerUnknown)?;
    let issuer = Issuer { name: leaf.issuer().as_raw(), key };
    let about = |one: &&Single<'_>| one.serial == leaf.raw_serial() && issuer.is_meant_by(one);
    let answer = staple.answers.iter().find(about).ok_or(Doubt::Elsewhere)?;
    issuer.vouches(&staple, by)?;
    let hours = |hours| SignedDuration::from_hours(hours);
    // Clocks differ a little.
    let soon = by.now + SignedDuration::from_mins(5);
    if let Some(early) = [staple.produced_at, answer.this_update].into_iter().find(|time| *time > soon) {
        return Err(Doubt::Early(early));
    }
    // One without an end was made to be used at once.
    let end = answer.next_update.unwrap_or(answer.this_update.saturating_add(hours(24)).unwrap_or(answer.this_update));
    // A certificate that was revoked stays so.
    if end < by.now && answer.standing != Standing::Revoked {
        return Err(Doubt::Late(end));
    }
    Ok(answer.standing)
}

/// Who issued the certificate that an answer is about.
struct Issuer<'a> {
    /// The distinguished name, in DER.
    name: &'a [u8],
    key: Key<'a>,
}

/// A public key: the algorithm's identifier and the bits, as certificates hold them.
#[derive(Clone, Copy)]
struct Key<'a> {
    algorithm: &'a [u8],
    bits: &'a [u8],
}

impl<'a> Key<'a> {
    /// From the content of a SubjectPublicKeyInfo.
    fn of(mut content: &'a [u8]) -> Option<Key<'a>> {
        Some(Key { algorithm: take_of(&mut content, SEQUENCE)?, bits: take_bits(&mut content)? })
    }

    fn of_certificate(certificate: &X509Certificate<'a>) -> Option<Key<'a>> {
        let mut whole = certificate.tbs_certificate.subject_pki.raw;
        Key::of(take_of(&mut whole, SEQUENCE)?)
    }

    /// Whether this key made the signature.
    fn signed(self, signed: &Signed<'_>, by: &Beliefs<'_>) -> Result<(), Doubt> {
        let fits = |one: &&&dyn SignatureVerificationAlgorithm| {
            one.signature_alg_id().as_ref() == signed.algorithm && one.public_key_alg_id().as_ref() == self.algorithm
        };
        let mut doubt = Doubt::Weak;
        for algorithm in by.algorithms.iter().filter(fits) {
            match algorithm.verify_signature(self.bits, signed.data, signed.signature) {
                Ok(()) => return Ok(()),
                Err(_) => doubt = Doubt::Forged,
            }
        }
        Err(doubt)
    }
}

/// The key that signed the certificate, of those shown and those believed that bear its issuer's name.
fn issuer_key<'a>(leaf: &X509Certificate<'_>, chain: &'a [CertificateDer<'_>], by: &'a Beliefs<'_>) -> Option<Key<'a>> {
    let name = leaf.issuer().as_raw();
    let mut inside = name;
    let inside = take_of(&mut inside, SEQUENCE)?;
    let shown = chain.iter().filter_map(|der| X509Certificate::from_der(der).ok()).map(|(_, certificate)| certificate);
    let shown = shown.filter(|one| one.subject().as_raw() == name).filter_map(|one| Key::of_certificate(&one));
    let believed = by.authorities.roots.iter().filter(|root| root.subject.as_ref() == inside);
    let believed = believed.filter_map(|root| Key::of(root.subject_public_key_info.as_ref()));
    let signed = whole_signed(chain.first()?)?;
    shown.chain(believed).find(|key| key.signed(&signed, by).is_ok())
}

fn whole_signed(mut certificate: &[u8]) -> Option<Signed<'_>> {
    take_signed(&mut take_of(&mut certificate, SEQUENCE)?)
}

impl Issuer<'_> {
    /// Whether an answer is about a certificate of this issuer.
    fn is_meant_by(&self, one: &Single<'_>) -> bool {
        let algorithm = match one.digest {
            // Only finds the issuer; nothing rests on it.
            [0x2b, 14, 3, 2, 26] => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => &digest::SHA256,
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => &digest::SHA384,
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => &digest::SHA512,
            _ => return false,
        };
        digest::digest(algorithm, self.name).as_ref() == one.issuer_name
            && digest::digest(algorithm, self.key.bits).as_ref() == one.issuer_key
    }

    /// Whether the issuer, or somebody appointed, signed the answer.
    fn vouches(&self, staple: &Staple<'_>, by: &Beliefs<'_>) -> Result<(), Doubt> {
        if is_responder(staple.responder, self.name, self.key) {
            return self.key.signed(&staple.signed, by);
        }
        let mut doubt = Doubt::Stranger;
        for der in &staple.certificates {
            let Ok((_, certificate)) = X509Certificate::from_der(der) else { continue };
            let Some(key) = Key::of_certificate(&certificate) else { continue };
            if !is_responder(staple.responder, certificate.subject().as_raw(), key) {
                continue;
            }
            match self.appointed(der, &certificate, by).and_then(|()| key.signed(&staple.signed, by)) {
                Ok(()) => return Ok(()),
                Err(why) => doubt = why,
            }
        }
        Err(doubt)
    }

    /// Whether the issuer itself signed that certificate, for signing answers, and for today.
    fn appointed(&self, der: &[u8], certificate: &X509Certificate<'_>, by: &Beliefs<'_>) -> Result<(), Doubt> {
        let name: String = certificate.subject().to_string().chars().take(200).collect();
        let by_issuer = whole_signed(der).ok_or(Doubt::Weak).and_then(|signed| self.key.signed(&signed, by));
        if certificate.issuer().as_raw() != self.name || by_issuer.is_err() {
            return Err(Doubt::NotAppointed(name));
        }
        let use_of_it = certificate.extended_key_usage().ok().flatten();
        if !use_of_it.is_some_and(|extension| extension.value.ocsp_signing) {
            return Err(Doubt::NotForThis(name));
        }
        let (from, until) =
            (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
        if !(from..=until).contains(&by.now.as_second()) {
            return Err(Doubt::Lapsed(name));
        }
        Ok(())
    }
}

fn is_responder(responder: Responder<'_>, name: &[u8], key: Key<'_>) -> bool {
    match responder {
        Responder::Named(wanted) => wanted == name,
        Responder::Keyed(wanted) => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key.bits).as_ref() == wanted,
    }
}
