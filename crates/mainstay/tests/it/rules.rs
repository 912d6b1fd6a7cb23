//! Rules in the real program: from a check's own measurements to an alert, over a kill, and the commands for files of rules.

use std::time::Duration;

use serde_json::Value;

use crate::server::{Place, Server};
use crate::world::{self, until};

fn alerts(server: &Server) -> Vec<Value> {
    let all = server.cli_json(&["get", "alert", "-o", "json"]);
    all["records"].as_array().or(all.as_array()).cloned().unwrap_or_default()
}

fn done(server: &Server, words: &[&str]) -> String {
    let output = server.cli(words);
    assert!(output.status.success(), "{words:?}: {}", world::text(&output));
    world::text(&output)
}

#[test]
fn a_rule_that_waits_goes_on_waiting_after_kill_9() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]);
    done(&server, &["create", "check", "--key", "memory", "protocol=memory", "interval=1s"]);
    let words = ["create", "rule", "--key", "measured", "title=Measured", "interval=1s", "for_at_least=20s"];
    done(&server, &[&words[..], &["expression=count(check_state) > 0"]].concat());
    until(Duration::from_secs(60), "the rule sees something", || {
        let rule = server.cli_json(&["get", "rule", "measured", "-o", "json"]);
        let seen = rule["fields"]["evaluation"] == "ok";
        seen.then_some(()).ok_or_else(|| rule.to_string())
    });
    assert!(alerts(&server).is_empty(), "it waits");
    let before = i64::try_from(world::unix_seconds()).unwrap();
    server.kill();
    let server = Server::start(&place.data, &["--no-agent"]);
    let alert = until(Duration::from_secs(90), "the rule fires", || alerts(&server).pop().ok_or_else(|| server.log()));
    let started = alert["fields"]["started_at"].as_str().expect("a time").to_owned();
    let started = kernel::Time::parse(&started).expect("a time").as_micros() / 1_000_000;
    assert!(started <= before, "the wait began at {started}, before the kill at {before}");
    server.stop();
}

#[test]
fn rule_files_go_in_and_out_and_are_tested_and_replayed() {
    let place = Place::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../watch/tests/rules");
    let file = |name: &str| format!("{folder}/{name}");
    let server = Server::start(&place.data, &["--no-agent"]);
    assert!(done(&server, &["rules", "test", &file("basic_test.yml")]).contains("ok, 15 of 15 as expected"));
    let failed = server.cli(&["rules", "test", &file("wrong_annotation_test.yml")]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(world::text(&failed).contains("- {alertname="), "{}", world::text(&failed));

    let plan = done(&server, &["rules", "import", &file("mixin.yml"), "--dry-run"]);
    assert_eq!(plan.lines().filter(|line| line.starts_with("create")).count(), 20, "{plan}");
    done(&server, &["rules", "import", &file("mixin.yml")]);
    let again = done(&server, &["rules", "import", &file("mixin.yml"), "--dry-run"]);
    assert_eq!(again.lines().filter(|line| line.starts_with("create")).count(), 0, "{again}");
    let exported = done(&server, &["rules", "export"]);
    assert_eq!(exported.matches("expr:").count(), 20, "{exported}");
    let replayed = done(&server, &["rules", "replay", "node-nodedown", "--since", "1h"]);
    assert!(replayed.contains("evaluations, 0 alerts"), "{replayed}");

    let bad = place.beside("bad.yml");
    std::fs::write(&bad, "groups:\n- name: a\n  rules:\n  - alert: X\n    exprr: up\n").expect("a file");
    let refused = server.cli(&["rules", "import", &bad.to_string_lossy()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(world::text(&refused).contains("bad.yml:5: "), "{}", world::text(&refused));
    server.stop();
}
