//! Admission of what a request has beside floats: native histograms follow the same rules as floats do.

use std::collections::HashMap;

use super::Admission;
use crate::about::{LogExemplar, fits};
use crate::error::Refusal;
use crate::formats::HistogramPoint;
use crate::head::Inserted;
use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::key;
use crate::labels::Labels;
use crate::native::same;
use crate::prepare::{LogHistogram, Prepared, Who};
use crate::store::count;
use crate::writer::{Appended, Refused};

impl Admission<'_> {
    /// Decides it. `parts` says whose the series of the request are.
    pub(super) fn beside(&mut self, request: &mut Prepared, parts: &[(Who, u32)], outcome: &mut Appended) {
        let floats = request.points.len();
        let histograms = std::mem::take(&mut request.beside.histograms);
        let times = histograms.iter().map(|h| (h.series, h.at_ms)).collect::<HashMap<_, _>>();
        for (place, HistogramPoint { series, at_ms, histogram }) in histograms.into_iter().enumerate() {
            let taken = match parts.get(series) {
                Some((who, _)) => {
                    self.id(request, *who).and_then(|id| self.histogram(request.tenant, id, at_ms, histogram))
                }
                None => Err(Refusal::Labels { reason: "the histogram belongs to no series".into() }),
            };
            match taken {
                Ok(()) => outcome.accepted += 1,
                Err(reason) => outcome.refused.push(Refused { index: floats + place, reason }),
            }
        }
        let metadata = std::mem::take(&mut request.beside.metadata);
        self.decided.metadata.extend(metadata.into_iter().map(|told| (request.tenant, told)));
        if !request.beside.exemplars.is_empty() {
            outcome.exemplars = self.exemplars(request, parts, &times);
        }
    }

    /// Keeps the exemplars that belong to a series which is stored, and says how many; the others are counted. A tenant that
    /// may have none keeps none, and none of its own is looked at.
    fn exemplars(&mut self, request: &mut Prepared, parts: &[(Who, u32)], times: &HashMap<usize, i64>) -> usize {
        if self.limits_of(request.tenant).max_exemplars == 0 {
            return 0;
        }
        let mut ends = Vec::with_capacity(parts.len());
        parts.iter().fold(0, |end, (_, count)| {
            ends.push(end + *count as usize);
            end + *count as usize
        });
        let (mut kept, mut refused) = (0, 0);
        for exemplar in std::mem::take(&mut request.beside.exemplars) {
            let series = exemplar.series;
            let last = parts.get(series).filter(|(_, count)| *count > 0).map(|_| request.points[ends[series] - 1].0);
            let at_ms = exemplar.at_ms.or(last).or(times.get(&series).copied()).unwrap_or(self.now_ms);
            let labels = parts.get(series).and_then(|(who, _)| self.labels_of(request, *who));
            match labels.filter(|_| fits(&exemplar) && self.in_time(at_ms).is_ok()) {
                Some(labels) => {
                    kept += 1;
                    let one = LogExemplar { labels, at_ms, exemplar };
                    if !self.store.exemplars.has(request.tenant, &one) {
                        self.decided.exemplars.push((request.tenant, one));
                    }
                }
                None => refused += 1,
            }
        }
        count(&self.store.counters.refused_exemplars, refused);
        kept
    }

    /// The labels of a series that has samples, from before or with this group.
    fn labels_of(&self, request: &Prepared, who: Who) -> Option<Labels> {
        let id = match who {
            Who::Known(id) => id,
            Who::Fresh(place) => {
                let hash = request.fresh[place as usize].hash;
                self.by_hash.get(&hash).copied().or_else(|| self.index.find(hash))?
            }
            Who::Unnamed(_) => return None,
        };
        match self.new_ids.get(&id) {
            Some(place) => key::labels(&self.decided.new[*place].1.key).ok(),
            None => self.index.labels_of(id).map(|(_, labels)| labels),
        }
    }

    fn histogram(&mut self, tenant: u64, id: SeriesId, at_ms: i64, sent: Histogram) -> Result<(), Refusal> {
        self.in_time(at_ms)?;
        let histogram = sent.settled().map_err(|e| Refusal::Histogram { reason: e.to_string() })?;
        let conflict = Err(Refusal::Conflict { at_ms });
        // Any value does: a float at this time is another sample, whatever it says.
        if matches!(self.probes.probe(id, (at_ms, 0.0)), Some(Inserted::Repeated | Inserted::Conflict)) {
            return conflict;
        }
        match self.probes.natives.probe(id, at_ms, &histogram) {
            Some(Inserted::New) => {}
            Some(Inserted::Repeated) => {
                self.decided.repeated += 1;
                return Ok(());
            }
            Some(Inserted::Conflict) => return conflict,
            None => self.wake(tenant, id)?,
        }
        if self.met.meet(id) && self.seen().contains_key(&(id, at_ms)) {
            return conflict;
        }
        if let Some(place) = self.natives.get(&(id, at_ms)) {
            if !same(&self.decided.histograms[*place].histogram, &histogram) {
                return conflict;
            }
            self.decided.repeated += 1;
            return Ok(());
        }
        self.natives.insert((id, at_ms), self.decided.histograms.len());
        self.decided.histograms.push(LogHistogram { id, at_ms, histogram });
        Ok(())
    }
}
