//! Users of Kafka: a broker of the test's own, since none that keeps users can be installed. librdkafka, the clients' library,
//! signs in to it as well.

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, run, start, until_it_listens};
use crate::tls::{authority, issue, named};
use crate::{SECONDS_5, check};

/// Arguments: the port, what it offers (nothing: nobody signs in), what is odd about it, and the folder of a certificate for TLS.
const BROKER: &str = r#"
import base64, hashlib, hmac, os, socketserver, ssl, struct, sys

port, offered, odd = int(sys.argv[1]), sys.argv[2].split('+'), sys.argv[3]
USERS = {'mia': b'hunter2', 'a=b,c': b'hunter2'}
DIGESTS = {'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-512': 'sha512'}

def text(said):
    return struct.pack('>h', len(said)) + said

def listed(parts):
    return struct.pack('>i', len(parts)) + b''.join(parts)

def plain():
    _, user, password = (yield).split(b'\0')
    yield b'' if USERS.get(user.decode()) == password else None

def scram(digest):
    first = (yield).decode().removeprefix('n,,')
    name, nonce = (part[2:] for part in first.split(','))
    salt, own, nonce = os.urandom(16), nonce, nonce + base64.b64encode(os.urandom(12)).decode()
    challenge = f'r={nonce},s={base64.b64encode(salt).decode()},i=4096'
    last = (yield challenge.encode()).decode()
    unproven, proof = last.split(',p=')
    known = USERS.get(name.replace('=2C', ',').replace('=3D', '='), os.urandom(8))
    salted = hashlib.pbkdf2_hmac(digest, known, salt, 4096)
    said = f'{first},{challenge},{unproven}'.encode()
    client = hmac.digest(salted, b'Client Key', digest)
    stored = hashlib.new(digest, client).digest()
    expected = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, said, digest)))
    # librdkafka 2.0 says its own part of the nonce twice.
    is_meant = unproven == f'c=biws,r={own if odd == "twice" else ""}{nonce}'
    is_right = is_meant and base64.b64decode(proof) == expected
    server = hmac.digest(hmac.digest(salted, b'Server Key', digest), said, digest)
    server = bytes(len(server)) if odd == 'lies' else server
    yield b'v=' + base64.b64encode(server) if is_right else None

class Broker(socketserver.BaseRequestHandler):
    def handle(self):
        conversation, is_in = None, offered == ['']
        while head := self.exactly(4):
            asked = self.exactly(struct.unpack('>i', head)[0])
            kind, version, number, length = struct.unpack('>hhih', asked[:10])
            body = asked[10 + max(length, 0):]
            go_on = True
            if kind == 18:  # which requests are known
                known = [(3, 0, 1), (17, 0, 1), (18, 0, 0), (36, 0, 0)]
                said = struct.pack('>h', 35 if version > 0 else 0) + listed([struct.pack('>hhh', *one) for one in known])
            elif kind == 17:
                name = body[2:].decode()
                code = 34 if offered == [''] else 0 if name in offered else 33
                conversation = None if code else plain() if name == 'PLAIN' else scram(DIGESTS[name])
                go_on = code == 0
                if go_on:
                    next(conversation)
                said = struct.pack('>h', code) + listed([text(name.encode()) for name in offered if name])
            elif kind == 36 and conversation:
                answer = conversation.send(body[4:])
                if answer is None and odd == 'words':  # as RFC 5802 has it
                    said = struct.pack('>hhi', 0, -1, 14) + b'e=unknown-user'
                elif answer is None:
                    said, go_on = struct.pack('>h', 58) + text(b'Authentication failed: invalid credentials') + listed([]), False
                else:
                    is_in |= answer == b'' or answer.startswith(b'v=')
                    said = struct.pack('>hhi', 0, -1, len(answer)) + answer
            elif kind == 3 and is_in:
                broker = struct.pack('>i', 0) + text(b'127.0.0.1') + struct.pack('>i', port) + (text(b'a') if version else b'')
                partition = struct.pack('>hii', 0, 0, 0) + listed([struct.pack('>i', 0)]) * 2
                topic = struct.pack('>h', 0) + text(b'mail') + (b'\0' if version else b'') + listed([partition])
                said = listed([broker]) + (struct.pack('>i', 0) if version else b'') + listed([topic])
            else:
                return
            self.request.sendall(struct.pack('>ii', len(said) + 4, number) + said)
            if not go_on:
                return

    def exactly(self, count):
        got = b''
        while len(got) < count and (more := self.request.recv(count - len(got))):
            got += more
        return got if len(got) == count else b''

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
    def get_request(self):
        connection, peer = super().get_request()
        if len(sys.argv) > 4:
            secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            secure.load_cert_chain(sys.argv[4] + '/crt', sys.argv[4] + '/key')
            connection = secure.wrap_socket(connection, server_side=True)
        return connection, peer

Server(('127.0.0.1', port), Broker).serve_forever()
"#;

/// A broker that offers these ways of signing in.
async fn broker(offered: &str, odd: &str) -> (Peer, String) {
    let port = free_port();
    let peer = start("/usr/bin/python3", BROKER, &["{folder}/peer.conf", &port.to_string(), offered, odd], &[]);
    until_it_listens(&peer, port).await;
    (peer, format!("127.0.0.1:{port}"))
}

async fn hold(target: &str, rows: Vec<(Value, State, &str)>) {
    for (more, state, part) in rows {
        let mut params = json!({"user": "mia", "password": "hunter2"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let outcome = check("kafka", target, params, SECONDS_5).await;
        assert_eq!(outcome.state, state, "{more}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{more}: {}", outcome.summary);
        assert!(!outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"), "{}", outcome.summary);
    }
}

const WELL: &str = "1 brokers, 1 topics, 1 partitions, all in order";

#[tokio::test]
async fn users_sign_in_as_the_broker_offers_it() {
    let (_peer, at) = broker("PLAIN+SCRAM-SHA-256+SCRAM-SHA-512", "").await;
    for mechanism in ["plain", "scram-sha-256", "scram-sha-512"] {
        let with = |user: &str, password: &str| json!({"mechanism": mechanism, "user": user, "password": password});
        let refused = "refuses the user \"mia\" (\"Authentication failed: invalid credentials\")";
        hold(
            &at,
            vec![
                (with("mia", "hunter2"), State::Ok, WELL),
                (with("a=b,c", "hunter2"), State::Ok, WELL), // signs that SCRAM writes otherwise
                (with("mia", "letmein"), State::Critical, refused),
                (with("eve", "hunter2"), State::Critical, "refuses the user \"eve\""),
            ],
        )
        .await;
    }
    let nobody = json!({"user": null, "password": null});
    hold(&at, vec![(json!({}), State::Ok, WELL), (nobody, State::Critical, "hung up without a word")]).await;
    let (_peer, at) = broker("PLAIN", "").await;
    let other = "does not let users in by SCRAM-SHA-512, but by \"PLAIN\"";
    hold(&at, vec![(json!({}), State::Critical, other), (json!({"mechanism": "plain"}), State::Ok, WELL)]).await;
    let (_peer, at) = broker("", "").await;
    let nobody = json!({"user": null, "password": null});
    hold(&at, vec![(json!({}), State::Critical, "lets nobody sign in here"), (nobody, State::Ok, WELL)]).await;
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_password_or_says_why_it_refuses_is_told() {
    let (_peer, at) = broker("SCRAM-SHA-256+SCRAM-SHA-512", "lies").await;
    let told = "does not prove that it knows the password: it is another server";
    let rows = ["scram-sha-256", "scram-sha-512"].map(|name| (json!({"mechanism": name}), State::Critical, told));
    hold(&at, rows.to_vec()).await;
    let (_peer, at) = broker("SCRAM-SHA-512", "words").await;
    let refused = "refuses the user \"mia\" (\"unknown-user\")";
    hold(&at, vec![(json!({}), State::Ok, WELL), (json!({"password": "letmein"}), State::Critical, refused)]).await;
}

#[tokio::test]
async fn users_sign_in_over_tls() {
    let authority = authority();
    let (certificate, key) = issue(&authority, named("localhost"));
    let port = free_port();
    let text = port.to_string();
    let arguments = ["{folder}/peer.conf", &text, "PLAIN+SCRAM-SHA-512", "", "{folder}"];
    let peer = start("/usr/bin/python3", BROKER, &arguments, &[("crt", certificate), ("key", key)]);
    until_it_listens(&peer, port).await;
    let with = |mechanism: &str| json!({"tls": true, "ca": authority.pem(), "mechanism": mechanism});
    let untrusted = json!({"tls": true, "mechanism": "plain"});
    let rows = vec![
        (with("plain"), State::Ok, WELL),
        (with("scram-sha-512"), State::Ok, WELL),
        (untrusted, State::Critical, "no authority that is trusted"), // and the password stays here
    ];
    hold(&format!("localhost:{port}"), rows).await;
}

#[tokio::test]
#[ignore = "needs kcat: make test-peers"]
async fn the_brokers_way_is_that_of_the_clients_library() {
    let (_peer, at) = broker("PLAIN+SCRAM-SHA-256+SCRAM-SHA-512", "twice").await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mechanism = format!("sasl.mechanisms={mechanism}");
        let who = ["-X", "sasl.username=a=b,c", "-X", "sasl.password=hunter2"];
        let how = ["-b", &at, "-L", "-X", "security.protocol=SASL_PLAINTEXT", "-X", &mechanism];
        let said = run("kcat", &[&how[..], &who].concat());
        assert!(said.contains("topic \"mail\" with 1 partitions"), "{said}");
    }
}
