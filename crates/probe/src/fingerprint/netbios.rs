//! NetBIOS: the node status of a Windows machine or file server (RFC 1002, sections 4.2.17 and 4.2.18). Bytes in, value out.

/// What a machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetbiosStatus {
    /// Its name, or empty.
    pub name: String,
    /// Its domain or work group, or empty.
    pub group: String,
    /// Whether it serves files.
    pub serves_files: bool,
    /// Its hardware address; programs that only play the part say zeros, and then there is none.
    pub hardware: Option<[u8; 6]>,
}

const HEADER_BYTES: usize = 12;
const NODE_STATUS: u16 = 0x21;

/// The question "which names do you have?", with that number.
pub fn status_question(id: u16) -> Vec<u8> {
    let mut question = Vec::with_capacity(50);
    question.extend(id.to_be_bytes());
    question.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    // The name "*", padded with zeros, each half byte as a letter from A on.
    question.push(32);
    question.extend(b"CK");
    question.extend([b'A'; 30]);
    question.extend([0, 0, NODE_STATUS as u8, 0, 1]);
    question
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, completing "the peer …".
pub fn parse_status(bytes: &[u8]) -> Result<NetbiosStatus, String> {
    const SHORT: &str = "broke off its answer";
    if bytes.get(2).is_none_or(|flags| flags & 0x80 == 0) {
        return Err("sent no answer of the NetBIOS name service".to_owned());
    }
    let mut rest = bytes.get(HEADER_BYTES..).ok_or(SHORT)?;
    // The name that was asked for: labels up to an empty one, or a pointer.
    loop {
        match rest.split_first().ok_or(SHORT)? {
            (0, after) => {
                rest = after;
                break;
            }
            (first, after) if first & 0xc0 == 0xc0 => {
                rest = after.get(1..).ok_or(SHORT)?;
                break;
            }
            (length, after) => rest = after.get(usize::from(*length)..).ok_or(SHORT)?,
        }
    }
    if rest.get(..2) != Some(&NODE_STATUS.to_be_bytes()) {
        return Err("answered something else than its status".to_owned());
    }
    let (count, mut entries) = rest.get(10..).and_then(<[u8]>::split_first).ok_or(SHORT)?;
    let mut status = NetbiosStatus::default();
    for _ in 0..*count {
        let (entry, after) = entries.split_at_checked(18).ok_or(SHORT)?;
        entries = after;
        let text: String = entry[..15]
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        let text = text.trim_end().to_owned();
        let is_group = entry[16] & 0x80 != 0;
        match (entry[15], is_group) {
            (0x00, false) if status.name.is_empty() => status.name = text,
            (0x00, true) if status.group.is_empty() => status.group = text,
            (0x20, false) => status.serves_files = true,
            _ => {}
        }
    }
    status.hardware = entries.get(..6).and_then(|bytes| bytes.try_into().ok()).filter(|bytes| *bytes != [0; 6]);
    Ok(status)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(names: &[(&str, u8, u8)], hardware: [u8; 6]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend(&status_question(0)[12..46]);
        bytes.extend([0, 0x21, 0, 1, 0, 0, 0, 0, 0, 0, names.len() as u8]);
        for (name, suffix, flags) in names {
            bytes.extend(format!("{name:<15}").bytes());
            bytes.extend([*suffix, *flags, 0]);
        }
        bytes.extend(hardware);
        bytes
    }

    #[test]
    fn a_machine_tells_its_name_and_group() {
        let names =
            [("FILES-1", 0, 4), ("OFFICE", 0, 0x84), ("FILES-1", 0x20, 4), ("\u{1}\u{2}__MSBROWSE__\u{2}", 1, 0x84)];
        let status = parse_status(&answer(&names, [0, 0x22, 0x72, 1, 2, 3])).unwrap();
        assert_eq!(
            status,
            NetbiosStatus {
                name: "FILES-1".into(),
                group: "OFFICE".into(),
                serves_files: true,
                hardware: Some([0, 0x22, 0x72, 1, 2, 3])
            }
        );
        assert_eq!(parse_status(&answer(&names, [0; 6])).unwrap().hardware, None, "Samba says zeros");
        assert_eq!(status_question(0x1234).len(), 50);
    }

    #[test]
    fn what_is_no_status_is_refused() {
        assert!(parse_status(&status_question(1)).unwrap_err().contains("no answer"), "a question");
        let whole = answer(&[("A", 0, 4)], [1; 6]);
        for length in 0..whole.len() - 6 {
            assert!(parse_status(&whole[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..80, byte: u8) {
            let _ = parse_status(&bytes);
            let mut near = answer(&[("A", 0, 4), ("B", 0x20, 4)], [1; 6]);
            near[at] = byte;
            let _ = parse_status(&near);
        }
    }
}
