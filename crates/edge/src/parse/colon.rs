//! `Name: value` lines, as in `/proc/meminfo` and `/proc/cpuinfo`.

/// The first value of each of `names`, and how often the name comes.
#[must_use]
pub fn values<const N: usize>(bytes: &[u8], names: [&str; N]) -> [(Option<String>, u32); N] {
    let mut found = std::array::from_fn(|_| (None, 0));
    for line in super::lines(bytes) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let Some(at) = names.iter().position(|wanted| *wanted == name.trim()) else { continue };
        let entry: &mut (Option<String>, u32) = &mut found[at];
        entry.0.get_or_insert_with(|| value.trim().to_owned());
        entry.1 = entry.1.saturating_add(1);
    }
    found
}

/// `24682412 kB`, the one unit that `/proc/meminfo` has, in bytes.
#[must_use]
pub fn kilobytes(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_counted() {
        let text = b"processor\t: 0\nmodel name\t: EPYC: a model\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel name\t: other\n";
        let [processors, model, missing] = values(text, ["processor", "model name", "vendor"]);
        assert_eq!(processors.1, 2);
        assert_eq!(model.0.as_deref(), Some("EPYC: a model"));
        assert_eq!(missing, (None, 0));
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(kilobytes("24682412 kB"), Some(25_274_789_888));
        assert_eq!(kilobytes("24682412"), None, "without a unit it is a count");
    }
}
