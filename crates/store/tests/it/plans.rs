//! How SQLite answers the standard questions. A plan that changes here is a list that may have become slow.

use expect_test::{Expect, expect};
use kernel::query::{Compare, Cursor, Operand, Predicate};

use crate::kit::*;
use crate::sqlite::open;

fn is(name: &str, value: &str) -> Predicate {
    Predicate::In(column(name), vec![Operand::Text(value.into())])
}

#[tokio::test]
async fn standard_questions_go_by_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fitted(store.clone()).await;
    let open = || Predicate::In(column("open"), vec![Operand::Bool(true)]);
    let after = Cursor { value: 5.into(), id: kernel::ids::Id::new(at(1)) };
    let table: Vec<(&str, Predicate, &str, bool, Expect)> = vec![
        ("everything, newest first", Predicate::All, "-updated", false, expect![[""]]),
        ("the next page of it", Predicate::All, "-updated", true, expect![[""]]),
        ("open ones", open(), "-updated", false, expect![[""]]),
        ("open ones by key", open(), "key", false, expect![[""]]),
        ("in a state", is("state", "active"), "-updated", false, expect![[""]]),
        ("one field", is("site", "LON"), "-updated", true, expect![[""]]),
        ("two fields of few values", is("side", "left").and(Predicate::In(column("hot"), vec![Operand::Bool(true)])), "-updated", true, expect![[""]]),
        ("a state and a field of few values", is("state", "active").and(is("side", "left")), "-updated", true, expect![[""]]),
        ("of an owner", is("owner", "ana"), "-updated", false, expect![[""]]),
        ("by key", is("key", "a"), "-updated", false, expect![[""]]),
        ("due before a time", Predicate::Cmp(column("due"), Compare::Lt, Operand::Int(5)), "-updated", false, expect![[""]]),
        ("with words", Predicate::Words(vec!["slow".into()]), "-updated", false, expect![[""]]),
    ];
    for (what, predicate, sort, next, wanted) in table {
        let mut query = query("thing", predicate, sort, 50);
        query.after = next.then(|| after.clone());
        let plan = store.explain(HOME, &query).await.unwrap();
        println!("{plan}");
        // Names of indexes are made from what they are; the definition says more.
        let mut told = format!("{what}\n{plan}");
        for name in plan.split_whitespace().filter(|w| w.starts_with("i_")) {
            told = told.replace(name, &definition(dir.path(), name));
        }
        wanted.assert_eq(&told);
    }
}

fn definition(dir: &std::path::Path, index: &str) -> String {
    let db = rusqlite::Connection::open(dir.join("mainstay.db")).unwrap();
    let sql: String = db.query_row("SELECT sql FROM sqlite_master WHERE name = ?1", [index], |row| row.get(0)).unwrap();
    sql.split_once(" ON ").unwrap().1.to_owned()
}
