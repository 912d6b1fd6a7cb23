//! Starts everything in order, and runs until it is told to end: store, kernel, access, series, checks, controllers, listeners.

use access::{Access, KeyFolder, Lifetimes, OverBackend, Parts, Policies};
use anyhow::Context;
use api::App;
use kernel::backend::Backend;
use kernel::controller::Controller;
use kernel::job::Worker;
use kernel::{Clock, Kernel, Registry, Session, SystemClock, TenantId, Time};
use series::{Metrics, Opening};
use signals::Signals;
use signals::relay::Remote;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::Store;
use watch::rules::{Heard, Outside, Rules};
use watch::runner::Runner;

use crate::asking::{self, Asking};
use crate::gate::Door;
use crate::options::{Data, Serve};
use crate::reading::{Reading, ToRead};
use crate::{courier, demo, domains, elsewhere, hands, host, listen, machine, measurements, people, samples};

/// How often Mainstay notes that it is alive, so that a standstill is seen afterwards as what it is.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Rows that the scrub looks at every ten seconds: a million rows in about half a day.
const SCRUB_ROWS: u32 = 200;

/// Makes the data directory, 0700, and says what to do when that cannot be.
///
/// # Errors
/// It cannot be made or written.
pub fn data_directory(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if !path.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
            format!(
                "cannot make the data directory {}: choose another with --data, or make it and give it to this user",
                path.display()
            )
        })?;
    }
    let probe = path.join(".write-test");
    std::fs::write(&probe, b"").with_context(|| {
        format!(
            "the data directory {} cannot be written by this user: choose another with --data, or give it to this user",
            path.display()
        )
    })?;
    std::fs::remove_file(&probe)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

/// What runs.
struct Running {
    kernel: Kernel,
    access: Arc<Access>,
    store: Arc<Store>,
    /// Measurements of this machine; at the start they may still be being read, for a moment.
    measured: Opening,
    /// The way to an engine elsewhere, when measurements are kept there.
    relay: Option<Arc<Remote>>,
    /// Where everybody writes and asks measurements; writing wakes rules.
    metrics: Arc<Heard>,
    clock: Arc<dyn Clock>,
}

/// Runs a server until a signal ends it. `open`: print the sign-in link and open it.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(data: &Data, serve: &Serve, greet: bool) -> anyhow::Result<()> {
    let data = &Data { data: if serve.demo { demo::folder(&data.data) } else { data.data.clone() } };
    data_directory(&data.data)?;
    if !serve.listen.ip().is_loopback() && serve.tls_certificate.is_none() && !serve.insecure_http {
        anyhow::bail!(
            "{} is reachable from other machines and would speak plain HTTP: give --tls-certificate and --tls-key, or --insecure-http if you know why",
            serve.listen
        );
    }
    // Before anything is open that it would copy.
    let asking = Asking::begin(serve.egress.as_deref())?;
    let system_clock = Arc::new(SystemClock::default());
    let clock: Arc<dyn Clock> = system_clock.clone();
    let records = Records::of(data, serve)?;
    let known = Known::read(data.data.join("policies"));
    let options = measurements::options(&serve.kept)?;
    let store = records.open()?;
    let listener = listen::bind(serve.listen).await?;
    let address = listener.local_addr()?;
    let local = listen::bind_local(&data.socket())?;
    let (measured, opener) = Opening::begin();
    let running = start(data, serve, store, known, measured, clock).await?;
    let kernel = running.kernel.clone();
    let reading = Reading::begin(ToRead::claim(&data.data, options, &kernel, &serve.kept)?, opener).await?;
    demo::prepare(serve.demo, &kernel, &running.store, address).await?;
    let alive_until = last_alive(&kernel).await;
    told_back(&system_clock, alive_until);
    let linked =
        Arc::new(elsewhere::Linked::start(running.relay.clone(), running.metrics.clone(), asking.env(), serve)?);
    let public_url = serve
        .public_url
        .clone()
        .unwrap_or_else(|| format!("{}://{address}", if serve.tls_certificate.is_some() { "https" } else { "http" }));
    let rules = rules_engine(&running, public_url.clone(), alive_until);
    let signals = measurements::signals(&data.data, running.metrics.clone(), rules.clone(), &linked, serve);
    for controller in signals::controllers(&signals) {
        tokio::spawn(kernel::driver::drive(kernel.clone(), controller));
    }
    let listeners = measurements::bind(&kernel, serve).await?;
    let runner = asking.runner(kernel.clone(), Arc::new(samples::Series(running.metrics.clone())), alive_until);
    let host = Arc::new(OnceLock::new());
    let post = Arc::new(courier::Post {
        access: running.access.clone(),
        kernel: kernel.clone(),
        egress: courier::egress(&serve.allow_webhook, serve.listen.ip().is_loopback())?,
        public_url: public_url.clone(),
    });
    engines(&running, serve, &runner, &host, post.clone());
    let tls = match (&serve.tls_certificate, &serve.tls_key) {
        (Some(certificate), Some(key)) => Some(listen::tls(certificate, key)?),
        _ => None,
    };
    let own_uid = rustix::process::getuid().as_raw();
    let cell = Arc::new(OnceLock::new());
    drop(cell.set(kernel.clone()));
    let door = Door::new(running.access.clone(), cell, running.clock.clone(), own_uid, tls.is_some());
    let on_host = host::Host {
        access: running.access.clone(),
        post,
        store: running.store.clone(),
        measured: running.measured.clone(),
        data: data.data.clone(),
        public_url: public_url.clone(),
    };
    let asked = asking::Asked { asking: Arc::new(asking), runner };
    let (app, router) = router(&running, door, asked, &rules, on_host, (signals.clone(), linked));
    // From the first answer on, a request to end is heeded.
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    listeners.serve(&app, &signals, tls.clone(), address)?;
    tokio::spawn(listen::serve(listener, router.clone(), tls));
    tokio::spawn(listen::serve_local(local, router));
    if greet {
        let link = greeting(&running, &public_url).await;
        if serve.open {
            open_browser(&link);
        }
    }
    tracing::info!(%address, data = %data.data.display(), "Mainstay serves");
    // A request to end that comes in this moment is heeded after it.
    let ended = tokio::spawn(ended(terminate));
    let engine = reading.end().await?;
    crate::watchdog::ready();
    ended.await?;
    crate::watchdog::ending();
    keep_alive_mark(&kernel).await;
    engine.flush().context("the last measurements could not be written")?;
    // Tasks still hold both, so that nothing drops them before the process is gone.
    let store = running.store.clone();
    tokio::task::spawn_blocking(move || (engine.close(), store.close())).await?;
    drop(std::fs::remove_file(data.socket()));
    tracing::info!("Mainstay has ended");
    Ok(())
}

/// Where the records are. From here on nobody else opens what is in the data directory.
enum Records {
    Here(store::Claim),
    Elsewhere(String),
}

impl Records {
    fn of(data: &Data, serve: &Serve) -> anyhow::Result<Self> {
        Ok(match &serve.database {
            Some(url) => Self::Elsewhere(url.clone()),
            None => Self::Here(store::Claim::take(&data.data)?),
        })
    }

    fn open(self) -> Result<Arc<Store>, store::OpenError> {
        match self {
            Self::Here(claim) => Store::open_claimed(claim, store::Options::default()),
            Self::Elsewhere(url) => Store::open_postgres(&url, store::Options::default()),
        }
    }
}

/// What is known without any record: the classes and the policies. Read beside the records, since neither needs the other.
struct Known {
    registry: tokio::task::JoinHandle<anyhow::Result<Registry>>,
    policies: tokio::task::JoinHandle<Result<Policies, Vec<access::PolicyError>>>,
}

impl Known {
    fn read(folder: PathBuf) -> Self {
        let policies = tokio::task::spawn_blocking(move || Policies::load(&folder));
        Self { registry: tokio::task::spawn_blocking(domains::registry), policies }
    }

    async fn wait(self) -> anyhow::Result<(Registry, Policies)> {
        Ok((self.registry.await??, self.policies.await?.map_err(policy_faults)?))
    }
}

/// Kernel and access on a store.
async fn start(
    data: &Data,
    serve: &Serve,
    store: Arc<Store>,
    known: Known,
    measured: Opening,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Running> {
    let backend: Arc<dyn Backend> = store.clone();
    let cell: Arc<OnceLock<Kernel>> = Arc::default();
    let keys = KeyFolder::open(&data.data.join("keys"))?;
    let (registry, policies) = known.wait().await?;
    let directory = people::People { backend: backend.clone(), kernel: cell.clone() };
    let access = Arc::new(Access::new(Parts {
        private: Arc::new(OverBackend(backend.clone())),
        clock: clock.clone(),
        directory: Arc::new(directory),
        keys: &keys,
        data: &data.data,
        lifetimes: Lifetimes::default(),
        policies,
        classes: Arc::new(people::Known(cell.clone())),
        witness: Arc::new(crate::witness::Scribe(cell.clone())),
    })?);
    let kernel = Kernel::start(backend, registry, clock.clone(), access.clone()).await?;
    drop(cell.set(kernel.clone()));
    people::standard_roles(&kernel).await.context("the standard roles could not be made")?;
    let relay = elsewhere::relay(&data.data, &serve.elsewhere)?.map(Arc::new);
    let kept: Arc<dyn Metrics> = match &relay {
        Some(remote) => remote.clone(),
        None => Arc::new(measured.clone()),
    };
    let metrics = Arc::new(Heard::new(kept));
    Ok(Running { kernel, access, store, measured, relay, metrics, clock })
}

fn policy_faults(faults: Vec<access::PolicyError>) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the policies do not fit:\n  {}", lines.join("\n  "))
}

/// The rules: held by their controllers, evaluated in a loop, told of all that is written.
fn rules_engine(running: &Running, public_url: String, alive_until: Time) -> Rules {
    let outside = Outside { url: public_url, ..Outside::default() };
    let rules = Rules::new(running.kernel.clone(), running.metrics.unheard(), signals::number, outside, alive_until);
    running.metrics.tell(rules.clone());
    let controllers: Vec<Arc<dyn Controller>> =
        vec![Arc::new(watch::rules::hold::Hold(rules.clone())), Arc::new(watch::rules::hold::Heed(rules.clone()))];
    for controller in controllers {
        tokio::spawn(kernel::driver::drive(running.kernel.clone(), controller));
    }
    let evaluating = rules.clone();
    tokio::spawn(async move { evaluating.run().await });
    rules
}

/// Controllers, workers, checks, the local agent, and the slow scrub.
fn engines(running: &Running, serve: &Serve, runner: &Runner, host: &Arc<OnceLock<String>>, post: Arc<courier::Post>) {
    let kernel = &running.kernel;
    let controllers: Vec<Arc<dyn Controller>> = vec![
        Arc::new(watch::controllers::Hold(runner.clone())),
        Arc::new(watch::controllers::Health),
        Arc::new(watch::controllers::Raise),
        Arc::new(watch::rollup::Rollup),
        Arc::new(watch::maintenance::Windows),
        Arc::new(watch::maintenance::Reach),
        Arc::new(respond::fold::Fold),
        Arc::new(respond::recover::Recover),
        Arc::new(respond::escalate::Escalate),
        Arc::new(respond::remediate::Remediate),
        Arc::new(respond::run::Start),
        Arc::new(respond::scheduled::Scheduled),
    ];
    for controller in controllers {
        tokio::spawn(kernel::driver::drive(kernel.clone(), controller));
    }
    let hands = hands::LocalHands { allow: serve.allow.clone(), host: host.clone(), kernel: kernel.clone() };
    let proof = hands::Proof { runner: runner.clone(), kernel: kernel.clone() };
    let workers: Vec<Arc<dyn Worker>> = vec![
        Arc::new(respond::page::Pager(post)),
        Arc::new(respond::run::Runs { hands: Arc::new(hands), prove: Arc::new(proof) }),
    ];
    let name = format!("{}:{}", std::process::id(), kernel.now());
    for worker in workers {
        tokio::spawn(kernel::driver::work(kernel.clone(), worker, name.clone()));
    }
    let asking = runner.clone();
    tokio::spawn(async move { asking.run().await });
    if !serve.no_agent && !serve.demo {
        tokio::spawn(machine::watch_this_machine(kernel.clone(), host.clone()));
    }
    let parts = (running.kernel.clone(), running.access.clone(), running.store.clone());
    tokio::spawn(housekeeping(parts, runner.clone()));
}

/// Small regular duties.
async fn housekeeping((kernel, access, store): (Kernel, Arc<Access>, Arc<Store>), runner: Runner) {
    let mut round = 0u64;
    let mut scrub = store::Scrub::default();
    let mut scrub_told = 0;
    loop {
        keep_alive_mark(&kernel).await;
        // The mark went through the store, and this through the runner's board: neither stands still.
        tracing::trace!(checks = runner.figures().asking.held, "alive");
        crate::watchdog::alive();
        tokio::time::sleep(ALIVE_EVERY).await;
        round += 1;
        if round.is_multiple_of(30)
            && let Err(error) = access.sweep().await
        {
            tracing::warn!(%error, "could not sweep ended sessions");
        }
        match store.scrub_tick(std::mem::take(&mut scrub), SCRUB_ROWS).await {
            Ok(next) => {
                if next.report.damaged_rows > scrub_told {
                    tracing::error!(
                        rows = next.report.damaged_rows,
                        "the scrub found damaged rows; run `mainstay verify`"
                    );
                }
                scrub_told = next.report.damaged_rows;
                scrub = next;
            }
            Err(error) => tracing::error!(%error, "the scrub could not read the store"),
        }
    }
}

async fn keep_alive_mark(kernel: &Kernel) {
    let now = kernel.now().as_micros().to_be_bytes();
    if let Err(error) = kernel.backend().put_private("alive", "until", Some(&now)).await {
        tracing::warn!(%error, "could not note that Mainstay is alive");
    }
}

/// A clock that was set back while Mainstay was not running: times stand still until it is passed, and somebody is told.
fn told_back(clock: &SystemClock, alive_until: Time) {
    let now = clock.now();
    if alive_until > now.plus(Duration::from_secs(2)) {
        let back = kernel::clock::format_duration(alive_until.since(now));
        tracing::error!(
            "the clock of this machine was set back by {back}: times stand still until it has caught up; check its time service"
        );
        clock.not_before(alive_until);
    }
}

/// When Mainstay was last alive; the present when it never was.
async fn last_alive(kernel: &Kernel) -> Time {
    let kept = kernel.backend().private("alive", "until").await.ok().flatten();
    let micros = kept.and_then(|b| <[u8; 8]>::try_from(b.as_slice()).ok()).map(i64::from_be_bytes);
    micros.map_or_else(|| kernel.now(), Time::from_micros)
}

/// Every operation that this program serves.
pub fn operations() -> Vec<api::Operation> {
    let parts = [
        api::operations(),
        samples::operations(),
        signals::operations(),
        crate::rules::operations(),
        asking::operations(),
        host::operations(),
    ];
    parts.into_iter().flatten().collect()
}

fn router(
    running: &Running,
    door: Door,
    asked: asking::Asked,
    rules: &Rules,
    on_host: host::Host,
    (signals, linked): (Signals, Arc<elsewhere::Linked>),
) -> (App, axum::Router) {
    let (runner, evaluated, own) = (asked.runner.clone(), rules.clone(), rules.clone());
    let (asking, measured, told) = (asked.clone(), running.measured.clone(), signals.clone());
    let also = linked.clone();
    let metrics = move || {
        let checks = asking.exposition() + &measured.opened().map(|engine| own_metrics(engine)).unwrap_or_default();
        checks + &own.own_metrics() + &told.counters().exposition() + &also.own_metrics()
    };
    let app = App {
        kernel: running.kernel.clone(),
        gate: Arc::new(door),
        probes: Arc::new(linked.probes()),
        live: Arc::new(move |record| match record.kind.as_str() {
            "check" => runner.latest(record.id),
            "rule" => evaluated.latest(record.id),
            _ => serde_json::Map::new(),
        }),
        metrics: Arc::new(metrics),
        version: env!("CARGO_PKG_VERSION"),
    };
    let router = api::router(&app, operations())
        .layer(axum::Extension(signals))
        .layer(axum::Extension(crate::rules::Replays(running.metrics.clone())))
        .layer(axum::Extension(asked))
        .layer(axum::Extension(on_host))
        .fallback_service(web::router());
    (app, router)
}

fn own_metrics(engine: &series::Engine) -> String {
    let stats = engine.stats();
    format!(
        "# TYPE mainstay_series gauge\nmainstay_series {}\n# TYPE mainstay_samples_accepted_total counter\nmainstay_samples_accepted_total {}\n# TYPE mainstay_samples_refused_total counter\nmainstay_samples_refused_total {}\n",
        stats.series, stats.accepted, stats.refused
    )
}

/// What `up` prints: the address, and the one-time link while nobody can sign in.
async fn greeting(running: &Running, url: &str) -> String {
    let mut link = url.to_owned();
    let mut text = format!("\n  Mainstay is up: {url}\n");
    match running.access.open_first_bootstrap().await {
        Ok(Some(token)) => {
            link = format!("{url}/bootstrap?token={}", token.as_str());
            text += &format!("  First sign-in (once, within 30 minutes): {link}\n\n");
        }
        Ok(None) => {
            text += "  Sign in with your name and password; `mainstay admin reset` makes a new first sign-in.\n\n";
        }
        Err(error) => text += &format!("  The first sign-in could not be prepared: {error}\n\n"),
    }
    let channels = running
        .kernel
        .list(&Session::system(TenantId::HOME), "channel", &kernel::read::ListAsk { limit: 1, ..Default::default() })
        .await;
    if channels.is_ok_and(|c| c.records.is_empty()) {
        text += "  Nobody will be paged: there is no channel yet. docs/guides/paging.md shows how to add one.\n\n";
    }
    // It serves also when nobody reads that.
    drop(cli::output::line(&text));
    link
}

/// Shows an address in the browser of this desktop; where there is none, the printed link is enough.
fn open_browser(link: &str) {
    if std::env::vars_os().any(|(name, _)| name == "DISPLAY" || name == "WAYLAND_DISPLAY") {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one program that is started for the person at the desk, by argument vector"
        )]
        let started = std::process::Command::new("xdg-open")
            .arg(link)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        if let Err(error) = started {
            tracing::debug!(%error, "no browser could be opened");
        }
    }
}

/// A signal that asks for the end.
async fn ended(mut terminate: tokio::signal::unix::Signal) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
