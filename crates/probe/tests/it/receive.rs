//! What real senders send is decoded: logger, rsyslog, zabbix_agentd, collectd, softflowd, Alertmanager, the inventory agent,
//! fluent-logger.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use probe::receive::{alertmanager, collectd, fluent, inventory, netflow, syslog, zabbix};
use serde_json::json;

use crate::peers::{free_port, run, start, until_it_listens};

/// A socket that waits ten seconds for its datagram, and no longer.
fn udp() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    (socket, port)
}

fn datagram(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let (length, _) = socket.recv_from(&mut buffer).expect("the sender sends within ten seconds");
    buffer.truncate(length);
    buffer
}

#[test]
fn logger_is_understood_in_both_formats_and_both_framings() {
    let (socket, port) = udp();
    let base = ["--server", "127.0.0.1", "--port", &port, "--udp", "-p", "mail.err", "-t", "postfix"];
    run(
        "logger",
        &[
            &base[..],
            &["--rfc5424", "--id=42", "--msgid", "M1", "--sd-id", "x@1", "--sd-param", "a=\"b\"", "new style"],
        ]
        .concat(),
    );
    let bytes = datagram(&socket);
    let text = String::from_utf8(bytes).unwrap();
    let message = syslog::parse_message(&text).unwrap();
    assert_eq!((message.facility, message.severity, message.program), (2, 3, Some("postfix")), "{text}");
    assert_eq!((message.process, message.id, message.text), (Some("42"), Some("M1"), "new style"), "{text}");
    assert!(matches!(message.time, syslog::Time::At(_)) && message.host.is_some(), "{text}");
    let ours = message.elements.iter().find(|element| element.id == "x@1").unwrap();
    assert_eq!(ours.params, [("a", "b".into())], "{text}");

    run("logger", &[&base[..], &["--rfc3164", "old style: with colon"]].concat());
    let text = String::from_utf8(datagram(&socket)).unwrap();
    let message = syslog::parse_message(&text).unwrap();
    assert_eq!((message.program, message.text), (Some("postfix"), "old style: with colon"), "{text}");
    assert!(matches!(message.time, syslog::Time::Local(_)) && message.host.is_some(), "{text}");

    for framing in [&["--octet-count"][..], &[]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let arguments = ["--server", "127.0.0.1", "--port", &port, "--tcp", "-t", "app", "one"];
        run("logger", &[framing, &arguments[..]].concat());
        let mut stream = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut stream).unwrap();
        let (message, length) = syslog::parse_frame(&stream, 8192).unwrap().expect("a whole message");
        assert_eq!(length, stream.len());
        assert!(syslog::parse_message(std::str::from_utf8(message).unwrap()).unwrap().text.ends_with("one"));
    }
}

#[tokio::test]
#[ignore = "needs a Zabbix agent: make test-peers"]
async fn an_active_agent_of_zabbix_asks_for_its_checks_and_sends_values() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let configuration = format!(
        "LogType=console\nPidFile={{folder}}/pid\nServerActive=127.0.0.1:{port}\nStartAgents=0\nHostname=web-1\n\
         HostMetadata=linux\nAllowRoot=1\nBufferSend=1\n"
    );
    let _peer = start("/usr/sbin/zabbix_agentd", &configuration, &["-f", "-c", "{folder}/peer.conf"], &[]);
    let items = json!({"response": "success", "data": [
        {"key": "agent.hostname", "itemid": 1, "delay": 1, "lastlogsize": 0, "mtime": 0},
        {"key": "no.such.key", "itemid": 2, "delay": 1, "lastlogsize": 0, "mtime": 0}]});
    let mut met = Vec::new();
    for _ in 0..20 {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut bytes = Vec::new();
        let content = loop {
            if let Some((content, _)) = zabbix::parse_frame(&bytes).unwrap() {
                break content;
            }
            let mut chunk = [0; 4096];
            let length = stream.read(&mut chunk).unwrap();
            assert!(length > 0, "the agent sends a whole frame");
            bytes.extend_from_slice(&chunk[..length]);
        };
        match zabbix::parse_asked(&content).unwrap() {
            zabbix::Asked::Checks(host, metadata) => {
                assert_eq!((host.as_str(), metadata.as_deref()), ("web-1", Some("linux")));
                stream.write_all(&zabbix::frame(items.to_string().as_bytes())).unwrap();
            }
            zabbix::Asked::Values(values) => {
                stream.write_all(&zabbix::answer_to_values(values.len(), 0, 0.001)).unwrap();
                met.extend(values);
            }
            zabbix::Asked::Heartbeat(_) => {}
        }
        let good = met.iter().any(|sent| sent.key == "agent.hostname" && sent.value == "web-1" && sent.time.is_some());
        let bad = met.iter().any(|sent| sent.key == "no.such.key" && sent.is_unsupported);
        if good && bad {
            return;
        }
    }
    panic!("the agent sent only {met:?}");
}

#[tokio::test]
#[ignore = "needs collectd: make test-peers"]
async fn collectd_tells_its_load() {
    let (socket, port) = udp();
    let configuration = format!(
        "Hostname \"web-1\"\nFQDNLookup false\nInterval 0.1\nPIDFile \"{{folder}}/pid\"\nBaseDir \"{{folder}}\"\n\
         TypesDB \"/usr/share/collectd/types.db\"\nLoadPlugin load\nLoadPlugin network\n\
         <Plugin network>\n Server \"127.0.0.1\" \"{port}\"\n</Plugin>\n"
    );
    let _peer = start("/usr/sbin/collectd", &configuration, &["-f", "-C", "{folder}/peer.conf"], &[]);
    for _ in 0..20 {
        let lists = collectd::parse_datagram(&datagram(&socket)).unwrap();
        if let Some(load) = lists.iter().find(|list| list.plugin == "load") {
            assert_eq!((load.host.as_str(), load.kind.as_str(), load.values.len()), ("web-1", "load", 3));
            assert!(load.time_seconds > 1.7e9 && (load.interval_seconds - 0.1).abs() < 1e-6, "{load:?}");
            assert!(load.values.iter().all(|value| matches!(value, collectd::Value::Gauge(load) if *load >= 0.0)));
            return;
        }
    }
    panic!("collectd tells no load");
}

/// A recording (pcap) of ten packets of UDP from 192.0.2.1:1234 to 192.0.2.2:53, each of 100 bytes.
fn recording() -> Vec<u8> {
    const LINK_RAW: u32 = 101;
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, LINK_RAW] {
        file.extend_from_slice(&u32::to_le_bytes(word));
    }
    for number in 0..10 {
        let mut packet = vec![0x45, 0, 0, 100, 0, number, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend_from_slice(&[0x04, 0xd2, 0, 53, 0, 80, 0, 0]);
        packet.resize(100, 0);
        for word in [1_795_000_000 + u32::from(number), 0, 100, 100] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&packet);
    }
    file
}

#[test]
#[ignore = "needs softflowd: make test-peers"]
fn softflowd_exports_one_flow_in_each_of_its_formats() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packets.pcap");
    std::fs::write(&file, recording()).unwrap();
    for version in ["5", "9", "10"] {
        let (socket, port) = udp();
        let collector = format!("127.0.0.1:{port}");
        let arguments =
            ["-r", file.to_str().unwrap(), "-v", version, "-n", &collector, "-d", "-p", "none", "-c", "none"];
        run("softflowd", &arguments);
        let mut templates = netflow::Templates::default();
        let mut flows = Vec::new();
        while flows.is_empty() {
            let export = netflow::parse_datagram(&datagram(&socket), &mut templates).unwrap();
            assert_eq!(export.version.to_string(), version);
            flows.extend(export.flows);
        }
        let flow = &flows[0];
        assert_eq!(flow.source, Some("192.0.2.1".parse().unwrap()), "version {version}: {flow:?}");
        assert_eq!(flow.destination, Some("192.0.2.2".parse().unwrap()), "version {version}: {flow:?}");
        assert_eq!((flow.source_port, flow.destination_port, flow.protocol), (1234, 53, 17), "version {version}");
        assert_eq!((flow.packets, flow.bytes), (10, 1000), "version {version}: {flow:?}");
        let (start, end) = (flow.start_millis.unwrap(), flow.end_millis.unwrap());
        assert_eq!(end - start, 9000, "version {version}: {flow:?}");
    }
}

#[tokio::test]
#[ignore = "needs Alertmanager: make test-peers"]
async fn alertmanager_sends_its_webhook() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = listener.local_addr().unwrap().port();
    let port = free_port();
    let configuration = format!(
        "route:\n  receiver: us\n  group_wait: 0s\n  group_interval: 1s\n\
         receivers:\n- name: us\n  webhook_configs:\n  - url: http://127.0.0.1:{hook}/\n"
    );
    let address = format!("--web.listen-address=127.0.0.1:{port}");
    let arguments =
        ["--config.file={folder}/peer.conf", "--storage.path={folder}/data", &address, "--cluster.listen-address="];
    let peer = start("/usr/bin/prometheus-alertmanager", &configuration, &arguments, &[("data/", String::new())]);
    until_it_listens(&peer, port).await;
    let alerts =
        json!([{"labels": {"alertname": "HighLoad", "host": "web-1"}, "annotations": {"summary": "too much"}}]);
    let params = json!({"method": "POST", "send_headers": {"Content-Type": "application/json"}, "send_body": alerts.to_string()});
    let target = format!("http://127.0.0.1:{port}/api/v2/alerts");
    let posted = crate::check("http", &target, params, crate::SECONDS_5).await;
    assert_eq!(posted.state, probe::State::Ok, "{}", posted.summary);
    let body = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut bytes = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let length = stream.read(&mut chunk).unwrap();
            bytes.extend_from_slice(&chunk[..length]);
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            let wanted =
                text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            if let (Some(head), Some(wanted)) = (head, wanted)
                && bytes.len() >= head + 4 + wanted
            {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                return bytes.split_off(head + 4);
            }
            assert!(length > 0, "the webhook is whole");
        }
    });
    let body = tokio::time::timeout(Duration::from_secs(20), body).await.expect("the webhook comes").unwrap();
    let group = alertmanager::parse_group(&body).unwrap();
    assert!(group.is_firing && group.alerts.len() == 1);
    assert_eq!(group.alerts[0].labels["host"], "web-1");
    assert_eq!((group.alerts[0].annotations["summary"].as_str(), group.alerts[0].ends_at), ("too much", None));
}

#[test]
#[ignore = "needs the FusionInventory agent: make test-peers"]
fn the_inventory_agents_own_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    run(
        "fusioninventory-agent",
        &["--local", place, "--no-category=software,process,environment", "--tag=test", "--no-task=deploy,wakeonlan"],
    );
    let file = std::fs::read_dir(place)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "ocs"));
    let inventory =
        inventory::parse_inventory(&std::fs::read(file.expect("the agent writes its file")).unwrap()).unwrap();
    assert_eq!(inventory.action, "inventory");
    assert!(inventory.agent.contains("FusionInventory"), "{}", inventory.agent);
    let hardware = inventory.sections["hardware"].as_array().unwrap();
    assert!(hardware[0]["name"].is_string() && hardware[0]["memory"].is_string(), "{hardware:?}");
    assert!(inventory.sections.contains_key("cpus"), "{:?}", inventory.sections.keys().collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "needs rsyslog: make test-peers"]
async fn rsyslog_passes_messages_on_over_both_transports() {
    let (socket, udp_port) = udp();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_port = listener.local_addr().unwrap().port();
    let input = free_port();
    let configuration = format!(
        "global(workDirectory=\"{{folder}}\")\nmodule(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{input}\")\n\
         *.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{udp_port}\" protocol=\"udp\" template=\"RSYSLOG_SyslogProtocol23Format\")\n\
         *.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tcp_port}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_ForwardFormat\")\n"
    );
    let _peer =
        start("/usr/sbin/rsyslogd", &configuration, &["-n", "-f", "{folder}/peer.conf", "-i", "{folder}/pid"], &[]);
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let said = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut buffer = [0; 4096];
    let text = (0..100).find_map(|_| {
        // polls: rsyslog listens and passes on; what is said before is lost
        let _ = said.send_to(b"<19>Nov 21 10:11:12 web-1 shop[42]: out of stock", ("127.0.0.1", input));
        let length = socket.recv(&mut buffer).ok()?;
        String::from_utf8(buffer[..length].to_vec()).ok().filter(|text| text.contains("out of stock"))
    });
    let text = text.expect("rsyslog passes the message on over UDP");
    let message = syslog::parse_message(&text).unwrap();
    assert_eq!((message.facility, message.severity, message.program), (2, 3, Some("shop")), "{text}");
    assert_eq!(
        (message.process, message.host, message.text.trim()),
        (Some("42"), Some("web-1"), "out of stock"),
        "{text}"
    );
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = Vec::new();
    while syslog::parse_frame(&bytes, 8192).unwrap().is_none() {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "rsyslog sends a whole frame");
        bytes.extend_from_slice(&buffer[..length]);
    }
    let (frame, _) = syslog::parse_frame(&bytes, 8192).unwrap().unwrap();
    let text = std::str::from_utf8(frame).unwrap();
    let message = syslog::parse_message(text).unwrap();
    assert_eq!((message.severity, message.host), (3, Some("web-1")), "{text}");
}

#[tokio::test]
#[ignore = "needs fluent-logger of npm: make test-peers"]
async fn a_sender_of_events_proves_itself_and_sends() {
    let place =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/node-peers/node_modules/fluent-logger");
    assert!(place.exists(), "{} is not there: run `make test-peers` once", place.display());
    for (their_key, password, is_welcome) in
        [("shared5ecret", "hunter2", true), ("other", "hunter2", false), ("shared5ecret", "letmein", false)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!(
            "const sender = require('{}').createFluentSender('app', {{host: '127.0.0.1', port: {port}, timeout: 5, requireAckResponse: true,\n\
             security: {{clientHostname: 'web-1', sharedKey: '{their_key}', username: 'mia', password: '{password}'}}}});\n\
             sender.on('error', () => {{}});\nsender.emit('web', {{message: 'hello', n: 7}});\n",
            place.display()
        );
        let _peer = start("/usr/bin/node", &script, &["{folder}/peer.conf"], &[]);
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let greeting = fluent::Greeting { nonce: [7; 16], salt: Some([9; 16]) };
        stream.write_all(&greeting.bytes()).unwrap();
        let mut bytes = Vec::new();
        let mut read = |bytes: &mut Vec<u8>| {
            let mut chunk = [0; 4096];
            let length = stream.read(&mut chunk).unwrap();
            assert!(length > 0, "the sender says it all");
            bytes.extend_from_slice(&chunk[..length]);
        };
        let ping = loop {
            read(&mut bytes);
            if let Some((ping, taken)) = fluent::parse_ping(&bytes).unwrap() {
                bytes.drain(..taken);
                break ping;
            }
        };
        assert_eq!((ping.host.as_str(), ping.user.as_str()), ("web-1", "mia"));
        let (key, right) = (probe::Secret::new("shared5ecret"), probe::Secret::new("hunter2"));
        assert_eq!(ping.knows_key(&greeting, &key), their_key == "shared5ecret");
        assert_eq!(ping.knows_password(&greeting, &right), password == "hunter2");
        if !is_welcome {
            continue;
        }
        stream.write_all(&ping.answer(&greeting, "mainstay", Ok(&key))).unwrap();
        let mut chunk = [0; 4096];
        let message = loop {
            if let Some((message, _)) = fluent::parse_message(&bytes).unwrap() {
                break message;
            }
            let length = stream.read(&mut chunk).unwrap();
            assert!(length > 0, "it believes that we know the key, too, and sends");
            bytes.extend_from_slice(&chunk[..length]);
        };
        assert_eq!((message.tag.as_str(), &message.events[0].record["n"]), ("app.web", &json!(7)));
        assert!(message.chunk.is_some(), "it waits for our word");
    }
}
