//! Configuration as code on the examples that we ship: what a plan tells is what an apply does, and a plan writes nothing.

use serde_json::{Value, json};
use std::path::Path;

use crate::server::{Place, Server};
use crate::world;

/// Two classes of our own that know each other, and a record of each.
const FLEET: &str = "
kind: van
metadata: { name: van-1 }
spec: { plate: AB 123 }
links: [ { type: sleeps-in, to: depot-1 } ]
---
kind: class
metadata: { name: van }
spec:
  fields: { plate: { type: text, required: true, pattern: '[A-Z0-9 ]{2,10}' } }
  links: { sleeps-in: { to: [depot] } }
---
kind: depot
metadata: { name: depot-1 }
---
kind: class
metadata: { name: depot }
spec: { links: { houses: { to: [van] } } }
";

fn asked(server: &Server, files: &[(&str, String)], dry_run: bool) -> Value {
    let files: Vec<Value> = files.iter().map(|(path, text)| json!({"path": path, "text": text})).collect();
    server.http.must("POST", "/api/v1/apply", &json!({"files": files, "dry_run": dry_run}))
}

/// What is to become of what: lines such as `create vehicle van-1`, sorted.
fn lines(answer: &Value) -> Vec<String> {
    assert_eq!(answer["errors"], json!([]), "nothing is wrong");
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let plan = answer["plan"].as_array().expect("a plan");
    let mut lines: Vec<String> =
        plan.iter().map(|l| format!("{} {} {}", word(l, "action"), word(l, "kind"), word(l, "name"))).collect();
    lines.sort();
    lines
}

/// Everything that was ever done: a plan adds nothing to it.
fn journal(server: &Server) -> Value {
    server.http.get("/api/v1/journal?limit=500")["entries"].clone()
}

#[test]
fn a_plan_knows_the_classes_that_stand_in_the_same_folder_and_writes_nothing() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
    let mut files: Vec<(&str, String)> = Vec::new();
    for name in ["channels.yaml", "checks.yaml", "class.yaml", "runbook.yaml", "service.yaml"] {
        files.push((name, std::fs::read_to_string(shop.join(name)).expect("an example")));
    }
    files.push(("a-van.yaml", "kind: vehicle\nmetadata: { name: van-7 }\nspec: { plate: AB 123, seats: 3 }\n".into()));
    files.push(("fleet.yaml", FLEET.into()));
    let before = journal(&server);
    let planned = asked(&server, &files, true);
    assert_eq!(planned["applied"], json!(false));
    for line in ["create class vehicle", "create vehicle van-7", "create van van-1", "create depot depot-1"] {
        assert!(lines(&planned).iter().any(|l| l == line), "{line} in {planned}");
    }
    assert_eq!(journal(&server), before, "a plan is not journaled, as it does nothing");
    let vehicle = server.http.ask("GET", "/api/v1/records/vehicle", &Value::Null).expect("an answer");
    assert_eq!(vehicle.status, 404, "the class is not there yet: {}", vehicle.text());

    let applied = asked(&server, &files, false);
    assert_eq!((lines(&applied), applied["applied"].clone()), (lines(&planned), json!(true)));
    assert_eq!(server.http.records("vehicle", "plate:\"AB 123\"").len(), 1);
    let again = asked(&server, &files, true);
    assert!(lines(&again).iter().all(|line| line.starts_with("unchanged ")), "{again}");
}

#[test]
fn a_definition_is_judged_before_anything_is_written_and_so_are_the_records_of_its_class() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let before = journal(&server);
    let site = ("site.yaml", "kind: site\nmetadata: { name: yard }\nspec: { name: Yard }\n".to_owned());
    let table = [
        (FLEET.replace("type: text", "type: number"), 10, "number", "a field's type that there is not"),
        (FLEET.replace("to: [depot]", "to: [garage]"), 11, "garage", "a link to a class that there is not"),
        (FLEET.replace("AB 123", "ab-123"), 4, "plate", "a value that the new class refuses"),
        (
            FLEET.replace("type: sleeps-in", "type: sleeps-on"),
            5,
            "sleeps-in",
            "a link that the new class does not have",
        ),
        (FLEET.replace("name: van }", "name: host }"), 9, "host", "the name of a built-in class"),
    ];
    for (text, line, named, why) in table {
        for dry_run in [true, false] {
            let answer = asked(&server, &[site.clone(), ("fleet.yaml", text.clone())], dry_run);
            let errors = answer["errors"].as_array().expect("errors");
            let told = |e: &Value| e["line"] == json!(line) && e.to_string().contains(named);
            assert!(errors.iter().any(told), "{why}: line {line}, {named}: {answer}");
            assert_eq!(answer["applied"], json!(false), "{why}");
        }
    }
    assert_eq!(journal(&server), before, "nothing was written, not even a class");
}

#[test]
fn the_command_line_plans_a_folder_with_a_new_class() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let folder = place.beside("fleet");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("fleet.yaml"), FLEET).expect("a file");
    let output = server.cli(&["apply", "-f", &folder.display().to_string(), "--dry-run"]);
    assert!(output.status.success(), "{}", world::text(&output));
    assert!(world::text(&output).contains("van-1"), "{}", world::text(&output));
}
