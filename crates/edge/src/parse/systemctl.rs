//! `systemctl show`: blocks of `Name=value`, an empty line between two units. Never calls systemctl.

use std::collections::BTreeMap;

/// The properties of each unit, in the order of the answer. A property that is repeated (`Listen`) is joined with newlines.
#[must_use]
pub fn blocks(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let mut blocks = Vec::new();
    let mut block: BTreeMap<String, String> = BTreeMap::new();
    for line in super::lines(bytes).chain(std::iter::once("".into())) {
        if let Some((name, value)) = line.split_once('=') {
            block
                .entry(name.to_owned())
                .and_modify(|old| {
                    old.push('\n');
                    old.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        } else if line.is_empty() && !block.is_empty() {
            blocks.push(std::mem::take(&mut block));
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart() {
        let found = blocks(b"Id=ssh.socket\nListen=0.0.0.0:22 (Stream)\nListen=[::]:22 (Stream)\n\nId=nginx.service\nDescription=a=b\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["Listen"], "0.0.0.0:22 (Stream)\n[::]:22 (Stream)");
        assert_eq!(found[1]["Description"], "a=b");
    }
}
