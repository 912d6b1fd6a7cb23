//! Role: what one wants to know of a device for what it is used for, whoever made it: kinds of items of every profile that
//! fits, and which of them such a device always has. By data alone, `profiles/roles.yaml`; asks no device.

use serde::Deserialize;

use crate::extract::run::Extracted;
use crate::extract::schema::{Fault, Profile, read};
use crate::params::near_names;

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name, unique among roles and profiles: `core-switch`.
    pub role: String,
    /// What such a device is, for people.
    pub title: String,
    /// The kinds of items that are wanted: `port`, `sensor`.
    pub items: Vec<String>,
    /// Kinds of which such a device always has one.
    #[serde(default)]
    pub needs: Vec<String>,
}

impl Role {
    /// Reads a list of roles. `profiles` are those whose kinds of items may be named.
    ///
    /// # Errors
    /// Every mistake with file and line.
    pub fn parse_list(file: &str, text: &str, profiles: &[Profile]) -> Result<Vec<Role>, Vec<Fault>> {
        let fault = |line, message| Fault { file: file.to_owned(), line, message };
        let roles: Vec<Role> = read(file, text)?;
        let snmp = || profiles.iter().filter(|profile| profile.is_snmp());
        let kinds = || snmp().flat_map(|profile| &profile.rules).filter_map(|rule| rule.item.as_deref());
        let mut faults = Vec::new();
        let mut seen: Vec<&str> = profiles.iter().map(|profile| profile.profile.as_str()).collect();
        for role in &roles {
            let is_head = |line: &str| line.trim_start_matches("- ").trim() == format!("role: {}", role.role);
            let line = text.lines().position(is_head).map_or(1, |at| at + 1);
            if seen.contains(&role.role.as_str()) {
                faults.push(fault(line, format!("there is a role or profile {:?} already", role.role)));
            }
            seen.push(&role.role);
            if role.items.is_empty() {
                faults.push(fault(line, format!("{} wants nothing; say items", role.role)));
            }
            for wrong in role.items.iter().filter(|item| !kinds().any(|kind| kind == **item)) {
                let near = near_names(wrong, kinds());
                let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                faults.push(fault(line, format!("no profile finds items of the kind {wrong:?}{hint}")));
            }
            for wrong in role.needs.iter().filter(|need| !role.items.contains(need)) {
                faults.push(fault(line, format!("{} needs {wrong:?}, which is none of its items", role.role)));
            }
        }
        if faults.is_empty() { Ok(roles) } else { Err(faults) }
    }

    /// Whether that profile finds anything of what is wanted.
    pub(crate) fn reads(&self, profile: &Profile) -> bool {
        profile.rules.iter().any(|rule| rule.item.as_ref().is_some_and(|kind| self.items.contains(kind)))
    }

    /// Leaves only what is wanted.
    pub(crate) fn keep(&self, found: &mut Extracted) {
        found.items.retain(|item| self.items.contains(&item.kind));
    }

    /// What such a device always has and this one does not tell.
    pub(crate) fn missing(&self, found: &Extracted) -> Vec<String> {
        let tells = |need: &str| found.items.iter().any(|item| item.kind == need);
        self.needs.iter().filter(|need| !tells(need)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "profile: ports\ntitle: Ports\nsources:\n  rows: { table: 1.3.6.1, columns: { name: 1 } }\n\
                           rules: [{ item: port, from: rows, name: \"{name}\" }]\n";

    fn parse(text: &str) -> Result<Vec<Role>, Vec<Fault>> {
        Role::parse_list("r.yaml", text, &[Profile::parse("p.yaml", PROFILE).unwrap()])
    }

    #[test]
    fn a_mistake_in_a_role_is_told_with_its_line_and_what_was_meant() {
        let good = "- role: switch\n  title: Switch\n  items: [port]\n  needs: [port]\n";
        assert_eq!(parse(good).unwrap().len(), 1);
        for (from, to, line, part) in [
            ("items: [port]", "items: [prot]", 1, "no profile finds items of the kind \"prot\"; did you mean port?"),
            ("items: [port]", "items: []", 1, "wants nothing"),
            ("needs: [port]", "needs: [fan]", 1, "needs \"fan\", which is none of its items"),
            ("needs:", "need:", 4, "did you mean needs?"),
            ("role: switch", "role: ports", 1, "a role or profile \"ports\" already"),
        ] {
            let told = parse(&good.replace(from, to)).unwrap_err()[0].to_string();
            assert!(told.starts_with(&format!("r.yaml:{line}: ")) && told.contains(part), "{to}: {told}");
        }
    }
}
