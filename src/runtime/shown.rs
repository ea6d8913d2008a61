//! How nodes are shown: entries and attributes, kinds, and what an open gets.

use super::memory::Found;
use super::{Body, Borrowed, Open, Runtime, State};
use crate::cache::ListEntry;
use crate::inodes::{DEPTH, Link, ROOT};
use crate::mutants::{Mutant, planted};
use crate::nodes::{Node, digest};
use crate::provider::{Cause, Failure, Kind};
use bytes::Bytes;
use omnifs_platform::{Attr, Change, DirEntry, Entry, Error, Fate, Handle, OpenFile, Result};
use std::sync::Arc;

/// How an entry is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub kind: Kind,
    /// With its attributes, where they are known.
    pub attr: bool,
}

impl Runtime {
    /// Attributes of a node whose size is known; `None` otherwise.
    pub(super) fn attr(&self, state: &State, node: &Node, shown: Kind) -> Option<Attr> {
        let size = if node.is_directory() {
            0
        } else if node.is_volatile() {
            return None;
        } else {
            *node.size.get()?
        };
        Some(Attr {
            inode: node.inode,
            kind: shown,
            size,
            modified: self.modified(state, node),
            cacheable: node.is_live(),
        })
    }

    /// The entry that shows `node` as `name` in `parent`. The binding is judged and noted under
    /// one lock, so an event either precedes the judgement or finds the note.
    pub(super) fn enter(
        &self,
        state: &mut State,
        parent: Handle,
        directory: &Node,
        name: &Arc<str>,
        found: &Found,
        shown: Shown,
    ) -> Entry {
        state.leave_unproven(&found.node);
        let handle = state.inodes.enter(parent, name, &found.node);
        state.ahead.take(handle);
        let left = state.inodes.left().into_iter().map(|Link { parent, name }| Change::Entry {
            parent,
            name: name.to_string(),
            fate: Fate::Doubtful,
        });
        state.pending.extend(left);
        state.ask_back();
        let stands = state.listing_stands(handle, &found.node);
        let attr = self.attr(state, &found.node, shown.kind).filter(|_| shown.attr);
        if let Some(attr) = &attr {
            state.tell(handle, &found.node, attr);
        }
        Entry {
            handle,
            attr: attr.map(|attr| Attr { cacheable: attr.cacheable && stands, ..attr }),
            inode: found.node.inode,
            kind: shown.kind,
            // Where files are opened without a word, the lookup is what comes before each read.
            cacheable: state.binding_is_live(directory, Some(&found.node), found.stamp)
                && (!state.inodes.silent || found.node.is_directory() || found.node.is_live()),
        }
    }

    /// A symlink's kind depends on where it points, so its target is read before it is shown.
    pub(super) async fn kind_at(
        &self,
        parent: Handle,
        name: &Arc<str>,
        found: &Found,
    ) -> Result<Kind> {
        if found.node.kind != Kind::Symlink {
            return Ok(found.node.kind);
        }
        let mut borrowed = Borrowed::new(self);
        let handle = borrowed.take(self.state().inodes.enter(parent, name, &found.node));
        let (target, _) = self.content(handle).await?;
        Ok(self.state().shown_kind(parent, &found.node, Some(&target)))
    }

    pub(super) fn kind_of_handle(
        &self,
        handle: Handle,
        node: &Node,
        target: Option<&[u8]>,
    ) -> Kind {
        let state = self.state();
        let parent = state.inodes.slot(handle).and_then(|s| s.links.last()).map(|l| l.parent);
        state.shown_kind(parent.unwrap_or(ROOT), node, target)
    }

    /// The attributes of a growing content, which are those of what has come so far.
    pub(super) async fn growing_attr(
        &self,
        handle: Handle,
        node: &Arc<Node>,
    ) -> Result<Option<Attr>> {
        let (growth, begin) = match self.growing(handle) {
            Some((growth, begin)) => {
                // What cannot be had at the moment is as long as it was.
                let _ = self.on_tokio(growth.clone(), false).await;
                (growth, begin)
            }
            None => match self.grown(node, true).await? {
                Some(growth) => (growth.clone(), growth.base()),
                None => return Ok(None),
            },
        };
        let modified = self.modified(&self.state(), node);
        Ok(Some(Attr {
            inode: node.inode,
            kind: node.kind,
            size: growth.end() - begin,
            modified: growth.appended().map_or(modified, |appended| appended.max(modified)),
            cacheable: false,
        }))
    }

    /// The newest content of a volatile file, shown to everybody who has it open.
    pub(super) async fn advance(&self, handle: Handle) -> Result<(Bytes, Arc<Node>)> {
        let (bytes, node) = self.content(handle).await?;
        let mut state = self.state();
        state.opens.for_each_of(handle, |open| {
            if let Open::File { bytes: held, at_end, .. } = open {
                *held = bytes.clone();
                *at_end = false;
            }
        });
        Ok((bytes, node))
    }

    /// Opens a handle with a content that was just confirmed. `None`: the handle is left to its holders.
    pub(super) fn open_with(
        &self,
        handle: Handle,
        body: Body,
        node: Arc<Node>,
    ) -> Result<Option<OpenFile>> {
        let volatile = node.is_volatile();
        let (mut length, digest) = match &body {
            Body::Held(bytes) if volatile => (bytes.len() as u64, 0),
            Body::Held(bytes) => (bytes.len() as u64, *node.digest.get_or_init(|| digest(bytes))),
            Body::Growing(_) => (0, 0),
            // Known of such a node from its beginning.
            Body::Pieces => (node.size.get().copied().ok_or(Error::Invalid)?, node.proof()),
        };
        let mut changes = Vec::new();
        let mut state = self.state();
        let silent = state.inodes.silent;
        let modified = self.modified(&state, &node);
        let begin = match &body {
            Body::Growing(growth) => state.beginning(handle, growth),
            Body::Held(_) | Body::Pieces => 0,
        };
        if let Body::Growing(growth) = &body {
            length = growth.end() - begin;
        }
        let slot = state.inodes.slot_mut(handle).ok_or(Error::Stale)?;
        if slot.superseded || slot.gone || slot.silent.snapshot.is_some() {
            return Ok(None);
        }
        if slot.is_past(&node, silent) {
            // Overtaken once more. Who was led here since then may not be shown this.
            return Err(Error::Stale);
        }
        let others = (slot.opens > 0 || slot.silent.read) && slot.paged != Some(digest);
        let cut = silent && slot.told_size.is_some_and(|told| told != length);
        if !volatile && (others || cut) {
            // Others hold another content open under this handle, or were told of one of another size:
            // it stays theirs, and the next lookup gives a new one.
            state.supersede(handle, &mut changes);
            drop(state);
            self.notify(changes);
            return Err(Error::Stale);
        }
        slot.opens += 1;
        slot.silent.read |= silent;
        let same = slot.paged == Some(digest) || planted(Mutant::KeepsPages);
        let keep_cache = !volatile && same;
        slot.paged = Some(digest).filter(|_| !volatile);
        slot.latest = volatile.then_some(length);
        slot.told_size = (!volatile).then_some(length);
        slot.told_modified = Some(modified);
        let open = match body {
            Body::Growing(growth) => {
                growth.open();
                Open::Growing { handle, growth, begin }
            }
            Body::Held(bytes) => Open::File { handle, bytes, volatile, at_end: false },
            Body::Pieces => Open::Pieces { handle, node: node.clone(), ahead: 0, step: 0 },
        };
        let mut left = false;
        if !volatile && !node.is_valid() {
            // Something newer is known by now and may have been told: this open has its handle, and
            // with it its size, for itself.
            slot.node = node;
            left = true;
        }
        let (id, size, held) = (self.next_open(), length, open.held());
        state.opens.insert(id, open);
        if left {
            state.supersede(handle, &mut changes);
        }
        drop(state);
        self.notify(changes);
        Ok(Some(OpenFile { id, size, held, keep_cache, direct: volatile }))
    }

    pub(super) fn readdir_entry(
        &self,
        state: &mut State,
        parent: Handle,
        directory: &Node,
        stamp: u64,
        entry: &ListEntry,
        plus: bool,
    ) -> DirEntry {
        // What is known better since the listing was made is shown instead.
        let newest = if entry.node.is_live() {
            None
        } else {
            let newest = state.registry.get(entry.node.key, &entry.node.id);
            newest.filter(|node| node.is_live() && node.tells_as_much_as(&entry.node))
        };
        let node = newest.unwrap_or_else(|| entry.node.clone());
        // A link's kind depends on its target. A listing that came without does not read it.
        let target = entry.content.as_deref().filter(|_| Arc::ptr_eq(&node, &entry.node));
        let kind = state.shown_kind(parent, &node, target);
        let shown = (plus && (node.kind != Kind::Symlink || target.is_some())).then(|| {
            let found = Found { node: node.clone(), stamp, asked: false };
            // What is not vouched for is asked for again at the first use.
            let shown = Shown { kind, attr: node.is_live() };
            self.enter(state, parent, directory, &entry.name, &found, shown)
        });
        DirEntry {
            name: entry.name.to_string(),
            cookie: entry.cookie,
            inode: entry.node.inode,
            kind,
            entry: shown,
        }
    }

    /// Refuses what would make the tree deeper than `DEPTH`.
    pub(super) fn admit_depth(&self, parent: Handle) -> Result<()> {
        let deep = self.state().inodes.slot(parent).is_some_and(|slot| slot.depth >= DEPTH);
        if !deep || parent == ROOT {
            return Ok(());
        }
        let node = self.node(parent)?;
        let failure = Failure {
            provider: self.router.name(node.instance),
            cause: Cause::Limit,
            detail: format!("the tree is deeper than {DEPTH} levels here"),
            retry_after: None,
        };
        Err(self.failed(&node, None, failure))
    }
}

impl State {
    /// Whether a symlink may be shown as one at this position: its target stays below the
    /// provider's directory.
    pub(super) fn target_stays_inside(&self, parent: Handle, target: &[u8]) -> bool {
        let Ok(target) = std::str::from_utf8(target) else { return false };
        if target.is_empty() || target.starts_with('/') || target.contains('\0') {
            return false;
        }
        // The instance's directory has depth 1; a link in it may not climb at all.
        let mut depth = self.inodes.slot(parent).map_or(0, |slot| i32::from(slot.depth));
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => depth -= 1,
                _ => depth += 1,
            }
            if depth < 1 {
                return false;
            }
        }
        true
    }

    /// The kind to show for a node below `parent`.
    pub(super) fn shown_kind(&self, parent: Handle, node: &Node, target: Option<&[u8]>) -> Kind {
        match (node.kind, target) {
            (Kind::Symlink, Some(target)) if !self.target_stays_inside(parent, target) => {
                Kind::File
            }
            (kind, _) => kind,
        }
    }
}
