//! What the request handlers share: the file system, the runtime for answers that are not ready,
//! and the account of what the kernel was given.
//!
//! Runs on the event-loop threads and, for answers that had to wait, on the runtime's.

use super::attr::{NEVER, errno, errno_by_handle, file_type, keep};
use super::contents::Contents;
use super::held::{References, Stream};
use super::listings::Listings;
use super::notify::Notifier;
use super::owed::{Owed, Refuse, told_to_stop};
use super::watch::Desk;
use super::wire::Told;
use crate::owner::Owner;
use crate::{Attr, DirPage, Entry, Error, Handle, HandleError, Inode, Kind, OpenId, Result, Vfs};
use fuser::{
    Errno, FileHandle, Generation, INodeNo, ReplyAttr, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEntry, Request,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;
use tokio::runtime;

/// Node numbers are never used again for another object, so they need no generation.
pub(super) const GENERATION: Generation = Generation(0);
/// The number of everything that is open: what is read is known by its node.
pub(super) const UNKNOWN: FileHandle = FileHandle(0);
/// Entries asked for at a time. What does not fit in the kernel's buffer is given back and asked
/// for again; a buffer of 4 KiB holds about this many.
const PLUS_PAGE: usize = 24;
const PAGE: usize = 128;
/// Where the kernel's offsets stand after `.` and `..`; a cookie follows them by this much.
const AFTER_DOT: u64 = 1;
const AFTER_DOTS: u64 = 2;

#[derive(Debug)]
pub(super) struct Server<V: Vfs> {
    pub vfs: Arc<V>,
    pub runtime: runtime::Handle,
    pub owner: Owner,
    pub references: Arc<References>,
    pub contents: Contents<V>,
    pub listings: Listings<V>,
    pub notifier: Arc<Notifier>,
    pub desk: Arc<Desk>,
}

impl<V: Vfs> Server<V> {
    pub fn handle(&self, node: INodeNo) -> Handle {
        if node == INodeNo::ROOT { self.vfs.root() } else { Handle(node.0) }
    }

    /// Runs a handler on this thread as far as it goes; if it has to wait, the runtime finishes it, and the
    /// caller may be told to stop meanwhile (owed.rs).
    ///
    /// If a handler panics, or the runtime shuts down, the reply is dropped, which answers EIO, and this
    /// thread goes on.
    pub fn run<R: Refuse, F>(&self, request: &Request, reply: R, handler: impl FnOnce(Owed<R>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let owed = Owed::new(reply);
        let mut handler = Box::pin(handler(owed.clone()));
        let _inside = self.runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(&mut context))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => {
                let caller = request.pid();
                drop(self.runtime.spawn(async move {
                    tokio::select! {
                        biased;
                        () = &mut handler => return,
                        () = told_to_stop(caller) => owed.refuse(Errno::EINTR),
                    }
                    handler.await;
                }));
            }
            Err(_) => tracing::error!("a request handler panicked; it was answered with EIO"),
        }
    }

    /// Records the reference of an entry about to be delivered. False once the session is over.
    /// `stamp`: from before the entry was asked for.
    pub fn deliver(&self, entry: &Entry, stamp: u64) -> bool {
        let delivered = self.references.add(entry.handle, entry.inode, entry.kind);
        match &entry.attr {
            Some(attr) if delivered => self.references.tell(entry.handle, attr, stamp),
            Some(_) | None => {}
        }
        if !delivered {
            self.vfs.forget(entry.handle, 1);
        }
        delivered
    }

    /// Whether no change has overtaken an entry that was asked for at `stamp`, and that is delivered now.
    fn is_fresh(&self, parent: Handle, entry: &Entry, stamp: u64) -> bool {
        [parent, entry.handle].iter().all(|h| self.notifier.stamps.is_unchanged(*h, stamp))
    }

    /// The attributes to deliver with an entry, and whether the kernel may keep them.
    pub fn entry_attr(&self, entry: &Entry) -> (fuser::FileAttr, bool) {
        let (mut attr, kept) = self.owner.of_entry(entry.handle.0, entry);
        if entry.attr.is_none() && entry.kind != Kind::Directory {
            attr.size = self.references.again(entry.handle).map_or(0, |shown| shown.size);
        }
        (attr, kept)
    }

    /// Gives references that were delivered back to the file system.
    pub fn take_back(&self, handle: Handle, count: u64) {
        let taken = self.references.sub(handle, count);
        if taken > 0 {
            if !self.references.contains(handle) {
                self.contents.remove(handle);
                self.listings.forget(handle);
            }
            self.vfs.forget(handle, taken);
        }
    }

    pub async fn lookup(self: Arc<Self>, parent: Handle, name: String, owed: Owed<ReplyEntry>) {
        let stamp = self.notifier.stamps.now();
        let found = self.vfs.lookup(parent, &name).await;
        let Some(reply) = owed.take() else {
            return found.ok().flatten().iter().for_each(|entry| self.forget(entry));
        };
        match found {
            Ok(Some(entry)) => {
                if !self.deliver(&entry, stamp) {
                    return reply.error(Errno::ENODEV);
                }
                let (attr, kept) = self.entry_attr(&entry);
                let fresh = self.is_fresh(parent, &entry, stamp);
                let attr_ttl = keep(kept && fresh);
                // A kernel that asks whether a name still stands holds no lock meanwhile, so what it is
                // told of the name may overtake this.
                let ttl = keep(entry.cacheable && fresh);
                reply.entry_with_ttls(&attr_ttl, &ttl, &attr, GENERATION);
            }
            // Node number 0: there is no such name, for as long as the timeout says.
            Ok(None) => {
                let none = self.owner.attr(0, Kind::File, 0, SystemTime::UNIX_EPOCH);
                let ttl = keep(self.notifier.stamps.is_unchanged(parent, stamp));
                reply.entry_with_ttls(&NEVER, &ttl, &none, GENERATION);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    /// `reading`: by a read that is about to begin.
    pub async fn getattr(self: Arc<Self>, handle: Handle, reading: bool, owed: Owed<ReplyAttr>) {
        let stamp = self.notifier.stamps.now();
        let found =
            if reading { self.attr_to_read(handle).await } else { self.attr_now(handle).await };
        match found {
            Ok(attr) => {
                if attr.kind == Kind::Directory && !attr.cacheable {
                    self.drop_listing(handle).await;
                }
                let Some(reply) = owed.take() else { return };
                self.references.tell(handle, &attr, stamp);
                reply.attr(&keep(attr.cacheable), &self.owner.of(&attr));
            }
            // A kernel that is about to read its copy of a directory passes this on to the reader.
            Err(error) => owed.refuse(errno_by_handle(error)),
        }
    }

    /// Has the kernel know the size of a file of which it may know none. An answer that an invalidation
    /// overtakes is not kept, nor is one that the answer to a lookup overtakes, and the read that waits for it
    /// would find the file empty. The last byte says the same and is kept in any case.
    ///
    /// Away from the threads that answer requests, since it waits for reads of that byte.
    pub async fn settle_size(&self, handle: Handle, open: OpenId, size: u64) -> Result<()> {
        let Some(last) = size.checked_sub(1) else { return Ok(()) };
        let byte = self.vfs.read(open, last, 1).await?;
        self.references.expect(handle, size);
        let (notifier, node) = (self.notifier.clone(), self.notifier.node(handle));
        let told = self.runtime.spawn_blocking(move || notifier.wire.store(node, last, &byte));
        // An error means that the runtime ends, and the mount with it.
        if told.await.is_ok_and(|told| told == Told::Done) {
            self.references.settle(handle, Some(size));
        }
        Ok(())
    }

    /// One page of a listing after a kernel offset.
    async fn page(
        &self,
        dir: Handle,
        offset: u64,
        limit: usize,
        plus: bool,
    ) -> Result<DirPage, HandleError> {
        let stream = self.listing(dir, offset).await?;
        let cookie = offset.saturating_sub(AFTER_DOTS);
        let page = self.vfs.readdir(stream.id, cookie, limit, plus).await?;
        if page.entries.is_empty() {
            self.listings.remove(dir);
            self.relist_around(dir);
        }
        if offset > 0 || page.modified.is_none() {
            return Ok(page);
        }
        // From its start a listing enters the kernel's cache under the directory's mtime as the
        // kernel knows it by now. If the directory has moved since the open, the old listing
        // would stay under the new mtime; and rewinddir() must show it as it is.
        let present = self.vfs.getattr(dir).await;
        if matches!(&present, Ok(attr) if Some(attr.modified) == page.modified) {
            return Ok(page);
        }
        page.entries.iter().filter_map(|e| e.entry.as_ref()).for_each(|e| self.forget(e));
        present?;
        let stream = Stream::new(&self.vfs, self.vfs.opendir(dir).await?.id);
        self.listings.put(dir, stream.clone());
        self.vfs.readdir(stream.id, cookie, limit, plus).await
    }

    fn forget(&self, entry: &Entry) {
        self.vfs.forget(entry.handle, 1);
    }

    /// The identities that `.` and `..` show.
    async fn dots(&self, dir: Handle) -> Result<(Attr, Inode)> {
        let own = self.vfs.getattr(dir).await?;
        let (_, parent) = self.vfs.parent(dir)?;
        Ok((own, parent))
    }

    pub async fn readdir(self: Arc<Self>, dir: Handle, offset: u64, owed: Owed<ReplyDirectory>) {
        // A page that nobody waits for is full.
        let add = |inode: Inode, next, kind, name: &str| {
            owed.with(|reply| reply.add(INodeNo(inode.0), next, kind, name)).unwrap_or(true)
        };
        let filled = async {
            if offset < AFTER_DOTS {
                let (own, parent) = self.dots(dir).await?;
                let kind = fuser::FileType::Directory;
                let full = (offset < AFTER_DOT && add(own.inode, AFTER_DOT, kind, "."))
                    || add(parent, AFTER_DOTS, kind, "..");
                if full {
                    return Ok(());
                }
            }
            let mut at = offset;
            loop {
                let page = self.page(dir, at, PAGE, false).await?;
                let Some(last) = page.entries.last() else { return Ok(()) };
                at = last.cookie + AFTER_DOTS;
                for entry in &page.entries {
                    let next = entry.cookie + AFTER_DOTS;
                    if add(entry.inode, next, file_type(entry.kind), &entry.name) {
                        return Ok(());
                    }
                }
            }
        };
        let filled: Result<(), HandleError> = filled.await;
        match filled {
            Ok(()) => owed.take().into_iter().for_each(ReplyDirectory::ok),
            Err(error) => owed.refuse(errno_by_handle(error)),
        }
    }

    pub async fn readdirplus(
        self: Arc<Self>,
        dir: Handle,
        offset: u64,
        owed: Owed<ReplyDirectoryPlus>,
    ) {
        // What the reply carries so far, to be taken back if nobody gets it.
        let mut carried = Vec::new();
        let filled = self.fill_plus(dir, offset, &owed, &mut carried).await;
        match (filled, owed.take()) {
            (Ok(()), Some(reply)) => reply.ok(),
            (filled, reply) => {
                carried.iter().for_each(|entry| self.take_back(entry.handle, 1));
                if let (Err(error), Some(reply)) = (filled, reply) {
                    reply.error(errno_by_handle(error));
                }
            }
        }
    }

    async fn fill_plus(
        &self,
        dir: Handle,
        offset: u64,
        owed: &Owed<ReplyDirectoryPlus>,
        carried: &mut Vec<Entry>,
    ) -> Result<(), HandleError> {
        if offset < AFTER_DOTS {
            self.listings.begin(dir);
            let (own, parent) = self.dots(dir).await?;
            let dot = |inode: Inode| self.owner.attr(inode.0, own.kind, 0, own.modified);
            // The kernel takes only the names and the numbers of these two, and no reference.
            let add = |inode: Inode, next, name| {
                let add = |reply: &mut ReplyDirectoryPlus| {
                    reply.add(INodeNo(inode.0), next, name, &NEVER, &dot(inode), GENERATION)
                };
                owed.with(add).unwrap_or(true)
            };
            let full = (offset < AFTER_DOT && add(own.inode, AFTER_DOT, "."))
                || add(parent, AFTER_DOTS, "..");
            if full {
                return Ok(());
            }
        }
        let mut at = offset;
        loop {
            let stamp = self.notifier.stamps.now();
            let page = self.page(dir, at, PLUS_PAGE, true).await?;
            let Some(last) = page.entries.last() else { return Ok(()) };
            at = last.cookie + AFTER_DOTS;
            let (mut full, mut failed) = (false, None);
            for listed in page.entries {
                if full {
                    listed.entry.iter().for_each(|entry| self.forget(entry));
                    continue;
                }
                let entry = match listed.entry {
                    Some(entry) => entry,
                    // There is no way to list a name without its node here, so look it up. What
                    // went away since the open is not listed.
                    None => match self.vfs.lookup(dir, &listed.name).await {
                        Ok(Some(entry)) => entry,
                        Ok(None) | Err(Error::NotFound) => continue,
                        // What follows in the page is given back first.
                        Err(error) => {
                            (full, failed) = (true, Some(error));
                            continue;
                        }
                    },
                };
                if !self.deliver(&entry, stamp) {
                    full = true;
                    continue;
                }
                let (attr, kept) = self.entry_attr(&entry);
                let fresh = self.is_fresh(dir, &entry, stamp);
                // One timeout for the name and the attributes.
                let ttl = keep(entry.cacheable && kept && fresh);
                let next = listed.cookie + AFTER_DOTS;
                let add = |reply: &mut ReplyDirectoryPlus| {
                    reply.add(attr.ino, next, &listed.name, &ttl, &attr, GENERATION)
                };
                full = owed.with(add).unwrap_or(true);
                if full {
                    self.take_back(entry.handle, 1);
                } else {
                    carried.push(entry);
                }
            }
            match failed {
                Some(error) => return Err(error.into()),
                None if full => return Ok(()),
                None => {}
            }
        }
    }

    /// Gives back all that the kernel holds. It sends no forgets when it unmounts.
    pub fn close(&self) {
        self.notifier.close();
        self.contents.close();
        self.listings.close();
        for (handle, count) in self.references.close() {
            self.vfs.forget(handle, count);
        }
    }
}
