//! Random operations, done on the store and on a model that is nothing but a map, must leave the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::backend::{Backend, Step};
use kernel::error::StoreError;
use kernel::ids::TenantId;
use kernel::query::Predicate;
use kernel::record::Record;
use proptest::prelude::*;
use serde_json::json;

use crate::kit::*;
use crate::sqlite::open;

#[derive(Clone, Debug)]
enum Op {
    Insert {
        tenant: i64,
        key: u8,
    },
    Update {
        tenant: i64,
        key: u8,
        stale: bool,
        level: i64,
    },
    Delete {
        tenant: i64,
        key: u8,
    },
    Link {
        tenant: i64,
        from: u8,
        to: u8,
    },
    Unlink {
        tenant: i64,
        from: u8,
        to: u8,
    },
    /// Two inserts of which the second may fail: all or nothing.
    Both {
        tenant: i64,
        key: u8,
        other: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (tenant, key) = (1..=2_i64, 0..6_u8);
    prop_oneof![
        (tenant.clone(), key.clone()).prop_map(|(tenant, key)| Op::Insert { tenant, key }),
        (tenant.clone(), key.clone(), any::<bool>(), 0..9_i64).prop_map(|(tenant, key, stale, level)| Op::Update {
            tenant,
            key,
            stale,
            level
        }),
        (tenant.clone(), key.clone()).prop_map(|(tenant, key)| Op::Delete { tenant, key }),
        (tenant.clone(), key.clone(), key.clone()).prop_map(|(tenant, from, to)| Op::Link { tenant, from, to }),
        (tenant.clone(), key.clone(), key.clone()).prop_map(|(tenant, from, to)| Op::Unlink { tenant, from, to }),
        (tenant, key.clone(), key).prop_map(|(tenant, key, other)| Op::Both { tenant, key, other }),
    ]
}

#[derive(Default)]
struct Model {
    records: BTreeMap<(i64, u8), Record>,
    links: Vec<(i64, u8, u8)>,
    entries: u64,
}

impl Model {
    fn live(&self, tenant: i64, key: u8) -> Option<&Record> {
        self.records.get(&(tenant, key)).filter(|r| !r.deleted)
    }

    async fn apply(&mut self, store: &dyn Backend, op: &Op) {
        match *op {
            Op::Insert { tenant, key } => {
                let new = fresh(tenant, key);
                let outcome = insert(store, &new).await;
                assert_eq!(outcome.is_ok(), !self.records.contains_key(&(tenant, key)), "{op:?}");
                if outcome.is_ok() {
                    self.entries += 1;
                    self.records.insert((tenant, key), new);
                }
            }
            Op::Update { tenant, key, stale, level } => {
                let Some(old) = self.records.get(&(tenant, key)).cloned() else { return };
                let (new, mut step) =
                    next(&old, |r| r.fields = serde_json::Map::from_iter([("level".to_owned(), json!(level))]));
                if let (true, Step::Update { expect, .. }) = (stale, &mut step) {
                    *expect += 1;
                }
                let outcome = store.commit(commit(TenantId(tenant), vec![entry(&new, "update"), step])).await;
                assert_eq!(matches!(outcome, Err(StoreError::Stale(_))), stale, "{op:?}: {outcome:?}");
                if !stale {
                    self.entries += 1;
                    self.records.insert((tenant, key), new);
                }
            }
            Op::Delete { tenant, key } => {
                let Some(old) = self.live(tenant, key).cloned() else { return };
                let (new, step) = next(&old, |r| r.deleted = true);
                store.commit(commit(TenantId(tenant), vec![step])).await.unwrap();
                self.records.insert((tenant, key), new);
            }
            Op::Link { tenant, from, to } => {
                let (Some(a), Some(b)) = (self.records.get(&(tenant, from)), self.records.get(&(tenant, to))) else {
                    return;
                };
                let allowed = !a.deleted && !b.deleted && !self.links.contains(&(tenant, from, to));
                let outcome = store.commit(commit(TenantId(tenant), vec![Step::Link(link(a, b))])).await;
                assert_eq!(outcome.is_ok(), allowed, "{op:?}: {outcome:?}");
                if allowed {
                    self.links.push((tenant, from, to));
                }
            }
            Op::Unlink { tenant, from, to } => {
                let (Some(a), Some(b)) = (self.records.get(&(tenant, from)), self.records.get(&(tenant, to))) else {
                    return;
                };
                store.commit(commit(TenantId(tenant), vec![Step::Unlink(link(a, b))])).await.unwrap();
                self.links.retain(|l| *l != (tenant, from, to));
            }
            Op::Both { tenant, key, other } => {
                let (a, b) = (fresh(tenant, key), fresh(tenant, other));
                let mut steps = insert_steps(&a);
                steps.extend(insert_steps(&b));
                let allowed = key != other
                    && !self.records.contains_key(&(tenant, key))
                    && !self.records.contains_key(&(tenant, other));
                let outcome = store.commit(commit(TenantId(tenant), steps)).await;
                assert_eq!(outcome.is_ok(), allowed, "{op:?}: {outcome:?}");
                if allowed {
                    self.entries += 2;
                    self.records.extend([((tenant, key), a), ((tenant, other), b)]);
                }
            }
        }
    }

    async fn compare(&self, store: &dyn Backend) {
        assert_eq!(store.head().await.unwrap(), self.entries);
        for ((tenant, key), record) in &self.records {
            assert_eq!(store.by_key(TenantId(*tenant), &format!("k{key}")).await.unwrap().as_ref(), Some(record));
            let mut seen: Vec<String> = store
                .neighbours(TenantId(*tenant), record.id)
                .await
                .unwrap()
                .into_iter()
                .map(|n| format!("{:?} {}", n.direction, n.other.key))
                .collect();
            let live = |k: u8| self.live(*tenant, k).is_some();
            let out = self
                .links
                .iter()
                .filter(|l| l.0 == *tenant && l.1 == *key && live(l.2))
                .map(|l| format!("Out k{}", l.2));
            let back = self
                .links
                .iter()
                .filter(|l| l.0 == *tenant && l.2 == *key && live(l.1))
                .map(|l| format!("In k{}", l.1));
            let mut wanted: Vec<String> = out.chain(back).collect();
            seen.sort();
            wanted.sort();
            assert_eq!(seen, wanted);
        }
        let listed = paged(store, query("thing", Predicate::All, "key", 2)).await;
        let wanted: Vec<String> =
            self.records.iter().filter(|((t, _), r)| *t == 1 && !r.deleted).map(|(_, r)| r.key.clone()).collect();
        assert_eq!(listed, wanted);
    }
}

fn fresh(tenant: i64, key: u8) -> Record {
    record(TenantId(tenant), "thing", &format!("k{key}"), json!({"level": 0}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_a_map_would_do(ops in proptest::collection::vec(op(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store: Arc<dyn Backend> = open(dir.path());
            let store = fitted(store).await;
            let mut model = Model::default();
            for op in &ops {
                model.apply(&*store, op).await;
            }
            model.compare(&*store).await;
        });
    }
}
