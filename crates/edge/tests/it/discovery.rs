//! Discovery sees what really runs: an nginx of our own, and this test itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use edge::discover::{Application, Discovery, look};
use edge::{RealSystem, System};

const NGINX: &str = "/usr/sbin/nginx";

/// An nginx with a master and a worker, of its own folder and port, ended with the test.
struct Nginx {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// None where nginx is not installed: the test then says so, and has proved nothing.
    #[expect(clippy::disallowed_methods, reason = "a real nginx, started by the test")]
    fn start() -> Option<Self> {
        if !Path::new(NGINX).exists() {
            eprintln!("not proved here: {NGINX} is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let dir = folder.path().display();
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;\n\
             events {{ }} http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; \
             uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; server {{ listen 127.0.0.1:{port}; }} }}\n"
        );
        let path = folder.path().join("nginx.conf");
        std::fs::File::create(&path).and_then(|mut file| file.write_all(config.as_bytes())).expect("a config");
        let child = Command::new(NGINX).arg("-c").arg(&path).stderr(Stdio::null()).spawn().expect("nginx starts");
        Some(Self { child, port, _folder: folder })
    }

    /// Looks until the application with our port is there with `pids` processes, at most ten seconds.
    fn found(&self, discovery: &mut Discovery, pids: usize) -> Application {
        let in_time = crate::in_seconds(10);
        loop {
            let live = discovery.look_ports_and_processes(&RealSystem);
            let ours =
                live.applications.into_iter().find(|found| found.ports.iter().any(|port| port.port == self.port));
            match ours {
                Some(found) if found.pids.len() >= pids => return found,
                other => assert!(in_time(), "nginx is not found as it should be: {other:?}"),
            }
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

#[test]
fn a_real_nginx_is_one_application_with_port_process_and_package() {
    let Some(nginx) = Nginx::start() else { return };
    let mut discovery = Discovery::with_patience(Duration::ZERO);
    let found = nginx.found(&mut discovery, 2);
    assert_eq!(found.title, "nginx");
    assert!(found.key_hint == "nginx" || found.key_hint.starts_with("nginx-"), "{}", found.key_hint);
    assert_eq!(found.process.as_deref(), Some("nginx"));
    assert_eq!(found.exe, Some(PathBuf::from(NGINX)));
    assert_eq!(found.pids.first(), Some(&nginx.child.id()), "the master comes first: {found:?}");
    assert_eq!(found.ports.len(), 1);
    assert!(found.running && found.started.is_some());
    if Path::new("/var/lib/dpkg/status").exists() {
        assert!(found.package.as_deref().is_some_and(|package| package.starts_with("nginx")), "{found:?}");
        assert!(found.version.is_some());
    }
}

#[test]
fn an_nginx_that_is_stopped_is_gone_at_the_next_look() {
    let Some(nginx) = Nginx::start() else { return };
    let mut discovery = Discovery::with_patience(Duration::ZERO);
    let before = nginx.found(&mut discovery, 1);
    drop(nginx);
    let after = discovery.look_ports_and_processes(&RealSystem);
    assert!(after.applications.iter().all(|found| found.identity != before.identity), "it does not run any more");
}

#[test]
fn this_machine_tells_what_it_is() {
    let snapshot = look(&RealSystem);
    for fact in
        ["hostname", "kernel", "architecture", "cpu_count", "memory_bytes", "boot_time", "os_name", "virtualisation"]
    {
        assert!(snapshot.facts.contains_key(fact), "{fact} is missing");
    }
    for table in ["users", "disks", "filesystems", "interfaces", "ports", "processes"] {
        assert!(snapshot.tables.contains_key(table), "{table} is missing");
    }
    assert_eq!(snapshot.tables["users"]["root"]["uid"], 0);
    let loopback = snapshot.tables["interfaces"]["lo"]["addresses"].to_string();
    assert!(loopback.contains("127.0.0.1/8"), "{loopback}");
    assert!(snapshot.tables["filesystems"]["/"]["size_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let one_is_systemd = RealSystem.read(Path::new("/proc/1/comm"), 64).is_ok_and(|name| name == b"systemd\n");
    assert_eq!(snapshot.tables.contains_key("units"), one_is_systemd);
    assert_ne!(snapshot.cannot_see.iter().any(|gap| gap.what == "units"), one_is_systemd, "what is not there is named");
}

#[test]
fn a_socket_of_this_process_is_found_over_ipv6_too() {
    let Ok(socket) = std::net::TcpListener::bind("[::1]:0") else {
        eprintln!("not proved here: no IPv6");
        return;
    };
    let port = socket.local_addr().expect("bound").port();
    let live = Discovery::with_patience(Duration::ZERO).look_ports_and_processes(&RealSystem);
    let row = &live.tables["ports"][&format!("tcp/[::1]:{port}")];
    assert_eq!(row["pid"], std::process::id());
}

/// What `systemd-id128` makes of the same application id, where it is installed.
#[test]
fn the_hashed_machine_id_is_the_one_systemd_would_make() {
    let limits = edge::RunLimits { timeout: Duration::from_secs(5), output_bytes: 1024 };
    let argv = ["systemd-id128", "machine-id", "--app-specific=b6c3c9a46f5b4b0f9d4b1f3f8f1c2a77"];
    let Ok(told) = RealSystem.run(&argv, limits) else {
        eprintln!("not proved here: systemd-id128 is not installed");
        return;
    };
    let told = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    assert_eq!(look(&RealSystem).facts["machine_id"], told);
}

#[test]
fn a_program_that_takes_too_long_is_killed() {
    let limits = edge::RunLimits { timeout: Duration::from_millis(50), output_bytes: 1024 };
    let error = RealSystem.run(&["sleep", "60"], limits).expect_err("it is killed");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}
