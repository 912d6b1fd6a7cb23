//! Looking at everything that is stored: each row against its seal, the journal against its chain, what must agree with what.
//!
//! `verify` reads all of it at once; the scrub reads the same a little at a time, for ever. Both only read.

use std::collections::BTreeMap;

use kernel::error::StoreError;
use kernel::ids::{Id, TenantId};
use kernel::journal::{GENESIS, Header, body_hashes, chain};
use serde::{Deserialize, Serialize};

use crate::conn::{Conn, DbError, Dialect, Row, Val};
use crate::layout::{Classes, Table, sealed, tables};
use crate::store::Store;

/// Damaged rows told of one by one; more are only counted.
const TOLD: usize = 1000;

/// The newest entry of a tenant's journal: what an anchor outside of the data directory keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Whose.
    pub tenant: TenantId,
    /// Its sequence.
    pub seq: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
}

/// A row that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedRow {
    /// Its table.
    pub table: String,
    /// What it is known by, as far as it can be read.
    pub key: String,
}

/// Where a tenant's journal is wrong first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenChain {
    /// Whose.
    pub tenant: TenantId,
    /// The first sequence that is wrong or missing.
    pub seq: u64,
    /// What is wrong, in a sentence.
    pub why: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Rows looked at.
    pub rows: u64,
    /// Journal entries among them.
    pub entries: u64,
    /// How many rows are damaged.
    pub damaged_rows: u64,
    /// Which: the first thousand.
    pub damaged: Vec<DamagedRow>,
    /// The first bad entry of each tenant's journal.
    pub chains: Vec<BrokenChain>,
    /// What the database itself says is wrong.
    pub database: Vec<String>,
}

impl Report {
    /// Whether everything is as it was written.
    pub fn is_whole(&self) -> bool {
        self.damaged_rows == 0 && self.chains.is_empty() && self.database.is_empty()
    }

    fn damaged(&mut self, table: &str, key: String) {
        self.damaged_rows += 1;
        if self.damaged.len() < TOLD {
            self.damaged.push(DamagedRow { table: table.to_owned(), key });
        }
    }

    fn broken(&mut self, tenant: TenantId, seq: u64, why: impl Into<String>) {
        if !self.chains.iter().any(|c| c.tenant == tenant) {
            self.chains.push(BrokenChain { tenant, seq, why: why.into() });
        }
    }
}

impl Store {
    /// Looks at everything. With anchors, also finds a journal that was cut short or rolled back.
    ///
    /// # Errors
    /// Only when nothing can be read at all; whatever is damaged is in the report.
    pub async fn verify(&self, anchors: &[Anchor]) -> Result<Report, StoreError> {
        let anchors = anchors.to_vec();
        self.read_slowly(move |conn, classes| Ok(everything(conn, classes, &anchors)?)).await
    }

    /// The newest entry of each tenant's journal, for an anchor.
    ///
    /// # Errors
    /// What the database says.
    pub async fn heads(&self) -> Result<Vec<Anchor>, StoreError> {
        self.read(|conn, _| Ok(heads(conn)?)).await
    }

    /// Canonical text of every row, table by table in the order of their keys: two stores with the same text hold the same.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dump(&self) -> Result<String, StoreError> {
        self.read_slowly(|conn, classes| Ok(dump(conn, classes)?)).await
    }
}

pub(crate) fn heads(conn: &mut dyn Conn) -> Result<Vec<Anchor>, DbError> {
    conn.all("SELECT tenant, seq, hash, sum FROM chain ORDER BY tenant", &[], |row| {
        if !sealed("chain", row, 3)? {
            return Err(DbError::Damaged(format!("the journal head of tenant {}", row.int(0)?)));
        }
        Ok(Anchor { tenant: row.tenant(0)?, seq: row.count(1)?, hash: hex::encode(row.blob(2)?) })
    })
}

pub(crate) fn everything(conn: &mut dyn Conn, classes: &Classes, anchors: &[Anchor]) -> Result<Report, DbError> {
    let mut report = Report::default();
    for table in tables(classes.keys()) {
        if let Err(error) = check_rows(conn, &table, &mut report) {
            report.database.push(format!("{}: {error}", table.name));
        }
    }
    for check in [
        check_chain(conn, anchors, &mut report),
        check_numbers(conn, classes, &mut report),
        check_itself(conn, &mut report),
    ] {
        if let Err(error) = check {
            report.database.push(error.to_string());
        }
    }
    Ok(report)
}

fn select(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|c| format!("r.{c}")).collect();
    format!("SELECT {}, r.sum FROM {} r", columns.join(", "), table.name)
}

fn order(table: &Table) -> String {
    table.columns[..table.keys].join(", ")
}

fn check_rows(conn: &mut dyn Conn, table: &Table, report: &mut Report) -> Result<(), DbError> {
    conn.query(&select(table), &[], &mut |row| {
        check_row(table, row, report);
        Ok(true)
    })
}

fn check_row(table: &Table, row: &dyn Row, report: &mut Report) {
    report.rows += 1;
    if !sealed(&table.name, row, table.columns.len()).unwrap_or(false) {
        report.damaged(&table.name, known_by(table, row));
    }
}

/// What a row is known by: its readable key if it has one, else its first columns.
fn known_by(table: &Table, row: &dyn Row) -> String {
    if let Some(i) = table.columns.iter().position(|c| *c == "key")
        && let Ok(key) = row.string(i)
    {
        return key;
    }
    (0..table.keys)
        .map(|i| row.get(i).map_or_else(|_| "unreadable".into(), |v| shown(&v)))
        .collect::<Vec<_>>()
        .join(" ")
}

fn shown(value: &Val<'_>) -> String {
    match value {
        Val::Null => "null".into(),
        Val::Int(n) => n.to_string(),
        Val::Real(n) => format!("{n:?}"),
        Val::Text(t) => serde_json::Value::from(t.as_ref()).to_string(),
        Val::Blob(b) => format!("x{}", hex::encode(b)),
    }
}

/// Follows every tenant's chain from its beginning; sequences over all tenants have no gap.
fn check_chain(conn: &mut dyn Conn, anchors: &[Anchor], report: &mut Report) -> Result<(), DbError> {
    let mut heads_found: BTreeMap<TenantId, (u64, [u8; 32])> = BTreeMap::new();
    let mut anchored: BTreeMap<(TenantId, u64), &str> =
        anchors.iter().map(|a| ((a.tenant, a.seq), a.hash.as_str())).collect();
    let mut last = 0_u64;
    let sql = "SELECT seq, tenant, time, actor, subject, subject_key, kind, action, cause, before, after, note, hash FROM journal ORDER BY seq";
    conn.query(sql, &[], &mut |row| {
        report.entries += 1;
        let seq = row.count(0)?;
        let tenant = row.tenant(1).unwrap_or(TenantId::HOME);
        if seq != last + 1 {
            report.broken(tenant, last + 1, format!("entries {} to {} are missing", last + 1, seq.saturating_sub(1)));
        }
        last = seq;
        let previous = heads_found.get(&tenant).map_or(GENESIS, |(_, hash)| *hash);
        let stored = row.blob(12).ok().and_then(|h| <[u8; 32]>::try_from(h).ok());
        match (link_of(row, &previous), stored) {
            (Ok(computed), Some(stored)) if computed == stored => {}
            _ => report.broken(tenant, seq, format!("entry {seq} is not what was written")),
        }
        let hash = stored.unwrap_or_default();
        if anchored.remove(&(tenant, seq)).is_some_and(|anchor| anchor != hex::encode(hash)) {
            report.broken(tenant, seq, format!("entry {seq} is another one than the anchor has"));
        }
        heads_found.insert(tenant, (seq, hash));
        Ok(true)
    })?;
    for ((tenant, seq), _) in anchored {
        let first_missing = (last + 1).min(seq);
        report.broken(
            tenant,
            first_missing,
            format!("the anchor knows entry {seq}, which is missing: the journal was cut short or rolled back"),
        );
    }
    for head in heads(conn)? {
        match heads_found.remove(&head.tenant) {
            Some((seq, hash)) if seq == head.seq && hex::encode(hash) == head.hash => {}
            Some((seq, _)) if seq < head.seq => report.broken(
                head.tenant,
                if head.seq > last { last + 1 } else { seq + 1 },
                format!("the newest entry should be {}", head.seq),
            ),
            Some((seq, _)) => report.broken(head.tenant, seq, format!("the newest entry should be {}", head.seq)),
            None => report.broken(
                head.tenant,
                (last + 1).min(head.seq),
                format!("the newest entry should be {}, and there is none", head.seq),
            ),
        }
    }
    for (tenant, (seq, _)) in heads_found {
        report.broken(tenant, seq, "the head of the journal is missing".to_owned());
    }
    Ok(())
}

/// The hash that an entry should have.
fn link_of(row: &dyn Row, previous: &[u8; 32]) -> Result<[u8; 32], DbError> {
    let subject: Id = row.id(4)?;
    let (actor, key, kind, action) = (row.text(3)?, row.text(5)?, row.text(6)?, row.text(7)?);
    let note = row.opt_text(11)?.unwrap_or_default();
    let header = Header {
        seq: row.count(0)?,
        time: row.time(2)?,
        tenant: row.tenant(1)?,
        actor: &actor,
        subject: &subject,
        key: &key,
        kind: &kind,
        action: &action,
        cause: row.opt_int(8)?.unwrap_or(0).unsigned_abs(),
        note: &note,
    };
    Ok(chain(previous, header, &body_hashes(&row.text(9)?, &row.text(10)?)))
}

/// Every record stands in exactly the class's table that it says, and the other way round.
fn check_numbers(conn: &mut dyn Conn, classes: &Classes, report: &mut Report) -> Result<(), DbError> {
    for class in classes.values() {
        let sql = format!(
            "SELECT r.num FROM record r WHERE r.kind = ?1 AND NOT EXISTS (SELECT 1 FROM {0} c WHERE c.num = r.num AND c.id = r.id AND c.tenant = r.tenant AND c.key = r.key AND c.deleted = r.deleted) \
             UNION ALL SELECT c.num FROM {0} c WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.num = c.num AND r.kind = ?1)",
            class.name
        );
        for num in conn.all(&sql, &[class.kind.as_str().into()], |row| row.int(0))? {
            report.damaged(
                &class.name,
                format!("number {num}: its row and its entry in the table of all records differ"),
            );
        }
    }
    let unknown =
        conn.all("SELECT num FROM record WHERE kind NOT IN (SELECT kind FROM class)", &[], |row| row.int(0))?;
    for num in unknown {
        report.damaged("record", format!("number {num}: of a class that does not exist"));
    }
    Ok(())
}

/// The database's own check: that indexes agree with their tables, that pages hang together.
fn check_itself(conn: &mut dyn Conn, report: &mut Report) -> Result<(), DbError> {
    if conn.dialect() == Dialect::Sqlite {
        let said = conn.all("PRAGMA integrity_check(20)", &[], |row| row.string(0))?;
        report.database.extend(said.into_iter().filter(|s| s != "ok"));
        let loose = conn.all("PRAGMA foreign_key_check", &[], |row| row.string(0))?;
        report
            .database
            .extend(loose.into_iter().map(|table| format!("a row of {table} points at a record that is not there")));
    }
    Ok(())
}

pub(crate) fn dump(conn: &mut dyn Conn, classes: &Classes) -> Result<String, DbError> {
    let mut text = String::new();
    for table in tables(classes.keys()) {
        text.push_str(&format!("# {} ({})\n", table.name, table.columns.join(", ")));
        conn.query(&format!("{} ORDER BY {}", select(&table), order(&table)), &[], &mut |row| {
            for i in 0..table.columns.len() {
                text.push_str(&shown(&row.get(i)?));
                text.push(if i + 1 == table.columns.len() { '\n' } else { '\t' });
            }
            Ok(true)
        })?;
    }
    Ok(text)
}

/// Where a scrub is, and what it has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Table under the lens.
    pub table: String,
    /// Its last row that was looked at: its key columns, as the dump writes them; empty at the beginning.
    pub after: Vec<String>,
    /// Times that everything has been gone through.
    pub rounds: u64,
    /// Found in this round.
    pub report: Report,
    /// Found in the round before.
    pub last: Option<Report>,
}

impl Store {
    /// Looks at the next `rows` rows; carries on where `scrub` stands and begins again at the end. To be called every now and then.
    ///
    /// # Errors
    /// What the database says.
    pub async fn scrub_tick(&self, scrub: Scrub, rows: u32) -> Result<Scrub, StoreError> {
        self.read_slowly(move |conn, classes| Ok(tick(conn, classes, scrub, rows)?)).await
    }
}

fn tick(conn: &mut dyn Conn, classes: &Classes, mut scrub: Scrub, rows: u32) -> Result<Scrub, DbError> {
    let all = tables(classes.keys());
    let place = all.iter().position(|t| t.name == scrub.table).unwrap_or(0);
    let Some(table) = all.get(place) else { return Ok(scrub) };
    let mut args: Vec<Val<'_>> = scrub.after.iter().filter_map(|text| read_shown(text)).collect();
    let mut sql = select(table);
    if args.len() == table.keys {
        let marks: Vec<String> = (1..=table.keys).map(|i| format!("?{i}")).collect();
        sql.push_str(&format!(" WHERE ({}) > ({})", order(table), marks.join(", ")));
    } else {
        args.clear();
    }
    args.push(rows.into());
    sql.push_str(&format!(" ORDER BY {} LIMIT ?{}", order(table), args.len()));
    let (mut seen, mut after) = (0, Vec::new());
    conn.query(&sql, &args, &mut |row| {
        seen += 1;
        check_row(table, row, &mut scrub.report);
        after = (0..table.keys).map(|i| row.get(i).map_or_else(|_| "null".into(), |v| shown(&v))).collect();
        Ok(true)
    })?;
    scrub.table.clone_from(&table.name);
    scrub.after = after;
    if seen < rows {
        scrub.after = Vec::new();
        match all.get(place + 1) {
            Some(next) => scrub.table.clone_from(&next.name),
            None => {
                // The round ends with the chain, which has to be read as a whole.
                check_chain(conn, &[], &mut scrub.report)?;
                scrub.table.clear();
                scrub.rounds += 1;
                scrub.last = Some(std::mem::take(&mut scrub.report));
            }
        }
    }
    Ok(scrub)
}

/// A value from the form in which a dump shows it.
fn read_shown(text: &str) -> Option<Val<'static>> {
    if let Some(hexed) = text.strip_prefix('x') {
        return hex::decode(hexed).ok().map(Val::from);
    }
    match serde_json::from_str(text).ok()? {
        serde_json::Value::String(t) => Some(Val::from(t)),
        serde_json::Value::Number(n) => n.as_i64().map(Val::Int),
        _ => None,
    }
}
