//! Writes down what became of alerts: records of class `alert`, which the rest of Mainstay folds into incidents and pages.
//!
//! All that one round changed is one commit. A change that is written twice, because a process ended between the
//! commit and what the rule remembers of it, is the same as written once.

use kernel::act::{Act, Create, Target};
use kernel::read::ListAsk;
use kernel::{ActError, Id, Kernel, Record, Session, TenantId, Time};
use serde_json::{Map, Value, json};

use super::see::ALERT_NAME;
use super::state::{Event, Health, Instance, LabelSet, State};
use crate::rule::Rule;

/// The name under which rules act.
pub(super) const NAME: &str = "watch.rules";
/// Where the text of the page stands among the texts of an alert.
pub(super) const SAY: &str = "\u{1}say";
/// Labels that may name the record that an alert is about, the surest first.
const NAMING: [&str; 8] = ["check", "on", "service", "host", "instance", "hostname", "node", "nodename"];

/// The rule whose alerts are written down.
pub(super) struct About<'a> {
    pub(super) key: &'a str,
    pub(super) rule: &'a Rule,
    /// Texts by fingerprint.
    pub(super) texts: &'a std::collections::BTreeMap<String, LabelSet>,
}

/// The fingerprint of an alert's record.
fn fingerprint(rule: &str, key: &str) -> String {
    format!("rule:{rule}:{key}")
}

/// Writes down what happened; nothing of it is written when it fails.
pub(super) async fn publish(
    kernel: &Kernel,
    tenant: TenantId,
    about: &About<'_>,
    state: &State,
    events: &[Event],
) -> Result<(), ActError> {
    let session = Session::controller(NAME, tenant);
    let acts = acts(kernel, &session, about, state, events).await?;
    if !acts.is_empty() {
        kernel.acts(&session, acts, None).await?;
    }
    Ok(())
}

/// What is to be written down of what happened.
pub(super) async fn acts(
    kernel: &Kernel,
    session: &Session,
    about: &About<'_>,
    state: &State,
    events: &[Event],
) -> Result<Vec<Act>, ActError> {
    let mut acts = Vec::new();
    for event in events {
        match event {
            Event::Pending(_) | Event::Dropped(_) => {}
            // What is over at the same moment is told by that alone.
            Event::Found(key) if !state.instances.contains_key(key) => {}
            Event::Fired(key) => {
                if let Some(instance) = state.instances.get(key) {
                    acts.extend(fired(kernel, session, about, key, instance).await?);
                }
            }
            Event::Resolved(key, instance) => {
                let note = format!("{} no longer holds", about.rule.title);
                acts.extend(resolved(kernel, session, about.key, key, instance, note).await?);
            }
            Event::Lost(key) | Event::Found(key) => {
                let since = state.instances.get(key).and_then(|i| i.unknown_since_ms).map(time);
                if let Some(alert) = alert_of(kernel, session, about.key, key).await?.filter(|a| a.state == "firing") {
                    let fields = fields(json!({"unknown_since": since}));
                    acts.push(Act::Update { target: Target::Id(alert.id), fields, owner: None, expect: None });
                }
            }
        }
    }
    Ok(acts)
}

/// Ends all alerts of a rule that is no longer there.
pub(super) async fn end_all(kernel: &Kernel, tenant: TenantId, rule: &str, state: &State) -> Result<(), ActError> {
    let session = Session::controller(NAME, tenant);
    let mut acts = Vec::new();
    for (key, instance) in &state.instances {
        acts.extend(resolved(kernel, &session, rule, key, instance, format!("the rule {rule} is gone")).await?);
    }
    if !acts.is_empty() {
        kernel.acts(&session, acts, None).await?;
    }
    Ok(())
}

async fn fired(
    kernel: &Kernel,
    session: &Session,
    about: &About<'_>,
    key: &str,
    instance: &Instance,
) -> Result<Option<Act>, ActError> {
    let alert = alert_of(kernel, session, about.key, key).await?;
    let record = record_named(kernel, session, &instance.labels).await?;
    let mut fields = alert_fields(about, key, instance, record.as_ref(), kernel.now());
    Ok(match alert {
        None => Some(Create { kind: "alert".into(), fields, ..Create::default() }.into()),
        Some(alert) if alert.state == "firing" => None,
        Some(alert) => {
            fields.insert("count".into(), json!(alert.int("count").unwrap_or(1) + 1));
            fields.insert("unknown_since".into(), Value::Null);
            let name = "refire".to_owned();
            Some(Act::Transition { target: Target::Id(alert.id), name, fields, note: None, expect: None })
        }
    })
}

async fn resolved(
    kernel: &Kernel,
    session: &Session,
    rule: &str,
    key: &str,
    instance: &Instance,
    note: String,
) -> Result<Option<Act>, ActError> {
    let alert = alert_of(kernel, session, rule, key).await?.filter(|alert| alert.state == "firing");
    let fields = fields(json!({"unknown_since": null, "last_seen": time(instance.held_ms)}));
    Ok(alert.map(|alert| Act::Transition {
        target: Target::Id(alert.id),
        name: "resolve".into(),
        fields,
        note: Some(note),
        expect: None,
    }))
}

/// The record of an alert, firing or resolved.
pub(super) async fn alert_of(
    kernel: &Kernel,
    session: &Session,
    rule: &str,
    key: &str,
) -> Result<Option<Record>, ActError> {
    let ask = ListAsk {
        filter: format!("fingerprint:\"{}\"", fingerprint(rule, key)),
        sort: "-updated".into(),
        limit: 1,
        ..ListAsk::default()
    };
    Ok(kernel.list(session, "alert", &ask).await?.records.into_iter().next())
}

fn alert_fields(
    about: &About<'_>,
    key: &str,
    instance: &Instance,
    record: Option<&Record>,
    now: Time,
) -> Map<String, Value> {
    let none = LabelSet::new();
    let texts = about.texts.get(key).unwrap_or(&none);
    let words = [SAY, "summary", "message", "description"];
    let summary = words.iter().find_map(|name| texts.get(*name)).cloned();
    let mut annotations: LabelSet =
        texts.iter().filter(|(n, _)| *n != SAY).map(|(n, v)| (n.clone(), v.clone())).collect();
    if let Some(runbook) = &about.rule.runbook {
        annotations.entry("runbook".into()).or_insert_with(|| runbook.to_string());
    }
    let mut made = json!({
        "title": title(about.rule, instance, record), "severity": about.rule.severity, "fingerprint": fingerprint(about.key, key), "source": "rule",
        "labels": instance.labels, "annotations": annotations, "started_at": time(instance.since_ms), "last_seen": now, "from": about.key,
    });
    if let Some(made) = made.as_object_mut() {
        made.extend(summary.map(|text| ("summary".to_owned(), Value::from(text))));
        made.extend(record.map(|record| ("about".to_owned(), Value::from(record.key.clone()))));
        // JSON has neither NaN nor infinity.
        made.extend(instance.value.is_finite().then(|| ("value".to_owned(), json!(instance.value))));
    }
    fields(made)
}

/// What is wrong, with the name of what it is wrong with.
fn title(rule: &Rule, instance: &Instance, record: Option<&Record>) -> String {
    let own = |name: &String| name != ALERT_NAME && !rule.labels.contains_key(name);
    let of = match record {
        Some(record) => record.title.clone(),
        None => {
            let named = instance.labels.iter().filter(|(name, _)| own(name)).take(4);
            named.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
        }
    };
    let title = if of.is_empty() { rule.title.clone() } else { format!("{}: {of}", rule.title) };
    title.chars().take(500).collect()
}

/// The record that labels name, if there is one.
async fn record_named(kernel: &Kernel, session: &Session, labels: &LabelSet) -> Result<Option<Record>, ActError> {
    for name in NAMING {
        let Some(value) = labels.get(name) else { continue };
        // An instance is an address with a port, and a host is called by its short name.
        let host = value.rsplit_once(':').map_or(value.as_str(), |(host, _)| host);
        let short = host.split('.').next().unwrap_or(host);
        for key in [value.as_str(), host, short] {
            if !kernel::ids::is_key(key) {
                continue;
            }
            match kernel.find(session, key).await {
                Ok(record) if name == "check" && !record.text("on").is_empty() => {
                    return Ok(kernel.find(session, record.text("on")).await.ok().or(Some(record)));
                }
                Ok(record) => return Ok(Some(record)),
                Err(ActError::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// Whether the record that labels name is meant by a filter. What names none is not.
pub(super) async fn is_in_scope(
    kernel: &Kernel,
    session: &Session,
    labels: &LabelSet,
    scope: &str,
) -> Result<bool, ActError> {
    let Some(record) = record_named(kernel, session, labels).await? else { return Ok(false) };
    let class = kernel.registry().need(record.kind.as_str())?;
    let predicate = kernel::filter::compile(scope, &class, kernel.registry(), kernel.now())?;
    match kernel::eval::matches(&predicate, &record) {
        Some(matches) => Ok(matches),
        None => {
            // The filter looks beyond the record: let the store decide.
            let filter = format!("{scope} key:\"{}\"", record.key);
            let ask = ListAsk { filter, limit: 1, ..ListAsk::default() };
            Ok(!kernel.list(session, record.kind.as_str(), &ask).await?.records.is_empty())
        }
    }
}

/// Tells the record of a rule how its evaluation goes.
pub(super) fn health(id: Id, health: Health, error: Option<&str>, now: Time) -> Act {
    let fields = fields(json!({"evaluation": health, "last_error": error, "last_evaluated": now}));
    Act::Update { target: Target::Id(id), fields, owner: None, expect: None }
}

fn time(ms: i64) -> Time {
    Time::from_micros(ms.saturating_mul(1000))
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
