//! A poll feed: each scope that cached nodes depend on is asked again and again, no other.

use super::backoff::Backoff;
use super::supervisor::lock;
use super::task::{Feeding, Standing};
use crate::capability::jittered;
use crate::provider::{Failure, Position, Progress};
use lru::LruCache;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

/// Scopes of one feed asked at the same time.
const PARALLEL: usize = 4;

/// Cursors kept of scopes that are idle, so that one that comes back can prove what it missed.
const CURSORS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// A service's interval is never believed below this.
const SHORTEST: Duration = Duration::from_secs(1);

type Cursors = Arc<Mutex<LruCache<Arc<str>, String>>>;

/// One scope's task, as the scan sees it.
struct Polled {
    since: Arc<AtomicU64>,
    /// Dropped or sent: the scope has become idle.
    idle: Option<oneshot::Sender<()>>,
}

pub(super) async fn run(feeding: Feeding) {
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let cursors: Cursors = Arc::new(Mutex::new(LruCache::new(CURSORS)));
    let mut polled: HashMap<Arc<str>, Polled> = HashMap::new();
    // Aborts its tasks when this one ends, which reports their scopes lost.
    let mut tasks = JoinSet::new();
    loop {
        // A scope stays in the map until its task has ended: two tasks of one scope, an old one
        // saying "idle" after a new one's "up", would leave it in the wrong state.
        while let Some(ended) = tasks.try_join_next() {
            match ended {
                Ok(scope) => {
                    polled.remove(&scope);
                }
                // No call of the provider can panic it; if it did so all the same, begin anew.
                Err(_) => polled
                    .retain(|_, scope| scope.idle.as_ref().is_some_and(|idle| !idle.is_closed())),
            }
        }
        let active: HashMap<_, _> = feeding
            .ledger
            .active_scopes(&feeding.instance, &feeding.feed.scopes)
            .into_iter()
            .collect();
        for (scope, entry) in &mut polled {
            match active.get(scope) {
                Some(since) => entry.since.store(*since, Ordering::Relaxed),
                None => drop(entry.idle.take()),
            }
        }
        for (scope, since) in active {
            if polled.contains_key(&scope) {
                continue;
            }
            let since = Arc::new(AtomicU64::new(since));
            let (idle, ended) = oneshot::channel();
            polled.insert(scope.clone(), Polled { since: since.clone(), idle: Some(idle) });
            let one = One {
                feeding: feeding.clone(),
                scope,
                since,
                slots: slots.clone(),
                cursors: cursors.clone(),
            };
            tasks.spawn(one.run(ended));
        }
        tokio::time::sleep(feeding.pace.scan).await;
    }
}

struct One {
    feeding: Feeding,
    scope: Arc<str>,
    since: Arc<AtomicU64>,
    slots: Arc<Semaphore>,
    cursors: Cursors,
}

impl One {
    async fn run(self, idle: oneshot::Receiver<()>) -> Arc<str> {
        let mut standing = Standing::new(&self.feeding, &self.scope);
        tokio::select! {
            biased;
            _ = idle => {}
            _ = self.poll(&mut standing) => {}
        }
        standing.idle();
        self.scope
    }

    async fn poll(&self, standing: &mut Standing) {
        let pace = &self.feeding.pace;
        let mut backoff = Backoff::new(pace.retry_first, pace.retry_most);
        loop {
            let wait = match self.ask().await {
                Ok(progress) => {
                    backoff.reset();
                    let wait = progress.wait.unwrap_or(pace.poll).max(SHORTEST);
                    let wait = pace.poll_override.unwrap_or(wait);
                    self.took_effect(standing, progress);
                    // A little later than asked for, so that scopes do not all come at once.
                    wait + jittered(wait / 10)
                }
                Err(failure) => {
                    standing.lost(&failure.detail);
                    backoff.wait(failure.retry_after)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask(&self) -> Result<Progress, Failure> {
        // The semaphore is never closed; without a slot the poll would only be less polite.
        let _slot = self.slots.acquire().await;
        let position = Position {
            feed: self.feeding.feed.name.clone(),
            scope: self.scope.to_string(),
            cursor: lock(&self.cursors).get(&self.scope).cloned(),
            since: self.since.load(Ordering::Relaxed),
        };
        self.feeding.call(self.feeding.provider.poll_feed(&position)).await
    }

    /// Changes first: what the poll found belongs to the time before the scope is live again, and
    /// what is fetched after `up` is covered by the next poll from this cursor.
    fn took_effect(&self, standing: &mut Standing, progress: Progress) {
        standing.apply(&progress.changes);
        standing.up();
        if progress.proves_all() {
            standing.resumed();
        }
        standing.item(&progress, None);
        if let Some(cursor) = progress.cursor {
            lock(&self.cursors).put(self.scope.clone(), cursor);
        }
    }
}
