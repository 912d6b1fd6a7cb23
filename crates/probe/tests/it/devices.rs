//! WebSocket against Debian's python3-websockets, Modbus against python3-pymodbus, SIP against kamailio and sipp.

use std::time::Duration;

use probe::{Outcome, State};
use serde_json::json;

use crate::peers::{free_port, start, until_it_answers, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

#[tokio::test]
async fn a_real_websocket_server_is_spoken_to_with_and_without_tls() {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let (port, tls_port) = (free_port(), free_port());
    let script = format!(
        "import asyncio, ssl, websockets\n\
         async def talk(socket):\n    await socket.send('welcome')\n    async for text in socket:\n        await socket.send('you said ' + text * 20000)\n\
         async def main():\n    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n    tls.load_cert_chain('{{folder}}/crt', '{{folder}}/key')\n\
         \x20   await websockets.serve(talk, '127.0.0.1', {port})\n    await websockets.serve(talk, '127.0.0.1', {tls_port}, ssl=tls)\n\
         \x20   await asyncio.Future()\nasyncio.run(main())\n"
    );
    let files = [("crt", certificate), ("key", key)];
    let peer = start("/usr/bin/python3", &script, &["{folder}/peer.conf"], &files);
    until_it_listens(&peer, tls_port).await;
    let (plain, tls) = (format!("ws://localhost:{port}/live"), format!("wss://localhost:{tls_port}/"));
    for (target, params, state, part) in [
        (&plain, json!({}), State::Ok, "speaks WebSocket and answers pings"),
        (&tls, json!({"ca": authority.pem()}), State::Ok, "answers pings"),
        (&tls, json!({}), State::Critical, "no authority that is trusted"),
        (&plain, json!({"message": "^welcome$"}), State::Ok, "says \"welcome\""),
        (&plain, json!({"send": "hello", "message": "^you said hello(hello)+$"}), State::Ok, "says \"you said hello"),
    ] {
        let outcome = check("websocket", target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
    let waits = check("websocket", &plain, json!({"message": "never"}), Duration::from_millis(300)).await;
    assert!(waits.summary.contains("while waiting for the server's message (timeout)"), "{}", waits.summary);
    let nginx_port = free_port();
    let server = format!("server {{ listen 127.0.0.1:{nginx_port}; location / {{ return 200 \"Welcome\"; }} }}");
    let _nginx = crate::peers::nginx(&server, nginx_port, &[]).await;
    let other = check("websocket", &format!("ws://127.0.0.1:{nginx_port}/"), json!({}), SECONDS_5).await;
    assert_eq!(other.state, State::Critical);
    assert!(other.summary.contains("does not go over to WebSocket (\"HTTP/1.1 200 OK\")"), "{}", other.summary);
}

#[tokio::test]
async fn a_real_modbus_device_tells_its_registers() {
    let port = free_port();
    // Registers 0 to 3 hold 42, -100, and 21.5 as a number with a point; coils 0 to 2 are on, off, on.
    let script = format!(
        "from pymodbus.server import StartTcpServer\n\
         from pymodbus.datastore import ModbusSequentialDataBlock as B, ModbusSlaveContext, ModbusServerContext\n\
         words = [42, 65436, 0x41ac, 0]\n\
         unit = ModbusSlaveContext(hr=B(0, words), ir=B(0, words), co=B(0, [1, 0, 1]), di=B(0, [1]), zero_mode=True)\n\
         StartTcpServer(context=ModbusServerContext(slaves={{1: unit}}, single=False), address=('127.0.0.1', {port}))\n"
    );
    let peer = start("/usr/bin/python3", &script, &["{folder}/peer.conf"], &[]);
    until_it_listens(&peer, port).await;
    let target = format!("127.0.0.1:{port}");
    for (params, state, part) in [
        (json!({}), State::Ok, "42 at 0"),
        (json!({"address": 1, "format": "i16", "scale": 0.1}), State::Ok, "-10 at 1"),
        (
            json!({"table": "input", "address": 2, "format": "f32", "value": "> 22"}),
            State::Critical,
            "the value at 2 is 21.5",
        ),
        (json!({"table": "coil", "count": 3}), State::Ok, "1, 0, 1 at 0"),
        (json!({"table": "discrete"}), State::Ok, "1 at 0"),
        (json!({"address": 900}), State::Critical, "refuses to read there (there is no such address, code 2)"),
    ] {
        let outcome = check("modbus", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
}

#[tokio::test]
#[ignore = "needs Kamailio: make test-peers"]
async fn a_real_sip_server_answers_over_both_transports() {
    let port = free_port();
    let configuration = format!(
        "#!KAMAILIO\nlog_stderror=yes\nchildren=1\ntcp_children=1\nlisten=udp:127.0.0.1:{port}\nlisten=tcp:127.0.0.1:{port}\n\
         mpath=\"/usr/lib/x86_64-linux-gnu/kamailio/modules/\"\nloadmodule \"sl.so\"\n\
         request_route {{\n if ($rU == \"nobody\") {{ sl_send_reply(\"404\", \"Not Found\"); exit; }}\n\
         sl_send_reply(\"200\", \"Keepalive\");\n}}\n"
    )
    .replace("if ($rU == \"nobody\")", "if (uri =~ \"nobody\")");
    let arguments = ["-DD", "-E", "-f", "{folder}/peer.conf", "-Y", "{folder}", "-m", "16", "-M", "4"];
    let peer = start("/usr/sbin/kamailio", &configuration, &arguments, &[]);
    until_it_listens(&peer, port).await;
    let target = format!("127.0.0.1:{port}");
    for transport in ["udp", "tcp"] {
        for (mut params, state, part) in [
            (json!({}), State::Ok, "(\"kamailio (5."),
            (json!({"address": "nobody@example.test"}), State::Critical, "answers 404 \"Not Found\""),
            (json!({"address": "nobody@example.test", "status": "< 500"}), State::Ok, "404"),
        ] {
            params["transport"] = transport.into();
            let outcome = check("sip", &target, params.clone(), SECONDS_5).await;
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }
}

#[tokio::test]
#[ignore = "needs sipp: make test-peers"]
async fn sipp_plays_a_telephone_that_answers_and_one_that_is_busy() {
    for (code, words, state) in [(200, "OK", State::Ok), (486, "Busy Here", State::Critical)] {
        let port = free_port();
        let scenario = format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<scenario name=\"telephone\">\n<recv request=\"OPTIONS\"/>\n<send><![CDATA[\n\
             SIP/2.0 {code} {words}\n[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n\
             User-Agent: telephone\nContent-Length: 0\n\n]]></send>\n</scenario>\n"
        );
        let port_text = port.to_string();
        let arguments = ["-sf", "{folder}/peer.conf", "-i", "127.0.0.1", "-p", &port_text, "-nostdin", "-m", "5"];
        let sipp = start("/usr/bin/sipp", &scenario, &arguments, &[]);
        let target = format!("127.0.0.1:{port}");
        let is_it = |outcome: &Outcome| outcome.summary.contains(words) || outcome.summary.contains("telephone");
        let outcome = until_it_answers(&sipp, "sip", &target, &json!({}), is_it).await;
        assert_eq!(outcome.state, state, "{}", outcome.summary);
        assert!(outcome.summary.contains(&code.to_string()) || state == State::Ok, "{}", outcome.summary);
    }
}
