//! Runs the profiles against recorded SNMP devices and prints, for each table, the share that is right.
//!
//! `cargo run -p probe --example snmp_conformance -- FOLDER [TABLE [DEVICE]]`, where FOLDER holds `snmpsim/*.snmprec` and
//! `data/*.json` in LibreNMS' form. With a table, its wrong rows are printed. The recordings are under the GPL and not a
//! part of Mainstay.

mod agent;
mod score;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use probe::extract::Library;
use probe::snmp::{Inspection, Limits, Security, Session, inspect};
use probe::{Env, Secret};

use agent::Agent;
use score::{Expected, Score};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("say the folder that holds snmpsim and data")?;
    let (table, only) = (arguments.get(1), arguments.get(2));
    let mut names: Vec<String> = std::fs::read_dir(Path::new(folder).join("data"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    let mut score = Score::default();
    let mut devices = 0;
    for name in names.iter().filter(|name| only.is_none_or(|only| name.starts_with(only.as_str()))) {
        let Ok(recording) = std::fs::read(Path::new(folder).join("snmpsim").join(format!("{name}.snmprec"))) else {
            continue;
        };
        let expected =
            serde_json::from_slice(&std::fs::read(Path::new(folder).join("data").join(format!("{name}.json")))?)?;
        let got = look(Agent::parse(&recording)).await?;
        if table.is_some_and(|table| table == "found") {
            println!("{name}: {}", serde_json::to_string_pretty(&got.found)?);
        }
        devices += 1;
        score.add(&Expected(&expected), &got, &mut |missed, what| {
            if table.is_some_and(|table| table == missed) {
                println!("{name} {missed} {what}");
            }
        });
    }
    println!("{devices} devices");
    println!("{:<12} {:>7} {:>9} {:>7} {:>8}", "table", "right", "expected", "share", "found");
    for (table, count) in &score.0 {
        let share = 100.0 * count.right as f64 / count.expected.max(1) as f64;
        println!("{table:<12} {:>7} {:>9} {share:>6.1}% {:>8}", count.right, count.expected, count.found);
    }
    Ok(())
}

async fn look(agent: Agent) -> Result<Inspection, Box<dyn std::error::Error>> {
    let real = Env::real();
    let env = Env::new(Arc::new(agent), real.host.clone(), real.clock.clone());
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 161));
    let security = Security::V2c(Secret::new("public"));
    let mut session = Session::new(&env, peer, security, Duration::from_secs(5), 1);
    Ok(inspect(&mut session, Library::own(), &[], Limits::default(), env.clock.as_ref()).await?)
}
