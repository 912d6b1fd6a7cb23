//! What becomes of links: those that fields are lifted into, and those that stand by themselves.

use serde_json::{Map, Value};

use super::Plan;
use crate::act::{NewLink, Target};
use crate::backend::Step;
use crate::class::ClassRef;
use crate::error::{ActError, FieldError, Noun};
use crate::ids::Id;
use crate::link::Link;
use crate::record::Record;
use crate::shape::Word;

impl Plan<'_> {
    /// Links that appear (true) and disappear (false) when the ref fields change from `before` to those of `next`.
    pub(super) async fn ref_links(
        &self,
        class: &ClassRef,
        before: &Map<String, Value>,
        next: &Record,
    ) -> Result<Vec<(Link, bool)>, ActError> {
        let mut changes = Vec::new();
        let mut wrong = Vec::new();
        for def in class.links.iter().filter(|l| l.field.is_some()) {
            let field = def.field.as_deref().unwrap_or_default();
            let (old, new) = (ref_keys(before.get(field)), ref_keys(next.fields.get(field)));
            for key in new.iter().filter(|k| !old.contains(k)) {
                match self.find_target(key, &def.to).await? {
                    Ok(to) => changes.push((Link { from: next.id, name: def.name.clone(), to }, true)),
                    Err(message) => wrong.push(FieldError::new(field, message)),
                }
            }
            for key in old.iter().filter(|k| !new.contains(k)) {
                if let Some(target) = self.kernel.backend().by_key(self.session.tenant(), key).await? {
                    changes.push((Link { from: next.id, name: def.name.clone(), to: target.id }, false));
                }
            }
        }
        if wrong.is_empty() { Ok(dedup(changes)) } else { Err(ActError::Invalid(wrong)) }
    }

    pub(super) async fn find_target(&self, key: &str, classes: &[String]) -> Result<Result<Id, String>, ActError> {
        let fits = |r: &Record| !r.deleted && (classes.is_empty() || classes.iter().any(|c| c == r.kind.as_str()));
        if let Some(record) = self.working.values().find(|r| r.key == key && fits(r)) {
            return Ok(Ok(record.id));
        }
        let found = self.kernel.backend().by_key(self.session.tenant(), key).await?;
        let wanted = if classes.is_empty() { "record".to_owned() } else { classes.join(" or ") };
        Ok(match found {
            Some(record) if fits(&record) => Ok(record.id),
            Some(record) if !record.deleted => Err(format!("{key} is a {}, not a {wanted}", record.kind)),
            _ => Err(format!("there is no {wanted} \"{key}\"")),
        })
    }

    pub(super) async fn checked_link(
        &self,
        class: &ClassRef,
        from: &Record,
        link: &NewLink,
    ) -> Result<(Link, String), ActError> {
        let def = class
            .link(&link.name)
            .ok_or_else(|| ActError::unknown(Noun::Link, &link.name, class.links.iter().map(|l| l.name.as_str())))?;
        let to = match &link.to {
            Target::Id(id) if *id == from.id => from.clone(),
            target => self.load(target).await?,
        };
        if !def.to.is_empty() && !def.to.iter().any(|c| c == to.kind.as_str()) {
            return Err(ActError::Conflict(format!(
                "{} {} leads to {}, not to a {}",
                class.name,
                def.name,
                def.to.join(" or "),
                to.kind
            )));
        }
        if to.id == from.id {
            return Err(ActError::Conflict(format!("{} cannot be linked to itself", from.key)));
        }
        let shown = if to.key.is_empty() { to.id.to_string() } else { to.key.clone() };
        Ok((Link { from: from.id, name: def.name.clone(), to: to.id }, shown))
    }

    pub(super) fn required_links(&self, class: &ClassRef, links: &[(Link, bool)]) -> Result<(), ActError> {
        let missing: Vec<FieldError> = class
            .links
            .iter()
            .filter(|def| def.required && !links.iter().any(|(l, add)| *add && l.name == def.name))
            .map(|def| {
                FieldError::new(
                    def.field.clone().unwrap_or_else(|| def.name.clone()),
                    format!("needs a link {} to {}", def.name, def.to.join(" or ")),
                )
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(ActError::Invalid(missing)) }
    }

    pub(super) async fn link(&mut self, record: Record, name: &str, to: &Target) -> Result<(), ActError> {
        let class = self.kernel.registry().need(record.kind.as_str())?;
        let (link, shown) =
            self.checked_link(&class, &record, &NewLink { name: name.to_owned(), to: to.clone() }).await?;
        let def = class.link(name).ok_or_else(|| ActError::unknown(Noun::Link, name, []))?;
        if let Some(field) = &def.field {
            let value = match class.field(field).map(|f| f.word) {
                Some(Word::List) => {
                    let mut keys = ref_keys(record.fields.get(field));
                    keys.push(shown);
                    keys.dedup();
                    Value::from(keys)
                }
                _ => Value::from(shown),
            };
            return self.update(record, &Map::from_iter([(field.clone(), value)]), None, "link", None).await;
        }
        if self.kernel.backend().linked(self.session.tenant(), &link).await? {
            self.settle(record, false);
            return Ok(());
        }
        if !def.many {
            let there = self.kernel.backend().neighbours(self.session.tenant(), record.id).await?;
            if let Some(other) = there.iter().find(|n| n.name == def.name && n.direction == crate::link::Side::Out) {
                return Err(ActError::Conflict(format!(
                    "{} has a link {} already, to {}; unlink that first",
                    record.key, def.name, other.other.key
                )));
            }
        }
        self.tell(&record, "link", &Map::new(), &Map::from_iter([(name.to_owned(), shown.into())]), None);
        self.steps.push(Step::Link(link));
        self.settle(record, false);
        Ok(())
    }

    pub(super) async fn unlink(&mut self, record: Record, name: &str, to: &Target) -> Result<(), ActError> {
        let class = self.kernel.registry().need(record.kind.as_str())?;
        let (link, shown) =
            self.checked_link(&class, &record, &NewLink { name: name.to_owned(), to: to.clone() }).await?;
        let def = class.link(name).ok_or_else(|| ActError::unknown(Noun::Link, name, []))?;
        if let Some(field) = &def.field {
            let left: Vec<String> = ref_keys(record.fields.get(field)).into_iter().filter(|k| *k != shown).collect();
            let list = class.field(field).is_some_and(|f| f.word == Word::List);
            let value = if list { Value::from(left) } else { Value::Null };
            return self.update(record, &Map::from_iter([(field.clone(), value)]), None, "unlink", None).await;
        }
        if !self.kernel.backend().linked(self.session.tenant(), &link).await? {
            return Err(ActError::Unknown {
                noun: Noun::Link,
                name: format!("{} {name} {shown}", record.key),
                near: Vec::new(),
            });
        }
        self.tell(&record, "unlink", &Map::from_iter([(name.to_owned(), shown.into())]), &Map::new(), None);
        self.steps.push(Step::Unlink(link));
        self.settle(record, false);
        Ok(())
    }
}

fn ref_keys(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(key)) => vec![key.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn dedup(links: Vec<(Link, bool)>) -> Vec<(Link, bool)> {
    let mut seen = Vec::with_capacity(links.len());
    for link in links {
        if !seen.contains(&link) {
            seen.push(link);
        }
    }
    seen
}
