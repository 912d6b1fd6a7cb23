//! MySQL: does a server of that family let us in and answer a query as expected? A small client of its own, since it needs
//! only the handshake and the text protocol; MariaDB and the analytical databases that speak the same are met the same way.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use schemars::JsonSchema;
use serde::Deserialize;

pub use super::mysql_packet::{
    Greeting, parse_columns, parse_error, parse_first_packet, parse_greeting, parse_packet, parse_row,
};

use crate::dialog::{Dialog, one_line_problem, problems};
use crate::env::Failure;
use crate::facts::Conditions;
use crate::http::Condition;
use crate::outcome::{Outcome, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
use crate::sql::mysql_packet::{is_end, packet, parse_switch};
use crate::sql::table::query_problem;
use crate::sql::{Table, Wanted, decide};

/// Parameters of `mysql`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mysql {
    /// User name.
    user: String,
    /// Password of the user; an empty one when left out.
    password: Option<Secret>,
    /// Database to use; none when left out.
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

impl Default for Mysql {
    fn default() -> Self {
        Mysql {
            user: "root".to_owned(),
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

const PORT: u16 = 3306;
const FIRST_LIMIT_BYTES: usize = 8 << 10;

impl Check for Mysql {
    const NAME: &'static str = "mysql";
    const TITLE: &'static str = "MySQL and MariaDB";
    const HELP: &'static str = "Signs in to a MySQL or MariaDB server (or one that speaks its protocol), runs a query, and judges rows and columns.";
    const TARGET: &'static str = "host and port, for example db-1.example.org; port 3306 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("user", Some(&self.user)));
        problems.extend(one_line_problem("database", self.database.as_deref()));
        problems.extend(query_problem(self.query.as_deref(), &self.columns, self.rows.as_ref()));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let dialog = Dialog::open(cx, PORT, self.family).await?;
        let mut talk = Talk { dialog, number: 0, read_bytes: 0 };
        cx.trace.phase("greeting", "waiting for the greeting");
        let (_, greeting) = talk.dialog.next(FIRST_LIMIT_BYTES, parse_first_packet).await?;
        talk.number = 1;
        if let Some(why) = parse_error(&greeting) {
            return Err(talk.odd(&format!("refuses the conversation ({})", excerpt(why.as_bytes()))));
        }
        let greeting = parse_greeting(&greeting).map_err(|why| talk.odd(&why))?;
        if self.tls {
            if !greeting.offers_tls {
                return Err(talk.odd("offers no TLS"));
            }
            talk.say(&self.login(&greeting, None)).await?;
            talk.dialog = talk.dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("auth", "waiting to be let in");
        self.sign_in(&mut talk, &greeting).await?;
        let mut table = None;
        if let Some(query) = &self.query {
            const COM_QUERY: u8 = 3;
            cx.trace.phase("query", "waiting for the query's answer");
            talk.number = 0;
            talk.say(&[&[COM_QUERY], query.as_bytes()].concat()).await?;
            table = Some(talk.table().await?);
        }
        let measured = talk.dialog.measured(cx);
        let want = Wanted {
            protocol: Self::NAME,
            columns: &self.columns,
            rows: self.rows.as_ref(),
            times: (self.warn_time, self.critical_time),
        };
        Ok(decide(&want, &greeting.version, table.as_ref(), &measured))
    }
}

impl Mysql {
    fn password(&self) -> &[u8] {
        self.password.as_ref().map_or(b"", |password| password.reveal().as_bytes())
    }

    /// The login packet; without a proof it is the request for TLS, which is its beginning.
    fn login(&self, greeting: &Greeting, proof: Option<&[u8]>) -> Vec<u8> {
        const LONG_PASSWORD: u32 = 1;
        const CONNECT_WITH_DB: u32 = 8;
        const PROTOCOL_41: u32 = 0x200;
        const SSL: u32 = 0x800;
        const TRANSACTIONS: u32 = 0x2000;
        const SECURE_CONNECTION: u32 = 0x8000;
        const PLUGIN_AUTH: u32 = 0x8_0000;
        const UTF8MB4: u8 = 45;
        let mut flags = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
        flags |= if self.database.is_some() { CONNECT_WITH_DB } else { 0 };
        flags |= if self.tls { SSL } else { 0 };
        let mut bytes = flags.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(1u32 << 24).to_le_bytes());
        bytes.push(UTF8MB4);
        bytes.extend_from_slice(&[0; 23]);
        let Some(proof) = proof else { return bytes };
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.push(0);
        bytes.push(u8::try_from(proof.len()).unwrap_or_default());
        bytes.extend_from_slice(proof);
        if let Some(database) = &self.database {
            bytes.extend_from_slice(database.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(greeting.plugin.as_bytes());
        bytes.push(0);
        bytes
    }

    async fn sign_in(&self, talk: &mut Talk, greeting: &Greeting) -> Result<(), Failure> {
        const MAX_STEPS: usize = 6;
        let who = format!("the user {:?}", self.user);
        let (mut plugin, mut challenge) = (greeting.plugin.clone(), greeting.challenge.clone());
        // A way that is not known is named anyway; the server then asks for the one that the user really has.
        let first = proof(&plugin, self.password(), &challenge).unwrap_or_default();
        talk.say(&self.login(greeting, Some(&first))).await?;
        for _ in 0..MAX_STEPS {
            let answer = talk.next(&who).await?;
            match answer.first() {
                Some(0x00) => return Ok(()),
                Some(0xfe) => {
                    (plugin, challenge) =
                        parse_switch(&answer).ok_or_else(|| talk.odd("asks for a proof in no known way"))?;
                    let proof = proof(&plugin, self.password(), &challenge).ok_or_else(|| {
                        talk.odd(&format!("wants to be signed in to by {plugin}, which is not known here"))
                    })?;
                    talk.say(&proof).await?;
                }
                // caching_sha2_password: 3 means that the proof was right, 4 that it wants the password itself.
                Some(0x01) if answer.get(1) == Some(&3) => {}
                Some(0x01) if answer.get(1) == Some(&4) && self.tls => {
                    talk.say(&[self.password(), &[0]].concat()).await?;
                }
                Some(0x01) => {
                    return Err(talk.odd("wants the password itself, which is only told over TLS; set tls: true"));
                }
                _ => return Err(talk.odd("answers to the password in no known way")),
            }
        }
        Err(talk.odd("does not come to an end with signing in"))
    }
}

/// What proves the password to that plugin; `None` for a plugin that is not known.
fn proof(plugin: &str, password: &[u8], challenge: &[u8]) -> Option<Vec<u8>> {
    let known = matches!(plugin, "mysql_native_password" | "caching_sha2_password");
    if password.is_empty() {
        return known.then(Vec::new);
    }
    let mix = |hash: &[u8], other: &[u8]| hash.iter().zip(other).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
    match plugin {
        "mysql_native_password" => {
            let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
            let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
            context.update(challenge);
            context.update(digest(&SHA1_FOR_LEGACY_USE_ONLY, once.as_ref()).as_ref());
            Some(mix(once.as_ref(), context.finish().as_ref()))
        }
        "caching_sha2_password" => {
            let once = digest(&SHA256, password);
            let mut context = Context::new(&SHA256);
            context.update(digest(&SHA256, once.as_ref()).as_ref());
            context.update(challenge);
            Some(mix(once.as_ref(), context.finish().as_ref()))
        }
        _ => None,
    }
}

/// A conversation in numbered packets.
struct Talk {
    dialog: Dialog,
    number: u8,
    read_bytes: usize,
}

impl Talk {
    fn odd(&self, why: &str) -> Failure {
        Failure::Peer(format!("{} {why}", self.dialog.peer()))
    }

    async fn say(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.dialog.say(&packet(self.number, payload)).await?;
        self.number = self.number.wrapping_add(1);
        Ok(())
    }

    /// The next packet; an error packet says that `what` is refused.
    async fn next(&mut self, what: &str) -> Result<Vec<u8>, Failure> {
        let (number, payload) = self.dialog.next(Table::MAX_BYTES, parse_packet).await?;
        self.number = number.wrapping_add(1);
        self.read_bytes += payload.len() + 4;
        if self.read_bytes > Table::MAX_BYTES {
            return Err(self.odd(&format!("answers with more than {} MiB", Table::MAX_BYTES >> 20)));
        }
        match parse_error(&payload) {
            Some(why) => Err(self.odd(&format!("refuses {what} ({})", excerpt(why.as_bytes())))),
            None => Ok(payload),
        }
    }

    /// The answer to a query.
    async fn table(&mut self) -> Result<Table, Failure> {
        let mut table = Table::default();
        let head = self.next("the query").await?;
        let columns = match head.first() {
            Some(0x00) => return Ok(table), // Done, without rows.
            _ => parse_columns(&head).ok_or_else(|| self.odd("answers to the query in no known way"))?,
        };
        for _ in 0..columns {
            let definition = self.next("the query").await?;
            let name = super::mysql_packet::parse_column_name(&definition);
            table.columns.push(name.ok_or_else(|| self.odd("describes a column in no known way"))?);
        }
        self.next("the query").await?; // The end of the columns.
        loop {
            let packet = self.next("the query").await?;
            if is_end(&packet) {
                return Ok(table);
            }
            let row = parse_row(&packet, table.columns.len());
            table.push(row.ok_or_else(|| self.odd("sends a row in no known way"))?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_what_the_plugins_want() {
        let challenge: Vec<u8> = (1..=20).collect();
        assert_eq!(proof("mysql_native_password", b"hunter2", &challenge).unwrap().len(), 20);
        assert_eq!(proof("caching_sha2_password", b"hunter2", &challenge).unwrap().len(), 32);
        assert_eq!(proof("caching_sha2_password", b"", &challenge), Some(Vec::new()));
        assert_eq!(proof("auth_gssapi_client", b"hunter2", &challenge), None);
    }
}
