//! The scrape configuration: Prometheus's own `scrape_configs`, read and checked as a whole. Text in, jobs out, with the line of what is
//! wrong. It opens no file itself but those with credentials and certificates that a job names, and shows none of their content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use series::formats::families::Buckets;
use xxhash_rust::xxh3::xxh3_64;

use super::duration;
use super::http_client::{Client, with_client};
use super::protocols;
use super::relabel::Rule;
use super::text::{Text, Texts, with_suggestion};

/// Why a configuration is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {reason}", file.display(), line.map_or_else(String::new, |line| format!(":{line}")))]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// From 1, where it can be told.
    pub line: Option<usize>,
    /// What is wrong, with a suggestion where there is one.
    pub reason: String,
}

/// A duration in a file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Text")]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<Text> for Span {
    type Error = String;
    fn try_from(text: Text) -> Result<Self, String> {
        duration::parse(&text.0).map(Self)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Text")]
struct Size(u64);

impl TryFrom<Text> for Size {
    type Error = String;
    fn try_from(text: Text) -> Result<Self, String> {
        duration::parse_bytes(&text.0).map(Self)
    }
}

/// A file, as written. What belongs to other parts of a Prometheus is known by name and not used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    global: RawGlobal,
    #[serde(default)]
    scrape_configs: Vec<RawJob>,
    rule_files: Option<IgnoredAny>,
    alerting: Option<IgnoredAny>,
    remote_write: Option<IgnoredAny>,
    remote_read: Option<IgnoredAny>,
    storage: Option<IgnoredAny>,
    tracing: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGlobal {
    scrape_interval: Option<Span>,
    scrape_timeout: Option<Span>,
    body_size_limit: Option<Size>,
    sample_limit: Option<usize>,
    target_limit: Option<usize>,
    label_limit: Option<usize>,
    label_name_length_limit: Option<usize>,
    label_value_length_limit: Option<usize>,
    scrape_protocols: Option<Texts>,
    scrape_native_histograms: Option<bool>,
    always_scrape_classic_histograms: Option<bool>,
    #[serde(rename = "evaluation_interval")]
    _evaluation_interval: Option<IgnoredAny>,
    #[serde(rename = "query_log_file")]
    _query_log_file: Option<IgnoredAny>,
    external_labels: Option<IgnoredAny>,
}

with_client! {
struct RawJob {
    job_name: Text,
    scrape_interval: Option<Span>,
    scrape_timeout: Option<Span>,
    metrics_path: Option<Text>,
    scheme: Option<Text>,
    #[serde(default)]
    params: BTreeMap<String, Texts>,
    #[serde(default)]
    honor_labels: bool,
    honor_timestamps: Option<bool>,
    enable_compression: Option<bool>,
    body_size_limit: Option<Size>,
    sample_limit: Option<usize>,
    target_limit: Option<usize>,
    label_limit: Option<usize>,
    label_name_length_limit: Option<usize>,
    label_value_length_limit: Option<usize>,
    scrape_protocols: Option<Texts>,
    scrape_native_histograms: Option<bool>,
    always_scrape_classic_histograms: Option<bool>,
    #[serde(default)]
    static_configs: Vec<Group>,
    #[serde(default)]
    file_sd_configs: Vec<RawFileSd>,
    #[serde(default)]
    http_sd_configs: Vec<RawHttpSd>,
    #[serde(default)]
    dns_sd_configs: Vec<RawDnsSd>,
    #[serde(default)]
    relabel_configs: Vec<Rule>,
    #[serde(default)]
    metric_relabel_configs: Vec<Rule>,
}
}

/// Targets with the labels that they share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// `host:port`, or what relabelling makes it of.
    #[serde(default)]
    pub(crate) targets: Texts,
    /// Their labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFileSd {
    files: Texts,
    refresh_interval: Option<Span>,
}

with_client! {
struct RawHttpSd {
    url: Text,
    refresh_interval: Option<Span>,
}
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDnsSd {
    names: Texts,
    #[serde(rename = "type")]
    kind: Option<Text>,
    port: Option<u16>,
    refresh_interval: Option<Span>,
}

/// Where targets are found.
#[derive(Clone)]
pub(crate) enum Discovery {
    /// Written down.
    Static(Vec<Group>),
    /// In files of JSON or YAML; a star in the last part of a path means any.
    Files { patterns: Vec<PathBuf>, every: Duration },
    /// At an address that answers with JSON.
    Http { url: url::Url, client: Box<Client>, every: Duration },
    /// In the domain name system.
    Dns { names: Vec<String>, kind: DnsKind, port: Option<u16>, every: Duration },
}

/// The kinds of records that name targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DnsKind {
    Srv,
    A,
    Aaaa,
    Mx,
    Ns,
}

/// How many labels a series may have, and how long they may be; 0: as many as the engine takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LabelLimits {
    pub(crate) count: usize,
    pub(crate) name_bytes: usize,
    pub(crate) value_bytes: usize,
}

/// A job, checked.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) name: String,
    /// Changes with anything that is written in the job or in the global part.
    pub(crate) fingerprint: u64,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) metrics_path: String,
    pub(crate) scheme: String,
    pub(crate) params: BTreeMap<String, Vec<String>>,
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    /// Pages may come compressed.
    pub(crate) compressed: bool,
    pub(crate) body_bytes: u64,
    pub(crate) sample_limit: usize,
    pub(crate) target_limit: usize,
    pub(crate) label_limits: LabelLimits,
    /// The header that says which formats are wanted.
    pub(crate) accept: String,
    /// What is taken of histograms.
    pub(crate) buckets: Buckets,
    pub(crate) client: Client,
    pub(crate) discovery: Vec<Discovery>,
    pub(crate) relabel: Vec<Rule>,
    pub(crate) metric_relabel: Vec<Rule>,
}

/// A page is never longer than this, whatever the job says of it.
pub(crate) const PAGE_BYTES: u64 = 64 << 20;

/// A whole configuration.
#[derive(Clone)]
pub struct Config {
    pub(crate) jobs: Vec<Job>,
    /// Parts of the file that are of no use here, by name.
    pub ignored: Vec<&'static str>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let failed = |reason: String| ConfigError { file: file.to_owned(), line: None, reason };
        let text = std::fs::read_to_string(file).map_err(|error| failed(format!("cannot be read: {error}")))?;
        Self::parse(file, &text)
    }

    /// Reads the text of a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let failed = |line, reason| ConfigError { file: file.to_owned(), line, reason };
        let read = |error: yaml_serde::Error| {
            let line = error.location().map(|place| place.line());
            let message = error.to_string();
            // The place is told apart from the sentence.
            let sentence = message.rsplit_once(" at line ").map_or(message.as_str(), |(sentence, _)| sentence);
            failed(line_of_word(text, sentence, line.unwrap_or(1)).or(line), with_suggestion(sentence))
        };
        let raw: RawFile = yaml_serde::from_str(text).map_err(read)?;
        let parts: yaml_serde::Value = yaml_serde::from_str(text).map_err(read)?;
        let written = |value: Option<&yaml_serde::Value>| {
            xxh3_64(value.and_then(|v| yaml_serde::to_string(v).ok()).unwrap_or_default().as_bytes())
        };
        let global = written(parts.get("global"));
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut jobs: Vec<Job> = Vec::new();
        for (place, job) in raw.scrape_configs.into_iter().enumerate() {
            let name = job.job_name.0.clone();
            let line = line_of_job(text, &name);
            if jobs.iter().any(|other| other.name == name) {
                return Err(failed(line, format!("there are two jobs of the name {name:?}")));
            }
            let own = written(parts.get("scrape_configs").and_then(|all| all.get(place)));
            let checked = check(job, &raw.global, own ^ global.rotate_left(1), folder);
            jobs.push(checked.map_err(|reason| failed(line, format!("job {name:?}: {reason}")))?);
        }
        let given = [
            ("rule_files", raw.rule_files.is_some()),
            ("alerting", raw.alerting.is_some()),
            ("remote_write", raw.remote_write.is_some()),
            ("remote_read", raw.remote_read.is_some()),
            ("storage", raw.storage.is_some()),
            ("tracing", raw.tracing.is_some()),
            ("external_labels", raw.global.external_labels.is_some()),
        ];
        let ignored = given.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
        Ok(Self { jobs, ignored })
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }
}

/// The line on which a job's name stands.
fn line_of_job(text: &str, name: &str) -> Option<usize> {
    let is = |line: &str| {
        let rest = line.trim_start().trim_start_matches("- ").trim_start().strip_prefix("job_name:");
        rest.is_some_and(|rest| rest.trim().trim_matches(['"', '\'']) == name)
    };
    // Of two of one name the last is the one too many.
    text.lines().enumerate().filter(|(_, line)| is(line)).last().map(|(at, _)| at + 1)
}

/// The line, from one on, of the field or text that a sentence names: the reader's own place is where the list or job begins.
fn line_of_word(text: &str, sentence: &str, from: usize) -> Option<usize> {
    let word = sentence.split(['`', '"']).nth(1).filter(|word| !word.is_empty())?;
    let is = |line: &str| line.contains(word) && !line.trim_start().starts_with('#');
    text.lines().enumerate().skip(from - 1).find(|(_, line)| is(line)).map(|(at, _)| at + 1)
}

fn check(mut raw: RawJob, global: &RawGlobal, fingerprint: u64, folder: &Path) -> Result<Job, String> {
    let span = |given: Option<Span>, general: Option<Span>| given.or(general).map(|s| s.0);
    let client = raw.client().check(folder)?;
    let interval = span(raw.scrape_interval, global.scrape_interval).unwrap_or(Duration::from_secs(60));
    let general = global.scrape_timeout.map_or(Duration::from_secs(10), |s| s.0).min(interval);
    let timeout = raw.scrape_timeout.map_or(general, |s| s.0);
    if raw.job_name.0.is_empty() {
        return Err("a job needs a job_name".to_owned());
    }
    if interval < Duration::from_millis(100) || timeout.is_zero() {
        return Err("scrape_interval must be 100ms at least, and scrape_timeout more than 0".to_owned());
    }
    if timeout > interval {
        let (t, i) = (duration::shown(timeout), duration::shown(interval));
        return Err(format!("its scrape_timeout of {t} is longer than its scrape_interval of {i}"));
    }
    let scheme = raw.scheme.map_or_else(|| "http".to_owned(), |s| s.0);
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(super::text::unknown("scheme", &scheme, ["http", "https"].into_iter()));
    }
    let mut discovery = Vec::new();
    if !raw.static_configs.is_empty() {
        discovery.push(Discovery::Static(raw.static_configs));
    }
    discovery.extend(raw.file_sd_configs.into_iter().map(|sd| files(sd, folder)));
    for mut sd in raw.http_sd_configs {
        let url: url::Url =
            sd.url.0.parse().map_err(|error| format!("the url of its http_sd_configs is none: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("the url of its http_sd_configs must begin with http:// or https:// and name a host".to_owned());
        }
        let every = sd.refresh_interval.map_or(Duration::from_secs(60), |s| s.0);
        discovery.push(Discovery::Http { url, client: Box::new(sd.client().check(folder)?), every });
    }
    for sd in raw.dns_sd_configs {
        discovery.push(names(sd)?);
    }
    let most = |own: Option<usize>, general: Option<usize>| own.or(general).unwrap_or(0);
    let native = raw.scrape_native_histograms.or(global.scrape_native_histograms).unwrap_or(false);
    let classic = raw.always_scrape_classic_histograms.or(global.always_scrape_classic_histograms).unwrap_or(false);
    let protocols = raw.scrape_protocols.as_ref().or(global.scrape_protocols.as_ref());
    let body = raw.body_size_limit.or(global.body_size_limit).map_or(0, |s| s.0);
    Ok(Job {
        name: raw.job_name.0,
        fingerprint,
        interval,
        timeout,
        metrics_path: raw.metrics_path.map_or_else(|| "/metrics".to_owned(), |p| p.0),
        scheme,
        params: raw.params.into_iter().map(|(name, values)| (name, values.0)).collect(),
        honor_labels: raw.honor_labels,
        honor_timestamps: raw.honor_timestamps.unwrap_or(true),
        compressed: raw.enable_compression.unwrap_or(true),
        body_bytes: if body == 0 { PAGE_BYTES } else { body.min(PAGE_BYTES) },
        sample_limit: most(raw.sample_limit, global.sample_limit),
        target_limit: most(raw.target_limit, global.target_limit),
        label_limits: LabelLimits {
            count: most(raw.label_limit, global.label_limit),
            name_bytes: most(raw.label_name_length_limit, global.label_name_length_limit),
            value_bytes: most(raw.label_value_length_limit, global.label_value_length_limit),
        },
        accept: protocols::accept(protocols.map(|texts| texts.0.as_slice()), native)?,
        buckets: match (native, classic) {
            (false, _) => Buckets::Classic,
            (true, false) => Buckets::Native,
            (true, true) => Buckets::Both,
        },
        client,
        discovery,
        relabel: raw.relabel_configs,
        metric_relabel: raw.metric_relabel_configs,
    })
}

fn files(sd: RawFileSd, folder: &Path) -> Discovery {
    let patterns = sd.files.0.iter().map(|pattern| folder.join(pattern)).collect();
    Discovery::Files { patterns, every: sd.refresh_interval.map_or(Duration::from_secs(300), |s| s.0) }
}

fn names(sd: RawDnsSd) -> Result<Discovery, String> {
    let kind = match sd.kind.map_or_else(|| "SRV".to_owned(), |k| k.0.to_ascii_uppercase()).as_str() {
        "SRV" => DnsKind::Srv,
        "A" => DnsKind::A,
        "AAAA" => DnsKind::Aaaa,
        "MX" => DnsKind::Mx,
        "NS" => DnsKind::Ns,
        other => {
            return Err(super::text::unknown(
                "type of dns_sd_configs",
                other,
                ["SRV", "A", "AAAA", "MX", "NS"].into_iter(),
            ));
        }
    };
    if kind != DnsKind::Srv && sd.port.is_none() {
        return Err("dns_sd_configs of a type other than SRV need a port".to_owned());
    }
    if sd.names.0.is_empty() {
        return Err("dns_sd_configs need names".to_owned());
    }
    let every = sd.refresh_interval.map_or(Duration::from_secs(30), |s| s.0);
    Ok(Discovery::Dns { names: sd.names.0, kind, port: sd.port, every })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("/etc/scrape.yml"), text)
    }

    #[test]
    fn a_prometheus_file_is_read_with_its_defaults() {
        let config = parse(
            "global:\n  scrape_interval: 30s\n  external_labels: {site: a}\nrule_files: [x.yml]\nscrape_configs:\n- job_name: node\n  static_configs:\n  - targets: ['a:9100', 'b:9100']\n    labels: {shard: 1}\n- job_name: app\n  scrape_interval: 5s\n  honor_timestamps: false\n  body_size_limit: 1MB\n  basic_auth: {username: mia, password: hunter2}\n  dns_sd_configs:\n  - names: [_m._tcp.example.org]\n",
        )
        .unwrap();
        assert_eq!(config.ignored, ["rule_files", "external_labels"]);
        let [node, app] = config.jobs.as_slice() else { panic!("two jobs") };
        assert_eq!((node.interval.as_secs(), node.timeout.as_secs(), node.metrics_path.as_str()), (30, 10, "/metrics"));
        assert_eq!((app.interval.as_secs(), app.timeout.as_secs(), app.body_bytes), (5, 5, 1 << 20));
        assert!(node.honor_timestamps && !app.honor_timestamps);
        assert_ne!(node.fingerprint, app.fingerprint);
    }

    #[test]
    fn native_histograms_are_asked_for_where_they_are_wanted() {
        let config = parse(
            "global: {scrape_native_histograms: true}\nscrape_configs:\n- job_name: a\n- job_name: b\n  scrape_native_histograms: false\n- job_name: c\n  always_scrape_classic_histograms: true\n  scrape_protocols: [PrometheusProto]\n",
        )
        .unwrap();
        let [a, b, c] = config.jobs.as_slice() else { panic!("three jobs") };
        assert_eq!([a.buckets, b.buckets, c.buckets], [Buckets::Native, Buckets::Classic, Buckets::Both]);
        let proto = "application/vnd.google.protobuf";
        assert!(a.accept.starts_with(proto) && !b.accept.contains(proto) && c.accept.starts_with(proto));
        assert!(a.accept.contains("text/plain") && !c.accept.contains("text/plain"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_was_meant() {
        let job = |rest: &str| format!("scrape_configs:\n- job_name: a\n{rest}\n");
        for (text, line, why) in [
            (job("  scrape_intervall: 5s"), 3, "did you mean scrape_interval?"),
            (job("  scrape_interval: 5 seconds"), 3, "is no duration"),
            (job("  scrape_interval: 5s\n  scrape_timeout: 6s"), 2, "longer than its scrape_interval"),
            (job("  scheme: htps"), 2, "did you mean https?"),
            (job("  scrape_protocols: [PrometheusProtto]"), 2, "did you mean PrometheusProto?"),
            (job("  scrape_protocols: []"), 2, "names none"),
            (job("  relabel_configs:\n  - {action: kep, regex: a}"), 4, "did you mean keep?"),
            (
                job("  metric_relabel_configs:\n  - {source_labels: [a], regex: '(', action: drop}"),
                4,
                "no regular expression",
            ),
            (job("- job_name: b\n- job_name: a"), 4, "two jobs of the name"),
            (job("  dns_sd_configs: [{names: [a], type: A}]"), 2, "need a port"),
            (job("  kubernetes_sd_configs: [{role: pod}]"), 3, "unknown field `kubernetes_sd_configs`"),
            (job("  basic_auth: {username: a, pasword: hunter2}"), 3, "did you mean password?"),
            (job("  authorization: {credentials: a, credentials_file: b}"), 2, "credentials"),
            ("scrap_configs: []\n".to_owned(), 1, "did you mean scrape_configs?"),
            ("scrape_configs:\n- job_name: a\n  static_configs: [\n".to_owned(), 0, ""),
        ] {
            let error = parse(&text).err().unwrap_or_else(|| panic!("{text}"));
            assert!(error.reason.contains(why), "{text}: {error}");
            assert!(line == 0 || error.line == Some(line), "{text}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
