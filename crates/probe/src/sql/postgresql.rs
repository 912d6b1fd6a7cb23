//! PostgreSQL: does the server let us in and answer a query as expected? A small client of its own, since it needs only the
//! sign-in and the simple query, and takes no more than a fixed number of bytes from the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;

pub use super::postgresql_message::{
    Message, Wants, parse_columns, parse_error, parse_message, parse_row, parse_wants,
};
pub use crate::scram::{Last, answer};

use crate::dialog::{Dialog, one_line_problem, problems};
use crate::env::{Failure, random};
use crate::facts::Conditions;
use crate::http::Condition;
use crate::outcome::{Outcome, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::scram;
use crate::secret::Secret;
use crate::sql::postgresql_message::{md5_proof, message, parse_setting};
use crate::sql::table::query_problem;
use crate::sql::{Table, Wanted, decide};

/// Parameters of `postgresql`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Postgresql {
    /// User name.
    user: String,
    /// Password of the user. None is sent when left out.
    password: Option<Secret>,
    /// Database; the one named as the user when left out.
    database: Option<String>,
    /// The query. Its numbers become readings, with the texts of the same row as labels. Only the sign-in is tried when
    /// left out.
    query: Option<String>,
    /// Columns of the first row and what they must be: {"lag_seconds": "< 10"}.
    columns: Conditions,
    /// How many rows there must be, for example 1 or "< 100".
    rows: Option<Condition>,
    /// Whether to speak over TLS; the server must offer it then.
    tls: bool,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// WARNING when connecting and the query took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when connecting and the query took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Postgresql {
    fn default() -> Self {
        Postgresql {
            user: "postgres".to_owned(),
            password: None,
            database: None,
            query: None,
            columns: Conditions::new(),
            rows: None,
            tls: false,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 5432;

impl Check for Postgresql {
    const NAME: &'static str = "postgresql";
    const TITLE: &'static str = "PostgreSQL";
    const HELP: &'static str =
        "Signs in to a PostgreSQL server (or one that speaks its protocol), runs a query, and judges rows and columns.";
    const TARGET: &'static str = "host and port, for example db-1.example.org; port 5432 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("user", Some(&self.user)));
        problems.extend(one_line_problem("database", self.database.as_deref()));
        problems.extend(query_problem(self.query.as_deref(), &self.columns, self.rows.as_ref()));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        if self.tls {
            cx.trace.phase("tls", "waiting for TLS to be offered");
            dialog.say(&SSL_REQUEST).await?;
            match dialog.next(1, |bytes| Ok(bytes.first().map(|byte| (*byte, 1)))).await? {
                b'S' => dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?,
                b'N' => return Err(Failure::Peer(format!("{} offers no TLS", dialog.peer()))),
                _ => return Err(Failure::Peer(format!("{} does not speak the PostgreSQL protocol", dialog.peer()))),
            }
        }
        let mut talk = Talk { dialog, read_bytes: 0 };
        cx.trace.phase("auth", "waiting to be let in");
        let version = self.sign_in(&mut talk).await?;
        let mut table = None;
        if let Some(query) = &self.query {
            cx.trace.phase("query", "waiting for the query's answer");
            talk.dialog.say(&message(Some(b'Q'), &[query.as_bytes(), &[0]].concat())).await?;
            table = Some(talk.table().await?);
        }
        let measured = talk.dialog.measured(cx);
        let _ = talk.dialog.say(&message(Some(b'X'), &[])).await; // A goodbye is not answered.
        let want = Wanted {
            protocol: Self::NAME,
            columns: &self.columns,
            rows: self.rows.as_ref(),
            times: (self.warn_time, self.critical_time),
        };
        Ok(decide(&want, &format!("PostgreSQL {version}"), table.as_ref(), &measured))
    }
}

/// The length of the request and its code (PostgreSQL's manual, "SSL Session Encryption").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

impl Postgresql {
    /// Proves who we are, and gives the server's version.
    async fn sign_in(&self, talk: &mut Talk) -> Result<String, Failure> {
        const MAX_STEPS: usize = 100;
        const VERSION_3: u32 = 3 << 16;
        let mut start = VERSION_3.to_be_bytes().to_vec();
        let database = self.database.as_ref().unwrap_or(&self.user);
        for (name, value) in [("user", &*self.user), ("database", database), ("application_name", "mainstay")] {
            start.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        start.push(0);
        talk.dialog.say(&message(None, &start)).await?;
        let who = format!("the user {:?}", self.user);
        let (mut proof, mut version) = (Proof::default(), String::new());
        for _ in 0..MAX_STEPS {
            let (kind, content) = talk.next(&who).await?;
            match kind {
                b'R' => {
                    let wants = parse_wants(&content).ok_or_else(|| talk.odd("asks for a password in no known way"))?;
                    if let Some(reply) = self.reply(&mut proof, wants).map_err(|why| talk.odd(&why))? {
                        talk.dialog.say(&message(Some(b'p'), &reply)).await?;
                    }
                }
                b'S' => {
                    if let Some((name, value)) = parse_setting(&content)
                        && name == "server_version"
                    {
                        version = value.split(' ').next().unwrap_or_default().to_owned();
                    }
                }
                b'Z' => return Ok(version),
                _ => {}
            }
        }
        Err(talk.odd("does not come to an end with signing in"))
    }

    /// What to say to what the server wants. An error is the end of a sentence about it.
    fn reply(&self, proof: &mut Proof, wants: Wants) -> Result<Option<Vec<u8>>, String> {
        let password = match (&self.password, &wants) {
            (Some(password), _) => password.reveal(),
            (None, Wants::Nothing | Wants::Other(_)) => "",
            (None, _) => return Err("wants a password, and none is given".to_owned()),
        };
        Ok(match wants {
            Wants::Nothing if proof.expected.is_some() => {
                return Err("lets us in without proving that it knows the password: it is another server".to_owned());
            }
            Wants::Nothing => None,
            Wants::Password => Some([password.as_bytes(), &[0]].concat()),
            Wants::Md5(salt) => Some(format!("{}\0", md5_proof(&self.user, password, salt)).into_bytes()),
            Wants::Sasl(mechanisms) => {
                if !mechanisms.iter().any(|name| name == "SCRAM-SHA-256") {
                    return Err(format!("wants a proof by {}, which is not known here", mechanisms.join(", ")));
                }
                proof.nonce = nonce()?;
                let first = format!("n,,{}", scram::first(&proof.nonce));
                let length = u32::try_from(first.len()).expect("a short text").to_be_bytes();
                Some([b"SCRAM-SHA-256\0".as_slice(), &length, first.as_bytes()].concat())
            }
            Wants::SaslStep(challenge) => {
                let last = answer(&proof.nonce, password, &challenge)?;
                proof.expected = Some(last.expected);
                Some(last.message.into_bytes())
            }
            Wants::SaslDone(theirs) => {
                if proof.expected.take().is_none_or(|expected| expected.as_bytes() != theirs) {
                    return Err("does not prove that it knows the password: it is another server".to_owned());
                }
                None
            }
            Wants::Other(number) => return Err(format!("wants to be signed in to in a way not known here ({number})")),
        })
    }
}

/// How far a proof by SCRAM has come.
#[derive(Default)]
struct Proof {
    nonce: String,
    expected: Option<String>,
}

fn nonce() -> Result<String, String> {
    let dice = random::<18>().map_err(|failure| format!("cannot be answered: {failure}"))?;
    Ok(STANDARD.encode(dice))
}

/// A conversation that ends when the server has said too much.
struct Talk {
    dialog: Dialog,
    read_bytes: usize,
}

impl Talk {
    fn odd(&self, why: &str) -> Failure {
        Failure::Peer(format!("{} {why}", self.dialog.peer()))
    }

    /// The next message; an error says that `what` is refused.
    async fn next(&mut self, what: &str) -> Result<Message, Failure> {
        let (kind, content) = self.dialog.next(Table::MAX_BYTES, parse_message).await?;
        self.read_bytes += content.len() + 5;
        if self.read_bytes > Table::MAX_BYTES {
            return Err(self.odd(&format!("answers with more than {} MiB", Table::MAX_BYTES >> 20)));
        }
        if kind == b'E' {
            let why = parse_error(&content).unwrap_or_else(|| "without a reason".to_owned());
            return Err(self.odd(&format!("refuses {what} ({})", excerpt(why.as_bytes()))));
        }
        Ok((kind, content))
    }

    /// The answer to a query; of several statements the last one with rows counts.
    async fn table(&mut self) -> Result<Table, Failure> {
        let mut table = Table::default();
        loop {
            let (kind, content) = self.next("the query").await?;
            match kind {
                b'T' => {
                    let columns = parse_columns(&content);
                    let columns = columns.ok_or_else(|| self.odd("describes its columns in no known way"))?;
                    table = Table { columns, ..Table::default() };
                }
                b'D' => {
                    let row = parse_row(&content).filter(|row| row.len() == table.columns.len());
                    table.push(row.ok_or_else(|| self.odd("sends a row in no known way"))?);
                }
                b'G' | b'H' | b'W' => return Err(self.odd("wants to copy data, which is no query's answer")),
                b'Z' => return Ok(table),
                _ => {}
            }
        }
    }
}
