//! Board: which question is asked next. Pure: it is told the time and who has answered, and says what to begin.
//!
//! A check is idle until its time, then ready; when the budget of its site or target is used up, it waits in that group's
//! queue, and everybody else goes past it. It is never asked twice at once, and a turn that is over is left out, not
//! caught up: after a standstill every check is asked once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use super::budget::{Budget, Full, Groups};
use super::pace::Pace;

/// A question to begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whose question it is.
    pub id: u128,
    /// Where the check stands on the board, for [`Board::finished`].
    pub slot: u32,
    /// Which turn of the check this is, for [`Board::finished`].
    pub turn: u64,
    /// How late it is, its waiting for budgets counted.
    pub late: Duration,
}

/// How the check goes on after its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At its usual time.
    Usual,
    /// At its usual time, or later when it fails again and again and its pace wants that.
    Failing,
    /// After that time.
    In(Duration),
    /// At its usual time; nothing was learned.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Ready,
    Waiting,
    Running,
    /// Paused, or no longer on the board.
    Off,
}

/// Which of the two groups of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Site,
    Target,
}

struct Entry {
    id: u128,
    pace: Pace,
    site: u32,
    target: u32,
    due: Duration,
    turn: u64,
    stage: Stage,
    failures: u32,
    /// Asked for again while its question was in flight.
    again: bool,
    paused: bool,
    /// No longer on the board: only its question in flight keeps it.
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Due { slot: u32, turn: u64 },
    Alarm { side: Side, group: u32 },
}

/// All checks, and when each is asked.
pub struct Board {
    entries: Vec<Entry>,
    free: Vec<u32>,
    slots: HashMap<u128, u32>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    ready: VecDeque<(u32, u64)>,
    sites: Groups,
    targets: Groups,
    limit: usize,
    running: usize,
    waiting: usize,
    left_out: u64,
    turns: u64,
}

impl Board {
    /// An empty board with that many questions in flight at most, and those budgets for every site and every target.
    pub fn new(in_flight: usize, site: Budget, target: Budget) -> Board {
        Board {
            entries: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            events: BinaryHeap::new(),
            ready: VecDeque::new(),
            sites: Groups::new(site),
            targets: Groups::new(target),
            limit: in_flight.max(1),
            running: 0,
            waiting: 0,
            left_out: 0,
            turns: 0,
        }
    }

    /// Takes a check in, or replaces it: a check that is there already is asked at once. Its slot.
    pub fn put(&mut self, id: u128, pace: Pace, site: &str, target: &str, now: Duration) -> u32 {
        let is_known = self.remove(id, now).is_some();
        let due = if is_known { now } else { pace.first(id, now) };
        let (site, target) = (self.sites.join(site), self.targets.join(target));
        let (stage, turn) = (Stage::Idle, self.next_turn());
        let entry =
            Entry { id, pace, site, target, due, turn, stage, failures: 0, again: false, paused: false, gone: false };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("there are fewer checks than memory has bytes")
            }
        };
        self.slots.insert(id, slot);
        self.events.push(Reverse((due, Event::Due { slot, turn })));
        slot
    }

    /// Takes a check off the board. Its slot, where a question may still be in flight until [`Board::finished`].
    pub fn remove(&mut self, id: u128, now: Duration) -> Option<u32> {
        let slot = self.slots.remove(&id)?;
        self.halt(slot, now);
        let entry = &mut self.entries[slot as usize];
        entry.gone = true;
        if entry.stage != Stage::Running {
            self.release(slot);
        }
        self.tidy();
        Some(slot)
    }

    /// Asks a check no more until [`Board::resume`]. Its slot, when it was not paused already.
    pub fn pause(&mut self, id: u128, now: Duration) -> Option<u32> {
        let slot = *self.slots.get(&id)?;
        let entry = &mut self.entries[slot as usize];
        if std::mem::replace(&mut entry.paused, true) {
            return None;
        }
        entry.again = false;
        self.halt(slot, now);
        Some(slot)
    }

    /// Asks a paused check again, at once.
    pub fn resume(&mut self, id: u128, now: Duration) {
        let Some(slot) = self.slots.get(&id).copied() else { return };
        let entry = &mut self.entries[slot as usize];
        if !std::mem::replace(&mut entry.paused, false) {
            return;
        }
        entry.failures = 0;
        match entry.stage {
            Stage::Running => entry.again = true,
            _ => self.idle_until(slot, now),
        }
    }

    /// Asks a check as soon as its budgets allow, out of turn. False when there is no such check, or it is paused.
    pub fn soon(&mut self, id: u128, now: Duration) -> bool {
        let Some(slot) = self.slots.get(&id).copied() else { return false };
        let entry = &mut self.entries[slot as usize];
        match entry.stage {
            _ if entry.paused => return false,
            Stage::Idle => self.idle_until(slot, now),
            Stage::Running => entry.again = true,
            Stage::Ready | Stage::Waiting | Stage::Off => {}
        }
        true
    }

    /// Asks a check that is not in flight after that time at the latest. False when there is no such check, or it is paused.
    pub fn within(&mut self, id: u128, wait: Duration, now: Duration) -> bool {
        let Some(slot) = self.slots.get(&id).copied() else { return false };
        let entry = &self.entries[slot as usize];
        if entry.paused {
            return false;
        }
        if entry.stage == Stage::Idle && entry.due > now + wait {
            self.idle_until(slot, now + wait);
        }
        true
    }

    /// Another budget for one site, from now on; `None` is the usual one.
    pub fn set_site_budget(&mut self, name: &str, budget: Option<Budget>, now: Duration) {
        if let Some(group) = self.sites.set(name, budget) {
            self.wake(Side::Site, group, now);
        }
    }

    /// Another budget for one target, from now on; `None` is the usual one.
    pub fn set_target_budget(&mut self, name: &str, budget: Option<Budget>, now: Duration) {
        if let Some(group) = self.targets.set(name, budget) {
            self.wake(Side::Target, group, now);
        }
    }

    /// Puts what is to be begun now into `starts`, until that holds `most`.
    pub fn take(&mut self, now: Duration, most: usize, starts: &mut Vec<Start>) {
        while let Some(Reverse((at, event))) = self.events.peek().copied() {
            if at > now {
                break;
            }
            self.events.pop();
            match event {
                Event::Due { slot, turn } if self.is_at(slot, turn, Stage::Idle) => {
                    self.entries[slot as usize].stage = Stage::Ready;
                    self.ready.push_back((slot, turn));
                }
                Event::Due { .. } => {} // It was moved to another time, paused or removed.
                Event::Alarm { side, group } => {
                    self.groups(side).get(group).alarm = None;
                    self.wake(side, group, now);
                }
            }
        }
        while starts.len() < most && self.running < self.limit {
            let Some((slot, turn)) = self.ready.pop_front() else { break };
            if self.is_at(slot, turn, Stage::Ready) {
                starts.extend(self.admit(slot, now));
            }
        }
    }

    /// When [`Board::take`] has something to do next, if nothing happens before; `None` is never.
    pub fn next_event(&self) -> Option<Duration> {
        if !self.ready.is_empty() && self.running < self.limit {
            return Some(Duration::ZERO);
        }
        self.events.peek().map(|Reverse((at, _))| *at)
    }

    /// For how long the turn that is over longest has not begun, whatever it waits for. Looks at every check: for figures only.
    pub fn behind(&self, now: Duration) -> Duration {
        let waits = |entry: &&Entry| matches!(entry.stage, Stage::Idle | Stage::Ready | Stage::Waiting);
        let due = self.entries.iter().filter(waits).map(|entry| entry.due).min();
        due.map_or(Duration::ZERO, |due| now.saturating_sub(due))
    }

    /// A question has its answer, or was broken off. A turn that is not in flight is passed over.
    pub(crate) fn finished(&mut self, slot: u32, turn: u64, next: Next, now: Duration) {
        if self.entries.len() <= slot as usize || !self.is_at(slot, turn, Stage::Running) {
            return;
        }
        let entry = &self.entries[slot as usize];
        let (site, target) = (entry.site, entry.target);
        self.running -= 1;
        self.sites.get(site).end();
        self.targets.get(target).end();
        self.go_on(slot, next, now);
        self.wake(Side::Site, site, now);
        self.wake(Side::Target, target, now);
    }

    fn go_on(&mut self, slot: u32, next: Next, now: Duration) {
        let entry = &mut self.entries[slot as usize];
        if entry.gone {
            return self.release(slot);
        }
        let asked_again = std::mem::take(&mut entry.again);
        if entry.paused {
            entry.stage = Stage::Off;
            return;
        }
        entry.failures = match next {
            Next::Usual => 0,
            Next::Broken => entry.failures,
            Next::Failing | Next::In(_) => entry.failures.saturating_add(1),
        };
        let due = match next {
            _ if asked_again => now,
            Next::In(wait) => now + wait.max(Duration::from_millis(1)),
            Next::Usual | Next::Failing | Next::Broken => {
                let (due, left_out) = entry.pace.next(entry.id, entry.due, now, entry.failures);
                self.left_out += left_out;
                due
            }
        };
        self.idle_until(slot, due);
    }

    /// Begins the question if both budgets allow it, else lets the check wait for the one that does not.
    fn admit(&mut self, slot: u32, now: Duration) -> Option<Start> {
        let entry = &self.entries[slot as usize];
        let (site, target, turn) = (entry.site, entry.target, entry.turn);
        for (side, group, other) in
            [(Side::Site, site, (Side::Target, target)), (Side::Target, target, (Side::Site, site))]
        {
            let Some(full) = self.groups(side).get(group).full(now) else { continue };
            self.groups(side).get(group).waiting.push_back((slot, turn));
            self.entries[slot as usize].stage = Stage::Waiting;
            self.waiting += 1;
            if let Full::Until(at) = full {
                self.set_alarm(side, group, at);
            }
            // It may have been let go by the other group, which still has the room that it does not take.
            self.wake(other.0, other.1, now);
            return None;
        }
        self.sites.get(site).begin(now);
        self.targets.get(target).begin(now);
        self.running += 1;
        let entry = &mut self.entries[slot as usize];
        entry.stage = Stage::Running;
        let start = Start { id: entry.id, slot, turn, late: now.saturating_sub(entry.due) };
        self.wake(Side::Site, site, now);
        self.wake(Side::Target, target, now);
        Some(start)
    }

    /// Lets the first that waits for the group go on, if the group has room.
    fn wake(&mut self, side: Side, group: u32, now: Duration) {
        match self.groups(side).get(group).full(now) {
            Some(Full::Busy) => return,
            Some(Full::Until(at)) => {
                if !self.groups(side).get(group).waiting.is_empty() {
                    self.set_alarm(side, group, at);
                }
                return;
            }
            None => {}
        }
        while let Some((slot, turn)) = self.groups(side).get(group).waiting.pop_front() {
            if self.is_at(slot, turn, Stage::Waiting) {
                self.entries[slot as usize].stage = Stage::Ready;
                self.waiting -= 1;
                self.ready.push_back((slot, turn));
                return;
            }
        }
    }

    fn set_alarm(&mut self, side: Side, number: u32, at: Duration) {
        let group = self.groups(side).get(number);
        if group.alarm.is_none_or(|alarm| alarm > at) {
            group.alarm = Some(at);
            self.events.push(Reverse((at, Event::Alarm { side, group: number })));
        }
    }

    /// Takes the check out of whatever it waits in. A question in flight goes on.
    fn halt(&mut self, slot: u32, now: Duration) {
        let entry = &mut self.entries[slot as usize];
        let (stage, site, target) = (entry.stage, entry.site, entry.target);
        match stage {
            Stage::Running | Stage::Off => return,
            Stage::Waiting => self.waiting -= 1,
            Stage::Idle | Stage::Ready => {}
        }
        entry.stage = Stage::Off;
        if stage == Stage::Ready {
            // The room that it was let go for is there for the next.
            self.wake(Side::Site, site, now);
            self.wake(Side::Target, target, now);
        }
    }

    fn idle_until(&mut self, slot: u32, due: Duration) {
        let turn = self.next_turn();
        let entry = &mut self.entries[slot as usize];
        (entry.stage, entry.due, entry.turn) = (Stage::Idle, due, turn);
        self.events.push(Reverse((due, Event::Due { slot, turn })));
    }

    fn release(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        (entry.stage, entry.turn) = (Stage::Off, 0);
        let (site, target) = (entry.site, entry.target);
        self.sites.leave(site);
        self.targets.leave(target);
        self.free.push(slot);
    }

    /// Throws away events that mean nothing any more, when they are the most.
    fn tidy(&mut self) {
        if self.events.len() < 64 + 3 * self.slots.len() {
            return;
        }
        let events = std::mem::take(&mut self.events);
        let entries = &self.entries;
        let means_something = |event: &Event| match event {
            Event::Due { slot, turn } => {
                let entry = &entries[*slot as usize];
                entry.turn == *turn && entry.stage == Stage::Idle
            }
            Event::Alarm { .. } => true,
        };
        self.events = events.into_iter().filter(|Reverse((_, event))| means_something(event)).collect();
    }

    fn is_at(&self, slot: u32, turn: u64, stage: Stage) -> bool {
        let entry = &self.entries[slot as usize];
        entry.turn == turn && entry.stage == stage
    }

    fn groups(&mut self, side: Side) -> &mut Groups {
        match side {
            Side::Site => &mut self.sites,
            Side::Target => &mut self.targets,
        }
    }

    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// How many checks are on the board.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Questions in flight.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Checks whose time has come and that wait for a budget or for room.
    pub fn waiting(&self) -> usize {
        self.waiting + self.ready.len()
    }

    /// Turns that were left out because the turn before had not ended.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
