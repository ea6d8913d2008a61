//! Which scope of a poll feed is polled when. Holds no clock, so that a test need not wait.
//!
//! A scope that somebody has used lately is polled at the service's pace, the one that was used last
//! before all others, as far as the allowance goes. One whose poll is late, or that nobody has used for
//! a while, *rests*: it is suspect, so that the next use has it polled first, and until then it is polled
//! ever less. Its changes still reach who watches its files.

use super::allowance::Allowance;
use super::supervisor::Pace;
use crate::backoff::{Backoff, jittered};
use crate::scopes::ActiveScope;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Polls at the same time, and those among them that nobody waits for.
const PARALLEL: usize = 16;
const BACKGROUND: usize = 4;

/// A service's interval is never believed below this.
const SHORTEST: Duration = Duration::from_secs(1);

/// Requests of a poll, until it is known what one costs.
const GUESS: u64 = 3;

#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    scopes: HashMap<Arc<str>, Entry>,
    /// Of the dearest poll so far.
    dearest: Option<u64>,
    /// Nothing is polled any more.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Live,
    /// Not polled yet: covered from its first fetch on.
    New,
    /// The last poll has failed.
    Failing,
    Resting,
}

#[derive(Debug)]
struct Entry {
    since: u64,
    used: Instant,
    state: State,
    due: Instant,
    /// Before the next poll of one that rests.
    pause: Duration,
    backoff: Backoff,
    /// When a failure was last told.
    told: Instant,
    cost: Option<u64>,
    /// What was set aside for the poll that is under way.
    running: Option<u64>,
    /// Cached nodes depend on it. Unknown for one that a use has asked for before it was seen.
    active: bool,
    /// Since when somebody waits for a poll.
    wanted: Option<Instant>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Next {
    Poll(Turn),
    /// Nothing until then, or until something happens.
    Wait(Option<Instant>),
}

#[derive(Debug)]
pub(super) struct Turn {
    pub scope: Arc<str>,
    pub since: u64,
}

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With the wait that the service asks for.
    Well(Option<Duration>),
    /// The same, and whether the service has answered in a way that another attempt seldom changes.
    Failed(Option<Duration>, bool),
}

/// What is to be told of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Up,
    Lost,
    /// It rests as before.
    Nothing,
    /// No cached node depends on it any more.
    Gone,
}

impl Schedule {
    pub fn new(pace: Pace) -> Self {
        Schedule { pace, scopes: HashMap::new(), dearest: None, ended: false }
    }

    /// Takes over which scopes are in use. Gives those that are new, and those that are gone.
    pub fn seen(&mut self, active: Vec<ActiveScope>, now: Instant) -> [Vec<Arc<str>>; 2] {
        let mut new = Vec::new();
        let mut left: HashSet<_> = self.scopes.keys().cloned().collect();
        for ActiveScope { id, since, used } in active {
            left.remove(&id);
            let entry =
                self.scopes.entry(id.clone()).or_insert_with(|| Entry::new(&self.pace, now));
            entry.since = since;
            if used {
                entry.used = now;
            }
            if !std::mem::replace(&mut entry.active, true) {
                new.push(id);
            }
        }
        let mut gone = Vec::new();
        for id in left {
            let Some(entry) = self.scopes.get_mut(&id) else { continue };
            entry.active = false;
            if entry.running.is_none() {
                self.scopes.remove(&id);
                gone.push(id);
            }
        }
        [new, gone]
    }

    /// Whether a use has asked for a scope that was not seen yet.
    pub fn has_unseen(&self) -> bool {
        self.scopes.values().any(|entry| !entry.active && entry.running.is_none())
    }

    /// A use finds the scope suspect. Gives what ends with the next poll, and how long to wait for
    /// it; nothing where the last one has failed just now.
    pub fn want(
        &mut self,
        scope: &Arc<str>,
        now: Instant,
    ) -> Option<(oneshot::Receiver<()>, Instant)> {
        if self.ended {
            return None;
        }
        let entry = self.scopes.entry(scope.clone()).or_insert_with(|| Entry::new(&self.pace, now));
        entry.used = now;
        match entry.state {
            State::Live => return None,
            State::Failing if entry.running.is_none() && now < entry.due => return None,
            _ => {}
        }
        let until = *entry.wanted.get_or_insert(now) + self.pace.patience;
        if now >= until {
            return None;
        }
        let (ends, ended) = oneshot::channel();
        entry.waiting.push(ends);
        Some((ended, until))
    }

    /// Scopes that rest from now on, each with the reason.
    pub fn take_tired(&mut self, now: Instant) -> Vec<(Arc<str>, &'static str)> {
        let mut tired = Vec::new();
        for (scope, entry) in &mut self.scopes {
            if entry.running.is_some() || !entry.active || entry.state == State::Resting {
                continue;
            }
            let used = entry.is_used(&self.pace, now);
            if used && now <= entry.due + self.pace.late {
                continue;
            }
            entry.state = State::Resting;
            if !used {
                // A failure may have said to wait for longer.
                entry.due = entry.due.max(now + entry.pause);
            }
            tired.push((
                scope.clone(),
                match used {
                    true => {
                        "resting: others were used more recently; it is polled before its next use"
                    }
                    false => "resting: nobody has used it lately; it is polled before its next use",
                },
            ));
        }
        tired
    }

    /// Scopes that have been lost for so long that it is to be told again: the last attempt that failed
    /// does not speak for the next minute too.
    pub fn take_silent(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut silent = Vec::new();
        for (scope, entry) in &mut self.scopes {
            if entry.state == State::Failing && now >= entry.told + self.pace.retry_most {
                entry.told = now;
                silent.push(scope.clone());
            }
        }
        silent
    }

    /// What to poll now. The poll counts as under way.
    pub fn next(&mut self, allowance: &mut Allowance, now: Instant) -> Next {
        let running = self.scopes.values().filter(|entry| entry.running.is_some()).count();
        if running >= PARALLEL {
            return Next::Wait(None);
        }
        let waiting = self.scopes.iter().filter(|(_, entry)| entry.may_run());
        let first = waiting.clone().filter_map(|(scope, e)| Some((e.wanted?, scope))).min();
        if let Some((_, scope)) = first {
            let scope = scope.clone();
            let cost = self.cost(&scope);
            allowance.charge(cost);
            return Next::Poll(self.begin(scope, cost));
        }
        let due = waiting.clone().filter(|(_, entry)| entry.due <= now);
        let best = due.min_by_key(|(_, entry)| {
            let used = entry.is_used(&self.pace, now).then_some(entry.used);
            // What is live stays so rather than give way to what was used at the same time.
            (Reverse(used), entry.state, entry.due)
        });
        let Some((scope, _)) = best else {
            return Next::Wait(waiting.map(|(_, entry)| entry.due).min());
        };
        if running >= BACKGROUND {
            return Next::Wait(None);
        }
        let (scope, cost) = (scope.clone(), self.cost(scope));
        let used = self.scopes.get(&scope).map(|entry| entry.used);
        // Of what was used since, the next polls come before the minute is over.
        let urgent = waiting.filter(|(_, e)| e.state == State::Live && Some(e.used) > used);
        let needed = urgent.map(|(_, entry)| entry.cost.unwrap_or(GUESS)).sum();
        match allowance.admit(cost, needed, now) {
            true => Next::Poll(self.begin(scope, cost)),
            false => Next::Wait(allowance.more_at()),
        }
    }

    fn cost(&self, scope: &Arc<str>) -> u64 {
        let known = self.scopes.get(scope).and_then(|entry| entry.cost);
        known.or(self.dearest).unwrap_or(GUESS)
    }

    fn begin(&mut self, scope: Arc<str>, cost: u64) -> Turn {
        let since = self.scopes.get_mut(&scope).map_or(0, |entry| {
            entry.running = Some(cost);
            entry.since
        });
        Turn { scope, since }
    }

    /// A poll has ended for which `requests` were made.
    pub fn ended(
        &mut self,
        scope: &Arc<str>,
        ended: Ended,
        requests: u64,
        allowance: &mut Allowance,
        now: Instant,
    ) -> Tell {
        let Some(entry) = self.scopes.get_mut(scope) else { return Tell::Gone };
        allowance.settle(entry.running.take().unwrap_or(0), requests, now);
        self.dearest = self.dearest.max(Some(requests));
        if !entry.active {
            self.scopes.remove(scope);
            return Tell::Gone;
        }
        entry.cost = Some(requests);
        entry.wanted = None;
        let used = entry.is_used(&self.pace, now);
        match ended {
            Ended::Well(asked) => {
                entry.backoff.reset();
                let wait = asked.unwrap_or(self.pace.poll).max(SHORTEST);
                let wait = self.pace.poll_override.unwrap_or(wait);
                if used {
                    entry.pause = wait;
                    // A little later than asked for, so that scopes do not all come at once.
                    entry.due = now + wait + jittered(wait / 10);
                }
            }
            Ended::Failed(after, lasting) => {
                let wait = entry.backoff.wait(after);
                let least = if lasting { jittered(self.pace.retry_most) } else { Duration::ZERO };
                entry.due = now + wait.max(least);
                entry.told = now;
            }
        }
        if !used {
            entry.state = State::Resting;
            entry.pause = entry.pause.saturating_mul(2).min(LONGEST);
            entry.due = entry.due.max(now + entry.pause);
            return Tell::Nothing;
        }
        match ended {
            Ended::Well(_) => {
                entry.state = State::Live;
                Tell::Up
            }
            Ended::Failed(..) => {
                entry.state = State::Failing;
                Tell::Lost
            }
        }
    }

    /// Lets all go on who wait, and nobody wait from now on: what polled has ended.
    pub fn end(&mut self) {
        self.ended = true;
        self.scopes.clear();
    }

    /// Lets those go on who waited for this scope. To be called when what its poll told has taken effect.
    pub fn release(&mut self, scope: &Arc<str>) {
        if let Some(entry) = self.scopes.get_mut(scope) {
            entry.waiting.clear();
        }
    }
}

/// Keeps sums of times within what a clock can say.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

impl Entry {
    fn new(pace: &Pace, now: Instant) -> Self {
        Entry {
            since: 0,
            used: now,
            state: State::New,
            due: now,
            pause: pace.poll_override.unwrap_or(pace.poll),
            backoff: Backoff::new(pace.retry_first, pace.retry_most),
            told: now,
            cost: None,
            running: None,
            active: false,
            wanted: None,
            waiting: Vec::new(),
        }
    }

    fn may_run(&self) -> bool {
        self.active && self.running.is_none()
    }

    fn is_used(&self, pace: &Pace, now: Instant) -> bool {
        now.duration_since(self.used) <= pace.linger
    }
}

#[cfg(test)]
mod tests;
