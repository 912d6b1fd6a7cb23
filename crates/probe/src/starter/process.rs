//! Process: the starter itself. One thread and one loop: orders come in, commands are started, what ended is told.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ioctl_fionread};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, prlimit, setrlimit};
use wait4::Wait4;

use super::wire::{Done, Ending, Order, parse_order};
use super::{MEMORY_LIMIT_BYTES, OUTPUT_LIMIT_BYTES, find};

/// How often commands are looked at that have not ended: whether they take too long, or write more than anybody reads.
/// A command's end is known at once.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// All that the starter's process does: takes orders on its standard input until that ends.
///
/// # Errors
/// The standard input is no socket of a server.
pub fn serve() -> io::Result<()> {
    if FileType::from_raw_mode(fstat(io::stdin())?.st_mode) != FileType::Socket {
        return Err(io::Error::other("the standard input is no socket of a server"));
    }
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // What is started inherits the standard input as it is, and these limits from its first instruction on.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    for (what, limit) in [(Resource::As, MEMORY_LIMIT_BYTES), (Resource::Core, 0)] {
        if let Err(error) = setrlimit(what, Rlimit { current: Some(limit), maximum: Some(limit) }) {
            let _ = writeln!(io::stderr(), "mainstay: commands run without a limit ({what:?}): {error}");
        }
    }
    work(control)
}

/// Takes orders from that socket until it ends.
pub(super) fn work(control: UnixStream) -> io::Result<()> {
    let mut work = Work { control, heard: Vec::new(), running: Vec::new(), look_at: now() };
    while work.turn()? {}
    Ok(())
}

struct Work {
    control: UnixStream,
    heard: Vec<u8>,
    running: Vec<Running>,
    /// When the running commands are looked at next.
    look_at: Instant,
}

impl Work {
    /// Waits for what comes first, and sees to it. False when the server is gone.
    fn turn(&mut self) -> io::Result<bool> {
        let wait = (!self.running.is_empty()).then(|| self.look_at.saturating_duration_since(now()));
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let mut waiting = vec![PollFd::new(&self.control, PollFlags::IN)];
        waiting.extend(self.running.iter().map(|one| PollFd::new(&one.ended, PollFlags::IN)));
        match poll(&mut waiting, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        for at in (0..self.running.len()).rev().filter(|at| ready[at + 1]) {
            let ended = self.running.swap_remove(at);
            self.finish(ended)?;
        }
        if ready[0] && !self.hear()? {
            return Ok(false);
        }
        self.look();
        Ok(true)
    }

    /// Reads orders and follows them. False when there will be no more.
    fn hear(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        let length = self.control.read(&mut chunk)?;
        self.heard.extend_from_slice(&chunk[..length]);
        let mut read = 0;
        while let Some((order, size)) = parse_order(&self.heard[read..]).map_err(io::Error::other)? {
            read += size;
            match order {
                Order::Run { id, within, programs, arguments } => self.start(id, within, &programs, &arguments)?,
                Order::Cancel { id } => {
                    for one in self.running.iter_mut().filter(|one| one.id == id) {
                        one.is_wanted = false;
                        one.end();
                    }
                }
            }
        }
        self.heard.drain(..read);
        Ok(length > 0)
    }

    fn start(&mut self, id: u64, within: Duration, programs: &[String], arguments: &[String]) -> io::Result<()> {
        if self.running.is_empty() {
            self.look_at = now() + LOOK_EVERY;
        }
        let ending = match find(programs.iter().map(String::as_str)) {
            None => Ending::NotThere,
            Some(program) => match Running::begin(id, within, &program, arguments) {
                Ok(running) => {
                    self.running.push(running);
                    return Ok(());
                }
                Err(error) => Ending::NotStarted(error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())),
            },
        };
        let (cpu, memory_bytes) = (Duration::ZERO, 0);
        self.say(&Done { id, ending, cpu, memory_bytes, stdout: Vec::new(), stderr: Vec::new() })
    }

    /// A command is over: what is left of it ends too, and its end is told.
    fn finish(&mut self, mut one: Running) -> io::Result<()> {
        one.end(); // Before it is waited for, while its number is still its own.
        let Some(child) = one.child.take() else { return Ok(()) };
        let used = child.wait4()?;
        if !one.is_wanted {
            return Ok(());
        }
        one.stdout.drain();
        one.stderr.drain();
        let ending = match (used.status.code(), used.status.signal()) {
            _ if one.took_too_long => Ending::TooLong,
            (Some(code), _) => Ending::Code(code),
            (None, signal) => Ending::Signal(signal.unwrap_or_default()),
        };
        let (cpu, memory_bytes) = (used.rusage.utime + used.rusage.stime, used.rusage.maxrss);
        let (stdout, stderr) = (std::mem::take(&mut one.stdout.bytes), std::mem::take(&mut one.stderr.bytes));
        self.say(&Done { id: one.id, ending, cpu, memory_bytes, stdout, stderr })
    }

    /// Looks at what runs: reads what it wrote, and ends what takes too long.
    fn look(&mut self) {
        let now = now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        for one in &mut self.running {
            one.stdout.drain();
            one.stderr.drain();
            if now >= one.until && !one.took_too_long {
                one.took_too_long = true;
                one.end();
            }
        }
    }

    fn say(&mut self, done: &Done) -> io::Result<()> {
        let mut message = Vec::with_capacity(64 + done.stdout.len() + done.stderr.len());
        done.write(&mut message);
        self.control.write_all(&message)
    }
}

/// A command that was started.
struct Running {
    id: u64,
    /// Nothing once it was waited for.
    child: Option<Child>,
    pid: Pid,
    /// Can be read once the command is over.
    ended: OwnedFd,
    stdout: Pipe,
    stderr: Pipe,
    until: Instant,
    took_too_long: bool,
    is_wanted: bool,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the one place where the starter starts commands")]
    fn begin(id: u64, within: Duration, program: &std::path::Path, arguments: &[String]) -> io::Result<Running> {
        // A path, our own environment and no closure: the standard library uses posix_spawn.
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let seconds = within.as_secs() + 1;
        let _ = prlimit(Some(pid), Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds + 1) });
        let pipe = |from: Option<OwnedFd>| Pipe { from, bytes: Vec::new() };
        let (stdout, stderr) = (pipe(child.stdout.take().map(Into::into)), pipe(child.stderr.take().map(Into::into)));
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(ended) => Ok(Running {
                id,
                child: Some(child),
                pid,
                ended,
                stdout,
                stderr,
                until: now() + within,
                took_too_long: false,
                is_wanted: true,
            }),
            Err(error) => {
                let _ = kill_process_group(pid, Signal::KILL);
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// Ends it and all that it started.
    fn end(&mut self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = child.wait();
        }
    }
}

/// What a command writes. It is read when the command has ended, or from time to time: a pipe holds as much as is kept.
struct Pipe {
    /// Closed once enough was read; who writes on gets SIGPIPE.
    from: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Pipe {
    /// Reads what is there, and waits for nothing.
    fn drain(&mut self) {
        while let Some(from) = &self.from {
            let there = ioctl_fionread(from).unwrap_or(0);
            let wanted = there.min(OUTPUT_LIMIT_BYTES - self.bytes.len() as u64);
            if wanted == 0 {
                return;
            }
            self.bytes.reserve_exact(usize::try_from(wanted).unwrap_or_default());
            // The room may be larger than what is wanted, and what is wanted is there.
            if rustix::io::read(from, spare_capacity(&mut self.bytes)).is_err() {
                return;
            }
            if self.bytes.len() as u64 >= OUTPUT_LIMIT_BYTES {
                self.bytes.truncate(usize::try_from(OUTPUT_LIMIT_BYTES).unwrap_or_default());
                self.from = None;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the starter is a process of its own and reads its own clock")]
fn now() -> Instant {
    Instant::now()
}
