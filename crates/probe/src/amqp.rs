//! AMQP 0.9.1: does the broker greet, let us in, and how full is a queue? Declares nothing and takes no message.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, Parsed, one_line_problem, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

/// Parameters of `amqp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Amqp {
    /// User name. Only the greeting is waited for when left out.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Virtual host to open.
    vhost: String,
    /// Queue that must be there and is counted. Needs a user.
    queue: Option<String>,
    /// WARNING when at least so many messages wait in the queue.
    warn_messages: Option<u32>,
    /// CRITICAL when at least so many messages wait in the queue.
    critical_messages: Option<u32>,
    /// CRITICAL when the queue has fewer consumers.
    min_consumers: u32,
    /// Whether to speak over TLS.
    tls: bool,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Amqp {
    fn default() -> Self {
        Amqp {
            user: None,
            password: None,
            vhost: "/".to_owned(),
            queue: None,
            warn_messages: None,
            critical_messages: None,
            min_consumers: 0,
            tls: false,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;
const FRAME_LIMIT_BYTES: usize = 256 << 10;

const START: (u16, u16) = (10, 10);
const TUNE: (u16, u16) = (10, 30);
const CONNECTION_CLOSE: (u16, u16) = (10, 50);
const OPEN_OK: (u16, u16) = (10, 41);
const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const DECLARE_OK: (u16, u16) = (50, 11);

impl Check for Amqp {
    const NAME: &'static str = "amqp";
    const TITLE: &'static str = "AMQP";
    const HELP: &'static str =
        "Greets a broker (AMQP 0.9.1); where wanted signs in and counts the messages and consumers of a queue.";
    const TARGET: &'static str = "host and port, for example mq-1.example.org; port 5672, or 5671 with tls";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        for (field, text) in
            [("user", self.user.as_deref()), ("vhost", Some(&*self.vhost)), ("queue", self.queue.as_deref())]
        {
            problems.extend(one_line_problem(field, text));
            if text.is_some_and(|text| text.len() > 255) {
                problems.push(ParamError::new(field, "has at most 255 bytes"));
            }
        }
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("user", "and password are given together"));
        }
        if self.queue.is_some() && self.user.is_none() {
            problems.push(ParamError::new("queue", "needs a user and a password"));
        }
        let names = ("warn_messages", "critical_messages");
        problems.extend(ordered(names, self.warn_messages, self.critical_messages, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, if self.tls { TLS_PORT } else { PORT }, self.family).await?;
        if self.tls {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("greeting", "waiting for the greeting");
        dialog.say(b"AMQP\x00\x00\x09\x01").await?;
        let start = expect(&mut dialog, START, "the conversation").await?;
        let product = parse_product(&start.arguments).unwrap_or_else(|| "a broker that gives no name".to_owned());
        let mut queue = None;
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            cx.trace.phase("auth", "waiting to be let in");
            sign_in(&mut dialog, user, password, &self.vhost).await?;
            if let Some(name) = &self.queue {
                cx.trace.phase("queue", "waiting to be told of the queue");
                queue = Some(count(&mut dialog, name).await?);
            }
        }
        let measured = dialog.measured(cx);
        if self.user.is_some() {
            // 200, no words, and no method that caused it. The goodbye is not waited for.
            let _ = dialog.say(&method(0, CONNECTION_CLOSE, &[0, 200, 0, 0, 0, 0, 0])).await;
        }
        Ok(decide(self, &product, queue, &measured))
    }
}

async fn sign_in(dialog: &mut Dialog, user: &str, password: &Secret, vhost: &str) -> Result<(), Failure> {
    // Our capabilities: that a refusal is told, and is not only a connection that ends.
    let capability = [short("authentication_failure_close"), vec![b't', 1]].concat();
    let capabilities = [short("capabilities"), vec![b'F'], long(&capability)].concat();
    let proof = format!("\0{user}\0{}", password.reveal());
    let start_ok = [long(&capabilities), short("PLAIN"), long(proof.as_bytes()), short("en_US")].concat();
    dialog.say(&method(0, (10, 11), &start_ok)).await?;
    let who = format!("the user {user:?}");
    let tune = expect(dialog, TUNE, &who).await?;
    let limits = tune.arguments.get(..6).map(<[u8]>::to_vec).unwrap_or_else(|| vec![0; 6]);
    dialog.say(&method(0, (10, 31), &[limits.as_slice(), &[0, 0]].concat())).await?; // No heartbeats: we are soon gone.
    dialog.say(&method(0, (10, 40), &[short(vhost), vec![0, 0]].concat())).await?;
    expect(dialog, OPEN_OK, &format!("the virtual host {vhost:?}")).await.map(|_| ())
}

async fn count(dialog: &mut Dialog, name: &str) -> Result<Queue, Failure> {
    const PASSIVE: u8 = 1;
    dialog.say(&method(1, (20, 10), &[0])).await?;
    expect(dialog, CHANNEL_OPEN_OK, "a channel").await?;
    let declare = [vec![0, 0], short(name), vec![PASSIVE], long(&[])].concat();
    dialog.say(&method(1, (50, 10), &declare)).await?;
    let told = expect(dialog, DECLARE_OK, &format!("the queue {name:?}")).await?;
    let wrong = || Failure::Peer(format!("{} counts the queue in no known way", dialog.peer()));
    parse_queue(&told.arguments).ok_or_else(wrong)
}

/// The next method, which must be that one; what the broker refuses is told in its words.
async fn expect(dialog: &mut Dialog, wanted: (u16, u16), what: &str) -> Result<Method, Failure> {
    const MAX_FRAMES: usize = 20;
    for _ in 0..MAX_FRAMES {
        let Some(method) = dialog.next(FRAME_LIMIT_BYTES + 8, parse_frame).await? else { continue };
        if method.id == wanted {
            return Ok(method);
        }
        if method.id == CONNECTION_CLOSE || method.id == CHANNEL_CLOSE {
            let (code, words) = parse_close(&method.arguments).unwrap_or_default();
            let why = format!("{code} {words}");
            return Err(Failure::Peer(format!("{} refuses {what} ({})", dialog.peer(), excerpt(why.as_bytes()))));
        }
    }
    Err(Failure::Peer(format!("{} answers with methods that were not asked for", dialog.peer())))
}

/// A text of at most 255 bytes with its length before it.
fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("at most 255 bytes")], text.as_bytes()].concat()
}

/// Bytes with their length before them.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("what is sent is short").to_be_bytes(), bytes].concat()
}

fn method(channel: u16, (class, name): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    let payload = [&class.to_be_bytes(), name.to_be_bytes().as_slice(), arguments].concat();
    [&[1], channel.to_be_bytes().as_slice(), &long(&payload), &[0xce]].concat()
}

/// One method of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Class and method: (10, 10) is connection.start.
    pub id: (u16, u16),
    /// What comes after them.
    pub arguments: Vec<u8>,
}

/// Reads one frame; `None` inside for one that carries no method (a heartbeat).
///
/// # Errors
/// When it cannot be one, as the end of a sentence about the peer.
pub fn parse_frame(bytes: &[u8]) -> Parsed<Option<Method>> {
    let wrong = || format!("does not speak AMQP 0.9.1: it said {}", excerpt(bytes));
    let Some(kind) = bytes.first() else { return Ok(None) };
    if bytes.starts_with(b"AMQP") && bytes.len() >= 8 {
        return Err(format!("speaks another version of AMQP ({}.{}.{})", bytes[5], bytes[6], bytes[7]));
    }
    if bytes.starts_with(&b"AMQP"[..bytes.len().min(4)]) {
        return Ok(None);
    }
    if !matches!(kind, 1..=4 | 8) {
        return Err(wrong());
    }
    let Some(head) = bytes.first_chunk::<7>() else { return Ok(None) };
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if length > FRAME_LIMIT_BYTES {
        return Err(wrong());
    }
    let Some(frame) = bytes.get(7..8 + length) else { return Ok(None) };
    let (end, payload) = frame.split_last().ok_or_else(wrong)?;
    if *end != 0xce {
        return Err(wrong());
    }
    let method = match (kind, payload) {
        (1, [a, b, c, d, arguments @ ..]) => {
            let id = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            Some(Method { id, arguments: arguments.to_vec() })
        }
        (1, _) => return Err(wrong()),
        _ => None,
    };
    Ok(Some((method, 8 + length)))
}

fn take_short<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first()?;
    let taken = rest.get(..usize::from(*length))?;
    *bytes = &rest[usize::from(*length)..];
    Some(taken)
}

fn take_long<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let taken = rest.get(..length)?;
    *bytes = &rest[length..];
    Some(taken)
}

/// Product and version from the arguments of connection.start; `None` when they are not told.
pub fn parse_product(arguments: &[u8]) -> Option<String> {
    let mut rest = arguments.get(2..)?;
    let mut table = take_long(&mut rest)?;
    let (mut product, mut version) = (None, None);
    while let Some(name) = take_short(&mut table) {
        let (kind, after) = table.split_first()?;
        table = after;
        match kind {
            b'S' => {
                let text = String::from_utf8_lossy(take_long(&mut table)?).into_owned();
                match name {
                    b"product" => product = Some(text),
                    b"version" => version = Some(text),
                    _ => {}
                }
            }
            b'F' => drop(take_long(&mut table)?),
            b't' => table = table.get(1..)?,
            _ => break, // Of no other type is anything that is wanted.
        }
    }
    Some(format!("{} {}", product?, version.unwrap_or_default()).trim_end().to_owned())
}

/// Code and words of connection.close and channel.close.
pub fn parse_close(arguments: &[u8]) -> Option<(u16, String)> {
    let (code, mut rest) = arguments.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*code), String::from_utf8_lossy(take_short(&mut rest)?).into_owned()))
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Messages that wait.
    pub messages: u32,
    /// Who takes them.
    pub consumers: u32,
}

/// From the arguments of queue.declare-ok.
pub fn parse_queue(arguments: &[u8]) -> Option<Queue> {
    let mut rest = arguments;
    take_short(&mut rest)?;
    let (messages, rest) = rest.split_first_chunk::<4>()?;
    let consumers = rest.first_chunk::<4>()?;
    Some(Queue { messages: u32::from_be_bytes(*messages), consumers: u32::from_be_bytes(*consumers) })
}

/// The whole judgement of a conversation that went as it should.
pub fn decide(want: &Amqp, product: &str, queue: Option<Queue>, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let times = (want.warn_time, want.critical_time);
    let product = excerpt(product.as_bytes());
    let (Some(queue), Some(name)) = (queue, &want.queue) else {
        let did = if want.user.is_some() { "lets the user in" } else { "greets" };
        return measured.outcome("amqp", State::Ok, &format!("{peer} ({product}) {did}"), times);
    };
    let bounds = (want.warn_messages.map(f64::from), want.critical_messages.map(f64::from));
    let full = State::when_above(f64::from(queue.messages), bounds.0, bounds.1);
    let few = queue.consumers < want.min_consumers;
    let state = if few { State::Critical } else { full };
    let expected = if few { format!(", where at least {} are expected", want.min_consumers) } else { String::new() };
    let counts = format!("{} messages and {} consumers", queue.messages, queue.consumers);
    measured
        .outcome("amqp", state, &format!("{peer}: the queue {name} has {counts}{expected}"), times)
        .with("amqp_messages_count", f64::from(queue.messages), "")
        .with("amqp_consumers_count", f64::from(queue.consumers), "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_and_consumers_decide() {
        let queue = Some(Queue { messages: 12, consumers: 1 });
        for (params, queue, state, part) in [
            (json!({}), None, State::Ok, "(\"RabbitMQ 3.10\") greets"),
            (json!({"queue": "q"}), queue, State::Ok, "the queue q has 12 messages and 1 consumers"),
            (json!({"queue": "q", "warn_messages": 10}), queue, State::Warning, "12 messages"),
            (json!({"queue": "q", "critical_messages": 10}), queue, State::Critical, "12 messages"),
            (json!({"queue": "q", "min_consumers": 2}), queue, State::Critical, "where at least 2 are expected"),
        ] {
            let want: Amqp = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "q:5672".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, "RabbitMQ 3.10", queue, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn frames_read_as_they_were_written() {
        let bytes = method(1, DECLARE_OK, &[short("q"), vec![0, 0, 0, 7, 0, 0, 0, 2]].concat());
        let (read, length) = parse_frame(&bytes).unwrap().unwrap();
        let read = read.unwrap();
        assert_eq!((read.id, length), (DECLARE_OK, bytes.len()));
        assert_eq!(parse_queue(&read.arguments), Some(Queue { messages: 7, consumers: 2 }));
        assert!(parse_frame(b"AMQP\x00\x01\x00\x00").unwrap_err().contains("another version of AMQP (1.0.0)"));
        assert!(parse_frame(b"HTTP/1.1").unwrap_err().contains("does not speak AMQP"));
        assert_eq!(parse_frame(&bytes[..9]), Ok(None));
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (parse_frame(&bytes), parse_product(&bytes), parse_close(&bytes), parse_queue(&bytes));
            let _ = parse_frame(&method(0, START, &bytes));
        }
    }
}
