//! Protobuf, written: the few kinds of fields that the messages here are made of. Bytes only; it knows no message.

const BYTES: u8 = 2;
const FIXED: u8 = 1;
const VARINT: u8 = 0;

/// A number of one to ten bytes.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Number and kind of the field that follows.
fn tag(out: &mut Vec<u8>, field: u8, kind: u8) {
    varint(out, u64::from(field) << 3 | u64::from(kind));
}

/// A text, or bytes.
pub fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    tag(out, field, BYTES);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A double.
pub fn float(out: &mut Vec<u8>, field: u8, value: f64) {
    tag(out, field, FIXED);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// A whole number.
pub fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// A message within: what `write` puts down, behind its length.
pub fn message(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, field, &inner);
}
