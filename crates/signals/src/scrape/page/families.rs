//! Pages in protocol buffers: the format reads them whole, and what is known of a series is looked up by its labels. Native histograms
//! arrive this way.

use series::formats::{Exemplar, Limits, Metadata, families};
use series::{Histogram, Labels, measured};
use xxhash_rust::xxh3::Xxh3;

use super::sheet::Native;
use super::{Cache, Counts, Key, PageError, Reading};

impl Cache {
    pub(super) fn families(
        &mut self,
        page: &[u8],
        wanted: families::Buckets,
        how: &Reading<'_>,
    ) -> Result<Counts, PageError> {
        let mut batch = families::decode(page, how.at_ms, wanted, Limits::NONE).map_err(PageError::Families)?;
        let mut histograms = std::mem::take(&mut batch.histograms).into_iter().peekable();
        let mut exemplars = std::mem::take(&mut batch.exemplars).into_iter().peekable();
        let mut counts = Counts::default();
        let before = std::mem::take(&mut self.order);
        let mut order = Vec::with_capacity(before.len());
        for (at, series) in batch.series().enumerate() {
            let wrong = |reason: String| PageError::Series { number: at + 1, reason };
            let labels = series.labels.map_err(|error| wrong(error.to_string()))?;
            let place = self.place_of(&labels, how).map_err(wrong)?;
            let examples: Vec<_> = std::iter::from_fn(|| exemplars.next_if(|one| one.series == at)).collect();
            if let Some((own_ms, value)) = series.points.first() {
                order.push(place);
                if let Some((_, at_ms)) = self.placed(place, *own_ms, how, &mut counts) {
                    let series = self.sheet.points.len();
                    self.sheet.exemplars.extend(of_series(&examples, series, at_ms));
                    self.sheet.points.push((at_ms, measured(*value)));
                }
            }
            while let Some(one) = histograms.next_if(|one| one.series == at) {
                if let Some((key, at_ms)) = self.placed(place, one.at_ms, how, &mut counts) {
                    let histogram = Histogram { sum: measured(one.histogram.sum), ..one.histogram };
                    self.sheet.natives.push(Native { key, at_ms, histogram, exemplars: examples.clone() });
                }
            }
            if how.sample_limit > 0 && counts.kept > how.sample_limit {
                return Err(PageError::TooManySamples { limit: how.sample_limit });
            }
        }
        if order != before {
            self.sheet.changed();
        }
        self.order = order;
        let said = digest(&batch.metadata);
        if said != self.comments {
            self.sheet.metadata = std::mem::take(&mut batch.metadata);
            self.comments = said;
        }
        Ok(counts)
    }

    /// The place of a series; a new one is prepared.
    fn place_of(&mut self, labels: &Labels, how: &Reading<'_>) -> Result<u32, String> {
        let mut hash = Xxh3::new();
        // No text of a line begins so.
        hash.update(b"\n");
        for (name, value) in labels.iter() {
            [name, "\0", value, "\0"].iter().for_each(|text| hash.update(text.as_bytes()));
        }
        let hash = hash.digest128();
        match self.places.get(&hash) {
            Some(place) => Ok(*place),
            None => self.known_from(hash, "", (how.prepare)(labels)?),
        }
    }

    /// Notes that a series is there; its labels and its time, unless it is dropped.
    fn placed(&mut self, place: u32, own_ms: i64, how: &Reading<'_>, counts: &mut Counts) -> Option<(Key, i64)> {
        // A time of its own that is the scrape's own is as good as none.
        let own = how.own_times && own_ms != how.at_ms;
        let key = self.seen(place, !own, counts)?;
        counts.kept += 1;
        Some((key, if own { own_ms } else { how.at_ms }))
    }
}

/// Examples of the series at a place; one without a time of its own is as old as its sample.
fn of_series(examples: &[Exemplar], series: usize, at_ms: i64) -> impl Iterator<Item = Exemplar> {
    examples.iter().map(move |one| Exemplar { series, at_ms: one.at_ms.or(Some(at_ms)), ..one.clone() })
}

fn digest(metadata: &[Metadata]) -> u64 {
    let mut said = Xxh3::new();
    for about in metadata {
        [&about.family, &about.help, &about.unit].iter().for_each(|text| said.update(text.as_bytes()));
        said.update(&[about.kind as u8]);
    }
    said.digest()
}
