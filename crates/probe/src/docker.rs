//! Docker: do the containers of an engine run? Over its API (Docker's, which Podman also speaks), by socket or TCP; reads only.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::env::Failure;
use crate::http::{Answer, Ask, under};
use crate::outcome::{Outcome, State};
use crate::params::{OneOrMany, ParamError};
use crate::protocol::{Check, Cx};
use crate::target::parse_web_address;
use crate::web::{Access, Findings};

/// Parameters of `docker`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Docker {
    /// Names of containers that must be running, else CRITICAL. A text or a list.
    running: OneOrMany,
    /// CRITICAL when fewer containers run.
    min_running: u32,
    /// How to get at it.
    #[serde(flatten)]
    access: Access,
}

const LIST_LIMIT_BYTES: usize = 32 << 20;

impl Check for Docker {
    const NAME: &'static str = "docker";
    const TITLE: &'static str = "Docker and Podman";
    const HELP: &'static str = "Asks a container engine which containers run; those that must but do not, and those that are unhealthy or restart, are told.";
    const TARGET: &'static str =
        "the engine's socket or web address, for example unix:/run/docker.sock or https://docker-1.example.org:2376/";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let place = place(target).err().map(|why| ParamError::new("target", why));
        place.into_iter().chain(self.access.own_problems()).collect()
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let (base, socket) = place(cx.target).map_err(Failure::Local)?;
        let ask = |path: &str| self.access.ask(Ask::get(under(&base, path))).over_socket(socket.clone());
        let (version, _) = ask("version").json(cx).await?;
        let (containers, answer) = ask("containers/json?all=true").at_most(LIST_LIMIT_BYTES).json(cx).await?;
        let containers = parse_containers(&containers).map_err(|why| Failure::Peer(format!("{} {why}", cx.target)))?;
        let version = version["Version"].as_str().unwrap_or("of unknown version");
        Ok(decide(self, cx.target, version, &containers, &answer))
    }
}

/// Where the engine is asked.
fn place(target: &str) -> Result<(Url, Option<PathBuf>), String> {
    let Some(path) = target.strip_prefix("unix:") else {
        let base = parse_web_address(target.as_bytes())?;
        return Ok((base, None));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.contains('\0') || path.len() > 107 {
        return Err(format!("{target:?} names no socket; write for example unix:/run/docker.sock"));
    }
    Ok((Url::parse("http://localhost/").map_err(|why| why.to_string())?, Some(PathBuf::from(path))))
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its first name, without the slash.
    pub name: String,
    /// `running`, `exited`, `restarting`, `paused`, `created`, `dead` …
    pub state: String,
    /// The engine's sentence: `Up 3 hours (unhealthy)`.
    pub status: String,
}

/// Reads the list of containers.
///
/// # Errors
/// When it is none, as the end of a sentence about the engine.
pub fn parse_containers(json: &Value) -> Result<Vec<Container>, String> {
    let list = json.as_array().ok_or("does not list containers: it answers no array")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().chars().take(200).collect::<String>();
    let containers = list.iter().map(|one| Container {
        name: text(&one["Names"][0]).trim_start_matches('/').to_owned(),
        state: text(&one["State"]),
        status: text(&one["Status"]),
    });
    Ok(containers.collect())
}

/// The whole judgement.
pub fn decide(want: &Docker, engine: &str, version: &str, containers: &[Container], answer: &Answer) -> Outcome {
    let mut findings = Findings::default();
    for name in &want.running.0 {
        match containers.iter().find(|container| container.name == *name) {
            None => findings.add(State::Critical, format!("there is no container {name}")),
            Some(container) if container.state != "running" => {
                findings.add(State::Critical, format!("{name} is {}", container.state));
            }
            Some(_) => {}
        }
    }
    let count = |state: &str| containers.iter().filter(|container| container.state == state).count();
    let running = count("running");
    if running < want.min_running as usize {
        findings.add(State::Critical, format!("{running} run, where at least {} must", want.min_running));
    }
    for container in containers {
        if container.state == "running" && container.status.contains("(unhealthy)") {
            findings.add(State::Critical, format!("{} is unhealthy", container.name));
        } else if matches!(container.state.as_str(), "restarting" | "dead") {
            findings.add(State::Warning, format!("{} is {}", container.name, container.state));
        }
    }
    let (state, end) = findings.verdict();
    let sentence = format!("{engine} ({version}) runs {running} of {} containers{end}", containers.len());
    let mut outcome = want.access.outcome("docker", answer, state, &sentence);
    for state in ["running", "exited", "paused", "restarting", "created", "dead"] {
        outcome = outcome.with_labels("docker_containers_count", count(state) as f64, "", &[("state", state)]);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::web;

    #[test]
    fn the_states_of_containers_decide() {
        let list = json!([
            {"Names": ["/shop"], "State": "running", "Status": "Up 3 hours (healthy)"},
            {"Names": ["/old"], "State": "exited", "Status": "Exited (0) 2 days ago"},
        ]);
        let sick = json!([{"Names": ["/shop"], "State": "running", "Status": "Up 3 hours (unhealthy)"}]);
        let again = json!([{"Names": ["/shop"], "State": "restarting", "Status": "Restarting (1) 2 seconds ago"}]);
        for (params, list, state, part) in [
            (json!({}), &list, State::Ok, "runs 1 of 2 containers"),
            (json!({"running": "shop"}), &list, State::Ok, "runs 1 of 2"),
            (json!({"running": ["shop", "old"]}), &list, State::Critical, "old is exited"),
            (json!({"running": "mail"}), &list, State::Critical, "there is no container mail"),
            (json!({"min_running": 2}), &list, State::Critical, "at least 2 must"),
            (json!({}), &sick, State::Critical, "shop is unhealthy"),
            (json!({}), &again, State::Warning, "shop is restarting"),
        ] {
            let want: Docker = serde_json::from_value(params.clone()).unwrap();
            let containers = parse_containers(list).unwrap();
            let outcome =
                decide(&want, "unix:/run/docker.sock", "24.0", &containers, &web::answer("http://localhost/", ""));
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        assert!(parse_containers(&json!({"message": "x"})).is_err());
    }

    #[test]
    fn an_engine_is_a_socket_or_a_web_address() {
        for (target, socket) in [
            ("unix:/run/docker.sock", Some("/run/docker.sock")),
            ("unix:///run/docker.sock", Some("/run/docker.sock")),
            ("http://a:2375/", None),
        ] {
            assert_eq!(place(target).unwrap().1, socket.map(PathBuf::from), "{target}");
        }
        for wrong in ["unix:docker.sock", "docker", "tcp://a:2375", "unix:"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
