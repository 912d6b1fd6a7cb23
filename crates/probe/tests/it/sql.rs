//! SQL against PostgreSQL, MariaDB and ClickHouse with data made for the test.

use std::path::Path;

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, start, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

async fn hold(protocol: &str, base: &Value, rows: Vec<(String, Value, State, &str)>) {
    for (target, more, state, part) in rows {
        let mut params = base.clone();
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let outcome = check(protocol, &target, params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{protocol} {target} {more}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{protocol} {more}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
    }
}

const ENDLESS: &str = "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)";

/// A PostgreSQL with that way to sign in, and a certificate; PostgreSQL refuses to run as root.
async fn postgresql(way: &str) -> (Peer, u16, String) {
    const BIN: &str = "/usr/lib/postgresql/15/bin";
    assert!(Path::new(BIN).exists(), "postgresql is not installed: run `make test-deps` once");
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let port = free_port();
    let script = format!(
        "set -e; export LC_ALL=C.UTF-8; install -d -o postgres $1/own; printf hunter2 > $1/first; chmod 644 $1/first\n\
         cp $1/crt $1/own.crt; cp $1/key $1/own.key; chown postgres $1/own.crt $1/own.key; chmod 600 $1/own.key\n\
         as='setpriv --reuid postgres --regid postgres --clear-groups'\n\
         $as {BIN}/initdb -A {way} --pwfile=$1/first -U mia -E UTF8 --no-sync -D $1/own/data >/dev/null\n\
         exec $as {BIN}/postgres -D $1/own/data -h 127.0.0.1 -p {port} -k $1/own -c ssl=on -c ssl_cert_file=$1/own.crt \
         -c ssl_key_file=$1/own.key -c fsync=off\n"
    );
    let files = [("crt", certificate), ("key", key)];
    let peer = start("/bin/sh", &script, &["{folder}/peer.conf", "{folder}"], &files);
    until_it_listens(&peer, port).await;
    for _ in 0..100 {
        let params = json!({"user": "mia", "password": "hunter2", "database": "postgres"});
        if check("postgresql", &format!("localhost:{port}"), params, SECONDS_5).await.state == State::Ok {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await; // polls: it listens before it lets in
    }
    (peer, port, authority.pem())
}

#[tokio::test]
async fn a_real_postgresql_is_judged_by_what_its_rows_say() {
    let (_peer, port, ca) = postgresql("scram-sha-256").await;
    let at = format!("localhost:{port}");
    let nobody = format!("localhost:{}", free_port());
    let base = json!({"user": "mia", "password": "hunter2", "database": "postgres", "ca": ca});
    let two = "SELECT datname, 7 AS depth FROM pg_database WHERE datname LIKE 'template%' ORDER BY 1";
    hold(
        "postgresql",
        &base,
        vec![
            (at.clone(), json!({}), State::Ok, "(PostgreSQL 15."),
            (at.clone(), json!({"tls": true, "query": "SELECT 1"}), State::Ok, "answers with \"1\""),
            (at.clone(), json!({"query": two, "rows": 2, "columns": {"depth": "< 8"}}), State::Ok, "2 rows"),
            (at.clone(), json!({"query": two, "columns": {"depth": "> 8"}}), State::Critical, "depth is \"7\""),
            (at.clone(), json!({"query": two, "rows": 1}), State::Critical, "2 rows, where 1 is expected"),
            (at.clone(), json!({"query": "SELECT nonsense"}), State::Critical, "refuses the query (\"42703: column"),
            (at.clone(), json!({"query": ENDLESS}), State::Critical, "answers with more than 16 MiB"),
            (
                at.clone(),
                json!({"password": "letmein"}),
                State::Critical,
                "refuses the user \"mia\" (\"28P01: password",
            ),
            (at.clone(), json!({"database": "none"}), State::Critical, "3D000"),
            (at.clone(), json!({"tls": true, "ca": null}), State::Critical, "no authority that is trusted"),
            (nobody, json!({}), State::Critical, "connection refused"),
        ],
    )
    .await;
    let mut params = base;
    params["query"] = two.into();
    let outcome = check("postgresql", &at, params, SECONDS_5).await;
    let labels: Vec<_> = outcome.readings.iter().filter_map(|reading| reading.labels.get("datname")).collect();
    assert_eq!(labels, ["template0", "template1"]);
}

#[tokio::test]
async fn older_ways_to_sign_in_are_known_too() {
    for way in ["password", "md5"] {
        let (_peer, port, _) = postgresql(way).await;
        let at = format!("localhost:{port}");
        let base = json!({"user": "mia", "password": "hunter2", "database": "postgres"});
        let wrong = json!({"password": "letmein"});
        let rows = vec![
            (at.clone(), json!({}), State::Ok, "lets the user in"),
            (at.clone(), wrong, State::Critical, "refuses the user \"mia\" (\"28P01: password"),
            (at, json!({"password": null}), State::Critical, "wants a password, and none is given"),
        ];
        hold("postgresql", &base, rows).await;
    }
}

#[tokio::test]
async fn a_postgresql_that_does_not_come_to_an_end_runs_into_the_timeout() {
    let (_peer, port, _) = postgresql("md5").await;
    let params = json!({"user": "mia", "password": "hunter2", "database": "postgres", "query": "SELECT pg_sleep(60)"});
    let within = std::time::Duration::from_millis(700);
    let outcome = check("postgresql", &format!("localhost:{port}"), params, within).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("while waiting for the query's answer (timeout)"), "{}", outcome.summary);
}

/// A MariaDB with a user mia, whose password is hunter2, and a certificate.
async fn mariadb() -> (Peer, u16, String) {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let port = free_port();
    let files = [
        ("data/", String::new()),
        ("crt", certificate),
        ("key.pem", key),
        (
            "init.sql",
            "CREATE USER mia@localhost IDENTIFIED BY 'hunter2';\nGRANT ALL ON *.* TO mia@localhost;\n".to_owned(),
        ),
    ];
    let configuration = format!(
        "set -e; mariadb-install-db --no-defaults --user=mysql --datadir=$1/data --skip-test-db >/dev/null\n\
         exec mariadbd --no-defaults --user=mysql --datadir=$1/data --bind-address=127.0.0.1 --port={port} --socket=$1/data/s \
         --ssl-cert=$1/crt --ssl-key=$1/key.pem --init-file=$1/init.sql --innodb-flush-log-at-trx-commit=0\n"
    );
    let peer = start("/bin/sh", &configuration, &["{folder}/peer.conf", "{folder}"], &files);
    until_it_listens(&peer, port).await;
    (peer, port, authority.pem())
}

#[tokio::test]
#[ignore = "needs MariaDB: make test-peers"]
async fn a_real_mariadb_is_judged_by_what_its_rows_say() {
    let (_peer, port, ca) = mariadb().await;
    let at = format!("localhost:{port}");
    let base = json!({"user": "mia", "password": "hunter2", "ca": ca});
    let two = "SELECT 'mail' AS queue, 12 AS depth, NULL AS age UNION SELECT 'page', 3, 4.5";
    hold(
        "mysql",
        &base,
        vec![
            (at.clone(), json!({}), State::Ok, "MariaDB"),
            (at.clone(), json!({"tls": true, "query": "SELECT 1"}), State::Ok, "answers with \"1\""),
            (at.clone(), json!({"query": two, "rows": 2, "columns": {"depth": "< 20"}}), State::Ok, "2 rows"),
            (at.clone(), json!({"query": two, "columns": {"depth": "> 20"}}), State::Critical, "depth is \"12\""),
            (at.clone(), json!({"database": "mysql", "query": "SELECT COUNT(*) AS n FROM user"}), State::Ok, "answers"),
            (at.clone(), json!({"query": "SELECT nonsense"}), State::Critical, "refuses the query (\"1054 (42S22)"),
            (
                at.clone(),
                json!({"query": "SELECT REPEAT('x', 9000000) UNION ALL SELECT REPEAT('x', 9000000)"}),
                State::Critical,
                "answers with more than 16 MiB",
            ),
            (at.clone(), json!({"password": "letmein"}), State::Critical, "refuses the user \"mia\" (\"1045 (28000)"),
            (at.clone(), json!({"database": "none"}), State::Critical, "refuses the user \"mia\" (\"1049"),
            (at, json!({"tls": true, "ca": null}), State::Critical, "no authority that is trusted"),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs ClickHouse: make test-peers"]
async fn a_real_clickhouse_is_judged_by_what_its_rows_say() {
    let port = free_port();
    let configuration = format!(
        "<yandex><logger><level>error</level><console>1</console></logger><http_port>{port}</http_port>\
         <listen_host>127.0.0.1</listen_host><path>{{folder}}/data/</path><tmp_path>{{folder}}/tmp/</tmp_path>\
         <users_config>{{folder}}/users.xml</users_config><default_profile>default</default_profile>\
         <default_database>default</default_database><mark_cache_size>5368709120</mark_cache_size></yandex>"
    );
    let users = "<yandex><profiles><default/></profiles><quotas><default/></quotas><users><mia><password>hunter2</password>\
        <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></mia></users></yandex>";
    let files = [("users.xml", users.to_owned()), ("data/", String::new()), ("tmp/", String::new())];
    let peer = start("/usr/sbin/clickhouse-server", &configuration, &["--config-file={folder}/peer.conf"], &files);
    until_it_listens(&peer, port).await;
    let at = format!("http://127.0.0.1:{port}/");
    let base = json!({"user": "mia", "password": "hunter2"});
    let two = "SELECT name, 7 AS depth FROM system.databases ORDER BY name LIMIT 1";
    hold(
        "clickhouse",
        &base,
        vec![
            (at.clone(), json!({}), State::Ok, "lets the user in"),
            (at.clone(), json!({"query": "SELECT 1"}), State::Ok, "answers with \"1\""),
            (at.clone(), json!({"query": two, "rows": 1, "columns": {"depth": "< 8"}}), State::Ok, "1 rows"),
            (at.clone(), json!({"query": two, "columns": {"name": "none"}}), State::Critical, "where none is expected"),
            (at.clone(), json!({"query": "SELECT nonsense"}), State::Critical, "refuses the query (status 4"),
            (at.clone(), json!({"query": "SELECT number FROM system.numbers"}), State::Critical, "more than 1 MiB"),
            (at, json!({"password": "letmein", "query": "SELECT 1"}), State::Critical, "refuses the query (status"),
            (format!("http://127.0.0.1:{}/", free_port()), json!({}), State::Critical, "connection refused"),
        ],
    )
    .await;
}
