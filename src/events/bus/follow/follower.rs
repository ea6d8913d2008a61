//! What a mount makes of what it hears of one scope. Nothing here waits or asks: it is told of each thing, with
//! the time, and says what is to be done.

use super::split::Split;
use crate::backoff::jittered;
use crate::events::bus::chain::{How, Outcome, Position, apply};
use crate::events::bus::message::{Beat, Fault, Message, State};
use crate::events::bus::names::Key;
use crate::events::bus::positions;
use crate::events::bus::server::{Error, Kept, Server};
use crate::events::bus::{Rhythm, Want};
use crate::events::task::{Feeding, Standing};
use crate::mutants::{Mutant, planted};
use crate::provider::{Change, Progress};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Missed beats after which nobody is believed to be there.
const BEATS: u32 = 3;

/// Messages that wait for the one that the bus keeps. What is beyond them shows in the next beat.
const EARLY: usize = 256;

/// Whether the bus is asked for what it keeps of the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    No,
    /// It is to be asked.
    Now,
    /// It was, and has not answered yet.
    Waits,
}

pub struct Follower {
    pub split: Arc<Split>,
    scope: Arc<str>,
    pub key: Key,
    standing: Standing,
    /// How far it has heard.
    pub position: Option<Position>,
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
    pub live_until: Option<Instant>,
    /// When it will be polled, if nothing is heard by then.
    away_at: Instant,
    polled: bool,
    want_at: Instant,
    pub asks: Asks,
    /// When it is asked again.
    ask_at: Option<Instant>,
    /// What was told while an answer was awaited.
    early: Vec<Bytes>,
    /// The time of what it is told now.
    now: Instant,
    fault: Option<Fault>,
}

impl Follower {
    pub fn new(split: &Arc<Split>, feeding: &Feeding, scope: Arc<str>, now: Instant) -> Follower {
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
            asks: Asks::No,
            ask_at: None,
            early: Vec::new(),
            now,
            fault: None,
        }
    }

    /// Nothing in memory depends on the scope any more.
    pub fn ended(self) {
        self.standing.idle();
    }

    /// What it is told next happens now.
    pub fn at(&mut self, now: Instant) -> &mut Follower {
        self.now = now;
        self
    }

    /// When it is to be told that time has passed. `hears`: there is a connection, and it listens.
    pub fn until(&self, hears: bool) -> Option<Instant> {
        let away_at = (self.live_until.is_none() && !self.polled).then_some(self.away_at);
        let want_at = hears.then_some(self.want_at);
        let ask_at = self.ask_at.filter(|_| self.asks == Asks::No);
        [self.live_until, away_at, want_at, ask_at].into_iter().flatten().min()
    }

    pub fn connected(&mut self, is_connected: bool) {
        self.read = false;
        self.beat = None;
        self.early.clear();
        self.down(match is_connected {
            true => "what the bus keeps has not been read yet",
            false => "there is no connection to the bus",
        });
        self.asks = if is_connected { Asks::Now } else { Asks::No };
        if is_connected {
            self.want_at = self.now;
        }
    }

    pub fn told(&mut self, payload: Bytes) {
        if self.asks == Asks::No {
            self.message(&payload, How::Told);
            self.judge();
        } else if self.early.len() < EARLY {
            self.early.push(payload);
        }
    }

    pub fn beaten(&mut self, payload: &[u8]) {
        let is_old = self.beat(payload, self.now);
        self.judge();
        if self.beat.is_some() && self.asks == Asks::No {
            self.asks = Asks::Now;
        }
        if is_old && self.live_until.is_none() && self.ask_at.is_none() {
            // A bus that was put back to an earlier state counts anew, and a leaf node does not say so.
            self.ask_at = Some(self.now + jittered(self.split.fleet.rhythm.beat));
        }
    }

    pub fn answered(&mut self, answer: Result<Option<Kept>, Error>) {
        (self.asks, self.ask_at) = (Asks::No, None);
        match answer {
            Ok(kept) => {
                self.kept(kept);
                for payload in std::mem::take(&mut self.early) {
                    self.message(&payload, How::Told);
                }
                self.judge();
            }
            Err(error) => {
                if self.live_until.is_none() {
                    self.down(&error.to_string());
                }
                self.ask_at = Some(self.now + jittered(self.split.fleet.rhythm.beat));
            }
        }
    }

    /// Time has passed. Whether relays are to be told that this scope is depended on.
    pub fn waited(&mut self, hears: bool) -> bool {
        let now = self.now;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.live_until) {
            self.down("no relay has been heard of for three beats");
            self.want_at = now;
        } else if self.live_until.is_none() && !self.polled && self.away_at <= now {
            self.polled = true;
            self.split.scopes.lock().polled.insert(self.scope.clone());
            tracing::info!(scope = %self.scope, "nothing is heard of it on the bus: it is polled");
        }
        if self.asks == Asks::No && due(self.ask_at) {
            (self.asks, self.ask_at) = (Asks::Now, None);
        }
        hears && self.want_at <= now
    }

    /// Tells relays that this scope is depended on.
    pub async fn want(&mut self, server: &Server) {
        let rhythm = &self.split.fleet.rhythm;
        let live = self.live_until.is_some();
        let want = Want { scope: self.scope.to_string(), new: !live };
        // One that is lost is said again.
        if let Ok(payload) = serde_json::to_vec(&want) {
            let _ = server.publish(self.key.want(), payload).await;
        }
        self.want_at = self.now + jittered(if live { rhythm.want } else { rhythm.beat });
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
            Outcome::Resumed(links) => {
                links.iter().filter_map(|link| link.change(&self.scope)).collect()
            }
        };
        self.position = Some(there);
        self.standing.apply(&changes);
        self.standing.item(&Progress { changes, ..Progress::default() }, Some(self.now));
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
                let is_old = (self.mark >= Some(mark) || Some(beat.of) < self.sequence)
                    && !planted(Mutant::BelievesOldBeats);
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
        let stands = Some(Position { n: beat.n, head: beat.head }) == self.position
            || planted(Mutant::LivesBehind);
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
            State::Live if until <= self.now => {}
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
            self.away_at = self.now + patience(&self.split.fleet.rhythm);
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

#[cfg(test)]
mod tests;
