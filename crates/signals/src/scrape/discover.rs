//! Discovery: who is there to be scraped, from files, an address that answers with JSON, or the domain name system; asked again and
//! again. What cannot be asked leaves what was known: a name server that is silent for a minute must not end a hundred targets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use probe::Env;
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64;

use super::config::{Discovery, DnsKind, Group};
use super::duration;
use super::fetch::{Asking, Fetcher};
use super::text::{Text, Texts};

/// What a discovery found; it replaces what the same one found before.
pub(crate) struct Report {
    /// Which configuration it belongs to.
    pub(crate) generation: u64,
    /// Which job, and which of its discoveries.
    pub(crate) of: (usize, usize),
    pub(crate) found: Result<Vec<Group>, String>,
}

/// A change of a file is seen within this time.
const LOOK_AT_FILES: Duration = Duration::from_secs(5);
const LIST_BYTES: u64 = 16 << 20;

/// Asks for ever, and reports whenever something is new.
pub(crate) async fn run(
    discovery: Discovery,
    generation: u64,
    of: (usize, usize),
    interval: Duration,
    env: Env,
    to: mpsc::Sender<Report>,
) {
    let every = match &discovery {
        Discovery::Static(_) => Duration::MAX,
        Discovery::Files { every, .. } => (*every).min(LOOK_AT_FILES),
        Discovery::Http { every, .. } | Discovery::Dns { every, .. } => *every,
    }
    .max(Duration::from_millis(100));
    let mut fetcher = match &discovery {
        Discovery::Http { client, .. } => Some(Fetcher::new(env.net.clone(), (**client).clone())),
        _ => None,
    };
    let mut last = None;
    loop {
        let found = match (&discovery, &mut fetcher) {
            (Discovery::Static(groups), _) => Ok(groups.clone()),
            (Discovery::Files { patterns, .. }, _) => files(patterns),
            (Discovery::Http { url, .. }, Some(fetcher)) => {
                let patience = every.min(Duration::from_secs(30)).max(Duration::from_secs(1));
                let asked = tokio::time::timeout(patience, ask(url, fetcher, interval)).await;
                asked.unwrap_or_else(|_| Err(format!("{} did not answer within {}", url, duration::shown(patience))))
            }
            (Discovery::Http { .. }, None) => Ok(Vec::new()),
            (Discovery::Dns { names, kind, port, .. }, _) => resolve(&env, names, *kind, *port).await,
        };
        let mark = xxh3_64(format!("{found:?}").as_bytes());
        if last.replace(mark) != Some(mark) && to.send(Report { generation, of, found }).await.is_err() {
            return;
        }
        if every == Duration::MAX {
            return;
        }
        tokio::time::sleep(every).await;
    }
}

/// The files that a pattern means: a star in its last part stands for anything.
fn meant(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let name = pattern.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("{} cannot be listed: {error}", folder.display()))?;
    let fits =
        |name: &str| name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after);
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(fits))
        .collect();
    found.sort();
    Ok(found)
}

fn files(patterns: &[PathBuf]) -> Result<Vec<Group>, String> {
    let mut out = Vec::new();
    for pattern in patterns {
        for path in meant(pattern)? {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            // JSON is YAML as well.
            let read = yaml_serde::from_str::<Option<Vec<Group>>>(&text);
            let groups = read
                .map_err(|error| format!("{}: {}", path.display(), super::text::with_suggestion(&error.to_string())))?;
            for mut group in groups.unwrap_or_default() {
                group.labels.insert("__meta_filepath".to_owned(), Text(path.display().to_string()));
                out.push(group);
            }
        }
    }
    Ok(out)
}

async fn ask(url: &url::Url, fetcher: &mut Fetcher, interval: Duration) -> Result<Vec<Group>, String> {
    let headers = [("x-prometheus-refresh-interval-seconds", interval.as_secs_f64().to_string())];
    let asking = Asking { accept: "application/json", compressed: true, headers: &headers, limit: LIST_BYTES };
    let page = fetcher.get(url, &asking).await.map_err(|why| format!("{url}: {why}"))?;
    parse_list(&page.body, url.as_str()).map_err(|why| format!("{url}: {why}"))
}

/// A list of groups as an address of `http_sd_configs` gives it.
pub(crate) fn parse_list(body: &[u8], source: &str) -> Result<Vec<Group>, String> {
    let mut groups: Vec<Group> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    for group in &mut groups {
        group.labels.insert("__meta_url".to_owned(), Text(source.to_owned()));
    }
    Ok(groups)
}

async fn resolve(env: &Env, names: &[String], kind: DnsKind, port: Option<u16>) -> Result<Vec<Group>, String> {
    let mut out = Vec::new();
    for name in names {
        let answer = lookup(env, name, kind).await?;
        out.extend(answer.iter().filter_map(|data| group(name, data, port)));
    }
    Ok(out)
}

fn record_type(kind: DnsKind) -> RecordType {
    match kind {
        DnsKind::Srv => RecordType::SRV,
        DnsKind::A => RecordType::A,
        DnsKind::Aaaa => RecordType::AAAA,
        DnsKind::Mx => RecordType::MX,
        DnsKind::Ns => RecordType::NS,
    }
}

/// Asks the machine's name servers in order; a name that is not there is an empty answer.
async fn lookup(env: &Env, name: &str, kind: DnsKind) -> Result<Vec<RData>, String> {
    const SERVERS: &str = "/etc/resolv.conf";
    let text = std::fs::read(SERVERS).map_err(|error| format!("{SERVERS} cannot be read: {error}"))?;
    let mut failure = format!("{SERVERS} names no name server");
    for server in probe::dns::parse_resolv_conf(&text) {
        match ask_server(env, SocketAddr::new(server, 53), name, kind).await {
            Ok(answer) => return Ok(answer),
            Err(why) => failure = format!("{name}: {server}: {why}"),
        }
    }
    Err(failure)
}

/// Asks one server over UDP, and over TCP when the answer is too long for that.
async fn ask_server(env: &Env, server: SocketAddr, name: &str, kind: DnsKind) -> Result<Vec<RData>, String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut asked = Name::from_ascii(name).map_err(|error| format!("is no domain name ({error})"))?;
    asked.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(asked, record_type(kind)));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    let (id, bytes) = (message.metadata.id, message.to_bytes().map_err(|error| error.to_string())?);
    let is_answer = move |bytes: &[u8]| {
        Message::from_vec(bytes).is_ok_and(|m| m.metadata.id == id && m.metadata.message_type == MessageType::Response)
    };
    let silent = |_| "did not answer".to_owned();
    let answer = tokio::time::timeout(PATIENCE, env.net.exchange(server, &bytes, &is_answer)).await.map_err(silent)?;
    let answer = answer.map_err(|error| error.to_string())?;
    let (mut data, truncated) = answer_of(&answer)?;
    if truncated {
        let whole = tokio::time::timeout(PATIENCE, over_tcp(env, server, &bytes)).await.map_err(silent)??;
        data = answer_of(&whole)?.0;
    }
    Ok(data)
}

async fn over_tcp(env: &Env, server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let said = |error: std::io::Error| error.to_string();
    let mut stream = env.net.connect(server).await.map_err(said)?;
    let length = u16::try_from(question.len()).map_err(|_| "the question is too long".to_owned())?;
    stream.write_all(&[length.to_be_bytes().as_slice(), question].concat()).await.map_err(said)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await.map_err(said)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await.map_err(said)?;
    Ok(answer)
}

/// The records of an answer, and whether it was cut.
fn answer_of(bytes: &[u8]) -> Result<(Vec<RData>, bool), String> {
    let message = Message::from_vec(bytes).map_err(|error| format!("sent no DNS message ({error})"))?;
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        other => return Err(format!("refuses: {other}")),
    }
    Ok((message.answers.iter().map(|record| record.data.clone()).collect(), message.metadata.truncation))
}

/// The target behind one record.
fn group(name: &str, data: &RData, port: Option<u16>) -> Option<Group> {
    let plain = |name: &Name| name.to_string().trim_end_matches('.').to_owned();
    let with_dot = |name: &Name| Text(name.to_string());
    let mut labels = BTreeMap::from([("__meta_dns_name".to_owned(), Text(name.to_owned()))]);
    let target = match data {
        RData::SRV(srv) => {
            labels.insert("__meta_dns_srv_record_target".to_owned(), with_dot(&srv.target));
            labels.insert("__meta_dns_srv_record_port".to_owned(), Text(srv.port.to_string()));
            format!("{}:{}", plain(&srv.target), port.filter(|p| *p != 0).unwrap_or(srv.port))
        }
        RData::A(address) => format!("{}:{}", address.0, port?),
        RData::AAAA(address) => format!("[{}]:{}", address.0, port?),
        RData::MX(mx) => {
            labels.insert("__meta_dns_mx_record_target".to_owned(), with_dot(&mx.exchange));
            format!("{}:{}", plain(&mx.exchange), port?)
        }
        RData::NS(ns) => {
            labels.insert("__meta_dns_ns_record_target".to_owned(), with_dot(&ns.0));
            format!("{}:{}", plain(&ns.0), port?)
        }
        _ => return None,
    };
    Some(Group { targets: Texts(vec![target]), labels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{A, SRV};

    #[test]
    fn files_of_both_forms_are_read_with_a_star_and_the_place_of_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.json"), r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "1"}}]"#).unwrap();
        std::fs::write(dir.path().join("b.yml"), "- targets: [c:3]\n").unwrap();
        std::fs::write(dir.path().join("empty.yml"), "").unwrap();
        let found =
            files(&[dir.path().join("*.json"), dir.path().join("b.yml"), dir.path().join("empty.yml")]).unwrap();
        let all: Vec<&str> = found.iter().flat_map(|g| g.targets.0.iter().map(String::as_str)).collect();
        assert_eq!(all, ["a:1", "b:2", "c:3"]);
        assert!(found[0].labels["__meta_filepath"].0.ends_with("a.json"));
        std::fs::write(dir.path().join("bad.yml"), "- target: [c:3]\n").unwrap();
        let error = files(&[dir.path().join("bad.yml")]).unwrap_err();
        assert!(error.contains("bad.yml") && error.contains("did you mean targets?"), "{error}");
    }

    #[test]
    fn records_become_targets() {
        let host = Name::from_ascii("h.example.org.").unwrap();
        let srv = RData::SRV(SRV::new(1, 2, 9100, host));
        let found = group("_m._tcp.example.org", &srv, None).unwrap();
        assert_eq!(found.targets.0, ["h.example.org:9100"]);
        assert_eq!(found.labels["__meta_dns_srv_record_target"].0, "h.example.org.");
        let a = RData::A(A::new(192, 0, 2, 1));
        assert_eq!(group("x", &a, Some(80)).unwrap().targets.0, ["192.0.2.1:80"]);
        assert!(group("x", &a, None).is_none());
    }

    #[test]
    fn a_list_over_http_is_read_or_refused() {
        let found = parse_list(br#"[{"targets":["a:1"],"labels":{"__meta_x":"y"}}]"#, "http://sd/").unwrap();
        assert_eq!(found[0].labels["__meta_url"].0, "http://sd/");
        assert!(parse_list(b"{}", "").is_err());
    }
}
