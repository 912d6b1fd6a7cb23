//! `/proc/self/mountinfo`: what is mounted where (proc_pid_mountinfo(5)). Whether it can be asked for its size is decided elsewhere.

/// One mount, the fields that matter for room and risk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Device as `major:minor`: equal for two mounts of one file system.
    pub device: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// Such as `ext4`.
    pub kind: String,
    /// Such as `/dev/vda1`, or `server:/export`.
    pub source: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// All mounts, in the order of the file: a later one on the same point hides the earlier.
#[must_use]
pub fn mounts(bytes: &[u8]) -> Vec<Mount> {
    super::lines(bytes).filter_map(|line| mount(&line)).collect()
}

fn mount(line: &str) -> Option<Mount> {
    // 36 35 98:0 /root /point rw,noatime shared:1 - ext3 /dev/root rw,errors=continue
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let mut right = right.split(' ');
    let (kind, source) = (right.next()?, right.next()?);
    let (device, mount_point, options) = (left.get(2)?, left.get(4)?, left.get(5)?);
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        device: (*device).to_owned(),
        mount_point: unescape(mount_point),
        kind: kind.to_owned(),
        source: unescape(source),
        read_only: read_only(options) || right.next().is_some_and(read_only),
    })
}

/// The kernel writes space, tab, newline and backslash as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            let value = digits.iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            out.push((value & 0xff) as u8);
            rest = &tail[3..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_its_odd_names() {
        let text = "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n\
                    28 27 0:25 / /mnt/my\\040disk ro,nosuid - nfs4 srv:/a\\134b rw\n\
                    29 27 0:26 / /ro rw - ext4 /dev/vdb ro\n\
                    nonsense\n";
        let found = mounts(text.as_bytes());
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].device.as_str(), found[0].kind.as_str(), found[0].read_only), ("254:0", "ext4", false));
        assert_eq!((found[1].mount_point.as_str(), found[1].source.as_str()), ("/mnt/my disk", "srv:/a\\b"));
        assert!(found[1].read_only, "by the mount");
        assert!(found[2].read_only, "by the file system, as after an error");
    }
}
