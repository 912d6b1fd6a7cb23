//! StatsD: the first one (npm's statsd) by its administrative interface, collectd's by its page of metrics.

use std::path::Path;
use std::time::Duration;

use probe::State;
use serde_json::json;

use crate::peers::{free_port, start, until_it_listens};
use crate::{SECONDS_5, check};

#[tokio::test]
#[ignore = "needs statsd of npm: make test-peers"]
async fn the_first_statsd_tells_its_health_and_shows_what_it_was_sent() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/node-peers/node_modules/statsd/stats.js");
    assert!(place.exists(), "{} is not there: run `make test-peers` once", place.display());
    for (transport, server) in [("udp", "./servers/udp"), ("tcp", "./servers/tcp")] {
        let (port, admin) = (free_port(), free_port());
        let configuration = format!(
            "{{ port: {port}, address: '127.0.0.1', mgmt_port: {admin}, mgmt_address: '127.0.0.1', server: '{server}', backends: [] }}"
        );
        let peer = start("/usr/bin/node", &configuration, &[place.to_str().unwrap(), "{folder}/peer.conf"], &[]);
        until_it_listens(&peer, admin).await;
        let target = format!("127.0.0.1:{port}");
        for (mut params, state, part) in [
            (json!({}), State::Ok, "takes metrics"),
            (json!({"stats": {"messages.bad_lines_seen": 0, "uptime": "< 1000"}}), State::Ok, "takes metrics"),
            (json!({"stats": {"messages.bad_lines_seen": "> 5"}}), State::Critical, "messages.bad_lines_seen is \"0\""),
            (json!({"admin_port": free_port()}), State::Critical, "connection refused"),
            (json!({"admin_port": free_port(), "proof": "sent"}), State::Ok, "does not refuse metrics"),
        ] {
            params["transport"] = transport.into();
            if params.get("admin_port").is_none() {
                params["admin_port"] = admin.into();
            }
            let outcome = check("statsd", &target, params.clone(), SECONDS_5).await;
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        // Metrics for a port where nobody listens do not arrive, however well the server is.
        let params = json!({"admin_port": admin, "transport": "udp"});
        let outcome = check("statsd", &format!("127.0.0.1:{}", free_port()), params, Duration::from_secs(1)).await;
        assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
        assert!(outcome.summary.contains("connection refused"), "{}", outcome.summary);
    }
}

#[tokio::test]
async fn what_collectds_statsd_takes_is_found_on_its_page() {
    let (port, page) = (free_port(), free_port());
    let configuration = format!(
        "Hostname \"web-1\"\nFQDNLookup false\nInterval 0.2\nPIDFile \"{{folder}}/pid\"\nBaseDir \"{{folder}}\"\n\
         TypesDB \"/usr/share/collectd/types.db\"\nLoadPlugin statsd\nLoadPlugin write_prometheus\n\
         <Plugin statsd>\n Host \"127.0.0.1\"\n Port \"{port}\"\n</Plugin>\n\
         <Plugin write_prometheus>\n Host \"127.0.0.1\"\n Port \"{page}\"\n</Plugin>\n"
    );
    let peer = start("/usr/sbin/collectd", &configuration, &["-f", "-C", "{folder}/peer.conf"], &[]);
    until_it_listens(&peer, page).await;
    let target = format!("127.0.0.1:{port}");
    let address = format!("http://127.0.0.1:{page}/metrics");
    let params = json!({"proof": "page", "page": address});
    let outcome = check("statsd", &target, params.clone(), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert!(outcome.summary.contains("takes metrics"), "{}", outcome.summary);
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let outcome = check("statsd", &silent.local_addr().unwrap().to_string(), params, Duration::from_secs(1)).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("the gauge mainstay.check that was sent does not arrive"), "{}", outcome.summary);
}
