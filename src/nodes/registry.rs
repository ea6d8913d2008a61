//! Which node is the newest of its object, and all that there are of it.

use super::{InstanceId, Key, Node, Numbers};
use crate::mutants::{Mutant, planted};
use crate::sharded::Parts;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The newest node of each object that anything still holds, reachable by its own id and by its
/// owner's.
#[derive(Debug, Default)]
pub struct Registry {
    pub(super) parts: Parts<Part>,
}

#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) by_key: HashMap<Key, Vec<Weak<Node>>, Numbers>,
    /// References stored, dead ones included; drives the sweep.
    stored: usize,
    sweep_at: usize,
}

/// What [`Registry::intern`] found.
#[derive(Debug)]
pub struct Interned {
    pub node: Arc<Node>,
    /// The node that this one replaces because it says something else.
    pub replaced: Option<Arc<Node>>,
}

impl Registry {
    /// The one node for the object that `fresh` describes: the node already known where it says the
    /// same (then confirmed as of `fresh`'s stamp), else `fresh`, with the old one invalidated.
    pub fn intern(&mut self, fresh: Node) -> Interned {
        let known = self.get(fresh.key, &fresh.id);
        if let Some(known) = known {
            // Without a version nothing proves that content which no feed vouches for is the same
            // again; answers of one call are of one moment.
            let vouched = known.is_live() || known.is_valid() && known.stamp() == fresh.stamp();
            let proven = planted(Mutant::ProvesByName)
                || vouched
                || known.version.is_some()
                || known.digest.get().is_some() && known.digest == fresh.digest
                || known.is_directory()
                || known.is_volatile() && known.is_valid();
            if proven && known.describes_the_same(&fresh) {
                if let Some(size) = fresh.size.get() {
                    let _ = known.size.set(*size);
                }
                if let Some(digest) = fresh.digest.get() {
                    let _ = known.digest.set(*digest);
                }
                known.refresh(fresh.stamp());
                return Interned { node: known, replaced: None };
            }
            known.invalidate();
            let node = self.insert(fresh);
            return Interned { node, replaced: Some(known) };
        }
        Interned { node: self.insert(fresh), replaced: None }
    }

    fn insert(&mut self, node: Node) -> Arc<Node> {
        node.refresh(node.stamp());
        let node = Arc::new(node);
        self.link(node.key, &node, true);
        if let Some((_, owner)) = &node.owner
            && *owner != node.key
        {
            self.link(*owner, &node, true);
        }
        node
    }

    /// Makes a node known that an event had called out of date before it came: it is never given to
    /// anybody else, but who was given it shows it, and events must find it there.
    pub fn admit_spoiled(&mut self, fresh: Node) -> Arc<Node> {
        fresh.invalidate();
        let node = Arc::new(fresh);
        self.link(node.key, &node, false);
        if let Some((_, owner)) = &node.owner
            && *owner != node.key
        {
            self.link(*owner, &node, false);
        }
        node
    }

    fn link(&mut self, key: Key, node: &Arc<Node>, newest: bool) {
        self.parts.of_mut(&key).link(key, node, newest);
    }

    fn holders(&self, key: Key) -> &[Weak<Node>] {
        self.parts.of(&key).by_key.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The newest node of this object, if anything holds it.
    pub fn get(&self, key: Key, id: &str) -> Option<Arc<Node>> {
        self.holders(key).iter().rev().filter_map(Weak::upgrade).find(|node| &*node.id == id)
    }

    /// Marks all nodes of an instance but those whose ids `keep` names, and those that have nobody to
    /// ask about them.
    pub fn invalidate_all_but(&self, instance: InstanceId, keep: impl Fn(&Arc<str>) -> bool) {
        let nodes = self.parts.iter().flat_map(|part| part.by_key.values().flatten());
        let of = nodes
            .filter_map(Weak::upgrade)
            .filter(|node| node.instance == instance && !node.relisted);
        of.filter(|node| !keep(&node.id)).for_each(|node| node.invalidate());
    }

    /// Marks the object and everything that is part of it, and returns those nodes.
    pub fn invalidate(&mut self, key: Key) -> Vec<Arc<Node>> {
        let mut nodes: Vec<_> = self.holders(key).iter().filter_map(Weak::upgrade).collect();
        nodes.retain(|node| node.key == key || !planted(Mutant::ForgetsParts));
        for node in &nodes {
            node.invalidate();
        }
        nodes
    }
}

impl Part {
    fn link(&mut self, key: Key, node: &Arc<Node>, newest: bool) {
        let holders = self.by_key.entry(key).or_default();
        if holders.len() == holders.capacity() && holders.len() >= 4 {
            let before = holders.len();
            holders.retain(|weak| weak.strong_count() > 0);
            self.stored -= before - holders.len();
        }
        let at = if newest { holders.len() } else { 0 };
        holders.insert(at, Arc::downgrade(node));
        self.stored += 1;
        if self.stored > self.sweep_at {
            self.sweep();
        }
    }

    /// Drops dead references. Amortised: runs when the part has doubled since the last time.
    fn sweep(&mut self) {
        let mut stored = 0;
        self.by_key.retain(|_, holders| {
            holders.retain(|weak| weak.strong_count() > 0);
            stored += holders.len();
            !holders.is_empty()
        });
        self.stored = stored;
        self.sweep_at = (stored * 2).max(16);
    }
}
