//! Host: files, file systems, processes and commands of the machine this runs on. Parses nothing, decides nothing.

use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::starter::{MEMORY_LIMIT_BYTES, OUTPUT_LIMIT_BYTES, PATH, Starter, find};

/// How full a file system is, as `statvfs` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes nobody uses.
    pub free_bytes: u64,
    /// Bytes that an ordinary user may still write; less than `free_bytes` where root has a reserve.
    pub available_bytes: u64,
    /// Inodes in all; 0 where the file system has no such limit.
    pub total_inodes: u64,
    /// Inodes nobody uses.
    pub free_inodes: u64,
}

/// A process as `/proc` shows it, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawProcess {
    /// Its number.
    pub pid: u32,
    /// `/proc/PID/status`.
    pub status: Vec<u8>,
    /// `/proc/PID/cmdline`: arguments that end in NUL; empty for kernel threads.
    pub command_line: Vec<u8>,
}

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// At most 64 KiB of its output.
    pub stdout: Vec<u8>,
    /// At most 64 KiB of its complaints.
    pub stderr: Vec<u8>,
    /// What it cost; `None` where nobody measured it.
    pub cost: Option<Cost>,
}

/// What a command cost, with all that it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// CPU time of all of them together.
    pub cpu: Duration,
    /// The most memory that one of them had at once.
    pub memory_bytes: u64,
}

/// A part of a file, and which file it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The bytes from the offset on, as many as were wanted and there were.
    pub bytes: Vec<u8>,
    /// How long the file is.
    pub size: u64,
    /// Device and inode: another file has others, whatever its name.
    pub identity: (u64, u64),
}

/// The machine this runs on.
#[async_trait]
pub trait Host: Send + Sync {
    /// A file's bytes, at most 4 MiB.
    ///
    /// # Errors
    /// What the operating system said.
    async fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// At most `limit` bytes of a file from that offset on.
    ///
    /// # Errors
    /// What the operating system said.
    async fn read_at(&self, _path: &Path, _offset: u64, _limit: u64) -> io::Result<Piece> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How full the file system at that path is. A dead network file system never answers: bound the wait.
    ///
    /// # Errors
    /// What the operating system said.
    async fn space(&self, path: &Path) -> io::Result<Space>;

    /// Every process that can be seen. One that ends while we look is left out.
    ///
    /// # Errors
    /// When `/proc` itself cannot be listed.
    async fn processes(&self) -> io::Result<Vec<RawProcess>>;

    /// Runs a command, no shell, with a bare environment (`PATH`, `LC_ALL=C`), 1 GiB of memory at most. Dropping the future
    /// ends the command and all that it started.
    ///
    /// # Errors
    /// When it cannot be started.
    async fn run(&self, argv: &[&str]) -> io::Result<Ran>;

    /// The same with the first of these programs that is there, for so long at most.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when none of them is there; when it cannot be started.
    async fn run_first(&self, programs: &[&str], arguments: &[&str], _within: Duration) -> io::Result<Ran> {
        for program in programs {
            match self.run(&[&[*program], arguments].concat()).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                ran => return ran,
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

const FILE_LIMIT_BYTES: u64 = 4 << 20;
/// How long a command may run at most, whoever waits for it.
const LONGEST: Duration = Duration::from_secs(300);

/// The real machine. Without a starter it starts commands itself, which suits a program that asks once.
#[derive(Default)]
pub(crate) struct RealHost {
    pub(crate) starter: Option<Arc<Starter>>,
}

#[async_trait]
impl Host for RealHost {
    async fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = path.to_owned();
        blocking(move || read_at_most(&path, FILE_LIMIT_BYTES)).await
    }

    async fn read_at(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Piece> {
        let path = path.to_owned();
        blocking(move || {
            let mut file = std::fs::File::open(&path)?;
            let about = file.metadata()?;
            if !about.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
            }
            file.seek(io::SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes)?;
            Ok(Piece { bytes, size: about.len(), identity: (about.dev(), about.ino()) })
        })
        .await
    }

    async fn space(&self, path: &Path) -> io::Result<Space> {
        let path = path.to_owned();
        blocking(move || {
            let stat = rustix::fs::statvfs(&path)?;
            Ok(Space {
                total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                free_bytes: stat.f_bfree.saturating_mul(stat.f_frsize),
                available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
                total_inodes: stat.f_files,
                free_inodes: stat.f_ffree,
            })
        })
        .await
    }

    async fn processes(&self) -> io::Result<Vec<RawProcess>> {
        blocking(|| {
            let mut processes = Vec::new();
            for entry in std::fs::read_dir("/proc")? {
                let name = entry?.file_name();
                let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
                let folder = PathBuf::from("/proc").join(&name);
                let Ok(status) = read_at_most(&folder.join("status"), OUTPUT_LIMIT_BYTES) else { continue };
                let command_line = read_at_most(&folder.join("cmdline"), OUTPUT_LIMIT_BYTES).unwrap_or_default();
                processes.push(RawProcess { pid, status, command_line });
            }
            Ok(processes)
        })
        .await
    }

    async fn run(&self, argv: &[&str]) -> io::Result<Ran> {
        let (program, arguments) = argv.split_first().ok_or_else(|| io::Error::other("an empty command"))?;
        self.run_first(&[*program], arguments, LONGEST).await
    }

    async fn run_first(&self, programs: &[&str], arguments: &[&str], within: Duration) -> io::Result<Ran> {
        match &self.starter {
            Some(starter) => starter.run(programs, arguments, within).await,
            None => {
                let programs: Vec<String> = programs.iter().map(|program| (*program).to_owned()).collect();
                let found = blocking(move || Ok(find(programs.iter().map(String::as_str)))).await?;
                run(&found.ok_or(io::ErrorKind::NotFound)?, arguments).await
            }
        }
    }
}

/// Starts a command from this very process. The program is a path, so that the standard library uses posix_spawn: that does not
/// copy our memory, but it does copy and close all our files, which is why a server has a [`Starter`]. The bench `figures`
/// measures both beside the plugin's own start (`plugin`).
#[expect(clippy::disallowed_methods, reason = "the one place where probe starts commands itself")]
async fn run(program: &Path, arguments: &[&str]) -> io::Result<Ran> {
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let _group = Group::of(&child);
    let (stdout, stderr) = tokio::join!(capped(child.stdout.take()), capped(child.stderr.take()));
    // Both pipes are closed now: a command that would write on gets SIGPIPE, and ends.
    let status = child.wait().await?;
    Ok(Ran { code: status.code(), stdout: stdout?, stderr: stderr?, cost: None })
}

/// A command and all that it started, ended together when this goes.
struct Group(Option<Pid>);

impl Group {
    /// The group of that child, its memory limited. The limit comes a moment after the start, when the program has hardly begun.
    fn of(child: &tokio::process::Child) -> Group {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let limit = Rlimit { current: Some(MEMORY_LIMIT_BYTES), maximum: Some(MEMORY_LIMIT_BYTES) };
        let _ = prlimit(pid, Resource::As, limit); // It may have ended already.
        Group(pid)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After the command itself has ended, the number stays its group's as long as anybody is left in it; nobody else can
        // have it. With nobody left there is no such group, and nothing happens.
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn capped(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_LIMIT_BYTES).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_writes_without_end_is_ended() {
        let ran = RealHost::default().run(&["yes"]).await.unwrap();
        assert_eq!(ran.stdout.len() as u64, OUTPUT_LIMIT_BYTES);
        assert_eq!(ran.code, None, "ended by a signal");
    }

    #[tokio::test]
    async fn a_command_gets_its_arguments_as_they_are() {
        let ran = RealHost::default().run(&["printf", "%s|", "a b", "$HOME", ";ls"]).await.unwrap();
        assert_eq!(ran.stdout, b"a b|$HOME|;ls|");
        assert_eq!(ran.code, Some(0));
    }

    #[tokio::test]
    async fn a_command_that_is_given_up_takes_its_children_with_it() {
        // The child's child outlives a kill of the child alone.
        let marker = format!("86{}", std::process::id());
        let script = format!("sleep {marker} & sleep {marker}");
        let argv = ["sh", "-c", &script];
        let host = RealHost::default();
        assert!(tokio::time::timeout(Duration::from_millis(300), host.run(&argv)).await.is_err());
        let mut left = 2;
        for _ in 0..200 {
            let seen = RealHost::default().processes().await.unwrap();
            left =
                seen.iter().filter(|process| process.command_line == format!("sleep\0{marker}\0").as_bytes()).count();
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // polls: both have ended
        }
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn a_command_that_wants_all_memory_does_not_get_it() {
        // dd takes its block size in memory; the blank time before is that in which the limit comes.
        let argv = ["sh", "-c", "sleep 0.3; exec dd if=/dev/zero of=/dev/null bs=3G count=1"];
        let ran = RealHost::default().run(&argv).await.unwrap();
        assert_ne!(ran.code, Some(0));
        assert!(String::from_utf8_lossy(&ran.stderr).contains("memory"), "{:?}", String::from_utf8_lossy(&ran.stderr));
    }

    #[tokio::test]
    async fn this_very_process_is_seen() {
        let seen = RealHost::default().processes().await.unwrap();
        let me = seen.iter().find(|process| process.pid == std::process::id()).unwrap();
        assert!(me.status.starts_with(b"Name:"));
        assert!(!me.command_line.is_empty());
    }
}
