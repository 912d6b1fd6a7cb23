//! Webhooks: what is sent, what each answer means, and that nothing goes anywhere else.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use notify::{Page, Secret, SendError, send, verify};
use serde_json::{Value, json};

use crate::peer::{NOW_MS, Names, identity, net, net_with, page, web_server, webhook};

const OK: &str = "HTTP/1.1 200 OK\r\nX-Request-Id: req-42\r\nContent-Length: 0\r\n";

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim()).unwrap_or_else(|| panic!("no {name} in {request}"))
}

#[tokio::test]
async fn a_request_is_signed_named_and_the_same_on_every_attempt() {
    let (address, heard) = web_server("127.0.0.1:0", OK.into(), None).await;
    let to =
        webhook(&json!({"url": format!("http://{address}/hook?team=7"), "headers": {"X-Team": "7"}}), Some("whsec"));
    let receipt = send(&net(&[]), &to, &page()).await.unwrap();
    assert_eq!((receipt.reference.as_str(), receipt.accepted_at_ms), ("200 OK req-42", NOW_MS));
    assert_eq!(receipt.provider, address.to_string());
    send(&net(&[]), &to, &page()).await.unwrap();
    let requests = heard.all();
    assert_eq!(requests[0], requests[1], "a repeat can be told by its receiver");
    let request = &requests[0];
    assert!(request.starts_with("POST /hook?team=7 HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(request, "idempotency-key"), page().id);
    assert_eq!(header(request, "x-team"), "7");
    assert_eq!(header(request, "content-type"), "application/json");
    assert!(header(request, "user-agent").starts_with("Mainstay/"));
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), page().data);
    let (timestamp, signature) = (header(request, "mainstay-timestamp"), header(request, "mainstay-signature"));
    let believed = |secret: &str| {
        verify(&Secret::new(secret), timestamp, body.as_bytes(), signature, NOW_MS / 1000, Duration::from_secs(300))
    };
    assert_eq!(believed("whsec"), Ok(()));
    assert!(believed("other").is_err());
}

#[tokio::test]
async fn a_page_without_data_is_told_in_its_own_words() {
    let (address, heard) = web_server("127.0.0.1:0", OK.into(), None).await;
    let to = webhook(&json!({"url": format!("http://{address}/")}), None);
    let evil = Page { id: "a\r\nX-Evil: 1".into(), data: Value::Null, ..page() };
    send(&net(&[]), &to, &evil).await.unwrap();
    let request = &heard.all()[0];
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_lowercase().contains("x-evil") && !head.contains("mainstay-signature"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["id"], &body["to"]), (&json!("a\r\nX-Evil: 1"), &json!("oncall@example.org")));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_nobody_else_hears_of_it() {
    let (elsewhere, unheard) = web_server("127.0.0.1:0", OK.into(), None).await;
    for status in ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n");
        let (address, _) = web_server("127.0.0.1:0", answer, None).await;
        let result = send(&net(&[]), &webhook(&json!({"url": format!("http://{address}/")}), Some("k")), &page()).await;
        assert!(matches!(result, Err(SendError::Refused { .. })), "{status}: {result:?}");
    }
    assert!(unheard.all().is_empty());
}

#[tokio::test]
async fn answers_and_silences_mean_later_or_never() {
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n");
    let table = [
        (status("429 Slow\r\nRetry-After: 17"), Some(Some(17)), "asked to wait"),
        (status("503 Away"), Some(None), "away"),
        (status("404 Gone"), None, "no such hook"),
        ("DROP".into(), Some(None), "closed without an answer"),
        ("SSH-2.0-OpenSSH".into(), Some(None), "another protocol"),
        ("HANG".into(), Some(None), "silent"),
    ];
    for (answer, expected, why) in table {
        let (address, _) = web_server("127.0.0.1:0", answer, None).await;
        let short = net_with(&[], |net| net.send_timeout = Duration::from_millis(500));
        let secret_path = json!({"url": format!("http://{address}/T0K3N-canary")});
        let result = send(&short, &webhook(&secret_path, None), &page()).await;
        assert!(!format!("{result:?}").contains("canary"), "a URL may be a secret: {result:?}");
        let found = match result {
            Err(SendError::Retry { after, .. }) => Some(after.map(|wait| wait.as_secs())),
            Err(SendError::Refused { .. }) => None,
            Ok(receipt) => panic!("{why}: {receipt:?}"),
        };
        assert_eq!(found, expected, "{why}");
    }
}

#[tokio::test]
async fn https_is_checked_and_an_unknown_certificate_hears_nothing() {
    let id = identity();
    let (address, heard) = web_server("127.0.0.1:0", OK.into(), Some(id.acceptor.clone())).await;
    let by_name = webhook(&json!({"url": format!("https://localhost:{}/", address.port())}), Some("k"));
    let by_address = webhook(&json!({"url": format!("https://{address}/")}), Some("k"));
    let trusting = net(std::slice::from_ref(&id.certificate));
    send(&trusting, &by_name, &page()).await.unwrap();
    for (net, to, why) in
        [(&net(&[]), &by_name, "nobody vouches for it"), (&trusting, &by_address, "it is for another name")]
    {
        let result = send(net, to, &page()).await;
        assert!(matches!(result, Err(SendError::Retry { .. })), "{why}: {result:?}");
    }
    assert_eq!(heard.all().concat().matches("POST").count(), 1);
}

#[tokio::test]
async fn a_name_that_changes_its_meaning_is_asked_for_once() {
    let (first, heard) = web_server("127.0.0.1:0", OK.into(), None).await;
    let (_, unheard) = web_server(&format!("127.0.0.2:{}", first.port()), OK.into(), None).await;
    let names = Arc::new(Names::default());
    let second = format!("127.0.0.2:{}", first.port()).parse().unwrap();
    names.answers.lock().unwrap().extend([vec![first], vec![second]]);
    let to = webhook(&json!({"url": format!("http://rebinding.example:{}/", first.port())}), None);
    send(&net(&[]).with_resolver(names.clone()), &to, &page()).await.unwrap();
    assert_eq!(names.asked.load(SeqCst), 1);
    assert_eq!((heard.all().len(), unheard.all().len()), (1, 0));
    assert!(heard.all()[0].to_lowercase().contains("host: rebinding.example"), "the name itself is still said");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_anything_is_connected() {
    let (address, heard) = web_server("127.0.0.1:0", OK.into(), None).await;
    let huge = Page { data: json!("x".repeat(300 << 10)), ..page() };
    let result = send(&net(&[]), &webhook(&json!({"url": format!("http://{address}/")}), None), &huge).await;
    assert!(matches!(result, Err(SendError::Refused { .. })), "{result:?}");
    assert!(heard.all().is_empty());
}
