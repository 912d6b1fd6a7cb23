//! Records as rows and back. A row whose seal does not fit never becomes a [`Record`].

use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

use kernel::ids::{Id, Kind, TenantId};
use kernel::record::{Head, Health, HealthState, Record};

use crate::conn::{Conn, DbError, Row, Val};
use crate::layout::{CLASS_COLUMNS, ClassTable, Classes, seal, sealed};

/// A record as read, with what the store keeps beside it.
pub(crate) struct Stored {
    pub(crate) num: i64,
    pub(crate) words: i64,
    pub(crate) record: Record,
}

/// A row that was read: whole, or damaged, by the key it seems to have.
pub(crate) enum Read {
    Whole(Box<Stored>),
    Damaged(String),
}

impl Read {
    /// The record, or the error that names it.
    pub(crate) fn whole(self, class: &ClassTable) -> Result<Stored, DbError> {
        match self {
            Self::Whole(stored) => Ok(*stored),
            Self::Damaged(key) => Err(DbError::Damaged(format!("{} {key}", class.kind))),
        }
    }
}

/// The values of a row before its seal, in the order of [`CLASS_COLUMNS`].
pub(crate) fn values<'a>(num: i64, record: &'a Record, words: i64, fields: &'a str) -> [Val<'a>; CLASS_COLUMNS.len()] {
    let health = record.health.as_ref();
    [
        num.into(),
        record.tenant.into(),
        (&record.id).into(),
        (&record.key).into(),
        (&record.state).into(),
        record.open.into(),
        record.state_since.into(),
        (&record.title).into(),
        record.owner.as_deref().into(),
        health.map(|h| h.state.as_str()).into(),
        health.map(|h| h.since).into(),
        health.map(|h| h.reason.as_str()).into(),
        record.version.into(),
        record.created.into(),
        record.updated.into(),
        record.deleted.into(),
        words.into(),
        fields.into(),
    ]
}

/// The values of a row with its seal.
pub(crate) fn sealed_values<'a>(
    class: &ClassTable,
    num: i64,
    record: &'a Record,
    words: i64,
    fields: &'a str,
) -> Vec<Val<'a>> {
    let mut values = Vec::from(values(num, record, words, fields));
    values.push(Val::Int(seal(&class.name, values.iter())));
    values
}

/// Reads a row of [`ClassTable::select`].
pub(crate) fn read(class: &ClassTable, row: &dyn Row) -> Read {
    match read_sealed(class, row) {
        Ok(Some(stored)) => Read::Whole(Box::new(stored)),
        Ok(None) | Err(_) => {
            Read::Damaged(row.string(3).unwrap_or_else(|_| format!("number {}", row.int(0).unwrap_or_default())))
        }
    }
}

fn read_sealed(class: &ClassTable, row: &dyn Row) -> Result<Option<Stored>, DbError> {
    if !sealed(&class.name, row, CLASS_COLUMNS.len())? {
        return Ok(None);
    }
    let fields: Map<String, Value> =
        serde_json::from_str(&row.text(17)?).map_err(|_| DbError::Damaged("fields".into()))?;
    let record = Record {
        tenant: row.tenant(1)?,
        id: row.id(2)?,
        kind: class.kind.clone(),
        key: row.string(3)?,
        state: row.string(4)?,
        open: row.int(5)? != 0,
        state_since: row.time(6)?,
        title: row.string(7)?,
        owner: row.opt_string(8)?,
        health: read_health(row)?,
        version: row.count(12)?,
        created: row.time(13)?,
        updated: row.time(14)?,
        deleted: row.int(15)? != 0,
        fields,
    };
    Ok(Some(Stored { num: row.int(0)?, words: row.int(16)?, record }))
}

/// The row of a number in a class's table.
pub(crate) fn by_num(conn: &mut dyn Conn, class: &ClassTable, num: i64) -> Result<Option<Read>, DbError> {
    conn.first(&class.select_num, &[num.into()], |row| Ok(read(class, row)))
}

/// Number and class of an id.
pub(crate) fn find(conn: &mut dyn Conn, tenant: TenantId, id: &Id) -> Result<Option<(i64, String)>, DbError> {
    conn.first("SELECT num, kind FROM record WHERE id = ?1 AND tenant = ?2", &[id.into(), tenant.into()], |row| {
        Ok((row.int(0)?, row.string(1)?))
    })
}

/// Number and class of a key.
pub(crate) fn find_key(conn: &mut dyn Conn, tenant: TenantId, key: &str) -> Result<Option<(i64, String)>, DbError> {
    conn.first("SELECT num, kind FROM record WHERE tenant = ?1 AND key = ?2", &[tenant.into(), key.into()], |row| {
        Ok((row.int(0)?, row.string(1)?))
    })
}

/// The record that a row of `record` points at, which must fit what was asked for.
pub(crate) fn load(
    conn: &mut dyn Conn,
    classes: &Classes,
    found: Option<(i64, String)>,
    fits: impl Fn(&Record) -> bool,
    asked: &str,
) -> Result<Option<Stored>, DbError> {
    let Some((num, kind)) = found else { return Ok(None) };
    let damaged = || DbError::Damaged(format!("the record {asked}"));
    let class = classes.get(&Kind::new(&kind)).ok_or_else(damaged)?;
    let stored = by_num(conn, class, num)?.ok_or_else(damaged)?.whole(class)?;
    if fits(&stored.record) { Ok(Some(stored)) } else { Err(damaged()) }
}

/// A record by its id.
pub(crate) fn get(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    id: &Id,
) -> Result<Option<Stored>, DbError> {
    let found = find(conn, tenant, id)?;
    load(conn, classes, found, |r| r.id == *id && r.tenant == tenant, &id.to_string())
}

fn read_health(row: &dyn Row) -> Result<Option<Health>, DbError> {
    let Some(word) = row.opt_text(9)? else { return Ok(None) };
    let state = HealthState::parse(&word).ok_or_else(|| DbError::Damaged("health".into()))?;
    Ok(Some(Health { state, since: row.time(10)?, reason: row.string(11)? }))
}

/// Calls `ask` with up to 64 values at a time, as marks from `?2` on and arguments. A chunk is filled up with its first value, so
/// that there are two statements to prepare and not sixty-four.
pub(crate) fn in_chunks<'v, T: Copy + Into<Val<'v>>>(
    values: &[T],
    mut ask: impl FnMut(&str, &[Val<'v>]) -> Result<(), DbError>,
) -> Result<(), DbError> {
    const FEW: usize = 4;
    const MANY: usize = 64;
    for chunk in values.chunks(MANY) {
        let size = if chunk.len() <= FEW { FEW } else { MANY };
        let args: Vec<Val<'v>> =
            (0..size).map(|i| chunk.get(i).unwrap_or(&chunk[0])).map(|value| (*value).into()).collect();
        let marks: Vec<String> = (2..size + 2).map(|i| format!("?{i}")).collect();
        ask(&marks.join(", "), &args)?;
    }
    Ok(())
}

/// What lists of links show of records, without the deleted. Rows are checked as a whole; their fields are not parsed.
pub(crate) fn heads(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    ids: &[Id],
) -> Result<HashMap<Id, Head>, DbError> {
    let mut numbers: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    in_chunks(ids, |marks, args| {
        let sql = format!("SELECT num, kind, id FROM record WHERE tenant = ?1 AND id IN ({marks}) AND deleted = 0");
        let mut all = vec![tenant.into()];
        all.extend_from_slice(args);
        conn.query(&sql, &all, &mut |row| {
            numbers.entry(row.string(1)?).or_default().push(row.int(0)?);
            Ok(true)
        })
    })?;
    let mut heads = HashMap::new();
    for (kind, numbers) in numbers {
        let wanted = heads.len() + numbers.len();
        let damaged = || DbError::Damaged(format!("a record of class {kind}"));
        let class = classes.get(&Kind::new(&kind)).ok_or_else(damaged)?;
        in_chunks(&numbers, |marks, args| {
            let mut all = vec![tenant.into()];
            all.extend_from_slice(args);
            conn.query(&format!("{} WHERE r.tenant = ?1 AND r.num IN ({marks})", class.select), &all, &mut |row| {
                if !sealed(&class.name, row, CLASS_COLUMNS.len()).unwrap_or(false) {
                    return Err(DbError::Damaged(format!("{kind} {}", row.string(3).unwrap_or_default())));
                }
                let id = row.id(2)?;
                let (key, title, state, health) = (row.string(3)?, row.string(7)?, row.string(4)?, read_health(row)?);
                heads.insert(id, Head { id, kind: class.kind.clone(), key, title, state, health });
                Ok(true)
            })
        })?;
        if heads.len() != wanted {
            return Err(damaged());
        }
    }
    Ok(heads)
}
