//! What the runtime says of itself to `omnifs status`.

use super::{LockWaits, Runtime, SlowCall, State};
use crate::cache::{Capacity, Cost, Counters};
use crate::nodes::Node;
use crate::provider::Failure;
use crate::scopes::Standing;
use omnifs_platform::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

/// Failures kept for `omnifs status`.
const KEPT: usize = 50;

/// One failed call, as kept for people.
#[derive(Clone, Debug)]
pub struct FailureRecord {
    pub at: SystemTime,
    /// Below the mount point.
    pub path: String,
    pub failure: Failure,
    /// How often in a row it happened at this path.
    pub count: u64,
}

/// A directory whose listing stops short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialListing {
    pub provider: String,
    pub path: Option<String>,
    pub shown: u32,
    pub note: String,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub capacity: Capacity,
    pub held: Cost,
    pub counters: Counters,
    /// Handles that back ends refer to.
    pub handles: usize,
    pub open: usize,
    /// Provider calls that are under way.
    pub in_flight: usize,
    pub waits: LockWaits,
    /// Provider calls made.
    pub calls: u64,
    /// Uses served although nothing vouched for them, because a service could not be reached.
    pub stale_served: u64,
    /// Events applied, of all instances.
    pub events: u64,
    pub scopes: Vec<(String, Standing)>,
    pub partials: Vec<PartialListing>,
    /// Newest first.
    pub failures: Vec<FailureRecord>,
    /// Hits and misses of each instance, by name.
    pub uses: Vec<(Arc<str>, (u64, u64))>,
    /// Provider calls that took longest lately, the longest first.
    pub slowest: Vec<SlowCall>,
}

impl Runtime {
    /// Keeps a failed call for `status` and gives what the caller is told. "No such object" is one where
    /// a directory shows the object; as the answer about a name it is not.
    pub(super) fn failed(&self, node: &Node, name: Option<&str>, failure: Failure) -> Error {
        let error = failure.cause.error();
        let path = self.state().path_of(node, name, &failure.provider);
        tracing::warn!(path, provider = %failure.provider, cause = ?failure.cause, "{}", failure.detail);
        let mut failures = self.failures.lock();
        if let Some(last) = failures.front_mut()
            && last.path == path
            && last.failure == failure
        {
            last.count += 1;
            last.at = SystemTime::now();
            return error;
        }
        failures.push_front(FailureRecord { at: SystemTime::now(), path, failure, count: 1 });
        failures.truncate(KEPT);
        error
    }

    /// Provider calls that an instance has made.
    pub fn calls_of(&self, instance: &str) -> u64 {
        let id = self.router.find(instance);
        let calls = id.and_then(|id| self.calls.get(usize::from(id.0)));
        calls.map_or(0, |calls| calls.load(Ordering::Relaxed))
    }

    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let scopes = state
            .ledger
            .standings()
            .into_iter()
            .map(|standing| (self.router.name(standing.instance).to_string(), standing))
            .collect();
        let partials = state
            .partials
            .iter()
            .map(|((instance, id), partial)| {
                let name = self.router.name(*instance);
                let node = state.registry.get(crate::inodes::key(&name, id), id);
                let handle = node.and_then(|node| state.inodes.handles_of(&node).first().copied());
                PartialListing {
                    provider: name.to_string(),
                    path: handle.map(|handle| state.path(handle)),
                    shown: partial.shown,
                    note: partial.note.clone(),
                }
            })
            .collect();
        let (capacity, held, counters) =
            (state.cache.capacity(), state.cache.held(), state.cache.counters);
        let (handles, open) = (state.inodes.len(), state.opens.len());
        let instances = self.router.instances();
        let uses = instances.map(|(id, i)| (i.name.clone(), state.cache.uses_of(id))).collect();
        let (events, in_flight, waits) = (state.events, state.flights.len(), state.waits);
        drop(state);
        let failures = self.failures.lock();
        Snapshot {
            capacity,
            held,
            counters,
            handles,
            open,
            in_flight,
            waits,
            calls: self.calls.iter().map(|calls| calls.load(Ordering::Relaxed)).sum(),
            stale_served: self.stale_served.load(Ordering::Relaxed),
            events,
            scopes,
            partials,
            failures: failures.iter().cloned().collect(),
            uses,
            slowest: self.slowest.lock().lately(Instant::now()),
        }
    }
}

impl State {
    /// Where a node is shown, or an entry of it: below its instance alone where the kernel knows no place.
    pub(super) fn path_of(&self, node: &Node, name: Option<&str>, instance: &str) -> String {
        let handle = self.inodes.handles_of(node).first().copied();
        let mut path = handle.map_or_else(|| instance.to_owned(), |handle| self.path(handle));
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        path
    }
}
