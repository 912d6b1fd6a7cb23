//! The program under test: started on a data directory and a free port of loopback, asked over HTTP and by its own
//! command line, ended or killed by its process id.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Http;
use crate::world::{self, Watch};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mainstay");
/// How long a start may take on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(30);

/// A data directory that goes away with the test.
pub struct Place {
    /// Holds `data` and whatever else the test lays beside it.
    pub folder: TempDir,
    /// The data directory.
    pub data: PathBuf,
}

impl Place {
    /// A new one.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("mainstay-").tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        Self { folder, data }
    }

    /// A file or folder beside the data directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A running server.
pub struct Server {
    child: Child,
    data: PathBuf,
    /// Asks it; as an administrator once there is a token.
    pub http: Http,
    /// From the start of the process to the first readiness.
    pub start: Duration,
}

impl Server {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead, with what it said.
    pub fn start(data: &Path, words: &[&str]) -> Self {
        Self::start_on(data, world::free_port(), words)
    }

    /// Starts one on a port.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn start_on(data: &Path, port: u16, words: &[&str]) -> Self {
        Self::start_with(data, port, words, &[])
    }

    /// Starts one on a port in an environment of its own.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn start_with(data: &Path, port: u16, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let log = log_of(data);
        let output = File::options().append(true).create(true).open(&log).expect("a log beside the data directory");
        let watch = Watch::start();
        let mut command = world::command(PROGRAM);
        command.arg("server").arg("--data").arg(data).arg("--listen").arg(address.to_string()).args(words);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a handle")).stderr(output);
        let mut child = command.spawn().expect("the program starts");
        let http = Http { address, token: None };
        world::until(START, "the server is ready", || {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                panic!("the server ended at its start ({status}): {}", tail(&log));
            }
            let answer = http.ask("GET", "/readyz", &Value::Null).map_err(|error| error.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        });
        Self { child, data: data.to_owned(), http, start: watch.passed() }
    }

    /// With an administrator's token, made on the host itself.
    pub fn with_admin(mut self) -> Self {
        self.http.token = Some(self.token("admin"));
        self
    }

    /// A token of a role, made on the host itself.
    pub fn token(&self, role: &str) -> String {
        let made = self.cli_json(&["admin", "token", "create", "--role", role, "-o", "json"]);
        made["token"].as_str().unwrap_or_else(|| panic!("no token in {made}")).to_owned()
    }

    /// Runs the command line beside this server, as its own user.
    pub fn cli(&self, words: &[&str]) -> Output {
        cli(&self.data, words)
    }

    /// Runs the command line with something on its standard input.
    pub fn cli_with_input(&self, words: &[&str], input: &str) -> Output {
        let mut child = piped(&self.data, words);
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("the program reads its input");
        drop(stdin);
        child.wait_with_output().expect("a child of ours")
    }

    /// Runs the command line and reads the JSON that it prints.
    ///
    /// # Panics
    /// When it fails or prints something else.
    pub fn cli_json(&self, words: &[&str]) -> Value {
        let output = self.cli(words);
        assert!(output.status.success(), "mainstay {words:?}: {}", world::text(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", world::text(&output)))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        world::kill_hard(&mut self.child);
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Panics
    /// When it does not end in time, or badly.
    pub fn stop(mut self) {
        world::must("kill", &["-TERM", &self.child.id().to_string()]);
        let status = world::until(Duration::from_secs(20), "the server ends when asked to", || {
            self.child.try_wait().expect("a child of ours").ok_or_else(|| "it still runs".to_owned())
        });
        assert!(status.success(), "the server ended badly ({status}): {}", self.log());
    }

    /// The last that it said.
    pub fn log(&self) -> String {
        tail(&log_of(&self.data))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            world::kill_hard(&mut self.child);
        }
        if std::thread::panicking() {
            eprintln!("the server said at last:\n{}", self.log());
        }
    }
}

/// Runs the command line on a data directory.
pub fn cli(data: &Path, words: &[&str]) -> Output {
    command_line(data, words).stdin(Stdio::null()).output().expect("the program starts")
}

/// Starts the command line with pipes at all its ends.
pub fn piped(data: &Path, words: &[&str]) -> Child {
    let mut command = command_line(data, words);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().expect("the program starts")
}

fn command_line(data: &Path, words: &[&str]) -> Command {
    let mut command = world::command(PROGRAM);
    command.arg("--data").arg(data).args(words);
    command.env_remove("MAINSTAY_SERVER").env_remove("MAINSTAY_TOKEN");
    command
}

/// The log stands beside the data directory, so that a full or broken disk below it cannot silence it.
fn log_of(data: &Path) -> PathBuf {
    let name = data.file_name().expect("a data directory has a name").to_string_lossy();
    let folder = data.parent().expect("a data directory is in a folder");
    folder.join(format!("{name}.log"))
}

fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
