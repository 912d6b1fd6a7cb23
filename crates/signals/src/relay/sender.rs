//! A shard's sender: takes what waits in the queue, in order, and does not let go of it before the engine far away has taken it
//! or has refused it for good. What is refused is counted and told; nothing else is ever left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::client::{Delivery, Form, Peer};
use super::encode::version_two;
use super::queue::{Cursors, Place, Queue, Reader, Waiting};

/// Samples that one request carries at most, but for a single record that is larger.
const BATCH_SAMPLES: u64 = 5000;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(30);
/// Requests that are spent on finding the samples of one batch that are not wanted.
const SEARCHES: u32 = 40;

/// What has become of the samples, since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Samples that are in the queue on disk.
    pub queued: AtomicU64,
    /// Samples taken by the engine far away.
    pub sent: AtomicU64,
    /// Samples that it refused for good.
    pub dropped: AtomicU64,
    /// Samples that were not taken into the queue: it was full, or the disk refused.
    pub refused: AtomicU64,
    /// Tries that failed.
    pub retries: AtomicU64,
}

/// What all shards share.
pub(crate) struct Sending {
    pub(crate) peer: Peer,
    pub(crate) queue: Queue,
    pub(crate) cursors: Mutex<Cursors>,
    pub(crate) counters: Counters,
    /// Whether to try version 2 first; the engine's answers decide.
    pub(crate) two: AtomicBool,
    /// What is wrong at the moment, as the last try told it.
    pub(crate) trouble: Mutex<Option<String>>,
}

/// Sends for ever.
pub(crate) async fn run(shard: u8, mut reader: Reader, all: Arc<Sending>) {
    while reader.more().await {
        let taken = tokio::task::spawn_blocking(move || {
            let waiting = reader.next(BATCH_SAMPLES);
            (reader, waiting)
        });
        let Ok((back, waiting)) = taken.await else { return };
        reader = back;
        let waiting = match waiting {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, "the relay's queue could not be read; trying again");
                tokio::time::sleep(LAST_WAIT).await;
                continue;
            }
        };
        if waiting.samples > 0 {
            all.begins(shard, &waiting);
            all.deliver(&waiting).await;
        }
        all.passed(shard, &waiting);
    }
}

impl Sending {
    /// Notes what is about to be sent: after a crash it is sent again as it was, not mixed with what came later, since an
    /// engine that has it may refuse it as a whole.
    fn begins(&self, shard: u8, waiting: &Waiting) {
        let mut cursors = self.cursors.lock();
        cursors.at[usize::from(shard)].begun = waiting.end;
        self.save(&cursors);
    }

    fn save(&self, cursors: &Cursors) {
        if let Err(error) = cursors.save() {
            tracing::warn!(%error, "the relay's place could not be noted; after a crash some samples are sent twice");
        }
    }

    /// Notes that everything before is done with, and makes room.
    fn passed(&self, shard: u8, waiting: &Waiting) {
        let slowest = {
            let mut cursors = self.cursors.lock();
            cursors.at[usize::from(shard)] = Place { done: waiting.end, begun: waiting.end };
            self.save(&cursors);
            cursors.at.iter().map(|place| place.done).min().unwrap_or_default()
        };
        self.queue.forget_before(slowest);
    }

    /// Brings a batch to its end: taken, or what is not wanted of it found and dropped.
    async fn deliver(&self, waiting: &Waiting) {
        let mut searches = SEARCHES;
        let mut parts = vec![waiting.request.clone()];
        while let Some(part) = parts.pop() {
            let samples = count(&part);
            match self.send(&part).await {
                Ok(()) => drop(self.counters.sent.fetch_add(samples, Relaxed)),
                Err(why) => match halves(&part) {
                    Some((first, second)) if searches > 0 => {
                        searches -= 1;
                        parts.push(second);
                        parts.push(first); // In order of time, as they were written.
                    }
                    _ => {
                        self.counters.dropped.fetch_add(samples, Relaxed);
                        tracing::error!(engine = %self.peer.name(), samples, %why, "samples were refused for good and are dropped");
                    }
                },
            }
        }
    }

    /// Tries until the request is taken, or refused for good.
    async fn send(&self, request: &[u8]) -> Result<(), String> {
        let mut wait = FIRST_WAIT;
        loop {
            let form = if self.two.load(Relaxed) { Form::Two } else { Form::One };
            let delivery = match compressed(form, request) {
                Ok(body) => self.peer.write(form, body).await,
                Err(why) => return Err(why),
            };
            let (why, after) = match delivery {
                Delivery::Taken => {
                    if self.trouble.lock().take().is_some() {
                        tracing::info!(engine = %self.peer.name(), "the metrics engine takes samples again");
                    }
                    return Ok(());
                }
                Delivery::Refused(why) => return Err(why),
                Delivery::NotTwo => {
                    self.two.store(false, Relaxed);
                    continue;
                }
                Delivery::Later { why, after } => (why, after),
            };
            self.counters.retries.fetch_add(1, Relaxed);
            if self.trouble.lock().replace(why.clone()).is_none() {
                tracing::warn!(engine = %self.peer.name(), %why, "the metrics engine does not take samples; they wait on disk");
            }
            // Shards that failed together do not come back together.
            let jitter = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
            tokio::time::sleep(after.unwrap_or(Duration::ZERO).max(wait.mul_f64(0.75 + jitter / 2.0))).await;
            wait = (wait * 2).min(LAST_WAIT);
        }
    }
}

fn compressed(form: Form, request: &[u8]) -> Result<Vec<u8>, String> {
    let two = match form {
        Form::Two => version_two(request).map_err(|error| error.to_string())?,
        Form::One => Vec::new(),
    };
    let plain = if form == Form::Two { &two } else { request };
    snap::raw::Encoder::new().compress_vec(plain).map_err(|error| error.to_string())
}

/// The outer fields of a request: where each begins and ends, and its number.
fn fields(request: &[u8]) -> Vec<(usize, usize, u64)> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < request.len() {
        let start = at;
        let (Some(tag), Some(length)) = (varint(request, &mut at), varint(request, &mut at)) else { break };
        let Some(end) = at.checked_add(length as usize).filter(|end| *end <= request.len()) else { break };
        out.push((start, end, tag >> 3));
        at = end;
    }
    out
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The request in two, in order of time; none when it is a single sample.
fn halves(request: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let all = fields(request);
    if all.len() < 2 {
        return one_series_halved(request);
    }
    let cut = all[all.len() / 2].0;
    Some((request[..cut].to_vec(), request[cut..].to_vec()))
}

/// A request of one series in two of the same series.
fn one_series_halved(request: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut at = 0;
    varint(request, &mut at)?;
    varint(request, &mut at)?;
    let body = &request[at..];
    let all = fields(body);
    let labels = all.iter().take_while(|(.., number)| *number == 1).last()?.1;
    let points = &all[all.iter().take_while(|(.., number)| *number == 1).count()..];
    if points.len() < 2 {
        return None;
    }
    let cut = points[points.len() / 2].0;
    let with_labels = |points: &[u8]| {
        let mut out = Vec::new();
        super::encode::series(&mut out, &[&body[..labels], points].concat(), super::encode::Content::default());
        out
    };
    Some((with_labels(&body[labels..cut]), with_labels(&body[cut..])))
}

/// Samples and histograms in a request of ours.
fn count(request: &[u8]) -> u64 {
    let mut samples = 0;
    for (start, end, _) in fields(request).into_iter().filter(|(.., number)| *number == 1) {
        let mut at = start;
        // Past the tag and the length of the series.
        if varint(request, &mut at).is_some() && varint(request, &mut at).is_some() {
            samples += fields(&request[at..end]).iter().filter(|(.., number)| matches!(number, 2 | 4)).count() as u64;
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::encode::{self, Content};
    use series::Labels;

    #[test]
    fn a_request_is_halved_down_to_its_series() {
        let mut request = Vec::new();
        for n in 0..5 {
            let key = encode::key(&Labels::metric(&format!("m{n}"), &[]).unwrap(), ("t", "1"));
            encode::series(&mut request, &key, Content { points: &[(1, 1.0), (2, 2.0)], ..Content::default() });
        }
        assert_eq!(count(&request), 10);
        let (first, second) = halves(&request).unwrap();
        assert_eq!((count(&first), count(&second)), (4, 6));
        assert_eq!([first.as_slice(), &second].concat(), request);
        let (one, _) = halves(&first).unwrap();
        let (earlier, later) = halves(&one).unwrap();
        assert_eq!((count(&earlier), count(&later)), (1, 1));
        assert!(halves(&earlier).is_none());
        use series::formats::{Limits, remote_write};
        let read = remote_write::decode_plain(remote_write::Version::One, later, Limits::default()).unwrap();
        let series = read.series().next().unwrap();
        assert_eq!((series.labels.unwrap().name(), series.points), ("m0", &[(2, 2.0)][..]));
    }

    #[test]
    fn both_forms_are_read_back() {
        use series::formats::{Limits, remote_write};
        let mut request = Vec::new();
        let key = encode::key(&Labels::metric("m", &[]).unwrap(), ("t", "1"));
        encode::series(&mut request, &key, Content { points: &[(5, 1.5)], ..Content::default() });
        for (form, version) in [(Form::One, remote_write::Version::One), (Form::Two, remote_write::Version::Two)] {
            let body = compressed(form, &request).unwrap();
            let batch = remote_write::decode(version, &body, Limits::default()).unwrap();
            assert_eq!(batch.series().next().unwrap().points, [(5, 1.5)]);
        }
    }
}
