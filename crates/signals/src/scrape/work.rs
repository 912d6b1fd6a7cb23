//! The loop of one target: ask at its own moment of every interval, read, write, and tell how it went. Each has its own task, its own
//! connection and its own time limit, so a page that is slow or has no end is nobody else's business.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use probe::Env;
use series::{Clock, Labels, NAME, stale_marker};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use super::config::{Job, LabelLimits};
use super::duration;
use super::fetch::{Asking, Fetcher};
use super::page::{Cache, Counts, Format, Reading, Tail};
use super::post::Post;
use super::relabel::{LabelSet, apply};
use super::target::Target;
use crate::relay::encode;

/// A page longer than this is read on a thread of its own.
const LONG_PAGE: usize = 256 << 10;
/// A time that is this near to the planned one is taken for it: samples at even distances need less room.
const NEAR_MS: i64 = 2;

/// How a target is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Run,
    /// The target is gone: say that its series have ended.
    Gone,
    /// Another loop goes on with it, or the process ends.
    Leave,
}

/// How the last scrape of a target went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// None before the first.
    pub(crate) up: Option<bool>,
    pub(crate) error: String,
    /// Unix milliseconds.
    pub(crate) at_ms: i64,
    pub(crate) took: Duration,
}

/// Where samples go and what time it is.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) post: Post,
    pub(crate) env: Env,
    pub(crate) clock: Clock,
}

/// The names of the five series about the scrape itself.
struct Reports([Vec<u8>; 5]);

const REPORTS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

impl Reports {
    fn new(labels: &LabelSet) -> Self {
        Self(REPORTS.map(|name| key(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())), name)))
    }
}

/// Labels and a metric's name as bytes, in order of name.
fn key<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, name: &'a str) -> Vec<u8> {
    let mut all: Vec<(&str, &str)> = labels.chain([(NAME, name)]).collect();
    all.sort_unstable();
    let mut out = Vec::new();
    all.into_iter().for_each(|(name, value)| encode::label(&mut out, name, value));
    out
}

/// Works for one target until it is told otherwise.
pub(crate) struct Worker {
    pub(crate) job: Arc<Job>,
    pub(crate) target: Arc<Target>,
    pub(crate) world: World,
    pub(crate) health: Arc<Mutex<Health>>,
    pub(crate) orders: watch::Receiver<Order>,
}

impl Worker {
    /// Scrapes for as long as it is to.
    pub(crate) async fn run(mut self) {
        let mut state = State {
            fetcher: Fetcher::new(self.world.env.net.clone(), self.job.client.clone()),
            cache: Cache::default(),
            reports: Reports::new(&self.target.labels),
        };
        let every_ms = i64::try_from(self.target.interval.as_millis()).unwrap_or(i64::MAX);
        // Its own moment of every interval, the same at every start, so that a thousand targets do not come at once.
        let offset_ms = (self.target.identity() % every_ms.unsigned_abs()) as i64;
        loop {
            let now = (self.world.clock)();
            let planned = now - (now - offset_ms).rem_euclid(every_ms) + every_ms;
            let wait = Duration::from_millis(u64::try_from(planned - now).unwrap_or(0)).min(self.target.interval);
            tokio::select! {
                biased;
                _ = self.orders.wait_for(|order| *order != Order::Run) => break,
                () = tokio::time::sleep(wait) => {}
            }
            let scrape = self.scrape(&mut state, planned);
            let mut orders = self.orders.clone();
            tokio::select! {
                () = scrape => {}
                _ = orders.wait_for(|order| *order == Order::Leave) => break,
            }
        }
        if *self.orders.borrow() == Order::Gone {
            let now = (self.world.clock)();
            state.cache.end_all(now);
            self.post(&mut state, now, [stale_marker(); 5]).await;
        }
    }

    async fn scrape(&self, state: &mut State, planned_ms: i64) {
        let now = (self.world.clock)();
        let at_ms = if now.abs_diff(planned_ms) <= NEAR_MS.unsigned_abs() { planned_ms } else { now };
        let begun = self.world.env.clock.monotonic();
        let read = match self.fetch(state).await {
            Ok(page) => self.read(state, page, at_ms).await,
            Err(why) => Err(why),
        };
        if read.is_err() {
            state.cache.end_all(at_ms);
        }
        let took = self.world.env.clock.monotonic().saturating_sub(begun);
        let counts = read.as_ref().copied().unwrap_or_default();
        let up = f64::from(u8::from(read.is_ok()));
        let values = [up, took.as_secs_f64(), counts.scraped as f64, counts.kept as f64, counts.added as f64];
        {
            let mut health = self.health.lock();
            let error = read.err().unwrap_or_default();
            if !error.is_empty() && health.error != error {
                tracing::debug!(job = %self.job.name, url = %self.target.url, %error, "a scrape failed");
            }
            *health = Health { up: Some(error.is_empty()), error, at_ms, took };
        }
        self.post(state, at_ms, values).await;
    }

    /// Hands on what a page came to, with what is to be said of the scrape itself.
    async fn post(&self, state: &mut State, at_ms: i64, values: [f64; 5]) {
        let points = values.map(|value| (at_ms, value));
        for batch in state.cache.take(Tail { names: &state.reports.0, points: &points }) {
            self.world.post.hand_in(self.target.clone(), batch).await;
        }
    }

    /// The page and its format.
    async fn fetch(&self, state: &mut State) -> Result<(Format, Vec<u8>), String> {
        let headers = [("x-prometheus-scrape-timeout-seconds", self.target.timeout.as_secs_f64().to_string())];
        let Job { accept, compressed, body_bytes: limit, .. } = &*self.job;
        let asking = Asking { accept, compressed: *compressed, headers: &headers, limit: *limit };
        let fetched = tokio::time::timeout(self.target.timeout, state.fetcher.get(&self.target.url, &asking)).await;
        let Ok(page) = fetched else {
            state.fetcher.hang_up();
            return Err(format!("the page did not come within {}", duration::shown(self.target.timeout)));
        };
        page.map(|page| match Format::of_content_type(&page.content_type) {
            Format::Families(_) => (Format::Families(self.job.buckets), page.body),
            other => (other, page.body),
        })
    }

    async fn read(&self, state: &mut State, (format, body): (Format, Vec<u8>), at_ms: i64) -> Result<Counts, String> {
        if body.len() <= LONG_PAGE {
            return read_page(&mut state.cache, &self.job, &self.target, format, &body, at_ms);
        }
        let mut cache = std::mem::take(&mut state.cache);
        let (job, target) = (self.job.clone(), self.target.clone());
        let work = move || {
            let read = read_page(&mut cache, &job, &target, format, &body, at_ms);
            (cache, read)
        };
        let (cache, read) = tokio::task::spawn_blocking(work).await.map_err(|_| "reading was ended")?;
        state.cache = cache;
        read
    }
}

/// What a worker keeps from scrape to scrape.
struct State {
    fetcher: Fetcher,
    cache: Cache,
    reports: Reports,
}

/// Reads a page for a target of a job.
pub(crate) fn read_page(
    cache: &mut Cache,
    job: &Job,
    target: &Target,
    format: Format,
    body: &[u8],
    at_ms: i64,
) -> Result<Counts, String> {
    let prepare = |labels: &Labels| prepare(job, &target.labels, labels);
    let how =
        Reading { format, at_ms, own_times: job.honor_timestamps, sample_limit: job.sample_limit, prepare: &prepare };
    cache.read(body, &how).map_err(|error| error.to_string())
}

/// What becomes of a series: the target's labels put on it, relabelled, held to the limits; nothing when it is dropped.
fn prepare(job: &Job, target: &LabelSet, scraped: &Labels) -> Result<Option<Vec<u8>>, String> {
    let mut labels: LabelSet = scraped.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    for (name, value) in target {
        if job.honor_labels {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
            continue;
        }
        if let Some(own) = labels.insert(name.clone(), value.clone()) {
            let mut moved = format!("exported_{name}");
            while labels.contains_key(&moved) || target.contains_key(&moved) {
                moved = format!("exported_{moved}");
            }
            labels.insert(moved, own);
        }
    }
    if !apply(&mut labels, &job.metric_relabel) || labels.is_empty() {
        return Ok(None);
    }
    if !labels.contains_key(NAME) {
        return Err("a series has no name after relabelling".to_owned());
    }
    within(&labels, job.label_limits)?;
    Labels::new(labels.iter()).map_err(|error| error.to_string())?;
    let mut key = Vec::new();
    labels.iter().for_each(|(name, value)| encode::label(&mut key, name, value));
    Ok(Some(key))
}

fn within(labels: &LabelSet, limits: LabelLimits) -> Result<(), String> {
    let metric = labels.get(NAME).map_or("", String::as_str);
    if limits.count > 0 && labels.len() > limits.count {
        return Err(format!(
            "{metric} has {} labels, which is more than its label_limit of {}",
            labels.len(),
            limits.count
        ));
    }
    for (name, value) in labels {
        if limits.name_bytes > 0 && name.len() > limits.name_bytes {
            return Err(format!(
                "{metric} has a label name of {} bytes, more than label_name_length_limit",
                name.len()
            ));
        }
        if limits.value_bytes > 0 && value.len() > limits.value_bytes {
            return Err(format!(
                "{metric} has a value of {name} of {} bytes, more than label_value_length_limit",
                value.len()
            ));
        }
    }
    Ok(())
}

/// A mark by which two configurations of one target are told apart.
pub(crate) fn mark(job: &Job, target: &Target) -> u64 {
    xxh3_64(format!("{}|{}|{:?}|{:?}", job.fingerprint, target.identity(), target.interval, target.timeout).as_bytes())
}
