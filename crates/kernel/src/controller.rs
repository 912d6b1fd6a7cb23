//! Controllers: reconcilers that keep promises.
//!
//! A controller is told only *which* record; it reads the record as it is now, decides by a pure function, then acts. Being woken
//! twice or not at all costs time and never a promise: the driver also looks at everything now and then.

use async_trait::async_trait;

use crate::act::Kernel;
use crate::clock::Time;
use crate::error::ActError;
use crate::ids::{Id, TenantId};
use crate::session::Session;

/// When a controller wants to look at the record again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When the record changes.
    OnChange,
    /// At this time, or when it changes.
    At(Time),
}

/// What came of a look: when to look again, and the decision in the controller's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// When to look again.
    pub next: Next,
    /// The decision, for people: `paged step 2`, `acknowledged, nothing to do`.
    pub reason: String,
}

impl Looked {
    /// Nothing more until the record changes.
    pub fn settled(reason: impl Into<String>) -> Self {
        Self { next: Next::OnChange, reason: reason.into() }
    }

    /// Again at `time`.
    pub fn again(time: Time, reason: impl Into<String>) -> Self {
        Self { next: Next::At(time), reason: reason.into() }
    }
}

/// What a controller works with: the kernel, and a session in the record's tenant whose cause is the entry that woke it.
pub struct Cx {
    /// The kernel.
    pub kernel: Kernel,
    /// Who the controller is, in which tenant, because of which entry.
    pub session: Session,
    /// The tenant.
    pub tenant: TenantId,
}

/// A keeper of promises.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// Its name, with its verb: `respond.escalate`.
    fn name(&self) -> &'static str;
    /// Classes whose changes wake it, and whose records it scans.
    fn watches(&self) -> &'static [&'static str];
    /// Whether closed records concern it too; by default a scan skips them.
    fn scans_closed(&self) -> bool {
        false
    }
    /// Brings the world in line with the record.
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError>;
}
