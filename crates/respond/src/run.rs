//! Does what a runbook says, step by step: argument vectors by the agent's hands, checks that prove it, and what a person is asked;
//! when a step fails, the steps that go back.
//!
//! Each step's result is on the record before the next one begins, so a kill at any point costs at most the repetition of the step
//! that was in progress, which is said. Nothing here knows a shell.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::clock::format_duration;
use kernel::error::ActError;
use kernel::job::{Attempt, Job, Worker};
use kernel::link::Side;
use kernel::{Id, Kernel, Record, Session, TenantId};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::ask;
use crate::progress::{self, Next, Part};
use crate::runbook::RunbookStep;
use crate::runbook_run::{Begun, RunbookRun, StepResult, clip};

pub use crate::start::Start;

/// Kind of the job.
pub const JOB: &str = "respond.run";
/// Pause between two questions of a check step.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a check is waited for when the step does not say.
pub(crate) const CHECK_WITHIN: Duration = Duration::from_secs(30);
/// How long a command may take when the step does not say.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// What a command did.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDone {
    /// It ran and exited 0.
    pub ok: bool,
    /// What is kept of it: `exit_code`, output, duration, or why it was refused.
    pub detail: Value,
    /// In a sentence.
    pub said: String,
}

/// Runs one command on the machine of a record, under the agent's own allow-list; implemented over `edge`.
#[async_trait]
pub trait Hands: Send + Sync + 'static {
    /// Renders `argv` with `parameters` and runs it on `on` (the machine, or what runs on it; `None`: this machine).
    async fn run(
        &self,
        on: Option<&Record>,
        argv: &[String],
        parameters: &Map<String, Value>,
        timeout: Duration,
    ) -> CommandDone;
    /// What [`run`](Self::run) would do: rendered and compared with the allow-list, and not run. `ok` when it would be allowed.
    async fn would_run(&self, on: Option<&Record>, argv: &[String], parameters: &Map<String, Value>) -> CommandDone;
    /// Fills `{{ name }}` in each of `texts`, as [`run`](Self::run) does in a command.
    fn fill(&self, texts: &[String], parameters: &Map<String, Value>) -> Result<Vec<String>, String>;
    /// Checks given parameters against those that a runbook declares, and fills in defaults.
    fn parameters(&self, declared: &Value, given: &Map<String, Value>) -> Result<Map<String, Value>, String>;
}

/// Asks a check now; implemented over the runner of checks.
#[async_trait]
pub trait Prove: Send + Sync + 'static {
    /// State and summary of the check of that key.
    async fn prove(&self, tenant: TenantId, check: &str) -> Result<(String, String), String>;
}

/// Works run jobs.
pub struct Runs {
    /// Hands of the agents.
    pub hands: Arc<dyn Hands>,
    /// Asks checks.
    pub prove: Arc<dyn Prove>,
}

#[async_trait]
impl Worker for Runs {
    fn kinds(&self) -> &'static [&'static str] {
        &[JOB]
    }
    async fn work(&self, kernel: &Kernel, job: &Job) -> Attempt {
        match self.one(kernel, job).await {
            Ok(attempt) => attempt,
            Err(error) if job.attempts >= job.max_attempts => self.give_up(kernel, job, &error).await,
            Err(error) => Attempt::Again(error.to_string(), None),
        }
    }
}

/// What a job was enqueued for.
struct Order {
    run: Id,
    /// How often the run had asked a person then.
    turn: u64,
    /// It must not do anything, whatever the record says by now.
    dry: bool,
}

impl Order {
    fn read(args: &Value) -> Option<Self> {
        let run = args.get("run").and_then(Value::as_str).and_then(Id::parse)?;
        let turn = args.get("turn").and_then(Value::as_u64).unwrap_or_default();
        Some(Self { run, turn, dry: args.get("dry").and_then(Value::as_bool).unwrap_or(false) })
    }
}

impl Runs {
    /// After the last attempt the run has failed, in words: nothing is left at work that nobody works on.
    async fn give_up(&self, kernel: &Kernel, job: &Job, error: &ActError) -> Attempt {
        let session = Session::controller("respond.run", job.tenant).because(job.cause);
        let why = format!("it could not be carried on after {} attempts: {error}", job.attempts);
        let Some(order) = Order::read(&job.args) else { return Attempt::Refused(why) };
        let ended = match kernel.get_id(&session, order.run).await {
            Ok(run) if run.open => finish(kernel, &session, &run, "fail", &why, Map::new()).await,
            Ok(run) => Ok(Attempt::Done(format!("{} is {}", run.key, run.state))),
            Err(error) => Err(error),
        };
        ended.unwrap_or_else(|also| Attempt::Refused(format!("{why}; nor could that be recorded: {also}")))
    }

    async fn one(&self, kernel: &Kernel, job: &Job) -> Result<Attempt, ActError> {
        let session = Session::controller("respond.run", job.tenant).because(job.cause);
        let Some(order) = Order::read(&job.args) else {
            return Ok(Attempt::Refused("the job names no run".into()));
        };
        let run = kernel.get_id(&session, order.run).await?;
        match run.state.as_str() {
            "approved" | "running" => match RunbookRun::turn_of(&run) {
                Ok(turn) if turn == order.turn => {}
                Ok(_) => return Ok(Attempt::Done(format!("{} has gone on since", run.key))),
                Err(why) => return finish(kernel, &session, &run, "fail", &why, Map::new()).await,
            },
            other => return Ok(Attempt::Done(format!("{} is {other}", run.key))),
        }
        let begun = match self.begun(kernel, &session, &run).await? {
            Ok(begun) => begun,
            Err(why) => return finish(kernel, &session, &run, "fail", &why, Map::new()).await,
        };
        let run = begin(kernel, &session, run, &begun).await?;
        let on = match &begun.on {
            None => None,
            Some(key) => match kernel.find(&session, key).await {
                Err(ActError::Unknown { .. }) => {
                    let why = format!("{key}, which it is run on, is not there");
                    return finish(kernel, &session, &run, "fail", &why, Map::new()).await;
                }
                found => Some(found?),
            },
        };
        if order.dry || run.flag("dry_run") {
            let told = self.preview(kernel, &begun, on.as_ref(), job.tenant).await?;
            let fields = Map::from_iter([("results".to_owned(), json!(told.results))]);
            return finish(kernel, &session, &run, told.ends, &told.said, fields).await;
        }
        self.steps(kernel, &session, run, &begun, on.as_ref(), job).await
    }

    /// What the run does: as it was when it began, or, when it begins now, as the runbook says.
    async fn begun(&self, kernel: &Kernel, session: &Session, run: &Record) -> Result<Result<Begun, String>, ActError> {
        if let Some(kept) = run.get("begun") {
            return Ok(serde_json::from_value(kept.clone()).map_err(|e| format!("what it does cannot be read: {e}")));
        }
        let runbook = kernel.get(session, "runbook", run.text("runbook")).await?;
        let given = run.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        let parameters = match self.hands.parameters(runbook.get("parameters").unwrap_or(&Value::Null), &given) {
            Ok(parameters) => parameters,
            Err(why) => return Ok(Err(why)),
        };
        let steps = |name: &str| match runbook.get(name) {
            None => Ok(Vec::new()),
            Some(steps) => serde_json::from_value(steps.clone())
                .map_err(|e| format!("the {name} of {} cannot be read: {e}", runbook.key)),
        };
        let on = Some(run.text("on")).filter(|key| !key.is_empty()).map(str::to_owned);
        Ok(steps("steps").and_then(|forward| {
            Ok(Begun { on, parameters: Value::Object(parameters), steps: forward, undo: steps("undo")? })
        }))
    }

    /// Does step after step, until the end or until a person is asked.
    async fn steps(
        &self,
        kernel: &Kernel,
        session: &Session,
        mut run: Record,
        begun: &Begun,
        on: Option<&Record>,
        job: &Job,
    ) -> Result<Attempt, ActError> {
        let values = begun.parameters.as_object().cloned().unwrap_or_default();
        let mut results = match RunbookRun::results_of(&run) {
            Ok(results) => results,
            Err(why) => return finish(kernel, session, &run, "fail", &why, Map::new()).await,
        };
        // Only the step that was in progress may have been begun before.
        let mut again = (job.attempts > 1).then(|| "begun again after an interruption".to_owned());
        loop {
            let (part, step) = match progress::next(begun, &results) {
                Next::Do(part, step) => (part, step),
                Next::Succeeded(said) => return finish(kernel, session, &run, "succeed", &said, Map::new()).await,
                Next::Failed(said) => return finish(kernel, session, &run, "fail", &said, Map::new()).await,
            };
            let mut fields = Map::new();
            let mut result = match (&step.ask, ask::answered(kernel, &run).await?) {
                (Some(_), Some(result)) => {
                    ask::forget(&mut fields);
                    result
                }
                (Some(text), None) => match self.asked(text, &values) {
                    Ok(text) => return ask::ask(kernel, session, &run, step, &text).await,
                    Err(why) => StepResult { ask: Some(text.clone()), said: why, ..StepResult::default() },
                },
                (None, _) => {
                    let done = self.do_step(kernel, step, &values, on, job.tenant).await;
                    StepResult { repeated: again.take(), ..done }
                }
            };
            result.undo = part == Part::Undo;
            result.at = Some(kernel.now());
            results.push(result.clipped());
            fields.insert("results".into(), json!(results));
            let act = Act::Update { target: Target::Id(run.id), fields, owner: None, expect: None };
            run = kernel.act(session, act).await?;
            if run.state != "running" {
                return Ok(Attempt::Done(format!("{} is {}", run.key, run.state))); // Cancelled meanwhile.
            }
        }
    }

    async fn do_step(
        &self,
        kernel: &Kernel,
        step: &RunbookStep,
        values: &Map<String, Value>,
        on: Option<&Record>,
        tenant: TenantId,
    ) -> StepResult {
        if let Some(check) = &step.check {
            let (ok, said) = self.proved(kernel, tenant, check, step.within.map_or(CHECK_WITHIN, |w| w.0)).await;
            return StepResult { check: Some(check.clone()), ok, said, ..StepResult::default() };
        }
        let timeout = step.timeout.map_or(COMMAND_TIMEOUT, |t| t.0);
        let done = self.hands.run(on, &step.run, values, timeout).await;
        let run = self.hands.fill(&step.run, values).unwrap_or_else(|_| step.run.clone());
        let exit = done.detail.get("exit_code").and_then(Value::as_i64);
        let ok =
            if step.expect_exit.is_empty() { done.ok } else { exit.is_some_and(|e| step.expect_exit.contains(&e)) };
        StepResult { run, ok, said: done.said, detail: done.detail, ..StepResult::default() }
    }

    /// The question to a person with its values filled in, cut to what a record takes.
    pub(crate) fn asked(&self, text: &str, values: &Map<String, Value>) -> Result<String, String> {
        let filled = self.hands.fill(&[text.to_owned()], values)?;
        Ok(clip(filled.first().map_or(text, String::as_str)))
    }

    /// Asks a check again and again until it is OK or the time is over.
    async fn proved(&self, kernel: &Kernel, tenant: TenantId, check: &str, within: Duration) -> (bool, String) {
        let until = kernel.now().plus(within);
        loop {
            let last = match self.prove.prove(tenant, check).await {
                Ok((state, summary)) if state == "OK" => return (true, format!("{check} is OK: {summary}")),
                Ok((state, summary)) => format!("{check} is {state}: {summary}"),
                Err(why) => format!("{check} cannot be asked: {why}"),
            };
            if kernel.now().plus(AGAIN) > until {
                return (false, format!("{last}, {} after the step began", format_duration(within)));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// From approved to running, with what it does kept on the record; a run that is running already is left as it is.
async fn begin(kernel: &Kernel, session: &Session, run: Record, begun: &Begun) -> Result<Record, ActError> {
    let target = Target::Id(run.id);
    let fields = Map::from_iter([("begun".to_owned(), json!(begun))]);
    let act = match run.state.as_str() {
        "approved" => Act::Transition { target, name: "start".into(), fields, note: None, expect: None },
        _ if run.get("begun").is_some() => return Ok(run),
        _ => Act::Update { target, fields, owner: None, expect: None },
    };
    kernel.act(session, act).await
}

/// Ends a run, and tells what it is for.
async fn finish(
    kernel: &Kernel,
    session: &Session,
    run: &Record,
    name: &str,
    said: &str,
    fields: Map<String, Value>,
) -> Result<Attempt, ActError> {
    let target = Target::Id(run.id);
    let mut acts =
        vec![Act::Transition { target, name: name.into(), fields, note: Some(said.to_owned()), expect: None }];
    let how = if name == "succeed" { "succeeded" } else { "failed" };
    acts.extend(told(kernel, run, format!("{} {how}: {said}", run.title)).await?);
    kernel.acts(session, acts, None).await?;
    Ok(Attempt::Done(said.to_owned()))
}

/// A note in the timeline of what a run is for, when it is for something.
pub(crate) async fn told(kernel: &Kernel, run: &Record, text: String) -> Result<Option<Act>, ActError> {
    let links = kernel.backend().neighbours(run.tenant, run.id).await?;
    let what = links.iter().find(|n| n.name == "for" && n.direction == Side::Out);
    Ok(what.map(|n| Act::Note { target: Target::Id(n.other.id), text }))
}
