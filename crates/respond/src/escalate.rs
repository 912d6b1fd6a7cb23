//! Keeps the promise that somebody is on the way: pages every step of the escalation whose time has come, until someone has it.
//!
//! Woken by any change of an incident and by the clock; told neither. It reads the record as it is, so a lost wake-up costs
//! latency and never a page: after a standstill every due step is paged. A page is a notification record and a job in one commit.

use async_trait::async_trait;
use kernel::act::{Act, Create, Target};
use kernel::clock::parse_duration;
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::job::JobDraft;
use kernel::read::ListAsk;
use kernel::{Id, Record, Time};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a page is tried before it is given up.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);
/// Attempts of a page.
const ATTEMPTS: u32 = 40;

/// Pages people about incidents.
pub struct Escalate;

/// One step of an escalation: when, after the incident began, and whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// After this long.
    pub after: Duration,
    /// Keys of people, teams, schedules or channels.
    pub notify: Vec<String>,
}

/// Whom to tell over which channel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recipient {
    channel: String,
    to: String,
    person: Option<String>,
}

#[async_trait]
impl Controller for Escalate {
    fn name(&self) -> &'static str {
        "respond.escalate"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["incident"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let incident = cx.kernel.get_id(&cx.session, id).await?;
        let channels = channels(cx).await?;
        let rungs = rungs(cx, &incident).await?;
        let decision = decide(&incident, &rungs, cx.kernel.now());
        match &decision {
            Decision::Page { due, next } => {
                if channels.is_empty() {
                    return Ok(Looked::again(
                        cx.kernel.now().plus(Duration::from_secs(30)),
                        "nobody can be paged: there is no channel",
                    ));
                }
                for (step, rung) in rungs.iter().enumerate().take(*due) {
                    for recipient in recipients(cx, rung, &channels).await? {
                        page(cx, &incident, &format!("step {step}"), &recipient).await?;
                    }
                }
                let reason = format!("{}: {due} of {} steps paged", incident.key, rungs.len());
                Ok(next.map_or_else(|| Looked::settled(reason.clone()), |t| Looked::again(t, reason.clone())))
            }
            Decision::Over => {
                tell_over(cx, &incident, &channels).await?;
                Ok(Looked::settled(format!("{} is over", incident.key)))
            }
            Decision::Taken => Ok(Looked::settled(format!("{} is taken", incident.key))),
            Decision::Wait(until) => Ok(Looked::again(*until, format!("{} waits for its first step", incident.key))),
        }
    }
}

/// What is to be done about an incident; the variant is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Somebody has acknowledged it: nobody else is paged.
    Taken,
    /// It is resolved: those who were paged are told.
    Over,
    /// The first step is yet to come.
    Wait(Time),
    /// So many steps are due, and when the next one is.
    Page {
        /// Steps whose time has come, from the first.
        due: usize,
        /// When the next step is due.
        next: Option<Time>,
    },
}

/// The whole policy of escalation, without a clock, a store or a network.
pub fn decide(incident: &Record, rungs: &[Rung], now: Time) -> Decision {
    if !incident.open {
        return Decision::Over;
    }
    let time = |field: &str| incident.get(field).and_then(Value::as_str).and_then(Time::parse);
    if time("acknowledged_at").is_some() {
        return Decision::Taken;
    }
    // A relapse begins the escalation anew.
    let relapsed = incident.int("relapses").unwrap_or(0) > 0;
    let began = if relapsed { incident.state_since } else { time("detected_at").unwrap_or(incident.created) };
    let times: Vec<Time> = rungs.iter().map(|r| began.plus(r.after)).collect();
    let due = times.iter().filter(|t| **t <= now).count();
    let next = times.get(due).copied();
    match (due, next) {
        (0, Some(first)) => Decision::Wait(first),
        (due, next) => Decision::Page { due, next },
    }
}

/// Steps of the policy that the incident names, else of the policy `default`, else every channel at once.
async fn rungs(cx: &Cx, incident: &Record) -> Result<Vec<Rung>, ActError> {
    let named = incident.text("escalation_policy");
    let key = if named.is_empty() { "default" } else { named };
    let policy = cx.kernel.get(&cx.session, "escalation-policy", key).await.ok();
    let steps = policy.as_ref().and_then(|p| p.get("steps")).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut rungs: Vec<Rung> = steps
        .iter()
        .map(|s| Rung {
            after: s.get("after").and_then(Value::as_str).and_then(|t| parse_duration(t).ok()).unwrap_or_default(),
            notify: s
                .get("notify")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        })
        .collect();
    rungs.sort_by_key(|r| r.after);
    if rungs.is_empty() {
        rungs.push(Rung { after: Duration::ZERO, notify: Vec::new() });
    }
    Ok(rungs)
}

/// Channels that are switched on.
async fn channels(cx: &Cx) -> Result<Vec<Record>, ActError> {
    let ask = ListAsk { filter: "enabled:true".into(), sort: "key".into(), limit: 100, ..ListAsk::default() };
    Ok(cx.kernel.list(&cx.session, "channel", &ask).await?.records)
}

/// Whom a step means: a channel itself, a person or team by mail, an on-call schedule's person now. Nobody named: every channel.
async fn recipients(cx: &Cx, rung: &Rung, channels: &[Record]) -> Result<Vec<Recipient>, ActError> {
    let whole = |c: &Record| Recipient { channel: c.key.clone(), to: address_of(c), person: None };
    if rung.notify.is_empty() {
        return Ok(channels.iter().map(whole).collect());
    }
    let mail = channels.iter().find(|c| c.text("type") == "smtp");
    let mut all = Vec::new();
    for key in &rung.notify {
        let Ok(record) = cx.kernel.find(&cx.session, key).await else { continue };
        let person = match record.kind.as_str() {
            "channel" => {
                all.extend(channels.iter().filter(|c| c.id == record.id).map(whole));
                continue;
            }
            "on-call-schedule" => match crate::oncall::now(cx, &record).await? {
                Some(person) => person,
                None => continue,
            },
            _ => record,
        };
        match (mail, person.text("email")) {
            (Some(channel), email) if !email.is_empty() => all.push(Recipient {
                channel: channel.key.clone(),
                to: email.to_owned(),
                person: Some(person.key.clone()),
            }),
            // Nobody is skipped in silence: without an address, every channel is told.
            _ => all.extend(channels.iter().map(whole)),
        }
    }
    all.dedup();
    // A step that reaches nobody would be a page that is silently not sent.
    Ok(if all.is_empty() { channels.iter().map(whole).collect() } else { all })
}

/// Where messages of a channel go that are for nobody in particular: a webhook's to its URL, a mail server's to `to`.
pub fn address_of(channel: &Record) -> String {
    let url = || channel.get("settings").and_then(|s| s.get("url")).and_then(Value::as_str).unwrap_or_default();
    let address = if channel.text("type") == "webhook" { url() } else { channel.text("to") };
    // A channel from before its settings were checked: the provider's refusal will name it.
    if address.is_empty() { channel.key.clone() } else { address.to_owned() }
}

/// One page: record and job in one commit; the key makes repeating it harmless, and a relapse page again.
async fn page(cx: &Cx, incident: &Record, step: &str, recipient: &Recipient) -> Result<(), ActError> {
    let round = incident.int("relapses").unwrap_or(0);
    let once = format!("page:{}:{round}:{step}:{}:{}", incident.id, recipient.channel, recipient.to);
    let now = cx.kernel.now();
    let id = Id::new(now);
    let mut create = Create::of("notification", notification(incident, recipient, id)).linked("about", incident.id);
    create.id = Some(id);
    let job = JobDraft {
        id: Id::new(now),
        kind: crate::page::JOB.into(),
        args: json!({"notification": id}),
        run_at: now,
        deadline: Some(now.plus(DEADLINE)),
        max_attempts: ATTEMPTS,
        idempotency: Some(once.clone()),
        cause: None,
    };
    cx.kernel.acts(&cx.session, vec![Act::Create(create), Act::Enqueue(job)], Some((once, [0; 32]))).await?;
    Ok(())
}

/// The page id is that of the notification: the same on every attempt, so that a provider can tell a repeat.
fn notification(incident: &Record, recipient: &Recipient, id: Id) -> Value {
    let subject = if incident.open {
        format!("[{}] {}", incident.key, incident.title)
    } else {
        format!("[{}] resolved: {}", incident.key, incident.title)
    };
    let priority = incident.int("priority").map(|p| format!("Priority {p}. ")).unwrap_or_default();
    let text = format!(
        "{priority}{}\n\nState: {}\nSince: {}\n",
        incident.text("description"),
        incident.state,
        incident.text("started_at")
    );
    let mut fields = json!({"channel": recipient.channel, "recipient": recipient.to, "subject": subject.chars().take(300).collect::<String>(), "text": text, "page_id": id});
    if let (Some(person), Some(object)) = (&recipient.person, fields.as_object_mut()) {
        object.insert("person".into(), person.clone().into());
    }
    fields
}

/// Everybody who was paged hears that it is over.
async fn tell_over(cx: &Cx, incident: &Record, channels: &[Record]) -> Result<(), ActError> {
    if incident.state != "resolved" {
        return Ok(());
    }
    let mut told: Vec<Recipient> = Vec::new();
    for neighbour in cx.kernel.backend().neighbours(cx.tenant, incident.id).await? {
        if neighbour.other.kind.as_str() != "notification" {
            continue;
        }
        let Some(sent) = cx.kernel.backend().get(cx.tenant, neighbour.other.id).await? else { continue };
        let recipient = Recipient {
            channel: sent.text("channel").to_owned(),
            to: sent.text("recipient").to_owned(),
            person: sent.get("person").and_then(Value::as_str).map(str::to_owned),
        };
        if channels.iter().any(|c| c.key == recipient.channel) && !told.contains(&recipient) {
            told.push(recipient);
        }
    }
    for recipient in told {
        page(cx, incident, "over", &recipient).await?;
    }
    Ok(())
}

/// Target of a record; for tests of other files.
pub(crate) fn target(record: &Record) -> Target {
    Target::Id(record.id)
}
