//! Starts the programs of others, each with a folder and a free port of its own, and ends them by their process.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A program that runs until it is dropped.
pub struct Peer {
    child: Child,
    pub url: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Ends it in peace: it writes down what it has, which not every engine does when it is killed.
    pub fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

/// The engines that are asked the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Prometheus,
    VictoriaMetrics,
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Starts a program; the test fails with what to install when it is not there.
fn start(program: &str, package: &str, port: u16, args: &[String]) -> Peer {
    let path = format!("/usr/bin/{program}");
    assert!(Path::new(&path).exists(), "{path} is not there: apt-get install {package}");
    #[expect(clippy::disallowed_methods, reason = "a real peer is a process of its own")]
    let child =
        std::process::Command::new(path).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    Peer { child, url: format!("http://127.0.0.1:{port}") }
}

/// Starts an engine on a folder and waits until it serves.
pub async fn engine(kind: Kind, folder: &Path, port: u16) -> Peer {
    let dir = folder.display();
    match kind {
        Kind::Prometheus => prometheus_with(folder, port, IDLE, "native-histograms,exemplar-storage").await,
        Kind::VictoriaMetrics => {
            let args = [
                format!("-storageDataPath={dir}/data"),
                format!("-httpListenAddr=127.0.0.1:{port}"),
                "-retentionPeriod=1".to_owned(),
                "-search.latencyOffset=0s".to_owned(),
                "-loggerLevel=ERROR".to_owned(),
            ];
            let peer = start("victoria-metrics", "victoria-metrics", port, &args);
            serves(&format!("{}/health", peer.url)).await;
            peer
        }
    }
}

/// Starts a Prometheus with that configuration.
pub async fn prometheus(folder: &Path, port: u16, config: &str) -> Peer {
    prometheus_told(folder, port, config, &[]).await
}

/// Starts a Prometheus whose administration interface is switched on.
pub async fn prometheus_that_deletes(folder: &Path, port: u16) -> Peer {
    prometheus_told(folder, port, IDLE, &["--web.enable-admin-api"]).await
}

/// A configuration without targets.
const IDLE: &str = "global: {scrape_interval: 1h}\n";

/// The same with features that are off unless asked for; it takes remote write.
pub async fn prometheus_with(folder: &Path, port: u16, config: &str, features: &str) -> Peer {
    prometheus_told(folder, port, config, &[&format!("--enable-feature={features}")]).await
}

/// The same with more arguments.
pub async fn prometheus_told(folder: &Path, port: u16, config: &str, more: &[&str]) -> Peer {
    let dir = folder.display();
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    let mut args = vec![
        format!("--config.file={dir}/prometheus.yml"),
        format!("--storage.tsdb.path={dir}/data"),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-remote-write-receiver".to_owned(),
        "--log.level=error".to_owned(),
    ];
    args.extend(more.iter().map(|word| (*word).to_owned()));
    let peer = start("prometheus", "prometheus", port, &args);
    serves(&format!("{}/-/ready", peer.url)).await;
    peer
}

/// Starts a node exporter.
pub async fn node_exporter() -> Peer {
    let port = free_port();
    let args = [format!("--web.listen-address=127.0.0.1:{port}")];
    let peer = start("prometheus-node-exporter", "prometheus-node-exporter", port, &args);
    serves(&format!("{}/metrics", peer.url)).await;
    peer
}

/// The body of an address, when it answers with success.
pub async fn get(url: &str) -> Option<String> {
    let (status, body) = ask("GET", url, "", b"").await?;
    (status == 200).then_some(body)
}

/// Hands samples to a Prometheus by remote write.
pub async fn write(peer: &Peer, body: &[u8]) {
    let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n";
    let answer = ask("POST", &format!("{}/api/v1/write", peer.url), headers, body).await;
    assert!(answer.as_ref().is_some_and(|(status, _)| (200..300).contains(status)), "{answer:?}");
}

async fn ask(method: &str, url: &str, headers: &str, body: &[u8]) -> Option<(u16, String)> {
    let address = url.strip_prefix("http://").unwrap();
    let (host, path) = address.split_at(address.find('/').unwrap());
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n");
    #[expect(clippy::disallowed_methods, reason = "the test itself looks whether the peer is there")]
    let mut stream = tokio::net::TcpStream::connect(host).await.ok()?;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split_whitespace().nth(1)?.parse().ok()?, body.to_owned()))
}

async fn serves(url: &str) {
    until(&format!("{url} answers"), async || get(url).await).await;
}

/// Asks until there is an answer, for half a minute.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = ask().await {
            return found;
        }
        // polls: a peer in another process tells nobody when it is done.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within half a minute: {what}");
}
