//! Kafka: are all brokers there, and has every partition a leader and all its replicas? Asks one broker for the cluster's
//! metadata; produces and consumes nothing.

mod sasl;

use schemars::JsonSchema;
use serde::Deserialize;

pub use sasl::{Mechanism, parse_mechanisms, parse_proof};

use crate::dialog::{Dialog, Measured, Parsed, one_line_problem, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State};
use crate::params::{Family, OneOrMany, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

/// Parameters of `kafka`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Topics that must be there; all topics are looked at when left out. A text or a list.
    topics: OneOrMany,
    /// CRITICAL when the cluster has fewer brokers.
    min_brokers: u32,
    /// WARNING when no broker of the cluster is its controller.
    controller: bool,
    /// User name; nobody signs in when left out.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// How the user signs in (SASL): scram-sha-512, scram-sha-256 or plain. With plain the password itself is sent: over TLS, or to
    /// whoever listens.
    mechanism: Mechanism,
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

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            topics: OneOrMany::default(),
            min_brokers: 1,
            controller: true,
            user: None,
            password: None,
            mechanism: Mechanism::default(),
            tls: false,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 9092;
/// The most bytes of the cluster's metadata.
pub const ANSWER_LIMIT_BYTES: usize = 8 << 20;

impl Check for Kafka {
    const NAME: &'static str = "kafka";
    const TITLE: &'static str = "Kafka";
    const HELP: &'static str = "Asks a broker for the cluster's metadata, and looks for missing brokers, partitions without a leader, and replicas that lag.";
    const TARGET: &'static str = "host and port, for example kafka-1.example.org; port 9092 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(self.topics.0.iter().filter_map(|topic| one_line_problem("topics", Some(topic))));
        problems.extend(one_line_problem("user", self.user.as_deref()));
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("password", "and user come together"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        if self.tls {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            cx.trace.phase("sign_in", "signing in");
            sasl::sign_in(&mut dialog, self.mechanism, user, password).await?;
        }
        cx.trace.phase("exchange", "waiting for the cluster's metadata");
        let answer = ask(&mut dialog, METADATA, 1, &wanted(&self.topics.0)).await?;
        let wrong = || Failure::Peer(format!("{} tells of its cluster in no known way", dialog.peer()));
        let cluster = parse_metadata(&answer).ok_or_else(wrong)?;
        Ok(decide(self, &cluster, &dialog.measured(cx)))
    }
}

const CORRELATION: u32 = 0x4d61_696e;

/// Kinds of requests.
const METADATA: u16 = 3;
const SASL_HANDSHAKE: u16 = 17;
const SASL_AUTHENTICATE: u16 = 36;

/// Sends a request of that kind and version, and gives what is answered.
async fn ask(dialog: &mut Dialog, kind: u16, version: u16, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let head = [kind.to_be_bytes(), version.to_be_bytes()].concat();
    let request = [&head, CORRELATION.to_be_bytes().as_slice(), &text("mainstay"), body].concat();
    let length = u32::try_from(request.len()).expect("what is sent is short").to_be_bytes();
    dialog.say(&[length.as_slice(), &request].concat()).await?;
    dialog.next(ANSWER_LIMIT_BYTES, parse_answer).await
}

/// What a request for metadata says of topics: none means all of them.
fn wanted(topics: &[String]) -> Vec<u8> {
    let count = if topics.is_empty() { u32::MAX } else { u32::try_from(topics.len()).expect("a few") };
    let mut body = count.to_be_bytes().to_vec();
    body.extend(topics.iter().flat_map(|topic| text(topic)));
    body
}

/// A text of at most 1,024 bytes, as requests write it.
fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("at most 1,024 bytes").to_be_bytes(), text.as_bytes()].concat()
}

/// Reads one answer to our question, without its head.
///
/// # Errors
/// When it cannot be one, as the end of a sentence about the peer.
pub fn parse_answer(bytes: &[u8]) -> Parsed<Vec<u8>> {
    let Some(head) = bytes.first_chunk::<8>() else { return Ok(None) };
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if !(4..=ANSWER_LIMIT_BYTES).contains(&length) || head[4..] != CORRELATION.to_be_bytes() {
        return Err("does not speak the Kafka protocol".to_owned());
    }
    Ok(bytes.get(8..4 + length).map(|body| (body.to_vec(), 4 + length)))
}

/// What one broker knows of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// How many brokers are there.
    pub brokers: u32,
    /// True when one of them is the controller.
    pub has_controller: bool,
    /// How many topics were told of.
    pub topics: u32,
    /// How many partitions they have together.
    pub partitions: u32,
    /// Partitions without a leader, as `topic/number`; the first few.
    pub leaderless: Vec<String>,
    /// How many partitions have no leader.
    pub leaderless_count: u32,
    /// How many partitions have replicas that are not in sync.
    pub lagging_count: u32,
    /// Topics that cannot be told of: name and the broker's code.
    pub refused: Vec<(String, i16)>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.0.get(..count)?;
        self.0 = &self.0[count..];
        Some(taken)
    }

    fn short(&mut self) -> Option<i16> {
        self.take(2)?.first_chunk().map(|bytes| i16::from_be_bytes(*bytes))
    }

    fn int(&mut self) -> Option<i32> {
        self.take(4)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
    }

    /// A length of a list, at most so many as there are bytes left.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.int()?).ok().filter(|count| *count <= self.0.len())
    }

    /// A text that may be missing (a length of -1).
    fn text(&mut self) -> Option<Option<String>> {
        let length = self.short()?;
        if length == -1 {
            return Some(None);
        }
        let bytes = self.take(usize::try_from(length).ok()?)?;
        Some(Some(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// Reads the metadata, version 1; `None` when it is damaged.
pub fn parse_metadata(bytes: &[u8]) -> Option<Cluster> {
    const SHOWN: usize = 5;
    let mut reader = Reader(bytes);
    let mut cluster = Cluster::default();
    let mut brokers = Vec::new();
    for _ in 0..reader.count()? {
        brokers.push(reader.int()?);
        reader.text()?; // Host.
        reader.int()?; // Port.
        reader.text()?; // Rack.
    }
    cluster.brokers = u32::try_from(brokers.len()).ok()?;
    cluster.has_controller = brokers.contains(&reader.int()?);
    for _ in 0..reader.count()? {
        let code = reader.short()?;
        let name = reader.text()?.unwrap_or_default();
        reader.take(1)?; // Internal.
        cluster.topics += 1;
        if code != 0 && cluster.refused.len() < SHOWN {
            cluster.refused.push((name.clone(), code));
        }
        for _ in 0..reader.count()? {
            reader.short()?;
            let (number, leader) = (reader.int()?, reader.int()?);
            let replicas = reader.count()?;
            reader.take(replicas.checked_mul(4)?)?;
            let in_sync = reader.count()?;
            reader.take(in_sync.checked_mul(4)?)?;
            cluster.partitions += 1;
            cluster.lagging_count += u32::from(in_sync < replicas);
            if leader < 0 {
                cluster.leaderless_count += 1;
                if cluster.leaderless.len() < SHOWN {
                    cluster.leaderless.push(format!("{name}/{number}"));
                }
            }
        }
    }
    Some(cluster)
}

/// The whole judgement.
pub fn decide(want: &Kafka, cluster: &Cluster, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let (state, sentence) = if cluster.brokers < want.min_brokers {
        let few =
            format!("{peer} knows of {} brokers, where at least {} are expected", cluster.brokers, want.min_brokers);
        (State::Critical, few)
    } else if let Some((topic, code)) = cluster.refused.first() {
        let why = match code {
            3 => "there is no such topic",
            5 => "it has no leader",
            29 => "not authorised",
            _ => "refused",
        };
        (State::Critical, format!("{peer} tells nothing of the topic {topic:?}: {why} (code {code})"))
    } else if cluster.leaderless_count > 0 {
        let which = cluster.leaderless.join(", ");
        (State::Critical, format!("{peer}: {} partitions have no leader: {which}", cluster.leaderless_count))
    } else if cluster.lagging_count > 0 {
        (State::Warning, format!("{peer}: {} partitions have replicas that lag", cluster.lagging_count))
    } else if want.controller && !cluster.has_controller {
        (State::Warning, format!("{peer}: the cluster has no controller"))
    } else {
        let counts =
            format!("{} brokers, {} topics, {} partitions", cluster.brokers, cluster.topics, cluster.partitions);
        (State::Ok, format!("{peer}: {counts}, all in order"))
    };
    measured
        .outcome("kafka", state, &sentence, (want.warn_time, want.critical_time))
        .with("kafka_brokers_count", f64::from(cluster.brokers), "")
        .with("kafka_topics_count", f64::from(cluster.topics), "")
        .with("kafka_partitions_count", f64::from(cluster.partitions), "")
        .with("kafka_leaderless_partitions_count", f64::from(cluster.leaderless_count), "")
        .with("kafka_lagging_partitions_count", f64::from(cluster.lagging_count), "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn brokers_leaders_and_replicas_decide() {
        let fine = || Cluster { brokers: 3, has_controller: true, topics: 1, partitions: 6, ..Cluster::default() };
        for (params, cluster, state, part) in [
            (json!({}), fine(), State::Ok, "3 brokers, 1 topics, 6 partitions, all in order"),
            (json!({"min_brokers": 4}), fine(), State::Critical, "at least 4 are expected"),
            (
                json!({}),
                Cluster { leaderless: vec!["a/1".into()], leaderless_count: 1, ..fine() },
                State::Critical,
                "1 partitions have no leader: a/1",
            ),
            (json!({}), Cluster { lagging_count: 2, ..fine() }, State::Warning, "2 partitions have replicas that lag"),
            (json!({}), Cluster { has_controller: false, ..fine() }, State::Warning, "no controller"),
            (
                json!({}),
                Cluster { refused: vec![("a".into(), 3)], ..fine() },
                State::Critical,
                "there is no such topic",
            ),
        ] {
            let want: Kafka = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "k:9092".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &cluster, &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn only_the_answer_to_our_question_is_read() {
        let mut answer = vec![0, 0, 0, 5];
        answer.extend_from_slice(&CORRELATION.to_be_bytes());
        assert_eq!(parse_answer(&answer), Ok(None));
        answer.push(7);
        assert_eq!(parse_answer(&answer), Ok(Some((vec![7], 9))));
        assert!(parse_answer(b"HTTP/1.1 400").is_err());
    }

    proptest! {
        #[test]
        fn no_metadata_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), zeros in 0usize..60) {
            let _ = (parse_answer(&bytes), parse_metadata(&bytes));
            let mut small = vec![0; zeros];
            small.extend_from_slice(&bytes);
            let _ = parse_metadata(&small);
        }
    }
}
