//! The rate limit of one credential, as the service's own answers tell it.
//!
//! **Invariant:** when a budget is gone, no request is made until its reset; the caller hears so at
//! once. Nothing waits here, so nothing can pile up and storm the service at the reset.
//!
//! Interactive reads keep a reserve that background polls may not use, so a crawler in the
//! background never makes `cat` fail.

pub(super) mod headers;

use super::Priority;
use crate::provider::Limits;
use headers::{Observation, Window};
use http::HeaderMap;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Percent of each limit that background requests leave untouched.
pub const RESERVE_PERCENT: u64 = 20;

/// After a refusal that asks to slow down and names no time.
const SLOW_DOWN_PAUSE: Duration = Duration::from_secs(60);
const SLOW_DOWN_MOST: Duration = Duration::from_secs(15 * 60);
/// After a bare 429, which says nothing at all.
const UNNAMED_PAUSE: Duration = Duration::from_secs(1);
const UNNAMED_MOST: Duration = Duration::from_secs(60);

/// One rule of one endpoint: requests of a route draw on the same resources.
pub(super) type Route = (String, usize);

#[derive(Debug)]
pub(super) struct Budget {
    credential: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the secret these numbers belong to.
    fingerprint: Option<u64>,
    windows: BTreeMap<String, Held>,
    routes: HashMap<Route, Vec<String>>,
    stopped: Option<Stopped>,
    /// Refusals in a row that named no time.
    strikes: u32,
    throttled: u64,
    /// The latest time that the clock showed.
    seen: Option<SystemTime>,
}

#[derive(Debug)]
struct Held {
    limit: u64,
    remaining: u64,
    reset: SystemTime,
    /// What one request costs, as last seen.
    cost: u64,
    in_flight: u64,
}

impl Held {
    /// What is left once the requests under way are paid for.
    fn left(&self) -> u64 {
        self.remaining.saturating_sub(self.in_flight.saturating_mul(self.cost))
    }

    fn is_spent(&self) -> bool {
        self.left() < self.cost.max(1)
    }
}

#[derive(Clone, Debug)]
struct Stopped {
    until: SystemTime,
    why: String,
}

/// No request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub retry_after: Duration,
    pub detail: String,
}

/// What `omnifs status` shows of one credential's rate limit. Times in seconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BudgetStatus {
    pub credential: String,
    pub windows: Vec<WindowStatus>,
    /// Until when no request is made at all, and why.
    pub stopped_until: Option<u64>,
    pub stopped_why: Option<String>,
    /// Requests that were not made for want of budget.
    pub throttled: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WindowStatus {
    /// The service's own name, or the manifest's: `core`, `requests`.
    pub resource: String,
    pub limit: u64,
    pub remaining: u64,
    /// Kept for interactive reads.
    pub reserve: u64,
    pub resets_at: u64,
    /// It leaves no room for a request until then.
    pub exhausted: bool,
}

/// Room for one request; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Arc<Budget>,
    resources: Vec<String>,
}

impl Budget {
    pub fn new(credential: &str) -> Self {
        Budget { credential: credential.to_owned(), state: Mutex::default() }
    }

    /// Room for a request, or the reason why there is none.
    pub fn admit(
        self: &Arc<Self>,
        route: &Route,
        fingerprint: Option<u64>,
        priority: Priority,
        now: SystemTime,
    ) -> Result<Permit, Limited> {
        let mut state = self.lock();
        state.belong_to(fingerprint);
        state.follow_clock(now);
        if let Err(limited) = state.check(&self.credential, route, priority, now) {
            state.throttled += 1;
            return Err(limited);
        }
        let resources = state.routes.get(route).cloned().unwrap_or_default();
        for resource in &resources {
            if let Some(held) = state.windows.get_mut(resource) {
                held.in_flight += 1;
            }
        }
        Ok(Permit { budget: self.clone(), resources })
    }

    /// Learns from an answer (status, headers, body) what its endpoint's `limits` let it say. The body is
    /// looked at only where the status or the method makes a rate limit possible. An error says that the answer is the service's refusal.
    pub fn observe(
        &self,
        route: &Route,
        fingerprint: Option<u64>,
        limits: &Limits,
        post: bool,
        answer: (u16, &HeaderMap, &[u8]),
        now: SystemTime,
    ) -> Result<(), Limited> {
        let seen = headers::read(limits, post, answer, now);
        let mut state = self.lock();
        state.belong_to(fingerprint);
        state.follow_clock(now);
        for window in &seen.windows {
            state.learn(route, window, seen.limited, now);
        }
        if !seen.limited {
            state.strikes = 0;
            return Ok(());
        }
        Err(state.refused(&self.credential, seen, now))
    }

    pub fn status(&self, now: SystemTime) -> BudgetStatus {
        let mut state = self.lock();
        state.follow_clock(now);
        let stopped = state.stopped.as_ref().filter(|stopped| stopped.until > now);
        BudgetStatus {
            credential: self.credential.clone(),
            windows: state
                .windows
                .iter()
                .map(|(resource, held)| WindowStatus {
                    resource: resource.clone(),
                    limit: held.limit,
                    remaining: if now >= held.reset { held.limit } else { held.remaining },
                    reserve: reserve(held.limit),
                    resets_at: seconds(held.reset),
                    exhausted: now < held.reset && held.is_spent(),
                })
                .collect(),
            stopped_until: stopped.map(|stopped| seconds(stopped.until)),
            stopped_why: stopped.map(|stopped| stopped.why.clone()),
            throttled: state.throttled,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes that belong together.
        self.state.lock()
    }
}

impl State {
    /// Another secret has another budget.
    fn belong_to(&mut self, fingerprint: Option<u64>) {
        if self.fingerprint != fingerprint {
            let throttled = self.throttled;
            *self = State { fingerprint, throttled, ..State::default() };
        }
    }

    /// Where the clock was set back, what is waited for comes no later for that. Where it was set forward
    /// it comes too early, and the service says so.
    fn follow_clock(&mut self, now: SystemTime) {
        /// Threads ask in another order than they looked at the clock.
        const DISORDER: Duration = Duration::from_secs(2);
        let seen = *self.seen.get_or_insert(now);
        let Ok(back) = seen.duration_since(now) else {
            self.seen = Some(now);
            return;
        };
        if back < DISORDER {
            return;
        }
        self.seen = Some(now);
        for held in self.windows.values_mut() {
            held.reset -= back;
        }
        if let Some(stopped) = &mut self.stopped {
            stopped.until -= back;
        }
    }

    fn check(
        &self,
        credential: &str,
        route: &Route,
        priority: Priority,
        now: SystemTime,
    ) -> Result<(), Limited> {
        if let Some(stopped) = &self.stopped
            && stopped.until > now
        {
            return Err(limited(&stopped.why, stopped.until, now));
        }
        for resource in self.routes.get(route).into_iter().flatten() {
            let Some(held) = self.windows.get(resource) else { continue };
            if now >= held.reset {
                continue;
            }
            let left = held.left();
            if held.is_spent() {
                let why = format!(
                    "the {resource} rate limit of credential {credential:?} ({}) is used up",
                    held.limit
                );
                return Err(limited(&why, held.reset, now));
            }
            if priority == Priority::Background && left <= reserve(held.limit) {
                let why = format!(
                    "the last {} of the {resource} rate limit of credential {credential:?} are \
                     kept for reads",
                    reserve(held.limit)
                );
                return Err(limited(&why, held.reset, now));
            }
        }
        Ok(())
    }

    /// `refused`: the answer is the service's refusal, whose own reset is believed also where it comes
    /// before the one that is known.
    fn learn(&mut self, route: &Route, window: &Window, refused: bool, now: SystemTime) {
        /// Servers of one service do not agree to the second about the same reset.
        const TOLERANCE: Duration = Duration::from_secs(5);
        /// A bound on what a service can make us hold.
        const RESOURCES: usize = 32;
        let resources = self.routes.entry(route.clone()).or_default();
        if !resources.contains(&window.resource) {
            if resources.len() >= RESOURCES {
                return;
            }
            resources.push(window.resource.clone());
        }
        let full = self.windows.len() >= RESOURCES;
        match self.windows.get_mut(&window.resource) {
            Some(held) => {
                // Answers overtake each other: within one window the lowest number is the newest.
                let same = window.falls_only
                    && held.reset > now
                    && window.reset <= held.reset + TOLERANCE
                    && held.reset <= window.reset + TOLERANCE;
                let older = window.falls_only && window.reset + TOLERANCE < held.reset;
                if older && held.reset > now && !refused {
                    return;
                }
                held.remaining =
                    if same { held.remaining.min(window.remaining) } else { window.remaining };
                held.limit = window.limit;
                held.reset = window.reset;
                held.cost = window.cost.unwrap_or(held.cost);
            }
            None if !full => {
                let held = Held {
                    limit: window.limit,
                    remaining: window.remaining,
                    reset: window.reset,
                    cost: window.cost.unwrap_or(1),
                    in_flight: 0,
                };
                self.windows.insert(window.resource.clone(), held);
            }
            None => {}
        }
    }

    /// The service refused a request for its rate.
    fn refused(&mut self, credential: &str, seen: Observation, now: SystemTime) -> Limited {
        if let Some(resource) = &seen.spent
            && let Some(held) = self.windows.get_mut(resource)
            && held.reset > now
        {
            held.remaining = 0;
            let why = format!(
                "the {resource} rate limit of credential {credential:?} ({}) is used up",
                held.limit
            );
            return limited(&why, held.reset, now);
        }
        let pause = seen.retry_after.unwrap_or_else(|| {
            let (first, most) = if seen.slow_down {
                (SLOW_DOWN_PAUSE, SLOW_DOWN_MOST)
            } else {
                (UNNAMED_PAUSE, UNNAMED_MOST)
            };
            let pause = first.saturating_mul(1 << self.strikes.min(10)).min(most);
            self.strikes += 1;
            pause
        });
        let why = if seen.slow_down {
            format!("the service asks credential {credential:?} to slow down")
        } else {
            format!("the service throttles credential {credential:?}")
        };
        // An answer to an older request does not shorten a stop.
        let until = (now + pause).max(self.stopped.as_ref().map_or(now, |stopped| stopped.until));
        self.stopped = Some(Stopped { until, why: why.clone() });
        limited(&why, until, now)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        for resource in &self.resources {
            if let Some(held) = state.windows.get_mut(resource) {
                held.in_flight = held.in_flight.saturating_sub(1);
            }
        }
    }
}

fn reserve(limit: u64) -> u64 {
    limit / 100 * RESERVE_PERCENT + limit % 100 * RESERVE_PERCENT / 100
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn limited(why: &str, until: SystemTime, now: SystemTime) -> Limited {
    let wait = until.duration_since(now).unwrap_or_default();
    // Rounded up, so that who waits as told is not early.
    let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    let at = jiff::Timestamp::try_from(now + wait)
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default();
    Limited {
        retry_after: wait,
        detail: format!("{why}; requests resume at {at}, in {} s", wait.as_secs()),
    }
}

#[cfg(test)]
mod tests;
