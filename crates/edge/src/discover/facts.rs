//! What the machine is: names, system, hardware. A fact that cannot be found is left out.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{CannotSee, line};
use crate::parse::{colon, hosts, os_release};
use crate::system::System;

/// All facts that can be found.
pub(super) fn look(sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    let text = |path: &str| line(sys, path).map(Value::from);

    let uname = sys.uname();
    let host = uname.hostname.clone();
    put("fqdn", full_name(sys, &host).map(Value::from));
    put("hostname", Some(host.split('.').next().unwrap_or(&host).into()));
    put("kernel", Some(format!("{} {}", uname.system, uname.release).into()));
    put("architecture", Some(uname.machine.into()));

    let id = line(sys, "/etc/machine-id").or_else(|| line(sys, "/var/lib/dbus/machine-id"));
    put("machine_id", id.and_then(|id| super::machine_id::hashed(&id)).map(Value::from));

    let release = sys
        .read(Path::new("/etc/os-release"), 1 << 16)
        .or_else(|_| sys.read(Path::new("/usr/lib/os-release"), 1 << 16));
    let release = os_release::fields(&release.unwrap_or_default());
    for (fact, field) in [("os_name", "PRETTY_NAME"), ("os_id", "ID"), ("os_version", "VERSION_ID")] {
        put(fact, release.get(field).map(|value| value.as_str().into()));
    }

    let cpus = sys.read(Path::new("/proc/cpuinfo"), 4 << 20).unwrap_or_default();
    let [count, model, flags] = colon::values(&cpus, ["processor", "model name", "flags"]);
    put("cpu_count", (count.1 > 0).then(|| count.1.into()));
    put("cpu_model", model.0.map(Value::from));

    let memory = sys.read(Path::new("/proc/meminfo"), 1 << 16).unwrap_or_default();
    let [memory, swap] = colon::values(&memory, ["MemTotal", "SwapTotal"]);
    put("memory_bytes", memory.0.as_deref().and_then(colon::kilobytes).map(Value::from));
    put("swap_bytes", swap.0.as_deref().and_then(colon::kilobytes).map(Value::from));

    put(
        "boot_time",
        boot_second(sys)
            .and_then(|second| jiff::Timestamp::from_second(second).ok())
            .map(|time| time.to_string().into()),
    );
    put("timezone", timezone(sys).map(Value::from));
    put("virtualisation", Some(virtualisation(sys, &flags.0.unwrap_or_default()).into()));

    put("vendor", text("/sys/class/dmi/id/sys_vendor").filter(is_told));
    put("model", text("/sys/class/dmi/id/product_name").or_else(|| text("/proc/device-tree/model")).filter(is_told));
    let serial = sys.read(Path::new("/sys/class/dmi/id/product_serial"), 4096);
    match serial {
        Ok(_) => put("serial", text("/sys/class/dmi/id/product_serial").filter(is_told)),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => cannot_see.push(CannotSee {
            what: "serial number".into(),
            why: "only root may read it".into(),
            remedy: "run the agent as root, or enter the serial number by hand".into(),
        }),
        Err(_) => put("serial", text("/proc/device-tree/serial-number")), // Boards, and virtual machines without firmware tables.
    }
    facts
}

/// What makers write when they had nothing to write.
fn is_told(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
    ![
        "to be filled",
        "not specified",
        "default string",
        "system manufacturer",
        "system product name",
        "system serial number",
        "none",
        "0",
    ]
    .iter()
    .any(|empty| text == *empty || empty.len() > 8 && text.starts_with(empty))
}

/// Seconds from 1970 to the start of the kernel.
pub(super) fn boot_second(sys: &dyn System) -> Option<i64> {
    let bytes = sys.read(Path::new("/proc/stat"), 1 << 20).ok()?;
    crate::parse::lines(&bytes).find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

fn full_name(sys: &dyn System, host: &str) -> Option<String> {
    if host.contains('.') {
        return Some(host.to_owned());
    }
    hosts::canonical_name(&sys.read(Path::new("/etc/hosts"), 1 << 20).ok()?, host)
}

fn timezone(sys: &dyn System) -> Option<String> {
    let link = sys.read_link(Path::new("/etc/localtime")).ok();
    let name = link.and_then(|link| link.to_str()?.split_once("zoneinfo/").map(|(_, name)| name.to_owned()));
    name.or_else(|| line(sys, "/etc/timezone"))
}

/// `none`, the kind of container, or the kind of virtual machine; `vm` when it is one of a kind that does not say.
fn virtualisation(sys: &dyn System, cpu_flags: &str) -> String {
    if let Some(kind) = line(sys, "/run/systemd/container") {
        return kind;
    }
    for (mark, kind) in [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")] {
        if sys.read(Path::new(mark), 1).is_ok() {
            return kind.to_owned();
        }
    }
    let maker = ["sys_vendor", "product_name", "board_vendor", "bios_vendor"]
        .iter()
        .filter_map(|file| line(sys, &format!("/sys/class/dmi/id/{file}")))
        .collect::<Vec<_>>()
        .join(" ");
    let known = [
        ("KVM", "kvm"),
        ("QEMU", "qemu"),
        ("VMware", "vmware"),
        ("VirtualBox", "virtualbox"),
        ("innotek", "virtualbox"),
        ("Xen", "xen"),
        ("Microsoft Corporation Virtual Machine", "hyper-v"),
        ("Amazon EC2", "amazon"),
        ("Google Compute Engine", "google"),
        ("Bochs", "bochs"),
    ];
    if let Some((_, kind)) = known.iter().find(|(mark, _)| maker.contains(mark)) {
        return (*kind).to_owned();
    }
    if let Some(kind) = line(sys, "/sys/hypervisor/type") {
        return kind;
    }
    // The processor says that something is beneath it, on x86; other architectures do not have the word.
    if cpu_flags.split(' ').any(|flag| flag == "hypervisor") { "vm".to_owned() } else { "none".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Recorded, Uname};

    #[test]
    fn facts_that_nobody_knows_are_absent() {
        let mut blind = Vec::new();
        let mut sys = Recorded { uname: Uname { hostname: "web1".into(), ..Uname::default() }, ..Recorded::default() };
        let facts = look(&sys, &mut blind);
        assert!(!facts.contains_key("memory_bytes") && !facts.contains_key("fqdn") && !facts.contains_key("serial"));
        assert!(blind.is_empty(), "a machine without firmware tables hides nothing");
        sys.file("/sys/class/dmi/id/product_name", "To be filled by O.E.M.\n")
            .file("/sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
        sys.denied.insert("/sys/class/dmi/id/product_serial".into());
        let facts = look(&sys, &mut blind);
        assert_eq!(facts["vendor"], "Dell Inc.");
        assert!(!facts.contains_key("model"), "a maker's placeholder is not a model");
        assert_eq!(blind.len(), 1, "a serial number that is there and hidden is told");
    }

    #[test]
    fn the_raw_machine_id_is_nowhere_in_the_facts() {
        let id = "0123456789abcdef0123456789abcdef";
        let mut sys = Recorded::default();
        sys.file("/etc/machine-id", &format!("{id}\n"));
        let facts = look(&sys, &mut Vec::new());
        assert_eq!(facts["machine_id"].as_str().map(str::len), Some(32));
        assert!(!serde_json::to_string(&facts).expect("facts are JSON").contains(id));
    }
}
