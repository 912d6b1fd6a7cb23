//! Discovery: what this machine is, what it holds, what runs on it.
//!
//! [`Discovery`] looks in two cadences: [`Discovery::look_all`] reads everything and belongs every ten minutes;
//! [`Discovery::look_ports_and_processes`] reads what changes when something starts or stops, and is cheap enough for every five
//! seconds. It remembers between looks only what makes the next one cheaper or calmer, never what the machine was told to be.
//!
//! What cannot be seen is named in [`CannotSee`], with the reason and what would help; an empty table beside such an entry means
//! "unknown", not "none". Everything here blocks, so call it from a thread that may.

mod applications;
mod diff;
mod facts;
mod machine_id;
mod network;
mod packages;
mod ports;
mod processes;
mod storage;
mod units;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use applications::{Application, Listening};
pub use diff::{Change, ChangeKind, diff};

use crate::system::System;

/// Observed tables: table, item, value. The item is what stays the same while the value changes: a package's name, a port.
pub type Tables = BTreeMap<String, BTreeMap<String, Value>>;

/// Items of one table.
pub(crate) type Table = BTreeMap<String, Value>;

/// Everything seen in one look.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Snapshot {
    /// What the machine is: `hostname`, `memory_bytes` … A fact that could not be found is absent, not null.
    pub facts: BTreeMap<String, Value>,
    /// `packages users disks filesystems interfaces ports processes units`. A table that could not be read at all is absent.
    pub tables: Tables,
    /// What runs here, in the order of the key hints.
    pub applications: Vec<Application>,
    /// What this look is blind to.
    pub cannot_see: Vec<CannotSee>,
}

/// What changes when something starts or stops.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Live {
    /// `ports` and `processes`.
    pub tables: Tables,
    /// What runs here, in the order of the key hints.
    pub applications: Vec<Application>,
    /// What this look is blind to, as far as ports and processes go.
    pub cannot_see: Vec<CannotSee>,
}

/// A gap: something that is there and that this look cannot tell.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct CannotSee {
    /// What is unknown, as in "which process owns port tcp/0.0.0.0:2024".
    pub what: String,
    /// Why.
    pub why: String,
    /// What a person can do about it.
    pub remedy: String,
}

/// A look with memory. One for each machine that is looked at, kept as long as the agent runs.
#[derive(Debug)]
pub struct Discovery {
    patience: Duration,
    processes: processes::Memory,
    ports: ports::Memory,
    packages: packages::Memory,
    units: BTreeMap<String, units::Unit>,
    /// Applications seen before: a restarted one is told at once, without the wait for a new one.
    known: BTreeSet<String>,
    calm: Calm,
}

/// How old a process must be, unless a unit runs it, before its port makes it an application: what a test or a build opens for
/// a moment is not one.
pub const PATIENCE: Duration = Duration::from_secs(5);

impl Default for Discovery {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl Discovery {
    /// A look that takes a process for an application from the given age on, instead of [`PATIENCE`].
    #[must_use]
    pub fn with_patience(patience: Duration) -> Self {
        Self {
            patience,
            processes: processes::Memory::default(),
            ports: ports::Memory::default(),
            packages: packages::Memory::default(),
            units: BTreeMap::new(),
            known: BTreeSet::new(),
            calm: Calm::default(),
        }
    }

    /// Reads everything. Costs some tens of milliseconds of processor time; meant for every ten minutes.
    pub fn look_all(&mut self, sys: &dyn System) -> Snapshot {
        let mut cannot_see = Vec::new();
        let mut tables = Tables::new();
        let mut put = |name: &str, table: Option<Table>| {
            if let Some(table) = table {
                tables.insert(name.to_owned(), table);
            }
        };
        self.ports.forget_failures();
        put("packages", self.packages.look(sys, &mut cannot_see));
        put("users", users::look(sys, &mut cannot_see));
        put("disks", storage::disks(sys, &mut cannot_see));
        let filesystems = storage::filesystems(sys, &mut cannot_see);
        put("filesystems", filesystems.map(|table| self.calm.settle("filesystems", table, &["used_bytes"], 20)));
        put("interfaces", network::look(sys, &mut cannot_see));
        if let Some(found) = units::look(sys, &mut cannot_see) {
            put("units", Some(units::table(&found)));
            self.units = found;
        }
        let facts = facts::look(sys, &mut cannot_see);
        let live = self.look_ports_and_processes(sys);
        tables.extend(live.tables);
        cannot_see.extend(live.cannot_see);
        Snapshot { facts, tables, applications: live.applications, cannot_see }
    }

    /// Reads ports and processes and derives applications from them; units and packages are those of the last [`look_all`](Self::look_all).
    ///
    /// Costs one small read for each process and for each kind of socket; only a port that is new makes it search through open files.
    pub fn look_ports_and_processes(&mut self, sys: &dyn System) -> Live {
        let mut cannot_see = Vec::new();
        let mut seen = self.processes.look(sys, &mut cannot_see);
        let ports = self.ports.look(sys, &seen, &mut cannot_see);
        let owners: Vec<u32> = ports.iter().filter_map(|port| port.owner).collect();
        self.processes.look_closer(sys, &mut seen, &owners);

        let mut applications = applications::derive(&applications::Evidence {
            ports: &ports,
            processes: &seen,
            units: &self.units,
            known: &self.known,
            patience: self.patience,
        });
        let exes: BTreeSet<PathBuf> = applications.iter().filter_map(|found| found.exe.clone()).collect();
        let owners = self.packages.owners(sys, &exes);
        for application in &mut applications {
            application.package_from(&owners);
        }
        self.known.extend(applications.iter().map(|application| application.identity.clone()));

        let processes = self.calm.settle("processes", processes::table(&seen), &["rss_bytes", "count"], 4);
        let tables = Tables::from([
            ("ports".to_owned(), ports::table(&ports, &seen, &self.units)),
            ("processes".to_owned(), processes),
        ]);
        Live { tables, applications, cannot_see }
    }
}

/// Everything, once, without memory: what `mainstay` tells on the command line.
pub fn look(sys: &dyn System) -> Snapshot {
    Discovery::default().look_all(sys)
}

/// Keeps figures that breathe (memory in use, room on a disk) from making history at every look: a figure is told anew only
/// when it has moved by a stated share of what was told last. Exact figures over time belong to series, not to tables.
#[derive(Debug, Default)]
struct Calm {
    told: HashMap<&'static str, Table>,
}

impl Calm {
    /// `table` with its breathing `fields` as they were told last, unless they moved by more than a `share`-th.
    fn settle(&mut self, name: &'static str, mut table: Table, fields: &[&str], share: u64) -> Table {
        let told = self.told.entry(name).or_default();
        for (item, value) in &mut table {
            for field in fields {
                let before = told.get(item).and_then(|old| old.get(field)).and_then(Value::as_u64);
                let now = value.get(*field).and_then(Value::as_u64);
                if let (Some(before), Some(now)) = (before, now)
                    && before.abs_diff(now) <= before / share
                {
                    value[*field] = before.into();
                }
            }
        }
        told.clone_from(&table);
        table
    }
}

/// A whole small file as text, without the newline at its end; none when it cannot be read or is empty.
pub(crate) fn line(sys: &dyn System, path: &str) -> Option<String> {
    let bytes = sys.read(path.as_ref(), 4096).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_breathing_figure_is_told_anew_only_when_it_moved() {
        let mut calm = Calm::default();
        let table = |bytes: u64| Table::from([("nginx".to_owned(), json!({ "rss_bytes": bytes, "pid": bytes }))]);
        let rows = [
            // now, told, why
            (1000, 1000, "the first is told"),
            (1200, 1000, "a fifth more is breathing"),
            (1260, 1260, "more than a quarter is a change"),
            (1000, 1260, "measured against what was told, not against what was seen"),
        ];
        for (now, told, why) in rows {
            let settled = calm.settle("processes", table(now), &["rss_bytes"], 4);
            assert_eq!(settled["nginx"]["rss_bytes"], told, "{why}");
            assert_eq!(settled["nginx"]["pid"], now, "other fields are as they are");
        }
    }
}
