//! Troubles that no real peer can be made to have: a scripted world around the real checks.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use probe::env::{Clock, Env, Failure, Host, Net, Ran, RawProcess, Space, Stream};
use probe::{Request, State};
use serde_json::json;

/// Names resolve to what is written here; connections end as written here.
struct Script {
    addresses: Result<Vec<&'static str>, &'static str>,
    /// Per address, in the same order.
    connects: Vec<Connect>,
}

#[derive(Clone, Copy)]
enum Connect {
    Works,
    Fails(i32),
    Hangs,
}

#[async_trait]
impl Net for Script {
    async fn resolve(&self, _host: &str) -> Result<Vec<IpAddr>, Failure> {
        match &self.addresses {
            Ok(addresses) => Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()),
            Err(why) => Err(Failure::Local((*why).to_owned())),
        }
    }

    async fn connect(&self, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let addresses = self.addresses.clone().unwrap();
        let index = addresses.iter().position(|address| address.parse() == Ok(peer.ip())).unwrap();
        match self.connects[index] {
            Connect::Works => Ok(Box::new(tokio::io::empty())),
            Connect::Fails(code) => Err(io::Error::from_raw_os_error(code)),
            Connect::Hangs => std::future::pending().await,
        }
    }

    async fn exchange(
        &self,
        _peer: SocketAddr,
        _datagram: &[u8],
        _is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        std::future::pending().await
    }

    async fn ping(&self, _peer: IpAddr, _bytes: usize, within: Duration) -> Result<Option<Duration>, Failure> {
        tokio::time::sleep(within).await; // dawdles: as silent hosts do; in paused time this costs nothing
        Ok(None)
    }
}

/// A machine whose systemctl and disks never answer.
struct Frozen;

#[async_trait]
impl Host for Frozen {
    async fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("/proc/1/comm") { Ok(b"systemd\n".to_vec()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    async fn space(&self, _path: &Path) -> io::Result<Space> {
        std::future::pending().await
    }

    async fn processes(&self) -> io::Result<Vec<RawProcess>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    async fn run(&self, _argv: &[&str]) -> io::Result<Ran> {
        std::future::pending().await
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

async fn check(net: Script, protocol: &str, target: &str) -> probe::Outcome {
    let env = Env::new(Arc::new(net), Arc::new(Frozen), Arc::new(Still));
    let timeout = Duration::from_secs(5);
    probe::check(&env, &Request { protocol: protocol.into(), target: target.into(), params: json!({}), timeout }).await
}

fn nowhere() -> Script {
    Script { addresses: Ok(vec!["192.0.2.1"]), connects: vec![Connect::Hangs] }
}

const ECONNREFUSED: i32 = 111;
const EMFILE: i32 = 24;

#[tokio::test(start_paused = true)]
async fn one_dead_address_of_several_does_not_make_the_check_fail() {
    for first in [Connect::Hangs, Connect::Fails(ECONNREFUSED)] {
        let net = Script { addresses: Ok(vec!["2001:db8::1", "192.0.2.1"]), connects: vec![first, Connect::Works] };
        let outcome = check(net, "tcp", "shop.example.org:80").await;
        assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_trouble_is_never_told_as_the_peers() {
    for (net, part) in [
        (Script { addresses: Err("no name server can be asked"), connects: vec![] }, "no name server can be asked"),
        (Script { addresses: Ok(vec!["192.0.2.1"]), connects: vec![Connect::Fails(EMFILE)] }, "raise LimitNOFILE"),
    ] {
        let outcome = check(net, "tcp", "shop.example.org:80").await;
        assert_eq!(outcome.state, State::Unknown, "{}", outcome.summary);
        assert!(outcome.summary.contains(part), "{}", outcome.summary);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_of_a_peer_is_critical_and_of_this_machine_unknown() {
    for (protocol, target, state, part) in [
        (
            "tcp",
            "shop.example.org:80",
            State::Critical,
            "no answer from shop.example.org:80 within 5 s while connecting",
        ),
        ("http", "http://shop.example.org/", State::Critical, "while connecting (timeout)"),
        ("ntp", "ntp.example.org", State::Critical, "while waiting for the time server"),
        ("icmp", "web-1", State::Critical, "web-1 answered none of 3 echoes"), // counted before the timeout ends it
        ("systemd", "nginx", State::Unknown, "no answer about nginx within 5 s while asking systemd"),
        ("disk", "/srv", State::Critical, "/srv does not answer"), // a dead file system is its own fault
        ("process", "nginx", State::Unknown, "/proc cannot be read"),
        ("memory", "", State::Unknown, "/proc/meminfo cannot be read"),
        ("dns", "www.example.org", State::Unknown, "names no name server"),
    ] {
        let outcome = check(nowhere(), protocol, target).await;
        assert_eq!(outcome.state, state, "{protocol}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{protocol}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn a_wrong_request_is_unknown_and_says_everything_that_is_wrong() {
    let env = Env::new(Arc::new(nowhere()), Arc::new(Frozen), Arc::new(Still));
    let params = json!({"boddy": "x", "status": "fine"});
    let timeout = Duration::from_secs(5);
    let request = Request { protocol: "http".into(), target: "https://shop.example.org/".into(), params, timeout };
    let outcome = probe::check(&env, &request).await;
    assert_eq!(outcome.state, State::Unknown);
    for part in ["set up wrongly", "boddy: ", "did you mean body", "status: \"fine\" is no status"] {
        assert!(outcome.summary.contains(part), "{part}: {}", outcome.summary);
    }
}
