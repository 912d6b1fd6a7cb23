//! Kubernetes: is a cluster ready, are its nodes and deployments as they should be? Reads the API; writes nothing.
//!
//! Proven on recorded answers: no cluster can be started where the tests run.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::env::Failure;
use crate::http::{Answer, Ask, under};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::ParamError;
use crate::protocol::{Check, Cx};
use crate::target::parse_web_address;
use crate::web::{Access, Findings};

/// Parameters of `kubernetes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Kubernetes {
    /// Whether nodes are looked at: one that is not ready is CRITICAL, one under pressure or cordoned WARNING.
    nodes: bool,
    /// Whether deployments are looked at: one without any replica is CRITICAL, one that lacks some WARNING.
    deployments: bool,
    /// Only deployments of this namespace; all of them when left out.
    namespace: Option<String>,
    /// CRITICAL when fewer nodes are ready.
    min_ready_nodes: u32,
    /// How to get at it.
    #[serde(flatten)]
    access: Access,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Kubernetes { nodes: true, deployments: true, namespace: None, min_ready_nodes: 0, access: Access::default() }
    }
}

const PAGE: usize = 500;
const MAX_PAGES: usize = 20;
const PAGE_LIMIT_BYTES: usize = 32 << 20;

impl Check for Kubernetes {
    const NAME: &'static str = "kubernetes";
    const TITLE: &'static str = "Kubernetes";
    const HELP: &'static str =
        "Asks a cluster's API whether it is ready, and judges nodes and deployments. Proven on recorded answers.";
    const TARGET: &'static str = "the web address of the API, for example https://k8s.example.org:6443/";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = self.access.problems(target);
        let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if self.namespace.as_ref().is_some_and(|name| name.is_empty() || name.len() > 63 || !is_name(name)) {
            problems.push(ParamError::new("namespace", "is a word of at most 63 letters, digits and hyphens"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let base = parse_web_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let ready = self.access.ask(Ask::get(under(&base, "readyz?verbose"))).send(cx).await?;
        if matches!(ready.status, 401 | 403) {
            return Err(crate::http::refused(&ready));
        }
        let mut seen = Seen { unready: parse_ready(ready.status, &ready.body), ..Seen::default() };
        if self.nodes {
            seen.nodes = self.list(cx, &base, "api/v1/nodes").await?;
        }
        if self.deployments {
            let path = match &self.namespace {
                Some(namespace) => format!("apis/apps/v1/namespaces/{namespace}/deployments"),
                None => "apis/apps/v1/deployments".to_owned(),
            };
            seen.deployments = self.list(cx, &base, &path).await?;
        }
        let total_seconds = cx.trace.elapsed().as_secs_f64();
        Ok(decide(self, &seen, &Answer { url: base, total_seconds, ..ready }))
    }
}

impl Kubernetes {
    /// A whole list, page by page.
    async fn list(&self, cx: &Cx<'_>, base: &Url, path: &str) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut from = String::new();
        for _ in 0..MAX_PAGES {
            let mut url = under(base, path);
            url.query_pairs_mut().append_pair("limit", &PAGE.to_string());
            if !from.is_empty() {
                url.query_pairs_mut().append_pair("continue", &from);
            }
            let (mut json, answer) = self.access.ask(Ask::get(url)).at_most(PAGE_LIMIT_BYTES).json(cx).await?;
            let Some(page) = json["items"].as_array_mut() else {
                return Err(Failure::Peer(format!("{} is no list of Kubernetes", answer.url)));
            };
            items.append(page);
            match json["metadata"]["continue"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => from = next.to_owned(),
                None => return Ok(items),
            }
        }
        Err(Failure::Peer(format!("{base} lists more than {} at {path}", PAGE * MAX_PAGES)))
    }
}

/// What a cluster tells.
#[derive(Debug, Default)]
pub struct Seen {
    /// What is not ready of the API itself.
    pub unready: Option<String>,
    /// Its nodes.
    pub nodes: Vec<Value>,
    /// Its deployments.
    pub deployments: Vec<Value>,
}

/// Reads the answer of readyz: what is not ready, if anything.
pub fn parse_ready(status: u16, body: &[u8]) -> Option<String> {
    if status == 200 {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let failed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("[-]"))
        .filter_map(|line| line.split_ascii_whitespace().next())
        .take(5)
        .collect();
    Some(if failed.is_empty() { format!("status {status}, {}", excerpt(body)) } else { failed.join(", ") })
}

/// The whole judgement.
pub fn decide(want: &Kubernetes, seen: &Seen, answer: &Answer) -> Outcome {
    let mut findings = Findings::default();
    if let Some(parts) = &seen.unready {
        findings.add(State::Critical, format!("the API is not ready ({parts})"));
    }
    let mut ready = 0;
    for node in &seen.nodes {
        let name = name(node);
        let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is = |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
        if is("Ready") {
            ready += 1;
        } else {
            findings.add(State::Critical, format!("the node {name} is not ready"));
        }
        for pressure in ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"] {
            if is(pressure) {
                findings.add(State::Warning, format!("the node {name} has {pressure}"));
            }
        }
        if node["spec"]["unschedulable"] == true {
            findings.add(State::Warning, format!("the node {name} takes no new work (cordoned)"));
        }
    }
    if ready < want.min_ready_nodes {
        findings
            .add(State::Critical, format!("{ready} nodes are ready, where at least {} must be", want.min_ready_nodes));
    }
    let mut lacking = 0;
    for deployment in &seen.deployments {
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let there = deployment["status"]["availableReplicas"].as_u64().unwrap_or(0);
        if there < wanted {
            lacking += 1;
            let state = if there == 0 { State::Critical } else { State::Warning };
            let place = deployment["metadata"]["namespace"].as_str().unwrap_or_default();
            findings.add(state, format!("{place}/{} has {there} of {wanted} replicas", name(deployment)));
        }
    }
    let (state, end) = findings.verdict();
    let (nodes, deployments) = (seen.nodes.len(), seen.deployments.len());
    let sentence = format!("{} has {ready} of {nodes} nodes ready and {deployments} deployments{end}", answer.url);
    want.access
        .outcome("kubernetes", answer, state, &sentence)
        .with("kubernetes_nodes_count", nodes as f64, "")
        .with("kubernetes_ready_nodes_count", f64::from(ready), "")
        .with("kubernetes_deployments_count", deployments as f64, "")
        .with("kubernetes_lacking_deployments_count", f64::from(lacking), "")
}

fn name(thing: &Value) -> String {
    thing["metadata"]["name"].as_str().unwrap_or("without a name").chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::web;

    /// As a cluster of version 1.29 answers, shortened to what is read.
    fn recorded(ready: &str, replicas: u64) -> Seen {
        Seen {
            unready: None,
            nodes: vec![json!({"metadata": {"name": "node-1"}, "spec": {}, "status": {"conditions": [
                {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
                {"type": "Ready", "status": ready, "reason": "KubeletReady"}]}})],
            deployments: vec![json!({"metadata": {"name": "shop", "namespace": "web"}, "spec": {"replicas": 3},
                "status": {"replicas": 3, "availableReplicas": replicas}})],
        }
    }

    #[test]
    fn nodes_and_deployments_decide() {
        for (params, seen, state, part) in [
            (json!({}), recorded("True", 3), State::Ok, "1 of 1 nodes ready and 1 deployments"),
            (json!({}), recorded("Unknown", 3), State::Critical, "the node node-1 is not ready"),
            (json!({}), recorded("True", 2), State::Warning, "web/shop has 2 of 3 replicas"),
            (json!({}), recorded("True", 0), State::Critical, "web/shop has 0 of 3"),
            (json!({"min_ready_nodes": 2}), recorded("True", 3), State::Critical, "at least 2 must be"),
            (
                json!({}),
                Seen {
                    unready: parse_ready(500, b"[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"),
                    ..recorded("True", 3)
                },
                State::Critical,
                "the API is not ready (etcd)",
            ),
        ] {
            let want: Kubernetes = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, &seen, &web::answer("https://k8s:6443/", ""));
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    proptest! {
        #[test]
        fn no_answer_of_readyz_panics(status: u16, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(parse_ready(status, &bytes).is_none(), status == 200);
        }
    }
}
