//! Who is believed, and who is told who we are: certificates and redirects, for scrapes and for the relay.

use std::time::Duration;

use signals::relay::{Address, Options, Remote, Tls};

use crate::scrape::start;
use crate::web::{Answer, Web};

/// A web server whose certificate only its own authority vouches for; and that authority in PEM.
async fn strange_web() -> (Web, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let identity = (certified.cert.der().to_vec(), certified.signing_key.serialize_der());
    let web = Web::start_tls(identity, |request, _| match request.path() {
        "/metrics" => Answer::page("a 1\n"),
        _ => Answer::page(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#),
    })
    .await;
    (web, certified.cert.pem())
}

#[tokio::test]
async fn a_relay_believes_an_authority_that_is_named_and_no_stranger() {
    let (web, authority) = strange_web().await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("https://mia:hunter2@{}", web.address);
    let open = |name: &str, tls: Tls| {
        Remote::open(&dir.path().join(name), Options { tls, ..Options::new(Address::parse(&url, None).unwrap()) })
            .unwrap()
    };
    let refused = open("stranger", Tls::default()).ready().await.unwrap_err();
    assert!(refused.contains("certificate") && !refused.contains("hunter2"), "{refused}");
    assert!(web.requests().is_empty(), "nothing was said to a stranger");
    open("named", Tls { authorities: Some(authority.into_bytes()), ..Tls::default() }).ready().await.unwrap();
    assert_eq!(web.requests().len(), 1);
}

#[tokio::test]
async fn a_scrape_believes_an_authority_that_is_named_and_anyone_only_when_told_so() {
    let (web, authority) = strange_web().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), authority).unwrap();
    let job = |name: &str, tls: &str| {
        format!(
            "- job_name: {name}\n  scrape_interval: 200ms\n  scheme: https\n  static_configs: [{{targets: ['{}']}}]\n{tls}",
            web.address
        )
    };
    let world = start(&format!(
        "scrape_configs:\n{}{}{}{}",
        job("stranger", ""),
        job("named", &format!("  tls_config: {{ca_file: {}/ca.pem}}\n", dir.path().display())),
        job("other", &format!("  tls_config: {{ca_file: {}/ca.pem, server_name: elsewhere}}\n", dir.path().display())),
        job("anyone", "  tls_config: {insecure_skip_verify: true}\n"),
    ));
    for (name, up) in [("named", 1.0), ("anyone", 1.0), ("stranger", 0.0), ("other", 0.0)] {
        world.until_is("up", ("job", name), up).await;
    }
    let shown = world.scraper.targets_json(None, Some("stranger")).to_string();
    assert!(shown.contains("certificate"), "{shown}");
}

#[tokio::test]
async fn a_redirect_is_followed_without_credentials_and_not_at_all_when_told_so() {
    let other = Web::start(|_, _| Answer::page("a 1\n")).await;
    let to = format!("http://{}/there", other.address);
    let web = Web::start(move |_, _| Answer::status(302).header("location", &to)).await;
    let job = |name: &str, rest: &str| {
        format!(
            "- job_name: {name}\n  scrape_interval: 200ms\n  basic_auth: {{username: mia, password: hunter2}}\n  static_configs: [{{targets: ['{}']}}]\n{rest}",
            web.address
        )
    };
    let world =
        start(&format!("scrape_configs:\n{}{}", job("follows", ""), job("stays", "  follow_redirects: false\n")));
    world.until_is("up", ("job", "follows"), 1.0).await;
    world.until_is("up", ("job", "stays"), 0.0).await;
    assert!(web.requests().iter().all(|r| r.head.contains("authorization: Basic")));
    let there = other.requests();
    assert!(!there.is_empty() && there.iter().all(|r| r.path() == "/there" && !r.head.contains("authorization")));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_of_without_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let address =
        Address::parse(&format!("http://bearer:hunter2@127.0.0.1:{}", crate::peers::free_port()), None).unwrap();
    let remote = Remote::open(dir.path(), Options::new(address)).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(5), remote.ready()).await.unwrap().unwrap_err();
    assert!(told.contains("does not answer") && !told.contains("hunter2"), "{told}");
}
