//! IPMI with SHA-256 (cipher suite 17): pyghmi's controller, whose proofs are made with SHA-256 instead of SHA-1, since no
//! program that can be installed here plays one that does so by itself. That it then speaks suite 17 is ipmitool's word.

use probe::State;
use serde_json::{Value, json};

use crate::peers::{free_port, run, start, until_it_answers};
use crate::{SECONDS_5, check};

const CONTROLLER: &str = r#"
import hashlib, hmac, sys, types
import pyghmi.ipmi.private.constants as constants
import pyghmi.ipmi.private.serversession as server
from pyghmi.ipmi.bmc import Bmc

server.hashlib = types.SimpleNamespace(sha1=hashlib.sha256)

class Session(server.ServerSession):
    def create_open_session_response(self, request):
        self.currhashlen = 16
        response = bytearray(super().create_open_session_response(request))
        response[16], response[24] = 3, 4  # RAKP-HMAC-SHA256, HMAC-SHA256-128
        return response

    def _send_rakp4(self, tag, status):
        said = bytes(self.Rm) + bytes(self.managedsessionid) + bytes(self.uuiddata)
        proof = hmac.new(self.sik, said, hashlib.sha256).digest()[:16]
        answer = bytearray([tag, status, 0, 0]) + self.clientsessionid + proof
        self.send_payload(answer, constants.payload_types['rakp4'], retry=False)
        self.confalgo, self.integrityalgo, self.sequencenumber = 'aes', 'sha256', 1
        self.sessionid = int.from_bytes(bytes(self.clientsessionid), 'little')

server.ServerSession = Session

class Controller(Bmc):
    def get_power_state(self):
        return 'on'

Controller({'mia': 'hunter2'}, port=int(sys.argv[1]), address='127.0.0.1').listen()
"#;

#[tokio::test]
#[ignore = "needs pyghmi and ipmitool: make test-peers"]
async fn a_controller_is_signed_in_to_with_sha_256_as_ipmitool_does_it() {
    let port = free_port();
    let text = port.to_string();
    let peer = start("/usr/bin/python3", CONTROLLER, &["{folder}/peer.conf", &text], &[]);
    let target = format!("127.0.0.1:{port}");
    until_it_answers(&peer, "ipmi", &target, &json!({}), |outcome| outcome.state != State::Critical).await;
    // Another client, which knows nothing of us, finds the controller's proofs right.
    let base =
        ["-I", "lanplus", "-C", "17", "-L", "OPERATOR", "-H", "127.0.0.1", "-p", &text, "-U", "mia", "-P", "hunter2"];
    let said = run("ipmitool", &[&base[..], &["chassis", "power", "status"]].concat());
    assert!(said.contains("Chassis Power is on"), "{said}");
    let with = |more: Value| {
        let mut params = json!({"user": "mia", "password": "hunter2", "suite": "17", "sensors": false});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    for (params, state, part) in [
        (with(json!({})), State::Ok, "is switched on"),
        (with(json!({"power": "off"})), State::Critical, "it must be off"),
        (with(json!({"password": "letmein"})), State::Critical, "different passwords for \"mia\""),
    ] {
        let outcome = check("ipmi", &target, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
}
