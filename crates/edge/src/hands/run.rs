//! Runs one argument vector and tells what came of it. Decides nothing but what the allow list says, and retries nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::time::Instant;

use super::allow::AllowList;
use super::output::Kept;
use crate::system::System;

/// How long output may still come after the program has ended: a daemon that it left behind may hold the pipe for ever.
const AFTER_END: Duration = Duration::from_millis(200);

/// How often it is asked whether the last process of a group has ended.
const ASK: Duration = Duration::from_millis(20);

/// One step, ready to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments, already rendered; see [`render()`](super::render()).
    pub argv: Vec<String>,
    /// How long it may take; never more than [`Limits::timeout`].
    pub timeout: Option<Duration>,
    /// Environment beside `PATH` and `LANG`; only names that the allow list has.
    pub env: BTreeMap<String, String>,
    /// The folder it runs in, absolute; `/` when none is given.
    pub cwd: Option<PathBuf>,
}

/// What no step may exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time.
    pub timeout: Duration,
    /// Time between the request to end (TERM) and the end (KILL).
    pub grace: Duration,
    /// Bytes kept of each of its two streams.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600), grace: Duration::from_secs(2), output_bytes: 64 * 1024 }
    }
}

/// What a step wrote to one stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Output {
    /// What was kept: all of it, or beginning and end.
    pub text: String,
    /// Whether something was left out.
    pub truncated: bool,
}

/// What came of a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct StepResult {
    /// How it ended, when it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it was ended because its time was up.
    pub timed_out: bool,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// When it began; none when it was refused.
    pub started: Option<jiff::Timestamp>,
    /// How long it took, by a clock that is never set.
    pub duration_seconds: f64,
    /// Why it was not started. Nothing has happened then.
    pub refused: Option<String>,
}

impl StepResult {
    /// Whether it did what it was asked to: it ran, and ended with 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.exit_code == Some(0) && !self.timed_out && self.refused.is_none()
    }

    fn refused(why: String) -> Self {
        Self { refused: Some(why), ..Self::default() }
    }
}

/// Runs a step to its end, or to its timeout, or to the moment when the caller drops the future: no process of its group stays behind then.
///
/// After a normal end nothing is killed: what the program left running on purpose (a daemon it started) lives on. Note that under
/// systemd such a daemon belongs to the agent's own unit and ends with it, unless a service manager started it.
pub async fn run(step: &Command, limits: &Limits, allow: &AllowList, sys: &dyn System) -> StepResult {
    if let Err(why) = permitted(step, allow) {
        return StepResult::refused(why);
    }
    let started = sys.now();
    let begun = tick();
    let mut child = match spawn(step) {
        Ok(child) => child,
        Err(error) => {
            let program = step.argv.first().map(String::as_str).unwrap_or_default();
            return StepResult::refused(format!("{program} cannot be started: {error}"));
        }
    };
    let mut group = Group::of(&child);
    let (mut stdout, mut stderr) = (Kept::new(limits.output_bytes), Kept::new(limits.output_bytes));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let timeout = step.timeout.unwrap_or(limits.timeout).min(limits.timeout);

    let (ended, duration) = {
        let mut reading = pin!(async { tokio::join!(drain(out, &mut stdout), drain(err, &mut stderr)) });
        let mut read = false;
        let ended = {
            let mut ending = pin!(end(&mut child, &mut group, timeout, limits.grace));
            loop {
                tokio::select! {
                    ended = &mut ending => break ended,
                    _ = &mut reading, if !read => read = true,
                }
            }
        };
        let duration = begun.elapsed();
        if !read {
            let _ = tokio::time::timeout(AFTER_END, reading).await; // What was not read by then is somebody else's.
        }
        (ended, duration)
    };

    let ((out, out_cut), (err, err_cut)) = (stdout.into_text(), stderr.into_text());
    StepResult {
        exit_code: ended.status.and_then(|status| status.code()),
        signal: ended.status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status)),
        timed_out: ended.timed_out,
        stdout: Output { text: out, truncated: out_cut },
        stderr: Output { text: err, truncated: err_cut },
        started: Some(started),
        duration_seconds: duration.as_secs_f64(),
        refused: None,
    }
}

/// Whether the step may start at all.
fn permitted(step: &Command, allow: &AllowList) -> Result<(), String> {
    allow.permits(&step.argv)?;
    for (name, value) in &step.env {
        if !allow.permits_variable(name) {
            return Err(format!("the allow list of this machine does not have the variable {name}"));
        }
        if value.contains(['\n', '\r', '\0']) {
            return Err(format!("the variable {name} has a line break or a NUL in it"));
        }
    }
    match &step.cwd {
        Some(folder) if !folder.is_absolute() => {
            Err(format!("the folder {} is not an absolute path", folder.display()))
        }
        _ => Ok(()),
    }
}

fn spawn(step: &Command) -> std::io::Result<Child> {
    let (program, arguments) = step.argv.split_first().expect("the allow list permits no empty vector");
    let mut command = crate::real::command(OsStr::new(program));
    command
        .args(arguments)
        .env("LANG", "C.UTF-8")
        .envs(&step.env)
        .current_dir(step.cwd.as_deref().unwrap_or("/".as_ref()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    // A group of its own, so that its children can be ended with it.
    command.process_group(0).kill_on_drop(true).spawn()
}

/// A clock that is never set: it times real work here and decides nothing else.
#[expect(clippy::disallowed_methods, reason = "the one place where real work is run and timed")]
fn tick() -> Instant {
    Instant::now()
}

/// How a step ended.
struct Ended {
    status: Option<ExitStatus>,
    timed_out: bool,
}

/// Waits for the end; at the timeout asks the whole group to end, and ends what has not after the grace.
async fn end(child: &mut Child, group: &mut Group, timeout: Duration, grace: Duration) -> Ended {
    if let Ok(status) = tokio::time::timeout(timeout, child.wait()).await {
        group.leave();
        return Ended { status: status.ok(), timed_out: false };
    }
    group.signal(Signal::TERM);
    let last = tick() + grace;
    let mut status = tokio::time::timeout_at(last, child.wait()).await.ok();
    while group.is_alive() && tick() < last {
        tokio::time::sleep(ASK).await;
    }
    group.signal(Signal::KILL);
    group.leave();
    if status.is_none() {
        status = Some(child.wait().await);
    }
    Ended { status: status.and_then(Result::ok), timed_out: true }
}

async fn drain(stream: Option<impl AsyncRead + Unpin>, kept: &mut Kept) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; 8192];
    while let Ok(got @ 1..) = stream.read(&mut chunk).await {
        kept.push(&chunk[..got]);
    }
}

/// The process group of a step, ended when this is dropped before [`leave`](Self::leave).
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        // The group has the number of its first process. A number is not given again while a group has it.
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, signal); // Fails when nobody is left in it.
        }
    }

    fn is_alive(&self) -> bool {
        self.0.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
    }

    fn leave(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
