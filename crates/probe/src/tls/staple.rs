//! Staple: what an OCSP answer (RFC 6960) that came with a certificate says. Reads it; does not check who signed it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::asn1::{ENUMERATED, OCTETS, SEQUENCE, take, take_of};

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

/// What an answer says of the first certificate in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    /// How it stands with it.
    pub standing: Standing,
    /// Since when that was known.
    pub this_update: Timestamp,
    /// Until when it may be relied on; `None` when newer answers are always to be had.
    pub next_update: Option<Timestamp>,
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, as the end of a sentence about it.
pub fn parse_staple(der: &[u8]) -> Result<Staple, String> {
    read(der).unwrap_or_else(|| Err("cannot be read".to_owned()))
}

fn read(mut der: &[u8]) -> Option<Result<Staple, String>> {
    const CONTEXT_0: u8 = 0xa0;
    let mut response = take_of(&mut der, SEQUENCE)?;
    let status = take_of(&mut response, ENUMERATED)?;
    if status != [0] {
        return Some(Err(format!("is a refusal (status {})", status.first()?)));
    }
    let mut explicit = take_of(&mut response, CONTEXT_0)?;
    let mut typed = take_of(&mut explicit, SEQUENCE)?;
    take(&mut typed)?; // which kind of answer; there is one
    let mut basic = take_of(&mut typed, OCTETS)?;
    let mut basic = take_of(&mut basic, SEQUENCE)?;
    let mut data = take_of(&mut basic, SEQUENCE)?;
    // A version may come first, then who answers and when.
    let (tag, _) = take(&mut data)?;
    if tag == CONTEXT_0 {
        take(&mut data)?;
    }
    take(&mut data)?;
    let mut answers = take_of(&mut data, SEQUENCE)?;
    let mut one = take_of(&mut answers, SEQUENCE)?;
    take(&mut one)?; // which certificate
    let standing = match take(&mut one)?.0 & 0x1f {
        0 => Standing::Good,
        1 => Standing::Revoked,
        _ => Standing::Unknown,
    };
    let this_update = moment(take(&mut one)?.1)?;
    let next_update = match take(&mut one) {
        Some((CONTEXT_0, mut inside)) => Some(moment(take(&mut inside)?.1)?),
        _ => None,
    };
    Some(Ok(Staple { standing, this_update, next_update }))
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
    use crate::asn1::value;

    fn staple(standing: &[u8]) -> Vec<u8> {
        let time = |text: &str| value(0x18, text.as_bytes());
        let one =
            [value(SEQUENCE, b""), standing.to_vec(), time("20261121080000Z"), value(0xa0, &time("20261128080000Z"))]
                .concat();
        let answers = value(SEQUENCE, &value(SEQUENCE, &one));
        let data = value(SEQUENCE, &[value(0xa2, b""), time("20261121080000Z"), answers].concat());
        let basic = value(SEQUENCE, &data);
        let typed = value(SEQUENCE, &[value(6, &[1]), value(OCTETS, &basic)].concat());
        value(SEQUENCE, &[value(ENUMERATED, &[0]), value(0xa0, &typed)].concat())
    }

    #[test]
    fn an_answer_says_how_it_stands_and_until_when() {
        for (standing, expected) in
            [(&[0x80, 0][..], Standing::Good), (&[0xa1, 0], Standing::Revoked), (&[0x82, 0], Standing::Unknown)]
        {
            let read = parse_staple(&staple(standing)).unwrap();
            assert_eq!(read.standing, expected);
            assert_eq!(read.next_update.unwrap().to_string(), "2026-11-28T08:00:00Z");
        }
        assert!(parse_staple(&value(SEQUENCE, &value(ENUMERATED, &[6]))).unwrap_err().contains("refusal"));
        assert!(parse_staple(b"").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0usize..60, byte: u8) {
            let _ = parse_staple(&bytes);
            let mut damaged = staple(&[0x80, 0]);
            damaged[at] = byte;
            let _ = parse_staple(&damaged);
            let _ = moment(&bytes);
        }
    }
}
