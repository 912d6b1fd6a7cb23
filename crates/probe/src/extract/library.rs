//! Library: the profiles, roles and list of operating systems that Mainstay brings, and those that users add.

use std::sync::OnceLock;

use crate::extract::device::{Entry, parse_list};
use crate::extract::role::Role;
use crate::extract::schema::{Fault, Profile};
use crate::extract::source::Snapshot;
use crate::params::near_names;

/// Profiles and roles by name, and the list of operating systems.
#[derive(Debug, Default)]
pub struct Library {
    profiles: Vec<Profile>,
    roles: Vec<Role>,
    systems: Vec<Entry>,
}

/// What is to be read of a device.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'l> {
    /// All that fits it.
    Everything,
    /// One profile's tables, whether it fits or not.
    Profile(&'l Profile),
    /// Of all that fits it, what belongs to its role.
    Role(&'l Role),
}

/// The name that asks for everything that fits.
const AUTO: &str = "auto";

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

/// Roles, which name kinds of items of the profiles.
const ROLES: (&str, &str) = ("roles.yaml", include_str!("../../profiles/roles.yaml"));

impl Library {
    /// The one that Mainstay brings.
    pub fn own() -> &'static Library {
        static OWN: OnceLock<Library> = OnceLock::new();
        OWN.get_or_init(|| {
            Library::read(SYSTEMS, PROFILES, &[ROLES]).unwrap_or_else(|faults| {
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
    pub fn read(
        systems: &[(&str, &str)],
        profiles: &[(&str, &str)],
        roles: &[(&str, &str)],
    ) -> Result<Library, Vec<Fault>> {
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
        for (file, text) in roles {
            match Role::parse_list(file, text, &library.profiles) {
                Ok(roles) => library.roles.extend(roles),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(library) } else { Err(faults) }
    }

    /// What a name asks for: `auto`, a role or a profile.
    ///
    /// # Errors
    /// There is none of that name; a sentence with those that were probably meant.
    pub fn wanted(&self, name: &str) -> Result<Wanted<'_>, String> {
        if name == AUTO {
            return Ok(Wanted::Everything);
        }
        let role = self.roles.iter().find(|role| role.role == name).map(Wanted::Role);
        role.or_else(|| self.profile(name).map(Wanted::Profile)).ok_or_else(|| {
            let roles = self.roles.iter().map(|role| role.role.as_str());
            let near = near_names(name, roles.clone().chain(self.profiles.iter().map(|p| p.profile.as_str())));
            let hint = match near.as_slice() {
                [] => format!("say {AUTO}, or one of {}", roles.collect::<Vec<_>>().join(", ")),
                near => format!("did you mean {}?", near.join(" or ")),
            };
            format!("there is no role or profile {name:?}; {hint}")
        })
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
            profile.is_snmp()
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
        if let Err(faults) = Library::read(SYSTEMS, PROFILES, &[ROLES]) {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
    }

    #[test]
    fn a_name_is_a_role_or_a_profile_or_is_told_what_it_might_be() {
        let library = Library::own();
        assert!(matches!(library.wanted("auto"), Ok(Wanted::Everything)));
        assert!(matches!(library.wanted("if-mib"), Ok(Wanted::Profile(profile)) if profile.profile == "if-mib"));
        assert!(matches!(library.wanted("core-switch"), Ok(Wanted::Role(role)) if role.needs == ["port"]));
        let told = library.wanted("core-swich").unwrap_err();
        assert!(told.starts_with("there is no role or profile \"core-swich\"; did you mean core-switch"), "{told}");
        assert!(library.wanted("zzz").unwrap_err().contains("say auto, or one of core-switch, access-switch"));
    }

    #[test]
    fn the_example_in_the_manual_is_valid() {
        let manual = include_str!("../../profiles/README.md");
        let example = manual.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let profile = Profile::parse("README.md", example).unwrap_or_else(|faults| panic!("{}", faults[0]));
        assert_eq!(profile.maps["health"].len(), 2);
    }
}
