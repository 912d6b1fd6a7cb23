//! Something packed by gzip, unpacked at once into memory of its own size: bodies and pages come whole, so nothing is read bit by
//! bit, and no window is kept beside the output. It must never make more than the limit, whatever the page says of itself.

use zlib_rs::{Inflate, InflateFlush, Status};

/// The largest window, with the header of gzip.
const GZIP: u8 = 16 + 15;
/// Bytes that one byte can become.
const MOST_OF_ONE: usize = 1032;

/// Why nothing comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It is longer than the limit.
    TooLong,
    /// It is no gzip, or not all of it.
    NoGzip(&'static str),
}

/// Unpacks gzip of one or several members.
pub(crate) fn gunzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, Broken> {
    let (mut out, mut length, mut rest) = (Vec::new(), 0, packed);
    // What follows the last member and is none is nobody's, as gzip itself holds it.
    while length == 0 && out.is_empty() || rest.starts_with(&[0x1f, 0x8b]) {
        let mut member = Inflate::new(true, GZIP);
        loop {
            if length == out.len() {
                grow(&mut out, rest, limit)?;
            }
            let (read, made) = (member.total_in(), member.total_out());
            let status = member.decompress(rest, &mut out[length..], InflateFlush::NoFlush);
            rest = &rest[(member.total_in() - read) as usize..];
            length += (member.total_out() - made) as usize;
            if length > limit {
                return Err(Broken::TooLong);
            }
            match status {
                Ok(Status::StreamEnd) => break,
                Ok(_) if rest.is_empty() && length < out.len() => return Err(Broken::NoGzip("it ends too early")),
                Ok(_) if (member.total_in(), member.total_out()) == (read, made) => {
                    return Err(Broken::NoGzip("it does not go on"));
                }
                Ok(_) => {}
                Err(error) => return Err(Broken::NoGzip(error.as_str())),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    out.truncate(length);
    Ok(out)
}

/// Makes room: for as much as the end of the file says, and afterwards for twice as much, one byte more than is allowed at most.
fn grow(out: &mut Vec<u8>, rest: &[u8], limit: usize) -> Result<(), Broken> {
    let told = rest.last_chunk::<4>().map_or(0, |end| u32::from_le_bytes(*end) as usize);
    let told = told.min(rest.len().saturating_mul(MOST_OF_ONE));
    // A byte more than it says, so that its end is met with room left.
    let wanted = if out.is_empty() { told + 1 } else { out.len().saturating_mul(2) };
    let wanted = wanted.max(out.len() + 1024).min(limit.saturating_add(1));
    if wanted <= out.len() {
        return Err(Broken::TooLong);
    }
    out.resize(wanted, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_out_and_never_more_than_the_limit() {
        for length in [0, 1, 1000, 100_000, 1_000_000] {
            let plain: Vec<u8> = (0..length).map(|n| (n * n % 251) as u8).collect();
            let given = packed(&plain);
            assert_eq!(gunzip(&given, length), Ok(plain.clone()), "{length}");
            if length > 0 {
                assert_eq!(gunzip(&given, length - 1), Err(Broken::TooLong), "{length}");
            }
            let both = [given.as_slice(), &given].concat();
            assert_eq!(gunzip(&both, 2 * length).unwrap(), plain.repeat(2), "two members");
            assert!(matches!(gunzip(&given[..given.len() - 1], length), Err(Broken::NoGzip(_))), "{length}: cut short");
        }
        let bomb = packed(&vec![0; 10 << 20]);
        assert_eq!(gunzip(&bomb, 1 << 20), Err(Broken::TooLong));
        assert!(matches!(gunzip(b"no gzip at all", 100), Err(Broken::NoGzip(_))));
        assert!(matches!(gunzip(b"", 100), Err(Broken::NoGzip(_))));
        let mut lies = packed(b"a page");
        let end = lies.len() - 4;
        lies[end..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(gunzip(&lies, 100), Err(Broken::NoGzip(_))), "its length is part of what is checked");
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), gzip in any::<bool>()) {
            let head: &[u8] = if gzip { &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3] } else { &[] };
            let given = [head, &bytes].concat();
            if let Ok(out) = gunzip(&given, 5000) {
                prop_assert!(out.len() <= 5000);
            }
        }
    }
}
