//! Traceroute over the real loopback, and over two real routers: network name spaces joined by cables.

use std::os::fd::AsFd;

use probe::{Outcome, State};
use serde_json::{Value, json};

use crate::peers::run;
use crate::{SECONDS_5, check};

#[tokio::test]
async fn loopback_is_one_hop_away_or_the_missing_right_is_told() {
    let ways = [("127.0.0.1", "icmp"), ("::1", "icmp"), ("127.0.0.1", "udp"), ("::1", "udp")];
    for (target, by) in ways {
        let outcome = check("traceroute", target, json!({"by": by}), SECONDS_5).await;
        if outcome.state == State::Unknown {
            assert!(outcome.summary.contains("CAP_NET_RAW"), "{}", outcome.summary);
            continue;
        }
        assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
        assert!(outcome.summary.starts_with(&format!("{target} is 1 hop away")), "{}", outcome.summary);
        assert_eq!(outcome.reading("traceroute_loss_percent"), Some(0.0));
    }
}

/// Four machines in a row, the two in the middle routers: 10.71.1.2, 10.71.1.1, 10.71.2.2, 10.71.3.2, and the same in
/// fd71::/16. Gone with this.
struct Row(String);

impl Row {
    fn new() -> Row {
        let name = format!("mainstayrow{}", std::process::id());
        let row = Row(name.clone());
        let ip = |words: String| run("ip", &words.split(' ').collect::<Vec<_>>());
        for machine in 1..=4 {
            ip(format!("netns add {name}{machine}"));
            let settings =
                "ipv6/conf/all/accept_dad ipv6/conf/default/accept_dad ipv4/icmp_ratelimit ipv6/icmp/ratelimit";
            let quiet = settings.split(' ').map(|one| format!("echo 0 > /proc/sys/net/{one}; ")).collect::<String>();
            let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
            run("ip", &["netns", "exec", &format!("{name}{machine}"), "sh", "-c", &format!("{quiet}{forward}")]);
        }
        for cable in 1..=3 {
            let (left, right) = (format!("{name}{cable}"), format!("{name}{}", cable + 1));
            ip(format!("-n {left} link add right type veth peer name left netns {right}"));
            // The first cable's left end is the one that asks: its addresses end in 2, and those of the first router in 1.
            let (at_left, at_right) = if cable == 1 { (2, 1) } else { (1, 2) };
            for (machine, end, number) in [(&left, "right", at_left), (&right, "left", at_right)] {
                ip(format!("-n {machine} address add 10.71.{cable}.{number}/24 dev {end}"));
                ip(format!("-n {machine} address add fd71:{cable}::{number}/64 dev {end} nodad"));
                ip(format!("-n {machine} link set {end} up"));
            }
        }
        for (machine, way) in [(1, "10.71.1.1"), (2, "10.71.2.2"), (3, "10.71.2.1"), (4, "10.71.3.1")] {
            let to = if machine == 3 { "10.71.1.0/24" } else { "default" };
            ip(format!("-n {name}{machine} route add {to} via {way}"));
            let way = way.replacen("10.71.", "fd71:", 1).replace('.', "::");
            let to = if machine == 3 { "fd71:1::/64" } else { "default" };
            ip(format!("-n {name}{machine} -6 route add {to} via {way}"));
        }
        row
    }

    /// Runs the checks on the first machine, on a thread of its own: one that has gone into a name space stays there.
    fn ask(&self, asked: Vec<(&'static str, Value)>) -> Vec<Outcome> {
        let space = std::fs::File::open(format!("/run/netns/{}1", self.0)).unwrap();
        let thread = std::thread::spawn(move || {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(space.as_fd(), Some(kind)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut outcomes = Vec::new();
                for (target, params) in asked {
                    outcomes.push(check("traceroute", target, params, SECONDS_5).await);
                }
                outcomes
            })
        });
        thread.join().unwrap()
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        for machine in 1..=4 {
            run("ip", &["netns", "delete", &format!("{}{machine}", self.0)]);
        }
    }
}

#[test]
#[ignore = "needs root for network name spaces: make test-peers"]
fn two_real_routers_are_met_on_the_way_and_what_they_refuse_is_told() {
    let row = Row::new();
    for _ in 0..30 {
        // polls: the machines of IPv6 have found each other
        if row.ask(vec![("fd71:3::2", json!({"wait": "200ms"}))])[0].state == State::Ok {
            break;
        }
    }
    let rows = [
        ("10.71.3.2", json!({"wait": "200ms"}), State::Ok, "10.71.3.2 is 3 hops away"),
        ("fd71:3::2", json!({"wait": "200ms"}), State::Ok, "fd71:3::2 is 3 hops away"),
        ("10.71.3.2", json!({"through": ["10.71.1.1", "10.71.2.0/24"], "wait": "200ms"}), State::Ok, "3 hops"),
        ("10.71.3.2", json!({"through": ["10.9.9.9"]}), State::Critical, "it does not go through 10.9.9.9/32"),
        ("10.71.3.2", json!({"not_through": ["10.71.2.2"]}), State::Critical, "it goes through 10.71.2.2/32"),
        ("10.71.3.2", json!({"critical_hops": 3}), State::Critical, "3 hops"),
        (
            "10.71.3.2",
            json!({"max_hops": 2}),
            State::Critical,
            "not reached in 2 hops; the last that answers is 10.71.2.2",
        ),
        ("10.71.1.1", json!({}), State::Ok, "1 hop away"),
        ("10.71.3.2", json!({"by": "udp", "wait": "200ms"}), State::Ok, "10.71.3.2 is 3 hops away"),
        ("fd71:3::2", json!({"by": "udp", "wait": "200ms", "count": 10}), State::Ok, "fd71:3::2 is 3 hops away"),
        ("10.71.3.2", json!({"by": "udp", "critical_hops": 3}), State::Critical, "3 hops"),
        (
            "10.71.3.2",
            json!({"by": "udp", "max_hops": 2, "port": 33_500}),
            State::Critical,
            "not reached in 2 hops; the last that answers is 10.71.2.2",
        ),
        ("10.71.1.1", json!({"by": "udp"}), State::Ok, "1 hop away"),
    ];
    let outcomes = row.ask(rows.iter().map(|(target, params, ..)| (*target, params.clone())).collect());
    for ((target, params, state, part), outcome) in rows.iter().zip(&outcomes) {
        assert_eq!(outcome.state, *state, "{target} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{target} {params}: {}", outcome.summary);
    }
    let (four, six) = (["10.71.1.1", "10.71.2.2", "10.71.3.2"], ["fd71:1::1", "fd71:2::2", "fd71:3::2"]);
    for (outcome, addresses) in [(&outcomes[0], four), (&outcomes[1], six), (&outcomes[8], four), (&outcomes[9], six)] {
        let hops = outcome.readings.iter().filter(|reading| reading.name == "traceroute_hop_round_trip_seconds");
        let met: Vec<_> = hops.map(|hop| (hop.labels["hop"].as_str(), hop.labels["address"].as_str())).collect();
        assert_eq!(met, [("1", addresses[0]), ("2", addresses[1]), ("3", addresses[2])]);
    }
    // The last machine answers as sparingly as it would by itself, and us at addresses that it has not answered yet.
    let sparing = "echo 1000 > /proc/sys/net/ipv4/icmp_ratelimit; echo 1000 > /proc/sys/net/ipv6/icmp/ratelimit";
    run("ip", &["netns", "exec", &format!("{}4", row.0), "sh", "-c", sparing]);
    let asked = [("10.71.3.2", "10.71.1.3", "24"), ("fd71:3::2", "fd71:1::3", "64")].map(|(target, source, bits)| {
        let address = format!("{source}/{bits}");
        run("ip", &["-n", &format!("{}1", row.0), "address", "add", &address, "dev", "right"]);
        (target, json!({"by": "udp", "wait": "200ms", "source_address": source}))
    });
    for outcome in row.ask(asked.to_vec()) {
        assert_eq!(outcome.reading("traceroute_loss_percent"), Some(0.0), "{}", outcome.summary);
    }
    // The second router forbids the way; the last machine is silent; one address nobody has.
    let router = format!("{}3", row.0);
    run("ip", &["-n", &router, "route", "add", "prohibit", "10.71.3.77/32"]);
    run("ip", &["-n", &router, "route", "add", "blackhole", "10.71.3.78/32"]);
    // Its kernel says so once a second, counted from the last thing that it said: it is asked until it does, and the hop is
    // certain or an upper bound.
    for by in ["icmp", "udp"] {
        let mut forbidden = String::new();
        for _ in 0..30 {
            let outcome = row.ask(vec![("10.71.3.77", json!({"by": by, "wait": "200ms"}))]).remove(0);
            assert_eq!(outcome.state, State::Critical, "{by}: {}", outcome.summary);
            forbidden = outcome.summary;
            if forbidden.contains("forbidden") {
                break; // polls: the router says what it forbids
            }
        }
        assert!(forbidden.contains("says that it is forbidden to go there"), "{by}: {forbidden}");
        assert!(forbidden.contains("is not reached: 10.71.2.2 (hop "), "{by}: {forbidden}");
        let nobody = row.ask(vec![("10.71.3.78", json!({"by": by, "wait": "50ms", "max_hops": 5}))]).remove(0);
        assert_eq!(nobody.state, State::Critical, "{by}: {}", nobody.summary);
        let part = "not reached in 5 hops; the last that answers is 10.71.1.1 (hop 1)";
        assert!(nobody.summary.contains(part), "{by}: {}", nobody.summary);
    }
}
