//! The head by itself.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_order_of_arrival_gives_the_same_points(
        arrivals in prop::collection::vec((prop_oneof![0_i64..600, WINDOW_MS..WINDOW_MS + 50, -50_i64..0], 0_u8..3), 1..900),
    ) {
        let head = Head::default();
        let mut expected = BTreeMap::new();
        for (at, value) in arrivals {
            let value = f64::from(value);
            let known = expected.get(&at).copied();
            let outcome = known.map_or(Inserted::New, |old| Inserted::of(old, value));
            let found = head.probes().probe(7, (at, value));
            prop_assert_eq!(found, if expected.is_empty() { None } else { Some(outcome) });
            let mut change = head.change();
            prop_assert_eq!(change.insert(7, (at, value)), outcome);
            change.done(0);
            expected.entry(at).or_insert(value);
        }
        let parts = head.parts(7, i64::MIN, i64::MAX);
        let points: Vec<Point> = parts.into_iter().flat_map(|(_, points)| points).collect();
        prop_assert_eq!(points, expected.into_iter().collect::<Vec<_>>());
    }
}

fn insert(head: &Head, id: SeriesId, point: Point, now_ms: i64) -> Vec<SeriesId> {
    let mut change = head.change();
    change.insert(id, point);
    change.done(now_ms)
}

#[test]
fn a_window_is_sealed_when_it_is_over_and_quiet() {
    let head = Head::default();
    insert(&head, 1, (10, 1.0), 10);
    let minute = 60_000;
    let table =
        [(WINDOW_MS, false, "just over: stragglers may come"), (WINDOW_MS + 10 * minute, true, "over for ten minutes")];
    for (now, sealed, why) in table {
        assert_eq!(!head.settled(now, 10 * minute).is_empty(), sealed, "{why}");
    }
    let now = WINDOW_MS * 10;
    insert(&head, 2, (20 + WINDOW_MS, 1.0), now);
    assert_eq!(head.settled(now, 10 * minute), [0], "a back-filled window waits for the rest of it");
    assert_eq!(head.settled(now + 10 * minute, 10 * minute), [0, WINDOW_MS]);
}

#[test]
fn windows_open_and_go_one_by_one() {
    let head = Head::default();
    let far = 70_000;
    assert_eq!(insert(&head, far, (10, 1.0), 0), [far], "new");
    assert_eq!(insert(&head, far, (20, 1.0), 0), [] as [SeriesId; 0], "known");
    assert_eq!(insert(&head, far, (10 - WINDOW_MS, 1.0), 0), [far], "an older one");
    assert_eq!(insert(&head, far, (10 + WINDOW_MS, 1.0), 0), [far], "a newer one");
    assert_eq!(head.size().0, 4);
    assert_eq!(head.series_in(0), [far]);
    assert_eq!(head.drop_window(0), [far]);
    assert_eq!(head.drop_window(0), [] as [SeriesId; 0]);
    assert_eq!(head.drop_window(WINDOW_MS), [far]);
    assert_eq!(head.parts(far, i64::MIN, i64::MAX), [(-WINDOW_MS, vec![(10 - WINDOW_MS, 1.0)])]);
    assert_eq!(insert(&head, far, (30, 1.0), 0), [far], "and again");
}

#[test]
fn a_number_has_its_own_place() {
    for id in [0, 1, ROW - 1, ROW, ROW * SHARDS, ROW * SHARDS + 5, 999_999] {
        let (shard, slot) = place(id);
        assert_eq!(id_of(shard, slot), id);
    }
}

#[test]
fn times_before_the_epoch_have_a_window_too() {
    assert_eq!(window_start(-1), -WINDOW_MS);
    assert_eq!(window_start(0), 0);
}

#[test]
fn a_window_that_is_not_sealed_yet_outlives_a_newer_one_that_is() {
    let head = Head::default();
    insert(&head, 1, (10, 1.0), 0);
    insert(&head, 1, (10 + WINDOW_MS, 2.0), 0);
    assert_eq!(head.drop_window(WINDOW_MS), [1], "the newer one was quiet first");
    assert_eq!(insert(&head, 1, (20, 3.0), 0), [] as [SeriesId; 0], "the older one is known");
    assert_eq!(head.window(1, 0).expect("it is there").points(), [(10, 1.0), (20, 3.0)]);
    assert_eq!(insert(&head, 1, (30 + WINDOW_MS, 4.0), 0), [1], "the newer one is new again");
    assert_eq!((head.size().0, head.drop_window(0), head.drop_window(WINDOW_MS)), (3, vec![1], vec![1]));
}
