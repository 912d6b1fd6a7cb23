//! From a Rust struct to a [`ClassDef`]: the trait of built-in classes and its builder.
//!
//! Doc comments of the struct become the help text. Whatever the builder is told is checked by the registry at start, where a
//! wrong name stops the program: a class that cannot be projected never runs.

pub mod proof;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::class::{Check, ClassDef, Compute, Guard, LinkDef, OnDelete, StateDef, TransitionDef, Verb};
use crate::clock::Time;
use crate::error::FieldError;
use crate::ids::Kind;
use crate::shape::{Field, Word, fields_of_schema, title_of};

/// A built-in class: its fields are those of the struct.
pub trait Class: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Name in kebab-case.
    const KIND: &'static str;
    /// Fills in life cycle, links and columns.
    fn define(def: Define<Self>) -> Define<Self>;
}

/// The key of another record. Its field must be named in [`Define::refers`], which lifts it into a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ref(pub String);

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Ref {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

/// A span of time as a field; text such as `30s` in JSON and YAML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Dur(pub Duration);

impl Dur {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Serialize for Dur {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&crate::clock::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        crate::clock::parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A size in bytes as a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

macro_rules! word_schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
word_schema!(Ref, "Ref", {"type": "string", "format": "ref"});
word_schema!(Dur, "Dur", {"type": "string", "format": "duration"});
word_schema!(Bytes, "Bytes", {"type": "integer", "format": "bytes", "minimum": 0});

/// The fields of a struct, in the order in which they are written.
///
/// # Errors
/// The name of a field that no word of a shape covers.
pub fn fields_of<T: JsonSchema>() -> Result<Vec<Field>, String> {
    fields_of_schema(&schema_of::<T>())
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Builds the definition of a class.
pub struct Define<T> {
    def: ClassDef,
    indexed: Vec<String>,
    _class: PhantomData<fn() -> T>,
}

impl<T: Class> Define<T> {
    /// A definition with the fields of `T`, one state `active`, and the columns key, title, state.
    ///
    /// # Panics
    /// At start, when a field of `T` has no word: a defect in the program, not in data.
    pub fn new(verb: Verb) -> Self {
        let schema = schema_of::<T>();
        let fields = fields_of_schema(&schema).unwrap_or_else(|why| panic!("class {}: {why}", T::KIND));
        let help = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let title = title_of(T::KIND);
        Self {
            def: ClassDef {
                name: Kind::new(T::KIND),
                plural: plural_of(&title),
                title,
                verb,
                help,
                prefix: None,
                builtin: true,
                fields,
                states: vec![StateDef { name: "active".into(), open: true, initial: true, help: "In use.".into() }],
                transitions: Vec::new(),
                links: Vec::new(),
                columns: vec!["key".into(), "title".into(), "state".into()],
                sort: vec!["-updated".into()],
                practices: Vec::new(),
                checks: Vec::new(),
                rules: Vec::new(),
                compute: Vec::new(),
                retention_days: None,
            },
            indexed: Vec::new(),
            _class: PhantomData,
        }
    }

    /// Names for people.
    pub fn titled(mut self, singular: &str, plural: &str) -> Self {
        self.def.title = singular.into();
        self.def.plural = plural.into();
        self
    }

    /// Keys are numbered with this prefix, hyphen included.
    pub fn numbered(mut self, prefix: &str) -> Self {
        self.def.prefix = Some(prefix.into());
        self
    }

    /// The states in order, the first is where a record starts: `(name, open, what it means)`.
    pub fn states(mut self, states: &[(&str, bool, &str)]) -> Self {
        self.def.states = states
            .iter()
            .enumerate()
            .map(|(i, (name, open, help))| StateDef {
                name: (*name).into(),
                open: *open,
                initial: i == 0,
                help: (*help).into(),
            })
            .collect();
        self
    }

    /// A step `name` from any of `from` to `to`; an empty `to` leaves the state as it is. Its title is made from its name.
    pub fn step(self, name: &str, from: &[&str], to: &str, help: &str) -> Self {
        self.transition(Step::new(name, from, to, help))
    }

    /// A step with more to it.
    ///
    /// # Panics
    /// At start, when the step asks for a field that the class does not have.
    pub fn transition(mut self, step: Step) -> Self {
        let Step { mut def, own } = step;
        for name in own {
            let field = self.def.fields.iter().find(|f| f.name == name);
            let field = field.unwrap_or_else(|| {
                panic!("class {}: {} asks for a field \"{name}\" that it does not have", T::KIND, def.name)
            });
            // Whether it must have a value is for `requires`, which also sees the value that the record already has.
            def.input.push(Field { required: false, default: None, ..field.clone() });
        }
        self.def.transitions.push(def);
        self
    }

    /// The ref field `field` points at one of `classes` and is lifted into a link of type `relation`.
    pub fn refers(mut self, field: &str, classes: &[&str], relation: &str, on_delete: OnDelete) -> Self {
        let class: Vec<String> = classes.iter().map(|c| (*c).into()).collect();
        let found = self.def.fields.iter_mut().find(|f| f.name == field);
        let found =
            found.unwrap_or_else(|| panic!("class {}: refers to a field \"{field}\" that it does not have", T::KIND));
        let (many, required, help) = (found.word == Word::List, found.required, found.help.clone());
        let target = if many { found.item.as_mut().expect("a list has an item") } else { found };
        target.class.clone_from(&class);
        target.relation = Some(relation.into());
        let mut link = link_def(relation, &class, on_delete, &help);
        link.many = many;
        link.required = required;
        link.field = Some(field.into());
        self.def.links.push(link);
        self
    }

    /// A link of type `name` to `to` (empty: any class), any number of them, gone when the target is deleted.
    pub fn link(mut self, name: &str, to: &[&str], help: &str) -> Self {
        let to: Vec<String> = to.iter().map(|c| (*c).into()).collect();
        self.def.links.push(link_def(name, &to, OnDelete::Unlink, help));
        self
    }

    /// Marks the link added last: trouble of its target is trouble of this record; impact walks follow it.
    pub fn carries_impact(mut self) -> Self {
        self.def.links.last_mut().expect("carries_impact follows a link").impact = true;
        self
    }

    /// Marks the link added last as at most one.
    pub fn at_most_one(mut self) -> Self {
        self.def.links.last_mut().expect("at_most_one follows a link").many = false;
        self
    }

    /// Marks the link added last as one that every record has.
    pub fn must_have(mut self) -> Self {
        self.def.links.last_mut().expect("must_have follows a link").required = true;
        self
    }

    /// Says how the link added last reads from its target, in kebab-case.
    pub fn reversed(mut self, reverse: &str) -> Self {
        let link = self.def.links.last_mut().expect("reversed follows a link");
        link.reverse = reverse.into();
        link.reverse_title = title_of(reverse);
        self
    }

    /// Fields with an index.
    pub fn indexed(mut self, fields: &[&str]) -> Self {
        self.indexed.extend(fields.iter().map(|f| (*f).to_owned()));
        self
    }

    /// Columns of the table, in order.
    pub fn columns(mut self, columns: &[&str]) -> Self {
        self.def.columns = columns.iter().map(|c| (*c).into()).collect();
        self
    }

    /// Sort orders that have an index; the first is the default.
    pub fn sorts(mut self, sorts: &[&str]) -> Self {
        self.def.sort = sorts.iter().map(|c| (*c).into()).collect();
        self
    }

    /// ITIL practices that records of this class are evidence for.
    pub fn practices(mut self, practices: &[&str]) -> Self {
        self.def.practices = practices.iter().map(|c| (*c).into()).collect();
        self
    }

    /// A check of all fields together.
    pub fn check(mut self, check: Check) -> Self {
        self.def.checks.push(check);
        self
    }

    /// Fields that Mainstay fills, and how.
    pub fn computes(mut self, fields: &[&str], compute: Compute) -> Self {
        for name in fields {
            let field = self.def.fields.iter_mut().find(|f| f.name == *name);
            field
                .unwrap_or_else(|| panic!("class {}: computes a field \"{name}\" that it does not have", T::KIND))
                .computed = true;
        }
        self.def.compute.push(compute);
        self
    }

    /// Closed records may be removed after so many days.
    pub fn retention_days(mut self, days: u32) -> Self {
        self.def.retention_days = Some(days);
        self
    }

    /// The finished definition.
    pub fn done(mut self) -> ClassDef {
        for name in &self.indexed {
            let field = self.def.fields.iter_mut().find(|f| f.name == *name);
            field
                .unwrap_or_else(|| panic!("class {}: indexes a field \"{name}\" that it does not have", T::KIND))
                .indexed = true;
        }
        self.def
    }
}

/// A step of a life cycle, built up.
pub struct Step {
    def: TransitionDef,
    /// Fields of the class itself that are asked for.
    own: Vec<String>,
}

impl Step {
    /// A step `name` from any of `from` to `to` (empty: stays).
    pub fn new(name: &str, from: &[&str], to: &str, help: &str) -> Self {
        let def = TransitionDef {
            name: name.into(),
            title: title_of(name),
            from: from.iter().map(|s| (*s).into()).collect(),
            to: (!to.is_empty()).then(|| to.into()),
            help: help.into(),
            takes_owner: false,
            requires: Vec::new(),
            input: Vec::new(),
            machine: false,
            sets: serde_json::Map::new(),
            guard: None,
        };
        Self { def, own: Vec::new() }
    }

    /// Title on the button.
    pub fn titled(mut self, title: &str) -> Self {
        self.def.title = title.into();
        self
    }

    /// Whoever does it becomes the owner.
    pub fn takes_owner(mut self) -> Self {
        self.def.takes_owner = true;
        self
    }

    /// Fields that must have a value first.
    pub fn requires(mut self, fields: &[&str]) -> Self {
        self.def.requires = fields.iter().map(|f| (*f).into()).collect();
        self
    }

    /// Asks for these fields of the class, which may stay empty.
    pub fn asks_for(mut self, fields: &[&str]) -> Self {
        self.own.extend(fields.iter().map(|f| (*f).to_owned()));
        self
    }

    /// Asks for these fields of the class and is refused while one of them has no value.
    pub fn needs(self, fields: &[&str]) -> Self {
        let mut step = self.asks_for(fields);
        step.def.requires.extend(fields.iter().map(|f| (*f).to_owned()));
        step
    }

    /// Asks for a field that is not one of the class.
    pub fn asks(mut self, field: Field) -> Self {
        self.def.input.push(field);
        self
    }

    /// Only for Mainstay's own controllers.
    pub fn machine(mut self) -> Self {
        self.def.machine = true;
        self
    }

    /// Sets a field; `"$now"`, `"$actor"` and `"$next"` (one more) are filled in.
    pub fn sets(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.def.sets.insert(field.into(), value.into());
        self
    }

    /// A guard in code.
    pub fn guarded(mut self, guard: Guard) -> Self {
        self.def.guard = Some(guard);
        self
    }
}

/// A link definition with its names for people.
pub fn link_def(name: &str, to: &[String], on_delete: OnDelete, help: &str) -> LinkDef {
    let reverse = reverse_of(name);
    LinkDef {
        name: name.into(),
        title: title_of(name),
        reverse_title: title_of(&reverse),
        reverse,
        to: to.to_vec(),
        many: true,
        required: false,
        on_delete,
        help: help.into(),
        field: None,
        impact: matches!(
            name,
            "runs-on"
                | "depends-on"
                | "part-of"
                | "hosted-by"
                | "connects-to"
                | "served-by"
                | "located-in"
                | "mounted-in"
                | "carried-by"
                | "secured-by"
        ),
    }
}

/// How a link type reads from the other end. A type reads back in one way in all classes, users' own included: hence one table.
fn reverse_of(name: &str) -> String {
    match name {
        "runs-on" => "runs",
        "depends-on" => "needed-by",
        "part-of" => "contains",
        "hosted-by" => "hosts",
        "connects-to" => "connected-from",
        "served-by" => "serves",
        "located-in" => "holds",
        "secured-by" => "secures",
        "affects" => "affected-by",
        "caused-by" => "causes",
        "resolved-by" => "resolves",
        "explains" => "explained-by",
        "relates-to" => "related-from",
        "duplicate-of" => "duplicates",
        "follows-up" => "followed-up-by",
        "on" => "has",
        "of" => "instances",
        "for" => "answered-by",
        "about" => "subject-of",
        "covers" => "covered-by",
        "checked-from" => "checks-from",
        "raised-by" => "raises",
        "changes" => "changed-by",
        "includes" => "included-in",
        "protects" => "protected-by",
        "mitigated-by" => "mitigates",
        "examines" => "examined-in",
        "applies-to" => "subject-to",
        "evidenced-by" => "evidence-for",
        "promises-for" => "promised-by",
        "uses" => "used-by",
        "unlocks" => "unlocked-by",
        "shows" => "shown-on",
        "installed-on" => "installs",
        "licenses" => "licensed-by",
        "carried-by" => "carries",
        "assigned-to" => "assigned",
        "arises-from" => "gives-rise-to",
        "mounted-in" => "mounts",
        "instance-of" => "has-instance",
        "replicates" => "replicated-by",
        "replaced-by" => "replaces",
        "suppressed-by" => "suppresses",
        "answered-with" => "answers",
        "issued-by" => "issued",
        "attended-by" => "attended",
        "helped-by" => "helps",
        "worked-with-by" => "works-with",
        "leads-to" => "comes-from",
        "supplied-by" => "supplies",
        "supported-by" => "supports",
        "agreed-with" => "agreed",
        "member-of" => "members",
        "holds-role" => "held-by",
        "owned-by" => "owns",
        "requested-by" => "requested",
        "requested-for" => "receives",
        "reported-by" => "reported",
        "approved-by" => "approves",
        "acknowledged-by" => "acknowledged",
        "notifies" => "notified-by",
        "escalates-by" => "escalates-for",
        "sent-through" => "sends",
        "staffed-by" => "staffs",
        "follows-calendar" => "times",
        other => return format!("{other}-of"),
    }
    .into()
}

/// A check that one time of a record is not before another; either may be absent.
///
/// # Errors
/// At `later`, when it lies before `earlier`.
pub fn in_order(fields: &serde_json::Map<String, Value>, earlier: &str, later: &str) -> Result<(), FieldError> {
    let time = |name: &str| fields.get(name).and_then(Value::as_str).and_then(Time::parse);
    match (time(earlier), time(later)) {
        (Some(first), Some(second)) if second < first => {
            Err(FieldError::new(later, format!("must not be before {earlier}, which is {first}")))
        }
        _ => Ok(()),
    }
}

/// A check that a field is a schedule as [`Schedule`](crate::schedule::Schedule) reads it, in the zone that another field names
/// (UTC when that is absent). Both may be absent; a zone alone is checked too.
///
/// # Errors
/// At the field, with what is allowed.
pub fn is_schedule(fields: &serde_json::Map<String, Value>, schedule: &str, timezone: &str) -> Result<(), FieldError> {
    use crate::schedule::Schedule;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let zone = text(timezone).unwrap_or("UTC");
    Schedule::parse("@daily", zone).map_err(|why| FieldError::new(timezone, why))?;
    let Some(given) = text(schedule) else { return Ok(()) };
    Schedule::parse(given, zone).map(|_| ()).map_err(|why| FieldError::new(schedule, why))
}

fn plural_of(title: &str) -> String {
    if let Some(stem) = title.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    if title.ends_with('s') || title.ends_with('x') || title.ends_with("ch") {
        format!("{title}es")
    } else {
        format!("{title}s")
    }
}

impl Step {
    /// The finished step.
    pub fn into_def(self) -> TransitionDef {
        self.def
    }
}

/// The definition of a built-in class: what a domain lists, one line a class.
pub fn class<T: Class>(verb: Verb) -> ClassDef {
    T::define(Define::new(verb)).done()
}
