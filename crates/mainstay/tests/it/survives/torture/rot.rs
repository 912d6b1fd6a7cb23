//! Bytes that turn over on the disk: each is found by `mainstay verify`, or changed nothing that can be read. What is
//! damaged is never served as if it were whole, and the rest goes on being served.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use super::copy::{Original, files, original};
use super::times;
use crate::server::{self, Server};
use crate::world::{self, Dice};

/// What rot does to a file.
#[derive(Clone, Copy, Debug)]
enum Rot {
    /// One bit is another.
    Flip { at: usize, bit: u32 },
    /// A page of so many bytes reads as zeros.
    Zeros { at: usize, length: usize },
    /// The end is gone.
    Truncate { to: usize },
}

impl Rot {
    fn cast(dice: &mut Dice, size: usize) -> Self {
        let at = usize::try_from(dice.below(size as u64)).expect("an offset");
        match dice.below(10) {
            0..=6 => Self::Flip { at, bit: u32::try_from(dice.below(8)).expect("a bit") },
            7 | 8 => {
                let length = *dice.pick(&[512, 4096]);
                Self::Zeros { at: at / length * length, length }
            }
            _ => Self::Truncate { to: at },
        }
    }

    /// Does it; `false` when the bytes were so already.
    fn strike(self, path: &Path) -> bool {
        let before = fs::read(path).expect("a file of ours");
        let mut after = before.clone();
        match self {
            Self::Flip { at, bit } => after[at] ^= 1 << bit,
            Self::Zeros { at, length } => {
                let end = (at + length).min(after.len());
                after[at..end].fill(0);
            }
            Self::Truncate { to } => after.truncate(to),
        }
        fs::write(path, &after).expect("a file of ours");
        after != before
    }
}

/// Everything that can be read of the records, as text.
fn dump(data: &Path) -> Output {
    server::cli(data, &["dump"])
}

/// Files that hold what was acknowledged.
fn kept(original: &Original) -> (PathBuf, Vec<PathBuf>) {
    let series = files(&original.data().join("series"), &|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
    (original.data().join("records.db"), series)
}

#[test]
fn rot_is_found_or_has_changed_nothing() {
    let _alone = world::alone();
    let original = original();
    let verified = server::cli(original.data(), &["verify"]);
    assert!(verified.status.success(), "before any rot: {}", world::text(&verified));
    let whole = dump(original.data());
    assert!(whole.status.success() && whole.stdout.len() > 10_000, "{}", world::text(&whole));
    let (records, series) = kept(&original);
    assert!(!series.is_empty(), "there are samples on disk");

    let mut dice = Dice::of_today("rot");
    let (mut found, mut harmless, mut silent) = (0, 0, Vec::new());
    for _ in 0..times("MAINSTAY_ROT", 200, 2000) {
        let target = if dice.below(5) == 0 { dice.pick(&series) } else { &records };
        let size = usize::try_from(fs::metadata(target).expect("it is there").len()).expect("a size");
        let rot = Rot::cast(&mut dice, size);
        let copy = original.copy();
        let name = target.strip_prefix(original.data()).expect("it is within");
        if !rot.strike(&copy.data.join(name)) {
            harmless += 1;
            continue;
        }
        let verified = server::cli(&copy.data, &["verify"]);
        let told = world::text(&verified);
        assert!(
            verified.status.code().is_some_and(|code| code < 100),
            "{rot:?} in {}: verify broke: {told}",
            name.display()
        );
        if !verified.status.success() {
            found += 1;
            assert!(told.trim().len() > "damaged".len(), "{rot:?} in {}: it does not say what: {told}", name.display());
            continue;
        }
        let after = dump(&copy.data);
        if *target == records && after.status.success() && after.stdout == whole.stdout {
            harmless += 1;
        } else {
            silent.push(format!("{rot:?} in {} of {size} bytes", name.display()));
        }
    }
    println!("rot: {found} found, {harmless} changed nothing, {} unseen", silent.len());
    assert!(found > harmless / 10, "rot that hits nothing proves nothing");
    assert!(silent.is_empty(), "changed and not found: {silent:#?}");
}

#[test]
fn what_is_damaged_is_not_served_and_the_rest_is() {
    let original = original();
    let copy = original.copy();
    let path = copy.data.join("records.db");
    let mut bytes = fs::read(&path).expect("a file of ours");
    let mark = b"unmistakable-0007-description";
    let places: Vec<usize> = (0..bytes.len() - mark.len()).filter(|at| bytes[*at..].starts_with(mark)).collect();
    assert!(places.len() >= 2, "it stands in the record and in the journal");
    for at in places {
        bytes[at] = b'U';
    }
    fs::write(&path, &bytes).expect("a file of ours");

    let verified = server::cli(&copy.data, &["verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", world::text(&verified));
    assert!(world::text(&verified).contains("app-7"), "it names the record: {}", world::text(&verified));

    let server = Server::start(&copy.data, &["--no-agent"]).with_admin();
    let page = server.http.get("/api/v1/records/application?limit=500");
    let keys: Vec<&str> = page["records"].as_array().into_iter().flatten().filter_map(|r| r["key"].as_str()).collect();
    assert_eq!(keys.len(), 29, "all the others: {keys:?}");
    assert!(!keys.contains(&"app-7"), "{keys:?}");
    assert_eq!(page["damaged"], json!(["app-7"]), "the list says what is missing");
    let one = server.http.ask("GET", "/api/v1/records/application/app-7", &Value::Null).expect("an answer");
    assert!(one.status >= 500, "{} {}", one.status, one.text());
    assert!(one.text().contains("restore"), "it says what to do: {}", one.text());
    assert!(!one.text().contains("Unmistakable"), "and nothing of it is served: {}", one.text());
    server.http.must(
        "PATCH",
        "/api/v1/records/application/app-8",
        &json!({"fields": {"description": "still written"}}),
    );
}
