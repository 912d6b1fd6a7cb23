//! The disk is full: writes are refused, reading and signing in go on, and when there is room again so do writes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::load::Load;
use super::may_mount;
use crate::http::Http;
use crate::server::{self, Place, Server};
use crate::world::{self, Dice, until};

const PROMISE: &str = "a full disk refuses writes and nothing else";
const SOON: Duration = Duration::from_secs(30);
/// What a server gives up on a full disk, in bytes.
const BALLAST: u64 = 4 << 20;
const PASSWORD: &str = "a long enough sentence for a full disk";

/// A file system in memory of 64 MB, mounted where the data directory is to be.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(place: &Place) -> Result<Self, String> {
        if !may_mount() {
            return Err("only root may mount a file system".into());
        }
        std::fs::create_dir_all(&place.data).map_err(|error| error.to_string())?;
        let words = ["-t", "tmpfs", "-o", "size=64m", "mainstay-test"].map(Path::new);
        let mounted = world::run("mount", &[&words[..], &[place.data.as_path()]].concat());
        if mounted.status.success() { Ok(Self(place.data.clone())) } else { Err(world::text(&mounted)) }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Writes until nothing more fits, not even a byte. What the server gives up when it finds that out stays its own: a write
    /// that came between would take it away.
    fn fill(&self) {
        let ballast = self.0.join("ballast");
        if !ballast.exists() {
            return;
        }
        let mut file = File::options().append(true).create(true).open(self.filler()).expect("a file");
        let mut size = 1 << 20;
        while size > 0 {
            match file.write(&vec![0x5A; size]) {
                Ok(0) | Err(_) => size /= 2,
                Ok(_) => {}
            }
        }
        if !ballast.exists() {
            let room = rustix::fs::statvfs(&self.0).expect("a file system");
            let taken = BALLAST.saturating_sub(room.f_bavail * room.f_bsize);
            let length = file.metadata().expect("a file").len();
            file.set_len(length.saturating_sub(taken)).expect("a shorter file");
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        world::run("umount", &[&self.0]);
    }
}

fn sign_in(http: &Http) -> u16 {
    let body = json!({"name": "ana", "password": PASSWORD}).to_string();
    http.anonymous().send("POST", "/api/v1/session", &[], body.as_bytes()).map_or(0, |answer| answer.status)
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else_and_recovers_without_a_restart() {
    let _alone = world::alone();
    let place = Place::new();
    let disk = match SmallDisk::new(&place) {
        Ok(disk) => disk,
        Err(why) => return world::not_run(PROMISE, &why),
    };
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let http = server.http.clone();
    first_person(&server);
    assert_eq!(sign_in(&http), 200, "ana can sign in");

    let mut load = Load::new(&mut Dice::of_today("full disk"), &[507]);
    let (never, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    load.run(&http, &never, &enough, || {
        until(SOON, "some load", || enough_load(&http));
        disk.fill();
        until(SOON, "writes are refused", || {
            let answer = http.ask("POST", "/api/v1/records/task", &json!({"fields": {"title": "too much"}}));
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.status == 507 {
                return Ok(());
            }
            disk.fill();
            Err(answer.text())
        });
        enough.store(true, Ordering::SeqCst);
    });
    let refused =
        http.ask("POST", "/api/v1/records/task", &json!({"fields": {"title": "too much"}})).expect("an answer");
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(refused.text().contains("full"), "it says what is wrong: {}", refused.text());
    let readiness = http.ask("GET", "/readyz", &Value::Null).expect("an answer");
    assert_eq!(readiness.status, 503, "{}", readiness.text());
    assert!(readiness.text().contains("full"), "readiness says what is wrong: {}", readiness.text());
    assert!(!http.records("incident", "").is_empty(), "reading goes on");
    assert!(!http.journal().is_empty(), "so does the journal");
    assert_eq!(sign_in(&http), 200, "signing in goes on");

    disk.make_room();
    until(SOON, "writes are taken again, without a restart", || {
        let answer = http.ask("POST", "/api/v1/records/task", &json!({"fields": {"title": "fits again"}}));
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    });
    load.settle(&http);
    let differences = load.differences(&http);
    assert!(differences.is_empty(), "{differences:#?}");
    server.stop();
    let verified = server::cli(&place.data, &["verify"]);
    assert!(verified.status.success(), "verify: {}", world::text(&verified));
}

/// Some acts of the load are in, so that there is something to lose.
fn enough_load(http: &Http) -> Result<(), String> {
    let count = http.records("incident", "").len();
    if count >= 20 { Ok(()) } else { Err(format!("{count} incidents")) }
}

/// Makes a person with a password by the one-time token.
fn first_person(server: &Server) {
    let reset = world::text(&server.cli(&["admin", "reset"]));
    let token = reset.split("token=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let token = token.unwrap_or_else(|| panic!("no token in {reset}"));
    let body = json!({"token": token, "name": "ana", "title": "Ana", "password": PASSWORD}).to_string();
    let made = server.http.anonymous().send("POST", "/api/v1/bootstrap", &[], body.as_bytes()).expect("an answer");
    assert_eq!(made.status, 200, "{}", made.text());
}
