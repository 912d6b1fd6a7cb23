//! Interfaces over HTTP and of machines against real peers: Prometheus' node exporter, Jolokia, sushy's Redfish, CUPS,
//! Samba, Podman, RabbitMQ's management, GStreamer's RTSP server and OpenIPMI's controller.

use std::time::Duration;

use probe::{Outcome, State};
use serde_json::{Value, json};

use crate::peers::{
    Peer, free_port, is_well, python, run, start, until_it_answers, until_it_listens, until_it_listens_for,
};
use crate::{SECONDS_5, check};

async fn hold(protocol: &str, target: &str, rows: Vec<(Value, State, &str)>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (params, state, part) in rows {
        let outcome = check(protocol, target, params.clone(), Duration::from_secs(15)).await;
        assert_eq!(outcome.state, state, "{protocol} {params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{protocol} {params}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
        outcomes.push(outcome);
    }
    outcomes
}

#[tokio::test]
async fn a_real_page_of_metrics_says_the_same_in_every_form() {
    let port = free_port();
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let peer = start(
        "/usr/bin/prometheus-node-exporter",
        "",
        &[&listen, "--collector.disable-defaults", "--collector.loadavg", "--collector.meminfo"],
        &[],
    );
    until_it_listens(&peer, port).await;
    let target = format!("http://127.0.0.1:{port}/metrics");
    let mut counts = Vec::new();
    for format in ["any", "text", "openmetrics", "protobuf"] {
        let outcomes = hold(
            "prometheus",
            &target,
            vec![
                (json!({"format": format, "metrics": {"node_memory_MemTotal_bytes": "> 1000000", "node_scrape_collector_success": 1}}), State::Ok, "samples"),
                (json!({"format": format, "metrics": {"node_scrape_collector_success{collector=\"loadavg\"}": 0}}), State::Critical, "collector=\"loadavg\"} is 1, where 0"),
                (json!({"format": format, "warn_metrics": {"node_none": 1}}), State::Warning, "it has no node_none"),
                (json!({"format": format, "keep": "^node_load"}), State::Ok, "samples"),
            ],
        )
        .await;
        assert_eq!(outcomes[0].readings.iter().filter(|one| one.name == "node_scrape_collector_success").count(), 2);
        assert_eq!(outcomes[3].readings.iter().filter(|one| one.name.starts_with("node_load")).count(), 3, "{format}");
        counts.push(outcomes[0].reading("node_memory_MemTotal_bytes").unwrap());
    }
    assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{counts:?}");
    let page = format!("http://127.0.0.1:{port}/");
    hold("prometheus", &page, vec![(json!({}), State::Critical, "is no page of metrics")]).await;
}

/// Jolokia's own request handler behind the web server of the Java library.
const JOLOKIA: &str = r#"
import com.sun.net.httpserver.*;
import java.net.*;
import java.util.*;
import org.jolokia.backend.BackendManager;
import org.jolokia.config.*;
import org.jolokia.http.HttpRequestHandler;
import org.jolokia.restrictor.AllowAllRestrictor;
import org.jolokia.util.*;

public class peer {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        LogHandler quiet = new LogHandler.StdoutLogHandler(false);
        Configuration configuration = new Configuration(ConfigKey.AGENT_ID, "peer");
        BackendManager backend = new BackendManager(configuration, quiet, new AllowAllRestrictor());
        HttpRequestHandler handler = new HttpRequestHandler(configuration, backend, quiet);
        server.createContext("/jolokia", exchange -> {
            String answer;
            try {
                answer = handler.handlePostRequest("/jolokia", exchange.getRequestBody(), "utf-8", new HashMap<>()).toJSONString();
            } catch (Exception error) {
                answer = handler.handleThrowable(error).toJSONString();
            }
            byte[] bytes = answer.getBytes("UTF-8");
            exchange.sendResponseHeaders(200, bytes.length);
            exchange.getResponseBody().write(bytes);
            exchange.close();
        });
        server.start();
    }
}
"#;

#[tokio::test]
#[ignore = "needs Jolokia and a Java compiler: make test-peers"]
async fn a_real_java_program_tells_its_attributes_through_jolokia() {
    let port = free_port();
    let classes = "/usr/share/java/jolokia-core.jar:/usr/share/java/json-simple.jar";
    let text = port.to_string();
    let files = [("peer.java", JOLOKIA.to_owned())];
    let peer = start("/usr/bin/java", "", &["-cp", classes, "{folder}/peer.java", &text], &files);
    until_it_listens_for(&peer, port, Duration::from_secs(60)).await;
    let outcomes = hold(
        "jmx",
        &format!("http://127.0.0.1:{port}/jolokia/"),
        vec![
            (json!({"values": {"java.lang:type=Threading ThreadCount": "> 1"}}), State::Ok, "of heap in use"),
            (
                json!({"values": {"java.lang:type=Memory HeapMemoryUsage.used": "< 10"}}),
                State::Critical,
                "HeapMemoryUsage.used is",
            ),
            (json!({"values": {"java.lang:type=None Count": "1"}}), State::Critical, "is not among its values"),
        ],
    )
    .await;
    for reading in ["jmx_heap_used_bytes", "jmx_threads_count", "jmx_uptime_milliseconds"] {
        assert!(outcomes[0].reading(reading).unwrap() > 0.0, "{reading}");
    }
}

#[tokio::test]
#[ignore = "needs sushy-emulator: make test-peers"]
async fn a_real_redfish_service_tells_of_its_systems() {
    let port = free_port();
    let configuration = format!(
        "SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\nSUSHY_EMULATOR_FAKE_DRIVER = True\n\
         SUSHY_EMULATOR_AUTH_FILE = '{{folder}}/passwd'\n"
    );
    // hunter2, as htpasswd -B writes it.
    let hash =
        run(&python("python"), &["-c", "import bcrypt; print(bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4)).decode())"]);
    let files = [("passwd", format!("mia:{hash}"))];
    let peer = start(&python("sushy-emulator"), &configuration, &["--config", "{folder}/peer.conf", "--fake"], &files);
    until_it_listens(&peer, port).await;
    let base = json!({"user": "mia", "password": "hunter2"});
    let with = |more: Value| {
        let mut params = base.clone();
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    hold(
        "redfish",
        &format!("http://127.0.0.1:{port}/"),
        vec![
            (with(json!({})), State::Ok, "tells of 1 systems, 1 chassis"),
            (with(json!({"power": "on"})), State::Critical, "is Off, not On"),
            (with(json!({"power": "off"})), State::Ok, "all healthy"),
            (with(json!({"password": "letmein"})), State::Critical, "answers 401"),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs CUPS: make test-peers"]
async fn a_real_print_server_tells_of_its_printers() {
    let port = free_port();
    let configuration = format!(
        "Listen 127.0.0.1:{port}\nListen {{folder}}/sock\nWebInterface No\nBrowsing Off\nDefaultAuthType None\nLogLevel warn\n\
         <Location />\nOrder allow,deny\nAllow from all\n</Location>\n\
         <Policy default>\n<Limit All>\nOrder allow,deny\nAllow from all\n</Limit>\n</Policy>\n"
    );
    let place = "ServerRoot {folder}\nRequestRoot {folder}/spool\nCacheDir {folder}/cache\nStateDir {folder}/state\nTempDir {folder}/tmp\n\
        AccessLog {folder}/access\nErrorLog {folder}/error\nPageLog {folder}/page\nSystemGroup root\n";
    let printers = "<Printer hall>\nUUID urn:uuid:0c5d53fe-6b1c-3a49-4cb4-8c1d5a4aa001\nInfo hall\nDeviceURI file:///dev/null\n\
        State Idle\nAccepting Yes\nShared Yes\n</Printer>\n<Printer attic>\nUUID urn:uuid:0c5d53fe-6b1c-3a49-4cb4-8c1d5a4aa002\n\
        Info attic\nDeviceURI file:///dev/null\nState Stopped\nStateMessage out of order\nAccepting No\nShared Yes\n</Printer>\n";
    let files = [
        ("files.conf", place.to_owned()),
        ("printers.conf", printers.to_owned()),
        ("spool/", String::new()),
        ("cache/", String::new()),
        ("state/", String::new()),
        ("tmp/", String::new()),
    ];
    let peer = start(
        "/usr/sbin/cupsd",
        &configuration,
        &["-f", "-c", "{folder}/peer.conf", "-s", "{folder}/files.conf"],
        &files,
    );
    until_it_listens(&peer, port).await;
    let printer = |name: &str| format!("ipp://127.0.0.1:{port}/printers/{name}");
    hold("ipp", &printer("hall"), vec![(json!({}), State::Ok, "is idle")]).await;
    hold("ipp", &printer("attic"), vec![(json!({}), State::Critical, "it has stopped; it takes no jobs")]).await;
    hold(
        "ipp",
        &printer("none"),
        vec![(json!({}), State::Critical, "refuses (status 0x0406: there is no such printer)")],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs Samba: make test-peers"]
async fn a_real_file_server_tells_its_version_and_whether_it_signs() {
    for (settings, params, state, part) in [
        (
            "server signing = mandatory",
            json!({"min_version": "3.1.1", "signing": "required"}),
            State::Ok,
            "speaks SMB 3.1.1 and requires signing",
        ),
        (
            "server max protocol = SMB2_10",
            json!({"min_version": "3.0"}),
            State::Warning,
            "speaks SMB 2.1, where at least 3.0",
        ),
        ("server signing = auto", json!({"signing": "required"}), State::Warning, "does not require signing"),
    ] {
        let port = free_port();
        let configuration = format!(
            "[global]\nsmb ports = {port}\ninterfaces = 127.0.0.1\nbind interfaces only = yes\nlock directory = {{folder}}\n\
             state directory = {{folder}}\ncache directory = {{folder}}\npid directory = {{folder}}\nprivate dir = {{folder}}\n\
             ncalrpc dir = {{folder}}/rpc\nload printers = no\nprintcap name = /dev/null\ndisable spoolss = yes\n{settings}\n"
        );
        let peer = start("/usr/sbin/smbd", &configuration, &["-F", "-s", "{folder}/peer.conf", "-l", "{folder}"], &[]);
        until_it_listens(&peer, port).await;
        hold("smb", &format!("127.0.0.1:{port}"), vec![(params, state, part)]).await;
    }
}

#[tokio::test]
#[ignore = "needs Podman: make test-peers"]
async fn a_real_container_engine_lists_its_containers_over_its_socket() {
    let script = "exec podman --root {folder}/root --runroot {folder}/run --storage-driver vfs system service --time 0 unix://{folder}/sock";
    let peer = start("/bin/sh", "", &["-c", script], &[]);
    let socket = peer.folder().join("sock");
    for _ in 0..500 {
        if socket.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // polls: the socket is there
    }
    hold(
        "docker",
        &format!("unix:{}", socket.display()),
        vec![
            (json!({}), State::Ok, "runs 0 of 0 containers"),
            (json!({"running": "shop"}), State::Critical, "there is no container shop"),
        ],
    )
    .await;
    let none = format!("unix:{}", peer.folder().join("none").display());
    hold("docker", &none, vec![(json!({}), State::Critical, "there is no such socket")]).await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: make test-peers"]
async fn a_real_brokers_management_tells_of_nodes_and_queues() {
    let port = free_port();
    let (_peer, _epmd, _) = crate::brokers::rabbitmq_managed(port).await;
    let target = format!("http://127.0.0.1:{port}/");
    let with = |more: Value| {
        let mut params = json!({"user": "mia", "password": "hunter2"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    hold(
        "amqp-management",
        &target,
        vec![
            (with(json!({})), State::Ok, "has 1 of 1 nodes running and 1 queues"),
            (with(json!({"min_consumers": 1})), State::Critical, "the queue mail has 0 of 1 consumers"),
            (with(json!({"min_consumers": 1, "queues": "^print"})), State::Ok, "(version 3."),
            (with(json!({"password": "letmein"})), State::Critical, "answers 401"),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs GStreamer's RTSP server: make test-peers"]
async fn a_real_media_server_describes_its_stream() {
    let port = free_port();
    let script = format!(
        "import gi\ngi.require_version('Gst', '1.0')\ngi.require_version('GstRtspServer', '1.0')\n\
         from gi.repository import Gst, GstRtspServer, GLib\nGst.init(None)\nserver = GstRtspServer.RTSPServer()\n\
         server.set_address('127.0.0.1')\nserver.set_service('{port}')\nfactory = GstRtspServer.RTSPMediaFactory()\n\
         factory.set_launch('( videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=48 ! rtpvrawpay name=pay0 )')\n\
         server.get_mount_points().add_factory('/open', factory)\nserver.attach(None)\nGLib.MainLoop().run()\n"
    );
    let peer = start("/usr/bin/python3", &script, &["{folder}/peer.conf"], &[]);
    until_it_listens(&peer, port).await;
    let stream = |name: &str| format!("rtsp://127.0.0.1:{port}/{name}");
    hold(
        "rtsp",
        &stream("open"),
        vec![
            (json!({}), State::Ok, "describes video"),
            (json!({"media": "video"}), State::Ok, "video"),
            (json!({"media": ["video", "audio"]}), State::Critical, "without audio"),
            (json!({"describe": false}), State::Ok, "answers"),
        ],
    )
    .await;
    hold(
        "rtsp",
        &stream("none"),
        vec![(json!({}), State::Critical, "answers 404 to DESCRIBE (there is no such stream)")],
    )
    .await;
}

/// OpenIPMI's simulator with one sensor of 42 degrees, whose upper limits are at 60, 70 and 80.
async fn controller() -> (Peer, u16) {
    let port = free_port();
    let lan = format!(
        "name \"peer\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n\
         \x20   allowed_auths_user none md2 md5 straight\n    allowed_auths_admin none md2 md5 straight\n\
         \x20   guid a123456789abcdefa123456789abcdef\n  endlan\n  user 2 true \"mia\" \"hunter2\" admin 10 none md2 md5 straight\n"
    );
    let mut record = vec![0u8; 48];
    for (at, byte) in [(2, 0x51), (3, 1), (5, 0x20), (7, 1), (8, 3), (9, 1), (10, 0x67), (11, 0x88), (12, 1), (13, 1)] {
        record[at] = byte;
    }
    (record[18], record[19], record[21], record[24], record[47]) = (0x38, 0x38, 1, 1, 0xc8);
    record.extend(b"CPU temp");
    record[4] = u8::try_from(record.len() - 5).unwrap();
    let record: Vec<String> = record.iter().map(|byte| format!("{byte:#04x}")).collect();
    let emulation = format!(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nsel_enable 0x20 1000 0x0a\n\
         sensor_add 0x20 0 1 1 1\nsensor_set_value 0x20 0 1 0x2a 0\n\
         sensor_set_threshold 0x20 0 1 settable 111000 0x00 0x00 0x00 0x50 0x46 0x3c\n\
         sensor_set_event_support 0x20 0 1 enable scanning per-state 000111111000000 000111111000000 000111111000000 000111111000000\n\
         main_sdr_add 0x20 {}\nmc_enable 0x20\n",
        record.join(" ")
    );
    let files = [("emulation", emulation), ("state/", String::new())];
    let arguments = ["-c", "{folder}/peer.conf", "-f", "{folder}/emulation", "-n", "-s", "{folder}/state"];
    let peer = start("/usr/bin/ipmi_sim", &lan, &arguments, &files);
    let target = format!("127.0.0.1:{port}");
    until_it_answers(&peer, "ipmi", &target, &json!({}), |outcome| outcome.state != State::Critical).await;
    (peer, port)
}

#[tokio::test]
async fn a_real_management_controller_lets_in_and_tells_power_sensors_and_log() {
    let (_peer, port) = controller().await;
    let with = |more: Value| {
        let mut params = json!({"user": "mia", "password": "hunter2", "suite": "3"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let outcomes = hold(
        "ipmi",
        &format!("127.0.0.1:{port}"),
        vec![
            (with(json!({})), State::Ok, "is switched off, 1 sensors"),
            (json!({}), State::Ok, "answers"),
            (with(json!({"power": "on"})), State::Critical, "it must be on"),
            (with(json!({"sensors": false})), State::Ok, "is switched off"),
            (with(json!({"password": "letmein"})), State::Critical, "different passwords for \"mia\""),
            (with(json!({"user": "eve"})), State::Critical, "does not know the user"),
            (with(json!({"suite": "17"})), State::Critical, "try another one"), // this controller is an old one
        ],
    )
    .await;
    assert_eq!(outcomes[0].reading("ipmi_sensor"), Some(42.0));
    assert_eq!(outcomes[0].reading("ipmi_log_entries_count"), Some(0.0));
    let nobody = check("ipmi", &format!("127.0.0.1:{}", free_port()), json!({}), SECONDS_5).await;
    assert_eq!(nobody.state, State::Critical, "{}", nobody.summary);
}

#[tokio::test]
#[ignore = "needs bacpypes3: make test-peers"]
async fn a_real_bacnet_device_tells_its_values() {
    let port = free_port();
    let script = format!(
        "import asyncio\nfrom bacpypes3.argparse import SimpleArgumentParser\nfrom bacpypes3.app import Application\n\
         from bacpypes3.local.analog import AnalogInputObject\nfrom bacpypes3.local.binary import BinaryInputObject\n\
         async def main():\n\
         \x20   given = SimpleArgumentParser().parse_args(['--name', 'AHU-1', '--instance', '7', '--address', '127.0.0.1/8:{port}'])\n\
         \x20   app = Application.from_args(given)\n\
         \x20   app.add_object(AnalogInputObject(objectIdentifier=('analog-input', 1), objectName='supply', presentValue=21.5))\n\
         \x20   app.add_object(BinaryInputObject(objectIdentifier=('binary-input', 2), objectName='fan', presentValue='active'))\n\
         \x20   await asyncio.Future()\nasyncio.run(main())\n"
    );
    let peer = start(&python("python"), &script, &["{folder}/peer.conf"], &[]);
    let target = format!("127.0.0.1:{port}");
    until_it_answers(&peer, "bacnet", &target, &json!({}), is_well).await;
    hold(
        "bacnet",
        &target,
        vec![
            (json!({}), State::Ok, "says \"AHU-1\""),
            (json!({"object": "analog-input", "instance": 1, "value": "< 28"}), State::Ok, "says 21.5"),
            (
                json!({"object": "analog-input", "instance": 1, "value": "< 20"}),
                State::Critical,
                "where < 20 is expected",
            ),
            (json!({"object": "analog-input", "instance": 1, "property": 77}), State::Ok, "says \"supply\""),
            (json!({"object": "binary-input", "instance": 2, "value": "active"}), State::Ok, "says \"active\""),
            (json!({"object": "analog-input", "instance": 9}), State::Critical, "knows no such object"),
            (
                json!({"object": "analog-input", "instance": 1, "property": 9999}),
                State::Critical,
                "knows no such property",
            ),
        ],
    )
    .await;
    drop(peer);
}

/// Two networks joined by one cable, each in a name space of its own; gone with this.
struct Cable(String);

impl Cable {
    fn new() -> Cable {
        let name = format!("mainstay{}", std::process::id());
        let ip = |words: &str| run("ip", &words.split(' ').collect::<Vec<_>>());
        for end in ["a", "b"] {
            ip(&format!("netns add {name}{end}"));
        }
        ip(&format!("-n {name}a link add cable type veth peer name cable netns {name}b"));
        ip(&format!("-n {name}b address add 10.77.0.1/24 dev cable"));
        for end in ["a", "b"] {
            ip(&format!("-n {name}{end} link set cable up"));
        }
        Cable(name)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in ["a", "b"] {
            run("ip", &["netns", "delete", &format!("{}{end}", self.0)]);
        }
    }
}

#[tokio::test]
#[ignore = "needs dnsmasq, and root for network name spaces: make test-peers"]
async fn a_real_dhcp_server_makes_an_offer() {
    let cable = Cable::new();
    let inside = format!("{}b", cable.0);
    let configuration = "interface=cable\nbind-interfaces\nport=0\ndhcp-range=10.77.0.50,10.77.0.60,1h\ndhcp-option=3,10.77.0.1\n\
        dhcp-option=6,10.77.0.9\ndhcp-leasefile={folder}/leases\npid-file={folder}/pid\nuser=root\nno-hosts\nno-resolv\n";
    let arguments = ["netns", "exec", &inside, "/usr/sbin/dnsmasq", "-k", "-C", "{folder}/peer.conf"];
    let _peer = start("/usr/sbin/ip", configuration, &arguments, &[]);
    let space = std::fs::File::open(format!("/run/netns/{}a", cable.0)).unwrap();
    // A thread of its own, since a thread that has gone into a name space stays there.
    let asked = std::thread::spawn(move || {
        use std::os::fd::AsFd;
        let kind = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(space.as_fd(), Some(kind)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for _ in 0..50 {
                let outcome = check("dhcp", "cable", json!({}), Duration::from_millis(500)).await;
                if outcome.state == State::Ok {
                    break;
                }
            }
            hold(
                "dhcp",
                "cable",
                vec![
                    (json!({}), State::Ok, "10.77.0.1 offers 10.77.0."),
                    (json!({"router": "10.77.0.1", "name_server": "10.77.0.9"}), State::Ok, "offers"),
                    (json!({"router": "10.77.0.2"}), State::Critical, "not 10.77.0.2"),
                ],
            )
            .await;
            let other = check("dhcp", "cable", json!({"server": "10.77.0.3"}), Duration::from_secs(1)).await;
            assert!(other.summary.contains("while waiting for an offer (timeout)"), "{}", other.summary);
            let none = check("dhcp", "none0", json!({}), SECONDS_5).await;
            assert_eq!(none.state, State::Unknown, "{}", none.summary);
        });
    });
    assert!(asked.join().is_ok());
}
