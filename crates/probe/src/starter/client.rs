//! Client: the server's end. Has commands started by the starter's process, and has that process started anew when it dies.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::PATH;
use super::wire::{Done, Ending, Order, parse_done};
use crate::env::{Cost, Ran};

/// More than this that the starter has not taken is too much: it stands still.
const UNSENT_BYTES: usize = 4 << 20;
/// How long a starter may take to end once its socket is closed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Has commands started by a small process. It is started when it is first needed, or early by [`Starter::start`], and anew
/// after it died. It ends when this is dropped.
#[derive(Debug)]
pub struct Starter {
    program: OsString,
    words: Vec<OsString>,
    line: Mutex<Option<(Arc<Line>, JoinHandle<()>)>>,
    starts: AtomicU64,
}

impl Starter {
    /// A starter that is this program with these words; it runs [`serve`](super::serve) and nothing else.
    pub fn of_this_program(words: &[&str]) -> Starter {
        // The program as it runs: its file may have been replaced since.
        Starter::of(Path::new("/proc/self/exe"), words)
    }

    /// A starter that is that program with these words.
    pub fn of(program: &Path, words: &[&str]) -> Starter {
        let words = words.iter().map(OsString::from).collect();
        Starter { program: program.into(), words, line: Mutex::default(), starts: AtomicU64::new(0) }
    }

    /// Starts the process, if it does not run.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self) -> io::Result<()> {
        self.line().map(drop)
    }

    /// How often the process was started: more than once means that it died.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// The number of the process; nothing while none runs.
    pub fn pid(&self) -> Option<u32> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.as_ref().filter(|(line, _)| line.lock().fate.is_none()).and_then(|(line, _)| line.pid)
    }

    /// Runs the first of these programs that is there, and ends it after that time. Dropping the future ends the command and all
    /// that it started.
    ///
    /// # Errors
    /// None of them is there ([`io::ErrorKind::NotFound`]), it took too long ([`io::ErrorKind::TimedOut`]), it cannot be started,
    /// or the starter died; the next command has it started anew.
    pub async fn run(&self, programs: &[&str], arguments: &[&str], within: Duration) -> io::Result<Ran> {
        let line = self.line()?;
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (programs, arguments) = (owned(programs), owned(arguments));
        let (tell, told) = oneshot::channel();
        let waiting = line.order(tell, |id| Order::Run { id, within, programs, arguments })?;
        let told = told.await;
        drop(waiting);
        let done = told.map_err(|_| io::Error::other(line.fate()))?;
        let code = match done.ending {
            Ending::Code(code) => Some(code),
            Ending::Signal(_) => None,
            Ending::TooLong => return Err(io::ErrorKind::TimedOut.into()),
            Ending::NotThere => return Err(io::ErrorKind::NotFound.into()),
            Ending::NotStarted(number) => {
                let error = io::Error::from_raw_os_error(number);
                return Err(match error.kind() {
                    // The file is there: what is missing is the interpreter that it names.
                    io::ErrorKind::NotFound => io::Error::other("the interpreter that it names is not there"),
                    _ => error,
                });
            }
        };
        let cost = Some(Cost { cpu: done.cpu, memory_bytes: done.memory_bytes });
        Ok(Ran { code, stdout: done.stdout, stderr: done.stderr, cost })
    }

    /// Ends the process and waits until it is gone; commands that run are ended with it. It would be started again.
    pub async fn end(&self) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((line, carrier)) = line {
            let _ = shutdown(&line.stream, Shutdown::Both);
            let _ = carrier.await;
        }
    }

    /// The line to the process; a new one where there is none, or where it died.
    fn line(&self) -> io::Result<Arc<Line>> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((line, _)) = line.as_ref().filter(|(line, _)| line.lock().fate.is_none()) {
            return Ok(line.clone());
        }
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = UnixStream::from_std(ours)?;
        let child = self.spawn(theirs.into())?;
        if self.starts.fetch_add(1, Ordering::Relaxed) > 0 {
            tracing::warn!("the process that starts plugins is started anew");
        }
        let fresh = Arc::new(Line { pid: child.id(), stream, state: Mutex::default(), unsent: Notify::new() });
        let carrier = tokio::spawn(carry(fresh.clone(), child));
        *line = Some((fresh.clone(), carrier));
        Ok(fresh)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where probe starts its starter")]
    fn spawn(&self, control: OwnedFd) -> io::Result<Child> {
        tokio::process::Command::new(&self.program)
            .args(&self.words)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::from(control))
            .stdout(Stdio::null())
            // Of its own, so that Ctrl-C at a terminal is the server's affair: it ends the starter.
            .process_group(0)
            .spawn()
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        // With its carrier goes the socket, and then the process ends.
        if let Some((_, carrier)) = self.line.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            carrier.abort();
        }
    }
}

/// The connection to one process, and who waits for what.
#[derive(Debug)]
struct Line {
    pid: Option<u32>,
    stream: UnixStream,
    state: Mutex<State>,
    /// Something could not be sent at once.
    unsent: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Done>>,
    unsent: Vec<u8>,
    /// How the process ended; nothing while it runs.
    fate: Option<String>,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> String {
        self.lock().fate.clone().unwrap_or_else(|| "the process that starts plugins does not answer".to_owned())
    }

    /// Sends an order whose answer goes there.
    fn order(&self, tell: oneshot::Sender<Done>, order: impl FnOnce(u64) -> Order) -> io::Result<Waiting<'_>> {
        let mut state = self.lock();
        if let Some(fate) = &state.fate {
            return Err(io::Error::other(fate.clone()));
        }
        if state.unsent.len() > UNSENT_BYTES {
            return Err(io::Error::other("the process that starts plugins stands still"));
        }
        state.last_id += 1;
        let id = state.last_id;
        state.waiting.insert(id, tell);
        self.send(&mut state, &order(id));
        Ok(Waiting { line: self, id })
    }

    fn send(&self, state: &mut State, order: &Order) {
        order.write(&mut state.unsent);
        self.flush(state);
        if !state.unsent.is_empty() {
            self.unsent.notify_one();
        }
    }

    /// Sends what the socket takes now. An error shows when it is read.
    fn flush(&self, state: &mut State) {
        while !state.unsent.is_empty() {
            match self.stream.try_write(&state.unsent) {
                Ok(sent) => drop(state.unsent.drain(..sent)),
                Err(_) => return,
            }
        }
    }

    /// Tells who waits what came. The rest of the bytes is the beginning of more.
    fn hear(&self, heard: &mut Vec<u8>) -> io::Result<()> {
        let mut read = 0;
        while let Some((done, size)) = parse_done(&heard[read..]).map_err(io::Error::other)? {
            read += size;
            let tell = self.lock().waiting.remove(&done.id);
            // Nobody may wait for it any more.
            let _ = tell.map(|tell| tell.send(done));
        }
        heard.drain(..read);
        Ok(())
    }

    /// Carries bytes both ways until the process is gone.
    async fn talk(&self) -> io::Result<()> {
        let mut heard = Vec::new();
        loop {
            let interest = match self.lock().unsent.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            tokio::select! {
                ready = self.stream.ready(interest) => drop(ready?),
                () = self.unsent.notified() => continue,
            }
            self.flush(&mut self.lock());
            loop {
                heard.reserve(16 << 10);
                match self.stream.try_read_buf(&mut heard) {
                    Ok(0) => return Ok(()),
                    Ok(_) => self.hear(&mut heard)?,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// A place among those who wait. Given up early, it has the command ended.
struct Waiting<'a> {
    line: &'a Line,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Who had an answer does not wait any more.
        let mut state = self.line.lock();
        if state.waiting.remove(&self.id).is_some() {
            self.line.send(&mut state, &Order::Cancel { id: self.id });
        }
    }
}

/// Carries what is said until the process is gone, and then tells everybody who waits how it ended.
async fn carry(line: Arc<Line>, mut child: Child) {
    let talked = line.talk().await;
    // From now on it hears nothing more, and ends what it started and itself.
    let _ = shutdown(&line.stream, Shutdown::Both);
    let status = tokio::time::timeout(LAST_WORDS, child.wait()).await;
    if status.is_err() {
        let _ = child.kill().await;
    }
    let how = match (talked, status) {
        (Err(error), _) => error.to_string(),
        (Ok(()), Ok(Ok(status))) => status.to_string(),
        (Ok(()), _) => "it hung up".to_owned(),
    };
    let mut state = line.lock();
    state.fate = Some(format!("the process that starts plugins ended ({how}); it is started anew"));
    state.waiting.clear();
}
