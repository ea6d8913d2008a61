//! A mount's end of the bus: the scopes that it depends on are listened to, and what cannot be heard of is polled.
//!
//! **Invariant:** a scope is live by the bus only while the mount stands where the last beat says that the relay
//! stands, and that beat is not older than three intervals. Nothing here makes a read wait.

pub(super) mod follower;
#[cfg(test)]
pub(super) mod silent;
mod split;

pub(in crate::events) use split::Split;

use super::Rhythm;
use super::keys::PublicKey;
use super::names::{Key, Pattern};
use super::positions::Positions;
use super::server::{Error, Kept, STREAM, Server};
use crate::events::task::Feeding;
use async_nats::Subscriber;
use follower::{Asks, Follower};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// What a mount needs to know of its fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub server: Server,
    /// Of the relays that are believed.
    pub keys: Arc<[PublicKey]>,
    /// Of which scopes the fleet's relays tell.
    pub scopes: Arc<[Pattern]>,
    pub rhythm: Rhythm,
    /// Where this mount stands.
    pub positions: Arc<Positions>,
}

impl Fleet {
    fn covers(&self, scope: &str) -> bool {
        self.scopes.iter().any(|pattern| pattern.covers(scope))
    }
}

/// Follows the scopes of one feed. `feeding` has the ledger itself.
pub(in crate::events) async fn run(split: Arc<Split>, feeding: Feeding) {
    // All in this task, so that nothing is told once it has been ended.
    let mut followers = FuturesUnordered::new();
    let mut ends: HashMap<Arc<str>, oneshot::Sender<()>> = HashMap::new();
    loop {
        tokio::select! {
            () = split.changed.notified() => {
                let wanted = split.scopes.lock().wanted.clone();
                // Dropping the sender ends the follower.
                ends.retain(|scope, _| wanted.contains(scope));
                for scope in wanted {
                    if let std::collections::hash_map::Entry::Vacant(place) = ends.entry(scope) {
                        let follower = Follower::new(&split, &feeding, place.key().clone(), Instant::now());
                        let (end, ended) = oneshot::channel();
                        place.insert(end);
                        followers.push(hear(follower, ended));
                    }
                }
            }
            Some(()) = followers.next(), if !followers.is_empty() => {}
        }
    }
}

/// Hears of one scope until `ended`, which nobody sends to: its sender is dropped.
async fn hear(mut follower: Follower, mut ended: oneshot::Receiver<()>) {
    let server = follower.split.fleet.server.clone();
    let mut connection = server.connection();
    connection.mark_changed();
    let (mut told, mut beats): (Option<Subscriber>, Option<Subscriber>) = (None, None);
    let mut reading: Option<Reading> = None;
    loop {
        let hears = connection.borrow().is_some() && told.is_some();
        let until = follower.until(hears);
        tokio::select! {
            _ = &mut ended => return follower.ended(),
            changed = connection.changed() => {
                if changed.is_err() {
                    // The server is held here: it does not end before this does.
                    return;
                }
                let is_connected = connection.borrow_and_update().is_some();
                follower.at(Instant::now()).connected(is_connected);
                reading = None;
                if is_connected && told.is_none() {
                    // Before anything is read, so that nothing falls between.
                    (told, beats) = listen(&server, &follower.key).await.unzip();
                }
            }
            Some(message) = next(told.as_mut()) => follower.at(Instant::now()).told(message.payload),
            Some(message) = next(beats.as_mut()) => follower.at(Instant::now()).beaten(&message.payload),
            answer = ready(&mut reading) => {
                reading = None;
                follower.at(Instant::now()).answered(answer);
            }
            () = sleep(until) => {
                if follower.at(Instant::now()).waited(hears) {
                    follower.want(&server).await;
                }
            }
        }
        if follower.asks == Asks::Now {
            follower.asks = Asks::Waits;
            let (server, subject) = (server.clone(), follower.key.scope());
            reading = Some(async move { server.last(STREAM, &subject).await }.boxed());
        }
    }
}

async fn listen(server: &Server, key: &Key) -> Option<(Subscriber, Subscriber)> {
    let now = server.subscribe(key.now()).await.ok()?;
    let beats = server.subscribe(key.beat()).await.ok()?;
    Some((now, beats))
}

type Reading = BoxFuture<'static, Result<Option<Kept>, Error>>;

async fn next(subscriber: Option<&mut Subscriber>) -> Option<async_nats::Message> {
    match subscriber {
        Some(subscriber) => subscriber.next().await,
        None => std::future::pending().await,
    }
}

async fn ready(reading: &mut Option<Reading>) -> Result<Option<Kept>, Error> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}
