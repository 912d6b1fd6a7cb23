//! Disks, from `/sys/block`, and file systems, from `mountinfo`. Network file systems are listed and never asked: a dead server would hang the agent.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::{CannotSee, Table, line};
use crate::parse::mountinfo;
use crate::system::System;

/// Bytes in a sector of `/sys/block/*/size`, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

/// The table: a row for each block device that has a size, without loop devices, memory and optical drives without a disc.
pub(super) fn disks(sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Option<Table> {
    let names = match sys.list(Path::new("/sys/block")) {
        Ok(names) => names,
        Err(error) => {
            cannot_see.push(CannotSee {
                what: "disks".into(),
                why: format!("/sys/block: {error}"),
                remedy: "mount /sys where the agent runs".into(),
            });
            return None;
        }
    };
    let rows = names.into_iter().filter_map(|name| {
        let file = |file: &str| line(sys, &format!("/sys/block/{name}/{file}"));
        let number = |path: &str| file(path).and_then(|text| text.parse::<u64>().ok());
        let bytes = number("size")?.checked_mul(SECTOR).filter(|bytes| *bytes > 0)?;
        if ["loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind)) {
            return None;
        }
        let mut partitions: Vec<String> = sys
            .list(Path::new(&format!("/sys/block/{name}")))
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.starts_with(&name))
            .collect();
        partitions.sort();
        let row = json!({
            "size_bytes": bytes,
            "vendor": file("device/vendor").filter(|vendor| !vendor.starts_with("0x")), // A PCI number, of virtual disks.
            "model": file("device/model"),
            "serial": file("serial").or_else(|| file("device/serial")),
            "rotational": number("queue/rotational").map(|yes| yes == 1),
            "removable": number("removable").map(|yes| yes == 1),
            "read_only": number("ro").map(|yes| yes == 1),
            "partitions": partitions,
        });
        Some((name, row))
    });
    Some(rows.collect())
}

/// File systems that live on another machine.
const REMOTE: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "9p",
    "afs",
    "lustre",
    "fuse.sshfs",
    "fuse.glusterfs",
];

/// File systems that hold somebody's data though no device is behind them.
const WITHOUT_DEVICE: [&str; 3] = ["zfs", "btrfs", "overlay"];

/// The table: a row for each mount point of a file system with data. Memory, kernel interfaces and second mounts of one file system
/// (by containers, by `bind`) are left out.
pub(super) fn filesystems(sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Option<Table> {
    let bytes = match sys.read(Path::new("/proc/self/mountinfo"), 16 << 20) {
        Ok(bytes) => bytes,
        Err(error) => {
            cannot_see.push(CannotSee {
                what: "filesystems".into(),
                why: format!("/proc/self/mountinfo: {error}"),
                remedy: "mount /proc where the agent runs".into(),
            });
            return None;
        }
    };
    let mut mounts = mountinfo::mounts(&bytes);
    // Of several mounts of one file system the one nearest to the root is the one people know.
    mounts.sort_by_key(|mount| mount.mount_point.len());
    let mut devices = BTreeSet::new();
    let mut table = Table::new();
    for mount in mounts {
        let remote = REMOTE.contains(&mount.kind.as_str());
        let root_overlay = mount.kind == "overlay" && mount.mount_point != "/"; // Every container of this host has one.
        let local = mount.source.starts_with("/dev/") || WITHOUT_DEVICE.contains(&mount.kind.as_str()) && !root_overlay;
        if !(remote || local) || mount.source.starts_with("/dev/loop") || !devices.insert(mount.device.clone()) {
            continue;
        }
        let size = if remote { None } else { sys.statvfs(Path::new(&mount.mount_point)).ok() };
        if remote {
            cannot_see.push(CannotSee {
                what: format!("how full {} is", mount.mount_point),
                why: format!("{} is on another machine, and asking one that does not answer would hang", mount.source),
                remedy: "watch its room on the machine that serves it".into(),
            });
        }
        let row = json!({
            "source": mount.source,
            "type": mount.kind,
            "read_only": mount.read_only,
            "size_bytes": size.map(|size| size.bytes),
            "used_bytes": size.map(|size| size.bytes.saturating_sub(size.free_bytes)),
            "inodes": size.map(|size| size.inodes),
        });
        table.insert(mount.mount_point, row);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileSystemSize, Recorded};

    #[test]
    fn a_network_file_system_is_listed_and_never_asked() {
        let mut sys = Recorded::default();
        sys.file(
            "/proc/self/mountinfo",
            "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 0:40 / /data rw - nfs4 files:/data rw\n3 1 254:0 /var /mnt/bind rw - ext4 /dev/vda rw\n4 1 0:5 / /proc rw - proc proc rw\n",
        );
        let size = FileSystemSize { bytes: 1000, free_bytes: 400, available_bytes: 350, inodes: 10, free_inodes: 5 };
        sys.sizes.insert("/".into(), size);
        sys.sizes.insert("/data".into(), size);
        let mut blind = Vec::new();
        let table = filesystems(&sys, &mut blind).expect("mountinfo is there");
        assert_eq!(
            table.keys().map(String::as_str).collect::<Vec<_>>(),
            ["/", "/data"],
            "a second mount is the same file system"
        );
        assert_eq!(table["/"]["used_bytes"], 600);
        assert!(table["/data"]["size_bytes"].is_null());
        assert_eq!(blind.len(), 1, "and that is said");
    }

    #[test]
    fn a_disk_without_a_size_is_no_disk() {
        let mut sys = Recorded::default();
        sys.file("/sys/block/sda/size", "976773168\n")
            .file("/sys/block/sda/queue/rotational", "0\n")
            .file("/sys/block/sda/device/model", "Samsung SSD 870 \n")
            .file("/sys/block/sda/sda1/size", "2048\n")
            .file("/sys/block/loop0/size", "8\n")
            .file("/sys/block/sr0/size", "0\n");
        let table = disks(&sys, &mut Vec::new()).expect("/sys is there");
        assert_eq!(table.len(), 1);
        assert_eq!(table["sda"]["size_bytes"], 500_107_862_016_u64);
        assert_eq!(table["sda"]["model"], "Samsung SSD 870");
        assert_eq!(table["sda"]["rotational"], false);
        assert_eq!(table["sda"]["partitions"], serde_json::json!(["sda1"]));
    }
}
