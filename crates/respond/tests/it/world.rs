//! A Mainstay that only runs runbooks: store, kernel, the controller that starts runs and the worker that does them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel::act::{Act, Create, Target};
use kernel::backend::{Backend, Commit, JournalQuery, Step};
use kernel::clock::HandClock;
use kernel::controller::{Controller, Cx};
use kernel::job::{Lease, Worker, after};
use kernel::journal::Entry;
use kernel::query::Predicate;
use kernel::session::{ActorKind, Ask, Policy, Verdict};
use kernel::{ActError, Actor, Clock, Domain, Kernel, Kind, Record, Registry, Session, TenantId, Time};
use respond::run::{CommandDone, Hands, JOB, Prove, Runs, Start};
use serde_json::{Map, Value, json};
use std::sync::Mutex;
use tempfile::TempDir;

/// Everybody may do everything; who may is decided in `access`, and proved there.
struct Everybody;

impl Policy for Everybody {
    fn decide(&self, _: &Session, _: &Ask<'_>) -> Verdict {
        Verdict { allowed: true, reason: "everybody".into() }
    }
    fn readable(&self, _: &Session, _: &Kind) -> Option<Predicate> {
        Some(Predicate::All)
    }
}

/// Commands by their words: those named `false…` fail, all others succeed; each is remembered.
#[derive(Default)]
pub struct Script {
    ran: Mutex<Vec<String>>,
}

#[async_trait]
impl Hands for Script {
    async fn run(&self, _: Option<&Record>, argv: &[String], values: &Map<String, Value>, _: Duration) -> CommandDone {
        let argv = self.fill(argv, values).unwrap();
        self.ran.lock().unwrap().push(argv.join(" "));
        let ok = !argv[0].starts_with("false");
        let said = format!("{} {}", argv.join(" "), if ok { "done" } else { "exited with 1" });
        CommandDone { ok, detail: json!({"exit_code": i32::from(!ok)}), said }
    }

    async fn would_run(&self, _: Option<&Record>, argv: &[String], values: &Map<String, Value>) -> CommandDone {
        let argv = self.fill(argv, values).unwrap();
        let ok = argv[0] != "forbidden";
        let said = if ok { format!("would run {}", argv.join(" ")) } else { "would be refused".into() };
        CommandDone { ok, detail: Value::Null, said }
    }

    fn fill(&self, texts: &[String], values: &Map<String, Value>) -> Result<Vec<String>, String> {
        let fill = |text: &String| {
            values.iter().fold(text.clone(), |text, (name, value)| {
                text.replace(&format!("{{{{ {name} }}}}"), value.as_str().unwrap_or_default())
            })
        };
        Ok(texts.iter().map(fill).collect())
    }

    fn parameters(&self, declared: &Value, given: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let declared = declared.as_object().into_iter().flatten();
        Ok(declared.map(|(n, said)| (n.clone(), given.get(n).unwrap_or(&said["default"]).clone())).collect())
    }
}

/// Every check is well.
struct Well;

#[async_trait]
impl Prove for Well {
    async fn prove(&self, _: TenantId, _: &str) -> Result<(String, String), String> {
        Ok(("OK".into(), "200 OK".into()))
    }
}

/// What outlives a restart: the data directory, the clock, and what the machine did.
pub struct World {
    folder: TempDir,
    pub clock: HandClock,
    script: Arc<Script>,
    pub engine: Engine,
}

/// What a restart ends.
pub struct Engine {
    pub kernel: Kernel,
    runs: Runs,
}

/// The classes of this verb alone, with the links that lead elsewhere left out.
fn registry() -> Registry {
    let mut respond = respond::domain();
    let own = kernel::own::domain();
    let known: Vec<String> = own.classes.iter().chain(&respond.classes).map(|c| c.name.to_string()).collect();
    for class in &mut respond.classes {
        class.links.retain_mut(|link| {
            let anywhere = link.to.is_empty();
            link.to.retain(|to| known.contains(to));
            anywhere || !link.to.is_empty()
        });
    }
    let target = |name: &str| {
        let mut class = respond.classes[0].clone();
        class.name = Kind::new(name);
        (class.prefix, class.checks, class.links, class.compute) = (None, Vec::new(), Vec::new(), Vec::new());
        class
    };
    let others = Domain { classes: vec![target("check"), target("host")], lenses: Vec::new() };
    Registry::new(vec![own, respond, others]).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
}

async fn open(folder: &TempDir, clock: &HandClock, script: &Arc<Script>) -> Engine {
    let store: Arc<dyn Backend> = store::Store::open_sqlite(folder.path(), store::Options::default()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let kernel = Kernel::start(store, registry(), clock, Arc::new(Everybody)).await.unwrap();
    Engine { kernel, runs: Runs { hands: script.clone(), prove: Arc::new(Well) } }
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = HandClock::at(Time::parse("2026-11-21T03:00:00Z").unwrap());
        let script = Arc::<Script>::default();
        let engine = open(&folder, &clock, &script).await;
        Self { folder, clock, script, engine }
    }

    /// Ends everything but the data directory, and starts anew on it.
    pub async fn restart(self) -> Self {
        let Self { folder, clock, script, engine } = self;
        drop(engine);
        let engine = open(&folder, &clock, &script).await;
        Self { folder, clock, script, engine }
    }

    /// What the machine was told to do, in order.
    pub fn ran(&self) -> Vec<String> {
        self.script.ran.lock().unwrap().clone()
    }

    /// Somebody with a name.
    pub fn person(&self, key: &str) -> Session {
        Session::authenticated(Actor::new(ActorKind::Person, key), TenantId::HOME, Vec::new())
    }

    /// As [`propose`](Self::propose), and what follows from it.
    pub async fn run(&self, runbook: Value, more: Value) -> String {
        let key = self.propose(runbook, more).await;
        self.settle().await;
        key
    }

    /// A runbook, pre-approved unless it says otherwise, an incident, and a run of the one for the other.
    pub async fn propose(&self, runbook: Value, more: Value) -> String {
        let (kernel, system) = (&self.engine.kernel, Session::system(TenantId::HOME));
        let mut fields = json!({"title": "Mend the shop", "approval": "none"});
        fields.as_object_mut().unwrap().extend(runbook.as_object().unwrap().clone());
        kernel.act(&system, Create::of("runbook", fields).keyed("mend")).await.unwrap();
        let incident = Create::of("incident", json!({"title": "The shop is down"}));
        let incident = kernel.act(&system, incident).await.unwrap();
        let mut fields = json!({"runbook": "mend"});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let run = Create::of("runbook-run", fields).linked("for", incident.id);
        let key = kernel.act(&self.person("ana"), run).await.unwrap().key;
        // How many must agree is looked up before anybody can.
        self.look_once().await;
        key
    }

    /// Another run of the runbook, at which the controller has not looked yet.
    pub async fn hasty(&self) -> String {
        let run = Create::of("runbook-run", json!({"runbook": "mend"}));
        self.engine.kernel.act(&self.person("ana"), run).await.unwrap().key
    }

    /// A check by that name.
    pub async fn check(&self, key: &str) {
        let create = Create::of("check", json!({"title": key})).keyed(key);
        self.engine.kernel.act(&Session::system(TenantId::HOME), create).await.unwrap();
    }

    /// Other values, by a person.
    pub async fn try_change(&self, key: &str, fields: Value) -> Result<Record, ActError> {
        let Value::Object(fields) = fields else { panic!("fields are an object") };
        let target = Target::Id(self.get(key).await.id);
        self.engine.kernel.act(&self.person("eve"), Act::Update { target, fields, owner: None, expect: None }).await
    }

    /// As [`try_change`](Self::try_change), when nothing is against it.
    pub async fn change(&self, key: &str, fields: Value) {
        self.try_change(key, fields).await.unwrap();
    }

    pub async fn get(&self, key: &str) -> Record {
        self.engine.kernel.find(&Session::system(TenantId::HOME), key).await.unwrap()
    }

    /// A step of the life cycle of a run, by a person, with a note.
    pub async fn step(&self, who: &str, key: &str, name: &str, note: Option<&str>) -> Result<Record, ActError> {
        self.step_by(&self.person(who), key, name, note).await
    }

    /// As [`step`](Self::step), by anybody.
    pub async fn step_by(&self, who: &Session, key: &str, name: &str, note: Option<&str>) -> Result<Record, ActError> {
        let act = Act::Transition {
            target: Target::key("runbook-run", key),
            name: name.into(),
            fields: Map::new(),
            note: note.map(str::to_owned),
            expect: None,
        };
        self.engine.kernel.act(who, act).await
    }

    /// As [`step`](Self::step), and what follows from it.
    pub async fn answer(&self, who: &str, key: &str, name: &str, note: Option<&str>) -> Record {
        self.step(who, key, name, note).await.unwrap();
        self.settle().await;
        self.get(key).await
    }

    /// Time passes, and what is due is done.
    pub async fn later(&self, span: Duration) {
        self.clock.advance(span);
        self.settle().await;
    }

    /// The controller looks at every open run and the worker does what is due, until nothing is left to do.
    pub async fn settle(&self) {
        let mut quiet = 0;
        for _ in 0..40 {
            self.look_once().await;
            // Twice: approval and start are two looks.
            quiet = if self.work().await == 0 { quiet + 1 } else { 0 };
            if quiet == 2 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// The controller looks at every open run, as its scan does.
    pub async fn look_once(&self) {
        let kernel = &self.engine.kernel;
        for (tenant, id) in kernel.backend().scan(&Kind::new("runbook-run"), None, true, None, 100).await.unwrap() {
            let cx = Cx { kernel: kernel.clone(), session: Session::controller("respond.start", tenant), tenant };
            Start.reconcile(&cx, id).await.unwrap();
        }
    }

    /// Does the jobs that are due, as the driver does; how many there were.
    pub async fn work(&self) -> usize {
        let kernel = &self.engine.kernel;
        let jobs = self.lease().await;
        for job in &jobs {
            let attempt = self.engine.runs.work(kernel, job).await;
            let steps = vec![Step::Finish(after(job, &attempt, kernel.now()))];
            let commit = Commit { tenant: job.tenant, steps, idempotency: None, now: kernel.now() };
            kernel.backend().commit(commit).await.unwrap();
        }
        jobs.len()
    }

    /// Takes the jobs that are due and does them, but is ended before it could say so: their leases run out later.
    pub async fn work_and_die(&self) {
        for job in self.lease().await {
            self.engine.runs.work(&self.engine.kernel, &job).await;
        }
    }

    async fn lease(&self) -> Vec<kernel::job::Job> {
        let kernel = &self.engine.kernel;
        let lease = Lease { worker: "test".into(), now: kernel.now(), span: Duration::from_secs(15) };
        kernel.backend().lease(&[JOB], &lease, 8).await.unwrap()
    }

    /// Entries about a record, oldest first.
    pub async fn journal(&self, key: &str) -> Vec<Entry> {
        let subject = Some(self.get(key).await.id);
        let query = JournalQuery { tenant: Some(TenantId::HOME), subject, limit: 200, ..JournalQuery::default() };
        self.engine.kernel.backend().journal(&query).await.unwrap()
    }

    /// Why a run ended: the note of its last step.
    pub async fn end(&self, key: &str) -> String {
        let journal = self.journal(key).await;
        let end = journal.iter().rev().find(|e| matches!(e.action.as_str(), "succeed" | "fail" | "cancel"));
        end.and_then(|e| e.note.clone()).unwrap_or_default()
    }

    /// The notes in the timeline of the incident.
    pub async fn told(&self) -> Vec<String> {
        self.journal("INC-1").await.into_iter().filter(|e| e.action == "note").filter_map(|e| e.note).collect()
    }
}

/// The results of a run as `(undo, ok, said)`.
pub fn results(run: &Record) -> Vec<(bool, bool, String)> {
    let results = run.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
    let one = |r: &Value| (r["undo"] == true, r["ok"] == true, r["said"].as_str().unwrap_or_default().to_owned());
    results.iter().map(one).collect()
}

/// Fields that say what is asked; empty when nobody is.
pub fn question(run: &Record) -> BTreeMap<&str, &str> {
    ["asked", "asked_at", "asked_until", "answer", "answered_by"]
        .into_iter()
        .filter(|name| run.get(name).is_some())
        .map(|name| (name, run.text(name)))
        .collect()
}
