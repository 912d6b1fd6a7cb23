//! `/etc/passwd` and `/etc/group`. The second field, where old systems keep a hash, is never read.

use std::collections::BTreeMap;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Log-in name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// The comment field: usually the person's name.
    pub comment: String,
    /// Home folder.
    pub home: String,
    /// Shell.
    pub shell: String,
}

impl User {
    /// Whether the shell lets somebody in. Keys and passwords are not looked at: this says "could", not "does".
    #[must_use]
    pub fn can_log_in(&self) -> bool {
        let shell = self.shell.rsplit('/').next().unwrap_or_default();
        !matches!(shell, "nologin" | "false" | "sync" | "halt" | "shutdown")
    }
}

/// Accounts in the order of the file. Lines of other kinds (`+` of NIS, broken ones) are left out.
#[must_use]
pub fn users(bytes: &[u8]) -> Vec<User> {
    super::lines(bytes)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
            let _hash = fields.next()?;
            let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let mut text = || fields.next().map(str::to_owned);
            Some(User { name, uid, gid, comment: text()?, home: text()?, shell: text().unwrap_or_default() })
        })
        .collect()
}

/// Names of the groups that each user belongs to beside the primary one, and of groups by id.
#[must_use]
pub fn groups(bytes: &[u8]) -> (BTreeMap<String, Vec<String>>, BTreeMap<u32, String>) {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for line in super::lines(bytes) {
        let fields: Vec<&str> = line.split(':').collect();
        let [group, _, gid, users, ..] = fields.as_slice() else { continue };
        let Ok(gid) = gid.parse() else { continue };
        names.insert(gid, (*group).to_owned());
        for user in users.split(',').filter(|user| !user.is_empty()) {
            members.entry(user.to_owned()).or_default().push((*group).to_owned());
        }
    }
    (members, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_told_without_hashes() {
        let found = users(b"root:$1$abc$secret:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n+::::::\nana:x:1000:1000:Ana,,,:/home/ana:/bin/zsh\n");
        assert_eq!(
            found.iter().map(|u| (u.name.as_str(), u.uid, u.can_log_in())).collect::<Vec<_>>(),
            [("root", 0, true), ("www-data", 33, false), ("ana", 1000, true)]
        );
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn groups_are_told_by_member_and_by_id() {
        let (members, names) = groups(b"root:x:0:\nsudo:x:27:ana,bo\nadm:x:4:ana\nbroken\n");
        assert_eq!(members["ana"], ["sudo", "adm"]);
        assert_eq!(members["bo"], ["sudo"]);
        assert_eq!(names[&27], "sudo");
    }
}
