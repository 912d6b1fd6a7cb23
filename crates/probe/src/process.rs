//! Process: how many processes match. Reads `/proc` through [`Host`](crate::env::Host); signals nobody.

use std::path::Path;

use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, RawProcess};
use crate::outcome::{Outcome, State};
use crate::params::{ParamError, Pattern};
use crate::protocol::{Check, Cx};

/// Parameters of `process`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    /// Regular expression that the whole command line must match (arguments joined by spaces), besides the name.
    command: Option<Pattern>,
    /// File that holds the process's number; the process of that number must match as well.
    pid_file: Option<String>,
    /// Only processes of this numeric user.
    uid: Option<u32>,
    /// Fewer than this is CRITICAL.
    min: u32,
    /// More than this is CRITICAL. No upper bound when left out.
    max: Option<u32>,
}

impl Default for Process {
    fn default() -> Self {
        Process { command: None, pid_file: None, uid: None, min: 1, max: None }
    }
}

impl Check for Process {
    const NAME: &'static str = "process";
    const TITLE: &'static str = "Processes";
    const HELP: &'static str = "Counts the processes of a name, a command line or a pid file. Zombies do not count.";
    const TARGET: &'static str =
        "the program's name, for example nginx; may be empty when command or pid_file is given";
    const LOCAL: bool = true;

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        if target.is_empty() && self.command.is_none() && self.pid_file.is_none() {
            problems.push(ParamError::new("target", "name the program, or give command or pid_file"));
        }
        if self.pid_file.as_deref().is_some_and(|path| !path.starts_with('/')) {
            problems.push(ParamError::new("pid_file", "must be a path from the root, for example /run/nginx.pid"));
        }
        if let Some(max) = self.max.filter(|max| *max < self.min) {
            problems.push(ParamError::new("max", format!("{max} is less than min {}", self.min)));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        cx.trace.phase("read", "reading /proc");
        let pid_file = match &self.pid_file {
            None => PidFile::NotAsked,
            Some(path) => match cx.env.host.read(Path::new(path)).await {
                Ok(bytes) => parse_pid_file(&bytes).map_or_else(|| PidFile::Wrong(path.clone()), PidFile::Says),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => PidFile::Absent(path.clone()),
                Err(error) => return Err(Failure::Local(format!("{path} cannot be read: {error}"))),
            },
        };
        let raw =
            cx.env.host.processes().await.map_err(|error| Failure::Local(format!("/proc cannot be read: {error}")))?;
        let seen: Vec<Seen> = raw.iter().filter_map(Seen::of).collect();
        // A count of zero is only true when everything can be seen.
        let mounts = cx.env.host.read(Path::new("/proc/self/mountinfo")).await.unwrap_or_default();
        let owner = seen.iter().find(|process| process.pid == std::process::id()).map(|process| process.uid);
        let hidden = hides_processes(&mounts) && owner != Some(0);
        Ok(decide(self, cx.target, &pid_file, &seen, hidden))
    }
}

/// What `/proc/PID/status` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The program's name, at most 15 bytes long.
    pub name: String,
    /// The kernel's letter: R, S, D, Z (zombie), T …
    pub state: char,
    /// The numeric effective user.
    pub uid: u32,
    /// Memory in use; 0 for kernel threads and zombies.
    pub resident_bytes: u64,
}

/// Reads `/proc/PID/status`. `None` when it lacks name or state.
pub fn parse_status(bytes: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(bytes);
    let mut status = Status { name: String::new(), state: '?', uid: u32::MAX, resident_bytes: 0 };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut words = value.split_ascii_whitespace();
        match key {
            "Name" => status.name = value.trim().to_owned(),
            "State" => status.state = value.trim().chars().next()?,
            "Uid" => status.uid = words.nth(1).and_then(|uid| uid.parse().ok()).unwrap_or(u32::MAX),
            "VmRSS" => {
                let kibibytes: u64 = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
                status.resident_bytes = kibibytes.saturating_mul(1024);
            }
            _ => {}
        }
    }
    (!status.name.is_empty() && status.state != '?').then_some(status)
}

/// Reads `/proc/PID/cmdline`: the arguments, of which a program may have overwritten the first with anything.
pub fn parse_command_line(bytes: &[u8]) -> Vec<String> {
    let trimmed = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if trimmed.is_empty() {
        return Vec::new();
    }
    trimmed.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// Reads a pid file: one number, with white space around it.
pub fn parse_pid_file(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Whether `/proc` is mounted so that users do not see each other's processes.
fn hides_processes(mountinfo: &[u8]) -> bool {
    String::from_utf8_lossy(mountinfo).lines().filter(|line| line.split(' ').nth(4) == Some("/proc")).any(|line| {
        ["hidepid=1", "hidepid=2", "hidepid=4", "hidepid=noaccess", "hidepid=invisible"]
            .iter()
            .any(|option| line.contains(option))
    })
}

/// A process, read.
pub struct Seen {
    pid: u32,
    name: String,
    arguments: Vec<String>,
    state: char,
    uid: u32,
    resident_bytes: u64,
}

impl Seen {
    fn of(raw: &RawProcess) -> Option<Seen> {
        let status = parse_status(&raw.status)?;
        Some(Seen {
            pid: raw.pid,
            name: status.name,
            arguments: parse_command_line(&raw.command_line),
            state: status.state,
            uid: status.uid,
            resident_bytes: status.resident_bytes,
        })
    }

    /// By the kernel's name, which is cut at 15 bytes, or by the file name of the program as it was started. Programs
    /// that write their own title (`nginx: master process`) are known by the kernel's name.
    fn is_called(&self, name: &str) -> bool {
        let started_as = self.arguments.first().and_then(|path| path.rsplit('/').next());
        let cut = name.len() > 15 && name.get(..15) == Some(self.name.as_str()) && started_as.is_none_or(|a| a == name);
        self.name == name || started_as == Some(name) || cut
    }

    fn runs(&self, pattern: &Regex) -> bool {
        pattern.is_match(self.arguments.join(" ").as_bytes())
    }
}

/// What the pid file said.
pub enum PidFile {
    /// No pid file was named.
    NotAsked,
    /// It holds that number.
    Says(u32),
    /// It does not exist.
    Absent(String),
    /// It holds something else than a number.
    Wrong(String),
}

/// The whole judgement. `hidden` says that processes of others are out of sight.
pub fn decide(want: &Process, name: &str, pid_file: &PidFile, seen: &[Seen], hidden: bool) -> Outcome {
    let wanted_pid = match pid_file {
        PidFile::NotAsked => None,
        PidFile::Says(pid) => Some(*pid),
        PidFile::Absent(path) => return Outcome::new(State::Critical, format!("the pid file {path} does not exist")),
        PidFile::Wrong(path) => {
            return Outcome::new(State::Critical, format!("the pid file {path} holds no process number"));
        }
    };
    let matching: Vec<&Seen> = seen
        .iter()
        .filter(|process| process.state != 'Z' && process.state != 'X')
        .filter(|process| name.is_empty() || process.is_called(name))
        .filter(|process| want.command.as_ref().is_none_or(|pattern| process.runs(&pattern.0)))
        .filter(|process| wanted_pid.is_none_or(|pid| process.pid == pid))
        .filter(|process| want.uid.is_none_or(|uid| process.uid == uid))
        .collect();
    let count = u32::try_from(matching.len()).unwrap_or(u32::MAX);
    let resident: u64 = matching.iter().map(|process| process.resident_bytes).sum();
    let what = describe(want, name, wanted_pid);
    let counted = match count {
        0 => format!("no process {what} runs"),
        1 => format!("1 process {what} runs"),
        count => format!("{count} processes {what} run"),
    };
    let outcome = match want.max {
        _ if count < want.min && hidden => Outcome::new(
            State::Unknown,
            format!("processes of other users are hidden here (hidepid); run the agent as root to see {what}"),
        ),
        _ if count < want.min && want.min > 1 => {
            Outcome::new(State::Critical, format!("{counted}, fewer than {}", want.min))
        }
        _ if count < want.min => Outcome::new(State::Critical, counted),
        Some(max) if count > max => Outcome::new(State::Critical, format!("{counted}, more than {max}")),
        _ => Outcome::new(State::Ok, counted),
    };
    outcome.with("process_count", f64::from(count), "").with("process_resident_bytes", resident as f64, "bytes")
}

fn describe(want: &Process, name: &str, pid: Option<u32>) -> String {
    let mut words = Vec::new();
    if !name.is_empty() {
        words.push(name.to_owned());
    }
    if let Some(pattern) = &want.command {
        words.push(format!("with a command line like {}", pattern.0));
    }
    if let Some(pid) = pid {
        words.push(format!("with number {pid}"));
    }
    if let Some(uid) = want.uid {
        words.push(format!("of user {uid}"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn process(pid: u32, name: &str, command: &str, state: char) -> Seen {
        let arguments = command.split_ascii_whitespace().map(str::to_owned).collect();
        Seen { pid, name: name.into(), arguments, state, uid: 33, resident_bytes: 1000 }
    }

    fn machine() -> Vec<Seen> {
        vec![
            process(1, "systemd", "/sbin/init", 'S'),
            process(10, "nginx", "nginx: master process /usr/sbin/nginx", 'S'),
            process(11, "nginx", "nginx: worker process", 'S'),
            process(12, "nginx", "", 'Z'),
            process(20, "java", "/usr/bin/java -jar /srv/shop.jar", 'S'),
            process(30, "a-name-that-is-", "/opt/a-name-that-is-long", 'S'),
            process(31, "python3", "/usr/bin/python3 worker.py", 'R'),
        ]
    }

    #[test]
    fn the_count_of_matching_processes_decides() {
        for (name, params, state, part) in [
            ("nginx", json!({}), State::Ok, "2 processes nginx run"), // the zombie does not count
            ("apache2", json!({}), State::Critical, "no process apache2 runs"),
            ("nginx", json!({"min": 3}), State::Critical, "2 processes nginx run, fewer than 3"),
            ("nginx", json!({"max": 1}), State::Critical, "more than 1"),
            ("apache2", json!({"min": 0, "max": 0}), State::Ok, "no process apache2 runs"), // must not run
            ("java", json!({"command": "shop\\.jar"}), State::Ok, "1 process java with a command line like"),
            ("", json!({"command": "^/srv/none"}), State::Critical, "no process"),
            ("a-name-that-is-long", json!({}), State::Ok, "1 process"), // the kernel cuts names at 15 bytes
            ("init", json!({}), State::Ok, "1 process"),                // by the file it was started from
            ("nginx", json!({"uid": 0}), State::Critical, "of user 0"),
        ] {
            let want: Process = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, name, &PidFile::NotAsked, &machine(), false);
            assert_eq!(outcome.state, state, "{name} {params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{name} {params}: {}", outcome.summary);
        }
    }

    #[test]
    fn a_pid_file_must_name_a_process_that_matches() {
        let want = Process::default();
        for (file, state) in [
            (PidFile::Says(10), State::Ok),
            (PidFile::Says(12), State::Critical),  // a zombie
            (PidFile::Says(20), State::Critical),  // the number went to another program
            (PidFile::Says(999), State::Critical), // nobody has it
            (PidFile::Absent("/run/x.pid".into()), State::Critical),
            (PidFile::Wrong("/run/x.pid".into()), State::Critical),
        ] {
            assert_eq!(decide(&want, "nginx", &file, &machine(), false).state, state);
        }
    }

    #[test]
    fn nothing_seen_where_processes_are_hidden_is_unknown() {
        let outcome = decide(&Process::default(), "apache2", &PidFile::NotAsked, &machine(), true);
        assert_eq!(outcome.state, State::Unknown);
        assert!(outcome.summary.contains("run the agent as root"), "{}", outcome.summary);
        assert!(hides_processes(b"22 27 0:21 / /proc rw,relatime - proc proc rw,hidepid=invisible\n"));
        assert!(!hides_processes(b"22 27 0:21 / /proc rw,relatime - proc proc rw\n"));
    }

    #[test]
    fn status_files_read_as_the_kernel_writes_them() {
        let text = b"Name:\tWeb Content\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t7\nUid:\t1000\t1001\t1000\t1000\nVmRSS:\t  2048 kB\n";
        let status = parse_status(text).unwrap();
        assert_eq!(status, Status { name: "Web Content".into(), state: 'S', uid: 1001, resident_bytes: 2 << 20 });
        assert_eq!(parse_status(b""), None);
        assert_eq!(parse_command_line(b"a\0b c\0"), ["a", "b c"]);
        assert!(parse_command_line(b"").is_empty());
        assert_eq!(parse_pid_file(b" 123\n"), Some(123));
        assert_eq!(parse_pid_file(b"0"), None);
    }

    proptest! {
        #[test]
        fn no_file_of_proc_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_status(&bytes), parse_command_line(&bytes), parse_pid_file(&bytes), hides_processes(&bytes));
            let keyed = [b"Name:\tx\nState:".as_slice(), &bytes, b"\nVmRSS:", &bytes].concat();
            let _ = parse_status(&keyed);
        }
    }
}
