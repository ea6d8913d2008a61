//! What a call takes of the answers that a fleet shares, and adds to them.

use super::exchange::Exchange;
use super::validators::{Kept, Key};
use crate::events::bus::answers::{Answers, Entry, Found, Pending};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

tokio::task_local! {
    static TRAIL: Arc<Inner>;
}

/// The exchanges of one call of a provider: those that took an answer of another mount, and those that asked the service.
#[derive(Debug)]
pub(crate) struct Trail(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    answers: Arc<Answers>,
    /// The scope of what the call is about. Absent where that never changes.
    about: Option<Arc<str>>,
    /// Nothing is taken.
    anew: bool,
    began: Instant,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    taken: Vec<Entry>,
    /// With the answer, once there is one that others may have.
    asked: Vec<(Pending, Option<Arc<Kept>>)>,
}

/// An exchange that asks the service, in its trail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked(usize);

/// What a trail has for an exchange.
pub(super) enum Had {
    /// It need not ask.
    Answer(Arc<Kept>),
    /// It is to ask, perhaps with the validator of what was answered before.
    Before(Option<Arc<Kept>>, Asked),
    Nothing,
}

impl Trail {
    pub(crate) fn new(answers: Arc<Answers>, about: Option<Arc<str>>) -> Trail {
        Trail::of(answers, about, false)
    }

    /// Of a call that is made once more, and takes nothing.
    pub(crate) fn anew(&self) -> Trail {
        Trail::of(self.0.answers.clone(), self.0.about.clone(), true)
    }

    fn of(answers: Arc<Answers>, about: Option<Arc<str>>, anew: bool) -> Trail {
        let (began, noted) = (Instant::now(), Mutex::default());
        Trail(Arc::new(Inner { answers, about, anew, began, noted }))
    }

    /// Runs a call, which makes its exchanges in this task.
    pub(crate) async fn run<F: Future>(&self, call: F) -> F::Output {
        TRAIL.scope(self.0.clone(), call).await
    }

    /// Whether the call took an answer that does not have all of these scopes, or has any where these are not known.
    pub(crate) fn rests_on_others_than(&self, scopes: Option<&BTreeSet<Arc<str>>>) -> bool {
        let noted = self.0.noted.lock();
        let has = |entry: &Entry, scope: &Arc<str>| entry.scopes.iter().any(|(of, _)| of == scope);
        match scopes {
            None => !noted.taken.is_empty(),
            Some(scopes) => {
                noted.taken.iter().any(|entry| !scopes.iter().all(|scope| has(entry, scope)))
            }
        }
    }

    pub(crate) fn rests_on_others(&self) -> bool {
        !self.0.noted.lock().taken.is_empty()
    }

    /// Tells others what the service answered, if `scopes` vouch for it. Nobody waits for that.
    pub(crate) fn end(&self, scopes: Option<BTreeSet<Arc<str>>>) {
        let asked = std::mem::take(&mut self.0.noted.lock().asked);
        let Inner { answers, began, .. } = &*self.0;
        for (pending, kept) in asked {
            let (answers, began, scopes) = (answers.clone(), *began, scopes.clone());
            tokio::spawn(async move {
                match (kept.map(|kept| kept.written()), scopes) {
                    (Some(answer), Some(scopes)) => {
                        answers.tell(pending, began, scopes, answer.into()).await;
                    }
                    _ => answers.give_up(pending).await,
                }
            });
        }
    }
}

impl Drop for Inner {
    /// A call that was given up lets those go on who wait for it.
    fn drop(&mut self) {
        let asked = std::mem::take(&mut self.noted.get_mut().asked);
        if let Ok(tokio) = tokio::runtime::Handle::try_current() {
            for (pending, _) in asked {
                let answers = self.answers.clone();
                tokio.spawn(async move { answers.give_up(pending).await });
            }
        }
    }
}

/// The trail of the call in this task.
pub(super) fn trail() -> Option<Arc<Inner>> {
    TRAIL.try_with(Arc::clone).ok()
}

impl Inner {
    pub fn is_of_one_secret(&self) -> bool {
        self.answers.is_of_one_secret()
    }

    pub fn answered(&self, Asked(at): Asked, kept: Option<Arc<Kept>>) {
        if let Some((_, answer)) = self.noted.lock().asked.get_mut(at) {
            *answer = kept;
        }
    }

    pub async fn find(&self, exchange: &Exchange<'_>) -> Had {
        let carried = exchange.carried.iter();
        let secrets = carried.map(|carried| (carried.credential.as_str(), &carried.found.secret));
        let Some(identity) = self.answers.identity(secrets) else { return Had::Nothing };
        let (base, spec) = (exchange.target.base.to_string(), &exchange.target.spec);
        let headers = Key::headers_of(&exchange.checked.headers);
        let mut request =
            vec![base.as_bytes(), spec.name.as_bytes(), exchange.checked.target.as_bytes()];
        request.extend(headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]));
        match self.answers.find(identity, &request, self.about.as_deref(), self.anew).await {
            Found::Current(entry) => match Kept::read(&entry.answer) {
                Some(kept) => {
                    self.noted.lock().taken.push(entry);
                    Had::Answer(Arc::new(kept))
                }
                None => Had::Nothing,
            },
            Found::Before(entry, pending) => {
                let kept = entry.and_then(|entry| Kept::read(&entry.answer)).map(Arc::new);
                let asked = &mut self.noted.lock().asked;
                asked.push((pending, None));
                Had::Before(kept, Asked(asked.len() - 1))
            }
            Found::Nothing => Had::Nothing,
        }
    }
}
