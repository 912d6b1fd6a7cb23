//! The life of alerts as a table, and what holds whatever happens.

use super::*;
use proptest::prelude::*;

const TERMS: Terms =
    Terms { hold_ms: 0, keep_ms: 0, limit: 100, missing: Missing::Unknown, forget_ms: None, outage_ms: None };

fn labels(host: &str) -> LabelSet {
    LabelSet::from([("host".into(), host.into())])
}

fn sighting(host: &str) -> Sighting {
    Sighting { labels: labels(host), series: labels(host), value: 1.0 }
}

/// One character an evaluation: `x` the condition holds, `.` it does not, `?` there is no data, `!` it failed, `~` it does not
/// hold but has not recovered.
fn look(mark: char) -> Look {
    let there = Data::Of(BTreeSet::from([labels("a")]));
    let (holds, data, recovered) = match mark {
        'x' => (vec![sighting("a")], there, None),
        '.' => (vec![], there, None),
        '~' => (vec![], there, Some(BTreeSet::new())),
        '?' => (vec![], Data::Of(BTreeSet::new()), None),
        _ => return Look::Failed,
    };
    Look::Seen { holds, data, recovered }
}

/// What stands after each: `.` nothing, `p` pending, `F` firing, `f` firing and unknown, `w` pending and unknown.
fn story(marks: &str, terms: &Terms) -> String {
    let mut state = State::default();
    let step = |(i, mark): (usize, char)| {
        decide(&mut state, look(mark), terms, i as i64 * 1000);
        match state.instances.values().next() {
            None => '.',
            Some(i) => match (i.phase, i.unknown_since_ms) {
                (Phase::Pending, None) => 'p',
                (Phase::Pending, Some(_)) => 'w',
                (Phase::Firing, None) => 'F',
                (Phase::Firing, Some(_)) => 'f',
            },
        }
    };
    marks.chars().enumerate().map(step).collect()
}

#[test]
fn an_alert_goes_through_its_life() {
    let hold = Terms { hold_ms: 2000, ..TERMS };
    let keep = Terms { keep_ms: 2000, ..TERMS };
    let as_prometheus = Terms { missing: Missing::Resolves, ..TERMS };
    let forgets = Terms { forget_ms: Some(2000), ..TERMS };
    let short = Terms { hold_ms: 2000, outage_ms: Some(500), ..TERMS };
    let none = Terms { limit: 0, ..TERMS };
    for (given, terms, expected, why) in [
        ("x", &TERMS, "F", "without `for` it fires at once"),
        ("x.", &TERMS, "F.", "and is over when the condition is"),
        ("xxxx.", &hold, "ppFF.", "it waits for two seconds"),
        ("xx.xxx", &hold, "pp.ppF", "a pause begins the wait anew"),
        ("x...x", &keep, "FFF.F", "it is kept for two seconds"),
        ("x.x...", &keep, "FFFFF.", "and from when the condition last held"),
        ("x?.", &TERMS, "Ff.", "no data ends nothing; data that is well does"),
        ("x????x", &TERMS, "FffffF", "however long"),
        ("x!!.", &TERMS, "Fff.", "nor does a failed evaluation"),
        ("x?", &as_prometheus, "F.", "unless it is to be as in Prometheus"),
        ("x!", &as_prometheus, "Ff", "where a failure ends nothing either"),
        ("x???", &forgets, "Fff.", "a rule may say when it gives up"),
        ("x?xx", &hold, "pwFF", "a short gap does not begin the wait anew"),
        ("x???xxx", &hold, "pwwwppF", "a gap as long as the wait does"),
        ("x~~~.", &TERMS, "FFFF.", "what has not recovered fires on"),
        ("xxx", &short, "ppp", "after an outage nobody knows how long it held"),
        ("x", &none, ".", "more than the limit is a failed evaluation"),
        ("..?!", &TERMS, "....", "nothing comes of nothing"),
    ] {
        assert_eq!(story(given, terms), expected, "{given}: {why}");
    }
}

#[test]
fn each_change_is_told_once() {
    let mut state = State::default();
    let terms = Terms { hold_ms: 1000, ..TERMS };
    let key = fingerprint(&labels("a"));
    let mut told = Vec::new();
    for (i, mark) in "xxx??x..".chars().enumerate() {
        told.push(decide(&mut state, look(mark), &terms, i as i64 * 1000));
    }
    assert_eq!(told[0], [Event::Pending(key.clone())]);
    assert_eq!(told[1], [Event::Fired(key.clone())]);
    assert_eq!(told[2], []);
    assert_eq!(told[3], [Event::Lost(key.clone())]);
    assert_eq!(told[4], []);
    assert_eq!(told[5], [Event::Found(key.clone())]);
    assert!(matches!(&told[6][..], [Event::Resolved(k, i)] if *k == key && i.fired_ms == Some(1000)));
    assert_eq!(told[7], []);
}

#[test]
fn a_state_is_read_back_as_it_was_written() {
    let mut state = State::default();
    for value in [f64::NAN, f64::INFINITY, 0.1] {
        let seen = Sighting { value, ..sighting(&value.to_string()) };
        let holds = vec![seen];
        decide(&mut state, Look::Seen { holds, data: Data::Always, recovered: None }, &TERMS, 5);
        let back: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        assert_eq!(format!("{back:?}"), format!("{state:?}"));
    }
}

proptest! {
    /// UNKNOWN never ends what fires, whatever came before; and nothing fires that was not seen to hold for as long as it must.
    #[test]
    fn nothing_fires_unseen_and_nothing_ends_unseen(marks in "[x.?!]{1,60}", hold in 0i64..4, keep in 0i64..4) {
        let terms = Terms { hold_ms: hold * 1000, keep_ms: keep * 1000, ..TERMS };
        let mut state = State::default();
        let mut held_in_a_row = 0;
        for (i, mark) in marks.chars().enumerate() {
            let fired = |state: &State| state.instances.values().any(|i| i.phase == Phase::Firing);
            let before = fired(&state);
            let events = decide(&mut state, look(mark), &terms, i as i64 * 1000);
            held_in_a_row = match mark { 'x' => held_in_a_row + 1, '.' => 0, _ => held_in_a_row };
            if before && !fired(&state) {
                prop_assert_eq!(mark, '.', "only an answer that is well ends it");
            }
            if !before && fired(&state) {
                prop_assert_eq!(mark, 'x');
                prop_assert!(held_in_a_row > 0);
            }
            prop_assert!(events.len() <= 2);
            prop_assert_eq!(state.instances.values().all(|i| i.unknown_since_ms.is_none()), !matches!(mark, '?' | '!') || state.instances.is_empty());
        }
    }

    /// Without gaps it is Prometheus's machine: an independent model of its alert states agrees at every step.
    #[test]
    fn with_data_it_is_prometheus_s_machine(marks in "[x.]{1,60}", hold in 0i64..4, keep in 0i64..4) {
        let terms = Terms { hold_ms: hold * 1000, keep_ms: keep * 1000, missing: Missing::Resolves, ..TERMS };
        let mut model = String::new();
        let (mut since, mut firing, mut kept): (Option<i64>, bool, Option<i64>) = (None, false, None);
        for (now, mark) in (0_i64..).zip(marks.chars()) {
            if mark == 'x' {
                let from = *since.get_or_insert(now);
                kept = None;
                firing |= now - from >= hold;
            } else if firing && keep > 0 && now - *kept.get_or_insert(now) < keep {
            } else {
                (since, firing, kept) = (None, false, None);
            }
            model.push(match (since, firing) { (None, _) => '.', (_, true) => 'F', _ => 'p' });
        }
        prop_assert_eq!(story(&marks, &terms), model);
    }
}

#[test]
fn the_end_of_a_wait_is_known_beforehand_and_a_restart_finds_it() {
    let terms = Terms { hold_ms: 5000, keep_ms: 3000, forget_ms: Some(60_000), ..TERMS };
    let mut state = State::default();
    let step = |state: &mut State, mark: char, at: i64| {
        let before = state.clone();
        let events = decide(state, look(mark), &terms, at);
        (state.next_end(&terms, at), !events.is_empty() || state.keeps_otherwise(&before))
    };
    assert_eq!(step(&mut state, 'x', 1000), (Some(6000), true), "it fires at six");
    assert_eq!(step(&mut state, 'x', 4000), (Some(6000), false));
    assert_eq!(step(&mut state, 'x', 6000), (None, true), "and then there is nothing to wait for");
    assert_eq!(step(&mut state, '.', 7000), (Some(10_000), true), "it is kept until ten, and that is written down");
    assert_eq!(step(&mut state, '.', 8000), (Some(10_000), false));
    assert_eq!(step(&mut state, 'x', 9000), (None, true), "it is no longer only kept");
    assert_eq!(step(&mut state, '?', 10_000), (Some(70_000), true), "it is given up a minute later");
    assert_eq!(step(&mut state, '?', 70_000), (None, true));
    assert!(state.instances.is_empty());
    step(&mut state, 'x', 71_000);
    assert_eq!(step(&mut state, '!', 72_000), (Some(132_000), true), "what is unknown does not begin to fire");
}
