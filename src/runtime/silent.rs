//! Back ends that do not say what is open.
//!
//! A kernel that opens files without a word makes a warm read free, and leaves it to us to guess who
//! is reading. So a handle stands for one content. Whatever was read by a handle, or whatever content
//! is at hand when an event ends it, stays with the handle until it is given back, and the names get
//! another one. What can be proven by digest to be what the handle's pages hold is shown by it again.

use super::{Open, Runtime, State};
use crate::inodes::{Link, Slot};
use crate::nodes::{Node, digest};
use crate::provider::Kind;
use bytes::Bytes;
use omnifs_platform::{Change, Error, Handle, OpenFile, Result};
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
                let Some(slot) = self.inodes.slot(handle).filter(|slot| keeps(slot, node)) else {
                    continue;
                };
                let place = slot.links.last().and_then(|link| self.place(link));
                let place = place.as_ref().map(|(parent, name)| (&**parent, &**name));
                let content = self.cache.content(node, place);
                if let Some(slot) = self.inodes.slot_mut(handle) {
                    slot.silent.snapshot = content;
                }
            }
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

    /// Has the listings dropped that still hold what is gone, also where no back end holds its name.
    pub(super) fn drop_listings_with_gone(&mut self, out: &mut Vec<Change>) {
        if !self.inodes.silent {
            return;
        }
        let listed = self
            .inodes
            .handles()
            .filter(|(_, slot)| slot.node.is_directory() && slot.paged.is_some());
        let listed: Vec<_> = listed.map(|(handle, slot)| (handle, slot.node.clone())).collect();
        for (handle, node) in listed {
            let removal = self.removal;
            if !self.cache.listing(&node).is_some_and(|listing| listing.is_whole(removal)) {
                out.push(Change::Content { handle, open: false });
            }
        }
    }

    fn place(&self, link: &Link) -> Option<(Arc<Node>, Arc<str>)> {
        let parent = self.inodes.slot(link.parent)?.node.clone();
        Some((parent, link.name.clone()))
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
fn is_kept(node: &Node) -> bool {
    matches!(node.kind, Kind::File | Kind::Executable) && !node.is_volatile()
}

impl Runtime {
    /// Opens what a handle was left with.
    pub(super) fn open_snapshot(&self, state: &mut State, handle: Handle) -> Result<OpenFile> {
        let slot = state.inodes.slot_mut(handle).ok_or(Error::Stale)?;
        let bytes = slot.silent.snapshot.clone().ok_or(Error::Stale)?;
        slot.opens += 1;
        slot.silent.read = true;
        slot.paged = Some(*slot.node.digest.get_or_init(|| digest(&bytes)));
        let (id, size) = (self.next_open(), bytes.len() as u64);
        state.opens.insert(id, Open::File { handle, bytes, volatile: false, at_end: false });
        Ok(OpenFile { id, size, keep_cache: true, direct: false })
    }

    /// Keeps what a `stat` has read of a volatile file that is not open yet.
    pub(super) fn read_ahead(&self, handle: Handle, bytes: Bytes, node: Arc<Node>) {
        let mut state = self.state();
        let silent = state.inodes.silent;
        if let Some(slot) = state.inodes.slot_mut(handle)
            && silent
            && slot.opens == 0
        {
            slot.silent.ahead = Some((bytes, node));
        }
    }
}
