//! Pushes: text by curl, Influx's lines, collectd's Graphite lines, StatsD; and from whom they are not taken.

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{counter, value, vector};
use crate::server::{self, Place, Server};
use crate::world::{self, until};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn curl_pushes_a_page_and_a_wrong_page_is_refused_with_its_line() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let token = server.http.token.clone().expect("it was just made");
    let page = place.beside("page.txt");
    let push = |text: &str, media: &str| {
        fs::write(&page, text).expect("a page");
        let url = format!(
            "http://{}/prometheus/api/v1/import/prometheus?extra_label=job=backup&extra_label=host=db-1",
            server.http.address
        );
        let (file, media) = (format!("@{}", page.display()), format!("Content-Type: {media}"));
        let user = format!("push:{token}");
        let output = world::run(
            "curl",
            &["-sS", "-u", &user, "-H", &media, "--data-binary", &file, "-w", "\n%{http_code}", &url],
        );
        String::from_utf8(output.stdout).expect("text")
    };
    let page = "# TYPE backup_seconds gauge\nbackup_seconds{kind=\"full\"} 81.5\nbackup_last 1\n";
    assert!(push(page, "text/plain").ends_with("\n204"));
    assert_eq!(value(&server.http, "backup_seconds{job=\"backup\",host=\"db-1\",kind=\"full\"}"), Ok(81.5));
    let metrics = "# TYPE backups counter\nbackups_total 3\n# EOF\n";
    assert!(push(metrics, "application/openmetrics-text; version=1.0.0").ends_with("\n204"));
    assert_eq!(value(&server.http, "backups_total{job=\"backup\"}"), Ok(3.0));
    let said = push("good 1\nbad one\n", "text/plain");
    assert!(said.contains("line 2") && said.ends_with("\n400"), "{said}");
    assert_eq!(vector(&server.http, "good"), [], "a page is taken whole or not at all");
}

#[test]
fn influx_lines_of_both_versions_are_taken_and_wrong_ones_told() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let now = world::unix_seconds();
    let text = [("Content-Type", "text/plain")];
    let send = |path: &str, body: String| server.http.send("POST", path, &text, body.as_bytes()).expect("an answer");
    assert_eq!(send("/influx/write?db=x&precision=s", format!("cpu,host=a usage=1.5,note=\"x\" {now}\n")).status, 204);
    assert_eq!(
        send("/influx/api/v2/write?org=o&bucket=b&precision=ms", format!("mem,host=a value=7i {now}000\n")).status,
        204
    );
    assert_eq!(value(&server.http, "cpu_usage{host=\"a\"}"), Ok(1.5));
    assert_eq!(value(&server.http, "mem{host=\"a\"}"), Ok(7.0));
    let partial = send("/influx/api/v2/write", "good value=1\nwrong\n".into());
    assert_eq!((partial.status, partial.json()["code"].as_str()), (400, Some("invalid")));
    assert!(partial.text().contains("partial write") && partial.text().contains("line 2"), "{}", partial.text());
    assert_eq!(value(&server.http, "good"), Ok(1.0), "the good line is kept, as Influx keeps it");
    assert_eq!(send("/influx/write?precision=fortnights", "a value=1\n".into()).status, 400);
    assert_eq!(server.http.anonymous().send("GET", "/influx/ping", &[], b"").expect("an answer").status, 204);
}

#[test]
fn the_client_library_of_influx_writes_here() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    if !python.exists() || !world::run(&python, &["-c", "import influxdb_client"]).status.success() {
        return world::not_run("Influx's client library writes here", "it is not installed; `make test-deps` does it");
    }
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/signals/influx.py");
    let url = format!("http://{}/influx", server.http.address);
    let token = server.http.token.as_deref().expect("it was just made");
    let words = |token: &str| [script.display().to_string(), url.clone(), token.to_owned()];
    assert!(!world::run(&python, &words("wrong")).status.success(), "a wrong token is told");
    let output = world::run(&python, &words(token));
    assert!(output.status.success(), "{}", world::text(&output));
    assert_eq!(value(&server.http, "disk_used{host=\"db 1\"}"), Ok(81.5));
    assert_eq!(value(&server.http, "sum(disk_ok)"), Ok(1.0));
    assert_eq!(value(&server.http, "disk_used{host=\"db 2\"}"), Ok(7.0));
}

#[test]
fn collectd_and_statsd_reach_listeners_that_are_told_whose_they_are() {
    let place = Place::new();
    let (graphite, statsd) = (world::free_port(), world::free_port());
    let (graphite_at, statsd_at) = (format!("127.0.0.1:{graphite}"), format!("127.0.0.1:{statsd}"));
    let words =
        ["--no-agent", "--graphite-listen", &graphite_at, "--statsd-listen", &statsd_at, "--statsd-flush", "300ms"];
    let refused = server::cli(&place.data, &[&["server", "--listen", "127.0.0.1:0"], words.as_slice()].concat());
    assert!(!refused.status.success() && world::text(&refused).contains("--push-tenant"), "{}", world::text(&refused));
    let server = Server::start(&place.data, &[words.as_slice(), &["--push-tenant", "internal"]].concat()).with_admin();
    let config = place.beside("collectd.conf");
    let text = format!(
        "Interval 1\nBaseDir \"{0}\"\nPIDFile \"{0}/collectd.pid\"\nHostname \"db-1\"\nFQDNLookup false\nLoadPlugin load\nLoadPlugin write_graphite\n\
         <Plugin write_graphite>\n<Node \"mainstay\">\nHost \"127.0.0.1\"\nPort \"{graphite}\"\nProtocol \"tcp\"\nPrefix \"collectd.\"\n</Node>\n</Plugin>\n",
        place.folder.path().display()
    );
    fs::write(&config, text).expect("a configuration");
    let mut collectd = world::command("/usr/sbin/collectd");
    let collectd =
        collectd.args(["-f", "-C"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut collectd = collectd.spawn().expect("collectd starts; apt-get install collectd-core");
    let found = until(Duration::from_secs(60), "collectd's load is stored", || {
        value(&server.http, "{__name__=\"collectd.db-1.load.load.shortterm\"}")
    });
    world::kill_hard(&mut collectd);
    assert!(found >= 0.0);

    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    udp.send_to(b"requests:3|c\nrequests:1|c|@0.5\nusers:ana|s\nusers:bob|s", &statsd_at).expect("sent");
    let mut tcp = world::dial(statsd_at.parse().expect("an address")).expect("it listens");
    tcp.write_all(b"temperature:21.5|g|#room:lab\nlatency:250|ms\n").expect("sent");
    for (query, expected) in [
        ("requests", 5.0),
        ("max_over_time(users[1m])", 2.0),
        ("temperature{room=\"lab\"}", 21.5),
        ("latency_count", 1.0),
    ] {
        until(SOON, query, || {
            value(&server.http, query).and_then(|v| if v == expected { Ok(()) } else { Err(v.to_string()) })
        });
    }
}

#[test]
fn a_sender_that_is_not_on_the_list_is_not_heard() {
    let place = Place::new();
    let at = format!("127.0.0.1:{}", world::free_port());
    let words = [
        "--no-agent",
        "--graphite-listen",
        &at,
        "--push-tenant",
        "internal",
        "--push-from",
        "192.0.2.0/24,2001:db8::/32",
    ];
    let server = Server::start(&place.data, &words).with_admin();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    udp.send_to(b"secret.udp 1\n", &at).expect("sent");
    let mut tcp = world::dial(at.parse().expect("an address")).expect("it listens");
    // The connection may be closed before the line is written.
    let _ = tcp.write_all(b"secret.tcp 1\n");
    until(SOON, "both are counted", || {
        let refused = counter(&server.http, "mainstay_signals_senders_refused_total");
        if refused >= 2.0 { Ok(()) } else { Err(refused.to_string()) }
    });
    assert_eq!(vector(&server.http, "{__name__=~\"secret.*\"}"), []);
}
