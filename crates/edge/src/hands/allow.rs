//! The machine's own list of what may be run on it. The server cannot change it; without a match nothing starts.
//!
//! The form is text, a rule a line:
//! ```text
//! # comment
//! allow: ["systemctl", "restart", "*.service"]
//! env: "TZ"
//! ```
//! A rule is a JSON list with a pattern for each argument, the program first; a vector is allowed when one rule has exactly as many
//! patterns and each matches its argument wholly. A pattern is text in which `*` stands for any characters. So that a wildcard gives no more than
//! its writer saw in it:
//! - the program is named without wildcard, and one named without `/` is looked for in the system's folders only;
//! - a pattern that *begins* with `*` does not match an argument that begins with `-`: a value never becomes an option;
//! - `*` does not match `..` as a part of a path: a value never leaves the folder in front of it;
//! - no argument with a newline or a NUL is ever allowed, whatever the pattern.

use std::path::{Component, Path};

use crate::system::System;

/// What a fresh agent allows: looking, and starting services anew. Nothing here stops, removes, installs or writes.
///
/// An administrator who wants more (or less) writes a list of his own, which replaces this one wholly.
pub const DEFAULT_ALLOW: &str = r#"# What Mainstay may run on this machine. Owned by root, writable by nobody else.
# Each line: a pattern for each argument, the program first; * stands for any characters within one argument.

# Services: their state, and starting them anew. `stop` is not here: a stopped service is an outage.
allow: ["systemctl", "status", "--no-pager", "*.service"]
allow: ["systemctl", "is-active", "*.service"]
allow: ["systemctl", "start", "*.service"]
allow: ["systemctl", "restart", "*.service"]
allow: ["systemctl", "reload", "*.service"]
allow: ["systemctl", "reset-failed", "*.service"]

# The last lines of a service's log.
allow: ["journalctl", "--no-pager", "--unit", "*.service", "--lines", "*"]

# Where systemd does not run.
allow: ["service", "*", "status"]
allow: ["service", "*", "start"]
allow: ["service", "*", "restart"]
allow: ["service", "*", "reload"]

# Looking around.
allow: ["uptime"]
allow: ["df", "-h"]
allow: ["free", "-m"]
allow: ["ss", "-ltnup"]
"#;

/// Most of a list that is read.
const LIST_BYTES: usize = 1 << 20;

/// The rules of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    rules: Vec<Vec<String>>,
    environment: Vec<String>,
}

/// Why a list is not obeyed. The agent then runs nothing at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllowError {
    /// It cannot be read.
    #[error("cannot read the allow list {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody other than root could have written it.
    #[error("the allow list {path} is not trusted: {why}")]
    NotTrusted {
        /// The file, or the folder it is in.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A line is not a rule.
    #[error("line {line} of the allow list: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl AllowList {
    /// The list of [`DEFAULT_ALLOW`].
    #[must_use]
    pub fn standard() -> Self {
        Self::parse(DEFAULT_ALLOW).expect("the list that is built in is well formed")
    }

    /// Reads the machine's list.
    ///
    /// The file and every folder above it must belong to root, or to the user that the agent runs as, and be writable by nobody else; a
    /// folder that is sticky (`/tmp`) may be.
    ///
    /// # Errors
    /// When it cannot be read, cannot be trusted, or has a line that is no rule. A missing file is an error too: whether the standard list
    /// stands in for it is the caller's to say.
    pub fn load(path: &Path, sys: &dyn System) -> Result<Self, AllowError> {
        if !path.is_absolute() {
            return Err(AllowError::NotTrusted {
                path: path.display().to_string(),
                why: "its path is not absolute".into(),
            });
        }
        for place in path.ancestors() {
            let read = |source| AllowError::Read { path: path.display().to_string(), source };
            let stat = sys.stat(place).map_err(read)?;
            trusted(stat, place == path, sys.effective_uid())
                .map_err(|why| AllowError::NotTrusted { path: place.display().to_string(), why })?;
        }
        let bytes = sys
            .read(path, LIST_BYTES)
            .map_err(|source| AllowError::Read { path: path.display().to_string(), source })?;
        let text = String::from_utf8(bytes).map_err(|_| AllowError::Line { line: 1, why: "it is not UTF-8".into() })?;
        Self::parse(&text)
    }

    /// Reads rules from text.
    ///
    /// # Errors
    /// At the first line that is neither a rule, nor a comment, nor empty.
    pub fn parse(text: &str) -> Result<Self, AllowError> {
        let mut list = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            let bad = |why: &str| AllowError::Line { line: at + 1, why: why.to_owned() };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(rule) = line.strip_prefix("allow:") {
                let rule: Vec<String> = serde_json::from_str(rule.trim()).map_err(|error| {
                    bad(&format!(
                        "after `allow:` comes a list such as [\"systemctl\", \"restart\", \"*.service\"]: {error}"
                    ))
                })?;
                let program = rule.first().ok_or_else(|| bad("a rule names at least a program"))?;
                if program.is_empty() || program.contains('*') {
                    return Err(bad("the program is named without a wildcard"));
                }
                if program.contains('/') && !program.starts_with('/') {
                    return Err(bad("the program is named by its bare name or by an absolute path"));
                }
                list.rules.push(rule);
            } else if let Some(name) = line.strip_prefix("env:") {
                let name: String =
                    serde_json::from_str(name.trim()).map_err(|_| bad("after `env:` comes a name such as \"TZ\""))?;
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if name.is_empty() || !name.chars().all(plain) || name.starts_with("LD_") || name == "PATH" {
                    return Err(bad(&format!("{name} may not be set from outside")));
                }
                list.environment.push(name);
            } else {
                return Err(bad("a line begins with `allow:`, `env:` or `#`"));
            }
        }
        Ok(list)
    }

    /// Whether a vector may be run.
    ///
    /// # Errors
    /// The reason why not, in words for the journal.
    pub fn permits(&self, argv: &[String]) -> Result<(), String> {
        let Some(program) = argv.first() else { return Err("no program is named".to_owned()) };
        if let Some(at) = argv.iter().position(|argument| argument.contains(['\n', '\r', '\0'])) {
            return Err(format!("argument {at} has a line break or a NUL in it"));
        }
        let allowed = self.rules.iter().any(|rule| {
            rule.len() == argv.len()
                && rule[0] == *program
                && rule.iter().zip(argv).skip(1).all(|(pattern, argument)| matches(pattern, argument))
        });
        if allowed {
            return Ok(());
        }
        if self.rules.iter().any(|rule| rule[0] == *program) {
            return Err(format!("the allow list of this machine has {program}, but not with these arguments"));
        }
        Err(format!("the allow list of this machine does not have {program}"))
    }

    /// Whether an environment variable may be set for a step.
    #[must_use]
    pub fn permits_variable(&self, name: &str) -> bool {
        self.environment.iter().any(|allowed| allowed == name)
    }
}

/// Whether only root (or the agent itself) can have written a file, or changed what a folder holds.
fn trusted(stat: crate::FileStat, is_file: bool, agent: u32) -> Result<(), String> {
    const KIND: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    const FOLDER: u32 = 0o040_000;
    const STICKY: u32 = 0o1000;
    let wanted = if is_file { REGULAR } else { FOLDER };
    if stat.mode & KIND != wanted {
        return Err("it is not a regular file in regular folders (links are not followed)".to_owned());
    }
    if stat.uid != 0 && stat.uid != agent {
        return Err(format!("it belongs to user {}, not to root", stat.uid));
    }
    if stat.mode & 0o022 != 0 && (is_file || stat.mode & STICKY == 0) {
        return Err(format!("others may write it (mode {:o})", stat.mode & 0o7777));
    }
    Ok(())
}

/// Whether a pattern matches an argument wholly.
fn matches(pattern: &str, argument: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == argument;
    }
    if pattern.starts_with('*') && argument.starts_with('-') {
        return false;
    }
    if Path::new(argument).components().any(|part| part == Component::ParentDir) {
        return false;
    }
    wildcard(pattern.as_bytes(), argument.as_bytes())
}

/// The usual walk with one place to come back to: linear in the argument for each `*`, without recursion.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            back = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((after, at)) = back {
            // The star takes one character more.
            back = Some((after, at + 1));
            p = after;
            t = at + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{FileStat, Recorded};

    fn argv(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }

    #[test]
    fn the_standard_list_starts_anew_and_never_stops() {
        let list = AllowList::standard();
        let table: [(&[&str], bool, &str); 12] = [
            (&["systemctl", "restart", "nginx.service"], true, "what it is for"),
            (&["systemctl", "restart", "postgresql@15-main.service"], true, "an instance"),
            (&["systemctl", "stop", "nginx.service"], false, "an outage"),
            (&["systemctl", "restart", "nginx.service", "ssh.service"], false, "one pattern, one argument"),
            (&["systemctl", "restart"], false, "one pattern, one argument, also when it is missing"),
            (&["systemctl", "restart", "--root=/x.service"], false, "a value that is an option"),
            (&["systemctl", "restart", "x\n.service"], false, "a newline"),
            (&["systemctl", "restart", "x\0.service"], false, "a NUL"),
            (&["systemctl", "restart", "../x.service"], false, "a way out"),
            (&["/tmp/systemctl", "restart", "nginx.service"], false, "another program of that name"),
            (&["sh", "-c", "reboot"], false, "no shell"),
            (&[], false, "nothing"),
        ];
        for (arguments, allowed, why) in table {
            let answer = list.permits(&argv(arguments));
            assert_eq!(answer.is_ok(), allowed, "{why}: {answer:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_rule_refuses_the_whole_list() {
        for (line, why) in [
            ("allow: [\"*\", \"x\"]", "a program with a wildcard"),
            ("allow: [\"./x\"]", "a program beside the agent"),
            ("allow: []", "no program"),
            ("allow: systemctl restart", "no list"),
            ("deny: [\"x\"]", "an unknown word is not overlooked"),
            ("env: \"LD_PRELOAD\"", "a library put before all others"),
            ("env: \"PATH\"", "other programs of the same names"),
        ] {
            let error = AllowList::parse(&format!("# fine\n{line}\n")).expect_err(why);
            assert!(error.to_string().starts_with("line 2"), "{error}");
        }
    }

    #[test]
    fn a_list_that_others_may_write_is_not_obeyed() {
        let (file, folder) = (0o100_000, 0o040_000);
        let table = [
            // file, folder above, trusted, why
            ((0, file | 0o644), (0, folder | 0o755), true, "as it should be"),
            ((0, file | 0o664), (0, folder | 0o755), false, "its group may write"),
            ((0, file | 0o646), (0, folder | 0o755), false, "everybody may write"),
            ((1000, file | 0o644), (0, folder | 0o755), false, "it is somebody's"),
            ((33, file | 0o600), (0, folder | 0o755), true, "it is the agent's own user's"),
            ((0, 0o120_777), (0, folder | 0o755), false, "a link may point anywhere tomorrow"),
            ((0, file | 0o644), (0, folder | 0o777), false, "everybody may put another file in its place"),
            ((0, file | 0o644), (0, folder | 0o1777), true, "but not where the folder is sticky"),
            ((0, file | 0o644), (1000, folder | 0o755), false, "the folder is somebody's"),
        ];
        for ((uid, mode), (folder_uid, folder_mode), expected, why) in table {
            let mut sys = Recorded { uid: 33, ..Recorded::default() };
            sys.file("/etc/mainstay/allow", "allow: [\"uptime\"]\n");
            sys.stats.insert("/etc/mainstay/allow".into(), FileStat { uid, mode });
            sys.stats.insert("/etc/mainstay".into(), FileStat { uid: folder_uid, mode: folder_mode });
            for above in ["/etc", "/"] {
                sys.stats.insert(above.into(), FileStat { uid: 0, mode: folder | 0o755 });
            }
            let loaded = AllowList::load(Path::new("/etc/mainstay/allow"), &sys);
            assert_eq!(loaded.is_ok(), expected, "{why}: {loaded:?}");
        }
    }

    /// What a pattern means, slowly: by every way to divide the text.
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| oracle(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && oracle(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            prop_assert_eq!(wildcard(pattern.as_bytes(), text.as_bytes()), oracle(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_line_break_and_no_option_comes_through_a_wildcard(argument in any::<String>()) {
            let list = AllowList::parse("allow: [\"x\", \"*\"]").expect("a list");
            let allowed = list.permits(&argv(&["x", &argument])).is_ok();
            prop_assert!(!allowed || !argument.contains(['\n', '\r', '\0']) && !argument.starts_with('-'));
        }

        #[test]
        fn no_text_makes_the_list_panic(text in any::<String>()) {
            let _ = AllowList::parse(&text);
        }
    }
}
