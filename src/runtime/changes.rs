//! Events in, notifications out.
//!
//! The order in every event: the sequence moves and nodes are marked, memos are dropped, all under
//! the lock; only then, with the lock released, are back ends told.

use super::State;
use super::silent::is_kept;
use crate::inodes::{Told, key};
use crate::mutants::{Mutant, planted};
use crate::nodes::{InstanceId, Node};
use crate::provider;
use crate::remote::Remote;
use crate::router::MOUNT;
use crate::scopes::covers;
use omnifs_platform::{Change, Error, Fate, Handle, Result};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

impl State {
    pub(super) fn apply(
        &mut self,
        instance: InstanceId,
        name: &str,
        change: &provider::Change,
        out: &mut Vec<Change>,
    ) {
        self.ledger.record(instance, change);
        let sequence = self.ledger.sequence();
        let now = SystemTime::now();
        match change {
            provider::Change::Invalidated(id) => {
                let key = key(name, id);
                self.touched.touch(key, sequence, now);
                let nodes = self.registry.invalidate(key);
                self.count_event(instance, &nodes);
                self.note_before(&nodes);
                self.keep_for_holders(&nodes);
                self.cache.forget_children(instance, id);
                for node in nodes {
                    self.stir(&node, out);
                    self.drop_unversioned(&node, id);
                    if node.is_directory() {
                        self.touched.touch(node.key, sequence, now);
                        self.unpage(&node);
                    }
                    self.displace(&node, out);
                }
            }
            provider::Change::Removed(id) => {
                let key = key(name, id);
                self.touched.remove(key, sequence, now);
                let nodes = self.registry.invalidate(key);
                self.count_event(instance, &nodes);
                self.keep_for_holders(&nodes);
                self.cache.forget_children(instance, id);
                self.removal = sequence;
                let listed: HashSet<_> = nodes.iter().flat_map(|node| node.listed()).collect();
                for node in nodes {
                    node.remove();
                    self.cache.forget_content(node.instance, &node.id);
                    self.cache.forget_children(node.instance, &node.id);
                    self.bury(&node, out);
                }
                self.drop_listings_with_gone(listed, out);
            }
            provider::Change::ChildrenChanged(id) => {
                let key = key(name, id);
                self.touched.touch(key, sequence, now);
                let node = self.registry.get(key, id);
                self.count_event(instance, node.as_slice());
                self.note_before(node.as_slice());
                self.cache.forget_children(instance, id);
                if let Some(node) = node {
                    self.stir(&node, out);
                    self.unpage(&node);
                    for handle in self.inodes.handles_of(&node) {
                        self.expire_entries(handle, out);
                    }
                }
            }
            provider::Change::Gap(scope) => {
                self.touched.disk.iter().for_each(|disk| disk.gap(instance, scope));
                self.count_event(instance, &[]);
                self.suspect(instance, scope, out);
            }
        }
    }

    /// Counts an event, also for the scopes that it concerns: those of what is known of its object.
    fn count_event(&mut self, instance: InstanceId, nodes: &[Arc<Node>]) {
        self.events += 1;
        let scopes = nodes.iter().filter_map(|node| node.coherence.scope());
        self.ledger.count_event(instance, scopes.map(|scope| &*scope.id));
    }

    /// What is part of an invalidated object goes from the cache, unless a version can later prove
    /// that its content is the same.
    fn drop_unversioned(&mut self, node: &Node, changed: &Arc<str>) {
        if node.version.is_none() {
            self.cache.forget_content(node.instance, &node.id);
        }
        if node.is_directory() && node.id != *changed {
            self.cache.forget_children(node.instance, &node.id);
        }
    }

    /// A node no longer describes its object: whoever shows it is told.
    pub(super) fn displace(&mut self, node: &Arc<Node>, out: &mut Vec<Change>) {
        self.keep_for_holders(std::slice::from_ref(node));
        for handle in self.inodes.handles_of(node) {
            let Some(slot) = self.inodes.slot(handle) else { continue };
            if slot.superseded {
                continue;
            }
            if node.is_directory() {
                self.expire_entries(handle, out);
            } else if node.is_volatile() {
                // Nothing of it is kept by anybody.
            } else if
            // Process A has looked `f` up and is about to ask for its size when B looks it up too, and nothing
            // proves that B's answer is A's. A was told nothing yet, and goes on with B's by the same handle.
            slot.may_be_open() && !planted(Mutant::DropsWhatIsOpen)
                || self.inodes.silent && is_kept(node) && slot.was_told()
            {
                self.supersede(handle, out);
            } else {
                out.push(Change::Content { handle, open: planted(Mutant::KeepsPages) });
            }
        }
    }

    /// Leaves a handle and its content to those who hold it open, and has its names looked up
    /// again. Its attributes are asked for from now on: they are those of what is open, and those of
    /// nothing once it is closed.
    pub(super) fn supersede(&mut self, handle: Handle, out: &mut Vec<Change>) {
        self.keep_open_for_holders(handle);
        let slot = self.inodes.slot_mut(handle).filter(|slot| !slot.superseded);
        let Some(slot) = slot else { return };
        slot.superseded = true;
        out.push(Change::Content { handle, open: true });
        for link in &slot.links {
            let (parent, name) = (link.parent, link.name.to_string());
            out.push(Change::Entry { parent, name, fate: Fate::Replaced });
        }
    }

    /// The entry set of a directory position changed: its listing and every name in it, present or
    /// absent, is looked up again.
    fn expire_entries(&mut self, handle: Handle, out: &mut Vec<Change>) {
        out.push(Change::Content { handle, open: false });
        let told = self.inodes.told(handle).filter(|_| !planted(Mutant::ForgetsNames));
        for (name, _) in told {
            out.push(Change::Entry {
                parent: handle,
                name: name.to_string(),
                fate: Fate::Doubtful,
            });
        }
        self.inodes.clear_absent(handle);
    }

    /// The object of this node was deleted upstream.
    fn bury(&mut self, node: &Arc<Node>, out: &mut Vec<Change>) {
        for handle in self.inodes.handles_of(node) {
            self.keep_open_for_holders(handle);
            let Some(slot) = self.inodes.slot_mut(handle) else { continue };
            slot.gone = true;
            let (links, open) = (slot.links.clone(), slot.may_be_open());
            for link in links {
                let (parent, name) = (link.parent, link.name.to_string());
                self.tell_deleted(&link, handle, node.is_directory(), out);
                out.push(Change::Entry { parent, name, fate: Fate::Removed(handle) });
            }
            // Who still holds the handle (a working directory, a descriptor of the path alone) would
            // be shown the attributes that were kept of it.
            out.push(Change::Content { handle, open });
            if node.is_directory() {
                for (name, told) in self.inodes.told(handle) {
                    let fate = match told {
                        Told::Present(child) => Fate::Removed(child),
                        Told::Absent => Fate::Doubtful,
                    };
                    let name = name.to_string();
                    out.push(Change::Entry { parent: handle, name, fate });
                }
                self.inodes.clear_absent(handle);
            }
        }
    }

    /// Invalidates a node and everything known below it.
    pub(super) fn refresh(&mut self, handle: Handle, out: &mut Vec<Change>) -> Result<u64> {
        let top = self.inodes.slot(handle).ok_or(Error::Stale)?.node.clone();
        let mut nodes = vec![top];
        let mut seen: HashSet<(InstanceId, Arc<str>)> = HashSet::new();
        let mut concerned = Vec::new();
        while let Some(node) = nodes.pop().or_else(|| self.below(&seen)) {
            if !seen.insert((node.instance, node.id.clone())) {
                continue;
            }
            if let Some(listing) = self.cache.listing(&node) {
                nodes.extend(listing.entries.iter().map(|entry| entry.node.clone()));
            }
            if self.is_mount_root(&node) {
                nodes.extend(self.roots.entries.iter().map(|entry| entry.node.clone()));
            }
            for handle in self.inodes.handles_of(&node) {
                for (_, told) in self.inodes.told(handle) {
                    if let Told::Present(child) = told
                        && let Some(slot) = self.inodes.slot(child)
                    {
                        nodes.push(slot.node.clone());
                    }
                }
            }
            concerned.push(node);
        }
        // Before anything is dropped: a content may be at hand in the listing of its directory.
        self.keep_for_holders(&concerned);
        for node in concerned {
            self.cache.forget_children(node.instance, &node.id);
            self.cache.forget_content(node.instance, &node.id);
            // What is on its way was asked for before, and is no answer to who asks from now on.
            self.ledger.record(node.instance, &provider::Change::Invalidated(node.id.clone()));
            self.touched.doubt(node.key, self.ledger.sequence());
            // The fixed part of the tree has nobody to ask about it.
            if !node.relisted && !self.is_mount_root(&node) {
                // Also what a lookup has brought and nobody shows yet.
                self.registry.invalidate(node.key);
                node.invalidate();
                // Pieces are kept by their state, so that one is at its end.
                node.remote.iter().for_each(Remote::retire);
            }
            self.displace(&node, out);
        }
        self.recalled_from = self.ledger.sequence();
        self.touched.disk.iter().for_each(|disk| disk.doubt(self.recalled_from));
        // What no back end holds any more, and what is on its way to one, may be below too.
        for instance in seen.iter().map(|(instance, _)| *instance).collect::<HashSet<_>>() {
            let slots = self.inodes.handles().map(|(_, slot)| &slot.node);
            let held: HashSet<_> = slots
                .filter(|node| node.instance == instance)
                .map(|node| node.id.clone())
                .collect();
            self.cache.forget_all_but(instance, |id| held.contains(id));
            if instance != MOUNT {
                self.registry.invalidate_all_but(instance, |id| held.contains(id));
            }
            self.ledger.overtake(instance);
        }
        Ok(seen.len() as u64)
    }

    /// A node that a back end holds, not yet seen and shown in a directory that was; or in one that no
    /// back end holds any more, so that it may have been below.
    fn below(&self, seen: &HashSet<(InstanceId, Arc<str>)>) -> Option<Arc<Node>> {
        let was_seen = |node: &Node| seen.contains(&(node.instance, node.id.clone()));
        let mut held = self.inodes.handles().filter(|(_, slot)| !was_seen(&slot.node));
        let found = held.find(|(_, slot)| {
            slot.links.iter().any(|link| {
                self.inodes.slot(link.parent).is_none_or(|parent| was_seen(&parent.node))
            })
        });
        found.map(|(_, slot)| slot.node.clone())
    }

    /// Nothing in this scope may be served by a kernel without asking. Who is to be told is found once
    /// the lock is released, some at a time ([`Runtime::doubt`]): what kernels are told from now on they
    /// may not keep.
    pub(super) fn suspect(&mut self, instance: InstanceId, scope: &str, out: &mut Vec<Change>) {
        self.suspected.push((instance, scope.into()));
        self.expire_root_absences(instance, out);
    }

    pub(super) fn is_in(&self, handle: Handle, instance: InstanceId, scope: &str) -> bool {
        self.inodes.slot(handle).is_some_and(|slot| {
            let own = slot.node.coherence.scope();
            slot.node.instance == instance && own.is_some_and(|own| covers(scope, &own.id))
        })
    }

    /// Has kernels ask for what these handles show, where they or their names are of the scope. Of `room`
    /// bytes may be put aside.
    pub(super) fn doubt(
        &mut self,
        handles: &[Handle],
        (instance, scope): (InstanceId, &str),
        room: &mut u64,
        out: &mut Vec<Change>,
    ) {
        for &handle in handles {
            let Some(slot) = self.inodes.slot(handle).filter(|slot| !slot.superseded) else {
                continue;
            };
            let node = slot.node.clone();
            let own = self.is_in(handle, instance, scope);
            // A directory may hold thousands of names: each is told of with what it leads to.
            for link in &slot.links {
                if own || self.is_in(link.parent, instance, scope) {
                    let (parent, name) = (link.parent, link.name.to_string());
                    out.push(Change::Entry { parent, name, fate: Fate::Doubtful });
                }
            }
            if !own {
                continue;
            }
            // Of what is read in pieces nothing is put aside, unless the service has answered the whole.
            let at_hand = node.remote.is_none() || self.cache.content(&node, None).is_some();
            let size = node.size.get().copied().filter(|_| at_hand).unwrap_or(0);
            // The feed may have come back meanwhile.
            if size <= *room && !node.is_live() {
                self.keep_for_holders(std::slice::from_ref(&node));
                *room -= size;
            }
            if node.is_directory() {
                out.push(Change::Content { handle, open: false });
                self.expire_absences(handle, out);
            } else {
                // Content that turns out to be the same keeps its pages: only the attributes are
                // dropped here, and the next open compares.
                out.push(Change::Content { handle, open: true });
            }
        }
    }

    fn expire_absences(&mut self, handle: Handle, out: &mut Vec<Change>) {
        let absent = self.inodes.absent(handle).map(|name| Change::Entry {
            parent: handle,
            name: name.to_string(),
            fate: Fate::Doubtful,
        });
        out.extend(absent);
        self.inodes.clear_absent(handle);
    }

    /// A feed is down. Where that is no news, kernels keep nothing of its scopes.
    pub(super) fn down(
        &mut self,
        instance: InstanceId,
        scope: &str,
        news: bool,
        out: &mut Vec<Change>,
    ) {
        match news && !planted(Mutant::LosesInSilence) {
            true => self.suspect(instance, scope, out),
            false => self.expire_root_absences(instance, out),
        }
    }

    /// What somebody has open is in use, also while nothing of it is asked of us.
    pub(super) fn note_open(&self) {
        for open in self.opens.values() {
            let Some(slot) = self.inodes.slot(open.handle()) else { continue };
            // That of a log is its directory's.
            let parent = slot.links.last().and_then(|link| self.inodes.slot(link.parent));
            for slot in std::iter::once(slot).chain(parent) {
                slot.node.coherence.scope().into_iter().for_each(|scope| scope.note_use());
            }
        }
    }

    /// Which names the instance's root lacks is remembered until one of its feeds turns.
    pub(super) fn expire_root_absences(&mut self, instance: InstanceId, out: &mut Vec<Change>) {
        let root = self.roots.entries.iter().find(|entry| entry.node.instance == instance);
        for handle in root.map_or_else(Vec::new, |root| self.inodes.handles_of(&root.node)) {
            self.expire_absences(handle, out);
        }
    }
}
