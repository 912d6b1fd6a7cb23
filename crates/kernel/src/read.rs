//! Reading, by what the asker may see. Surfaces read only through here; what may not be read does not exist.
//!
//! Read policies become predicates in the question, so that a list never holds a row that is filtered out afterwards.

use serde_json::Value;

use crate::act::{Kernel, Target};
use crate::backend::JournalQuery;
use crate::class::ClassRef;
use crate::clock::Time;
use crate::error::{ActError, Noun};
use crate::filter;
use crate::ids::{Id, Kind};
use crate::interval::Interval;
use crate::journal::Entry;
use crate::link::{Graph, Neighbour, Walk};
use crate::observation::{Drift, Observation, open_drift};
use crate::plan::{Plan, not_there};
use crate::query::{Cursor, Predicate, Query, Total};
use crate::record::Record;
use crate::session::{Ask, Session};

/// Most records of one page.
pub const MAX_PAGE: usize = 500;
/// Up to which a total is exact.
pub const EXACT_TOTAL: u64 = 10_000;
/// Most records that a walk reaches.
pub const MAX_WALK: usize = 5_000;

/// A question for a list, as a surface hands it in.
#[derive(Clone, Debug, Default)]
pub struct ListAsk {
    /// Filter text.
    pub filter: String,
    /// Sort order; empty: the first of the class.
    pub sort: String,
    /// Page size, 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Whether a total is wanted.
    pub total: bool,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct List {
    /// Records in order.
    pub records: Vec<Record>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// How many there are.
    pub total: Option<Total>,
    /// Keys of records that are damaged and left out.
    pub damaged: Vec<String>,
    /// The filter has no index to go by.
    pub slow: bool,
}

impl Kernel {
    /// What the session may read of a class.
    ///
    /// # Errors
    /// [`ActError::Denied`] when nothing.
    pub fn readable(&self, session: &Session, class: &ClassRef) -> Result<Predicate, ActError> {
        self.policy().readable(session, &class.name).ok_or_else(|| {
            let ask = Ask { operation: "read", kind: &class.name, verb: crate::plan::verb_word(class), record: None };
            let reason = self.policy().decide(session, &ask).reason;
            ActError::Denied {
                actor: session.actor().to_string(),
                operation: "read".into(),
                subject: class.name.to_string(),
                reason,
            }
        })
    }

    /// Asks the policy about an operation that is not on one record, such as `admin`.
    ///
    /// # Errors
    /// [`ActError::Denied`].
    pub fn allow(&self, session: &Session, operation: &str, kind: &str) -> Result<(), ActError> {
        let class = self.registry().need(kind)?;
        Plan::new(self, session).allow(operation, &class, None)
    }

    /// One record.
    ///
    /// # Errors
    /// [`ActError::Unknown`] also when it may not be read; the near keys are not told, as they may be hidden too.
    pub async fn get(&self, session: &Session, kind: &str, key: &str) -> Result<Record, ActError> {
        Plan::new(self, session).load(&Target::key(kind, key)).await
    }

    /// One record by its key alone.
    ///
    /// # Errors
    /// [`ActError::Unknown`].
    pub async fn find(&self, session: &Session, key: &str) -> Result<Record, ActError> {
        let found = self.backend().by_key(session.tenant(), key).await?;
        let unknown = || ActError::Unknown { noun: Noun::Record, name: key.to_owned(), near: Vec::new() };
        let found = found.ok_or_else(unknown)?;
        Plan::new(self, session).load(&Target::Id(found.id)).await.map_err(|_| unknown())
    }

    /// One record by id.
    ///
    /// # Errors
    /// [`ActError::Unknown`].
    pub async fn get_id(&self, session: &Session, id: Id) -> Result<Record, ActError> {
        Plan::new(self, session).load(&Target::Id(id)).await
    }

    /// A page of a class.
    ///
    /// # Errors
    /// A filter that does not fit the class, a limit out of range, a cursor of another list.
    pub async fn list(&self, session: &Session, kind: &str, ask: &ListAsk) -> Result<List, ActError> {
        let class = self.registry().need(kind)?;
        let readable = self.readable(session, &class)?;
        if !(1..=MAX_PAGE).contains(&ask.limit) {
            return Err(ActError::field("limit", format!("must be 1 to {MAX_PAGE}, not {}", ask.limit)));
        }
        let asked = filter::compile(&ask.filter, &class, self.registry(), self.now())?;
        let slow = !asked.indexed();
        let predicate = readable.and(asked);
        let sort = if ask.sort.is_empty() {
            class.sort.first().cloned().unwrap_or_else(|| "-updated".into())
        } else {
            ask.sort.clone()
        };
        let after = match &ask.cursor {
            None => None,
            Some(text) => Some(
                Cursor::decode(text)
                    .ok_or_else(|| ActError::field("cursor", "is not one that a list answered with"))?,
            ),
        };
        let query = Query {
            kind: class.name.clone(),
            predicate,
            sort: filter::sort_key(&sort, &class)?,
            limit: ask.limit,
            after,
        };
        let page = self.backend().page(session.tenant(), &query).await?;
        let total = if ask.total {
            Some(self.backend().total(session.tenant(), &class.name, &query.predicate, EXACT_TOTAL).await?)
        } else {
            None
        };
        let next = if page.more {
            page.records.last().map(|r| Cursor { value: sort_value(r, &query), id: r.id }.encode())
        } else {
            None
        };
        Ok(List { records: page.records, next, total, damaged: page.damaged, slow })
    }

    /// How many records of a class there are by each value of a column or field.
    ///
    /// # Errors
    /// A filter or name that does not fit the class.
    pub async fn counts(
        &self,
        session: &Session,
        kind: &str,
        text: &str,
        by: &str,
    ) -> Result<Vec<(Value, u64)>, ActError> {
        let class = self.registry().need(kind)?;
        let predicate =
            self.readable(session, &class)?.and(filter::compile(text, &class, self.registry(), self.now())?);
        let column = filter::sort_key(by, &class)?.column;
        Ok(self.backend().counts(session.tenant(), &class.name, &predicate, &column).await?)
    }

    /// Links of a record, to what may be read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn links(&self, session: &Session, record: &Record) -> Result<Vec<Neighbour>, ActError> {
        let all = self.backend().neighbours(session.tenant(), record.id).await?;
        let mut seen = Vec::with_capacity(all.len());
        for neighbour in all {
            if self.may_see(session, neighbour.other.id, &neighbour.other.kind).await? {
                seen.push(neighbour);
            }
        }
        Ok(seen)
    }

    /// Whether a record may be read: by its class alone where that decides, else by looking at it.
    async fn may_see(&self, session: &Session, id: Id, kind: &Kind) -> Result<bool, ActError> {
        match self.policy().readable(session, kind) {
            None => Ok(false),
            Some(Predicate::All) => Ok(true),
            Some(_) => match Plan::new(self, session).load(&Target::Id(id)).await {
                Ok(_) => Ok(true),
                Err(ActError::Unknown { .. }) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// A walk over links from a record.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn graph(&self, session: &Session, record: &Record, mut walk: Walk) -> Result<Graph, ActError> {
        walk.limit = walk.limit.min(MAX_WALK);
        let mut graph = self.backend().walk(session.tenant(), record.id, &walk).await?;
        let mut hidden = Vec::new();
        for node in &graph.nodes {
            if !self.may_see(session, node.head.id, &node.head.kind).await? {
                hidden.push(node.head.id);
            }
        }
        graph.nodes.retain(|n| !hidden.contains(&n.head.id));
        graph.links.retain(|l| !hidden.contains(&l.from) && !hidden.contains(&l.to));
        Ok(graph)
    }

    /// Journal entries that may be read. An entry about a record that may not be read is left out.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn journal(
        &self,
        session: &Session,
        mut query: JournalQuery,
    ) -> Result<(Vec<Entry>, Option<u64>), ActError> {
        query.tenant = Some(session.tenant());
        query.limit = query.limit.clamp(1, 1000);
        let entries = self.backend().journal(&query).await?;
        let next = if entries.len() == query.limit { entries.last().map(|e| e.seq) } else { None };
        let mut seen = Vec::with_capacity(entries.len());
        for entry in entries {
            if self.may_see_entry(session, &entry).await? {
                seen.push(entry);
            }
        }
        Ok((seen, next))
    }

    /// Whether an entry may be read: by its class alone where that decides, else by the record it is about.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn may_see_entry(&self, session: &Session, entry: &Entry) -> Result<bool, ActError> {
        if entry.tenant.is_some_and(|t| t != session.tenant()) {
            return Ok(false);
        }
        match (self.policy().readable(session, &entry.class), entry.subject_id) {
            (None, _) => Ok(false),
            (Some(Predicate::All), _) => Ok(true),
            (Some(_), None) => Ok(false),
            (Some(_), Some(id)) => self.may_see(session, id, &entry.class).await,
        }
    }

    /// Intervals of a record.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn intervals(
        &self,
        session: &Session,
        record: &Record,
        from: Time,
        to: Time,
    ) -> Result<Vec<Interval>, ActError> {
        Ok(self.backend().intervals(session.tenant(), record.id, from, to, 1000).await?)
    }

    /// Observed rows of a record: of one table, or its declared fields.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn observations(
        &self,
        session: &Session,
        record: &Record,
        table: Option<&str>,
        containing: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Observation>, ActError> {
        Ok(self
            .backend()
            .observations(session.tenant(), record.id, table, containing, after, limit.clamp(1, 1000))
            .await?)
    }

    /// Where a record's declared fields differ from what is seen, and nobody has accepted it.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn drift(&self, session: &Session, record: &Record) -> Result<Vec<Drift>, ActError> {
        let seen = self.backend().observations(session.tenant(), record.id, None, "", None, 1000).await?;
        Ok(open_drift(&record.fields, &seen))
    }

    /// Full text over everything that may be read, newest first.
    ///
    /// # Errors
    /// No words, or what the backend says.
    pub async fn search(
        &self,
        session: &Session,
        text: &str,
        kinds: &[String],
        limit: usize,
    ) -> Result<Vec<Record>, ActError> {
        let words = filter::words_of(text);
        if words.is_empty() {
            return Err(ActError::field("q", "must have at least one word"));
        }
        let mut readable = Vec::new();
        for class in self.registry().classes() {
            if (kinds.is_empty() || kinds.iter().any(|k| k == class.name.as_str()))
                && let Some(predicate) = self.policy().readable(session, &class.name)
            {
                readable.push((class.name.clone(), predicate));
            }
        }
        Ok(self.backend().search(session.tenant(), &words, &readable, limit.clamp(1, 200)).await?)
    }

    /// The record of a key of any class, or a sentence.
    ///
    /// # Errors
    /// [`ActError::Unknown`].
    pub async fn resolve(&self, session: &Session, kind: &str, key: &str) -> Result<Target, ActError> {
        let record = self.get(session, kind, key).await.map_err(|e| match e {
            ActError::Unknown { .. } => not_there(&Target::key(kind, key)),
            other => other,
        })?;
        Ok(Target::Id(record.id))
    }
}

/// The value that a page's next cursor carries: that of the sort column as the store compares it.
fn sort_value(record: &Record, query: &Query) -> Value {
    crate::eval::value_of(record, &query.sort.column)
}
