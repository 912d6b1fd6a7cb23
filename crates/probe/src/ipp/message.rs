//! Message: IPP as bytes (RFC 8010): the one question asked, and the attributes of its answer. Total; bounded by the answer.

use std::collections::BTreeMap;

/// The values of each attribute, as text.
pub type Attributes = BTreeMap<String, Vec<String>>;

const GET_PRINTER_ATTRIBUTES: u16 = 0x000b;
const WANTED: &[&str] = &[
    "printer-state",
    "printer-state-reasons",
    "printer-is-accepting-jobs",
    "printer-make-and-model",
    "queued-job-count",
    "marker-names",
    "marker-levels",
];

/// The bytes that ask a printer for its attributes.
pub(super) fn question(printer: &str, user: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![2, 0];
    bytes.extend(GET_PRINTER_ATTRIBUTES.to_be_bytes());
    bytes.extend(1u32.to_be_bytes());
    bytes.push(1); // operation attributes
    add(&mut bytes, 0x47, "attributes-charset", "utf-8");
    add(&mut bytes, 0x48, "attributes-natural-language", "en");
    add(&mut bytes, 0x45, "printer-uri", printer);
    add(&mut bytes, 0x42, "requesting-user-name", user.unwrap_or("mainstay"));
    for (at, name) in WANTED.iter().enumerate() {
        add(&mut bytes, 0x44, if at == 0 { "requested-attributes" } else { "" }, name);
    }
    bytes.push(3); // the end
    bytes
}

/// An attribute; one without a name is another value of the one before.
fn add(bytes: &mut Vec<u8>, tag: u8, name: &str, value: &str) {
    bytes.push(tag);
    for text in [name, value] {
        let text = &text.as_bytes()[..text.len().min(1000)];
        bytes.extend(u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(text);
    }
}

const MAX_VALUES: usize = 5000;

/// Reads an answer: its attributes, of all groups.
///
/// # Errors
/// When it is none or refuses, as the end of a sentence about the printer.
pub fn parse_answer(bytes: &[u8]) -> Result<Attributes, String> {
    let wrong = || "does not speak IPP".to_owned();
    let (head, mut rest) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    if !matches!(head[0], 1 | 2) {
        return Err(wrong());
    }
    let status = u16::from_be_bytes([head[2], head[3]]);
    if status >= 0x0100 {
        let meaning = match status {
            0x0401 => "forbidden",
            0x0402 | 0x0403 => "it wants a user that signs in",
            0x0406 => "there is no such printer",
            0x0507 | 0x0508 => "it is busy or takes no jobs",
            _ => "see RFC 8011",
        };
        return Err(format!("refuses (status {status:#06x}: {meaning})"));
    }
    let mut attributes = Attributes::new();
    let mut last = String::new();
    let mut count = 0;
    loop {
        let (tag, after) = rest.split_first().ok_or_else(wrong)?;
        rest = after;
        match tag {
            3 => return Ok(attributes),
            0..=0x0f => continue, // the next group
            _ => {}
        }
        let name = take(&mut rest).ok_or_else(wrong)?;
        let value = take(&mut rest).ok_or_else(wrong)?;
        if !name.is_empty() {
            last = String::from_utf8_lossy(name).into_owned();
        }
        count += 1;
        if count > MAX_VALUES {
            return Err(format!("tells more than {MAX_VALUES} values"));
        }
        attributes.entry(last.clone()).or_default().push(shown(*tag, value));
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (taken, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(taken)
}

fn shown(tag: u8, value: &[u8]) -> String {
    match (tag, value) {
        (0x21 | 0x23, [a, b, c, d]) => i32::from_be_bytes([*a, *b, *c, *d]).to_string(),
        (0x22, [flag]) => (*flag != 0).to_string(),
        _ => String::from_utf8_lossy(value).chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_asked_can_be_read_and_so_can_values_of_each_kind() {
        let asked = question("ipp://a/", None);
        let mut answered = asked.clone();
        answered[2..4].copy_from_slice(&[0, 0]);
        let read = parse_answer(&answered).unwrap();
        assert_eq!(read["requested-attributes"].len(), WANTED.len());
        assert_eq!(read["printer-uri"], ["ipp://a/"]);
        let end = answered.pop().unwrap();
        for (tag, name, value) in [(0x23u8, "printer-state", &[0, 0, 0, 3][..]), (0x22, "ok", &[1])] {
            answered.push(tag);
            answered.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
            answered.extend(name.as_bytes());
            answered.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            answered.extend(value);
        }
        answered.push(end);
        let read = parse_answer(&answered).unwrap();
        assert_eq!((read["printer-state"][0].as_str(), read["ok"][0].as_str()), ("3", "true"));
        assert!(parse_answer(&answered[..answered.len() - 1]).is_err());
        assert!(parse_answer(&[2, 0, 4, 6, 0, 0, 0, 1, 3]).unwrap_err().contains("no such printer"));
        assert!(parse_answer(b"<html></html>").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_answer(&bytes);
            let _ = parse_answer(&[&[2, 0, 0, 0, 0, 0, 0, 1][..], &bytes].concat());
        }
    }
}
