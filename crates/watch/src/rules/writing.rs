//! What a round changed, on disk: the alerts and the health of all its rules in one commit, then what each rule remembers, which the
//! store takes together too.
//!
//! In this order, since an alert that is written twice is the same as once, and one that is only remembered would be lost. Where
//! nothing has changed nothing is written.

use futures::future::join_all;
use kernel::act::Act;
use kernel::{ActError, Session, TenantId};

use super::engine::Rules;
use super::keep;
use super::publish;
use super::round::Judged;

/// Acts of one commit at most, but never fewer than one rule's: others wait for the store meanwhile.
const COMMIT: usize = 500;
/// Rules whose records are looked up at a time.
const AT_A_TIME: usize = 8;

/// What is to be written down of one rule.
struct Draft {
    place: usize,
    acts: Vec<Act>,
}

impl Rules {
    /// Writes down what a layer of rules has come to. Who cannot be written down keeps what it had.
    pub(super) async fn write_down(&self, tenant: TenantId, judged: &mut [Judged]) {
        let session = Session::controller(publish::NAME, tenant);
        let mut commit: Vec<Draft> = Vec::new();
        for draft in self.drafts(&session, judged).await {
            let size: usize = commit.iter().map(|draft| draft.acts.len()).sum();
            if size > 0 && size + draft.acts.len() > COMMIT {
                self.commit(&session, std::mem::take(&mut commit), judged).await;
            }
            commit.push(draft);
        }
        self.commit(&session, commit, judged).await;
        self.remember(judged).await;
    }

    async fn drafts(&self, session: &Session, judged: &mut [Judged]) -> Vec<Draft> {
        let tells = |one: &Judged| !one.events.is_empty() || one.health != one.turn.told;
        let places: Vec<usize> = (0..judged.len()).filter(|place| tells(&judged[*place])).collect();
        let mut drafts = Vec::with_capacity(places.len());
        for some in places.chunks(AT_A_TIME) {
            let acts = join_all(some.iter().map(|place| self.acts(session, &judged[*place]))).await;
            for (place, acts) in some.iter().copied().zip(acts) {
                match acts {
                    Ok(acts) => drafts.push(Draft { place, acts }),
                    Err(error) => self.refused(session, &mut judged[place], &error).await,
                }
            }
        }
        drafts
    }

    async fn acts(&self, session: &Session, one: &Judged) -> Result<Vec<Act>, ActError> {
        let turn = &one.turn;
        let mut acts = match &one.state {
            Some(state) => {
                let about = publish::About { key: &turn.key, rule: &turn.compiled.rule, texts: &turn.texts };
                publish::acts(&self.kernel, session, &about, state, &one.events).await?
            }
            None => Vec::new(),
        };
        if one.health != turn.told {
            acts.push(publish::health(turn.id, one.health, one.error.as_deref(), self.kernel.now()));
        }
        Ok(acts)
    }

    async fn commit(&self, session: &Session, drafts: Vec<Draft>, judged: &mut [Judged]) {
        let acts: Vec<Act> = drafts.iter().flat_map(|draft| draft.acts.iter().cloned()).collect();
        if acts.is_empty() {
            return;
        }
        let Err(error) = self.kernel.acts(session, acts, None).await.map(drop) else {
            return drafts.iter().for_each(|draft| judged[draft.place].told());
        };
        if let [draft] = drafts.as_slice() {
            return self.refused(session, &mut judged[draft.place], &error).await;
        }
        // One of them is refused; that must not hold up the others.
        for Draft { place, acts } in drafts {
            match self.kernel.acts(session, acts, None).await {
                Ok(_) => judged[place].told(),
                Err(error) => self.refused(session, &mut judged[place], &error).await,
            }
        }
    }

    /// A rule that cannot be written down says so at its record, which would go on saying that all is well.
    async fn refused(&self, session: &Session, one: &mut Judged, error: &ActError) {
        one.undo(error);
        if one.health == one.turn.told {
            return;
        }
        let act = publish::health(one.turn.id, one.health, one.error.as_deref(), self.kernel.now());
        if self.kernel.acts(session, vec![act], None).await.is_ok() {
            one.told();
        }
    }

    /// Keeps what a restart must find. All is handed to the store at once, which needs one sync for it.
    async fn remember(&self, judged: &mut [Judged]) {
        let lasting = |one: &Judged| one.lasting && one.state.is_some();
        let places: Vec<usize> = (0..judged.len()).filter(|place| lasting(&judged[*place])).collect();
        let stored = join_all(places.iter().filter_map(|place| {
            let Judged { turn, state, .. } = &judged[*place];
            Some(keep::store(&self.kernel, turn.id, &turn.definition, state.as_ref()?))
        }));
        for (place, stored) in places.iter().zip(stored.await) {
            if let Err(error) = stored {
                judged[*place].undo(&error);
            }
        }
    }
}
