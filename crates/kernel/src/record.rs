//! A record: a thing the team keeps track of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Time;
use crate::ids::{Id, Kind, TenantId};

/// How well the thing is: the word of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// It works.
    Up,
    /// Agreed work is being done on it; what happens meanwhile is not counted.
    Maintenance,
    /// Nothing is known: no fresh measurement. Never shown as good.
    Unknown,
    /// It works badly.
    Degraded,
    /// It does not work.
    Down,
}

impl HealthState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// From the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Up, Self::Maintenance, Self::Unknown, Self::Degraded, Self::Down]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// The present health of a record; the intervals are its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How well.
    pub state: HealthState,
    /// Since when.
    pub since: Time,
    /// What was seen, in a sentence.
    pub reason: String,
}

/// A record as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The id behind the key.
    pub id: Id,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its class.
    pub kind: Kind,
    /// Readable, permanent, unique per tenant over all classes.
    pub key: String,
    /// State of its life cycle.
    pub state: String,
    /// Whether that state is open.
    pub open: bool,
    /// Since when it is in that state.
    pub state_since: Time,
    /// Title for people.
    pub title: String,
    /// Key of the person or team that answers for it.
    pub owner: Option<String>,
    /// How well it is, for what is watched.
    pub health: Option<Health>,
    /// Revision number; 1 after creation. Health does not count.
    pub version: u64,
    /// When it was created.
    pub created: Time,
    /// When it last changed (health does not count).
    pub updated: Time,
    /// Deleted: a tombstone, whose key stays taken.
    pub deleted: bool,
    /// Its fields, by the class.
    pub fields: Map<String, Value>,
}

impl Record {
    /// A field's value; `None` when absent or null.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|v| !v.is_null())
    }

    /// A text field, or `""`.
    pub fn text(&self, field: &str) -> &str {
        self.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A whole-number field.
    pub fn int(&self, field: &str) -> Option<i64> {
        self.get(field).and_then(Value::as_i64)
    }

    /// A truth field; absent is false.
    pub fn flag(&self, field: &str) -> bool {
        self.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The parts of a record that a journal entry compares: everything people and controllers can change.
    pub fn comparable(&self) -> Map<String, Value> {
        let mut all = self.fields.clone();
        all.insert("state".into(), self.state.clone().into());
        all.insert("owner".into(), self.owner.clone().into());
        all
    }

    /// The JSON that surfaces show; `tenant` is the tenant's key.
    pub fn view(&self, tenant: &str) -> Value {
        serde_json::json!({
            "class": self.kind, "key": self.key, "id": self.id, "tenant": tenant, "state": self.state, "open": self.open,
            "state_since": self.state_since, "version": self.version, "title": self.title, "owner": self.owner,
            "health": self.health, "fields": self.fields, "created": self.created, "updated": self.updated,
        })
    }
}

/// What a record shows of itself where it stands in a list of links or a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The id behind the key.
    pub id: Id,
    /// Its class.
    #[serde(rename = "class")]
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// Its title.
    pub title: String,
    /// State of its life cycle.
    pub state: String,
    /// How well it is.
    pub health: Option<Health>,
}

impl From<&Record> for Head {
    fn from(r: &Record) -> Self {
        Self {
            id: r.id,
            kind: r.kind.clone(),
            key: r.key.clone(),
            title: r.title.clone(),
            state: r.state.clone(),
            health: r.health.clone(),
        }
    }
}
