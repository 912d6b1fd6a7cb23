//! What somebody may do: Cedar policies with a reason for each, default deny, and the same policies as predicates for lists.
//!
//! The policies are text, in `policies/`, and users add their own in a folder. Each has an `@id` and an `@why`, which is what
//! people are told. One act is decided by Cedar on three small entities made for it; what may be read of a class is a
//! [`Predicate`] compiled from the same policies by `scope`, so that a list and a single read cannot disagree (a property
//! test holds the two against each other). Nothing here is a role table in code but the groups of built-in roles.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request,
    RestrictedExpression,
};
use kernel::query::{Column, Predicate};
use kernel::registry::Registry;
use kernel::session::{ActorKind, Ask, Policy, Session, Verdict};
use kernel::shape::Word;
use kernel::{Kind, Record, TenantId, Verb};
use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::door::Access;

mod decided;
mod load;
mod scope;

pub use load::PolicyError;

/// Roles of people inside, as `duties.md` has them; each is in the group `staff`.
pub const STAFF: [&str; 16] = [
    "implementation",
    "system",
    "desktop",
    "pre-sale",
    "application",
    "database",
    "automation",
    "devops",
    "big-data",
    "security",
    "cloud",
    "low-voltage",
    "network-engineer",
    "help-desk",
    "security-analyst",
    "operations-manager",
];
/// Roles that may start runbooks; each is in the group `runner`.
const RUNNERS: [&str; 11] = [
    "system",
    "application",
    "database",
    "automation",
    "devops",
    "big-data",
    "security",
    "cloud",
    "low-voltage",
    "network-engineer",
    "operations-manager",
];
/// All built-in roles.
pub const ROLES: [&str; 20] = [
    "admin",
    "read-only",
    "implementation",
    "system",
    "desktop",
    "pre-sale",
    "application",
    "database",
    "automation",
    "devops",
    "big-data",
    "security",
    "cloud",
    "low-voltage",
    "network-engineer",
    "help-desk",
    "security-analyst",
    "operations-manager",
    "supplier",
    "customer",
];
/// What policies can speak of that not every record has: `shared` is a truth value, `approvers` a list, the rest texts.
const FIELDS: [&str; 12] = [
    "agent",
    "approvers",
    "assignee",
    "audience",
    "customer",
    "owner",
    "person",
    "receiver",
    "requested_by",
    "requester",
    "shared",
    "supplier",
];

/// What classes look like, as far as policies ask.
pub trait Classes: Send + Sync + 'static {
    /// The verb that a class belongs to.
    fn verb(&self, kind: &Kind) -> Option<&'static str>;
    /// The column of a field, if the class has it.
    fn column(&self, kind: &Kind, field: &str) -> Option<Column>;
    /// Another number whenever what the others say may have changed.
    fn edition(&self) -> u64 {
        0
    }
}

impl Classes for Registry {
    fn verb(&self, kind: &Kind) -> Option<&'static str> {
        self.class(kind.as_str()).map(|class| match class.verb {
            Verb::Know => "know",
            Verb::Watch => "watch",
            Verb::Respond => "respond",
            Verb::Serve => "serve",
            Verb::Change => "change",
            Verb::Protect => "protect",
            Verb::Plan => "plan",
            Verb::Prove => "prove",
            Verb::Kernel => "kernel",
        })
    }

    fn column(&self, kind: &Kind, field: &str) -> Option<Column> {
        kernel::filter::column_of(field, &*self.class(kind.as_str())?)
    }

    fn edition(&self) -> u64 {
        Registry::edition(self)
    }
}

/// Where no class is known: policies see only what every record has.
impl Classes for () {
    fn verb(&self, _: &Kind) -> Option<&'static str> {
        None
    }
    fn column(&self, _: &Kind, _: &str) -> Option<Column> {
        None
    }
}

/// A field as policies see it, if the class has it and it holds what the schema of the policies says.
fn lens(classes: &dyn Classes, kind: &Kind, field: &str) -> Option<Column> {
    if field == "owner" {
        return Some(Column::Owner);
    }
    let fits = |word: &Word| match field {
        "shared" => *word == Word::Bool,
        "approvers" => *word == Word::List,
        _ => matches!(word, Word::Text | Word::Ref | Word::Enum),
    };
    classes.column(kind, field).filter(|column| matches!(column, Column::Field { word, .. } if fits(word)))
}

/// Who asks, as policies see them.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// Entity type: `Person`, `Token` …
    kind: &'static str,
    key: String,
    me: String,
    tenant: TenantId,
    /// Roles with the groups they are in.
    roles: HashSet<String>,
}

impl Who {
    fn new(kind: ActorKind, key: &str, me: &str, tenant: TenantId, roles: &[String]) -> Self {
        let kind = match kind {
            ActorKind::Person => "Person",
            ActorKind::Token => "Token",
            ActorKind::Ingest => "Ingest",
            ActorKind::Agent => "Agent",
            ActorKind::Controller => "Controller",
            ActorKind::Local => "Local",
            ActorKind::System => "System",
            ActorKind::Anonymous => "Anonymous",
        };
        let mut all: HashSet<String> = roles.iter().cloned().collect();
        for role in roles.iter().map(String::as_str) {
            let groups = [
                ("staff", STAFF.contains(&role)),
                ("runner", RUNNERS.contains(&role)),
                ("reader", STAFF.contains(&role) || role == "read-only"),
            ];
            all.extend(groups.iter().filter(|(_, within)| *within).map(|(group, _)| (*group).to_owned()));
        }
        Self { kind, key: key.to_owned(), me: me.to_owned(), tenant, roles: all }
    }
}

/// A set of policies, checked and ready.
pub struct Policies {
    set: PolicySet,
    /// Actions with their groups.
    actions: Entities,
    authorizer: Authorizer,
    reading: Vec<scope::ReadPolicy>,
    types: HashMap<&'static str, EntityTypeName>,
    decided: decided::Decided,
}

impl Policies {
    /// The policies that come with Mainstay.
    pub fn built_in() -> Self {
        load::policies(&load::built_in())
            .unwrap_or_else(|faults| panic!("the built-in policies are checked by the tests: {faults:?}"))
    }

    /// The built-in ones and those of `*.cedar` files in a folder, in the order of their names. A folder that is not there is empty.
    ///
    /// # Errors
    /// Every fault, with file and line.
    pub fn load(folder: &Path) -> Result<Self, Vec<PolicyError>> {
        let mut sources = load::built_in();
        sources.extend(load::folder(folder)?);
        load::policies(&sources)
    }

    /// Decides one act by Cedar.
    fn judge(&self, classes: &dyn Classes, who: &Who, ask: &Ask<'_>) -> Judgement {
        let (operation, step) = ask.operation.split_once(':').unwrap_or((ask.operation, ""));
        let uid = |name: &str, id: &str| EntityUid::from_type_name_and_id(self.types[name].clone(), EntityId::new(id));
        let (principal, resource) = (uid(who.kind, &who.key), uid("Record", ask.record.map_or("", |r| r.key.as_str())));
        let roles: HashSet<EntityUid> = who.roles.iter().map(|role| uid("Role", role)).collect();
        let attributes = HashMap::from([text("me", &who.me), text("key", &who.key), number("tenant", who.tenant.0)]);
        let mut entities: Vec<Entity> = roles.iter().map(|role| Entity::with_uid(role.clone())).collect();
        entities.push(
            Entity::new(principal.clone(), attributes, roles).expect("plain values are no expressions that could fail"),
        );
        let attributes = record_attributes(classes, who.tenant, ask);
        entities.push(
            Entity::new(resource.clone(), attributes, HashSet::new())
                .expect("plain values are no expressions that could fail"),
        );
        let entities = self
            .actions
            .clone()
            .add_entities(entities, None)
            .expect("the three kinds of entities have different types and no cycles");
        let context = Context::from_pairs([text("step", step)]).expect("a text is no expression that could fail");
        let request = Request::new(principal, uid("Action", operation), resource, context, None)
            .expect("there is no schema that it could break");
        let response = self.authorizer.is_authorized(&request, &self.set, &entities);
        for error in response.diagnostics().errors() {
            tracing::error!(%error, "a policy failed and did not count");
        }
        let mut by: Vec<PolicyId> = response.diagnostics().reason().cloned().collect();
        by.sort_by_key(ToString::to_string);
        Judgement { allowed: response.decision() == Decision::Allow, by }
    }

    fn why(&self, id: &PolicyId) -> &str {
        self.set.annotation(id, "why").unwrap_or_default()
    }

    fn verdict(&self, classes: &dyn Classes, who: &Who, ask: &Ask<'_>) -> Verdict {
        let whole_class = ask.operation == "read" && ask.record.is_none();
        let mut judgement = self.judge(classes, who, ask);
        if whole_class {
            // Whether anything of the class may be read, which one made-up record cannot tell.
            judgement.allowed = self.readable(classes, who, ask.kind).is_some();
        }
        let reason = match judgement.by.first() {
            Some(id) => format!("{} ({id})", self.why(id)),
            None if judgement.allowed => "some records of this class may be read".into(),
            None => format!("no policy allows {} to {} {}", describe(who), words(ask.operation), ask.kind),
        };
        Verdict { allowed: judgement.allowed, reason }
    }

    fn readable(&self, classes: &dyn Classes, who: &Who, kind: &Kind) -> Option<Predicate> {
        scope::readable(
            &self.reading,
            &scope::View { who, kind, verb: classes.verb(kind).unwrap_or_default(), classes },
        )
    }

    fn explain(&self, classes: &dyn Classes, who: &Who, ask: &Ask<'_>) -> String {
        let verdict = self.verdict(classes, who, ask);
        let subject = ask
            .record
            .filter(|r| !r.key.is_empty())
            .map_or_else(|| ask.kind.to_string(), |r| format!("{} {}", r.kind, r.key));
        let mut text = format!(
            "{} {} {} {subject}.\n",
            describe(who),
            if verdict.allowed { "may" } else { "may not" },
            words(ask.operation)
        );
        let judgement = self.judge(classes, who, ask);
        if judgement.by.is_empty() {
            text.push_str(&format!("  {}; what no policy allows is refused.\n", verdict.reason));
        }
        for id in &judgement.by {
            let effect = if judgement.allowed { "permit" } else { "forbid" };
            text.push_str(&format!("  {effect} {id}: {}\n", self.why(id)));
        }
        let could: Vec<&str> = ROLES.into_iter().filter(|role| self.role_could(classes, who, ask, role)).collect();
        text.push_str(&format!(
            "  Roles that could: {}.\n",
            if could.is_empty() { "none".into() } else { could.join(", ") }
        ));
        text
    }

    /// Whether the same somebody could, with this role alone.
    fn role_could(&self, classes: &dyn Classes, who: &Who, ask: &Ask<'_>, role: &str) -> bool {
        let other = Who::new(ActorKind::Person, &who.key, &who.me, who.tenant, &[role.to_owned()]);
        self.verdict(classes, &other, ask).allowed
    }
}

/// What Cedar said, and which policies made it say so.
struct Judgement {
    allowed: bool,
    by: Vec<PolicyId>,
}

fn text(name: &str, value: &str) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_string(value.to_owned()))
}

fn number(name: &str, value: i64) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_long(value))
}

fn truth(name: &str, value: bool) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_bool(value))
}

fn record_attributes(classes: &dyn Classes, tenant: TenantId, ask: &Ask<'_>) -> HashMap<String, RestrictedExpression> {
    let record: Option<&Record> = ask.record;
    let mut attributes = HashMap::from([
        text("class", ask.kind.as_str()),
        text("verb", ask.verb),
        number("tenant", record.map_or(tenant, |r| r.tenant).0),
        text("key", record.map_or("", |r| &r.key)),
        text("state", record.map_or("", |r| &r.state)),
        truth("open", record.is_some_and(|r| r.open)),
    ]);
    let Some(record) = record else { return attributes };
    attributes.extend(record.owner.as_ref().map(|owner| text("owner", owner)));
    for field in FIELDS.into_iter().filter(|f| *f != "owner" && lens(classes, ask.kind, f).is_some()) {
        match record.get(field) {
            Some(serde_json::Value::String(value)) => attributes.extend([text(field, value)]),
            Some(serde_json::Value::Bool(value)) => attributes.extend([truth(field, *value)]),
            Some(serde_json::Value::Array(values)) => {
                let texts =
                    values.iter().filter_map(|v| v.as_str()).map(|v| RestrictedExpression::new_string(v.to_owned()));
                attributes.insert(field.to_owned(), RestrictedExpression::new_set(texts));
            }
            _ => {}
        }
    }
    attributes
}

fn describe(who: &Who) -> String {
    let mut roles: Vec<&str> =
        who.roles.iter().map(String::as_str).filter(|r| !["staff", "runner", "reader"].contains(r)).collect();
    roles.sort_unstable();
    let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
    format!("{} {} ({roles})", who.kind.to_lowercase(), who.key)
}

/// `transition:resolve` as `resolve`.
fn words(operation: &str) -> &str {
    operation.strip_prefix("transition:").unwrap_or(operation)
}

impl Access {
    /// The decision on an act, the policies that made it with their reasons, and which roles could: `mainstay access explain`.
    pub fn explain(&self, session: &Session, ask: &Ask<'_>) -> String {
        let policies = self.policies.read().clone();
        policies.explain(&*self.classes, &self.who(session), ask)
    }

    /// Replaces the policies while running.
    pub fn replace_policies(&self, policies: Policies) {
        *self.policies.write() = std::sync::Arc::new(policies);
    }

    /// The owner of a token that asks.
    fn owner_of(&self, session: &Session) -> Option<String> {
        let actor = session.actor();
        (actor.kind == ActorKind::Token)
            .then(|| self.owners.read().get(&(session.tenant(), actor.key.clone())).cloned())
            .flatten()
    }

    fn who(&self, session: &Session) -> Who {
        let actor = session.actor();
        let owner = self.owner_of(session);
        // The agent inside this process, and who Mainstay tells about, are Mainstay itself under another name.
        let own = session.is_own() && actor.kind != ActorKind::System;
        let kind = if own { ActorKind::Controller } else { actor.kind };
        Who::new(kind, &actor.key, owner.as_deref().unwrap_or(&actor.key), session.tenant(), session.roles())
    }
}

impl Policy for Access {
    fn decide(&self, session: &Session, ask: &Ask<'_>) -> Verdict {
        let policies = self.policies.read().clone();
        let question = decided::Question::of(session, self.owner_of(session).as_deref(), ask, self.classes.edition());
        policies.decided.or(question, || policies.verdict(&*self.classes, &self.who(session), ask))
    }

    fn readable(&self, session: &Session, kind: &Kind) -> Option<Predicate> {
        let policies = self.policies.read().clone();
        policies.readable(&*self.classes, &self.who(session), kind)
    }
}

#[cfg(test)]
mod tests;
