//! SNMP against snmpsim, which plays recorded devices by another implementation than Debian's (pysnmp): also slow and broken ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe::extract::{Library, Wanted};
use probe::snmp::{Inspection, Limits, Oid, Privacy, Security, Value, inspect};
use probe::{Env, Outcome, Secret, State};
use serde_json::json;

use crate::check;
use crate::peers::{Peer, free_port, is_well, python, start, until_it_answers};
use crate::snmp::{AUTH, AUTH_PASSWORD, PRIVACY_PASSWORD, oid, session, user};

/// What snmpsim calls the ciphers.
const PRIVACY: [(Privacy, &str); 6] = [
    (Privacy::Des, "DES"),
    (Privacy::Aes128, "AES"),
    (Privacy::Aes192, "AES192BLMT"),
    (Privacy::Aes256, "AES256BLMT"),
    (Privacy::Aes192Cisco, "AES192"),
    (Privacy::Aes256Cisco, "AES256"),
];
const IF_TABLE: &str = "1.3.6.1.2.1.2.2.1";
const IF_X_TABLE: &str = "1.3.6.1.2.1.31.1.1.1";
const ENTITIES: &str = "1.3.6.1.2.1.47.1.1.1.1";
const TEMPERATURES: &str = "1.3.6.1.4.1.9.9.13.1.3.1";

/// A device in snmpsim's form: `OID|TYPE|VALUE`, or `OID|TYPE:MODULE|WHAT IT IS TO DO`, in order.
#[derive(Clone, Default)]
struct Recording(BTreeMap<Oid, String>);

impl Recording {
    fn set(&mut self, place: &str, kind: &str, value: &str) {
        self.0.insert(oid(place), format!("{kind}|{value}"));
    }

    fn with(mut self, place: &str, kind: &str, value: &str) -> Recording {
        self.set(place, kind, value);
        self
    }

    /// The same device, which waits so long before it tells anything of a port, row by row.
    fn with_slow_ports(mut self, milliseconds: u32) -> Recording {
        for (place, row) in &mut self.0 {
            if let Some((kind, value)) = row.split_once('|').filter(|_| place.is_below(&oid(IF_TABLE))) {
                let said = if kind == "4x" { format!("hexvalue={value}") } else { format!("value={value}") };
                *row = format!("{}:delay|{said},wait={milliseconds}", kind.trim_end_matches('x'));
            }
        }
        self
    }

    fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (place, row)| {
            writeln!(text, "{place}|{row}").unwrap();
            text
        })
    }
}

/// A switch of three ports that is well.
fn switch() -> Recording {
    let mut all = Recording::default();
    let software = "Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E3, RELEASE SOFTWARE";
    all.set("1.3.6.1.2.1.1.1.0", "4", software);
    all.set("1.3.6.1.2.1.1.2.0", "6", "1.3.6.1.4.1.9.1.1208");
    all.set("1.3.6.1.2.1.1.3.0", "67", "8640000");
    all.set("1.3.6.1.2.1.1.5.0", "4", "core-1");
    for port in 1..=3_u64 {
        for (column, kind, value) in [
            (2, "4", format!("GigabitEthernet1/0/{port}")),
            (3, "2", "6".into()),
            (4, "2", "1500".into()),
            (5, "66", "1000000000".into()),
            (6, "4x", format!("02005e10000{port}")),
            (7, "2", "1".into()),
            (8, "2", if port == 3 { "2".into() } else { "1".into() }),
            (10, "65", "4000000000".into()),
            (14, "65", format!("{}", port * 7)),
            (16, "65", "4000000000".into()),
            (20, "65", "0".into()),
        ] {
            all.set(&format!("{IF_TABLE}.{column}.{port}"), kind, &value);
        }
        for (column, kind, value) in [
            (1, "4", format!("Gi1/0/{port}")),
            (6, "70", format!("{}", port * 5_000_000_000)),
            (10, "70", format!("{}", port * 6_000_000_000)),
            (15, "66", "1000".into()),
            (18, "4", format!("desk {port}")),
        ] {
            all.set(&format!("{IF_X_TABLE}.{column}.{port}"), kind, &value);
        }
    }
    for (column, kind, value) in [
        (2, "4", "WS-C2960X-24TS-L"),
        (5, "2", "3"),
        (7, "4", "1"),
        (11, "4", "FOC2012X0AB"),
        (13, "4", "WS-C2960X-24TS-L"),
    ] {
        all.set(&format!("{ENTITIES}.{column}.1001"), kind, value);
    }
    for (column, kind, value) in [(2, "4", "Inlet"), (3, "66", "38"), (6, "2", "1")] {
        all.set(&format!("{TEMPERATURES}.{column}.1006"), kind, value);
    }
    all
}

/// snmpsim with these devices: each answers to its name, as a community and as a context of version 3. There is a user for
/// each pair of algorithms, named like them.
async fn snmpsim(devices: &[(&str, Recording)], users: &[(&str, &str)]) -> (Peer, SocketAddr) {
    let port = free_port();
    let endpoint = format!("127.0.0.1:{port}");
    let mut files = vec![("recordings/".to_owned(), String::new()), ("cache/".to_owned(), String::new())];
    // One that is there to tell when it answers; others may be slow.
    let ready = Recording::default().with("1.3.6.1.2.1.1.5.0", "4", "ready");
    for (name, recording) in devices.iter().chain(&[("ready", ready)]) {
        files.push((format!("recordings/{name}.snmprec"), recording.text()));
    }
    let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let mut arguments = vec!["--log-level", "error", "--cache-dir", "{folder}/cache", "--max-var-binds", "200"];
    if rustix::process::getuid().is_root() {
        // It wants to be told whom to become, and another one may not read a Python that is in root's home.
        arguments.extend(["--process-user", "root", "--process-group", "root"]);
    }
    arguments.extend(["--v3-engine-id", "auto", "--data-dir", "{folder}/recordings"]);
    arguments.extend(["--agent-udpv4-endpoint", &endpoint]);
    let names: Vec<String> = users.iter().map(|(auth, privacy)| format!("{auth}_{privacy}")).collect();
    for (name, (auth, privacy)) in names.iter().zip(users) {
        arguments.extend(["--v3-user", name, "--v3-auth-key", AUTH_PASSWORD, "--v3-auth-proto", auth]);
        arguments.extend(["--v3-priv-key", PRIVACY_PASSWORD, "--v3-priv-proto", privacy]);
    }
    let peer = start(&python("snmpsim-command-responder"), "", &arguments, &files);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let params = json!({"community": "ready", "retries": 0, "oids": {"1.3.6.1.2.1.1.5.0": "ready"}});
    until_it_answers(&peer, "snmp", &address.to_string(), &params, is_well).await;
    (peer, address)
}

async fn inspected(peer: SocketAddr, security: Security) -> Inspection {
    let env = Env::real();
    let mut session = session(&env, peer, security);
    inspect(&mut session, Library::own(), Wanted::Everything, Limits::default(), env.clock.as_ref()).await.unwrap()
}

/// The readings of that name by port.
fn by_port(outcome: &Outcome, name: &str) -> BTreeMap<String, f64> {
    let all = outcome.readings.iter().filter(|reading| reading.name == name);
    all.map(|reading| (reading.labels["port"].clone(), reading.value)).collect()
}

#[tokio::test]
async fn a_recorded_switch_is_read_whole_in_every_version() {
    let hot = switch().with(&format!("{TEMPERATURES}.6.1006"), "2", "3");
    let (_snmpsim, peer) = snmpsim(&[("switch", switch()), ("hot", hot)], &[("SHA256", "AES")]).await;
    let v2c = |name: &str| json!({"profile": "auto", "community": name});
    let v3 = |name: &str| {
        json!({"profile": "auto", "version": "3", "user": "SHA256_AES", "auth": "sha256", "auth_password": AUTH_PASSWORD,
            "privacy": "aes128", "privacy_password": PRIVACY_PASSWORD, "context": name})
    };
    let target = peer.to_string();
    for (well, hot) in [(v2c("switch"), v2c("hot")), (v3("switch"), v3("hot"))] {
        let outcome = check("snmp", &target, well, Duration::from_secs(20)).await;
        assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
        assert!(outcome.summary.contains(" (ios): ") && outcome.summary.contains("3 port"), "{}", outcome.summary);
        let ports = |values: [f64; 3]| -> BTreeMap<String, f64> {
            (1..).zip(values).map(|(port, value)| (format!("Gi1/0/{port}"), value)).collect()
        };
        assert_eq!(by_port(&outcome, "port_in_bytes_total"), ports([5e9, 10e9, 15e9]), "counters of 64 bits");
        assert_eq!(by_port(&outcome, "port_in_errors_total"), ports([7.0, 14.0, 21.0]));
        assert_eq!(by_port(&outcome, "port_speed_bits_per_second"), ports([1e9, 1e9, 1e9]));
        assert_eq!(outcome.reading("sensor_celsius"), Some(38.0));
        let outcome = check("snmp", &target, hot, Duration::from_secs(20)).await;
        assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
        assert!(outcome.summary.contains("sensor Inlet: temperature is critical"), "{}", outcome.summary);
    }
    // Of a device that has both, a role reads its own part; a device that lacks what its role has is not well.
    let core =
        check("snmp", &target, json!({"profile": "core-switch", "community": "switch"}), Duration::from_secs(20)).await;
    assert_eq!(core.state, State::Ok, "{}", core.summary);
    assert!(core.summary.contains("3 port") && core.reading("sensor_celsius") == Some(38.0), "{}", core.summary);
    let ups = check("snmp", &target, json!({"profile": "ups", "community": "switch"}), Duration::from_secs(20)).await;
    assert_eq!(by_port(&ups, "port_in_bytes_total"), BTreeMap::new(), "a supply is not asked for its ports");
    let printer =
        check("snmp", &target, json!({"profile": "printer", "community": "switch"}), Duration::from_secs(20)).await;
    assert_eq!(printer.state, State::Warning, "{}", printer.summary);
    assert!(printer.summary.contains("it tells no printer, which its role has"), "{}", printer.summary);
    // Version 1 has no counters of 64 bits, so those of 32 are told.
    let v1 = json!({"profile": "auto", "version": "1", "community": "switch"});
    let old = check("snmp", &target, v1, Duration::from_secs(20)).await;
    assert_eq!(old.state, State::Ok, "{}", old.summary);
    assert_eq!(by_port(&old, "port_in_bytes_total").into_values().collect::<Vec<_>>(), [4e9, 4e9, 4e9]);
    let mut v3 = user("SHA256_AES", probe::snmp::Auth::Sha256, Some(Privacy::Aes128));
    if let Security::V3 { context, .. } = &mut v3 {
        "switch".clone_into(context);
    }
    for security in [Security::V2c(Secret::new("switch")), v3] {
        let seen = inspected(peer, security).await;
        assert_eq!(seen.cut, []);
        assert_eq!((seen.device.os.as_str(), seen.device.vendor.as_str()), ("ios", "Cisco"));
        for (fact, value) in [("version", "15.2(7)E3"), ("hardware", "WS-C2960X-24TS-L"), ("serial", "FOC2012X0AB")] {
            assert_eq!(seen.device.facts.get(fact).map(String::as_str), Some(value), "{fact}: {:?}", seen.device);
        }
        let ports: Vec<_> = seen.found.items.iter().filter(|item| item.kind == "port").collect();
        let desks: Vec<_> = ports.iter().map(|port| port.fields["alias"].as_str()).collect();
        assert_eq!(desks, ["desk 1", "desk 2", "desk 3"]);
        assert_eq!(ports[2].fields["mac"], "02:00:5e:10:00:03");
        let link = ports[2].states.iter().find(|standing| standing.name == "link").unwrap();
        assert_eq!(link.word, "down", "what is not plugged in is no trouble");
    }
}

#[tokio::test]
async fn every_algorithm_of_version_3_is_spoken_with_another_implementation_too() {
    let algorithms = AUTH.map(|(auth, name)| (auth, name.replace('-', "")));
    let pairs: Vec<_> = algorithms.iter().flat_map(|auth| PRIVACY.iter().map(move |privacy| (auth, privacy))).collect();
    let users: Vec<(&str, &str)> = pairs.iter().map(|(auth, privacy)| (auth.1.as_str(), privacy.1)).collect();
    let (_snmpsim, peer) = snmpsim(&[("switch", switch())], &users).await;
    let env = Env::real();
    let name = oid("1.3.6.1.2.1.1.5.0");
    for ((auth, auth_name), (privacy, privacy_name)) in pairs {
        let mut security = user(&format!("{auth_name}_{privacy_name}"), *auth, Some(*privacy));
        if let Security::V3 { context, .. } = &mut security {
            "switch".clone_into(context);
        }
        let answer = session(&env, peer, security).get(std::slice::from_ref(&name)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{auth_name} {privacy_name}: {error}"));
        assert_eq!(answer[0].value, Value::Octets(b"core-1".to_vec()), "{auth_name} {privacy_name}");
    }
}

#[tokio::test]
async fn a_device_that_refuses_is_told_and_costs_no_more_than_the_broken_row() {
    let broken = switch().with(&format!("{IF_TABLE}.14.2"), "65:error", "status=generror");
    let forbidden = switch().with("1.3.6.1.2.1.1.5.0", "4:error", "status=authorizationerror");
    let (_snmpsim, peer) = snmpsim(&[("broken", broken), ("forbidden", forbidden)], &[]).await;
    let target = peer.to_string();
    let outcome =
        check("snmp", &target, json!({"community": "broken", "profile": "auto"}), Duration::from_secs(20)).await;
    assert_eq!(outcome.state, State::Warning, "{}", outcome.summary);
    let missing = "not all was read: the agent does not tell what follows 1.3.6.1.2.1.2.2.1.14.1: genErr";
    assert!(outcome.summary.contains(missing), "{}", outcome.summary);
    let errors = by_port(&outcome, "port_in_errors_total");
    assert_eq!(errors, BTreeMap::from([("Gi1/0/1".to_owned(), 7.0)]), "what came before it");
    for whole in ["port_in_bytes_total", "port_out_bytes_total", "port_out_errors_total"] {
        assert_eq!(by_port(&outcome, whole).len(), 3, "{whole} is beside it");
    }
    for params in [json!({"community": "forbidden"}), json!({"community": "forbidden", "profile": "auto"})] {
        let outcome = check("snmp", &target, params, Duration::from_secs(5)).await;
        assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
        assert_eq!(outcome.summary, format!("{target} refuses the request: authorizationError"));
    }
}

#[tokio::test]
async fn a_device_that_is_slow_is_read_whole_and_one_that_is_too_slow_or_silent_is_told_in_time() {
    // Requests whose answers are dropped.
    let silent = switch().with("1.3.6.1.2.1.1.1.0", "4:delay", "value=here,wait=100000");
    let devices =
        [("slow", switch().with_slow_ports(10)), ("silent", silent), ("stuck", switch().with_slow_ports(3000))];
    let (_snmpsim, peer) = snmpsim(&devices, &[]).await;
    let target = peer.to_string();
    let slow = check("snmp", &target, json!({"community": "slow", "profile": "if-mib"}), Duration::from_secs(20)).await;
    assert_eq!(slow.state, State::Ok, "{}", slow.summary);
    assert_eq!(by_port(&slow, "port_in_errors_total").len(), 3);
    // The last one is at it for so long that nobody else is served: snmpsim has one hand.
    for (params, part) in [
        (json!({"community": "silent", "retries": 1}), "gave no answer to 2 SNMP requests"),
        (json!({"community": "silent", "profile": "auto", "retries": 0}), "gave no answer to 1 SNMP requests"),
        (json!({"community": "stuck", "profile": "if-mib", "retries": 0}), "the walk was not at its end after"),
    ] {
        let outcome = check("snmp", &target, params.clone(), Duration::from_secs(1)).await;
        assert_eq!(outcome.state, State::Critical, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
}
