//! Reading files that the kernel has opened without a word.
//!
//! Once an open is answered ENOSYS the kernel opens every file by itself, keeps its pages, and says
//! nothing when it is closed: a warm read costs no request. What is left is the read of a page that it
//! does not hold, by the node alone. So the file is opened here at the first such read and stays open
//! until all of it was delivered; from then on the kernel has it. The [`Vfs`] knows that a handle may
//! be open all the time ([`Vfs::silence_opens`]) and gives a file whose content changes another one.
//!
//! No write comes here: a mount that the kernel itself keeps read-only refuses the open, and in another one the
//! write is refused, or the open where others may enter ([`super::filesystem::OmniFilesystem`]).

use super::held::{Shown, Stream};
use super::owed::Owed;
use super::server::Server;
use super::wire::Told;
use crate::{Attr, Error, Handle, Kind, OpenId, Result, Vfs};
use fuser::ReplyData;
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Files that were read in part, and the bytes of them all. Each keeps its content in memory; who
/// comes back to an older one reads it again, and is refused where it is not the same any more.
const MOST_FILES: usize = 1024;
const MOST_BYTES: u64 = 256 << 20;
/// How long a read that has found a page before it was dropped may take to look how long the file is:
/// without a pause 25 s of ten followers beside three busy loops on two cores sufficed to show NUL bytes,
/// with 5 ms 35 s beside eight did not.
const GRACE: Duration = Duration::from_millis(5);

/// One file that is being read.
pub(super) struct Content<V: Vfs> {
    stream: Arc<Stream<V>>,
    /// What it holds.
    bytes: u64,
    /// It may grow while it is read.
    volatile: bool,
    progress: Mutex<Progress>,
    /// Held by an answer about the size of one that may grow until the kernel has it.
    telling: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Progress {
    /// Bytes.
    size: u64,
    delivered: u64,
    /// Its last byte was delivered.
    ended: bool,
    /// Who had read all of it has come once more.
    at_end: bool,
}

impl Progress {
    fn of(size: u64) -> Progress {
        Progress { size, delivered: 0, ended: false, at_end: false }
    }
}

impl<V: Vfs> Content<V> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }

    /// Counts what was delivered. Whether that is all.
    fn deliver(&self, offset: u64, bytes: usize) -> bool {
        let mut progress = self.progress();
        progress.delivered += bytes as u64;
        progress.ended |= offset.saturating_add(bytes as u64) >= progress.size;
        progress.delivered >= progress.size
    }

    fn size(&self) -> u64 {
        self.progress().size
    }

    /// Whether a read is to be told of a size that is asked for anew: not the first one at the end,
    /// which is how every reader finds it.
    fn asks_again(&self) -> bool {
        let mut progress = self.progress();
        progress.ended && std::mem::replace(&mut progress.at_end, true)
    }

    fn has_size(&self, size: u64) {
        let mut progress = self.progress();
        if progress.size != size {
            // The kernel drops at least the page that holds the end of a file whose size has changed.
            *progress = Progress::of(size);
        }
    }
}

impl<V: Vfs> fmt::Debug for Content<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Content").field(&self.stream).finish()
    }
}

/// The files that are being read, by handle.
#[derive(Debug)]
pub(super) struct Contents<V: Vfs> {
    /// `None` once the session is over.
    held: Mutex<Option<Held<V>>>,
}

#[derive(Debug)]
struct Held<V: Vfs> {
    files: LruCache<u64, Arc<Content<V>>>,
    bytes: u64,
}

impl<V: Vfs> Held<V> {
    fn pop(&mut self, handle: Handle) -> Option<Arc<Content<V>>> {
        let content = self.files.pop(&handle.0)?;
        self.bytes -= content.bytes;
        Some(content)
    }

    /// Puts one in, and gives those for which there is no room beside it.
    fn push(&mut self, handle: Handle, content: &Arc<Content<V>>) -> Vec<Arc<Content<V>>> {
        let mut out = Vec::new();
        while self.files.len() >= MOST_FILES || self.bytes + content.bytes > MOST_BYTES {
            let Some((_, old)) = self.files.pop_lru() else { break };
            self.bytes -= old.bytes;
            out.push(old);
        }
        self.bytes += content.bytes;
        self.files.put(handle.0, content.clone());
        out
    }
}

impl<V: Vfs> Contents<V> {
    pub fn new() -> Contents<V> {
        let held = Held { files: LruCache::unbounded(), bytes: 0 };
        Contents { held: Mutex::new(Some(held)) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held<V>>> {
        self.held.lock()
    }

    fn get(&self, handle: Handle) -> Option<Arc<Content<V>>> {
        self.lock().as_mut().and_then(|held| held.files.get(&handle.0).cloned())
    }

    /// Keeps a file that has just been opened, or gives the one that another read has opened.
    fn keep(&self, handle: Handle, opened: Arc<Content<V>>) -> Arc<Content<V>> {
        let mut held = self.lock();
        let Some(contents) = held.as_mut() else { return opened };
        if let Some(known) = contents.files.get(&handle.0) {
            return known.clone();
        }
        let old = contents.push(handle, &opened);
        // Released with the lock free.
        drop(held);
        drop(old);
        opened
    }

    pub fn remove(&self, handle: Handle) {
        let old = self.lock().as_mut().and_then(|held| held.pop(handle));
        drop(old);
    }

    pub fn close(&self) {
        let held = self.lock().take();
        drop(held);
    }
}

impl<V: Vfs> Server<V> {
    async fn content(&self, handle: Handle) -> Result<Arc<Content<V>>> {
        if let Some(content) = self.contents.get(handle) {
            return Ok(content);
        }
        let opened = self.vfs.open(handle).await?;
        self.references.begin(handle);
        let content = Arc::new(Content {
            stream: Stream::new(&self.vfs, opened.id),
            bytes: opened.held,
            volatile: opened.direct,
            progress: Mutex::new(Progress::of(opened.size)),
            telling: tokio::sync::Mutex::new(()),
        });
        Ok(self.contents.keep(handle, content))
    }

    /// The size that a read is about to be cut at is that of the content it will get, or has got.
    pub(super) async fn attr_to_read(&self, handle: Handle) -> Result<Attr> {
        if self.references.has_begun(handle) && self.contents.get(handle).is_none() {
            return self.attr_grown(handle).await;
        }
        let content = self.content(handle).await?;
        if content.volatile {
            return self.attr_growing(handle, &content, true).await;
        }
        let stamps = &self.notifier.stamps;
        if self.references.may_lack_size(handle, |told_at| stamps.is_unchanged(handle, told_at)) {
            self.settle_size(handle, content.stream.id, content.size()).await?;
        }
        self.attr_grown(handle).await
    }

    pub(super) async fn attr_now(&self, handle: Handle) -> Result<Attr> {
        match self.contents.get(handle).filter(|content| content.volatile) {
            Some(content) => self.attr_growing(handle, &content, false).await,
            None => self.attr_grown(handle).await,
        }
    }

    /// The attributes of a file whose content stays, unless it is found to have grown under those who have it
    /// open: then the kernel drops the page with the old end before it is told of the new one.
    async fn attr_grown(&self, handle: Handle) -> Result<Attr> {
        let attr = self.vfs.getattr(handle).await?;
        let told = self.references.told_size(handle);
        let grown = told.filter(|told| *told < attr.size && attr.kind != Kind::Directory);
        if let Some(end) = grown {
            if self.contents.get(handle).is_some_and(|content| content.size() < attr.size) {
                self.contents.remove(handle);
            }
            let content = self.content(handle).await?;
            // Of several who ask, one has the kernel told.
            let _telling = content.telling.lock().await;
            let told = self.references.told_size(handle).unwrap_or(end);
            if told < attr.size {
                self.references.settle(handle, Some(told));
                self.lengthen(handle, content.stream.id, attr.size).await?;
            }
        }
        Ok(attr)
    }

    /// `reading`: by a read that is about to begin.
    async fn attr_growing(
        &self,
        handle: Handle,
        content: &Content<V>,
        reading: bool,
    ) -> Result<Attr> {
        let _telling = content.telling.lock().await;
        let shown = self.references.shown(handle).filter(|_| reading && !content.asks_again());
        let attr = match shown {
            Some(Shown { inode, kind, modified, .. }) => {
                Attr { inode, kind, size: content.size(), modified, cacheable: false }
            }
            None => self.vfs.getattr(handle).await?,
        };
        content.has_size(attr.size);
        if self.references.settled(handle) != Some(attr.size) {
            self.lengthen(handle, content.stream.id, attr.size).await?;
        }
        Ok(attr)
    }

    /// Has the kernel know how long a file is now that grows while it is read. From an answer it would take
    /// the size first and drop its pages then (fuse_change_attributes in fs/fuse/inode.c), and who reads in
    /// between would find NUL bytes behind the old end. So the page with that end goes first: what is read
    /// from now on reaches at least as far as what the kernel is told after [`GRACE`].
    async fn lengthen(&self, handle: Handle, open: OpenId, size: u64) -> Result<()> {
        let before = self.references.settled(handle);
        self.references.settle(handle, None);
        let Some(last) = size.checked_sub(1) else { return Ok(()) };
        let byte = self.vfs.read(open, last, 1).await?;
        if byte.is_empty() {
            return Ok(());
        }
        let (notifier, references) = (self.notifier.clone(), self.references.clone());
        let from = before.filter(|&before| before < size).unwrap_or(0);
        let told = move || {
            let node = notifier.node(handle);
            if notifier.wire.inval_tail(node, from) == Told::Done {
                thread::sleep(GRACE);
                // An entry that is looked up from here on says the same.
                references.settle(handle, Some(size));
                if notifier.wire.store(node, last, &byte) != Told::Done {
                    references.settle(handle, None);
                }
            }
        };
        // An error means that the runtime ends, and the mount with it.
        let _ = self.runtime.spawn_blocking(told).await;
        Ok(())
    }

    pub async fn read(
        self: Arc<Self>,
        handle: Handle,
        offset: u64,
        size: u32,
        owed: Owed<ReplyData>,
    ) {
        match self.read_part(handle, offset, size).await {
            Ok(bytes) => owed.take().into_iter().for_each(|reply| reply.data(&bytes)),
            Err(error) => owed.refuse(super::attr::errno_by_handle(error)),
        }
    }

    async fn read_part(&self, handle: Handle, offset: u64, length: u32) -> Result<bytes::Bytes> {
        let mut content = self.content(handle).await?;
        let told = self.references.told_size(handle);
        if told.is_some_and(|told| content.size() < told) {
            // It may have grown since it was opened here.
            self.contents.remove(handle);
            content = self.content(handle).await?;
        }
        if !content.volatile && told.is_some_and(|told| told > content.size()) {
            // The content has changed since the kernel was told how long it is, and no event has said
            // so yet; by the name there is another handle now. One that is longer has only grown, or the core
            // would not have opened it by this handle.
            self.notifier.wire.inval_inode(self.notifier.node(handle), false);
            return Err(Error::Stale);
        }
        let bytes = self.vfs.read(content.stream.id, offset, length).await?;
        if content.deliver(offset, bytes.len()) && !content.volatile {
            self.contents.remove(handle);
            self.relist_around(handle);
        }
        Ok(bytes)
    }
}
