//! Reading directories that the kernel has opened without a word.
//!
//! What the kernel keeps of a directory's entries it reads again by itself, for as long as it may keep
//! the directory's attributes. Where it may not, it asks for them before each reading from the start,
//! and that is when its copy is dropped.

use super::held::Stream;
use super::server::Server;
use crate::{Handle, HandleError, Vfs};
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Directories whose reading is under way. One that was left half-way is opened again at the place.
const MOST: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Entries of a directory that are read for the first time before the kernel is to list it again.
const READ_BEFORE_RELISTING: u32 = 4;

/// `None` once the session is over.
type Held<V> = Option<LruCache<u64, Arc<Stream<V>>>>;

#[derive(Debug)]
pub(super) struct Listings<V: Vfs> {
    held: Mutex<Held<V>>,
    /// Entries that were read for the first time, by directory, since it was listed.
    read: Mutex<HashMap<u64, u32>>,
}

impl<V: Vfs> Listings<V> {
    pub fn new() -> Listings<V> {
        let held = Mutex::new(Some(LruCache::new(MOST)));
        Listings { held, read: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held<V>> {
        self.held.lock()
    }

    fn get(&self, directory: Handle) -> Option<Arc<Stream<V>>> {
        self.lock().as_mut().and_then(|held| held.get(&directory.0).cloned())
    }

    /// Those that are let go are released with the lock free.
    pub fn put(&self, directory: Handle, stream: Arc<Stream<V>>) {
        let old = self.lock().as_mut().and_then(|held| held.push(directory.0, stream));
        drop(old);
    }

    /// Counts an entry of this directory that was read. True once for each listing, when it were better
    /// fetched again.
    fn was_read(&self, directory: Handle) -> bool {
        let mut read = self.read.lock();
        let Some(files) = read.get_mut(&directory.0) else { return false };
        *files += 1;
        let enough = *files >= READ_BEFORE_RELISTING;
        if enough {
            read.remove(&directory.0);
        }
        enough
    }

    /// Notes that a directory is listed from its start.
    pub fn begin(&self, directory: Handle) {
        self.read.lock().insert(directory.0, 0);
    }

    /// The kernel holds this directory no more.
    pub fn forget(&self, directory: Handle) {
        self.read.lock().remove(&directory.0);
        self.remove(directory);
    }

    pub fn remove(&self, directory: Handle) {
        let old = self.lock().as_mut().and_then(|held| held.pop(&directory.0));
        drop(old);
    }

    pub fn close(&self) {
        let held = self.lock().take();
        drop(held);
    }
}

impl<V: Vfs> Server<V> {
    /// The entries of a directory to read after `offset`, anew from the start.
    pub(super) async fn listing(
        &self,
        directory: Handle,
        offset: u64,
    ) -> Result<Arc<Stream<V>>, HandleError> {
        if offset > 0
            && let Some(stream) = self.listings.get(directory)
        {
            return Ok(stream);
        }
        let opened = self.vfs.opendir(directory).await?;
        let stream = Stream::new(&self.vfs, opened.id);
        if !opened.keep_cache {
            self.drop_listing(directory).await;
        }
        self.references.begin(directory);
        self.listings.put(directory, stream.clone());
        Ok(stream)
    }

    /// Notes that the kernel has read a file, or listed a directory, for the first time. From then on it asks for its attributes
    /// again, because the time of the last access may have changed (fuse_invalidate_atime in fs/fuse/dir.c), which
    /// it does on any superblock that is not read-only, whatever the mount is. One listing brings those of
    /// all entries of a directory, so it is fetched again before the next walk.
    pub(super) fn relist_around(&self, entry: Handle) {
        for (directory, _) in self.vfs.places(entry) {
            if self.listings.was_read(directory) {
                self.notifier.drop_pages(self.notifier.node(directory));
            }
        }
    }

    /// Has the kernel drop what it keeps of a directory's entries.
    ///
    /// Away from the threads that answer requests: the kernel waits for whoever is copying such entries
    /// out, and who copies them to memory that is a file of this mount waits for an answer.
    pub(super) async fn drop_listing(&self, directory: Handle) {
        if directory != self.vfs.root() && !self.references.has_begun(directory) {
            return;
        }
        let (notifier, node) = (self.notifier.clone(), self.notifier.node(directory));
        let told = self.runtime.spawn_blocking(move || notifier.wire.inval_inode(node, true));
        // An error means that the runtime ends, and the mount with it.
        let _ = told.await;
    }
}
