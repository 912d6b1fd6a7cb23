//! JMX over HTTP: are a Java program's attributes as expected? By Jolokia's protocol, or from a page that lists beans.
//!
//! Reads attributes only: no operation is called and no attribute written, whatever the agent would allow.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::env::Failure;
use crate::facts::{Conditions, Facts, judge, with_named};
use crate::http::{Answer, Ask};
use crate::outcome::{Outcome, excerpt};
use crate::params::ParamError;
use crate::protocol::{Check, Cx};
use crate::target::parse_web_address;
use crate::web::Access;

/// Parameters of `jmx`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Jmx {
    /// Attributes and what they must be: {"java.lang:type=Memory HeapMemoryUsage.used": "< 2000000000"}. A bean's name, a
    /// space, the attribute, and for values with parts a dot and the part. At most 50.
    values: Conditions,
    /// Who answers: jolokia (an agent that speaks Jolokia's protocol), or page (a page of JSON that lists beans and takes
    /// a query in qry, as Hadoop's programs have it at /jmx).
    dialect: Dialect,
    /// How to get at it.
    #[serde(flatten)]
    access: Access,
}

/// How beans are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Jolokia's protocol, version 7.
    #[default]
    Jolokia,
    /// A page of beans.
    Page,
}

const MAX_VALUES: usize = 50;
/// What every Java program has, and which readings it becomes.
const USUAL: &[(&str, &str, &str)] = &[
    ("java.lang:type=Memory HeapMemoryUsage.used", "jmx_heap_used_bytes", "bytes"),
    ("java.lang:type=Memory HeapMemoryUsage.max", "jmx_heap_limit_bytes", "bytes"),
    ("java.lang:type=Threading ThreadCount", "jmx_threads_count", ""),
    ("java.lang:type=Runtime Uptime", "jmx_uptime_milliseconds", "milliseconds"),
];

impl Check for Jmx {
    const NAME: &'static str = "jmx";
    const TITLE: &'static str = "JMX over HTTP";
    const HELP: &'static str =
        "Reads attributes of a Java program through Jolokia or a page of beans, and judges them.";
    const TARGET: &'static str = "the web address of the agent, for example http://app-1.example.org:8778/jolokia/";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = self.access.problems(target);
        if self.values.len() > MAX_VALUES {
            problems.push(ParamError::new("values", format!("has more than {MAX_VALUES} attributes")));
        }
        for name in self.values.keys().filter(|name| parse_attribute(name.as_bytes()).is_err()) {
            let like = "write for example \"java.lang:type=Threading ThreadCount\"";
            problems.push(ParamError::new("values", format!("{name:?} names no attribute of a bean; {like}")));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let url = parse_web_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let wanted: Vec<Attribute> = USUAL
            .iter()
            .map(|(name, _, _)| *name)
            .chain(self.values.keys().map(String::as_str))
            .filter_map(|name| parse_attribute(name.as_bytes()).ok())
            .collect();
        if self.dialect == Dialect::Jolokia {
            let body = ask_for(&wanted).to_string().into_bytes();
            let (json, answer) = self.access.ask(Ask::post(url, "application/json", body)).json(cx).await?;
            let facts = parse_jolokia(&json, &wanted).map_err(|why| Failure::Peer(format!("{} {why}", answer.url)))?;
            return Ok(decide(self, &facts, &answer));
        }
        let beans: BTreeSet<&str> = wanted.iter().map(|attribute| attribute.bean.as_str()).collect();
        let mut facts = Facts::new();
        let mut last = None;
        for bean in beans {
            let mut page = url.clone();
            page.query_pairs_mut().clear().append_pair("qry", bean);
            let (json, answer) = self.access.ask(Ask::get(page)).json(cx).await?;
            let found = parse_page(&json, &wanted).map_err(|why| Failure::Peer(format!("{} {why}", answer.url)))?;
            facts.extend(found);
            last = Some(Answer { url: url.clone(), ..answer });
        }
        Ok(decide(self, &facts, &last.expect("the usual beans are asked for")))
    }
}

/// An attribute of a bean, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    text: String,
    bean: String,
    name: String,
    part: Option<String>,
}

/// Reads `java.lang:type=Memory HeapMemoryUsage.used`.
///
/// # Errors
/// A sentence, when the text names no attribute.
pub fn parse_attribute(bytes: &[u8]) -> Result<Attribute, String> {
    let wrong = || format!("{} names no attribute of a bean", excerpt(bytes));
    let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    let (bean, attribute) = text.rsplit_once(' ').ok_or_else(wrong)?;
    let (domain, keys) = bean.split_once(':').ok_or_else(wrong)?;
    let (name, part) =
        attribute.split_once('.').map_or((attribute, None), |(name, part)| (name, Some(part.to_owned())));
    if domain.is_empty() || !keys.contains('=') || name.is_empty() || bean.contains('*') {
        return Err(wrong());
    }
    Ok(Attribute { text: text.to_owned(), bean: bean.to_owned(), name: name.to_owned(), part })
}

fn ask_for(wanted: &[Attribute]) -> Value {
    let asks = wanted.iter().map(|one| json!({"type": "read", "mbean": one.bean, "attribute": one.name}));
    Value::Array(asks.collect())
}

/// Reads the answer to several reads: an array in the same order.
///
/// # Errors
/// When it is none, as the end of a sentence about the peer.
pub fn parse_jolokia(json: &Value, wanted: &[Attribute]) -> Result<Facts, String> {
    let answers = json.as_array().filter(|answers| answers.len() == wanted.len());
    let answers = answers.ok_or_else(|| format!("does not speak Jolokia: {}", excerpt(json.to_string().as_bytes())))?;
    let mut facts = Facts::new();
    for (attribute, answer) in wanted.iter().zip(answers) {
        if answer["status"] == 200 {
            keep(&mut facts, attribute, &answer["value"]);
        }
    }
    Ok(facts)
}

/// Reads a page of beans.
///
/// # Errors
/// When it is none, as the end of a sentence about the peer.
pub fn parse_page(json: &Value, wanted: &[Attribute]) -> Result<Facts, String> {
    let beans = json["beans"].as_array().ok_or("is no page of beans: it has no \"beans\"")?;
    let named: BTreeMap<&str, &Value> = beans.iter().filter_map(|bean| Some((bean["name"].as_str()?, bean))).collect();
    let mut facts = Facts::new();
    for attribute in wanted {
        if let Some(bean) = named.get(attribute.bean.as_str()) {
            keep(&mut facts, attribute, &bean[attribute.name.as_str()]);
        }
    }
    Ok(facts)
}

fn keep(facts: &mut Facts, attribute: &Attribute, value: &Value) {
    let value = attribute.part.as_ref().map_or(value, |part| &value[part.as_str()]);
    let text = match value {
        Value::Null => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    facts.insert(attribute.text.clone(), text);
}

/// The whole judgement.
pub fn decide(want: &Jmx, facts: &Facts, answer: &Answer) -> Outcome {
    let (state, end) = judge(&want.values, facts);
    let heap = facts.get(USUAL[0].0).and_then(|used| used.parse::<f64>().ok());
    let heap = heap.map(|used| format!(", {:.0} MiB of heap in use", used / f64::from(1 << 20))).unwrap_or_default();
    let sentence = format!("{} tells {} attributes{heap}{end}", answer.url, facts.len());
    let mut outcome = want.access.outcome("jmx", answer, state, &sentence);
    for (name, reading, unit) in USUAL {
        if let Some(value) = facts.get(*name).and_then(|value| value.parse::<f64>().ok()).filter(|value| *value >= 0.0)
        {
            outcome = outcome.with(reading, value, unit);
        }
    }
    with_named(outcome, "jmx", &want.values, facts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::State;
    use crate::web;

    #[test]
    fn attributes_and_their_parts_decide() {
        let answers = json!([
            {"status": 200, "value": {"used": 104_857_600, "max": -1}},
            {"status": 200, "value": {"used": 104_857_600, "max": -1}},
            {"status": 200, "value": 21},
            {"status": 404, "error": "no such bean"},
            {"status": 200, "value": "RUNNING"},
        ]);
        for (params, state, part) in [
            (json!({"values": {"app:name=a b,type=x State": "RUNNING"}}), State::Ok, "100 MiB of heap in use"),
            (json!({"values": {"app:name=a b,type=x State": "STOPPED"}}), State::Critical, "State is \"RUNNING\""),
            (json!({"values": {"app:type=gone Count": "1"}}), State::Critical, "is not among its values"),
        ] {
            let want: Jmx = serde_json::from_value(params.clone()).unwrap();
            let mut wanted: Vec<Attribute> =
                USUAL.iter().map(|(name, _, _)| parse_attribute(name.as_bytes()).unwrap()).collect();
            wanted.push(parse_attribute(b"app:name=a b,type=x State").unwrap());
            let facts = parse_jolokia(&answers, &wanted).unwrap();
            let outcome = decide(&want, &facts, &web::answer("http://a/jolokia/", ""));
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("jmx_threads_count"), Some(21.0));
            assert_eq!(outcome.reading("jmx_heap_limit_bytes"), None, "-1 means that there is none");
        }
        assert!(parse_jolokia(&json!({"error": "x"}), &[]).is_err());
    }

    #[test]
    fn a_page_of_beans_says_the_same() {
        let wanted = [parse_attribute(b"Hadoop:service=NameNode,name=FSNamesystem MissingBlocks").unwrap()];
        let page = json!({"beans": [{"name": "Hadoop:service=NameNode,name=FSNamesystem", "MissingBlocks": 0}]});
        assert_eq!(parse_page(&page, &wanted).unwrap().values().next().unwrap(), "0");
        assert!(parse_page(&json!([]), &wanted).is_err());
        for wrong in ["a", "a:b=c", "a:b D", ":b=c D", "a:b=c ", "a:b=* D"] {
            assert!(parse_attribute(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_attribute_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[a:=. ]{0,20}") {
            let _ = (parse_attribute(&bytes), parse_attribute(text.as_bytes()));
        }
    }
}
