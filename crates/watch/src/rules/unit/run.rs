//! Plays a test: the rules over the loaded series, evaluation by evaluation, and what is expected against what came.

use series::promql::notation::{Item, fill as load};
use series::promql::{Answer, Limits, MemorySource, Metric, Query, SampleValue, Settings, Value};
use series::{Labels, Sample};
use std::collections::{BTreeMap, BTreeSet};

use super::super::compile::Compiled;
use super::super::see::{self, ALERT_NAME, Answers, Outside, Unseen};
use super::super::state::{Data, LabelSet, Look, Missing, Phase, State, Terms, decide, fingerprint};
use super::super::template::MAX_QUERIES;
use super::format::{AlertCase, QueryCase, Span, Suite, Test};
use super::{Failed, Report};
use crate::rule::Rule;

/// Evaluations of one test at most.
const MAX_EVALUATIONS: i64 = 1_000_000;

/// A rule during a test.
struct Played {
    compiled: Compiled,
    state: State,
    texts: BTreeMap<String, LabelSet>,
    /// What it wrote last time, to end what it no longer writes.
    written: BTreeSet<Labels>,
}

/// Runs the tests of a file over rules, which stand in the order of their files.
///
/// # Errors
/// What keeps the tests from being run at all.
pub fn run(suite: &Suite, rules: &[Rule]) -> Result<Report, String> {
    let mut report = Report::default();
    let every = suite.evaluation_interval.filter(|i| i.0 > 0).unwrap_or(Span(60_000)).0;
    let place = |rule: &Rule| suite.group_eval_order.iter().position(|name| rule.group.as_ref() == Some(name));
    let mut ordered: Vec<&Rule> = rules.iter().collect();
    // Groups that are not in the order come first, as they stand.
    ordered.sort_by_key(|rule| place(rule).map_or(0, |at| at + 1));
    for (number, test) in suite.tests.iter().enumerate() {
        let name = test.name.clone().unwrap_or_else(|| format!("test {}", number + 1));
        let failed = |what: String, difference| Failed { test: name.clone(), what, difference };
        let compiled = |rule: &&Rule| {
            let mut compiled = Compiled::new(rule).map_err(|e| format!("{}: {e}", rule.title))?;
            // As Prometheus has it, so that a file means the same here and there.
            compiled.terms = Terms { missing: Missing::Resolves, outage_ms: None, ..compiled.terms };
            Ok(Played { compiled, state: State::default(), texts: BTreeMap::new(), written: BTreeSet::new() })
        };
        let rules = ordered.iter().map(compiled).collect::<Result<Vec<_>, String>>()?;
        let mut world = World::new(test, rules, every)?;
        world.play(every, &mut |what, difference| report.failed.push(failed(what, difference)))?;
        report.looked_at += test.alert_rule_test.len() + test.promql_expr_test.len();
    }
    Ok(report)
}

/// Takes what was not as expected, and the difference line by line.
type Tell<'a> = &'a mut dyn FnMut(String, Vec<String>);

struct World<'a> {
    test: &'a Test,
    rules: Vec<Played>,
    source: MemorySource,
    outside: Outside,
}

impl<'a> World<'a> {
    fn new(test: &'a Test, rules: Vec<Played>, every: i64) -> Result<Self, String> {
        let mut source = MemorySource::default();
        let gap = test.interval.filter(|i| i.0 > 0).map_or(every, |i| i.0);
        for input in &test.input_series {
            let (metric, items) = input.read()?;
            load(&mut source, &metric, &items, 0, gap);
        }
        let outside = Outside { labels: test.external_labels.clone(), url: test.external_url.clone() };
        Ok(Self { test, rules, source, outside })
    }

    fn play(&mut self, every: i64, tell: Tell<'_>) -> Result<(), String> {
        let alert_times = self.test.alert_rule_test.iter().map(|case| case.eval_time);
        let query_times = self.test.promql_expr_test.iter().map(|case| case.eval_time);
        let last = alert_times.chain(query_times).max().unwrap_or_default().0;
        if last / every > MAX_EVALUATIONS {
            return Err(format!("more than {MAX_EVALUATIONS} evaluations in one test"));
        }
        let mut at_ms = 0;
        while at_ms <= last {
            for place in 0..self.rules.len() {
                if let Err(reason) = self.evaluate(place, at_ms) {
                    let name = self.rules[place].compiled.rule.title.clone();
                    tell(format!("rule {name} at {}: {reason}", shown(at_ms)), Vec::new());
                }
            }
            // An alert is looked at after the last evaluation that is not later.
            let now = |case: &&AlertCase| case.eval_time.0 >= at_ms && case.eval_time.0 < at_ms + every;
            for case in self.test.alert_rule_test.iter().filter(now) {
                self.check_alerts(case, tell);
            }
            at_ms += every;
        }
        for case in &self.test.promql_expr_test {
            self.check_query(case, tell);
        }
        Ok(())
    }

    fn ask(&self, query: &Query, at_ms: i64) -> Result<Answer, String> {
        query.instant(&self.source, at_ms, &Settings::default(), &Limits::default()).map_err(|e| e.to_string())
    }

    /// One rule at one time.
    fn evaluate(&mut self, place: usize, at_ms: i64) -> Result<(), String> {
        let compiled = self.rules[place].compiled.clone();
        let looked_ms = at_ms.saturating_sub(compiled.offset_ms);
        let answer = self.ask(&compiled.query, looked_ms)?;
        if compiled.record().is_some() {
            let samples = see::recorded(&compiled, &answer, looked_ms)?;
            self.write(place, samples, looked_ms);
            return Ok(());
        }
        let recovered = match &compiled.recovery {
            Some(query) => Some(see::label_sets(&self.ask(query, looked_ms)?)),
            None => None,
        };
        let mut answers = Answers::new();
        let holds = self.asking(&mut answers, at_ms, |world, answers| {
            match see::sightings(&compiled, &answer, at_ms, &world.outside, answers) {
                Ok(holds) => Ok(Ok(holds)),
                Err(Unseen::Needs(query)) => Err(query),
                Err(Unseen::Twice(_)) => {
                    Ok(Err("vector contains metrics with the same labelset after applying alert labels".to_owned()))
                }
            }
        })??;
        let values: Vec<(String, LabelSet, f64)> =
            holds.iter().map(|s| (fingerprint(&s.labels), s.series.clone(), s.value)).collect();
        for (key, series, value) in values {
            let named = see::found(&answer).into_iter().find(|(m, _)| see::label_set(m) == series);
            let labels = named.map_or(series, |(m, _)| m.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect());
            let texts = self.asking(&mut answers, at_ms, |world, answers| {
                let with = see::fill(labels.clone(), value, at_ms, &world.outside, answers);
                let one = |(name, template): &(String, _)| Ok((name.clone(), see::filled(template, &with)?));
                compiled.annotations.iter().map(one).collect::<Result<LabelSet, String>>()
            })?;
            self.rules[place].texts.insert(key, texts);
        }
        let played = &mut self.rules[place];
        decide(&mut played.state, Look::Seen { holds, data: Data::Always, recovered }, &compiled.terms, at_ms);
        let instances = &played.state.instances;
        played.texts.retain(|key, _| instances.contains_key(key));
        let series = see::alert_series(&played.state);
        let samples = series.into_iter().map(|(labels, value)| Sample { labels, at_ms: looked_ms, value }).collect();
        self.write(place, samples, looked_ms);
        Ok(())
    }

    /// Does something that may need the answers to queries first.
    fn asking<T>(
        &self,
        answers: &mut Answers,
        at_ms: i64,
        work: impl Fn(&Self, &Answers) -> Result<T, String>,
    ) -> Result<T, String> {
        loop {
            let query = match work(self, answers) {
                Ok(done) => return Ok(done),
                Err(query) if answers.len() >= MAX_QUERIES => return Err(format!("too many queries: {query}")),
                Err(query) => query,
            };
            let answer = Query::parse(&query).map_err(|e| e.to_string()).and_then(|q| self.ask(&q, at_ms));
            let found = answer.map(|answer| see::series_of(&answer));
            answers.insert(query, found);
        }
    }

    /// Writes what a rule says now, and ends what it no longer says.
    fn write(&mut self, place: usize, samples: Vec<Sample>, at_ms: i64) {
        let now: BTreeSet<Labels> = samples.iter().map(|s| s.labels.clone()).collect();
        let before = std::mem::replace(&mut self.rules[place].written, now);
        for gone in before.difference(&self.rules[place].written) {
            self.source.push(&Metric::from(gone.clone()), at_ms, series::stale_marker());
        }
        for sample in samples {
            self.source.push(&Metric::from(sample.labels), at_ms, sample.value);
        }
    }

    fn check_alerts(&self, case: &AlertCase, tell: Tell<'_>) {
        let named =
            |played: &&Played| played.compiled.record().is_none() && played.compiled.rule.title == case.alertname;
        let mut found = Vec::new();
        for played in self.rules.iter().filter(named) {
            for (key, instance) in played.state.instances.iter().filter(|(_, i)| i.phase == Phase::Firing) {
                found.push(alert(&instance.labels, played.texts.get(key).unwrap_or(&LabelSet::new())));
            }
        }
        let expected = case.exp_alerts.iter().map(|one| {
            let mut labels = one.exp_labels.clone();
            labels.insert(ALERT_NAME.into(), case.alertname.clone());
            alert(&labels, &one.exp_annotations)
        });
        let difference = difference(expected.collect(), found);
        if !difference.is_empty() {
            tell(format!("alert {} at {}", case.alertname, shown(case.eval_time.0)), difference);
        }
    }

    fn check_query(&self, case: &QueryCase, tell: Tell<'_>) {
        let what = format!("query {} at {}", case.expr.trim(), shown(case.eval_time.0));
        let answer = Query::parse(&case.expr).map_err(|e| e.to_string()).and_then(|q| self.ask(&q, case.eval_time.0));
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => return tell(what, vec![format!("! {reason}")]),
        };
        let found = match &answer.value {
            Value::Scalar { value, .. } => vec![sample(&Metric::default(), &Item::Float(*value))],
            Value::Vector(samples) => samples
                .iter()
                .map(|s| match &s.value {
                    SampleValue::Float(value) => sample(&s.metric, &Item::Float(*value)),
                    SampleValue::Histogram(h) => sample(&s.metric, &Item::Histogram(h.as_ref().clone())),
                })
                .collect(),
            other => return tell(what, vec![format!("! the answer is a {}", other.type_name())]),
        };
        let expected = case.exp_samples.iter().filter_map(|one| one.read().ok()).map(|(m, item)| sample(&m, &item));
        let difference = difference(expected.collect(), found);
        if !difference.is_empty() {
            tell(what, difference);
        }
    }
}

fn alert(labels: &LabelSet, texts: &LabelSet) -> String {
    let pairs = |set: &LabelSet| set.iter().map(|(n, v)| format!("{n}={v:?}")).collect::<Vec<_>>().join(", ");
    format!("{{{}}} {{{}}}", pairs(labels), pairs(texts))
}

fn sample(metric: &Metric, item: &Item) -> String {
    let shown = metric.to_string();
    let name = if shown.is_empty() { "{}" } else { &shown };
    match item {
        Item::Float(value) => format!("{name} {}", series::promql::json_float(*value)),
        other => format!("{name} {other:?}"),
    }
}

/// What is only in one of two lists, each thing as often as it is there.
fn difference(expected: Vec<String>, found: Vec<String>) -> Vec<String> {
    let (mut missing, mut surplus) = (expected, Vec::new());
    for one in found {
        match missing.iter().position(|wanted| *wanted == one) {
            Some(at) => drop(missing.swap_remove(at)),
            None => surplus.push(one),
        }
    }
    missing.sort_unstable();
    surplus.sort_unstable();
    let lines = missing.iter().map(|line| format!("- {line}"));
    lines.chain(surplus.iter().map(|line| format!("+ {line}"))).collect()
}

fn shown(at_ms: i64) -> String {
    kernel::clock::format_duration(std::time::Duration::from_millis(at_ms.unsigned_abs()))
}
