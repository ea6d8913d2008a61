//! What memory may answer with, judged under the lock.

use super::State;
use crate::cache::{Binding, Listing, Memo, Operation, Query};
use crate::events::Prover;
use crate::nodes::{Node, Use};
use bytes::Bytes;
use omnifs_platform::Handle;
use std::sync::Arc;

/// A child that may be served, and the age of the binding of its name.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub node: Arc<Node>,
    pub stamp: u64,
    /// The provider said so just now.
    pub asked: bool,
}

/// What memory says about a name.
pub(super) enum Known {
    Present(Found),
    Absent { stamp: u64 },
    Unknown,
}

impl State {
    /// Notes a use of these nodes' scopes, and names those whose feeds are down and can be asked to prove
    /// what they missed.
    fn suspects<'a>(
        &self,
        nodes: impl IntoIterator<Item = Option<&'a Arc<Node>>>,
    ) -> Vec<(Prover, Arc<str>)> {
        let mut suspects: Vec<(Prover, Arc<str>)> = Vec::new();
        for scope in nodes.into_iter().flatten().filter_map(|node| node.coherence.scope()) {
            scope.note_use();
            if scope.is_live() || suspects.iter().any(|(_, known)| *known == scope.id) {
                continue;
            }
            let prover = self.provers.get(&scope.instance);
            suspects.extend(prover.map(|prover| (prover.clone(), scope.id.clone())));
        }
        suspects
    }

    pub(super) fn suspects_of_name(
        &self,
        directory: &Arc<Node>,
        name: &str,
    ) -> Vec<(Prover, Arc<str>)> {
        self.suspects([Some(directory), self.cache.last_child(directory, name)])
    }

    /// The same for a use of a handle, where it is not one of what somebody has open.
    pub(super) fn suspects_of_handle(&self, handle: Handle, use_: Use) -> Vec<(Prover, Arc<str>)> {
        let Some(slot) = self.inodes.slot(handle) else { return Vec::new() };
        let open = use_ == Use::Attributes && slot.may_be_open() && slot.node.is_snapshot();
        if open || slot.superseded || slot.gone {
            return Vec::new();
        }
        // Of a volatile file the name alone is vouched for, by its directory's feed.
        let parent = slot.links.last().filter(|_| slot.node.is_volatile());
        let parent = parent.and_then(|link| self.inodes.slot(link.parent));
        self.suspects([Some(&slot.node), parent.map(|parent| &parent.node)])
    }

    /// The listing of `directory` as far as memory may answer with it.
    pub(super) fn held_listing(&mut self, directory: &Node) -> Option<Arc<Listing>> {
        let listing = self.cache.listing(directory).filter(|_| !directory.relisted)?;
        let vouched = |listing: &Listing| {
            listing.binding.is_covered()
                || listing.stamp >= directory.stamp() && directory.usable(Use::Listing)
        };
        (listing.is_whole(self.removal) && vouched(&listing)).then_some(listing)
    }

    /// The child of that name as far as memory says so, and may.
    pub(super) fn recall(&mut self, directory: &Node, name: &str) -> Option<Found> {
        if self.is_mount_root(directory) {
            let node = self.roots.get(name)?.node.clone();
            return Some(Found { node, stamp: 0, asked: false });
        }
        match self.known(directory, name) {
            Known::Present(found) => Some(found),
            Known::Absent { .. } | Known::Unknown => None,
        }
    }

    pub(super) fn known(&mut self, directory: &Node, name: &str) -> Known {
        let lookup = Query::new(directory, Operation::Lookup(name.into()));
        match self.cache.get(&lookup) {
            Some(Memo::Child { node, binding }) => {
                let (node, binding) = (node.clone(), binding.clone());
                let node = self.newest(directory, node);
                let found = Found { node, stamp: binding.stamp, asked: false };
                let holds = binding.holds(&found.node);
                return if holds { Known::Present(found) } else { Known::Unknown };
            }
            Some(Memo::Absent(binding))
                if binding.is_covered()
                    && (!directory.relisted
                        || self.ledger.stands_for_all(directory.instance, binding.stamp)) =>
            {
                return Known::Absent { stamp: binding.stamp };
            }
            Some(_) => return Known::Unknown,
            None => {}
        }
        let Some(listing) = self.cache.listing(directory) else { return Known::Unknown };
        let stamp = listing.stamp;
        match listing.get(name) {
            Some(entry) => {
                let node = self.newest(directory, entry.node.clone());
                let holds = match directory.relisted {
                    true => Binding::new(node.coherence.clone(), stamp).holds(&node),
                    false => listing.binding.holds(&node),
                };
                let found = Found { node, stamp, asked: false };
                if holds { Known::Present(found) } else { Known::Unknown }
            }
            None if listing.complete && listing.binding.is_covered() => Known::Absent { stamp },
            None => Known::Unknown,
        }
    }

    /// What is known by now of the object that a name in `directory` leads to: it may have been asked for by
    /// another name. Nothing watches the root directory of an instance, where news of an object are news of
    /// its name; and what was removed may have come back by another name alone.
    fn newest(&self, directory: &Node, child: Arc<Node>) -> Arc<Node> {
        if directory.relisted || child.is_live() || child.is_removed() {
            return child;
        }
        let newest = self.registry.get(child.key, &child.id);
        newest.filter(|node| node.is_live() && node.tells_as_much_as(&child)).unwrap_or(child)
    }

    /// The content of this very node, where it is held: by itself, or in the listing of any directory that
    /// shows it.
    pub(super) fn held_content(&mut self, handle: Handle, node: &Arc<Node>) -> Option<Bytes> {
        if let Some(bytes) = self.cache.content(node, None) {
            return Some(bytes);
        }
        let links = self.inodes.slot(handle)?.links.iter().rev();
        let places: Vec<_> = links
            .filter_map(|link| {
                let parent = self.inodes.slot(link.parent)?.node.clone();
                Some((parent, link.name.clone()))
            })
            .collect();
        places.iter().find_map(|(parent, name)| self.cache.content(node, Some((parent, name))))
    }

    /// No event has named the object, or what it is part of, since a call began.
    pub(super) fn is_untouched(&self, node: &Node, stamp: u64) -> bool {
        let owner = node.owner.as_ref().map(|(_, key)| self.touched.sequence(*key));
        self.touched.sequence(node.key).max(owner.unwrap_or(0)) <= stamp
    }

    /// Whether what was found out at `stamp` about the entries of `directory` still stands.
    pub(super) fn entries_are_live(&self, directory: &Node, stamp: u64) -> bool {
        directory.coherence.covers(stamp) && self.touched.sequence(directory.key) <= stamp
    }

    /// Whether a back end may keep a binding of this age in `directory` until it is told otherwise;
    /// without a child, the absence of the name.
    pub(super) fn binding_is_live(
        &self,
        directory: &Node,
        child: Option<&Node>,
        stamp: u64,
    ) -> bool {
        let covered = match child {
            // A listing that is still open may hold what an event has called gone.
            Some(child) if child.is_removed() => false,
            Some(child) if directory.relisted && !child.is_valid() => false,
            Some(child) => directory.binding(child).covers(stamp),
            None => !directory.relisted || self.ledger.stands_for_all(directory.instance, stamp),
        };
        covered && self.entries_are_live(directory, stamp)
    }
}
