//! Cipher: how PDUs of version 3 are encrypted: DES in CBC (RFC 3414), AES in CFB (RFC 3826), and the two ways in which
//! vendors make the longer keys of AES-192 and AES-256.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use des::Des;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::{Auth, Key};

/// How messages of version 3 are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Privacy {
    /// DES in CBC. Weak; some devices know nothing else.
    Des,
    /// AES with 128 bits.
    #[default]
    Aes128,
    /// AES with 192 bits, its key extended as in draft-blumenthal-aes-usm-04 (net-snmp and most).
    Aes192,
    /// AES with 256 bits, its key extended as in draft-blumenthal-aes-usm-04 (net-snmp and most).
    Aes256,
    /// AES with 192 bits, its key extended as in draft-reeder-snmpv3-usm-3desede-00 (Cisco and others).
    Aes192Cisco,
    /// AES with 256 bits, its key extended as in draft-reeder-snmpv3-usm-3desede-00 (Cisco and others).
    Aes256Cisco,
}

/// Why an encrypted PDU could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encrypted part has a length or salt that its cipher cannot have")]
pub struct CipherError;

impl Privacy {
    fn key_bytes(self) -> usize {
        match self {
            Privacy::Des | Privacy::Aes128 => 16,
            Privacy::Aes192 | Privacy::Aes192Cisco => 24,
            Privacy::Aes256 | Privacy::Aes256Cisco => 32,
        }
    }

    /// The key of that engine, made from the privacy password's master key with the user's hash.
    pub fn local_key(self, auth: Auth, master: &[u8], engine: &[u8]) -> Key {
        let mut key = auth.local_key(master, engine);
        // Reeder: each further piece is the key of the piece before it, as if that were a password.
        let mut last = Zeroizing::new(key.to_vec());
        while key.len() < self.key_bytes() {
            if matches!(self, Privacy::Aes192Cisco | Privacy::Aes256Cisco) {
                last = auth.local_key(&auth.master_key(&last), engine);
                key.extend_from_slice(&last);
            } else {
                let more = auth.hash(&[&key]);
                key.extend_from_slice(&more);
            }
        }
        key.truncate(self.key_bytes());
        key
    }

    /// The PDU encrypted, and the salt to send with it. `count` must never be the same twice with one key.
    pub fn encrypt(self, key: &[u8], boots: u32, time: u32, count: u64, plain: &[u8]) -> (Vec<u8>, [u8; 8]) {
        if self == Privacy::Des {
            let mut salt = [0; 8];
            salt[..4].copy_from_slice(&boots.to_be_bytes());
            salt[4..].copy_from_slice(&(count as u32).to_be_bytes());
            let mut bytes = plain.to_vec();
            bytes.resize(plain.len().next_multiple_of(8), 0);
            des_cbc(key, &salt, &mut bytes, Way::Encrypt);
            return (bytes, salt);
        }
        let salt = count.to_be_bytes();
        let mut bytes = plain.to_vec();
        self.cfb(key, vector(boots, time, salt), &mut bytes, Way::Encrypt);
        (bytes, salt)
    }

    /// The PDU in the open, perhaps with padding behind it.
    ///
    /// # Errors
    /// When the salt or the length cannot be of this cipher.
    pub fn decrypt(
        self,
        key: &[u8],
        boots: u32,
        time: u32,
        salt: &[u8],
        secret: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let salt: [u8; 8] = salt.try_into().map_err(|_| CipherError)?;
        let mut bytes = secret.to_vec();
        if self == Privacy::Des {
            if bytes.is_empty() || !bytes.len().is_multiple_of(8) {
                return Err(CipherError);
            }
            des_cbc(key, &salt, &mut bytes, Way::Decrypt);
        } else {
            self.cfb(key, vector(boots, time, salt), &mut bytes, Way::Decrypt);
        }
        Ok(bytes)
    }

    fn cfb(self, key: &[u8], vector: [u8; 16], bytes: &mut [u8], way: Way) {
        const LENGTH: &str = "a key is made as long as its cipher wants it";
        match self.key_bytes() {
            16 => cfb(&Aes128::new_from_slice(key).expect(LENGTH), vector, bytes, way),
            24 => cfb(&Aes192::new_from_slice(key).expect(LENGTH), vector, bytes, way),
            _ => cfb(&Aes256::new_from_slice(key).expect(LENGTH), vector, bytes, way),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Encrypt,
    Decrypt,
}

/// AES begins with the engine's clock and the salt, so both sides must agree on the clock of that very message.
fn vector(boots: u32, time: u32, salt: [u8; 8]) -> [u8; 16] {
    let mut vector = [0; 16];
    vector[..4].copy_from_slice(&boots.to_be_bytes());
    vector[4..8].copy_from_slice(&time.to_be_bytes());
    vector[8..].copy_from_slice(&salt);
    vector
}

fn cfb<C>(cipher: &C, vector: [u8; 16], bytes: &mut [u8], way: Way)
where
    C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>,
{
    let mut register = Array(vector);
    for chunk in bytes.chunks_mut(16) {
        cipher.encrypt_block(&mut register);
        for (byte, mask) in chunk.iter_mut().zip(register.iter_mut()) {
            let read = *byte;
            *byte ^= *mask;
            // The encrypted byte is what goes on, whichever way we go.
            *mask = if way == Way::Encrypt { *byte } else { read };
        }
    }
}

fn des_cbc(key: &[u8], salt: &[u8; 8], bytes: &mut [u8], way: Way) {
    let cipher = Des::new_from_slice(&key[..8]).expect("the first half of the key has eight bytes");
    let mut before = *salt;
    for (byte, mask) in before.iter_mut().zip(&key[8..16]) {
        *byte ^= mask;
    }
    for chunk in bytes.as_chunks_mut::<8>().0 {
        if way == Way::Encrypt {
            for (byte, mask) in chunk.iter_mut().zip(before) {
                *byte ^= mask;
            }
            let mut block = Array(*chunk);
            cipher.encrypt_block(&mut block);
            *chunk = block.0;
            before = *chunk;
        } else {
            let read = *chunk;
            let mut block = Array(*chunk);
            cipher.decrypt_block(&mut block);
            *chunk = block.0;
            for (byte, mask) in chunk.iter_mut().zip(before) {
                *byte ^= mask;
            }
            before = read;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Privacy; 6] =
        [Privacy::Des, Privacy::Aes128, Privacy::Aes192, Privacy::Aes256, Privacy::Aes192Cisco, Privacy::Aes256Cisco];

    /// draft-blumenthal-aes-usm-04, A.2: the SHA key of "maplesyrup", extended to 256 bits.
    #[test]
    fn a_longer_key_begins_with_the_shorter_one() {
        let engine = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        let master = Auth::Sha.master_key(b"maplesyrup");
        let key = Privacy::Aes256.local_key(Auth::Sha, &master, &engine);
        assert_eq!(crate::outcome::hex(&key, ""), "6695febc9288e36282235fc7151f128497b38f3f505e07eb9af25568fa1f5dbe");
        let other = Privacy::Aes256Cisco.local_key(Auth::Sha, &master, &engine);
        assert_eq!(&key[..20], &other[..20]);
        assert_ne!(key, other);
    }

    proptest! {
        #[test]
        fn what_is_encrypted_is_read(plain in proptest::collection::vec(any::<u8>(), 1..200), boots: u32, time: u32, count: u64) {
            for privacy in ALL {
                let key: Vec<u8> = (0..privacy.key_bytes() as u8).collect();
                let (secret, salt) = privacy.encrypt(&key, boots, time, count, &plain);
                // One byte may by chance stay as it is; sixteen do not.
                let hidden = plain.len() < 16 || secret[..plain.len()] != plain[..];
                prop_assert!(hidden, "{:?}", privacy);
                let read = privacy.decrypt(&key, boots, time, &salt, &secret).unwrap();
                prop_assert_eq!(&read[..plain.len()], &plain[..], "{:?}", privacy);
            }
        }

        #[test]
        fn no_bytes_panic(secret in proptest::collection::vec(any::<u8>(), 0..60),
                          salt in proptest::collection::vec(any::<u8>(), 0..12)) {
            for privacy in ALL {
                let _ = privacy.decrypt(&[7; 32][..privacy.key_bytes()], 1, 2, &salt, &secret);
            }
        }
    }
}
