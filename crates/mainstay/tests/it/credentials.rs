//! What happens to a person's credentials stands on their record, told by the server as it really runs, and nothing that opens
//! anything stands anywhere in the journal.

use serde_json::{Value, json};
use std::time::Duration;

use crate::http::Answer;
use crate::server::{Place, Server};
use crate::world;

/// Asks as a browser with this cookie, from our own page.
fn as_browser(server: &Server, cookie: &str, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("Cookie", cookie), ("Sec-Fetch-Site", "same-origin")];
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer = server.http.anonymous().send(method, path, &headers, &bytes).expect("an answer");
    assert!(answer.is_done(), "{method} {path}: {} {}", answer.status, answer.text());
    answer
}

fn sign_in(server: &Server, password: &str) -> Answer {
    let body = json!({"name": "ana", "password": password});
    server.http.anonymous().ask("POST", "/api/v1/session", &body).expect("an answer")
}

/// Actions told on a record, oldest first.
fn actions(server: &Server, class: &str, key: &str) -> Vec<(String, Value)> {
    let mut entries = server.http.get(&format!("/api/v1/records/{class}/{key}/journal?limit=500"))["entries"].clone();
    let entries = entries.as_array_mut().expect("entries");
    entries.reverse();
    entries.iter().map(|e| (e["action"].as_str().unwrap_or_default().to_owned(), e.clone())).collect()
}

#[test]
fn a_person_s_record_tells_what_happened_to_their_credentials_and_no_secret() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let reset = server.cli(&["admin", "reset"]);
    let link = world::text(&reset);
    let bootstrap = link.split("token=").nth(1).and_then(|t| t.split_whitespace().next()).expect("a link").to_owned();
    let (first, second) = ("tulpe kabel nebel", "katze dose wolke");
    let body = json!({"token": bootstrap, "name": "ana", "title": "Ana", "password": first});
    let signed = server.http.anonymous().ask("POST", "/api/v1/bootstrap", &body).expect("an answer");
    let mut cookies = vec![signed.cookie.clone().expect("a cookie")];
    as_browser(&server, &cookies[0], "DELETE", "/api/v1/session", &Value::Null);
    assert_eq!(sign_in(&server, "guess-canary-4711").status, 401);
    cookies.push(world::until(Duration::from_secs(20), "the wait after a wrong password is over", || {
        let answer = sign_in(&server, first);
        if answer.status == 200 { Ok(answer.cookie.expect("a cookie")) } else { Err(answer.text()) }
    }));
    let change = json!({"current": first, "new": second});
    let changed = as_browser(&server, &cookies[1], "POST", "/api/v1/session/password", &change);
    cookies.push(changed.cookie.expect("a new cookie"));
    let enrolment = as_browser(&server, &cookies[2], "POST", "/api/v1/session/totp", &json!({})).json();
    let made = as_browser(&server, &cookies[2], "POST", "/api/v1/tokens", &json!({"name": "CI", "days": 1})).json();
    let (token, id) = (made["token"].as_str().expect("a token"), made["id"].as_str().expect("an id"));
    as_browser(&server, &cookies[2], "DELETE", &format!("/api/v1/tokens/{id}"), &Value::Null);

    let told = world::until(Duration::from_secs(20), "the refusal is told, beside its answer", || {
        let told = actions(&server, "person", "ana");
        if told.iter().any(|(action, _)| action == "refuse-sign-in") { Ok(told) } else { Err(format!("{told:?}")) }
    });
    let mut names: Vec<&str> = told.iter().map(|(action, _)| action.as_str()).collect();
    names.retain(|action| *action != "refuse-sign-in");
    let expected =
        ["create", "use-first-sign-in", "sign-out", "sign-in", "change-password", "create-token", "revoke-token"];
    assert_eq!(names, expected);
    let entry = |action: &str| told.iter().find(|(a, _)| a == action).map(|(_, e)| e.clone()).expect("told");
    assert_eq!(entry("sign-in")["actor"], json!({"kind": "person", "key": "ana"}));
    assert_eq!(entry("refuse-sign-in")["actor"]["kind"], "anonymous");
    assert_eq!(entry("refuse-sign-in")["after"]["address"], "127.0.0.1");
    assert_eq!(entry("create-token")["after"]["token"], id);
    let undo = server.http.ask("POST", "/api/v1/records/person/ana/undo", &json!({"seq": entry("sign-in")["seq"]}));
    assert_eq!(undo.expect("an answer").status, 409, "nobody takes back that they signed in");
    let home: Vec<String> = actions(&server, "tenant", "internal").into_iter().map(|(action, _)| action).collect();
    assert_eq!(home, ["create", "create-token", "open-first-sign-in"], "what is nobody's, on the organisation");

    let whole = server.http.get("/api/v1/journal?limit=1000").to_string();
    let admin = server.http.token.clone().expect("a token");
    let bare = |token: &str| token.splitn(3, '_').nth(2).expect("mst_id_secret").to_owned();
    let mut secrets = vec![first.to_owned(), second.into(), "guess-canary-4711".into(), bootstrap];
    secrets.extend([bare(token), bare(&admin), enrolment["secret"].as_str().expect("a secret").to_owned()]);
    secrets.extend(cookies.iter().map(|c| c.split_once('=').expect("a cookie").1.to_owned()));
    for secret in secrets {
        assert!(secret.len() > 12 && !whole.contains(&secret), "{secret} is in the journal");
    }
    assert!(world::text(&server.cli(&["verify"])).contains("journal"), "the chain holds");
}
