//! Full text: how a text becomes words, and a question words with their tenant and classes.
//!
//! The tenant and the class of a record are words of it too, written with `§`, which no text can contain as a word; so the index
//! itself keeps tenants apart. Both databases get ready-made words: no tokenizer of theirs decides anything.

use std::collections::BTreeSet;

use kernel::filter::words_of;
use kernel::ids::{Kind, TenantId};

use crate::conn::{Conn, DbError, Dialect, Val};

/// Longest word that is kept; what is longer is cut, in texts and in questions alike.
const MAX_WORD: usize = 64;

fn cut(word: &str) -> &str {
    let end = (0..=MAX_WORD.min(word.len())).rev().find(|i| word.is_char_boundary(*i)).unwrap_or(0);
    &word[..end]
}

/// The word of a tenant.
pub(crate) fn tenant_word(tenant: TenantId) -> String {
    format!("§{}", tenant.0)
}

/// The word of a class in a tenant.
pub(crate) fn class_word(tenant: TenantId, kind: &Kind) -> String {
    format!("§{}k{}", tenant.0, kind.as_str().replace('-', "§"))
}

/// The distinct words of a text, separated by spaces.
pub(crate) fn text_words(text: &str) -> String {
    let words: BTreeSet<String> = words_of(text).iter().map(|w| cut(w).to_owned()).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// Puts a record into the index, or takes it out and puts it in anew.
pub(crate) fn keep(
    conn: &mut dyn Conn,
    num: i64,
    replaces: bool,
    tenant: TenantId,
    kind: &Kind,
    words: Option<&str>,
) -> Result<(), DbError> {
    let dialect = conn.dialect();
    if replaces {
        let gone = match dialect {
            Dialect::Sqlite => "DELETE FROM words WHERE rowid = ?1",
            Dialect::Postgres => "DELETE FROM words WHERE num = ?1",
        };
        conn.exec(gone, &[num.into()])?;
    }
    if let Some(words) = words {
        let text = format!("{} {} {words}", tenant_word(tenant), class_word(tenant, kind));
        let add = match dialect {
            Dialect::Sqlite => "INSERT INTO words (rowid, text) VALUES (?1, ?2)",
            Dialect::Postgres => {
                "INSERT INTO words (num, text) VALUES (?1, array_to_tsvector(string_to_array(?2, ' ')))"
            }
        };
        conn.exec(add, &[num.into(), Val::from(text)])?;
    }
    Ok(())
}

/// A subquery for the numbers of records that match the question bound at `mark`.
pub(crate) fn matching(dialect: Dialect, mark: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("SELECT w.rowid FROM words w WHERE w.words MATCH {mark}"),
        Dialect::Postgres => format!("SELECT w.num FROM words w WHERE w.text @@ CAST({mark} AS text)::tsquery"),
    }
}

/// What the last word of a question stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// Itself.
    Whole,
    /// Every word that begins with it: all their records are gathered before the first is answered.
    Beginning,
}

/// A question for records that have one of `any` and all of `words`.
pub(crate) fn question(dialect: Dialect, any: &[String], words: &[String], last: LastWord) -> String {
    let words: Vec<&str> = words.iter().map(|w| cut(w)).filter(|w| !w.is_empty()).collect();
    let (and, or, quote) = match dialect {
        Dialect::Sqlite => (" AND ", " OR ", '"'),
        Dialect::Postgres => (" & ", " | ", '\''),
    };
    // Words are letters and digits by construction; anything else is dropped, so a quote cannot stand in one.
    let quoted = |w: &str| {
        format!("{quote}{}{quote}", w.chars().filter(|c| c.is_alphanumeric() || *c == '§').collect::<String>())
    };
    let mut parts = Vec::new();
    if !any.is_empty() {
        parts.push(format!("({})", any.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(or)));
    }
    for (i, word) in words.iter().enumerate() {
        let prefix = last == LastWord::Beginning && i + 1 == words.len() && word.chars().count() >= 2;
        let mark = match (prefix, dialect) {
            (false, _) => "",
            (true, Dialect::Sqlite) => " *",
            (true, Dialect::Postgres) => ":*",
        };
        parts.push(format!("{}{mark}", quoted(&word.to_lowercase())));
    }
    parts.join(and)
}
