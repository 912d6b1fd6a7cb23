//! Lists: pages by keyset, totals, counts, scans and full text.

use serde_json::Value;

use kernel::backend::Page;
use kernel::error::StoreError;
use kernel::ids::{Id, Kind, TenantId};
use kernel::query::{Column, Predicate, Query, Total};
use kernel::record::Record;

use crate::columns::{equal_expression, shown, sort_expression, sort_operand};
use crate::conn::{Conn, DbError, Dialect, Val};
use crate::layout::Classes;
use crate::predicate::Sql;
use crate::rows::{self, Read};
use crate::store::Store;
use crate::words::{self, LastWord};

/// Matches looked at in one go by a search.
const SEARCH_CHUNK: usize = 256;
/// From this many classes on, a search asks for the tenant alone and sorts the classes out itself.
const MANY_CLASSES: usize = 24;

/// Whether a part that everything must match names a few records by number: keys, ids, words.
fn names_records(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::In(Column::Key, _) | Predicate::Ids(_) | Predicate::Words(_) => true,
        Predicate::And(parts) => parts.iter().any(names_records),
        _ => false,
    }
}

/// SQLite keeps no statistics here and would rather read a whole tenant in sort order than look up the few records that are named.
/// Without indexes the only way left is by number. PostgreSQL knows better by itself.
fn go_by(dialect: Dialect, predicate: &Predicate) -> &'static str {
    if dialect == Dialect::Sqlite && names_records(predicate) { " NOT INDEXED" } else { "" }
}

/// The statement of a page. `None` when the class, the sort or the cursor cannot give one.
pub(crate) fn page_sql<'c>(
    conn: &dyn Conn,
    classes: &'c Classes,
    tenant: TenantId,
    query: &Query,
) -> Result<Option<Sql<'c>>, DbError> {
    let Some(class) = classes.get(&query.kind) else { return Ok(None) };
    let dialect = conn.dialect();
    let sort = sort_expression(&query.sort.column, "r.", dialect)
        .ok_or_else(|| DbError::Other(format!("records cannot be sorted by {}", query.sort.column.name())))?;
    let mut sql = Sql::new(&class.select, dialect, classes, tenant);
    sql.push(go_by(dialect, &query.predicate));
    sql.push(" WHERE ");
    sql.live("r.", &query.predicate);
    if let Some(after) = &query.after {
        let value = sort_operand(&query.sort.column, &after.value)
            .ok_or_else(|| DbError::Other("the cursor is of another list".into()))?;
        sql.push(&format!(" AND ({sort}, r.id) {} (", if query.sort.descending { "<" } else { ">" }));
        sql.bind(value);
        sql.push(", ");
        sql.bind(after.id);
        sql.push(")");
    }
    let direction = if query.sort.descending { "DESC" } else { "ASC" };
    sql.push(&format!(" ORDER BY {sort} {direction}, r.id {direction} LIMIT "));
    sql.bind(query.limit as u64 + 1);
    Ok(Some(sql))
}

/// A page of records.
pub(crate) fn page(conn: &mut dyn Conn, classes: &Classes, tenant: TenantId, query: &Query) -> Result<Page, DbError> {
    let (Some(class), Some(sql)) = (classes.get(&query.kind), page_sql(conn, classes, tenant, query)?) else {
        return Ok(Page::default());
    };
    let mut page = Page::default();
    let mut rows_read = 0;
    conn.query(&sql.text, &sql.args, &mut |row| {
        rows_read += 1;
        if rows_read > query.limit {
            page.more = true;
            return Ok(false);
        }
        match rows::read(class, row) {
            Read::Whole(stored) => page.records.push(stored.record),
            Read::Damaged(key) => page.damaged.push(key),
        }
        Ok(true)
    })?;
    Ok(page)
}

impl Store {
    /// How the database would answer a page: its plan, a line for each step. For whoever wonders why a list is slow.
    ///
    /// # Errors
    /// As the page itself.
    pub async fn explain(&self, tenant: TenantId, query: &Query) -> Result<String, StoreError> {
        let query = query.clone();
        self.read(move |conn, classes| {
            let Some(sql) = page_sql(conn, classes, tenant, &query)? else { return Ok(String::new()) };
            let (word, column) =
                if conn.dialect() == Dialect::Sqlite { ("EXPLAIN QUERY PLAN", 3) } else { ("EXPLAIN", 0) };
            Ok(conn.all(&format!("{word} {}", sql.text), &sql.args, |row| row.string(column))?.join("\n"))
        })
        .await
    }
}

/// How many match, exact up to `cap`.
pub(crate) fn total(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    kind: &Kind,
    predicate: &Predicate,
    cap: u64,
) -> Result<Total, DbError> {
    let Some(class) = classes.get(kind) else { return Ok(Total { exact: Some(0), at_least: 0 }) };
    let mut sql = Sql::new(
        &format!("SELECT count(*) FROM (SELECT 1 FROM {} r{} WHERE ", class.name, go_by(conn.dialect(), predicate)),
        conn.dialect(),
        classes,
        tenant,
    );
    sql.live("r.", predicate);
    sql.push(" LIMIT ");
    sql.bind(cap + 1);
    sql.push(") AS found");
    let count = conn.first(&sql.text, &sql.args, |row| row.count(0))?.unwrap_or(0);
    Ok(Total { exact: (count <= cap).then_some(count), at_least: count.min(cap) })
}

/// How many match by each value of a column, most first.
pub(crate) fn counts(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    kind: &Kind,
    predicate: &Predicate,
    by: &Column,
) -> Result<Vec<(Value, u64)>, DbError> {
    let Some(class) = classes.get(kind) else { return Ok(Vec::new()) };
    let dialect = conn.dialect();
    let expression = equal_expression(by, "r.", dialect)
        .ok_or_else(|| DbError::Other(format!("records cannot be counted by {}", by.name())))?;
    let mut sql = Sql::new(
        &format!(
            "SELECT {expression} AS value, count(*) AS n FROM {} r{} WHERE ",
            class.name,
            go_by(dialect, predicate)
        ),
        dialect,
        classes,
        tenant,
    );
    sql.live("r.", predicate);
    sql.push(" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50");
    conn.all(&sql.text, &sql.args, |row| Ok((shown(by, row, 0)?, row.count(1)?)))
}

/// Ids of records of a class that are not deleted, in the order in which they were made.
pub(crate) fn scan(
    conn: &mut dyn Conn,
    classes: &Classes,
    kind: &Kind,
    tenant: Option<TenantId>,
    only_open: bool,
    after: Option<Id>,
    limit: usize,
) -> Result<Vec<(TenantId, Id)>, DbError> {
    let Some(class) = classes.get(kind) else { return Ok(Vec::new()) };
    let from = match after {
        None => 0,
        Some(id) => conn
            .first("SELECT max(num) FROM record WHERE id = ?1", &[id.into()], |row| row.opt_int(0))?
            .flatten()
            .unwrap_or(0),
    };
    let mut args: Vec<Val<'_>> = vec![from.into(), (limit as u64).into()];
    let mut sql = format!("SELECT tenant, id FROM {} WHERE num > ?1 AND deleted = 0", class.name);
    if only_open {
        sql.push_str(" AND open = 1");
    }
    if let Some(tenant) = tenant {
        args.push(tenant.into());
        sql.push_str(" AND tenant = ?3");
    }
    sql.push_str(" ORDER BY num LIMIT ?2");
    conn.all(&sql, &args, |row| Ok((row.tenant(0)?, row.id(1)?)))
}

/// Newest records with all the words. Only when these are too few is the last word taken as the beginning of one: people who type
/// see something early, and a common word is answered without gathering everything that begins like it.
pub(crate) fn search(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    words: &[String],
    readable: &[(Kind, Predicate)],
    limit: usize,
) -> Result<Vec<Record>, DbError> {
    if readable.is_empty() || words.is_empty() {
        return Ok(Vec::new());
    }
    let any: Vec<String> = if readable.len() >= MANY_CLASSES {
        vec![words::tenant_word(tenant)]
    } else {
        readable.iter().map(|(kind, _)| words::class_word(tenant, kind)).collect()
    };
    let mut found = Vec::new();
    for last in [LastWord::Whole, LastWord::Beginning] {
        let question = words::question(conn.dialect(), &any, words, last);
        found = answers(conn, classes, tenant, &question, readable, limit)?;
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// Newest records that match a question of words and may be read.
fn answers(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    question: &str,
    readable: &[(Kind, Predicate)],
    limit: usize,
) -> Result<Vec<Record>, DbError> {
    let dialect = conn.dialect();
    let by = if dialect == Dialect::Sqlite { "rowid" } else { "num" };
    let matching = words::matching(dialect, "?1");
    let sql = format!("{matching} AND w.{by} < ?2 ORDER BY w.{by} DESC LIMIT ?3");
    let mut found = Vec::new();
    let mut below = i64::MAX;
    while found.len() < limit {
        let chunk = if below == i64::MAX { limit } else { SEARCH_CHUNK };
        let args = [Val::from(question), below.into(), (chunk as u64).into()];
        let nums = conn.all(&sql, &args, |row| row.int(0))?;
        for num in &nums {
            below = *num;
            if found.len() < limit
                && let Some(record) = readable_by_num(conn, classes, tenant, *num, readable)?
            {
                found.push(record);
            }
        }
        if nums.len() < chunk {
            break;
        }
    }
    Ok(found)
}

/// The record of a number, if it may be read. A damaged one is left out; a list of its class tells of it.
fn readable_by_num(
    conn: &mut dyn Conn,
    classes: &Classes,
    tenant: TenantId,
    num: i64,
    readable: &[(Kind, Predicate)],
) -> Result<Option<Record>, DbError> {
    let kind = conn.first(
        "SELECT kind FROM record WHERE num = ?1 AND tenant = ?2 AND deleted = 0",
        &[num.into(), tenant.into()],
        |row| row.string(0),
    )?;
    let Some((kind, predicate)) = kind.and_then(|k| readable.iter().find(|(r, _)| r.as_str() == k)) else {
        return Ok(None);
    };
    let Some(class) = classes.get(kind) else { return Ok(None) };
    let mut sql = Sql::new(&class.select, conn.dialect(), classes, tenant);
    sql.push(" WHERE r.num = ");
    sql.bind(num);
    sql.push(" AND ");
    sql.live("r.", predicate);
    let read = conn.first(&sql.text, &sql.args, |row| Ok(rows::read(class, row)))?;
    Ok(match read {
        Some(Read::Whole(stored)) => Some(stored.record),
        Some(Read::Damaged(key)) => {
            tracing::error!(class = %kind, key, "{kind} {key} is damaged and is not served; run `mainstay verify`");
            None
        }
        None => None,
    })
}
