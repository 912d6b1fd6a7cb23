//! How the C library's allocator keeps memory: in two arenas for each core.
//!
//! By default it makes eight for each core, and each keeps what the largest answer that was ever written in it took: eight wide
//! queries at once left 182 MB behind where 113 did with one. With one, though, the threads of eight queries wait for each other:
//! a quarter of what they took (`crates/series/benches/README.md`). The number can only be said in the environment at the start, so a
//! server starts itself once more with it, before it does anything else. It must never overrule what somebody has set, and never
//! keep a server from starting.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

/// The environment's name for it; see mallopt(3).
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Its newer name, which is a list of settings.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Enough that threads seldom meet.
const EACH_CORE: usize = 2;

/// Becomes this program once more, with that setting. Comes back when it is there already, or cannot be made.
pub fn few_arenas(words: &[OsString], environment: &dyn Fn(&str) -> Option<OsString>) {
    if cfg!(not(target_env = "gnu")) || environment(ARENAS).is_some() || environment(TUNABLES).is_some() {
        return;
    }
    let Ok(this) = std::env::current_exe() else { return };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let arenas = cores.saturating_mul(EACH_CORE).to_string();
    #[expect(clippy::disallowed_methods, reason = "no process is made: this one goes on as itself")]
    let mut again = std::process::Command::new(this);
    if let Some(name) = words.first() {
        again.arg0(name);
    }
    // Only a failure comes back, and then everything goes on with more memory.
    drop(again.args(words.iter().skip(1)).env(ARENAS, arenas).exec());
}
