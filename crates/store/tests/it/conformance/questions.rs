//! Promises about questions: pages, filters, words, scans, walks.

use kernel::backend::Step;
use kernel::ids::{Id, Kind};
use kernel::link::{Direction, Link, Walk};
use kernel::query::{Compare, Operand, Predicate};
use serde_json::json;

use super::Shared;
use crate::kit::*;

pub async fn words_find_the_newest_of_the_tenant_only(store: Shared) {
    for (tenant, kind, key, site) in [
        (HOME, "thing", "a", "slow Zürich checkout"),
        (HOME, "big-place", "b", "checkout of the zürich shop is slow"),
        (HOME, "thing", "c", "checkout"),
        (OTHER, "thing", "d", "slow checkout §1 §1kthing"),
    ] {
        add(&*store, tenant, kind, key, json!({"site": site})).await;
    }
    let both = [(Kind::new("thing"), Predicate::All), (Kind::new("big-place"), Predicate::All)];
    let find = async |words: &[&str], readable: &[(Kind, Predicate)], limit| {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        store.search(HOME, &words, readable, limit).await.unwrap().into_iter().map(|r| r.key).collect::<Vec<_>>()
    };
    assert_eq!(find(&["checkout"], &both, 10).await, ["c", "b", "a"]);
    assert_eq!(find(&["checkout", "slow"], &both, 10).await, ["b", "a"]);
    assert_eq!(find(&["checkout", "slow"], &both[..1], 10).await, ["a"]);
    assert_eq!(find(&["zürich", "check"], &both, 10).await, ["b", "a"], "the last word may be a beginning");
    assert_eq!(find(&["checkout"], &both, 2).await, ["c", "b"]);
    assert_eq!(find(&["nothing"], &both, 10).await, [""; 0]);
    let only_a = [(Kind::new("thing"), Predicate::In(column("key"), vec![Operand::Text("a".into())]))];
    assert_eq!(find(&["checkout"], &only_a, 10).await, ["a"], "only what may be read");
    let a = store.by_key(HOME, "a").await.unwrap().unwrap();
    let (changed, update) = next(&a, |r| r.title = "quick".into());
    store.commit(commit(HOME, vec![update])).await.unwrap();
    assert_eq!(find(&["slow"], &both, 10).await, ["b"]);
    assert_eq!(find(&["quick"], &both, 10).await, ["a"]);
    let (_, delete) = next(&changed, |r| r.deleted = true);
    store.commit(commit(HOME, vec![delete])).await.unwrap();
    assert_eq!(find(&["quick"], &both, 10).await, [""; 0]);
    let listed = paged(&*store, query("big-place", Predicate::Words(vec!["slow".into()]), "key", 5)).await;
    assert_eq!(listed, ["b"]);
}

pub async fn pages_meet_every_record_once_in_order(store: Shared) {
    let mut all = Vec::new();
    for i in 0..40_i64 {
        let mut fields = json!({"level": i % 4, "ratio": (i % 3) as f64 / 7.0, "site": format!("s{}", i % 5)});
        if i % 4 == 0 {
            fields = json!({"level": null});
        } else if i % 2 == 0 {
            fields["due"] = json!(format!("2026-11-{:02}T00:00:00{}Z", 1 + i % 7, if i % 3 == 0 { ".5" } else { "" }));
            fields["patience"] = json!(["90s", "1m", "1h", "0"][(i % 4) as usize]);
        }
        let mut new = record_at(HOME, "thing", &format!("k{i:02}"), fields, at(i / 3));
        new.title = format!("title {}", i % 6);
        new.owner = (i % 5 == 0).then(|| "ana".to_owned());
        insert(&*store, &new).await.unwrap();
        all.push(new);
    }
    for sort in ["key", "title", "updated", "owner", "level", "ratio", "site", "due", "patience"] {
        let whole = store.page(HOME, &query("thing", Predicate::All, sort, 100)).await.unwrap();
        assert_eq!((whole.records.len(), whole.more), (40, false));
        let forward: Vec<String> = whole.records.iter().map(|r| r.key.clone()).collect();
        let sorted: Vec<f64> =
            whole.records.iter().map(|r| sort_value(r, &column(sort)).as_f64().unwrap_or(-1.0)).collect();
        assert!(sorted.is_sorted(), "{sort}: {sorted:?}");
        for limit in [1, 7] {
            assert_eq!(paged(&*store, query("thing", Predicate::All, sort, limit)).await, forward, "{sort} by {limit}");
            let mut backward = paged(&*store, query("thing", Predicate::All, &format!("-{sort}"), limit)).await;
            backward.reverse();
            assert_eq!(backward, forward, "-{sort} by {limit}");
        }
    }
    assert!(store.page(OTHER, &query("thing", Predicate::All, "key", 5)).await.unwrap().records.is_empty());
    assert!(store.page(HOME, &query("no-such-class", Predicate::All, "key", 5)).await.unwrap().records.is_empty());
}

pub async fn filters_mean_what_the_kernel_means(store: Shared) {
    let rows = [
        (
            "a",
            json!({"side": "left", "hot": true, "site": "LON", "level": 5, "ratio": 0.5, "due": "2026-11-21T00:00:00.5Z", "patience": "1m30s", "tags": ["x", "y"]}),
        ),
        (
            "b",
            json!({"side": "right", "hot": false, "site": "50%_!", "level": -1, "ratio": 2.0, "due": "2026-11-21T00:00:00Z", "patience": "2m"}),
        ),
        ("c", json!({"tags": []})),
    ];
    let mut all = Vec::new();
    for (key, fields) in rows {
        let mut new = record(HOME, "thing", key, fields);
        new.title = format!("Größe {key}");
        new.owner = (key == "a").then(|| "ana".to_owned());
        insert(&*store, &new).await.unwrap();
        all.push(new);
    }
    let text = |t: &str| Operand::Text(t.into());
    let in_ = |name: &str, operands: Vec<Operand>| Predicate::In(column(name), operands);
    let cmp = |name: &str, compare, operand| Predicate::Cmp(column(name), compare, operand);
    let due = kernel::clock::Time::parse("2026-11-21T00:00:00.2Z").unwrap().as_micros();
    let leaves = vec![
        in_("side", vec![text("left")]),
        in_("side", vec![text("left"), text("right")]),
        in_("hot", vec![Operand::Bool(false)]),
        in_("level", vec![Operand::Int(5), Operand::Int(6)]),
        in_("ratio", vec![Operand::Float(0.5)]),
        in_("level", vec![text("5")]),
        in_("title", vec![text("GRÖSSE A"), text("größe B")]),
        in_("key", vec![text("a"), text("c")]),
        in_("owner", vec![text("ana")]),
        in_("open", vec![Operand::Bool(true)]),
        in_("patience", vec![Operand::Int(90_000)]),
        cmp("level", Compare::Ge, Operand::Int(0)),
        cmp("level", Compare::Lt, Operand::Float(4.5)),
        cmp("ratio", Compare::Gt, Operand::Int(1)),
        cmp("due", Compare::Gt, Operand::Int(due)),
        cmp("due", Compare::Le, Operand::Int(due)),
        cmp("patience", Compare::Gt, Operand::Int(100_000)),
        cmp("site", Compare::Lt, text("A")),
        Predicate::Like(column("site"), "l*n".into()),
        Predicate::Like(column("site"), "*%_!".into()),
        Predicate::Like(column("title"), "GRÖ*".into()),
        Predicate::Like(column("level"), "*".into()),
        Predicate::Present(column("due")),
        Predicate::Present(column("owner")),
        Predicate::Present(column("tags")),
        Predicate::Contains(column("tags"), vec![text("y"), text("z")]),
        Predicate::Ids(vec![all[1].id, Id::new(at(9))]),
        Predicate::Or(vec![]),
        Predicate::And(vec![]),
    ];
    let mut asked = leaves.clone();
    for leaf in &leaves {
        asked.push(Predicate::Not(Box::new(leaf.clone())));
        asked.push(Predicate::Not(Box::new(Predicate::Or(vec![leaf.clone(), in_("site", vec![text("LON")])]))));
        asked.push(Predicate::And(vec![leaf.clone(), Predicate::Not(Box::new(in_("side", vec![text("right")])))]));
    }
    for predicate in asked {
        let wanted: Vec<&str> =
            all.iter().filter(|r| kernel::eval::matches(&predicate, r) == Some(true)).map(|r| r.key.as_str()).collect();
        let found = paged(&*store, query("thing", predicate.clone(), "key", 10)).await;
        assert_eq!(found, wanted, "{predicate:?}");
        let total = store.total(HOME, &Kind::new("thing"), &predicate, 10).await.unwrap();
        assert_eq!(total.exact, Some(wanted.len() as u64), "{predicate:?}");
    }
    let db = add(&*store, HOME, "big-place", "db", json!({"site": "LON"})).await;
    store
        .commit(commit(HOME, vec![Step::Link(Link { from: all[0].id, name: "needs".into(), to: db.id })]))
        .await
        .unwrap();
    let linked = |out, inner: Predicate, kinds: Vec<Kind>| Predicate::Linked {
        name: Some("needs".into()),
        out,
        kinds,
        inner: Box::new(inner),
    };
    let london = || in_("site", vec![text("LON")]);
    for (predicate, wanted) in [
        (linked(true, Predicate::All, vec![]), vec!["a"]),
        (linked(false, Predicate::All, vec![]), vec![]),
        (linked(true, london(), vec![Kind::new("big-place")]), vec!["a"]),
        (linked(true, london(), vec![Kind::new("thing")]), vec![]),
        (linked(true, london(), vec![]), vec!["a"]),
        (Predicate::Not(Box::new(linked(true, london(), vec![]))), vec!["b", "c"]),
    ] {
        assert_eq!(paged(&*store, query("thing", predicate.clone(), "key", 10)).await, wanted, "{predicate:?}");
    }
    let counts = store.counts(HOME, &Kind::new("thing"), &Predicate::All, &column("hot")).await.unwrap();
    assert!(
        counts.len() == 3 && counts.contains(&(json!(true), 1)) && counts.contains(&(json!(null), 1)),
        "{counts:?}"
    );
    let capped = store.total(HOME, &Kind::new("thing"), &Predicate::All, 2).await.unwrap();
    assert_eq!((capped.exact, capped.at_least), (None, 2));
}

pub async fn a_scan_meets_every_open_record(store: Shared) {
    let mut wanted = Vec::new();
    for i in 0..9 {
        let mut new = record(if i == 8 { OTHER } else { HOME }, "thing", &format!("k{i}"), json!({}));
        new.open = i % 3 != 0;
        new.deleted = i == 1;
        insert(&*store, &new).await.unwrap();
        wanted.push(new);
    }
    let kind = Kind::new("thing");
    let mut met = Vec::new();
    loop {
        let some = store.scan(&kind, None, true, met.last().map(|(_, id)| *id), 2).await.unwrap();
        if some.is_empty() {
            break;
        }
        met.extend(some);
    }
    let open: Vec<_> = wanted.iter().filter(|r| r.open && !r.deleted).map(|r| (r.tenant, r.id)).collect();
    assert_eq!(met, open);
    assert_eq!(store.scan(&kind, Some(HOME), false, None, 100).await.unwrap().len(), 7);
}

pub async fn touched_records_come_once(store: Shared) {
    let a = add(&*store, HOME, "thing", "a", json!({})).await;
    let b = add(&*store, HOME, "big-place", "b", json!({})).await;
    let c = add(&*store, HOME, "thing", "c", json!({})).await;
    for (r, n) in [(&a, 3), (&c, 2)] {
        for _ in 0..n {
            store.commit(commit(HOME, vec![entry(r, "note")])).await.unwrap();
        }
    }
    let things = [Kind::new("thing")];
    let touched = store.touched_after(&things, 0, 10).await.unwrap();
    assert_eq!(touched.iter().map(|t| (t.id, t.seq)).collect::<Vec<_>>(), [(a.id, 6), (c.id, 8)]);
    let one = store.touched_after(&things, 0, 1).await.unwrap();
    assert_eq!(
        one.iter().map(|t| (t.id, t.seq)).collect::<Vec<_>>(),
        [(a.id, 1)],
        "a limit counts records, and the place before the next one"
    );
    let both = store.touched_after(&[Kind::new("thing"), Kind::new("big-place")], 1, 10).await.unwrap();
    assert_eq!(both.iter().map(|t| t.id).collect::<Vec<_>>(), [b.id, a.id, c.id]);
    assert!(store.touched_after(&things, 8, 10).await.unwrap().is_empty());
}

pub async fn a_walk_reaches_what_hangs_on_a_record(store: Shared) {
    let mut all = Vec::new();
    for i in 0..6 {
        all.push(add(&*store, HOME, if i % 2 == 0 { "thing" } else { "big-place" }, &format!("n{i}"), json!({})).await);
    }
    // 0 ← 1 ← 2 ← 3, 1 ← 3, and a ring 3 ← 0; 5 stands alone.
    for (from, to) in [(1, 0), (2, 1), (3, 2), (3, 1), (0, 3)] {
        store.commit(commit(HOME, vec![Step::Link(link(&all[from], &all[to]))])).await.unwrap();
    }
    let walk = |direction, depth, limit| Walk { direction, depth, limit, types: vec!["needs".into()] };
    let up = store.walk(HOME, all[0].id, &walk(Direction::Up, 9, 100)).await.unwrap();
    let reached: Vec<(&str, u32)> = up.nodes.iter().map(|n| (n.head.key.as_str(), n.depth)).collect();
    assert_eq!(reached[..2], [("n0", 0), ("n1", 1)]);
    assert_eq!(reached.len(), 4, "{reached:?}");
    assert_eq!((up.links.len(), up.truncated), (5, false));
    let near = store.walk(HOME, all[0].id, &walk(Direction::Up, 1, 100)).await.unwrap();
    assert_eq!((near.nodes.len(), near.truncated), (2, false));
    let cut = store.walk(HOME, all[0].id, &walk(Direction::Up, 9, 2)).await.unwrap();
    assert_eq!((cut.nodes.len(), cut.truncated), (2, true));
    let none = store
        .walk(HOME, all[0].id, &Walk { types: vec!["other".into()], ..walk(Direction::Both, 9, 100) })
        .await
        .unwrap();
    assert_eq!(none.nodes.len(), 1);
    assert!(store.walk(OTHER, all[0].id, &walk(Direction::Both, 9, 100)).await.unwrap().nodes.is_empty());
}
