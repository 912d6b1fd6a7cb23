//! Peers: real servers of Debian, started with their own configuration in a temporary folder, ended by pid.

use std::fs::Permissions;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use probe::{Outcome, State};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::check;

/// A running server; its end ends it.
pub struct Peer {
    child: Mutex<Child>,
    folder: TempDir,
}

/// Asks the server to end, since one that is killed leaves its own children behind; `kill_on_drop` ends one that does not.
impl Drop for Peer {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let Some(pid) = pid else { return };
        let asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        for _ in 0..100 {
            if asked.is_err() || !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "a drop cannot wait in any other way")]
            std::thread::sleep(Duration::from_millis(10)); // polls: the server has ended
        }
    }
}

impl Peer {
    /// The folder that holds its configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How it ended, when it has.
    fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten()
    }
}

/// A port of loopback that nobody uses, for TCP and UDP.
pub fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let port = tcp.local_addr().expect("it is bound").port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// So many ports of loopback that nobody uses, each another one.
pub fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports")).collect(); // each is held until the last is found
    held.iter().map(|one| one.local_addr().expect("it is bound").port()).collect()
}

/// Starts a program of Debian with that configuration, written to `FOLDER/peer.conf` where `{folder}` is replaced.
/// A file whose name ends in `/` is a folder that everyone may write to, since servers give up their rights.
#[expect(clippy::disallowed_methods, reason = "tests start the real peers here and nowhere else")]
pub fn start(program: &str, configuration: &str, arguments: &[&str], files: &[(&str, String)]) -> Peer {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let place = folder.path().to_str().expect("temporary folders have plain names");
    let permit = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("the folder is ours");
    };
    permit(folder.path(), 0o755);
    for (name, content) in files {
        let path = folder.path().join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(&path).expect("the folder is ours");
            permit(&path, 0o777);
        } else {
            std::fs::write(&path, content.replace("{folder}", place)).expect("the folder is ours");
            // Servers refuse keys and passwords that everyone can read.
            permit(&path, if name.ends_with("key") || name.ends_with("passwd") { 0o600 } else { 0o644 });
        }
    }
    std::fs::write(folder.path().join("peer.conf"), configuration.replace("{folder}", place))
        .expect("the folder is ours");
    let log = std::fs::File::create(folder.path().join("log")).expect("the folder is ours");
    let child = Command::new(program)
        .args(arguments.iter().map(|argument| argument.replace("{folder}", place)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started ({error}): run `make test-deps` once"));
    Peer { child: Mutex::new(child), folder }
}

/// Runs a tool of Debian to its end and gives what it printed; a failure stops the test.
#[expect(clippy::disallowed_methods, reason = "tests run the tools of the real peers here and nowhere else")]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let ran = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started ({error}): run `make test-deps` once"));
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// A program of the tests' own Python (`make` lays it out).
pub fn python(program: &str) -> String {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin").join(program);
    assert!(place.exists(), "{} is not there: run `make test-deps` once", place.display());
    place.to_str().expect("the repository has a plain name").to_owned()
}

/// Waits until the peer accepts connections, at most half a minute; then its log says why not.
pub async fn until_it_listens(peer: &Peer, port: u16) {
    until_it_listens_for(peer, port, Duration::from_secs(30)).await;
}

/// The same for peers that take long to start.
pub async fn until_it_listens_for(peer: &Peer, port: u16, patience: Duration) {
    let ready = tokio::time::timeout(patience, async {
        while !accepts(port).await {
            tokio::time::sleep(Duration::from_millis(20)).await; // polls: the peer accepts
        }
    });
    if ready.await.is_err() {
        let log = std::fs::read_to_string(peer.folder().join("log")).unwrap_or_default();
        panic!("the peer does not listen on port {port}; its log:\n{log}");
    }
}

/// Asks the peer until its answer is the one that is waited for, at most a minute, and gives it; then its log says why not. For
/// peers whose port is of UDP, and for those that listen before they serve.
pub async fn until_it_answers(
    peer: &Peer,
    protocol: &str,
    target: &str,
    params: &Value,
    is_it: impl Fn(&Outcome) -> bool,
) -> Outcome {
    let mut said = String::new();
    let ready = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let outcome = check(protocol, target, params.clone(), Duration::from_millis(500)).await;
            if is_it(&outcome) {
                return outcome;
            }
            said = outcome.summary;
            if let Some(status) = peer.ended() {
                let log = std::fs::read_to_string(peer.folder().join("log")).unwrap_or_default();
                panic!("the peer has ended ({status}); its log:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // polls: the peer answers
        }
    });
    match ready.await {
        Ok(outcome) => outcome,
        Err(_) => {
            let log = std::fs::read_to_string(peer.folder().join("log")).unwrap_or_default();
            panic!("{target} does not answer as it should ({said}); its log:\n{log}");
        }
    }
}

/// For [`until_it_answers`]: all is well.
pub fn is_well(outcome: &Outcome) -> bool {
    outcome.state == State::Ok
}

#[expect(clippy::disallowed_methods, reason = "waiting for the peer's port is not a check")]
async fn accepts(port: u16) -> bool {
    tokio::net::TcpStream::connect((IpAddr::from(Ipv4Addr::LOCALHOST), port)).await.is_ok()
}

/// nginx in the foreground, one process, with these `server` blocks.
pub async fn nginx(servers: &str, first_port: u16, files: &[(&str, String)]) -> Peer {
    let configuration = format!(
        "daemon off; master_process off; pid {{folder}}/pid; error_log {{folder}}/error.log; events {{}}\n\
         http {{ access_log off; client_body_temp_path {{folder}}/body; proxy_temp_path {{folder}}/proxy;\n\
         fastcgi_temp_path {{folder}}/fastcgi; uwsgi_temp_path {{folder}}/uwsgi; scgi_temp_path {{folder}}/scgi;\n{servers} }}"
    );
    let peer =
        start("/usr/sbin/nginx", &configuration, &["-c", "{folder}/peer.conf", "-e", "{folder}/error.log"], files);
    until_it_listens(&peer, first_port).await;
    peer
}
