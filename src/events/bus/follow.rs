//! A mount's end of the bus: the scopes that it depends on are listened to, and what cannot be heard of is polled.
//!
//! **Invariant:** a scope is live by the bus only while the mount stands where the last beat says that the relay
//! stands, and that beat is not older than three intervals. Nothing here makes a read wait.

use super::chain::{How, Outcome, Position, apply};
use super::keys::PublicKey;
use super::message::{Beat, Fault, Message, State};
use super::names::{Key, Pattern, Place};
use super::positions::{self, Positions};
use super::server::{Error, Kept, STREAM, Server};
use super::{Rhythm, Want};
use crate::backoff::jittered;
use crate::events::Ledger;
use crate::events::task::{Feeding, Standing};
use crate::provider::{Change, Progress};
use crate::scopes::ActiveScope;
use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Missed beats after which nobody is believed to be there.
const BEATS: u32 = 3;

/// Messages that wait for the one that the bus keeps. What is beyond them shows in the next beat.
const EARLY: usize = 256;

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

/// The ledger as the polls of one feed see it: without the scopes that the bus tells of.
pub(in crate::events) struct Split {
    ledger: Arc<dyn Ledger>,
    fleet: Fleet,
    place: Place,
    /// Held while the ledger is told something for the polls, so that nothing of theirs comes after the bus
    /// has taken a scope back.
    scopes: Mutex<Scopes>,
    changed: Notify,
}

#[derive(Default)]
struct Scopes {
    /// Those of the bus that cached nodes depend on.
    wanted: HashSet<Arc<str>>,
    /// Those among them that are polled, because nothing is heard of them.
    polled: HashSet<Arc<str>>,
    /// Those that a poll has brought up which has not been settled yet. Only that poll can say what was missed before: a
    /// mount's first poll has no cursor from the time in which the bus told it, and the later ones go on from that.
    rising: HashSet<Arc<str>>,
}

impl Split {
    pub fn new(ledger: Arc<dyn Ledger>, fleet: Fleet, place: Place) -> Arc<Split> {
        Arc::new(Split { ledger, fleet, place, scopes: Mutex::default(), changed: Notify::new() })
    }

    /// Whether the bus is to tell of a scope, and does or has not failed to for long.
    pub fn is_heard(&self, scope: &str) -> bool {
        self.fleet.covers(scope) && !self.scopes.lock().polled.contains(scope)
    }

    /// Tells the ledger what polls have to say, unless the scope is the bus's.
    fn unless_heard(&self, scope: &str, tell: impl FnOnce(&dyn Ledger)) {
        let scopes = self.scopes.lock();
        if !self.fleet.covers(scope) || scopes.polled.contains(scope) {
            tell(&*self.ledger);
        }
    }
}

impl Ledger for Split {
    fn up(&self, instance: &str, scope: &str) {
        if self.fleet.covers(scope) {
            self.scopes.lock().rising.insert(scope.into());
        }
        self.unless_heard(scope, |ledger| ledger.up(instance, scope));
    }

    fn resumed(&self, instance: &str, scope: &str) {
        if !self.fleet.covers(scope) || self.scopes.lock().rising.contains(scope) {
            self.unless_heard(scope, |ledger| ledger.resumed(instance, scope));
        }
    }

    fn settled(&self, instance: &str, scope: &str, cursor: Option<&str>) {
        self.scopes.lock().rising.remove(scope);
        self.ledger.settled(instance, scope, cursor);
    }

    fn lost(&self, instance: &str, scope: &str, why: &str) {
        self.unless_heard(scope, |ledger| ledger.lost(instance, scope, why));
    }

    fn rest(&self, instance: &str, scope: &str, why: &str) {
        self.unless_heard(scope, |ledger| ledger.rest(instance, scope, why));
    }

    fn idle(&self, instance: &str, scope: &str) {
        self.unless_heard(scope, |ledger| ledger.idle(instance, scope));
    }

    fn apply(&self, instance: &str, changes: &[Change]) {
        self.ledger.apply(instance, changes);
    }

    fn take_active(&self, instance: &str, prefix: &str) -> Vec<ActiveScope> {
        let active = self.ledger.take_active(instance, prefix);
        let (heard, mut others): (Vec<_>, Vec<_>) =
            active.into_iter().partition(|scope| self.fleet.covers(&scope.id));
        let mut scopes = self.scopes.lock();
        let wanted: HashSet<_> = heard.iter().map(|scope| scope.id.clone()).collect();
        if wanted != scopes.wanted {
            scopes.polled.retain(|scope| wanted.contains(scope));
            scopes.wanted = wanted;
            self.changed.notify_one();
        }
        others.extend(heard.into_iter().filter(|scope| scopes.polled.contains(&scope.id)));
        others
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
                        let follower = Follower::new(&split, &feeding, place.key().clone());
                        let (end, ended) = oneshot::channel();
                        place.insert(end);
                        followers.push(follower.run(ended));
                    }
                }
            }
            Some(()) = followers.next(), if !followers.is_empty() => {}
        }
    }
}

struct Follower {
    split: Arc<Split>,
    scope: Arc<str>,
    key: Key,
    standing: Standing,
    /// How far it has heard.
    position: Option<Position>,
    /// The same for others.
    place: positions::Place,
    /// What the bus keeps was read since the connection was made.
    read: bool,
    /// Since the scope was live last, all was heard of.
    whole: bool,
    /// The number of the message that the bus kept when it was read. A beat of an earlier one says nothing any more.
    sequence: Option<u64>,
    /// The newest beat, by which an older one is known.
    mark: Option<(u64, u64)>,
    /// The last beat and when it arrived, until the scope stands where it says.
    beat: Option<(Beat, Instant)>,
    /// When the next beats are missed. Absent while the scope is not live.
    live_until: Option<Instant>,
    /// When it will be polled, if nothing is heard by then.
    away_at: Instant,
    polled: bool,
    want_at: Instant,
    fault: Option<Fault>,
}

type Reading = BoxFuture<'static, Result<Option<Kept>, Error>>;

impl Follower {
    fn new(split: &Arc<Split>, feeding: &Feeding, scope: Arc<str>) -> Follower {
        let now = Instant::now();
        Follower {
            split: split.clone(),
            key: split.place.key(&scope),
            standing: Standing::of(feeding, &scope, "bus"),
            place: positions::Place::new(&split.fleet.positions, &scope),
            scope,
            position: None,
            read: false,
            whole: false,
            sequence: None,
            mark: None,
            beat: None,
            live_until: None,
            away_at: now + patience(&split.fleet.rhythm),
            polled: false,
            want_at: now,
            fault: None,
        }
    }

    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let server = self.split.fleet.server.clone();
        let mut connection = server.connection();
        connection.mark_changed();
        let (mut told, mut beats): (Option<Subscriber>, Option<Subscriber>) = (None, None);
        let mut reading: Option<Reading> = None;
        let mut read_at = None;
        let mut early: Vec<Bytes> = Vec::new();
        loop {
            let connected = connection.borrow().is_some() && told.is_some();
            let away_at = (self.live_until.is_none() && !self.polled).then_some(self.away_at);
            let want_at = connected.then_some(self.want_at);
            let again_at = read_at.filter(|_| reading.is_none());
            let until = [self.live_until, away_at, want_at, again_at].into_iter().flatten().min();
            tokio::select! {
                _ = &mut ended => {
                    self.standing.idle();
                    return;
                }
                changed = connection.changed() => {
                    if changed.is_err() {
                        // The server is held here: it does not end before this does.
                        return;
                    }
                    self.read = false;
                    self.beat = None;
                    reading = None;
                    early.clear();
                    let is_connected = connection.borrow_and_update().is_some();
                    self.down(match is_connected {
                        true => "what the bus keeps has not been read yet",
                        false => "there is no connection to the bus",
                    });
                    if is_connected {
                        if told.is_none() {
                            (told, beats) = self.listen(&server).await.unzip();
                        }
                        // After listening, so that nothing falls between.
                        reading = Some(self.read(&server));
                        self.want_at = Instant::now();
                    }
                }
                Some(message) = next(told.as_mut()) => {
                    if reading.is_none() {
                        self.message(&message.payload, How::Told);
                        self.judge();
                    } else if early.len() < EARLY {
                        early.push(message.payload);
                    }
                }
                Some(message) = next(beats.as_mut()) => {
                    let is_old = self.beat(&message.payload, Instant::now());
                    self.judge();
                    if self.beat.is_some() && reading.is_none() {
                        reading = Some(self.read(&server));
                    }
                    if is_old && self.live_until.is_none() && read_at.is_none() {
                        // A bus that was put back to an earlier state counts anew, and a leaf node does not say so.
                        read_at = Some(Instant::now() + jittered(self.split.fleet.rhythm.beat));
                    }
                }
                answer = ready(&mut reading) => {
                    reading = None;
                    read_at = None;
                    match answer {
                        Ok(kept) => {
                            self.kept(kept);
                            for payload in early.drain(..) {
                                self.message(&payload, How::Told);
                            }
                            self.judge();
                        }
                        Err(error) => {
                            if self.live_until.is_none() {
                                self.down(&error.to_string());
                            }
                            read_at = Some(Instant::now() + jittered(self.split.fleet.rhythm.beat));
                        }
                    }
                }
                () = sleep(until) => {
                    let now = Instant::now();
                    let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                    if due(self.live_until) {
                        self.down("no relay has been heard of for three beats");
                        self.want_at = now;
                    }
                    if due(away_at) && self.live_until.is_none() {
                        self.polled = true;
                        self.split.scopes.lock().polled.insert(self.scope.clone());
                        tracing::info!(scope = %self.scope, "nothing is heard of it on the bus: it is polled");
                    }
                    if connected && self.want_at <= now {
                        self.want(&server).await;
                    }
                    if due(again_at) {
                        read_at = None;
                        reading = Some(self.read(&server));
                    }
                }
            }
        }
    }

    async fn listen(&self, server: &Server) -> Option<(Subscriber, Subscriber)> {
        let now = server.subscribe(self.key.now()).await.ok()?;
        let beats = server.subscribe(self.key.beat()).await.ok()?;
        Some((now, beats))
    }

    fn read(&self, server: &Server) -> Reading {
        let (server, subject) = (server.clone(), self.key.scope());
        async move { server.last(STREAM, &subject).await }.boxed()
    }

    /// Tells relays that this scope is depended on.
    async fn want(&mut self, server: &Server) {
        let rhythm = &self.split.fleet.rhythm;
        let live = self.live_until.is_some();
        let want = Want { scope: self.scope.to_string(), new: !live };
        // One that is lost is said again.
        if let Ok(payload) = serde_json::to_vec(&want) {
            let _ = server.publish(self.key.want(), payload).await;
        }
        self.want_at = Instant::now() + jittered(if live { rhythm.want } else { rhythm.beat });
    }

    fn kept(&mut self, kept: Option<Kept>) {
        let sequence = kept.as_ref().map(|kept| kept.sequence);
        if sequence < self.sequence {
            // The bus was put back, and its beats are counted anew.
            self.mark = None;
        }
        self.sequence = sequence;
        if self.beat.as_ref().is_some_and(|(beat, _)| Some(beat.of) < sequence) {
            self.beat = None;
        }
        match kept {
            Some(kept) => self.message(&kept.payload, How::Kept),
            None if self.position.is_some() => {
                self.position = None;
                self.place.move_to(None);
                self.gap();
                self.down("the bus keeps nothing of it any more");
            }
            None => {}
        }
        self.read = true;
    }

    fn message(&mut self, payload: &[u8], how: How) {
        let message = match Message::read(payload, &self.split.fleet.keys, &self.key) {
            Ok(message) => message,
            Err(fault) => return self.fault(fault),
        };
        let (outcome, there) = apply(self.position.as_ref(), &message, how);
        if outcome != Outcome::Ignored {
            // Before the ledger hears of it.
            self.place.move_to(Some(there));
        }
        let changes: Vec<_> = match outcome {
            Outcome::Ignored => return,
            Outcome::Gap => {
                // A bus that was put back keeps what it kept then, until the relay has found out: the beat before speaks
                // for no answer of that time.
                self.place.live_until(None);
                if self.position.is_some() || self.polled {
                    self.gap();
                }
                self.whole = false;
                Vec::new()
            }
            Outcome::Resumed(links) => links.iter().map(|link| link.change(&self.scope)).collect(),
        };
        self.position = Some(there);
        self.standing.apply(&changes);
        self.standing.item(&Progress { changes, ..Progress::default() }, Some(Instant::now()));
        if message.state == State::Lost {
            // A beat that waits may be from before.
            self.beat = None;
            self.down("the relay hears nothing of the service");
        }
    }

    /// Whether it is one from before: not later than another, or of an earlier message than the bus has.
    fn beat(&mut self, payload: &[u8], arrived: Instant) -> bool {
        match Beat::read(payload, &self.split.fleet.keys, &self.key) {
            Ok(beat) => {
                let mark = (beat.of, beat.count);
                let is_old = self.mark >= Some(mark) || Some(beat.of) < self.sequence;
                if !is_old {
                    self.mark = Some(mark);
                    self.beat = Some((beat, arrived));
                }
                is_old
            }
            Err(fault) => {
                self.fault(fault);
                false
            }
        }
    }

    /// Whether the scope stands where the last beat says.
    fn judge(&mut self) {
        let Some((beat, arrived)) = &self.beat else { return };
        let stands = Some(Position { n: beat.n, head: beat.head }) == self.position;
        if !self.read || !stands {
            return;
        }
        // It speaks for the time from its arrival on, however long a read has taken since.
        let every = Duration::from_millis(beat.every);
        let until = *arrived + every.saturating_mul(BEATS).min(LONGEST);
        let state = beat.state;
        self.beat = None;
        match state {
            State::Lost => self.down("the relay hears nothing of the service"),
            State::Live if until <= Instant::now() => {}
            State::Live => {
                let was_down = self.live_until.replace(until).is_none();
                if std::mem::take(&mut self.polled) {
                    self.split.scopes.lock().polled.remove(&self.scope);
                }
                self.standing.up();
                self.place.live_until(Some(until));
                // What was missed before it came up is not proven by what is heard from then on: a later beat resumes
                // nothing.
                if std::mem::replace(&mut self.whole, true) && was_down {
                    self.standing.resumed();
                }
                self.fault = None;
            }
        }
    }

    fn gap(&mut self) {
        self.whole = false;
        // Beats of a bus that was put back are counted anew.
        self.mark = None;
        self.standing.apply(&[Change::Gap(self.scope.clone())]);
    }

    fn down(&mut self, why: &str) {
        self.place.live_until(None);
        if self.live_until.take().is_some() {
            self.away_at = Instant::now() + patience(&self.split.fleet.rhythm);
        }
        // While it is polled, it is the polls that say how it stands.
        if !self.polled {
            self.standing.lost(why);
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.standing.unreadable(&format!("a message of the bus has no effect: it is {fault}"));
        if self.fault.replace(fault) != Some(fault) {
            tracing::warn!(scope = %self.scope, "a message of the bus has no effect: it is {fault}");
        }
    }
}

/// What a beat says of the next one is never believed beyond this.
const LONGEST: Duration = Duration::from_secs(60);

/// Not the same for all mounts, which would else poll at once.
fn patience(rhythm: &Rhythm) -> Duration {
    rhythm.away + jittered(rhythm.away / 3)
}

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

#[cfg(test)]
mod tests;
