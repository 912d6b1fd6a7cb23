//! Whoever reads the output of a command may have read enough, as `head` has: the command ends, and says nothing of it.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::Duration;

use serde_json::json;

use crate::server::{Place, Server, piped};
use crate::world::{self, until};

/// As a shell tells of a program that a closed pipe ended.
const CLOSED: i32 = 141;

/// Ends quietly, and soon.
fn ends(mut child: Child, words: &[&str], stir: impl Fn()) {
    until(Duration::from_secs(30), "the command ends", || {
        stir();
        child.try_wait().expect("a child of ours").map(|_| ()).ok_or_else(|| format!("mainstay {words:?} goes on"))
    });
    let output = child.wait_with_output().expect("a child of ours");
    let told = world::text(&output);
    assert_eq!((output.status.code(), told.as_str()), (Some(CLOSED), ""), "mainstay {words:?}");
}

#[test]
fn a_command_whose_output_nobody_reads_on_ends_without_a_word() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let trouble = json!({"fields": {"title": "something to tell of"}});
    let something = || server.http.must("POST", "/api/v1/records/incident", &trouble);
    something();
    let all: [&[&str]; 9] = [
        &["doctor"],
        &["completions", "bash"],
        &["check", "list"],
        &["check", "run", "tcp", "127.0.0.1:9", "-o", "json"],
        &["discover", "127.0.0.1/32", "--dry-run"],
        &["get", "person"],
        &["export", "incident"],
        &["journal"],
        &["anchor"],
    ];
    for words in all {
        let mut child = piped(&place.data, words);
        drop(child.stdout.take());
        ends(child, words, || ());
    }
    let words = ["journal", "--follow", "--limit", "1"];
    let mut child = piped(&place.data, &words);
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut first).expect("a line");
    assert!(first.starts_with('#'), "{first}");
    ends(child, &words, || drop(something()));
}

/// A server without its pipes. It does not outlive the test.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        world::kill_hard(&mut self.0);
    }
}

#[test]
fn a_server_whose_greeting_and_log_nobody_reads_serves() {
    let place = Place::new();
    let mut server = Unread(piped(&place.data, &["up", "--listen", "127.0.0.1:0", "--no-agent"]));
    drop((server.0.stdout.take(), server.0.stderr.take()));
    until(Duration::from_secs(30), "it serves", || {
        let asked = crate::server::cli(&place.data, &["get", "person"]);
        if asked.status.success() { Ok(()) } else { Err(world::text(&asked)) }
    });
    world::must("kill", &["-TERM", &server.0.id().to_string()]);
    let status = until(Duration::from_secs(20), "it ends when asked to", || {
        server.0.try_wait().expect("a child of ours").ok_or_else(|| "it still runs".to_owned())
    });
    assert!(status.success(), "in order: {status}");
}
