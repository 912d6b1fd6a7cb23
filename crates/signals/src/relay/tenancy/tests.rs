//! The wall between tenants, tried with every kind of query. A test here must fail when one selector is left alone.

use super::*;
use proptest::prelude::*;
use series::Labels;
use series::promql::{Limits, MemorySource, Settings};

#[test]
fn every_selector_is_bound_and_nothing_else_changes() {
    let table = [
        ("up", r#"up{mainstay_tenant="7"}"#),
        ("1 + 2", "1 + 2"),
        (
            r#"sum by (job) (rate(x{a="b"}[5m])) / y"#,
            r#"sum by (job) (rate(x{a="b",mainstay_tenant="7"}[5m])) / ignoring (mainstay_tenant) y{mainstay_tenant="7"}"#,
        ),
        ("a and on (job) b", r#"a{mainstay_tenant="7"} and on (job) b{mainstay_tenant="7"}"#),
        (
            "a * ignoring (x) group_left (y) b",
            r#"a{mainstay_tenant="7"} * ignoring (x, mainstay_tenant) group_left (y) b{mainstay_tenant="7"}"#,
        ),
        ("topk(scalar(k), x)", r#"topk(scalar(k{mainstay_tenant="7"}), x{mainstay_tenant="7"})"#),
        (
            "max_over_time(x[1h:5m] offset 1d) > 2 * -(y)",
            r#"max_over_time(x{mainstay_tenant="7"}[1h:5m] offset 1d) > ignoring (mainstay_tenant) 2 * -(y{mainstay_tenant="7"})"#,
        ),
        (r#"{__name__=~".+"}"#, r#"{__name__=~".+",mainstay_tenant="7"}"#),
        (
            r#"label_replace(x, "a", "$1", "b", "(.*)\"}")"#,
            r#"label_replace(x{mainstay_tenant="7"}, "a", "$1", "b", "(.*)\"}")"#,
        ),
    ];
    for (query, expected) in table {
        assert_eq!(scoped(&Query::parse(query).unwrap(), 7).unwrap(), expected);
    }
}

#[test]
fn nobody_names_the_label_and_nothing_reads_what_it_does_not_name() {
    for (query, why) in [
        (r#"x{mainstay_tenant="8"}"#, ScopeError::Reserved),
        (r#"x{mainstay_tenant=~".*"}"#, ScopeError::Reserved),
        ("sum by (mainstay_tenant) (x)", ScopeError::Reserved),
        ("a / on (mainstay_tenant) b", ScopeError::Reserved),
        ("a / on (job) group_left (mainstay_tenant) b", ScopeError::Reserved),
        (r#"label_replace(x, "a", "$1", "mainstay_tenant", "(.*)")"#, ScopeError::Reserved),
        (r#"count_values("mainstay_tenant", x)"#, ScopeError::Reserved),
        ("info(x)", ScopeError::Info),
        ("sum(info(x))", ScopeError::Info),
    ] {
        assert_eq!(scoped(&Query::parse(query).unwrap(), 7), Err(why), "{query}");
    }
    assert_eq!(scoped_set(&[Matcher::eq(LABEL, "8")], 7), Err(ScopeError::Reserved));
    assert_eq!(scoped_set(&[], 7).unwrap(), r#"{mainstay_tenant="7"}"#);
}

fn selector() -> impl Strategy<Value = String> {
    let matcher = ("[a-z]{1,3}", prop::sample::select(vec!["=", "!=", "=~", "!~"]), "[a-z.*|\"\\\\ }{,é]{0,6}")
        .prop_filter_map("a regular expression", |(name, op, value)| {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("{name}{op}\"{quoted}\"");
            Query::parse(&format!("x{{{text}}}")).is_ok().then_some(text)
        });
    ("[a-c]", prop::collection::vec(matcher, 0..3)).prop_map(|(name, all)| format!("{name}{{{}}}", all.join(",")))
}

fn query() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![selector(), Just("1.5".to_owned()), selector().prop_map(|s| format!("rate({s}[5m] offset 1m)"))];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (
                inner.clone(),
                inner.clone(),
                prop::sample::select(vec![
                    "+",
                    "/ on (a)",
                    "== bool",
                    "and",
                    "unless",
                    "or",
                    "* on (a) group_left (b)"
                ])
            )
                .prop_map(|(l, r, op)| format!("({l}) {op} ({r})")),
            inner.clone().prop_map(|i| format!("sum by (a) ({i})")),
            inner.clone().prop_map(|i| format!("topk(2, {i})")),
            inner.clone().prop_map(|i| format!("-({i})")),
            inner.clone().prop_map(|i| format!("absent({i})")),
            inner.clone().prop_map(|i| format!("max_over_time(({i})[10m:1m])")),
            inner.clone().prop_map(|i| format!("label_replace({i}, \"d\", \"$1\", \"a\", \"(.*)\")")),
            (inner.clone(), selector()).prop_map(|(i, s)| format!("clamp({i}, scalar({s}), 9)")),
        ]
    })
}

proptest! {
    /// The tenants' values are a thousand apart; whatever is asked, the neighbour's values change nothing in the answer.
    #[test]
    fn no_query_can_see_what_belongs_to_another(text in query()) {
        let Ok(query) = Query::parse(&text) else { return Ok(()) };
        let bound = Query::parse(&scoped(&query, 1).unwrap()).unwrap();
        let series = |tenant: &str, times: f64| -> Vec<(Labels, Vec<(i64, f64)>)> {
            let mut all = Vec::new();
            for (n, name) in ["a", "b", "c"].iter().enumerate() {
                let labels = Labels::metric(name, &[(LABEL, tenant), ("a", "x"), ("b", "y")]).unwrap();
                all.push((labels, (0..20).map(|i| (i * 60_000, (i + n as i64 + 1) as f64 * times)).collect()));
            }
            all
        };
        let ask = |with_neighbour: bool| {
            let mut source = MemorySource::default();
            let mut all = series("1", 1.0);
            if with_neighbour {
                all.extend(series("2", 1000.0));
                all.extend(series("11", 1000.0));
            }
            for (labels, points) in all {
                for (at, value) in points {
                    source.push(&labels.clone().into(), at, value);
                }
            }
            let limits = Limits::default();
            let answer = bound.instant(&source, 1_000_000, &Settings::default(), &limits);
            answer.map(|a| format!("{:?}", a.value)).map_err(|e| e.to_string())
        };
        prop_assert_eq!(ask(false), ask(true), "{}", text);
    }
}
