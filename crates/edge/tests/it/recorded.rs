//! Machines that are not here: recorded answers of a Debian with systemd, of one without root, of one in trouble.

use std::time::Duration;

use edge::discover::{Application, CannotSee, Discovery, look};
use edge::{FileStat, Recorded};

const SHOW: &str = "systemctl show --all --no-pager --property=Id,Description,LoadState,ActiveState,SubState,UnitFileState,Type,MainPID,Listen,Triggers *.service *.socket *.timer";

/// A process as `/proc` shows it; started so many seconds after boot.
struct Proc<'a> {
    pid: u32,
    parent: u32,
    session: u32,
    name: &'a str,
    exe: &'a str,
    arguments: &'a str,
    unit: &'a str,
    started: u64,
    sockets: &'a [u64],
}

const NGINX: Proc<'_> = Proc {
    pid: 612,
    parent: 1,
    session: 612,
    name: "nginx",
    exe: "/usr/sbin/nginx",
    arguments: "nginx: master process /usr/sbin/nginx",
    unit: "/system.slice/nginx.service",
    started: 10,
    sockets: &[4711, 4712],
};

fn add(sys: &mut Recorded, process: &Proc<'_>) {
    let Proc { pid, parent, session, name, exe, arguments, unit, started, sockets } = process;
    let ticks = started * 100;
    sys.file(
        &format!("/proc/{pid}/stat"),
        &format!("{pid} ({name}) S {parent} {session} {session} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 54341632 500 0 0 0"),
    )
    .file(&format!("/proc/{pid}/cmdline"), &arguments.replace(' ', "\0"))
    .file(&format!("/proc/{pid}/cgroup"), &format!("0::{unit}\n"))
    .link(&format!("/proc/{pid}/exe"), exe);
    for (at, inode) in sockets.iter().enumerate() {
        sys.link(&format!("/proc/{pid}/fd/{at}"), &format!("socket:[{inode}]"));
    }
}

/// A line of `/proc/net/tcp` on all addresses.
fn listening(port: u16, inode: u64) -> String {
    format!(
        "   0: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
    )
}

/// A machine that runs for a thousand seconds, with nothing on it.
fn machine() -> Recorded {
    let mut sys = Recorded::default();
    sys.file("/proc/uptime", "1000.00 1900.00\n")
        .file("/proc/stat", "cpu 1 2 3\nbtime 1760000000\n")
        .file("/proc/1/comm", "init\n")
        .file("/proc/net/tcp", "")
        .file("/proc/net/udp", "")
        .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        .file("/proc/1/stat", "1 (init) S 0 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 2 54341632 500 0 0 0")
        .link("/proc/1/fd/0", "/dev/null");
    sys
}

fn applications(sys: &Recorded) -> Vec<Application> {
    look(sys).applications
}

fn keys(found: &[Application]) -> Vec<&str> {
    found.iter().map(|application| application.key_hint.as_str()).collect()
}

/// The answer is systemd 252's own, to units made for it: a service, an instance that failed, a one-shot with its timer, a socket that waits.
#[test]
fn under_systemd_units_are_told_and_are_applications() {
    let mut sys = machine();
    let local = listening(22022, 99).replace("00000000:5606", "0100007F:5606");
    sys.file("/proc/1/comm", "systemd\n")
        .file("/proc/net/tcp", &format!("{}{}{local}", listening(80, 4711), listening(443, 4712)))
        .link("/proc/1/fd/9", "socket:[99]");
    let web = Proc { pid: 19036, session: 19036, unit: "/app.slice/web.service", ..NGINX };
    add(&mut sys, &web);
    add(&mut sys, &Proc { pid: 19037, parent: 19036, arguments: "nginx: worker process", ..web });
    sys.program(SHOW, include_str!("systemctl-show.txt"));
    let snapshot = look(&sys);
    let blind = |gap: &CannotSee| gap.what.contains("port") || gap.what.contains("unit");
    assert!(!snapshot.cannot_see.iter().any(blind), "{:?}", snapshot.cannot_see);
    let units = &snapshot.tables["units"];
    assert_eq!(units["web.service"]["description"], "A web server, for recording = with an equals sign");
    assert_eq!(units["shop@one.service"]["active"], "failed");
    assert!(!units.contains_key("ghost.service"), "named by others, but there is no such unit");
    assert_eq!(snapshot.tables["ports"]["tcp/127.0.0.1:22022"]["unit"], "wait.service");

    let found = &snapshot.applications;
    assert_eq!(keys(found), ["shop-one", "wait", "web"], "neither one-shots nor timers: {found:#?}");
    let (shop, wait, web) = (&found[0], &found[1], &found[2]);
    assert!(!shop.running && shop.evidence[0].contains("failed"), "a unit that is down is an application still");
    assert!(wait.pids.is_empty() && wait.running, "systemd holds its port until somebody comes");
    assert_eq!((web.identity.as_str(), web.pids.as_slice()), ("unit:web.service", &[19036, 19037][..]));
    assert_eq!(web.ports.iter().map(|port| port.port).collect::<Vec<_>>(), [80, 443]);
}

#[test]
fn without_systemd_the_same_nginx_is_found_by_its_port() {
    let mut sys = machine();
    sys.file("/proc/net/tcp", &format!("{}{}", listening(80, 4711), listening(443, 4712)));
    add(&mut sys, &Proc { unit: "/", ..NGINX });
    add(&mut sys, &Proc { pid: 613, parent: 612, unit: "/", arguments: "nginx: worker process", ..NGINX });
    // A person's session of the same program is not counted among its processes.
    add(&mut sys, &Proc { pid: 700, parent: 612, session: 700, unit: "/", sockets: &[], ..NGINX });
    let found = applications(&sys);
    assert_eq!(keys(&found), ["nginx"]);
    assert_eq!(found[0].pids, [612, 613]);
    assert_eq!(found[0].started.as_deref(), Some("2025-10-09T08:53:30Z"));
    assert!(found[0].unit.is_none() && found[0].exe.as_deref() == Some("/usr/sbin/nginx".as_ref()));
}

#[test]
fn two_instances_are_two_applications_and_keep_their_identity_over_a_restart() {
    let mut sys = machine();
    sys.file("/proc/net/tcp", &format!("{}{}", listening(80, 4711), listening(8080, 5000)));
    let second = Proc {
        pid: 800,
        session: 800,
        unit: "/",
        arguments: "nginx: master process -c /etc/second.conf",
        sockets: &[5000],
        ..NGINX
    };
    add(&mut sys, &Proc { unit: "/", ..NGINX });
    add(&mut sys, &second);
    let mut discovery = Discovery::default();
    let before = discovery.look_ports_and_processes(&sys).applications;
    assert_eq!(keys(&before), ["nginx", "nginx-8080"]);

    sys.files.retain(|path, _| !path.starts_with("/proc/800"));
    sys.links.retain(|path, _| !path.starts_with("/proc/800"));
    sys.file("/proc/net/tcp", &format!("{}{}", listening(80, 4711), listening(8080, 6000)));
    add(&mut sys, &Proc { pid: 900, session: 900, started: 999, sockets: &[6000], ..second });
    let after = discovery.look_ports_and_processes(&sys).applications;
    assert_eq!(after[1].identity, before[1].identity, "one second old, and known");
    assert_eq!(after[1].pids, [900]);
}

#[test]
fn a_port_that_is_open_for_a_moment_is_no_application() {
    let mut sys = machine();
    sys.file("/proc/net/tcp", &listening(8000, 4711));
    add(&mut sys, &Proc { unit: "/", started: 997, ..NGINX });
    assert!(applications(&sys).is_empty(), "three seconds old");
    let mut eager = Discovery::with_patience(Duration::ZERO);
    assert_eq!(eager.look_ports_and_processes(&sys).applications.len(), 1);
    add(&mut sys, &Proc { unit: "/", started: 995, ..NGINX });
    assert_eq!(applications(&sys).len(), 1, "five seconds old");
}

#[test]
fn without_root_a_port_is_told_and_so_is_what_cannot_be_seen() {
    let mut sys = machine();
    sys.uid = 1000;
    sys.file("/proc/net/tcp", &listening(3306, 77));
    add(&mut sys, &Proc { pid: 500, sockets: &[77], ..NGINX });
    sys.denied.extend(["/proc/500/fd".into(), "/proc/500/exe".into()]);
    let snapshot = look(&sys);
    assert_eq!(keys(&snapshot.applications), ["tcp-3306"]);
    assert!(snapshot.applications[0].running, "the port is open");
    let gap = snapshot.cannot_see.iter().find(|gap| gap.what.contains("tcp/0.0.0.0:3306")).expect("a gap");
    assert!(gap.remedy.contains("root") && gap.why.contains("not root"), "{gap:?}");
}

#[test]
fn an_upgraded_program_needs_a_restart() {
    let mut sys = machine();
    sys.file("/proc/net/tcp", &listening(80, 4711));
    add(&mut sys, &Proc { unit: "/", exe: "/usr/sbin/nginx (deleted)", ..NGINX });
    let found = applications(&sys);
    assert!(found[0].restart_needed);
    assert_eq!(found[0].exe.as_deref(), Some("/usr/sbin/nginx".as_ref()));
}

#[test]
fn a_long_lived_daemon_without_a_port_is_an_application_and_a_shell_is_not() {
    let mut sys = machine();
    let daemon = Proc {
        pid: 300,
        session: 300,
        name: "cron",
        exe: "/usr/sbin/cron",
        arguments: "/usr/sbin/cron",
        unit: "/",
        sockets: &[],
        ..NGINX
    };
    add(&mut sys, &daemon);
    add(&mut sys, &Proc { pid: 301, session: 301, name: "bash", exe: "/usr/bin/bash", arguments: "bash", ..daemon });
    add(&mut sys, &Proc { pid: 302, session: 302, name: "new", exe: "/usr/sbin/new", started: 990, ..daemon });
    assert_eq!(keys(&applications(&sys)), ["cron"]);
}

#[test]
fn what_a_package_brought_is_told_with_its_version() {
    let mut sys = machine();
    sys.file("/proc/net/tcp", &listening(80, 4711))
        .file(
            "/var/lib/dpkg/status",
            "Package: nginx\nStatus: install ok installed\nVersion: 1.22.1-9\nArchitecture: amd64\n",
        )
        .file("/var/lib/dpkg/info/nginx.list", "/.\n/usr/sbin/nginx\n");
    add(&mut sys, &Proc { unit: "/", ..NGINX });
    let found = applications(&sys);
    assert_eq!((found[0].package.as_deref(), found[0].version.as_deref()), (Some("nginx"), Some("1.22.1-9")));
}

#[test]
fn arguments_of_processes_are_told_nowhere() {
    let mut sys = machine();
    sys.file("/proc/net/tcp", &listening(80, 4711));
    add(
        &mut sys,
        &Proc {
            unit: "/",
            name: "server",
            exe: "/opt/server",
            arguments: "/opt/server --password=canary-4711",
            ..NGINX
        },
    );
    let snapshot = look(&sys);
    assert_eq!(keys(&snapshot.applications), ["server"]);
    assert!(!serde_json::to_string(&snapshot).expect("JSON").contains("canary"));
}

#[test]
fn a_machine_that_answers_nothing_is_looked_at_without_harm() {
    let snapshot = look(&Recorded { uid: 1000, ..Recorded::default() });
    assert!(snapshot.applications.is_empty());
    let blind: Vec<&str> = snapshot.cannot_see.iter().map(|gap| gap.what.as_str()).collect();
    for what in
        ["packages", "users", "disks", "filesystems", "interfaces", "units", "processes", "tcp ports", "udp ports"]
    {
        assert!(blind.contains(&what), "{what} is not told: {blind:?}");
    }
}

#[test]
fn the_user_of_a_process_is_told_by_name() {
    let mut sys = machine();
    sys.file("/etc/passwd", "www-data:x:33:33:::\n").file("/proc/net/tcp", &listening(80, 4711));
    add(&mut sys, &Proc { unit: "/", ..NGINX });
    sys.stats.insert("/proc/612".into(), FileStat { uid: 33, mode: 0o040_555 });
    assert_eq!(applications(&sys)[0].user.as_deref(), Some("www-data"));
}
