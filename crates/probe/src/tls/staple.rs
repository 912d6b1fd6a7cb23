//! Staple: what an OCSP answer (RFC 6960) that came with a certificate says. Bytes in, value out; believes nothing of it:
//! whether it is to be believed is decided in `proof`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::asn1::{BOOLEAN, ENUMERATED, INTEGER, OCTETS, SEQUENCE, as_number, take, take_bits, take_of, take_whole};

/// How it stands with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not revoked.
    Good,
    /// It is.
    Revoked,
    /// Whoever answered does not know it.
    Unknown,
}

/// An answer, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple<'a> {
    pub(super) signed: Signed<'a>,
    pub(super) responder: Responder<'a>,
    /// When it was signed.
    pub(super) produced_at: Timestamp,
    /// What it says, of one certificate each.
    pub(super) answers: Vec<Single<'a>>,
    /// Certificates of whoever signed it, in DER.
    pub(super) certificates: Vec<&'a [u8]>,
}

/// What is signed and how, in an answer as in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signed<'a> {
    /// With its tag and length.
    pub data: &'a [u8],
    /// The content of the algorithm's identifier.
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
}

/// Who says to have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Responder<'a> {
    /// Whoever has this distinguished name (DER).
    Named(&'a [u8]),
    /// Whose key has this SHA-1 digest.
    Keyed(&'a [u8]),
}

/// What is said of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Single<'a> {
    /// Object identifier of the digest of the issuer's name and key.
    pub digest: &'a [u8],
    pub issuer_name: &'a [u8],
    pub issuer_key: &'a [u8],
    pub serial: &'a [u8],
    pub standing: Standing,
    /// Since when that was known.
    pub this_update: Timestamp,
    /// Until when it may be relied on; `None` when newer answers are always to be had.
    pub next_update: Option<Timestamp>,
}

/// More answers and certificates than this are not looked at.
const MAX_PARTS: usize = 32;

const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
const CONTEXT_2: u8 = 0xa2;
const TIME: u8 = 0x18;

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, as the end of a sentence about it.
pub fn parse_staple(der: &[u8]) -> Result<Staple<'_>, String> {
    read(der).unwrap_or_else(|| Err("cannot be read".to_owned()))
}

fn read(mut der: &[u8]) -> Option<Result<Staple<'_>, String>> {
    /// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
    const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
    const OBJECT: u8 = 6;
    let mut response = take_of(&mut der, SEQUENCE)?;
    let status = take_of(&mut response, ENUMERATED)?;
    if status != [0] {
        return Some(Err(format!("is a refusal (status {})", status.first()?)));
    }
    let mut explicit = take_of(&mut response, CONTEXT_0)?;
    let mut typed = take_of(&mut explicit, SEQUENCE)?;
    if take_of(&mut typed, OBJECT)? != BASIC {
        return Some(Err("is of a kind that is not known here".to_owned()));
    }
    let mut basic = take_of(&mut typed, OCTETS)?;
    let mut basic = take_of(&mut basic, SEQUENCE)?;
    let signed = take_signed(&mut basic)?;
    let mut certificates = Vec::new();
    if let Some(mut shown) = take_of(&mut basic, CONTEXT_0) {
        let mut shown = take_of(&mut shown, SEQUENCE)?;
        while !shown.is_empty() && certificates.len() < MAX_PARTS {
            certificates.push(take_whole(&mut shown, SEQUENCE)?);
        }
    }
    let mut data = signed.data;
    let mut data = take_of(&mut data, SEQUENCE)?;
    if let Some(version) = take_of(&mut data, CONTEXT_0)
        && version != [INTEGER, 1, 0]
    {
        return Some(Err("is of a version that is not known here".to_owned()));
    }
    let responder = match take(&mut data)? {
        (CONTEXT_1, name) => Responder::Named(name),
        (CONTEXT_2, mut key) => Responder::Keyed(take_of(&mut key, OCTETS)?),
        _ => return None,
    };
    let produced_at = moment(take_of(&mut data, TIME)?)?;
    let mut listed = take_of(&mut data, SEQUENCE)?;
    let mut answers = Vec::new();
    let mut wants_more = wants_more(take_of(&mut data, CONTEXT_1))?;
    while !listed.is_empty() && answers.len() < MAX_PARTS {
        let mut one = take_of(&mut listed, SEQUENCE)?;
        answers.push(single(&mut one)?);
        wants_more |= self::wants_more(take_of(&mut one, CONTEXT_1))?;
    }
    if wants_more {
        return Some(Err("must not be relied on without knowing an extension that is not known here".to_owned()));
    }
    Some(Ok(Staple { signed, responder, produced_at, answers, certificates }))
}

/// What is signed, the algorithm and the signature.
pub(super) fn take_signed<'a>(bytes: &mut &'a [u8]) -> Option<Signed<'a>> {
    let data = take_whole(bytes, SEQUENCE)?;
    let algorithm = take_of(bytes, SEQUENCE)?;
    Some(Signed { data, algorithm, signature: take_bits(bytes)? })
}

/// All but its extensions.
fn single<'a>(one: &mut &'a [u8]) -> Option<Single<'a>> {
    const OBJECT: u8 = 6;
    let mut which = take_of(one, SEQUENCE)?;
    let mut digest = take_of(&mut which, SEQUENCE)?;
    Some(Single {
        digest: take_of(&mut digest, OBJECT)?,
        issuer_name: take_of(&mut which, OCTETS)?,
        issuer_key: take_of(&mut which, OCTETS)?,
        serial: take_of(&mut which, INTEGER)?,
        standing: match take(one)?.0 {
            0x80 => Standing::Good,
            0xa1 => Standing::Revoked,
            0x82 => Standing::Unknown,
            _ => return None,
        },
        this_update: moment(take_of(one, TIME)?)?,
        next_update: match take_of(one, CONTEXT_0) {
            Some(mut inside) => Some(moment(take_of(&mut inside, TIME)?)?),
            None => None,
        },
    })
}

/// Whether extensions hold one that must be understood. We understand none.
fn wants_more(extensions: Option<&[u8]>) -> Option<bool> {
    let Some(mut extensions) = extensions else { return Some(false) };
    let mut extensions = take_of(&mut extensions, SEQUENCE)?;
    while !extensions.is_empty() {
        let mut extension = take_of(&mut extensions, SEQUENCE)?;
        take(&mut extension)?; // which one
        if take_of(&mut extension, BOOLEAN).and_then(as_number).is_some_and(|critical| critical != 0) {
            return Some(true);
        }
    }
    Some(false)
}

/// `20261121080000Z`.
fn moment(text: &[u8]) -> Option<Timestamp> {
    let digits =
        text.strip_suffix(b"Z").filter(|digits| digits.len() == 14 && digits.iter().all(u8::is_ascii_digit))?;
    let number = |from: usize, to: usize| std::str::from_utf8(&digits[from..to]).ok()?.parse::<i16>().ok();
    let small = |from: usize| number(from, from + 2).and_then(|number| i8::try_from(number).ok());
    let time = DateTime::new(number(0, 4)?, small(4)?, small(6)?, small(8)?, small(10)?, small(12)?, 0).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::asn1::{BITS, group, value};

    const GOOD: &[u8] = &[0x80, 0];

    /// An answer with that standing, and extensions of its own.
    fn staple(standing: &[u8], extensions: &[u8]) -> Vec<u8> {
        let time = |text: &str| value(TIME, text.as_bytes());
        let digest = value(SEQUENCE, &value(6, &[1]));
        let which = [digest, value(OCTETS, b"name"), value(OCTETS, b"key"), value(INTEGER, &[7])];
        let until = value(CONTEXT_0, &time("20261128080000Z"));
        let one = [group(SEQUENCE, &which), standing.to_vec(), time("20261121080000Z"), until];
        let answers = value(SEQUENCE, &group(SEQUENCE, &one));
        let responder = value(CONTEXT_2, &value(OCTETS, b"digest"));
        let data = [responder, time("20261121080000Z"), answers, extensions.to_vec()];
        let basic = [group(SEQUENCE, &data), value(SEQUENCE, b""), value(BITS, &[0, 1, 2])];
        let typed = [value(6, &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1]), value(OCTETS, &group(SEQUENCE, &basic))];
        group(SEQUENCE, &[value(ENUMERATED, &[0]), value(CONTEXT_0, &group(SEQUENCE, &typed))])
    }

    #[test]
    fn an_answer_says_how_it_stands_and_until_when() {
        for (standing, expected) in
            [(GOOD, Standing::Good), (&[0xa1, 0], Standing::Revoked), (&[0x82, 0], Standing::Unknown)]
        {
            let bytes = staple(standing, b"");
            let read = parse_staple(&bytes).unwrap();
            assert_eq!((read.responder, read.signed.signature), (Responder::Keyed(b"digest"), &[1, 2][..]));
            let one = read.answers[0];
            assert_eq!((one.standing, one.serial, one.issuer_name), (expected, &[7][..], &b"name"[..]));
            assert_eq!(one.next_update.unwrap().to_string(), "2026-11-28T08:00:00Z");
        }
        assert!(parse_staple(&value(SEQUENCE, &value(ENUMERATED, &[6]))).unwrap_err().contains("refusal"));
        assert!(parse_staple(&staple(&[0x87, 0], b"")).is_err()); // no standing that is known
        assert!(parse_staple(b"").is_err());
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_told() {
        for (critical, is_read) in [(&[][..], true), (&[BOOLEAN, 1, 0], true), (&[BOOLEAN, 1, 0xff], false)] {
            let extension = [&value(6, &[9])[..], critical, &value(OCTETS, b"")].concat();
            let extensions = value(CONTEXT_1, &value(SEQUENCE, &value(SEQUENCE, &extension)));
            assert_eq!(parse_staple(&staple(GOOD, &extensions)).is_ok(), is_read, "{critical:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0usize..100, byte: u8) {
            let _ = parse_staple(&bytes);
            let mut damaged = staple(GOOD, b"");
            damaged[at] = byte;
            let _ = parse_staple(&damaged);
            let _ = moment(&bytes);
        }
    }
}
