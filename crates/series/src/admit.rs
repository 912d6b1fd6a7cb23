//! Admission: which samples of a group are taken, decided before anything is written. What a request has beside
//! floats is decided in [`beside`].
//!
//! A repeat of what is stored, or of what the group already holds, is taken and changes nothing; another value at the same time is
//! refused and the first one stays, as in Prometheus. Nothing here changes what a reader sees.

mod beside;

use std::collections::{HashMap, HashSet};

use crate::about::LogExemplar;
use crate::error::Refusal;
use crate::formats::Metadata;
use crate::head::{Inserted, Probes};
use crate::index::{Index, KeyHash, SeriesId};
use crate::key::Pairs;
use crate::log::LogSample;
use crate::options::TenantLimits;
use crate::prepare::{Fresh, LogHistogram, Prepared, Who};
use crate::store::Store;
use crate::writer::{Appended, Refused};

/// Which series a group has met, by the group's number: kept from group to group so that none has to be cleared.
#[derive(Default)]
pub(crate) struct Met {
    group: u32,
    in_group: Vec<u32>,
}

impl Met {
    fn begin(&mut self) {
        // After four thousand million groups an old mark could be mistaken, which costs a closer look and no more.
        self.group = self.group.wrapping_add(1);
    }

    /// Whether the group has met this series before; from now on it has.
    fn meet(&mut self, id: SeriesId) -> bool {
        let place = id as usize;
        if self.in_group.len() <= place {
            self.in_group.resize(place + 1, 0);
        }
        std::mem::replace(&mut self.in_group[place], self.group) == self.group
    }
}

/// What a group comes to.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) admitted: Vec<LogSample>,
    /// New series in the order of the numbers that they will get.
    pub(crate) new: Vec<(u64, Fresh)>,
    pub(crate) histograms: Vec<LogHistogram>,
    pub(crate) exemplars: Vec<(u64, LogExemplar)>,
    pub(crate) metadata: Vec<(u64, Metadata)>,
    pub(crate) repeated: u64,
}

impl Decided {
    /// Nothing has to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.admitted.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty() && self.metadata.is_empty()
    }
}

/// Decides request by request.
pub(crate) struct Admission<'a> {
    store: &'a Store,
    now_ms: i64,
    probes: Probes<'a>,
    index: parking_lot::RwLockReadGuard<'a, Index>,
    met: &'a mut Met,
    decided: Decided,
    by_hash: HashMap<KeyHash, SeriesId>,
    new_ids: HashMap<SeriesId, usize>,
    /// How many series of each tenant become active with this group.
    active: HashMap<u64, usize>,
    woken: HashSet<SeriesId>,
    /// The group's points of every series, made when one is met twice or out of order.
    seen: Option<HashMap<(SeriesId, i64), f64>>,
    /// The group's histograms: their places in what was decided.
    natives: HashMap<(SeriesId, i64), usize>,
    limits: Option<(u64, TenantLimits)>,
}

impl<'a> Admission<'a> {
    pub(crate) fn new(store: &'a Store, now_ms: i64, met: &'a mut Met, samples: usize) -> Self {
        met.begin();
        let decided = Decided { admitted: Vec::with_capacity(samples), ..Decided::default() };
        Self {
            store,
            now_ms,
            probes: store.head.probes(),
            index: store.index.read(),
            met,
            decided,
            by_hash: HashMap::new(),
            new_ids: HashMap::new(),
            active: HashMap::new(),
            woken: HashSet::new(),
            seen: None,
            natives: HashMap::new(),
            limits: None,
        }
    }

    /// What was decided; lets go of everything that the writer is about to change.
    pub(crate) fn decided(self) -> Decided {
        self.decided
    }

    /// Decides one request. `None` when a number in it has been given up meanwhile: the series must be looked up again.
    pub(crate) fn admit(&mut self, request: &mut Prepared) -> Option<Appended> {
        let buried = !std::sync::Arc::ptr_eq(&request.lease, &self.index.lease());
        let known = |who: &Who| !matches!(who, Who::Known(id) if !self.index.is_known(*id));
        if buried && !request.parts.iter().all(|(who, _)| known(who)) {
            return None;
        }
        let mut outcome = Appended::default();
        let mut first = 0;
        let parts = std::mem::take(&mut request.parts);
        for (who, count) in &parts {
            let points = first..first + *count as usize;
            if points.is_empty() {
                // A series is made by its first sample only.
                continue;
            }
            first = points.end;
            let id = match who {
                // Nearly all are, so they are asked for here.
                Who::Known(id) => Ok(*id),
                _ => self.id(request, *who),
            };
            match id {
                Ok(id) => self.points(request, id, points, &mut outcome),
                Err(reason) => {
                    outcome.refused.extend(points.map(|index| Refused { index, reason: reason.clone() }));
                }
            }
        }
        if !request.beside.is_empty() {
            self.beside(request, &parts, &mut outcome);
        }
        Some(outcome)
    }

    /// The number of a series, given now if it is new.
    fn id(&mut self, request: &mut Prepared, who: Who) -> Result<SeriesId, Refusal> {
        match who {
            Who::Known(id) => Ok(id),
            Who::Fresh(place) => self.number(request.tenant, &mut request.fresh[place as usize]),
            Who::Unnamed(place) => {
                let reason = request.unnamed[place as usize].to_string();
                Err(Refusal::Labels { reason })
            }
        }
    }

    /// The points of one series.
    fn points(&mut self, request: &Prepared, id: SeriesId, points: std::ops::Range<usize>, outcome: &mut Appended) {
        let met_before = self.met.meet(id);
        let mut last_ms = i64::MIN;
        for index in points {
            let point = request.points[index];
            let closer = met_before || point.0 <= last_ms;
            match self.one(request.tenant, id, point, closer) {
                Ok(new) => {
                    outcome.accepted += 1;
                    if new {
                        last_ms = last_ms.max(point.0);
                    }
                }
                Err(reason) => outcome.refused.push(Refused { index, reason }),
            }
        }
    }

    /// Whether the point is new; it is admitted then.
    #[inline]
    fn one(&mut self, tenant: u64, id: SeriesId, point: (i64, f64), closer: bool) -> Result<bool, Refusal> {
        self.in_time(point.0)?;
        match self.probes.probe(id, point) {
            Some(Inserted::New) => {}
            Some(Inserted::Repeated) => {
                self.decided.repeated += 1;
                return Ok(false);
            }
            Some(Inserted::Conflict) => return Err(Refusal::Conflict { at_ms: point.0 }),
            None => self.wake(tenant, id)?,
        }
        // Of a float and a histogram at one time the first stays too.
        if self.probes.natives.has(id, point.0) || (closer && self.natives.contains_key(&(id, point.0))) {
            return Err(Refusal::Conflict { at_ms: point.0 });
        }
        if (closer || self.seen.is_some()) && !self.once(id, point)? {
            self.decided.repeated += 1;
            return Ok(false);
        }
        self.decided.admitted.push(LogSample { id, point });
        Ok(true)
    }

    fn in_time(&self, at_ms: i64) -> Result<(), Refusal> {
        let options = &self.store.options;
        let age = self.now_ms.saturating_sub(at_ms);
        let accept_late_ms = options.accept_late_ms.min(options.retention_ms);
        if age > accept_late_ms {
            return Err(Refusal::TooOld { late_ms: age - accept_late_ms, accept_late_ms });
        }
        if age < -options.accept_ahead_ms {
            return Err(Refusal::TooFarAhead { ahead_ms: age.saturating_neg() });
        }
        Ok(())
    }

    /// A series without points in the head becomes active, which the tenant has a limit for.
    fn wake(&mut self, tenant: u64, id: SeriesId) -> Result<(), Refusal> {
        if self.new_ids.contains_key(&id) || self.index.is_active(id) || self.woken.contains(&id) {
            return Ok(());
        }
        self.count_active(tenant)?;
        self.woken.insert(id);
        Ok(())
    }

    /// Asked once for a run of requests of one tenant.
    fn limits_of(&mut self, tenant: u64) -> TenantLimits {
        match self.limits {
            Some((known, limits)) if known == tenant => limits,
            _ => {
                let limits = self.store.limits(tenant);
                self.limits = Some((tenant, limits));
                limits
            }
        }
    }

    fn count_active(&mut self, tenant: u64) -> Result<(), Refusal> {
        let limit = self.limits_of(tenant).max_series;
        let more = self.active.entry(tenant).or_default();
        if self.index.active(tenant) + *more >= limit {
            return Err(Refusal::TooManySeries { limit });
        }
        *more += 1;
        Ok(())
    }

    /// The number of a series that was not known when it was looked for.
    fn number(&mut self, tenant: u64, fresh: &mut Fresh) -> Result<SeriesId, Refusal> {
        // Another request may have brought it since, in this group or in one before.
        if let Some(id) = self.by_hash.get(&fresh.hash).copied().or_else(|| self.index.find(fresh.hash)) {
            return Ok(id);
        }
        within_limits(&fresh.key, &self.limits_of(tenant))?;
        self.count_active(tenant)?;
        let place = self.decided.new.len();
        let id = self.index.next(place);
        self.by_hash.insert(fresh.hash, id);
        self.new_ids.insert(id, place);
        let fresh = Fresh { hash: fresh.hash, key: std::mem::take(&mut fresh.key) };
        self.decided.new.push((tenant, fresh));
        Ok(id)
    }

    /// The group's points so far.
    fn seen(&mut self) -> &mut HashMap<(SeriesId, i64), f64> {
        let admitted = &self.decided.admitted;
        self.seen.get_or_insert_with(|| {
            admitted.iter().map(|sample| ((sample.id, sample.point.0), sample.point.1)).collect()
        })
    }

    /// Whether the group does not hold the point yet.
    fn once(&mut self, id: SeriesId, point: (i64, f64)) -> Result<bool, Refusal> {
        let seen = self.seen();
        match seen.insert((id, point.0), point.1) {
            None => Ok(true),
            Some(old) => {
                seen.insert((id, point.0), old);
                match Inserted::of(old, point.1) {
                    Inserted::Repeated => Ok(false),
                    _ => Err(Refusal::Conflict { at_ms: point.0 }),
                }
            }
        }
    }
}

/// Whether a new series has no more labels than the tenant may have, and no longer ones.
pub(crate) fn within_limits(key: &[u8], limits: &TenantLimits) -> Result<(), Refusal> {
    let within =
        |what, given, limit| if given > limit { Err(Refusal::LabelLimit { what, given, limit }) } else { Ok(()) };
    let mut count = 0;
    for (name, value) in Pairs(key).flatten() {
        count += 1;
        within("the length in bytes of a label's name", name.len(), limits.max_label_name_bytes)?;
        within("the length in bytes of a label's value", value.len(), limits.max_label_value_bytes)?;
    }
    within("the number of labels", count, limits.max_labels)
}
