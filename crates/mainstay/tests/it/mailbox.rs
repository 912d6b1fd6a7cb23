//! A mail server that takes everything and keeps it: as much of RFC 5321 as a client needs to hand a message over.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::http::read_line;
use crate::world::Watch;

/// A message that was accepted.
#[derive(Clone)]
pub struct Mail {
    /// From `MAIL FROM`.
    pub from: String,
    /// From `RCPT TO`.
    pub to: Vec<String>,
    /// Headers and text as they came, encoded words and soft line breaks taken apart.
    pub text: String,
    /// Started when it was accepted.
    pub accepted: Watch,
}

impl Mail {
    /// A header, as it came.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\n\n").next().unwrap_or_default();
        head.lines().find_map(|line| {
            let (left, right) = line.split_once(':')?;
            left.eq_ignore_ascii_case(name).then(|| right.trim())
        })
    }
}

/// The server.
pub struct Mailbox {
    /// Where it listens.
    pub port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Mailbox {
    /// Opens one; it listens until the test's process ends.
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let kept = mails.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                // A client that breaks off has handed nothing over; that is all there is to know about it.
                std::thread::spawn(move || drop(converse(stream, &kept)));
            }
        });
        Self { port, mails }
    }

    /// All that was accepted so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("nobody panics with it").clone()
    }
}

fn converse(stream: TcpStream, kept: &Mutex<Vec<Mail>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let (mut from, mut to) = (String::new(), Vec::new());
    writer.write_all(b"220 sink.test ESMTP\r\n")?;
    loop {
        let line = read_line(&mut reader)?;
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250-sink.test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "MAIL" => {
                from = address(&line);
                b"250 ok\r\n"
            }
            "RCPT" => {
                to.push(address(&line));
                b"250 ok\r\n"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                let text = message(&mut reader)?;
                let mail = Mail {
                    from: std::mem::take(&mut from),
                    to: std::mem::take(&mut to),
                    text,
                    accepted: Watch::start(),
                };
                kept.lock().expect("nobody panics with it").push(mail);
                b"250 accepted as 4711\r\n"
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n"),
            _ => b"250 ok\r\n",
        };
        writer.write_all(reply)?;
    }
}

fn address(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

/// Lines up to the lone dot, with quoted-printable taken apart and folded headers joined.
fn message(reader: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let line = read_line(reader)?;
        match line.as_str() {
            "." => return Ok(unquoted(&text.replace("\n ", " "))),
            line => text.push_str(line.strip_prefix('.').unwrap_or(line)),
        }
        text.push('\n');
    }
}

fn unquoted(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::with_capacity(joined.len());
    let mut rest = joined.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *first == b'=').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
