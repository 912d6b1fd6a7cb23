//! `/etc/hosts`: the full name of this host. Never asks a name server: discovery must work without a network.

/// The first name with a dot on a line that also names `hostname`, or that begins with it.
#[must_use]
pub fn canonical_name(bytes: &[u8], hostname: &str) -> Option<String> {
    for line in super::lines(bytes) {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        if !names.contains(&hostname) {
            continue;
        }
        if let Some(full) = names.iter().find(|name| name.contains('.') && !name.starts_with("localhost")) {
            return Some((*full).to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_stands_beside_the_short_one() {
        let table = [
            ("127.0.0.1 localhost\n127.0.1.1\tweb1.example.org web1\n", Some("web1.example.org"), "Debian's installer"),
            ("127.0.0.1 localhost.localdomain localhost web1\n", None, "localhost.localdomain is nobody's name"),
            ("127.0.1.1 web1 # web1.example.org\n", None, "a comment tells nothing"),
            ("10.0.0.2 db1.example.org db1\n", None, "another host"),
        ];
        for (text, expected, why) in table {
            assert_eq!(canonical_name(text.as_bytes(), "web1").as_deref(), expected, "{why}");
        }
    }
}
