//! Message: DNS on the wire. Builds one question, reads one answer; asks nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::op::{Edns, Message, MessageType, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use crate::dns::Kind;

/// A question, ready to be sent.
pub(crate) struct Question {
    /// The datagram.
    pub(crate) bytes: Vec<u8>,
    id: u16,
    asked: Query,
}

/// What a name server answered, as far as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `NOERROR`, `NXDOMAIN` …, as dig shows it.
    pub rcode: String,
    /// Whether the server is an authority for the name.
    pub authoritative: bool,
    /// Whether the server says that it has proven the answer (the AD flag).
    pub proven: bool,
    /// When the first signature over the answer ends, in seconds since 1970; `None` when nothing is signed.
    pub signed_until: Option<u32>,
    /// The records of the answer section, in the server's order; at most 1,000.
    pub records: Vec<Found>,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `A`, `MX` …
    pub kind: String,
    /// The value as dig shows it; the strings of a TXT record joined.
    pub value: String,
    /// For how long it may be kept.
    pub ttl_seconds: u32,
    /// The zone's serial number, of a SOA record.
    pub serial: Option<u32>,
}

/// The name to ask for; an address becomes its reverse name when PTR is wanted.
pub(crate) fn question_name(target: &str, kind: Kind) -> Result<Name, String> {
    if kind == Kind::Ptr
        && let Ok(address) = target.parse::<IpAddr>()
    {
        return Ok(Name::from(address));
    }
    if target.is_empty() {
        return Err("no name is given; write for example www.example.org".to_owned());
    }
    let mut name = Name::from_ascii(target).map_err(|error| format!("{target:?} is no domain name ({error})"))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The datagram that asks for the name, with room for answers of 1,232 bytes (the size that passes everywhere).
pub(crate) fn question(target: &str, kind: Kind, signatures: bool) -> Result<Question, String> {
    let asked = Query::query(question_name(target, kind)?, record_type(kind));
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = true; // We understand the flag (RFC 6840, section 5.7).
    message.add_query(asked.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    edns.set_dnssec_ok(signatures);
    message.set_edns(edns);
    let bytes = message.to_bytes().map_err(|error| format!("the question cannot be written: {error}"))?;
    Ok(Question { bytes, id: message.metadata.id, asked })
}

/// Whether the datagram answers that very question: number, name and type. Anything else is a stray or a forgery.
pub(crate) fn answers(bytes: &[u8], question: &Question) -> bool {
    Message::from_vec(bytes).is_ok_and(|message| {
        let metadata = &message.metadata;
        let same =
            |query: &Query| query.name() == question.asked.name() && query.query_type() == question.asked.query_type();
        // A server that could not even read the question (FORMERR) gives none back.
        metadata.message_type == MessageType::Response
            && metadata.id == question.id
            && message.queries.first().is_none_or(same)
    })
}

/// Whether the answer did not fit into a datagram.
pub(crate) fn is_truncated(bytes: &[u8]) -> bool {
    Message::from_vec(bytes).is_ok_and(|message| message.metadata.truncation)
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, completing "the server …".
pub fn parse_answer(bytes: &[u8]) -> Result<Answer, String> {
    const MAX_RECORDS: usize = 1000;
    let message = Message::from_vec(bytes).map_err(|error| format!("sent no DNS message ({error})"))?;
    if message.metadata.message_type != MessageType::Response {
        return Err("sent a question instead of an answer".to_owned());
    }
    let records = message.answers.iter().take(MAX_RECORDS).map(|record| Found {
        kind: record.record_type().to_string(),
        value: value_of(&record.data),
        ttl_seconds: record.ttl,
        serial: if let RData::SOA(soa) = &record.data { Some(soa.serial) } else { None },
    });
    Ok(Answer {
        rcode: rcode_name(message.metadata.response_code),
        authoritative: message.metadata.authoritative,
        proven: message.metadata.authentic_data,
        signed_until: message.answers.iter().filter_map(|record| signature_end(&record.data)).min(),
        records: records.collect(),
    })
}

/// When a signature over records (RRSIG, RFC 4034, section 3.1) ends.
fn signature_end(data: &RData) -> Option<u32> {
    const RRSIG: u16 = 46;
    let RData::Unknown { code, rdata } = data else { return None };
    (u16::from(*code) == RRSIG).then_some(())?;
    rdata.anything.get(8..12)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn value_of(data: &RData) -> String {
    match data {
        RData::TXT(text) => text.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect(),
        RData::Unknown { code, rdata } => keys_of_zone(u16::from(*code), &rdata.anything).unwrap_or(data.to_string()),
        other => other.to_string(),
    }
}

/// DS (RFC 4034, section 5.3) and DNSKEY (section 2.2) as dig shows them.
fn keys_of_zone(code: u16, bytes: &[u8]) -> Option<String> {
    const DS: u16 = 43;
    const DNSKEY: u16 = 48;
    let (&[first, second, third, fourth], rest) = bytes.split_first_chunk::<4>()?;
    let number = u16::from_be_bytes([first, second]);
    let rest = match code {
        DS => rest.iter().map(|byte| format!("{byte:02X}")).collect(),
        DNSKEY => STANDARD.encode(rest),
        _ => return None,
    };
    Some(format!("{number} {third} {fourth} {rest}"))
}

fn rcode_name(code: hickory_proto::op::ResponseCode) -> String {
    use hickory_proto::op::ResponseCode as Code;
    match code {
        Code::NoError => "NOERROR".to_owned(),
        Code::FormErr => "FORMERR".to_owned(),
        Code::ServFail => "SERVFAIL".to_owned(),
        Code::NXDomain => "NXDOMAIN".to_owned(),
        Code::NotImp => "NOTIMP".to_owned(),
        Code::Refused => "REFUSED".to_owned(),
        other => format!("RCODE{}", u16::from(other)),
    }
}

fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Cname => RecordType::CNAME,
        Kind::Mx => RecordType::MX,
        Kind::Ns => RecordType::NS,
        Kind::Txt => RecordType::TXT,
        Kind::Ptr => RecordType::PTR,
        Kind::Soa => RecordType::SOA,
        Kind::Srv => RecordType::SRV,
        Kind::Caa => RecordType::CAA,
        Kind::Tlsa => RecordType::TLSA,
        Kind::Sshfp => RecordType::SSHFP,
        Kind::Naptr => RecordType::NAPTR,
        Kind::Svcb => RecordType::SVCB,
        Kind::Https => RecordType::HTTPS,
        Kind::Ds => RecordType::DS,
        Kind::Dnskey => RecordType::DNSKEY,
    }
}

/// The word for it, as in an answer's records.
pub(crate) fn kind_name(kind: Kind) -> String {
    record_type(kind).to_string()
}

/// A value in the one form in which two of them can be compared: addresses in canonical form, names in lower case
/// without the last dot, texts as they are.
pub(crate) fn comparable(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Txt | Kind::Dnskey => value.to_owned(),
        Kind::A => value.parse::<Ipv4Addr>().map_or_else(|_| value.to_owned(), |address| address.to_string()),
        Kind::Aaaa => value.parse::<Ipv6Addr>().map_or_else(|_| value.to_owned(), |address| address.to_string()),
        _ => {
            let words: Vec<String> =
                value.split_ascii_whitespace().map(|word| word.trim_end_matches('.').to_ascii_lowercase()).collect();
            words.join(" ")
        }
    }
}

/// The name servers of `/etc/resolv.conf`, in order; at most 16. An address with a zone (`%eth0`) is left out.
pub fn parse_resolv_conf(bytes: &[u8]) -> Vec<IpAddr> {
    const MAX_SERVERS: usize = 16;
    String::from_utf8_lossy(bytes)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
        })
        .take(MAX_SERVERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer_to(question: &Question) -> Message {
        let mut message = Message::from_vec(&question.bytes).unwrap();
        message.metadata.message_type = MessageType::Response;
        message
    }

    #[test]
    fn only_the_answer_to_our_question_is_one() {
        let asked = question("www.example.org", Kind::A, false).unwrap();
        assert!(answers(&answer_to(&asked).to_bytes().unwrap(), &asked));
        assert!(!answers(&asked.bytes, &asked), "a question is no answer");
        let mut other_number = answer_to(&asked);
        other_number.metadata.id = asked.id.wrapping_add(1);
        assert!(!answers(&other_number.to_bytes().unwrap(), &asked));
        let mut other_name = answer_to(&asked);
        other_name.queries[0].set_name(Name::from_ascii("evil.example.").unwrap());
        assert!(!answers(&other_name.to_bytes().unwrap(), &asked));
        assert!(!answers(b"", &asked));
    }

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        assert_eq!(question_name("192.0.2.1", Kind::Ptr).unwrap().to_ascii(), "1.2.0.192.in-addr.arpa.");
        assert!(question_name("2001:db8::1", Kind::Ptr).unwrap().to_ascii().ends_with(".ip6.arpa."));
        assert_eq!(question_name("_sip._tcp.example.org", Kind::Srv).unwrap().to_ascii(), "_sip._tcp.example.org.");
        assert!(question_name("", Kind::A).is_err());
        assert!(question_name(&"a".repeat(64), Kind::A).is_err());
    }

    #[test]
    fn resolv_conf_reads_as_people_write_it() {
        let text = b"# mine\nsearch example.org\nnameserver 192.0.2.53\nnameserver  2001:db8::53 \nnameserver fe80::1%eth0\noptions edns0\n";
        let servers: Vec<String> = parse_resolv_conf(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53", "2001:db8::53"]);
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..60, byte: u8) {
            let _ = (parse_answer(&bytes), is_truncated(&bytes), parse_resolv_conf(&bytes));
            let mut damaged = question("www.example.org", Kind::Mx, true).unwrap().bytes;
            let at = at % damaged.len();
            damaged[at] = byte;
            damaged.extend_from_slice(&bytes);
            let _ = parse_answer(&damaged);
        }

        #[test]
        fn no_name_panics(name in "\\PC{0,80}") {
            let _ = question(&name, Kind::Ptr, true);
        }
    }
}
