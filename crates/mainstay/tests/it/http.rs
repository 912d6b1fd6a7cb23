//! A small HTTP client of the tests' own, so that a test knows for certain whether an answer had arrived in full before
//! a fault, and can send what a well-behaved client would not.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;

use serde_json::Value;

use crate::world;

/// Who asks, and whom.
#[derive(Clone)]
pub struct Http {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Sent as bearer.
    pub token: Option<String>,
}

/// An answer that arrived in full.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The cookie that it set, as name and value.
    pub cookie: Option<String>,
}

impl Answer {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// With another token.
    pub fn with(&self, token: &str) -> Self {
        Self { address: self.address, token: Some(token.to_owned()) }
    }

    /// With no token.
    pub fn anonymous(&self) -> Self {
        Self { address: self.address, token: None }
    }

    /// Sends a request with further headers; the body is sent when it is not empty.
    ///
    /// # Errors
    /// The connection broke before the answer had arrived in full: nothing is known then.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut stream = world::dial(self.address)?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            head.push_str("Content-Type: application/json\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        stream.write_all(&bytes)?;
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader)?;
        let body = read_body(&mut reader, status, &headers)?;
        let cookie = headers.iter().find(|(name, _)| name == "set-cookie");
        let cookie = cookie.and_then(|(_, value)| value.split(';').next()).map(str::to_owned);
        Ok(Answer { status, body, cookie })
    }

    /// Sends a request whose answer is a stream, and reads only its head.
    ///
    /// # Errors
    /// The connection broke.
    pub fn status_of(&self, method: &str, path: &str) -> io::Result<u16> {
        let mut stream = world::dial(self.address)?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        Ok(read_head(&mut BufReader::new(stream))?.0)
    }

    /// Sends JSON, or nothing when it is null.
    ///
    /// # Errors
    /// The connection broke.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> io::Result<Answer> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, path, &[], &bytes)
    }

    /// Reads something that has to be there.
    ///
    /// # Panics
    /// When it is not.
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &Value::Null).unwrap_or_else(|error| panic!("GET {path}: {error}"));
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// Does something that has to be done.
    ///
    /// # Panics
    /// When it is not.
    pub fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(answer.is_done(), "{method} {path}: {} {}", answer.status, answer.text());
        answer.json()
    }

    /// All records of a class that match, page by page.
    pub fn records(&self, class: &str, filter: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/records/{class}?limit=500&filter={}{cursor}", escaped(filter)));
            all.extend(page["records"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", escaped(next)),
                None => return all,
            }
        }
    }

    /// The whole journal, oldest first.
    pub fn journal(&self) -> Vec<Value> {
        let (mut all, mut since) = (Vec::new(), 0);
        loop {
            let page = self.get(&format!("/api/v1/journal?since={since}&limit=1000"));
            let entries = page["entries"].as_array().cloned().unwrap_or_default();
            match entries.last().and_then(|entry| entry["seq"].as_u64()) {
                Some(last) => since = last,
                None => return all,
            }
            all.extend(entries);
        }
    }
}

/// Text as it stands in a path or query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The first line and the headers of a message: of an answer the status, of a request 0.
fn read_head(reader: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = read_line(reader)?;
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| broken(format!("\"{first}\" is no status line")))?;
    Ok((status, read_headers(reader)?))
}

/// Headers up to the empty line, names in lower case.
pub fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None if line.is_empty() => return Ok(headers),
            None => return Err(broken(format!("\"{line}\" is no header"))),
        }
    }
}

/// A line without its end.
pub fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(broken("the connection ended in the middle of a line".into()));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The body of an answer: by its length, in chunks, or to the end of the connection.
fn read_body(reader: &mut impl BufRead, status: u16, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if status == 204 || status == 304 {
        return Ok(body);
    }
    if header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&read_line(reader)?, 16).map_err(|error| broken(error.to_string()))?;
            let start = body.len();
            body.resize(start + size, 0);
            reader.read_exact(&mut body[start..])?;
            read_line(reader)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    match header("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
        }
        None => drop(reader.read_to_end(&mut body)?),
    }
    Ok(body)
}

fn broken(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
