//! Back ends that do not say what is open.
//!
//! A kernel that opens files without a word makes a warm read free, and leaves it to us to guess who
//! is reading. So a handle stands for one content. Whatever was read by a handle, or whatever content
//! is at hand when an event ends it, stays with the handle until it is given back, and the names get
//! another one. What can be proven by digest to be what the handle's pages hold is shown by it again.

use super::resolve::ROUNDS;
use super::{Body, Open, Runtime, State};
use crate::inodes::Slot;
use crate::mutants::{Mutant, planted};
use crate::nodes::{Key, Node, digest};
use crate::provider::Kind;
use crate::remote::Remote;
use bytes::Bytes;
use omnifs_platform::{Attr, Change, Error, Handle, OpenFile, Result};
use std::collections::VecDeque;
use std::sync::Arc;

impl State {
    /// Puts the content that is at hand aside for those who may have these files open, before it is
    /// dropped.
    pub(super) fn keep_for_holders(&mut self, nodes: &[Arc<Node>]) {
        if !self.inodes.silent {
            return;
        }
        for node in nodes.iter().filter(|node| is_kept(node)) {
            for handle in self.inodes.handles_of(node) {
                if !self.inodes.slot(handle).is_some_and(|slot| keeps(slot, node)) {
                    continue;
                }
                let content = self.held_content(handle, node);
                if let Some(slot) = self.inodes.slot_mut(handle) {
                    slot.put_aside(content);
                }
            }
        }
    }

    /// How many bytes these handles have put aside. All together, what is put aside because it is doubted
    /// comes to as many as the cache may hold: nothing ends such a doubt but a lookup, the feed's return, or
    /// the kernel's giving it back.
    pub(super) fn put_aside(&self, handles: &[Handle]) -> u64 {
        let slots = handles.iter().filter_map(|handle| self.inodes.slot(*handle));
        let aside = slots.filter_map(|slot| slot.silent.snapshot.as_ref());
        aside.map(Bytes::len).sum::<usize>() as u64
    }

    /// The same for one that is being read, since its reading ends before its holders are through.
    pub(super) fn keep_open_for_holders(&mut self, handle: Handle) {
        if !self.inodes.silent {
            return;
        }
        let read = self.opens.of(handle).find_map(|open| match open {
            Open::File { bytes, volatile: false, .. } => Some(bytes.clone()),
            _ => None,
        });
        if let Some(slot) = self.inodes.slot_mut(handle)
            && slot.silent.snapshot.is_none()
        {
            slot.put_aside(read);
        }
    }

    /// The feed is back: what was put aside because it was lost is not kept any longer.
    pub(super) fn drop_doubt(&mut self, handle: Handle) {
        let slot = self.inodes.slot_mut(handle).filter(|slot| !slot.superseded && !slot.gone);
        let Some(slot) = slot else { return };
        // Or it is lost again by now.
        if slot.node.coherence.scope().is_some_and(|scope| scope.is_live()) {
            slot.silent.snapshot = None;
        }
    }

    /// Whether what may be kept of this directory's entries is still vouched for. Nothing is asked of
    /// us when it is read again, so where it is not, the attributes may not be kept either.
    pub(super) fn listing_stands(&mut self, handle: Handle, node: &Node) -> bool {
        if !self.inodes.silent || !node.is_directory() {
            return true;
        }
        if node.relisted {
            return false;
        }
        let Some(paged) = self.inodes.slot(handle).and_then(|slot| slot.paged) else {
            return true;
        };
        let removal = self.removal;
        let whole = match self.cache.listing(node) {
            Some(listing) => listing.is_whole(removal),
            None => removal <= paged,
        };
        whole && self.entries_are_live(node, paged)
    }

    /// What was kept of these directories' entries is told to be dropped by the same event, which
    /// moves their modified time.
    pub(super) fn unpage(&mut self, node: &Node) {
        if self.inodes.silent && node.is_directory() {
            for handle in self.inodes.handles_of(node) {
                if let Some(slot) = self.inodes.slot_mut(handle) {
                    slot.paged = None;
                }
            }
        }
    }

    /// Has the listings of these directories dropped that still hold what is gone, also where no back end
    /// holds its name.
    pub(super) fn drop_listings_with_gone(
        &mut self,
        listed: impl IntoIterator<Item = Key>,
        out: &mut Vec<Change>,
    ) {
        if !self.inodes.silent {
            return;
        }
        let removal = self.removal;
        for (handle, node) in listed.into_iter().flat_map(|key| self.paged(key)).collect::<Vec<_>>()
        {
            if !self.cache.listing(&node).is_some_and(|listing| listing.is_whole(removal)) {
                out.push(Change::Content { handle, open: false });
            }
        }
    }

    /// The positions of a directory of whose entries a back end may keep a copy.
    fn paged(&self, directory: Key) -> Vec<(Handle, Arc<Node>)> {
        let handles = self.inodes.handles_by(directory).iter();
        let slots = handles.filter_map(|handle| Some((*handle, self.inodes.slot(*handle)?)));
        let paged = slots.filter(|(_, slot)| slot.node.is_directory() && slot.paged.is_some());
        paged.map(|(handle, slot)| (handle, slot.node.clone())).collect()
    }

    /// Listings went from the cache to make room. What they held is not known any more, so nobody
    /// would be told of an end of it: a back end that lists by itself asks again.
    pub(super) fn drop_pages_of_evicted(&mut self, out: &mut Vec<Change>) {
        for directory in self.cache.take_evicted() {
            if !self.inodes.silent {
                continue;
            }
            for (handle, node) in self.paged(directory) {
                if self.cache.listing(&node).is_some() {
                    continue;
                }
                if let Some(slot) = self.inodes.slot_mut(handle) {
                    slot.paged = None;
                }
                out.push(Change::Content { handle, open: false });
            }
        }
    }

    /// Notes what a back end is told of a file. False where it was told another size and may not be told
    /// this.
    pub(super) fn tell(&mut self, handle: Handle, node: &Node, attr: &Attr) -> bool {
        let fixed = self.inodes.silent && !planted(Mutant::ChangesSizes);
        let slot = self.inodes.slot_mut(handle).filter(|_| is_kept(node));
        let Some(slot) = slot else { return true };
        let stands = !fixed || slot.told_size.is_none_or(|told| told == attr.size);
        if stands && !slot.superseded && !slot.gone {
            slot.told_size = Some(attr.size);
            slot.told_modified = Some(attr.modified);
        }
        stands
    }

    /// The length of what is held of a file that somebody has open and that grew when it was opened, in
    /// bytes.
    pub(super) fn followed(&self, handle: Handle) -> Option<u64> {
        self.opens.of(handle).find_map(|open| match open {
            Open::File { bytes, volatile: true, .. } => Some(bytes.len() as u64),
            _ => None,
        })
    }

    /// Leaves the handles of a file that are not proven to show what `node` does to their holders.
    pub(super) fn leave_unproven(&mut self, node: &Node) {
        if !self.inodes.silent || !is_kept(node) {
            return;
        }
        for handle in self.inodes.handles_of(node) {
            let Some(slot) = self.inodes.slot(handle) else { continue };
            if slot.superseded || slot.gone || slot.may_show(node) {
                continue;
            }
            let shown = slot.node.clone();
            self.keep_for_holders(&[shown]);
            let mut changes = std::mem::take(&mut self.pending);
            self.supersede(handle, &mut changes);
            self.pending = changes;
        }
    }
}

/// Whether the content of `node` is what the holders of this handle are to go on seeing.
fn keeps(slot: &Slot, node: &Arc<Node>) -> bool {
    let shows = match slot.paged {
        Some(paged) => node.digest.get() == Some(&paged),
        None => Arc::ptr_eq(&slot.node, node) && !slot.silent.doubtful,
    };
    let kept = slot.opens > 0 || slot.silent.snapshot.is_some();
    !kept && !slot.superseded && !slot.gone && shows
}

/// Files with a content of their own; links are read at once.
pub(super) fn is_kept(node: &Node) -> bool {
    matches!(node.kind, Kind::File | Kind::Executable) && !node.is_volatile()
}

impl Runtime {
    /// Opens a handle that was left to its holders, with what it was left with. What was not at hand
    /// then can be had no more.
    pub(super) fn open_left(&self, handle: Handle) -> Result<OpenFile> {
        let mut state = self.state();
        let silent = state.inodes.silent;
        let slot = state.inodes.slot_mut(handle).ok_or(Error::Stale)?;
        let (open, size, digest) = match (&slot.silent.snapshot, &slot.node.remote) {
            (Some(bytes), _) => {
                let open =
                    Open::File { handle, bytes: bytes.clone(), volatile: false, at_end: false };
                (open, bytes.len() as u64, digest(bytes))
            }
            // The service says with each piece whether it is still what the handle was left with. Where every
            // open is told, this is a new one, and finds what is there now by the name.
            (None, Some(Remote::At(at))) if silent => {
                let open = Open::Pieces { handle, node: slot.node.clone(), ahead: 0, step: 0 };
                (open, at.source.length, slot.node.proof())
            }
            (None, _) => return Err(Error::Stale),
        };
        slot.opens += 1;
        if !slot.silent.read {
            slot.silent.read = true;
            slot.paged = Some(digest);
        }
        let (id, held) = (self.next_open(), open.held());
        state.opens.insert(id, open);
        Ok(OpenFile { id, size, held, keep_cache: true, direct: false })
    }

    /// The content to open a handle with. Where every open is told, one that an event has overtaken is
    /// served to who asked for it, who then has the handle for himself. Where it is not, others may
    /// have been led to that handle since, so it is asked for again.
    pub(super) async fn body_to_open(&self, handle: Handle) -> Result<(Body, Arc<Node>)> {
        let ahead = self.state().ahead.take(handle);
        if let Some((bytes, node)) = ahead {
            return Ok((Body::Held(bytes), node));
        }
        let mut content = self.body(handle).await?;
        for _ in 1..ROUNDS {
            let (_, node) = &content;
            let again = {
                let state = self.state();
                let slot = state.inodes.slot(handle);
                slot.is_some_and(|slot| {
                    !slot.superseded && !slot.gone && slot.is_past(node, state.inodes.silent)
                })
            };
            if !again {
                break;
            }
            content = self.body(handle).await?;
        }
        Ok(content)
    }

    /// Keeps what a `stat` has read of a volatile file that is not open yet.
    pub(super) fn read_ahead(&self, handle: Handle, bytes: Bytes, node: Arc<Node>) {
        let mut state = self.state();
        let unopened = state.inodes.slot(handle).is_some_and(|slot| slot.opens == 0);
        if state.inodes.silent && unopened {
            state.ahead.put(handle, bytes, node);
        }
    }
}

/// What a `stat` has just read of volatile files, each good for the open that follows it.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The newest last.
    read: VecDeque<(Handle, Bytes, Arc<Node>)>,
}

impl Ahead {
    /// A reader opens right after its `stat`, so a few serve all who do so at the same time. One is kept
    /// however large it is.
    const MOST: usize = 16;
    const BYTES: usize = 16 << 20;

    fn put(&mut self, handle: Handle, bytes: Bytes, node: Arc<Node>) {
        self.take(handle);
        self.read.push_back((handle, bytes, node));
        let held = |read: &VecDeque<(Handle, Bytes, Arc<Node>)>| {
            read.iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>()
        };
        while self.read.len() > Self::MOST || self.read.len() > 1 && held(&self.read) > Self::BYTES
        {
            self.read.pop_front();
        }
    }

    pub fn take(&mut self, handle: Handle) -> Option<(Bytes, Arc<Node>)> {
        let at = self.read.iter().position(|(of, ..)| *of == handle)?;
        self.read.remove(at).map(|(_, bytes, node)| (bytes, node))
    }
}
