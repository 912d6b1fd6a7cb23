//! Flags of the server: each is also a `MAINSTAY_*` variable, and a key of `mainstay.toml` in the data directory.

use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where the data is.
#[derive(Clone, Debug, Args)]
pub struct Data {
    /// Data directory.
    #[arg(long, env = "MAINSTAY_DATA", default_value = "./data", global = true)]
    pub data: PathBuf,
}

impl Data {
    /// The local socket.
    pub fn socket(&self) -> PathBuf {
        self.data.join("mainstay.sock")
    }
}

/// A stretch of time such as 30s or 2m.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        kernel::clock::parse_duration(text).map(Self)
    }
}

/// How the server runs.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Address to listen on.
    #[arg(long, env = "MAINSTAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Certificate chain in PEM; with --tls-key the listener speaks TLS.
    #[arg(long, env = "MAINSTAY_TLS_CERTIFICATE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Key of the certificate in PEM.
    #[arg(long, env = "MAINSTAY_TLS_KEY", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Allow plain HTTP on an address that is not loopback: passwords travel readable.
    #[arg(long, env = "MAINSTAY_INSECURE_HTTP")]
    pub insecure_http: bool,
    /// Database instead of the embedded one: postgres://user@host/database.
    #[arg(long, env = "MAINSTAY_DATABASE")]
    pub database: Option<String>,
    /// What the local agent may run; root-owned.
    #[arg(long, env = "MAINSTAY_ALLOW", default_value = "/etc/mainstay/allow")]
    pub allow: PathBuf,
    /// Where checks may go, by site: a file in YAML. Without one everywhere but where clouds hand out their credentials.
    #[arg(long, env = "MAINSTAY_EGRESS")]
    pub egress: Option<PathBuf>,
    /// Do not look at this machine.
    #[arg(long, env = "MAINSTAY_NO_AGENT")]
    pub no_agent: bool,
    /// Webhook targets that may be on this machine or a private network: host:port, repeated.
    #[arg(long = "allow-webhook", env = "MAINSTAY_ALLOW_WEBHOOK", value_delimiter = ',')]
    pub allow_webhook: Vec<String>,
    /// Address under which people reach the console; links in messages begin with it.
    #[arg(long, env = "MAINSTAY_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Measurements that are kept elsewhere, and that are fetched.
    #[command(flatten)]
    pub elsewhere: Elsewhere,
    /// How measurements are kept.
    #[command(flatten)]
    pub kept: Kept,
    /// How long a PromQL query may take; a request may ask for less.
    #[arg(long, env = "MAINSTAY_QUERY_TIMEOUT", default_value = "2m")]
    pub query_timeout: Span,
    /// Samples that a PromQL query may read and make.
    #[arg(long, env = "MAINSTAY_QUERY_SAMPLES", default_value_t = 50_000_000)]
    pub query_samples: u64,
    /// Listen for OpenTelemetry metrics over gRPC, such as 127.0.0.1:4317; callers need a token.
    #[arg(long, env = "MAINSTAY_OTLP_GRPC_LISTEN")]
    pub otlp_grpc_listen: Option<SocketAddr>,
    /// Listen for Graphite's plaintext lines over TCP and UDP, such as 127.0.0.1:2003; needs --push-tenant.
    #[arg(long, env = "MAINSTAY_GRAPHITE_LISTEN")]
    pub graphite_listen: Option<SocketAddr>,
    /// Listen for StatsD over UDP and TCP, such as 127.0.0.1:8125; needs --push-tenant.
    #[arg(long, env = "MAINSTAY_STATSD_LISTEN")]
    pub statsd_listen: Option<SocketAddr>,
    /// How often the sums of StatsD are stored.
    #[arg(long, env = "MAINSTAY_STATSD_FLUSH", default_value = "10s")]
    pub statsd_flush: Span,
    /// The tenant whose measurements come over listeners that ask for no token.
    #[arg(long, env = "MAINSTAY_PUSH_TENANT")]
    pub push_tenant: Option<String>,
    /// From where they are taken: addresses or networks such as 10.0.0.0/8, repeated; this machine alone when left out.
    #[arg(long = "push-from", env = "MAINSTAY_PUSH_FROM", value_delimiter = ',')]
    pub push_from: Vec<signals::listen::Source>,
    /// A synthetic organisation to look at, in a data directory of its own (./data-demo); never with real data.
    #[arg(long)]
    pub demo: bool,
    /// Open the first sign-in, or the console, in this desktop's browser.
    #[arg(long)]
    pub open: bool,
}

/// How measurements are kept here, and how many.
#[derive(Clone, Debug, Args)]
pub struct Kept {
    /// How long measurements are kept as they came; thinned-out ones are kept longer.
    #[arg(long, env = "MAINSTAY_MEASUREMENTS_RETENTION", default_value = "400d")]
    pub measurements_retention: Span,
    /// How much room sealed measurements may take, such as 50GB; the oldest go first.
    #[arg(long, env = "MAINSTAY_MEASUREMENTS_SIZE")]
    pub measurements_size: Option<String>,
    /// Active series a tenant may have: a number for every tenant (2,000,000 when left out), or TENANT=NUMBER for one; repeated.
    #[arg(long, env = "MAINSTAY_SERIES_LIMIT", value_delimiter = ',')]
    pub series_limit: Vec<Limit>,
    /// Samples a second a tenant may send: a number for every tenant, or TENANT=NUMBER for one; repeated. No limit by default.
    #[arg(long, env = "MAINSTAY_SAMPLES_LIMIT", value_delimiter = ',')]
    pub samples_limit: Vec<Limit>,
}

/// A number for every tenant, or for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of which tenant; of all that have none of their own when it is left out.
    pub tenant: Option<String>,
    /// The most.
    pub most: u64,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tenant, most) = match text.split_once('=') {
            Some((tenant, most)) => (Some(tenant.trim().to_owned()), most),
            None => (None, text),
        };
        let most = most.trim().parse().map_err(|_| format!("{text:?} is neither a number nor TENANT=NUMBER"))?;
        Ok(Self { tenant, most })
    }
}

/// Measurements that are kept elsewhere, and that are fetched.
#[derive(Clone, Args)]
pub struct Elsewhere {
    /// Keep measurements in another engine with Prometheus's HTTP API and remote write: http(s)://host:port/prefix.
    #[arg(long, env = "MAINSTAY_METRICS", hide_env_values = true)]
    pub metrics: Option<String>,
    /// Where that engine takes remote write, when it is not under the prefix: http(s)://host:port/path.
    #[arg(long, env = "MAINSTAY_METRICS_WRITE", hide_env_values = true, requires = "metrics")]
    pub metrics_write: Option<String>,
    /// File with `basic USER:PASSWORD` or `bearer TOKEN` for that engine.
    #[arg(long, env = "MAINSTAY_METRICS_CREDENTIALS", requires = "metrics")]
    pub metrics_credentials: Option<PathBuf>,
    /// Certificate authorities in PEM by which that engine is verified, instead of the system's.
    #[arg(long, env = "MAINSTAY_METRICS_CA", requires = "metrics")]
    pub metrics_ca: Option<PathBuf>,
    /// How much may wait on disk for that engine.
    #[arg(long, env = "MAINSTAY_METRICS_QUEUE", default_value = "4GB")]
    pub metrics_queue: String,
    /// Scrape what this file says: Prometheus's own scrape_configs; it is read again when it changes.
    #[arg(long, env = "MAINSTAY_SCRAPE")]
    pub scrape: Option<PathBuf>,
}

impl std::fmt::Debug for Elsewhere {
    /// Without the addresses, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elsewhere").field("scrape", &self.scrape).finish_non_exhaustive()
    }
}
