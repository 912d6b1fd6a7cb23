//! Protocols whose real peer cannot be installed here: their answers as they were recorded or written down by their makers,
//! said by a server of the test.

use std::net::Ipv4Addr;

use probe::State;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{SECONDS_5, check};

/// Says the first text whose beginning is in what is asked, then hangs up.
async fn server(answers: Vec<(&'static str, Vec<u8>)>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = Vec::new();
            let speaks_first = answers[0].0.is_empty();
            if !speaks_first {
                let mut buffer = vec![0; 4096];
                let length = stream.read(&mut buffer).await.unwrap_or(0);
                asked = buffer[..length].to_vec();
            }
            let asked = String::from_utf8_lossy(&asked).into_owned();
            let said = answers.iter().find(|(begins, _)| asked.contains(begins));
            let _ = stream.write_all(said.map_or(&b"?"[..], |(_, said)| said)).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

fn web(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn a_cluster_tells_of_its_nodes_page_by_page() {
    let node = |name: &str, ready: &str| json!({"metadata": {"name": name}, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
    let first =
        json!({"kind": "NodeList", "metadata": {"continue": "next"}, "items": [node("node-1", "True")]}).to_string();
    let second = json!({"kind": "NodeList", "metadata": {}, "items": [node("node-2", "False")]}).to_string();
    let deployments = json!({"kind": "DeploymentList", "items": [{"metadata": {"name": "shop", "namespace": "web"},
        "spec": {"replicas": 2}, "status": {"availableReplicas": 2}}]})
    .to_string();
    let denied = r#"{"kind":"Status","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    let answers = vec![
        ("Bearer wrong", web("401 Unauthorized", denied)),
        ("GET /readyz", web("200 OK", "[+]ping ok\nreadyz check passed\n")),
        ("continue=next", web("200 OK", &second)),
        ("GET /api/v1/nodes", web("200 OK", &first)),
        ("GET /apis/apps/v1", web("200 OK", &deployments)),
    ];
    let target = format!("http://127.0.0.1:{}/", server(answers).await);
    for (params, state, part) in [
        (
            json!({"token": "right"}),
            State::Critical,
            "1 of 2 nodes ready and 1 deployments: the node node-2 is not ready",
        ),
        (json!({"token": "right", "nodes": false, "namespace": "web"}), State::Ok, "and 1 deployments"),
        (json!({"token": "wrong"}), State::Critical, "answers 401 (not signed in"),
    ] {
        let outcome = check("kubernetes", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn a_member_of_a_replica_set_says_what_it_is() {
    // What PyMongo's library writes for the answer of a primary of three.
    let recorded = "980000006300000001000000dd0700000000000000830000000869735772697461626c655072696d6172790001027365744e616d6500040000007273300004686f737473003200000002300008000000613a32373031370002310008000000623a32373031370002320008000000633a32373031370000106d61785769726556657273696f6e0015000000016f6b00000000000000f03f00";
    let bytes: Vec<u8> =
        (0..recorded.len()).step_by(2).map(|at| u8::from_str_radix(&recorded[at..at + 2], 16).unwrap()).collect();
    let target = format!("127.0.0.1:{}", server(vec![("hello", bytes)]).await);
    for (params, state, part) in [
        (json!({}), State::Ok, "is primary of rs0"),
        (json!({"role": "secondary"}), State::Critical, "is primary of rs0, where secondary is expected"),
        (json!({"replica_set": "rs1"}), State::Critical, "the replica set rs1 is expected"),
    ] {
        let outcome = check("mongodb", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        assert_eq!(outcome.reading("mongodb_replica_set_members_count"), Some(3.0));
    }
}

#[tokio::test]
async fn an_agents_output_and_a_services_identity_are_read() {
    let output = b"<<<check_mk>>>\nVersion: 2.2.0p12\nAgentOS: linux\n<<<uptime>>>\n86400.50 3000.00\n".to_vec();
    let target = format!("127.0.0.1:{}", server(vec![("", output)]).await);
    let outcome = check("checkmk", &target, json!({"sections": "uptime"}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert_eq!(outcome.reading("checkmk_uptime_seconds"), Some(86_400.5));

    let identity = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><i:IdentifyResponse \
        xmlns:i=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\"><i:ProductVendor>Microsoft \
        Corporation</i:ProductVendor><i:ProductVersion>OS: 10.0.20348</i:ProductVersion></i:IdentifyResponse></s:Body></s:Envelope>";
    let port = server(vec![("wsmanidentify: unauthenticated", web("200 OK", identity))]).await;
    let outcome = check("winrm", &format!("http://127.0.0.1:{port}/wsman"), json!({}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    assert!(outcome.summary.contains("is Microsoft Corporation (OS: 10.0.20348)"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_controller_of_the_newer_kind_tells_its_sensors_in_one_list_or_one_by_one() {
    let fan = json!({"@odata.id": "/redfish/v1/Fan1", "Name": "Fan Bay 1", "SpeedPercent": {"Reading": 45, "SpeedRPM": 2200}, "Status": {"Health": "OK"}});
    let sensor = json!({"@odata.id": "/redfish/v1/Inlet", "Name": "Ambient", "Reading": 22.5, "ReadingUnits": "Cel", "Status": {"Health": "OK"}});
    let supply =
        json!({"@odata.id": "/redfish/v1/Psu1", "Name": "PSU 1", "Status": {"Health": "Critical", "State": "Enabled"}});
    for at_once in [true, false] {
        let listed = |whole: &serde_json::Value| {
            let member = if at_once { whole.clone() } else { json!({"@odata.id": whole["@odata.id"]}) };
            web("200 OK", &json!({"Members": [member]}).to_string())
        };
        let said = |value: serde_json::Value| web("200 OK", &value.to_string());
        let one = |path: &str| json!({"Members": [{"@odata.id": path}]});
        let answers = vec![
            (
                "GET /redfish/v1/ ",
                said(
                    json!({"RedfishVersion": "1.15.0", "ProtocolFeaturesSupported": {"ExpandQuery": {"NoLinks": at_once}},
                    "Systems": {"@odata.id": "/redfish/v1/Systems"}, "Chassis": {"@odata.id": "/redfish/v1/Chassis"}}),
                ),
            ),
            ("GET /redfish/v1/Systems ", said(one("/redfish/v1/System1"))),
            (
                "GET /redfish/v1/System1 ",
                said(json!({"Name": "web-1", "PowerState": "On", "Status": {"Health": "OK"}})),
            ),
            ("GET /redfish/v1/Chassis ", said(one("/redfish/v1/Chassis1"))),
            (
                "GET /redfish/v1/Chassis1 ",
                said(json!({"Name": "1U", "ThermalSubsystem": {"@odata.id": "/redfish/v1/Thermal1"},
                    "PowerSubsystem": {"@odata.id": "/redfish/v1/Power1"}, "Sensors": {"@odata.id": "/redfish/v1/Sensors1"}})),
            ),
            ("GET /redfish/v1/Thermal1 ", said(json!({"Fans": {"@odata.id": "/redfish/v1/Fans"}}))),
            ("GET /redfish/v1/Power1 ", said(json!({"PowerSupplies": {"@odata.id": "/redfish/v1/Supplies"}}))),
            ("GET /redfish/v1/Fans", listed(&fan)),
            ("GET /redfish/v1/Supplies", listed(&supply)),
            ("GET /redfish/v1/Sensors1", listed(&sensor)),
            ("GET /redfish/v1/Fan1 ", said(fan.clone())),
            ("GET /redfish/v1/Inlet ", said(sensor.clone())),
            ("GET /redfish/v1/Psu1 ", said(supply.clone())),
        ];
        let target = format!("http://127.0.0.1:{}/", server(answers).await);
        let outcome = check("redfish", &target, json!({"power": "on"}), SECONDS_5).await;
        assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
        assert!(outcome.summary.contains("1 chassis: PSU 1 is in critical health"), "{}", outcome.summary);
        assert_eq!(outcome.reading("redfish_temperature_celsius"), Some(22.5), "at once: {at_once}");
        assert_eq!(outcome.reading("redfish_fan_speed"), Some(2200.0), "at once: {at_once}");
    }
}

#[tokio::test]
async fn a_list_in_parts_is_read_to_its_end_and_one_without_an_end_is_told() {
    let said = |value: serde_json::Value| web("200 OK", &value.to_string());
    let sensor = |name: &str, health: &str| json!({"Name": name, "Reading": 20, "Status": {"Health": health}});
    let elsewhere = "https://evil.example/";
    for (next, last, state, part) in [
        (
            "/redfish/v1/Sensors1?$skip=1",
            sensor("Ambient", "Critical"),
            State::Critical,
            "Ambient is in critical health",
        ),
        ("/redfish/v1/Sensors1?$skip=1", sensor("Ambient", "OK"), State::Ok, "all healthy"),
        (elsewhere, sensor("Ambient", "OK"), State::Warning, "1 of its lists cannot be read whole"),
        ("/redfish/v1/Sensors1", sensor("Ambient", "OK"), State::Warning, "1 of its lists cannot be read whole"),
    ] {
        let answers = vec![
            (
                "GET /redfish/v1/ ",
                said(json!({"RedfishVersion": "1.15.0", "Systems": {"@odata.id": "/redfish/v1/Systems"},
                    "Chassis": {"@odata.id": "/redfish/v1/Chassis"}})),
            ),
            ("GET /redfish/v1/Systems ", said(json!({"Members": []}))),
            ("GET /redfish/v1/Chassis ", said(json!({"Members": [{"@odata.id": "/redfish/v1/Chassis1"}]}))),
            (
                "GET /redfish/v1/Chassis1 ",
                said(
                    json!({"Name": "1U", "Sensors": {"@odata.id": "/redfish/v1/Sensors1"}, "Status": {"Health": "OK"}}),
                ),
            ),
            ("GET /redfish/v1/Sensors1?$skip=1 ", said(json!({"Members": [last]}))),
            (
                "GET /redfish/v1/Sensors1 ",
                said(json!({"Members": [sensor("Inlet", "OK")], "Members@odata.nextLink": next})),
            ),
        ];
        let target = format!("http://127.0.0.1:{}/", server(answers).await);
        let outcome = check("redfish", &target, json!({}), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{next}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{next}: {}", outcome.summary);
    }
}

#[tokio::test]
async fn the_health_behind_a_link_with_marks_is_read() {
    let said = |value: serde_json::Value| web("200 OK", &value.to_string());
    let answers = vec![
        (
            "GET /redfish/v1/ ",
            said(json!({"RedfishVersion": "1.15.0", "Systems": {"@odata.id": "/redfish/v1/Systems"}})),
        ),
        (
            "GET /redfish/v1/Systems ",
            said(json!({"Members": [{"@odata.id": "/redfish/v1/System1", "@odata.etag": "W/\"1\""}]})),
        ),
        ("GET /redfish/v1/System1 ", said(json!({"Name": "web-1", "Status": {"Health": "Critical"}}))),
    ];
    let target = format!("http://127.0.0.1:{}/", server(answers).await);
    let outcome = check("redfish", &target, json!({}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("web-1 is in critical health"), "{}", outcome.summary);
}
