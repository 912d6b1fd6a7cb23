//! Library: the profiles and the list of operating systems that Mainstay brings, and those that users add.

use std::sync::OnceLock;

use crate::extract::device::{Entry, parse_list};
use crate::extract::schema::{Fault, Profile};
use crate::extract::source::Snapshot;

/// Profiles by name, and the list of operating systems.
#[derive(Debug, Default)]
pub struct Library {
    profiles: Vec<Profile>,
    systems: Vec<Entry>,
}

/// Lists of operating systems; the first entry that fits is taken, so the general ones come last.
const SYSTEMS: &[(&str, &str)] = &[
    ("os/network.yaml", include_str!("../../profiles/os/network.yaml")),
    ("os/power.yaml", include_str!("../../profiles/os/power.yaml")),
    ("os/printers.yaml", include_str!("../../profiles/os/printers.yaml")),
    ("os/servers.yaml", include_str!("../../profiles/os/servers.yaml")),
];

/// Profiles; a new one is a file and a line.
const PROFILES: &[(&str, &str)] = &[
    ("if-mib.yaml", include_str!("../../profiles/if-mib.yaml")),
    ("entity-mib.yaml", include_str!("../../profiles/entity-mib.yaml")),
    ("entity-sensor-mib.yaml", include_str!("../../profiles/entity-sensor-mib.yaml")),
    ("cisco-entity-sensor-mib.yaml", include_str!("../../profiles/cisco-entity-sensor-mib.yaml")),
    ("cisco.yaml", include_str!("../../profiles/cisco.yaml")),
    ("host-resources-mib.yaml", include_str!("../../profiles/host-resources-mib.yaml")),
    ("network.yaml", include_str!("../../profiles/network.yaml")),
    ("printer-mib.yaml", include_str!("../../profiles/printer-mib.yaml")),
    ("ups-mib.yaml", include_str!("../../profiles/ups-mib.yaml")),
    ("java.yaml", include_str!("../../profiles/java.yaml")),
    ("vendor/appliances.yaml", include_str!("../../profiles/vendor/appliances.yaml")),
    ("vendor/network.yaml", include_str!("../../profiles/vendor/network.yaml")),
    ("vendor/optical.yaml", include_str!("../../profiles/vendor/optical.yaml")),
    ("vendor/plant.yaml", include_str!("../../profiles/vendor/plant.yaml")),
    ("vendor/power.yaml", include_str!("../../profiles/vendor/power.yaml")),
    ("vendor/radio.yaml", include_str!("../../profiles/vendor/radio.yaml")),
    ("vendor/security.yaml", include_str!("../../profiles/vendor/security.yaml")),
    ("vendor/servers.yaml", include_str!("../../profiles/vendor/servers.yaml")),
    ("vendor/switches.yaml", include_str!("../../profiles/vendor/switches.yaml")),
    ("vendor/widespread.yaml", include_str!("../../profiles/vendor/widespread.yaml")),
];

impl Library {
    /// The one that Mainstay brings.
    pub fn own() -> &'static Library {
        static OWN: OnceLock<Library> = OnceLock::new();
        OWN.get_or_init(|| {
            Library::read(SYSTEMS, PROFILES).unwrap_or_else(|faults| {
                // A test reads them, so a release cannot have one that is wrong.
                tracing::error!(?faults, "a profile of Mainstay's own is wrong");
                Library::default()
            })
        })
    }

    /// A library of these files: names and texts.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub fn read(systems: &[(&str, &str)], profiles: &[(&str, &str)]) -> Result<Library, Vec<Fault>> {
        let mut library = Library::default();
        let mut faults = Vec::new();
        for (file, text) in systems {
            match parse_list(file, text) {
                Ok(entries) => library.systems.extend(entries),
                Err(found) => faults.extend(found),
            }
        }
        for (file, text) in profiles {
            match Profile::parse_all(file, text) {
                Ok(profiles) => {
                    for profile in profiles {
                        if library.profile(&profile.profile).is_some() {
                            let message = format!("there is a profile {:?} already", profile.profile);
                            faults.push(Fault { file: (*file).to_owned(), line: 1, message });
                        }
                        library.profiles.push(profile);
                    }
                }
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(library) } else { Err(faults) }
    }

    /// The profile of that name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.profile == name)
    }

    /// Every profile.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The list of operating systems.
    pub fn systems(&self) -> &[Entry] {
        &self.systems
    }

    /// The profiles for a device of that operating system, identity and description.
    pub fn profiles_for(&self, os: &str, snapshot: &Snapshot) -> Vec<&Profile> {
        let (identity, descr) = crate::extract::device::system(snapshot);
        let fits = |profile: &&Profile| {
            let when = &profile.when;
            let is_snmp = profile.sources.values().any(|source| source.table.is_some() || !source.scalars.is_empty());
            is_snmp
                && (when.os.0.is_empty() || when.os.0.iter().any(|name| name == os))
                && (when.sysobjectid.0.is_empty() || when.sysobjectid.0.iter().any(|root| identity.is_below(root)))
                && when.sysdescr.as_ref().is_none_or(|pattern| pattern.0.is_match(&descr))
        };
        self.profiles.iter().filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_of_our_own_is_valid() {
        if let Err(faults) = Library::read(SYSTEMS, PROFILES) {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
    }

    #[test]
    fn the_example_in_the_manual_is_valid() {
        let manual = include_str!("../../profiles/README.md");
        let example = manual.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let profile = Profile::parse("README.md", example).unwrap_or_else(|faults| panic!("{}", faults[0]));
        assert_eq!(profile.maps["health"].len(), 2);
    }
}
