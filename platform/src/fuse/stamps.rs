//! Which answers a change may have overtaken.
//!
//! A kernel is told of a change after the file system has made it. An answer that was worked out before may
//! reach the kernel after that, and must not be kept then. What is noted is when each handle was last
//! concerned, so that an event elsewhere costs nobody anything.

use crate::{Change, Fate, Handle};
use std::sync::atomic::{AtomicU64, Ordering};

/// Handles share them; one that shares with a handle that changed is asked for once more.
const PLACES: usize = 1 << 14;

#[derive(Debug)]
pub(super) struct Stamps {
    /// Batches of changes so far.
    now: AtomicU64,
    /// The last batch that concerned the handles of a place.
    changed: Box<[AtomicU64]>,
}

impl Stamps {
    pub fn new() -> Stamps {
        let changed = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Stamps { now: AtomicU64::new(0), changed }
    }

    fn place(&self, handle: Handle) -> &AtomicU64 {
        // Handles may be hashes or small numbers; fold both ends in.
        &self.changed[(handle.0 ^ handle.0 >> 32 ^ handle.0 >> 50) as usize % PLACES]
    }

    /// Read it before an answer is asked for.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Whether nothing that a kernel is told of has concerned the handle since this stamp. Ask after the
    /// reference to what is delivered is recorded: then either this is false, or whoever tells the kernel finds
    /// the reference and tries until the kernel knows the inode.
    pub fn is_unchanged(&self, handle: Handle, since: u64) -> bool {
        self.place(handle).load(Ordering::SeqCst) <= since
    }

    /// Notes a batch of changes, before any of it is told. One thread does.
    pub fn note(&self, batch: &[Change]) {
        let next = self.now() + 1;
        for change in batch {
            match change {
                Change::Content { handle, .. } => self.place(*handle).store(next, Ordering::SeqCst),
                Change::Entry { parent, fate, .. } => {
                    self.place(*parent).store(next, Ordering::SeqCst);
                    if let Fate::Removed(child) = fate {
                        self.place(*child).store(next, Ordering::SeqCst);
                    }
                }
                Change::Unneeded { .. } | Change::Event(_) | Change::Barrier(_) => {}
            }
        }
        self.now.store(next, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_overtakes_what_was_asked_for_before_about_its_own_handles_alone() {
        let stamps = Stamps::new();
        let handles = [3, 4, 5, 6, 1 << 63 | 9].map(Handle);
        let before = stamps.now();
        let name = String::from("n");
        stamps.note(&[
            Change::Content { handle: handles[0], open: false },
            Change::Entry { parent: handles[1], name, fate: Fate::Removed(handles[2]) },
            Change::Unneeded { handle: handles[3], places: Vec::new() },
        ]);
        let unchanged = handles.map(|handle| stamps.is_unchanged(handle, before));
        assert_eq!(unchanged, [false, false, false, true, true]);
        let after = stamps.now();
        assert!(handles.iter().all(|handle| stamps.is_unchanged(*handle, after)));
        let (parent, name) = (handles[1], String::from("n"));
        stamps.note(&[Change::Entry { parent, name, fate: Fate::Doubtful }]);
        assert!(!stamps.is_unchanged(handles[1], after) && stamps.is_unchanged(handles[2], after));
    }
}
