//! Agents and plugins: Debian's monitoring plugins, nrpe with and without TLS, and zabbix_agentd.

use std::net::TcpListener;

use probe::State;
use serde_json::json;

use crate::peers::{free_port, start, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

#[tokio::test]
async fn real_plugins_say_their_state_and_their_figures() {
    for (name, arguments, state, part) in [
        ("check_dummy", json!(["0", "all is well"]), State::Ok, "OK: all is well"),
        ("check_dummy", json!(["1", "$HOME; `id`"]), State::Warning, "WARNING: $HOME; `id`"),
        ("check_dummy", json!(["2"]), State::Critical, "CRITICAL"),
        ("check_dummy", json!(["3"]), State::Unknown, "UNKNOWN"),
        ("check_load", json!(["-w", "1000,1000,1000", "-c", "2000,2000,2000"]), State::Ok, "load average"),
        ("check_tcp", json!(["-H", "127.0.0.1", "-p", free_port().to_string()]), State::Critical, "refused"),
        ("check_nothing", json!([]), State::Unknown, "there is no plugin check_nothing on this machine"),
    ] {
        let outcome = check("plugin", name, json!({"arguments": arguments}), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{name} {arguments}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{name} {arguments}: {}", outcome.summary);
        if name == "check_load" {
            let labels: Vec<_> = outcome.readings.iter().map(|reading| reading.labels["label"].as_str()).collect();
            assert_eq!(labels, ["load1", "load5", "load15"]);
        }
    }
}

#[tokio::test]
async fn a_real_nrpe_runs_what_it_is_set_to() {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    for tls in [false, true] {
        let port = free_port();
        let configuration = format!(
            "server_port={port}\nserver_address=127.0.0.1\nallowed_hosts=127.0.0.1\npid_file={{folder}}/pid\n\
             nrpe_user=nobody\nnrpe_group=nogroup\ndont_blame_nrpe=1\ndebug=0\n\
             ssl_version=TLSv1.2+\nssl_cert_file={{folder}}/crt\nssl_privatekey_file={{folder}}/key.pem\n\
             ssl_cipher_list=ALL\ncommand[check_fine]=/usr/lib/nagios/plugins/check_dummy 0 fine\n\
             command[check_what]=/usr/lib/nagios/plugins/check_dummy $ARG1$ $ARG2$\n\
             command[check_load]=/usr/lib/nagios/plugins/check_load -w 1000,1000,1000 -c 2000,2000,2000\n"
        );
        let files = [("crt", certificate.clone()), ("key.pem", key.clone())];
        let arguments =
            if tls { vec!["-c", "{folder}/peer.conf", "-f"] } else { vec!["-c", "{folder}/peer.conf", "-f", "-n"] };
        let peer = start("/usr/sbin/nrpe", &configuration, &arguments, &files);
        until_it_listens(&peer, port).await;
        for (params, state, part) in [
            (json!({}), State::Ok, "NRPE v4"),
            (json!({"command": "check_fine"}), State::Ok, "OK: fine"),
            // Debian builds it without arguments; it answers to them with nothing at all.
            (json!({"command": "check_what", "arguments": ["2", "gone"]}), State::Critical, "hung up without a word"),
            (json!({"command": "check_load"}), State::Ok, "load average"),
            (json!({"command": "check_none"}), State::Unknown, "Command 'check_none' not defined"),
        ] {
            let mut all = params.clone();
            all["tls"] = tls.into();
            all["ca"] = authority.pem().into();
            let outcome = check("nrpe", &format!("localhost:{port}"), all, SECONDS_5).await;
            assert_eq!(outcome.state, state, "tls {tls} {params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "tls {tls} {params}: {}", outcome.summary);
        }
    }
}

#[tokio::test]
#[ignore = "needs a Zabbix agent: make test-peers"]
async fn a_real_zabbix_agent_tells_its_items() {
    // It refuses the ports that free ones usually are: 32767 is its last.
    let port = (0..100).map(|_| free_port() / 2).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let configuration = format!(
        "LogType=console\nPidFile={{folder}}/pid\nServer=127.0.0.1\nListenIP=127.0.0.1\nListenPort={port}\n\
         ServerActive=\nStartAgents=2\nHostname=web-1\nAllowRoot=1\n"
    );
    let peer = start("/usr/sbin/zabbix_agentd", &configuration, &["-f", "-c", "{folder}/peer.conf"], &[]);
    until_it_listens(&peer, port).await;
    let target = format!("127.0.0.1:{port}");
    for (params, state, part) in [
        (json!({}), State::Ok, "agent.ping is \"1\""),
        (json!({"key": "agent.hostname", "value": "web-1"}), State::Ok, "agent.hostname is \"web-1\""),
        (json!({"key": "system.uptime", "value": "< 0"}), State::Critical, "where < 0 is expected"),
        (json!({"key": "no.such.item"}), State::Critical, "cannot measure this item (\"Unsupported item key.\")"),
    ] {
        let outcome = check("zabbix", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
}

#[tokio::test]
#[ignore = "needs a Zabbix agent: make test-peers"]
async fn an_agent_that_takes_pre_shared_keys_alone_is_told_of() {
    let port = (0..100).map(|_| free_port() / 2).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let configuration = format!(
        "LogType=console\nPidFile={{folder}}/pid\nServer=127.0.0.1\nListenIP=127.0.0.1\nListenPort={port}\n\
         ServerActive=\nStartAgents=2\nHostname=web-1\nAllowRoot=1\n\
         TLSAccept=psk\nTLSPSKIdentity=web-1\nTLSPSKFile={{folder}}/key\n"
    );
    let files = [("key", "00112233445566778899aabbccddeeff".to_owned())];
    let peer = start("/usr/sbin/zabbix_agentd", &configuration, &["-f", "-c", "{folder}/peer.conf"], &files);
    until_it_listens(&peer, port).await;
    for (params, part) in [
        (json!({}), "TLSAccept unencrypted (or cert, with tls here): pre-shared keys (psk) are not spoken here"),
        (json!({"tls": true, "verify": false}), "its TLSAccept cert: pre-shared keys (psk) are not spoken here"),
    ] {
        let outcome = check("zabbix", &format!("127.0.0.1:{port}"), params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, State::Critical, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
}
