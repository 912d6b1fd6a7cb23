//! Processes, from `/proc/PID`. Kernel threads are left out; arguments are read to tell two instances apart and never told.
//!
//! The table holds a row for each *name*, of processes at least [`LONG_LIVED`] old: a row for each process would change at every
//! look on any machine that builds, forks or serves, and history would drown in it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{CannotSee, Table};
use crate::system::System;

/// From this age on a process is part of what the machine does.
pub(super) const LONG_LIVED: Duration = Duration::from_secs(60);

/// Ticks of `/proc/PID/stat` in a second. Part of the kernel's interface: 100 on every architecture that Rust supports.
const TICKS: u64 = 100;

/// Every so many looks, a minute's worth, what hardly ever changes is read again: the kernel's threads, in case a program has come to the
/// number of one that ended (numbers go round in a circle of at least 32,768, so this is rare), and the time of boot, whose file counts
/// every interrupt of the machine while it is read.
const ALL_AGAIN: u32 = 12;

/// A process that is not a kernel thread.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub pid: u32,
    pub parent: u32,
    pub session: u32,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Name as the kernel has it: at most 15 bytes.
    pub name: String,
    pub rss_bytes: u64,
    /// Ticks after boot.
    pub started: u64,
    /// Read for those that matter only: owners of ports and long-lived ones.
    pub details: Option<Arc<Details>>,
}

/// What does not change while a process runs one program.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    pub uid: u32,
    pub exe: Option<PathBuf>,
    /// The file it runs was replaced or removed after its start: an upgrade waits for a restart.
    pub replaced: bool,
    pub unit: Option<String>,
    /// What people call it; see [`title`].
    pub title: String,
    /// Tells two instances of one program apart, without telling their arguments.
    pub arguments_hash: String,
}

/// What a number in `/proc` is.
enum Seen {
    Program(Process),
    KernelThread,
    Nothing,
}

/// All processes of one look.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub by_pid: BTreeMap<u32, Process>,
    pub users: Arc<BTreeMap<u32, String>>,
    /// Ticks after boot.
    now: u64,
    /// Seconds after 1970.
    boot: i64,
}

impl Processes {
    pub fn age(&self, process: &Process) -> Duration {
        Duration::from_millis(self.now.saturating_sub(process.started).saturating_mul(1000 / TICKS))
    }

    /// RFC 3339, to the second.
    pub fn start_time(&self, process: &Process) -> Option<String> {
        let seconds = self.boot.checked_add(i64::try_from(process.started / TICKS).ok()?)?;
        jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string())
    }

    pub fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(super) struct Memory {
    details: HashMap<u32, (u64, String, Arc<Details>)>,
    boot: i64,
    /// Most numbers in `/proc` are threads of the kernel: they are read again only now and then.
    kernel_threads: HashSet<u32>,
    looks: u32,
    users: Option<Arc<BTreeMap<u32, String>>>,
}

impl Memory {
    /// One read for each process; details from memory only.
    pub fn look(&mut self, sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Processes {
        let Ok(names) = sys.list(Path::new("/proc")) else {
            cannot_see.push(CannotSee {
                what: "processes".into(),
                why: "/proc cannot be read".into(),
                remedy: "mount /proc where the agent runs".into(),
            });
            return Processes::default();
        };
        if self.looks.is_multiple_of(ALL_AGAIN) {
            self.kernel_threads.clear();
            self.settle_boot(sys);
        }
        self.looks = self.looks.wrapping_add(1);
        let mut by_pid = BTreeMap::new();
        for pid in names.iter().filter_map(|name| name.parse().ok()) {
            if self.kernel_threads.contains(&pid) {
                continue;
            }
            match self.process(sys, pid) {
                Seen::Program(process) => {
                    by_pid.insert(pid, process);
                }
                Seen::KernelThread => {
                    self.kernel_threads.insert(pid);
                }
                Seen::Nothing => {}
            }
        }
        self.details.retain(|pid, _| by_pid.contains_key(pid));
        // In some containers the up-time is the container's and start times are the host's: the newest process then tells the time.
        let newest = by_pid.values().map(|process| process.started).max().unwrap_or_default();
        let now = uptime_ticks(sys).unwrap_or_default().max(newest);
        let users = self.users.get_or_insert_with(|| Arc::new(user_names(sys))).clone();
        Processes { by_pid, users, now, boot: self.boot }
    }

    fn process(&self, sys: &dyn System, pid: u32) -> Seen {
        // It may have ended since the folder was listed: then it is left out.
        let bytes = sys.read(&proc(pid, "stat"), 4096).unwrap_or_default();
        let stat = match crate::parse::stat::stat(&bytes) {
            Some(stat) if stat.kernel_thread => return Seen::KernelThread,
            Some(stat) if stat.state != 'Z' => stat,
            _ => return Seen::Nothing,
        };
        let known = self.details.get(&pid).filter(|(started, name, _)| *started == stat.started && *name == stat.name);
        Seen::Program(Process {
            pid,
            parent: stat.parent,
            session: stat.session,
            terminal: stat.terminal,
            rss_bytes: stat.rss_pages.saturating_mul(sys.page_bytes()),
            started: stat.started,
            details: known.map(|(_, _, details)| Arc::clone(details)),
            name: stat.name,
        })
    }

    /// The kernel computes the time of boot from a clock that is being set, so it trembles by a second.
    fn settle_boot(&mut self, sys: &dyn System) {
        let boot = super::facts::boot_second(sys).unwrap_or_default();
        if self.boot.abs_diff(boot) > 2 {
            self.boot = boot;
        }
    }

    /// Reads the details of the given processes and of all long-lived ones, as far as they are not known yet.
    pub fn look_closer(&mut self, sys: &dyn System, seen: &mut Processes, pids: &[u32]) {
        let pids: BTreeSet<u32> = pids.iter().copied().collect();
        let wanted: Vec<u32> = seen
            .by_pid
            .values()
            .filter(|process| process.details.is_none())
            .filter(|process| pids.contains(&process.pid) || seen.age(process) >= LONG_LIVED)
            .map(|process| process.pid)
            .collect();
        for pid in wanted {
            let Some(process) = seen.by_pid.get_mut(&pid) else { continue };
            let details = Arc::new(details(sys, process));
            self.details.insert(pid, (process.started, process.name.clone(), Arc::clone(&details)));
            if !seen.users.contains_key(&details.uid) {
                self.users = None; // Somebody new: read the accounts again at the next look.
            }
            process.details = Some(details);
        }
    }
}

/// Path of a file of a process.
pub(super) fn proc(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn uptime_ticks(sys: &dyn System) -> Option<u64> {
    let text = super::line(sys, "/proc/uptime")?;
    let (seconds, rest) = text.split_once('.')?;
    let hundredths: u64 = rest.get(..2)?.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(TICKS)?.checked_add(hundredths)
}

fn user_names(sys: &dyn System) -> BTreeMap<u32, String> {
    let bytes = sys.read(Path::new("/etc/passwd"), 4 << 20).unwrap_or_default();
    let mut names = BTreeMap::new();
    for user in crate::parse::passwd::users(&bytes) {
        names.entry(user.uid).or_insert(user.name);
    }
    names
}

fn details(sys: &dyn System, process: &Process) -> Details {
    let link = sys.read_link(&proc(process.pid, "exe")).ok();
    let text = link.map(|path| path.to_string_lossy().into_owned());
    let replaced = text.as_ref().is_some_and(|text| text.ends_with(" (deleted)"));
    let exe = text.map(|text| PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text)));
    let arguments: Vec<String> = sys
        .read(&proc(process.pid, "cmdline"), 64 * 1024)
        .unwrap_or_default()
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    let cgroup = sys.read(&proc(process.pid, "cgroup"), 64 * 1024).unwrap_or_default();
    Details {
        uid: sys.stat(Path::new(&format!("/proc/{}", process.pid))).map(|stat| stat.uid).unwrap_or_default(),
        replaced,
        unit: crate::parse::cgroup::unit(&cgroup),
        title: title(exe.as_deref(), &process.name, &arguments),
        arguments_hash: hash(&arguments),
        exe,
    }
}

/// 32 bits: enough to tell instances apart, too few to guess a secret from.
fn hash(arguments: &[String]) -> String {
    let digest = Sha256::digest(arguments.join("\0").as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Endings of files that are run by another program.
const SCRIPTS: [&str; 9] = ["py", "js", "mjs", "ts", "rb", "pl", "php", "sh", "jar"];

/// What people call a process: its program, or the script that the program runs.
fn title(exe: Option<&Path>, name: &str, arguments: &[String]) -> String {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let script = arguments.iter().skip(1).find(|argument| !argument.starts_with('-')).map(|argument| base(argument));
    if let Some(script) =
        script.filter(|s| s.rsplit_once('.').is_some_and(|(_, end)| SCRIPTS.contains(&end)) || s == name)
    {
        return script;
    }
    // Programs that set their title write "nginx: master process …" there.
    let first = arguments.first().map(|argument| argument.split(' ').next().unwrap_or_default()).unwrap_or_default();
    let first = base(first.trim_end_matches(':'));
    let first = first.trim_start_matches('-'); // A log-in shell.
    let program = exe.map(|exe| base(&exe.to_string_lossy())).unwrap_or_default();
    if !first.is_empty() && (program.starts_with(first) || first.starts_with(name)) {
        return first.to_owned(); // `python3` for python3.11; `redis-server` where the file is a link to another name.
    }
    if program.starts_with(name) || name.is_empty() { program } else { name.to_owned() }
}

/// A row for each name: how many, since when, by whom, and how much memory.
pub(super) fn table(seen: &Processes) -> Table {
    let mut rows: BTreeMap<&str, Vec<&Process>> = BTreeMap::new();
    for process in seen.by_pid.values().filter(|process| seen.age(process) >= LONG_LIVED) {
        rows.entry(&process.name).or_default().push(process);
    }
    rows.into_iter().map(|(name, members)| (name.to_owned(), row(seen, &members))).collect()
}

fn row(seen: &Processes, members: &[&Process]) -> Value {
    let oldest = members.iter().min_by_key(|process| (process.started, process.pid)).expect("a row has a process");
    let users: BTreeSet<String> =
        members.iter().filter_map(|process| process.details.as_ref()).map(|details| seen.user(details.uid)).collect();
    json!({
        "pid": oldest.pid,
        "name": oldest.name,
        "count": members.len(),
        "users": users,
        "rss_bytes": members.iter().map(|process| process.rss_bytes).sum::<u64>(),
        "started": seen.start_time(oldest),
        "exe": oldest.details.as_ref().and_then(|details| details.exe.as_ref()).map(|exe| exe.to_string_lossy()),
        "unit": oldest.details.as_ref().and_then(|details| details.unit.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_called_what_people_call_it() {
        let table: [(&str, &str, &[&str], &str, &str); 8] = [
            // exe, name, arguments, expected, why
            (
                "/usr/sbin/nginx",
                "nginx",
                &["nginx: master process /usr/sbin/nginx -c x"],
                "nginx",
                "a title that it set itself",
            ),
            (
                "/usr/bin/redis-check-rdb",
                "redis-server",
                &["/usr/bin/redis-server 127.0.0.1:6379"],
                "redis-server",
                "a linked file",
            ),
            (
                "/usr/bin/python3.11",
                "python3",
                &["python3", "/opt/shop/server.py", "--secret", "x"],
                "server.py",
                "a script",
            ),
            ("/usr/bin/python3.11", "python3", &["python3", "-m", "http.server"], "python3", "a module"),
            (
                "/usr/bin/python3.11",
                "gunicorn",
                &["/usr/bin/python3", "/usr/bin/gunicorn", "app"],
                "gunicorn",
                "run by its first line",
            ),
            (
                "/usr/bin/node",
                "node-MainThread",
                &["node", "--inspect"],
                "node",
                "a thread's name is not the program's",
            ),
            (
                "/usr/lib/systemd/systemd-resolved",
                "systemd-resolve",
                &["/lib/systemd/systemd-resolved"],
                "systemd-resolved",
                "a cut name",
            ),
            ("", "kept", &[], "kept", "nothing but the kernel's name"),
        ];
        for (exe, name, arguments, expected, why) in table {
            let exe = (!exe.is_empty()).then(|| Path::new(exe));
            let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
            assert_eq!(title(exe, name, &arguments), expected, "{why}");
        }
    }
}
