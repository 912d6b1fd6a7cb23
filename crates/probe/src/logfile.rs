//! Log file: how many new lines match? Reads what was added since the last look, over rotation and truncation.
//!
//! How far a file was read is kept in memory (in the world of the checks), by file and parameters; after a start the first
//! look begins at the end of the file. It must never read a line twice, nor pass one over that is still there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, Host};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{ParamError, Pattern, ordered};
use crate::protocol::{Check, Cx};

/// Parameters of `logfile`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logfile {
    /// Regular expression of the lines that count; every line when left out.
    pattern: Option<Pattern>,
    /// Regular expression of lines that do not count, whatever else they match.
    ignore: Option<Pattern>,
    /// WARNING when at least so many new lines count.
    warn_lines: Option<u64>,
    /// CRITICAL when at least so many new lines count.
    critical_lines: Option<u64>,
    /// CRITICAL when fewer new lines count: for programs that must say something.
    min_lines: u64,
    /// Whether the first look begins at the start of the file; at its end when not.
    from_start: bool,
}

impl Default for Logfile {
    fn default() -> Self {
        Logfile {
            pattern: None,
            ignore: None,
            warn_lines: None,
            critical_lines: Some(1),
            min_lines: 0,
            from_start: false,
        }
    }
}

/// How much one look reads. What is more is read at the next, and said.
const LOOK_LIMIT_BYTES: u64 = 32 << 20;
/// A longer line is counted in parts.
const LINE_LIMIT_BYTES: usize = 1 << 20;
const HEAD_BYTES: u64 = 128;

impl Check for Logfile {
    const NAME: &'static str = "logfile";
    const TITLE: &'static str = "Log file";
    const HELP: &'static str =
        "Counts the new lines of a log file that match, since the last look, over rotation and truncation.";
    const TARGET: &'static str = "a path, for example /var/log/nginx/error.log";
    const LOCAL: bool = true;

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        if !target.starts_with('/') || target.contains('\0') {
            problems.push(ParamError::new("target", format!("{target:?} is no absolute path")));
        }
        problems.extend(ordered(("warn_lines", "critical_lines"), self.warn_lines, self.critical_lines, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        cx.trace.phase("read", "reading the file");
        let key = format!("{}\n{self:?}", cx.target);
        let before = cx.env.places.get(&key);
        let first = before.is_none();
        let look = look(cx.env.host.as_ref(), Path::new(cx.target), before, self.from_start).await;
        let look = look.map_err(|error| Failure::Local(format!("{} cannot be read: {error}", cx.target)))?;
        let counted = count(self, &look.bytes);
        cx.env.places.put(key, look.place);
        Ok(decide(self, cx.target, first && !self.from_start, &counted, look.behind))
    }
}

/// Where the next look begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    identity: (u64, u64),
    offset: u64,
    /// The file's first bytes: another beginning is another file, even at the same inode.
    head: Vec<u8>,
}

/// How far every file was read.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<BTreeMap<String, Place>>);

impl Places {
    const MOST: usize = 10_000;

    fn get(&self, key: &str) -> Option<Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: String, place: Place) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= Places::MOST && !places.contains_key(&key) {
            places.pop_first(); // That one begins anew; better than growing without end.
        }
        places.insert(key, place);
    }
}

/// What one look found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    /// Whole lines.
    bytes: Vec<u8>,
    place: Place,
    /// Bytes that are left for the next look.
    behind: u64,
}

async fn look(host: &dyn Host, path: &Path, before: Option<Place>, from_start: bool) -> std::io::Result<Look> {
    let head = host.read_at(path, 0, HEAD_BYTES).await?;
    let mut bytes = Vec::new();
    let offset = match before {
        None if from_start => 0,
        None => head.size,
        Some(before) => {
            let known = head.bytes.get(..before.head.len().min(head.bytes.len())).unwrap_or_default();
            if before.identity == head.identity && head.size >= before.offset && known == before.head {
                before.offset
            } else {
                // Another file stands there. What the old one had at its end is read under its new name, when it has one.
                let mut name = path.as_os_str().to_owned();
                name.push(".1");
                let old = host.read_at(&PathBuf::from(name), before.offset, LOOK_LIMIT_BYTES).await.unwrap_or_default();
                if old.identity == before.identity && before.identity != head.identity {
                    bytes = old.bytes;
                    if bytes.last().is_some_and(|last| *last != b'\n') {
                        bytes.push(b'\n');
                    }
                }
                0
            }
        }
    };
    let room = LOOK_LIMIT_BYTES - (bytes.len() as u64).min(LOOK_LIMIT_BYTES - 1);
    let piece = host.read_at(path, offset, room).await?;
    // A line that is not ended yet is left for the next look, unless it never will be.
    let whole = match piece.bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if piece.bytes.len() >= LINE_LIMIT_BYTES => piece.bytes.len(),
        None => 0,
    };
    bytes.extend_from_slice(&piece.bytes[..whole]);
    let offset = offset + whole as u64;
    let known = usize::try_from(offset.min(HEAD_BYTES)).unwrap_or(0).min(head.bytes.len());
    let place = Place { identity: piece.identity, offset, head: head.bytes[..known].to_vec() };
    let behind = if piece.bytes.len() as u64 == room { piece.size.saturating_sub(offset) } else { 0 };
    Ok(Look { bytes, place, behind })
}

/// What counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// New lines in all.
    pub lines: u64,
    /// Those that count.
    pub matching: u64,
    /// The last that counts.
    pub last: Vec<u8>,
}

/// Counts the lines.
pub fn count(want: &Logfile, bytes: &[u8]) -> Counted {
    let mut counted = Counted::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        counted.lines += 1;
        let counts = want.pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(line));
        if counts && !want.ignore.as_ref().is_some_and(|pattern| pattern.0.is_match(line)) {
            counted.matching += 1;
            counted.last = line[..line.len().min(400)].to_vec();
        }
    }
    counted
}

/// The whole judgement.
pub fn decide(want: &Logfile, path: &str, first: bool, counted: &Counted, behind: u64) -> Outcome {
    let matching = counted.matching;
    let (state, what) = if first {
        (State::Ok, "is followed from now on".to_owned())
    } else if want.critical_lines.is_some_and(|bound| matching >= bound) {
        (State::Critical, format!("has {matching} new lines that count, the last {}", excerpt(&counted.last)))
    } else if want.warn_lines.is_some_and(|bound| matching >= bound) {
        (State::Warning, format!("has {matching} new lines that count, the last {}", excerpt(&counted.last)))
    } else if matching < want.min_lines {
        (
            State::Critical,
            format!("has {matching} new lines that count, where at least {} are expected", want.min_lines),
        )
    } else if behind > 0 {
        (State::Warning, format!("grows faster than it is read: {} MiB are left", behind >> 20))
    } else {
        (State::Ok, format!("has {} new lines, {matching} of them count", counted.lines))
    };
    Outcome::new(state, format!("{path} {what}"))
        .with("logfile_lines_count", counted.lines as f64, "")
        .with("logfile_matching_lines_count", matching as f64, "")
        .with("logfile_behind_bytes", behind as f64, "bytes")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;
    use crate::env::Env;

    /// A file and what a look at it finds.
    struct Followed {
        folder: tempfile::TempDir,
        place: Option<Place>,
        host: std::sync::Arc<dyn Host>,
    }

    impl Followed {
        fn new() -> Followed {
            Followed { folder: tempfile::tempdir().unwrap(), place: None, host: Env::real().host }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("log")
        }

        fn write(&self, text: &str) {
            let mut file = std::fs::File::options().create(true).append(true).open(self.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        async fn look(&mut self) -> String {
            let found = look(self.host.as_ref(), &self.path(), self.place.take(), false).await.unwrap();
            self.place = Some(found.place);
            String::from_utf8(found.bytes).unwrap()
        }
    }

    #[tokio::test]
    async fn only_new_and_whole_lines_are_read() {
        let mut log = Followed::new();
        log.write("old\n");
        assert_eq!(log.look().await, "");
        log.write("a\nb\nhal");
        assert_eq!(log.look().await, "a\nb\n");
        log.write("f\n");
        assert_eq!(log.look().await, "half\n");
        assert_eq!(log.look().await, "");
    }

    #[tokio::test]
    async fn nothing_is_lost_or_doubled_by_rotation() {
        let mut log = Followed::new();
        log.write("old\n");
        log.look().await;
        log.write("before\n");
        std::fs::rename(log.path(), log.folder.path().join("log.1")).unwrap();
        log.write("after\n");
        assert_eq!(log.look().await, "before\nafter\n");
        // A file of another name is not read as the rest of this one.
        std::fs::remove_file(log.path()).unwrap();
        log.write("anew\n");
        assert_eq!(log.look().await, "anew\n");
    }

    #[tokio::test]
    async fn a_truncated_file_is_read_from_its_start() {
        let mut log = Followed::new();
        log.write("a first line\nand a second\n");
        log.look().await;
        std::fs::write(log.path(), "short\n").unwrap();
        assert_eq!(log.look().await, "short\n");
        // Truncated and grown beyond where we were, at the same inode.
        std::fs::write(log.path(), "a quite different and longer line\n").unwrap();
        assert_eq!(log.look().await, "a quite different and longer line\n");
    }

    #[test]
    fn lines_that_count_decide() {
        let text = b"INFO a\nERROR disk full\nERROR harmless\n";
        for (params, state, part) in [
            (json!({"pattern": "ERROR"}), State::Critical, "has 2 new lines that count, the last \"ERROR harmless\""),
            (json!({"pattern": "ERROR", "ignore": "harmless|disk"}), State::Ok, "3 new lines, 0 of them count"),
            (json!({"pattern": "ERROR", "warn_lines": 2, "critical_lines": 5}), State::Warning, "2 new lines"),
            (json!({"pattern": "backup done", "critical_lines": null, "min_lines": 1}), State::Critical, "at least 1"),
            (json!({"critical_lines": null}), State::Ok, "3 of them count"),
        ] {
            let want: Logfile = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, "/var/log/a", false, &count(&want, text), 0);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        let behind =
            decide(&Logfile { critical_lines: None, ..Logfile::default() }, "/a", false, &Counted::default(), 5 << 20);
        assert_eq!(behind.state, State::Warning);
    }

    #[tokio::test]
    async fn the_check_itself_remembers_where_it_was() {
        let log = Followed::new();
        log.write("ERROR old\n");
        let env = Env::real();
        let ask = |params| crate::Request {
            protocol: "logfile".into(),
            target: log.path().to_str().unwrap().to_owned(),
            params,
            timeout: std::time::Duration::from_secs(5),
        };
        let params = json!({"pattern": "ERROR"});
        assert_eq!(crate::check(&env, &ask(params.clone())).await.summary.split(' ').nth(1), Some("is"));
        log.write("ERROR new\n");
        let outcome = crate::check(&env.clone(), &ask(params.clone())).await;
        assert_eq!((outcome.state, outcome.reading("logfile_matching_lines_count")), (State::Critical, Some(1.0)));
        assert_eq!(crate::check(&env, &ask(params)).await.state, State::Ok);
    }
}
