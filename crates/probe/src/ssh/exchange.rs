//! Exchange: agreeing on keys with a server that proves its host key (RFC 4253, RFC 5656, RFC 8268, RFC 8731), all of it in
//! the clear.
//!
//! It is strict where the server is (OpenSSH's `kex-strict`): then nothing but the exchange itself may be said meanwhile, so
//! that nobody on the way can add or cut a packet.

use super::agreement::{KEY_EXCHANGES, Ours};
use super::cipher::{CIPHERS, MACS, Secrets};
use super::packet::{
    self, KEXINIT, Offers, parse_disconnect, parse_identification, parse_offers, parse_packet, parse_server_key,
};
use super::proof::{Said, verify};
use super::{IDENTIFICATION, KeyType};
use crate::dialog::Dialog;
use crate::env::{Failure, random};
use crate::outcome::excerpt;
use crate::protocol::Cx;

/// Not ways to agree, but words that say how strict both sides are.
const STRICT_OURS: &str = "kex-strict-c-v00@openssh.com";
const STRICT_THEIRS: &str = "kex-strict-s-v00@openssh.com";
/// Our half, on a curve or in a group of numbers.
const KEX_INIT: u8 = 30;
pub(super) const NEWKEYS: u8 = 21;

/// What came of it.
pub(super) struct Exchanged {
    pub(super) identification: String,
    pub(super) offers: Offers,
    /// The host key, which the server has proven to have.
    pub(super) host_key: Vec<u8>,
    pub(super) secrets: Secrets,
    /// Whether counting begins anew with the new keys.
    pub(super) strict: bool,
    /// Packets that came so far.
    pub(super) received: u32,
}

/// Packets that we have said when the keys are agreed on: what we offer, and our half.
pub(super) const SENT: u32 = 2;

/// Greets the server and agrees on keys.
pub(super) async fn exchange(dialog: &mut Dialog, cx: &Cx<'_>, key_type: KeyType) -> Result<Exchanged, Failure> {
    const IDENTIFICATION_LIMIT_BYTES: usize = 8 << 10;
    cx.trace.phase("greeting", "waiting for the greeting");
    dialog.say(format!("{IDENTIFICATION}\r\n").as_bytes()).await?;
    let identification = dialog.next(IDENTIFICATION_LIMIT_BYTES, parse_identification).await?;
    cx.trace.phase("key_exchange", "waiting for the host key");
    let our_offers = our_offers(key_type)?;
    dialog.say(&packet::packet(&our_offers)).await?;
    let mut received = 0;
    let payload = next_payload(dialog, &mut received).await?;
    let odd = |peer: &str, what: &str| Failure::Peer(format!("{peer} answers with no {what} that can be read"));
    let offers = parse_offers(&payload).ok_or_else(|| odd(dialog.peer(), "list of algorithms"))?;
    let strict = offers.key_exchanges.iter().any(|name| name == STRICT_THEIRS);
    let ours = agree(&offers, key_type).map_err(|why| Failure::Peer(format!("{} {why}", dialog.peer())))?;
    dialog.say(&packet::packet(&[&[KEX_INIT], packet::string(&ours.public).as_slice()].concat())).await?;
    let reply = next_payload(dialog, &mut received).await?;
    let server = parse_server_key(&reply).ok_or_else(|| odd(dialog.peer(), "host key"))?;
    if strict && received > 2 {
        return Err(Failure::Peer(format!("{} says more than it may while keys are agreed on", dialog.peer())));
    }
    let said = Said {
        our_identification: IDENTIFICATION,
        identification: &identification,
        our_offers: &our_offers,
        offers: &payload,
        our_public: &ours.public.clone(),
        algorithm: ours.algorithm,
    };
    let proven = ours.shared(&server.public).and_then(|shared| {
        let hash = said.hash(&server, &shared);
        verify(&server, &hash).map(|()| Secrets { shared, hash, algorithm: said.algorithm })
    });
    let secrets = proven.map_err(|why| Failure::Peer(format!("{} {why}", dialog.peer())))?;
    Ok(Exchanged { identification, offers, host_key: server.host_key, secrets, strict, received })
}

/// The next packet that says something; a server may send some that do not (RFC 4253, section 11).
pub(super) async fn next_payload(dialog: &mut Dialog, received: &mut u32) -> Result<Vec<u8>, Failure> {
    const IGNORE: u8 = 2;
    const DEBUG: u8 = 4;
    for _ in 0..20 {
        let payload = dialog.next(packet::PACKET_LIMIT_BYTES + 4, parse_packet).await?;
        *received += 1;
        if let Some(why) = parse_disconnect(&payload) {
            return Err(Failure::Peer(format!("{} breaks off ({})", dialog.peer(), excerpt(why.as_bytes()))));
        }
        if !matches!(payload.first(), Some(&IGNORE | &DEBUG)) {
            return Ok(payload);
        }
    }
    Err(Failure::Peer(format!("{} sends only packets that say nothing", dialog.peer())))
}

/// Payload of our SSH_MSG_KEXINIT. The last ciphers are named for servers that know nothing better: their host key is told,
/// and nobody signs in over them.
fn our_offers(key_type: KeyType) -> Result<Vec<u8>, Failure> {
    let mut payload = vec![KEXINIT];
    payload.extend_from_slice(&random::<16>()?);
    let exchanges = format!("{KEY_EXCHANGES},{STRICT_OURS}");
    let ciphers = format!("{CIPHERS},aes128-cbc,3des-cbc");
    let (compression, languages) = ("none", "");
    for list in [
        &exchanges,
        key_type.algorithms(),
        &ciphers,
        &ciphers,
        MACS,
        MACS,
        compression,
        compression,
        languages,
        languages,
    ] {
        payload.extend_from_slice(&packet::string(list.as_bytes()));
    }
    payload.extend_from_slice(&[0; 5]); // No guess follows; reserved.
    Ok(payload)
}

/// The first of our names that they know, too.
pub(super) fn common<'a>(ours: &'a str, theirs: &[String]) -> Option<&'a str> {
    ours.split(',').find(|name| theirs.iter().any(|other| other == name))
}

/// Our half by the first way of ours that the server knows, too. An error is the end of a sentence about the peer.
fn agree(offers: &Offers, key_type: KeyType) -> Result<Ours, String> {
    if common(key_type.algorithms(), &offers.host_keys).is_none() {
        let theirs = offers.host_keys.join(", ");
        return Err(format!("has no host key of a type that is wanted, but {}", excerpt(theirs.as_bytes())));
    }
    let Some(way) = common(KEY_EXCHANGES, &offers.key_exchanges) else {
        let theirs = offers.key_exchanges.join(", ");
        return Err(format!("offers no key exchange that is known here, but {}", excerpt(theirs.as_bytes())));
    };
    Ours::new(way).ok_or_else(|| "cannot be answered: no key could be made here".to_owned())
}
