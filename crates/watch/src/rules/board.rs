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
    /// What its record says of that: the same, as soon as it could be written down.
    pub(super) told: Health,
    pub(super) error: Option<String>,
    pub(super) last: Option<Time>,
    pub(super) took: Duration,
    /// Samples that the latest evaluation looked at: what the next one will take, about.
    pub(super) samples: u64,
    /// The round that evaluates it now, so that its state here is the one before.
    pub(super) round: Option<u64>,
    /// The rules whose writing has led to that: what it writes then wakes none of them.
    pub(super) after: BTreeSet<Id>,
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
    /// Rules that are to be evaluated because of what was written, each with the rules whose writing has led to that. No rule is
    /// woken by what followed from its own, so that rules which read each other in a circle come to rest.
    woken: BTreeMap<Id, BTreeSet<Id>>,
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

    /// Evaluates these in a moment, but for those after whose writing it came. True when one of them was not woken already.
    pub(super) fn wake(&mut self, ids: BTreeSet<Id>, after: &BTreeSet<Id>) -> bool {
        let before = self.woken.len();
        for id in ids.difference(after) {
            self.woken.entry(*id).or_default().extend(after);
        }
        self.woken.len() > before
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
                self.woken.entry(id).or_default();
            }
        }
        // The due ones see what they were woken for.
        self.calm(due.iter().copied());
        let held = &self.held;
        let is_free = |id: &Id| held.get(id).is_some_and(|held| held.active && held.round.is_none());
        self.woken.retain(|id, _| held.get(id).is_some_and(|held| held.active));
        let free: Vec<Id> = self.woken.keys().filter(|id| is_free(id)).copied().collect();
        let waiting = !allowed && !free.is_empty();
        let woken = if allowed { free } else { Vec::new() };
        let due = (self.begin(&due), due);
        let woken = (self.begin(&woken), woken);
        for id in &woken.1 {
            let after = self.woken.remove(id);
            if let Some(held) = self.held.get_mut(id) {
                held.after = after.unwrap_or_default();
            }
        }
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
            if let Some(held) = self.held.get_mut(id).filter(|held| held.round.is_none()) {
                held.round = Some(self.rounds);
                held.after.clear();
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

#[cfg(test)]
mod tests {
    use super::super::file::plain;
    use super::*;
    use crate::rule::Rule;
    use kernel::Dur;

    fn held(due_ms: i64) -> Held {
        let rule = Rule { title: "X".into(), expression: "up == 0".into(), interval: Dur::seconds(60), ..plain() };
        Held {
            tenant: TenantId::HOME,
            key: "x".into(),
            definition: "".into(),
            compiled: Arc::new(Compiled::new(&rule).unwrap()),
            active: true,
            state: State::default(),
            changed: false,
            texts: BTreeMap::new(),
            written: Vec::new(),
            health: Health::Unknown,
            told: Health::Unknown,
            error: None,
            last: None,
            took: Duration::ZERO,
            samples: 0,
            round: None,
            after: BTreeSet::new(),
            due_ms,
            end_ms: None,
        }
    }

    fn ids() -> [Id; 3] {
        [1, 2, 3].map(|ms| Id::new(Time::from_micros(ms * 1000)))
    }

    /// Wakes rules because of what somebody else has written.
    fn wake<const N: usize>(board: &mut Board, ids: [Id; N]) -> bool {
        board.wake(BTreeSet::from(ids), &BTreeSet::new())
    }

    #[test]
    fn a_rule_is_in_one_round_at_a_time_and_follows_when_it_was_woken_meanwhile() {
        let (mut board, [a, b, c]) = (Board::default(), ids());
        [a, b, c].into_iter().zip([10, 10, 99_000]).for_each(|(id, due_ms)| board.put(id, held(due_ms)));
        wake(&mut board, [a, c]);
        let orders = board.orders(10, true);
        assert_eq!((orders.due.1, &orders.woken.1[..]), (vec![a, b], &[c][..]), "what is due is not woken besides");
        assert_ne!(orders.due.0, orders.woken.0);
        wake(&mut board, [a]);
        let later = board.orders(70_011, true);
        assert!(later.due.1.is_empty() && later.woken.1.is_empty() && !later.waiting, "they are still in their rounds");
        board.end(&[a, b], orders.due.0);
        assert_eq!(board.orders(70_011, true).woken.1, [a]);
        board.end(&[c], orders.due.0);
        assert_eq!(board.get(c).unwrap().round, Some(orders.woken.0), "only its own round frees it");
    }

    #[test]
    fn rules_that_read_each_other_in_a_circle_come_to_rest() {
        let (mut board, [a, b, c]) = (Board::default(), ids());
        [a, b, c].into_iter().for_each(|id| board.put(id, held(99_000)));
        let (circle, none) = (BTreeSet::from([a, b, c]), BTreeSet::new());
        assert!(board.wake(BTreeSet::from([a]), &none));
        assert!(!board.wake(BTreeSet::from([a]), &none), "nobody has to be told twice");
        let mut evaluated = Vec::new();
        for _ in 0..10 {
            let orders = board.orders(10, true);
            for id in &orders.woken.1 {
                let mut after = board.get(*id).unwrap().after.clone();
                after.insert(*id);
                board.end(&[*id], orders.woken.0);
                board.wake(circle.clone(), &after);
            }
            evaluated.extend(orders.woken.1);
        }
        assert!(
            (3..=5).contains(&evaluated.len()),
            "each reads what the others say, and then it is quiet: {evaluated:?}"
        );
        let due = board.begin(&[a]);
        assert!(board.get(a).unwrap().after.is_empty(), "its interval is a beginning of its own");
        board.end(&[a], due);
        assert!(board.wake(circle, &none), "and so is what somebody else writes");
    }

    #[test]
    fn who_was_woken_waits_for_the_allowance_and_who_is_due_does_not() {
        let (mut board, [a, b, _]) = (Board::default(), ids());
        [a, b].into_iter().zip([10, 99_000]).for_each(|(id, due_ms)| board.put(id, held(due_ms)));
        wake(&mut board, [b]);
        let orders = board.orders(10, false);
        assert_eq!((orders.due.1, orders.woken.1.len(), orders.waiting), (vec![a], 0, true));
        assert_eq!(board.orders(10, true).woken.1, [b]);
    }

    #[test]
    fn the_end_of_a_wait_is_looked_for_once_and_only_before_the_rule_is_due() {
        let (mut board, [a, b, c]) = (Board::default(), ids());
        [a, b, c].into_iter().for_each(|id| board.put(id, held(50_000)));
        board.plan_end(a, Some(20_000));
        board.plan_end(b, Some(60_000));
        board.plan_end(c, Some(30_000));
        board.plan_end(c, None);
        assert_eq!(board.orders(10, true).next_ms, Some(20_000));
        assert_eq!(board.orders(20_000, true).woken.1, [a]);
        assert_eq!(board.orders(40_000, true).next_ms, Some(50_000), "nothing of it is left");
        assert!(board.take(b).is_some() && board.named(TenantId::HOME, "x").is_some());
    }

    #[test]
    fn a_paused_rule_is_not_evaluated_and_one_that_is_resumed_is() {
        let (mut board, [a, ..]) = (Board::default(), ids());
        board.put(a, held(10));
        board.set_active(a, false);
        wake(&mut board, [a]);
        let orders = board.orders(10, true);
        assert!(orders.due.1.is_empty() && orders.woken.1.is_empty() && orders.next_ms.is_none());
        board.set_active(a, true);
        assert_eq!(board.orders(10, true).due.1, [a]);
    }
}
