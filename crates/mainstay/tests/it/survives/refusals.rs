//! What cannot be done is refused at once, with a sentence that says what is wrong and what to do.

use std::net::TcpListener;
use std::process::Output;

use crate::server::{self, Place, Server};
use crate::world;

/// Starts a server that must not start; one that does all the same is ended after a while.
fn refused(data: &str, words: &[&str]) -> Output {
    let listen = format!("127.0.0.1:{}", world::free_port());
    let mut all = vec!["20", server::PROGRAM, "--data", data, "server", "--no-agent"];
    if !words.contains(&"--listen") {
        all.extend(["--listen", &listen]);
    }
    all.extend(words);
    let output = world::run("timeout", &all);
    assert!(!matches!(output.status.code(), Some(0 | 124)), "it started: {}", world::text(&output));
    let told = world::text(&output);
    assert!(!told.contains("panicked") && !told.contains("RUST_BACKTRACE"), "a sentence, not a crash: {told}");
    output
}

#[test]
fn a_second_server_on_the_same_data_is_refused_with_the_process_id_of_the_first() {
    let place = Place::new();
    let first = Server::start(&place.data, &["--no-agent"]);
    let told = world::text(&refused(&place.data.display().to_string(), &[]));
    assert!(told.contains(&first.pid().to_string()), "no {} in: {told}", first.pid());
    first.stop();
    Server::start(&place.data, &["--no-agent"]).stop();
}

#[test]
fn a_server_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let place = Place::new();
    Server::start(&place.data, &["--no-agent"]).kill();
    assert!(place.data.join("mainstay.sock").exists(), "a kill leaves the socket behind");
    Server::start(&place.data, &["--no-agent"]).stop();
}

#[test]
fn what_keeps_a_server_from_starting_is_a_sentence_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let place = Place::new();
    let data = place.data.display().to_string();
    let below_a_file = place.beside("a-file");
    std::fs::write(&below_a_file, "x").expect("a file");
    let unwritable = below_a_file.join("data").display().to_string();
    let table: [(&str, &[&str], &[&str], &str); 6] = [
        (&data, &["--listen", &taken], &[&taken, "--listen"], "the port is taken"),
        (&unwritable, &[], &[&unwritable, "--data"], "the data directory cannot be made"),
        (&data, &["--listen", "0.0.0.0:0"], &["--tls-certificate", "--insecure-http"], "plain HTTP for everybody"),
        (&data, &["--listen", "nowhere"], &["--listen", "nowhere"], "an address that is none"),
        (&data, &["--lisen", "127.0.0.1:0"], &["--lisen", "--listen"], "a misspelt flag"),
        (&data, &["--tls-certificate", "cert.pem"], &["--tls-key"], "a certificate without its key"),
    ];
    for (data, words, needed, why) in table {
        let told = world::text(&refused(data, words));
        for word in needed {
            assert!(told.contains(word), "{why}: no \"{word}\" in: {told}");
        }
    }
}

#[test]
fn a_database_that_is_not_one_is_refused_with_the_way_back() {
    let place = Place::new();
    Server::start(&place.data, &["--no-agent"]).stop();
    std::fs::write(place.data.join("records.db"), vec![0x55; 65_536]).expect("a file of ours");
    for log in ["records.db-wal", "records.db-shm"] {
        // From a log that is whole, the database would be whole again.
        drop(std::fs::remove_file(place.data.join(log)));
    }
    let data = place.data.display().to_string();
    let told = world::text(&refused(&data, &[]));
    assert!(told.contains(&data) && told.contains("database"), "it says which: {told}");
    assert!(told.contains("restore"), "it says the way back: {told}");
}

#[test]
fn the_command_line_says_what_it_did_not_understand_and_exits_with_the_contracts_codes() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]);
    let table: [(&[&str], i32, &str, &str); 7] = [
        (&["get", "incidnet"], 3, "incident", "an unknown class, with the near name"),
        (&["get", "incident", "INC-999"], 3, "INC-999", "a record that is not there"),
        (
            &["get", "incident", "--filter", "prioritty:1"],
            2,
            "priority",
            "an unknown name in a filter, with the near one",
        ),
        (&["create", "incident", "titel=x"], 2, "title", "an unknown field, with the near name"),
        (&["do", "acknowlege", "incident", "INC-1"], 3, "INC-1", "a step on what is not there"),
        (&["frobnicate"], 2, "frobnicate", "an unknown command"),
        (&["get", "incident"], 0, "", "a question that is answered"),
    ];
    for (words, code, needed, why) in table {
        let output = server.cli(words);
        let told = world::text(&output);
        assert_eq!(output.status.code(), Some(code), "{why}: {told}");
        assert!(told.contains(needed), "{why}: no \"{needed}\" in: {told}");
    }
    server.stop();
}
