//! Mail: what is sent, and what each answer, and each silence, means.

use std::time::{Duration, Instant};

use notify::{Channel, Secret, Security, SendError, Smtp, send};

use crate::peer::{Manners, NOW_MS, identity, mail_server, net, net_with, page, smtp};

/// How an attempt ended.
fn outcome(result: &Result<notify::Receipt, SendError>) -> &'static str {
    match result {
        Ok(_) => "sent",
        Err(SendError::Retry { .. }) => "later",
        Err(SendError::Refused { .. }) => "never",
    }
}

fn signed_in(channel: Channel) -> Channel {
    let Channel::Smtp(smtp) = channel else { panic!("a mail channel") };
    Channel::Smtp(Smtp { user: Some("ops".into()), password: Some(Secret::new("s3cret-canary")), ..smtp })
}

#[tokio::test]
async fn a_mail_that_is_taken_has_a_receipt_with_the_servers_own_words() {
    let (address, heard) = mail_server(Manners::default()).await;
    let receipt = send(&net(&[]), &smtp(address, Security::None), &page()).await.unwrap();
    assert_eq!(receipt.reference, "250 2.0.0 queued as 4711");
    assert_eq!(receipt.provider, format!("localhost:{}", address.port()));
    assert_eq!(receipt.accepted_at_ms, NOW_MS);
    assert!(receipt.elapsed_seconds > 0.0 && receipt.elapsed_seconds < 20.0);
    let said = &heard.all()[0];
    assert!(said.contains("MAIL FROM:<ops@example.org>") && said.contains("RCPT TO:<oncall@example.org>"), "{said}");
    assert!(said.contains("Message-ID: <page-0192f5c2-7a10-7000-8000-000000000001@example.org>"), "{said}");
    assert_eq!(said.matches("\r\n.\r\n").count(), 1, "a line with a dot does not end the mail\n{said}");
}

#[tokio::test]
async fn each_answer_of_a_mail_server_means_later_or_never() {
    let table = [
        ("GREETING", "421 busy", "later"),
        ("GREETING", "554 go away", "never"),
        ("GREETING", "DROP", "later"),
        ("GREETING", "HTTP/1.1 400 Bad Request", "later"),
        ("GREETING", "FLOOD", "later"),
        ("EHLO", "550 no", "never"),
        ("MAIL", "451 greylisted", "later"),
        ("MAIL", "553 who are you", "never"),
        ("MAIL", "DROP", "later"),
        ("RCPT", "450 mailbox busy", "later"),
        ("RCPT", "452 full", "later"),
        ("RCPT", "550 no such user", "never"),
        ("RCPT", "DROP", "later"),
        ("DATA", "451 later", "later"),
        ("DATA", "554 no", "never"),
        ("DATA", "DROP", "later"),
        ("BODY", "451 virus scanner is away", "later"),
        ("BODY", "554 spam", "never"),
        ("BODY", "DROP", "later"),
        ("QUIT", "DROP", "sent"),
    ];
    for (word, reply, expected) in table {
        let (address, heard) = mail_server(Manners { replies: vec![(word, reply)], ..Manners::default() }).await;
        let result = send(&net(&[]), &smtp(address, Security::None), &page()).await;
        assert_eq!(outcome(&result), expected, "{word} answered by {reply}: {result:?}");
        assert_eq!(heard.all().len(), 1, "one connection an attempt");
        if let Err(SendError::Retry { why, .. } | SendError::Refused { why }) = result {
            assert!(why.contains("localhost"), "the reason names the server: {why}");
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_the_mail_and_says_nothing_costs_the_deadline_and_no_more() {
    for silent in ["GREETING", "BODY"] {
        let (address, _) = mail_server(Manners { replies: vec![(silent, "HANG")], ..Manners::default() }).await;
        let short = net_with(&[], |net| net.send_timeout = Duration::from_millis(300));
        #[expect(clippy::disallowed_methods, reason = "times the real deadline")]
        let started = Instant::now();
        let result = send(&short, &smtp(address, Security::None), &page()).await;
        assert!(started.elapsed() < Duration::from_secs(10));
        let Err(SendError::Retry { why, .. }) = result else { panic!("{result:?}") };
        assert!(why.contains("may have arrived"), "what is not known is not hidden: {why}");
    }
}

#[tokio::test]
async fn nobody_there_is_later() {
    let (address, _) = mail_server(Manners::default()).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_ne!(address, closed);
    let result = send(&net(&[]), &smtp(closed, Security::None), &page()).await;
    assert_eq!(outcome(&result), "later", "{result:?}");
}

#[tokio::test]
async fn starttls_and_tls_protect_what_is_said() {
    let id = identity();
    for (security, manners) in [
        (Security::StartTls, Manners { upgrade: Some(id.acceptor.clone()), ..Manners::default() }),
        (Security::Tls, Manners { wrapped: Some(id.acceptor.clone()), ..Manners::default() }),
    ] {
        let (address, heard) = mail_server(manners).await;
        let trusting = net(std::slice::from_ref(&id.certificate));
        let receipt = send(&trusting, &signed_in(smtp(address, security)), &page()).await.unwrap();
        assert_eq!(receipt.reference, "250 2.0.0 queued as 4711");
        assert!(heard.all()[0].contains("AUTH PLAIN AG9wcwBzM2NyZXQtY2FuYXJ5"), "{:?}", heard.all());
        let result = send(&net(&[]), &signed_in(smtp(address, security)), &page()).await;
        assert_eq!(outcome(&result), "later", "a certificate that nobody vouches for: {result:?}");
        assert!(!heard.all()[1].contains("AUTH") && !heard.all()[1].contains("MAIL"), "it is told nothing");
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let (address, heard) = mail_server(Manners::default()).await;
    let result = send(&net(&[]), &signed_in(smtp(address, Security::StartTls)), &page()).await;
    let Err(SendError::Retry { why, .. }) = result else { panic!("{result:?}") };
    assert!(why.contains("STARTTLS"), "{why}");
    let said = &heard.all()[0];
    assert!(!said.contains("AUTH") && !said.contains("MAIL") && !said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn words_slipped_in_before_tls_are_not_believed() {
    let id = identity();
    let injected = "250-mitm\r\n250 AUTH PLAIN\r\n";
    let (address, heard) =
        mail_server(Manners { upgrade: Some(id.acceptor.clone()), injected, ..Manners::default() }).await;
    let result =
        send(&net(std::slice::from_ref(&id.certificate)), &signed_in(smtp(address, Security::StartTls)), &page()).await;
    assert_ne!(outcome(&result), "sent", "{result:?}");
    assert!(!heard.all()[0].contains("AUTH") && !heard.all()[0].contains("MAIL"), "{:?}", heard.all());
}

#[tokio::test]
async fn a_wrong_password_is_never_and_is_not_repeated_in_the_reason() {
    let replies = vec![("AUTH", "535 5.7.8 bad credentials")];
    let (address, _) = mail_server(Manners { replies, ..Manners::default() }).await;
    let result = send(&net(&[]), &signed_in(smtp(address, Security::None)), &page()).await;
    let Err(SendError::Refused { why }) = result else { panic!("{result:?}") };
    assert!(why.contains("535") && !why.contains("canary"), "{why}");
}

#[tokio::test]
async fn plain_mail_goes_to_this_machine_only() {
    let (address, _) = mail_server(Manners::default()).await;
    let away = std::sync::Arc::new(crate::peer::Names::default());
    away.answers.lock().unwrap().push(vec!["10.9.8.7:25".parse().unwrap()]);
    let Channel::Smtp(local) = smtp(address, Security::None) else { panic!("a mail channel") };
    let relay = Channel::Smtp(Smtp { host: "relay.example.org".into(), port: 25, ..local });
    let result = send(&net(&[]).with_resolver(away), &relay, &page()).await;
    let Err(SendError::Refused { why }) = result else { panic!("{result:?}") };
    assert!(why.contains("starttls"), "{why}");
}
