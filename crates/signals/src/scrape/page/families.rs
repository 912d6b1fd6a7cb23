//! Pages in protocol buffers: the format reads them whole, and what is known of a series is looked up by its labels. Native histograms
//! arrive this way.

use series::formats::{Exemplar, Limits, families};
use series::{Histogram, Labels};
use xxhash_rust::xxh3::Xxh3;

use super::{Cache, Counts, Known, NAN, PageError, Reading};
use crate::relay::encode::{self, Content};

/// The series of a page as it is written on: one point or one histogram, and its examples.
struct Line<'a> {
    point: Option<(i64, f64)>,
    histogram: Option<(i64, Histogram)>,
    exemplars: Vec<&'a Exemplar>,
}

impl Cache {
    pub(super) fn families(
        &mut self,
        page: &[u8],
        wanted: families::Buckets,
        how: &Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Counts, PageError> {
        let batch = families::decode(page, how.at_ms, wanted, Limits::default()).map_err(PageError::Families)?;
        let extras = encode::extras(&batch);
        let mut counts = Counts::default();
        let mut order = Vec::with_capacity(self.order.len());
        for (at, series) in batch.series().enumerate() {
            let wrong = |reason: String| PageError::Series { number: at + 1, reason };
            let labels = series.labels.map_err(|error| wrong(error.to_string()))?;
            let place = self.place_of(&labels, how).map_err(wrong)?;
            let extra = extras.get(&at);
            let line = Line {
                point: series.points.first().map(|(at, value)| (*at, plain(*value))),
                histogram: extra.and_then(|(histograms, _)| {
                    let (at, histogram) = *histograms.first()?;
                    Some((at, Histogram { sum: plain(histogram.sum), ..histogram.clone() }))
                }),
                exemplars: extra.map(|(_, exemplars)| exemplars.clone()).unwrap_or_default(),
            };
            order.push(place);
            self.line(place, &line, how, out, &mut counts);
            if how.sample_limit > 0 && counts.kept > how.sample_limit {
                return Err(PageError::TooManySamples { limit: how.sample_limit });
            }
        }
        self.order = order;
        let mut said = Xxh3::new();
        for about in &batch.metadata {
            [&about.family, &about.help, &about.unit].iter().for_each(|text| said.update(text.as_bytes()));
            said.update(&[about.kind as u8]);
        }
        if said.digest() != self.comments {
            batch.metadata.iter().for_each(|about| encode::metadata(out, about));
            self.comments = said.digest();
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

    /// Writes a series on, and notes that it is there.
    fn line(&mut self, place: u32, line: &Line<'_>, how: &Reading<'_>, out: &mut Vec<u8>, counts: &mut Counts) {
        let at_ms = line.point.map(|(at, _)| at).or(line.histogram.as_ref().map(|(at, _)| *at)).unwrap_or(how.at_ms);
        // A time of its own that is the scrape's own is as good as none.
        let own = how.own_times && at_ms != how.at_ms;
        let at_ms = if own { at_ms } else { how.at_ms };
        let known: &Known = self.seen(place, !own, counts);
        let Some(key) = &known.key else { return };
        counts.kept += 1;
        match line {
            Line { point: Some((_, value)), exemplars, histogram: None } if exemplars.is_empty() => {
                encode::one_point(out, key, at_ms, *value);
            }
            Line { point, histogram, exemplars } => {
                let points: Vec<_> = point.iter().map(|(_, value)| (at_ms, *value)).collect();
                let histograms: Vec<_> = histogram.iter().map(|(_, histogram)| (at_ms, histogram)).collect();
                encode::series(out, key, Content { points: &points, histograms: &histograms, exemplars });
            }
        }
    }
}

/// A value of a page is never the mark that a series has ended, which is a NaN.
fn plain(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NAN) } else { value }
}
