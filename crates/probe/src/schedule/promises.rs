//! What the schedule promises, for any checks, budgets and answers. The time is a number here, so hours pass in no time.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::board::{Board, Next, Start};
use super::{Budget, Pace};

const SECOND: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Everything that is due, begun.
fn all(board: &mut Board, now: Duration) -> Vec<Start> {
    let mut starts = Vec::new();
    board.take(now, usize::MAX, &mut starts);
    starts
}

/// A board without budgets that matter.
fn roomy() -> Board {
    Board::new(usize::MAX, Budget::of(u32::MAX), Budget::of(u32::MAX))
}

#[test]
fn every_check_is_asked_in_its_interval_and_evenly_over_it() {
    let mut board = roomy();
    for id in 0..10_000 {
        board.put(id, Pace::every(SECOND * 60), "", "", Duration::ZERO);
    }
    let mut asked: HashMap<u128, u32> = HashMap::new();
    let mut busiest = 0;
    for tick in 1..=6000 {
        let now = ms(tick * 100);
        let starts = all(&mut board, now);
        if now > SECOND * 120 {
            busiest = busiest.max(starts.len());
        }
        for start in starts {
            assert!(start.late < ms(100), "{start:?}");
            *asked.entry(start.id).or_default() += 1;
            board.finished(start.slot, start.turn, Next::Usual, now);
        }
    }
    assert_eq!(asked.len(), 10_000);
    assert!(asked.values().all(|times| (10..=11).contains(times)), "once a minute for ten minutes, and at the start");
    assert!(busiest < 60, "a tenth of a second holds about 17 of 10,000 checks a minute, not {busiest}");
}

#[test]
fn a_target_that_is_slow_keeps_nobody_else_waiting() {
    let mut board = Board::new(100, Budget::of(100), Budget::of(2));
    for id in 0..50 {
        board.put(id, Pace::every(SECOND), "", "slow", Duration::ZERO);
    }
    for id in 50..60 {
        board.put(id, Pace::every(SECOND), "", "quick", Duration::ZERO);
    }
    let starts = all(&mut board, SECOND);
    assert_eq!(starts.iter().filter(|start| start.id < 50).count(), 2, "the slow one's budget");
    assert_eq!(starts.iter().filter(|start| start.id >= 50).count(), 2, "the quick one's budget");
    for round in 0..4 {
        let quick: Vec<Start> = starts.iter().copied().filter(|start| start.id >= 50).collect();
        for start in quick {
            board.finished(start.slot, start.turn, Next::In(SECOND * 9), SECOND + ms(round));
        }
    }
    let more = all(&mut board, SECOND + ms(5));
    assert!(!more.is_empty() && more.iter().all(|start| start.id >= 50), "{more:?}");
}

#[test]
fn how_far_the_asking_is_behind_is_seen_whatever_a_check_waits_for() {
    let mut board = Board::new(2, Budget::of(2), Budget::of(1));
    for (id, target) in [(1, "a"), (2, "a"), (3, "b"), (4, "c")] {
        board.put(id, Pace { first_within: Duration::ZERO, ..Pace::every(SECOND * 60) }, "", target, Duration::ZERO);
    }
    assert_eq!(board.behind(SECOND * 5), SECOND * 5, "nobody has begun anything");
    let starts = all(&mut board, SECOND * 5);
    assert_eq!(starts.len(), 2, "{starts:?}");
    assert_eq!(board.behind(SECOND * 20), SECOND * 20, "one waits for its target, one for room");
    let waits = |id: &u128| starts.iter().all(|start| start.id != *id);
    for id in (1..=4).filter(waits) {
        assert_eq!(board.behind(SECOND * 30), SECOND * 30, "{id} still waits");
        board.remove(id, SECOND * 20);
    }
    assert_eq!(board.behind(SECOND * 30), Duration::ZERO, "those in flight are not late");
    let start = starts[0];
    board.finished(start.slot, start.turn, Next::In(SECOND * 10), SECOND * 20);
    assert_eq!(board.behind(SECOND * 29), Duration::ZERO, "its time has not come");
    assert_eq!(board.behind(SECOND * 31), SECOND, "its time has come, and nobody looks");
}

#[test]
fn after_a_standstill_every_check_is_asked_once() {
    let mut board = roomy();
    for id in 0..100 {
        board.put(id, Pace::every(SECOND), "", "", Duration::ZERO);
    }
    let now = SECOND * 3600;
    let starts = all(&mut board, now);
    assert_eq!(starts.len(), 100);
    for start in starts {
        board.finished(start.slot, start.turn, Next::Usual, now);
    }
    assert!(all(&mut board, now).is_empty());
    assert!((3597 * 100..=3600 * 100).contains(&board.left_out()), "{}", board.left_out());
    let later: usize = (1..=10).map(|tenth| all(&mut board, now + ms(tenth * 100)).len()).sum();
    assert_eq!(later, 100, "within the next second, each in its turn");
}

#[test]
fn a_doubtful_answer_is_asked_again_soon_and_the_grid_is_kept() {
    let mut board = roomy();
    board.put(1, Pace::every(SECOND * 60), "", "", Duration::ZERO);
    let now = SECOND * 300;
    let first = all(&mut board, now)[0];
    board.finished(first.slot, first.turn, Next::In(SECOND * 5), now);
    assert!(all(&mut board, now + ms(4999)).is_empty());
    let again = all(&mut board, now + SECOND * 5)[0];
    assert_eq!(again.late, Duration::ZERO);
    board.finished(again.slot, again.turn, Next::Usual, now + SECOND * 5);
    let next = board.next_event().unwrap();
    assert!(next > now + SECOND * 30 && next < now + SECOND * 100, "{next:?}");
}

#[test]
fn what_is_paused_removed_or_changed_is_not_asked_as_it_was() {
    let mut board = roomy();
    for id in 0..4 {
        board.put(id, Pace::every(SECOND), "", "", Duration::ZERO);
    }
    board.pause(0, Duration::ZERO);
    board.remove(1, Duration::ZERO);
    let starts = all(&mut board, SECOND);
    assert_eq!(starts.iter().map(|start| start.id).collect::<Vec<_>>().len(), 2);
    assert!(starts.iter().all(|start| start.id >= 2));
    assert!(!board.soon(0, SECOND), "it is paused");
    assert!(!board.soon(1, SECOND), "it is gone");
    // One is paused, one removed and put anew, while their questions are in flight.
    board.pause(2, SECOND);
    board.remove(3, SECOND);
    board.put(3, Pace::every(SECOND), "", "", SECOND);
    let anew: Vec<Start> = (0..3).flat_map(|_| all(&mut board, SECOND * 5)).collect();
    assert_eq!(anew.len(), 1);
    assert_ne!((anew[0].slot, anew[0].turn), (starts[1].slot, starts[1].turn));
    for start in starts.iter().chain(&anew) {
        board.finished(start.slot, start.turn, Next::Usual, SECOND * 5);
        board.finished(start.slot, start.turn, Next::Usual, SECOND * 5); // Said twice, it counts once.
    }
    assert_eq!(board.running(), 0);
    board.resume(2, SECOND * 5);
    assert_eq!(all(&mut board, SECOND * 5)[0].id, 2);
}

#[test]
fn a_check_asked_for_while_it_is_asked_comes_again_at_once() {
    let mut board = roomy();
    board.put(1, Pace::every(SECOND * 60), "", "", Duration::ZERO);
    assert!(board.soon(1, Duration::ZERO));
    let start = all(&mut board, Duration::ZERO)[0];
    assert!(board.soon(1, ms(1)));
    assert!(all(&mut board, ms(2)).is_empty(), "never twice at once");
    board.finished(start.slot, start.turn, Next::Usual, ms(3));
    assert_eq!(all(&mut board, ms(3)).len(), 1);
}

#[test]
fn a_site_with_a_rate_is_asked_at_that_rate() {
    let mut board = Board::new(1000, Budget::of(1000), Budget::of(1000));
    board.set_site_budget("far", Some(Budget::of(1000).at_rate(20.0, 1)), Duration::ZERO);
    for id in 0..200 {
        board.put(id, Pace::every(SECOND), "far", &id.to_string(), Duration::ZERO);
    }
    let mut asked = 0;
    let mut looks = 0;
    let mut now = SECOND * 2;
    while now < SECOND * 12 {
        for start in all(&mut board, now) {
            asked += 1;
            board.finished(start.slot, start.turn, Next::Usual, now);
        }
        looks += 1;
        now = board.next_event().unwrap().max(now + Duration::from_micros(1));
    }
    assert!((198..=202).contains(&asked), "20 a second for 10 seconds, not {asked}");
    assert!(looks < 3000, "the board says when to look again, {looks} times");
}

#[derive(Clone, Debug)]
enum Step {
    Put { id: u128, interval_ms: u64, site: u8, target: u8 },
    Remove(u128),
    Pause(u128),
    Resume(u128),
    Soon(u128),
    SiteBudget(u8, u32, Option<u32>),
    Pass(u64),
    Finish { nth: usize, next: u8 },
    Take(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..12u128;
    prop_oneof![
        4 => (id.clone(), 1..2000u64, 0..3u8, 0..5u8)
            .prop_map(|(id, interval_ms, site, target)| Step::Put { id, interval_ms, site, target }),
        1 => id.clone().prop_map(Step::Remove),
        1 => id.clone().prop_map(Step::Pause),
        1 => id.clone().prop_map(Step::Resume),
        1 => id.prop_map(Step::Soon),
        1 => (0..3u8, 1..4u32, proptest::option::of(1..50u32)).prop_map(|(site, most, rate)| Step::SiteBudget(site, most, rate)),
        4 => (0..900u64).prop_map(Step::Pass),
        6 => (0..20usize, 0..4u8).prop_map(|(nth, next)| Step::Finish { nth, next }),
        4 => (1..20usize).prop_map(Step::Take),
    ]
}

/// The board after the steps, the questions in flight, the checks with site and target, and the time.
type Played = (Board, Vec<Start>, HashMap<u128, (u8, u8)>, Duration);

/// Plays the steps, and holds the board to its limits after each.
fn play(steps: Vec<Step>) -> Played {
    let mut board = Board::new(6, Budget::of(3), Budget::of(2));
    let mut flying: Vec<(Start, (u8, u8))> = Vec::new();
    let mut known: HashMap<u128, (u8, u8)> = HashMap::new();
    let mut now = Duration::ZERO;
    for step in steps {
        match step {
            Step::Put { id, interval_ms, site, target } => {
                board.put(id, Pace::every(ms(interval_ms)), &site.to_string(), &target.to_string(), now);
                known.insert(id, (site, target));
            }
            Step::Remove(id) => {
                board.remove(id, now);
                known.remove(&id);
            }
            Step::Pause(id) => drop(board.pause(id, now)),
            Step::Resume(id) => board.resume(id, now),
            Step::Soon(id) => drop(board.soon(id, now)),
            Step::SiteBudget(site, most, rate) => {
                let budget = Budget { in_flight: most, per_second: rate.map(f64::from), burst: 1 };
                board.set_site_budget(&site.to_string(), Some(budget), now);
            }
            Step::Pass(millis) => now += ms(millis),
            Step::Finish { nth, next } if !flying.is_empty() => {
                let (start, _) = flying.swap_remove(nth % flying.len());
                let next =
                    [Next::Usual, Next::Failing, Next::Broken, Next::In(ms(u64::from(next) * 70))][usize::from(next)];
                board.finished(start.slot, start.turn, next, now);
            }
            Step::Finish { .. } => {}
            Step::Take(most) => {
                let mut starts = Vec::new();
                board.take(now, most, &mut starts);
                assert!(starts.len() <= most);
                for start in starts {
                    let groups = known[&start.id];
                    flying.push((start, groups));
                    let (id, (_, target)) = (start.id, groups);
                    assert!(flying.iter().filter(|(_, (_, t))| *t == target).count() <= 2, "the target's budget");
                    let same = flying.iter().filter(|(other, _)| other.id == id && other.slot == start.slot);
                    assert_eq!(same.count(), 1, "a check is never asked twice at once");
                }
                assert!(flying.len() <= 6, "the limit of all");
            }
        }
        assert_eq!(board.running(), flying.len());
        assert_eq!(board.len(), known.len());
    }
    (board, flying.into_iter().map(|(start, _)| start).collect(), known, now)
}

proptest! {
    #[test]
    fn budgets_hold_and_nobody_is_forgotten_whatever_happens(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut board, flying, known, mut now) = play(steps);
        // Everything ends, everybody is resumed, and a minute passes: each check is asked.
        for start in flying {
            board.finished(start.slot, start.turn, Next::Usual, now);
        }
        for id in known.keys() {
            board.resume(*id, now);
        }
        let mut asked = std::collections::HashSet::new();
        let end = now + SECOND * 60;
        while now < end {
            let mut starts = Vec::new();
            board.take(now, 4, &mut starts);
            for start in starts {
                asked.insert(start.id);
                board.finished(start.slot, start.turn, Next::Usual, now);
            }
            let Some(next) = board.next_event() else { break };
            now = next.max(now + ms(1));
        }
        prop_assert_eq!(asked.len(), known.len());
        prop_assert_eq!(board.running(), 0);
        for id in known.keys() {
            board.remove(*id, now);
        }
        prop_assert!(all(&mut board, now + SECOND * 10).is_empty());
        prop_assert_eq!(board.waiting(), 0);
    }
}
