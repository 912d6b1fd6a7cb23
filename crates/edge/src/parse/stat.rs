//! `/proc/PID/stat` (proc_pid_stat(5)): the one small read that tells of a process what every look needs.
//!
//! Read here and not by the `procfs` crate, whose version 0.18 panics on a name without anything around it.

/// `PF_KTHREAD` of the kernel's `sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What matters of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name as the kernel has it: at most 15 bytes, and any of them.
    pub name: String,
    /// `R`, `S`, `D`, `Z` …
    pub state: char,
    /// Number of the parent.
    pub parent: u32,
    /// Number of the session's leader.
    pub session: u32,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it is a thread of the kernel and no program.
    pub kernel_thread: bool,
    /// Start, in hundredths of a second after boot.
    pub started: u64,
    /// Memory in use, in pages.
    pub rss_pages: u64,
}

/// None when the text is not what the kernel writes.
#[must_use]
pub fn stat(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    // The name may hold spaces and brackets; no field after it does.
    let (before, after) = text.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    // Fields are counted from 1 in the manual, and the first one here is the third.
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        name: name.to_owned(),
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        terminal: field(7)? != "0",
        kernel_thread: field(9)?.parse::<u64>().ok()? & KERNEL_THREAD != 0,
        started: field(22)?.parse().ok()?,
        rss_pages: field(24)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = b"4711 (a) S (b) R 1 4711 4711 34816 -1 4194560 49851 0 69 0 161 560 0 0 20 0 13 0 2199 54341632 5195 184467 1 1 0 0";
        let found = stat(text).expect("a line of the kernel");
        assert_eq!(found.name, "a) S (b");
        assert_eq!((found.state, found.parent, found.session, found.terminal), ('R', 1, 4711, true));
        assert_eq!((found.started, found.rss_pages, found.kernel_thread), (2199, 5195, false));
    }

    #[test]
    fn a_thread_of_the_kernel_is_told_apart() {
        let text = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 21 0 0 184467 0 0 0";
        assert!(stat(text).expect("a line of the kernel").kernel_thread);
        assert_eq!(stat(b"()"), None);
    }
}
