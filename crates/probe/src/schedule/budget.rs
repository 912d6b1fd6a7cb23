//! Budget: how many questions one target, or one site, may be asked at once and in a second.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// What may be asked of one target, or of one site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Questions in flight at most; at least one is always allowed.
    pub in_flight: u32,
    /// Questions begun in a second at most, in the long run; `None` is as many as come.
    pub per_second: Option<f64>,
    /// Questions that may begin at once after a pause, where a rate is set.
    pub burst: u32,
}

impl Budget {
    /// So many in flight, at any rate.
    pub const fn of(in_flight: u32) -> Budget {
        Budget { in_flight, per_second: None, burst: 1 }
    }

    /// The same with a rate.
    #[must_use]
    pub const fn at_rate(self, per_second: f64, burst: u32) -> Budget {
        Budget { per_second: Some(per_second), burst, ..self }
    }

    /// The time that one question takes up.
    fn gap(&self) -> Option<Duration> {
        let rate = self.per_second.filter(|rate| rate.is_finite() && *rate > 0.0)?;
        // A rate below one an hour is no rate that anybody means.
        Some(Duration::from_secs_f64((1.0 / rate).min(3600.0)))
    }
}

/// Why a group takes no question now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Until one of its questions has its answer.
    Busy,
    /// Until that time.
    Until(Duration),
}

/// Checks that share a budget: those of one target, or of one site.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Box<str>,
    pub(super) budget: Budget,
    pub(super) in_flight: u32,
    /// When the questions begun so far have used up their time (the theoretical arrival time of the generic cell rate algorithm).
    used_until: Duration,
    /// Who waits for it, in the order in which they came: slot and turn.
    pub(super) waiting: VecDeque<(u32, u64)>,
    /// When the board was told to look at it again; a second alarm for the same time would be one too many.
    pub(super) alarm: Option<Duration>,
    members: u32,
}

impl Group {
    /// Why it takes no question now; `None` when it does.
    pub(super) fn full(&self, now: Duration) -> Option<Full> {
        if self.in_flight >= self.budget.in_flight.max(1) {
            return Some(Full::Busy);
        }
        let gap = self.budget.gap()?;
        let ahead = gap * self.budget.burst.saturating_sub(1);
        let free_at = self.used_until.saturating_sub(ahead);
        (free_at > now).then_some(Full::Until(free_at))
    }

    pub(super) fn begin(&mut self, now: Duration) {
        self.in_flight += 1;
        if let Some(gap) = self.budget.gap() {
            self.used_until = self.used_until.max(now) + gap;
        }
    }

    pub(super) fn end(&mut self) {
        debug_assert!(self.in_flight > 0, "{} ends a question that never began", self.name);
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

/// All groups of one kind, each with a number. A group lives as long as a check is in it.
#[derive(Debug)]
pub(super) struct Groups {
    usual: Budget,
    own: HashMap<Box<str>, Budget>,
    numbers: HashMap<Box<str>, u32>,
    groups: Vec<Group>,
    free: Vec<u32>,
}

impl Groups {
    pub(super) fn new(usual: Budget) -> Groups {
        Groups { usual, own: HashMap::new(), numbers: HashMap::new(), groups: Vec::new(), free: Vec::new() }
    }

    /// The number of the group with one member more.
    pub(super) fn join(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            self.groups[*number as usize].members += 1;
            return *number;
        }
        let group = Group {
            name: name.into(),
            budget: self.own.get(name).copied().unwrap_or(self.usual),
            in_flight: 0,
            used_until: Duration::ZERO,
            waiting: VecDeque::new(),
            alarm: None,
            members: 1,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.groups[number as usize] = group;
                number
            }
            None => {
                self.groups.push(group);
                u32::try_from(self.groups.len() - 1).expect("there are fewer groups than memory has bytes")
            }
        };
        self.numbers.insert(name.into(), number);
        number
    }

    /// One member less; the last one takes the group with it.
    pub(super) fn leave(&mut self, number: u32) {
        let group = &mut self.groups[number as usize];
        group.members -= 1;
        if group.members == 0 {
            debug_assert_eq!(group.in_flight, 0, "a question in flight keeps its check's group");
            self.numbers.remove(&group.name);
            group.waiting = VecDeque::new();
            self.free.push(number);
        }
    }

    pub(super) fn get(&mut self, number: u32) -> &mut Group {
        &mut self.groups[number as usize]
    }

    /// The budget of one group, now and whenever it comes again; `None` is the usual one.
    pub(super) fn set(&mut self, name: &str, budget: Option<Budget>) -> Option<u32> {
        match budget {
            Some(budget) => self.own.insert(name.into(), budget),
            None => self.own.remove(name),
        };
        let number = *self.numbers.get(name)?;
        self.groups[number as usize].budget = budget.unwrap_or(self.usual);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_in_the_long_run_and_lets_a_burst_through() {
        let mut groups = Groups::new(Budget::of(1000).at_rate(10.0, 5));
        let number = groups.join("a");
        let group = groups.get(number);
        let mut begun = 0;
        for ms in 0..1000 {
            let now = Duration::from_secs(100) + Duration::from_millis(ms);
            while group.full(now).is_none() {
                group.begin(now);
                begun += 1;
            }
            if ms == 0 {
                assert_eq!(begun, 5, "the burst");
            }
        }
        assert_eq!(begun, 14, "the burst, and ten a second");
    }

    #[test]
    fn a_group_without_members_is_forgotten_and_its_number_is_used_again() {
        let mut groups = Groups::new(Budget::of(1));
        let (a, b) = (groups.join("a"), groups.join("b"));
        assert_eq!(groups.join("a"), a);
        groups.leave(a);
        groups.leave(a);
        assert_eq!(groups.join("c"), a);
        assert_ne!(a, b);
        groups.set("d", Some(Budget::of(7)));
        let d = groups.join("d");
        assert_eq!(groups.get(d).budget.in_flight, 7, "a budget may be set before the first check comes");
    }
}
