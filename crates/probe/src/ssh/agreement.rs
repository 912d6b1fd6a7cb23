//! Agreement: our half of a key exchange, on a curve or, for devices that know nothing newer, in a group of numbers.

use num_bigint::BigUint;
use ring::agreement::{ECDH_P256, ECDH_P384, EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::packet::mpint;

/// The ways that are spoken, the preferred first.
pub(super) const KEY_EXCHANGES: &str = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,\
    ecdh-sha2-nistp384,diffie-hellman-group14-sha256,diffie-hellman-group14-sha1";

/// Group 14: a prime of 2,048 bits (RFC 3526, section 3). Its generator is 2.
const GROUP_14: &str = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
    83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
    15728E5A8AACAA68FFFFFFFFFFFFFFFF";

/// Our half of a key exchange.
pub(super) struct Ours {
    secret: Half,
    /// What the server is told, without its length.
    pub(super) public: Vec<u8>,
    /// What everything that was said is hashed with.
    pub(super) algorithm: &'static Algorithm,
}

enum Half {
    Curve(EphemeralPrivateKey),
    Number(BigUint),
}

impl Ours {
    /// Our half in the way of that name, which must be among ours. `None` when this machine gives no randomness.
    pub(super) fn new(way: &str) -> Option<Ours> {
        let random = SystemRandom::new();
        let (curve, algorithm) = match way {
            "ecdh-sha2-nistp256" => (&ECDH_P256, &SHA256),
            "ecdh-sha2-nistp384" => (&ECDH_P384, &SHA384),
            "diffie-hellman-group14-sha256" => return Ours::in_group(&random, &SHA256),
            "diffie-hellman-group14-sha1" => return Ours::in_group(&random, &SHA1_FOR_LEGACY_USE_ONLY),
            _ => (&X25519, &SHA256),
        };
        let secret = EphemeralPrivateKey::generate(curve, &random).ok()?;
        let public = secret.compute_public_key().ok()?.as_ref().to_vec();
        Some(Ours { secret: Half::Curve(secret), public, algorithm })
    }

    fn in_group(random: &SystemRandom, algorithm: &'static Algorithm) -> Option<Ours> {
        // More than twice the bits that the group is worth (RFC 4419, section 6.2).
        let mut exponent = Zeroizing::new([0; 64]);
        random.fill(&mut exponent[..]).ok()?;
        let secret = BigUint::from_bytes_be(&exponent[..]);
        let public = BigUint::from(2u32).modpow(&secret, &group());
        Some(Ours { secret: Half::Number(secret), public: unsigned(&public)[4..].to_vec(), algorithm })
    }

    /// The agreed key, as a number with its length. An error is the end of a sentence about the peer.
    pub(super) fn shared(self, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let secret = match self.secret {
            Half::Curve(secret) => secret,
            Half::Number(secret) => {
                let (theirs, group) = (BigUint::from_bytes_be(theirs), group());
                if theirs <= BigUint::from(1u32) || theirs >= &group - 1u32 {
                    return Err("sends a public value that is none of the group".to_owned());
                }
                return Ok(Zeroizing::new(unsigned(&theirs.modpow(&secret, &group))));
            }
        };
        let theirs = UnparsedPublicKey::new(secret.algorithm(), theirs);
        agree_ephemeral(secret, &theirs, |shared| Zeroizing::new(mpint(shared)))
            .map_err(|_| "sends a public value that is none of the curve".to_owned())
    }
}

fn group() -> BigUint {
    BigUint::parse_bytes(GROUP_14.as_bytes(), 16).expect("it is written above")
}

fn unsigned(number: &BigUint) -> Vec<u8> {
    mpint(&number.to_bytes_be())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_make_one_key_in_every_way() {
        for way in KEY_EXCHANGES.split(',') {
            let (one, other) = (Ours::new(way).unwrap(), Ours::new(way).unwrap());
            let (publics, algorithm) = ((one.public.clone(), other.public.clone()), one.algorithm);
            assert_eq!(one.shared(&publics.1), other.shared(&publics.0), "{way}");
            assert!(format!("{algorithm:?}").contains(if way.ends_with("sha1") { "SHA1" } else { "SHA" }), "{way}");
        }
    }

    #[test]
    fn a_public_value_that_gives_the_key_away_is_refused() {
        let minus_one = (group() - 1u32).to_bytes_be();
        for theirs in [&[][..], &[0], &[1], &minus_one, &group().to_bytes_be(), &[0xff; 300]] {
            let ours = Ours::new("diffie-hellman-group14-sha256").unwrap();
            assert!(ours.shared(theirs).unwrap_err().contains("none of the group"), "{theirs:?}");
        }
        assert!(Ours::new("curve25519-sha256").unwrap().shared(&[0; 32]).is_err());
    }
}
