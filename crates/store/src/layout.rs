//! The tables: what they are, how they are made, and how their rows are sealed.
//!
//! Each class has a table of its own (`c_incident`), since SQLite opens every index of a table for every write: one table with the
//! indexes of eighty classes was measured a hundred times slower. What must hold over all classes (keys, ids, ends of links) hangs
//! on `record`, one small row for each. Every row of every table ends in `sum`, over all the columns before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel::class::{ClassDef, ClassRef};
use kernel::ids::{Kind, is_kebab};
use kernel::registry::indexes;
use xxhash_rust::xxh3::Xxh3;

use crate::columns::{equal_expression, sort_expression};
use crate::conn::{Conn, DbError, Dialect, Row, Val};

/// The layout that this program writes.
pub(crate) const LAYOUT: i64 = 1;

/// A table whose rows are sealed: its name, its columns before `sum`, and how many of them (from the first) identify a row.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: &'static [&'static str],
    pub(crate) keys: usize,
}

/// The fixed tables whose rows are sealed; `words`, `index_row` and `meta` can be made anew and are not.
const FIXED: [(&str, &[&str], usize, &str); 15] = [
    ("tenant", &["id", "key"], 1, "id {INT} NOT NULL PRIMARY KEY, key {TEXT} NOT NULL UNIQUE, sum {INT} NOT NULL"),
    ("class", &["kind"], 1, "kind {TEXT} NOT NULL PRIMARY KEY, sum {INT} NOT NULL"),
    (
        "counter",
        &["tenant", "name", "value"],
        2,
        "tenant {INT} NOT NULL, name {TEXT} NOT NULL, value {INT} NOT NULL, sum {INT} NOT NULL, PRIMARY KEY (tenant, name)",
    ),
    (
        "chain",
        &["tenant", "seq", "hash"],
        1,
        "tenant {INT} NOT NULL PRIMARY KEY, seq {INT} NOT NULL, hash {BLOB} NOT NULL, sum {INT} NOT NULL",
    ),
    (
        "record",
        &["num", "id", "tenant", "kind", "key", "deleted"],
        1,
        "num {NUM}, id {BLOB} NOT NULL, tenant {INT} NOT NULL, kind {TEXT} NOT NULL, key {TEXT} NOT NULL, deleted {INT} NOT NULL, sum {INT} NOT NULL, UNIQUE (id, tenant), UNIQUE (tenant, key)",
    ),
    (
        "link",
        &["tenant", "from_id", "type", "to_id"],
        4,
        "tenant {INT} NOT NULL, from_id {BLOB} NOT NULL, type {TEXT} NOT NULL, to_id {BLOB} NOT NULL, sum {INT} NOT NULL, PRIMARY KEY (tenant, from_id, type, to_id), \
         FOREIGN KEY (from_id, tenant) REFERENCES record (id, tenant), FOREIGN KEY (to_id, tenant) REFERENCES record (id, tenant)",
    ),
    (
        "journal",
        &[
            "seq",
            "tenant",
            "time",
            "actor",
            "subject",
            "subject_key",
            "kind",
            "action",
            "cause",
            "before",
            "after",
            "note",
            "hash",
        ],
        1,
        "seq {NUM}, tenant {INT} NOT NULL, time {INT} NOT NULL, actor {TEXT} NOT NULL, subject {BLOB} NOT NULL, subject_key {TEXT} NOT NULL, kind {TEXT} NOT NULL, action {TEXT} NOT NULL, \
         cause {INT}, before {TEXT} NOT NULL, after {TEXT} NOT NULL, note {TEXT}, hash {BLOB} NOT NULL, sum {INT} NOT NULL",
    ),
    (
        "interval_row",
        &["tenant", "id", "subject", "state", "start", "ended", "cause", "reason", "corrected_by"],
        2,
        "tenant {INT} NOT NULL, id {BLOB} NOT NULL, subject {BLOB} NOT NULL, state {TEXT} NOT NULL, start {INT} NOT NULL, ended {INT}, cause {INT} NOT NULL, reason {TEXT} NOT NULL, corrected_by {BLOB}, \
         sum {INT} NOT NULL, PRIMARY KEY (tenant, id)",
    ),
    (
        "look",
        &["tenant", "subject", "tab", "source", "at"],
        4,
        "tenant {INT} NOT NULL, subject {BLOB} NOT NULL, tab {TEXT} NOT NULL, source {TEXT} NOT NULL, at {INT} NOT NULL, sum {INT} NOT NULL, PRIMARY KEY (tenant, subject, tab, source)",
    ),
    (
        "observation",
        &["tenant", "subject", "tab", "item", "source", "value", "first_seen", "last_seen", "gone"],
        5,
        "tenant {INT} NOT NULL, subject {BLOB} NOT NULL, tab {TEXT} NOT NULL, item {TEXT} NOT NULL, source {TEXT} NOT NULL, value {TEXT} NOT NULL, first_seen {INT} NOT NULL, last_seen {INT} NOT NULL, \
         gone {INT}, sum {INT} NOT NULL, PRIMARY KEY (tenant, subject, tab, item, source)",
    ),
    (
        "observation_past",
        &["tenant", "subject", "tab", "item", "source", "first_seen", "value", "last_seen", "until"],
        6,
        "tenant {INT} NOT NULL, subject {BLOB} NOT NULL, tab {TEXT} NOT NULL, item {TEXT} NOT NULL, source {TEXT} NOT NULL, first_seen {INT} NOT NULL, value {TEXT} NOT NULL, last_seen {INT} NOT NULL, \
         until {INT} NOT NULL, sum {INT} NOT NULL, PRIMARY KEY (tenant, subject, tab, item, source, first_seen)",
    ),
    (
        "job",
        &[
            "id",
            "tenant",
            "kind",
            "args",
            "state",
            "run_at",
            "deadline",
            "attempts",
            "max_attempts",
            "cause",
            "created",
            "fence",
            "lease_until",
            "worker",
            "last",
            "idempotency",
            "due",
        ],
        1,
        "id {BLOB} NOT NULL PRIMARY KEY, tenant {INT} NOT NULL, kind {TEXT} NOT NULL, args {TEXT} NOT NULL, state {TEXT} NOT NULL, run_at {INT} NOT NULL, deadline {INT}, attempts {INT} NOT NULL, \
         max_attempts {INT} NOT NULL, cause {INT} NOT NULL, created {INT} NOT NULL, fence {INT} NOT NULL, lease_until {INT}, worker {TEXT}, last {TEXT}, idempotency {TEXT}, due {INT}, sum {INT} NOT NULL, \
         UNIQUE (tenant, idempotency)",
    ),
    (
        "controller",
        &["name", "position", "runs", "last_run", "last_reason", "last_error"],
        1,
        "name {TEXT} NOT NULL PRIMARY KEY, position {INT} NOT NULL, runs {INT} NOT NULL, last_run {INT}, last_reason {TEXT} NOT NULL, last_error {TEXT}, sum {INT} NOT NULL",
    ),
    (
        "idempotency",
        &["tenant", "key", "print", "record", "time"],
        2,
        "tenant {INT} NOT NULL, key {TEXT} NOT NULL, print {BLOB} NOT NULL, record {BLOB}, time {INT} NOT NULL, sum {INT} NOT NULL, PRIMARY KEY (tenant, key)",
    ),
    (
        "private",
        &["area", "key", "value"],
        2,
        "area {TEXT} NOT NULL, key {TEXT} NOT NULL, value {BLOB} NOT NULL, sum {INT} NOT NULL, PRIMARY KEY (area, key)",
    ),
];

/// Columns of a class's table before `sum`.
pub(crate) const CLASS_COLUMNS: &[&str] = &[
    "num",
    "tenant",
    "id",
    "key",
    "state",
    "open",
    "state_since",
    "title",
    "owner",
    "health",
    "health_since",
    "health_reason",
    "version",
    "created",
    "updated",
    "deleted",
    "words",
    "fields",
];
const CLASS_DDL: &str = "num {NUM}, tenant {INT} NOT NULL, id {BLOB} NOT NULL, key {TEXT} NOT NULL, state {TEXT} NOT NULL, open {INT} NOT NULL, state_since {INT} NOT NULL, title {TEXT} NOT NULL, owner {TEXT}, \
     health {TEXT}, health_since {INT}, health_reason {TEXT}, version {INT} NOT NULL, created {INT} NOT NULL, updated {INT} NOT NULL, deleted {INT} NOT NULL, words {INT} NOT NULL, fields {TEXT} NOT NULL, sum {INT} NOT NULL";

/// Indexes of the fixed tables.
const FIXED_INDEXES: &[&str] = &[
    "CREATE INDEX link_back ON link (tenant, to_id, type, from_id)",
    "CREATE INDEX journal_subject ON journal (subject, seq)",
    "CREATE INDEX journal_kind ON journal (kind, seq)",
    "CREATE INDEX journal_tenant ON journal (tenant, seq)",
    "CREATE INDEX interval_subject ON interval_row (tenant, subject, start)",
    "CREATE INDEX interval_open ON interval_row (tenant, subject) WHERE ended IS NULL",
    "CREATE INDEX observation_item ON observation (tenant, tab, item)",
    "CREATE INDEX job_due ON job (kind, due) WHERE due IS NOT NULL",
    "CREATE INDEX job_created ON job (created)",
    "CREATE INDEX idempotency_time ON idempotency (time)",
];

/// Functions that PostgreSQL has in place of those registered with SQLite; they never fail, so that they can stand in an index.
const POSTGRES_FUNCTIONS: &str = r"
CREATE OR REPLACE FUNCTION ms_int(x text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN x ~ '^-?[0-9]{1,18}$' THEN x::bigint WHEN x = 'true' THEN 1 WHEN x = 'false' THEN 0 END $$;
CREATE OR REPLACE FUNCTION ms_real(x text) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN x ~ '^-?[0-9]{1,200}([.][0-9]+)?([eE][-+]?[0-9]{1,2})?$' THEN x::double precision END $$;
CREATE OR REPLACE FUNCTION ms_time(x text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN x ~ '^[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?([Zz]|[-+][0-9]{2}:[0-9]{2})$' THEN floor(extract(epoch FROM x::timestamptz) * 1000000)::bigint END $$;
CREATE OR REPLACE FUNCTION ms_span(x text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN x = '0' THEN 0 WHEN x ~ '^([0-9]{1,12}(ms|s|m|h|d|w))+$' THEN (SELECT sum(p[1]::bigint * CASE p[2] WHEN 'ms' THEN 1 WHEN 's' THEN 1000 WHEN 'm' THEN 60000 WHEN 'h' THEN 3600000 WHEN 'd' THEN 86400000 ELSE 604800000 END)
  FROM regexp_matches(x, '([0-9]+)(ms|s|m|h|d|w)', 'g') AS p)::bigint END $$;
";

/// All sealed tables, those of the classes included.
pub(crate) fn tables<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Vec<Table> {
    let fixed = FIXED.iter().map(|(name, columns, keys, _)| Table { name: (*name).to_owned(), columns, keys: *keys });
    fixed.chain(kinds.map(|kind| Table { name: class_table_name(kind), columns: CLASS_COLUMNS, keys: 1 })).collect()
}

/// The seal of a row: a checksum over its table and every value, with its type and length.
pub(crate) fn seal<'v>(table: &str, values: impl Iterator<Item = &'v Val<'v>>) -> i64 {
    let mut sum = Sealer::new(table);
    for value in values {
        sum.add(value);
    }
    sum.done()
}

struct Sealer(Xxh3);

impl Sealer {
    fn new(table: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(table.as_bytes());
        Self(hash)
    }

    fn add(&mut self, value: &Val<'_>) {
        match value {
            Val::Null => self.0.update(&[0]),
            Val::Int(n) => self.tagged(1, &n.to_le_bytes()),
            Val::Real(n) => self.tagged(2, &n.to_bits().to_le_bytes()),
            Val::Text(t) => self.sized(3, t.as_bytes()),
            Val::Blob(b) => self.sized(4, b),
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8; 8]) {
        let mut both = [tag; 9];
        both[1..].copy_from_slice(bytes);
        self.0.update(&both);
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.tagged(tag, &(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn done(self) -> i64 {
        self.0.digest().cast_signed()
    }
}

/// Whether a row that was read is what was written. Its columns are `from..from + count`, then its seal.
pub(crate) fn sealed(table: &str, row: &dyn Row, count: usize) -> Result<bool, DbError> {
    let mut sum = Sealer::new(table);
    for i in 0..count {
        sum.add(&row.get(i)?);
    }
    Ok(row.int(count)? == sum.done())
}

/// The statements of one class's table.
#[derive(Debug)]
pub(crate) struct ClassTable {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// `SELECT` of all columns and the seal, from the table as `r`; a condition is to follow.
    pub(crate) select: String,
    pub(crate) select_num: String,
    pub(crate) insert: String,
    pub(crate) update: String,
}

/// The name of a class's table: kebab-case has no underscore, so no two classes share one.
pub(crate) fn class_table_name(kind: &Kind) -> String {
    format!("c_{}", kind.as_str().replace('-', "_"))
}

impl ClassTable {
    fn new(kind: &Kind) -> Self {
        let name = class_table_name(kind);
        let columns: Vec<String> = CLASS_COLUMNS.iter().map(|c| format!("r.{c}")).collect();
        let select = format!("SELECT {}, r.sum FROM {name} r", columns.join(", "));
        let select_num = format!("{select} WHERE r.num = ?1");
        let sets: Vec<String> =
            CLASS_COLUMNS.iter().enumerate().skip(1).map(|(i, c)| format!("{c} = ?{}", i + 1)).collect();
        let update =
            format!("UPDATE {name} SET {}, sum = ?{} WHERE num = ?1", sets.join(", "), CLASS_COLUMNS.len() + 1);
        Self { kind: kind.clone(), insert: insert_sql(&name, CLASS_COLUMNS), name, select, select_num, update }
    }
}

/// `INSERT` of all columns and the seal.
pub(crate) fn insert_sql(table: &str, columns: &[&str]) -> String {
    let marks: Vec<String> = (1..=columns.len() + 1).map(|i| format!("?{i}")).collect();
    format!("INSERT INTO {table} ({}, sum) VALUES ({})", columns.join(", "), marks.join(", "))
}

/// The classes that have a table.
pub(crate) type Classes = Arc<BTreeMap<Kind, Arc<ClassTable>>>;

/// Makes the tables of a new store, or looks at those of an old one. Answers the layout that was found (0: none).
pub(crate) fn prepare(conn: &mut dyn Conn) -> Result<i64, DbError> {
    let dialect = conn.dialect();
    conn.batch("BEGIN")?;
    if dialect == Dialect::Postgres {
        conn.batch("SELECT pg_advisory_xact_lock(7215)")?; // Two servers that start on an empty database at once.
    }
    let known = match dialect {
        Dialect::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'",
        Dialect::Postgres => {
            "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'meta'"
        }
    };
    if conn.first(known, &[], |row| row.int(0))? == Some(1) {
        let found = conn.first("SELECT value FROM meta WHERE name = 'layout'", &[], |row| row.int(0))?;
        conn.batch("COMMIT")?;
        return found.ok_or_else(|| DbError::Damaged("the layout number of the database".into()));
    }
    let mut ddl = String::new();
    for (name, _, _, columns) in FIXED {
        let keyed = if matches!(name, "link" | "look" | "observation" | "observation_past" | "private" | "counter") {
            " {KEYED}"
        } else {
            ""
        };
        ddl.push_str(&dialect.ddl(&format!("CREATE TABLE {name} ({columns}){keyed};\n")));
    }
    for index in FIXED_INDEXES {
        ddl.push_str(&format!("{index};\n"));
    }
    ddl.push_str(match dialect {
        Dialect::Sqlite => "CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');\n",
        Dialect::Postgres => "CREATE TABLE words (num BIGINT PRIMARY KEY, text tsvector NOT NULL); CREATE INDEX words_text ON words USING gin (text);\n",
    });
    if dialect == Dialect::Postgres {
        ddl.push_str(POSTGRES_FUNCTIONS);
    }
    ddl.push_str(&dialect.ddl("CREATE TABLE index_row (name {TEXT} NOT NULL PRIMARY KEY, kind {TEXT} NOT NULL);\n"));
    ddl.push_str(&dialect.ddl("CREATE TABLE meta (name {TEXT} NOT NULL PRIMARY KEY, value {INT} NOT NULL);\n"));
    ddl.push_str(&format!("INSERT INTO meta (name, value) VALUES ('layout', {LAYOUT});\n"));
    conn.batch(&ddl)?;
    conn.batch("COMMIT")?;
    Ok(0)
}

/// The classes that have a table already.
pub(crate) fn known_classes(conn: &mut dyn Conn) -> Result<Classes, DbError> {
    let kinds = conn.all("SELECT kind FROM class ORDER BY kind", &[], |row| row.string(0))?;
    let tables = kinds.iter().filter(|k| is_kebab(k)).map(|k| (Kind::new(k), Arc::new(ClassTable::new(&Kind::new(k)))));
    Ok(Arc::new(tables.collect()))
}

/// Makes tables and indexes fit `classes`; inside a transaction. Tables of classes that are no longer there stay.
pub(crate) fn fit(conn: &mut dyn Conn, classes: &[ClassRef]) -> Result<Classes, DbError> {
    let dialect = conn.dialect();
    let mut tables = (*known_classes(conn)?).clone(); // As they are now: another server may have added some.
    let mut indexes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, kind) in conn.all("SELECT name, kind FROM index_row", &[], |row| Ok((row.string(0)?, row.string(1)?)))? {
        indexes.entry(kind).or_default().insert(name);
    }
    for class in classes {
        if !is_kebab(class.name.as_str()) {
            return Err(DbError::Other(format!("\"{}\" cannot be the name of a class", class.name)));
        }
        if !tables.contains_key(&class.name) {
            let table = ClassTable::new(&class.name);
            conn.batch(&dialect.ddl(&format!("CREATE TABLE {} ({CLASS_DDL})", table.name)))?;
            let values = [Val::from(class.name.as_str())];
            conn.exec(&insert_sql("class", &["kind"]), &[values[0].clone(), Val::Int(seal("class", values.iter()))])?;
            tables.insert(class.name.clone(), Arc::new(table));
        }
        fit_indexes(conn, class, &indexes.remove(class.name.as_str()).unwrap_or_default())?;
    }
    Ok(Arc::new(tables))
}

fn fit_indexes(conn: &mut dyn Conn, class: &ClassDef, there: &BTreeSet<String>) -> Result<(), DbError> {
    let wanted = index_ddl(class, conn.dialect());
    for name in there.iter().filter(|n| !wanted.contains_key(*n)) {
        conn.batch(&format!("DROP INDEX IF EXISTS {name}"))?;
        conn.exec("DELETE FROM index_row WHERE name = ?1", &[name.into()])?;
    }
    for (name, ddl) in wanted.iter().filter(|(n, _)| !there.contains(n.as_str())) {
        conn.batch(ddl)?;
        conn.exec(
            "INSERT INTO index_row (name, kind) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            &[name.into(), class.name.as_str().into()],
        )?;
    }
    Ok(())
}

/// The indexes that a class needs, by a name made from what they are.
fn index_ddl(class: &ClassDef, dialect: Dialect) -> BTreeMap<String, String> {
    let table = class_table_name(&class.name);
    let live = "deleted = 0";
    let mut wanted = vec![
        ("open".to_owned(), "deleted = 0 AND open = 1".to_owned()), // What a controller's scan goes by.
        ("tenant, owner, updated, id".to_owned(), "deleted = 0 AND owner IS NOT NULL".to_owned()),
        ("tenant, health, updated, id".to_owned(), "deleted = 0 AND health IS NOT NULL".to_owned()),
    ];
    for index in indexes(class) {
        let Ok(sort) = kernel::filter::sort_key(&index.sort, class) else { continue };
        let equal: Option<Vec<String>> = index.equal.iter().map(|c| equal_expression(c, "", dialect)).collect();
        if let (Some(equal), Some(sort)) = (equal, sort_expression(&sort.column, "", dialect)) {
            let columns = std::iter::once("tenant".to_owned())
                .chain(equal.iter().map(|e| parenthesised(e)))
                .chain([parenthesised(&sort), "id".to_owned()]);
            wanted.push((columns.collect::<Vec<_>>().join(", "), live.to_owned()));
        }
    }
    let name_and_ddl = |(columns, condition): (String, String)| {
        let print = xxhash_rust::xxh3::xxh3_64(format!("{table} {columns} {condition}").as_bytes());
        let name = format!("i_{print:016x}");
        (name.clone(), format!("CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns}) WHERE {condition}"))
    };
    wanted.into_iter().map(name_and_ddl).collect()
}

/// Expressions in an index stand in parentheses, columns need none.
fn parenthesised(expression: &str) -> String {
    if expression.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
        expression.to_owned()
    } else {
        format!("({expression})")
    }
}
