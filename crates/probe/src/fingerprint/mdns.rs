//! mDNS: what a device announces on its link (RFC 6762, RFC 6763), asked of it alone. Bytes in, value out; the messages are
//! read by the resolver's own parser.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

/// What a device announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Its name on the link: `printer-3.local`; or empty.
    pub name: String,
    /// Kinds of services: `_ipp._tcp`, sorted, at most 50.
    pub services: Vec<String>,
    /// The model, where it says one.
    pub model: String,
}

const MAX_RECORDS: usize = 500;
const MAX_SERVICES: usize = 50;

/// The question for its services and its name. Sent to the device itself, which answers the sender alone (RFC 6762, section 6.7).
pub fn services_question(device: IpAddr) -> Vec<u8> {
    let mut message = Message::query();
    let mut services = Name::from_ascii("_services._dns-sd._udp.local.").unwrap_or_default();
    services.set_fqdn(true);
    message.add_query(Query::query(services, RecordType::PTR));
    message.add_query(Query::query(Name::from(device), RecordType::PTR));
    // Names of fixed length: what can be read can be written.
    message.to_bytes().unwrap_or_default()
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, completing "the peer …".
pub fn parse_announcement(bytes: &[u8]) -> Result<Announced, String> {
    let message = Message::from_vec(bytes).map_err(|error| format!("sent no DNS message ({error})"))?;
    if message.metadata.message_type != MessageType::Response {
        return Err("sent a question instead of an answer".to_owned());
    }
    let mut announced = Announced::default();
    for record in message.answers.iter().chain(&message.additionals).take(MAX_RECORDS) {
        let owner = shown(&record.name);
        match &record.data {
            RData::PTR(to) if owner.starts_with("_services.") => {
                let service = shown(&to.0);
                announced.services.push(service.strip_suffix(".local").unwrap_or(&service).to_owned());
            }
            RData::PTR(to) if owner.ends_with(".arpa") && announced.name.is_empty() => announced.name = shown(&to.0),
            RData::SRV(place) if announced.name.is_empty() => announced.name = shown(&place.target),
            RData::A(_) | RData::AAAA(_) if announced.name.is_empty() => announced.name = owner,
            RData::TXT(text) => {
                let model = text.txt_data.iter().find_map(|part| {
                    let text = String::from_utf8_lossy(part).into_owned();
                    let (key, value) = text.split_once('=')?;
                    matches!(key, "model" | "ty" | "md" | "usb_MDL").then(|| value.to_owned())
                });
                if let Some(model) = model.filter(|_| announced.model.is_empty()) {
                    announced.model = model.chars().filter(|c| !c.is_control()).take(100).collect();
                }
            }
            _ => {}
        }
    }
    announced.services.sort();
    announced.services.dedup();
    announced.services.truncate(MAX_SERVICES);
    Ok(announced)
}

fn shown(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').chars().filter(|c| !c.is_control()).take(255).collect()
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{PTR, TXT};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn a_device_tells_its_name_services_and_model() {
        let device: IpAddr = "192.0.2.7".parse().unwrap();
        let question = Message::from_vec(&services_question(device)).unwrap();
        assert_eq!(question.queries.len(), 2);
        assert!(parse_announcement(&services_question(device)).unwrap_err().contains("a question"));

        let mut answer = Message::query();
        answer.metadata.message_type = MessageType::Response;
        let services = name("_services._dns-sd._udp.local.");
        for service in ["_ipp._tcp.local.", "_http._tcp.local.", "_ipp._tcp.local."] {
            answer.add_answer(Record::from_rdata(services.clone(), 10, RData::PTR(PTR(name(service)))));
        }
        answer.add_answer(Record::from_rdata(Name::from(device), 10, RData::PTR(PTR(name("printer-3.local.")))));
        let text = TXT::new(vec!["txtvers=1".to_owned(), "ty=LaserThing 9".to_owned()]);
        answer.add_answer(Record::from_rdata(name("LaserThing._ipp._tcp.local."), 10, RData::TXT(text)));
        let announced = parse_announcement(&answer.to_bytes().unwrap()).unwrap();
        assert_eq!(announced.name, "printer-3.local");
        assert_eq!(announced.services, ["_http._tcp", "_ipp._tcp"]);
        assert_eq!(announced.model, "LaserThing 9");
    }

    #[test]
    fn a_message_that_points_into_itself_ends() {
        // A name at 12 whose pointer points at 12.
        let mut bytes = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 10, 0, 2, 0xc0, 12]);
        assert!(parse_announcement(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..60, byte: u8) {
            let _ = parse_announcement(&bytes);
            let mut near = services_question("192.0.2.7".parse().unwrap());
            near[2] = 0x84;
            near[at] = byte;
            let _ = parse_announcement(&near);
        }
    }
}
