//! Observations: a look of a source becomes rows, and what a row was before stays behind as history.
//!
//! A whole look that finds a row unchanged writes nothing for it: the time of the look is kept once, and an unchanged row was last
//! seen then. So a host with two thousand packages costs one row a look, not two thousand.

use std::collections::{BTreeMap, BTreeSet};

use kernel::clock::Time;
use kernel::ids::{Id, TenantId};
use kernel::observation::{ACCEPTED, FIELDS, Look, Observation};

use crate::conn::{Conn, DbError, Fault, Row, Val};
use crate::layout::{insert_sql, sealed};
use crate::writer::{Group, upsert};

const COLUMNS: &[&str] = &["tenant", "subject", "tab", "item", "source", "value", "first_seen", "last_seen", "gone"];
const PAST: &[&str] = &["tenant", "subject", "tab", "item", "source", "first_seen", "value", "last_seen", "until"];
const LOOK: &[&str] = &["tenant", "subject", "tab", "source", "at"];
const SELECT: &str = "SELECT o.tenant, o.subject, o.tab, o.item, o.source, o.value, o.first_seen, o.last_seen, o.gone, o.sum, l.at FROM observation o \
     LEFT JOIN look l ON l.tenant = o.tenant AND l.subject = o.subject AND l.tab = o.tab AND l.source = o.source";

/// A row as it stands.
struct Row0 {
    item: String,
    value: String,
    first_seen: Time,
    last_seen: Time,
    gone: Option<Time>,
}

/// Writes a look; answers (added, changed, gone).
pub(crate) fn write(
    group: &mut Group<'_>,
    tenant: TenantId,
    subject: &Id,
    look: &Look,
    at: Time,
) -> Result<(u64, u64, u64), Fault> {
    let writing = Writing { tenant, subject, look, at };
    let whole_before = writing.last_whole(group)?;
    let mut known = writing.known(group, whole_before)?;
    let (mut added, mut changed, mut gone) = (0, 0, 0);
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (item, value) in &look.rows {
        if !seen.insert(item) {
            continue; // The same item twice in one look: the first counts.
        }
        let value = serde_json::to_string(value).map_err(|e| DbError::Other(e.to_string()))?;
        match known.remove(item) {
            None => {
                added += 1;
                writing.put(
                    group,
                    &Row0 { item: item.clone(), value, first_seen: at, last_seen: at, gone: None },
                    false,
                )?;
            }
            Some(old) if old.value == value && old.gone.is_none() => {
                if !look.whole {
                    writing.put(group, &Row0 { last_seen: at.max(old.last_seen), ..old }, true)?;
                }
            }
            Some(old) => {
                if old.gone.is_some() {
                    added += 1
                } else {
                    changed += 1
                }
                writing.leave_behind(group, &old)?;
                writing.put(
                    group,
                    &Row0 { item: item.clone(), value, first_seen: at, last_seen: at, gone: None },
                    true,
                )?;
            }
        }
    }
    if look.whole {
        for old in known.into_values().filter(|o| o.gone.is_none()) {
            gone += 1;
            writing.put(group, &Row0 { gone: Some(at), ..old }, true)?;
        }
        let values = [tenant.into(), subject.into(), (&look.table).into(), (&look.source).into(), at.into()];
        upsert(group.writing(), "look", LOOK, 4, &values, whole_before.is_some())?;
    }
    Ok((added, changed, gone))
}

struct Writing<'a> {
    tenant: TenantId,
    subject: &'a Id,
    look: &'a Look,
    at: Time,
}

impl Writing<'_> {
    fn last_whole(&self, group: &mut Group<'_>) -> Result<Option<Time>, DbError> {
        let sql = "SELECT at FROM look WHERE tenant = ?1 AND subject = ?2 AND tab = ?3 AND source = ?4";
        group.conn().first(
            sql,
            &[self.tenant.into(), self.subject.into(), (&self.look.table).into(), (&self.look.source).into()],
            |row| row.time(0),
        )
    }

    /// Rows of this source in this table, by item.
    fn known(&self, group: &mut Group<'_>, whole_before: Option<Time>) -> Result<BTreeMap<String, Row0>, DbError> {
        let mut known = BTreeMap::new();
        let sql = "SELECT tenant, subject, tab, item, source, value, first_seen, last_seen, gone, sum FROM observation WHERE tenant = ?1 AND subject = ?2 AND tab = ?3 AND source = ?4";
        let args = [self.tenant.into(), self.subject.into(), (&self.look.table).into(), (&self.look.source).into()];
        group.conn().query(sql, &args, &mut |row| {
            // A damaged row is written anew by what is seen now; its past is lost.
            let whole = sealed("observation", row, COLUMNS.len()).unwrap_or(false);
            let last = row.time(7).unwrap_or_default();
            let gone = row.opt_time(8).unwrap_or_default();
            let last_seen = if gone.is_none() { last.max(whole_before.unwrap_or(last)) } else { last };
            let value = if whole { row.string(5)? } else { String::new() };
            let first_seen = row.time(6).unwrap_or(last_seen);
            known.insert(row.string(3)?, Row0 { item: row.string(3)?, value, first_seen, last_seen, gone });
            Ok(true)
        })?;
        Ok(known)
    }

    fn put(&self, group: &mut Group<'_>, row: &Row0, exists: bool) -> Result<(), DbError> {
        let values = [
            self.tenant.into(),
            self.subject.into(),
            (&self.look.table).into(),
            (&row.item).into(),
            (&self.look.source).into(),
            (&row.value).into(),
            row.first_seen.into(),
            row.last_seen.into(),
            row.gone.into(),
        ];
        upsert(group.writing(), "observation", COLUMNS, 5, &values, exists)
    }

    /// What a row was becomes history. Two values within one microsecond keep the later one only.
    fn leave_behind(&self, group: &mut Group<'_>, old: &Row0) -> Result<(), DbError> {
        let values = [
            self.tenant.into(),
            self.subject.into(),
            (&self.look.table).into(),
            (&old.item).into(),
            (&self.look.source).into(),
            old.first_seen.into(),
            (&old.value).into(),
            old.last_seen.into(),
            old.gone.unwrap_or(self.at).into(),
        ];
        let sql = format!("{} ON CONFLICT DO NOTHING", insert_sql("observation_past", PAST));
        group.insert("observation_past", &sql, &values)?;
        Ok(())
    }
}

fn read(row: &dyn Row) -> Result<Observation, DbError> {
    let item = row.string(3)?;
    if !sealed("observation", row, COLUMNS.len())? {
        return Err(DbError::Damaged(format!("the observation of {item} in {}", row.text(2)?)));
    }
    let (last, gone, looked) = (row.time(7)?, row.opt_time(8)?, row.opt_time(10)?);
    Ok(Observation {
        table: row.string(2)?,
        item,
        source: row.string(4)?,
        value: serde_json::from_str(&row.text(5)?).map_err(|e| DbError::Damaged(e.to_string()))?,
        first_seen: row.time(6)?,
        last_seen: if gone.is_none() { looked.map_or(last, |l| l.max(last)) } else { last },
        gone,
    })
}

/// What a question for observations asks.
pub(crate) struct Asked<'a> {
    pub(crate) subject: Id,
    pub(crate) table: Option<&'a str>,
    pub(crate) containing: &'a str,
    pub(crate) after: Option<&'a str>,
    pub(crate) limit: usize,
}

/// Rows by item, then source. A page never ends within an item.
pub(crate) fn rows(conn: &mut dyn Conn, tenant: TenantId, asked: &Asked<'_>) -> Result<Vec<Observation>, DbError> {
    let mut sql = format!("{SELECT} WHERE o.tenant = ?1 AND o.subject = ?2");
    let mut args: Vec<Val<'_>> = vec![tenant.into(), asked.subject.into()];
    match asked.table {
        Some(table) => {
            args.push(table.into());
            sql.push_str(" AND o.tab = ?3");
        }
        None => {
            args.extend([Val::from(FIELDS), Val::from(ACCEPTED)]);
            sql.push_str(" AND o.tab IN (?3, ?4)");
        }
    }
    if !asked.containing.is_empty() {
        args.push(Val::from(crate::predicate::like_pattern(&format!("*{}*", asked.containing.replace('*', "")))));
        let (n, dialect) = (args.len(), conn.dialect());
        sql.push_str(&format!(
            " AND ({} LIKE ?{n} ESCAPE '!' OR {} LIKE ?{n} ESCAPE '!')",
            dialect.lower("o.item"),
            dialect.lower("o.value")
        ));
    }
    let rest = sql.clone();
    let rest_args = args.clone();
    if let Some(after) = asked.after {
        args.push(after.into());
        sql.push_str(&format!(" AND o.item > ?{}", args.len()));
    }
    args.push((asked.limit as u64).into());
    sql.push_str(&format!(" ORDER BY o.item, o.tab, o.source LIMIT ?{}", args.len()));
    let mut rows = conn.all(&sql, &args, read)?;
    if rows.len() == asked.limit
        && let Some(last) = rows.last().map(|o| o.item.clone())
    {
        let mut args = rest_args;
        args.push(Val::from(last.clone()));
        let same = conn.all(&format!("{rest} AND o.item = ?{} ORDER BY o.tab, o.source", args.len()), &args, read)?;
        rows.retain(|o| o.item != last);
        rows.extend(same);
    }
    Ok(rows)
}

/// What an item of a table was before, newest first; `gone` is when another value took its place.
pub(crate) fn history(
    conn: &mut dyn Conn,
    tenant: TenantId,
    subject: &Id,
    table: &str,
    item: &str,
    limit: usize,
) -> Result<Vec<Observation>, DbError> {
    let sql = "SELECT tenant, subject, tab, item, source, first_seen, value, last_seen, until, sum FROM observation_past \
         WHERE tenant = ?1 AND subject = ?2 AND tab = ?3 AND item = ?4 ORDER BY first_seen DESC, source LIMIT ?5";
    conn.all(sql, &[tenant.into(), subject.into(), table.into(), item.into(), (limit as u64).into()], |row| {
        if !sealed("observation_past", row, PAST.len())? {
            return Err(DbError::Damaged(format!("the history of {item} in {table}")));
        }
        Ok(Observation {
            table: row.string(2)?,
            item: row.string(3)?,
            source: row.string(4)?,
            first_seen: row.time(5)?,
            value: serde_json::from_str(&row.text(6)?).map_err(|e| DbError::Damaged(e.to_string()))?,
            last_seen: row.time(7)?,
            gone: Some(row.time(8)?),
        })
    })
}

/// Observed tables of a record, with their rows that are not gone.
pub(crate) fn tables(conn: &mut dyn Conn, tenant: TenantId, subject: &Id) -> Result<BTreeMap<String, u64>, DbError> {
    let sql = "SELECT tab, count(CASE WHEN gone IS NULL THEN 1 END) FROM observation WHERE tenant = ?1 AND subject = ?2 GROUP BY tab";
    Ok(conn
        .all(sql, &[tenant.into(), subject.into()], |row| Ok((row.string(0)?, row.count(1)?)))?
        .into_iter()
        .collect())
}
