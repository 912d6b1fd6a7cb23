//! The way in and out of measurements alone, to stand beside other programs: `cargo run --release -p signals --example query_server -- --port 9090
//! --dir DIR` serves the series in a folder by Prometheus's API below `/prometheus`, through the router, the limits and the answers of the
//! real server. Everybody may do everything, so it must never listen on more than this machine.

use std::sync::Arc;

use api::app::{App, Gate, Peer, Via};
use api::problem::Problem;
use async_trait::async_trait;
use axum::http::{HeaderMap, StatusCode};
use kernel::query::Predicate;
use kernel::session::{Ask, Policy, Verdict};
use kernel::{Kernel, Kind, Registry, Session, SystemClock, TenantId};
use serde_json::{Map, Value};
use series::{Engine, Options, system_clock};
use signals::{Parts, Settings, Signals};

struct Everybody;

impl Policy for Everybody {
    fn decide(&self, _: &Session, _: &Ask<'_>) -> Verdict {
        Verdict { allowed: true, reason: "everybody".into() }
    }

    fn readable(&self, _: &Session, _: &Kind) -> Option<Predicate> {
        Some(Predicate::All)
    }
}

#[async_trait]
impl Gate for Everybody {
    async fn authenticate(&self, _: &HeaderMap, _: &Peer) -> Result<(Session, Via), Problem> {
        Ok((Session::system(TenantId::HOME), Via::Bearer))
    }

    async fn credential(
        &self,
        _: &str,
        _: Option<&Session>,
        _: Value,
        _: &HeaderMap,
        _: &Peer,
    ) -> Result<(Value, Option<String>), Problem> {
        Err(Problem::new(StatusCode::NOT_FOUND, "none", "there are no credentials here"))
    }
}

fn argument(name: &str) -> String {
    let mut all = std::env::args().skip_while(|word| word != name);
    all.nth(1).unwrap_or_else(|| panic!("{name} is to be given"))
}

#[tokio::main]
async fn main() {
    let options = Options { max_series: 10_000_000, ..Options::default() };
    let (engine, recovery) = Engine::open(argument("--dir").as_ref(), options).expect("a folder with series");
    let records = tempfile::tempdir().expect("a temporary folder");
    let store = store::Store::open_sqlite(records.path(), store::Options::default()).expect("a store");
    let registry = Registry::new(vec![kernel::own::domain()]).expect("the kernel's own classes");
    let kernel =
        Kernel::start(store, registry, Arc::new(SystemClock::default()), Arc::new(Everybody)).await.expect("a kernel");
    let signals = Signals::new(Parts {
        metrics: Arc::new(Arc::new(engine)),
        clock: system_clock(),
        measured: "tenant",
        rules: None,
        targets: None,
        settings: Settings::default(),
    });
    let app = App {
        kernel,
        gate: Arc::new(Everybody),
        probes: Arc::default(),
        live: Arc::new(|_| Map::new()),
        metrics: Arc::new(String::new),
        version: env!("CARGO_PKG_VERSION"),
    };
    let router = api::router(&app, signals::operations()).layer(axum::Extension(signals));
    #[expect(clippy::disallowed_methods, reason = "an example listens on this machine")]
    let listener =
        tokio::net::TcpListener::bind(format!("127.0.0.1:{}", argument("--port"))).await.expect("a free port");
    println!("ready: {recovery:?}");
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| stream.set_nodelay(true).expect("a connection"));
    axum::serve(listener, router).await.expect("it serves");
}
