//! Files and directories that are open while clients read them. The protocol has no open and no
//! close, so an object is opened at its first READ or READDIR and closed when nobody has read it for
//! a while, or when it changes.
//!
//! Meanwhile every READ is answered from what was opened, with its attributes: the pieces of one
//! reading fit together, and fit what GETATTR says.

use super::handle::Place;
use crate::{Attr, Handle, OpenFile, OpenId, Vfs};
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long something stays open after it was last read.
pub(super) const IDLE: Duration = Duration::from_secs(2);

/// An open of the file system, released when its last user lets go.
#[derive(Debug)]
pub(super) struct Open<V: Vfs> {
    vfs: Arc<V>,
    pub id: OpenId,
    /// What was opened.
    pub handle: Handle,
}

impl<V: Vfs> Open<V> {
    pub fn new(vfs: &Arc<V>, id: OpenId, handle: Handle) -> Open<V> {
        Open { vfs: vfs.clone(), id, handle }
    }
}

impl<V: Vfs> Drop for Open<V> {
    fn drop(&mut self) {
        self.vfs.release(self.id);
    }
}

/// A file being read.
#[derive(Debug)]
pub(super) struct File<V: Vfs> {
    pub open: Open<V>,
    /// It may grow while it is open.
    pub direct: bool,
    /// Bytes of memory that it takes.
    pub held: u64,
    attr: Mutex<Attr>,
}

impl<V: Vfs> File<V> {
    pub fn new(open: Open<V>, opened: &OpenFile, attr: Attr) -> File<V> {
        File { open, direct: opened.direct, held: opened.held, attr: attr.into() }
    }

    /// It is read in pieces, and may be larger than anybody wants to read for a comparison.
    pub fn is_in_pieces(&self) -> bool {
        self.held < self.attr().size
    }

    /// Of what was opened.
    pub fn attr(&self) -> Attr {
        self.attr.lock().clone()
    }

    pub fn set_attr(&self, attr: Attr) {
        *self.attr.lock() = attr;
    }

    /// Another content can be told from this one by its attributes.
    pub fn differs(&self, attr: &Attr) -> bool {
        let own = self.attr();
        (own.size, own.modified) != (attr.size, attr.modified)
    }
}

#[derive(Debug)]
struct Slot<T> {
    stream: Arc<T>,
    weight: u64,
    used: Instant,
}

#[derive(Debug)]
struct Kept<T> {
    slots: LruCache<Place, Slot<T>>,
    weight: u64,
}

/// What is open, bounded in number and in weight; the latest is kept whatever it weighs.
#[derive(Debug)]
pub(super) struct Streams<T> {
    kept: Mutex<Kept<T>>,
    count: usize,
    weight: u64,
}

impl<T> Streams<T> {
    pub fn new(count: usize, weight: u64) -> Streams<T> {
        let kept = Kept { slots: LruCache::unbounded(), weight: 0 };
        Streams { kept: kept.into(), count, weight }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock()
    }

    pub fn get(&self, place: Place) -> Option<Arc<T>> {
        let mut kept = self.kept();
        let slot = kept.slots.get_mut(&place)?;
        slot.used = Instant::now();
        Some(slot.stream.clone())
    }

    pub fn put(&self, place: Place, stream: Arc<T>, weight: u64) {
        let mut out = Vec::new();
        let mut kept = self.kept();
        out.extend(kept.take(place));
        kept.weight += weight;
        kept.slots.put(place, Slot { stream, weight, used: Instant::now() });
        while kept.slots.len() > 1 && (kept.slots.len() > self.count || kept.weight > self.weight) {
            let Some(oldest) = kept.slots.peek_lru().map(|(place, _)| *place) else { break };
            out.extend(kept.take(oldest));
        }
        drop(kept);
        // Released here, under no lock.
        drop(out);
    }

    pub fn drop_one(&self, place: Place) {
        let taken = self.kept().take(place);
        drop(taken);
    }

    /// Closes what was not used since `before`.
    pub fn sweep(&self, before: Instant) {
        let mut out = Vec::new();
        let mut kept = self.kept();
        while let Some((&place, _)) = kept.slots.peek_lru().filter(|(_, slot)| slot.used < before) {
            out.extend(kept.take(place));
        }
        drop(kept);
        drop(out);
    }
}

impl<T> Kept<T> {
    fn take(&mut self, place: Place) -> Option<Arc<T>> {
        let slot = self.slots.pop(&place)?;
        self.weight -= slot.weight;
        Some(slot.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::super::handle::Position;
    use super::*;
    use crate::Inode;

    fn place(number: u64) -> Place {
        Place { inode: Inode(number), position: Position::ROOT }
    }

    #[test]
    fn number_and_weight_are_bounded_and_the_least_recently_used_goes_first() {
        let streams = Streams::new(3, 100);
        for number in 1..=3 {
            streams.put(place(number), Arc::new(number), 10);
        }
        assert!(streams.get(place(1)).is_some());
        streams.put(place(4), Arc::new(4), 10);
        assert!(streams.get(place(2)).is_none() && streams.get(place(1)).is_some());
        streams.put(place(5), Arc::new(5), 1000);
        assert_eq!(*streams.get(place(5)).unwrap(), 5);
        assert!([1, 3, 4].into_iter().all(|number| streams.get(place(number)).is_none()));
        streams.put(place(6), Arc::new(6), 10);
        assert!(streams.get(place(5)).is_none());
    }

    #[test]
    fn what_nobody_reads_is_closed() {
        let streams = Streams::new(3, 100);
        streams.put(place(1), Arc::new(1), 10);
        let before = Instant::now();
        streams.put(place(2), Arc::new(2), 10);
        streams.sweep(before);
        assert!(streams.get(place(1)).is_none() && streams.get(place(2)).is_some());
        streams.drop_one(place(2));
        assert!(streams.get(place(2)).is_none());
    }
}
