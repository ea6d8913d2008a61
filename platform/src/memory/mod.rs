//! A file system held in memory: the reference implementation of [`Vfs`] for tests of back ends
//! and for benchmarks.
//!
//! It behaves as the contract says a core behaves, with nothing upstream: objects appear at any
//! number of positions, content changes underneath its readers, and each mutation tells the
//! subscribed back ends what their kernels must drop. A node can be told to fail, to be slow, to
//! hide its size until asked, or to forbid caching.
//!
//! Invariant: no lock is held while a future is pending, and changes are sent after the state
//! has moved.

mod mutate;
mod tree;

pub use mutate::New;

use crate::{
    Attr, Change, DirPage, Entry, Error, Handle, HandleError, Inode, OpenFile, OpenId, Opened,
    Result, Statfs, Vfs,
};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
pub use tree::BUILT;
use tree::Tree;

/// The identity of the root directory.
pub const ROOT: Inode = Inode(1);

/// See the module's description. Shared as `Arc<Memory>`: a back end holds one, a test mutates
/// through another.
#[derive(Debug)]
pub struct Memory {
    tree: Mutex<Tree>,
    listeners: Mutex<Vec<Sender<Vec<Change>>>>,
    calls: Counters,
}

macro_rules! counters {
    ($($name:ident),*) => {
        #[derive(Debug, Default)]
        struct Counters { $($name: AtomicU64),* }

        /// How often each call reached the [`Memory`] since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Calls { $(pub $name: u64),* }

        impl Counters {
            fn snapshot(&self) -> Calls {
                Calls { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }

        impl Calls {
            /// All calls together.
            pub fn total(&self) -> u64 { 0 $(+ self.$name)* }

            /// What was called since `earlier`.
            pub fn since(&self, earlier: &Calls) -> Calls {
                Calls { $($name: self.$name - earlier.$name),* }
            }
        }
    };
}
counters!(lookup, getattr, readlink, open, read, opendir, readdir);

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Memory {
    /// A file system that holds its root only.
    pub fn new() -> Arc<Memory> {
        Arc::new(Memory {
            tree: Mutex::new(Tree::new()),
            listeners: Mutex::default(),
            calls: Counters::default(),
        })
    }

    /// How often each call was made so far.
    pub fn calls(&self) -> Calls {
        self.calls.snapshot()
    }

    /// References that back ends hold, of all handles together.
    pub fn references(&self) -> u64 {
        self.tree().references()
    }

    /// Files and directories that are open.
    pub fn open_count(&self) -> usize {
        self.tree().opens.len()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock()
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Sender<Vec<Change>>>> {
        self.listeners.lock()
    }

    /// Applies one mutation and tells what it changed.
    fn mutate<T>(
        &self,
        change: impl FnOnce(&mut Tree, &mut Vec<Change>) -> Result<T>,
    ) -> Result<T> {
        // Held across both steps, so that two mutations are told in the order they were made.
        // Sending on an unbounded channel does not wait.
        let mut listeners = self.listeners();
        let mut changes = Vec::new();
        let result = change(&mut self.tree(), &mut changes)?;
        if !changes.is_empty() {
            listeners.retain(|listener| listener.send(changes.clone()).is_ok());
        }
        Ok(result)
    }

    /// The delay and then the error that a test asked for on the object of `handle`.
    async fn suffer(&self, handle: Handle) -> Result<()> {
        let (delay, error) = self.tree().trouble(handle)?;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        error.map_or(Ok(()), Err)
    }
}

/// What a node does out of the ordinary. Changing it is not a change of the tree.
impl Memory {
    /// Every call on `inode` fails with `error`, for a directory also the lookups in it.
    pub fn set_error(&self, inode: Inode, error: Option<Error>) -> Result<()> {
        self.tree().node_mut(inode).map(|node| node.error = error)
    }

    /// Every listing of the directory `inode` fails with `error`, and nothing else of it.
    pub fn set_listing_error(&self, inode: Inode, error: Option<Error>) -> Result<()> {
        self.tree().directory(inode).map(|directory| directory.error = error)
    }

    /// Every call on `inode` takes this long, for a directory also the lookups in it.
    pub fn set_delay(&self, inode: Inode, delay: Duration) -> Result<()> {
        self.tree().node_mut(inode).map(|node| node.delay = delay)
    }

    /// Whether answers about `inode` (and, for a directory, about the names in it) may be kept.
    pub fn set_cacheable(&self, inode: Inode, cacheable: bool) -> Result<()> {
        self.tree().node_mut(inode).map(|node| node.cacheable = cacheable)
    }

    /// Entries of `inode` come without attributes until `getattr` or `open` has asked for it.
    pub fn hide_size(&self, inode: Inode) -> Result<()> {
        self.tree().node_mut(inode).map(|node| node.size_known = false)
    }
}

impl Vfs for Memory {
    fn root(&self) -> Handle {
        Handle(ROOT.0)
    }

    async fn lookup(&self, parent: Handle, name: &str) -> Result<Option<Entry>> {
        count(&self.calls.lookup);
        self.suffer(parent).await?;
        self.tree().lookup(parent, name)
    }

    async fn getattr(&self, handle: Handle) -> Result<Attr> {
        count(&self.calls.getattr);
        self.suffer(handle).await?;
        self.tree().getattr(handle)
    }

    async fn readlink(&self, handle: Handle) -> Result<Bytes> {
        count(&self.calls.readlink);
        self.suffer(handle).await?;
        self.tree().readlink(handle)
    }

    async fn open(&self, handle: Handle) -> Result<OpenFile> {
        count(&self.calls.open);
        self.suffer(handle).await?;
        self.tree().open(handle)
    }

    fn edition(&self, handle: Handle) -> Option<u64> {
        self.tree().edition(handle)
    }

    async fn read(&self, open: OpenId, offset: u64, size: u32) -> Result<Bytes> {
        count(&self.calls.read);
        let content = self.tree().snapshot(open)?;
        let length = content.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(length);
        let end = start.saturating_add(size as usize).min(length);
        Ok(content.slice(start..end))
    }

    async fn opendir(&self, handle: Handle) -> Result<Opened, HandleError> {
        count(&self.calls.opendir);
        self.suffer(handle).await?;
        Ok(self.tree().opendir(handle)?)
    }

    async fn readdir(
        &self,
        open: OpenId,
        cookie: u64,
        limit: usize,
        plus: bool,
    ) -> Result<DirPage, HandleError> {
        count(&self.calls.readdir);
        Ok(self.tree().readdir(open, cookie, limit, plus)?)
    }

    fn release(&self, open: OpenId) {
        self.tree().release(open);
    }

    fn parent(&self, handle: Handle) -> Result<(Handle, Inode)> {
        self.tree().parent(handle)
    }

    fn forget(&self, handle: Handle, count: u64) {
        self.tree().forget(handle, count);
    }

    fn statfs(&self) -> Statfs {
        self.tree().statfs()
    }

    fn changes(&self) -> Receiver<Vec<Change>> {
        let (sender, receiver) = channel();
        self.listeners().push(sender);
        receiver
    }

    fn places(&self, handle: Handle) -> Vec<(Handle, String)> {
        self.tree().places(handle)
    }

    fn hold(&self, handle: Handle) -> bool {
        self.tree().hold(handle)
    }

    fn recall(&self, parent: Handle, name: &str) -> Option<Entry> {
        self.tree().lookup(parent, name).ok().flatten()
    }

    fn silence_opens(&self) {
        self.tree().silent = true;
    }
}

#[cfg(test)]
mod tests;
