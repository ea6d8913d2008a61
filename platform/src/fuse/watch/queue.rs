//! Events that wait to be raised.

use crate::{Event, Handle};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Events that may wait. inotify's own queue holds 16,384, and tells its reader when it overflows.
const LONGEST: usize = 1 << 16;
/// How many waiting events are looked through for one that can be raised.
const LOOKED_AT: usize = 256;

/// What the watching thread is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::fuse) enum Task {
    Raise(Event),
    /// List a directory, so that the kernel holds its entries.
    List(Handle),
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Task>,
    /// The same, so that one that waits already is not put in again.
    waiting: HashSet<Task>,
    lost: u64,
    /// Told of something since the last look.
    stirred: bool,
    raising: bool,
    paused: bool,
    closed: bool,
}

#[derive(Debug, Default)]
pub(in crate::fuse) struct Queue {
    state: Mutex<State>,
    moved: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Adds events. Waits for nothing.
    pub fn push(&self, events: Vec<Task>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            return;
        }
        for event in events {
            if state.events.len() >= LONGEST {
                if state.lost == 0 {
                    tracing::warn!("more changes than watchers can be told of; some are left out");
                }
                state.lost += 1;
            } else if state.waiting.insert(event.clone()) {
                state.events.push_back(event);
            }
        }
        state.stirred = true;
        drop(state);
        self.moved.notify_all();
    }

    /// The notifier has told the kernel something: an event may have waited for that.
    pub fn stir(&self) {
        let mut state = self.lock();
        if state.events.is_empty() {
            return;
        }
        state.stirred = true;
        drop(state);
        self.moved.notify_all();
    }

    /// Whether this event waits.
    pub fn holds(&self, event: &Event) -> bool {
        self.lock().waiting.contains(&Task::Raise(event.clone()))
    }

    /// The next event for which the kernel has been told what to drop. It counts as being raised
    /// until the next call. `None` once closed.
    pub fn next(&self, ready: impl Fn(&Task) -> bool) -> Option<Task> {
        let mut state = self.lock();
        state.raising = false;
        self.moved.notify_all();
        loop {
            if state.closed {
                return None;
            }
            state.stirred = false;
            let mut at = 0;
            // Only this thread takes events out, and new ones come in behind.
            while let Some(event) = state.events.get(at).cloned().filter(|_| !state.paused) {
                // This looks at the notifier, which may be waiting for this lock.
                drop(state);
                let ready = ready(&event);
                state = self.lock();
                if ready && !state.paused && !state.closed {
                    state.events.remove(at);
                    state.waiting.remove(&event);
                    state.raising = true;
                    return Some(event);
                }
                at += 1;
                if at == LOOKED_AT {
                    break;
                }
            }
            if !state.stirred && !state.closed {
                self.moved.wait(&mut state);
            }
        }
    }

    /// Raises nothing more, and waits at most `patience` for what is being raised: each call holds
    /// the mount busy for its length.
    pub fn pause(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        state.paused = true;
        while state.raising {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.moved.wait_for(&mut state, left);
        }
    }

    pub fn resume(&self) {
        self.lock().paused = false;
        self.moved.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.moved.notify_all();
    }
}
