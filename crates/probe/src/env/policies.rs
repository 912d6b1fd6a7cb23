//! Policies: where the checks of each site may go, as an administrator writes it down. Reads a file; judges no address.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::egress::{Egress, cloud_credentials, engines};

/// The address policies of a server: its own, and those of sites that have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// For checks that the server asks for itself, and for sites without a policy.
    pub server: Egress,
    /// By the key of the site or agent that a check is asked from.
    pub sites: BTreeMap<String, Egress>,
}

impl Default for Policies {
    fn default() -> Policies {
        Policies { server: Egress::server(), sites: BTreeMap::new() }
    }
}

/// The file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    server: Egress,
    sites: BTreeMap<String, Egress>,
    cloud_credentials: Clouds,
}

/// Whether checks may reach the addresses at which clouds hand out credentials.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Clouds {
    /// No policy of the file lets them.
    #[default]
    Denied,
    /// Where the policy lets them.
    Allowed,
}

/// Reads the file of policies, in YAML:
///
/// ```yaml
/// server: { deny: [10.99.0.0/16] }
/// sites:
///   plant-2: { allow: [10.20.0.0/16, 192.0.2.7], deny: [10.20.9.0/24], sockets: [] }
/// cloud_credentials: denied
/// ```
///
/// A policy that says nothing of sockets lets checks reach those of container engines. An empty file is [`Policies::default`].
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse_policies(bytes: &[u8]) -> Result<Policies, String> {
    const MOST_BYTES: usize = 1 << 20;
    if bytes.len() > MOST_BYTES {
        return Err(format!("{} bytes are too many, {MOST_BYTES} are the most", bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not in UTF-8".to_owned())?;
    let file: Option<File> = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
    let file = file.unwrap_or_default();
    let finished = |mut policy: Egress, place: String| {
        if file.cloud_credentials == Clouds::Denied {
            policy.deny.extend(cloud_credentials());
        }
        policy.sockets.get_or_insert_with(engines);
        policy.place = place;
        policy
    };
    let sites = file.sites.into_iter().map(|(key, policy)| {
        let place = format!("site {key}");
        (key, finished(policy, place))
    });
    Ok(Policies { server: finished(file.server, String::new()), sites: sites.collect() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "server: { deny: [10.99.0.0/16] }\nsites:\n  plant-2:\n    allow: [10.20.0.0/16, 169.254.0.0/16]\n    deny: [10.20.9.0/24]\n    sockets: []\n";

    #[test]
    fn every_site_is_held_to_its_own_ranges_and_a_refusal_names_the_rule() {
        let policies = parse_policies(FILE.as_bytes()).unwrap();
        let plant = &policies.sites["plant-2"];
        for (policy, address, refusal) in [
            (&policies.server, "10.20.9.1", None),
            (&policies.server, "10.99.0.1", Some("10.99.0.0/16 is denied (address policy of this server)")),
            (&policies.server, "169.254.169.254", Some("169.254.0.0/16 is denied (address policy of this server)")),
            (plant, "10.20.1.1", None),
            (plant, "10.20.9.1", Some("10.20.9.0/24 is denied (address policy of site plant-2)")),
            (
                plant,
                "10.99.0.1",
                Some("in none of the ranges allowed, 10.20.0.0/16, 169.254.0.0/16 (address policy of site plant-2)"),
            ),
            // What clouds keep there is denied whatever a site allows.
            (plant, "169.254.169.254", Some("169.254.0.0/16 is denied")),
        ] {
            let said = policy.permits(address.parse().unwrap()).map_err(|refused| refused.to_string());
            match refusal {
                None => assert_eq!(said, Ok(()), "{address}"),
                Some(part) => assert!(said.as_ref().is_err_and(|why| why.contains(part)), "{address}: {said:?}"),
            }
        }
        let docker = std::path::Path::new("/run/docker.sock");
        assert!(policies.server.permits_socket(docker).is_ok() && plant.permits_socket(docker).is_err());
    }

    #[test]
    fn an_empty_file_is_what_a_server_starts_with_and_a_wrong_one_says_where() {
        assert_eq!(parse_policies(b""), Ok(Policies::default()));
        assert_eq!(parse_policies(b"# nothing yet\n"), Ok(Policies::default()));
        let open = parse_policies(b"cloud_credentials: allowed\n").unwrap();
        assert_eq!(open.server.permits("169.254.169.254".parse().unwrap()), Ok(()));
        for (wrong, part) in [
            ("server: { alow: [10.0.0.0/8] }", "alow"),
            ("sites: { a: { allow: [10.0.0.0/33] } }", "10.0.0.0/33"),
            ("cloud_credentials: maybe", "maybe"),
            ("[]", ""),
        ] {
            let why = parse_policies(wrong.as_bytes()).unwrap_err();
            assert!(why.contains(part), "{wrong}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "(server|sites): \\{ ?(allow|deny|a): [\\[{]?[0-9./:]{0,12}[\\]}]? ?\\}") {
            let _ = (parse_policies(&bytes), parse_policies(text.as_bytes()));
        }
    }
}
