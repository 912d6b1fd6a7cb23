//! Users' classes: YAML that becomes the same [`ClassDef`] as a Rust struct.
//!
//! A class record's fields hold this document; when one changes, the registry is replaced as a whole, without a restart.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::class::{ClassDef, OnDelete, RuleDef, StateDef, TransitionDef, Verb};
use crate::define::{Step, link_def};
use crate::ids::Kind;
use crate::shape::{Field, Word, title_of};

/// The document of a user's class, as written under `spec:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserClass {
    /// Name for people; made from the name when left out.
    #[serde(default)]
    pub title: String,
    /// Plural for people.
    #[serde(default)]
    pub plural: String,
    /// What it is.
    #[serde(default)]
    pub help: String,
    /// The verb under which it is listed.
    #[serde(default = "know")]
    pub verb: Verb,
    /// Prefix of numbered keys.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Fields by name, in order.
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// States in order; a plain name is an open state, `{name, open, help}` says more. Left out: `active`, `retired`.
    #[serde(default)]
    pub states: Vec<UserState>,
    /// Steps by name.
    #[serde(default)]
    pub transitions: BTreeMap<String, UserStep>,
    /// Links by type.
    #[serde(default)]
    pub links: BTreeMap<String, UserLink>,
    /// Columns of the table.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Sort orders.
    #[serde(default)]
    pub sort: Vec<String>,
    /// Rules that every record holds to.
    #[serde(default)]
    pub rules: Vec<RuleDef>,
    /// Practices it is evidence for.
    #[serde(default)]
    pub practices: Vec<String>,
}

/// A state as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserState {
    /// Only its name: open.
    Name(String),
    /// With more.
    Full {
        /// Name.
        name: String,
        /// Whether work is still to be done.
        #[serde(default = "yes")]
        open: bool,
        /// What it means.
        #[serde(default)]
        help: String,
    },
}

/// A transition as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserStep {
    /// States it starts from; empty: any.
    #[serde(default)]
    pub from: Vec<String>,
    /// Where it leads; left out, the state stays.
    #[serde(default)]
    pub to: Option<String>,
    /// Name on the button.
    #[serde(default)]
    pub title: String,
    /// What it does.
    #[serde(default)]
    pub help: String,
    /// Fields that must have a value.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Fields that it sets.
    #[serde(default)]
    pub sets: Map<String, Value>,
    /// Whoever does it becomes the owner.
    #[serde(default)]
    pub takes_owner: bool,
}

/// A link as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserLink {
    /// Classes it leads to; empty: any.
    #[serde(default)]
    pub to: Vec<String>,
    /// How it reads from the other end.
    #[serde(default)]
    pub reverse: Option<String>,
    /// More than one.
    #[serde(default = "yes")]
    pub many: bool,
    /// At least one.
    #[serde(default)]
    pub required: bool,
    /// What becomes of the source when the target is deleted.
    #[serde(default = "unlink")]
    pub on_delete: OnDelete,
    /// Trouble travels along it.
    #[serde(default)]
    pub impact: bool,
    /// What it means.
    #[serde(default)]
    pub help: String,
}

fn know() -> Verb {
    Verb::Know
}
fn yes() -> bool {
    true
}
fn unlink() -> OnDelete {
    OnDelete::Unlink
}

/// The definition that a document stands for.
///
/// # Errors
/// Sentences that name the part of the document; what the registry refuses beside that is told by it.
pub fn define(name: &str, document: &Value) -> Result<ClassDef, Vec<String>> {
    let said: UserClass = serde_json::from_value(document.clone()).map_err(|e| vec![format!("class {name}: {e}")])?;
    let mut wrong = Vec::new();
    let fields = fields(&said.fields, &mut wrong, name);
    let mut states: Vec<StateDef> = said
        .states
        .iter()
        .enumerate()
        .map(|(i, s)| match s {
            UserState::Name(n) => StateDef { name: n.clone(), open: true, initial: i == 0, help: String::new() },
            UserState::Full { name, open, help } => {
                StateDef { name: name.clone(), open: *open, initial: i == 0, help: help.clone() }
            }
        })
        .collect();
    let mut transitions: Vec<TransitionDef> = said.transitions.iter().map(|(n, t)| transition(n, t)).collect();
    if states.is_empty() {
        states = [("active", true), ("retired", false)]
            .iter()
            .enumerate()
            .map(|(i, (n, open))| StateDef { name: (*n).into(), open: *open, initial: i == 0, help: String::new() })
            .collect();
        if transitions.is_empty() {
            transitions = vec![
                transition("retire", &step("active", "retired")),
                transition("reinstate", &step("retired", "active")),
            ];
        }
    }
    let mut links = Vec::new();
    for (kind, l) in &said.links {
        let mut def = link_def(kind, &l.to, l.on_delete, &l.help);
        def.many = l.many;
        def.required = l.required;
        def.impact = l.impact || def.impact;
        if let Some(reverse) = &l.reverse {
            def.reverse.clone_from(reverse);
            def.reverse_title = title_of(reverse);
        }
        links.push(def);
    }
    for field in &fields {
        let (list, target) =
            if field.word == Word::List { (true, field.item.as_deref()) } else { (false, Some(field)) };
        if let Some(relation) = target.filter(|t| t.word == Word::Ref).and_then(|t| t.relation.clone()) {
            let mut def = link_def(
                &relation,
                &target.map(|t| t.class.clone()).unwrap_or_default(),
                OnDelete::Unlink,
                &field.help,
            );
            def.many = list;
            def.required = field.required;
            def.field = Some(field.name.clone());
            links.push(def);
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let title = if said.title.is_empty() { title_of(name) } else { said.title.clone() };
    let columns = if said.columns.is_empty() {
        ["key", "title", "state"].iter().map(|c| (*c).to_owned()).collect()
    } else {
        said.columns
    };
    Ok(ClassDef {
        name: Kind::new(name),
        plural: if said.plural.is_empty() { format!("{title}s") } else { said.plural },
        title,
        verb: said.verb,
        help: said.help,
        prefix: said.prefix,
        builtin: false,
        fields,
        states,
        transitions,
        links,
        columns,
        sort: if said.sort.is_empty() { vec!["-updated".into()] } else { said.sort },
        practices: said.practices,
        checks: Vec::new(),
        rules: said.rules,
        compute: Vec::new(),
        retention_days: None,
    })
}

fn step(from: &str, to: &str) -> UserStep {
    UserStep {
        from: vec![from.into()],
        to: Some(to.into()),
        title: String::new(),
        help: String::new(),
        requires: Vec::new(),
        sets: Map::new(),
        takes_owner: false,
    }
}

fn transition(name: &str, t: &UserStep) -> TransitionDef {
    let from: Vec<&str> = t.from.iter().map(String::as_str).collect();
    let mut s = Step::new(name, &from, t.to.as_deref().unwrap_or_default(), &t.help);
    if !t.title.is_empty() {
        s = s.titled(&t.title);
    }
    if t.takes_owner {
        s = s.takes_owner();
    }
    let requires: Vec<&str> = t.requires.iter().map(String::as_str).collect();
    s = s.requires(&requires);
    for (field, value) in &t.sets {
        s = s.sets(field, value.clone());
    }
    s.into_def()
}

/// Fields as written: `name: text`, or `name: {type: int, …}`; a ref without a relation is lifted into a link of its own name.
fn fields(written: &Map<String, Value>, wrong: &mut Vec<String>, class: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, value) in written {
        match field(name, value) {
            Ok(field) => fields.push(field),
            Err(why) => wrong.push(format!("class {class}: field {name}: {why}")),
        }
    }
    fields
}

fn field(name: &str, value: &Value) -> Result<Field, String> {
    let mut value = match value {
        Value::String(word) => serde_json::json!({"type": word}),
        other => other.clone(),
    };
    let group = value.get("fields").filter(|f| f.is_object()).cloned();
    if let (Some(Value::Object(group)), Some(object)) = (group, value.as_object_mut()) {
        let inner: Result<Vec<Field>, String> = group.iter().map(|(n, v)| field(n, v)).collect();
        object.insert("fields".into(), serde_json::to_value(inner?).map_err(|e| e.to_string())?);
    }
    let mut field: Field = serde_json::from_value(value).map_err(|e| e.to_string())?;
    field.name = name.to_owned();
    if field.title.is_empty() {
        field.title = title_of(name);
    }
    let relation = name.replace('_', "-");
    if field.word == Word::Ref {
        field.relation.get_or_insert_with(|| relation.clone());
    }
    if let Some(item) = field.item.as_mut().filter(|i| i.word == Word::Ref) {
        item.relation.get_or_insert(relation);
    }
    if let Some(default) = &field.default {
        let mut probe = field.clone();
        probe.default = None;
        let given = Map::from_iter([(name.to_owned(), default.clone())]);
        crate::validate::input(&[probe], given, "the default").map_err(|e| format!("its default {}", e[0].message))?;
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_yaml_is_a_class() {
        let text = "
title: Parking barrier
help: Lets cars in and out.
prefix: BAR-
fields:
  site: { type: ref, class: [site], relation: located-in, required: true }
  lanes: { type: int, min: 1, max: 8, default: 1 }
  vendor: text
states: [planned, in-use, { name: scrapped, open: false }]
transitions: { commission: { from: [planned], to: in-use }, scrap: { to: scrapped } }
rules: [ { holds: 'lanes:<=4', say: 'more than four lanes need two barriers', field: lanes } ]
";
        let document: Value = yaml_serde::from_str(text).unwrap();
        let class = define("barrier", &document).unwrap();
        assert_eq!(class.initial_state(), "planned");
        assert!(!class.is_open("scrapped"));
        assert_eq!(class.link("located-in").unwrap().field.as_deref(), Some("site"));
        assert_eq!(crate::registry::faults(&class), Vec::<String>::new());
    }

    #[test]
    fn a_mistake_names_the_field() {
        let document = serde_json::json!({"fields": {"lanes": {"type": "number"}}});
        let wrong = define("barrier", &document).unwrap_err();
        assert!(wrong[0].contains("field lanes") && wrong[0].contains("number"), "{wrong:?}");
    }
}
