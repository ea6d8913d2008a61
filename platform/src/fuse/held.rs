//! What the kernel holds of us: references to handles.
//!
//! The kernel gives references back one by one while it lives, but not when it unmounts; then they
//! are returned from here. The same table tells the notifier whether an inode that the kernel
//! does not know yet is on its way there.

use crate::{Attr, Handle, Inode, Kind, OpenId, Vfs};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

const SHARDS: usize = 32;

/// What the kernel holds of one handle.
#[derive(Clone, Copy, Debug)]
struct Reference {
    count: u64,
    /// Its content was opened for a kernel that does not say so (contents.rs).
    begun: bool,
    /// The stamp when the request began whose answer told the size last.
    told_at: Option<u64>,
    /// An answer went out that knew no size, and may overtake one that does.
    blank: bool,
    /// The size that the kernel knows for certain, whatever answers are on their way.
    settled: Option<u64>,
    last: Shown,
    /// Another process has delivered it, and the kernel may have given it back meanwhile.
    before: bool,
}

/// What the kernel was told last of one handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub inode: Inode,
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    pub modified: SystemTime,
}

impl Shown {
    pub fn new(inode: Inode, kind: Kind) -> Shown {
        Shown { inode, kind, size: 0, modified: SystemTime::UNIX_EPOCH }
    }
}

#[derive(Debug, Default)]
struct Shard {
    references: HashMap<u64, Reference>,
    /// The session is over: nothing is delivered any more.
    closed: bool,
}

#[derive(Debug)]
pub(super) struct References {
    shards: [Mutex<Shard>; SHARDS],
}

impl References {
    pub fn new() -> References {
        References { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard(&self, handle: Handle) -> MutexGuard<'_, Shard> {
        // Handles may be hashes or small numbers; fold both ends in.
        let at = (handle.0 ^ handle.0 >> 32 ^ handle.0 >> 57) as usize % SHARDS;
        self.shards[at].lock()
    }

    /// Records one reference that is about to be delivered. False once the session is over: the
    /// caller forgets it itself.
    pub fn add(&self, handle: Handle, inode: Inode, kind: Kind) -> bool {
        self.enter(handle, inode, kind, false)
    }

    /// Notes what another process has delivered, however often.
    pub fn add_from_before(&self, handle: Handle, inode: Inode, kind: Kind) {
        self.enter(handle, inode, kind, true);
    }

    fn enter(&self, handle: Handle, inode: Inode, kind: Kind, before: bool) -> bool {
        let mut shard = self.shard(handle);
        if shard.closed {
            return false;
        }
        let last = Shown::new(inode, kind);
        let (begun, told_at, blank, settled) = (false, None, false, None);
        let fresh = Reference { count: 0, begun, told_at, blank, settled, last, before };
        let held = shard.references.entry(handle.0).or_insert(fresh);
        held.count += 1;
        held.before &= before;
        true
    }

    /// Takes up to `count` references off and says how many, for the caller to forget: those that
    /// [`References::close`] has returned are not forgotten twice.
    pub fn sub(&self, handle: Handle, count: u64) -> u64 {
        let mut shard = self.shard(handle);
        let Some(reference) = shard.references.get_mut(&handle.0) else { return 0 };
        let taken = count.min(reference.count);
        reference.count -= taken;
        if reference.count == 0 {
            shard.references.remove(&handle.0);
        }
        taken
    }

    /// Notes that the content of a file was opened.
    pub fn begin(&self, handle: Handle) {
        if let Some(reference) = self.shard(handle).references.get_mut(&handle.0) {
            reference.begun = true;
        }
    }

    pub fn has_begun(&self, handle: Handle) -> bool {
        self.shard(handle).references.get(&handle.0).is_some_and(|held| held.begun)
    }

    /// Whether an answer that delivers it may be on its way to the kernel still.
    pub fn may_be_on_its_way(&self, handle: Handle) -> bool {
        let shard = self.shard(handle);
        shard.references.get(&handle.0).is_some_and(|held| !held.before)
    }

    pub fn contains(&self, handle: Handle) -> bool {
        self.shard(handle).references.contains_key(&handle.0)
    }

    pub fn is_directory(&self, handle: Handle) -> bool {
        self.shown(handle).is_some_and(|shown| shown.kind == Kind::Directory)
    }

    /// What the kernel was told of a handle that it holds.
    pub fn shown(&self, handle: Handle) -> Option<Shown> {
        self.shard(handle).references.get(&handle.0).map(|held| held.last)
    }

    /// Notes what an answer is about to tell the kernel; `stamp` is from before its request was looked
    /// at.
    pub fn tell(&self, handle: Handle, attr: &Attr, stamp: u64) {
        let size = attr.size;
        if let Some(reference) = self.shard(handle).references.get_mut(&handle.0) {
            reference.told_at = Some(stamp);
            let (inode, kind, modified) = (attr.inode, attr.kind, attr.modified);
            reference.last = Shown { inode, kind, size, modified };
        }
    }

    /// What the kernel was told last, for an answer that does not know better: the kernel would cut a mapping
    /// of a file at a smaller size. If it was told none yet, the answer tells that of an empty file.
    pub fn again(&self, handle: Handle) -> Option<Shown> {
        let mut shard = self.shard(handle);
        let held = shard.references.get_mut(&handle.0)?;
        held.blank |= held.told_at.is_none() && held.settled.is_none();
        Some(held.last)
    }

    /// The size that the kernel was told last, in bytes; `None` if it was told none yet.
    pub fn told_size(&self, handle: Handle) -> Option<u64> {
        let shard = self.shard(handle);
        let held = shard.references.get(&handle.0)?;
        held.told_at.map(|_| held.last.size)
    }

    /// Whether the kernel may know no size, or none that it was told since. It drops an answer that an
    /// invalidation overtakes; where the file `is_unchanged` since the stamp of that answer, none has. It drops
    /// one as well that the answer to a lookup of the file overtakes, and keeps what that one says.
    pub fn may_lack_size(&self, handle: Handle, is_unchanged: impl Fn(u64) -> bool) -> bool {
        let shard = self.shard(handle);
        let held = shard.references.get(&handle.0);
        held.is_some_and(|held| {
            let told = held.told_at.is_some_and(is_unchanged);
            held.settled.is_none() && (held.blank || !told)
        })
    }

    /// Notes the size that the kernel is about to be made to know, in bytes: an answer from here on says the
    /// same.
    pub fn expect(&self, handle: Handle, size: u64) {
        if let Some(reference) = self.shard(handle).references.get_mut(&handle.0) {
            reference.last.size = size;
        }
    }

    /// Notes that the kernel knows a size for certain, in bytes; with `None` that it may know another.
    pub fn settle(&self, handle: Handle, size: Option<u64>) {
        if let Some(reference) = self.shard(handle).references.get_mut(&handle.0) {
            reference.settled = size;
            reference.last.size = size.unwrap_or(reference.last.size);
        }
    }

    /// The size that the kernel knows for certain, in bytes.
    pub fn settled(&self, handle: Handle) -> Option<u64> {
        self.shard(handle).references.get(&handle.0).and_then(|held| held.settled)
    }

    /// Ends the session: what is still held, to be forgotten by the caller.
    pub fn close(&self) -> Vec<(Handle, u64)> {
        let mut left = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.closed = true;
            left.extend(shard.references.drain().map(|(h, held)| (Handle(h), held.count)));
        }
        left
    }
}

/// An open file or directory; released when its last user lets go.
pub(super) struct Stream<V: Vfs> {
    vfs: Arc<V>,
    pub id: OpenId,
}

impl<V: Vfs> Stream<V> {
    pub fn new(vfs: &Arc<V>, id: OpenId) -> Arc<Stream<V>> {
        Arc::new(Stream { vfs: vfs.clone(), id })
    }
}

impl<V: Vfs> Drop for Stream<V> {
    fn drop(&mut self) {
        self.vfs.release(self.id);
    }
}

impl<V: Vfs> fmt::Debug for Stream<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_left_at_the_end_are_returned_once_and_later_ones_refused() {
        let held = References::new();
        assert!(held.add(Handle(7), Inode(7), Kind::File));
        assert!(held.add(Handle(7), Inode(7), Kind::File));
        assert!(held.add(Handle(8), Inode(8), Kind::Directory));
        assert_eq!(held.sub(Handle(8), 1), 1);
        assert!(!held.contains(Handle(8)));
        assert_eq!(held.close(), [(Handle(7), 2)]);
        assert_eq!(held.sub(Handle(7), 1), 0);
        assert!(!held.add(Handle(9), Inode(9), Kind::File));
        assert!(held.close().is_empty());
    }

    #[test]
    fn a_size_told_by_an_answer_that_may_have_been_overtaken_is_not_relied_on() {
        let held = References::new();
        held.add(Handle(5), Inode(5), Kind::File);
        assert!(held.may_lack_size(Handle(5), |told_at| told_at >= 7));
        let (inode, kind, modified) = (Inode(5), Kind::File, SystemTime::UNIX_EPOCH);
        let attr = Attr { inode, kind, size: 3, modified, cacheable: true };
        held.tell(Handle(5), &attr, 7);
        assert!(!held.may_lack_size(Handle(5), |told_at| told_at >= 7));
        assert!(held.may_lack_size(Handle(5), |told_at| told_at >= 8));
        held.settle(Handle(5), Some(3));
        assert!(!held.may_lack_size(Handle(5), |told_at| told_at >= 9));
    }

    #[test]
    fn an_answer_without_a_size_may_overtake_one_that_tells_it() {
        let held = References::new();
        held.add(Handle(5), Inode(5), Kind::File);
        // Somebody looks the file up, and the kernel hears of it late.
        assert_eq!(held.again(Handle(5)).map(|shown| shown.size), Some(0));
        let (inode, kind, modified) = (Inode(5), Kind::File, SystemTime::UNIX_EPOCH);
        let attr = Attr { inode, kind, size: 3, modified, cacheable: true };
        held.tell(Handle(5), &attr, 7);
        assert!(held.may_lack_size(Handle(5), |_| true));
        held.expect(Handle(5), 3);
        assert_eq!(held.again(Handle(5)).map(|shown| shown.size), Some(3));
        held.settle(Handle(5), Some(3));
        assert!(!held.may_lack_size(Handle(5), |_| true));
        // From then on each answer knows it.
        held.add(Handle(6), Inode(6), Kind::File);
        held.tell(Handle(6), &Attr { inode: Inode(6), ..attr }, 7);
        assert_eq!(held.again(Handle(6)).map(|shown| shown.size), Some(3));
        assert!(!held.may_lack_size(Handle(6), |_| true));
    }
}
