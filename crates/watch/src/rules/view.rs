//! The rules as Prometheus's HTTP API shows them, so that dashboards which read it work unchanged.

use kernel::{Id, TenantId, Time};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

use super::board::Held;
use super::engine::Rules;
use super::publish::SAY;
use super::state::{Instance, LabelSet, Phase};
use super::template::go_general;

impl Rules {
    /// The `data` of Prometheus's `/api/v1/rules`: groups with their rules and the alerts of each.
    pub fn rules_json(&self, tenant: TenantId) -> Value {
        let board = self.board.lock();
        let mut groups: BTreeMap<String, Vec<&Held>> = BTreeMap::new();
        for held in board.values().filter(|held| held.tenant == tenant && held.active) {
            let name = held.compiled.rule.group.clone().unwrap_or_else(|| held.key.to_string());
            groups.entry(name).or_default().push(held);
        }
        let group = |(name, mut rules): (String, Vec<&Held>)| {
            rules.sort_by_key(|held| (held.compiled.rule.position, held.key.to_string()));
            let interval = rules.iter().map(|held| held.compiled.interval_ms()).min().unwrap_or_default();
            let took: Duration = rules.iter().map(|held| held.took).sum();
            let last = rules.iter().filter_map(|held| held.last).max();
            json!({
                "name": name, "file": "", "interval": interval as f64 / 1000.0,
                "limit": rules.iter().find_map(|held| held.compiled.rule.limit).unwrap_or(0),
                "rules": rules.iter().map(|held| rule(held)).collect::<Vec<_>>(),
                "evaluationTime": took.as_secs_f64(), "lastEvaluation": moment(last),
            })
        };
        json!({"groups": groups.into_iter().map(group).collect::<Vec<_>>()})
    }

    /// The `data` of Prometheus's `/api/v1/alerts`: all alerts, pending and firing.
    pub fn alerts_json(&self, tenant: TenantId) -> Value {
        let board = self.board.lock();
        let mut held: Vec<&Held> = board.values().filter(|held| held.tenant == tenant && held.active).collect();
        held.sort_by(|a, b| a.key.cmp(&b.key));
        json!({"alerts": held.into_iter().flat_map(alerts).collect::<Vec<_>>()})
    }

    /// What is known of a rule beyond its record: when it was last evaluated, and how that went.
    pub fn latest(&self, id: Id) -> Map<String, Value> {
        let board = self.board.lock();
        let Some(held) = board.get(id).filter(|held| held.last.is_some()) else { return Map::new() };
        Map::from_iter([
            ("last_evaluated".into(), json!(held.last)),
            ("last_error".into(), json!(held.error)),
            ("evaluation".into(), json!(held.health)),
        ])
    }
}

fn rule(held: &Held) -> Value {
    let rule = &held.compiled.rule;
    let mut shown = json!({
        "name": rule.record.as_ref().unwrap_or(&rule.title), "query": rule.expression, "labels": rule.labels,
        "health": if held.health.as_str() == "error" { "err" } else { held.health.as_str() },
        "evaluationTime": held.took.as_secs_f64(), "lastEvaluation": moment(held.last),
        "type": if rule.record.is_some() { "recording" } else { "alerting" },
    });
    let Some(fields) = shown.as_object_mut() else { return shown };
    if let Some(error) = &held.error {
        fields.insert("lastError".into(), json!(error));
    }
    if rule.record.is_none() {
        let worst = held.state.instances.values().map(|i| i.phase).max();
        fields.insert("state".into(), json!(worst.map_or("inactive", Phase::as_str)));
        fields.insert("duration".into(), json!(held.compiled.terms.hold_ms as f64 / 1000.0));
        fields.insert("keepFiringFor".into(), json!(held.compiled.terms.keep_ms as f64 / 1000.0));
        fields.insert("annotations".into(), json!(rule.annotations));
        fields.insert("alerts".into(), json!(alerts(held).collect::<Vec<_>>()));
    }
    shown
}

fn alerts(held: &Held) -> impl Iterator<Item = Value> {
    held.state.instances.iter().map(|(key, instance)| alert(instance, held.texts.get(key)))
}

fn alert(instance: &Instance, texts: Option<&LabelSet>) -> Value {
    let annotations: LabelSet =
        texts.into_iter().flatten().filter(|(n, _)| *n != SAY).map(|(n, v)| (n.clone(), v.clone())).collect();
    let mut shown = json!({
        "labels": instance.labels, "annotations": annotations, "state": instance.phase.as_str(),
        "activeAt": moment(Some(Time::from_micros(instance.since_ms * 1000))), "value": value(instance.value),
    });
    if let (Some(fields), Some(since)) = (shown.as_object_mut(), instance.kept_since_ms) {
        fields.insert("keepFiringSince".into(), moment(Some(Time::from_micros(since * 1000))));
    }
    if let (Some(fields), Some(since)) = (shown.as_object_mut(), instance.unknown_since_ms) {
        fields.insert("unknownSince".into(), moment(Some(Time::from_micros(since * 1000))));
    }
    shown
}

/// As Prometheus writes a value here: `1e+00`.
fn value(value: f64) -> String {
    if !value.is_finite() {
        return go_general(value, 17);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn moment(time: Option<Time>) -> Value {
    // What was never evaluated has Go's first moment, as in Prometheus.
    time.map_or_else(|| json!("0001-01-01T00:00:00Z"), |time| json!(time))
}
