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
        (
            "everything, newest first",
            Predicate::All,
            "-updated",
            false,
            expect![[r#"
            everything, newest first
            SEARCH r USING INDEX c_thing (tenant, updated, id) WHERE deleted = 0 (tenant=?)"#]],
        ),
        (
            "the next page of it",
            Predicate::All,
            "-updated",
            true,
            expect![[r#"
            the next page of it
            SEARCH r USING INDEX c_thing (tenant, updated, id) WHERE deleted = 0 (tenant=? AND (updated,id)<(?,?))"#]],
        ),
        (
            "open ones",
            open(),
            "-updated",
            false,
            expect![[r#"
            open ones
            SEARCH r USING INDEX c_thing (tenant, open, updated, id) WHERE deleted = 0 (tenant=? AND open=?)"#]],
        ),
        (
            "open ones by key",
            open(),
            "key",
            false,
            expect![[r#"
            open ones by key
            SEARCH r USING INDEX c_thing (tenant, open, key, id) WHERE deleted = 0 (tenant=? AND open=?)"#]],
        ),
        (
            "in a state",
            is("state", "active"),
            "-updated",
            false,
            expect![[r#"
            in a state
            SEARCH r USING INDEX c_thing (tenant, state, updated, id) WHERE deleted = 0 (tenant=? AND state=?)"#]],
        ),
        (
            "one field",
            is("site", "LON"),
            "-updated",
            true,
            expect![[r#"
            one field
            SEARCH r USING INDEX c_thing (tenant, (json_extract(fields, '$.site')), updated, id) WHERE deleted = 0 (tenant=? AND <expr>=? AND (updated,id)<(?,?))"#]],
        ),
        (
            "two fields of few values",
            is("side", "left").and(Predicate::In(column("hot"), vec![Operand::Bool(true)])),
            "-updated",
            true,
            expect![[r#"
            two fields of few values
            SEARCH r USING INDEX c_thing (tenant, (json_extract(fields, '$.side')), (json_extract(fields, '$.hot')), updated, id) WHERE deleted = 0 (tenant=? AND <expr>=? AND <expr>=? AND (updated,id)<(?,?))"#]],
        ),
        (
            "a state and a field of few values",
            is("state", "active").and(is("side", "left")),
            "-updated",
            true,
            expect![[r#"
            a state and a field of few values
            SEARCH r USING INDEX c_thing (tenant, (json_extract(fields, '$.side')), state, updated, id) WHERE deleted = 0 (tenant=? AND <expr>=? AND state=? AND (updated,id)<(?,?))"#]],
        ),
        (
            "of an owner",
            is("owner", "ana"),
            "-updated",
            false,
            expect![[r#"
            of an owner
            SEARCH r USING INDEX c_thing (tenant, owner, updated, id) WHERE deleted = 0 AND owner IS NOT NULL (tenant=? AND owner=?)"#]],
        ),
        (
            "by key",
            is("key", "a"),
            "-updated",
            false,
            expect![[r#"
            by key
            SEARCH r USING INTEGER PRIMARY KEY (rowid=?)
            LIST SUBQUERY 1
            SEARCH h USING COVERING INDEX sqlite_autoindex_record_2 (tenant=? AND key=?)
            USE TEMP B-TREE FOR ORDER BY"#]],
        ),
        (
            "due before a time",
            Predicate::Cmp(column("due"), Compare::Lt, Operand::Int(5)),
            "-updated",
            false,
            expect![[r#"
            due before a time
            SEARCH r USING INDEX c_thing (tenant, (ms_time(json_extract(fields, '$.due'))), updated, id) WHERE deleted = 0 (tenant=? AND <expr><?)
            USE TEMP B-TREE FOR ORDER BY"#]],
        ),
        (
            "with words",
            Predicate::Words(vec!["slow".into()]),
            "-updated",
            false,
            expect![[r#"
            with words
            SEARCH r USING INTEGER PRIMARY KEY (rowid=?)
            LIST SUBQUERY 1
            SCAN w VIRTUAL TABLE INDEX 0:M1
            USE TEMP B-TREE FOR ORDER BY"#]],
        ),
    ];
    for (what, predicate, sort, next, wanted) in table {
        let mut query = query("thing", predicate, sort, 50);
        query.after = next.then(|| after.clone());
        let plan = store.explain(HOME, &query).await.unwrap();
        // Names of indexes are made from what they are; the definition says more.
        let mut told = format!("{what}\n{plan}");
        for name in plan.split_whitespace().filter(|w| w.starts_with("i_")) {
            told = told.replace(name, &definition(dir.path(), name));
        }
        wanted.assert_eq(&told);
    }
}

fn definition(dir: &std::path::Path, index: &str) -> String {
    let db = rusqlite::Connection::open(dir.join("records.db")).unwrap();
    let sql: String = db.query_row("SELECT sql FROM sqlite_master WHERE name = ?1", [index], |row| row.get(0)).unwrap();
    sql.split_once(" ON ").unwrap().1.to_owned()
}
