//! The file system calls.

use super::resolve::Miss;
use super::shown::Shown;
use super::{Open, Runtime};
use crate::growing::Growth;
use crate::inodes::{ROOT, ROOT_INODE};
use crate::mutants::{Mutant, planted};
use crate::nodes::{Key, Node, Use};
use crate::provider::Kind;
use crate::remote::unproven;
use bytes::Bytes;
use omnifs_platform::{
    Attr, Change, DirPage, Entry, Error, Handle, HandleError, Inode, OpenFile, OpenId, Opened,
    Result, Statfs, Vfs,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Longest name a lookup may ask for, in bytes (NAME_MAX).
const NAME_MAX: usize = 255;

impl Vfs for Runtime {
    fn root(&self) -> Handle {
        ROOT
    }

    async fn lookup(&self, parent: Handle, name: &str) -> Result<Option<Entry>> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        let directory = self.directory(parent)?;
        let found = match self.child(&directory, name).await {
            Ok(found) => found,
            Err(Miss::Absent { stamp }) => {
                let mut state = self.state();
                let live =
                    stamp.is_some_and(|stamp| state.binding_is_live(&directory, None, stamp));
                // Under the lock that an event takes: it comes before, or finds what was told.
                let noted = planted(Mutant::ForgetsAbsences);
                return if live && (noted || state.inodes.tell_absent(parent, name)) {
                    Ok(None)
                } else {
                    Err(Error::NotFound)
                };
            }
            Err(Miss::Failed(error)) => return Err(error),
        };
        self.admit_depth(parent)?;
        let name = Arc::from(name);
        let kind = self.kind_at(parent, &name, &found).await?;
        let shown = Shown { kind, attr: true };
        let mut state = self.state();
        let entry = self.enter(&mut state, parent, &directory, &name, &found, shown);
        let changes = std::mem::take(&mut state.pending);
        drop(state);
        self.notify(changes);
        Ok(Some(entry))
    }

    async fn getattr(&self, handle: Handle) -> Result<Attr> {
        self.follow(handle).await;
        let node = self.confirmed(handle, Use::Attributes).await?;
        if let Some(attr) = self.growing_attr(handle, &node).await? {
            return Ok(attr);
        }
        // Who follows a file goes on with its last lines when it grows no more.
        let followed = self.state().followed(handle);
        if (node.is_volatile() || followed.is_some()) && !node.is_directory() {
            let latest = self.state().inodes.slot_mut(handle).and_then(|slot| slot.latest.take());
            let advanced = match latest {
                Some(size) => Ok(size),
                None => self.advance(handle).await.map(|(bytes, node)| {
                    let size = bytes.len() as u64;
                    self.read_ahead(handle, bytes, node);
                    size
                }),
            };
            let size = match (advanced, followed) {
                // It is gone, and what was read is all there is.
                (Err(Error::Stale | Error::NotFound), Some(held)) => held,
                (advanced, _) => advanced?,
            };
            let state = self.state();
            let modified = self.modified(&state, &node);
            return Ok(Attr {
                inode: node.inode,
                kind: node.kind,
                size,
                modified,
                cacheable: false,
            });
        }
        let (target, node) = match node.kind {
            Kind::Directory => (None, node),
            Kind::Symlink => {
                let (target, node) = self.content(handle).await?;
                (Some(target), node)
            }
            _ if node.size.get().is_some() => (None, node),
            // The size is that of the content, so the content is read.
            _ => (None, self.content(handle).await?.1),
        };
        let shown = self.kind_of_handle(handle, &node, target.as_deref());
        let mut state = self.state();
        let mut attr = self.attr(&state, &node, shown).ok_or(Error::Unavailable)?;
        if let Some(longer) = state.longer(handle, &node) {
            attr = self.attr(&state, &longer, shown).ok_or(Error::Unavailable)?;
        } else if !state.tell(handle, &node, &attr) {
            let mut changes = Vec::new();
            state.supersede(handle, &mut changes);
            drop(state);
            self.notify(changes);
            return Err(Error::Stale);
        }
        // What is left to its holders is told of no more.
        let stands = state.listing_stands(handle, &node);
        let slot = state.inodes.slot(handle).filter(|slot| !slot.superseded && !slot.gone);
        if slot.is_none() {
            // An event that concerns it no more does not move a time that stands for that of events. Where
            // nobody has it open it is no longer the time that was told.
            let held = state.inodes.slot(handle).filter(|slot| slot.may_be_open());
            let told = held.and_then(|slot| slot.told_modified);
            let modified = told.filter(|_| node.modified.is_none()).unwrap_or(attr.modified);
            return Ok(Attr { cacheable: false, modified, ..attr });
        }
        Ok(Attr { cacheable: attr.cacheable && stands, ..attr })
    }

    async fn readlink(&self, handle: Handle) -> Result<Bytes> {
        let node = self.node(handle)?;
        if node.kind != Kind::Symlink {
            return Err(Error::NotSymlink);
        }
        Ok(self.content(handle).await?.0)
    }

    async fn open(&self, handle: Handle) -> Result<OpenFile> {
        let left = {
            let state = self.state();
            let slot = state.inodes.slot(handle).ok_or(Error::Stale)?;
            if slot.node.is_directory() {
                return Err(Error::IsDirectory);
            }
            slot.gone || slot.superseded || slot.silent.snapshot.is_some()
        };
        if left {
            return self.open_left(handle);
        }
        let (body, node) = self.body_to_open(handle).await?;
        match self.open_with(handle, body, node)? {
            Some(opened) => Ok(opened),
            // Left meanwhile.
            None => self.open_left(handle),
        }
    }

    async fn read(&self, open: OpenId, offset: u64, size: u32) -> Result<Bytes> {
        let slice = |bytes: &Bytes| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = start.saturating_add(size as usize).min(bytes.len());
            bytes.slice(start..end)
        };
        enum More {
            Pieces(Arc<Node>),
            Growing(Arc<Growth>, u64),
            Newer(Handle),
        }
        let more = {
            let mut state = self.state();
            match state.opens.get_mut(&open) {
                Some(Open::File { bytes, volatile, at_end, handle }) => {
                    let ends = offset >= bytes.len() as u64;
                    // The first read at the end is how every reader finds it; one more is how a
                    // follower asks whether there is more.
                    if !*volatile || !ends || !std::mem::replace(at_end, true) {
                        return Ok(slice(bytes));
                    }
                    More::Newer(*handle)
                }
                Some(Open::Pieces { node, .. }) => More::Pieces(node.clone()),
                Some(Open::Growing { growth, begin, .. }) => {
                    More::Growing(growth.clone(), begin.saturating_add(offset))
                }
                Some(Open::Directory { .. }) => return Err(Error::IsDirectory),
                None => return Err(Error::Stale),
            }
        };
        let handle = match more {
            More::Pieces(node) => return self.read_pieces(open, &node, offset, size).await,
            More::Growing(growth, position) => {
                return self.read_growing(growth, position, size).await;
            }
            More::Newer(handle) => handle,
        };
        match self.advance(handle).await {
            Ok((bytes, _)) => Ok(slice(&bytes)),
            // The file is gone, and this is its end.
            Err(Error::Stale | Error::NotFound) => Ok(Bytes::new()),
            Err(error) => Err(error),
        }
    }

    async fn opendir(&self, handle: Handle) -> Result<Opened, HandleError> {
        let node = self.confirmed(handle, Use::Listing).await?;
        if !node.is_directory() {
            return Err(Error::NotDirectory.into());
        }
        let listing = self.listing_of(handle, &node).await?;
        let mut state = self.state();
        let live = state.entries_are_live(&node, listing.stamp);
        let slot = state.inodes.slot_mut(handle).ok_or(Error::Stale)?;
        slot.opens += 1;
        let keep_cache = live && slot.paged == Some(listing.stamp) && !node.relisted;
        slot.paged = Some(listing.stamp);
        let id = self.next_open();
        let silent = state.inodes.silent;
        state.opens.insert(id, Open::Directory { handle, node, listing });
        drop(state);
        if silent && !live {
            // Nothing vouches for this one. Before the kernel reads it again it is to ask.
            self.notify(vec![Change::Content { handle, open: true }]);
        }
        Ok(Opened { id, keep_cache })
    }

    async fn readdir(
        &self,
        open: OpenId,
        cookie: u64,
        limit: usize,
        plus: bool,
    ) -> Result<DirPage, HandleError> {
        let mut state = self.state();
        let (handle, node, listing) = match state.opens.get(&open) {
            Some(Open::Directory { handle, node, listing }) => {
                (*handle, node.clone(), listing.clone())
            }
            Some(Open::File { .. } | Open::Pieces { .. } | Open::Growing { .. }) => {
                return Err(Error::NotDirectory.into());
            }
            None => return Err(Error::Stale.into()),
        };
        let deep = state.inodes.slot(handle).is_some_and(|slot| slot.depth >= crate::inodes::DEPTH);
        let page = listing.after(cookie).iter().take(limit);
        let entries = page
            .map(|entry| {
                let plus = plus && !deep;
                self.readdir_entry(&mut state, handle, &node, listing.stamp, entry, plus)
            })
            .collect();
        let modified = Some(self.modified(&state, &node));
        let changes = std::mem::take(&mut state.pending);
        drop(state);
        self.notify(changes);
        Ok(DirPage { entries, modified })
    }

    fn release(&self, open: OpenId) {
        let mut state = self.state();
        let Some(open) = state.opens.remove(&open) else {
            return tracing::debug!(?open, "released twice");
        };
        if let Open::Growing { growth, .. } = &open {
            growth.close();
        }
        state.inodes.close(open.handle());
    }

    fn parent(&self, handle: Handle) -> Result<(Handle, Inode)> {
        let state = self.state();
        let slot = state.inodes.slot(handle).ok_or(Error::Stale)?;
        let parent = slot.links.last().map_or(ROOT, |link| link.parent);
        let inode = state.inodes.slot(parent).map_or(ROOT_INODE, |slot| slot.node.inode);
        Ok((parent, inode))
    }

    fn forget(&self, handle: Handle, count: u64) {
        self.state().inodes.forget(handle, count);
    }

    fn statfs(&self) -> Statfs {
        let state = self.state();
        Statfs { used: state.cache.held().bytes as u64, nodes: state.inodes.len() as u64 }
    }

    fn changes(&self) -> Receiver<Vec<Change>> {
        self.subscribe()
    }

    fn places(&self, handle: Handle) -> Vec<(Handle, String)> {
        self.state().places(handle)
    }

    fn hold(&self, handle: Handle) -> bool {
        let mut state = self.state();
        let known = state.inodes.slot(handle).is_some();
        if known {
            state.inodes.reference(handle);
        }
        known
    }

    fn edition(&self, handle: Handle) -> Option<u64> {
        let state = self.state();
        // Where another process would take up a stream nobody knows.
        match state.growing(handle) {
            Some(_) => Some(unproven()),
            None => {
                let slot = state.inodes.slot(handle)?;
                // No two reads of it are of one content.
                if slot.node.is_volatile() {
                    return Some(unproven());
                }
                slot.paged.or_else(|| slot.node.digest.get().copied())
            }
        }
    }

    fn note_watched(&self, numbers: &HashSet<u64>) {
        let state = self.state();
        for &number in numbers {
            // The number of a handle, or the inode, by which an object is known.
            let positions = state.inodes.handles_by(Key(number)).iter().copied();
            let handles = positions.chain([Handle(number)]);
            for slot in handles.filter_map(|handle| state.inodes.slot(handle)) {
                slot.node.coherence.scope().into_iter().for_each(|scope| scope.note_use());
            }
        }
    }

    fn silence_opens(&self) {
        self.state().inodes.silent = true;
    }

    fn recall(&self, parent: Handle, name: &str) -> Option<Entry> {
        let directory = self.directory(parent).ok()?;
        let mut state = self.state();
        let found = state.recall(&directory, name)?;
        // Where a link leads decides how it is shown, and that may have to be asked.
        if found.node.kind == Kind::Symlink {
            return None;
        }
        let name = Arc::from(name);
        let shown = Shown { kind: found.node.kind, attr: true };
        let entry = self.enter(&mut state, parent, &directory, &name, &found, shown);
        let changes = std::mem::take(&mut state.pending);
        drop(state);
        self.notify(changes);
        Some(entry)
    }
}
