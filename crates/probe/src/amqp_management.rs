//! AMQP management: are the nodes of a broker well, and do messages pile up? Over the broker's HTTP interface; reads only.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::env::Failure;
use crate::http::{Answer, Ask, under};
use crate::outcome::{Outcome, State};
use crate::params::{ParamError, Pattern, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_web_address;
use crate::web::{Access, Findings};

/// Parameters of `amqp-management`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AmqpManagement {
    /// Regular expression: only queues whose name it matches are judged; all when left out.
    queues: Option<Pattern>,
    /// WARNING when a queue has at least so many messages.
    warn_messages: Option<u64>,
    /// CRITICAL when a queue has at least so many messages.
    critical_messages: Option<u64>,
    /// CRITICAL when a queue has fewer consumers.
    min_consumers: u64,
    /// CRITICAL when fewer nodes run.
    min_nodes: u32,
    /// How to get at it.
    #[serde(flatten)]
    access: Access,
}

const LIST_LIMIT_BYTES: usize = 32 << 20;
const MAX_READINGS: usize = 200;

impl Check for AmqpManagement {
    const NAME: &'static str = "amqp-management";
    const TITLE: &'static str = "AMQP management";
    const HELP: &'static str =
        "Asks a broker's management interface for alarms and partitions of its nodes, and judges the length of queues.";
    const TARGET: &'static str = "the web address of the interface, for example http://mq-1.example.org:15672/";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = self.access.problems(target);
        let bounds = ("warn_messages", "critical_messages");
        problems.extend(ordered(bounds, self.warn_messages, self.critical_messages, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let base = parse_web_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let ask = |path: &str| self.access.ask(Ask::get(under(&base, path))).at_most(LIST_LIMIT_BYTES);
        let (overview, _) = ask("api/overview").json(cx).await?;
        let (nodes, _) = ask("api/nodes").json(cx).await?;
        let fields =
            "api/queues?columns=name,vhost,messages,consumers,state&disable_stats=true&enable_queue_totals=true";
        let (queues, answer) = ask(fields).json(cx).await?;
        let lists = nodes.as_array().zip(queues.as_array());
        let (nodes, queues) =
            lists.ok_or_else(|| Failure::Peer(format!("{base} is no management interface: it lists nothing")))?;
        Ok(decide(self, &overview, nodes, queues, &Answer { url: base, ..answer }))
    }
}

/// The whole judgement.
pub fn decide(want: &AmqpManagement, overview: &Value, nodes: &[Value], queues: &[Value], answer: &Answer) -> Outcome {
    let mut findings = Findings::default();
    let mut running = 0;
    for node in nodes {
        let name = node["name"].as_str().unwrap_or("without a name");
        if node["running"] == true {
            running += 1;
        } else {
            findings.add(State::Critical, format!("the node {name} does not run"));
        }
        for (alarm, what) in [("mem_alarm", "is short of memory"), ("disk_free_alarm", "is short of disk")] {
            if node[alarm] == true {
                findings.add(State::Critical, format!("the node {name} {what} and takes no messages"));
            }
        }
        if node["partitions"].as_array().is_some_and(|partitions| !partitions.is_empty()) {
            findings.add(State::Critical, format!("the node {name} sees a partition of the cluster"));
        }
    }
    if running < want.min_nodes {
        findings.add(State::Critical, format!("{running} nodes run, where at least {} must", want.min_nodes));
    }
    let mut readings = Vec::new();
    for queue in queues {
        let name = queue["name"].as_str().unwrap_or_default();
        if want.queues.as_ref().is_some_and(|pattern| !pattern.0.is_match(name.as_bytes())) {
            continue;
        }
        let messages = queue["messages"].as_u64().unwrap_or(0);
        let above = |bound: Option<u64>| bound.is_some_and(|bound| messages >= bound);
        if above(want.critical_messages) || above(want.warn_messages) {
            let state = if above(want.critical_messages) { State::Critical } else { State::Warning };
            findings.add(state, format!("the queue {name} has {messages} messages"));
        }
        let consumers = queue["consumers"].as_u64().unwrap_or(0);
        if consumers < want.min_consumers {
            let wanted = want.min_consumers;
            findings.add(State::Critical, format!("the queue {name} has {consumers} of {wanted} consumers"));
        }
        readings.push((name, queue["vhost"].as_str().unwrap_or("/"), messages));
    }
    let (state, end) = findings.verdict();
    let version = overview["rabbitmq_version"].as_str().or(overview["product_version"].as_str()).unwrap_or("unknown");
    let sentence = format!(
        "{} (version {version}) has {running} of {} nodes running and {} queues{end}",
        answer.url,
        nodes.len(),
        queues.len()
    );
    let mut outcome = want
        .access
        .outcome("amqp_management", answer, state, &sentence)
        .with("amqp_management_nodes_count", f64::from(running), "")
        .with("amqp_management_queues_count", queues.len() as f64, "");
    for (name, vhost, messages) in readings.into_iter().take(MAX_READINGS) {
        let labels = [("queue", name), ("vhost", vhost)];
        outcome = outcome.with_labels("amqp_management_messages_count", messages as f64, "", &labels);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::web;

    #[test]
    fn alarms_and_lengths_decide() {
        let well =
            json!({"name": "mq-1", "running": true, "mem_alarm": false, "disk_free_alarm": false, "partitions": []});
        let full = json!({"name": "mq-1", "running": true, "disk_free_alarm": true, "partitions": ["mq-2"]});
        for (params, node, state, part) in [
            (json!({}), &well, State::Ok, "1 of 1 nodes running and 1 queues"),
            (json!({}), &full, State::Critical, "is short of disk"),
            (json!({"warn_messages": 12}), &well, State::Warning, "the queue mail has 12 messages"),
            (json!({"critical_messages": 10}), &well, State::Critical, "12 messages"),
            (json!({"critical_messages": 10, "queues": "^print"}), &well, State::Ok, "running"),
            (json!({"min_consumers": 2}), &well, State::Critical, "1 of 2 consumers"),
            (json!({"min_nodes": 3}), &well, State::Critical, "at least 3 must"),
        ] {
            let want: AmqpManagement = serde_json::from_value(params.clone()).unwrap();
            let queues = [json!({"name": "mail", "vhost": "/", "messages": 12, "consumers": 1})];
            let answer = web::answer("http://mq:15672/", "");
            let outcome = decide(&want, &json!({}), std::slice::from_ref(node), &queues, &answer);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }
}
