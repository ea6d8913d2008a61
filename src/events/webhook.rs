//! The webhook receiver: GitHub's and Linear's deliveries.
//!
//! **Invariant:** nothing of a delivery is believed before its signature over the raw bytes is
//! checked in constant time; nothing that was accepted is silently dropped: a full queue or an event
//! that cannot be read is a gap.
//!
//! A delivery is answered when it is queued; one task for each instance works the queue off in order.

mod listener;
mod replay;
mod request;
mod signature;

use super::Ledger;
use super::task::bounded;
use crate::capability::Clock;
use crate::credentials::Chain;
use crate::provider::{Change, Delivery, Feed, Provider};
use replay::Seen;
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// Whose deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// At `/github`.
    GitHub,
    /// At `/linear`.
    Linear,
}

impl Sender {
    /// By the provider's own name, where its service is known to send webhooks.
    pub fn of(provider: &str) -> Option<Sender> {
        match provider {
            "github" => Some(Sender::GitHub),
            "linear" => Some(Sender::Linear),
            _ => None,
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Sender::GitHub => "/github",
            Sender::Linear => "/linear",
        }
    }

    /// Bytes. GitHub delivers at most 25 MB; Linear's payloads hold one object.
    fn body_cap(self) -> usize {
        match self {
            Sender::GitHub => 25 << 20,
            Sender::Linear => 4 << 20,
        }
    }
}

/// One provider instance that receives deliveries. Where several share a sender, the signature says
/// for whom a delivery is.
#[derive(Clone, Debug)]
pub struct Subscriber {
    pub sender: Sender,
    pub instance: Arc<str>,
    /// Its manifest's webhook feed.
    pub feed: Feed,
    pub provider: Arc<dyn Provider>,
    pub secret: Arc<Chain>,
}

/// The receiver's bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// Listen on addresses other than loopback too. A tunnel or a proxy is the safer way.
    pub beyond_loopback: bool,
    /// Deliveries waiting for one instance.
    pub queue: usize,
    /// Bytes of bodies being read or waiting.
    pub memory: usize,
    /// Delivery ids remembered.
    pub remembered: usize,
    /// How far a delivery's own time may be off.
    pub window: Duration,
    /// From a connection to its answer.
    pub request: Duration,
    /// For one call of the provider.
    pub call: Duration,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            beyond_loopback: false,
            queue: 1024,
            memory: 64 << 20,
            remembered: 8192,
            window: Duration::from_secs(60),
            request: Duration::from_secs(10),
            call: Duration::from_secs(60),
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

/// Counts of deliveries since the start, for `omnifs status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookStatus {
    pub listen: String,
    pub accepted: u64,
    pub unsigned: u64,
    pub bad_signature: u64,
    /// A delivery id seen before, or a time outside the window.
    pub replayed: u64,
    pub oversized: u64,
    pub malformed: u64,
    /// Turned away for want of room: each became a gap.
    pub overflowed: u64,
    /// Accepted and not understood by the provider: each became a gap.
    pub unreadable: u64,
    pub waiting: u64,
}

/// A running receiver. It stops listening when dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Shared {
    options: Options,
    queues: Vec<Queue>,
    ledger: Arc<dyn Ledger>,
    /// KiB of bodies.
    memory: Arc<Semaphore>,
    seen: Mutex<Seen>,
    counts: Counts,
}

struct Queue {
    subscriber: Subscriber,
    sender: mpsc::Sender<Queued>,
}

struct Queued {
    delivery: Delivery,
    _memory: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    unsigned: AtomicU64,
    bad_signature: AtomicU64,
    replayed: AtomicU64,
    oversized: AtomicU64,
    malformed: AtomicU64,
    overflowed: AtomicU64,
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
        let mut queues = Vec::new();
        let mut receivers = Vec::new();
        for subscriber in subscribers {
            let (sender, receiver) = mpsc::channel(options.queue.max(1));
            receivers.push((subscriber.clone(), receiver));
            queues.push(Queue { subscriber, sender });
        }
        let shared = Arc::new(Shared {
            memory: Arc::new(Semaphore::new(options.memory >> 10)),
            seen: Mutex::new(Seen::new(options.remembered)),
            options,
            queues,
            ledger,
            counts: Counts::default(),
        });
        let mut tasks = JoinSet::new();
        for (subscriber, receiver) in receivers {
            tasks.spawn(work(shared.clone(), subscriber, receiver));
        }
        tasks.spawn(listener::serve(socket, shared.clone()));
        Ok(Receiver { shared, address: bound, _tasks: tasks })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn status(&self) -> WebhookStatus {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.shared.counts;
        WebhookStatus {
            listen: self.address.to_string(),
            accepted: read(&counts.accepted),
            unsigned: read(&counts.unsigned),
            bad_signature: read(&counts.bad_signature),
            replayed: read(&counts.replayed),
            oversized: read(&counts.oversized),
            malformed: read(&counts.malformed),
            overflowed: read(&counts.overflowed),
            unreadable: read(&counts.unreadable),
            waiting: read(&counts.waiting),
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("status", &self.status()).finish()
    }
}

impl Shared {
    fn gap(&self, subscriber: &Subscriber) {
        let scopes = subscriber.feed.scopes.as_str().into();
        self.ledger.apply(&subscriber.instance, &[Change::Gap(scopes)]);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One instance's deliveries, in the order in which they were accepted.
async fn work(shared: Arc<Shared>, subscriber: Subscriber, mut queue: mpsc::Receiver<Queued>) {
    while let Some(Queued { delivery, _memory }) = queue.recv().await {
        let call = subscriber.provider.deliver(delivery);
        match bounded(&subscriber.instance, shared.options.call, call).await {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                let changes: Vec<_> = changes.into_iter().map(|scoped| scoped.change).collect();
                shared.ledger.apply(&subscriber.instance, &changes);
            }
            Err(failure) => {
                tracing::warn!("a webhook delivery was not understood: {failure}");
                count(&shared.counts.unreadable);
                shared.gap(&subscriber);
            }
        }
        shared.counts.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
