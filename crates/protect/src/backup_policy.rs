//! Backup policy: what is copied, when, where to and for how long. A copy counts when it has been restored, never when it
//! was written.

use kernel::define::is_schedule;
use kernel::{Bytes, Class, Define, Dur, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is copied, how often, where to, for how long, and how often a copy is restored to prove it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupPolicy {
    /// What it protects.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What is left out, and why.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// How it is copied: pg_dump, mysqldump, snapshot, restic, by another product …
    #[schemars(length(max = 100))]
    pub method: Option<String>,
    /// When: cron, `every 6h`, or a recurrence rule.
    #[schemars(length(max = 500))]
    pub schedule: Option<String>,
    /// Zone of the schedule, such as Europe/London; UTC when left out.
    #[schemars(length(min = 1, max = 64))]
    pub timezone: Option<String>,
    /// How many copies are kept.
    #[serde(default = "keep_default")]
    pub keep: Keep,
    /// Where copies lie. Three, on two kinds of store, one of them elsewhere, is the rule.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub copies: Vec<Copy>,
    /// Copies are encrypted before they leave the machine.
    #[serde(default = "encrypted_default")]
    pub encrypted: bool,
    /// How much of the latest data may be lost at most (RPO).
    pub recovery_point: Option<Dur>,
    /// In how much time a restore must be done (RTO).
    pub recovery_time: Option<Dur>,
    /// How often a copy is restored to prove it; quarterly is the least that auditors accept.
    pub restore_test_every: Option<Dur>,
    /// The secret with which copies are encrypted or the store is opened.
    pub credential: Option<Ref>,
    /// When the latest copy was written.
    pub last_backup: Option<Time>,
    /// How large it is.
    pub last_size_bytes: Option<Bytes>,
    /// When a copy was last restored successfully.
    pub last_proven: Option<Time>,
    /// Why the latest copy was not written, if it was not.
    pub last_error: Option<String>,
}

/// How many copies are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The latest so many.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100000))]
    pub last: u32,
    /// One for each of so many days.
    #[serde(default = "keep_daily")]
    #[schemars(range(min = 0, max = 100000))]
    pub daily: u32,
    /// One for each of so many weeks.
    #[serde(default = "keep_weekly")]
    #[schemars(range(min = 0, max = 100000))]
    pub weekly: u32,
    /// One for each of so many months.
    #[serde(default = "keep_monthly")]
    #[schemars(range(min = 0, max = 100000))]
    pub monthly: u32,
    /// One for each of so many years.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub yearly: u32,
}

/// One place where copies lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Where: a path, a bucket, a server. Never with a password in it.
    #[schemars(length(min = 1, max = 1000))]
    pub place: String,
    /// What kind of store it is.
    #[serde(default)]
    pub medium: Medium,
    /// It is in another building.
    #[serde(default)]
    pub elsewhere: bool,
    /// What was written cannot be altered or deleted for a while.
    #[serde(default)]
    pub immutable: bool,
}

/// What kind of store copies lie on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// Disks.
    #[default]
    Disk,
    /// An object store.
    Object,
    /// Tapes.
    Tape,
    /// Snapshots in the same store as the data; not a copy by itself.
    Snapshot,
}

impl Class for BackupPolicy {
    const KIND: &'static str = "backup-policy";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Backup policy", "Backup policies")
            .states(&[
                ("active", true, "Copies are made."),
                ("paused", true, "No copies are made, for now."),
                ("retired", false, "No longer in use; copies are kept as long as it says."),
            ])
            .step("pause", &["active"], "paused", "Makes no copies for now.")
            .step("resume", &["paused", "retired"], "active", "Makes copies again.")
            .step("retire", &["active", "paused"], "retired", "Makes no more copies.")
            .refers("credential", &["credential"], "uses", OnDelete::Block)
            .link("protects", &[], "Databases, machines and other records whose data it copies.")
            .computes(&["last_backup", "last_size_bytes", "last_proven", "last_error"], |_| {})
            .check(|fields| is_schedule(fields, "schedule", "timezone"))
            .indexed(&["last_backup", "last_proven"])
            .columns(&[
                "key",
                "title",
                "method",
                "schedule",
                "recovery_point",
                "last_backup",
                "last_proven",
                "owner",
                "state",
            ])
            .sorts(&["key", "-updated", "last_proven"])
            .practices(&[
                "service continuity management",
                "information security management",
                "ISO/IEC 27001 A.8.13",
                "CIS 11.2",
            ])
    }
}

fn keep_default() -> Keep {
    Keep { last: 0, daily: keep_daily(), weekly: keep_weekly(), monthly: keep_monthly(), yearly: 0 }
}

fn encrypted_default() -> bool {
    true
}

fn keep_daily() -> u32 {
    14
}

fn keep_weekly() -> u32 {
    8
}

fn keep_monthly() -> u32 {
    12
}
