//! Disk: how full file systems are, in bytes and in inodes. Asks the kernel; walks no directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, Space};
use crate::outcome::{Outcome, State};
use crate::params::{ParamError, ordered};
use crate::protocol::{Check, Cx};

/// Parameters of `disk`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// WARNING from this share of the space in use, in percent.
    warn_percent: f64,
    /// CRITICAL from this share of the space in use, in percent.
    critical_percent: f64,
    /// WARNING from this share of the inodes in use, in percent.
    warn_inodes_percent: f64,
    /// CRITICAL from this share of the inodes in use, in percent.
    critical_inodes_percent: f64,
    /// Mount points to leave out when all are looked at; with everything below them.
    exclude: Vec<String>,
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            warn_percent: 85.0,
            critical_percent: 95.0,
            warn_inodes_percent: 85.0,
            critical_inodes_percent: 95.0,
            exclude: Vec::new(),
        }
    }
}

impl Check for Disk {
    const NAME: &'static str = "disk";
    const TITLE: &'static str = "Disk space";
    const HELP: &'static str = "How full a file system is, counted as df does; with no path, every real one: disks and network file systems, no memory-backed or read-only images.";
    const TARGET: &'static str = "a path, for example /var; empty for every real file system";
    const LOCAL: bool = true;

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        if !target.is_empty() && !target.starts_with('/') {
            problems.push(ParamError::new("target", format!("{target:?} is no path from the root")));
        }
        let percent = |names, warn, critical| ordered(names, Some(warn), Some(critical), |a: &f64, b: &f64| a > b);
        problems.extend(percent(("warn_percent", "critical_percent"), self.warn_percent, self.critical_percent));
        let inodes = ("warn_inodes_percent", "critical_inodes_percent");
        problems.extend(percent(inodes, self.warn_inodes_percent, self.critical_inodes_percent));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        const FILE: &str = "/proc/self/mountinfo";
        cx.trace.phase("read", "asking the kernel for the space");
        let paths = if cx.target.is_empty() {
            let bytes = cx
                .env
                .host
                .read(Path::new(FILE))
                .await
                .map_err(|error| Failure::Local(format!("{FILE} cannot be read: {error}")))?;
            real_mounts(&parse_mounts(&bytes), &self.exclude)
        } else {
            vec![PathBuf::from(cx.target)]
        };
        // A dead network file system answers nobody. Each gets a share of the time, so that it cannot hide the others.
        let share = cx.remaining().mul_f64(0.9) / u32::try_from(paths.len().max(1)).unwrap_or(u32::MAX);
        let mut seen = Vec::new();
        for path in paths {
            seen.push(Seen { mount: path.display().to_string(), told: ask(cx, &path, share).await });
        }
        Ok(decide(self, &seen))
    }
}

async fn ask(cx: &Cx<'_>, path: &Path, within: Duration) -> Told {
    match tokio::time::timeout(within, cx.env.host.space(path)).await {
        Ok(Ok(space)) => Told::Space(space),
        Ok(Err(error)) => Told::Refused(error.to_string()),
        Err(_) => Told::Nothing,
    }
}

/// One line of `/proc/self/mountinfo`, as far as space matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device's numbers, `254:0`: the same for every mount of one file system.
    pub device: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// `ext4`, `nfs4` …
    pub kind: String,
    /// `/dev/vda1`, `server:/export` …
    pub source: String,
    /// Whether the file system itself (not only this mount of it) can be written.
    pub writable: bool,
}

/// Reads `/proc/self/mountinfo`, at most 10,000 mounts. A line that does not look as documented in proc(5) is left out.
pub fn parse_mounts(bytes: &[u8]) -> Vec<Mount> {
    const MAX_MOUNTS: usize = 10_000;
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(parse_mount).take(MAX_MOUNTS).collect()
}

fn parse_mount(line: &str) -> Option<Mount> {
    // 36 35 98:0 /root /mount options optional… - kind source super-options
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let device = left.nth(2)?.to_owned();
    let point = PathBuf::from(unescape(left.nth(1)?));
    let mut right = right.split(' ');
    let (kind, source, options) = (right.next()?, right.next()?, right.next().unwrap_or_default());
    let writable = !options.split(',').any(|option| option == "ro");
    Some(Mount { device, point, kind: kind.to_owned(), source: unescape(source), writable })
}

/// The kernel writes space, tab, newline and backslash as three octal digits: `\040`.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

/// The mount points whose space can run out: writable, on a device or a network file system, each file system once (at
/// its shortest path), none of the excluded.
fn real_mounts(mounts: &[Mount], exclude: &[String]) -> Vec<PathBuf> {
    const NETWORK: &[&str] = &[
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "ceph",
        "glusterfs",
        "lustre",
        "9p",
        "afs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
    ];
    const POOLED: &[&str] = &["zfs", "btrfs", "bcachefs", "overlay"];
    const IMAGES: &[&str] = &["squashfs", "iso9660", "erofs", "udf", "cramfs"];
    let mut real: Vec<&Mount> = mounts
        .iter()
        .filter(|mount| mount.writable && !IMAGES.contains(&mount.kind.as_str()))
        .filter(|mount| {
            let kind = mount.kind.as_str();
            // An overlay matters where it is the root, as in a container; elsewhere it repeats its upper layer.
            let pooled = POOLED.contains(&kind) && (kind != "overlay" || mount.point == Path::new("/"));
            mount.source.starts_with("/dev/") || NETWORK.contains(&kind) || pooled
        })
        .filter(|mount| !exclude.iter().any(|excluded| mount.point.starts_with(excluded)))
        .collect();
    real.sort_by_key(|mount| (mount.point.components().count(), mount.point.clone()));
    let mut devices = BTreeSet::new();
    real.retain(|mount| devices.insert(mount.device.as_str()));
    real.into_iter().map(|mount| mount.point.clone()).collect()
}

/// A file system and what the kernel said of it.
pub struct Seen {
    mount: String,
    told: Told,
}

/// What the kernel said of a file system.
enum Told {
    Space(Space),
    /// It would not say, and why: not found, no permission.
    Refused(String),
    /// It did not answer in time.
    Nothing,
}

/// The whole judgement: the worst file system decides, and is named first.
pub fn decide(want: &Disk, seen: &[Seen]) -> Outcome {
    if seen.is_empty() {
        return Outcome::new(State::Unknown, "no real file system is mounted here; name a path as target");
    }
    let mut found: Vec<(State, f64, String)> = Vec::new();
    let mut readings = Outcome::new(State::Ok, "");
    for one in seen {
        let mount = one.mount.as_str();
        let space = match &one.told {
            Told::Space(space) => space,
            Told::Refused(why) => {
                found.push((State::Unknown, 100.0, format!("{mount} cannot be asked: {why}")));
                continue;
            }
            Told::Nothing => {
                found.push((State::Critical, 100.0, format!("{mount} does not answer")));
                continue;
            }
        };
        // As df counts: the reserve of root is neither used nor available.
        let used = space.total_bytes.saturating_sub(space.free_bytes);
        let used_percent = percent(used, used.saturating_add(space.available_bytes));
        let used_inodes = space.total_inodes.saturating_sub(space.free_inodes);
        let inodes_percent = percent(used_inodes, space.total_inodes);
        let by_space = State::when_above(used_percent, Some(want.warn_percent), Some(want.critical_percent));
        let by_inodes =
            State::when_above(inodes_percent, Some(want.warn_inodes_percent), Some(want.critical_inodes_percent));
        let words = if by_inodes > by_space {
            format!("{mount} {inodes_percent:.1} % of inodes used")
        } else {
            format!("{mount} {used_percent:.1} % used, {} free", gib(space.available_bytes))
        };
        found.push((by_space.max(by_inodes), used_percent, words));
        readings = readings
            .with_labels("disk_used_percent", used_percent, "percent", &[("mount", mount)])
            .with_labels("disk_available_bytes", space.available_bytes as f64, "bytes", &[("mount", mount)])
            .with_labels("disk_total_bytes", space.total_bytes as f64, "bytes", &[("mount", mount)]);
        if space.total_inodes > 0 {
            readings = readings.with_labels("disk_inodes_used_percent", inodes_percent, "percent", &[("mount", mount)]);
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let worst = found[0].0;
    let told: Vec<&str> = found.iter().filter(|one| one.0 == worst).map(|one| one.2.as_str()).take(5).collect();
    Outcome { readings: readings.readings, ..Outcome::new(worst, told.join("; ")) }
}
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn file_system(mount: &str, used: u64, inodes_used: u64) -> Seen {
        let space = Space {
            total_bytes: 100,
            free_bytes: 100 - used,
            available_bytes: 100 - used,
            total_inodes: 100,
            free_inodes: 100 - inodes_used,
        };
        Seen { mount: mount.into(), told: Told::Space(space) }
    }

    #[test]
    fn the_fullest_file_system_decides_and_is_named() {
        for (params, seen, state, part) in [
            (json!({}), vec![file_system("/", 50, 1), file_system("/var", 84, 1)], State::Ok, "/var 84.0 %"),
            (json!({}), vec![file_system("/", 50, 1), file_system("/var", 85, 1)], State::Warning, "/var 85.0 %"),
            (json!({}), vec![file_system("/", 95, 1), file_system("/var", 90, 1)], State::Critical, "/ 95.0 %"),
            (json!({}), vec![file_system("/", 1, 96)], State::Critical, "/ 96.0 % of inodes"),
            (json!({"warn_percent": 40}), vec![file_system("/", 50, 1)], State::Warning, "/ 50.0 %"),
            (
                json!({}),
                vec![file_system("/", 1, 1), Seen { mount: "/nfs".into(), told: Told::Nothing }],
                State::Critical,
                "/nfs does not answer",
            ),
            (
                json!({}), // one that may not be asked hides neither the others nor itself
                vec![file_system("/", 90, 1), Seen { mount: "/mine".into(), told: Told::Refused("no".into()) }],
                State::Unknown,
                "/mine cannot be asked: no",
            ),
            (
                json!({}),
                vec![file_system("/", 99, 1), Seen { mount: "/mine".into(), told: Told::Refused("no".into()) }],
                State::Critical,
                "/ 99.0 %",
            ),
            (json!({}), vec![], State::Unknown, "no real file system"),
        ] {
            let want: Disk = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, &seen);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.starts_with(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn the_reserve_of_root_is_not_counted_as_free() {
        let space = Space { total_bytes: 100, free_bytes: 10, available_bytes: 5, total_inodes: 0, free_inodes: 0 };
        let outcome = decide(&Disk::default(), &[Seen { mount: "/".into(), told: Told::Space(space) }]);
        assert!((outcome.reading("disk_used_percent").unwrap() - 100.0 * 90.0 / 95.0).abs() < 1e-9);
        assert_eq!(
            outcome.reading("disk_inodes_used_percent"),
            None,
            "a file system without inodes has no share of them"
        );
    }

    const MOUNTINFO: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12331664k
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
28 27 254:0 /srv /mnt/bind rw,relatime - ext4 /dev/vda rw,discard
30 27 8:1 / /data\\040disk rw,relatime - xfs /dev/sda1 rw
31 27 7:1 / /snap/core ro,nodev - squashfs /dev/loop1 ro
32 27 0:50 / /home rw,relatime - nfs4 files:/home rw,vers=4.2
33 27 8:2 / /backup ro,relatime - ext4 /dev/sdb1 ro
34 27 0:60 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
35 27 0:22 / /run rw - tmpfs tmpfs rw
a line that is none
";

    #[test]
    fn real_file_systems_are_found_once_each() {
        let mounts = parse_mounts(MOUNTINFO.as_bytes());
        assert_eq!(mounts.len(), 10);
        let points = |exclude: &[String]| -> Vec<String> {
            real_mounts(&mounts, exclude).iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(points(&[]), ["/", "/data disk", "/home"]);
        assert_eq!(points(&["/home".into()]), ["/", "/data disk"]);
    }

    proptest! {
        #[test]
        fn mounts_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[0-9a-z/\\\\: -]{0,120}") {
            let _ = parse_mounts(&bytes);
            let _ = real_mounts(&parse_mounts(text.as_bytes()), &[]);
            let _ = unescape(&text);
        }
    }
}
