//! The loop: a real nginx ends, and everything that was promised follows: incident, pages, runbook, proof, recovery, the
//! interval of downtime, and a journal that tells why each of it happened.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Http;
use crate::mailbox::{Mail, Mailbox};
use crate::nginx::Nginx;
use crate::server::{Place, Server};
use crate::webhook::{Call, Receiver};
use crate::world::{self, Watch, until};

/// From the end of a process to a page that a provider has accepted.
const PAGE_WITHIN: Duration = Duration::from_secs(10);
/// For what follows the page, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(40);
const SECRET: &str = "the webhook's own secret of thirty-two bytes";

/// A shop on this machine, watched, with people to page and a runbook.
struct Shop {
    server: Server,
    nginx: Nginx,
    mailbox: Mailbox,
    receiver: Receiver,
    host: String,
    _place: Place,
}

impl Shop {
    fn open() -> Self {
        let place = Place::new();
        let (mailbox, receiver) = (Mailbox::open(), Receiver::open(SECRET));
        let nginx = Nginx::start(place.folder.path());
        let allow = place.beside("allow");
        fs::write(&allow, format!("allow: {}\n", json!(nginx.argv()))).expect("an allow list");
        fs::set_permissions(&allow, fs::Permissions::from_mode(0o644)).expect("its mode");
        let allow = allow.display().to_string();
        let server =
            Server::start(&place.data, &["--allow", &allow, "--allow-webhook", &receiver.place()]).with_admin();
        let host = until(SOON, "this machine is known", || {
            let hosts = server.http.records("host", "");
            hosts.first().and_then(|host| host["key"].as_str().map(str::to_owned)).ok_or_else(|| "no host".to_owned())
        });
        // How busy the machine is with other tests is another trouble.
        for check in server.http.records("check", &format!("on:{host}")) {
            let path = format!("/api/v1/records/check/{}", check["key"].as_str().expect("a key"));
            server.http.must("PATCH", &path, &json!({"fields": {"enabled": false}}));
        }
        let shop = Self { server, nginx, mailbox, receiver, host, _place: place };
        shop.apply(&shop.people());
        shop.keep_secret();
        shop
    }

    fn http(&self) -> &Http {
        &self.server.http
    }

    /// Applies documents by the command line, as a person would.
    fn apply(&self, yaml: &str) {
        let file = self._place.beside("shop.yaml");
        fs::write(&file, yaml).expect("a file");
        let output = self.server.cli(&["apply", "-f", &file.display().to_string()]);
        assert!(output.status.success(), "apply: {}", world::text(&output));
    }

    /// Whom to page, and how.
    fn people(&self) -> String {
        format!(
            r#"
kind: channel
metadata: {{ name: mail }}
spec:
  type: smtp
  settings: {{ host: 127.0.0.1, port: {mail}, security: none, from: mainstay@shop.test }}
  to: on-call@shop.test
---
kind: channel
metadata: {{ name: hook }}
spec:
  type: webhook
  settings: {{ url: "http://127.0.0.1:{hook}/page" }}
---
kind: escalation-policy
metadata: {{ name: default }}
spec:
  title: Everybody at once
  steps: [ {{ after: 0s, notify: [mail, hook] }} ]
"#,
            mail = self.mailbox.port,
            hook = self.receiver.port,
        )
    }

    /// The service, what it needs, how it is asked for, and what mends it.
    fn service(&self) -> String {
        format!(
            r#"
kind: service
metadata: {{ name: shop }}
spec: {{ name: Shop }}
links: [ {{ type: depends-on, to: nginx-test }} ]
---
kind: application
metadata: {{ name: nginx-test }}
spec: {{ name: nginx of the shop }}
links: [ {{ type: runs-on, to: {host} }} ]
---
kind: check
metadata: {{ name: shop-front }}
spec:
  protocol: http
  target: "http://127.0.0.1:{port}/"
  interval: 1s
  timeout: 1s
  retries: 1
  expect: {{ status: 200, body: Welcome }}
  on: nginx-test
---
kind: runbook
metadata: {{ name: restart-nginx }}
spec:
  title: Start nginx again
  approval: none
  steps:
    - {{ run: {argv}, timeout: 30s }}
    - {{ check: shop-front, within: 20s }}
  when: {{ check: shop-front, state: CRITICAL }}
"#,
            host = self.host,
            port = self.nginx.port,
            argv = json!(self.nginx.argv()),
        )
    }

    /// The secret goes in by standard input, so that no list of processes shows it.
    fn keep_secret(&self) {
        let output = self.server.cli_with_input(&["channel", "secret", "hook"], SECRET);
        assert!(output.status.success(), "channel secret: {}", world::text(&output));
    }

    fn state_of(&self, class: &str, key: &str) -> String {
        let record = self.http().get(&format!("/api/v1/records/{class}/{key}"));
        record["state"].as_str().unwrap_or_default().to_owned()
    }

    fn wait_for(&self, class: &str, key: &str, state: &str) {
        until(SOON, &format!("{class} {key} is {state}"), || match self.state_of(class, key) {
            found if found == state => Ok(()),
            found => Err(format!("it is {found}")),
        });
    }

    /// The only incident of this trouble, when it is in this state. A busy machine may have one of its own about its load.
    fn incident(&self, state: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let mut all = self.http().records("incident", "fingerprint:\"check:shop-front\"");
        assert!(all.len() <= 1, "one trouble has {} incidents: {all:?}", all.len());
        let incident = all.pop().ok_or_else(|| "there is none".to_owned())?;
        if state(&incident) { Ok(incident) } else { Err(format!("it is {}", incident["state"])) }
    }

    /// Mails whose subject begins so; the second kind tells that it is over.
    fn pages(&self, key: &str) -> (Vec<Mail>, Vec<Mail>) {
        let (began, over) = (format!("[{key}] "), format!("[{key}] resolved: "));
        let mails = self.mailbox.mails();
        let subject = |mail: &Mail| mail.header("subject").unwrap_or_default().to_owned();
        let about = mails.into_iter().filter(|mail| subject(mail).starts_with(&began));
        about.partition(|mail| !subject(mail).starts_with(&over))
    }

    /// Calls whose subject begins so; the second kind tells that it is over.
    fn calls(&self, key: &str) -> (Vec<Call>, Vec<Call>) {
        let (began, over) = (format!("[{key}] "), format!("[{key}] resolved: "));
        let subject = |call: &Call| call.body["subject"].as_str().unwrap_or_default().to_owned();
        let about = self.receiver.calls().into_iter().filter(|call| subject(call).starts_with(&began));
        about.partition(|call| !subject(call).starts_with(&over))
    }
}

/// Entries from `entry` back to where it all began, as "class key action".
fn causes(journal: &BTreeMap<u64, Value>, entry: &Value) -> Vec<String> {
    let mut chain = Vec::new();
    let mut at = Some(entry);
    while let Some(entry) = at {
        let word = |name: &str| entry[name].as_str().unwrap_or_default();
        chain.push(format!("{} {} {}", word("class"), word("subject"), word("action")));
        assert!(chain.len() < 50, "causes go round in a circle: {chain:?}");
        let cause = entry["cause"].as_u64();
        at =
            cause.map(|seq| journal.get(&seq).unwrap_or_else(|| panic!("entry {seq} is named as a cause and is gone")));
    }
    chain
}

#[test]
fn a_service_that_ends_is_noticed_told_mended_proved_and_written_down() {
    let shop = Shop::open();
    shop.apply(&shop.service());
    shop.wait_for("check", "shop-front", "OK");
    until(SOON, "the application is up", || {
        let application = shop.http().get("/api/v1/records/application/nginx-test");
        if application["health"]["state"] == "up" { Ok(()) } else { Err(application["health"].to_string()) }
    });

    let first = trouble(&shop, 0);
    it_names_what_is_hit(&shop, &first);
    it_is_written_down(&shop, &first, 1);

    // It ends again: a relapse is the same incident, told and mended anew.
    let again = trouble(&shop, 1);
    assert_eq!(again, first, "a relapse reopens the incident");
    it_is_written_down(&shop, &first, 2);
    let verified = shop.server.cli(&["verify"]);
    assert!(verified.status.success(), "verify: {}", world::text(&verified));
}

/// Ends nginx and follows what comes of it, to the end. Answers the key of the incident.
fn trouble(shop: &Shop, relapses: u64) -> String {
    let told_before = usize::try_from(relapses).expect("a small number");
    let watch = Watch::start();
    shop.nginx.stop();
    let ended = watch.passed();
    let incident =
        until(PAGE_WITHIN, "an incident", || shop.incident(|incident| incident["fields"]["relapses"] == relapses));
    let key = incident["key"].as_str().expect("a record has a key").to_owned();
    let opened = watch.passed();
    let mail = until(PAGE_WITHIN, "a page by mail", || {
        shop.pages(&key).0.get(told_before).cloned().ok_or_else(|| shop.told())
    });
    let call = until(PAGE_WITHIN, "a page by webhook", || {
        shop.calls(&key).0.get(told_before).cloned().ok_or_else(|| shop.told())
    });
    let paged = watch.passed().saturating_sub(mail.accepted.passed().min(call.accepted.passed()));
    assert!(paged <= PAGE_WITHIN, "paged after {paged:?}");
    assert_eq!(call.signed, Some(true), "the webhook is signed");
    assert_eq!(call.idempotency_key, call.body["page_id"], "a repeat would carry the same key");
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("mainstay@shop.test", &["on-call@shop.test".to_owned()][..]));

    until(SOON, "nginx answers again", || shop.nginx.answers());
    let run = until(SOON, "the runbook has succeeded", || {
        let runs = shop.http().records("runbook-run", "runbook:restart-nginx");
        assert!(runs.len() <= told_before + 1, "one trouble, one run: {runs:?}");
        let run = runs.into_iter().find(|run| run["state"] == "succeeded" && !shop.seen(run, relapses));
        run.ok_or_else(|| format!("runs: {:?}", shop.http().records("runbook-run", "")))
    });
    let results = run["fields"]["results"].as_array().cloned().unwrap_or_default();
    assert_eq!(results.len(), 2, "both steps: {results:?}");
    assert!(results.iter().all(|result| result["ok"] == true), "{results:?}");
    shop.wait_for("check", "shop-front", "OK");
    until(SOON, "the incident has resolved itself", || shop.incident(|incident| incident["state"] == "resolved"));
    until(SOON, "everybody heard that it is over", || {
        let over = (shop.pages(&key).1.len(), shop.calls(&key).1.len());
        if over == (told_before + 1, told_before + 1) { Ok(()) } else { Err(format!("{over:?}")) }
    });
    println!(
        "figure: end of nginx to page accepted (check every 1 s) | {} ms | ≤ 10000 ms | kept",
        paged.saturating_sub(ended).as_millis()
    );
    println!(
        "incident open {} ms after the signal; resolved {} ms after it",
        opened.as_millis(),
        watch.passed().as_millis()
    );
    key
}

impl Shop {
    /// What was handed over so far, for a failure.
    fn told(&self) -> String {
        let notifications = self.http().records("notification", "");
        let short = |n: &Value| format!("{} {} {}", n["state"], n["fields"]["subject"], n["fields"]["last_error"]);
        format!("{:?}", notifications.iter().map(short).collect::<Vec<_>>())
    }

    /// Whether a run belongs to an earlier trouble: its `once` carries the number of the relapse.
    fn seen(&self, run: &Value, relapses: u64) -> bool {
        let once = run["fields"]["once"].as_str().unwrap_or_default();
        !once.contains(&format!(":{relapses}:"))
    }
}

/// The incident names the application, the machine and the service that needs it, in words and by links.
fn it_names_what_is_hit(shop: &Shop, key: &str) {
    let incident = shop.http().get(&format!("/api/v1/records/incident/{key}"));
    let words = format!("{} {}", incident["title"], incident["fields"]["description"]);
    let host = shop.http().get(&format!("/api/v1/records/host/{}", shop.host));
    let machine = host["title"].as_str().expect("a host has a title");
    for name in ["nginx of the shop", machine, "Shop"] {
        assert!(words.contains(name), "{name} is not in: {words}");
    }
    let links = incident["links"].as_array().cloned().unwrap_or_default();
    let affected: Vec<&str> =
        links.iter().filter(|link| link["type"] == "affects").filter_map(|link| link["key"].as_str()).collect();
    for wanted in ["nginx-test", "shop", shop.host.as_str()] {
        assert!(affected.contains(&wanted), "{wanted} is not among {affected:?}");
    }
    let (mails, _) = shop.pages(key);
    assert!(mails[0].text.contains("nginx of the shop"), "the mail says what: {}", mails[0].text);
}

/// Each of it is in the records and the journal once for each trouble, with its causes.
fn it_is_written_down(shop: &Shop, key: &str, troubles: usize) {
    let http = shop.http();
    let alerts = http.records("alert", "fingerprint:\"check:shop-front\"");
    assert_eq!(alerts.len(), 1, "one alert, counted and not listed: {alerts:?}");
    assert_eq!(alerts[0]["state"], "resolved");
    let intervals = http.get("/api/v1/records/application/nginx-test/intervals");
    let intervals = intervals["intervals"].as_array().cloned().unwrap_or_default();
    let down: Vec<&Value> = intervals.iter().filter(|interval| interval["state"] == "down").collect();
    assert_eq!(down.len(), troubles, "an interval for each time it was down: {intervals:?}");
    for interval in down {
        let (start, end) = (interval["start"].as_str(), interval["end"].as_str());
        assert!(start < end && end.is_some(), "it began and ended: {interval}");
    }
    assert_eq!(intervals.iter().filter(|interval| interval["end"].is_null()).count(), 1, "and now it is up");

    let (began, over) = shop.pages(key);
    let (called, called_over) = shop.calls(key);
    assert_eq!([began.len(), over.len(), called.len(), called_over.len()], [troubles; 4], "each page once");
    // The provider has it a moment before its receipt is written down.
    let notifications = until(SOON, "every page has its receipt", || {
        let all = http.records("notification", "");
        let sent = all.iter().all(|n| n["state"] == "sent" && !n["fields"]["receipt"].is_null());
        if sent { Ok(all) } else { Err(shop.told()) }
    });
    assert_eq!(notifications.len(), 4 * troubles, "{}", shop.told());

    let journal: BTreeMap<u64, Value> =
        http.journal().into_iter().map(|entry| (entry["seq"].as_u64().expect("a number"), entry)).collect();
    let of = |class: &str, action: &str| {
        journal.values().filter(|entry| entry["class"] == class && entry["action"] == action).collect::<Vec<_>>()
    };
    let critical = "check shop-front critical".to_owned();
    assert_eq!(of("check", "critical").len(), troubles);
    assert_eq!((of("incident", "create").len(), of("incident", "reopen").len()), (1, troubles - 1));
    let told: Vec<(&str, &str, &str)> = vec![
        ("incident", "create", "the incident"),
        ("incident", "reopen", "its relapse"),
        ("notification", "create", "the page"),
        ("notification", "send", "its receipt"),
        ("runbook-run", "create", "the run"),
        ("runbook-run", "succeed", "its end"),
    ];
    for (class, action, what) in told {
        for entry in of(class, action) {
            let chain = causes(&journal, entry);
            let over = entry["after"]["subject"].as_str().is_some_and(|subject| subject.contains("] resolved: "));
            let from_check = chain.iter().any(|link| link.starts_with("check shop-front "));
            assert!(from_check, "{what} does not lead back to the check: {chain:?}");
            if class != "notification" && !over {
                assert!(chain.contains(&critical), "{what} was caused by {chain:?}");
            }
        }
    }
    for entry in of("incident", "resolve") {
        let chain = causes(&journal, entry);
        assert!(chain.contains(&"check shop-front ok".to_owned()), "it resolved because of {chain:?}");
    }
}

#[test]
fn whoever_takes_an_incident_by_command_line_or_api_ends_the_paging() {
    let shop = Shop::open();
    let nobody = world::free_port();
    let patient = format!(
        r#"
kind: escalation-policy
metadata: {{ name: default }}
spec:
  title: One after the other
  steps: [ {{ after: 0s, notify: [mail] }}, {{ after: 4s, notify: [mail] }} ]
---
kind: check
metadata: {{ name: gate-a }}
spec: {{ protocol: tcp, target: "127.0.0.1:{nobody}", interval: 1s, timeout: 1s, retries: 0 }}
---
kind: check
metadata: {{ name: gate-b }}
spec: {{ protocol: tcp, target: "127.0.0.1:{nobody}", interval: 1s, timeout: 1s, retries: 0 }}
"#
    );
    shop.apply(&patient);
    let find = |check: &str| {
        until(SOON, "an incident of each check", || {
            let mut found = shop.http().records("incident", &format!("fingerprint:\"check:{check}\""));
            found.pop().and_then(|i| i["key"].as_str().map(str::to_owned)).ok_or_else(|| "none yet".to_owned())
        })
    };
    let (by_command, by_api) = (find("gate-a"), find("gate-b"));
    until(SOON, "each was paged once", || {
        let pages = (shop.pages(&by_command).0.len(), shop.pages(&by_api).0.len());
        if pages == (1, 1) { Ok(()) } else { Err(format!("{pages:?}")) }
    });
    let watch = Watch::start();
    let done = shop.server.cli(&["do", "acknowledge", "incident", &by_command]);
    assert!(done.status.success(), "{}", world::text(&done));
    let path = format!("/api/v1/records/incident/{by_api}/transitions");
    shop.http().must("POST", &format!("{path}/acknowledge"), &json!({"note": "mine"}));
    for key in [&by_command, &by_api] {
        let incident = shop.http().get(&format!("/api/v1/records/incident/{key}"));
        assert!(incident["fields"]["acknowledged_at"].is_string(), "{incident}");
        assert_eq!(incident["state"], "detected", "taking it leaves the phase");
    }
    until(SOON, "the time of the second step", || {
        let pages = (shop.pages(&by_command).0.len(), shop.pages(&by_api).0.len());
        assert_eq!(pages, (1, 1), "nobody is paged for what somebody has");
        if watch.passed() > Duration::from_secs(5) { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let resolved = shop.server.cli(&["do", "resolve", "incident", &by_command, "resolution=the gate is not needed"]);
    assert!(resolved.status.success(), "{}", world::text(&resolved));
    let fields = json!({"fields": {"resolution": "the gate is not needed"}});
    shop.http().must("POST", &format!("{path}/resolve"), &fields);
    for key in [&by_command, &by_api] {
        assert_eq!(shop.state_of("incident", key), "resolved");
    }
}

#[test]
fn a_command_that_the_machine_does_not_allow_is_not_run_and_the_run_says_so() {
    let shop = Shop::open();
    let marker = shop._place.beside("touched");
    let marker_text = marker.display().to_string();
    shop.apply(&format!(
        "kind: runbook\nmetadata: {{ name: touch }}\nspec:\n  approval: none\n  steps: [ {{ run: [\"touch\", \"{marker_text}\"] }} ]\n"
    ));
    let run = shop.http().must(
        "POST",
        "/api/v1/records/runbook-run",
        &json!({"fields": {"runbook": "touch", "reason": "a try"}}),
    );
    let key = run["key"].as_str().expect("a key");
    let run = until(SOON, "the run has ended", || {
        let run = shop.http().get(&format!("/api/v1/records/runbook-run/{key}"));
        if run["open"] == false || run["state"] == "failed" { Ok(run) } else { Err(run["state"].to_string()) }
    });
    assert_eq!(run["state"], "failed", "{run}");
    assert!(run["fields"]["results"].to_string().contains("allow list"), "it says why: {run}");
    assert!(!marker.exists(), "nothing was run");
}
