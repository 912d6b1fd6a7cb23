//! Accounts of this machine and their groups. No hash is read, and nothing says whether somebody has a password.

use std::path::Path;

use serde_json::json;

use super::{CannotSee, Table};
use crate::parse::passwd;
use crate::system::System;

const LIMIT: usize = 16 << 20;

/// The table: a row for each account of `/etc/passwd`. Accounts of a directory service are not in it.
pub(super) fn look(sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Option<Table> {
    let bytes = match sys.read(Path::new("/etc/passwd"), LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => {
            cannot_see.push(CannotSee {
                what: "users".into(),
                why: format!("/etc/passwd: {error}"),
                remedy: "let the agent read /etc/passwd".into(),
            });
            return None;
        }
    };
    let (members, names) = passwd::groups(&sys.read(Path::new("/etc/group"), LIMIT).unwrap_or_default());
    let rows = passwd::users(&bytes).into_iter().map(|user| {
        let row = json!({
            "uid": user.uid,
            "gid": user.gid,
            "group": names.get(&user.gid),
            "groups": members.get(&user.name).map(Vec::as_slice).unwrap_or_default(),
            "comment": user.comment,
            "home": user.home,
            "shell": user.shell,
            "can_log_in": user.can_log_in(),
        });
        (user.name, row)
    });
    Some(rows.collect())
}
