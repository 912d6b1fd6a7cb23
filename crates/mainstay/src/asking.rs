//! Asking: the world that checks see here, the process that starts plugins, and how the asking goes, as an operation and for
//! `mainstay doctor`. Decides nothing about an answer.

use anyhow::Context;
use api::app::App;
use api::caller::Caller;
use api::operation::Operation;
use api::problem::Problem;
use axum::extract::State;
use axum::http::Method;
use axum::{Extension, Json};
use kernel::{Kernel, Time};
use probe::Env;
use probe::env::{Policies, parse_policies};
use probe::schedule::{Budget, Figures, LagFigures, Limits};
use probe::starter::Starter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use watch::runner::{Runner, Sink};

/// The word under which this program is the starter of plugins for a server. People never write it, so no help names it.
const STARTER: &str = "starter-of-plugins";

/// Whether this process is to be the starter of a server.
pub fn is_starter(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.nth(1).is_some_and(|word| word == STARTER) && arguments.next().is_none()
}

/// All that the starter of a server does.
pub fn start_for_a_server() -> ExitCode {
    match probe::starter::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mainstay: a server starts this by itself, to have plugins started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What checks see and may.
pub struct Asking {
    /// Behind no policy yet.
    world: Env,
    policies: Policies,
    starter: Arc<Starter>,
    limits: Limits,
}

impl Asking {
    /// Reads the policies, makes room for open connections and starts the starter.
    ///
    /// # Errors
    /// The file of policies cannot be used, or the starter cannot be started.
    pub fn begin(egress: Option<&Path>) -> anyhow::Result<Self> {
        let policies = match egress {
            None => Policies::default(),
            Some(file) => {
                let bytes = std::fs::read(file).with_context(|| format!("--egress {}", file.display()))?;
                parse_policies(&bytes).map_err(|why| anyhow::anyhow!("--egress {}: {why}", file.display()))?
            }
        };
        // First, as the starter inherits it and holds two pipes of every plugin that runs.
        let limits = limits(open_files());
        let starter = Arc::new(Starter::of_this_program(&[STARTER]));
        starter.start().context("the process that starts plugins cannot be started")?;
        let world = Env::real().started_by(starter.clone());
        Ok(Self { world, policies, starter, limits })
    }

    /// The world of the server itself, for checks and scrapes: they share its trusted authorities, its keys, and the policy.
    pub fn env(&self) -> Env {
        self.world.clone().behind(self.policies.server.clone())
    }

    /// A runner whose checks see this world, each site behind its own policy.
    pub fn runner(&self, kernel: Kernel, sink: Arc<dyn Sink>, alive_until: Time) -> Runner {
        let runner = Runner::new(kernel, self.env(), self.limits, sink, alive_until);
        for (site, policy) in &self.policies.sites {
            runner.set_site_env(site, self.world.clone().behind(policy.clone()));
        }
        runner
    }
}

/// How many files this process may open, after it has asked for as many as it may.
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(1 << 20).min(1 << 20);
    let current = limit.current.unwrap_or(u64::MAX);
    if current < wanted && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).is_ok() {
        return wanted;
    }
    current
}

/// Half of the files are for checks; the rest is for records, measurements and callers.
fn limits(open_files: u64) -> Limits {
    let usual = Limits::default();
    let in_flight = usize::try_from(open_files / 2).unwrap_or(usize::MAX).clamp(16, usual.in_flight);
    let site = u32::try_from(in_flight).unwrap_or(u32::MAX).min(usual.site.in_flight);
    Limits { in_flight, site: Budget::of(site), ..usual }
}

/// What is known of the asking while it goes on. Cheap to clone.
#[derive(Clone)]
pub struct Asked {
    /// The world and its policies.
    pub asking: Arc<Asking>,
    /// Who asks.
    pub runner: Runner,
}

impl Asked {
    /// Mainstay's own metrics about it.
    pub fn exposition(&self) -> String {
        let name = "mainstay_plugin_starter_starts_total";
        format!(
            "{}# HELP {name} Starts of the process that starts plugins; more than one means that it died.\n# TYPE {name} counter\n{name} {}\n",
            self.runner.figures().exposition(),
            self.asking.starter.starts()
        )
    }

    fn view(&self) -> Value {
        let figures = self.runner.figures();
        let policies = &self.asking.policies;
        let sites = policies.sites.iter().map(|(key, policy)| (key.clone(), Value::from(policy.in_words())));
        json!({
            "asking": asking_view(&figures.asking),
            "starter_starts": self.asking.starter.starts(),
            "reach": {"server": policies.server.in_words(), "sites": sites.collect::<serde_json::Map<_, _>>()},
        })
    }
}

fn asking_view(figures: &Figures) -> Value {
    let lag = |lag: &LagFigures| {
        json!({"count": lag.count, "p50_seconds": lag.p50_seconds, "p99_seconds": lag.p99_seconds,
            "max_seconds": lag.max_seconds})
    };
    json!({"held": figures.held, "in_flight": figures.in_flight, "waiting": figures.waiting, "asked": figures.asked,
        "left_out": figures.left_out, "behind_seconds": figures.behind.as_secs_f64(), "lag": lag(&figures.lag),
        "lag_lately": lag(&figures.lag_lately)})
}

/// The operation.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/api/v1/asking",
            "get_asking",
            "How the asking of checks goes: how many, how late, and where they may go.",
        )
        .answers(200, json!({"type": "object", "required": ["asking", "reach"]}))
        .by(get),
    ]
}

async fn get(State(_): State<App>, Extension(asked): Extension<Asked>, _: Caller) -> Result<Json<Value>, Problem> {
    Ok(Json(asked.view()))
}

/// What `mainstay doctor` says of it: whether it is well, what is so, and what to do otherwise.
pub fn findings(view: &Value) -> Vec<(bool, String, String)> {
    let asking = &view["asking"];
    let number = |name: &str| asking[name].as_f64().unwrap_or_default();
    let lately = &asking["lag_lately"];
    let late = lately["p99_seconds"].as_f64().unwrap_or_default();
    let behind = number("behind_seconds");
    let in_time = match lately["count"].as_u64() {
        None => "how late they are is not known".to_owned(),
        Some(0) => "none was due lately".to_owned(),
        Some(_) => format!("99 of 100 within {late:.3} s of their time"),
    };
    let what = format!(
        "{} checks are asked, {in_time}; {} wait for a budget, {} turns were left out",
        number("held"),
        number("waiting"),
        number("left_out")
    );
    let then = format!(
        "they are late: {behind:.1} s now. Many that time out at once use up their budgets; ask less often, or from more machines"
    );
    let mut all = vec![(lately["count"].is_u64() && late <= 1.0 && behind <= 10.0, what, then)];
    let starts = view["starter_starts"].as_u64().unwrap_or_default();
    let what = "the process that starts plugins runs".to_owned();
    let then = format!("it was started {starts} times: it died, and plugins that ran were UNKNOWN; look into the log");
    all.push((starts <= 1, what, then));
    let reach = &view["reach"];
    let server = reach["server"].as_str().unwrap_or_default();
    all.push((true, format!("checks may reach {server}"), String::new()));
    for (site, words) in reach["sites"].as_object().into_iter().flatten() {
        all.push((true, format!("checks from {site} may reach {}", words.as_str().unwrap_or_default()), String::new()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(asking: Value, starts: u64) -> Vec<(bool, String, String)> {
        findings(&json!({"asking": asking, "starter_starts": starts,
            "reach": {"server": "every address but not 169.254.0.0/16", "sites": {"plant-2": "10.20.0.0/16"}}}))
    }

    #[test]
    fn doctor_says_when_checks_are_late_and_where_they_may_go() {
        let well = json!({"held": 7, "behind_seconds": 0.0, "lag_lately": {"count": 70, "p99_seconds": 0.01}});
        let all = told(well, 1);
        assert!(all.iter().all(|(well, ..)| *well), "{all:?}");
        assert!(all.iter().any(|(_, what, _)| what.contains("from plant-2 may reach 10.20.0.0/16")), "{all:?}");
        for (asking, why) in [
            (json!({"behind_seconds": 0.0, "lag_lately": {"count": 9, "p99_seconds": 3.0}}), "they were late lately"),
            (json!({"behind_seconds": 20.0, "lag_lately": {"count": 9, "p99_seconds": 0.0}}), "they stand still now"),
            (json!({"behind_seconds": 0.0}), "nobody knows how late they are"),
        ] {
            assert!(!told(asking, 1)[0].0, "{why}");
        }
        let none = told(json!({"held": 3, "behind_seconds": 0.0, "lag_lately": {"count": 0, "p99_seconds": 0.0}}), 1);
        assert!(none[0].0 && none[0].1.contains("none was due lately"), "{none:?}");
        assert!(!told(json!({}), 3)[1].0, "the starter died twice");
    }

    #[test]
    fn few_open_files_leave_room_for_everything_else() {
        for (files, in_flight) in [(0, 16), (1024, 512), (65_536, Limits::default().in_flight)] {
            let limits = limits(files);
            assert_eq!(limits.in_flight, in_flight, "{files}");
            assert!(limits.site.in_flight as usize <= limits.in_flight, "{files}");
        }
    }

    #[test]
    fn only_the_word_alone_makes_a_starter() {
        let is = |words: &[&str]| is_starter(words.iter().map(OsString::from));
        assert!(is(&["mainstay", STARTER]));
        for other in [&["mainstay"][..], &["mainstay", "server"], &["mainstay", STARTER, "x"], &[STARTER]] {
            assert!(!is(other), "{other:?}");
        }
    }
}
