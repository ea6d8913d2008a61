//! A poll feed: each scope that cached nodes depend on is asked again and again, no other.

use super::allowance::Allowance;
use super::schedule::{Ended, Next, Schedule, Tell, Turn};
use super::task::{Feeding, Standing};
use crate::provider::{Cause, Failure, Position, Progress};
use crate::scopes::covers;
use lru::LruCache;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

/// Cursors kept of scopes that are idle, so that one that comes back can prove what it missed.
const CURSORS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// One poll feed, shared by the task that polls and those who wait for a poll. No lock is held while
/// another one is taken but that of the allowance, which comes last.
#[derive(Clone)]
pub(super) struct Polls(Arc<Shared>);

struct Shared {
    feeding: Feeding,
    schedule: Mutex<Schedule>,
    allowance: Arc<Mutex<Allowance>>,
    cursors: Mutex<LruCache<Arc<str>, String>>,
    /// Somebody waits for a poll.
    wanted: Notify,
}

/// However the task ends, nobody goes on waiting for its next poll.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.schedule.lock().end();
    }
}

type Polled = (Arc<str>, Result<Progress, Failure>, u64);

impl Polls {
    pub fn new(feeding: Feeding, allowance: Arc<Mutex<Allowance>>) -> Self {
        Polls(Arc::new(Shared {
            schedule: Mutex::new(Schedule::new(feeding.pace.clone())),
            feeding,
            allowance,
            cursors: Mutex::new(LruCache::new(CURSORS)),
            wanted: Notify::new(),
        }))
    }

    pub fn covers(&self, scope: &str) -> bool {
        covers(&self.0.feeding.feed.scopes, scope)
    }

    /// Waits for a poll of a scope that is suspect, one for all who wait. Ends without one where none is
    /// due: the last one has failed just now.
    pub async fn prove(self, scope: Arc<str>) {
        let waits = self.0.schedule.lock().want(&scope, Instant::now());
        if let Some((ended, until)) = waits {
            self.0.wanted.notify_one();
            // Too late, or the feed has ended: the use asks for itself.
            let _ = timeout_at(until.into(), ended).await;
        }
    }

    pub async fn run(self) {
        let shared = &self.0;
        let _end = End(shared.clone());
        let Feeding { pace, instance, feed, ledger, .. } = &shared.feeding;
        // Dropped with this task, which tells that nothing is live.
        let mut standings: HashMap<Arc<str>, Standing> = HashMap::new();
        let mut polls: JoinSet<Polled> = JoinSet::new();
        let mut scan = Instant::now();
        loop {
            let now = Instant::now();
            if now >= scan || shared.schedule.lock().has_unseen() {
                scan = now + pace.scan;
                let active = ledger.take_active(instance, &feed.scopes);
                let [new, gone] = shared.schedule.lock().seen(active, now);
                for scope in new {
                    let standing = || Standing::new(&shared.feeding, &scope);
                    standings.entry(scope.clone()).or_insert_with(standing);
                }
                gone.iter().filter_map(|scope| standings.remove(scope)).for_each(Standing::idle);
            }
            let (tired, silent) = {
                let mut schedule = shared.schedule.lock();
                (schedule.take_tired(now), schedule.take_silent(now))
            };
            for (scope, why) in tired {
                standings.entry(scope).and_modify(|standing| standing.rest(why));
            }
            for scope in silent {
                standings.entry(scope).and_modify(Standing::still_lost);
            }
            let wait = loop {
                let next = shared.schedule.lock().next(&mut shared.allowance.lock(), now);
                match next {
                    Next::Poll(turn) => {
                        polls.spawn(self.clone().poll(turn));
                    }
                    Next::Wait(until) => break until.map_or(scan, |until| until.min(scan)),
                }
            };
            tokio::select! {
                // No poll panics: `bounded` makes a failure of that.
                Some(Ok(polled)) = polls.join_next() => self.took_effect(&mut standings, polled),
                () = shared.wanted.notified() => {}
                () = sleep_until(wait.into()) => {}
            }
        }
    }

    async fn poll(self, turn: Turn) -> Polled {
        let Turn { scope, since } = turn;
        let feeding = &self.0.feeding;
        let position = Position {
            feed: feeding.feed.name.clone(),
            scope: scope.to_string(),
            cursor: self.cursor(&scope),
            since,
        };
        let (result, requests) = feeding.counted(feeding.provider.poll_feed(&position)).await;
        (scope, result, requests)
    }

    fn cursor(&self, scope: &Arc<str>) -> Option<String> {
        let Feeding { instance, ledger, .. } = &self.0.feeding;
        let own = self.0.cursors.lock().get(scope).cloned();
        own.or_else(|| ledger.cursor(instance, scope))
    }

    fn took_effect(&self, standings: &mut HashMap<Arc<str>, Standing>, polled: Polled) {
        let (scope, result, requests) = polled;
        let ended = match &result {
            Ok(progress) => Ended::Well(progress.wait),
            Err(failure) => {
                let lasting = matches!(failure.cause, Cause::NotFound | Cause::Denied);
                Ended::Failed(failure.retry_after, lasting)
            }
        };
        let tell = {
            let mut allowance = self.0.allowance.lock();
            self.0.schedule.lock().ended(&scope, ended, requests, &mut allowance, Instant::now())
        };
        if let Some(standing) = standings.get_mut(&scope) {
            match result {
                Ok(progress) => self.progressed(standing, &scope, progress, tell == Tell::Up),
                Err(failure) if tell == Tell::Lost => standing.lost(&failure.detail),
                Err(_) => {}
            }
        }
        match tell {
            Tell::Gone => standings.remove(&scope).into_iter().for_each(Standing::idle),
            Tell::Up | Tell::Lost | Tell::Nothing => self.0.schedule.lock().release(&scope),
        }
    }

    /// Changes first: what the poll found belongs to the time before the scope is live again, and
    /// what is fetched after `up` is covered by the next poll from this cursor.
    fn progressed(&self, standing: &mut Standing, scope: &Arc<str>, progress: Progress, up: bool) {
        standing.apply(&progress.changes);
        if up {
            standing.up();
            if progress.proves_all() {
                standing.resumed();
            }
        }
        standing.item(&progress, None);
        standing.settled(progress.cursor.as_deref());
        if let Some(cursor) = progress.cursor {
            self.0.cursors.lock().put(scope.clone(), cursor);
        }
    }
}
