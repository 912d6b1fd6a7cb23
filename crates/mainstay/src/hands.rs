//! Hands of the local agent for runbook steps, and proof by the runner of checks.

use async_trait::async_trait;
use edge::RealSystem;
use edge::hands::{AllowList, Command, Limits, Parameter, check_parameters, render};
use kernel::{Kernel, Record, TenantId};
use respond::run::{CommandDone, Hands, Prove};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use watch::runner::Runner;

/// The local agent's hands, under its own allow-list.
pub struct LocalHands {
    /// The root-owned allow-list; the standard one when the file is not there.
    pub allow: PathBuf,
    /// Key of the host that this is.
    pub host: std::sync::Arc<std::sync::OnceLock<String>>,
    /// For the question whether something runs on this host.
    pub kernel: Kernel,
}

impl LocalHands {
    fn allow(&self) -> Result<AllowList, String> {
        if self.allow.exists() {
            AllowList::load(&self.allow, &RealSystem).map_err(|e| e.to_string())
        } else {
            Ok(AllowList::standard())
        }
    }

    /// Whether `on` is this machine or runs on it; the only machine that these hands reach.
    async fn is_here(&self, on: &Record) -> bool {
        let Some(host) = self.host.get() else { return true };
        if on.key == *host {
            return true;
        }
        let walk = kernel::link::Walk {
            direction: kernel::link::Direction::Down,
            depth: 4,
            limit: 100,
            types: vec!["runs-on".into(), "part-of".into(), "depends-on".into()],
        };
        let graph = self.kernel.backend().walk(on.tenant, on.id, &walk).await;
        graph.is_ok_and(|g| g.nodes.iter().any(|n| n.head.key == *host))
    }
}

impl LocalHands {
    /// The command as it would be run, and the list that decides about it; why it cannot be otherwise.
    async fn ready(
        &self,
        on: Option<&Record>,
        argv: &[String],
        parameters: &Map<String, Value>,
    ) -> Result<(Vec<String>, AllowList), String> {
        if let Some(on) = on
            && !self.is_here(on).await
        {
            return Err(format!("{} is not on this machine, and no agent is there", on.key));
        }
        Ok((self.fill(argv, parameters)?, self.allow()?))
    }
}

fn refused(why: String) -> CommandDone {
    CommandDone { ok: false, detail: json!({"refused": why}), said: format!("refused: {why}") }
}

#[async_trait]
impl Hands for LocalHands {
    async fn run(
        &self,
        on: Option<&Record>,
        argv: &[String],
        parameters: &Map<String, Value>,
        timeout: Duration,
    ) -> CommandDone {
        let (argv, allow) = match self.ready(on, argv, parameters).await {
            Ok(ready) => ready,
            Err(why) => return refused(why),
        };
        let command = Command { argv: argv.clone(), timeout: Some(timeout), env: BTreeMap::new(), cwd: None };
        let result = edge::hands::run(&command, &Limits::default(), &allow, &RealSystem).await;
        let said = match (&result.refused, result.exit_code) {
            (Some(why), _) => format!("refused: {why}"),
            (None, Some(0)) => format!("{} done in {:.1} s", argv.join(" "), result.duration_seconds),
            (None, Some(code)) => format!(
                "{} exited with {code}: {}",
                argv.join(" "),
                first_line(&result.stderr.text, &result.stdout.text)
            ),
            (None, None) => format!("{} was ended after {:.1} s", argv.join(" "), result.duration_seconds),
        };
        CommandDone { ok: result.is_success(), detail: serde_json::to_value(&result).unwrap_or(Value::Null), said }
    }

    async fn would_run(&self, on: Option<&Record>, argv: &[String], parameters: &Map<String, Value>) -> CommandDone {
        let permitted = match self.ready(on, argv, parameters).await {
            Ok((argv, allow)) => allow.permits(&argv).map(|()| argv),
            Err(why) => Err(why),
        };
        match permitted {
            Ok(argv) => CommandDone { ok: true, detail: Value::Null, said: format!("would run {}", argv.join(" ")) },
            Err(why) => {
                CommandDone { ok: false, detail: json!({"refused": why}), said: format!("would be refused: {why}") }
            }
        }
    }

    fn fill(&self, texts: &[String], parameters: &Map<String, Value>) -> Result<Vec<String>, String> {
        render(texts, parameters).map_err(|e| e.to_string())
    }

    fn parameters(&self, declared: &Value, given: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut known: BTreeMap<String, Parameter> = BTreeMap::new();
        for (name, said) in declared.as_object().into_iter().flatten() {
            let mut said = said.clone();
            if let Some(object) = said.as_object_mut() {
                object.shift_remove("help");
                // In a runbook, what has no default has to be given.
                let default = object.get("default").is_some_and(|d| !d.is_null());
                object.insert("required".into(), (!default).into());
            }
            let parameter =
                serde_json::from_value(said).map_err(|e| format!("parameter {name} of the runbook: {e}"))?;
            known.insert(name.clone(), parameter);
        }
        check_parameters(&known, given)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

fn first_line<'a>(first: &'a str, second: &'a str) -> &'a str {
    [first, second].into_iter().flat_map(str::lines).map(str::trim).find(|l| !l.is_empty()).unwrap_or("no output")
}

/// Asks a check through the runner.
pub struct Proof {
    /// The runner.
    pub runner: Runner,
    /// For finding the check.
    pub kernel: Kernel,
}

#[async_trait]
impl Prove for Proof {
    async fn prove(&self, tenant: TenantId, check: &str) -> Result<(String, String), String> {
        let record = self.kernel.backend().by_key(tenant, check).await.map_err(|e| e.to_string())?;
        let record = record
            .filter(|r| !r.deleted && r.kind.as_str() == "check")
            .ok_or_else(|| format!("there is no check \"{check}\""))?;
        let outcome = self.runner.prove(record.id).await.map_err(|e| e.to_string())?;
        Ok((outcome.state.as_str().to_owned(), outcome.summary))
    }
}
