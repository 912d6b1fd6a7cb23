//! The rules that are held, when each is due, and which were woken. Says what is to be evaluated; evaluates nothing.

use kernel::{Id, TenantId, Time};
use series::Labels;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::compile::Compiled;
use super::state::{Health, LabelSet, State};

/// A rule that is held.
pub(super) struct Held {
    pub(super) tenant: TenantId,
    pub(super) key: Arc<str>,
    /// The record's fields without those that Mainstay computes: another definition is another rule.
    pub(super) definition: Arc<str>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) active: bool,
    pub(super) state: State,
    /// The state was made by another definition.
    pub(super) changed: bool,
    /// The alert records' texts, by fingerprint.
    pub(super) texts: BTreeMap<String, LabelSet>,
    /// Series that were written last time, to be ended when they are no longer there.
    pub(super) written: Vec<Labels>,
    pub(super) health: Health,
    pub(super) error: Option<String>,
    pub(super) last: Option<Time>,
    pub(super) took: Duration,
    /// Samples that the latest evaluation looked at: what the next one will take, about.
    pub(super) samples: u64,
    /// The round that evaluates it now, so that its state here is the one before.
    pub(super) round: Option<u64>,
    /// When it is due, Unix milliseconds.
    pub(super) due_ms: i64,
    /// When a wait of one of its alerts is over, if that is sooner.
    pub(super) end_ms: Option<i64>,
}

/// All rules that are held.
#[derive(Default)]
pub(super) struct Board {
    held: HashMap<Id, Held>,
    /// When which rule is due: of those that are active.
    agenda: BTreeSet<(i64, Id)>,
    ends: BTreeSet<(i64, Id)>,
    /// Rules that are to be evaluated because of what was written.
    woken: BTreeSet<Id>,
    rounds: u64,
}

/// What is to be done now, and when to look again.
pub(super) struct Orders {
    /// Rules whose time has come, and the round that they are in.
    pub(super) due: (u64, Vec<Id>),
    /// Rules that were woken, and theirs.
    pub(super) woken: (u64, Vec<Id>),
    /// Some were woken that have to wait for the allowance.
    pub(super) waiting: bool,
    /// When the next is due, Unix milliseconds.
    pub(super) next_ms: Option<i64>,
}

impl Board {
    pub(super) fn get(&self, id: Id) -> Option<&Held> {
        self.held.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Held> {
        self.held.get_mut(&id)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        self.held.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The active rule of that key.
    pub(super) fn named(&mut self, tenant: TenantId, key: &str) -> Option<(Id, &mut Held)> {
        let fits = |held: &Held| held.tenant == tenant && &*held.key == key && held.active;
        self.held.iter_mut().find(|(_, held)| fits(held)).map(|(id, held)| (*id, held))
    }

    /// Holds a rule under an id that is free.
    pub(super) fn put(&mut self, id: Id, held: Held) {
        if held.active {
            self.agenda.insert((held.due_ms, id));
        }
        self.held.insert(id, held);
    }

    /// Holds a rule no more.
    pub(super) fn take(&mut self, id: Id) -> Option<Held> {
        let held = self.held.remove(&id)?;
        self.agenda.remove(&(held.due_ms, id));
        if let Some(at) = held.end_ms {
            self.ends.remove(&(at, id));
        }
        self.woken.remove(&id);
        Some(held)
    }

    /// A rule is to be evaluated, or not for now.
    pub(super) fn set_active(&mut self, id: Id, active: bool) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.active = active;
        if active {
            self.agenda.insert((held.due_ms, id));
        } else {
            self.agenda.remove(&(held.due_ms, id));
        }
    }

    /// Evaluates these in a moment.
    pub(super) fn wake(&mut self, ids: BTreeSet<Id>) {
        self.woken.extend(ids);
    }

    /// What these are about to read is all that was written until now.
    pub(super) fn calm(&mut self, ids: impl Iterator<Item = Id>) {
        for id in ids {
            self.woken.remove(&id);
        }
    }

    /// What is to be done at a time; who was woken only when that is `allowed`. Rules that are being evaluated are left out: one
    /// that is due again meanwhile skips that time, and one that was woken follows.
    pub(super) fn orders(&mut self, now_ms: i64, allowed: bool) -> Orders {
        let due = self.due(now_ms);
        while let Some((at, id)) = self.ends.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.ends.remove(&(at, id));
            if let Some(held) = self.held.get_mut(&id) {
                held.end_ms = None;
                self.woken.insert(id);
            }
        }
        // The due ones see what they were woken for.
        self.calm(due.iter().copied());
        let held = &self.held;
        let is_free = |id: &Id| held.get(id).is_some_and(|held| held.active && held.round.is_none());
        self.woken.retain(|id| held.get(id).is_some_and(|held| held.active));
        let free: Vec<Id> = self.woken.iter().filter(|id| is_free(id)).copied().collect();
        let waiting = !allowed && !free.is_empty();
        let woken = if allowed { free } else { Vec::new() };
        self.calm(woken.iter().copied());
        let due = (self.begin(&due), due);
        let woken = (self.begin(&woken), woken);
        let next_ms = [self.agenda.first(), self.ends.first()].into_iter().flatten().map(|(at, _)| *at).min();
        Orders { due, woken, waiting, next_ms }
    }

    fn due(&mut self, now_ms: i64) -> Vec<Id> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.agenda.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.agenda.remove(&(at, id));
            let Some(held) = self.held.get_mut(&id) else { continue };
            held.due_ms = next_due(held, id, now_ms);
            self.agenda.insert((held.due_ms, id));
            if held.round.is_none() {
                due.push(id);
            }
        }
        due
    }

    /// Begins a round of these, as far as they are not in one; its number.
    pub(super) fn begin(&mut self, ids: &[Id]) -> u64 {
        self.rounds += 1;
        for id in ids {
            if let Some(held) = self.held.get_mut(id) {
                held.round.get_or_insert(self.rounds);
            }
        }
        self.rounds
    }

    /// A round is over, whatever came of it.
    pub(super) fn end(&mut self, ids: &[Id], round: u64) {
        for id in ids {
            if let Some(held) = self.held.get_mut(id).filter(|held| held.round == Some(round)) {
                held.round = None;
            }
        }
    }

    /// Has a rule evaluated when the next wait of its alerts is over, if it is not due before.
    pub(super) fn plan_end(&mut self, id: Id, end_ms: Option<i64>) {
        let Some(held) = self.held.get_mut(&id) else { return };
        if let Some(before) = held.end_ms.take() {
            self.ends.remove(&(before, id));
        }
        held.end_ms = end_ms.filter(|at| held.active && *at < held.due_ms);
        self.ends.extend(held.end_ms.map(|at| (at, id)));
    }
}

/// The next time on the grid of the rule's interval; rules of a group share it, groups differ.
fn next_due(held: &Held, id: Id, now_ms: i64) -> i64 {
    let every = held.compiled.interval_ms();
    let seed = match &held.compiled.rule.group {
        Some(group) => xxhash_rust::xxh3::xxh3_64_with_seed(group.as_bytes(), held.tenant.0.unsigned_abs()),
        None => id.0.as_u128() as u64,
    };
    let offset = (seed % every.unsigned_abs()) as i64;
    (now_ms - offset).div_euclid(every) * every + every + offset
}
