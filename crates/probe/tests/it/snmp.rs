//! SNMP against Debian's own snmpd in all versions, with every algorithm it knows, and its snmptrap.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe::snmp::{
    Auth, Engine, Limits, NotificationError, Oid, Privacy, Security, Session, SnmpError, User, UsmError, Value,
    parse_notification, parse_notification_v3, walk,
};
use probe::{Env, Secret, State};
use serde_json::json;

use crate::peers::{Peer, free_port, is_well, start, until_it_answers};
use crate::{SECONDS_5, check};

pub const AUTH: [(Auth, &str); 6] = [
    (Auth::Md5, "MD5"),
    (Auth::Sha, "SHA"),
    (Auth::Sha224, "SHA-224"),
    (Auth::Sha256, "SHA-256"),
    (Auth::Sha384, "SHA-384"),
    (Auth::Sha512, "SHA-512"),
];
const PRIVACY: [(Privacy, &str); 6] = [
    (Privacy::Des, "DES"),
    (Privacy::Aes128, "AES"),
    (Privacy::Aes192, "AES-192"),
    (Privacy::Aes256, "AES-256"),
    (Privacy::Aes192Cisco, "AES-192-C"),
    (Privacy::Aes256Cisco, "AES-256-C"),
];
pub const AUTH_PASSWORD: &str = "correct horse";
pub const PRIVACY_PASSWORD: &str = "battery staple";

/// A real agent with the community `public` and a user for each pair of algorithms, named like them.
pub async fn snmpd() -> (Peer, SocketAddr) {
    let port = free_port();
    let mut configuration = format!(
        "agentaddress udp:127.0.0.1:{port}\nrocommunity public 127.0.0.1\nsysname web-1\nsyslocation \"Rack 7\"\n\
         sysdescr Mainstay's own test\nmaster no\nexactEngineID 0x80001f8880aabbccdd\n"
    );
    for (_, auth) in AUTH {
        for (_, privacy) in PRIVACY {
            let user = format!("{auth}_{privacy}");
            configuration += &format!(
                "createUser {user} {auth} \"{AUTH_PASSWORD}\" {privacy} \"{PRIVACY_PASSWORD}\"\nrouser {user} noauth\n"
            );
        }
    }
    let environment = ["-C", "-c", "{folder}/peer.conf", "-f", "-Le", "-I", "-smux"];
    let peer = start("/usr/sbin/snmpd", &configuration, &environment, &[]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // It derives a key for each of its users before it answers, which takes long on a busy machine.
    until_it_answers(&peer, "snmp", &address.to_string(), &json!({"retries": 0}), is_well).await;
    (peer, address)
}

pub fn session(env: &Env, peer: SocketAddr, security: Security) -> Session<'_> {
    Session::new(env, peer, security, Duration::from_secs(2), 2)
}

pub fn user(name: &str, auth: Auth, privacy: Option<Privacy>) -> Security {
    let user = User {
        name: name.to_owned(),
        auth: Some((auth, Secret::new(AUTH_PASSWORD))),
        privacy: privacy.map(|privacy| (privacy, Secret::new(PRIVACY_PASSWORD))),
    };
    Security::V3 { user, context: String::new() }
}

pub fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_real_agent_answers_in_every_version() {
    let (_snmpd, peer) = snmpd().await;
    let target = peer.to_string();
    for version in ["1", "2c"] {
        let outcome = check("snmp", &target, json!({"version": version}), SECONDS_5).await;
        assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
        assert!(outcome.summary.starts_with("web-1 answers"), "{}", outcome.summary);
    }
    let params = json!({"version": "3", "user": "SHA-256_AES", "auth": "sha256", "auth_password": AUTH_PASSWORD,
        "privacy": "aes128", "privacy_password": PRIVACY_PASSWORD,
        "oids": {"1.3.6.1.2.1.1.5.0": "web-1", "1.3.6.1.2.1.1.6.0": "~ Rack"}});
    let outcome = check("snmp", &target, params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
    let outcome =
        check("snmp", &target, json!({"oids": {"1.3.6.1.2.1.1.5.0": "web-2", "1.3.6.1.9.9": "1"}}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(
        outcome.summary.contains("\"web-1\", not ") && outcome.summary.contains("no object 1.3.6.1.9.9"),
        "{}",
        outcome.summary
    );
}

#[tokio::test]
async fn every_algorithm_of_version_3_works_with_a_real_agent() {
    let (_snmpd, peer) = snmpd().await;
    let env = Env::real();
    let name = oid("1.3.6.1.2.1.1.5.0");
    let mut spoken = 0;
    for (auth, auth_name) in AUTH {
        for (privacy, privacy_name) in PRIVACY {
            let mut session = session(&env, peer, user(&format!("{auth_name}_{privacy_name}"), auth, Some(privacy)));
            let answer = session.get(std::slice::from_ref(&name)).await;
            let answer = answer.unwrap_or_else(|error| panic!("{auth_name} {privacy_name}: {error}"));
            assert_eq!(answer[0].value, Value::Octets(b"web-1".to_vec()), "{auth_name} {privacy_name}");
            spoken += 1;
        }
        let mut session = session(&env, peer, user(&format!("{auth_name}_AES"), auth, None));
        assert_eq!(session.get(std::slice::from_ref(&name)).await.unwrap()[0].value.to_string(), "web-1");
    }
    assert_eq!(spoken, 36);
}

#[tokio::test]
async fn a_wrong_user_or_password_is_told_as_what_it_is() {
    let (_snmpd, peer) = snmpd().await;
    let env = Env::real();
    for (name, auth, privacy, part) in [
        ("nobody", Auth::Sha, Some(Privacy::Aes128), "does not know this user"),
        ("MD5_AES", Auth::Sha, Some(Privacy::Aes128), "does not accept our digest"),
        ("SHA_AES", Auth::Sha, Some(Privacy::Des), "the privacy algorithm and password right?"),
    ] {
        let mut session = session(&env, peer, user(name, auth, privacy));
        let error = session.get(&[oid("1.3.6.1.2.1.1.5.0")]).await.unwrap_err();
        assert!(matches!(error, SnmpError::Reported { .. } | SnmpError::Silent { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{name}: {error}");
    }
    let params = json!({"community": "wrong-one", "retries": 0});
    let outcome = check("snmp", &peer.to_string(), params, Duration::from_millis(500)).await;
    assert_eq!(outcome.state, State::Critical);
    assert!(outcome.summary.contains("no answer to 1 SNMP requests"), "{}", outcome.summary);
}

#[tokio::test]
async fn a_walk_reads_what_the_agent_has_in_every_version() {
    let (_snmpd, peer) = snmpd().await;
    let (env, public) = (Env::real(), || Secret::new("public"));
    let columns = [oid("1.3.6.1.2.1.2.2.1.2"), oid("1.3.6.1.2.1.1"), oid("1.3.6.1.2.1.25.4.2.1.2"), oid("1.3.6.1.9")];
    let mut counts = Vec::new();
    for security in
        [Security::V1(public()), Security::V2c(public()), user("SHA-512_AES", Auth::Sha512, Some(Privacy::Aes128))]
    {
        let mut session = session(&env, peer, security);
        let found = walk(&mut session, &columns, Limits::default(), env.clock.as_ref()).await.unwrap();
        assert_eq!(found.cut, [], "{found:?}");
        assert!(found.objects.iter().any(|object| object.value == Value::Octets(b"lo".to_vec())));
        let system = found.objects.iter().filter(|object| object.oid.is_below(&columns[1])).count();
        let processes = found.objects.iter().filter(|object| object.oid.is_below(&columns[2])).count();
        assert!(processes > 1);
        counts.push(system);
    }
    assert!(counts[0] > 5 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[tokio::test]
async fn what_a_real_linux_agent_says_becomes_items_with_readings() {
    let (_snmpd, peer) = snmpd().await;
    let target = peer.to_string();
    let outcome = check("snmp", &target, json!({"profile": "auto"}), Duration::from_secs(20)).await;
    assert!(outcome.summary.contains(" port"), "{}", outcome.summary);
    let has = |name: &str| outcome.readings.iter().any(|reading| reading.name == name);
    for name in ["port_in_bytes_total", "memory_size_bytes", "load_1m"] {
        assert!(has(name), "{name} is missing in {:?}", outcome.readings.iter().map(|r| &r.name).collect::<Vec<_>>());
    }
    let lo = outcome.readings.iter().find(|reading| reading.labels.get("port").is_some_and(|port| port == "lo"));
    assert!(lo.is_some(), "the loopback interface is a port");
    let only = check("snmp", &target, json!({"profile": "if-mib", "version": "1"}), Duration::from_secs(20)).await;
    assert_eq!(only.state, State::Ok, "{}", only.summary);
    assert!(only.readings.iter().all(|reading| reading.name.starts_with("port_")), "{:?}", only.readings);
}

/// Sends with Debian's snmptrap to a socket of ours and gives what arrived; an inform is acknowledged by `answer`.
#[expect(clippy::disallowed_methods, reason = "snmptrap is the peer")]
async fn trapped(arguments: &[&str], answer: &mut (dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send)) -> bool {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let receiver = socket.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<String> = arguments.iter().map(|word| word.replace("{receiver}", &receiver)).collect();
    let mut child = tokio::process::Command::new("/usr/bin/snmptrap")
        .env("SNMP_PERSISTENT_DIR", folder.path())
        .args(&words)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("snmptrap cannot be started ({error}): run `make test-deps` once"));
    let mut buffer = vec![0; 65_536];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let (length, from) = received.unwrap();
                if let Some(reply) = answer(&buffer[..length]) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
            ended = child.wait() => return ended.unwrap().success(),
        }
    }
}

const LINK_DOWN: &str = "1.3.6.1.6.3.1.1.5.3";
const IF_INDEX: &str = "1.3.6.1.2.1.2.2.1.1.7";

#[tokio::test]
async fn real_traps_and_informs_of_versions_1_and_2c_are_decoded_and_acknowledged() {
    for (arguments, version, is_inform) in [
        (
            vec![
                "-v1",
                "-c",
                "public",
                "{receiver}",
                "1.3.6.1.4.1.8072.3.2.10",
                "192.0.2.7",
                "2",
                "0",
                "4200",
                IF_INDEX,
                "i",
                "7",
            ],
            1,
            false,
        ),
        (vec!["-v2c", "-c", "public", "{receiver}", "4200", LINK_DOWN, IF_INDEX, "i", "7"], 2, false),
        (
            vec!["-v2c", "-Ci", "-r1", "-t2", "-c", "public", "{receiver}", "4200", LINK_DOWN, IF_INDEX, "i", "7"],
            2,
            true,
        ),
    ] {
        let mut told = None;
        let done = trapped(&arguments, &mut |bytes| {
            let notification = parse_notification(bytes).unwrap();
            let reply = notification.acknowledgement.clone();
            told = Some(notification);
            reply
        })
        .await;
        let told = told.expect("a datagram came");
        assert!(done, "snmptrap was content: an inform was acknowledged");
        assert_eq!((told.name.to_string().as_str(), told.version, told.uptime), (LINK_DOWN, version, 4200));
        assert_eq!(told.community, b"public");
        assert_eq!(told.acknowledgement.is_some(), is_inform);
        assert_eq!(told.objects[0].value, Value::Integer(7));
        assert_eq!(told.agent, (version == 1).then(|| Ipv4Addr::new(192, 0, 2, 7)));
    }
}

#[tokio::test]
async fn a_real_trap_of_version_3_is_decoded_when_its_user_is_known_and_refused_when_it_is_not() {
    let arguments = [
        "-v3",
        "-e",
        "0x80001f8880aabbccdd",
        "-u",
        "mia",
        "-a",
        "SHA-256",
        "-A",
        AUTH_PASSWORD,
        "-x",
        "AES",
        "-X",
        PRIVACY_PASSWORD,
        "-l",
        "authPriv",
        "{receiver}",
        "4200",
        LINK_DOWN,
        IF_INDEX,
        "i",
        "7",
    ];
    let known = |password: &str| User {
        name: "mia".to_owned(),
        auth: Some((Auth::Sha256, Secret::new(password))),
        privacy: Some((Privacy::Aes128, Secret::new(PRIVACY_PASSWORD))),
    };
    let mut datagram = Vec::new();
    let done = trapped(&arguments, &mut |bytes| {
        datagram = bytes.to_vec();
        None
    })
    .await;
    assert!(done && !datagram.is_empty());
    let mut engine = Engine::unknown(known(AUTH_PASSWORD), 1);
    let told =
        parse_notification_v3(&datagram, Duration::ZERO, |_, user| (user == b"mia").then_some(&mut engine)).unwrap();
    assert_eq!((told.name.to_string().as_str(), told.version, told.user.as_slice()), (LINK_DOWN, 3, &b"mia"[..]));
    assert_eq!(told.objects[0].value, Value::Integer(7));

    let mut other = Engine::unknown(known("another password"), 1);
    let refused = parse_notification_v3(&datagram, Duration::ZERO, |_, _| Some(&mut other)).unwrap_err();
    assert_eq!(refused, NotificationError::Untrusted(UsmError::Digest));
    assert!(other.is_unknown(), "who cannot prove the password does not set the clock");
    assert!(matches!(
        parse_notification_v3(&datagram, Duration::ZERO, |_, _| None),
        Err(NotificationError::UnknownUser(_))
    ));
    // The same datagram again, hours later.
    let replayed = parse_notification_v3(&datagram, Duration::from_secs(7200), |_, _| Some(&mut engine)).unwrap_err();
    assert_eq!(replayed, NotificationError::Untrusted(UsmError::Stale));
    datagram[60] ^= 1;
    assert!(parse_notification_v3(&datagram, Duration::ZERO, |_, _| Some(&mut engine)).is_err());
}
