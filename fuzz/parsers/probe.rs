//! The parsers of `probe`, and of what others send to us; a part of the list in `parsers.rs`.

use super::{answer, text};

/// Addresses that checks are pointed at.
pub fn probe_target(bytes: &[u8]) {
    answer(probe::target::parse_host_port(bytes));
    answer(probe::target::parse_web_address(bytes));
}

/// Answers of name servers, and the file that names them.
pub fn probe_dns(bytes: &[u8]) {
    answer(probe::dns::parse_answer(bytes));
    answer(probe::dns::parse_framed(bytes));
    answer(probe::dns::parse_resolv_conf(bytes));
}

/// Conditions on JSON bodies.
pub fn probe_http(bytes: &[u8]) {
    answer(probe::http::parse_json_condition(bytes));
}

/// Answers of time servers.
pub fn probe_ntp(bytes: &[u8]) {
    answer(probe::ntp::parse_answer(bytes));
}

/// Certificates and bundles of them.
pub fn probe_tls(bytes: &[u8]) {
    answer(probe::tls::parse_certificate(bytes));
    answer(probe::tls::parse_authorities(bytes));
    answer(probe::tls::parse_staple(bytes));
    answer(probe::tls::parse_hello(bytes));
}

/// What the kernel says of processes, disks, memory and load.
pub fn probe_host(bytes: &[u8]) {
    answer(probe::process::parse_status(bytes));
    answer(probe::process::parse_command_line(bytes));
    answer(probe::process::parse_pid_file(bytes));
    answer(probe::disk::parse_mounts(bytes));
    answer(probe::memory::parse_meminfo(bytes));
    answer(probe::load::parse_load_average(bytes));
    answer(probe::load::parse_cpu_list(bytes));
}

/// What systemd says of a unit.
pub fn probe_systemd(bytes: &[u8]) {
    answer(probe::systemd::parse_unit(bytes));
}

/// Answers of caches: RESP replies, INFO, statistics.
pub fn probe_caches(bytes: &[u8]) {
    answer(probe::redis::parse_reply(bytes));
    answer(probe::redis::parse_info(bytes));
    answer(probe::memcached::parse_stats(bytes));
}

/// Answers of mail and file servers.
pub fn probe_mail(bytes: &[u8]) {
    answer(probe::reply::parse_reply(bytes));
    answer(probe::imap::parse_greeting(bytes));
    answer(probe::imap::parse_answer(bytes));
    answer(probe::imap::parse_status(bytes));
    answer(probe::pop3::parse_status(bytes));
    answer(probe::pop3::parse_stat(bytes));
}

/// Datagrams that users write.
pub fn probe_udp(bytes: &[u8]) {
    answer(probe::udp::parse_datagram(probe::udp::Encoding::Hex, bytes));
}

/// Lists of addresses, replies to echoes, the kernel's neighbours and the makers of network cards.
pub fn probe_sweep(bytes: &[u8]) {
    answer(probe::sweep::parse_addresses(bytes));
    answer(probe::sweep::parse_echo(bytes));
    answer(probe::sweep::parse_neighbours(bytes));
    answer(probe::sweep::parse_manufacturers(bytes));
}

/// What devices announce over mDNS.
pub fn probe_mdns(bytes: &[u8]) {
    answer(probe::fingerprint::parse_announcement(bytes));
}

/// Node status over NetBIOS.
pub fn probe_netbios(bytes: &[u8]) {
    answer(probe::fingerprint::parse_status(bytes));
}

/// Files of signatures, the bytes that are sent, and what a service is by what it says.
pub fn probe_fingerprint(bytes: &[u8]) {
    answer(probe::fingerprint::parse_signatures("fuzz.yaml", bytes));
    answer(probe::fingerprint::parse_bytes(bytes));
    let evidence = probe::fingerprint::Evidence { banner: bytes.to_vec(), ..Default::default() };
    answer(probe::fingerprint::recognise(probe::fingerprint::Fingerprints::own().signatures(), &evidence));
}

/// What SSH servers say before anything is encrypted.
pub fn probe_ssh(bytes: &[u8]) {
    answer(probe::ssh::parse_identification(bytes));
    answer(probe::ssh::parse_packet(bytes));
    answer(probe::ssh::parse_offers(bytes));
    answer(probe::ssh::parse_server_key(bytes));
    answer(probe::ssh::parse_disconnect(bytes));
}

/// What SSH servers say once it is encrypted, and the private keys that users paste.
pub fn probe_ssh_session(bytes: &[u8]) {
    for cipher in ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"] {
        let direction = probe::ssh::known_direction(cipher).expect("its name is among those that are spoken");
        answer(direction.open(bytes));
    }
    answer(probe::ssh::parse_message(bytes));
    answer(probe::ssh::parse_questions(bytes));
    answer(probe::ssh::parse_private_key(bytes));
}

/// Answers of StatsD's administrative interface.
pub fn probe_statsd(bytes: &[u8]) {
    answer(probe::statsd::parse_health(bytes));
    answer(probe::statsd::parse_stats(bytes));
    answer(probe::statsd::parse_gauge(bytes, "a"));
}

/// What routers and hosts say about echoes.
pub fn probe_traceroute(bytes: &[u8]) {
    answer(probe::traceroute::parse_heard(false, bytes));
    answer(probe::traceroute::parse_heard(true, bytes));
}

/// Answers of databases.
pub fn probe_sql(bytes: &[u8]) {
    answer(probe::sql::mysql::parse_packet(bytes));
    answer(probe::sql::mysql::parse_first_packet(bytes));
    answer(probe::sql::mysql::parse_greeting(bytes));
    answer(probe::sql::mysql::parse_error(bytes));
    answer(probe::sql::mysql::parse_columns(bytes));
    answer(probe::sql::mysql::parse_row(bytes, 3));
    answer(probe::sql::clickhouse::parse_table(bytes));
    answer(probe::sql::postgresql::parse_message(bytes));
    answer(probe::sql::postgresql::parse_error(bytes));
    answer(probe::sql::postgresql::parse_columns(bytes));
    answer(probe::sql::postgresql::parse_row(bytes));
    answer(probe::sql::postgresql::parse_wants(bytes));
    answer(probe::sql::postgresql::answer("a", "b", bytes));
}

/// Answers of directories and authentication servers, and filters.
pub fn probe_directory(bytes: &[u8]) {
    answer(probe::ldap::parse_message(bytes));
    answer(probe::ldap::parse_filter(bytes));
    answer(probe::radius::parse_reply(bytes));
    answer(probe::kerberos::parse_answer(bytes));
}

/// Answers of message brokers and of ZooKeeper.
pub fn probe_brokers(bytes: &[u8]) {
    answer(probe::mqtt::parse_packet(bytes));
    answer(probe::amqp::parse_frame(bytes));
    answer(probe::amqp::parse_product(bytes));
    answer(probe::amqp::parse_close(bytes));
    answer(probe::amqp::parse_queue(bytes));
    answer(probe::kafka::parse_answer(bytes));
    answer(probe::kafka::parse_metadata(bytes));
    answer(probe::kafka::parse_mechanisms(bytes));
    answer(probe::kafka::parse_proof(bytes));
    answer(probe::zookeeper::parse_state(bytes));
}

/// Answers of agents and output of plugins.
pub fn probe_agents(bytes: &[u8]) {
    answer(probe::plugin::parse_output(bytes));
    answer(probe::plugin::parse_performance(bytes));
    answer(probe::nrpe::parse_answer(bytes));
    answer(probe::zabbix::parse_value(bytes));
}

/// Log messages and events that are sent to us.
pub fn receive_logs(bytes: &[u8]) {
    answer(probe::receive::syslog::parse_message(&text(bytes)));
    answer(probe::receive::syslog::parse_frame(bytes, 1000));
    answer(probe::receive::gelf::parse_message(bytes));
    answer(probe::receive::gelf::parse_chunk(bytes));
    answer(probe::receive::fluent::parse_message(bytes));
    answer(probe::receive::fluent::parse_ping(bytes));
    answer(probe::receive::cloudevents::parse_request(
        &[("content-type", "application/cloudevents-batch+json")],
        bytes,
    ));
    answer(probe::receive::cloudevents::parse_request(&[("ce-id", &text(bytes))], bytes));
}

/// Flows and samples of packets.
pub fn receive_flows(bytes: &[u8]) {
    answer(probe::receive::netflow::parse_datagram(bytes, &mut probe::receive::netflow::Templates::default()));
    answer(probe::receive::sflow::parse_datagram(bytes));
}

/// What agents and other monitoring systems report.
pub fn receive_reports(bytes: &[u8]) {
    answer(probe::receive::zabbix::parse_frame(bytes));
    answer(probe::receive::zabbix::parse_asked(bytes));
    answer(probe::receive::collectd::parse_datagram(bytes));
    answer(probe::receive::alertmanager::parse_group(bytes));
    answer(probe::receive::pagerduty::parse_event(bytes));
    answer(probe::receive::inventory::parse_inventory(bytes));
}

/// Answers of devices and of servers that stay connected.
pub fn probe_devices(bytes: &[u8]) {
    answer(probe::websocket::parse_frame(bytes));
    answer(probe::websocket::parse_head(bytes));
    answer(probe::websocket::parse_address(bytes));
    answer(probe::modbus::parse_answer(bytes, 1, 3));
    answer(probe::sip::parse_answer(bytes));
}

/// Answers of machines and of what is in them: controllers, file servers, cameras, printers, the building.
pub fn probe_machines(bytes: &[u8]) {
    answer(probe::ipmi::parse_packet(bytes, 16));
    answer(probe::ipmi::parse_sensor(bytes));
    answer(probe::smb::parse_answer(bytes));
    answer(probe::rtsp::parse_answer(bytes));
    answer(probe::rtsp::parse_address(bytes));
    answer(probe::rtsp::parse_media(bytes));
    answer(probe::ipp::parse_answer(bytes));
    answer(probe::ipp::parse_address(bytes));
    answer(probe::bacnet::parse_answer(bytes));
    answer(probe::bacnet::parse_i_am(bytes));
    answer(probe::dhcp::parse_offer(bytes));
    answer(probe::checkmk::parse_output(bytes));
    answer(probe::mongodb::parse_message(bytes));
    answer(probe::mongodb::parse_document(bytes));
}

/// Answers of interfaces over HTTP, and what users write to choose among them.
pub fn probe_interfaces(bytes: &[u8]) {
    answer(probe::prometheus::parse_page(bytes));
    answer(probe::prometheus::parse_delimited(bytes));
    answer(probe::prometheus::parse_selector(bytes));
    answer(probe::jmx::parse_attribute(bytes));
    answer(probe::kubernetes::parse_ready(500, bytes));
    answer(probe::winrm::parse_identity(bytes));
    answer(text(bytes).parse::<probe::env::Range>());
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) {
        answer(probe::docker::parse_containers(&json));
        answer(probe::jmx::parse_page(&json, &[]));
        answer(probe::jmx::parse_jolokia(&json, &[]));
    }
}

/// Log lines that other programs push to us.
pub fn receive_pushes(bytes: &[u8]) {
    answer(probe::receive::loki::parse_json(bytes));
    answer(probe::receive::loki::parse_protobuf(bytes));
    answer(probe::receive::loki::parse_labels(&text(bytes)));
    answer(probe::receive::otlp_logs::parse_protobuf(bytes));
    answer(probe::receive::otlp_logs::parse_json(bytes));
}

/// Datagrams of SNMP in every version, and what is in their encrypted part.
pub fn probe_snmp(bytes: &[u8]) {
    answer(probe::snmp::Scoped::parse(bytes));
    answer(text(bytes).parse::<probe::snmp::Oid>());
    if let Ok(probe::snmp::Message::V3(message)) = probe::snmp::parse_message(bytes) {
        answer(probe::snmp::parse_message(&message.bytes()).expect("what is written is read"));
        let mut engine = engine();
        answer(engine.open(bytes, &message, std::time::Duration::ZERO));
    }
}

/// Traps and informs, from strangers and from a known user.
pub fn probe_snmp_trap(bytes: &[u8]) {
    if let Ok(told) = probe::snmp::parse_notification(bytes)
        && let Some(reply) = told.acknowledgement
    {
        answer(probe::snmp::parse_message(&reply).expect("what is sent back is SNMP"));
    }
    let mut engine = engine();
    answer(probe::snmp::parse_notification_v3(bytes, std::time::Duration::ZERO, |_, _| Some(&mut engine)));
}

/// Extraction profiles, lists of roles and of operating systems, and what a profile finds in a text, rows and a document.
pub fn probe_extract(bytes: &[u8]) {
    use probe::extract::{Input, Library, Profile, Role, Snapshot, extract, objects, parse_list, roots};
    let text = text(bytes);
    answer(parse_list("fuzzed.yaml", &text));
    answer(Role::parse_list("fuzzed.yaml", &text, Library::own().profiles()));
    let Ok(profiles) = Profile::parse_all("fuzzed.yaml", &text) else { return };
    let profiles: Vec<&Profile> = profiles.iter().collect();
    let mut snapshot = Snapshot::default();
    let identity = probe::snmp::Value::Oid(probe::snmp::Oid::new(&[1, 3, 6, 1, 4, 1, 9, 1, 1]));
    let place = probe::snmp::Oid::new(&[1, 3, 6, 1, 2, 1, 1, 2, 0]);
    snapshot.add([probe::snmp::VarBind { oid: place, value: identity }]);
    let places = [roots(&profiles, &snapshot), objects(&profiles, &snapshot)].concat();
    snapshot.add(places.into_iter().map(|oid| probe::snmp::VarBind {
        oid: oid.with(&[1]),
        value: probe::snmp::Value::Octets(bytes[..bytes.len().min(40)].to_vec()),
    }));
    let document = serde_json::json!({"data": [{"a": 1, "b": "2 x"}], "beans": [{"name": "a:b=c", "v": {"w": 3}}]});
    answer(extract(&profiles, Input::Snmp(&snapshot)));
    answer(extract(&profiles, Input::Json(&document)));
    answer(extract(&profiles, Input::Text(&text)));
}

/// An engine whose user has no password, so that what is behind the digest is reached.
fn engine() -> probe::snmp::Engine {
    probe::snmp::Engine::unknown(probe::snmp::User { name: "mia".to_owned(), auth: None, privacy: None }, 1)
}

/// What goes between the program and its starter of plugins, and policies of addresses by site.
pub fn probe_starter(bytes: &[u8]) {
    answer(probe::starter::parse_order(bytes));
    answer(probe::starter::parse_done(bytes));
    answer(probe::env::parse_policies(bytes));
}
