//! All classes that this Mainstay knows, built in and users', behind one look-up that can change while running.
//!
//! Built-in classes never change; users' classes are replaced as a whole when one of them changes. Names of classes, fields and
//! links are checked here once: everything that is built from them afterwards (indexes, columns) may rely on it.

use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::class::{ClassDef, ClassRef};
use crate::error::{ActError, Noun};
use crate::ids::{Kind, is_kebab, is_snake};
use crate::lens::LensDef;
use crate::query::Column;
use crate::shape::{Field, Word};

/// Names that no class may have, as they stand beside classes in addresses.
const RESERVED: [&str; 3] = ["all", "classes", "records"];

/// What a domain (one of the eight verbs, or the kernel itself) brings.
#[derive(Default)]
pub struct Domain {
    /// Its classes.
    pub classes: Vec<ClassDef>,
    /// What it reads of classes that it does not own.
    pub lenses: Vec<LensDef>,
}

/// The classes.
pub struct Registry {
    classes: ArcSwap<BTreeMap<Kind, ClassRef>>,
    edition: AtomicU64,
}

impl Registry {
    /// From domains; refuses what does not fit together.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong: a defect in the program, found at every start and in every test.
    pub fn new(domains: Vec<Domain>) -> Result<Self, Vec<String>> {
        let mut classes = BTreeMap::new();
        let mut wrong = Vec::new();
        let mut lenses = Vec::new();
        for domain in domains {
            for class in domain.classes {
                wrong.extend(faults(&class));
                if let Some(twice) = classes.insert(class.name.clone(), Arc::new(class)) {
                    wrong.push(format!("class {} is defined twice", twice.name));
                }
            }
            lenses.extend(domain.lenses);
        }
        wrong.extend(cross_faults(&classes));
        for lens in &lenses {
            wrong.extend(lens.faults(&classes));
        }
        if wrong.is_empty() {
            Ok(Self { classes: ArcSwap::from_pointee(classes), edition: AtomicU64::new(0) })
        } else {
            Err(wrong)
        }
    }

    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<ClassRef> {
        self.classes.load().get(&Kind::new(name)).cloned()
    }

    /// The class of that name.
    ///
    /// # Errors
    /// [`ActError::Unknown`] with the near names.
    pub fn need(&self, name: &str) -> Result<ClassRef, ActError> {
        self.class(name).ok_or_else(|| {
            let all = self.classes.load();
            ActError::unknown(Noun::Class, name, all.keys().map(Kind::as_str))
        })
    }

    /// All classes by name.
    pub fn classes(&self) -> Vec<ClassRef> {
        self.classes.load().values().cloned().collect()
    }

    /// How often users' classes were replaced.
    pub fn edition(&self) -> u64 {
        self.edition.load(SeqCst)
    }

    /// Replaces all users' classes by these.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong; nothing is changed then.
    pub fn replace_user_classes(&self, users: Vec<ClassDef>) -> Result<(), Vec<String>> {
        let classes = self.with_user_classes(&users)?;
        self.classes.store(Arc::new(classes));
        self.edition.fetch_add(1, SeqCst);
        Ok(())
    }

    /// Whether these would do as users' classes.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong.
    pub fn check_user_classes(&self, users: &[ClassDef]) -> Result<(), Vec<String>> {
        self.with_user_classes(users).map(|_| ())
    }

    fn with_user_classes(&self, users: &[ClassDef]) -> Result<BTreeMap<Kind, ClassRef>, Vec<String>> {
        let mut classes: BTreeMap<Kind, ClassRef> =
            self.classes.load().iter().filter(|(_, c)| c.builtin).map(|(k, c)| (k.clone(), c.clone())).collect();
        let mut wrong = Vec::new();
        for class in users {
            wrong.extend(faults(class));
            if classes.get(&class.name).is_some_and(|c| c.builtin) {
                wrong.push(format!("class {}: a built-in class has this name; choose another", class.name));
                continue;
            }
            classes.insert(class.name.clone(), Arc::new(class.clone()));
        }
        wrong.extend(cross_faults(&classes));
        wrong.sort();
        wrong.dedup();
        if wrong.is_empty() { Ok(classes) } else { Err(wrong) }
    }

    /// Classes that have a link which reads `reverse` from a record of `target`.
    pub fn sources_of_reverse(&self, reverse: &str, target: &Kind) -> Vec<Kind> {
        let fits = |c: &ClassRef| {
            c.links
                .iter()
                .any(|l| l.reverse == reverse && (l.to.is_empty() || l.to.iter().any(|t| t == target.as_str())))
        };
        self.classes().into_iter().filter(fits).map(|c| c.name.clone()).collect()
    }

    /// Link types that carry impact from target to source, over all classes.
    pub fn impact_links(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .classes()
            .iter()
            .flat_map(|c| c.links.iter().filter(|l| l.impact).map(|l| l.name.clone()).collect::<Vec<_>>())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// An index that a class needs: equality on these columns, then the sort order.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexDef {
    /// Columns compared for equality, in order; none, one or two.
    pub equal: Vec<Column>,
    /// The sort order it serves.
    pub sort: String,
}

/// The indexes of a class: each sort order alone, each indexed column with each sort order, and each two columns of few values with
/// the first sort order, so that two halves that exclude each other are not read through.
pub fn indexes(class: &ClassDef) -> Vec<IndexDef> {
    let mut single: Vec<Column> = vec![Column::Open, Column::State];
    single.extend(class.fields.iter().filter(|f| f.indexed).map(|f| Column::Field {
        path: f.name.clone(),
        word: f.word,
        indexed: true,
    }));
    let few: Vec<Column> = class
        .fields
        .iter()
        .filter(|f| f.indexed && f.few_values())
        .map(|f| Column::Field { path: f.name.clone(), word: f.word, indexed: true })
        .take(3)
        .chain(std::iter::once(Column::State))
        .collect();
    let mut all = Vec::new();
    for (i, sort) in class.sort.iter().enumerate() {
        all.push(IndexDef { equal: Vec::new(), sort: sort.clone() });
        // `open` alone is what lists default to; the others with the default order only, to keep writes cheap.
        for column in single.iter().filter(|c| i == 0 || **c == Column::Open) {
            all.push(IndexDef { equal: vec![column.clone()], sort: sort.clone() });
        }
    }
    let sort = class.sort.first().cloned().unwrap_or_else(|| "-updated".into());
    for (i, first) in few.iter().enumerate() {
        for second in &few[i + 1..] {
            all.push(IndexDef { equal: vec![first.clone(), second.clone()], sort: sort.clone() });
        }
    }
    all
}

/// What is wrong with one class by itself.
pub fn faults(class: &ClassDef) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |what: String| wrong.push(format!("class {}: {what}", class.name));
    if !is_kebab(class.name.as_str()) || RESERVED.contains(&class.name.as_str()) {
        say(format!("\"{}\" cannot be the name of a class; use kebab-case such as network-device", class.name));
    }
    for fault in field_faults(&class.fields, "") {
        say(fault);
    }
    let states: Vec<&str> = class.states.iter().map(|s| s.name.as_str()).collect();
    if states.is_empty() {
        say("it has no states".into());
    }
    for t in &class.transitions {
        for state in t.from.iter().chain(&t.to).filter(|s| !states.contains(&s.as_str())) {
            say(format!(
                "transition {} names a state \"{state}\" that it does not have; its states are {}",
                t.name,
                states.join(", ")
            ));
        }
        for field in t.requires.iter().chain(t.sets.keys()).filter(|f| class.field(f).is_none()) {
            say(format!("transition {} names a field \"{field}\" that it does not have", t.name));
        }
        if !is_kebab(&t.name) {
            say(format!("transition \"{}\" is not in kebab-case", t.name));
        }
    }
    let meta = ["key", "title", "state", "owner", "health", "created", "updated", "version", "state_since"];
    for column in &class.columns {
        if !meta.contains(&column.as_str()) && class.field(column).is_none() {
            say(format!(
                "column \"{column}\" is not a field; fields are {}",
                class.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    for sort in &class.sort {
        if crate::filter::sort_key(sort, class).is_err() {
            say(format!("sort order \"{sort}\" names no sortable field"));
        }
    }
    for link in &class.links {
        if !is_kebab(&link.name) || !is_kebab(&link.reverse) {
            say(format!("link \"{}\" is not in kebab-case", link.name));
        }
    }
    if let Some(prefix) = &class.prefix
        && (!prefix.ends_with('-')
            || prefix.len() < 2
            || !prefix[..prefix.len() - 1].chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
    {
        say(format!("prefix \"{prefix}\" must be capitals and digits with a hyphen at the end, such as INC-"));
    }
    wrong
}

fn field_faults(fields: &[Field], inside: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for field in fields {
        let path = format!("{inside}{}", field.name);
        if !is_snake(&field.name) {
            wrong.push(format!("field \"{path}\" is not in snake_case"));
        }
        if seen.contains(&field.name.as_str()) {
            wrong.push(format!("field \"{path}\" is there twice"));
        }
        seen.push(&field.name);
        if inside.is_empty()
            && ["key", "state", "owner", "health", "open", "version", "created", "updated", "id", "class", "tenant"]
                .contains(&field.name.as_str())
        {
            wrong.push(format!("field \"{path}\" has the name of something that every record has"));
        }
        if field.word == Word::Enum && field.values.is_empty() {
            wrong.push(format!("field \"{path}\" is an enum without values"));
        }
        if let Some(pattern) = &field.pattern
            && regex::Regex::new(pattern).is_err()
        {
            wrong.push(format!("field \"{path}\" has a pattern that is not a regular expression: {pattern}"));
        }
        if field.indexed && matches!(field.word, Word::List | Word::Map | Word::Group) {
            wrong.push(format!("field \"{path}\" cannot have an index: only single values can"));
        }
        wrong.extend(field_faults(&field.fields, &format!("{path}.")));
    }
    wrong
}

/// What is wrong between classes: targets that do not exist, prefixes used twice, a link type that reads in two ways.
fn cross_faults(classes: &BTreeMap<Kind, ClassRef>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut prefixes: BTreeMap<&str, &Kind> = BTreeMap::new();
    let mut reverses: BTreeMap<&str, (&str, &Kind)> = BTreeMap::new();
    for (name, class) in classes {
        for link in &class.links {
            for to in link.to.iter().filter(|to| !classes.contains_key(&Kind::new(to))) {
                wrong.push(format!("class {name}: link {} points at class \"{to}\", which does not exist", link.name));
            }
            let (known, first) = *reverses.entry(&link.name).or_insert((&link.reverse, name));
            if known != link.reverse {
                wrong.push(format!(
                    "class {name}: link {} reads back as \"{}\", but as \"{known}\" in class {first}",
                    link.name, link.reverse
                ));
            }
        }
        if let Some(prefix) = &class.prefix
            && let Some(other) = prefixes.insert(prefix, name)
        {
            wrong.push(format!("class {name}: prefix {prefix} is that of class {other}"));
        }
    }
    wrong
}
