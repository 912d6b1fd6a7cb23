//! Who may call what: every operation of the API by everybody who is not an administrator, as a table that is kept
//! beside this file. The operations come from the running server, so a new one is in the table or fails the test.
//! `UPDATE_EXPECT=1` writes the table anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Http, escaped};
use crate::server::{Place, Server};
use crate::world;

/// Operations that somebody has to be able to call before anybody is known.
const OPEN: [&str; 5] = ["healthz", "readyz", "metrics", "get_bootstrap", "influx_ping"];
/// Those that prove who somebody is. They look at what is given and not at who gives it, and slow down whoever tries: they
/// are the only ones that are not in the table.
const PROOFS: [&str; 2] = ["bootstrap", "sign_in"];
/// What anybody who is signed in may do with their own credentials, and questions that are put by POST.
const OWN: [&str; 8] = [
    "sign_out",
    "change_password",
    "begin_totp",
    "confirm_totp",
    "remove_totp",
    "create_token",
    "revoke_token",
    "apply",
];
/// Ways in of measurements: for ingest keys, agents and whoever runs things, and for nobody who only reads.
const INTAKES: [&str; 5] = ["remote_write", "otlp_metrics", "push_text", "influx_write", "influx_write_2"];
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// An operation as the document describes it.
struct Operation {
    id: String,
    method: String,
    path: String,
    needs_session: bool,
    media: Option<String>,
    body: Value,
    streams: bool,
}

/// What the requests name: things that are there, so that a refusal is about the caller and not about the target.
struct Things {
    incident: String,
    /// Sequence of the incident's last change.
    change: u64,
    interval: String,
    token: String,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("the document has paths") {
        for (method, said) in methods.as_object().expect("a path has methods") {
            let content = said["requestBody"]["content"].as_object().and_then(|content| content.iter().next());
            all.push(Operation {
                id: said["operationId"].as_str().expect("an operation has an id").to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                needs_session: !said["security"].is_null(),
                media: content.map(|(media, _)| media.clone()),
                body: content.map_or(Value::Null, |(_, said)| said["schema"].clone()),
                streams: !said["responses"]["200"]["content"]["text/event-stream"].is_null(),
            });
        }
    }
    all
}

/// The least that a schema asks for.
fn least(schema: &Value) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return values[0].clone();
    }
    if let Some(first) = schema["anyOf"].as_array().and_then(|all| all.first()) {
        return least(first);
    }
    let word = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("object");
    match word {
        "string" => json!("x"),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(false),
        "array" => json!([]),
        _ => {
            let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(|name| (name.to_owned(), least(&schema["properties"][name]))).collect()
        }
    }
}

/// The body that fits an operation when the least that its schema asks for does not.
fn body(operation: &Operation, things: &Things) -> Value {
    let incident = json!({"class": "incident", "key": things.incident});
    match operation.id.as_str() {
        "create_record" => json!({"fields": {"title": "somebody tried"}}),
        "update_record" => json!({"fields": {"category": "tried"}}),
        "create_link" | "delete_link" => {
            json!({"from": incident, "type": "relates-to", "to": {"class": "incident", "key": "INC-2"}})
        }
        "correct_interval" => {
            json!({"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z", "state": "up", "reason": "tried"})
        }
        "undo_record" => json!({"seq": things.change}),
        "bulk" => {
            json!({"acts": [{"op": "create", "class": "incident", "fields": {"title": "somebody tried"}}], "atomic": true})
        }
        "apply" => {
            json!({"files": [{"path": "a.yaml", "text": "kind: site\nmetadata: { name: tried }\nspec: { name: Tried }\n"}]})
        }
        "delete_series" => json!({"match": ["nothing_of_this_name"], "reason": "tried"}),
        "explain" | "host_explain" => json!({"person": "nobody", "operation": "read", "class": "incident"}),
        _ => least(&operation.body),
    }
}

/// The path with its names filled in, and the query that the operation needs.
fn path(operation: &Operation, things: &Things) -> String {
    let id = if operation.path.contains("/intervals/") { &things.interval } else { &things.token };
    let key = if operation.path.contains("/channels/") { "hook" } else { things.incident.as_str() };
    let mut path = operation.path.clone();
    for (name, value) in [("class", "incident"), ("key", key), ("name", "acknowledge"), ("id", id.as_str())] {
        path = path.replace(&format!("{{{name}}}"), &escaped(value));
    }
    assert!(!path.contains('{'), "{}: say in access_matrix.rs what stands for the names in {path}", operation.id);
    let query = match operation.id.as_str() {
        "import" => "?class=site",
        "import_series" => "?format=csv",
        "search" => "?q=shop",
        "list_series" | "range_series" => "?check=itself",
        "export_series" => "?match[]=up",
        id if id.starts_with("admin_delete_series") => "?match[]=nothing_of_this_name",
        id if id.starts_with("prometheus_") => "?query=up&match[]=up&start=0&end=1&step=1",
        _ => "",
    };
    path + query
}

/// What only the home tenant may read.
const SECRET: &str = "the shop is closed";
/// Incidents of the home tenant before the one that is asked for: no other tenant of this test gets that far.
const EARLIER: usize = 20;

fn status(operation: &Operation, things: &Things, http: &Http) -> (u16, bool) {
    let path = path(operation, things);
    if operation.streams {
        return (http.status_of(&operation.method, &path).expect("an answer"), false);
    }
    let answer = match operation.media.as_deref() {
        Some("application/json") => http.ask(&operation.method, &path, &body(operation, things)),
        Some(media) => {
            let table: &[u8] = match operation.id.as_str() {
                "import_series" => b"metric,labels,time,value\n",
                id if id.starts_with("admin_delete_series") => b"reason=tried",
                _ => b"key,name\ntried,Tried\n",
            };
            http.send(&operation.method, &path, &[("Content-Type", media)], table)
        }
        None => http.ask(&operation.method, &path, &Value::Null),
    };
    let answer = answer.unwrap_or_else(|error| panic!("{} {path}: {error}", operation.method));
    (answer.status, String::from_utf8_lossy(&answer.body).contains(SECRET))
}

/// What the requests are about.
fn things(server: &Server, http: &Http) -> Things {
    let acts = vec![json!({"op": "create", "class": "incident", "fields": {"title": "an earlier one"}}); EARLIER];
    http.must("POST", "/api/v1/bulk", &json!({"acts": acts, "atomic": true}));
    let made = http.must("POST", "/api/v1/records/incident", &json!({"fields": {"title": SECRET}}));
    let incident = made["key"].as_str().expect("a key").to_owned();
    http.must("PATCH", &format!("/api/v1/records/incident/{incident}"), &json!({"fields": {"category": "power"}}));
    let history = http.get(&format!("/api/v1/records/incident/{incident}/journal?limit=1"));
    http.must("POST", "/api/v1/records/incident", &json!({"fields": {"title": "the shop is cold"}}));
    let hook = json!({"type": "webhook", "settings": {"url": "http://127.0.0.1:9/"}, "enabled": false});
    http.must("POST", "/api/v1/records/channel", &json!({"key": "hook", "fields": hook}));
    http.must("POST", "/api/v1/records/application", &json!({"key": "shop", "fields": {"name": "Shop"}}));
    let spec = json!({"protocol": "tcp", "target": http.address.to_string(), "interval": "1s", "on": "shop"});
    http.must("POST", "/api/v1/records/check", &json!({"key": "itself", "fields": spec}));
    let interval = world::until(Duration::from_secs(30), "the shop has an interval", || {
        let intervals = http.get("/api/v1/records/application/shop/intervals");
        intervals["intervals"][0]["id"].as_str().map(str::to_owned).ok_or_else(|| intervals.to_string())
    });
    let change = history["entries"][0]["seq"].as_u64().expect("a sequence");
    Things { incident, change, interval, token: token(server, &["--role", "read-only"]).1 }
}

/// A token made on the host itself: the token and its id.
fn token(server: &Server, words: &[&str]) -> (String, String) {
    let made = server.cli_json(&[&["admin", "token", "create", "-o", "json"], words].concat());
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("no {name} in {made}")).to_owned();
    (text("token"), text("id"))
}

#[test]
fn every_operation_is_refused_to_everybody_who_has_no_business_with_it() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let ephemeral = token(&server, &["--role", "admin", "--days", "1"]).0;
    let admin = server.http.clone();
    server.stop();
    // Two days later, as the program sees it.
    let later = std::path::Path::new(LIBRARY).exists();
    let environment: &[(&str, &str)] =
        &[("LD_PRELOAD", LIBRARY), ("FAKETIME", "+2d"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let environment = if later { environment } else { &[] };
    let server = Server::start_with(&place.data, admin.address.port(), &["--no-agent"], environment);
    let revoked = token(&server, &["--role", "admin"]);
    admin.must("DELETE", &format!("/api/v1/tokens/{}", revoked.1), &Value::Null);
    let mut callers = vec![("anonymous", admin.anonymous()), ("revoked", admin.with(&revoked.0))];
    if later {
        callers.push(("expired", admin.with(&ephemeral)));
    } else {
        world::not_run("an expired token is refused everywhere", "libfaketime is not installed");
    }
    let unknown = callers.len();
    admin.must("POST", "/api/v1/records/tenant", &json!({"key": "acme", "fields": {"name": "Acme"}}));
    let made = |words: &[&str]| admin.with(&token(&server, words).0);
    callers.extend([
        ("read-only", made(&["--role", "read-only"])),
        ("ingest", made(&["--use-for", "ingest"])),
        ("agent", made(&["--use-for", "agent"])),
        ("stranger", made(&["--tenant", "acme", "--role", "admin"])),
    ]);

    let document = admin.anonymous().get("/api/v1/openapi.json");
    let mut operations = operations(&document);
    operations.retain(|operation| !PROOFS.contains(&operation.id.as_str()) || operation.needs_session);
    assert!(operations.len() >= 40, "{} operations", operations.len());
    let things = things(&server, &admin);
    let mut rows: BTreeMap<(String, String), BTreeMap<&str, u16>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for operation in &operations {
        let mut cells = BTreeMap::new();
        for (name, http) in &callers {
            let (status, told) = status(operation, &things, http);
            if told && !matches!(*name, "read-only" | "agent") {
                wrong.push(format!("{} {} tells {name} what it must not", operation.method, operation.path));
            }
            cells.insert(*name, status);
        }
        rows.insert((operation.path.clone(), operation.method.clone()), cells);
    }
    for operation in &operations {
        let cells = &rows[&(operation.path.clone(), operation.method.clone())];
        for (at, (name, _)) in callers.iter().enumerate() {
            let status = cells[name];
            let refused = matches!(status, 401 | 403 | 404);
            let right = match operation.id.as_str() {
                id if OPEN.contains(&id) => !operation.needs_session,
                _ if at < unknown => operation.needs_session && status == 401,
                id if OWN.contains(&id) => status < 500,
                id if INTAKES.contains(&id) && matches!(*name, "ingest" | "agent") => status == 204 || status == 400,
                // Questions that may be put by POST since their text is long.
                id if id.starts_with("prometheus_") && *name == "read-only" => status == 200,
                id if id.starts_with("prometheus_") && matches!(*name, "ingest" | "agent") => status == 403,
                // The administrator of another tenant may do everything there, and finds nothing of this one.
                id if *name == "stranger" && INTAKES.contains(&id) => status == 204 || status == 400,
                _ if *name == "stranger" => refused || status < 300 && !names_a_thing(operation),
                _ if *name == "read-only" && operation.method == "GET" => status < 500,
                _ => refused || operation.method == "GET" && *name == "agent",
            };
            if !right {
                wrong.push(format!("{} {} ({}) by {name}: {status}", operation.method, operation.path, operation.id));
            }
        }
    }
    let shown = table(&rows, later);
    if later {
        expect_test::expect_file!["matrix.txt"].assert_eq(&shown);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    drop(server);
}

/// Whether the operation is about one thing of the home tenant, so that nobody else may even learn that it is there.
fn names_a_thing(operation: &Operation) -> bool {
    operation.path.contains("{key}")
        || operation.path.contains("{id}")
        || matches!(operation.id.as_str(), "create_link" | "delete_link")
}

fn table(rows: &BTreeMap<(String, String), BTreeMap<&str, u16>>, later: bool) -> String {
    let mut names = vec!["anonymous", "revoked", "read-only", "ingest", "agent", "stranger"];
    if later {
        names.insert(1, "expired");
    }
    let mut text =
        String::from("# Status that each caller gets. Written by access_matrix.rs; UPDATE_EXPECT=1 renews it.\n");
    let head: Vec<String> = names.iter().map(|name| format!("{name:>9}")).collect();
    writeln!(text, "{}  operation", head.join(" ")).expect("text grows");
    for ((path, method), cells) in rows {
        let cells: Vec<String> = names.iter().map(|name| format!("{:>9}", cells[name])).collect();
        writeln!(text, "{}  {method} {path}", cells.join(" ")).expect("text grows");
    }
    text
}
