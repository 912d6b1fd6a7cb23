//! As much HTTP/1.1 as a load generator needs, so that an engine can stand beside other programs: remote write in, the query
//! routes of Prometheus out. A thread a connection; no limits, no names, never more than a bench.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use series::formats::{Limits, remote_write};
use series::promql::{self, EngineSource, ExprKind, Query, Settings};
use series::{Engine, Matcher};

/// How far `POST /flush` moves the clock while it seals: beyond the end of the day and what is waited after it.
const AHEAD: i64 = 30 * 3_600_000;
const TENANT: u64 = 1;

/// An engine behind a port.
pub struct Front {
    pub engine: Engine,
    pub runtime: tokio::runtime::Runtime,
    /// What is added to the clock of the engine.
    pub ahead: Arc<AtomicI64>,
}

impl Front {
    /// Answers on 127.0.0.1 until the process ends.
    pub fn serve(self, port: &str) {
        let front = Arc::new(self);
        let listener = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).expect("a free port");
        for stream in listener.incoming().flatten() {
            let front = front.clone();
            std::thread::spawn(move || front.connection(&stream));
        }
    }

    /// Answers one connection until it is closed.
    fn connection(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::with_capacity(1 << 16, stream);
        let (mut line, mut body, mut answer) = (String::new(), Vec::new(), Vec::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let request = line.clone();
            let mut length = 0;
            while line.trim_end() != "" {
                let lower = line.to_ascii_lowercase();
                length = lower.strip_prefix("content-length:").and_then(|n| n.trim().parse().ok()).unwrap_or(length);
                line.clear();
                reader.read_line(&mut line).ok()?;
            }
            body.resize(length, 0);
            reader.read_exact(&mut body).ok()?;
            answer.clear();
            let mut parts = request.split(' ');
            let (method, target) = (parts.next()?, parts.next()?);
            let status = if method == "POST" { self.post(target, &body) } else { self.get(target, &mut answer) };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", answer.len());
            (&mut &*stream).write_all(head.as_bytes()).ok()?;
            (&mut &*stream).write_all(&answer).ok()?;
        }
    }

    fn post(&self, target: &str, body: &[u8]) -> &'static str {
        if target == "/flush" {
            self.ahead.store(AHEAD, Relaxed);
            // Windows first, then a day at a time.
            (0..4).for_each(|_| self.engine.flush().expect("sealed"));
            self.ahead.store(0, Relaxed);
        } else {
            let limits = Limits { bytes: 64 << 20, ..Limits::default() };
            let batch = remote_write::decode(remote_write::Version::One, body, limits).expect("a body");
            let answer = self.runtime.block_on(self.engine.append_batch(TENANT, batch)).expect("the disk takes it");
            assert_eq!(answer.refused, [], "everything is taken");
        }
        "204 No Content"
    }

    fn get(&self, target: &str, answer: &mut Vec<u8>) -> &'static str {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs: Vec<(&str, String)> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n, unescaped(v))).collect();
        let text = |name: &str| pairs.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value.as_str());
        let time = |name: &str| text(name).parse::<f64>().map_or(0, |seconds| (seconds * 1000.0) as i64);
        answer.extend_from_slice(br#"{"status":"success","data":"#);
        let all = || (time("start"), time("end"));
        match path.rsplit('/').next().unwrap_or_default() {
            "query" => self.query(text("query"), Some(time("time")), (0, 0, 0), answer),
            "query_range" => {
                self.query(text("query"), None, (time("start"), time("end"), time("step")), answer);
            }
            "labels" => put(answer, &self.engine.label_names_in(TENANT, &[], all())),
            "values" => {
                let name = path.rsplit('/').nth(1).unwrap_or_default();
                put(answer, &self.engine.label_values_in(TENANT, name, &[], all()));
            }
            "series" => put(answer, &self.engine.series_in(TENANT, &matchers(text("match[]")), all())),
            _ => return "404 Not Found",
        }
        answer.push(b'}');
        "200 OK"
    }

    fn query(&self, text: &str, at_ms: Option<i64>, times: (i64, i64, i64), answer: &mut Vec<u8>) {
        let source = EngineSource { engine: &self.engine, tenant: TENANT };
        let query = Query::parse(text).expect("a query");
        let (settings, limits) = (Settings::default(), promql::Limits::default());
        let found = match at_ms {
            Some(at_ms) => query.instant(&source, at_ms, &settings, &limits),
            None => query.range(&source, times, &settings, &limits),
        };
        series::promql::json::result(answer, &found.expect("an answer").value, None).expect("memory takes it");
    }
}

fn put(answer: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(answer, value).expect("texts are JSON");
}

fn matchers(selector: &str) -> Vec<Matcher> {
    let query = Query::parse(selector).expect("a selector");
    match &query.expr().kind {
        ExprKind::Selector(selector) => selector.matchers.clone(),
        _ => Vec::new(),
    }
}

/// A text as it was before it was put into an address.
fn unescaped(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).expect("two digits") as u8;
        out.push(match byte {
            b'%' => hex(bytes.next()) << 4 | hex(bytes.next()),
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).expect("text")
}
