//! Inventory: what the agents of GLPI and FusionInventory found on a machine, as JSON or XML, packed or not. Both become one
//! shape: sections of small-letter names, each a list of records.

use serde_json::{Map, Value};

use crate::receive::unpack;

/// The most bytes of an inventory, unpacked.
pub const INVENTORY_LIMIT_BYTES: usize = 16 << 20;

/// What an agent sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// The machine, as the agent names it: `web-1-2026-11-21-08-00-00`.
    pub device: String,
    /// `inventory`; agents also ask what is to be done (`prolog`, `contact`) and tell of other things.
    pub action: String,
    /// The agent and its version.
    pub agent: String,
    /// `hardware`, `bios`, `cpus`, `networks`, `softwares` …: each a list of records whose values are texts, numbers or lists.
    pub sections: Map<String, Value>,
}

/// Reads an inventory.
///
/// # Errors
/// A sentence on what is wrong with it.
pub fn parse_inventory(bytes: &[u8]) -> Result<Inventory, String> {
    let plain = unpack(bytes, INVENTORY_LIMIT_BYTES)?;
    let text = String::from_utf8_lossy(&plain);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') { from_xml(text) } else { from_json(text) }
}

fn from_json(text: &str) -> Result<Inventory, String> {
    let value: Value = serde_json::from_str(text).map_err(|why| format!("the inventory is no JSON ({why})"))?;
    let word = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let content = value.get("content").and_then(Value::as_object).cloned().unwrap_or_default();
    let agent = match content.get("versionclient").and_then(Value::as_str) {
        Some(agent) => agent.to_owned(),
        None => [word("name"), word("version")].join(" ").trim().to_owned(),
    };
    finish(word("deviceid"), word("action"), agent, content)
}

fn finish(device: String, action: String, agent: String, content: Map<String, Value>) -> Result<Inventory, String> {
    if device.is_empty() {
        return Err("the inventory names no machine (deviceid)".to_owned());
    }
    let as_list = |value| match value {
        Value::Array(list) => Value::Array(list),
        other => Value::Array(vec![other]),
    };
    let is_section = |value: &Value| value.is_array() || value.is_object();
    let sections = content.into_iter().filter(|(_, value)| is_section(value));
    Ok(Inventory {
        device,
        action: if action.is_empty() { "inventory".to_owned() } else { action.to_lowercase() },
        agent,
        sections: sections.map(|(name, value)| (name.to_lowercase(), as_list(value))).collect(),
    })
}

fn from_xml(text: &str) -> Result<Inventory, String> {
    // Entities of its own could make a small document a very large one; none is allowed.
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: 1_000_000, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(text, options);
    let document = document.map_err(|why| format!("the inventory is no XML ({why})"))?;
    let root = document.root_element();
    let child = |name: &str| root.children().find(|node| node.has_tag_name(name));
    let word = |name: &str| child(name).and_then(|node| node.text()).unwrap_or_default().trim().to_owned();
    let mut content = Map::new();
    let mut agent = String::new();
    for section in child("CONTENT").into_iter().flat_map(|content| content.children()).filter(|node| node.is_element())
    {
        let name = section.tag_name().name().to_lowercase();
        if name == "versionclient" {
            agent = section.text().unwrap_or_default().trim().to_owned();
            continue;
        }
        let record = record(section, 0).ok_or("the inventory is nested too deeply")?;
        let list = content.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let (Value::Array(list), Value::Object(_)) = (list, &record) {
            list.push(record);
        }
    }
    finish(word("DEVICEID"), word("QUERY"), agent, content)
}

/// An element's children as a map; of those of the same name a list. An element without children is its text.
fn record(node: roxmltree::Node<'_, '_>, depth: usize) -> Option<Value> {
    const MAX_DEPTH: usize = 32;
    if depth > MAX_DEPTH {
        return None;
    }
    let mut map = Map::new();
    for child in node.children().filter(|child| child.is_element()) {
        let name = child.tag_name().name().to_lowercase();
        let value = record(child, depth + 1)?;
        match map.get_mut(&name) {
            None => drop(map.insert(name, value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    if map.is_empty() && node.tag_name().name() != "CONTENT" {
        return Some(Value::String(node.text().unwrap_or_default().trim().to_owned()));
    }
    Some(Value::Object(map))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn xml_and_json_come_to_the_same_shape() {
        let xml =
            b"<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<REQUEST><CONTENT><VERSIONCLIENT>Agent_v2</VERSIONCLIENT>\
            <CPUS><NAME>a</NAME></CPUS><CPUS><NAME>b</NAME></CPUS><HARDWARE><NAME>web-1</NAME></HARDWARE></CONTENT>\
            <DEVICEID>web-1-2026</DEVICEID><QUERY>INVENTORY</QUERY></REQUEST>";
        let json = br#"{"action":"inventory","deviceid":"web-1-2026","content":{"versionclient":"Agent_v2",
            "cpus":[{"name":"a"},{"name":"b"}],"hardware":{"name":"web-1"}}}"#;
        let (from_xml, from_json) = (parse_inventory(xml).unwrap(), parse_inventory(json).unwrap());
        assert_eq!(from_xml, from_json);
        assert_eq!(from_xml.sections["cpus"], json!([{"name": "a"}, {"name": "b"}]));
        assert_eq!((from_xml.agent.as_str(), from_xml.action.as_str()), ("Agent_v2", "inventory"));
    }

    #[test]
    fn what_is_no_inventory_is_told() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        for (bytes, part) in [
            ("{}", "names no machine"),
            ("<a/>", "names no machine"),
            ("<a", "no XML"),
            ("x", "no JSON"),
            (bomb, "no XML"),
        ] {
            assert!(parse_inventory(bytes.as_bytes()).unwrap_err().contains(part), "{bytes}");
        }
        let deep = format!("<REQUEST><CONTENT>{}{}</CONTENT></REQUEST>", "<A>".repeat(100), "</A>".repeat(100));
        assert!(parse_inventory(deep.as_bytes()).unwrap_err().contains("too deeply"));
    }

    proptest! {
        #[test]
        fn no_inventory_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "<REQUEST><CONTENT>\\PC{0,20}</CONTENT></REQUEST>") {
            let _ = (parse_inventory(&bytes), parse_inventory(text.as_bytes()));
        }
    }
}
