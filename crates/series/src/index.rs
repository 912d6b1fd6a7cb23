//! Which series there are: key to number and back, and the inverted index that answers matchers.
//!
//! A series is found by 128 bits of a hash of its key, with a seed that only this process knows, so a request of known series makes
//! no text and compares none. Two series with one hash are expected once in 10^26 directories of a million series.
//! Labels are pairs of shared texts. A number is given again only when nobody can still hold the old meaning: readers and
//! requests hold a [`Lease`] as long as they use numbers.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, Weak};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::key::{self, Pairs};
use crate::labels::Labels;
use crate::matcher::{MatchOp, Matcher};
use crate::symbols::{BySymbol, Symbol, Symbols};

/// A series, in this process only.
pub(crate) type SeriesId = u32;

/// The hash of tenant and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash([u64; 2]);

/// As long as it lives, no number that was known when it was taken comes to mean another series.
pub(crate) type Lease = Arc<()>;

/// A series and where it has points.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: KeyHash,
    tenant: u32,
    /// Its labels, in `pairs`.
    from: u32,
    /// How many labels; none when the number is not in use.
    labels: u16,
    /// Windows of the head that hold it.
    head: u16,
    /// Sealed files that hold it.
    blocks: u32,
}

/// Series that are searched on the spot to find out how many some matchers mean.
const SOON_SEARCHED: usize = 4096;

/// A list of series that have one label in common, in this process only.
type ListId = u32;

#[derive(Debug, Default)]
struct Tenant {
    number: u64,
    /// Name, then value, then where in the lists the series are that have it.
    postings: BySymbol<BySymbol<ListId>>,
    series: usize,
    active: usize,
}

/// All series of all tenants.
#[derive(Debug)]
pub(crate) struct Index {
    seed: u64,
    symbols: Symbols,
    entries: Vec<Entry>,
    pairs: Vec<(Symbol, Symbol)>,
    table: HashTable<SeriesId>,
    tenants: Vec<Tenant>,
    by_number: HashMap<u64, u32>,
    /// Series by what they have in common, each list rising; and the places of lists that are not in use.
    lists: Vec<Vec<SeriesId>>,
    unused_lists: Vec<ListId>,
    lease: Lease,
    /// Numbers that are not in use, and those that may still be held.
    free: Vec<SeriesId>,
    resting: Vec<(Weak<()>, Vec<SeriesId>)>,
    /// Series that nothing held when they were looked at; [`bury`](Index::bury) looks again.
    doomed: Vec<SeriesId>,
    live: usize,
    dead_pairs: usize,
    /// The series that was new last: in `pairs`, its tenant, and the lists that it is in.
    last_new: Range<usize>,
    last_owner: u32,
    last_lists: Vec<ListId>,
}

/// Where points of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Head,
    Block,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            seed: RandomState::new().build_hasher().finish(),
            symbols: Symbols::default(),
            entries: Vec::new(),
            pairs: Vec::new(),
            table: HashTable::new(),
            tenants: Vec::new(),
            by_number: HashMap::new(),
            lists: Vec::new(),
            unused_lists: Vec::new(),
            lease: Arc::new(()),
            free: Vec::new(),
            resting: Vec::new(),
            doomed: Vec::new(),
            live: 0,
            dead_pairs: 0,
            last_new: 0..0,
            last_owner: 0,
            last_lists: Vec::new(),
        }
    }
}

impl Index {
    /// The hash of a key. Needs no lock that a writer holds: the seed never changes.
    pub(crate) fn hash(seed: u64, tenant: u64, key: &[u8]) -> KeyHash {
        let hash = xxh3_128_with_seed(key, seed ^ tenant.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        KeyHash([hash as u64, (hash >> 64) as u64])
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// The number of the series with this hash, if it is known.
    #[inline]
    pub(crate) fn find(&self, hash: KeyHash) -> Option<SeriesId> {
        self.table.find(hash.0[0], |id| self.entries[*id as usize].hash == hash).copied()
    }

    /// The number that the `n`th new series will get, from 0.
    pub(crate) fn next(&self, n: usize) -> SeriesId {
        match self.free.len().checked_sub(n + 1) {
            Some(at) => self.free[at],
            None => (self.entries.len() + n - self.free.len()) as SeriesId,
        }
    }

    /// Makes room for so many series with so many labels, of which some may be known, so that nothing moves again and again.
    pub(crate) fn make_room(&mut self, series: usize, labels: usize) {
        let more = series.saturating_sub(self.live);
        self.pairs.reserve(labels.saturating_sub(self.pairs.len()));
        let entries = &self.entries;
        self.table.reserve(more, |id| entries[*id as usize].hash.0[0]);
        self.entries.reserve(more);
    }

    /// The number of the series with this canonical key, new if need be. A new one has points nowhere yet: see [`hold`](Self::hold).
    pub(crate) fn intern(&mut self, tenant: u64, hash: KeyHash, key: &[u8]) -> SeriesId {
        if let Some(id) = self.find(hash) {
            return id;
        }
        let from = self.pairs.len();
        // Series that come one after the other share most of their labels, so the one before is a good guess.
        for (n, (name, value)) in Pairs(key).flatten().enumerate() {
            let guess = self.last_new.clone().nth(n).map(|at| self.pairs[at]);
            let name = self.symbols.intern_bytes(name, guess.map(|pair| pair.0));
            let value = self.symbols.intern_bytes(value, guess.map(|pair| pair.1));
            self.pairs.push((name, value));
        }
        self.add(tenant, hash, from)
    }

    /// The number of a series that is not known yet, from the symbols of its labels, in the order of the key.
    pub(crate) fn insert(&mut self, tenant: u64, hash: KeyHash, labels: &[(Symbol, Symbol)]) -> SeriesId {
        debug_assert!(self.find(hash).is_none(), "it is new");
        let from = self.pairs.len();
        self.pairs.extend_from_slice(labels);
        self.add(tenant, hash, from)
    }

    /// The symbol of a text of labels, new if need be. One that no series comes to have is forgotten some day.
    pub(crate) fn symbol(&mut self, text: &[u8]) -> Symbol {
        self.symbols.intern_bytes(text, None)
    }

    /// A new series whose labels are the last of `pairs`, from this place on.
    fn add(&mut self, tenant: u64, hash: KeyHash, from: usize) -> SeriesId {
        let id = self.next(0);
        if self.free.pop().is_none() {
            let unused = Entry { hash, tenant: 0, from: 0, labels: 0, head: 0, blocks: 0 };
            self.entries.push(unused);
        }
        let owner = self.tenant(tenant);
        let alike = self.last_owner == owner;
        for (n, at) in (from..self.pairs.len()).enumerate() {
            let (name, value) = self.pairs[at];
            let is_as_before = self.last_new.clone().nth(n).is_some_and(|at| self.pairs[at] == (name, value));
            let list = match self.last_lists.get(n).filter(|_| alike && is_as_before) {
                Some(known) => *known,
                None => self.list(owner, name, value),
            };
            put_in(&mut self.lists[list as usize], id);
            match self.last_lists.get_mut(n) {
                Some(last) => *last = list,
                None => self.last_lists.push(list),
            }
        }
        (self.last_new, self.last_owner) = (from..self.pairs.len(), owner);
        let (from, labels) = (from as u32, (self.pairs.len() - from) as u16);
        self.entries[id as usize] = Entry { hash, tenant: owner, from, labels, head: 0, blocks: 0 };
        let entries = &self.entries;
        self.table.insert_unique(hash.0[0], id, |id| entries[*id as usize].hash.0[0]);
        self.tenants[owner as usize].series += 1;
        self.live += 1;
        id
    }

    fn tenant(&mut self, number: u64) -> u32 {
        if self.tenants.get(self.last_owner as usize).is_some_and(|last| last.number == number) {
            return self.last_owner;
        }
        if let Some(known) = self.by_number.get(&number) {
            return *known;
        }
        let place = self.tenants.len() as u32;
        self.tenants.push(Tenant { number, ..Tenant::default() });
        self.by_number.insert(number, place);
        place
    }

    fn owner(&self, tenant: u64) -> Option<&Tenant> {
        self.tenants.get(*self.by_number.get(&tenant)? as usize)
    }

    fn pairs_of(&self, entry: &Entry) -> &[(Symbol, Symbol)] {
        &self.pairs[entry.from as usize..entry.from as usize + usize::from(entry.labels)]
    }

    /// The list of the series that have this label, new if need be.
    fn list(&mut self, owner: u32, name: Symbol, value: Symbol) -> ListId {
        let values = self.tenants[owner as usize].postings.entry(name).or_default();
        *values.entry(value).or_insert_with(|| {
            self.unused_lists.pop().unwrap_or_else(|| {
                self.lists.push(Vec::new());
                (self.lists.len() - 1) as ListId
            })
        })
    }

    /// Puts a series into the lists of its labels.
    fn post(&mut self, id: SeriesId) {
        let Entry { tenant, from, labels, .. } = self.entries[id as usize];
        for place in from as usize..from as usize + usize::from(labels) {
            let (name, value) = self.pairs[place];
            let list = self.list(tenant, name, value);
            put_in(&mut self.lists[list as usize], id);
        }
    }

    /// The series that was new last is no guess any more.
    fn forget_last(&mut self) {
        self.last_new = 0..0;
        self.last_lists.clear();
    }

    /// One more place holds points of this series.
    pub(crate) fn hold(&mut self, id: SeriesId, place: Place) {
        let entry = &mut self.entries[id as usize];
        match place {
            Place::Block => entry.blocks += 1,
            Place::Head => {
                entry.head += 1;
                if entry.head == 1 {
                    self.tenants[entry.tenant as usize].active += 1;
                }
            }
        }
    }

    /// One place less. A series that nothing holds is forgotten at the next [`bury`](Self::bury).
    pub(crate) fn release(&mut self, id: SeriesId, place: Place) {
        let entry = &mut self.entries[id as usize];
        match place {
            Place::Block => entry.blocks = entry.blocks.saturating_sub(1),
            Place::Head => {
                entry.head = entry.head.saturating_sub(1);
                if entry.head == 0 {
                    self.tenants[entry.tenant as usize].active -= 1;
                }
            }
        }
        if entry.head == 0 && entry.blocks == 0 {
            self.doomed.push(id);
        }
    }

    /// Forgets the series that nothing holds any more, all at once: each list of a label is gone through once.
    pub(crate) fn bury(&mut self) {
        let mut doomed = std::mem::take(&mut self.doomed);
        doomed.sort_unstable();
        doomed.dedup();
        doomed.retain(|id| {
            let entry = &self.entries[*id as usize];
            entry.labels > 0 && entry.head == 0 && entry.blocks == 0
        });
        if doomed.is_empty() {
            return;
        }
        let mut lists = BTreeSet::new();
        for id in &doomed {
            let entry = self.entries[*id as usize];
            lists.extend(self.pairs_of(&entry).iter().map(|(name, value)| (entry.tenant, *name, *value)));
            if let Ok(found) = self.table.find_entry(entry.hash.0[0], |other| other == id) {
                found.remove();
            }
            self.dead_pairs += usize::from(entry.labels);
            self.tenants[entry.tenant as usize].series -= 1;
            self.entries[*id as usize].labels = 0;
        }
        self.live -= doomed.len();
        self.forget_last();
        for (tenant, name, value) in lists {
            let postings = &mut self.tenants[tenant as usize].postings;
            let Some(values) = postings.get_mut(&name) else { continue };
            if let Some(list) = values.get(&value).copied() {
                let ids = &mut self.lists[list as usize];
                ids.retain(|id| doomed.binary_search(id).is_err());
                if ids.is_empty() {
                    *ids = Vec::new();
                    values.remove(&value);
                    self.unused_lists.push(list);
                }
            }
            if values.is_empty() {
                postings.remove(&name);
            }
        }
        // Whoever holds the old lease may still mean the old series by these numbers.
        let old = std::mem::replace(&mut self.lease, Arc::new(()));
        self.resting.push((Arc::downgrade(&old), doomed));
        drop(old);
        self.wake_numbers();
        if self.dead_pairs > self.pairs.len() / 2 + 1024 {
            self.rebuild();
        }
    }

    /// Gives back the numbers that nobody holds any more.
    fn wake_numbers(&mut self) {
        // In order: who holds an old lease may mean numbers that were buried under any later one.
        let released = self.resting.iter().take_while(|(lease, _)| lease.strong_count() == 0).count();
        for (_, mut ids) in self.resting.drain(..released) {
            self.free.append(&mut ids);
        }
    }

    /// Texts and pairs anew, without those that no series has; numbers stay.
    fn rebuild(&mut self) {
        let old = std::mem::take(&mut self.symbols);
        let pairs = std::mem::take(&mut self.pairs);
        self.forget_last();
        (self.lists, self.unused_lists) = (Vec::new(), Vec::new());
        for tenant in &mut self.tenants {
            tenant.postings.clear();
        }
        for id in 0..self.entries.len() {
            let entry = &mut self.entries[id];
            let held = &pairs[entry.from as usize..entry.from as usize + usize::from(entry.labels)];
            entry.from = self.pairs.len() as u32;
            for (name, value) in held {
                let pair = (self.symbols.intern(old.text(*name)), self.symbols.intern(old.text(*value)));
                self.pairs.push(pair);
            }
            self.post(id as SeriesId);
        }
        self.dead_pairs = 0;
    }

    /// Whether the series has points in the head.
    pub(crate) fn is_active(&self, id: SeriesId) -> bool {
        self.entries.get(id as usize).is_some_and(|e| e.head > 0)
    }

    /// Whether the series has points anywhere.
    pub(crate) fn is_held(&self, id: SeriesId) -> bool {
        self.entries.get(id as usize).is_some_and(|e| e.head > 0 || e.blocks > 0)
    }

    /// Whether the number is in use.
    pub(crate) fn is_known(&self, id: SeriesId) -> bool {
        self.entries.get(id as usize).is_some_and(|e| e.labels > 0)
    }

    /// Tenant and pairs of a series, for who writes it down.
    pub(crate) fn pairs(&self, id: SeriesId) -> Option<(u64, &[(Symbol, Symbol)])> {
        let entry = self.entries.get(id as usize).filter(|e| e.labels > 0)?;
        Some((self.tenants[entry.tenant as usize].number, self.pairs_of(entry)))
    }

    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Tenant and labels of a series.
    pub(crate) fn labels_of(&self, id: SeriesId) -> Option<(u64, Labels)> {
        let entry = self.entries.get(id as usize).filter(|e| e.labels > 0)?;
        Some((self.tenants[entry.tenant as usize].number, self.labels(entry)))
    }

    /// The numbers of the series that all matchers mean, rising.
    pub(crate) fn ids(&self, tenant: u64, matchers: &[Matcher]) -> Vec<SeriesId> {
        self.numbers(tenant, matchers)
    }

    /// Series that were made for samples that were all refused are forgotten again.
    pub(crate) fn doom_unheld(&mut self, ids: impl Iterator<Item = SeriesId>) {
        let unheld = ids.filter(|id| {
            let entry = &self.entries[*id as usize];
            entry.head == 0 && entry.blocks == 0
        });
        self.doomed.extend(unheld.collect::<Vec<_>>());
    }

    /// The key of a series, appended to `out`; its tenant.
    pub(crate) fn put_key(&self, id: SeriesId, out: &mut Vec<u8>) -> Option<u64> {
        let (tenant, pairs) = self.pairs(id)?;
        for (name, value) in pairs {
            key::put_pair(out, self.symbols.text(*name).as_bytes(), self.symbols.text(*value).as_bytes());
        }
        Some(tenant)
    }

    fn labels(&self, entry: &Entry) -> Labels {
        let text = |symbol: &Symbol| self.symbols.text(*symbol).clone();
        Labels::of_sorted(self.pairs_of(entry).iter().map(|(name, value)| (text(name), text(value))))
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Series of one tenant that have points in the head.
    pub(crate) fn active(&self, tenant: u64) -> usize {
        self.owner(tenant).map_or(0, |t| t.active)
    }

    /// Series of all tenants that have points in the head.
    pub(crate) fn all_active(&self) -> usize {
        self.tenants.iter().map(|t| t.active).sum()
    }

    /// The numbers that all matchers mean, rising. No matcher means all.
    fn numbers(&self, tenant: u64, matchers: &[Matcher]) -> Vec<SeriesId> {
        let Some(place) = self.by_number.get(&tenant) else { return Vec::new() };
        let owner = &self.tenants[*place as usize];
        // A matcher that takes no empty value names the series that have a label; the others take away from those.
        let (rest, naming): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(|m| m.matches_value(""));
        let mut lists: Vec<Cow<'_, [SeriesId]>> = naming.into_iter().map(|m| self.named(owner, m)).collect();
        lists.sort_by_key(|list| list.len());
        let mut lists = lists.into_iter();
        let first = lists.next().map(Cow::into_owned);
        let found = first.map(|first| lists.fold(first, |found, list| intersection(&found, &list)));
        let mut found = found.unwrap_or_else(|| {
            let all = (0..self.entries.len() as SeriesId).filter(|id| {
                let entry = &self.entries[*id as usize];
                entry.labels > 0 && entry.tenant == *place
            });
            all.collect()
        });
        let value = |id: SeriesId, name: Symbol| {
            let pairs = self.pairs_of(&self.entries[id as usize]);
            pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
        };
        for matcher in rest {
            // A name that no series has is empty everywhere, and the matcher takes that.
            let Some(name) = self.symbols.find(matcher.name()) else { continue };
            let mut asked: BySymbol<bool> = BySymbol::default();
            found.retain(|id| {
                let Some(symbol) = value(*id, name) else { return true };
                *asked.entry(symbol).or_insert_with(|| matcher.matches_value(self.symbols.text(symbol)))
            });
        }
        found
    }

    /// The series that have the matcher's label with a value that it takes.
    fn named(&self, owner: &Tenant, matcher: &Matcher) -> Cow<'_, [SeriesId]> {
        if matcher.op() == MatchOp::Eq {
            return Cow::Borrowed(self.of_value(owner, matcher));
        }
        let Some(values) = self.symbols.find(matcher.name()).and_then(|name| owner.postings.get(&name)) else {
            return Cow::default();
        };
        let taken = values.iter().filter(|(value, _)| matcher.matches_value(self.symbols.text(**value)));
        let mut ids: Vec<SeriesId> = taken.flat_map(|(_, list)| &self.lists[*list as usize]).copied().collect();
        ids.sort_unstable();
        Cow::Owned(ids)
    }

    /// The series whose label has the very value of the matcher.
    fn of_value(&self, owner: &Tenant, matcher: &Matcher) -> &[SeriesId] {
        let values = self.symbols.find(matcher.name()).and_then(|name| owner.postings.get(&name));
        let list = values.zip(self.symbols.find(matcher.value())).and_then(|(values, value)| values.get(&value));
        list.map(|list| self.lists[*list as usize].as_slice()).unwrap_or_default()
    }

    /// Whether it is soon found out that the matchers mean `most` series at most.
    pub(crate) fn means_few(&self, tenant: u64, matchers: &[Matcher], most: usize) -> bool {
        let Some(place) = self.by_number.get(&tenant) else { return true };
        let owner = &self.tenants[*place as usize];
        let exact = matchers.iter().filter(|m| m.op() == MatchOp::Eq && !m.value().is_empty());
        let shortest = exact.map(|m| self.of_value(owner, m).len()).min();
        shortest.is_some_and(|n| n <= most || n <= SOON_SEARCHED && self.numbers(tenant, matchers).len() <= most)
    }

    /// The series of one tenant that all matchers mean and that have points anywhere, in order of their labels.
    pub(crate) fn select(&self, tenant: u64, matchers: &[Matcher]) -> Vec<(Labels, SeriesId)> {
        let mut found = self.numbers(tenant, matchers);
        found.retain(|id| self.is_held(*id));
        self.in_order(found)
    }

    /// These series of one tenant with their labels, in order of those.
    pub(crate) fn in_order(&self, mut ids: Vec<SeriesId>) -> Vec<(Labels, SeriesId)> {
        self.sort(&mut ids);
        ids.into_iter().map(|id| (self.labels(&self.entries[id as usize]), id)).collect()
    }
}

/// Puts a series into a rising list, at the end of which it nearly always belongs.
fn put_in(list: &mut Vec<SeriesId>, id: SeriesId) {
    match list.last() {
        Some(last) if *last >= id => {
            if let Err(place) = list.binary_search(&id) {
                list.insert(place, id);
            }
        }
        _ => list.push(id),
    }
}

/// What two rising rows have in common. The longer one is searched when it is much longer.
fn intersection(a: &[SeriesId], b: &[SeriesId]) -> Vec<SeriesId> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() / 16 > short.len() {
        return short.iter().copied().filter(|id| long.binary_search(id).is_ok()).collect();
    }
    let mut rest = long.iter().peekable();
    let common = short.iter().copied().filter(|id| {
        while rest.next_if(|other| *other < id).is_some() {}
        rest.peek() == Some(&id)
    });
    common.collect()
}

mod names;
mod order;
pub(crate) use names::Wanted;
pub(crate) use order::Written;
#[cfg(test)]
mod tests;
