//! Network interfaces, from `/sys/class/net`, with their addresses as the kernel tells them over netlink. Sends nothing on any of them.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use super::{CannotSee, Table, line};
use crate::parse::netlink;
use crate::system::System;

/// The table: a row for each interface, with addresses as `10.0.0.5/24`.
pub(super) fn look(sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Option<Table> {
    let names = match sys.list(Path::new("/sys/class/net")) {
        Ok(names) => names,
        Err(error) => {
            cannot_see.push(CannotSee {
                what: "interfaces".into(),
                why: format!("/sys/class/net: {error}"),
                remedy: "mount /sys where the agent runs".into(),
            });
            return None;
        }
    };
    let mut addresses: HashMap<u32, Vec<String>> = HashMap::new();
    match sys.address_dump() {
        Ok(dump) => {
            for found in netlink::addresses(&dump) {
                addresses.entry(found.interface).or_default().push(format!("{}/{}", found.address, found.prefix));
            }
        }
        Err(error) => cannot_see.push(CannotSee {
            what: "addresses of interfaces".into(),
            why: format!("netlink: {error}"),
            remedy: "let the agent open netlink sockets (RestrictAddressFamilies=AF_NETLINK in its unit)".into(),
        }),
    }
    let rows = names.into_iter().filter_map(|name| {
        let file = |file: &str| line(sys, &format!("/sys/class/net/{name}/{file}"));
        let index: u32 = file("ifindex")?.parse().ok()?;
        let row = json!({
            "mac": file("address").filter(|mac| mac.bytes().any(|byte| byte.is_ascii_hexdigit() && byte != b'0')),
            "mtu": file("mtu").and_then(|mtu| mtu.parse::<u64>().ok()),
            "state": file("operstate"),
            // -1, or an error, while there is no link.
            "speed_mbit": file("speed").and_then(|speed| speed.parse::<u64>().ok()),
            "addresses": addresses.remove(&index).unwrap_or_default(),
        });
        Some((name, row))
    });
    Some(rows.collect())
}
