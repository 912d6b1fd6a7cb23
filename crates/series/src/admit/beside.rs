//! Admission of what a request has beside floats: native histograms follow the same rules as floats do.

use super::Admission;
use crate::error::Refusal;
use crate::formats::HistogramPoint;
use crate::head::Inserted;
use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::native::same;
use crate::prepare::{LogHistogram, Prepared, Who};
use crate::writer::{Appended, Refused};

impl Admission<'_> {
    /// Decides it. `parts` says whose the series of the request are.
    pub(super) fn beside(&mut self, request: &mut Prepared, parts: &[(Who, u32)], outcome: &mut Appended) {
        let floats = request.points.len();
        let histograms = std::mem::take(&mut request.beside.histograms);
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
