//! Readers: a few threads with a read-only connection each, apart from the writer, so that no question waits for a write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::conn::{Conn, DbError};

/// A question: gets a connection, or why there is none; answers whether the connection was lost meanwhile.
pub(crate) type Question = Box<dyn FnOnce(Result<&mut dyn Conn, DbError>) -> bool + Send>;

/// Makes a reader's connection.
pub(crate) type ConnectReader = Arc<dyn Fn() -> Result<Box<dyn Conn>, DbError> + Send + Sync>;

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// For who has a connection, and for who has none yet.
    warm: Condvar,
    cold: Condvar,
}

#[derive(Default)]
struct State {
    questions: VecDeque<Question>,
    ended: bool,
    /// Who waits and was not called yet.
    warm: usize,
    cold: usize,
    /// Who makes a connection just now, each for one question.
    connecting: usize,
}

impl Queue {
    /// The next question for who has a connection; none at the end.
    fn next(&self) -> Option<Question> {
        let mut state = self.state.lock();
        loop {
            if let Some(question) = state.questions.pop_front() {
                return Some(question);
            }
            if state.ended {
                return None;
            }
            state.warm += 1;
            self.warm.wait(&mut state);
        }
    }

    /// Waits until one more connection is needed; false at the end. The question stays: one who has a connection may be free
    /// before another is made.
    fn needed(&self) -> Option<Connecting<'_>> {
        let mut state = self.state.lock();
        while state.questions.len() <= state.connecting {
            if state.ended {
                return None;
            }
            state.cold += 1;
            self.cold.wait(&mut state);
        }
        state.connecting += 1;
        Some(Connecting { queue: self, is_counted: true })
    }

    /// Calls one who has a connection, if one is free: to make one means to read the whole layout of the database.
    fn put(&self, question: Question) {
        let mut state = self.state.lock();
        state.questions.push_back(question);
        // Who calls takes them off, so that nobody is called twice for two questions.
        if state.warm > 0 {
            state.warm -= 1;
            self.warm.notify_one();
        } else if state.cold > 0 && state.questions.len() > state.connecting {
            state.cold -= 1;
            self.cold.notify_one();
        }
    }
}

/// One who makes a connection.
struct Connecting<'q> {
    queue: &'q Queue,
    is_counted: bool,
}

impl Connecting<'_> {
    /// The connection is made, or cannot be: the question that waits, if nobody was free sooner. Both in one, so that nobody thinks
    /// in between that one more is needed.
    fn done(mut self) -> Option<Question> {
        self.is_counted = false;
        let mut state = self.queue.state.lock();
        state.connecting -= 1;
        state.questions.pop_front()
    }
}

impl Drop for Connecting<'_> {
    /// Who dies over it leaves its question to another one.
    fn drop(&mut self) {
        if self.is_counted {
            let mut state = self.queue.state.lock();
            state.connecting -= 1;
            if state.cold > 0 {
                state.cold -= 1;
                self.queue.cold.notify_one();
            }
        }
    }
}

/// The readers' threads and their queue. How many questions may wait is bounded by who asks.
pub(crate) struct Readers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(count: usize, connect: &ConnectReader) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut threads = Vec::with_capacity(count);
        for i in 0..count {
            let (queue, connect) = (queue.clone(), connect.clone());
            threads.push(
                std::thread::Builder::new().name(format!("store-read-{i}")).spawn(move || serve(&queue, &connect))?,
            );
        }
        Ok(Self { queue, threads })
    }

    pub(crate) fn ask(&self, question: Question) {
        self.queue.put(question);
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.state.lock().ended = true;
        self.queue.warm.notify_all();
        self.queue.cold.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // A reader that panicked has told so itself.
        }
    }
}

fn serve(queue: &Queue, connect: &ConnectReader) {
    while let Some(connecting) = queue.needed() {
        let connected = connect();
        let mut next = connecting.done();
        match connected {
            Ok(mut conn) => loop {
                let Some(question) = next.take().or_else(|| queue.next()) else { return };
                if question(Ok(&mut *conn)) {
                    break;
                }
            },
            Err(error) => {
                if let Some(question) = next {
                    question(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Barrier, mpsc};

    use super::*;
    use crate::sqlite::Sqlite;

    /// Three readers on a database, and how many connections they made.
    struct Three {
        readers: Readers,
        made: Arc<AtomicUsize>,
        _dir: tempfile::TempDir,
    }

    impl Three {
        fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("records.db");
            drop(Sqlite::writer(&path, 64).unwrap());
            let made = Arc::new(AtomicUsize::new(0));
            let counted = made.clone();
            let connect: ConnectReader = Arc::new(move || {
                counted.fetch_add(1, SeqCst);
                Ok(Box::new(Sqlite::reader(&path, 64, None)?))
            });
            Self { readers: Readers::start(3, &connect).unwrap(), made, _dir: dir }
        }

        /// Asks one question and waits for its answer; `then` says whether the connection was lost.
        fn ask(&self, then: fn() -> bool) {
            let (told, answer) = mpsc::sync_channel(1);
            self.readers.ask(Box::new(move |conn| {
                told.send(conn.is_ok()).unwrap();
                then()
            }));
            assert!(answer.recv().unwrap());
        }
    }

    #[test]
    fn one_question_after_the_other_needs_one_connection_and_three_at_once_get_three() {
        let three = Three::start();
        for _ in 0..50 {
            three.ask(|| false);
            // The reader is back at the queue when it waits there.
            while three.readers.queue.state.lock().warm == 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(three.made.load(SeqCst), 1);
        for _ in 0..20 {
            // Each answers only when all three are asked.
            let met = Arc::new(Barrier::new(4));
            for _ in 0..3 {
                let met = met.clone();
                three.readers.ask(Box::new(move |_| {
                    met.wait();
                    false
                }));
            }
            met.wait();
        }
        assert_eq!(three.made.load(SeqCst), 3);
    }

    #[test]
    fn one_whose_connection_is_lost_makes_another() {
        let three = Three::start();
        (0..5).for_each(|_| three.ask(|| true));
        let Three { readers, made, _dir } = three;
        drop(readers);
        assert_eq!(made.load(SeqCst), 5);
    }
}
