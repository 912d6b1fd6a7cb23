//! How checks are asked by the real program: by which process plugins are started, where checks may go, and what is said of both.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::server::{Place, Server, cli};
use crate::world::{self, until};

const SOON: Duration = Duration::from_secs(30);

/// The processes that start plugins for that server.
fn starters(server: u32) -> Vec<u32> {
    let children = fs::read_dir(format!("/proc/{server}/task")).into_iter().flatten().flatten();
    let children = children.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|all| all.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>()).collect();
    let is_one = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.ends_with(b"\0starter-of-plugins\0")
    };
    children.into_iter().filter(is_one).collect()
}

/// How many files a process may have open.
fn open_files(process: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("a process that runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit of files");
    line.split_whitespace().nth(3).expect("the soft limit").to_owned()
}

fn state(server: &Server, key: &str, wanted: &str) {
    until(SOON, &format!("{key} is {wanted}"), || {
        let record = server.http.get(&format!("/api/v1/records/check/{key}"));
        if record["state"] == wanted { Ok(()) } else { Err(record.to_string()) }
    });
}

#[test]
fn a_small_process_starts_plugins_is_started_anew_when_it_dies_and_ends_with_its_server() {
    let plugin = "/usr/lib/nagios/plugins/check_dummy";
    assert!(Path::new(plugin).exists(), "{plugin} is not there: apt-get install monitoring-plugins-basic");
    let place = Place::new();
    // Few files, as a shell gives them; whatever else these tests start meanwhile asks for more itself.
    let usual = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), ..usual }).expect("a limit that may be lower");
    let server = Server::start(&place.data, &["--no-agent"]);
    setrlimit(Resource::Nofile, usual).expect("the limit that was");
    let server = server.with_admin();
    let fields = json!({"protocol": "plugin", "target": "check_dummy", "interval": "1s", "retries": 0,
        "params": {"arguments": ["0", "all is well"]}});
    server.http.must("POST", "/api/v1/records/check", &json!({"key": "dummy", "fields": fields}));
    state(&server, "dummy", "OK");
    let first = starters(server.pid());
    assert_eq!(first.len(), 1, "one for all plugins");
    assert_eq!(open_files(first[0]), open_files(server.pid()), "it has as many files as its server asked for");
    world::must("kill", &["-KILL", &first[0].to_string()]);
    let second = until(SOON, "it is started anew", || {
        let now = starters(server.pid());
        if now.len() == 1 && now != first { Ok(now[0]) } else { Err(format!("{now:?}")) }
    });
    until(SOON, "the plugin is run again", || {
        let asked = server.http.get("/api/v1/asking");
        let record = server.http.get("/api/v1/records/check/dummy");
        let is_well = record["state"] == "OK" && record["fields"]["last_summary"].to_string().contains("all is well");
        if is_well && asked["starter_starts"] == 2 { Ok(()) } else { Err(format!("{asked} {record}")) }
    });
    let told = world::text(&cli(&place.data, &["doctor"]));
    assert!(told.contains("warn  the process that starts plugins"), "{told}");
    assert!(told.contains("ok    1 checks are asked"), "{told}");
    server.kill();
    until(SOON, "it has ended with its server", || {
        if Path::new(&format!("/proc/{second}")).exists() { Err("it is there".to_owned()) } else { Ok(()) }
    });
}

#[test]
fn checks_go_only_where_the_policy_of_their_site_lets_them_and_doctor_names_the_rule() {
    let place = Place::new();
    let file = place.beside("egress.yaml");
    fs::write(&file, "server: { deny: [127.0.0.9] }\nsites: { plant-2: { allow: [10.20.0.0/16] } }\n").expect("a file");
    let words = ["--no-agent", "--egress", file.to_str().expect("a path in UTF-8")];
    let server = Server::start(&place.data, &words).with_admin();
    let port = server.http.address.port();
    server.http.must("POST", "/api/v1/records/site", &json!({"key": "plant-2", "fields": {"name": "Plant 2"}}));
    for (key, address, from) in
        [("here", "127.0.0.1", None), ("denied", "127.0.0.9", None), ("far", "127.0.0.1", Some("plant-2"))]
    {
        let fields = json!({"protocol": "tcp", "target": format!("{address}:{port}"), "interval": "1s", "from": from});
        server.http.must("POST", "/api/v1/records/check", &json!({"key": key, "fields": fields}));
    }
    state(&server, "here", "OK");
    let told = until(SOON, "doctor names the rules", || {
        let told = world::text(&cli(&place.data, &["doctor"]));
        let all = [
            "FAULT check denied is kept from its target",
            "127.0.0.9/32 is denied (address policy of this server)",
            "FAULT check far is kept from its target",
            "none of the ranges allowed, 10.20.0.0/16 (address policy of site plant-2)",
        ];
        match all.into_iter().find(|part| !told.contains(part)) {
            None => Ok(told),
            Some(part) => Err(format!("{part} is not in {told}")),
        }
    });
    assert!(told.contains("checks from plant-2 may reach 10.20.0.0/16 but not"), "{told}");
    let metrics = server.http.ask("GET", "/metrics", &serde_json::Value::Null).expect("an answer").text();
    for name in ["mainstay_checks 3", "mainstay_check_lag_seconds_bucket", "mainstay_plugin_starter_starts_total 1"] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    server.stop();
    fs::write(&file, "sites: { plant-2: { alow: [10.20.0.0/16] } }\n").expect("a file");
    let mut all = vec!["server"];
    all.extend(words);
    let refused = cli(&place.data, &all);
    let why = world::text(&refused);
    assert!(!refused.status.success() && why.contains("egress.yaml") && why.contains("alow"), "{why}");
}
