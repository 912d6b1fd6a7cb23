//! Runs the profiles against recorded SNMP devices and prints, for each table, the share that is right.
//!
//! `cargo run -p probe --example snmp_conformance -- FOLDER [TABLE [DEVICE]] [--profiles FOLDER]`, where FOLDER holds
//! `snmpsim/*.snmprec` and `data/*.json` in LibreNMS' form. With a table its wrong rows are printed, and with `missing` the
//! parts of the tree whose sensors and states are missed most often, and with `causes` how many of the held out rows are wrong
//! for which kind of reason, by maker. With `--profiles`, the profiles of that folder are
//! tried instead of those that are built in. The recordings are under the GPL and not a part of Mainstay.
//!
//! **Held out.** One recording in five judges and teaches nothing ([`split`]): whoever writes profiles looks neither at its
//! answers nor at its recording, and this program never prints its rows. The two shares stand side by side; where the held
//! out one falls behind, the tables know devices and not MIBs. Which makers are held out is no secret, and their MIBs may be
//! read as any. (Tables from before 21 November 2026 were written when nothing was held out yet.)
//!
//! **What is compared, and what is not.** The judge speaks the recordings' language so that the profiles need not: it knows
//! which unit a class of theirs has and converts (run times in minutes or seconds, energy, small currents), takes a word
//! that an agent sent for the number that they put in its place, and compares sensors by the object they were read from
//! and what it held, never by what they are called. So names, labels and units in the profiles are chosen for the reader
//! of a graph: what a device calls a part when it calls it anything, the enumeration's words of the MIB for states. Only
//! where a name is what the device said (ports, storage, supplies, VLANs, neighbours, parts) is it compared as it is. Nothing in
//! a profile is there to please this comparison.

mod agent;
mod score;
mod split;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use probe::extract::{Library, Wanted};
use probe::snmp::{Inspection, Limits, Security, Session, inspect};
use probe::{Env, Secret};

use agent::Agent;
use score::{Count, Expected, Score, cause};
use split::is_held_out;

type Any = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Any> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = match arguments.iter().position(|argument| argument == "--profiles") {
        Some(at) => {
            let folder = arguments.get(at + 1).cloned().ok_or("say the folder of the profiles")?;
            arguments.drain(at..at + 2);
            Some(library(Path::new(&folder))?)
        }
        None => None,
    };
    let library = given.as_ref().unwrap_or_else(|| Library::own());
    let folder = arguments.first().ok_or("say the folder that holds snmpsim and data")?;
    let (table, only) = (arguments.get(1).map(String::as_str), arguments.get(2));
    let mut names: Vec<String> = std::fs::read_dir(Path::new(folder).join("data"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    let mut built_on = Score::default();
    let mut held_out = Score::default();
    let mut devices = [0, 0];
    let mut missing: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for name in names.iter().filter(|name| only.is_none_or(|only| name.starts_with(only.as_str()))) {
        let Ok(recording) = std::fs::read(Path::new(folder).join("snmpsim").join(format!("{name}.snmprec"))) else {
            continue;
        };
        let expected =
            serde_json::from_slice(&std::fs::read(Path::new(folder).join("data").join(format!("{name}.json")))?)?;
        let got = look(library, Agent::parse(&recording)).await?;
        if is_held_out(name) {
            devices[1] += 1;
            let identity = Expected(&expected).identity();
            held_out.add(&Expected(&expected), &got, &mut |missed, place, what| {
                if table == Some("causes") {
                    let of = if place.is_empty() { &identity } else { place };
                    let reason = format!("{} {}", maker(of), cause(missed, place, &what, &got));
                    *missing.entry((missed, reason)).or_default() += 1;
                }
            });
            continue;
        }
        devices[0] += 1;
        if table == Some("found") {
            println!("{name}: {}", serde_json::to_string_pretty(&got.found)?);
        }
        built_on.add(&Expected(&expected), &got, &mut |missed, place, what| {
            if table == Some(missed) {
                println!("{name} {missed} {what}");
            }
            if table == Some("missing") && ["sensors", "states"].contains(&missed) {
                *missing.entry((missed, format!("{} {name}", part_of_tree(place)))).or_default() += 1;
            }
        });
    }
    print_missing(missing);
    print_shares(devices, &built_on, &held_out);
    Ok(())
}

/// The profiles of a folder: its `os/*.yaml` tell what a device is.
fn library(folder: &Path) -> Result<Library, Any> {
    let read = |folder: &Path| -> Result<Vec<(String, String)>, Any> {
        let mut files: Vec<_> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        let texts = files.iter().map(|path| Ok((path.display().to_string(), std::fs::read_to_string(path)?)));
        texts.collect()
    };
    let systems = read(&folder.join("os"))?;
    let mut profiles = read(folder)?;
    profiles.extend(read(&folder.join("vendor"))?);
    Library::read(&borrowed(&systems), &borrowed(&profiles), &[]).map_err(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        told.join("\n").into()
    })
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect()
}

/// The enterprise that an object belongs to, or its place in the standard tree: as much as may be known of what is held out.
fn maker(oid: &str) -> String {
    let arcs = if oid.starts_with("1.3.6.1.4.1.") { 7 } else { 10 };
    oid.split('.').take(arcs).collect::<Vec<_>>().join(".")
}

/// The enterprise that an object belongs to with two numbers more, or its place in the standard tree.
fn part_of_tree(oid: &str) -> String {
    let arcs = if oid.starts_with("1.3.6.1.4.1.") { 9 } else { 10 };
    oid.split('.').take(arcs).collect::<Vec<_>>().join(".")
}

fn print_missing(missing: BTreeMap<(&str, String), usize>) {
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for ((table, place), count) in missing {
        println!("{count:>5} {table} {place}");
    }
}

fn print_shares(devices: [usize; 2], built_on: &Score, held_out: &Score) {
    println!("{:<12} {:>31}   {:>31}", "", format!("built on ({})", devices[0]), format!("held out ({})", devices[1]));
    let titles = format!("{:>7} {:>9} {:>7} {:>5}", "right", "expected", "found", "share");
    println!("{:<12} {titles}   {titles}", "table");
    let columns = |count: &Count| {
        let share = match count.expected {
            0 => "-".to_owned(),
            expected => format!("{:.1}", 100.0 * count.right as f64 / expected as f64),
        };
        format!("{:>7} {:>9} {:>7} {share:>5}", count.right, count.expected, count.found)
    };
    for (table, count) in &built_on.0 {
        let other = held_out.0.get(table).map_or_else(|| columns(&Count::default()), columns);
        println!("{table:<12} {}   {other}", columns(count));
    }
}

async fn look(library: &Library, agent: Agent) -> Result<Inspection, Any> {
    let real = Env::real();
    let env = Env::new(Arc::new(agent), real.host.clone(), real.clock.clone());
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 161));
    let security = Security::V2c(Secret::new("public"));
    let mut session = Session::new(&env, peer, security, Duration::from_secs(5), 1);
    Ok(inspect(&mut session, library, Wanted::Everything, Limits::default(), env.clock.as_ref()).await?)
}
