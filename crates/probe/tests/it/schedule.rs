//! The scheduler at work on real sockets: in time, within budgets, changed while it runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probe::schedule::{Again, Answers, Asked, Budget, Limits, Pace, Plan, Scheduler};
use probe::{Env, Request, State};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Hands every answer on, and says when to ask again.
pub struct Told {
    to: mpsc::Sender<Asked>,
    again: Again,
}

impl Answers for Told {
    fn take(&self, asked: Asked) -> Pin<Box<dyn Future<Output = Again> + Send + '_>> {
        Box::pin(async {
            let _ = self.to.send(asked).await;
            self.again
        })
    }
}

/// A running scheduler, and what it is answered. It ends with the test's runtime.
pub fn running(limits: Limits, again: Again) -> (Scheduler, mpsc::Receiver<Asked>) {
    let (to, told) = mpsc::channel(10_000);
    let scheduler = Scheduler::new(Env::real(), limits, Arc::new(Told { to, again }));
    let running = scheduler.clone();
    tokio::spawn(async move { running.run().await });
    (scheduler, told)
}

/// A check of that kind, every so many milliseconds.
pub fn plan(protocol: &str, target: &str, params: Value, timeout_ms: u64, every_ms: u64) -> Plan {
    let timeout = Duration::from_millis(timeout_ms);
    let request = Request { protocol: protocol.into(), target: target.into(), params, timeout };
    let interval = Duration::from_millis(every_ms);
    let pace = Pace { first_within: interval / 2, ..Pace::every(interval) };
    Plan { request, pace, site: String::new(), paused: false }
}

pub async fn next(told: &mut mpsc::Receiver<Asked>) -> Asked {
    tokio::time::timeout(Duration::from_secs(20), told.recv()).await.expect("an answer comes").unwrap()
}

/// A peer that accepts, counts how many connections are open at once, and keeps each for a while.
async fn peer(keep: Duration, most: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (open, most) = (open.clone(), most.clone());
            tokio::spawn(async move {
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(keep).await; // dawdles: a peer that takes its time
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"hello\n").await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    address
}

#[tokio::test]
async fn a_thousand_checks_are_asked_on_time_each_at_its_own_moment() {
    let address = peer(Duration::ZERO, Arc::default()).await;
    let (scheduler, mut told) = running(Limits { target: Budget::of(500), ..Limits::default() }, Again::Usual);
    for id in 0..1000 {
        scheduler.put(id, &plan("tcp", &address.to_string(), json!({}), 2000, 1000)).unwrap();
    }
    let mut times = vec![0; 1000];
    while times.iter().any(|times| *times < 2) {
        let asked = next(&mut told).await;
        assert_eq!(asked.outcome.state, State::Ok, "{}", asked.outcome.summary);
        times[asked.id as usize] += 1;
    }
    let figures = scheduler.figures();
    assert_eq!(figures.held, 1000);
    assert!(figures.lag.p99_seconds < 1.0, "{figures:?}");
    assert!(times.iter().all(|times| *times < 6), "nobody is asked instead of others");
}

#[tokio::test]
async fn one_target_gets_no_more_at_once_than_its_budget() {
    let most = Arc::new(AtomicUsize::new(0));
    let address = peer(Duration::from_millis(20), most.clone()).await;
    let (scheduler, mut told) = running(Limits { target: Budget::of(3), ..Limits::default() }, Again::Usual);
    for id in 0..60 {
        scheduler.put(id, &plan("tcp", &address.to_string(), json!({"banner": "hello"}), 5000, 200)).unwrap();
    }
    let mut asked = std::collections::HashSet::new();
    while asked.len() < 60 {
        asked.insert(next(&mut told).await.id);
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(scheduler.figures().waiting > 0, "the others wait on the board");
}

#[tokio::test]
async fn checks_are_changed_paused_and_removed_while_they_run() {
    let address = peer(Duration::ZERO, Arc::default()).await.to_string();
    let (scheduler, mut told) = running(Limits::default(), Again::Usual);
    scheduler.put(1, &plan("tcp", &address, json!({}), 2000, 50)).unwrap();
    assert_eq!(next(&mut told).await.outcome.state, State::Ok);
    scheduler.put(1, &plan("tcp", "127.0.0.1:1", json!({}), 2000, 50)).unwrap();
    // polls: one answer of the old question may be on its way.
    while next(&mut told).await.outcome.state != State::Critical {}
    let wrong = scheduler.put(1, &plan("tcp", "no-port", json!({}), 2000, 50)).unwrap_err();
    assert_eq!(wrong[0].field, "target");
    assert_eq!(next(&mut told).await.outcome.state, State::Critical, "a wrong change changes nothing");
    scheduler.pause(1);
    assert!(!scheduler.soon(1));
    while told.try_recv().is_ok() {}
    scheduler.put(2, &plan("tcp", &address, json!({}), 2000, 50)).unwrap();
    for _ in 0..5 {
        assert_eq!(next(&mut told).await.id, 2);
    }
    scheduler.resume(1);
    while next(&mut told).await.id != 1 {}
    scheduler.remove(1);
    scheduler.remove(2);
    assert_eq!(scheduler.figures().held, 0);
}

#[tokio::test]
async fn a_question_in_flight_is_broken_off_when_its_check_goes() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = silent.local_addr().unwrap().to_string();
    let (scheduler, mut told) = running(Limits::default(), Again::Usual);
    scheduler.put(1, &plan("tcp", &target, json!({"banner": "never"}), 60_000, 50)).unwrap();
    let (mut stream, _) = silent.accept().await.unwrap();
    assert_eq!(scheduler.figures().in_flight, 1);
    scheduler.remove(1);
    let mut said = [0; 1];
    let ended = tokio::io::AsyncReadExt::read(&mut stream, &mut said);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it hangs up at once").unwrap(), 0);
    assert_eq!(scheduler.figures().in_flight, 0);
    assert!(told.try_recv().is_err(), "nobody is told of an answer that never came");
}

/// Takes its answers slowly.
struct Slow(Mutex<u32>);

impl Answers for Slow {
    fn take(&self, _: Asked) -> Pin<Box<dyn Future<Output = Again> + Send + '_>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(100)).await; // dawdles: a store that takes its time
            *self.0.lock().unwrap() += 1;
            Again::Usual
        })
    }
}

#[tokio::test]
async fn who_takes_answers_slowly_slows_the_asking_and_nothing_piles_up() {
    let address = peer(Duration::ZERO, Arc::default()).await.to_string();
    let slow = Arc::new(Slow(Mutex::new(0)));
    let limits = Limits { in_flight: 4, ..Limits::default() };
    let scheduler = Scheduler::new(Env::real(), limits, slow.clone());
    for id in 0..100 {
        scheduler.put(id, &plan("tcp", &address, json!({}), 2000, 10)).unwrap();
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), scheduler.run()).await;
    let taken = *slow.0.lock().unwrap();
    assert!((20..=44).contains(&taken), "four at once, ten times a second: not {taken}");
    let figures = scheduler.figures();
    assert!(figures.asked <= u64::from(taken) + 4, "{figures:?}");
    assert!(figures.waiting >= 90, "{figures:?}");
}
