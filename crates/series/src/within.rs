//! Which series have points near a time, for those who list series and labels. Looks at no chunk.

use std::collections::HashSet;

use crate::head::window_start;
use crate::index::SeriesId;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::store::Store;

/// The series that a list is of.
enum Near {
    /// All that there are.
    All,
    Some(HashSet<SeriesId>),
}

impl Near {
    fn has(&self, id: SeriesId) -> bool {
        match self {
            Self::All => true,
            Self::Some(ids) => ids.contains(&id),
        }
    }
}

impl Store {
    /// The series in windows and files that reach into the time. Mostly all windows and files do, and nothing is counted.
    fn near(&self, (from_ms, to_ms): (i64, i64)) -> Near {
        // The head before the files, as for every read.
        let first = window_start(from_ms);
        let starts = self.head.starts();
        let windows: Vec<i64> = starts.iter().copied().filter(|start| (first..=to_ms).contains(start)).collect();
        let blocks = self.blocks_in(from_ms, to_ms);
        if windows.len() == starts.len() && blocks.len() == self.blocks.read().len() {
            return Near::All;
        }
        let of_head = windows.into_iter().flat_map(|start| self.head.series_in(start));
        Near::Some(of_head.chain(blocks.iter().flat_map(|block| block.series())).collect())
    }

    pub(crate) fn series_in(&self, tenant: u64, matchers: &[Matcher], time: (i64, i64)) -> Vec<Labels> {
        let near = self.near(time);
        let found = self.index.read().select(tenant, matchers, |id| near.has(id));
        found.into_iter().map(|(labels, _)| labels).collect()
    }

    pub(crate) fn label_names_in(&self, tenant: u64, matchers: &[Matcher], time: (i64, i64)) -> Vec<String> {
        match self.near(time) {
            Near::All => self.index.read().names(tenant, matchers, None),
            near @ Near::Some(_) => self.index.read().names(tenant, matchers, Some(&|id| near.has(id))),
        }
    }

    pub(crate) fn label_values_in(
        &self,
        tenant: u64,
        name: &str,
        matchers: &[Matcher],
        time: (i64, i64),
    ) -> Vec<String> {
        match self.near(time) {
            Near::All => self.index.read().values(tenant, name, matchers, None),
            near @ Near::Some(_) => self.index.read().values(tenant, name, matchers, Some(&|id| near.has(id))),
        }
    }
}
