//! A machine from memory: what a real one answered once, written down, so that machines which are not here can be tested.
//!
//! It answers nothing it was not told: what is missing is `NotFound`, never an empty value.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::system::{FileStat, FileSystemSize, Ran, RunLimits, System, Uname};

/// Recorded answers. Folders come from the paths of what is in them.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Contents of files.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Targets of symbolic links.
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// Paths that answer `PermissionDenied` to everything, with all below them.
    pub denied: BTreeSet<PathBuf>,
    /// Owners and modes; what is not here belongs to root with mode 0644.
    pub stats: BTreeMap<PathBuf, FileStat>,
    /// Sizes of file systems by mount point.
    pub sizes: BTreeMap<PathBuf, FileSystemSize>,
    /// Answers of programs, by the argument vector joined with spaces.
    pub programs: BTreeMap<String, Ran>,
    /// What `uname` tells.
    pub uname: Uname,
    /// The netlink dump of addresses.
    pub addresses: Vec<u8>,
    /// Who looks.
    pub uid: u32,
    /// What the clock shows.
    pub now: jiff::Timestamp,
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            denied: BTreeSet::new(),
            stats: BTreeMap::new(),
            sizes: BTreeMap::new(),
            programs: BTreeMap::new(),
            uname: Uname::default(),
            addresses: Vec::new(),
            uid: 0,
            now: jiff::Timestamp::UNIX_EPOCH,
        }
    }
}

impl Recorded {
    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &str) -> &mut Self {
        self.files.insert(path.into(), content.as_bytes().to_vec());
        self
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.links.insert(path.into(), target.into());
        self
    }

    /// Adds what a program answers, with exit code 0.
    pub fn program(&mut self, argv: &str, stdout: &str) -> &mut Self {
        self.programs.insert(argv.into(), Ran { code: Some(0), stdout: stdout.as_bytes().to_vec() });
        self
    }

    fn allowed(&self, path: &Path) -> io::Result<()> {
        if self.denied.iter().any(|denied| path.starts_with(denied)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }
}

impl System for Recorded {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.allowed(path)?;
        let bytes = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    }

    fn read_until(&self, path: &Path, limit: usize, _enough: &dyn Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        self.read(path, limit)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.allowed(path)?;
        let names: BTreeSet<String> = self
            .files
            .keys()
            .chain(self.links.keys())
            .filter_map(|known| known.strip_prefix(path).ok()?.components().next())
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names.into_iter().collect()) }
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.allowed(path)?;
        self.links.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        Ok(self.stats.get(path).copied().unwrap_or(FileStat { uid: 0, mode: 0o100_644 }))
    }

    fn statvfs(&self, path: &Path) -> io::Result<FileSystemSize> {
        self.sizes.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn run(&self, argv: &[&str], _limits: RunLimits) -> io::Result<Ran> {
        self.programs.get(&argv.join(" ")).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn uname(&self) -> Uname {
        self.uname.clone()
    }

    fn address_dump(&self) -> io::Result<Vec<u8>> {
        Ok(self.addresses.clone())
    }

    fn effective_uid(&self) -> u32 {
        self.uid
    }

    fn page_bytes(&self) -> u64 {
        4096
    }

    fn now(&self) -> jiff::Timestamp {
        self.now
    }
}
