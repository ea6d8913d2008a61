//! A mount of the model: its follower, its ledger and its polls are the real ones; what it keeps is a table.

use super::super::chain::Position;
use super::super::follow::Split;
use super::super::follow::follower::{Asks, Follower};
use super::super::message::Beat;
use super::super::server::{Error, Kept};
use super::log::{Bus, Mail};
use super::service::{OBJECTS, Service, object};
use crate::events::Ledger;
use crate::events::task::{Feeding, Standing};
use crate::nodes::InstanceId;
use crate::provider::Change;
use crate::scopes::{self, ActiveScope, Scope};
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const SCOPE: &str = "s";
/// Seconds between two beats.
pub const BEAT: u64 = 20;
const I: InstanceId = InstanceId(0);

/// What is known of an object: the service's time when it was asked.
struct Entry {
    time: usize,
    stamp: u64,
    scope: Arc<Scope>,
}

#[derive(Default)]
pub struct Memory {
    ledger: scopes::Ledger,
    entries: [Option<Entry>; OBJECTS],
}

#[derive(Default)]
pub struct Store(pub Mutex<Memory>);

impl Ledger for Store {
    fn up(&self, _: &str, scope: &str) {
        self.0.lock().ledger.up(I, scope);
    }

    fn resumed(&self, _: &str, scope: &str) {
        self.0.lock().ledger.resumed(I, scope);
    }

    fn lost(&self, _: &str, scope: &str, why: &str) {
        self.0.lock().ledger.lost(I, scope, why);
    }

    fn rest(&self, _: &str, scope: &str, why: &str) {
        self.0.lock().ledger.rest(I, scope, why);
    }

    fn idle(&self, _: &str, scope: &str) {
        self.0.lock().ledger.idle(I, scope);
    }

    fn apply(&self, _: &str, changes: &[Change]) {
        let mut memory = self.0.lock();
        for change in changes {
            memory.ledger.record(I, change);
            if let Change::Invalidated(id) | Change::Removed(id) = change {
                memory.entries[object(id)] = None;
            }
        }
    }

    fn take_active(&self, _: &str, prefix: &str) -> Vec<ActiveScope> {
        self.0.lock().ledger.take_active(I, prefix)
    }
}

enum Reading {
    Asked,
    /// The answer is on its way.
    Answered(Option<Kept>),
}

pub struct Mount {
    feeding: Feeding,
    split: Arc<Split>,
    memory: Arc<Store>,
    follower: Option<Follower>,
    reading: Option<Reading>,
    polls: Option<Standing>,
    cursor: Option<String>,
    /// The service's time of the last poll.
    polled: usize,
    pub inbox: VecDeque<Mail>,
    pub connected: bool,
    /// Calls under way: the object, the stamp, and the service's time where it has answered.
    calls: Vec<(usize, u64, Option<usize>)>,
    /// Beats that have arrived, and when the last one did that had not before.
    beats: HashSet<usize>,
    heard: Option<u64>,
    /// It has something to say to relays.
    pub wants: bool,
    /// Until when it was live when it was looked at last, and where the beats since then say that relays stand.
    live_until: Option<Instant>,
    places: Vec<Position>,
    /// It has come to be live elsewhere than where a beat says.
    elsewhere: bool,
}

impl Mount {
    /// `feeding` has the ledger of its memory.
    pub fn new(feeding: Feeding, split: Arc<Split>, memory: Arc<Store>) -> Mount {
        Mount {
            feeding,
            split,
            memory,
            follower: None,
            reading: None,
            polls: None,
            cursor: None,
            polled: 0,
            inbox: VecDeque::new(),
            connected: true,
            calls: Vec::new(),
            beats: HashSet::new(),
            heard: None,
            wants: false,
            live_until: None,
            places: Vec::new(),
            elsewhere: false,
        }
    }

    fn follower(&mut self, now: Instant) -> Option<&mut Follower> {
        self.follower.as_mut().map(|follower| follower.at(now))
    }

    /// What the task of the bus and that of the polls do now and then.
    pub fn scan(&mut self, now: Instant) {
        let active = self.split.take_active("m", "");
        let is_polled = active.iter().any(|scope| &*scope.id == SCOPE);
        match (is_polled, self.polls.is_some()) {
            (true, false) => {
                let feeding = Feeding { ledger: self.split.clone(), ..self.feeding.clone() };
                self.polls = Some(Standing::new(&feeding, &SCOPE.into()));
            }
            (false, true) => self.polls.take().into_iter().for_each(Standing::idle),
            _ => {}
        }
        let is_wanted = self.split.scopes.lock().wanted.contains(SCOPE);
        if is_wanted && self.follower.is_none() {
            self.follower = Some(Follower::new(&self.split, &self.feeding, SCOPE.into(), now));
            let connected = self.connected;
            self.follower(now).into_iter().for_each(|follower| follower.connected(connected));
        } else if !is_wanted && let Some(follower) = self.follower.take() {
            follower.ended();
            self.reading = None;
        }
    }

    pub fn connect(&mut self, connected: bool, now: Instant) {
        self.connected = connected;
        self.inbox.clear();
        self.reading = None;
        if let Some(follower) = self.follower(now) {
            follower.connected(connected);
        }
    }

    pub fn hear(&mut self, mail: Mail, now: Instant, clock: u64) {
        match mail {
            Mail::Told(payload) => {
                self.follower(now).into_iter().for_each(|follower| follower.told(payload.clone()))
            }
            Mail::Beat(number, payload) => {
                if self.beats.insert(number) {
                    self.heard = Some(clock);
                }
                let beat: Beat = serde_json::from_slice(&payload).expect("a beat");
                self.places.push(Position { n: beat.n, head: beat.head });
                self.follower(now).into_iter().for_each(|follower| follower.beaten(&payload));
            }
        }
        self.look();
    }

    /// The bus gets the question, or the mount the answer.
    pub fn read_on(&mut self, bus: &Bus, fails: bool, now: Instant) {
        if self.follower.as_ref().is_some_and(|follower| follower.asks == Asks::Now) {
            self.follower.iter_mut().for_each(|follower| follower.asks = Asks::Waits);
            self.reading = Some(Reading::Asked);
        } else {
            match self.reading.take() {
                None => {}
                Some(_) if fails => {
                    let error = Error::Failed("no answer".to_owned());
                    self.follower(now)
                        .into_iter()
                        .for_each(|follower| follower.answered(Err(error.clone())));
                }
                Some(Reading::Asked) => self.reading = Some(Reading::Answered(bus.kept.clone())),
                Some(Reading::Answered(kept)) => {
                    self.follower(now)
                        .into_iter()
                        .for_each(|follower| follower.answered(Ok(kept.clone())));
                }
            }
        }
        self.look();
    }

    pub fn wait(&mut self, now: Instant) {
        let connected = self.connected;
        if self.follower(now).is_some_and(|follower| follower.waited(connected)) {
            self.wants = true;
        }
    }

    pub fn poll(&mut self, service: &Service, fails: bool) {
        let Some(polls) = &mut self.polls else { return };
        if fails {
            return polls.lost("no answer");
        }
        let poll = service.poll(self.cursor.as_deref(), SCOPE);
        polls.apply(&poll.changes);
        polls.up();
        if poll.proves {
            polls.resumed();
        }
        polls.settled(Some(&poll.cursor));
        (self.cursor, self.polled) = (Some(poll.cursor), poll.time);
    }

    pub fn call(&mut self, object: usize) {
        if self.calls.len() < 3 {
            let stamp = self.memory.0.lock().ledger.begin();
            self.calls.push((object, stamp, None));
        }
    }

    /// The service answers the first of the calls, or its answer arrives.
    pub fn call_on(&mut self, which: usize, service: &Service) {
        let Some((object, stamp, time)) = self.calls.get_mut(which) else { return };
        let Some(time) = *time else {
            *time = Some(service.time());
            return;
        };
        let (object, stamp) = (*object, *stamp);
        self.calls.remove(which);
        let mut memory = self.memory.0.lock();
        let concerns = |change: &Change| match change {
            Change::Invalidated(id) | Change::Removed(id) => super::service::object(id) == object,
            Change::ChildrenChanged(_) => false,
            Change::Gap(_) => true,
        };
        let is_overtaken = memory.ledger.hits(I, stamp).any(|(_, change)| concerns(change));
        if !is_overtaken {
            let scope = memory.ledger.scope(I, &SCOPE.into(), stamp);
            memory.entries[object] = Some(Entry { time, stamp, scope });
        }
        memory.ledger.end(stamp);
    }

    pub fn evict(&self) {
        self.memory.0.lock().entries = <[Option<Entry>; OBJECTS]>::default();
    }

    pub fn holds(&self) -> usize {
        self.memory.0.lock().entries.iter().flatten().count()
    }

    pub fn is_live(&self, now: Instant) -> bool {
        // What is due has happened.
        self.follower
            .as_ref()
            .is_some_and(|follower| follower.live_until.is_some_and(|until| until > now))
    }

    /// Notes where it has come to be live, or to be so for longer.
    fn look(&mut self) {
        let Some(follower) = &self.follower else { return };
        let is_longer = follower.live_until > self.live_until;
        self.live_until = follower.live_until;
        if is_longer {
            self.elsewhere |=
                !follower.position.is_some_and(|position| self.places.contains(&position));
            // The last one may wait for its message.
            self.places.drain(..self.places.len().saturating_sub(1));
        }
    }

    /// What is wrong with what it would show now. How many entries it would show.
    pub fn judge(
        &self,
        service: &Service,
        bus: &Bus,
        now: Instant,
        clock: u64,
    ) -> Result<usize, String> {
        if self.elsewhere {
            return Err("live elsewhere on the chain than its relay".to_owned());
        }
        let is_polled = self.split.scopes.lock().polled.contains(SCOPE);
        let by_bus = self.follower.as_ref().filter(|follower| follower.live_until.is_some());
        if by_bus.is_some()
            && self.is_live(now)
            && self.heard.is_none_or(|heard| clock - heard > 3 * BEAT)
        {
            return Err(format!("live, and the last beat was heard at {:?}", self.heard));
        }
        let heard = by_bus
            .and_then(|follower| follower.position)
            .map_or(0, |position| bus.complete(&position.head));
        let complete = if is_polled { self.polled } else { heard };
        let memory = self.memory.0.lock();
        let mut shown = 0;
        for (object, entry) in memory.entries.iter().enumerate() {
            let Some(entry) = entry.as_ref().filter(|entry| entry.scope.covers(entry.stamp)) else {
                continue;
            };
            if by_bus.is_none() && !is_polled {
                return Err("its scope is live, and neither the bus nor a poll says so".to_owned());
            }
            shown += 1;
            if let Some(change) = service.changed(object, entry.time, complete) {
                return Err(format!(
                    "object {object} as of {} is shown, and by change {change} it is another: all is known up to {complete}",
                    entry.time
                ));
            }
        }
        Ok(shown)
    }
}

/// What a second of the model is.
pub const SECOND: Duration = Duration::from_secs(1);
