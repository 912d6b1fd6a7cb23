//! What the promises are tried on: two small classes, records of them, and commits put together by hand.

use kernel::backend::{Backend, Commit, Committed, NewKey, Step};
use kernel::class::{ClassDef, ClassRef, OnDelete, StateDef, Verb};
use kernel::clock::Time;
use kernel::error::StoreError;
use kernel::ids::{Id, Kind, TenantId};
use kernel::journal::Draft;
use kernel::link::Link;
use kernel::query::{Column, Cursor, Predicate, Query, SortKey};
use kernel::record::Record;
use kernel::session::{Actor, ActorKind};
use kernel::shape::{Field, Word};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub const HOME: TenantId = TenantId(1);
pub const OTHER: TenantId = TenantId(2);

pub fn at(second: i64) -> Time {
    Time::from_micros(second * 1_000_000)
}

pub fn field(name: &str, word: Word, indexed: bool) -> Field {
    let mut field = Field::new(name, word);
    field.indexed = indexed;
    if word == Word::Enum {
        field.values = vec!["left".into(), "right".into()];
    }
    if word == Word::List {
        field.item = Some(Box::new(Field::new("", Word::Text)));
    }
    field
}

fn class(name: &str, prefix: Option<&str>) -> ClassRef {
    let state = |name: &str, open: bool| StateDef { name: name.into(), open, initial: open, help: String::new() };
    Arc::new(ClassDef {
        name: Kind::new(name),
        title: name.into(),
        plural: name.into(),
        verb: Verb::Kernel,
        help: String::new(),
        prefix: prefix.map(str::to_owned),
        builtin: true,
        fields: vec![
            field("side", Word::Enum, true),
            field("hot", Word::Bool, true),
            field("site", Word::Text, true),
            field("level", Word::Int, false),
            field("ratio", Word::Float, false),
            field("due", Word::Time, true),
            field("patience", Word::Duration, false),
            field("tags", Word::List, false),
        ],
        states: vec![state("active", true), state("done", false)],
        transitions: Vec::new(),
        links: vec![kernel::class::LinkDef {
            name: "needs".into(),
            title: String::new(),
            reverse: "needed-by".into(),
            reverse_title: String::new(),
            to: Vec::new(),
            many: true,
            required: false,
            on_delete: OnDelete::Unlink,
            help: String::new(),
            field: None,
            impact: true,
        }],
        columns: Vec::new(),
        sort: vec!["-updated".into(), "key".into()],
        practices: Vec::new(),
        checks: Vec::new(),
        rules: Vec::new(),
        compute: Vec::new(),
        retention_days: None,
    })
}

pub fn classes() -> Vec<ClassRef> {
    vec![class("thing", Some("THG-")), class("big-place", None)]
}

pub async fn fitted(store: Arc<dyn Backend>) -> Arc<dyn Backend> {
    store.fit(&classes()).await.unwrap();
    assert_eq!(store.add_tenant("internal").await.unwrap(), HOME);
    assert_eq!(store.add_tenant("customer").await.unwrap(), OTHER);
    store
}

pub fn record(tenant: TenantId, kind: &str, key: &str, fields: Value) -> Record {
    record_at(tenant, kind, key, fields, at(1))
}

pub fn record_at(tenant: TenantId, kind: &str, key: &str, fields: Value, time: Time) -> Record {
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Record {
        id: Id::new(time),
        tenant,
        kind: Kind::new(kind),
        key: key.into(),
        state: "active".into(),
        open: true,
        state_since: time,
        title: key.into(),
        owner: None,
        health: None,
        version: 1,
        created: time,
        updated: time,
        deleted: false,
        fields,
    }
}

pub fn commit(tenant: TenantId, steps: Vec<Step>) -> Commit {
    Commit { tenant, steps, idempotency: None, now: at(1) }
}

pub fn entry(record: &Record, action: &str) -> Step {
    let actor = Actor::new(ActorKind::Person, "ana");
    let after = Map::from_iter([("said".to_owned(), json!(action))]);
    Step::Entry(Box::new(Draft::new(at(2), actor, (record.id, &record.key, &record.kind), action, &Map::new(), &after)))
}

pub fn insert_steps(record: &Record) -> Vec<Step> {
    let text = format!(
        "{} {} {}",
        record.key,
        record.title,
        record.fields.values().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    );
    vec![
        Step::Insert { record: Box::new(record.clone()), key: NewKey::Given(record.key.clone()), search: text },
        entry(record, "create"),
    ]
}

pub async fn insert(store: &dyn Backend, record: &Record) -> Result<Committed, StoreError> {
    store.commit(commit(record.tenant, insert_steps(record))).await
}

pub async fn add(store: &dyn Backend, tenant: TenantId, kind: &str, key: &str, fields: Value) -> Record {
    let record = record(tenant, kind, key, fields);
    insert(store, &record).await.unwrap();
    record
}

/// The record as a next version, and the step that makes it so.
pub fn next(record: &Record, change: impl FnOnce(&mut Record)) -> (Record, Step) {
    let mut next = record.clone();
    next.version += 1;
    change(&mut next);
    let search = format!("{} {}", next.key, next.title);
    (next.clone(), Step::Update { record: Box::new(next), expect: record.version, search })
}

pub fn link(from: &Record, to: &Record) -> Link {
    Link { from: from.id, name: "needs".into(), to: to.id }
}

pub fn column(name: &str) -> Column {
    let fields = &classes()[0].fields;
    match name {
        "key" => Column::Key,
        "title" => Column::Title,
        "updated" => Column::Updated,
        "state" => Column::State,
        "open" => Column::Open,
        "owner" => Column::Owner,
        _ => {
            let field = fields.iter().find(|f| f.name == name).unwrap();
            Column::Field { path: name.into(), word: field.word, indexed: field.indexed }
        }
    }
}

pub fn query(kind: &str, predicate: Predicate, sort: &str, limit: usize) -> Query {
    let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |n| (n, true));
    Query { kind: Kind::new(kind), predicate, sort: SortKey { column: column(name), descending }, limit, after: None }
}

/// Keys of all records of a question, page by page.
pub async fn paged(store: &dyn Backend, mut query: Query) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        let page = store.page(HOME, &query).await.unwrap();
        assert!(page.damaged.is_empty());
        keys.extend(page.records.iter().map(|r| r.key.clone()));
        if !page.more {
            return keys;
        }
        let last = page.records.last().expect("a page with more to come is not empty");
        query.after = Some(Cursor { value: sort_value(last, &query.sort.column), id: last.id });
    }
}

/// The sort value that the kernel puts into a cursor.
pub fn sort_value(record: &Record, column: &Column) -> Value {
    match column {
        Column::Key => record.key.clone().into(),
        Column::Title => record.title.clone().into(),
        Column::Updated => record.updated.as_micros().into(),
        Column::Owner => record.owner.clone().into(),
        Column::Field { path, word, .. } => {
            let value = record.fields.get(path).cloned().unwrap_or_default();
            match (word, value.as_str()) {
                (Word::Time, Some(text)) => Time::parse(text).map(Time::as_micros).into(),
                (Word::Duration, Some(text)) => {
                    kernel::clock::parse_duration(text).ok().map(|d| d.as_millis() as u64).into()
                }
                _ => value,
            }
        }
        other => panic!("no test sorts by {other:?}"),
    }
}
