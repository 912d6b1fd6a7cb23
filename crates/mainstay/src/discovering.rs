//! `mainstay discover`: who is there and what serves there, from the command line, without a server. Asks and prints; keeps nothing.

use anyhow::{Context, bail};
use clap::Args;
use cli::output;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use probe::sweep::{Addresses, Discovery, Host, Plan, USUAL_PORTS, discover, outline, parse_addresses};

use crate::probing::Form;

/// What is looked at, and how.
#[derive(Debug, Args)]
pub struct Discover {
    /// Networks and addresses: 192.0.2.0/24, 192.0.2.10-20, 2001:db8::/120.
    #[arg(required_unless_present = "from")]
    addresses: Vec<String>,
    /// A file with more of them, one or many a line; # begins a comment.
    #[arg(long)]
    from: Option<PathBuf>,
    /// Networks and addresses that are not asked.
    #[arg(long, value_name = "ADDRESSES")]
    exclude: Vec<String>,
    /// TCP ports that are tried: 22,80,443,8000-8010; the usual ones when left out, none with "none".
    #[arg(long)]
    ports: Option<String>,
    /// Packets a second at most; 0 is as fast as it goes, which is rude to any network but loopback.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long to wait for one answer.
    #[arg(long, default_value = "1s")]
    timeout: String,
    /// Send no echoes; try the ports of every address.
    #[arg(long)]
    no_ping: bool,
    /// Only say which ports are open: do not look at what serves there, and ask nobody's name.
    #[arg(long)]
    no_look: bool,
    /// A file with the community of SNMP version 2c, "-" for the standard input. Or set MAINSTAY_SNMP_COMMUNITY.
    #[arg(long, value_name = "FILE")]
    snmp_community: Option<PathBuf>,
    /// The community itself, from the environment: on a command line, every user of the machine could read it.
    #[arg(long, env = "MAINSTAY_SNMP_COMMUNITY", hide = true, hide_env_values = true)]
    snmp_community_text: Option<String>,
    /// Say what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Form of the output.
    #[arg(long, short, value_enum, default_value_t)]
    output: Form,
}

/// Looks, and prints what was found. The exit code is 0 when anybody answered, 3 when nobody did.
///
/// # Errors
/// An address, port or file that cannot be used; this machine may not send echoes.
pub async fn run(asked: Discover) -> anyhow::Result<u8> {
    let plan = plan(&asked)?;
    if asked.dry_run {
        let lines = outline(&plan);
        if asked.output == Form::Json {
            output::json(&serde_json::json!({ "would": lines }))?;
        } else {
            lines.iter().try_for_each(|line| output::say(&format!("would send {line}")))?;
        }
        return Ok(0);
    }
    let mut shown = Shown::new();
    let env = probe::Env::real();
    let mut tell = |what: &str, done: u64, total: u64| shown.tell(what, done, total);
    let found = tokio::select! {
        found = discover(&env, &plan, &mut tell) => found,
        _ = tokio::signal::ctrl_c() => bail!("stopped; nothing is kept of what was found until then"),
    };
    shown.end();
    let found = found?;
    if asked.output == Form::Json {
        output::json(&found)?;
    } else {
        output::line(&table(&found))?;
    }
    Ok(if found.hosts.is_empty() { 3 } else { 0 })
}

fn plan(asked: &Discover) -> anyhow::Result<Plan> {
    let mut text = asked.addresses.join("\n");
    if let Some(file) = &asked.from {
        text.push('\n');
        text.push_str(&read(file)?);
    }
    let wrong = |why: String| cli::Failure::usage(why);
    let all = parse_addresses(text.as_bytes()).map_err(wrong)?;
    let excluded = parse_addresses(asked.exclude.join("\n").as_bytes()).map_err(wrong)?;
    let addresses = all.without(&excluded);
    if addresses.is_empty() {
        bail!(cli::Failure::usage(format!("no address is left to ask: {} given, all excluded", all.len())));
    }
    let timeout = kernel::clock::parse_duration(&asked.timeout).map_err(cli::Failure::usage)?;
    if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&timeout) {
        bail!(cli::Failure::usage(format!("--timeout {} is not between 10ms and 60s", asked.timeout)));
    }
    if !asked.rate.is_finite() || asked.rate < 0.0 {
        bail!(cli::Failure::usage(format!("--rate {} is no number of packets a second", asked.rate)));
    }
    let ports = match asked.ports.as_deref() {
        None => USUAL_PORTS.to_vec(),
        Some("none") => Vec::new(),
        Some(words) => ports(words).map_err(cli::Failure::usage)?,
    };
    if asked.no_ping && ports.is_empty() {
        bail!(cli::Failure::usage("without echoes and without ports there is nothing to ask"));
    }
    let in_all = addresses.len().saturating_mul(ports.len() as u64);
    if asked.no_ping && in_all > 64 * Addresses::MOST {
        bail!(cli::Failure::usage(format!(
            "{in_all} connections are too many for one sweep; name fewer ports or sweep in parts"
        )));
    }
    Ok(Plan {
        addresses,
        ports,
        per_second: Some(asked.rate).filter(|rate| *rate > 0.0),
        patience: timeout,
        ping: !asked.no_ping,
        look: !asked.no_look,
        community: community(asked)?,
    })
}

fn community(asked: &Discover) -> anyhow::Result<Option<probe::Secret>> {
    let text = match (&asked.snmp_community, &asked.snmp_community_text) {
        (Some(file), _) => read(file)?,
        (None, Some(text)) => text.clone(),
        (None, None) => return Ok(None),
    };
    let text = text.trim();
    if text.is_empty() {
        bail!(cli::Failure::usage("the SNMP community is empty"));
    }
    Ok(Some(probe::Secret::new(text)))
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("the standard input cannot be read");
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// `22,80,8000-8010`, each once, in the order given.
fn ports(words: &str) -> Result<Vec<u16>, String> {
    let wrong = |word: &str| format!("{word:?} is no port; write for example 22,80,8000-8010");
    let mut all = Vec::new();
    for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last): (u16, u16) =
            (first.trim().parse().map_err(|_| wrong(word))?, last.trim().parse().map_err(|_| wrong(word))?);
        if first == 0 || last < first {
            return Err(wrong(word));
        }
        all.extend((first..=last).filter(|port| !all.contains(port)).collect::<Vec<_>>());
    }
    if all.is_empty() { Err(wrong(words)) } else { Ok(all) }
}

/// Progress, on a terminal and nowhere else.
struct Shown {
    is_terminal: bool,
    width: usize,
}

impl Shown {
    fn new() -> Shown {
        Shown { is_terminal: std::io::stderr().is_terminal(), width: 0 }
    }

    fn tell(&mut self, what: &str, done: u64, total: u64) {
        if self.is_terminal && (done == total || done.is_multiple_of(64)) {
            let line = format!("{what}: {done} of {total}");
            let _ = write!(std::io::stderr(), "\r{line:<width$}", width = self.width);
            self.width = line.len();
        }
    }

    fn end(&mut self) {
        if self.is_terminal && self.width > 0 {
            let _ = write!(std::io::stderr(), "\r{:width$}\r", "", width = self.width);
        }
    }
}

/// A line a host and a line a port below it.
fn table(found: &Discovery) -> String {
    let mut text = String::new();
    for host in &found.hosts {
        text.push_str(&line(host));
        for found in &host.ports {
            let service = &found.service;
            let version = service.facts.get("version").map(String::as_str).unwrap_or_default();
            let words = [service.product.as_str(), version, &service.application, &service.said];
            let mut words: Vec<String> =
                words.iter().filter(|word| !word.is_empty()).map(|word| (*word).to_owned()).collect();
            if !service.title.is_empty() && service.title != service.application {
                words.push(format!("{:?}", service.title));
            }
            let tls = match &service.certificate {
                Some(certificate) => {
                    format!(" (TLS until {})", certificate.not_after.chars().take(10).collect::<String>())
                }
                None => String::new(),
            };
            let line = format!("  {:<6} {:<12} {}{tls}", found.port, service.service, words.join(" "));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    for note in &found.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let (hosts, asked) = (found.hosts.len(), found.addresses);
    let ports: usize = found.hosts.iter().map(|host| host.ports.len()).sum();
    let open = if ports == 1 { "port" } else { "ports" };
    text.push_str(&format!(
        "{hosts} of {asked} addresses answered, {ports} open {open}, {:.1} s\n",
        found.took_seconds
    ));
    text
}

fn line(host: &Host) -> String {
    let trip = host.round_trip_ms.map(|ms| format!("{ms:.2} ms")).unwrap_or_default();
    let what = [&host.vendor, &host.model, &host.os, &host.class];
    let mut what: Vec<&str> = what.iter().map(|word| word.as_str()).filter(|word| !word.is_empty()).collect();
    what.extend(host.hardware.as_deref());
    let line = format!("{:<39} {trip:>10}  {:<24} {}", host.address.to_string(), host.name, what.join(", "));
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them() {
        assert_eq!(ports("443, 22,80-82,81"), Ok(vec![443, 22, 80, 81, 82]));
        for wrong in ["", "0", "65536", "http", "9-3", "-", "1-"] {
            assert!(ports(wrong).unwrap_err().contains("is no port"), "{wrong}");
        }
    }
}
