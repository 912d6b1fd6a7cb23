//! A small organisation in a data directory, made once by the real server and then stopped, and copies of it to damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::server::{Place, Server};
use crate::world::until;

/// A stopped data directory.
pub struct Original {
    place: Place,
    /// Sequence of the last journal entry.
    pub head: u64,
}

/// Something of each kind: records of several classes, links, notes, steps, samples.
pub fn original() -> Original {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let http = &server.http;
    for number in 0..30 {
        let fields = json!({"name": format!("application {number}"), "description": format!("unmistakable-{number:04}-description")});
        http.must("POST", "/api/v1/records/application", &json!({"key": format!("app-{number}"), "fields": fields}));
        if number > 0 {
            let to = format!("app-{}", number - 1);
            http.must(
                "POST",
                "/api/v1/links",
                &json!({"from": format!("app-{number}"), "type": "depends-on", "to": to}),
            );
        }
    }
    for number in 0..20 {
        let made =
            http.must("POST", "/api/v1/records/incident", &json!({"fields": {"title": format!("trouble {number}")}}));
        let path = format!("/api/v1/records/incident/{}", made["key"].as_str().expect("a key"));
        http.must("PATCH", &path, &json!({"fields": {"users_affected": number}}));
        http.must("POST", &format!("{path}/notes"), &json!({"text": format!("note on trouble {number}")}));
        http.must("POST", &format!("{path}/transitions/acknowledge"), &json!({}));
        http.must("POST", &format!("{path}/transitions/resolve"), &json!({"fields": {"resolution": "it went away"}}));
    }
    let spec = json!({"protocol": "tcp", "target": server.http.address.to_string(), "interval": "1s", "on": "app-0"});
    http.must("POST", "/api/v1/records/check", &json!({"key": "itself", "fields": spec}));
    until(Duration::from_secs(30), "there are samples", || {
        let health = http.get("/api/v1/records/application/app-0");
        if health["health"]["state"] == "up" { Ok(()) } else { Err(health["health"].to_string()) }
    });
    // Asked no more, so that nothing is written from here on.
    http.must("PATCH", "/api/v1/records/check/itself", &json!({"fields": {"enabled": false}}));
    until(Duration::from_secs(30), "the check rests", || {
        let check = http.get("/api/v1/records/check/itself");
        if check["state"] == "UNKNOWN" { Ok(()) } else { Err(check["state"].to_string()) }
    });
    let head = http.journal().last().and_then(|entry| entry["seq"].as_u64()).expect("there is a journal");
    server.stop();
    // All of it into the one file, so that a damaged copy has no second one to be read from.
    let database = Connection::open(place.data.join("records.db")).expect("it is a database");
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("nobody else has it open");
    database.close().expect("nothing is open in it");
    Original { place, head }
}

impl Original {
    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.place.data
    }

    /// A copy to damage.
    pub fn copy(&self) -> Place {
        let copy = Place::new();
        copy_folder(self.data(), &copy.data);
        copy
    }

    /// A file beside the data directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place.beside(name)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let created = fs::create_dir(to).and_then(|()| fs::set_permissions(to, fs::metadata(from)?.permissions()));
    created.unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    for entry in fs::read_dir(from).expect("a folder of ours") {
        let entry = entry.expect("a folder of ours");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        }
    }
}

/// All files below a folder whose name fits, in the order of their names.
pub fn files(folder: &Path, fits: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, fits));
        } else if fits(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}
