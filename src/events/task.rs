//! What push and poll have in common: calling the provider, and telling the ledger.

use super::Ledger;
use super::supervisor::{Board, FeedState, Pace, Row, millis, now};
use crate::capability::{Outbound, counted, in_background};
use crate::provider::{Cause, Change, Failure, Feed, FeedKind, Progress, Provider, Reply};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One feed of one instance, with everything its task needs.
#[derive(Clone)]
pub(super) struct Feeding {
    pub instance: Arc<str>,
    pub provider: Arc<dyn Provider>,
    pub feed: Feed,
    pub outbound: Outbound,
    pub ledger: Arc<dyn Ledger>,
    pub pace: Pace,
    pub board: Board,
}

impl Feeding {
    /// A call of the provider at background priority. It ends, whatever the provider does.
    pub async fn call<T>(&self, call: Reply<'_, T>) -> Result<T, Failure> {
        bounded(&self.instance, self.pace.call, in_background(call)).await
    }

    /// The same, with the number of requests that were made for it.
    pub async fn counted<T>(&self, call: Reply<'_, T>) -> (Result<T, Failure>, u64) {
        counted(self.call(call)).await
    }
}

/// Ends within `bound`; a panic is a failure like any other.
pub(super) async fn bounded<T>(
    instance: &Arc<str>,
    bound: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let fail = |cause, detail: String| {
        Err(Failure { provider: instance.clone(), cause, detail, retry_after: None })
    };
    match tokio::time::timeout(bound, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => fail(Cause::Trap, "the provider panicked".to_owned()),
        Err(_) => fail(
            Cause::TimedOut,
            format!("the provider did not answer within {} s", bound.as_secs_f32()),
        ),
    }
}

impl Progress {
    /// Nothing was missed since the cursor; an item that also reports a gap proves nothing.
    pub(super) fn proves_all(&self) -> bool {
        self.resumed && !self.changes.iter().any(|change| matches!(change, Change::Gap(_)))
    }
}

/// The standing of one scope, or of one prefix of scopes, before the ledger. Lost when dropped: a
/// task that ends, is aborted or panics leaves nothing live behind.
pub(super) struct Standing {
    instance: Arc<str>,
    scope: Arc<str>,
    ledger: Arc<dyn Ledger>,
    pub row: Arc<Mutex<Row>>,
    board: Board,
    live: bool,
    was_live: bool,
    /// Nothing in memory depends on it any more.
    idle: bool,
    /// The longest time for which an attempt that failed speaks for those that come after it.
    round: Duration,
}

impl Standing {
    pub fn new(feeding: &Feeding, scope: &Arc<str>) -> Self {
        let kind = if feeding.feed.kind == FeedKind::Push { "push" } else { "poll" };
        Standing::of(feeding, scope, kind)
    }

    /// `kind` as in [`FeedStatus`](super::FeedStatus).
    pub fn of(feeding: &Feeding, scope: &Arc<str>, kind: &'static str) -> Self {
        let row = feeding.board.row(&feeding.feed.name, kind, scope);
        Standing {
            instance: feeding.instance.clone(),
            scope: scope.clone(),
            ledger: feeding.ledger.clone(),
            row,
            board: feeding.board.clone(),
            live: false,
            was_live: false,
            idle: false,
            round: feeding.pace.round(feeding.feed.kind),
        }
    }

    pub fn up(&mut self) {
        if self.live {
            return;
        }
        self.live = true;
        self.ledger.up(&self.instance, &self.scope);
        let mut row = self.row.lock();
        let rested = row.status.state == FeedState::Resting;
        row.enter(FeedState::Live);
        if std::mem::replace(&mut self.was_live, true) && !rested {
            row.status.reconnects += 1;
        }
        drop(row);
        if !rested {
            tracing::info!(provider = %self.instance, scope = %self.scope, "the feed is live");
        }
    }

    pub fn resumed(&self) {
        if self.live {
            self.ledger.resumed(&self.instance, &self.scope);
        }
    }

    /// Tells the ledger at each loss, also at one before the first `up`: the reason may be new.
    pub fn lost(&mut self, why: &str) {
        if std::mem::take(&mut self.live) {
            tracing::warn!(provider = %self.instance, scope = %self.scope, "the feed is lost: {why}");
        }
        self.ledger.lost(&self.instance, &self.scope, why);
        let mut row = self.row.lock();
        row.enter(FeedState::Lost);
        row.status.last_error = Some(why.to_owned());
    }

    /// Waits until the next attempt. A service that asks for a long wait does not make one answer good
    /// for all of it.
    pub async fn wait(&mut self, wait: Duration, why: &str) {
        let mut left = wait;
        while left > self.round {
            tokio::time::sleep(self.round).await;
            left -= self.round;
            self.lost(why);
        }
        tokio::time::sleep(left).await;
    }

    /// Says once more what the last loss was.
    pub fn still_lost(&mut self) {
        let why = self.row.lock().status.last_error.clone();
        self.lost(&why.unwrap_or_default());
    }

    /// Nobody has used the scope lately, or others were more urgent: it is suspect until somebody asks.
    pub fn rest(&mut self, why: &str) {
        self.live = false;
        self.ledger.rest(&self.instance, &self.scope, why);
        self.row.lock().enter(FeedState::Resting);
    }

    pub fn idle(mut self) {
        self.idle = true;
    }

    pub fn apply(&self, changes: &[Change]) {
        if !changes.is_empty() {
            self.ledger.apply_in(&self.instance, &self.scope, changes);
        }
    }

    /// All that an item had to tell was told; the next one begins at `cursor`.
    pub fn settled(&self, cursor: Option<&str>) {
        self.ledger.settled(&self.instance, &self.scope, cursor);
    }

    /// Something arrived and may have been missed.
    pub fn gap(&self, why: &str) {
        self.apply(&[Change::Gap(self.scope.clone())]);
        self.unreadable(why);
        tracing::warn!(provider = %self.instance, scope = %self.scope, "an event was missed: {why}");
    }

    /// Counts an item that could not be read.
    pub fn unreadable(&self, why: &str) {
        let mut row = self.row.lock();
        row.status.unreadable += 1;
        row.status.last_error = Some(why.to_owned());
    }

    /// Counts an item that has taken effect.
    pub fn item(&self, progress: &Progress, arrived: Option<Instant>) {
        let mut row = self.row.lock();
        row.status.items += 1;
        row.status.changes += progress.changes.len() as u64;
        row.status.last_item = Some(now());
        match arrived {
            Some(arrived) => row.status.lag = Some(millis(arrived.elapsed())),
            None => row.answered = Some(Instant::now()),
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        match self.idle {
            true => self.ledger.idle(&self.instance, &self.scope),
            false => self.ledger.rest(&self.instance, &self.scope, "the feed has ended"),
        }
        self.board.remove(&self.row);
    }
}
