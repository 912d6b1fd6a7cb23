//! PostgreSQL: does the server let us in and answer a query as expected? The protocol is spoken by tokio-postgres, over a
//! connection and TLS of our own, and no more than a fixed number of bytes is taken from the server.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::dialog::{Dialog, one_line_problem, problems};
use crate::env::{Failure, Stream};
use crate::facts::Conditions;
use crate::http::Condition;
use crate::outcome::{Outcome, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
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
    /// The query. Its numbers become readings, with the texts of the same row as labels.
    query: String,
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
            query: "SELECT 1".to_owned(),
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
        problems.extend(query_problem(&self.query));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        if self.tls {
            cx.trace.phase("tls", "waiting for TLS to be offered");
            dialog.say(&SSL_REQUEST).await?;
            let answer = dialog.next(1, |bytes| Ok(bytes.first().map(|byte| (*byte, 1)))).await?;
            match answer {
                b'S' => dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?,
                b'N' => return Err(Failure::Peer(format!("{} offers no TLS", dialog.peer()))),
                _ => return Err(not_postgresql(dialog.peer())),
            }
        }
        cx.trace.phase("auth", "waiting to be let in");
        let (peer, mut measured) = (dialog.peer().to_owned(), dialog.measured(cx));
        let overrun = Arc::new(AtomicBool::new(false));
        let stream = Bounded { inner: dialog.into_stream(), left_bytes: Table::MAX_BYTES, overrun: overrun.clone() };
        let mut driver = JoinSet::new(); // Ends the connection when dropped.
        let client = self.connect(&peer, stream, &mut driver).await?;
        cx.trace.phase("query", "waiting for the query's answer");
        let messages = client.simple_query(&self.query).await.map_err(|error| {
            if overrun.load(Ordering::Relaxed) {
                return Failure::Peer(format!("{peer} answers with more than {} MiB", Table::MAX_BYTES >> 20));
            }
            failure(&peer, "the query", &error)
        })?;
        measured.seconds = cx.trace.elapsed().as_secs_f64();
        let want = Wanted {
            protocol: Self::NAME,
            columns: &self.columns,
            rows: self.rows.as_ref(),
            times: (self.warn_time, self.critical_time),
        };
        Ok(decide(&want, "PostgreSQL", &table(messages), &measured))
    }
}

/// The length of the request and its code (PostgreSQL's manual, "SSL Session Encryption").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

impl Postgresql {
    async fn connect(&self, peer: &str, stream: Bounded, driver: &mut JoinSet<()>) -> Result<Client, Failure> {
        let mut config = tokio_postgres::Config::new();
        // TLS is ours, below what the library sees.
        config.user(&self.user).application_name("mainstay").ssl_mode(SslMode::Disable);
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        if let Some(database) = &self.database {
            config.dbname(database);
        }
        let who = format!("the user {:?}", self.user);
        let connected = config.connect_raw(stream, NoTls).await;
        let (client, connection) = connected.map_err(|error| failure(peer, &who, &error))?;
        driver.spawn(async move {
            let _ = connection.await; // Whoever waits for the answer is told what went wrong.
        });
        Ok(client)
    }
}

fn not_postgresql(peer: &str) -> Failure {
    Failure::Peer(format!("{peer} does not speak the PostgreSQL protocol"))
}

fn failure(peer: &str, what: &str, error: &tokio_postgres::Error) -> Failure {
    if let Some(said) = error.as_db_error() {
        let why = format!("{}: {}", said.code().code(), said.message());
        return Failure::Peer(format!("{peer} refuses {what} ({})", excerpt(why.as_bytes())));
    }
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        // What cannot be parsed comes as an I/O error too.
        Some(io) if matches!(io.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData) => {
            not_postgresql(peer)
        }
        Some(io) => Failure::from_io(&format!("asking {peer}"), io),
        None if error.is_closed() => Failure::Peer(format!("{peer} hung up in the middle of its answer")),
        None => {
            let why = error.to_string();
            if why.contains("unexpected message") {
                return not_postgresql(peer);
            }
            Failure::Peer(format!("{peer} refuses {what} ({})", excerpt(why.as_bytes())))
        }
    }
}

fn table(messages: Vec<SimpleQueryMessage>) -> Table {
    let mut table = Table::default();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                // Of several statements the last one counts.
                table = Table::default();
                table.columns = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                table.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
            }
            _ => {}
        }
    }
    table
}

/// A connection from which only so much is read.
struct Bounded {
    inner: Box<dyn Stream>,
    left_bytes: usize,
    /// Set when there was more; the library tells only of a connection that ended.
    overrun: Arc<AtomicBool>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.left_bytes == 0 {
            self.overrun.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(std::io::ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.left_bytes = self.left_bytes.saturating_sub(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
