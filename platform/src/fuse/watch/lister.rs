//! Lists watched directories again after a change.
//!
//! Which names came and went is known from a listing only, and of an entry that the kernel has
//! dropped no event can be raised. So a directory that somebody watches is listed after each change,
//! as the watcher itself would do: that is the one case in which an event causes a request to a
//! provider. A directory that goes on changing is listed less and less often.

use super::{Queue, Task, watched};
use crate::{Handle, Vfs};
use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::runtime;

/// Between two listings of one directory: at first, doubled each time that it has changed
/// meanwhile, and at most.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// A look at who watches may take one part in so many of the time.
const SHARE: u32 = 20;
/// And at least so often somebody looks, so that what is watched counts as used.
const LOOK: Duration = Duration::from_secs(60);
/// How long one listing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that has changed.
#[derive(Debug)]
pub(super) struct Changed {
    pub handle: Handle,
    /// Its numbers as a watch may show them.
    pub inodes: [u64; 2],
}

#[derive(Debug)]
pub(super) struct Lister<'a, V: Vfs> {
    pub vfs: &'a V,
    pub runtime: &'a runtime::Handle,
    pub minor: u32,
    pub queue: &'a Queue,
}

#[derive(Debug)]
struct Pace {
    next: Instant,
    wait: Duration,
}

impl<V: Vfs> Lister<'_, V> {
    /// Returns with the last sender.
    pub fn run(&self, changes: &Receiver<Changed>) {
        let mut waiting: HashMap<Handle, Changed> = HashMap::new();
        let mut paces: HashMap<Handle, Pace> = HashMap::new();
        let mut next_look = Instant::now();
        let mut last_look = Instant::now();
        loop {
            let now = Instant::now();
            let due = |handle: &Handle| paces.get(handle).map_or(now, |pace| pace.next);
            let soonest = waiting.keys().map(due).min().map(|due| due.max(next_look));
            let look = (last_look + LOOK).max(next_look);
            let at = soonest.map_or(look, |at| at.min(look));
            match changes.recv_timeout(at.saturating_duration_since(now)) {
                Ok(changed) => {
                    waiting.insert(changed.handle, changed);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let started = Instant::now();
            let watched = watched::scan(self.minor);
            last_look = started;
            if !watched.is_empty() {
                self.vfs.note_watched(&watched);
            }
            next_look = Instant::now() + started.elapsed() * SHARE;
            waiting.retain(|_, changed| is_watched(changed, &watched));
            let due: Vec<Handle> = waiting
                .keys()
                .filter(|handle| paces.get(handle).is_none_or(|pace| pace.next <= started))
                .copied()
                .collect();
            for handle in due {
                let Some(changed) = waiting.remove(&handle) else { continue };
                self.list(&changed);
                let now = Instant::now();
                let pace = paces.entry(handle).or_insert(Pace { next: now, wait: SHORTEST });
                // Quiet for long enough to start anew.
                let quiet = now.saturating_duration_since(pace.next) > pace.wait;
                pace.wait = if quiet { SHORTEST } else { (pace.wait * 2).min(LONGEST) };
                pace.next = now + pace.wait;
            }
            paces.retain(|_, pace| started.saturating_duration_since(pace.next) < LONGEST);
        }
    }

    fn list(&self, changed: &Changed) {
        let listed = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.vfs.opendir(changed.handle)).await
        });
        let Ok(Ok(opened)) = listed else { return };
        // In memory by now, so that the mount is busy for a moment only.
        self.queue.push(vec![Task::List(changed.handle)]);
        self.vfs.release(opened.id);
    }
}

fn is_watched(changed: &Changed, watched: &HashSet<u64>) -> bool {
    changed.inodes.iter().any(|inode| watched.contains(inode))
}
