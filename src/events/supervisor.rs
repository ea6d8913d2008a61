//! Keeps the push and poll feeds of one provider instance running.

use super::allowance::Allowance;
use super::bus::names::Place;
use super::bus::{self, Fleet, Split};
use super::poll::Polls;
use super::task::Feeding;
use super::{Ledger, Prover, push};
use crate::capability::Outbound;
use crate::provider::{Feed, FeedKind, Provider};
use parking_lot::Mutex;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

/// The rhythm of feeds.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Push: before the first attempt to reconnect, doubled up to `reconnect_most`.
    pub reconnect_first: Duration,
    pub reconnect_most: Duration,
    /// Poll: between two polls of a scope, where the service names no interval of its own.
    pub poll: Duration,
    /// Replaces both the service's interval and `poll`: for tests, and for a service of one's own.
    pub poll_override: Option<Duration>,
    /// Poll: after the first failure, doubled up to `retry_most`.
    pub retry_first: Duration,
    pub retry_most: Duration,
    /// How often the ledger is asked which scopes are in use.
    pub scan: Duration,
    /// For one call of the provider.
    pub call: Duration,
    /// Poll: requests within one minute, all scopes of an instance together. A use that waits for a
    /// poll is not held up by it, and counts.
    pub requests: u64,
    /// Poll: how long after its last use a scope counts as used.
    pub linger: Duration,
    /// Poll: how late a poll may be before its scope is suspect.
    pub late: Duration,
    /// Poll: how long a use waits for one.
    pub patience: Duration,
}

impl Pace {
    /// The minute of `requests`, which is shorter where polls come more often.
    pub(super) fn window(&self) -> Duration {
        self.poll_override.unwrap_or(MINUTE).min(MINUTE)
    }

    pub(super) fn round(&self, kind: FeedKind) -> Duration {
        if kind == FeedKind::Push { self.reconnect_most } else { self.retry_most }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

impl Default for Pace {
    fn default() -> Self {
        Pace {
            reconnect_first: Duration::from_millis(50),
            reconnect_most: Duration::from_secs(5),
            poll: Duration::from_secs(60),
            poll_override: None,
            retry_first: Duration::from_secs(2),
            retry_most: Duration::from_secs(60),
            scan: Duration::from_millis(500),
            call: Duration::from_secs(60),
            requests: 60,
            linger: Duration::from_secs(600),
            late: Duration::from_secs(30),
            patience: Duration::from_secs(5),
        }
    }
}

/// Where a feed stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedState {
    /// Not connected yet, or again.
    #[default]
    Connecting,
    /// Events arrive.
    Live,
    /// No event arrives; the feed tries again by itself.
    Lost,
    /// Poll: suspect until its next use, which has it asked first.
    Resting,
}

/// One row of `omnifs status`. Times in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FeedStatus {
    pub feed: String,
    /// `push`, `poll` or `bus`.
    pub kind: &'static str,
    /// Push: the prefix of every scope it covers. Poll: one scope.
    pub scope: String,
    pub state: FeedState,
    /// Of the last change of `state`.
    pub since: u64,
    /// Push: from the arrival of the last item to its effect. Poll: the age of the last answer.
    /// Milliseconds.
    pub lag: Option<u64>,
    pub last_item: Option<u64>,
    pub items: u64,
    pub changes: u64,
    /// Times the feed came back after a loss.
    pub reconnects: u64,
    /// Items that could not be read: each became a gap, but for those of the bus, which anybody may have said.
    pub unreadable: u64,
    pub last_error: Option<String>,
}

/// The board every task of an instance writes its row on.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<Vec<Arc<Mutex<Row>>>>>);

#[derive(Default)]
pub(super) struct Row {
    pub status: FeedStatus,
    /// Poll: when the last answer came.
    pub answered: Option<Instant>,
}

/// Starts feeds; see [`FeedSupervisor::start`].
#[derive(Debug)]
pub struct FeedSupervisor;

/// The running feeds of one instance. They end when this is dropped, and are then reported lost.
pub struct Feeds {
    board: Board,
    /// Each with what the bus has of its scopes.
    polls: Vec<(Polls, Option<Arc<Split>>)>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl FeedSupervisor {
    /// Starts a task for each push and poll feed. Webhook feeds are the
    /// [receiver's](super::webhook::Receiver). To be called within a tokio runtime.
    pub fn start(
        instance: &str,
        provider: Arc<dyn Provider>,
        feeds: &[Feed],
        outbound: Outbound,
        ledger: Arc<dyn Ledger>,
        pace: Pace,
    ) -> Feeds {
        FeedSupervisor::start_in_fleet(instance, provider, feeds, outbound, ledger, pace, None)
    }

    /// The same in a fleet: of the scopes that its relays tell of, none is polled while they do.
    pub fn start_in_fleet(
        instance: &str,
        provider: Arc<dyn Provider>,
        feeds: &[Feed],
        outbound: Outbound,
        ledger: Arc<dyn Ledger>,
        pace: Pace,
        fleet: Option<(Fleet, Place)>,
    ) -> Feeds {
        let board = Board::default();
        let allowance = Arc::new(Mutex::new(Allowance::new(pace.requests, pace.window())));
        let mut tasks = Vec::new();
        let mut polls = Vec::new();
        for feed in feeds {
            let feeding = Feeding {
                instance: instance.into(),
                provider: provider.clone(),
                feed: feed.clone(),
                outbound: outbound.background(),
                ledger: ledger.clone(),
                pace: pace.clone(),
                board: board.clone(),
            };
            match feed.kind {
                FeedKind::Push => tasks.push(tokio::spawn(push::run(feeding))),
                FeedKind::Poll => {
                    let split = fleet.clone().map(|(fleet, place)| {
                        let split = Split::new(ledger.clone(), fleet, place);
                        tasks.push(tokio::spawn(bus::follow(split.clone(), feeding.clone())));
                        split
                    });
                    let seen = split.clone().map(|split| split as Arc<dyn Ledger>);
                    let ledger = seen.unwrap_or_else(|| feeding.ledger.clone());
                    let feed = Polls::new(Feeding { ledger, ..feeding }, allowance.clone());
                    polls.push((feed.clone(), split));
                    tasks.push(tokio::spawn(feed.run()));
                }
                FeedKind::Webhook => {}
            }
        }
        Feeds { board, polls, tasks: Mutex::new(tasks) }
    }
}

impl Feeds {
    pub fn status(&self) -> Vec<FeedStatus> {
        self.board.status()
    }

    /// Has the poll feed of a scope prove what it missed. One that the bus tells of is not waited for.
    pub fn prover(&self) -> Prover {
        let polls = self.polls.clone();
        Prover(Arc::new(move |scope| {
            let feed = polls.iter().find(|(feed, _)| feed.covers(&scope));
            let heard = |split: &Option<Arc<Split>>| {
                split.as_ref().is_some_and(|split| split.is_heard(&scope))
            };
            let feed = feed.filter(|(_, split)| !heard(split)).map(|(feed, _)| feed.clone());
            Box::pin(async move {
                if let Some(feed) = feed {
                    feed.prove(scope).await;
                }
            })
        }))
    }

    /// Ends every feed and returns when no further call of the ledger will be made.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.abort();
            // The error says that it was cancelled.
            let _ = task.await;
        }
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        for task in self.tasks.get_mut() {
            task.abort();
        }
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeds").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Board {
    pub fn row(&self, feed: &str, kind: &'static str, scope: &str) -> Arc<Mutex<Row>> {
        let status = FeedStatus {
            feed: feed.to_owned(),
            kind,
            scope: scope.to_owned(),
            since: now(),
            ..FeedStatus::default()
        };
        let row = Arc::new(Mutex::new(Row { status, answered: None }));
        self.0.lock().push(row.clone());
        row
    }

    pub fn remove(&self, row: &Arc<Mutex<Row>>) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, row));
    }

    fn status(&self) -> Vec<FeedStatus> {
        let rows = self.0.lock().clone();
        let mut all: Vec<_> = rows
            .iter()
            .map(|row| {
                let row = row.lock();
                let mut status = row.status.clone();
                if let Some(answered) = row.answered {
                    status.lag = Some(millis(answered.elapsed()));
                }
                status
            })
            .collect();
        all.sort_by(|a, b| (&a.feed, &a.scope).cmp(&(&b.feed, &b.scope)));
        all
    }
}

impl Row {
    pub fn enter(&mut self, state: FeedState) {
        if self.status.state != state {
            self.status.state = state;
            self.status.since = now();
        }
    }
}

pub(super) fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
