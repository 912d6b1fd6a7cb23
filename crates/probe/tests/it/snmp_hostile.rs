//! Agents that lie: walks without end, circles, silence, nonsense, floods. Every check ends in time and says what it met.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe::snmp::{
    Body, Cut, ErrorStatus, Kind, Limits, Message, Oid, Pdu, Security, Session, SnmpError, Value, VarBind,
    community_message, parse_message, walk,
};
use probe::{Env, Secret, State};
use serde_json::json;
use tokio::net::UdpSocket;

use crate::check;

/// An agent that answers each request with what `behave` makes of it, datagram by datagram.
async fn agent(mut behave: impl FnMut(Pdu) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let peer = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if let Ok(Message::Community { body: Body::Pdu(pdu), .. }) = parse_message(&buffer[..length]) {
                for answer in behave(pdu) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        }
    });
    peer
}

fn answer(request: &Pdu, objects: Vec<VarBind>) -> Vec<u8> {
    let error_status = probe::snmp::ErrorStatus::NONE;
    let pdu = Pdu { kind: Kind::Response, error_status, error_index: 0, objects, request_id: request.request_id };
    community_message(1, b"public", &pdu)
}

fn after(oid: &Oid, step: u32) -> Oid {
    let (last, before) = oid.arcs().split_last().unwrap();
    Oid::new(before).with(&[last.saturating_add(step)])
}

async fn walked(peer: SocketAddr, limits: Limits) -> Result<probe::snmp::Walk, SnmpError> {
    let env = Env::real();
    let security = Security::V2c(Secret::new("public"));
    let mut session = Session::new(&env, peer, security, Duration::from_millis(300), 2);
    let root: Oid = "1.3.6.1.4.1.1".parse().unwrap();
    let found = walk(&mut session, &[root], limits, env.clock.as_ref()).await;
    assert!(session.requests() < 20_000, "{} requests", session.requests());
    found
}

/// Rows below the root, one after the other, without end.
fn endless(request: &Pdu, size: usize) -> Vec<VarBind> {
    let mut last = request.objects[0].oid.clone();
    if last.arcs().len() < 8 {
        last = last.with(&[0]);
    }
    (0..request.error_index.max(1))
        .map(|_| {
            last = after(&last, 1);
            VarBind { oid: last.clone(), value: Value::Octets(vec![b'x'; size]) }
        })
        .collect()
}

#[tokio::test]
async fn a_table_without_end_is_cut_at_its_limits() {
    let peer = agent(|request| vec![answer(&request, endless(&request, 1))]).await;
    let few = Limits { objects: 1000, ..Limits::default() };
    let found = walked(peer, few).await.unwrap();
    assert_eq!((found.objects.len(), found.cut), (1000, vec![Cut::Objects(1000)]));

    let fat = agent(|request| vec![answer(&request, endless(&request, 700))]).await;
    let found = walked(fat, Limits { bytes: 100_000, ..Limits::default() }).await.unwrap();
    assert_eq!(found.cut, [Cut::Bytes(100_000)]);
    assert!(found.objects.len() < 150);

    let found =
        walked(peer, Limits { time: Duration::from_millis(50), objects: usize::MAX, ..Limits::default() }).await;
    assert!(matches!(found.unwrap().cut.as_slice(), [Cut::Time(_) | Cut::Bytes(_)]));
}

#[tokio::test]
async fn a_table_that_goes_in_circles_is_left_and_told() {
    let peer = agent(|request| {
        let root: Oid = "1.3.6.1.4.1.1".parse().unwrap();
        let rows = [5, 6, 7, 5].map(|row| VarBind { oid: root.with(&[row]), value: Value::Integer(1) });
        vec![answer(&request, rows.to_vec())]
    })
    .await;
    let found = walked(peer, Limits::default()).await.unwrap();
    assert_eq!(found.objects.len(), 3);
    assert!(found.cut[0].to_string().contains("circles"), "{:?}", found.cut);

    let same = agent(|request| {
        let object = VarBind { oid: request.objects[0].oid.clone(), value: Value::Integer(1) };
        vec![answer(&request, vec![object])]
    })
    .await;
    assert!(matches!(walked(same, Limits::default()).await.unwrap().cut.as_slice(), [Cut::Circle { .. }]));
}

#[tokio::test]
async fn an_agent_that_answers_with_nothing_ends_the_walk() {
    let peer = agent(|request| vec![answer(&request, Vec::new())]).await;
    assert!(walked(peer, Limits::default()).await.unwrap().objects.is_empty());
}

#[tokio::test]
async fn an_agent_that_stumbles_over_a_row_tells_what_is_before_it_and_beside_it() {
    // Two columns of three rows; nothing follows the second row of the first one but an error, with and without saying where.
    for names_it in [true, false] {
        let peer = agent(move |request| {
            let mut objects = Vec::new();
            let mut last: Vec<Oid> = request.objects.iter().map(|object| object.oid.clone()).collect();
            for _ in 0..request.error_index.max(1) {
                for (at, oid) in last.iter_mut().enumerate() {
                    *oid = if oid.arcs().len() == 8 { oid.with(&[1]) } else { after(oid, 1) };
                    let row = oid.arcs()[8];
                    if oid.arcs()[7] == 1 && row > 2 {
                        let error_index = if names_it { at as i64 + 1 } else { 0 };
                        let (error_status, request_id) = (ErrorStatus(5), request.request_id);
                        let objects = request.objects.clone();
                        let refusal = Pdu { kind: Kind::Response, request_id, error_status, error_index, objects };
                        return vec![community_message(1, b"public", &refusal)];
                    }
                    let value = if row > 3 { Value::EndOfMibView } else { Value::Integer(row.into()) };
                    objects.push(VarBind { oid: oid.clone(), value });
                }
            }
            vec![answer(&request, objects)]
        })
        .await;
        let env = Env::real();
        let security = Security::V2c(Secret::new("public"));
        let mut session = Session::new(&env, peer, security, Duration::from_millis(300), 2);
        let columns = ["1.3.6.1.4.1.1.1", "1.3.6.1.4.1.1.2"].map(|column| column.parse::<Oid>().unwrap());
        let found = walk(&mut session, &columns, Limits::default(), env.clock.as_ref()).await.unwrap();
        let rows = |column: &Oid| found.objects.iter().filter(|object| object.oid.is_below(column)).count();
        assert_eq!((rows(&columns[0]), rows(&columns[1])), (2, 3), "names it: {names_it}");
        let after = columns[0].with(&[2]);
        assert_eq!(found.cut, [Cut::Refused { after, status: ErrorStatus(5) }], "names it: {names_it}");
        assert!(session.requests() < 12, "{} requests", session.requests());
        // And one that tells nothing at all says why.
        let nothing = walk(&mut session, &[columns[0].with(&[2])], Limits::default(), env.clock.as_ref()).await;
        assert!(matches!(nothing, Err(SnmpError::Refused { status: ErrorStatus(5), .. })), "{nothing:?}");
    }
}

#[tokio::test]
async fn an_agent_that_is_silent_about_much_is_asked_for_little() {
    // Answers up to three rows at once and drops what would be more, as behind a firewall that drops fragments.
    let peer = agent(|request| {
        if request.error_index > 3 {
            return Vec::new();
        }
        let mut rows = endless(&request, 1);
        rows.retain(|row| row.oid.arcs().last().is_some_and(|row| *row <= 12));
        if rows.is_empty() {
            rows.push(VarBind { oid: request.objects[0].oid.clone(), value: Value::EndOfMibView });
        }
        vec![answer(&request, rows)]
    })
    .await;
    let found = walked(peer, Limits::default()).await.unwrap();
    assert_eq!((found.objects.len(), found.cut.len()), (12, 0));
}

#[tokio::test]
async fn an_agent_that_says_nothing_is_told_within_the_time() {
    let peer = agent(|_| Vec::new()).await;
    let outcome = check("snmp", &peer.to_string(), json!({"retries": 1}), Duration::from_secs(1)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("no answer to 2 SNMP requests"), "{}", outcome.summary);
    let outcome =
        check("snmp", &peer.to_string(), json!({"profile": "auto", "retries": 0}), Duration::from_secs(1)).await;
    assert_eq!(outcome.state, State::Critical);
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_told() {
    let peer = agent(|_| vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]).await;
    let outcome = check("snmp", &peer.to_string(), json!({}), Duration::from_secs(1)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("it is not SNMP"), "{}", outcome.summary);
}

#[tokio::test]
async fn answers_to_other_questions_are_passed_over() {
    let peer = agent(|request| {
        let stranger = Pdu { request_id: request.request_id.wrapping_add(1), ..request.clone() };
        let name = |text: &str| {
            request
                .objects
                .iter()
                .map(|object| VarBind { oid: object.oid.clone(), value: Value::Octets(text.as_bytes().to_vec()) })
                .collect::<Vec<_>>()
        };
        let mut datagrams = vec![answer(&stranger, name("forged")); 50];
        datagrams.push(answer(&request, name("genuine")));
        datagrams
    })
    .await;
    let params = json!({"oids": {"1.3.6.1.2.1.1.5.0": "genuine"}});
    let outcome = check("snmp", &peer.to_string(), params, Duration::from_secs(2)).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
}

#[tokio::test]
async fn what_a_device_says_of_itself_cannot_break_a_line_or_show_the_community() {
    let peer = agent(|request| {
        let value = Value::Octets(b"evil\r\n\x1b[2J secret-community".to_vec());
        let objects = request.objects.iter().map(|object| VarBind { oid: object.oid.clone(), value: value.clone() });
        vec![answer(&request, objects.collect())]
    })
    .await;
    let params = json!({"community": "secret-community"});
    let outcome = check("snmp", &peer.to_string(), params, Duration::from_secs(2)).await;
    assert!(!outcome.summary.contains('\n') && !outcome.summary.contains('\x1b'), "{:?}", outcome.summary);
    assert!(!outcome.summary.contains("secret-community"), "{}", outcome.summary);
}
