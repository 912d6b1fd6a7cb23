//! Health of services: what they need, rolled up. A service with checks of its own has their health; the others have the worst of
//! what they depend on, and a reason that names it.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::link::{Direction, Node, Side, Walk};
use kernel::{HealthState, Id};

/// Links followed from a service to what it needs, at most.
const DEPTH: u32 = 6;

/// Classes of what services need, and services themselves.
pub(crate) const NEEDED: &[&str] =
    &["service", "application", "database", "host", "cluster", "container", "cloud-resource", "network-device"];

/// Keeps the health of services that nothing asks directly.
pub struct Rollup;

#[async_trait]
impl Controller for Rollup {
    fn name(&self) -> &'static str {
        "watch.rollup"
    }
    fn watches(&self) -> &'static [&'static str] {
        NEEDED
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let walk =
            Walk { direction: Direction::Up, depth: DEPTH, limit: 1000, types: cx.kernel.registry().impact_links() };
        let hurt = cx.kernel.backend().walk(cx.tenant, id, &walk).await?;
        let mut said = Vec::new();
        for node in hurt.nodes.iter().filter(|n| n.head.kind.as_str() == "service") {
            if let Some(sentence) = self.service(cx, node.head.id).await? {
                said.push(sentence);
            }
        }
        Ok(Looked::settled(if said.is_empty() { "no service needs it".to_owned() } else { said.join("; ") }))
    }
}

impl Rollup {
    /// Keeps the health of one service, and says it; nothing when it is asked directly, or when it has none since
    /// nothing that it needs was ever measured.
    pub(crate) async fn service(&self, cx: &Cx, id: Id) -> Result<Option<String>, ActError> {
        let links = cx.kernel.backend().neighbours(cx.tenant, id).await?;
        if links.iter().any(|n| n.direction == Side::In && n.other.kind.as_str() == "check") {
            return Ok(None); // It is asked directly: that is the better answer.
        }
        let walk =
            Walk { direction: Direction::Down, depth: DEPTH, limit: 1000, types: cx.kernel.registry().impact_links() };
        let needed = cx.kernel.backend().walk(cx.tenant, id, &walk).await?;
        let Some(service) = cx.kernel.backend().get(cx.tenant, id).await? else { return Ok(None) };
        let (mut state, mut reason) = match worst(&needed.nodes) {
            Some(worst) => worst,
            // What was known of it is known no longer.
            None if service.health.is_some() => (HealthState::Unknown, "nothing that it needs is measured".to_owned()),
            None => return Ok(None),
        };
        if let Some(window) = crate::maintenance::covering(cx, &service).await? {
            (state, reason) = (HealthState::Maintenance, format!("{} ({reason})", window.title));
        }
        let sentence = format!("{}: {}", service.key, state.as_str());
        cx.kernel.act(&cx.session, Act::Health { target: Target::Id(id), state, reason }).await?;
        Ok(Some(sentence))
    }
}

/// The worst health among what is needed, the nearest first where several are as bad; `None` when nothing needed has a health.
pub fn worst(needed: &[Node]) -> Option<(HealthState, String)> {
    let known = needed.iter().filter(|n| n.depth > 0).filter_map(|n| n.head.health.as_ref().map(|h| (n, h)));
    let (node, health) = known.max_by(|(a, x), (b, y)| x.state.cmp(&y.state).then(b.depth.cmp(&a.depth)))?;
    let reason = match health.state {
        HealthState::Up => "everything that it needs is up".to_owned(),
        state => format!("{} is {}: {}", node.head.title, state.as_str(), health.reason),
    };
    Some((health.state, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::record::{Head, Health};
    use kernel::{Kind, Time};

    fn node(title: &str, depth: u32, state: Option<HealthState>) -> Node {
        let now = Time::from_micros(0);
        let health = state.map(|state| Health { state, since: now, reason: "seen".into() });
        Node {
            head: Head {
                id: Id::new(now),
                kind: Kind::new("application"),
                key: title.into(),
                title: title.into(),
                state: "active".into(),
                health,
            },
            depth,
        }
    }

    #[test]
    fn the_worst_and_nearest_is_named() {
        use HealthState::{Degraded, Down, Unknown, Up};
        let itself = node("shop", 0, Some(Down));
        for (needed, expected, why) in [
            (
                vec![itself.clone(), node("a", 1, Some(Up))],
                Some((Up, "everything that it needs is up")),
                "its own health does not count",
            ),
            (
                vec![node("a", 1, Some(Up)), node("b", 2, Some(Unknown))],
                Some((Unknown, "b is unknown: seen")),
                "what is not known is not up",
            ),
            (
                vec![node("far", 2, Some(Down)), node("near", 1, Some(Down)), node("c", 1, Some(Degraded))],
                Some((Down, "near is down: seen")),
                "the nearest of the worst",
            ),
            (vec![node("a", 1, None)], None, "nothing needed is measured"),
        ] {
            let found = worst(&needed);
            assert_eq!(found.as_ref().map(|(s, r)| (*s, r.as_str())), expected, "{why}");
        }
    }
}
