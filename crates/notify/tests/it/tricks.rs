//! Server-side request forgery (T9, G27): every way we know to write an address that is not public, and none gets out.

use std::net::SocketAddr;
use std::sync::Arc;

use notify::{Channel, Egress, HostPort, SendError, send};
use serde_json::json;

use crate::peer::{NOW_MS, Names, page, web_server, webhook};

/// URLs with `PORT` for the port of a listener on all of this machine's addresses. None may be connected to.
const URLS: &[&str] = &[
    // this machine, plainly and in the spellings that libc and browsers take
    "http://127.0.0.1:PORT/",
    "http://127.0.0.2:PORT/",
    "http://127.255.255.254:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0177.0.0.01:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://0x7F.0x0.0x0.0x1:PORT/",
    "http://00000177.1:PORT/",
    "http://127.0.0.1%2f@x:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/",
    "https://127.0.0.1:PORT/",
    "HTTP://127.0.0.1:PORT/",
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "http:///127.0.0.1:PORT/",
    "\thttp://127.0.0.1:PORT/",
    "http://127.0.0.1:PORT#@example.org/",
    "http://127.0.0.1:PORT?@example.org/",
    "http://127.0.0.1:PORT\\@example.org/",
    // nobody, which is this machine on Linux
    "http://0.0.0.0:PORT/",
    "http://0:PORT/",
    "http://0x0:PORT/",
    "http://[::]:PORT/",
    "http://0.1.2.3:PORT/",
    // this machine in IPv6 and inside it
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::0001]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::FFFF:7F00:0001]:PORT/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::7f00:1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2001:0:7f00:1::]:PORT/",
    "http://[fe80::5efe:127.0.0.1]:PORT/",
    "http://[2606:4700::5efe:127.0.0.1]:PORT/",
    "http://[::ffff:0.0.0.0]:PORT/",
    // our own networks
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://192.168.1.1:8080/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://167772161/",
    "http://0xa000001/",
    "http://0xc0a80001/",
    "http://012.0.0.1/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:c0a8:1]/",
    "http://[fc00::1]/",
    "http://[fd12:3456::1]/",
    "http://[fec0::1]/",
    "http://[64:ff9b::a00:1]/",
    // metadata services
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[fd00:ec2::254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://169.254.169.254./",
    // links, groups, and what is nobody's
    "http://169.254.0.1/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://224.0.0.1/",
    "http://239.255.255.250:1900/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://[ff02::1]/",
    "http://[ff0e::1]/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://192.88.99.1/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    "http://[4000::1]/",
    "http://[3fff::1]/",
    "http://[5f00::1]/",
    // not the web at all, or with somebody's password
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:PORT/_x",
    "dict://127.0.0.1:PORT/",
    "ldap://127.0.0.1/",
    "unix:///run/x.sock",
    "data:text/plain,x",
    "javascript:alert(1)",
    "jar:http://127.0.0.1!/",
    "ws://127.0.0.1:PORT/",
    "http://u:p@8.8.8.8/",
    "http://u@8.8.8.8/",
    "http://example.org@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@example.org/",
    "http://",
    "http:///",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "",
    // plain HTTP over the Internet, where anybody could read it
    "http://8.8.8.8/",
];

fn strict() -> Egress {
    Egress::allowing(vec![]).with_clock(Arc::new(|| NOW_MS))
}

async fn attempt(net: &Egress, url: &str) -> Result<(), String> {
    let channel = match Channel::from_parts("webhook", &json!({"url": url}), None) {
        Ok(channel) => channel,
        Err(error) => return Err(format!("refused when entered: {error}")),
    };
    match send(net, &channel, &page()).await {
        Ok(_) => Ok(()),
        Err(SendError::Refused { why }) => Err(why),
        // "Later" would mean that something was looked up or connected to.
        Err(SendError::Retry { why, .. }) => panic!("{url}: tried: {why}"),
    }
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_connected_to() {
    assert!(URLS.len() >= 120, "{} tricks", URLS.len());
    let (listener, heard) = web_server("0.0.0.0:0", "HTTP/1.1 200 OK\r\n".into(), None).await;
    // A name that is not an address is asked for; here it means this machine, as a hostile name server says.
    let names = Arc::new(Names::default());
    names.answers.lock().unwrap().push(vec![SocketAddr::new("127.0.0.1".parse().unwrap(), listener.port())]);
    let net = strict().with_resolver(names);
    for url in URLS {
        let url = url.replace("PORT", &listener.port().to_string());
        assert!(attempt(&net, &url).await.is_err(), "{url} was sent to");
    }
    assert!(heard.all().is_empty(), "connected to by {:?}", heard.all());
}

#[tokio::test]
async fn a_name_is_judged_by_all_its_addresses() {
    let table: [(&[&str], &str); 9] = [
        (&["127.0.0.1:443"], "this machine"),
        (&["8.8.8.8:443", "127.0.0.1:443"], "a good one first"),
        (&["127.0.0.1:443", "8.8.8.8:443"], "a bad one first"),
        (&["8.8.8.8:443", "[::1]:443"], "the other family"),
        (&["[::ffff:127.0.0.1]:443"], "mapped"),
        (&["169.254.169.254:443"], "metadata"),
        (&["8.8.8.8:443", "192.168.0.1:443"], "a private one behind"),
        (&["0.0.0.0:443"], "nobody"),
        (&["8.8.8.8:22"], "another port than was asked for"),
    ];
    for (answer, why) in table {
        let names = Arc::new(Names::default());
        names.answers.lock().unwrap().push(answer.iter().map(|a| a.parse().unwrap()).collect());
        let refused = attempt(&strict().with_resolver(names), "https://hook.example/").await;
        assert!(refused.is_err(), "{why}");
    }
}

#[tokio::test]
async fn what_an_administrator_lists_is_open_exactly_as_listed() {
    let (address, heard) = web_server("127.0.0.1:0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".into(), None).await;
    let listed: HostPort = format!("Hooks.Intern.:{}", address.port()).parse().unwrap();
    let names = Arc::new(Names::default());
    names.answers.lock().unwrap().push(vec![address]);
    let mut net = strict().with_resolver(names);
    net.allow = vec![listed];
    let port = address.port();
    for (url, open) in [
        (format!("http://hooks.intern:{port}/"), true),
        (format!("http://HOOKS.INTERN:{port}/"), true),
        (format!("http://hooks.intern.:{port}/"), true),
        (format!("http://hooks.intern:{}/", port ^ 1), false),
        (format!("http://other.intern:{port}/"), false),
        (format!("http://127.0.0.1:{port}/"), false),
    ] {
        assert_eq!(attempt(&net, &url).await.is_ok(), open, "{url}");
    }
    assert_eq!(heard.all().len(), 3);
}

#[tokio::test]
async fn metadata_is_closed_whatever_is_listed() {
    let all = ["169.254.169.254:80", "100.100.100.200:80", "224.0.0.1:80", "0.0.0.0:80", "[fd00:ec2::254]:80"];
    let allow = all.iter().map(|a| a.parse().unwrap()).collect();
    let mut net = strict();
    (net.allow, net.allow_loopback_private) = (allow, true);
    for address in all {
        assert!(attempt(&net, &format!("http://{address}/")).await.is_err(), "{address}");
    }
    let metadata =
        Channel::from_parts("smtp", &json!({"host": "169.254.169.254", "port": 80, "from": "a@example.org"}), None);
    let Ok(mail) = metadata else { panic!("a mail channel") };
    assert!(matches!(send(&net, &mail, &page()).await, Err(SendError::Refused { .. })), "not for mail either");
}

#[test]
fn a_list_entry_is_host_and_port() {
    for (text, shown) in [
        ("a.b:80", Some("a.b:80")),
        ("[::1]:25", Some("[::1]:25")),
        ("A.:1", Some("a:1")),
        ("a", None),
        (":80", None),
        ("a:0", None),
        ("a:x", None),
        ("::1:25", None),
        ("[a]:25", None),
        ("[::1:25", None),
    ] {
        assert_eq!(text.parse::<HostPort>().ok().map(|h| h.to_string()).as_deref(), shown, "{text}");
    }
}

#[tokio::test]
async fn webhooks_are_taken_at_their_word_about_http() {
    // A private address that is allowed may be plain; the body is signed all the same.
    let (address, heard) = web_server("127.0.0.1:0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".into(), None).await;
    let mut net = strict();
    net.allow_loopback_private = true;
    send(&net, &webhook(&json!({"url": format!("http://{address}/")}), Some("k")), &page()).await.unwrap();
    assert!(heard.all()[0].contains("mainstay-signature: v1="));
}
