//! Faults made by the system itself: processes killed, power cut, disks filled, bytes turned over, journals forged. The
//! numbers are those of CI; `MAINSTAY_TORTURE=long` asks for the long versions.

mod copy;
mod full_disk;
mod kills;
mod load;
mod power_cuts;
mod rot;
mod tampering;

use crate::world;

/// How often a fault strikes: the number of CI, that of the long version, or what `name` says.
fn times(name: &str, ci: u64, long: u64) -> u64 {
    let asked = world::setting(name).and_then(|text| text.parse().ok());
    asked.unwrap_or(if world::setting("MAINSTAY_TORTURE").is_some() { long } else { ci })
}

/// Whether this user may mount file systems.
fn may_mount() -> bool {
    let identity = world::run("id", &["-u"]);
    String::from_utf8_lossy(&identity.stdout).trim() == "0"
}
