//! Modbus over TCP: does the device answer, and is a value as expected? Reads registers and coils; writes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dialog::{Dialog, Measured, Parsed, problems};
use crate::env::Failure;
use crate::http::Condition;
use crate::outcome::{Outcome, State};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};

/// Parameters of `modbus`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Modbus {
    /// The device behind the address (unit identifier).
    unit: u8,
    /// Which table to read: holding, input, coil or discrete.
    table: Table,
    /// Address of the first register, counted from 0.
    address: u16,
    /// What the registers hold: u16, i16, u32, i32 or f32, the upper word first. Coils are 0 or 1.
    format: Format,
    /// How many values to read, 1 to 60.
    count: u8,
    /// What each value is multiplied with, for example 0.1 for tenths of a degree.
    scale: f64,
    /// What every value must be, for example "< 80".
    value: Option<Condition>,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Modbus {
    fn default() -> Self {
        Modbus {
            unit: 1,
            table: Table::Holding,
            address: 0,
            format: Format::U16,
            count: 1,
            scale: 1.0,
            value: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// The four tables of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Registers that can be written.
    Holding,
    /// Registers that can only be read.
    Input,
    /// Bits that can be written.
    Coil,
    /// Bits that can only be read.
    Discrete,
}

/// What registers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 0 to 65,535.
    U16,
    /// -32,768 to 32,767.
    I16,
    /// Two registers, not negative.
    U32,
    /// Two registers.
    I32,
    /// Two registers, a number with a point.
    F32,
}

impl Format {
    fn registers(self) -> u16 {
        match self {
            Format::U16 | Format::I16 => 1,
            Format::U32 | Format::I32 | Format::F32 => 2,
        }
    }
}

const PORT: u16 = 502;
const ANSWER_LIMIT_BYTES: usize = 260;
const TRANSACTION: u16 = 0x4d53;

impl Check for Modbus {
    const NAME: &'static str = "modbus";
    const TITLE: &'static str = "Modbus TCP";
    const HELP: &'static str = "Reads registers or coils of a device and judges their values.";
    const TARGET: &'static str = "host and port, for example meter-1.example.org; port 502 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, None, (self.warn_time, self.critical_time));
        if !(1..=60).contains(&self.count) {
            problems.push(ParamError::new("count", format!("{} is not between 1 and 60", self.count)));
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            problems.push(ParamError::new("scale", "is a number that is not 0"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        cx.trace.phase("exchange", "waiting for the device's answer");
        dialog.say(&self.request()).await?;
        let function = self.function();
        let answer = dialog.next(ANSWER_LIMIT_BYTES, |bytes| parse_answer(bytes, self.unit, function)).await?;
        let measured = dialog.measured(cx);
        let data = answer.map_err(|code| {
            Failure::Peer(format!("{} refuses to read there ({}, code {code})", measured.peer, in_words(code)))
        })?;
        let values = self.values(&data).ok_or_else(|| {
            Failure::Peer(format!(
                "{} answers with {} bytes, which is not what was asked for",
                measured.peer,
                data.len()
            ))
        })?;
        Ok(decide(self, &values, &measured))
    }
}

impl Modbus {
    fn is_bits(&self) -> bool {
        matches!(self.table, Table::Coil | Table::Discrete)
    }

    fn function(&self) -> u8 {
        match self.table {
            Table::Coil => 1,
            Table::Discrete => 2,
            Table::Holding => 3,
            Table::Input => 4,
        }
    }

    fn request(&self) -> Vec<u8> {
        let each = if self.is_bits() { 1 } else { self.format.registers() };
        let mut bytes = TRANSACTION.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 6, self.unit, self.function()]);
        bytes.extend_from_slice(&self.address.to_be_bytes());
        bytes.extend_from_slice(&(u16::from(self.count) * each).to_be_bytes());
        bytes
    }

    /// The values in the data; `None` when there are more or fewer bytes than were asked for.
    fn values(&self, data: &[u8]) -> Option<Vec<f64>> {
        let count = usize::from(self.count);
        let numbers: Vec<f64> = if self.is_bits() {
            let bit = |index: usize| Some(f64::from(*data.get(index / 8)? >> (index % 8) & 1));
            (data.len() == count.div_ceil(8)).then(|| (0..count).map(bit).collect::<Option<Vec<f64>>>())??
        } else {
            let width = usize::from(self.format.registers()) * 2;
            if data.len() != count * width {
                return None;
            }
            data.chunks_exact(width).map(|bytes| self.number(bytes)).collect::<Option<Vec<f64>>>()?
        };
        Some(numbers.into_iter().map(|number| number * self.scale).collect())
    }

    fn number(&self, bytes: &[u8]) -> Option<f64> {
        Some(match self.format {
            Format::U16 => u16::from_be_bytes(*bytes.first_chunk()?).into(),
            Format::I16 => i16::from_be_bytes(*bytes.first_chunk()?).into(),
            Format::U32 => u32::from_be_bytes(*bytes.first_chunk()?).into(),
            Format::I32 => i32::from_be_bytes(*bytes.first_chunk()?).into(),
            Format::F32 => f32::from_be_bytes(*bytes.first_chunk()?).into(),
        })
    }
}

fn in_words(code: u8) -> &'static str {
    match code {
        1 => "it cannot read this table",
        2 => "there is no such address",
        3 => "so many cannot be read",
        4 => "the device failed",
        6 => "the device is busy",
        10 | 11 => "the gateway does not reach the unit",
        _ => "no known reason",
    }
}

/// Reads the answer of that unit to that function: the data, or the code of a refusal.
///
/// # Errors
/// When it is none, as the end of a sentence about the peer.
pub fn parse_answer(bytes: &[u8], unit: u8, function: u8) -> Parsed<Result<Vec<u8>, u8>> {
    let wrong = || "does not speak Modbus".to_owned();
    let [high, low] = TRANSACTION.to_be_bytes();
    if !bytes.iter().zip([high, low, 0, 0, 0]).all(|(byte, wanted)| *byte == wanted) {
        return Err(wrong());
    }
    let Some(length) = bytes.get(5).map(|length| usize::from(*length)) else { return Ok(None) };
    let Some(body) = bytes.get(6..6 + length) else { return Ok(None) };
    match body {
        [from, refused, code] if *from == unit && *refused == function | 0x80 => Ok(Some((Err(*code), 6 + length))),
        [from, done, count, data @ ..] if *from == unit && *done == function && data.len() == usize::from(*count) => {
            Ok(Some((Ok(data.to_vec()), 6 + length)))
        }
        _ => Err(wrong()),
    }
}

/// The whole judgement.
pub fn decide(want: &Modbus, values: &[f64], measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let each = if want.is_bits() { 1 } else { want.format.registers() };
    let address = |index: usize| usize::from(want.address) + index * usize::from(each);
    let shown = |value: f64| (value * 1e6).round() / 1e6;
    let broken = want.value.as_ref().and_then(|condition| {
        let (index, value) =
            values.iter().enumerate().find(|(_, value)| !condition.holds(&Value::from(shown(**value))))?;
        Some(format!("{peer}: the value at {} is {}, where {condition} is expected", address(index), shown(*value)))
    });
    let (state, sentence) = match broken {
        Some(broken) => (State::Critical, broken),
        None => {
            let first: Vec<String> = values.iter().take(5).map(|value| shown(*value).to_string()).collect();
            (State::Ok, format!("{peer}: {} at {}", first.join(", "), want.address))
        }
    };
    let mut outcome = measured.outcome("modbus", state, &sentence, (want.warn_time, want.critical_time));
    for (index, value) in values.iter().enumerate() {
        outcome = outcome.with_labels("modbus_value", shown(*value), "", &[("address", &address(index).to_string())]);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_in_their_format_and_decide() {
        for (params, data, state, part) in [
            (json!({}), vec![0, 42], State::Ok, "42 at 0"),
            (json!({"format": "i16", "scale": 0.1, "value": "< 0"}), vec![0xff, 0x9c], State::Ok, "-10 at 0"),
            (
                json!({"format": "f32", "value": "> 22"}),
                vec![0x41, 0xac, 0, 0],
                State::Critical,
                "the value at 0 is 21.5",
            ),
            (json!({"table": "coil", "count": 3, "value": 1}), vec![0b101], State::Critical, "the value at 1 is 0"),
            (
                json!({"format": "u32", "count": 2, "address": 10}),
                vec![0, 0, 0, 1, 0, 1, 0, 0],
                State::Ok,
                "1, 65536 at 10",
            ),
        ] {
            let want: Modbus = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "m:502".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &want.values(&data).unwrap(), &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        assert_eq!(Modbus::default().values(&[0, 1, 2]), None);
    }

    #[test]
    fn only_the_answer_to_the_question_is_read() {
        assert_eq!(parse_answer(b"MS\0\0\0\x05\x01\x03\x02\x00\x2a", 1, 3), Ok(Some((Ok(vec![0, 42]), 11))));
        assert_eq!(parse_answer(b"MS\0\0\0\x03\x01\x83\x02", 1, 3), Ok(Some((Err(2), 9))));
        assert_eq!(parse_answer(b"MS\0\0\0\x05\x01", 1, 3), Ok(None));
        for wrong in [b"HTTP/1.1".as_slice(), b"MS\0\0\0\x05\x02\x03\x02\x00\x2a", b"MS\0\0\0\x05\x01\x04\x02\x00\x2a"]
        {
            assert!(parse_answer(wrong, 1, 3).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_answer(&bytes, 1, 3);
            let _ = parse_answer(&[b"MS\0\0\0", bytes.as_slice()].concat(), 1, 3);
            for format in ["u16", "u32", "f32"] {
                let want: Modbus = serde_json::from_value(json!({"format": format})).unwrap();
                let _ = want.values(&bytes);
            }
        }
    }
}
