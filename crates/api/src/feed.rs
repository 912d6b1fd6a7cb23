//! The journal as pages and as a live feed of server-sent events that can be resumed.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use kernel::Session;
use kernel::backend::JournalQuery;
use kernel::filter::{Term, parse};
use kernel::journal::Entry;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;

use crate::app::{App, Peer};
use crate::caller::Caller;
use crate::openapi::entry_list;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::{Path, Query};

/// How often a feed asks again whether its caller may still read.
const RECHECK: Duration = Duration::from_secs(5);

/// Operations on the journal.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let seq = || json!({"type": "integer", "minimum": 0});
    let limit = || json!({"type": "integer", "minimum": 1, "maximum": 1000});
    vec![
        Operation::new(Method::GET, "/api/v1/journal", "list_journal", "What happened: after since oldest first, or below before newest first.")
            .query("since", "After this sequence", seq())
            .query("before", "Below this sequence, newest first; 0 for the newest", seq())
            .query("limit", "Entries, 1 to 1000", limit())
            .query("class", "Only of this class", text())
            .query("key", "Only of this record; needs class", text())
            .answers(200, entry_list())
            .by(journal),
        Operation::new(Method::GET, "/api/v1/records/{class}/{key}/journal", "list_record_journal", "What happened to a record, newest first; with since, oldest first after it.")
            .query("since", "After this sequence", seq())
            .query("before", "Below this sequence", seq())
            .query("limit", "Entries, 1 to 1000", limit())
            .answers(200, entry_list())
            .by(record_journal),
        Operation::new(Method::GET, "/api/v1/stream", "stream_journal", "The journal as it grows: server-sent events named entry, whose id is the sequence. Resumes after Last-Event-ID or since.")
            .query("since", "After this sequence; the present when left out", seq())
            .query("filter", "class:incident key:INC-7 action:acknowledge actor:person:ana", text())
            .answers(200, text())
            .gives("text/event-stream")
            .by(stream),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalAsk {
    since: Option<u64>,
    before: Option<u64>,
    #[serde(default = "hundred")]
    limit: usize,
    class: Option<String>,
    key: Option<String>,
}

fn hundred() -> usize {
    100
}

async fn journal(State(app): State<App>, who: Caller, Query(q): Query<JournalAsk>) -> Result<Json<Value>, Problem> {
    let mut query = asked(q.since, q.before, q.limit)?;
    match (&q.class, &q.key) {
        (Some(class), Some(key)) => query.subject = Some(app.kernel.get(&who.session, class, key).await?.id),
        (Some(class), None) => query.kinds = vec![app.kernel.registry().need(class)?.name.clone()],
        (None, Some(_)) => return Err(Problem::field("key", "needs class beside it")),
        (None, None) => {}
    }
    answer(&app, &who.session, query).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordAsk {
    since: Option<u64>,
    before: Option<u64>,
    #[serde(default = "hundred")]
    limit: usize,
}

async fn record_journal(
    State(app): State<App>,
    who: Caller,
    Path((class, key)): Path<(String, String)>,
    Query(q): Query<RecordAsk>,
) -> Result<Json<Value>, Problem> {
    let record = app.kernel.get(&who.session, &class, &key).await?;
    let before = if q.since.is_none() { q.before.or(Some(0)) } else { q.before };
    let mut query = asked(q.since, before, q.limit)?;
    query.subject = Some(record.id);
    answer(&app, &who.session, query).await
}

fn asked(since: Option<u64>, before: Option<u64>, limit: usize) -> Result<JournalQuery, Problem> {
    if !(1..=1000).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to 1000, not {limit}")));
    }
    let most = i64::MAX.unsigned_abs();
    let before = before.map(|b| if b == 0 { most } else { b.min(most) });
    Ok(JournalQuery { since: since.unwrap_or(0).min(most), before, limit, ..JournalQuery::default() })
}

async fn answer(app: &App, session: &Session, query: JournalQuery) -> Result<Json<Value>, Problem> {
    let (entries, next) = app.kernel.journal(session, query).await?;
    let entries: Vec<Value> = entries.iter().map(|e| entry_view(app, e)).collect();
    Ok(Json(json!({"entries": entries, "next": next})))
}

/// An entry as JSON.
pub fn entry_view(app: &App, entry: &Entry) -> Value {
    let mut view = serde_json::to_value(entry).expect("an entry is plain data");
    if let (Some(object), Some(tenant)) = (view.as_object_mut(), entry.tenant) {
        object.insert("tenant".into(), app.kernel.tenant_key(tenant).into());
    }
    view
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamAsk {
    since: Option<u64>,
    #[serde(default)]
    filter: String,
}

struct Feed {
    app: App,
    session: Session,
    headers: HeaderMap,
    peer: Peer,
    terms: Vec<Term>,
    since: u64,
    ready: std::collections::VecDeque<Entry>,
    head: tokio::sync::watch::Receiver<u64>,
    checked: kernel::Time,
}

async fn stream(
    State(app): State<App>,
    who: Caller,
    request: axum::extract::Request,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let (mut parts, _) = request.into_parts();
    let Query(q): Query<StreamAsk> =
        <Query<StreamAsk> as axum::extract::FromRequestParts<App>>::from_request_parts(&mut parts, &app).await?;
    let terms = parse(&q.filter)?;
    for term in &terms {
        let known = ["class", "key", "action", "actor"];
        if !term.name.as_deref().is_some_and(|n| known.contains(&n)) {
            return Err(Problem::field("filter", "the feed is filtered by class:, key:, action: and actor:"));
        }
    }
    let last = parts.headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let head = app.kernel.head();
    let now = *head.borrow();
    let peer = crate::caller::peer_of(&parts);
    let checked = app.kernel.now();
    let since = last.or(q.since).unwrap_or(now);
    let feed = Feed {
        app,
        session: who.session,
        headers: parts.headers,
        peer,
        terms,
        since,
        ready: Default::default(),
        head,
        checked,
    };
    let events = futures::stream::unfold(feed, |mut feed| async move {
        let entry = feed.next().await?;
        let data = entry_view(&feed.app, &entry).to_string();
        Some((Ok(Event::default().event("entry").id(entry.seq.to_string()).data(data)), feed))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

impl Feed {
    /// The next entry that the caller may see and asked for; `None` when the caller may no longer read at all.
    async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            if self.app.kernel.now().since(self.checked) >= RECHECK {
                self.checked = self.app.kernel.now();
                let (session, _) = self.app.gate.authenticate(&self.headers, &self.peer).await.ok()?;
                self.session = session;
            }
            self.head.borrow_and_update();
            let query = JournalQuery {
                tenant: Some(self.session.tenant()),
                since: self.since,
                limit: 500,
                ..JournalQuery::default()
            };
            let entries = self.app.kernel.backend().journal(&query).await.ok()?;
            let more = !entries.is_empty();
            for entry in entries {
                self.since = entry.seq;
                if self.terms.iter().all(|t| fits(t, &entry))
                    && self.app.kernel.may_see_entry(&self.session, &entry).await.unwrap_or(false)
                {
                    self.ready.push_back(entry);
                }
            }
            if !more {
                let _ = tokio::time::timeout(RECHECK, self.head.changed()).await;
            }
        }
    }
}

fn fits(term: &Term, entry: &Entry) -> bool {
    let actor = entry.actor.to_string();
    let value = match term.name.as_deref() {
        Some("class") => entry.class.as_str(),
        Some("key") => &entry.subject,
        Some("action") => &entry.action,
        _ => &actor,
    };
    let found =
        term.values.iter().any(|(v, _)| v == value || term.name.as_deref() == Some("actor") && *v == entry.actor.key);
    found != term.negated
}
