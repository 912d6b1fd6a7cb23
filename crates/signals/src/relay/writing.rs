//! A batch into the queue: its tenant put on every series, its series dealt to the shards, cut into records of bounded size.

use std::sync::atomic::Ordering::Relaxed;

use series::formats::{Batch, Metadata};
use series::{Appended, MetricsError, Refusal, Refused, SeriesError};
use xxhash_rust::xxh3::xxh3_64;

use super::encode::{self, Content};
use super::frame::{self, Record};
use super::queue::{QueueError, SHARDS};
use super::tenancy::LABEL;
use super::{FAMILIES, Remote};

/// Samples of one record.
const RECORD_SAMPLES: u32 = 2000;
/// Bytes of one record before compression, but for the last series in it.
const RECORD_BYTES: usize = 1 << 20;

/// The record that is being filled, one a shard.
#[derive(Default)]
struct Filling {
    request: Vec<u8>,
    samples: u32,
}

impl Filling {
    fn close(&mut self, shard: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.request.is_empty() {
            return Ok(());
        }
        let request = snap::raw::Encoder::new().compress_vec(&self.request).map_err(|error| error.to_string())?;
        if request.len() + 16 > frame::MAX_PAYLOAD {
            return Err(format!("a series of {} bytes is too large to be queued", self.request.len()));
        }
        frame::put(out, Record { shard: shard as u8, samples: self.samples, request: &request });
        *self = Self::default();
        Ok(())
    }
}

impl Remote {
    /// Queues a batch, and answers after it is on disk here.
    pub(super) async fn queue(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        let (records, appended) = records(tenant, &batch).map_err(|reason| self.sending.peer.refused(reason))?;
        if !batch.metadata.is_empty() {
            self.remember(tenant, batch.metadata);
        }
        if records.is_empty() {
            return Ok(appended);
        }
        let counters = &self.sending.counters;
        match self.sending.queue.append(records).await {
            Ok(()) => {
                counters.queued.fetch_add(appended.accepted as u64, Relaxed);
                Ok(appended)
            }
            Err(error) => {
                let before = counters.refused.fetch_add(appended.accepted as u64, Relaxed);
                if before == 0 {
                    tracing::error!(%error, "samples are refused: the relay cannot queue them");
                }
                Err(match error {
                    QueueError::Disk { reason } => {
                        let source = std::io::Error::other(reason);
                        SeriesError::Io { action: "write", path: self.dir.clone(), source }.into()
                    }
                    other => self.sending.peer.away(other.to_string()),
                })
            }
        }
    }

    fn remember(&self, tenant: u64, metadata: Vec<Metadata>) {
        let mut told = self.told.lock();
        let known = told.entry(tenant).or_default();
        for about in metadata {
            if known.len() < FAMILIES || known.contains_key(&about.family) {
                known.insert(about.family.clone(), about);
            }
        }
    }
}

/// The framed records of a batch, and what is taken of it.
fn records(tenant: u64, batch: &Batch) -> Result<(Vec<u8>, Appended), String> {
    let tenant = tenant.to_string();
    let by_series = encode::extras(batch);
    let mut shards: [Filling; SHARDS] = Default::default();
    let (mut out, mut appended, mut index) = (Vec::new(), Appended::default(), 0);
    for (place, series) in batch.series().enumerate() {
        let first = index;
        index += series.points.len();
        let labels = match series.labels {
            Ok(labels) => labels,
            Err(error) => {
                let reason = Refusal::Labels { reason: error.to_string() };
                appended.refused.extend((first..index).map(|index| Refused { index, reason: reason.clone() }));
                continue;
            }
        };
        let key = encode::key(&labels, (LABEL, &tenant));
        let shard = (xxh3_64(&key) % SHARDS as u64) as usize;
        let (histograms, exemplars) = by_series.get(&place).map_or((&[][..], &[][..]), |(h, e)| (h, e));
        let mut content = Content { points: &[], histograms, exemplars };
        let mut rest = series.points;
        while !rest.is_empty() || !content.histograms.is_empty() {
            (content.points, rest) = rest.split_at(rest.len().min(RECORD_SAMPLES as usize));
            let filling = &mut shards[shard];
            encode::series(&mut filling.request, &key, content);
            let samples = content.points.len() + content.histograms.len();
            filling.samples += samples as u32;
            appended.accepted += samples;
            appended.exemplars += content.exemplars.len();
            if filling.samples >= RECORD_SAMPLES || filling.request.len() >= RECORD_BYTES {
                filling.close(shard, &mut out)?;
            }
            content = Content::default();
        }
    }
    for about in &batch.metadata {
        encode::metadata(&mut shards[0].request, about);
    }
    for (shard, filling) in shards.iter_mut().enumerate() {
        filling.close(shard, &mut out)?;
    }
    Ok((out, appended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::formats::{Limits, exposition};

    #[test]
    fn a_series_stays_in_one_shard_whatever_comes_with_it_and_large_batches_are_cut() {
        let page: String = (0..3000).map(|n| format!("m{{n=\"{}\"}} {n} {n}\n", n % 500)).collect();
        let batch = exposition::decode(page.as_bytes(), 0, Limits::default()).unwrap();
        let (bytes, appended) = records(9, &batch).unwrap();
        assert_eq!((appended.accepted, appended.refused.len()), (3000, 0));
        let (whole, damaged) = frame::scan(&bytes);
        assert_eq!((whole.iter().map(|r| r.samples).sum::<u32>(), damaged), (3000, 0));
        let mut of = std::collections::HashMap::new();
        for record in whole {
            let limits = Limits::default();
            let version = series::formats::remote_write::Version::One;
            let read = series::formats::remote_write::decode(version, record.request, limits).unwrap();
            for series in read.series() {
                let labels = series.labels.unwrap();
                assert_eq!(labels.get(LABEL), Some("9"));
                assert_eq!(*of.entry(labels).or_insert(record.shard), record.shard);
            }
        }
        assert_eq!(of.len(), 500);
    }
}
