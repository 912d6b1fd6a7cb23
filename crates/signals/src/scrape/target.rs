//! From what discovery found to what is scraped: the labels that relabelling sees, the address and the labels that every series gets.
//! Pure: nothing is looked up or dialled.

use std::collections::BTreeMap;
use std::time::Duration;

use series::Labels;
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use super::config::{Group, Job};
use super::duration;
use super::relabel::{LabelSet, apply};

/// A target that is scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The job's name, as configured.
    pub(crate) pool: String,
    /// What was known before relabelling.
    pub(crate) discovered: LabelSet,
    /// What every series of it gets.
    pub(crate) labels: LabelSet,
    /// Where it is.
    pub(crate) url: Url,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// What discovery made of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) targets: Vec<Target>,
    /// What relabelling dropped.
    pub(crate) dropped: Vec<(String, LabelSet)>,
    /// What cannot be scraped, with the reason.
    pub(crate) wrong: Vec<String>,
}

impl Target {
    /// Who it is, whatever is configured about its job.
    pub(crate) fn identity(&self) -> u64 {
        let labels: String = self.labels.iter().map(|(n, v)| format!("{n}\u{1}{v}\u{2}")).collect();
        xxh3_64(format!("{}\u{3}{labels}\u{3}{}", self.pool, self.url).as_bytes())
    }
}

/// The targets of a job from what its discoveries found, each once.
pub(crate) fn targets<'a>(job: &Job, groups: impl Iterator<Item = &'a Group>) -> Found {
    let mut found = Found::default();
    let mut seen = std::collections::HashSet::new();
    for group in groups {
        for address in &group.targets.0 {
            let given = group.labels.iter().map(|(name, value)| (name.clone(), value.0.clone()));
            let discovered = before(job, address, given);
            match one(job, discovered.clone()) {
                Ok(Some(target)) => {
                    if seen.insert(target.identity()) {
                        found.targets.push(target);
                    }
                }
                Ok(None) => found.dropped.push((job.name.clone(), discovered)),
                Err(why) => found.wrong.push(format!("{}: {address}: {why}", job.name)),
            }
        }
    }
    if job.target_limit > 0 && found.targets.len() > job.target_limit {
        found.wrong.push(format!(
            "{}: {} targets are more than its target_limit of {}",
            job.name,
            found.targets.len(),
            job.target_limit
        ));
        found.targets.clear();
    }
    found
}

/// What relabelling sees of a target.
fn before(job: &Job, address: &str, given: impl Iterator<Item = (String, String)>) -> LabelSet {
    let mut labels: LabelSet = [
        ("job".to_owned(), job.name.clone()),
        ("__scheme__".to_owned(), job.scheme.clone()),
        ("__metrics_path__".to_owned(), job.metrics_path.clone()),
        ("__scrape_interval__".to_owned(), duration::shown(job.interval)),
        ("__scrape_timeout__".to_owned(), duration::shown(job.timeout)),
        ("__address__".to_owned(), address.to_owned()),
    ]
    .into();
    for (name, values) in &job.params {
        labels.extend(values.first().map(|value| (format!("__param_{name}"), value.clone())));
    }
    labels.extend(given);
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// The target behind these labels; none when relabelling drops it.
fn one(job: &Job, mut labels: LabelSet) -> Result<Option<Target>, String> {
    let discovered = labels.clone();
    if !apply(&mut labels, &job.relabel) {
        return Ok(None);
    }
    let take = |labels: &LabelSet, name: &str| labels.get(name).cloned();
    let address = take(&labels, "__address__").ok_or("it has no address")?;
    let scheme = take(&labels, "__scheme__").unwrap_or_else(|| "http".to_owned());
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(format!("{scheme:?} is no scheme that is scraped"));
    }
    let span = |name: &str, usual: Duration| labels.get(name).map_or(Ok(usual), |text| duration::parse(text));
    let (interval, timeout) = (span("__scrape_interval__", job.interval)?, span("__scrape_timeout__", job.timeout)?);
    if interval < Duration::from_millis(100) || timeout.is_zero() || timeout > interval {
        return Err("its timeout is longer than its interval, or one of them is too short".to_owned());
    }
    let url = url(&scheme, &address, &take(&labels, "__metrics_path__").unwrap_or_default(), params(job, &labels))?;
    labels.retain(|name, _| !name.starts_with("__"));
    // The address as it is dialled, its port included.
    let port = url.port_or_known_default().unwrap_or(80);
    let host = url.host_str().unwrap_or_default();
    labels.entry("instance".to_owned()).or_insert_with(|| format!("{host}:{port}"));
    Labels::new(labels.iter()).map_err(|error| error.to_string())?;
    Ok(Some(Target { pool: job.name.clone(), discovered, labels, url, interval, timeout }))
}

/// The parameters of the address: the job's, the first of each as relabelling left it.
fn params(job: &Job, labels: &LabelSet) -> BTreeMap<String, Vec<String>> {
    let mut params = job.params.clone();
    for (name, values) in &mut params {
        match labels.get(&format!("__param_{name}")) {
            Some(first) if values.is_empty() => values.push(first.clone()),
            Some(first) => values[0].clone_from(first),
            None => drop(values.drain(..usize::from(!values.is_empty()))),
        }
    }
    for (name, value) in labels {
        if let Some(name) = name.strip_prefix("__param_") {
            params.entry(name.to_owned()).or_insert_with(|| vec![value.clone()]);
        }
    }
    params
}

fn url(scheme: &str, address: &str, path: &str, params: BTreeMap<String, Vec<String>>) -> Result<Url, String> {
    if address.contains(['/', '?', '#', '@']) || address.contains(char::is_whitespace) {
        return Err(format!("{address:?} is no host:port"));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // A path may bring its own query, as people write it.
    let mut url: Url = format!("{scheme}://{address}{path}")
        .parse()
        .map_err(|error| format!("{address:?} is no host:port: {error}"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{address:?} names no host"));
    }
    for (name, values) in params {
        url.query_pairs_mut().extend_pairs(values.iter().map(|value| (&name, value)));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::config::{Config, Discovery};

    fn found(rest: &str) -> Found {
        let text = format!("scrape_configs:\n- job_name: j\n{rest}");
        let config = Config::parse(std::path::Path::new("x"), &text).unwrap_or_else(|e| panic!("{e}"));
        let groups: Vec<Group> = config.jobs[0]
            .discovery
            .iter()
            .flat_map(|d| if let Discovery::Static(groups) = d { groups.clone() } else { Vec::new() })
            .collect();
        targets(&config.jobs[0], groups.iter())
    }

    fn labels(target: &Target) -> String {
        target.labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn addresses_and_labels_are_as_prometheus_makes_them() {
        let table = [
            (
                "  static_configs: [{targets: ['a:9100'], labels: {x: 'y'}}]",
                "http://a:9100/metrics",
                "instance=a:9100,job=j,x=y",
            ),
            ("  static_configs: [{targets: ['a']}]", "http://a/metrics", "instance=a:80,job=j"),
            (
                "  scheme: https\n  static_configs: [{targets: ['[::1]']}]",
                "https://[::1]/metrics",
                "instance=[::1]:443,job=j",
            ),
            (
                "  static_configs: [{targets: ['a:1'], labels: {instance: h, job: other, __metrics_path__: /p?q=1}}]",
                "http://a:1/p?q=1",
                "instance=h,job=other",
            ),
            (
                "  params: {module: [m, n], 'match[]': ['{a=\"b\"}']}\n  static_configs: [{targets: ['a:1']}]",
                "http://a:1/metrics?match%5B%5D=%7Ba%3D%22b%22%7D&module=m&module=n",
                "instance=a:1,job=j",
            ),
            (
                "  metrics_path: /probe\n  static_configs: [{targets: ['http://x/']}]\n  relabel_configs:\n  - {source_labels: [__address__], target_label: __param_target}\n  - {source_labels: [__param_target], target_label: instance}\n  - {target_label: __address__, replacement: 'exporter:9115'}",
                "http://exporter:9115/probe?target=http%3A%2F%2Fx%2F",
                "instance=http://x/,job=j",
            ),
        ];
        for (rest, url, expected) in table {
            let found = found(rest);
            assert!(found.wrong.is_empty(), "{:?}", found.wrong);
            assert_eq!((found.targets[0].url.as_str(), labels(&found.targets[0]).as_str()), (url, expected));
        }
    }

    #[test]
    fn what_is_dropped_doubled_or_wrong_is_told_apart() {
        let found = found(
            "  static_configs: [{targets: ['a:1', 'a:1', 'b:1', 'c/x', '']}]\n  relabel_configs: [{source_labels: [__address__], regex: 'b.*', action: drop}]\n",
        );
        assert_eq!((found.targets.len(), found.dropped.len(), found.wrong.len()), (1, 1, 2), "{found:?}");
        assert_eq!(found.dropped[0].1["__address__"], "b:1");
    }

    #[test]
    fn a_limit_of_targets_takes_all_or_none_and_an_own_interval_counts() {
        let over = found("  target_limit: 1\n  static_configs: [{targets: ['a:1', 'b:1']}]\n");
        assert_eq!((over.targets.len(), over.wrong.len()), (0, 1));
        let own = found(
            "  scrape_interval: 30s\n  static_configs: [{targets: ['a:1'], labels: {__scrape_interval__: 5s, __scrape_timeout__: 2s}}]\n",
        );
        assert_eq!((own.targets[0].interval.as_secs(), own.targets[0].timeout.as_secs()), (5, 2));
    }
}
