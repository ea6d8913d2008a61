//! The webhook receiver: at `/hook/INSTANCE` for each instance whose provider has a webhook feed.
//!
//! **Invariant:** nothing of a delivery is believed before its signature, as the manifest describes it,
//! is checked; nothing that was accepted is silently dropped: a full queue or an event that cannot be
//! read is a gap. So is what was turned away before its signature could be checked, for want of room or
//! of time: it may have been a delivery. Whoever can connect can have that happen, so it makes at most
//! one gap of an instance in [`Options::pause`].
//!
//! A delivery is answered when it is queued, and so is a repetition: it takes effect again, which is
//! harmless. Repetitions have a queue of their own, so that who replays what he has overheard holds up
//! nobody.

mod listener;
mod request;
mod seen;
mod signature;
mod vouching;

#[cfg(any(test, fuzzing))]
pub use request::fuzzing;

use super::Ledger;
use super::task::bounded;
use crate::capability::Clock;
use crate::credentials::{Chain, Resolved};
use crate::provider::{Change, Delivery, Feed, FeedKind, Provider, Signature};
use crate::scopes::covers;
use axum::http::StatusCode;
use parking_lot::Mutex;
use seen::Seen;
use serde::Serialize;
use signature::Mark;
use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use vouching::Vouching;

/// Between two repetitions that take effect: 50 in a second cost no more than that.
const REPETITION: Duration = Duration::from_millis(20);

/// One provider instance that receives deliveries.
#[derive(Clone, Debug)]
pub struct Subscriber {
    pub instance: Arc<str>,
    /// Its manifest's webhook feed.
    pub feed: Feed,
    /// How its deliveries are signed.
    pub signature: Signature,
    /// Nothing else says whether the feed's scopes are live; see [`stands_alone`].
    pub alone: bool,
    pub provider: Arc<dyn Provider>,
    pub secret: Arc<Chain>,
}

/// The path at which an instance's deliveries arrive.
pub fn path(instance: &str) -> String {
    format!("/hook/{instance}")
}

/// Whether no other feed covers any of this one's scopes. A stream and a poll prove more than a delivery:
/// where one of them is, a delivery says what changed, and nothing of whether the scope is live.
pub fn stands_alone(feed: &Feed, feeds: &[Feed]) -> bool {
    let overlaps =
        |other: &Feed| covers(&other.scopes, &feed.scopes) || covers(&feed.scopes, &other.scopes);
    !feeds.iter().any(|other| other.kind != FeedKind::Webhook && overlaps(other))
}

/// The receiver's bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// Listen on addresses other than loopback too. A tunnel or a proxy is the safer way.
    pub beyond_loopback: bool,
    /// Deliveries waiting for one instance.
    pub queue: usize,
    /// Bytes of bodies: a quarter for small ones (64 KiB) that wait, three for large ones that are read
    /// or wait. Small ones being read take as much besides as there may be connections.
    pub memory: usize,
    /// Deliveries of one instance remembered, to tell a repetition.
    pub remembered: usize,
    /// From a connection to its answer.
    pub request: Duration,
    /// Between two gaps for what was turned away before its signature could be checked.
    pub pause: Duration,
    /// For one call of the provider.
    pub call: Duration,
    /// How often it is looked whether deliveries may have been missed.
    pub watch: Duration,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            beyond_loopback: false,
            queue: 1024,
            memory: 64 << 20,
            remembered: 8192,
            request: Duration::from_secs(10),
            pause: Duration::from_secs(60),
            call: Duration::from_secs(60),
            watch: Duration::from_secs(5),
            clock: Clock::system(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("webhooks are received on loopback only, and {0} is not; use 127.0.0.1:PORT")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {address} for webhooks: {source}; choose another port")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// Counts of one instance's deliveries since the start, for `omnifs status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookStatus {
    pub instance: String,
    /// Repetitions and late ones among them.
    pub accepted: u64,
    pub repeated: u64,
    /// Made at another time than they came, by their own account.
    pub late: u64,
    pub unsigned: u64,
    pub bad_signature: u64,
    pub oversized: u64,
    pub malformed: u64,
    /// Signed and turned away for want of room: each became a gap.
    pub overflowed: u64,
    /// Turned away for want of room or time before the signature could be checked: together they became
    /// a gap, or a few. Those of which it is not known whose they were count for every instance.
    pub unchecked: u64,
    /// Accepted and not understood by the provider: each became a gap.
    pub unreadable: u64,
    pub waiting: u64,
    /// What keeps deliveries from being accepted.
    pub problem: Option<String>,
}

/// A running receiver. It stops listening when dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    queues: Vec<Arc<Queue>>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Shared {
    options: Options,
    ledger: Arc<dyn Ledger>,
    /// KiB of small bodies that wait, and of large ones that are read or wait.
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

struct Queue {
    subscriber: Subscriber,
    fresh: mpsc::Sender<Queued>,
    repeated: mpsc::Sender<Queued>,
    seen: Mutex<Seen>,
    /// The repetitions that wait: another one of the same would have no effect of its own.
    repeating: Mutex<HashSet<Mark>>,
    /// The service has asked whether somebody listens.
    asked: Notify,
    /// Something was turned away that may have been a delivery.
    doubted: Notify,
    problem: Mutex<Option<String>>,
    counts: Counts,
}

struct Queued {
    delivery: Delivery,
    mark: Mark,
    late: bool,
    _memory: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    repeated: AtomicU64,
    late: AtomicU64,
    unsigned: AtomicU64,
    bad_signature: AtomicU64,
    oversized: AtomicU64,
    malformed: AtomicU64,
    overflowed: AtomicU64,
    unchecked: AtomicU64,
    unreadable: AtomicU64,
    waiting: AtomicU64,
}

impl Receiver {
    /// Listens on `address` and works off what arrives until it is dropped.
    pub async fn bind(
        address: SocketAddr,
        subscribers: Vec<Subscriber>,
        ledger: Arc<dyn Ledger>,
        options: Options,
    ) -> Result<Receiver, WebhookError> {
        if !address.ip().is_loopback() && !options.beyond_loopback {
            return Err(WebhookError::NotLoopback(address));
        }
        let listening = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let (socket, bound) =
            listening.await.map_err(|source| WebhookError::Listen { address, source })?;
        let shared = Arc::new(Shared {
            small: Arc::new(Semaphore::new((options.memory / 4) >> 10)),
            large: Arc::new(Semaphore::new((options.memory / 4 * 3) >> 10)),
            options,
            ledger,
        });
        let mut queues = Vec::new();
        let mut tasks = JoinSet::new();
        for subscriber in subscribers {
            let (queue, fresh, repeated) = Queue::new(subscriber, &shared.options);
            let queue = Arc::new(queue);
            tasks.spawn(work(shared.clone(), queue.clone(), fresh));
            tasks.spawn(repeat(shared.clone(), queue.clone(), repeated));
            tasks.spawn(doubt(shared.clone(), queue.clone()));
            queues.push(queue);
        }
        tasks.spawn(listener::serve(socket, shared.clone(), queues.clone()));
        Ok(Receiver { shared, queues, address: bound, _tasks: tasks })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// One for each subscriber, in their order.
    pub fn status(&self) -> Vec<WebhookStatus> {
        self.queues.iter().map(|queue| queue.status()).collect()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("options", &self.shared.options)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn new(
        subscriber: Subscriber,
        options: &Options,
    ) -> (Queue, mpsc::Receiver<Queued>, mpsc::Receiver<Queued>) {
        let (fresh, worked_off) = mpsc::channel(options.queue.max(1));
        let (repeated, repeating) = mpsc::channel(options.queue.max(1));
        let queue = Queue {
            subscriber,
            fresh,
            repeated,
            seen: Mutex::new(Seen::new(options.remembered)),
            repeating: Mutex::default(),
            asked: Notify::new(),
            doubted: Notify::new(),
            problem: Mutex::default(),
            counts: Counts::default(),
        };
        (queue, worked_off, repeating)
    }

    /// Queues a delivery whose signature fits. `large` is its room, where it is not small.
    fn accept(
        &self,
        shared: &Shared,
        (delivery, mark, late): (Delivery, Mark, bool),
        large: Option<OwnedSemaphorePermit>,
    ) -> Result<(), (StatusCode, &'static str)> {
        let repeated = !self.seen.lock().insert(mark);
        if repeated && !self.repeating.lock().insert(mark) {
            count(&self.counts.repeated);
            count(&self.counts.accepted);
            return Ok(());
        }
        // What somebody replays takes no room from what is new.
        let (line, room) = match repeated {
            true => (&self.repeated, &shared.large),
            false => (&self.fresh, &shared.small),
        };
        // A body is at most 25 MiB.
        let kib = u32::try_from(delivery.body.len().div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let room = large.or_else(|| room.clone().try_acquire_many_owned(kib).ok());
        let queued = room.map(|memory| Queued { delivery, mark, late, _memory: memory });
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if queued.is_none_or(|queued| line.try_send(queued).is_err()) {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            match repeated {
                true => drop(self.repeating.lock().remove(&mark)),
                false => self.seen.lock().remove(&mark),
            }
            count(&self.counts.overflowed);
            self.gap(shared);
            return Err(request::OVERFLOWED);
        }
        count(&self.counts.accepted);
        if repeated {
            count(&self.counts.repeated);
        }
        Ok(())
    }

    /// Counts what was turned away before its signature could be checked.
    fn turn_away(&self) {
        count(&self.counts.unchecked);
        self.doubted.notify_one();
    }

    fn gap(&self, shared: &Shared) {
        let scopes = self.subscriber.feed.scopes.as_str().into();
        shared.ledger.apply(&self.subscriber.instance, &[Change::Gap(scopes)]);
    }

    /// The secret that signs the deliveries. Its absence is noted for `omnifs status`.
    async fn secret(&self) -> Option<Arc<Resolved>> {
        let (found, problem) = match self.subscriber.secret.resolve().await {
            Ok(Some(found)) => (Some(found), None),
            Ok(None) => {
                let variables = self.subscriber.secret.variables().join(" or ");
                let advice = format!("set {variables}, or webhook-secret-file of the instance");
                (None, Some(format!("there is no secret to check deliveries by: {advice}")))
            }
            Err(error) => (None, Some(error.to_string())),
        };
        // That a secret is there does not say that it has the right form.
        if problem.is_some() {
            self.trouble(problem);
        }
        found
    }

    fn trouble(&self, problem: Option<String>) {
        let mut held = self.problem.lock();
        if *held != problem {
            if let Some(problem) = &problem {
                tracing::warn!(provider = %self.subscriber.instance, "webhooks: {problem}");
            }
            *held = problem;
        }
    }

    fn status(&self) -> WebhookStatus {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        WebhookStatus {
            instance: self.subscriber.instance.to_string(),
            accepted: read(&counts.accepted),
            repeated: read(&counts.repeated),
            late: read(&counts.late),
            unsigned: read(&counts.unsigned),
            bad_signature: read(&counts.bad_signature),
            oversized: read(&counts.oversized),
            malformed: read(&counts.malformed),
            overflowed: read(&counts.overflowed),
            unchecked: read(&counts.unchecked),
            unreadable: read(&counts.unreadable),
            waiting: read(&counts.waiting),
            problem: self.problem.lock().clone(),
        }
    }

    /// Has a delivery take effect. The scopes that it named; nothing where it was not understood.
    async fn deliver(&self, shared: &Shared, delivery: Delivery) -> Option<Vec<Arc<str>>> {
        let instance = &self.subscriber.instance;
        let call = self.subscriber.provider.deliver(delivery);
        let delivered = bounded(instance, shared.options.call, call).await;
        let scopes = match delivered {
            Ok(scoped) => {
                if !scoped.is_empty() {
                    shared.ledger.delivered(instance, &scoped);
                }
                Some(scoped.into_iter().filter_map(|one| one.scope).collect())
            }
            Err(failure) => {
                tracing::warn!("a webhook delivery was not understood: {failure}");
                count(&self.counts.unreadable);
                self.gap(shared);
                None
            }
        };
        self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        scopes
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One instance's deliveries, in the order in which they were accepted.
async fn work(shared: Arc<Shared>, queue: Arc<Queue>, mut fresh: mpsc::Receiver<Queued>) {
    let mut vouching = Vouching::new(&shared, &queue.subscriber);
    // So that its absence shows before anything arrives.
    queue.secret().await;
    let mut watch = tokio::time::interval(shared.options.watch);
    loop {
        tokio::select! {
            queued = fresh.recv() => {
                let Some(Queued { delivery, late, _memory, .. }) = queued else { return };
                let named = queue.deliver(&shared, delivery).await;
                if let Some(scopes) = named.filter(|_| !late) {
                    vouching.heard(scopes);
                }
            }
            () = queue.asked.notified() => vouching.heard(Vec::new()),
            _ = watch.tick() => vouching.watch(&shared.options.clock),
        }
    }
}

/// The repetitions of an instance, which prove nothing of whether the service reaches it now.
async fn repeat(shared: Arc<Shared>, queue: Arc<Queue>, mut repeated: mpsc::Receiver<Queued>) {
    while let Some(Queued { delivery, mark, _memory, .. }) = repeated.recv().await {
        // One that comes from here on is no longer covered by this one.
        queue.repeating.lock().remove(&mark);
        queue.deliver(&shared, delivery).await;
        tokio::time::sleep(REPETITION).await;
    }
}

/// One gap for all that was turned away unchecked in a pause: at once for the first, at the pause's end
/// for what came during it.
async fn doubt(shared: Arc<Shared>, queue: Arc<Queue>) {
    loop {
        queue.doubted.notified().await;
        queue.gap(&shared);
        tokio::time::sleep(shared.options.pause).await;
    }
}
