//! Scrape: measurements fetched from targets that show them, by Prometheus's own `scrape_configs`.
//!
//! A file says what is scraped; it is read again when it changes, and one that is wrong leaves what was. Discovery says who is there,
//! relabelling what becomes of them, and each target has a loop of its own ([`work`]). It must never let one target hold up another,
//! take a part of a page that is wrong somewhere, or leave a series looking alive when its target is gone.

mod config;
mod discover;
pub mod duration;
mod fetch;
mod http_client;
pub mod page;
mod protocols;
mod post;
pub mod relabel;
mod target;
mod text;
mod work;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use probe::Env;
use serde_json::{Value, json};
use series::{Clock, Metrics};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;

pub use config::{Config, ConfigError};
use config::{Group, Job};
use discover::Report;
use target::Target;
use work::{Health, Order, Worker, World};

/// A changed file is seen within this time.
const LOOK_AT_FILE: Duration = Duration::from_secs(2);

/// What the scraper stands on.
pub struct Parts {
    /// The configuration.
    pub file: PathBuf,
    /// Where samples go.
    pub metrics: Arc<dyn Metrics>,
    /// The network, through which every connection goes, and the clock that measures how long things take.
    pub env: Env,
    /// The time of samples, Unix milliseconds.
    pub clock: Clock,
    /// Whose the samples are.
    pub tenant: u64,
}

/// A target that runs.
struct Running {
    target: Arc<Target>,
    mark: u64,
    health: Arc<Mutex<Health>>,
    orders: watch::Sender<Order>,
}

/// What is shown of it all.
#[derive(Default)]
struct Shown {
    running: HashMap<u64, Running>,
    dropped: HashMap<usize, Vec<(String, target::Found)>>,
    fault: Option<String>,
}

/// Scrapes for as long as it lives. Dropping it leaves every series as it is, for the next start to go on with.
pub struct Scraper {
    shown: Arc<Mutex<Shown>>,
    _tasks: JoinSet<()>,
}

impl Scraper {
    /// Reads the configuration and begins. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ConfigError`]; later ones are logged, and leave what was.
    pub fn start(parts: Parts) -> Result<Self, ConfigError> {
        let text = read(&parts.file)?;
        let config = Config::parse(&parts.file, &text)?;
        tell(&config);
        let shown = Arc::new(Mutex::new(Shown::default()));
        let mut tasks = JoinSet::new();
        let post = post::Post::open(&mut tasks, parts.metrics, parts.tenant);
        let world = World { post, env: parts.env, clock: parts.clock };
        let keeper = Keeper {
            file: parts.file,
            world,
            shown: shown.clone(),
            generation: 0,
            jobs: Vec::new(),
            groups: HashMap::new(),
            workers: JoinSet::new(),
        };
        tasks.spawn(keeper.run(config, xxh3_64(text.as_bytes())));
        Ok(Self { shown, _tasks: tasks })
    }

    /// What is wrong with the file as it is now; none when it is the one in use.
    pub fn fault(&self) -> Option<String> {
        self.shown.lock().fault.clone()
    }

    /// How many targets are scraped, and how many of them answered when they were asked last.
    pub fn counts(&self) -> (usize, usize) {
        let shown = self.shown.lock();
        let up = shown.running.values().filter(|r| r.health.lock().up == Some(true)).count();
        (shown.running.len(), up)
    }

    /// The `data` of Prometheus's `/api/v1/targets`. `state`: `active`, `dropped`, or else both; `pool`: one job's.
    pub fn targets_json(&self, state: Option<&str>, pool: Option<&str>) -> Value {
        let shown = self.shown.lock();
        let wanted = |name: &str| pool.is_none_or(|pool| pool == name);
        let mut active: Vec<(String, Value)> = Vec::new();
        if state != Some("dropped") {
            let running = shown.running.values().filter(|r| wanted(&r.target.pool));
            active.extend(running.map(|r| (format!("{} {}", r.target.pool, r.target.url), active_json(r))));
        }
        active.sort_by(|a, b| a.0.cmp(&b.0));
        let mut dropped = Vec::new();
        if state != Some("active") {
            for found in shown.dropped.values().flatten().map(|(_, found)| found) {
                let of_pool = found.dropped.iter().filter(|(name, _)| wanted(name));
                dropped.extend(of_pool.map(|(_, labels)| json!({"discoveredLabels": labels})));
            }
        }
        json!({
            "activeTargets": active.into_iter().map(|(_, target)| target).collect::<Vec<_>>(),
            "droppedTargets": dropped,
        })
    }
}

fn active_json(running: &Running) -> Value {
    let health = running.health.lock().clone();
    let target = &running.target;
    let last = jiff::Timestamp::from_millisecond(health.at_ms).unwrap_or_default();
    json!({
        "discoveredLabels": target.discovered,
        "labels": target.labels,
        "scrapePool": target.pool,
        "scrapeUrl": target.url.as_str(),
        "globalUrl": target.url.as_str(),
        "lastError": health.error,
        "lastScrape": if health.up.is_some() { last.to_string() } else { "0001-01-01T00:00:00Z".to_owned() },
        "lastScrapeDuration": health.took.as_secs_f64(),
        "health": match health.up { None => "unknown", Some(true) => "up", Some(false) => "down" },
        "scrapeInterval": duration::shown(target.interval),
        "scrapeTimeout": duration::shown(target.timeout),
    })
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let failed = |error: std::io::Error| ConfigError {
        file: file.to_owned(),
        line: None,
        reason: format!("cannot be read: {error}"),
    };
    std::fs::read_to_string(file).map_err(failed)
}

fn tell(config: &Config) {
    if !config.ignored.is_empty() {
        tracing::info!(parts = %config.ignored.join(", "), "parts of the scrape configuration are of no use here and are not looked at");
    }
}

/// Keeps the workers as the configuration and discovery want them.
struct Keeper {
    file: PathBuf,
    world: World,
    shown: Arc<Mutex<Shown>>,
    generation: u64,
    jobs: Vec<Arc<Job>>,
    /// By job and discovery.
    groups: HashMap<(usize, usize), Vec<Group>>,
    workers: JoinSet<()>,
}

impl Keeper {
    async fn run(mut self, config: Config, mut mark: u64) {
        let (to, mut reports) = mpsc::channel(64);
        let mut discoveries = self.begin(config, &to);
        let mut look = tokio::time::interval(LOOK_AT_FILE);
        loop {
            tokio::select! {
                Some(report) = reports.recv() => self.found(report),
                _ = look.tick() => {
                    while self.workers.try_join_next().is_some() {}
                    if let Some(config) = self.changed(&mut mark) {
                        discoveries = self.begin(config, &to);
                    }
                }
            }
            // Kept only to be dropped: that ends the discoveries of the configuration before.
            let _ = &discoveries;
        }
    }

    /// The configuration, when the file has another text than before and is right.
    fn changed(&self, mark: &mut u64) -> Option<Config> {
        let text = read(&self.file);
        let new = text.as_ref().map_or(0, |text| xxh3_64(text.as_bytes()));
        if new == std::mem::replace(mark, new) {
            return None;
        }
        match text.and_then(|text| Config::parse(&self.file, &text)) {
            Ok(config) => {
                tracing::info!(jobs = config.jobs(), "the scrape configuration was read again");
                tell(&config);
                self.shown.lock().fault = None;
                Some(config)
            }
            Err(error) => {
                tracing::error!(%error, "the scrape configuration is wrong; the one before stays in use");
                self.shown.lock().fault = Some(error.to_string());
                None
            }
        }
    }

    /// Takes a configuration: its discoveries begin, and what is of no job any more ends.
    fn begin(&mut self, config: Config, to: &mpsc::Sender<Report>) -> JoinSet<()> {
        self.generation += 1;
        // A job that stays as it was goes on with what is known of it.
        let before: HashMap<u64, usize> = self.jobs.iter().enumerate().map(|(at, job)| (job.fingerprint, at)).collect();
        let known = std::mem::take(&mut self.groups);
        self.jobs = config.jobs.into_iter().map(Arc::new).collect();
        let mut discoveries = JoinSet::new();
        for (at, job) in self.jobs.iter().enumerate() {
            for (nth, discovery) in job.discovery.iter().enumerate() {
                if let Some(groups) = before.get(&job.fingerprint).and_then(|old| known.get(&(*old, nth))) {
                    self.groups.insert((at, nth), groups.clone());
                } else if let config::Discovery::Static(groups) = discovery {
                    self.groups.insert((at, nth), groups.clone());
                }
                discoveries.spawn(discover::run(
                    discovery.clone(),
                    self.generation,
                    (at, nth),
                    job.interval,
                    self.world.env.clone(),
                    to.clone(),
                ));
            }
        }
        self.settle();
        discoveries
    }

    fn found(&mut self, report: Report) {
        if report.generation != self.generation {
            return;
        }
        match report.found {
            Ok(groups) => {
                self.groups.insert(report.of, groups);
                self.settle();
            }
            Err(why) => {
                let job = &self.jobs[report.of.0].name;
                tracing::warn!(%job, %why, "discovery failed; the targets that were known stay");
            }
        }
    }

    /// Ends and begins workers until they are those that are wanted.
    fn settle(&mut self) {
        let mut wanted: HashMap<u64, (Arc<Job>, Target)> = HashMap::new();
        let mut shown = self.shown.lock();
        shown.dropped.clear();
        for (at, job) in self.jobs.iter().enumerate() {
            let groups = (0..job.discovery.len()).filter_map(|nth| self.groups.get(&(at, nth))).flatten();
            let mut found = target::targets(job, groups);
            found.wrong.iter().for_each(|why| tracing::warn!(%why, "a target cannot be scraped"));
            let targets = std::mem::take(&mut found.targets);
            wanted.extend(targets.into_iter().map(|target| (target.identity(), (job.clone(), target))));
            shown.dropped.entry(at).or_default().push((job.name.clone(), found));
        }
        shown.running.retain(|identity, running| {
            let same = wanted.get(identity).is_some_and(|(job, target)| work::mark(job, target) == running.mark);
            if !same {
                let order = if wanted.contains_key(identity) { Order::Leave } else { Order::Gone };
                running.orders.send_replace(order);
            }
            same
        });
        for (identity, (job, target)) in wanted {
            if shown.running.contains_key(&identity) {
                continue;
            }
            let (orders, told) = watch::channel(Order::Run);
            let (target, health, mark) =
                (Arc::new(target.clone()), Arc::new(Mutex::default()), work::mark(&job, &target));
            let worker = Worker {
                job,
                target: target.clone(),
                world: self.world.clone(),
                health: Arc::clone(&health),
                orders: told,
            };
            self.workers.spawn(worker.run());
            shown.running.insert(identity, Running { target, mark, health, orders });
        }
    }
}

/// The parsers of what comes from outside, for the fuzz targets: bytes in, and nothing but a value or an error out.
#[doc(hidden)]
pub mod parsers {
    use super::*;

    /// A configuration.
    pub fn config(bytes: &[u8]) -> bool {
        Config::parse(Path::new("scrape.yml"), &String::from_utf8_lossy(bytes)).is_ok()
    }

    /// A list of targets over HTTP.
    pub fn targets(bytes: &[u8]) -> bool {
        discover::parse_list(bytes, "http://sd/").is_ok()
    }

    /// A packed page of up to a megabyte.
    pub fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
        crate::gunzip::gunzip(bytes, 1 << 20).ok()
    }

    /// A page, twice, in each format; and the bytes as a packed one.
    pub fn page(bytes: &[u8]) -> usize {
        if let Some(page) = unpack(bytes) {
            assert!(page.len() <= 1 << 20, "the limit holds");
        }
        let prepare = |labels: &series::Labels| Ok(Some(crate::relay::encode::key(labels, ("job", "a"))));
        let text = String::from_utf8_lossy(bytes);
        let families = page::Format::Families(series::formats::families::Buckets::Both);
        let formats = [page::Format::Text, page::Format::OpenMetrics].map(|format| (format, text.as_bytes()));
        let mut kept = 0;
        for (format, bytes) in formats.into_iter().chain([(families, bytes)]) {
            let mut cache = page::Cache::default();
            for at_ms in 0..2 {
                let how = page::Reading { format, at_ms, own_times: true, sample_limit: 0, prepare: &prepare };
                let read = cache.read(bytes, &how).map_or(0, |counts| counts.kept);
                let made: usize = cache.take(page::Tail::default()).iter().map(|batch| batch.samples()).sum();
                assert_eq!(made, read, "what is kept is what is stored");
                kept += read;
            }
        }
        kept
    }
}
