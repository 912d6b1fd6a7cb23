//! Sessions of Redfish: sushy's emulator, before which the test puts a service of sessions as DSP0266 describes it, since no
//! controller that can be installed here has one. DMTF's own client gets in by it as well.

use std::time::Duration;

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, python, run, start, until_it_listens};
use crate::{SECONDS_5, check};

/// What comes before the emulator: at most two sessions, told at `/open`. Its last argument is what is odd about it.
const CONTROLLER: &str = r#"
import base64, json, secrets, sys, threading
from sushy_tools.emulator import main

PLACE, ROOT = '/redfish/v1/SessionService/Sessions', '/redfish/v1'
BASIC = 'Basic ' + base64.b64encode(b'mia:hunter2').decode()
odd = sys.argv.pop()

class Sessions:
    def __init__(self, inner):
        self.inner, self.open = inner, {}

    def say(self, begin, status, body=None, headers=()):
        begin(status, [('Content-Type', 'application/json'), *headers])
        return [json.dumps(body or {}).encode()]

    def __call__(self, asked, begin):
        path, method = asked['PATH_INFO'].rstrip('/'), asked['REQUEST_METHOD']
        known = asked.get('HTTP_X_AUTH_TOKEN') in self.open.values()
        if path == '/open':
            return self.say(begin, '200 OK', {'open': len(self.open)})
        if path == PLACE and method == 'POST':
            who = json.loads(asked['wsgi.input'].read(int(asked['CONTENT_LENGTH'])))
            if who != {'UserName': 'mia', 'Password': 'hunter2'}:
                return self.say(begin, '401 Unauthorized')
            if len(self.open) == 2:
                return self.say(begin, '503 Service Unavailable', {'error': {'code': 'Base.1.0.SessionLimitExceeded'}})
            name, token = secrets.token_hex(4), secrets.token_hex(16)
            self.open[name] = token
            place = f'{PLACE}/{name}'
            return self.say(begin, '201 Created', {'@odata.id': place}, [('X-Auth-Token', token), ('Location', place)])
        if method == 'DELETE' and path.startswith(PLACE + '/') and known:
            if odd == 'keeps':
                return self.say(begin, '405 Method Not Allowed')
            self.open.pop(path.rsplit('/', 1)[1])
            return self.say(begin, '204 No Content')
        if known and odd == 'slow' and path != ROOT:
            threading.Event().wait(20)
        if known or path == ROOT:
            asked['HTTP_AUTHORIZATION'] = BASIC
        elif odd != 'basic':
            asked.pop('HTTP_AUTHORIZATION', None)
        return self.inner(asked, begin)

run = main.app.run
def begin(**settings):
    main.app.wsgi_app = Sessions(main.app.wsgi_app)
    run(**settings)
main.app.run = begin
main.main()
"#;

async fn controller(odd: &str) -> (Peer, u16) {
    let port = free_port();
    let configuration = format!(
        "SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\nSUSHY_EMULATOR_FAKE_DRIVER = True\n\
         SUSHY_EMULATOR_AUTH_FILE = '{{folder}}/passwd'\n"
    );
    // hunter2, as htpasswd -B writes it.
    let hash =
        run(&python("python"), &["-c", "import bcrypt; print(bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4)).decode())"]);
    let files = [("passwd", format!("mia:{hash}")), ("controller.py", CONTROLLER.to_owned())];
    let arguments = ["{folder}/controller.py", "--config", "{folder}/peer.conf", "--fake", odd];
    let peer = start(&python("python"), &configuration, &arguments, &files);
    until_it_listens(&peer, port).await;
    (peer, port)
}

fn with(more: &Value) -> Value {
    let mut params = json!({"user": "mia", "password": "hunter2"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

async fn hold(port: u16, timeout: Duration, cases: Vec<(Value, State, &str)>, open: &str) {
    for (params, state, part) in cases {
        let outcome = check("redfish", &format!("http://127.0.0.1:{port}/"), params.clone(), timeout).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        let left = check("http", &format!("http://127.0.0.1:{port}/open"), json!({"body": open}), SECONDS_5).await;
        assert_eq!(left.state, State::Ok, "{params}: {}", left.summary);
    }
}

#[tokio::test]
#[ignore = "needs sushy-emulator and DMTF's redfish: make test-peers"]
async fn a_session_is_opened_where_it_must_be_and_ended_always() {
    let (_peer, port) = controller("").await;
    let well = "tells of 1 systems, 1 chassis, all healthy";
    let cases = vec![
        (with(&json!({"sign_in": "session"})), State::Ok, well),
        (with(&json!({})), State::Ok, well), // basic authentication is refused
        (with(&json!({"power": "on"})), State::Critical, "is Off, not On"),
        (with(&json!({"sign_in": "basic"})), State::Critical, "/Systems answers 401"),
        (with(&json!({"sign_in": "session", "password": "letmein"})), State::Critical, "/Sessions answers 401"),
        (with(&json!({"password": "letmein"})), State::Critical, "nor is a session to be had: http://"),
    ];
    hold(port, SECONDS_5, cases, "\"open\": 0").await;
    let client = format!(
        "import redfish\nclient = redfish.redfish_client('http://127.0.0.1:{port}', 'mia', 'hunter2')\n\
         client.login(auth='session')\nprint(client.get('/redfish/v1/Systems').status)\nclient.logout()"
    );
    assert_eq!(run(&python("python"), &["-c", &client]).trim(), "200");
    let (_peer, port) = controller("basic").await;
    let cases = vec![
        (with(&json!({})), State::Ok, well),
        (with(&json!({"sign_in": "basic"})), State::Ok, well),
        (with(&json!({"sign_in": "session"})), State::Ok, well),
    ];
    hold(port, SECONDS_5, cases, "\"open\": 0").await;
}

#[tokio::test]
#[ignore = "needs sushy-emulator: make test-peers"]
async fn a_session_of_a_slow_controller_is_ended_and_one_that_stays_is_told() {
    let (_peer, port) = controller("slow").await;
    let cases = vec![(with(&json!({"sign_in": "session"})), State::Critical, "no answer from http://127.0.0.1")];
    hold(port, Duration::from_secs(3), cases, "\"open\": 0").await;
    let (_peer, port) = controller("keeps").await;
    let told = "the session of this check is left open (http://";
    hold(port, SECONDS_5, vec![(with(&json!({"sign_in": "session"})), State::Warning, told)], "\"open\": 1").await;
    hold(port, SECONDS_5, vec![(with(&json!({})), State::Warning, told)], "\"open\": 2").await;
    let full = "SessionLimitExceeded";
    hold(port, SECONDS_5, vec![(with(&json!({"sign_in": "session"})), State::Critical, full)], "\"open\": 2").await;
}
