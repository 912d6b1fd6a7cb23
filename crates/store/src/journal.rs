//! The journal: reading its entries, and which records it says were touched.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

use kernel::backend::{JournalQuery, Touched};
use kernel::ids::{Id, Kind, TenantId};
use kernel::journal::Entry;
use kernel::session::{Actor, ActorKind};

use crate::conn::{Conn, DbError, Row, Val};
use crate::layout::sealed;

pub(crate) const INSERT: &str = "INSERT INTO journal (seq, tenant, time, actor, subject, subject_key, kind, action, cause, before, after, note, hash, sum) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
const SELECT: &str = "SELECT seq, tenant, time, actor, subject, subject_key, kind, action, cause, before, after, note, hash, sum FROM journal";
const COLUMNS: usize = 13;
/// Most rows read at a time while looking for touched records.
const CHUNK: usize = 1024;

/// Entries that a question asks for. One that is damaged is told of in its place, and nothing that it said is served.
pub(crate) fn entries(conn: &mut dyn Conn, query: &JournalQuery) -> Result<Vec<Entry>, DbError> {
    let mut sql = format!("{SELECT} WHERE seq > ?1");
    let mut args: Vec<Val<'_>> = vec![query.since.into()];
    let mut bind = |sql: &mut String, text: &str, value: Val<'static>| {
        args.push(value);
        sql.push_str(&format!("{text}?{}", args.len()));
    };
    if let Some(before) = query.before {
        bind(&mut sql, " AND seq < ", before.into());
    }
    if let Some(subject) = query.subject {
        bind(&mut sql, " AND subject = ", subject.into());
    }
    if let Some(tenant) = query.tenant {
        bind(&mut sql, " AND tenant = ", tenant.into());
    }
    for (i, kind) in query.kinds.iter().enumerate() {
        bind(&mut sql, if i == 0 { " AND kind IN (" } else { ", " }, Val::from(kind.as_str().to_owned()));
    }
    if !query.kinds.is_empty() {
        sql.push(')');
    }
    sql.push_str(if query.before.is_some() { " ORDER BY seq DESC" } else { " ORDER BY seq" });
    bind(&mut sql, " LIMIT ", (query.limit as u64).into());
    conn.all(&sql, &args, |row| Ok(read(row).unwrap_or_else(|_| damaged(row, query.tenant))))
}

fn read(row: &dyn Row) -> Result<Entry, DbError> {
    if !sealed("journal", row, COLUMNS)? {
        return Err(DbError::Damaged("journal".into()));
    }
    let object = |i: usize| -> Result<Map<String, Value>, DbError> {
        serde_json::from_str(&row.text(i)?).map_err(|e| DbError::Damaged(e.to_string()))
    };
    Ok(Entry {
        seq: row.count(0)?,
        tenant: Some(row.tenant(1)?),
        time: row.time(2)?,
        actor: Actor::parse(&row.text(3)?),
        subject_id: Some(row.id(4)?),
        subject: row.string(5)?,
        class: Kind::new(&row.text(6)?),
        action: row.string(7)?,
        cause: row.opt_int(8)?.map(i64::unsigned_abs),
        before: object(9)?,
        after: object(10)?,
        note: row.opt_string(11)?,
        hash: hex::encode(row.blob(12)?),
    })
}

fn damaged(row: &dyn Row, tenant: Option<TenantId>) -> Entry {
    let seq = row.count(0).unwrap_or_default();
    tracing::error!(seq, "journal entry {seq} is damaged and is not served; run `mainstay verify`");
    Entry {
        seq,
        tenant,
        time: kernel::clock::Time::from_micros(0),
        actor: Actor::new(ActorKind::System, "mainstay"),
        subject_id: None,
        subject: String::new(),
        class: Kind::new("damaged"),
        action: "damaged".into(),
        cause: None,
        before: Map::new(),
        after: Map::new(),
        note: Some(format!(
            "entry {seq} is damaged and is not served; run `mainstay verify`, then restore it from a backup"
        )),
        hash: String::new(),
    }
}

/// Sequence of the newest entry.
pub(crate) fn head(conn: &mut dyn Conn) -> Result<u64, DbError> {
    Ok(conn.first("SELECT coalesce(max(seq), 0) FROM journal", &[], |row| row.count(0))?.unwrap_or(0))
}

/// Records of these classes touched after `seq`, each once with the newest entry that was looked at, oldest first.
pub(crate) fn touched_after(
    conn: &mut dyn Conn,
    kinds: &[Kind],
    seq: u64,
    limit: usize,
) -> Result<Vec<Touched>, DbError> {
    let mut last: BTreeMap<(TenantId, Id), u64> = BTreeMap::new();
    let mut after = seq;
    loop {
        // One range of an index for each class, merged: a cursor far behind must not read what other classes wrote meanwhile.
        let mut rows: Vec<Touched> = Vec::new();
        let mut whole = u64::MAX; // Up to here every class has been read.
        for kind in kinds {
            let sql = "SELECT seq, tenant, subject FROM journal WHERE kind = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
            let read = |row: &dyn Row| Ok(Touched { seq: row.count(0)?, tenant: row.tenant(1)?, id: row.id(2)? });
            let some = conn.all(sql, &[kind.as_str().into(), after.into(), (CHUNK as u64).into()], read)?;
            if some.len() == CHUNK {
                whole = whole.min(some.last().map_or(u64::MAX, |t| t.seq));
            }
            rows.extend(some);
        }
        rows.sort_by_key(|t| t.seq);
        for touched in rows.iter().filter(|t| t.seq <= whole) {
            if last.len() == limit && !last.contains_key(&(touched.tenant, touched.id)) {
                return Ok(in_order(last));
            }
            last.insert((touched.tenant, touched.id), touched.seq);
            after = touched.seq;
        }
        if whole == u64::MAX {
            return Ok(in_order(last));
        }
        after = after.max(whole);
    }
}

fn in_order(last: BTreeMap<(TenantId, Id), u64>) -> Vec<Touched> {
    let mut touched: Vec<Touched> = last.into_iter().map(|((tenant, id), seq)| Touched { seq, tenant, id }).collect();
    touched.sort_by_key(|t| t.seq);
    touched
}
