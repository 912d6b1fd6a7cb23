//! What clients ask about the server behind the API: its version, its largest series, rules, alerts and targets.

use api::App;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use series::Labels;
use std::collections::{HashMap, HashSet};

use crate::answer::{Refusal, Remarks, data};
use crate::asked::Asked;
use crate::caller::Reader;
use crate::state::Signals;

/// The version of Prometheus whose HTTP API this is: clients look at it to know what they may ask.
const SPEAKS: &str = "3.5.0";

/// `/status/buildinfo`.
pub async fn build(State(app): State<App>, _: Reader) -> Response {
    let said = json!({"version": SPEAKS, "application": "Mainstay", "applicationVersion": app.version,
        "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""});
    data(said, Remarks::default()).await
}

/// `/status/tsdb`: where the series are.
pub async fn tsdb(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let most = match asked.limit("limit")? {
        0 => 10,
        limit => limit.min(10_000),
    };
    let all = signals.metrics().series(who.tenant, Vec::new(), (i64::MIN, i64::MAX)).await?;
    let counted = tokio::task::spawn_blocking(move || cardinality(&all, most)).await;
    let counted = counted.map_err(|_| series::MetricsError::Ended)?;
    Ok(data(counted, Remarks::default()).await)
}

fn cardinality(all: &[Labels], most: usize) -> Value {
    let (mut by_name, mut by_pair, mut values, mut bytes) =
        (HashMap::new(), HashMap::new(), HashMap::<&str, HashSet<&str>>::new(), HashMap::new());
    for labels in all {
        *by_name.entry(labels.name()).or_insert(0_u64) += 1;
        for (name, value) in labels.iter() {
            *by_pair.entry((name, value)).or_insert(0_u64) += 1;
            if values.entry(name).or_default().insert(value) {
                *bytes.entry(name).or_insert(0_u64) += value.len() as u64;
            }
        }
    }
    let pairs = by_pair.len();
    let shown = |counts: Vec<(String, u64)>| {
        let mut counts = counts;
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(most);
        counts.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>()
    };
    json!({
        "headStats": {"numSeries": all.len(), "numLabelPairs": pairs},
        "seriesCountByMetricName": shown(by_name.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()),
        "labelValueCountByLabelName": shown(values.iter().map(|(n, v)| ((*n).to_owned(), v.len() as u64)).collect()),
        "memoryInBytesByLabelName": shown(bytes.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()),
        "seriesCountByLabelValuePair": shown(by_pair.into_iter().map(|((n, v), c)| (format!("{n}={v}"), c)).collect()),
    })
}

/// `/rules`: all, or only those that alert or record (`type`), by name (`rule_name[]`) or group (`rule_group[]`).
pub async fn rules(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let wanted = match asked.text("type") {
        None => None,
        Some("alert") => Some("alerting"),
        Some("record") => Some("recording"),
        Some(other) => return Err(Refusal::parameter("type", format!("not supported value {other:?}"))),
    };
    let mut said = signals.rules().map_or_else(|| json!({"groups": []}), |rules| rules.rules(who.session.tenant()));
    let names: HashSet<&str> = asked.all("rule_name[]").collect();
    let groups: HashSet<&str> = asked.all("rule_group[]").collect();
    narrow(&mut said, wanted, &names, &groups);
    Ok(data(said, Remarks::default()).await)
}

/// Leaves the rules that are meant, and no group that has none of them.
fn narrow(said: &mut Value, kind: Option<&str>, names: &HashSet<&str>, groups: &HashSet<&str>) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(all) = said.get_mut("groups").and_then(Value::as_array_mut) else { return };
    all.retain(|group| groups.is_empty() || groups.contains(text(group, "name").as_str()));
    if kind.is_none() && names.is_empty() {
        return;
    }
    all.retain_mut(|group| {
        let Some(rules) = group.get_mut("rules").and_then(Value::as_array_mut) else { return false };
        rules.retain(|rule| {
            kind.is_none_or(|kind| text(rule, "type") == kind)
                && (names.is_empty() || names.contains(text(rule, "name").as_str()))
        });
        !rules.is_empty()
    });
}

/// `/alerts`.
pub async fn alerts(Extension(signals): Extension<Signals>, who: Reader) -> Response {
    let said = signals.rules().map_or_else(|| json!({"alerts": []}), |rules| rules.alerts(who.session.tenant()));
    data(said, Remarks::default()).await
}

/// `/targets`: all, or only `state=active` or `state=dropped`.
pub async fn targets(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Response {
    let none = || json!({"activeTargets": [], "droppedTargets": []});
    let mut said = signals.targets().map_or_else(none, |targets| targets.targets(who.session.tenant()));
    for (state, list) in [("active", "droppedTargets"), ("dropped", "activeTargets")] {
        if asked.text("state").is_some_and(|asked| asked.eq_ignore_ascii_case(state)) {
            said[list] = json!([]);
        }
    }
    data(said, Remarks::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_narrowed_by_type_name_and_group_and_empty_groups_go() {
        let rule = |kind: &str, name: &str| json!({"type": kind, "name": name});
        let all = || {
            json!({"groups": [
                {"name": "a", "rules": [rule("alerting", "Down"), rule("recording", "job:up")]},
                {"name": "b", "rules": [rule("recording", "job:load")]},
                {"name": "c", "rules": []},
            ]})
        };
        let set = |names: &[&'static str]| names.iter().copied().collect::<HashSet<_>>();
        for (kind, names, groups, expected) in [
            (None, set(&[]), set(&[]), json!(["a", "b", "c"])),
            (Some("alerting"), set(&[]), set(&[]), json!(["a"])),
            (Some("recording"), set(&[]), set(&[]), json!(["a", "b"])),
            (None, set(&["job:load", "Down"]), set(&[]), json!(["a", "b"])),
            (Some("alerting"), set(&["job:load"]), set(&[]), json!([])),
            (None, set(&[]), set(&["c"]), json!(["c"])),
        ] {
            let mut said = all();
            narrow(&mut said, kind, &names, &groups);
            let left: Vec<_> = said["groups"].as_array().expect("groups").iter().map(|g| g["name"].clone()).collect();
            assert_eq!(json!(left), expected, "{kind:?} {names:?} {groups:?}");
        }
    }

    #[test]
    fn the_largest_are_counted_and_named_first() {
        let series = |name: &str, job: &str| Labels::metric(name, &[("job", job)]).expect("labels");
        let all = [series("up", "a"), series("up", "bb"), series("up", "c"), series("load", "a")];
        let said = cardinality(&all, 2);
        assert_eq!(said["headStats"], json!({"numSeries": 4, "numLabelPairs": 5}));
        assert_eq!(said["seriesCountByMetricName"], json!([{"name": "up", "value": 3}, {"name": "load", "value": 1}]));
        assert_eq!(said["labelValueCountByLabelName"][0], json!({"name": "job", "value": 3}));
        assert_eq!(said["memoryInBytesByLabelName"][0], json!({"name": "__name__", "value": 6}));
        assert_eq!(said["seriesCountByLabelValuePair"][1], json!({"name": "job=a", "value": 2}));
    }
}
