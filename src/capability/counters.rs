//! What the requests cost, for `omnifs status` and for tests that assert callout counts.

use crate::provider::{Cause, Failure};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Monotonic counts of one endpoint since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests put on the wire, each retry and each redirect among them.
    pub callouts: AtomicU64,
    /// Heads that came back, by the first digit of their status.
    responses: [AtomicU64; 5],
    /// Response body bytes after decompression.
    pub bytes: AtomicU64,
    /// Fetches that ended in an error or in a status of 500 and above; the refused and the
    /// throttled ones have counts of their own.
    pub failures: AtomicU64,
    pub retries: AtomicU64,
    pub redirects: AtomicU64,
    /// Answers 304 that were served from the validator store.
    pub revalidated: AtomicU64,
    /// Answers of other mounts of a fleet that were served in place of a request.
    pub shared: AtomicU64,
    /// Fetches refused before any connection.
    pub refused: AtomicU64,
    /// Fetches that the rate limit left no room for.
    pub throttled: AtomicU64,
    /// What the last request showed to be wrong with the endpoint or its credential, in one line.
    trouble: Mutex<Option<String>>,
}

/// A snapshot of one endpoint's counts, or of all of them together. See the field docs of the
/// counters: callouts are requests on the wire, bytes are body bytes after decompression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalloutCounts {
    pub callouts: u64,
    /// Those that were answered, by status: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub responses: [u64; 5],
    pub bytes: u64,
    pub failures: u64,
    pub retries: u64,
    pub redirects: u64,
    pub revalidated: u64,
    #[serde(default)]
    pub shared: u64,
    pub refused: u64,
    pub throttled: u64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// A request goes on the wire.
    pub fn called_out(&self) {
        count(&self.callouts);
        let _ = super::REQUESTS.try_with(|requests| count(requests));
    }

    /// The head of an answer came from the wire, whatever becomes of it.
    pub fn responded(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        count(&self.responses[class.min(self.responses.len() - 1)]);
    }

    /// Notes the status of an answer.
    pub fn answered(&self, status: u16) {
        if status >= 500 {
            count(&self.failures);
        }
        let trouble = || format!("its last request was answered {status}");
        self.troubled((status == 401 || status >= 500).then(trouble));
    }

    /// Notes why there is no answer, or none that can be used. What is of the object that was asked for,
    /// or of a limit, is no trouble of the endpoint; a refused credential is one, which
    /// `Exchange::authorized` tells.
    pub fn failed(&self, failure: &Failure) {
        if failure.cause != Cause::RateLimited {
            count(&self.failures);
        }
        if matches!(failure.cause, Cause::Unavailable | Cause::TimedOut) {
            self.troubled(Some(format!("its last request failed: {}", failure.detail)));
        }
    }

    pub fn troubled(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub fn snapshot(&self) -> CalloutCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CalloutCounts {
            callouts: read(&self.callouts),
            responses: self.responses.each_ref().map(read),
            bytes: read(&self.bytes),
            failures: read(&self.failures),
            retries: read(&self.retries),
            redirects: read(&self.redirects),
            revalidated: read(&self.revalidated),
            shared: read(&self.shared),
            refused: read(&self.refused),
            throttled: read(&self.throttled),
        }
    }
}

impl CalloutCounts {
    pub fn add(&mut self, other: &CalloutCounts) {
        self.callouts += other.callouts;
        for (sum, more) in self.responses.iter_mut().zip(other.responses) {
            *sum += more;
        }
        self.bytes += other.bytes;
        self.failures += other.failures;
        self.retries += other.retries;
        self.redirects += other.redirects;
        self.revalidated += other.revalidated;
        self.shared += other.shared;
        self.refused += other.refused;
        self.throttled += other.throttled;
    }
}
