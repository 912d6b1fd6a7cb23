//! Matchers find what they mean; numbers are never mistaken.

use super::*;
use proptest::prelude::*;

fn labels(name: &str, job: &str) -> Labels {
    Labels::metric(name, &[("job", job)]).unwrap()
}

pub(super) fn intern(index: &mut Index, tenant: u64, labels: &Labels) -> SeriesId {
    let key = key::of(labels);
    let hash = Index::hash(index.seed(), tenant, &key);
    index.intern(tenant, hash, &key)
}

fn find(index: &Index, tenant: u64, labels: &Labels) -> Option<SeriesId> {
    index.find(Index::hash(index.seed(), tenant, &key::of(labels)))
}

#[test]
fn matchers_find_what_they_mean_and_only_of_their_tenant() {
    let mut index = Index::default();
    for (tenant, name, job) in [(1, "up", "web"), (1, "up", "db"), (1, "load", "web"), (2, "up", "web")] {
        let id = intern(&mut index, tenant, &labels(name, job));
        index.hold(id, Place::Head);
    }
    let found = |tenant, m: &[Matcher]| index.select(tenant, m).into_iter().map(|(l, _)| l).collect::<Vec<_>>();
    assert_eq!(found(1, &[Matcher::eq("__name__", "up")]), [labels("up", "db"), labels("up", "web")]);
    assert_eq!(found(1, &[Matcher::eq("job", "web"), Matcher::eq("__name__", "up")]), [labels("up", "web")]);
    assert_eq!(found(2, &[]), [labels("up", "web")]);
    assert_eq!(found(3, &[]), []);
    assert_eq!(found(1, &[Matcher::eq("job", "none")]), []);
    assert_eq!(found(1, &[Matcher::eq("gone", "")]).len(), 3);
    assert_eq!(index.names(1), ["__name__", "job"]);
    assert_eq!(index.values_of(&index.ids(1, &[Matcher::eq("__name__", "load")]), "job"), ["web"]);
    assert_eq!((index.active(1), index.active(2), index.all_active()), (3, 1, 4));
    assert_eq!(find(&index, 2, &labels("load", "web")), None, "another tenant's series");
}

#[test]
fn a_series_that_nothing_holds_is_forgotten_and_its_number_rests_while_anyone_may_mean_it() {
    let mut index = Index::default();
    let id = intern(&mut index, 1, &labels("up", "web"));
    index.hold(id, Place::Head);
    index.hold(id, Place::Block);
    index.release(id, Place::Head);
    index.bury();
    assert_eq!((index.active(1), index.len()), (0, 1));
    let reader = index.lease();
    index.release(id, Place::Block);
    index.bury();
    assert_eq!((index.len(), index.is_known(id)), (0, false));
    assert!(index.names(1).is_empty());
    let other = intern(&mut index, 1, &labels("other", "web"));
    assert_ne!(other, id, "a reader may still mean the old series");
    drop(reader);
    index.hold(other, Place::Head);
    index.release(other, Place::Head);
    index.bury();
    assert_eq!(index.next(0), other.max(id), "the newest of the free ones");
    let again = [index.next(0), index.next(1), index.next(2)];
    for (n, expected) in again.into_iter().enumerate() {
        assert_eq!(intern(&mut index, 1, &labels("new", &n.to_string())), expected);
    }
    assert_eq!(again[2], 2, "then new ones");
}

#[test]
fn churn_does_not_grow_the_index_for_ever() {
    let mut index = Index::default();
    let kept = labels("kept", "web");
    let id = intern(&mut index, 1, &kept);
    index.hold(id, Place::Head);
    for round in 0..50 {
        for n in 0..200 {
            let id = intern(&mut index, 1, &labels(&format!("m{round}"), &n.to_string()));
            index.hold(id, Place::Head);
            index.release(id, Place::Head);
        }
        index.bury();
    }
    assert!(index.entries.len() < 1000, "{} numbers", index.entries.len());
    assert!(index.pairs.len() < 5000 && index.symbols.len() < 1000, "{} texts", index.symbols.len());
    assert_eq!(index.select(1, &[Matcher::eq("job", "web")]), [(kept, id)]);
}

#[test]
fn names_of_few_series_are_found_by_asking_about_each_of_the_others_once() {
    let mut index = Index::default();
    let mut wanted = None;
    for n in 0..200 {
        let host = n.to_string();
        let mut pairs = vec![("__name__", "up"), ("a", "1"), ("b", "2"), ("host", host.as_str())];
        pairs.extend((n == 77).then_some(("only", "here")));
        let labels = Labels::new(pairs).unwrap();
        let id = intern(&mut index, 1, &labels);
        index.hold(id, Place::Head);
        wanted = if n == 77 { Some(id) } else { wanted };
    }
    let asked = std::cell::RefCell::new(vec![0; 200]);
    let is_wanted = |id: SeriesId| {
        asked.borrow_mut()[id as usize] += 1;
        Some(id) == wanted
    };
    let all = Some((SeriesId::MIN, SeriesId::MAX));
    assert_eq!(index.names_where(1, Wanted { range: all, is: is_wanted }), ["__name__", "a", "b", "host", "only"]);
    let others = asked.take().into_iter().enumerate().filter(|(id, _)| Some(*id as SeriesId) != wanted);
    assert_eq!(others.map(|(_, times)| times).max(), Some(1));
    assert!(index.names_where(1, Wanted { range: all, is: |_| false }).is_empty());
    let only = |range| {
        let is = |id: SeriesId| {
            assert!(range == Some((id, id)), "{id} is looked at");
            true
        };
        (index.names_where(1, Wanted { range, is }).len(), index.values_where(1, "host", Wanted { range, is }))
    };
    assert_eq!(only(wanted.map(|id| (id, id))), (5, vec!["77".to_owned()]));
    assert_eq!(only(None), (0, Vec::new()));
}

proptest! {
    #[test]
    fn the_index_agrees_with_asking_every_series(
        series in prop::collection::btree_set(("[ab]{1,2}", "[xyz]{0,2}", "[01]{0,1}"), 1..40),
        asked in prop::collection::vec((0_usize..3, 0_usize..4, "[abxyz01.]{0,2}"), 0..4),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut index = Index::default();
        let mut held: Vec<(Labels, SeriesId)> = Vec::new();
        for (name, l, m) in &series {
            let labels = Labels::new([("__name__", name), ("l", l), ("m", m)]).unwrap();
            let id = intern(&mut index, 1, &labels);
            index.hold(id, Place::Head);
            held.push((labels, id));
        }
        for which in gone {
            if !held.is_empty() {
                let (_, id) = held.swap_remove(which.index(held.len()));
                index.release(id, Place::Head);
            }
        }
        index.bury();
        let ops = [MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre];
        let matchers: Vec<Matcher> =
            asked.iter().map(|(n, op, v)| Matcher::new(["__name__", "l", "gone"][*n], ops[*op], v).unwrap()).collect();
        held.retain(|(labels, _)| matchers.iter().all(|m| m.matches(labels)));
        held.sort();
        prop_assert_eq!(index.select(1, &matchers), held);
    }
}
