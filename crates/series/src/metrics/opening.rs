//! Measurements whose log is still being read: whoever asks or writes waits until they are there, and then it is as if they had
//! always been. So a server answers for everything else at once.
//!
//! It must never answer for an engine that is not there. Nor is it for long waits: whoever asks does not know that he waits, and his
//! time for the answer runs.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::SetOnce;

use super::{Layer, Metrics};
use crate::engine::Engine;

/// An engine that is there, or will be.
#[derive(Clone)]
pub struct Opening(Arc<SetOnce<Arc<Engine>>>);

/// Who says that the engine is there. Whoever cannot open it ends the program: those who wait are told nothing before that.
pub struct Opener(Arc<SetOnce<Arc<Engine>>>);

impl Opening {
    /// An engine that will be there when the other one says so.
    pub fn begin() -> (Self, Opener) {
        let place = Arc::new(SetOnce::new());
        (Self(place.clone()), Opener(place))
    }

    /// The engine, when it is there.
    pub fn opened(&self) -> Option<&Arc<Engine>> {
        self.0.get()
    }

    /// Waits for the engine.
    pub async fn engine(&self) -> &Arc<Engine> {
        self.0.wait().await
    }
}

impl Opener {
    /// The engine is there: all who wait go on.
    pub fn opened(self, engine: Arc<Engine>) {
        // There is one opener, so that nothing was said before.
        drop(self.0.set(engine));
    }
}

#[async_trait]
impl Layer for Opening {
    async fn inner(&self) -> &dyn Metrics {
        self.engine().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{Labels, Sample};
    use crate::options::Options;

    #[tokio::test]
    async fn who_asks_before_the_engine_is_there_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (opening, opener) = Opening::begin();
        assert!(opening.opened().is_none());
        let (asked, counted) = (opening.clone(), opening.clone());
        let asking = tokio::spawn(async move {
            Metrics::label_values(&asked, 1, "__name__".into(), Vec::new(), super::super::EVER).await
        });
        let counting =
            tokio::spawn(async move { Metrics::count(&counted, 1, vec![Vec::new()], super::super::EVER).await });
        tokio::task::yield_now().await;
        assert!(!asking.is_finished() && !counting.is_finished());
        let engine = Arc::new(Engine::open(dir.path(), Options::default()).unwrap().0);
        let now = crate::options::system_clock()();
        let labels = Labels::new([("__name__", "up")]).unwrap();
        engine.append(1, vec![Sample { labels, at_ms: now, value: 1.0 }]).await.unwrap();
        opener.opened(engine);
        assert_eq!(asking.await.unwrap().unwrap(), ["up"]);
        assert_eq!(counting.await.unwrap().unwrap().samples, 1);
    }
}
