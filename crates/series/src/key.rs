//! The bytes that name a series: its labels as remote write writes them, sorted, each name once, none empty.
//!
//! A sender of remote write sends exactly these bytes, so a known series is found by hashing a slice of the request: no text is
//! made and no label is looked at. Every other format, and a sender that does not sort, is brought into this form first.

use crate::labels::{Labels, LabelsError};

/// Field 1 of a time series (a label), and of a label (its name); field 2 of a label (its value); each with a length.
const LABEL: u8 = 0x0a;
const NAME: u8 = 0x0a;
const VALUE: u8 = 0x12;

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length as u8) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn length_bytes(length: usize) -> usize {
    (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize
}

/// Appends one pair. The caller brings them in order of their names.
pub(crate) fn put_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let inner = 2 + length_bytes(name.len()) + name.len() + length_bytes(value.len()) + value.len();
    out.push(LABEL);
    put_length(out, inner);
    out.push(NAME);
    put_length(out, name.len());
    out.extend_from_slice(name);
    out.push(VALUE);
    put_length(out, value.len());
    out.extend_from_slice(value);
}

/// The key of these labels.
pub(crate) fn of(labels: &Labels) -> Vec<u8> {
    let mut out = Vec::with_capacity(labels.iter().map(|(n, v)| n.len() + v.len() + 6).sum());
    for (name, value) in labels.iter() {
        put_pair(&mut out, name.as_bytes(), value.as_bytes());
    }
    out
}

/// The pairs of a key or of a sender's labels, in the order given; an item is `None` where the bytes have no meaning.
#[derive(Clone)]
pub(crate) struct Pairs<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let pair = take_label(&mut self.0);
        if pair.is_none() {
            self.0 = &[];
        }
        Some(pair)
    }
}

fn take_label<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    if take_byte(rest)? != LABEL {
        return None;
    }
    let mut label = take_bytes(rest)?;
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while !label.is_empty() {
        match take_byte(&mut label)? {
            NAME => name = take_bytes(&mut label)?,
            VALUE => value = take_bytes(&mut label)?,
            _ => return None,
        }
    }
    Some((name, value))
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, more) = rest.split_first()?;
    *rest = more;
    Some(*first)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    for shift in (0..28).step_by(7) {
        let byte = take_byte(rest)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let (taken, more) = rest.split_at_checked(length)?;
            *rest = more;
            return Some(taken);
        }
    }
    None
}

/// Whether these bytes are the key that [`of`] makes of their labels. Makes no text.
pub(crate) fn is_canonical(key: &[u8]) -> bool {
    let (mut rest, mut before, mut count): (&[u8], &[u8], usize) = (key, &[], 0);
    // Nearly all keys are, and then each piece of them is text.
    let ascii = key.is_ascii();
    while !rest.is_empty() {
        let Some((name, value)) = take_canonical(&mut rest) else { return false };
        let is_text = ascii || std::str::from_utf8(value).is_ok();
        if !is_text || !Labels::is_value_length(value.len()) {
            return false;
        }
        if name <= before || !std::str::from_utf8(name).is_ok_and(Labels::is_name) {
            return false;
        }
        before = name;
        count += 1;
    }
    Labels::is_count(count)
}

/// A pair that is written as [`put_pair`] writes it.
fn take_canonical<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let tag = |rest: &mut &'a [u8], tag| (take_byte(rest)? == tag).then_some(());
    let bytes = |rest: &mut &'a [u8]| {
        let length = take_shortest(rest)?;
        let (taken, more) = rest.split_at_checked(length)?;
        *rest = more;
        Some(taken)
    };
    tag(rest, LABEL)?;
    let inner = take_shortest(rest)?;
    let before = rest.len();
    tag(rest, NAME)?;
    let name = bytes(rest)?;
    tag(rest, VALUE)?;
    let value = bytes(rest)?;
    (before - rest.len() == inner).then_some((name, value))
}

/// A length in as few bytes as it needs.
fn take_shortest(rest: &mut &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for shift in (0..28).step_by(7) {
        let byte = take_byte(rest)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (byte > 0 || shift == 0).then_some(length);
        }
    }
    None
}

/// What a sender's bytes say, as labels: sorted, without empty ones.
///
/// # Errors
/// [`LabelsError`] names what is wrong.
pub(crate) fn labels(raw: &[u8]) -> Result<Labels, LabelsError> {
    let mut pairs = Vec::new();
    for pair in Pairs(raw) {
        let (name, value) = pair.ok_or(LabelsError::Text)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| LabelsError::Text);
        pairs.push((text(name)?, text(value)?));
    }
    Labels::new(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn labels_come_back_from_their_key_whatever_their_order(
            pairs in prop::collection::btree_map("[a-z_]{1,9}", "\\PC{1,200}", 1..20).prop_map(|m| m.into_iter().collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let labels_in = Labels::new(pairs.iter().map(|(n, v)| (n, v))).unwrap();
            let mut unsorted = Vec::new();
            for (name, value) in &pairs {
                put_pair(&mut unsorted, name.as_bytes(), value.as_bytes());
            }
            prop_assert_eq!(&labels(&unsorted).unwrap(), &labels_in);
            let key = of(&labels_in);
            prop_assert!(is_canonical(&key));
            prop_assert_eq!(is_canonical(&unsorted), unsorted == key);
            prop_assert_eq!(labels(&key).unwrap(), labels_in);
        }

        #[test]
        fn any_bytes_are_labels_or_an_error(raw in any::<Vec<u8>>()) {
            let found = labels(&raw);
            if is_canonical(&raw) {
                prop_assert_eq!(of(&found.unwrap()), raw);
            }
        }
    }

    #[test]
    fn what_is_no_text_or_no_label_is_refused() {
        let mut no_text = Vec::new();
        put_pair(&mut no_text, b"a", &[0xff]);
        assert_eq!(labels(&no_text), Err(LabelsError::Text));
        assert_eq!(labels(&[0x0a, 9, 1]), Err(LabelsError::Text));
        assert_eq!(labels(&[]), Err(LabelsError::Empty));
    }
}
