//! Rows into the engine, day by day: each request to it makes a file for every day that it has samples of, so rows are gathered
//! until they are many, and handed over in order of their days.

use series::formats::{Batch, Limits};
use series::{Appended, Metrics, MetricsError, SeriesError};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::read::{Faults, Names, Row, Sink, What};

const DAY_MS: i64 = 86_400_000;
/// Rows that are gathered before they are stored: about 32 MB. A histogram counts as several.
const GATHERED: usize = 1_000_000;
/// An engine that is away, or too busy, is waited for: so long at first, so long at last, so often; ten minutes in all.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(30);
const TRIES: usize = 28;

/// Looks at rows and keeps none.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) samples: u64,
    /// First and last time.
    pub(super) span: Option<(i64, i64)>,
}

impl Sink for Looked {
    fn row(&mut self, _: &Names, row: Row) -> io::Result<()> {
        self.samples += 1;
        let (from, to) = self.span.unwrap_or((row.at_ms, row.at_ms));
        self.span = Some((from.min(row.at_ms), to.max(row.at_ms)));
        Ok(())
    }
}

/// Stores rows. On a thread that may be blocked.
pub(super) struct Storing<'a> {
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) tenant: u64,
    pub(super) handle: tokio::runtime::Handle,
    /// Samples of one request to the engine.
    pub(super) at_once: usize,
    /// Told how many rows are dealt with.
    pub(super) progress: &'a mut dyn FnMut(u64),
    days: BTreeMap<i64, Vec<Row>>,
    gathered: usize,
    /// Samples that are stored.
    pub(super) accepted: u64,
    /// Those that were not taken, by line.
    pub(super) refused: Faults,
}

impl<'a> Storing<'a> {
    pub(super) fn new(
        metrics: Arc<dyn Metrics>,
        tenant: u64,
        handle: tokio::runtime::Handle,
        at_once: usize,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let (days, refused) = (BTreeMap::new(), Faults::default());
        Self { metrics, tenant, handle, at_once, progress, days, gathered: 0, accepted: 0, refused }
    }

    /// Stores what is gathered.
    pub(super) fn flush(&mut self, names: &Names) -> io::Result<()> {
        self.gathered = 0;
        for (_, mut rows) in std::mem::take(&mut self.days) {
            // Of one series together, in order of time, and of two at one time the one that comes first in the file.
            rows.sort_by_key(|row| (row.series, row.at_ms, row.line));
            for rows in rows.chunks(self.at_once.max(1)) {
                self.store(names, rows).map_err(io::Error::other)?;
                (self.progress)(self.accepted + self.refused.count);
            }
        }
        Ok(())
    }

    fn store(&mut self, names: &Names, rows: &[Row]) -> Result<(), MetricsError> {
        let mut batch = Batch::new(Limits::NONE);
        let (mut lines, mut of_histograms, mut last) = (Vec::with_capacity(rows.len()), Vec::new(), None);
        for row in rows {
            let begun = if last == Some(row.series) { Ok(()) } else { batch.begin_series(names.of(row.series)) };
            last = Some(row.series);
            let put = begun.and_then(|()| match &row.what {
                What::Float(value) => {
                    lines.push(row.line);
                    batch.point(row.at_ms, *value)
                }
                What::Histogram(histogram) => {
                    of_histograms.push(row.line);
                    batch.histogram(row.at_ms, (**histogram).clone())
                }
            });
            put.expect("labels are within four gigabytes");
        }
        // What is refused is told by its place: first the floats, then the histograms.
        lines.append(&mut of_histograms);
        let appended = self.taken(batch)?;
        self.accepted += appended.accepted as u64;
        for refused in appended.refused {
            let line = lines.get(refused.index).copied().unwrap_or(0);
            self.refused.put(line, refused.reason.to_string());
        }
        Ok(())
    }

    /// Hands a batch over; what may pass by itself is waited for.
    fn taken(&self, batch: Batch) -> Result<Appended, MetricsError> {
        for wait in std::iter::successors(Some(FIRST_WAIT), |wait| Some((*wait * 2).min(LAST_WAIT))).take(TRIES) {
            let outcome = self.handle.block_on(self.metrics.import(self.tenant, batch.clone()));
            match outcome {
                Err(MetricsError::Store(SeriesError::Stopped)) => return outcome,
                Err(error) if error.is_retryable() => {
                    tracing::info!(%error, "an import waits");
                    self.handle.block_on(async { tokio::time::sleep(wait).await });
                }
                outcome => return outcome,
            }
        }
        self.handle.block_on(self.metrics.import(self.tenant, batch))
    }
}

impl Sink for Storing<'_> {
    fn row(&mut self, names: &Names, row: Row) -> io::Result<()> {
        self.gathered += match &row.what {
            What::Float(_) => 1,
            What::Histogram(all) => 4 + (all.positive.len() + all.negative.len() + all.custom_bounds.len()) / 2,
        };
        self.days.entry(row.at_ms.div_euclid(DAY_MS)).or_default().push(row);
        if self.gathered >= GATHERED { self.flush(names) } else { Ok(()) }
    }
}
