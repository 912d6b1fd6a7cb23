//! The kernel's `Backend`, call by call: which go to the writer, which to the readers.

use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use kernel::backend::{Answer, Backend, Commit, Committed, ControllerState, JournalQuery, Page, Touched};
use kernel::class::ClassRef;
use kernel::clock::Time;
use kernel::ids::{Id, Kind, TenantId};
use kernel::interval::Interval;
use kernel::job::{Job, Lease};
use kernel::link::{Graph, Link, Neighbour, Walk};
use kernel::observation::Observation;
use kernel::query::{Column, Predicate, Query, Total};
use kernel::record::Record;

use crate::conn::at_one_moment;
use crate::steps::Ready;
use crate::store::Store;
use crate::{graph, history, jobs, journal, layout, observe, pages, rows, small};

/// Names of job kinds, to be sent to another thread.
fn owned(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(|k| (*k).to_owned()).collect()
}

#[async_trait]
impl Backend for Store {
    async fn fit(&self, classes: &[ClassRef]) -> Answer<()> {
        let classes = classes.to_vec();
        self.write(false, move |group| {
            let fitted = layout::fit(group.writing(), &classes)?;
            group.set_classes(fitted);
            Ok(())
        })
        .await
    }

    async fn commit(&self, commit: Commit) -> Answer<Committed> {
        let ready = Ready::new(commit);
        self.write(ready.vital(), move |group| ready.run(group)).await
    }

    async fn get(&self, tenant: TenantId, id: Id) -> Answer<Option<Record>> {
        self.read(move |conn, classes| Ok(rows::get(conn, classes, tenant, &id)?.map(|s| s.record))).await
    }

    async fn by_key(&self, tenant: TenantId, key: &str) -> Answer<Option<Record>> {
        let key = key.to_owned();
        self.read(move |conn, classes| {
            let found = rows::find_key(conn, tenant, &key)?;
            Ok(rows::load(conn, classes, found, |r| r.key == key && r.tenant == tenant, &key)?.map(|s| s.record))
        })
        .await
    }

    async fn page(&self, tenant: TenantId, query: &Query) -> Answer<Page> {
        let query = query.clone();
        self.read(move |conn, classes| Ok(pages::page(conn, classes, tenant, &query)?)).await
    }

    async fn total(&self, tenant: TenantId, kind: &Kind, predicate: &Predicate, cap: u64) -> Answer<Total> {
        let (kind, predicate) = (kind.clone(), predicate.clone());
        self.read(move |conn, classes| Ok(pages::total(conn, classes, tenant, &kind, &predicate, cap)?)).await
    }

    async fn counts(
        &self,
        tenant: TenantId,
        kind: &Kind,
        predicate: &Predicate,
        by: &Column,
    ) -> Answer<Vec<(Value, u64)>> {
        let (kind, predicate, by) = (kind.clone(), predicate.clone(), by.clone());
        self.read(move |conn, classes| Ok(pages::counts(conn, classes, tenant, &kind, &predicate, &by)?)).await
    }

    async fn search(
        &self,
        tenant: TenantId,
        words: &[String],
        readable: &[(Kind, Predicate)],
        limit: usize,
    ) -> Answer<Vec<Record>> {
        let (words, readable) = (words.to_vec(), readable.to_vec());
        self.read(move |conn, classes| {
            at_one_moment(conn, |conn| Ok(pages::search(conn, classes, tenant, &words, &readable, limit)?))
        })
        .await
    }

    async fn neighbours(&self, tenant: TenantId, id: Id) -> Answer<Vec<Neighbour>> {
        self.read(move |conn, classes| at_one_moment(conn, |conn| graph::neighbours(conn, classes, tenant, &id))).await
    }

    async fn linked(&self, tenant: TenantId, link: &Link) -> Answer<bool> {
        let link = link.clone();
        self.read(move |conn, _| graph::linked(conn, tenant, &link)).await
    }

    async fn walk(&self, tenant: TenantId, start: Id, walk: &Walk) -> Answer<Graph> {
        let walk = walk.clone();
        self.read(move |conn, classes| at_one_moment(conn, |conn| graph::walk(conn, classes, tenant, start, &walk)))
            .await
    }

    async fn journal(&self, query: &JournalQuery) -> Answer<Vec<kernel::journal::Entry>> {
        let query = query.clone();
        self.read(move |conn, _| Ok(journal::entries(conn, &query)?)).await
    }

    async fn head(&self) -> Answer<u64> {
        self.read(|conn, _| Ok(journal::head(conn)?)).await
    }

    async fn touched_after(&self, kinds: &[Kind], seq: u64, limit: usize) -> Answer<Vec<Touched>> {
        let kinds = kinds.to_vec();
        self.read(move |conn, _| Ok(journal::touched_after(conn, &kinds, seq, limit)?)).await
    }

    async fn scan(
        &self,
        kind: &Kind,
        tenant: Option<TenantId>,
        only_open: bool,
        after: Option<Id>,
        limit: usize,
    ) -> Answer<Vec<(TenantId, Id)>> {
        let kind = kind.clone();
        self.read(move |conn, classes| Ok(pages::scan(conn, classes, &kind, tenant, only_open, after, limit)?)).await
    }

    async fn intervals(
        &self,
        tenant: TenantId,
        subject: Id,
        from: Time,
        to: Time,
        limit: usize,
    ) -> Answer<Vec<Interval>> {
        self.read(move |conn, _| Ok(history::intervals(conn, tenant, &subject, from, to, limit)?)).await
    }

    async fn interval(&self, tenant: TenantId, id: Id) -> Answer<Option<Interval>> {
        self.read(move |conn, _| Ok(history::interval(conn, tenant, &id)?)).await
    }

    async fn observations(
        &self,
        tenant: TenantId,
        subject: Id,
        table: Option<&str>,
        containing: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Vec<Observation>> {
        let (table, containing, after) = (table.map(str::to_owned), containing.to_owned(), after.map(str::to_owned));
        self.read(move |conn, _| {
            let asked = observe::Asked {
                subject,
                table: table.as_deref(),
                containing: &containing,
                after: after.as_deref(),
                limit,
            };
            Ok(observe::rows(conn, tenant, &asked)?)
        })
        .await
    }

    async fn observation_history(
        &self,
        tenant: TenantId,
        subject: Id,
        table: &str,
        item: &str,
        limit: usize,
    ) -> Answer<Vec<Observation>> {
        let (table, item) = (table.to_owned(), item.to_owned());
        self.read(move |conn, _| Ok(observe::history(conn, tenant, &subject, &table, &item, limit)?)).await
    }

    async fn observed_tables(&self, tenant: TenantId, subject: Id) -> Answer<BTreeMap<String, u64>> {
        self.read(move |conn, _| Ok(observe::tables(conn, tenant, &subject)?)).await
    }

    async fn lease(&self, kinds: &[&str], lease: &Lease, limit: usize) -> Answer<Vec<Job>> {
        let (kinds, lease) = (owned(kinds), lease.clone());
        // Looked at by a reader first: an idle worker must not cost a write to disk.
        let asked = kinds.clone();
        let due = self.read(move |conn, _| Ok(jobs::next_due(conn, &asked)?)).await?;
        if due.is_none_or(|t| t > lease.now) {
            return Ok(Vec::new());
        }
        self.write(true, move |group| {
            group.changes_no_record();
            jobs::lease(group, &kinds, &lease, limit)
        })
        .await
    }

    async fn heartbeat(&self, job: Id, lease: &Lease) -> Answer<bool> {
        let lease = lease.clone();
        self.write(true, move |group| {
            group.changes_no_record();
            jobs::heartbeat(group, &job, &lease)
        })
        .await
    }

    async fn jobs(&self, tenant: Option<TenantId>, state: Option<&str>, limit: usize) -> Answer<Vec<Job>> {
        let state = state.map(str::to_owned);
        self.read(move |conn, _| Ok(jobs::list(conn, tenant, state.as_deref(), limit)?)).await
    }

    async fn next_due(&self, kinds: &[&str]) -> Answer<Option<Time>> {
        let kinds = owned(kinds);
        self.read(move |conn, _| Ok(jobs::next_due(conn, &kinds)?)).await
    }

    async fn controller(&self, name: &str) -> Answer<Option<ControllerState>> {
        let name = name.to_owned();
        self.read(move |conn, _| Ok(small::controller(conn, &name)?)).await
    }

    async fn controllers(&self) -> Answer<Vec<ControllerState>> {
        self.read(|conn, _| Ok(small::controllers(conn)?)).await
    }

    async fn keep_controller(&self, state: &ControllerState) -> Answer<()> {
        let state = state.clone();
        self.write(false, move |group| {
            group.changes_no_record();
            small::keep_controller(group, &state)
        })
        .await
    }

    async fn tenants(&self) -> Answer<Vec<(TenantId, String)>> {
        self.read(|conn, _| Ok(small::tenants(conn)?)).await
    }

    async fn add_tenant(&self, key: &str) -> Answer<TenantId> {
        let key = key.to_owned();
        self.write(false, move |group| small::add_tenant(group, &key)).await
    }

    async fn put_private(&self, area: &str, key: &str, value: Option<&[u8]>) -> Answer<()> {
        let (area, key, value) = (area.to_owned(), key.to_owned(), value.map(<[u8]>::to_vec));
        self.write(true, move |group| small::put_private(group, &area, &key, value.as_deref())).await
    }

    async fn private(&self, area: &str, key: &str) -> Answer<Option<Vec<u8>>> {
        let (area, key) = (area.to_owned(), key.to_owned());
        self.read(move |conn, _| Ok(small::private(conn, &area, &key)?)).await
    }

    async fn privates(&self, area: &str) -> Answer<Vec<(String, Vec<u8>)>> {
        let area = area.to_owned();
        self.read(move |conn, _| Ok(small::privates(conn, &area)?)).await
    }

    async fn claim_private(&self, area: &str, key: &str, value: &[u8]) -> Answer<bool> {
        let (area, key, value) = (area.to_owned(), key.to_owned(), value.to_vec());
        self.write(true, move |group| small::claim_private(group, &area, &key, &value)).await
    }

    fn writable(&self) -> Result<(), String> {
        self.refusal().map_or(Ok(()), Err)
    }

    fn edition(&self) -> Option<u64> {
        // The directory is locked, so nobody else writes there; a PostgreSQL has other servers.
        self.dir.as_ref().map(|_| self.edition.load(Ordering::Acquire))
    }
}
