//! What every built-in class promises, as functions that tests call: each domain for its own classes, the program for all.
//!
//! Nothing here runs in production; a class that breaks one of these promises is mended, never excused.

use serde_json::{Map, Value, json};

use crate::class::{ClassDef, Verb};
use crate::clock::Time;
use crate::define::Class;
use crate::shape::{Field, Word};

/// What a class still lacks before people can work with it: help, practices, names that are there once.
pub fn unfinished(class: &ClassDef) -> Vec<String> {
    let mut wrong = crate::registry::faults(class);
    let mut lacks = |what: String| wrong.push(format!("class {}: {what}", class.name));
    if class.help.is_empty() || class.practices.is_empty() {
        lacks("it has no help, or no practice that it is evidence for".into());
    }
    for path in without_help(&class.fields, "") {
        lacks(format!("field {path} has no help"));
    }
    for state in class.states.iter().filter(|s| s.help.is_empty()) {
        lacks(format!("state {} has no help", state.name));
    }
    for step in class.transitions.iter().filter(|t| t.help.is_empty()) {
        lacks(format!("transition {} has no help", step.name));
    }
    for (i, link) in class.links.iter().enumerate() {
        if link.help.is_empty() {
            lacks(format!("link {} has no help", link.name));
        }
        if class.links[..i].iter().any(|l| l.name == link.name) {
            lacks(format!("link {} is there twice", link.name));
        }
        if link.reverse.ends_with("-of") && link.reverse == format!("{}-of", link.name) {
            lacks(format!("link {} has no words for how it reads back", link.name));
        }
    }
    for field in ref_fields(&class.fields) {
        lacks(format!("ref {field} is not lifted into a link"));
    }
    wrong
}

fn without_help(fields: &[Field], inside: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for field in fields {
        let path = format!("{inside}{}", field.name);
        if field.help.is_empty() {
            paths.push(path.clone());
        }
        let items = field.item.iter().flat_map(|i| &i.fields);
        paths.extend(without_help(&field.fields.iter().chain(items).cloned().collect::<Vec<_>>(), &format!("{path}.")));
    }
    paths
}

/// Refs that no link was declared for, at any depth: a reference hidden in JSON would go stale.
fn ref_fields(fields: &[Field]) -> Vec<String> {
    let mut names = Vec::new();
    for field in fields {
        let inner = field.item.as_deref();
        if [Some(field), inner].into_iter().flatten().any(|f| f.word == Word::Ref && f.relation.is_none()) {
            names.push(field.name.clone());
        }
        names.extend(ref_fields(&field.fields));
        names.extend(inner.map(|i| ref_fields(&i.fields)).unwrap_or_default());
    }
    names
}

/// The class in a few lines, for snapshots: names and words of fields, states, steps and links.
pub fn outline(class: &ClassDef) -> String {
    let mut text = format!("{} {}\n", class.name, class.prefix.as_deref().unwrap_or_default());
    for field in &class.fields {
        text.push_str(&format!("  {}: {}\n", field.name, word_of(field)));
    }
    let states: Vec<String> =
        class.states.iter().map(|s| format!("{}{}", s.name, if s.open { "" } else { "." })).collect();
    text.push_str(&format!("  states {}\n", states.join(" ")));
    for step in &class.transitions {
        let from = if step.from.is_empty() { "any".into() } else { step.from.join("|") };
        text.push_str(&format!("  {} {from} -> {}\n", step.name, step.to.as_deref().unwrap_or("stays")));
    }
    for link in &class.links {
        let to = if link.to.is_empty() { "any".into() } else { link.to.join("|") };
        text.push_str(&format!("  {} / {} {to}\n", link.name, link.reverse));
    }
    text
}

fn word_of(field: &Field) -> String {
    let word = format!("{:?}", field.word).to_lowercase();
    let inner = match field.word {
        Word::Enum => format!(" {}", field.values.join("|")),
        Word::List | Word::Map => format!(" of {}", field.item.as_deref().map(word_of).unwrap_or_default()),
        Word::Group if field.open => " open".into(),
        Word::Group => format!(
            " {{{}}}",
            field.fields.iter().map(|f| format!("{}: {}", f.name, word_of(f))).collect::<Vec<_>>().join(", ")
        ),
        _ => String::new(),
    };
    let mark = if field.required { "!" } else { "" };
    format!("{word}{mark}{inner}")
}

/// A record with every field filled is accepted by the class, read by the struct and written back as it was, for every value of
/// every enum.
///
/// # Errors
/// The sentence of whoever refused, or what differs.
pub fn round_trip<T: Class>(verb: Verb) -> Result<(), String> {
    let mut class = crate::define::class::<T>(verb);
    class.checks.clear(); // Whether the values make sense together is not the question here.
    let most_values = class.fields.iter().map(variety).max().unwrap_or(1);
    for turn in 0..most_values {
        let mut hours = 0;
        let filled: Map<String, Value> =
            class.fields.iter().map(|f| (f.name.clone(), example(f, turn, &mut hours))).collect();
        let clean = crate::validate::fields(&class, filled).map_err(|e| format!("{}: {e:?}", T::KIND))?;
        let read: T = serde_json::from_value(Value::Object(clean.clone())).map_err(|e| format!("{}: {e}", T::KIND))?;
        let written = serde_json::to_value(&read).map_err(|e| format!("{}: {e}", T::KIND))?;
        let Value::Object(written) = written else { return Err(format!("{}: is not written as an object", T::KIND)) };
        let again = crate::validate::fields(&class, written).map_err(|e| format!("{}: {e:?}", T::KIND))?;
        if again != clean {
            return Err(format!("{}: {} became {}", T::KIND, Value::Object(clean), Value::Object(again)));
        }
    }
    Ok(())
}

fn variety(field: &Field) -> usize {
    let inner = field.item.as_deref().map(variety).unwrap_or(1);
    field.fields.iter().map(variety).chain([field.values.len().max(1), inner]).max().unwrap_or(1)
}

/// A value that the field allows. Times rise from field to field, so that what ends does so after it began.
fn example(field: &Field, turn: usize, hours: &mut u64) -> Value {
    match field.word {
        Word::Text => "x".repeat(field.min.unwrap_or(1.0).max(1.0) as usize).into(),
        Word::Int | Word::Bytes => (field.min.unwrap_or(0.0) as i64).into(),
        Word::Float => (field.min.unwrap_or(0.0) + 0.5).min(field.max.unwrap_or(f64::MAX)).into(),
        Word::Bool => turn.is_multiple_of(2).into(),
        Word::Time => {
            *hours += 1;
            Time::from_micros(1_790_000_000_000_000)
                .plus(std::time::Duration::from_secs(*hours * 3600))
                .to_string()
                .into()
        }
        Word::Duration => "5m".into(),
        Word::Enum => field.values[turn % field.values.len()].clone().into(),
        Word::Ref => "some-key".into(),
        Word::List => Value::Array(field.item.iter().map(|i| example(i, turn, hours)).collect()),
        Word::Map => json!({"name": field.item.as_deref().map(|i| example(i, turn, hours))}),
        Word::Group if field.open => json!({"any": ["thing", 1]}),
        Word::Group => Value::Object(field.fields.iter().map(|f| (f.name.clone(), example(f, turn, hours))).collect()),
    }
}
