//! Batches that are made here instead of received, and what a batch tells about itself without being taken apart.

use super::{Batch, Limits};
use crate::key::{self, Pairs};
use crate::labels::{NAME, Sample};

impl Batch {
    /// A batch of these samples, in their order; neighbours of one series share its name.
    pub fn of(samples: &[Sample]) -> Self {
        let mut batch = Self::new(Limits::NONE);
        let mut last = None;
        for sample in samples {
            if last != Some(&sample.labels) {
                let from = batch.text.len();
                batch.text.extend_from_slice(&key::of(&sample.labels));
                batch.begin(from, batch.text.len()).expect("there is no limit");
                last = Some(&sample.labels);
            }
            batch.point(sample.at_ms, sample.value).expect("there is no limit");
        }
        batch
    }

    /// The names of the metrics in it; a name comes once for each run of series that have it. Costs no allocation.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut last = "";
        (0..self.series.len()).filter_map(move |i| {
            let named = Pairs(self.key(i)).map_while(|pair| pair).find(|(name, _)| *name == NAME.as_bytes());
            let name = std::str::from_utf8(named?.1).ok()?;
            (std::mem::replace(&mut last, name) != name).then_some(name)
        })
    }

    /// The labels of each series as they were sent, pairs of name and value. Costs no allocation.
    pub fn each_labels(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, &str)> + Clone> {
        (0..self.series.len()).map(move |i| {
            let pairs = Pairs(self.key(i)).map_while(|pair| pair);
            pairs.filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        })
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    #[test]
    fn a_made_batch_holds_what_was_given_and_names_its_metrics() {
        let sample = |name: &str, host: &str, at_ms, value| Sample {
            labels: Labels::metric(name, &[("host", host)]).unwrap(),
            at_ms,
            value,
        };
        let given = [
            sample("up", "a", 1, 1.0),
            sample("up", "a", 2, 0.0),
            sample("up", "b", 1, 1.0),
            sample("load", "b", 1, 0.5),
        ];
        let batch = Batch::of(&given);
        let shown = batch.shown();
        let up = [("up{host=a}".into(), vec![(1, 1.0), (2, 0.0)]), ("up{host=b}".into(), vec![(1, 1.0)])];
        assert_eq!(shown[..2], up[..]);
        assert_eq!(shown[2], ("load{host=b}".into(), vec![(1, 0.5)]));
        assert_eq!(batch.names().collect::<Vec<_>>(), ["up", "load"]);
        let pairs: Vec<Vec<_>> = batch.each_labels().map(Iterator::collect).collect();
        assert_eq!(pairs[2], [("__name__", "load"), ("host", "b")]);
        assert_eq!((pairs.len(), pairs[1][1]), (3, ("host", "b")));
    }
}
