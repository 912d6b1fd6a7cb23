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
    waiting: Mutex<(VecDeque<Question>, bool)>,
    more: Condvar,
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
        self.queue.waiting.lock().0.push_back(question);
        self.queue.more.notify_one();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.waiting.lock().1 = true;
        self.queue.more.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // A reader that panicked has told so itself.
        }
    }
}

fn serve(queue: &Queue, connect: &ConnectReader) {
    let mut conn: Option<Box<dyn Conn>> = None;
    loop {
        let question = {
            let mut waiting = queue.waiting.lock();
            loop {
                if let Some(question) = waiting.0.pop_front() {
                    break question;
                }
                if waiting.1 {
                    return;
                }
                queue.more.wait(&mut waiting);
            }
        };
        if conn.is_none() {
            match connect() {
                Ok(new) => conn = Some(new),
                Err(error) => {
                    question(Err(error));
                    continue;
                }
            }
        }
        if let Some(open) = &mut conn
            && question(Ok(&mut **open))
        {
            conn = None;
        }
    }
}
