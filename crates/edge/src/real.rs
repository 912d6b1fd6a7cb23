//! The one place where this crate touches the machine it runs on.
//!
//! Reads and asks, never writes. No decision is made here: bytes go out as they came in.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{PidfdFlags, Signal};

use crate::system::{FileStat, FileSystemSize, Ran, RunLimits, System, Uname};

/// Where programs are looked for, whatever the agent's own environment says.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of a file is read at a time, after the first part.
const CHUNK: usize = 16 * 1024;

/// Longest wait for the kernel's list of addresses.
const NETLINK_TIMEOUT: Duration = Duration::from_secs(2);

/// Most bytes of addresses taken: some 50,000 addresses.
const NETLINK_LIMIT: usize = 4 * 1024 * 1024;

/// The machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealSystem;

/// A program and its arguments, verbatim, with nothing of our own environment. The only place that names a program to start.
#[expect(clippy::disallowed_methods, reason = "the one place that starts programs; what may start is decided before")]
pub(crate) fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).stdin(Stdio::null());
    command
}

impl System for RealSystem {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.read_until(path, limit, &|_| false)
    }

    fn read_until(&self, path: &Path, limit: usize, enough: &dyn Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let mut file = open(path)?;
        let mut bytes = Vec::new();
        // Small at first: most files of `/proc` are, and thousands of them are read.
        let mut chunk = 1024;
        while bytes.len() < limit {
            let before = bytes.len();
            bytes.resize(before + chunk.min(limit - before), 0);
            let got = file.read(&mut bytes[before..])?;
            bytes.truncate(before + got);
            if got == 0 || enough(&bytes) {
                break;
            }
            chunk = CHUNK;
        }
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(path)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let stat = rustix::fs::lstat(path)?;
        Ok(FileStat { uid: stat.st_uid, mode: stat.st_mode })
    }

    fn statvfs(&self, path: &Path) -> io::Result<FileSystemSize> {
        let found = rustix::fs::statvfs(path)?;
        Ok(FileSystemSize {
            bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bfree.saturating_mul(found.f_frsize),
            available_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            inodes: found.f_files,
            free_inodes: found.f_ffree,
        })
    }

    fn run(&self, argv: &[&str], limits: RunLimits) -> io::Result<Ran> {
        let (program, arguments) =
            argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program named"))?;
        let child = command(OsStr::new(program))
            .args(arguments)
            .env("LANG", "C")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        collect(child, limits)
    }

    fn uname(&self) -> Uname {
        let found = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        Uname {
            hostname: text(found.nodename()),
            system: text(found.sysname()),
            release: text(found.release()),
            machine: text(found.machine()),
        }
    }

    fn address_dump(&self) -> io::Result<Vec<u8>> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None, // 0: NETLINK_ROUTE, addresses and routes.
        )?;
        rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(NETLINK_TIMEOUT))?;
        rustix::net::send(&socket, &crate::parse::netlink::address_request(), SendFlags::empty())?;
        let mut dump = Vec::new();
        let mut chunk = vec![0; 32 * 1024];
        while dump.len() < NETLINK_LIMIT {
            let (got, _) = rustix::net::recv(&socket, &mut chunk, RecvFlags::empty())?;
            dump.extend_from_slice(&chunk[..got]);
            if got == 0 || crate::parse::netlink::is_last(&chunk[..got]) {
                break;
            }
        }
        Ok(dump)
    }

    fn effective_uid(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn page_bytes(&self) -> u64 {
        rustix::param::page_size() as u64
    }

    #[expect(clippy::disallowed_methods, reason = "the system's own clock")]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Opens for reading without ever waiting: a pipe or device in place of a file must not hold the agent up.
fn open(path: &Path) -> io::Result<std::fs::File> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, rustix::fs::Mode::empty())?;
    Ok(file.into())
}

/// Waits for a child's output and end; kills it at the timeout. The process is held by a pidfd, so that the kill can meet no stranger.
fn collect(mut child: Child, limits: RunLimits) -> io::Result<Ran> {
    let pid = rustix::process::Pid::from_child(&child);
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let mut out = child.stdout.take().expect("stdout was asked to be a pipe");
    let (done, ended) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut stdout = Vec::new();
        let read = (&mut out)
            .take(limits.output_bytes as u64)
            .read_to_end(&mut stdout)
            .and_then(|_| io::copy(&mut out, &mut io::sink())); // Drained, or the child would block on a full pipe.
        let status = child.wait();
        // Nobody listens any more after a timeout; the child has been reaped all the same.
        let _ = done.send(read.and(status).map(|status| Ran { code: status.code(), stdout }));
    });
    match ended.recv_timeout(limits.timeout) {
        Ok(ran) => ran,
        Err(_) => {
            let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL); // Fails only when it has just ended.
            Err(io::Error::new(io::ErrorKind::TimedOut, "the program took too long"))
        }
    }
}
