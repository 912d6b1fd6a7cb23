//! What a bulk walk of a table of 5,000 rows costs, beside net-snmp's snmpbulkwalk, from the same agent with the same
//! number of objects at once, in turns. The agent is a process of its own, so that its work is nobody's here.

#![expect(clippy::disallowed_methods, reason = "starts the agent and the program that it is measured beside")]

#[path = "../examples/snmp_conformance/agent.rs"]
mod agent;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use probe::snmp::{Limits, Oid, Security, Session, walk};
use probe::{Env, Secret};

const ROWS: usize = 5000;
const ROUNDS: usize = 40;
const COLUMN: &str = "1.3.6.1.2.1.2.2.1.2";

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == "agent") {
        return serve();
    }
    let mut server = Command::new(std::env::current_exe()?).arg("agent").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("the agent's output is ours")?).read_line(&mut line)?;
    let peer: SocketAddr = line.trim().parse()?;
    let measured = measure(peer);
    server.kill()?;
    server.wait()?;
    let (ours, theirs) = measured?;
    let ratio = ours / theirs;
    println!("a walk of {ROWS} rows: {:.2} ms CPU, snmpbulkwalk {:.2} ms", ours * 1e3, theirs * 1e3);
    let verdict = if ratio <= 0.2 { "kept" } else { "missed" };
    println!(
        "figure: CPU of an SNMP bulk walk of {ROWS} rows beside snmpbulkwalk | {ratio:.2} x | ≤ 0.2 x | {verdict}"
    );
    Ok(())
}

fn serve() -> Result<(), Box<dyn Error>> {
    let rows: String = (1..=ROWS).map(|row| format!("{COLUMN}.{row}|4|GigabitEthernet1/0/{row}\n")).collect();
    let agent = agent::Agent::parse(rows.as_bytes());
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", socket.local_addr()?);
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        if let Some(reply) = agent.reply(&buffer[..length]) {
            socket.send_to(&reply, from)?;
        }
    }
}

/// CPU seconds of one walk: ours, and snmpbulkwalk's.
fn measure(peer: SocketAddr) -> Result<(f64, f64), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let env = Env::real();
    let root: Oid = COLUMN.parse()?;
    let (mut ours, mut theirs) = (0, 0);
    for _ in 0..ROUNDS {
        let before = ticks()?;
        runtime.block_on(async {
            let security = Security::V2c(Secret::new("public"));
            let mut session = Session::new(&env, peer, security, Duration::from_secs(5), 2);
            let found = walk(&mut session, std::slice::from_ref(&root), Limits::default(), env.clock.as_ref()).await?;
            assert_eq!(found.objects.len(), ROWS);
            Ok::<_, probe::snmp::SnmpError>(())
        })?;
        let between = ticks()?;
        let arguments = ["-v2c", "-c", "public", "-m", "", "-On", "-Cr60", &peer.to_string(), COLUMN];
        let ended = Command::new("/usr/bin/snmpbulkwalk").args(arguments).stdout(Stdio::null()).status()?;
        assert!(ended.success(), "snmpbulkwalk walked");
        let after = ticks()?;
        ours += between.0 - before.0;
        theirs += after.1 - between.1;
    }
    let per_walk = |ticks: u64| ticks as f64 / 100.0 / ROUNDS as f64;
    Ok((per_walk(ours), per_walk(theirs)))
}

/// Hundredths of a CPU second that this process, and its children that ended, have used.
fn ticks() -> Result<(u64, u64), Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Ok((field(11) + field(12), field(13) + field(14)))
}
