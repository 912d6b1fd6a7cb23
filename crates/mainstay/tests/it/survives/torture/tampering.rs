//! A forged journal: someone who can write the database changes history, and knows how to seal a row. Every forgery is
//! found by `mainstay verify`, with the first sequence number that is not as it was written.

use std::fs;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params_from_iter};
use xxhash_rust::xxh3::Xxh3;

use super::copy::{Original, original};
use super::times;
use crate::server;
use crate::world::{self, Dice};

/// Columns of a journal row before its seal, in the order in which the seal covers them.
const COLUMNS: [&str; 13] = [
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
];

/// One forgery, and the sequence numbers that may rightly be called the first bad one.
struct Forgery {
    what: String,
    first_bad: Vec<u64>,
}

/// A journal row with its values.
type Row = Vec<Cell>;

fn number(seq: u64) -> Cell {
    Cell::Integer(i64::try_from(seq).expect("a sequence"))
}

fn read(database: &Connection, seq: u64) -> Row {
    let sql = format!("SELECT {} FROM journal WHERE seq = ?1", COLUMNS.join(", "));
    let cells = |row: &rusqlite::Row<'_>| (0..COLUMNS.len()).map(|i| row.get(i)).collect();
    database.query_row(&sql, [number(seq)], cells).unwrap_or_else(|error| panic!("entry {seq}: {error}"))
}

fn remove(database: &Connection, from: u64, to: u64) {
    database
        .execute("DELETE FROM journal WHERE seq BETWEEN ?1 AND ?2", [number(from), number(to)])
        .expect("a forger may write");
}

/// Writes a row with a seal that fits it: a checksum is no secret, only the chain protects history.
fn write(database: &Connection, mut row: Row) {
    row.push(Cell::Integer(seal("journal", &row)));
    let marks = vec!["?"; row.len()].join(", ");
    let sql = format!("INSERT OR REPLACE INTO journal ({}, sum) VALUES ({marks})", COLUMNS.join(", "));
    database.execute(&sql, params_from_iter(row)).expect("a forger may write");
}

/// The store's checksum of a row: its table, then each value with type and length.
fn seal(table: &str, row: &[Cell]) -> i64 {
    let mut sum = Xxh3::new();
    sum.update(table.as_bytes());
    let tagged = |sum: &mut Xxh3, tag: u8, number: u64| {
        sum.update(&[tag]);
        sum.update(&number.to_le_bytes());
    };
    for cell in row {
        match cell {
            Cell::Null => sum.update(&[0]),
            Cell::Integer(number) => tagged(&mut sum, 1, number.cast_unsigned()),
            Cell::Real(number) => tagged(&mut sum, 2, number.to_bits()),
            Cell::Text(text) => {
                tagged(&mut sum, 3, text.len() as u64);
                sum.update(text.as_bytes());
            }
            Cell::Blob(bytes) => {
                tagged(&mut sum, 4, bytes.len() as u64);
                sum.update(bytes);
            }
        }
    }
    sum.digest().cast_signed()
}

/// Another value of the same kind.
fn changed(cell: &Cell, dice: &mut Dice) -> Cell {
    match cell {
        Cell::Null => Cell::Text("forged".into()),
        Cell::Integer(number) => Cell::Integer(number + 1 + i64::try_from(dice.below(1000)).expect("a small number")),
        Cell::Real(number) => Cell::Real(number + 1.0),
        Cell::Text(text) if text == "{}" => Cell::Text("{\"title\":\"forged\"}".into()),
        Cell::Text(text) => Cell::Text(format!("{text} ")),
        Cell::Blob(bytes) => {
            let mut bytes = bytes.clone();
            let at = usize::try_from(dice.below(bytes.len() as u64)).expect("an index");
            bytes[at] ^= 1;
            Cell::Blob(bytes)
        }
    }
}

/// Forges something in a journal of `head` entries.
fn forge(database: &Connection, head: u64, dice: &mut Dice) -> Forgery {
    let seq = 2 + dice.below(head - 3);
    match dice.below(5) {
        0 => {
            let column = 1 + usize::try_from(dice.below(12)).expect("a column");
            let mut row = read(database, seq);
            row[column] =
                if COLUMNS[column] == "cause" { Cell::Integer(1_000_000) } else { changed(&row[column], dice) };
            write(database, row);
            // An entry of a tenant that is not its own is missing in one chain and too much in another.
            Forgery { what: format!("{} of {seq} is another", COLUMNS[column]), first_bad: vec![seq] }
        }
        1 => {
            remove(database, seq, seq);
            Forgery { what: format!("{seq} is gone"), first_bad: vec![seq, seq + 1] }
        }
        2 => {
            let mut row = read(database, seq);
            row[0] = number(head + 1);
            write(database, row);
            Forgery { what: format!("{seq} is there again as {}", head + 1), first_bad: vec![head + 1] }
        }
        3 => {
            let (mut one, mut other) = (read(database, seq), read(database, seq + 1));
            std::mem::swap(&mut one[0], &mut other[0]);
            write(database, one);
            write(database, other);
            Forgery { what: format!("{seq} and {} have changed places", seq + 1), first_bad: vec![seq] }
        }
        _ => {
            remove(database, seq + 1, head);
            forge_head(database, seq);
            Forgery { what: format!("everything after {seq} is gone"), first_bad: vec![seq + 1, head] }
        }
    }
}

/// Makes `seq` look like the head of the chain: counter and head of the tenant, sealed.
fn forge_head(database: &Connection, seq: u64) {
    let row = read(database, seq);
    let (tenant, hash) = (row[1].clone(), row[12].clone());
    let head = vec![tenant, number(seq), hash];
    let sum = seal("chain", &head);
    let cells: Vec<Cell> = head.into_iter().chain([Cell::Integer(sum)]).collect();
    let sql = "INSERT OR REPLACE INTO chain (tenant, seq, hash, sum) VALUES (?, ?, ?, ?)";
    database.execute(sql, params_from_iter(cells)).expect("a forger may write");
}

/// Whether the text names a number, and not only as a part of another.
fn names(text: &str, number: u64) -> bool {
    let wanted = number.to_string();
    text.split(|c: char| !c.is_ascii_digit()).any(|word| word == wanted)
}

#[test]
fn every_forgery_of_the_journal_is_found_with_the_first_bad_sequence_number() {
    let _alone = world::alone();
    let original: Original = original();
    let anchor = original.beside("anchor");
    fs::write(&anchor, server::cli(original.data(), &["anchor"]).stdout).expect("a file");
    let anchor = anchor.display().to_string();
    let verified = server::cli(original.data(), &["verify", "--anchor", &anchor]);
    assert!(verified.status.success(), "before any forgery: {}", world::text(&verified));

    let mut dice = Dice::of_today("tampering");
    let copy = original.copy();
    let path = copy.data.join("records.db");
    let untouched = fs::read(&path).expect("a file of ours");
    let mut unseen = Vec::new();
    let rounds = times("MAINSTAY_FORGERIES", 1000, 10_000);
    for _ in 0..rounds {
        fs::write(&path, &untouched).expect("a file of ours");
        let database = Connection::open(&path).expect("it is a database");
        let forgery = forge(&database, original.head, &mut dice);
        database.close().expect("nothing is open in it");
        let verified = server::cli(&copy.data, &["verify", "--anchor", &anchor]);
        let told = world::text(&verified);
        if verified.status.code() != Some(1) || !forgery.first_bad.iter().any(|seq| names(&told, *seq)) {
            unseen.push(format!("{}: {:?}, told: {told}", forgery.what, verified.status.code()));
        }
    }
    println!("tampering: {rounds} forgeries of {} entries, {} not told rightly", original.head, unseen.len());
    assert!(unseen.is_empty(), "{} not told rightly: {:#?}", unseen.len(), &unseen[..unseen.len().min(10)]);
}
