//! Every parser takes any bytes: the kept corpus is replayed, and then changed at random. CI changes some thousand inputs,
//! `make fuzz` a million of each parser (`MAINSTAY_FUZZ_INPUTS`). Coverage-guided fuzzing of the same list is in `fuzz/`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use crate::world::{Dice, Watch, setting};

#[path = "../../../../fuzz/parsers.rs"]
mod parsers;

/// What one input may take; more is a hang.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the process may have taken in memory after all inputs.
const ROOM_MIB: u64 = 256;
/// Longest input that is made.
const LONGEST: usize = 1 << 16;

macro_rules! each_parser {
    ($($name:ident)*) => {
        $(#[test] fn $name() { takes_any_bytes(stringify!($name)); })*

        #[test]
        fn every_parser_of_the_list_is_tested_has_a_target_and_a_corpus() {
            let tested = [$(stringify!($name)),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
            for (name, _) in parsers::ALL {
                assert!(tested.contains(name), "{name} is not tested here");
                assert!(folder.join(format!("targets/{name}.rs")).exists(), "{name} has no target");
                assert!(!corpus(name).is_empty(), "{name} has no corpus");
            }
            assert_eq!(tested.len(), parsers::ALL.len());
        }
    };
}

each_parser! {
    filter span schedule user_class cursor calendar apply import_cell probe_target probe_dns probe_http probe_ntp probe_tls
    probe_host probe_systemd probe_caches probe_mail probe_udp probe_ssh probe_ssh_session probe_statsd probe_traceroute probe_sql probe_directory probe_brokers probe_agents
    probe_devices probe_snmp probe_snmp_trap probe_extract receive_logs receive_flows receive_reports
    edge_files edge_netlink edge_hands series_log series_lengths series_block series_remote_write series_exposition series_families series_otlp series_lines signals_requests promql signals_import probe_fingerprint probe_mdns probe_netbios probe_sweep relay_answer relay_queue rule_file rule_tests rule_text probe_starter
    scrape_config scrape_page probe_interfaces probe_machines receive_pushes
}

fn takes_any_bytes(name: &str) {
    let (_, parser) = parsers::ALL.iter().find(|(other, _)| *other == name).expect("it is in the list");
    let corpus = corpus(name);
    for input in &corpus {
        takes(name, *parser, input);
    }
    let inputs = setting("MAINSTAY_FUZZ_INPUTS").and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut dice = Dice::of_today(name);
    for _ in 0..inputs {
        takes(name, *parser, &changed(&corpus, &mut dice));
    }
    let peak = peak_mib();
    assert!(peak < ROOM_MIB, "{name} makes the process grow to {peak} MiB");
}

/// The most memory this process ever had, in MiB. nextest gives each parser a process of its own.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this runs on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") >> 10
}

fn takes(name: &str, parser: parsers::Parser, input: &[u8]) {
    let once = || {
        let watch = Watch::start();
        let done = catch_unwind(AssertUnwindSafe(|| parser(input)));
        // A panic has been told by now; this adds what it was given.
        assert!(done.is_ok(), "{name} panics on b\"{}\"", input.escape_ascii());
        watch.passed()
    };
    // A machine that stood still for a second does not do so twice, a parser does.
    let passed = once();
    let passed = if passed < PATIENCE { passed } else { once() };
    assert!(passed < PATIENCE, "{name} takes {passed:?} for b\"{}\"", input.escape_ascii());
}

/// Kept inputs: good ones to begin with, and whatever once broke a parser.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).collect()
}

/// One of the corpus with a few changes.
fn changed(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.pick(corpus).clone();
    for _ in 0..=dice.below(6) {
        let at = usize::try_from(dice.below(bytes.len() as u64 + 1)).expect("an index");
        let span = usize::try_from(1 + dice.below(16)).expect("a length").min(bytes.len() - at);
        match dice.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => bytes[at] = *dice.pick(&[0, 0x7F, 0x80, 0xFF, b'\n', b'-', b'9', b'"', b'{']),
            3 => bytes.insert(at, dice.next().to_le_bytes()[0]),
            4 => drop(bytes.drain(at..at + span)),
            5 => {
                let piece = bytes[at..at + span].repeat(1 + usize::try_from(dice.below(40)).expect("a number"));
                bytes.splice(at..at, piece);
            }
            6 => bytes.truncate(at),
            _ => {
                let other = dice.pick(corpus);
                let from = usize::try_from(dice.below(other.len() as u64 + 1)).expect("an index");
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}
