//! Who this machine is, without telling its machine id: systemd asks that the raw id stay on the machine (machine-id(5)).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Mainstay's application id, chosen once. Changing it would make every machine a stranger.
const APPLICATION: [u8; 16] =
    [0xb6, 0xc3, 0xc9, 0xa4, 0x6f, 0x5b, 0x4b, 0x0f, 0x9d, 0x4b, 0x1f, 0x3f, 0x8f, 0x1c, 0x2a, 0x77];

/// The id of this machine for Mainstay, 32 hexadecimal digits, as `sd_id128_get_machine_app_specific` makes it: HMAC-SHA256 of the application id
/// with the machine id as key, cut to a version 4 UUID. None when `text` is no machine id.
pub(super) fn hashed(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut machine = [0; 16];
    for (at, byte) in machine.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&machine).expect("a key of any length will do");
    mac.update(&APPLICATION);
    let mut id: [u8; 16] = mac.finalize().into_bytes()[..16].try_into().expect("a digest has 32 bytes");
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_machine() {
        for text in ["", "uninitialized", "zz000000000000000000000000000000", "+1000000000000000000000000000000"] {
            assert_eq!(hashed(text), None, "{text}");
        }
    }
}
