//! MQTT against mosquitto, AMQP against rabbitmq, Kafka against the cluster that librdkafka plays, ZooKeeper against itself.

use std::time::Duration;

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, is_well, run, start, until_it_answers, until_it_listens, until_it_listens_for};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

async fn hold(protocol: &str, base: &Value, rows: Vec<(&str, Value, State, &str)>) {
    for (target, more, state, part) in rows {
        let mut params = base.clone();
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let outcome = check(protocol, target, params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{protocol} {more}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{protocol} {more}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
    }
}

#[tokio::test]
async fn a_real_mqtt_broker_lets_in_and_has_a_message() {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let (port, tls_port) = (free_port(), free_port());
    let passwords = tempfile::NamedTempFile::new().unwrap();
    run("mosquitto_passwd", &["-c", "-b", passwords.path().to_str().unwrap(), "mia", "hunter2"]);
    let configuration = format!(
        "user root\nallow_anonymous false\npassword_file {{folder}}/passwd\nlistener {port} 127.0.0.1\n\
         listener {tls_port} 127.0.0.1\ncertfile {{folder}}/crt\nkeyfile {{folder}}/key\n"
    );
    let files = [("passwd", std::fs::read_to_string(passwords.path()).unwrap()), ("crt", certificate), ("key", key)];
    let peer = start("/usr/sbin/mosquitto", &configuration, &["-c", "{folder}/peer.conf"], &files);
    until_it_listens(&peer, port).await;
    let text = port.to_string();
    let publish =
        ["-h", "127.0.0.1", "-p", &text, "-u", "mia", "-P", "hunter2", "-r", "-t", "hall/temperature", "-m", "21.5"];
    run("mosquitto_pub", &publish);
    let (plain, tls) = (format!("localhost:{port}"), format!("localhost:{tls_port}"));
    let topic = "hall/temperature";
    for version in ["3.1.1", "5"] {
        let base = json!({"version": version, "user": "mia", "password": "hunter2", "ca": authority.pem()});
        hold(
            "mqtt",
            &base,
            vec![
                (&plain, json!({}), State::Ok, "lets the client in and answers pings"),
                (&tls, json!({"tls": true}), State::Ok, "lets the client in"),
                (&plain, json!({"topic": topic, "message": "^21"}), State::Ok, "has \"21.5\" on hall/temperature"),
                (&plain, json!({"topic": topic, "message": "^off$"}), State::Critical, "does not match ^off$"),
                (&plain, json!({"password": "letmein"}), State::Critical, "refuses the client ("),
                (&tls, json!({"tls": true, "ca": null}), State::Critical, "no authority that is trusted"),
            ],
        )
        .await;
    }
    let params = json!({"user": "mia", "password": "hunter2", "topic": "nobody/speaks"});
    let outcome = check("mqtt", &plain, params, Duration::from_millis(400)).await;
    assert!(outcome.summary.contains("while waiting for a message on the topic (timeout)"), "{}", outcome.summary);
}

/// A broker with a user mia and a queue of two messages' room; its name server (epmd) is a child of the test too.
async fn rabbitmq() -> (Peer, Peer, u16) {
    rabbitmq_with("[].\n", "").await
}

/// The same with its management interface at that port, which mia may use.
pub async fn rabbitmq_managed(port: u16) -> (Peer, Peer, u16) {
    let settings = format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n");
    let (peer, epmd, amqp) = rabbitmq_with("[rabbitmq_management].\n", &settings).await;
    until_it_listens_for(&peer, port, Duration::from_secs(180)).await;
    (peer, epmd, amqp)
}

async fn rabbitmq_with(plugins: &str, settings: &str) -> (Peer, Peer, u16) {
    let (port, epmd_port, dist_port) = (free_port(), free_port(), free_port());
    let text = epmd_port.to_string();
    let epmd = start("/usr/bin/epmd", "", &["-port", &text, "-address", "127.0.0.1"], &[]);
    until_it_listens(&epmd, epmd_port).await;
    let definitions = json!({
        "users": [{"name": "mia", "password": "hunter2", "tags": "monitoring"}], "vhosts": [{"name": "/"}],
        "permissions": [{"user": "mia", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
        "queues": [{"name": "mail", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}],
    });
    let script = format!(
        "export HOME=$1 ERL_EPMD_PORT={epmd_port} RABBITMQ_NODENAME=peer{port}@localhost RABBITMQ_NODE_PORT={port} \
         RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_DIST_PORT={dist_port} RABBITMQ_MNESIA_BASE=$1/data RABBITMQ_LOG_BASE=$1 \
         RABBITMQ_LOGS=- RABBITMQ_CONFIG_FILE=$1/broker.conf RABBITMQ_ENABLED_PLUGINS_FILE=$1/plugins RABBITMQ_ALLOW_INPUT=1 \
         RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_SERVER_START_ARGS=-noinput ERL_CRASH_DUMP=/dev/null\nexec /usr/lib/rabbitmq/bin/rabbitmq-server 1>&2\n"
    );
    let files = [
        ("broker.conf", format!("load_definitions = {{folder}}/definitions.json\n{settings}")),
        ("definitions.json", definitions.to_string()),
        ("plugins", plugins.to_owned()),
    ];
    let peer = start("/bin/sh", &script, &["{folder}/peer.conf", "{folder}"], &files);
    until_it_listens_for(&peer, port, Duration::from_secs(180)).await;
    (peer, epmd, port)
}

#[tokio::test]
#[ignore = "needs RabbitMQ: make test-peers"]
async fn a_real_amqp_broker_counts_its_queues() {
    let (_peer, _epmd, port) = rabbitmq().await;
    let at = format!("127.0.0.1:{port}");
    let base = json!({"user": "mia", "password": "hunter2"});
    hold(
        "amqp",
        &json!({}),
        vec![(&at, json!({}), State::Ok, "(\"RabbitMQ 3.10"), (&at, json!({"tls": true}), State::Critical, "TLS")],
    )
    .await;
    hold(
        "amqp",
        &base,
        vec![
            (&at, json!({}), State::Ok, "lets the user in"),
            (
                &at,
                json!({"queue": "mail", "critical_messages": 1}),
                State::Ok,
                "the queue mail has 0 messages and 0 consumers",
            ),
            (&at, json!({"queue": "mail", "min_consumers": 1}), State::Critical, "where at least 1 are expected"),
            (&at, json!({"queue": "none"}), State::Critical, "refuses the queue \"none\" (\"404 NOT_FOUND"),
            (&at, json!({"vhost": "none"}), State::Critical, "refuses the virtual host \"none\" (\"530 NOT_ALLOWED"),
            (&at, json!({"password": "letmein"}), State::Critical, "refuses the user \"mia\" (\"403 ACCESS_REFUSED"),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs kcat: make test-peers"]
async fn a_cluster_of_kafka_is_looked_at_through_one_broker() {
    let arguments = ["-b", "none", "-C", "-t", "mail", "-X", "test.mock.num.brokers=3", "-X", "debug=mock"];
    let peer = start("/usr/bin/kcat", "", &arguments, &[]);
    let log = peer.folder().join("log");
    let found = tokio::time::timeout(SECONDS_5, async {
        loop {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let ready = log.contains("Created topic \"mail\"");
            let list = log.split("bootstrap.servers=").nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned);
            if let Some(list) = list.filter(|_| ready) {
                return list;
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // polls: the cluster is made
        }
    });
    let brokers = found.await.expect("the cluster names its brokers");
    let at = brokers.split(',').next().unwrap();
    hold(
        "kafka",
        &json!({}),
        vec![
            (
                at,
                json!({"min_brokers": 3, "controller": false}),
                State::Ok,
                "3 brokers, 1 topics, 4 partitions, all in order",
            ),
            (at, json!({"topics": "mail", "controller": false}), State::Ok, "1 topics"),
            (at, json!({}), State::Warning, "the cluster has no controller"), // That one is not played.
            (at, json!({"min_brokers": 4}), State::Critical, "at least 4 are expected"),
            (at, json!({"tls": true}), State::Critical, "TLS"),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs ZooKeeper: make test-peers"]
async fn a_real_zookeeper_tells_its_mode_and_figures() {
    let port = free_port();
    let configuration = format!(
        "tickTime=2000\ndataDir={{folder}}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
         4lw.commands.whitelist=srvr,mntr\nadmin.enableServer=false\n"
    );
    let class = "org.apache.zookeeper.server.ZooKeeperServerMain";
    let arguments =
        ["-cp", "/usr/share/java/zookeeper.jar", "-Dzookeeper.admin.enableServer=false", class, "{folder}/peer.conf"];
    let peer = start("/usr/bin/java", &configuration, &arguments, &[("data/", String::new())]);
    until_it_listens_for(&peer, port, Duration::from_secs(30)).await;
    let at = format!("127.0.0.1:{port}");
    // It listens before it serves, and lets whoever asks too early wait for good.
    until_it_answers(&peer, "zookeeper", &at, &json!({}), is_well).await;
    hold(
        "zookeeper",
        &json!({}),
        vec![
            (
                &at,
                json!({"values": {"mode": "standalone", "outstanding": "< 10"}}),
                State::Ok,
                "serves as standalone (3.",
            ),
            (&at, json!({"values": {"zk_server_state": "standalone"}}), State::Ok, "serves"),
            (&at, json!({"values": {"zk_znode_count": "> 100000"}}), State::Critical, "zk_znode_count is"),
            (&at, json!({"values": {"mode": "leader"}}), State::Critical, "mode is \"standalone\""),
        ],
    )
    .await;
}
