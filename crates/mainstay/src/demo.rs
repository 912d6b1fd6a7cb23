//! The synthetic organisation of `up --demo`: its records, its past and two live checks, to look at and to play with.
//!
//! It is told in `demo.yaml`, event after event, and written through the kernel like everything else, by a kernel whose clock stands
//! where the event happened: intervals and journal are weeks long from the first minute. It never mixes with real data: it goes into an
//! empty database only, a database of it is started with `--demo` only, this machine is not looked at, and every record bears the mark.

use anyhow::{Context, bail};
use kernel::act::{Act, Create, Target};
use kernel::clock::{Clock, HandClock, parse_duration};
use kernel::read::ListAsk;
use kernel::session::OwnOnly;
use kernel::{HealthState, Id, Kernel, Session, TenantId, Time};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;

const STORY: &str = include_str!("demo.yaml");

/// The record by which a demonstration is known, and people are told.
const BANNER: &str = "demo-banner";

/// What Mainstay makes for itself in any database.
const OWN_CLASSES: [&str; 2] = ["role", "tenant"];

/// Where the demonstration lives: in place of the default folder, never in it.
pub fn folder(data: &Path) -> PathBuf {
    if data == Path::new("./data") { PathBuf::from("./data-demo") } else { data.to_owned() }
}

/// One thing that happened.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    /// How long ago; as the event before when left out.
    ago: Option<String>,
    /// Class of a new record.
    new: Option<String>,
    /// Its key.
    key: Option<String>,
    /// A name for it in this story, when it is numbered.
    #[serde(rename = "as")]
    alias: Option<String>,
    state: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default)]
    links: Vec<(String, String)>,
    /// A record (class, key or alias) whose health this is.
    health: Option<(String, String)>,
    /// A record (class, key or alias) that does the step `step`.
    on: Option<(String, String)>,
    step: Option<String>,
    note: Option<String>,
}

/// Tells the story to an empty database when `wanted`; refuses to mix.
///
/// # Errors
/// Real data with `--demo`, a demonstration without it, or a story that does not fit the classes.
pub async fn prepare(wanted: bool, kernel: &Kernel, store: &Arc<Store>, listen: SocketAddr) -> anyhow::Result<()> {
    let session = Session::system(TenantId::HOME);
    let there = kernel.get(&session, "announcement", BANNER).await.is_ok();
    match (wanted, there) {
        (false, true) => {
            bail!("this data is the demonstration's: start it with --demo, or name another folder with --data")
        }
        (false, false) | (true, true) => return Ok(()),
        (true, false) => {}
    }
    for class in kernel.registry().classes() {
        let name = class.name.as_str();
        if OWN_CLASSES.contains(&name) {
            continue;
        }
        let found = kernel.list(&session, name, &ListAsk { limit: 1, ..ListAsk::default() }).await?;
        if let Some(record) = found.records.first() {
            bail!("--demo needs an empty data directory: this one has {name} {}", record.key);
        }
    }
    let now = kernel.now();
    let clock = HandClock::at(now);
    let past =
        Kernel::start(store.clone(), crate::domains::registry()?, Arc::new(clock.clone()), Arc::new(OwnOnly)).await?;
    let told = tell(&past, &clock, listen).await?;
    clock.set(now);
    kernel.wake(*past.head().borrow());
    tracing::info!(records = told, "the demonstration is written");
    Ok(())
}

/// Writes every event at its time; how many records there are then.
async fn tell(kernel: &Kernel, clock: &HandClock, listen: SocketAddr) -> anyhow::Result<usize> {
    let story = with_times(&STORY.replace("{listen}", &listen.to_string()), clock.now())?;
    let events: Vec<Event> = yaml_serde::from_str(&story).context("demo.yaml")?;
    let session = Session::controller("demo", TenantId::HOME);
    let now = clock.now();
    let mut known: HashMap<String, Id> = HashMap::new();
    for (number, event) in events.iter().enumerate() {
        let place = || format!("event {} of demo.yaml ({:?} {:?})", number + 1, event.new, event.key);
        if let Some(ago) = &event.ago {
            clock.set(now.minus(parse_duration(ago).map_err(anyhow::Error::msg).with_context(place)?));
        }
        let record =
            kernel.act(&session, act_of(event, kernel, &known).with_context(place)?).await.with_context(place)?;
        if event.new.is_some() {
            known.insert(event.alias.clone().unwrap_or_else(|| record.key.clone()), record.id);
        }
    }
    Ok(known.len())
}

/// The story with moments to come for `{in 2h}`: what is planned lies ahead whenever the demonstration begins.
fn with_times(story: &str, now: Time) -> anyhow::Result<String> {
    let mut text = String::with_capacity(story.len());
    let mut rest = story;
    while let Some((before, after)) = rest.split_once("{in ") {
        let (span, behind) = after.split_once('}').context("{in … is not closed in demo.yaml")?;
        text += before;
        text += &now.plus(parse_duration(span).map_err(anyhow::Error::msg)?).to_string();
        rest = behind;
    }
    Ok(text + rest)
}

fn act_of(event: &Event, kernel: &Kernel, known: &HashMap<String, Id>) -> anyhow::Result<Act> {
    let target =
        |name: &str| known.get(name).map(|id| Target::Id(*id)).with_context(|| format!("nothing is called {name} yet"));
    if let Some(class) = &event.new {
        let mut create = Create::of(class, Value::Object(marked(kernel, class, event.fields.clone())));
        create.key = event.key.clone();
        create.state = event.state.clone();
        create.owner = event.owner.clone();
        for (link, to) in &event.links {
            create = create.linked(link, target(to)?);
        }
        return Ok(create.into());
    }
    if let (Some((name, state)), Some(reason)) = (&event.health, &event.note) {
        let state: HealthState = serde_json::from_value(Value::String(state.clone()))?;
        return Ok(Act::Health { target: target(name)?, state, reason: reason.clone() });
    }
    let (Some((_, name)), Some(step)) = (&event.on, &event.step) else {
        bail!("an event is `new`, `health` with `note`, or `on` with `step`");
    };
    let note = event.note.clone();
    Ok(Act::Transition { target: target(name)?, name: step.clone(), fields: event.fields.clone(), note, expect: None })
}

/// Fields with the mark of the demonstration: the tag `demo`, or `(demo)` behind the name.
fn marked(kernel: &Kernel, class: &str, mut fields: Map<String, Value>) -> Map<String, Value> {
    let Some(class) = kernel.registry().class(class) else { return fields };
    if class.field("tags").is_some() {
        fields.insert("tags".into(), Value::Array(vec![Value::String("demo".into())]));
        return fields;
    }
    for name in ["title", "name", "reason"] {
        if class.field(name).is_some() {
            let text = fields.get(name).and_then(Value::as_str).unwrap_or_default();
            fields.insert(name.into(), Value::String(format!("{text} (demo)").trim().to_owned()));
            break;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn empty(place: &Path) -> (Arc<Store>, Kernel) {
        let store = Store::open_sqlite(place, store::Options::default()).unwrap();
        let clock = Arc::new(kernel::SystemClock::default());
        let registry = crate::domains::registry().unwrap();
        let kernel = Kernel::start(store.clone(), registry, clock, Arc::new(OwnOnly)).await.unwrap();
        (store, kernel)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_story_fits_the_classes_and_is_told_once() {
        let place = tempfile::tempdir().unwrap();
        let (store, kernel) = empty(place.path()).await;
        let listen = "127.0.0.1:8080".parse().unwrap();
        prepare(true, &kernel, &store, listen).await.unwrap();
        let head = *kernel.head().borrow();
        assert!(head > 100, "{head}");
        prepare(true, &kernel, &store, listen).await.unwrap();
        assert_eq!(*kernel.head().borrow(), head, "a second start adds nothing");
        let refused = prepare(false, &kernel, &store, listen).await.unwrap_err();
        assert!(refused.to_string().contains("--demo"), "{refused}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn real_data_is_never_mixed_with_it() {
        let place = tempfile::tempdir().unwrap();
        let (store, kernel) = empty(place.path()).await;
        let real = Create::of("service", serde_json::json!({"name": "Real"})).keyed("real");
        kernel.act(&Session::system(TenantId::HOME), real).await.unwrap();
        let refused = prepare(true, &kernel, &store, "127.0.0.1:8080".parse().unwrap()).await.unwrap_err();
        assert!(refused.to_string().contains("service real"), "{refused}");
    }

    #[test]
    fn the_default_folder_is_left_alone() {
        assert_eq!(folder(Path::new("./data")), Path::new("./data-demo"));
        assert_eq!(folder(Path::new("/srv/show")), Path::new("/srv/show"));
    }
}
