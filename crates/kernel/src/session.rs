//! Who is asking: the actor, the tenant, and what the policy lets them do.
//!
//! A [`Session`] is made by authentication or for one of Mainstay's own controllers, never from a request's body; without one
//! nothing can be written, so an unaudited write has no type.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

use crate::ids::{Kind, TenantId};
use crate::query::Predicate;

/// What kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A person, signed in.
    Person,
    /// An API token.
    Token,
    /// An ingest key: may hand in signals, nothing else.
    Ingest,
    /// An agent.
    Agent,
    /// A controller of Mainstay.
    Controller,
    /// Somebody on the host itself, by uid.
    Local,
    /// Mainstay itself, at start.
    System,
    /// Nobody: not signed in.
    Anonymous,
}

impl ActorKind {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Token => "token",
            Self::Ingest => "ingest",
            Self::Agent => "agent",
            Self::Controller => "controller",
            Self::Local => "local",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// What kind.
    pub kind: ActorKind,
    /// Key of the person, token or agent; name of the controller; uid.
    pub key: String,
}

impl Actor {
    /// An actor.
    pub fn new(kind: ActorKind, key: impl Into<String>) -> Self {
        Self { kind, key: key.into() }
    }

    /// From its stored text `kind:key`.
    pub fn parse(text: &str) -> Self {
        let (kind, key) = text.split_once(':').unwrap_or(("anonymous", text));
        let kinds = [
            ActorKind::Person,
            ActorKind::Token,
            ActorKind::Ingest,
            ActorKind::Agent,
            ActorKind::Controller,
            ActorKind::Local,
            ActorKind::System,
        ];
        let kind = kinds.into_iter().find(|k| k.as_str() == kind).unwrap_or(ActorKind::Anonymous);
        Self::new(kind, key)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.key)
    }
}

/// What is to be decided about: an operation on a class, and the record if there is one.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// `read`, `create`, `update`, `delete`, `link`, `transition:NAME`, `note`, `observe`, `correct`, or an operation of a surface
    /// such as `admin`.
    pub operation: &'a str,
    /// The class.
    pub kind: &'a Kind,
    /// The verb of the class, as its word.
    pub verb: &'a str,
    /// The record, when there is one.
    pub record: Option<&'a crate::record::Record>,
}

/// A decision and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Allowed.
    pub allowed: bool,
    /// Which rule decided, for people.
    pub reason: String,
}

/// Decides what a session may do. The implementation (Cedar) is in `access`.
pub trait Policy: Send + Sync + 'static {
    /// One act.
    fn decide(&self, session: &Session, ask: &Ask<'_>) -> Verdict;
    /// What the session may read of a class: `None` nothing, `Some(Predicate::All)` everything, else those that match.
    fn readable(&self, session: &Session, kind: &Kind) -> Option<Predicate>;
}

/// Lets Mainstay's own controllers and start-up do what they do; nobody else anything.
#[derive(Debug)]
pub struct OwnOnly;

impl Policy for OwnOnly {
    fn decide(&self, session: &Session, _: &Ask<'_>) -> Verdict {
        Verdict { allowed: session.is_own(), reason: "only Mainstay's own controllers".into() }
    }
    fn readable(&self, session: &Session, _: &Kind) -> Option<Predicate> {
        session.is_own().then_some(Predicate::All)
    }
}

/// Somebody, in one tenant, with roles.
#[derive(Clone, Debug)]
pub struct Session {
    actor: Actor,
    tenant: TenantId,
    roles: Arc<[String]>,
    cause: Option<u64>,
    request: Option<Arc<str>>,
    /// Mainstay itself, under the name of its agent or of somebody it tells about.
    own: bool,
}

impl Session {
    /// For `access`, once it has proved who asks. `roles` are keys of roles; for tokens already intersected with the owner's.
    pub fn authenticated(actor: Actor, tenant: TenantId, roles: Vec<String>) -> Self {
        Self { actor, tenant, roles: roles.into(), cause: None, request: None, own: false }
    }

    /// For a controller of Mainstay.
    pub fn controller(name: &str, tenant: TenantId) -> Self {
        Self::authenticated(Actor::new(ActorKind::Controller, name), tenant, Vec::new())
    }

    /// For the agent inside this process, on its own machine: it acts as a controller does, under an agent's name.
    pub fn own_agent(actor: Actor, tenant: TenantId) -> Self {
        Self { own: true, ..Self::authenticated(actor, tenant, Vec::new()) }
    }

    /// For Mainstay, telling what somebody did to their own credentials: it writes as itself, under their name.
    pub fn in_the_name_of(actor: Actor, tenant: TenantId) -> Self {
        Self::own_agent(actor, tenant)
    }

    /// For Mainstay at start.
    pub fn system(tenant: TenantId) -> Self {
        Self::authenticated(Actor::new(ActorKind::System, "mainstay"), tenant, Vec::new())
    }

    /// Nobody.
    pub fn anonymous() -> Self {
        Self::authenticated(Actor::new(ActorKind::Anonymous, "nobody"), TenantId::HOME, Vec::new())
    }

    /// The same session, acting because of a journal entry.
    pub fn because(&self, seq: u64) -> Self {
        Self { cause: (seq > 0).then_some(seq), ..self.clone() }
    }

    /// The same session, acting for a request of that id.
    pub fn in_request(&self, id: &str) -> Self {
        Self { request: Some(id.into()), ..self.clone() }
    }

    /// Who.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// In which tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Roles held.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The journal entry that led to this.
    pub fn cause(&self) -> Option<u64> {
        self.cause
    }

    /// Id of the request.
    pub fn request(&self) -> Option<&str> {
        self.request.as_deref()
    }

    /// Mainstay itself: a controller, or start-up.
    pub fn is_own(&self) -> bool {
        self.own || matches!(self.actor.kind, ActorKind::Controller | ActorKind::System)
    }
}
