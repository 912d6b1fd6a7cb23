//! Sensor: what a record of the sensor repository says of a sensor, and what its reading means. Pure.

use crate::outcome::State;

/// One sensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sensor {
    /// Its number at its owner.
    pub number: u8,
    /// Its owner's logical unit.
    pub unit_of_owner: u8,
    /// Its name.
    pub name: String,
    /// What it measures in: `celsius`, `volts`, `rpm` …; empty when it counts or has only states.
    pub unit: &'static str,
    /// Kind of sensor: 8 is a power supply.
    pub kind: u8,
    /// Whether it has thresholds; otherwise it has states.
    pub has_thresholds: bool,
    /// How its number becomes a value; `None` when it has only states.
    pub(super) factors: Option<Factors>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Factors {
    format: u8,
    m: f64,
    b: f64,
    b_exponent: i32,
    r_exponent: i32,
}

/// What a sensor read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The value, when it has one.
    pub value: Option<f64>,
    /// What its thresholds or states say.
    pub state: State,
    /// The state in words, where it has only states.
    pub trouble: &'static str,
}

impl Read {
    /// As a part of a sentence.
    pub(super) fn words(&self, sensor: &Sensor) -> String {
        match self.value {
            Some(value) => format!("{} {}", (value * 1000.0).round() / 1000.0, sensor.unit),
            None => self.trouble.to_owned(),
        }
    }
}

/// Reads a record: `None` when it is of no sensor that can be read from here.
pub fn parse_sensor(record: &[u8]) -> Option<Sensor> {
    let kind = *record.get(3)?;
    // Full and compact records; the others are of events, devices and places.
    let name_at = match kind {
        1 => 47,
        2 => 31,
        _ => return None,
    };
    if *record.get(5)? != 0x20 {
        return None; // The sensor of another controller, which the bus would have to be asked for.
    }
    let length = usize::from(record.get(name_at)? & 0x1f);
    let name = record.get(name_at + 1..(name_at + 1 + length).min(record.len()))?;
    let name: String = String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).collect();
    let reading = *record.get(13)?;
    let units = *record.get(20)?;
    let analog = kind == 1 && units >> 6 != 3;
    let wide = |low: u8, high: u8| {
        let bits = i16::from(low) | i16::from(high >> 6) << 8;
        f64::from(if bits >= 512 { bits - 1024 } else { bits })
    };
    let nibble = |bits: u8| i32::from(if bits >= 8 { bits as i8 - 16 } else { bits as i8 });
    let factors = if analog {
        let bytes = record.get(23..30)?;
        // Only what is linear; the logarithms and roots of the standard are in no machine that we know of.
        (bytes[0] & 0x7f == 0).then(|| Factors {
            format: units >> 6,
            m: wide(bytes[1], bytes[2]),
            b: wide(bytes[3], bytes[4]),
            r_exponent: nibble(bytes[6] >> 4),
            b_exponent: nibble(bytes[6] & 0x0f),
        })
    } else {
        None
    };
    Some(Sensor {
        number: *record.get(7)?,
        unit_of_owner: *record.get(6)? & 3,
        name: if name.trim().is_empty() { format!("sensor {}", record.get(7)?) } else { name.trim().to_owned() },
        unit: if analog { unit(*record.get(21)?, units & 1 != 0) } else { "" },
        kind: *record.get(12)?,
        has_thresholds: reading == 1,
        factors,
    })
}

fn unit(code: u8, percent: bool) -> &'static str {
    match (code, percent) {
        (_, true) => "percent",
        (1, _) => "celsius",
        (2, _) => "fahrenheit",
        (3, _) => "kelvin",
        (4, _) => "volts",
        (5, _) => "amperes",
        (6, _) => "watts",
        (7, _) => "joules",
        (18, _) => "rpm",
        (19, _) => "hertz",
        _ => "",
    }
}

/// What the answer to Get Sensor Reading means, without its completion code; `None` when the sensor reads nothing now.
pub(super) fn read(sensor: &Sensor, answer: &[u8]) -> Option<Read> {
    let [raw, flags, rest @ ..] = answer else { return None };
    if flags & 0x20 != 0 || flags & 0x40 == 0 {
        return None;
    }
    let states = rest.first().copied().unwrap_or(0);
    if sensor.has_thresholds {
        // Beyond a limit: below or above what is well (0, 3), is critical (1, 4) or destroys (2, 5).
        let state = match states & 0x3f {
            states if states & 0b11_0110 != 0 => State::Critical,
            0 => State::Ok,
            _ => State::Warning,
        };
        return Some(Read { value: sensor.value(*raw), state, trouble: "beyond a limit" });
    }
    let (state, trouble) = match sensor.kind {
        8 if states & 0b10 != 0 => (State::Critical, "failed"),
        8 if states & 0b100 != 0 => (State::Warning, "about to fail"),
        8 if states & 0b11_1000 != 0 => (State::Critical, "without power"),
        13 if states & 0b10 != 0 => (State::Critical, "faulty"),
        13 if states & 0b100 != 0 => (State::Warning, "about to fail"),
        _ => (State::Ok, "well"),
    };
    Some(Read { value: None, state, trouble })
}

impl Sensor {
    fn value(&self, raw: u8) -> Option<f64> {
        let factors = self.factors?;
        let raw = match factors.format {
            0 => f64::from(raw),
            1 => f64::from(if raw & 0x80 != 0 { (raw as i8).wrapping_add(1) } else { raw as i8 }),
            _ => f64::from(raw as i8),
        };
        Some((factors.m * raw + factors.b * 10f64.powi(factors.b_exponent)) * 10f64.powi(factors.r_exponent))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Vec<u8> {
        let mut record = vec![0; 48];
        (record[3], record[5], record[7], record[12], record[13]) = (1, 0x20, 9, 1, 1);
        (record[21], record[24], record[29]) = (4, 61, 0xd0); // volts, 61 of 0.001 each
        record[47] = 0xc0 | 4;
        record.extend(b"+12V");
        record
    }

    #[test]
    fn a_record_tells_name_unit_and_how_to_reckon() {
        let sensor = parse_sensor(&record()).unwrap();
        assert_eq!((sensor.name.as_str(), sensor.unit, sensor.number), ("+12V", "volts", 9));
        for (answer, value, state) in [
            (&[197, 0xc0, 0xc0][..], 12.017, State::Ok),
            (&[150, 0xc0, 0xc1], 9.15, State::Warning),
            (&[100, 0xc0, 0xc3], 6.1, State::Critical),
            (&[250, 0xc0, 0xd8], 15.25, State::Critical),
        ] {
            let read = read(&sensor, answer).unwrap();
            assert!((read.value.unwrap() - value).abs() < 1e-9, "{read:?}");
            assert_eq!(read.state, state);
        }
        assert_eq!(read(&sensor, &[0, 0xe0, 0]), None, "it says that it reads nothing");
        let mut negative = record();
        (negative[20], negative[24], negative[25], negative[26], negative[29]) = (0x80, 0xff, 0xc0, 5, 0x01);
        // Two's complement, m = -1, b = 5 * 10.
        assert_eq!(parse_sensor(&negative).unwrap().value(0xfe), Some(52.0));
    }

    #[test]
    fn a_power_supply_tells_its_states() {
        let mut bytes = record();
        (bytes[12], bytes[13], bytes[20]) = (8, 0x6f, 0xc0);
        let sensor = parse_sensor(&bytes).unwrap();
        assert_eq!(read(&sensor, &[0, 0xc0, 0b1]).unwrap().state, State::Ok);
        assert_eq!(read(&sensor, &[0, 0xc0, 0b11]).unwrap().words(&sensor), "failed");
    }

    proptest! {
        #[test]
        fn no_record_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), answer in proptest::collection::vec(any::<u8>(), 0..6), at in 0usize..52, byte: u8) {
            let mut damaged = record();
            damaged[at] = byte;
            for record in [bytes, damaged] {
                if let Some(sensor) = parse_sensor(&record) { let _ = read(&sensor, &answer).map(|read| read.words(&sensor)); }
            }
        }
    }
}
