//! Files that grow under those who have them open.
//!
//! Process A has `f` open at 10 bytes; an event makes it 20, and the first 10 of them are what they were. On a
//! local disk A would find the rest at its next look, which is how `tail -f` works. Here the event leaves A's
//! handle to it with its 10 bytes. So where A asks how long its file is, the file is looked up by its name: what
//! begins with those 10 bytes is the same file grown, and A is shown all of it. Whatever else it is, A goes on
//! with what it opened. It is looked up once after each event that concerns it, whatever comes of that: A may ask
//! before each of its reads, and what it has is in memory.

use super::fetch::{Fetched, Had};
use super::silent::is_kept;
use super::{Open, Runtime, State};
use crate::cache::Operation;
use crate::nodes::{Node, digest};
use bytes::Bytes;
use omnifs_platform::Handle;
use std::sync::Arc;

/// A file that was left to those who have it open.
struct Left {
    node: Arc<Node>,
    bytes: Bytes,
    directory: Arc<Node>,
    name: Arc<str>,
}

impl Runtime {
    /// Lengthens what was left to the holders of this handle, where the file has only grown since. What cannot
    /// be known is left as it is.
    pub(super) async fn follow(&self, handle: Handle) {
        let Some(left) = self.state().take_left(handle) else { return };
        let Ok(found) = self.child(&left.directory, &left.name).await else { return };
        let node = found.node;
        let longer = |size: &u64| *size > left.bytes.len() as u64;
        let same = node.id == left.node.id && !Arc::ptr_eq(&node, &left.node);
        if !same || !is_kept(&node) || node.remote.is_some() || !node.size.get().is_none_or(longer)
        {
            return;
        }
        let held = |state: &mut State| state.held_content(handle, &node);
        let (bytes, node) = match self.fetch_missing(&node, Operation::Read, held).await {
            Had::Held(bytes) => (bytes, node),
            Had::Landed(landed) => match landed.result {
                Ok(Fetched::Content(bytes, node)) => (bytes, node),
                _ => return,
            },
        };
        if longer(&(bytes.len() as u64)) && bytes.starts_with(&left.bytes) {
            self.state().lengthen(handle, &left, &bytes, node);
        }
    }
}

impl State {
    /// What was left by this handle, once after each event that may have lengthened it.
    fn take_left(&mut self, handle: Handle) -> Option<Left> {
        let slot = self.inodes.slot(handle)?;
        let (key, owner) = (slot.node.key, slot.node.owner.as_ref().map(|(_, key)| *key));
        let event =
            self.touched.sequence(key).max(owner.map_or(0, |key| self.touched.sequence(key)));
        if !slot.superseded || slot.gone || !is_kept(&slot.node) || event <= slot.silent.followed {
            return None;
        }
        let open = || {
            self.opens.of(handle).find_map(|open| match open {
                Open::File { bytes, volatile: false, .. } => Some(bytes.clone()),
                _ => None,
            })
        };
        let bytes = slot.silent.snapshot.clone().or_else(open)?;
        let link = slot.links.last()?;
        let directory = self.inodes.slot(link.parent)?.node.clone();
        let left = Left { node: slot.node.clone(), bytes, directory, name: link.name.clone() };
        let now = self.ledger.sequence();
        self.inodes.slot_mut(handle)?.silent.followed = now;
        Some(left)
    }

    /// What this handle has been lengthened to since somebody was given `node` for it.
    pub(super) fn longer(&self, handle: Handle, node: &Arc<Node>) -> Option<Arc<Node>> {
        let slot = self.inodes.slot(handle).filter(|slot| slot.superseded && !slot.gone)?;
        (!Arc::ptr_eq(&slot.node, node)).then(|| slot.node.clone())
    }

    /// Who was quicker has done it already.
    fn lengthen(&mut self, handle: Handle, left: &Left, bytes: &Bytes, node: Arc<Node>) {
        let Some(slot) = self.inodes.slot_mut(handle) else { return };
        if !slot.superseded || slot.gone || !Arc::ptr_eq(&slot.node, &left.node) {
            return;
        }
        if slot.silent.snapshot.is_some() {
            slot.silent.snapshot = Some(bytes.clone());
        }
        slot.paged = Some(digest(bytes));
        slot.told_size = Some(bytes.len() as u64);
        slot.node = node;
        self.opens.for_each_of(handle, |open| {
            if let Open::File { bytes: held, volatile: false, .. } = open {
                *held = bytes.clone();
            }
        });
    }
}
