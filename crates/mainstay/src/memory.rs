//! How the C library's allocator keeps memory: in as many arenas as there are cores.
//!
//! By default it makes eight for each core, and each keeps what the largest answer that was ever written in it took: eight wide
//! queries at once left 182 MB behind where 113 do (`crates/series/benches/README.md`). The number can only be said in the
//! environment at the start, so a server starts itself once more with it. It must never overrule what somebody has set, and never
//! keep a server from starting.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

/// The environment's name for it; see mallopt(3).
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Its newer name, which is a list of settings.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Becomes this program once more, with that setting. Comes back when it is there already, or cannot be made.
pub fn few_arenas(mut arguments: impl Iterator<Item = OsString>, environment: &dyn Fn(&str) -> Option<OsString>) {
    if cfg!(not(target_env = "gnu")) || environment(ARENAS).is_some() || environment(TUNABLES).is_some() {
        return;
    }
    let Ok(this) = std::env::current_exe() else { return };
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    #[expect(clippy::disallowed_methods, reason = "no process is made: this one goes on as itself")]
    let mut again = std::process::Command::new(this);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Only a failure comes back, and then everything goes on with more memory.
    let failed = again.args(arguments).env(ARENAS, cores.to_string()).exec();
    tracing::debug!(error = %failed, "the server could not be started again with {ARENAS}");
}
