//! Wire: what a server and its starter say to each other. Bytes in, value out; each message begins with its length.
//!
//! Numbers are little-endian. A text or list of bytes is its length in 4 bytes and then itself.

use std::time::Duration;

/// A message and the bytes it takes, or `None` while more bytes are needed.
type Parsed<T> = Result<Option<(T, usize)>, String>;

/// The longest message: all arguments, or all output, with room to spare.
const LONGEST_BYTES: usize = 1 << 20;

/// What the server wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To start the first of these programs that is there.
    Run {
        /// Comes back with what it did.
        id: u64,
        /// How long it may run; its CPU time is held to the same.
        within: Duration,
        /// Paths, or names that are looked for in the usual folders.
        programs: Vec<String>,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// To end that command; nobody waits for it any more.
    Cancel {
        /// Whose.
        id: u64,
    },
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Of the order.
    pub id: u64,
    /// How it ended.
    pub ending: Ending,
    /// The CPU time that it took, and that of all that it waited for.
    pub cpu: Duration,
    /// The most memory that it, or one of those, had at once.
    pub memory_bytes: u64,
    /// The beginning of its output.
    pub stdout: Vec<u8>,
    /// The beginning of its complaints.
    pub stderr: Vec<u8>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With that exit code.
    Code(i32),
    /// By that signal.
    Signal(i32),
    /// It took too long and was ended.
    TooLong,
    /// It was not started: that error of the operating system.
    NotStarted(i32),
    /// None of the programs is there.
    NotThere,
}

const RUN: u8 = 1;
const CANCEL: u8 = 2;

impl Order {
    /// The message.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        message(out, |out| match self {
            Order::Run { id, within, programs, arguments } => {
                out.push(RUN);
                out.extend(id.to_le_bytes());
                out.extend(micros(*within).to_le_bytes());
                for list in [programs, arguments] {
                    out.extend(length(list.len()));
                    list.iter().for_each(|text| bytes(out, text.as_bytes()));
                }
            }
            Order::Cancel { id } => {
                out.push(CANCEL);
                out.extend(id.to_le_bytes());
            }
        });
    }
}

/// Reads an order.
///
/// # Errors
/// What is wrong with the bytes.
pub fn parse_order(bytes: &[u8]) -> Parsed<Order> {
    parsed(bytes, |cut| {
        let (kind, id) = (cut.byte()?, cut.long()?);
        Some(match kind {
            RUN => Order::Run {
                id,
                within: Duration::from_micros(cut.long()?),
                programs: cut.texts()?,
                arguments: cut.texts()?,
            },
            CANCEL => Order::Cancel { id },
            _ => return None,
        })
    })
}

impl Done {
    /// The message.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        message(out, |out| {
            out.extend(self.id.to_le_bytes());
            let (kind, number) = match self.ending {
                Ending::Code(code) => (0, code),
                Ending::Signal(signal) => (1, signal),
                Ending::TooLong => (2, 0),
                Ending::NotStarted(error) => (3, error),
                Ending::NotThere => (4, 0),
            };
            out.push(kind);
            out.extend(number.to_le_bytes());
            out.extend(micros(self.cpu).to_le_bytes());
            out.extend(self.memory_bytes.to_le_bytes());
            bytes(out, &self.stdout);
            bytes(out, &self.stderr);
        });
    }
}

/// Reads what a command did.
///
/// # Errors
/// What is wrong with the bytes.
pub fn parse_done(bytes: &[u8]) -> Parsed<Done> {
    parsed(bytes, |cut| {
        let id = cut.long()?;
        let (kind, number) = (cut.byte()?, cut.number()?);
        let ending = match kind {
            0 => Ending::Code(number),
            1 => Ending::Signal(number),
            2 => Ending::TooLong,
            3 => Ending::NotStarted(number),
            4 => Ending::NotThere,
            _ => return None,
        };
        let cpu = Duration::from_micros(cut.long()?);
        let memory_bytes = cut.long()?;
        Some(Done { id, ending, cpu, memory_bytes, stdout: cut.bytes()?.to_vec(), stderr: cut.bytes()?.to_vec() })
    })
}

fn message(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend([0; 4]);
    content(out);
    let size = length(out.len() - begin - 4);
    out[begin..begin + 4].copy_from_slice(&size);
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(length(bytes.len()));
    out.extend(bytes);
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("arguments and output are bounded far below").to_le_bytes()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn parsed<T>(bytes: &[u8], content: impl FnOnce(&mut Cut<'_>) -> Option<T>) -> Parsed<T> {
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let size = u32::from_le_bytes(*size) as usize;
    if size > LONGEST_BYTES {
        return Err(format!("a message of {size} bytes, {LONGEST_BYTES} are the most"));
    }
    let Some(message) = rest.get(..size) else { return Ok(None) };
    let mut cut = Cut(message);
    match content(&mut cut) {
        Some(value) if cut.0.is_empty() => Ok(Some((value, 4 + size))),
        _ => Err("a message that does not hold what it should".to_owned()),
    }
}

/// What of a message is not read yet.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let size = self.take().map(u32::from_le_bytes)? as usize;
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        let count = self.take().map(u32::from_le_bytes)?;
        // The list grows only as the message does, whatever number it begins with.
        (0..count).map(|_| String::from_utf8(self.bytes()?.to_vec()).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_said_is_what_is_heard(
            id: u64, micros in 0..1u64 << 50, programs in proptest::collection::vec("\\PC{0,20}", 0..4),
            arguments in proptest::collection::vec("\\PC{0,20}", 0..4), number: i32, kind in 0..5usize,
            stdout in proptest::collection::vec(any::<u8>(), 0..50), more in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let within = Duration::from_micros(micros);
            for order in [Order::Run { id, within, programs, arguments }, Order::Cancel { id }] {
                let mut said = Vec::new();
                order.write(&mut said);
                let size = said.len();
                prop_assert_eq!(parse_order(&said[..size - 1]), Ok(None));
                said.extend(&more);
                prop_assert_eq!(parse_order(&said), Ok(Some((order, size))));
            }
            let endings = [Ending::Code(number), Ending::Signal(number), Ending::TooLong, Ending::NotStarted(number), Ending::NotThere];
            let ending = endings[kind];
            let done = Done { id, ending, cpu: within, memory_bytes: micros, stdout, stderr: more.clone() };
            let mut said = Vec::new();
            done.write(&mut said);
            let size = said.len();
            said.extend(&more);
            prop_assert_eq!(parse_done(&said), Ok(Some((done, size))));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), size in 0u32..60) {
            let framed = [&size.to_le_bytes()[..], &bytes].concat();
            for bytes in [&bytes, &framed] {
                let _ = (parse_order(bytes), parse_done(bytes));
            }
        }
    }
}
