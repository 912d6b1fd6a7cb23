//! The store's figures, printed as a table: `cargo bench -p store`; `--quick` for a small run, `--writes`, `--reads` for one half.
//!
//! Group commit is compared with bare SQLite in the same run, in turns: the same tables, indexes and bytes, 256 callers, one thread
//! that writes, the same number of rows in a transaction, `synchronous = FULL`. Only the ratio decides; figures stand beside it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use kernel::backend::{Backend, Commit, NewKey, Step};
use kernel::class::{ClassDef, ClassRef, StateDef, Verb};
use kernel::clock::Time;
use kernel::ids::{Id, Kind, TenantId};
use kernel::journal::Draft;
use kernel::link::{Direction, Link, Walk};
use kernel::query::{Column, Cursor, Operand, Predicate, Query, SortKey};
use kernel::record::Record;
use kernel::session::{Actor, ActorKind};
use kernel::shape::{Field, Word};
use rusqlite::types::Value as Sql;
use serde_json::{Map, json};
use store::{Options, Store};

const HOME: TenantId = TenantId(1);
const CALLERS: usize = 256;

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn class() -> ClassRef {
    let field = |name: &str, word| {
        let mut field = Field::new(name, word);
        field.indexed = true;
        if word == Word::Enum {
            field.values = vec!["a".into(), "b".into()];
        }
        field
    };
    let state = |name: &str, open| StateDef { name: name.into(), open, initial: open, help: String::new() };
    Arc::new(ClassDef {
        name: Kind::new("service"),
        title: "Service".into(),
        plural: "Services".into(),
        verb: Verb::Know,
        help: String::new(),
        prefix: None,
        builtin: true,
        fields: vec![field("left", Word::Enum), field("right", Word::Enum), field("site", Word::Text)],
        states: vec![state("active", true), state("done", false)],
        transitions: Vec::new(),
        links: Vec::new(),
        columns: Vec::new(),
        sort: vec!["-updated".into()],
        practices: Vec::new(),
        checks: Vec::new(),
        rules: Vec::new(),
        compute: Vec::new(),
        retention_days: None,
    })
}

const WORDS: [&str; 16] = [
    "payment", "checkout", "backup", "router", "london", "paris", "cluster", "database", "mail", "billing", "gateway",
    "storage", "report", "archive", "search", "portal",
];

/// A record of about 500 bytes. `left` and `right` are half and half and exclude each other: no record has both `a`, but for one in ten thousand.
fn record(i: u64) -> Record {
    let time = Time::from_micros(1_700_000_000_000_000 + i as i64 * 1000);
    let both = i.is_multiple_of(10_000);
    let left = if both || i.is_multiple_of(2) { "a" } else { "b" };
    let right = if both || !i.is_multiple_of(2) { "a" } else { "b" };
    let pick = |n: u64| WORDS[(i.wrapping_mul(n).wrapping_add(i >> 3) % 16) as usize];
    let text = (0..40).map(|n| pick(2 * n + 3)).collect::<Vec<_>>().join(" ");
    let fields = json!({"left": left, "right": right, "site": format!("site-{}", i % 1000), "note": format!("{text} unique{i}")});
    Record {
        id: Id::new(time),
        tenant: HOME,
        kind: Kind::new("service"),
        key: format!("svc-{i}"),
        state: "active".into(),
        open: true,
        state_since: time,
        title: format!("{} {}", pick(7), pick(11)),
        owner: None,
        health: None,
        version: 1,
        created: time,
        updated: time,
        deleted: false,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

fn steps(record: &Record) -> Vec<Step> {
    let search = format!("{} {} {}", record.key, record.title, record.text("note"));
    let draft = Draft::new(
        record.created,
        Actor::new(ActorKind::Person, "ana"),
        (record.id, &record.key, &record.kind),
        "create",
        &Map::new(),
        &record.fields,
    );
    vec![
        Step::Insert { record: Box::new(record.clone()), key: NewKey::Given(record.key.clone()), search },
        Step::Entry(Box::new(draft)),
    ]
}

fn commit(steps: Vec<Step>) -> Commit {
    Commit { tenant: HOME, steps, idempotency: None, now: Time::from_micros(0) }
}

async fn open(dir: &Path) -> Arc<Store> {
    let store = Store::open_sqlite(dir, Options { ballast_bytes: 0, ..Options::default() }).expect("the store opens");
    store.fit(&[class()]).await.expect("the class fits");
    store.add_tenant("internal").await.expect("the tenant is added");
    store
}

/// What the store wrote into its tables, as values: the bare writer writes the same.
struct Bytes {
    tables: Vec<(String, Vec<Vec<Sql>>)>,
    words: Vec<String>,
}

/// Reads the rows of `from` so that the bare run can write them again.
fn bytes_of(from: &Path) -> Bytes {
    let db = rusqlite::Connection::open(from.join("records.db")).expect("the database opens");
    let tables = ["record", "c_service", "journal"].map(|table| {
        let mut statement = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).expect("the table is there");
        let columns = statement.column_count();
        let rows: Vec<Vec<Sql>> = statement
            .query_map([], |row| (0..columns).map(|i| row.get::<_, Sql>(i)).collect())
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("rows");
        (table.to_owned(), rows)
    });
    let words = (0..tables[0].1.len() as u64).map(|i| {
        let record = record(i);
        let mut words = kernel::filter::words_of(&format!("{} {} {}", record.key, record.title, record.text("note")));
        words.sort();
        words.dedup();
        format!("§1 §1kservice {}", words.join(" "))
    });
    Bytes { words: words.collect(), tables: tables.into() }
}

/// Makes an empty database with the tables and indexes of `like`.
fn bare_database(like: &Path, at: &Path) -> rusqlite::Connection {
    let model = rusqlite::Connection::open(like.join("records.db")).expect("the model opens");
    let db = rusqlite::Connection::open(at.join("bare.db")).expect("the database opens");
    db.set_prepared_statement_cache_capacity(64);
    db.execute_batch("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 4096; PRAGMA temp_store = MEMORY")
        .expect("the settings hold");
    let mut statement = model.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'words_%' AND name NOT LIKE 'sqlite_%' ORDER BY rowid").expect("the schema is readable");
    let all: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("the schema").collect::<Result<_, _>>().expect("the schema");
    for sql in all {
        db.execute_batch(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    db
}

/// 256 callers, a bounded queue, one thread that commits what waits and answers: everything but the store.
fn bare(like: &Path, at: &Path, bytes: &Arc<Bytes>, rows: usize) -> Duration {
    let db = bare_database(like, at);
    let (sender, receiver): (SyncSender<(usize, tokio::sync::oneshot::Sender<()>)>, Receiver<_>) = sync_channel(1024);
    let written = bytes.clone();
    let writer = std::thread::spawn(move || {
        let inserts: Vec<String> = written
            .tables
            .iter()
            .map(|(table, rows)| format!("INSERT INTO {table} VALUES ({})", vec!["?"; rows[0].len()].join(", ")))
            .collect();
        while let Ok(first) = receiver.recv() {
            let mut group = vec![first];
            while group.len() < 256
                && let Ok(next) = receiver.try_recv()
            {
                group.push(next);
            }
            db.execute_batch("BEGIN IMMEDIATE").expect("begin");
            for (i, _) in &group {
                for (insert, (_, rows)) in inserts.iter().zip(&written.tables) {
                    db.prepare_cached(insert)
                        .expect("insert")
                        .execute(rusqlite::params_from_iter(&rows[*i]))
                        .expect("insert");
                }
                db.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")
                    .expect("insert")
                    .execute((*i as i64 + 1, &written.words[*i]))
                    .expect("insert");
            }
            db.execute_batch("COMMIT").expect("commit");
            for (_, reply) in group {
                let _ = reply.send(());
            }
        }
    });
    let runtime = runtime();
    let start = now();
    runtime.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let sender = sender.clone();
            callers.spawn(async move {
                for i in (caller..rows).step_by(CALLERS) {
                    let (reply, answer) = tokio::sync::oneshot::channel();
                    sender.send((i, reply)).expect("the writer is there");
                    answer.await.expect("it is written");
                }
            });
        }
        callers.join_all().await;
    });
    let took = start.elapsed();
    drop(sender);
    writer.join().expect("the writer ends");
    took
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// The same through the store: serialising, hashing and sealing included.
fn through_store(at: &Path, rows: usize) -> Duration {
    runtime().block_on(async {
        let store = open(at).await;
        let all: Arc<Vec<Vec<Step>>> = Arc::new((0..rows as u64).map(|i| steps(&record(i))).collect());
        let start = now();
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let (store, all) = (store.clone(), all.clone());
            callers.spawn(async move {
                for i in (caller..rows).step_by(CALLERS) {
                    store.commit(commit(all[i].clone())).await.expect("it is written");
                }
            });
        }
        callers.join_all().await;
        start.elapsed()
    })
}

fn writes(rows: usize, rounds: usize) {
    let mut ratios = Vec::new();
    println!("group commit, {CALLERS} writers, {rows} records with journal entry and words, each fsynced");
    for round in 0..rounds {
        let (ours, theirs) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let store_took = through_store(ours.path(), rows);
        let bytes = Arc::new(bytes_of(ours.path()));
        let bare_took = bare(ours.path(), theirs.path(), &bytes, rows);
        let rate = |took: Duration| rows as f64 / took.as_secs_f64();
        ratios.push(rate(store_took) / rate(bare_took));
        println!(
            "  round {round}: store {:>8.0}/s   bare {:>8.0}/s   ratio {:.2}",
            rate(store_took),
            rate(bare_took),
            ratios[round]
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio {:.2} (goal: at least 0.80)\n", ratios[ratios.len() / 2]);
}

fn line(what: &str, goal_ms: f64, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    let verdict = if at(0.99) <= goal_ms { "holds" } else { "MISSED" };
    println!("  {what:<62} p50 {:>8.3} ms  p99 {:>8.3} ms  goal {goal_ms:>5} ms  {verdict}", at(0.5), at(0.99));
}

fn field(name: &str) -> Column {
    Column::Field { path: name.into(), word: if name == "site" { Word::Text } else { Word::Enum }, indexed: true }
}

fn is(name: &str, value: &str) -> Predicate {
    Predicate::In(field(name), vec![Operand::Text(value.into())])
}

async fn fill(store: &Store, rows: u64) {
    let start = now();
    let mut i = 0;
    while i < rows {
        let mut all = Vec::new();
        for _ in 0..2000.min(rows - i) {
            all.extend(steps(&record(i)));
            i += 1;
        }
        store.commit(commit(all)).await.expect("it is written");
    }
    println!("filled {rows} records in {:.0} s", start.elapsed().as_secs_f64());
}

async fn reads(rows: u64, asks: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).await;
    fill(&store, rows).await;
    println!("questions over {rows} records of one class");
    let query = |predicate: Predicate, after| Query {
        kind: Kind::new("service"),
        predicate,
        sort: SortKey { column: Column::Updated, descending: true },
        limit: 50,
        after,
    };
    for (what, predicate) in [
        ("page of 50, two fields, half × half", is("left", "a").and(is("right", "b"))),
        ("page of 50, two halves that exclude each other", is("left", "a").and(is("right", "a"))),
        ("page of 50, one half × 1 in 1,000", is("left", "a").and(is("site", "site-8"))),
        (
            "page of 50, state × one half",
            Predicate::In(Column::State, vec![Operand::Text("active".into())]).and(is("right", "a")),
        ),
    ] {
        let mut times = Vec::new();
        let mut after: Option<Cursor> = None;
        for _ in 0..asks {
            let start = now();
            let page = store.page(HOME, &query(predicate.clone(), after.take())).await.expect("a page");
            times.push(start.elapsed());
            after = page
                .records
                .last()
                .filter(|_| page.more)
                .map(|r| Cursor { value: r.updated.as_micros().into(), id: r.id });
        }
        line(what, 10.0, times);
    }
    for (what, words) in [
        ("newest-first search, one common word", vec!["payment"]),
        ("newest-first search, three common words", vec!["payment", "london", "report"]),
        ("newest-first search, one rare word", vec!["unique77"]),
    ] {
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let mut times = Vec::new();
        for _ in 0..asks {
            let start = now();
            let found =
                store.search(HOME, &words, &[(Kind::new("service"), Predicate::All)], 50).await.expect("an answer");
            times.push(start.elapsed());
            assert!(!found.is_empty());
        }
        line(what, 100.0, times);
    }
}

/// A tree of impact, ten wide, in a store with many more links than it.
async fn walks(links: u64, asks: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).await;
    let nodes = (links / 10).max(2000);
    let ids: Vec<Id> = (0..nodes).map(|i| record(i).id).collect();
    for chunk in (0..nodes).collect::<Vec<_>>().chunks(2000) {
        let all = chunk.iter().map(|i| {
            let mut new = record(*i);
            new.id = ids[*i as usize];
            new.fields = Map::new();
            Step::Insert { key: NewKey::Given(new.key.clone()), search: new.key.clone(), record: Box::new(new) }
        });
        store.commit(commit(all.collect())).await.expect("it is written");
    }
    // The first 1,111 are a tree, ten below each; the rest hangs together at random, ten links each.
    let tree = 1111.min(nodes);
    let mut all: Vec<Step> = (1..tree).map(|i| link(ids[i as usize], ids[((i - 1) / 10) as usize])).collect();
    let mut seed = 1_u64;
    let mut known = std::collections::HashSet::new();
    while (all.len() as u64) < links {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (a, b) = (tree + (seed >> 33) % (nodes - tree), tree + (seed >> 13) % (nodes - tree));
        if a != b && known.insert((a, b)) {
            all.push(link(ids[a as usize], ids[b as usize]));
        }
    }
    for chunk in all.chunks(5000) {
        store.commit(commit(chunk.to_vec())).await.expect("it is written");
    }
    println!("impact over {links} links");
    let mut times = Vec::new();
    for _ in 0..asks {
        let walk = Walk { direction: Direction::Up, depth: 10, limit: 1000, types: vec!["needs".into()] };
        let start = now();
        let graph = store.walk(HOME, ids[0], &walk).await.expect("a walk");
        times.push(start.elapsed());
        assert_eq!(graph.nodes.len(), 1000);
    }
    line("impact walk that reaches 1,000 records", 20.0, times);
}

fn link(from: Id, to: Id) -> Step {
    Step::Link(Link { from, name: "needs".into(), to })
}

fn main() {
    let asked = |name: &str| std::env::args().any(|a| a == name);
    let quick = asked("--quick");
    let (both, rows, million, asks) = (
        !asked("--writes") && !asked("--reads"),
        if quick { 5_000 } else { 60_000 },
        if quick { 20_000 } else { 1_000_000 },
        if quick { 50 } else { 300 },
    );
    if both || asked("--writes") {
        writes(rows, if quick { 2 } else { 5 });
    }
    if both || asked("--reads") {
        runtime().block_on(async {
            reads(million, asks).await;
            walks(million, asks).await;
        });
    }
}
