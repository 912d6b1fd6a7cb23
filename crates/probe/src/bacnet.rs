//! BACnet/IP: does a device of the building answer, and what is its value? Who-Is and ReadProperty (ASHRAE 135); writes nothing.
//!
//! A small codec of our own for these two questions: no crate of the field is maintained.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::env::{Failure, addresses};
use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `bacnet`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bacnet {
    /// The kind of object to read. Its number must be given, too; only the device's name is read when not.
    object: Object,
    /// The object's number.
    instance: Option<u32>,
    /// The property's number: 85 is the present value, 77 the name.
    property: u32,
    /// What the value must be, for example "< 28" or "active".
    value: Option<Condition>,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
}

impl Default for Bacnet {
    fn default() -> Self {
        Bacnet {
            object: Object::Device,
            instance: None,
            property: 85,
            value: None,
            warn_time: None,
            critical_time: None,
        }
    }
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A number that is measured.
    AnalogInput = 0,
    /// A number that is set.
    AnalogOutput = 1,
    /// A number.
    AnalogValue = 2,
    /// On or off, measured.
    BinaryInput = 3,
    /// On or off, set.
    BinaryOutput = 4,
    /// On or off.
    BinaryValue = 5,
    /// The device itself.
    #[default]
    Device = 8,
    /// One of several states, measured.
    MultiStateInput = 13,
    /// One of several states, set.
    MultiStateOutput = 14,
    /// One of several states.
    MultiStateValue = 19,
}

const PORT: u16 = 47808;
const NAME: u32 = 77;
/// Stands for "whatever device you are".
const ANY_DEVICE: u32 = 0x3f_ffff;

impl Check for Bacnet {
    const NAME: &'static str = "bacnet";
    const TITLE: &'static str = "BACnet/IP";
    const HELP: &'static str =
        "Reads one property of an object of a device and judges it; the device's name when none is named.";
    const TARGET: &'static str = "host and port, for example ahu-1.example.org; port 47808 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_host_port(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        if self.instance.is_some_and(|number| number >= ANY_DEVICE) {
            problems.push(ParamError::new("instance", format!("is below {ANY_DEVICE}")));
        }
        if self.instance.is_none() && self.object != Object::Device {
            problems.push(ParamError::new("instance", "is needed with an object"));
        }
        if self.property > 0xffff {
            problems.push(ParamError::new("property", "is at most 65535"));
        }
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, Family::Ipv4).await?;
        let peer = SocketAddr::new(found[0], target.port.unwrap_or(PORT));
        cx.trace.phase("exchange", "waiting for the device");
        let property = if self.object == Object::Device { NAME } else { self.property };
        let instance = match self.instance {
            Some(instance) => instance,
            None => device(cx, peer).await,
        };
        let request = read_property(self.object as u32, instance, property);
        let is_answer = |bytes: &[u8]| parse_answer(bytes).is_some();
        let doing = format!("asking {peer} over BACnet");
        let said = cx.env.net.exchange(peer, &request, &is_answer).await;
        let said = said.map_err(|error| Failure::from_io(&doing, &error))?;
        let answer = parse_answer(&said).unwrap_or(Err("answers in no way that is understood".to_owned()));
        let value = answer.map_err(|why| Failure::Peer(format!("{} {why}", cx.target)))?;
        Ok(decide(self, cx.target, &value, cx.trace.seconds("exchange")))
    }
}

/// The number of the device, by Who-Is. Some say it to everybody instead of to us, and some know the number that stands
/// for any, so that one is given where no answer comes in time.
async fn device(cx: &Cx<'_>, peer: SocketAddr) -> u32 {
    const WHO_IS: [u8; 8] = [0x81, 0x0a, 0, 8, 1, 0, 0x10, 8];
    let is_answer = |bytes: &[u8]| parse_i_am(bytes).is_some();
    let asked = cx.env.net.exchange(peer, &WHO_IS, &is_answer);
    let said = tokio::time::timeout(cx.remaining() / 3, asked).await;
    said.ok().and_then(|said| parse_i_am(&said.ok()?)).unwrap_or(ANY_DEVICE)
}

/// Reads I-Am: the number of the device.
pub fn parse_i_am(bytes: &[u8]) -> Option<u32> {
    match apdu(bytes)? {
        [0x10, 0, 0xc4, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d]) & ANY_DEVICE),
        _ => None,
    }
}

/// The number of our one question.
const INVOKE: u8 = 1;

fn read_property(kind: u32, instance: u32, property: u32) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x0a, 0, 0]; // BACnet/IP, to one device
    bytes.extend([1, 4]); // version; an answer is expected
    bytes.extend([0, 5, INVOKE, 12]); // confirmed request, up to 1476 bytes, ReadProperty
    bytes.push(0x0c);
    bytes.extend((kind << 22 | instance).to_be_bytes());
    match u8::try_from(property) {
        Ok(property) => bytes.extend([0x19, property]),
        Err(_) => {
            bytes.push(0x1a);
            bytes.extend(u16::try_from(property).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    let length = u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    bytes
}

/// Reads the answer to our question: the first value, or the end of a sentence that says why there is none. `None` when it
/// is something else.
pub fn parse_answer(bytes: &[u8]) -> Option<Result<Value, String>> {
    match apdu(bytes)? {
        [kind, INVOKE, 12, rest @ ..] if kind >> 4 == 3 => {
            Some(parse_value(rest).ok_or("answers in no way that is understood".to_owned()))
        }
        [kind, INVOKE, _, rest @ ..] if kind >> 4 == 5 => Some(Err(match rest {
            [0x91, class, 0x91, 31, ..] => format!("knows no such object (class {class})"),
            [0x91, _, 0x91, 32, ..] => "knows no such property of the object".to_owned(),
            [0x91, class, 0x91, code, ..] => format!("refuses (class {class}, code {code})"),
            _ => "refuses".to_owned(),
        })),
        [kind, INVOKE, reason, ..] if matches!(kind >> 4, 6 | 7) => Some(Err(format!("breaks off (reason {reason})"))),
        _ => None,
    }
}

/// What is inside the frames of BACnet/IP and of the network.
fn apdu(bytes: &[u8]) -> Option<&[u8]> {
    let [0x81, function, high, low, rest @ ..] = bytes else { return None };
    if usize::from(u16::from_be_bytes([*high, *low])) != bytes.len() {
        return None;
    }
    let rest = match function {
        0x0a | 0x0b => rest,
        0x04 => rest.get(6..)?, // forwarded, with the address of who sent it
        _ => return None,
    };
    let [1, control, inside @ ..] = rest else { return None };
    let mut rest = inside;
    // Where it goes and where it came from, in networks behind routers.
    if control & 0x20 != 0 {
        let length = usize::from(*rest.get(2)?);
        rest = rest.get(3 + length..)?;
    }
    if control & 0x08 != 0 {
        let length = usize::from(*rest.get(2)?);
        rest = rest.get(3 + length..)?;
    }
    if control & 0x20 != 0 {
        rest = rest.get(1..)?;
    }
    Some(rest)
}

/// The value behind object and property.
fn parse_value(mut rest: &[u8]) -> Option<Value> {
    // Tags 0 (object), 1 (property), perhaps 2 (index), then the value between an opening and a closing tag 3.
    for _ in 0..4 {
        let (tag, after) = rest.split_first()?;
        if *tag == 0x3e {
            return application(after);
        }
        let length = usize::from(tag & 7);
        if tag & 8 == 0 || length > 4 {
            return None;
        }
        rest = after.get(length..)?;
    }
    None
}

fn application(bytes: &[u8]) -> Option<Value> {
    let (tag, rest) = bytes.split_first()?;
    if tag & 8 != 0 {
        return None;
    }
    let (length, rest) = match tag & 7 {
        5 => match *rest.first()? {
            254 => (usize::from(u16::from_be_bytes(*rest.get(1..)?.first_chunk()?)), rest.get(3..)?),
            255 => return None,
            short => (usize::from(short), rest.get(1..)?),
        },
        short => (usize::from(short), rest),
    };
    if tag >> 4 == 1 {
        return Some(Value::from(tag & 7 == 1)); // a truth value is in the length itself
    }
    let content = rest.get(..length)?;
    let number = || {
        (!content.is_empty() && content.len() <= 4)
            .then(|| content.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)))
    };
    Some(match tag >> 4 {
        0 => Value::Null,
        2 | 9 => Value::from(number()?),
        3 => {
            let shift = 32 - 8 * u32::try_from(content.len()).ok()?.min(4);
            Value::from((number()?.checked_shl(shift)? as i32) >> shift)
        }
        4 => Value::from(f64::from(f32::from_be_bytes(*content.first_chunk()?))),
        5 => Value::from(f64::from_be_bytes(*content.first_chunk()?)),
        7 => {
            let (set, text) = content.split_first()?;
            (*set == 0).then(|| Value::from(String::from_utf8_lossy(text).into_owned()))?
        }
        12 => Value::from(number()? & ANY_DEVICE),
        _ => return None,
    })
}

/// The whole judgement.
pub fn decide(want: &Bacnet, peer: &str, value: &Value, seconds: f64) -> Outcome {
    let is_binary = matches!(want.object, Object::BinaryInput | Object::BinaryOutput | Object::BinaryValue);
    let told = match value.as_u64() {
        Some(state) if is_binary && want.property == 85 => Value::from(if state == 0 { "inactive" } else { "active" }),
        _ => value.clone(),
    };
    let shown = match &told {
        Value::String(text) => excerpt(text.as_bytes()),
        other => other.to_string(),
    };
    let slow = State::when_above(seconds, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds));
    let broken = want.value.as_ref().filter(|wanted| !wanted.holds(&told));
    let (state, end) = match broken {
        Some(wanted) => (State::Critical, format!(", where {wanted} is expected")),
        None => (slow, String::new()),
    };
    let took = in_words(seconds);
    let outcome = Outcome::new(state, format!("{peer} says {shown}{end}, {took}")).with(
        "bacnet_response_seconds",
        seconds,
        "seconds",
    );
    match value.as_f64() {
        Some(value) => outcome.with("bacnet_value", value, ""),
        None => outcome,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn answered(value: &[u8]) -> Vec<u8> {
        let body = [&[0x0c, 0, 0, 0, 1, 0x19, 85, 0x3e][..], value, &[0x3f]].concat();
        let mut bytes = [&[0x81, 0x0a, 0, 0, 1, 0, 0x30, INVOKE, 12][..], &body].concat();
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes
    }

    #[test]
    fn values_of_each_kind_decide() {
        for (params, value, state, part) in [
            (json!({"object": "analog-input", "instance": 1}), &[0x44, 0x41, 0xac, 0, 0][..], State::Ok, "says 21.5"),
            (
                json!({"object": "analog-input", "instance": 1, "value": "< 20"}),
                &[0x44, 0x41, 0xac, 0, 0],
                State::Critical,
                "where < 20",
            ),
            (
                json!({"object": "binary-input", "instance": 1, "value": "active"}),
                &[0x91, 1],
                State::Ok,
                "says \"active\"",
            ),
            (json!({}), &[0x75, 6, 0, b'A', b'H', b'U', b'-', b'1'], State::Ok, "says \"AHU-1\""),
            (json!({"object": "analog-value", "instance": 1}), &[0x31, 0xff], State::Ok, "says -1"),
            (json!({"object": "analog-value", "instance": 1}), &[0x22, 1, 0], State::Ok, "says 256"),
        ] {
            let want: Bacnet = serde_json::from_value(params.clone()).unwrap();
            let value = parse_answer(&answered(value)).unwrap().unwrap();
            let outcome = decide(&want, "ahu", &value, 0.1);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        let i_am = [0x81, 0x0a, 0, 20, 1, 0, 0x10, 0, 0xc4, 2, 0, 0, 7, 0x22, 4, 0, 0x91, 0, 0x21, 15];
        assert_eq!(parse_i_am(&i_am), Some(7));
        assert_eq!(parse_answer(&read_property(8, ANY_DEVICE, 77)), None, "our own question is no answer");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), at in 0usize..23, byte: u8) {
            let _ = parse_answer(&bytes);
            let _ = (parse_answer(&answered(&bytes)), parse_i_am(&bytes), parse_i_am(&answered(&bytes)));
            let mut damaged = answered(&[0x44, 0x41, 0xac, 0, 0]);
            damaged[at] = byte;
            let _ = parse_answer(&damaged);
        }
    }
}
