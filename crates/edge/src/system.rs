//! What the rest of this crate may ask of a machine: a trait, so that every decision can be tested on recorded answers.
//!
//! Nothing here interprets an answer, and nothing here touches the machine: that is [`RealSystem`](crate::RealSystem) alone.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A machine, as far as looking at it goes. All calls block; call from a thread that may block.
pub trait System: Send + Sync {
    /// The first `limit` bytes of a file. Files of `/proc` have no size, so the limit is what bounds them.
    ///
    /// # Errors
    /// As the operating system says.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;

    /// As [`read`](Self::read), but stops once `enough` says so of what has been read. A kernel table that is made while it is
    /// read (`/proc/net/tcp`) then costs only its first part.
    ///
    /// # Errors
    /// As the operating system says.
    fn read_until(&self, path: &Path, limit: usize, enough: &dyn Fn(&[u8]) -> bool) -> io::Result<Vec<u8>>;

    /// The names in a folder, in no order, without `.` and `..`. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// What a symbolic link says, unresolved.
    ///
    /// # Errors
    /// As the operating system says; `InvalidInput` when it is no link.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;

    /// Owner and mode of a file; of the link itself where it is one.
    ///
    /// # Errors
    /// As the operating system says.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;

    /// Size and room of the file system mounted at `path`. Never ask this of a network file system: a dead server blocks it for ever.
    ///
    /// # Errors
    /// As the operating system says.
    fn statvfs(&self, path: &Path) -> io::Result<FileSystemSize>;

    /// Runs a program that only tells, such as `systemctl show`: no shell, no input, an empty environment but for `PATH` and `LANG=C`.
    ///
    /// # Errors
    /// `NotFound` when there is no such program, `TimedOut` after [`RunLimits::timeout`] (the program is killed).
    fn run(&self, argv: &[&str], limits: RunLimits) -> io::Result<Ran>;

    /// Kernel and host name.
    fn uname(&self) -> Uname;

    /// The kernel's answer to "all addresses of all interfaces", as netlink messages (`RTM_GETADDR` dump); see [`crate::parse::netlink`].
    ///
    /// # Errors
    /// As the operating system says.
    fn address_dump(&self) -> io::Result<Vec<u8>>;

    /// The user that looks. 0 sees everything that can be seen.
    fn effective_uid(&self) -> u32;

    /// Bytes in a page of memory.
    fn page_bytes(&self) -> u64;

    /// The wall clock.
    fn now(&self) -> jiff::Timestamp;
}

/// Owner and permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// User id of the owner.
    pub uid: u32,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
}

/// Room on a file system, in bytes and inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystemSize {
    /// Size of the whole.
    pub bytes: u64,
    /// Free for root.
    pub free_bytes: u64,
    /// Free for everybody else: smaller, since file systems keep a reserve for root.
    pub available_bytes: u64,
    /// Inodes; 0 where the file system makes them as needed.
    pub inodes: u64,
    /// Inodes not used.
    pub free_inodes: u64,
}

/// How long and how much a program that only tells may answer.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits {
    /// After this the program is killed.
    pub timeout: Duration,
    /// Output past this many bytes is dropped.
    pub output_bytes: usize,
}

/// What a program that only tells has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, capped.
    pub stdout: Vec<u8>,
}

/// What `uname -a` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uname {
    /// Host name as the kernel has it, often without a domain.
    pub hostname: String,
    /// Name of the kernel, such as `Linux`.
    pub system: String,
    /// Release of the kernel, such as `6.1.0-13-amd64`.
    pub release: String,
    /// Processor family, such as `x86_64`.
    pub machine: String,
}
