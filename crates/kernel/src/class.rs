//! The definition of a kind of record as data: one form for classes from Rust and from YAML.
//!
//! Forms, tables, filters, the API schema, the command line and the documentation are projections of a [`ClassDef`]; nothing in
//! the write path asks whether a class is built in.

use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

use crate::error::FieldError;
use crate::ids::Kind;
use crate::record::Record;
use crate::shape::Field;

/// Which of the eight verbs a class belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the eight verbs and the kernel itself")]
pub enum Verb {
    Know,
    Watch,
    Respond,
    Serve,
    Change,
    Protect,
    Plan,
    Prove,
    Kernel,
}

/// A state of the life cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateDef {
    /// Name, kebab-case (check states are upper-case words, as the field writes them).
    pub name: String,
    /// Whether work on the record is still to be done: what `state:open` matches.
    pub open: bool,
    /// Where a new record starts.
    pub initial: bool,
    /// What it means.
    pub help: String,
}

/// A named step between states.
#[derive(Clone, Serialize)]
pub struct TransitionDef {
    /// Name, kebab-case: the verb on the button.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// States it starts from.
    pub from: Vec<String>,
    /// Where it leads; `None` leaves the state as it is.
    pub to: Option<String>,
    /// What it does.
    pub help: String,
    /// Makes the one who does it the owner.
    pub takes_owner: bool,
    /// Fields that must have a value before it is done.
    pub requires: Vec<String>,
    /// Fields asked for when it is done; they are written into the record's fields.
    pub input: Vec<Field>,
    /// Only for Mainstay's own controllers.
    pub machine: bool,
    /// Sets these fields, for example a time: the value `"$now"` is the present, `"$actor"` who does it,
    /// `"$next"` one more than before.
    pub sets: Map<String, Value>,
    /// The guard in code, if any.
    #[serde(skip)]
    pub guard: Option<Guard>,
}

impl fmt::Debug for TransitionDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} -> {:?}", self.name, self.from, self.to)
    }
}

/// A guard: looks at the record as it would be and refuses with a sentence.
pub type Guard = fn(&Record) -> Result<(), String>;

/// A check of the fields of a record as a whole.
pub type Check = fn(&Map<String, Value>) -> Result<(), FieldError>;

/// Fills computed fields from the others.
pub type Compute = fn(&mut Map<String, Value>);

/// What becomes of a link's source when its target is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDelete {
    /// The link goes, the source stays.
    Unlink,
    /// The target cannot be deleted while the link stands.
    Block,
    /// The source is deleted too.
    Cascade,
}

/// A type of link that records of a class can have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkDef {
    /// Type, kebab-case, read from source to target: `runs-on`.
    #[serde(rename = "type")]
    pub name: String,
    /// Name for people.
    pub title: String,
    /// The same link read from the target: `runs`.
    pub reverse: String,
    /// That, for people.
    pub reverse_title: String,
    /// Classes of the target; empty: any.
    pub to: Vec<String>,
    /// More than one such link from a record.
    pub many: bool,
    /// At least one such link.
    pub required: bool,
    /// What becomes of the source when the target is deleted.
    pub on_delete: OnDelete,
    /// What it means.
    pub help: String,
    /// The ref field that it is lifted from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Trouble of the target is trouble of the source: what an impact walk follows.
    pub impact: bool,
}

/// A kind of record.
#[derive(Clone, Serialize)]
pub struct ClassDef {
    /// Name.
    pub name: Kind,
    /// Name for people, singular.
    pub title: String,
    /// Name for people, plural.
    pub plural: String,
    /// The verb it belongs to.
    pub verb: Verb,
    /// What it is, in a sentence or two.
    pub help: String,
    /// Prefix of numbered keys, with the hyphen: `INC-`.
    pub prefix: Option<String>,
    /// From Rust (true) or from a user's YAML.
    pub builtin: bool,
    /// Fields, in the order of the form.
    pub fields: Vec<Field>,
    /// States, in the order of the life cycle.
    pub states: Vec<StateDef>,
    /// Steps between them.
    pub transitions: Vec<TransitionDef>,
    /// Links it can have.
    pub links: Vec<LinkDef>,
    /// Columns of its table, in order.
    pub columns: Vec<String>,
    /// Sort orders that have an index; the first is the default. `-` means newest or greatest first.
    pub sort: Vec<String>,
    /// ITIL practices and controls that it is evidence for.
    pub practices: Vec<String>,
    /// Checks of the whole.
    #[serde(skip)]
    pub checks: Vec<Check>,
    /// Rules in the filter language with the sentence that is told when one does not hold.
    pub rules: Vec<RuleDef>,
    /// Fills computed fields.
    #[serde(skip)]
    pub compute: Vec<Compute>,
    /// Days after which closed records may be removed; `None` keeps them for ever.
    pub retention_days: Option<u32>,
}

/// A rule of a user's class: an expression in the filter language, and what to say when it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDef {
    /// Filter text that every record must match.
    pub holds: String,
    /// What is told otherwise.
    pub say: String,
    /// The field at which it is told.
    #[serde(default)]
    pub field: String,
}

impl fmt::Debug for ClassDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class {}", self.name)
    }
}

impl ClassDef {
    /// The state in which a new record starts.
    pub fn initial_state(&self) -> &str {
        self.states.iter().find(|s| s.initial).or(self.states.first()).map_or("active", |s| s.name.as_str())
    }

    /// Whether records in `state` are open.
    pub fn is_open(&self, state: &str) -> bool {
        self.states.iter().any(|s| s.name == state && s.open)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The transition of that name.
    pub fn transition(&self, name: &str) -> Option<&TransitionDef> {
        self.transitions.iter().find(|t| t.name == name)
    }

    /// The link type of that name.
    pub fn link(&self, name: &str) -> Option<&LinkDef> {
        self.links.iter().find(|l| l.name == name)
    }

    /// Title of a record with these fields: its `title`, `name` or `subject`, else its key.
    pub fn title_for(&self, fields: &Map<String, Value>, key: &str) -> String {
        ["title", "name", "subject"]
            .iter()
            .find_map(|n| fields.get(*n).and_then(Value::as_str))
            .filter(|t| !t.is_empty())
            .unwrap_or(key)
            .to_owned()
    }

    /// The document that surfaces show for this class: the definition and its JSON Schema.
    pub fn view(&self) -> Value {
        let mut view = serde_json::to_value(self).expect("a class definition is plain data");
        if let Some(object) = view.as_object_mut() {
            object.insert("schema".into(), crate::shape::object_schema(&self.fields));
        }
        view
    }
}

/// Classes are shared.
pub type ClassRef = Arc<ClassDef>;
