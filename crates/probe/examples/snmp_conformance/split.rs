//! Split: which recordings the tables were written with, and which only judge them.

/// Whether a recording is held out: one in five, by a hash (FNV-1a) of its name, so that it is the same one everywhere and
/// nobody chooses.
pub fn is_held_out(name: &str) -> bool {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash % 5 == 0
}
