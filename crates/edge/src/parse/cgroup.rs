//! `/proc/PID/cgroup`: which systemd unit a process belongs to. Never asks systemd.

/// The service (or scope) whose control group holds the process; none where no systemd sorts processes into groups.
///
/// Units of a person's own systemd (`user@1000.service/app.slice/x.service`) give the innermost service, `x.service`.
#[must_use]
pub fn unit(bytes: &[u8]) -> Option<String> {
    let line = super::lines(bytes)
        .map(std::borrow::Cow::into_owned)
        .filter(|line| line.starts_with("0::") || line.contains(":name=systemd:"))
        .find(|line| line.contains(".service") || line.contains(".scope"))?;
    let path = line.splitn(3, ':').nth(2)?;
    path.split('/').rev().find(|part| part.ends_with(".service")).map(unescape)
}

/// systemd writes `\x2d` for a dash inside names of templates and devices.
fn unescape(name: &str) -> String {
    name.replace("\\x2d", "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_innermost_service() {
        let table = [
            ("0::/system.slice/nginx.service\n", Some("nginx.service"), "cgroup v2"),
            ("1:name=systemd:/system.slice/ssh.service\n0::/\n", Some("ssh.service"), "cgroup v1 with named hierarchy"),
            (
                "0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
                Some("postgresql@15-main.service"),
                "instance",
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service\n",
                Some("syncthing.service"),
                "user",
            ),
            ("0::/user.slice/user-0.slice/session-4.scope\n", None, "a log-in session is no unit of its own"),
            ("0::/system.slice/docker-0af3.scope\n", None, "a container"),
            ("2:cpuacct:/\n1:cpu:/\n0::/\n", None, "no systemd"),
            ("", None, "nothing"),
        ];
        for (text, expected, why) in table {
            assert_eq!(unit(text.as_bytes()).as_deref(), expected, "{why}");
        }
    }
}
