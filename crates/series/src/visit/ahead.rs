//! Reading ahead: while the thread of a query looks at some series, other cores take the next ones apart. The query gets them in
//! their order, as if it had read them itself.
//!
//! It must never read further ahead than a few stretches, and never wait for a reader that has died.

use std::collections::BTreeMap;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Buffers, Found, Wanted};
use crate::busy::OneBusy;
use crate::chunk::Point;
use crate::index::SeriesId;
use crate::labels::Labels;
use crate::promql::Along;
use crate::read::SeriesData;
use crate::store::Store;

/// Series of one stretch.
const MOST_SERIES: usize = 256;
const FEWEST_SERIES: usize = 8;
/// Points of one stretch, when samples come every ten seconds.
const POINTS: i64 = 32 << 10;
const USUAL_INTERVAL_MS: i64 = 10_000;
/// Stretches that a query is worth dividing into.
const FEWEST_STRETCHES: usize = 6;
/// Points below which no second thread is worth its beginning.
const WORTH_POINTS: i64 = 10_000;

/// How a query's series are divided.
pub(super) struct Division {
    /// Series of one stretch.
    pub(super) series: usize,
    /// Threads beside the query's own.
    pub(super) helpers: usize,
}

/// Whether some series are worth more than one thread, and how they are divided then.
pub(super) fn divide(series: usize, wanted: Wanted, reading: &OneBusy<'_>, cores: usize) -> Option<Division> {
    let each = if wanted.newest { 1 } else { wanted.to_ms.saturating_sub(wanted.from_ms) / USUAL_INTERVAL_MS + 1 };
    if reading.idle_of(cores) == 0 || each.saturating_mul(series as i64) < WORTH_POINTS {
        return None;
    }
    let by_points = usize::try_from(POINTS / each).unwrap_or(MOST_SERIES);
    let of_one = (series / 16).clamp(FEWEST_SERIES, MOST_SERIES).min(by_points.max(1));
    let stretches = series.div_ceil(of_one);
    let helpers = reading.idle_of(cores).min(stretches / FEWEST_STRETCHES);
    (helpers > 0).then_some(Division { series: of_one, helpers })
}

/// What was read of one series.
enum Read {
    /// Its points are the next of the rows; and what was made of them.
    Points(Labels, Option<Vec<f64>>),
    Careful(SeriesData),
}

/// Some series that have been read. The rows stay for the next ones.
#[derive(Default)]
struct Stretch {
    read: Vec<Read>,
    rows: Vec<Vec<Point>>,
}

#[derive(Default)]
struct State {
    /// The next stretch that nobody reads yet.
    next: usize,
    /// Stretches that the query is done with.
    done: usize,
    ready: BTreeMap<usize, Stretch>,
    /// For their rows.
    spent: Vec<Stretch>,
    /// The query wants no more, or a reader has died.
    ended: bool,
}

/// What the query and its helpers share.
struct Ahead<'a> {
    store: &'a Store,
    tenant: u64,
    wanted: Wanted,
    along: Option<Along<'a>>,
    stretches: Vec<&'a [(Labels, SeriesId)]>,
    /// How far ahead is read.
    ahead: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// Ends all others when its owner ends: a helper by dying, the query in any way.
struct Ending<'a> {
    all: &'a Ahead<'a>,
    is_helper: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_helper || std::thread::panicking() {
            self.all.state.lock().ended = true;
            self.all.changed.notify_all();
        }
    }
}

impl Store {
    /// Calls `each` with the series that were found, in their order. The caller holds their numbers.
    pub(super) fn visit_divided<E>(
        &self,
        (tenant, found): (u64, &[(Labels, SeriesId)]),
        wanted: Wanted,
        along: Option<Along<'_>>,
        division: &Division,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let ahead = Ahead {
            store: self,
            tenant,
            wanted,
            along,
            stretches: found.chunks(division.series).collect(),
            ahead: 2 + 2 * division.helpers,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        std::thread::scope(|scope| {
            let _ending = Ending { all: &ahead, is_helper: false };
            for _ in 0..division.helpers {
                // Where no thread can be had, the query does without.
                drop(std::thread::Builder::new().name("series-read".into()).spawn_scoped(scope, || ahead.help()));
            }
            let mut buffers = Buffers::default();
            for n in 0..ahead.stretches.len() {
                let mut stretch = ahead.get(n, &mut buffers);
                stretch.give(each)?;
                ahead.give_back(stretch);
            }
            Ok(())
        })
    }
}

impl Ahead<'_> {
    /// Reads until there is nothing more to read, or the query wants no more.
    fn help(&self) {
        let _ending = Ending { all: self, is_helper: true };
        let mut buffers = Buffers::default();
        let mut state = self.state.lock();
        while !state.ended && state.next < self.stretches.len() {
            if state.next < state.done + self.ahead {
                self.read_next(&mut state, &mut buffers);
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    /// The `n`th stretch. While somebody else reads it, this thread reads another.
    fn get(&self, n: usize, buffers: &mut Buffers) -> Stretch {
        let mut state = self.state.lock();
        loop {
            if let Some(stretch) = state.ready.remove(&n) {
                return stretch;
            }
            if state.ended {
                // Who was to read it has died.
                drop(state);
                return self.read(n, Stretch::default(), buffers);
            }
            if state.next < self.stretches.len().min(state.done + self.ahead) {
                self.read_next(&mut state, buffers);
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    /// Takes back the rows of a stretch, to read into them again.
    fn give_back(&self, stretch: Stretch) {
        let mut state = self.state.lock();
        state.done += 1;
        state.spent.push(stretch);
        self.changed.notify_all();
    }

    fn read_next(&self, state: &mut MutexGuard<'_, State>, buffers: &mut Buffers) {
        let n = state.next;
        state.next += 1;
        let spent = state.spent.pop().unwrap_or_default();
        let stretch = MutexGuard::unlocked(state, || self.read(n, spent, buffers));
        state.ready.insert(n, stretch);
        self.changed.notify_all();
    }

    fn read(&self, n: usize, mut into: Stretch, buffers: &mut Buffers) -> Stretch {
        into.read.clear();
        let mut used = 0;
        let Ok(()) = self.store.visit_batch(self.tenant, self.stretches[n], self.wanted, buffers, &mut |_, found| {
            into.read.push(match found {
                Found::Points(labels, points, _) => {
                    let made = self.along.and_then(|along| along.0(points));
                    if used == into.rows.len() {
                        into.rows.push(Vec::new());
                    }
                    std::mem::swap(points, &mut into.rows[used]);
                    used += 1;
                    Read::Points(labels, made)
                }
                Found::Careful(data) => Read::Careful(data),
            });
            Ok::<(), std::convert::Infallible>(())
        });
        into
    }
}

impl Stretch {
    /// Hands its series on.
    fn give<E>(&mut self, each: &mut dyn FnMut(Found<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut rows = self.rows.iter_mut();
        self.read.drain(..).try_for_each(|read| match read {
            Read::Careful(data) => each(Found::Careful(data)),
            // There are as many rows as series that have some.
            Read::Points(labels, made) => rows.next().map_or(Ok(()), |rows| each(Found::Points(labels, rows, made))),
        })
    }
}
