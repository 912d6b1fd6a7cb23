//! Work and the connection that it needs, moved by one task. A part that wakes the other while both are looked at is looked at
//! again at once: the runtime would take that for news and have a second thread wake up to find nothing.
//!
//! It must never keep the thread from others: a part that wakes itself again and again gives way.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Nobody looks.
const AWAY: u8 = 0;
/// The parts are being looked at.
const LOOKING: u8 = 1;
/// They are, and something came meanwhile.
const AGAIN: u8 = 2;
/// Looks in a row before others have their turn.
const LOOKS: u8 = 16;

/// What comes of `work` while the companion moves beside it, for as long as there is one. When it ends, it is forgotten.
pub async fn together<T, C>(companion: &mut Option<C>, work: impl Future<Output = T>) -> T
where
    C: Future + Unpin,
{
    let mut work = pin!(work);
    let news = Arc::new(News::default());
    let waker = Waker::from(news.clone());
    poll_fn(|outer| {
        news.outer.register(outer.waker());
        let mut inner = Context::from_waker(&waker);
        for _ in 0..LOOKS {
            news.state.store(LOOKING, SeqCst);
            if let Poll::Ready(done) = work.as_mut().poll(&mut inner) {
                return Poll::Ready(done);
            }
            if let Some(moved) = companion
                && pin!(moved).poll(&mut inner).is_ready()
            {
                *companion = None;
                continue; // It may have told the work how it ended.
            }
            if news.state.swap(AWAY, SeqCst) == LOOKING {
                return Poll::Pending;
            }
        }
        news.state.store(AWAY, SeqCst);
        outer.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Whether something came, and who is to know.
#[derive(Default)]
struct News {
    state: AtomicU8,
    outer: AtomicWaker,
}

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.compare_exchange(LOOKING, AGAIN, SeqCst, SeqCst) == Err(AWAY) {
            self.outer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::{mpsc, oneshot};

    /// Counts how often the task is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn parts_that_wake_each_other_wake_nobody_else() {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<u32>>(1);
        let (end, ended) = oneshot::channel::<()>();
        let mut companion = Some(Box::pin(async move {
            while let Some(tell) = asked.recv().await {
                let _ = tell.send(7);
            }
        }));
        let work = async move {
            let mut sum = 0;
            for _ in 0..3 {
                let (tell, told) = oneshot::channel();
                ask.send(tell).await.unwrap();
                sum += told.await.unwrap();
            }
            ended.await.unwrap();
            sum
        };
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut outer = Context::from_waker(&waker);
        {
            let mut both = pin!(together(&mut companion, work));
            assert!(both.as_mut().poll(&mut outer).is_pending());
            assert_eq!(woken.0.load(SeqCst), 0, "what they say to each other is their affair");
            end.send(()).unwrap();
            assert_eq!(woken.0.load(SeqCst), 1, "what comes from outside is not");
            assert_eq!(both.as_mut().poll(&mut outer), Poll::Ready(21));
        }
        assert!(companion.is_some(), "it did not end");
    }

    #[test]
    fn who_wakes_itself_without_end_gives_way_and_who_ends_is_forgotten() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut outer = Context::from_waker(&waker);
        let mut looks = 0;
        let restless = poll_fn(|cx| {
            looks += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let mut companion = Some(std::future::ready(()));
        assert!(pin!(together(&mut companion, restless)).as_mut().poll(&mut outer).is_pending());
        assert_eq!((looks, woken.0.load(SeqCst), companion.is_none()), (LOOKS, 1, true));
    }
}
