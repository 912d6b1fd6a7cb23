//! The suite on PostgreSQL 15, which the test starts itself from Debian's package and ends by its process id.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use store::{Options, Store};
use tempfile::TempDir;

use crate::conformance;
use crate::kit::*;

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A server of its own: fresh data, loopback, a free port.
pub struct Server {
    process: Child,
    port: u16,
    dir: TempDir,
}

#[allow(clippy::disallowed_methods, reason = "the real peer is started by the test")]
fn as_postgres(program: &str) -> Command {
    // PostgreSQL refuses to run as root.
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(format!("{BIN}/{program}"));
        command
    } else {
        Command::new(format!("{BIN}/{program}"))
    };
    command.stdout(Stdio::null()).env("LC_ALL", "C").current_dir("/");
    command
}

fn give_to_postgres(dir: &Path) {
    if rustix::process::geteuid().is_root() {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let line = passwd
            .lines()
            .find(|l| l.starts_with("postgres:"))
            .expect("the user postgres exists; install postgresql-15");
        let ids: Vec<u32> = line.split(':').skip(2).take(2).map(|n| n.parse().unwrap()).collect();
        std::os::unix::fs::chown(dir, Some(ids[0]), Some(ids[1])).unwrap();
    }
}

/// A certificate for the address that the server listens on, signed by itself.
fn certify(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("server.pem"), made.cert.pem()).unwrap();
    let key = dir.join("server.key");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    give_to_postgres(&key);
}

impl Server {
    pub fn start() -> Self {
        assert!(Path::new(BIN).exists(), "{BIN} is not there: apt-get install postgresql-15");
        let dir = TempDir::with_prefix("mainstay-pg").unwrap();
        give_to_postgres(dir.path());
        let data = dir.path().join("data");
        let made = as_postgres("initdb")
            .args(["-A", "trust", "-U", "mainstay", "-E", "UTF8", "--no-sync", "-D"])
            .arg(&data)
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        certify(dir.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Self::run(&dir, port);
        let server = Self { process, port, dir };
        server.wait();
        server
    }

    fn run(dir: &TempDir, port: u16) -> Child {
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        as_postgres("postgres")
            .arg("-D")
            .arg(dir.path().join("data"))
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "max_connections=50", "-c", "ssl=on"])
            .arg(format!("-cssl_cert_file={}", dir.path().join("server.pem").display()))
            .arg(format!("-cssl_key_file={}", dir.path().join("server.key").display()))
            .arg("-k")
            .arg(dir.path())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub fn url(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=mainstay dbname={database}", self.port)
    }

    #[allow(clippy::disallowed_methods, reason = "a process of its own is waited for, in real time")]
    fn wait(&self) {
        let start = Instant::now();
        while postgres::Client::connect(&self.url("postgres"), postgres::NoTls).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{}",
                std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20)); // polls: PostgreSQL accepts
        }
    }

    fn sql(&self, sql: &str) {
        postgres::Client::connect(&self.url("postgres"), postgres::NoTls).unwrap().batch_execute(sql).unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// As when its machine loses power, then starts again.
    fn crash_and_restart(&mut self) {
        self.signal(rustix::process::Signal::QUIT);
        self.process.wait().unwrap();
        self.process = Self::run(&self.dir, self.port);
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::QUIT);
        let _ = self.process.wait();
    }
}

/// Runs a test with a server that is made and dropped outside of the runtime.
fn with_server(test: impl AsyncFnOnce(&mut Server)) {
    let mut server = Server::start();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test(&mut server));
}

#[test]
fn postgres_keeps_every_promise() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (promised, promise) in conformance::ALL {
        println!("{promised}");
        let name = promised.rsplit("::").next().unwrap_or(promised).trim();
        server.sql(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        runtime.block_on(async {
            let store = fitted(Store::open_postgres(&server.url(name), Options::default()).unwrap()).await;
            promise(store).await;
        });
    }
}

#[test]
fn an_encrypted_connection_is_verified_and_really_encrypted() {
    with_server(async |server| {
        let url = |more: &str| format!("{} {more}", server.url("postgres"));
        let trusted = format!("sslmode=require sslrootcert={}", server.dir.path().join("server.pem").display());
        let store = fitted(Store::open_postgres(&url(&trusted), Options::default()).unwrap()).await;
        insert(&*store, &record(HOME, "thing", "k", serde_json::json!({}))).await.unwrap();
        let encrypted = tokio::task::block_in_place(|| {
            let count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'mainstay' AND ssl";
            std::thread::scope(|s| {
                let ask = || {
                    let mut client = postgres::Client::connect(&server.url("postgres"), postgres::NoTls).unwrap();
                    client.query_one(count, &[]).unwrap().get::<_, i64>(0)
                };
                s.spawn(ask).join().unwrap()
            })
        });
        assert!(encrypted > 0, "no connection of the store is encrypted");
        // Nobody here has signed for this server.
        let refused = Store::open_postgres(&url("sslmode=require"), Options::default()).err().expect("it is refused");
        assert!(refused.to_string().contains("certificate"), "{refused}");
    });
}

#[test]
fn two_servers_on_one_database_keep_one_order() {
    with_server(async |server| {
        let url = server.url("postgres");
        let one = fitted(Store::open_postgres(&url, Options::default()).unwrap()).await;
        let two = Store::open_postgres(&url, Options::default()).unwrap();
        let two: std::sync::Arc<dyn kernel::backend::Backend> = two;
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..60 {
            let store = if i % 2 == 0 { one.clone() } else { two.clone() };
            tasks.spawn(async move {
                insert(&*store, &record(HOME, "thing", &format!("k{i}"), serde_json::json!({}))).await.unwrap().seqs[0]
            });
        }
        let mut seqs = tasks.join_all().await;
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=60).collect::<Vec<u64>>());
    });
}

#[test]
fn a_database_that_crashes_loses_nothing_acknowledged_and_is_used_again() {
    with_server(async |server| {
        let store = fitted(Store::open_postgres(&server.url("postgres"), Options::default()).unwrap()).await;
        let mut acknowledged = Vec::new();
        for round in 0..3 {
            for i in 0..5 {
                let new = record(HOME, "thing", &format!("r{round}-{i}"), serde_json::json!({}));
                insert(&*store, &new).await.unwrap();
                acknowledged.push(new);
            }
            tokio::task::block_in_place(|| std::thread::scope(|s| s.spawn(|| server.crash_and_restart()).join()))
                .unwrap();
            // The first calls may find their connection gone; they say so, and the next make a new one.
            let again = record(HOME, "thing", &format!("r{round}-again"), serde_json::json!({}));
            let mut tries = 0;
            while insert(&*store, &again).await.is_err() {
                tries += 1;
                assert!(tries < 3, "a lost connection is replaced at once");
            }
            acknowledged.push(again);
        }
        for wanted in acknowledged {
            let mut found = store.get(HOME, wanted.id).await;
            for _ in 0..5 {
                if found.is_err() {
                    found = store.get(HOME, wanted.id).await;
                }
            }
            assert_eq!(found.unwrap(), Some(wanted));
        }
    });
}
