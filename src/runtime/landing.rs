//! Where an answer lands: judged against the events since it was asked for, and kept as far as it may be.

use super::State;
use super::calls::Call;
use super::fetch::Fetched;
use crate::cache::{Binding, Content, ListEntry, Listing, Memo, Operation, Query, cookie};
use crate::mutants::{Mutant, planted};
use crate::names::TARGET_MAX;
use crate::nodes::{Coherence, InstanceId, Key, Node};
use crate::provider::{self, Body as Given, Kind, Piece};
use crate::scopes::covers;
use bytes::Bytes;
use omnifs_platform::Change;
use std::sync::Arc;

/// Services count whole seconds, and answer with the time at which they began to.
const CLOCK_MARGIN: u64 = 2;

pub(super) struct Keyed {
    pub node: provider::Node,
    pub key: Key,
    pub owner: Option<(Arc<str>, Key)>,
    /// Of the content, where it came along.
    pub digest: Option<u64>,
}

impl Keyed {
    pub fn is_directory(&self) -> bool {
        self.node.kind == Kind::Directory
    }

    /// Where it came along.
    pub fn content(&self) -> Option<&Bytes> {
        self.node.content.as_ref().and_then(Given::held)
    }
}

pub(super) struct KeyedOffer {
    pub parent: Arc<str>,
    pub key: Key,
    pub children: Vec<Keyed>,
    pub whole: bool,
}

pub(super) struct KeyedContent {
    pub node: Arc<str>,
    pub key: Key,
    pub bytes: Bytes,
    pub digest: u64,
}

pub(super) enum Body {
    Child(Keyed),
    Listing(Vec<Keyed>),
    Content(Bytes, u64),
    Piece(Piece),
}

pub(super) struct Prepared {
    pub body: Body,
    pub offers: Vec<KeyedOffer>,
    pub along: Vec<KeyedContent>,
    pub partials: Vec<provider::Partial>,
}

/// The events of an instance since a call began.
pub(super) struct Events {
    hits: Vec<(u64, provider::Change)>,
    /// When another provider took the place of the one that was asked: that concerns all it says.
    renewed: Option<u64>,
}

impl Events {
    /// What lands is judged in another way.
    pub fn none() -> Self {
        Events { hits: Vec::new(), renewed: None }
    }

    pub fn since(state: &State, instance: InstanceId, stamp: u64) -> Self {
        let hits = state.ledger.hits(instance, stamp);
        let hits = hits.map(|(sequence, change)| (sequence, change.clone())).collect();
        let renewed = state.renewed.get(&instance).copied().filter(|renewed| *renewed > stamp);
        Events { hits, renewed }
    }

    fn first(&self, concerns: impl Fn(&provider::Change) -> bool) -> Option<u64> {
        self.hits.iter().find(|(_, change)| concerns(change)).map(|(sequence, _)| *sequence)
    }

    /// The first event on an object's own state.
    fn on_object(&self, id: &str, owner: Option<&str>, coherence: &Coherence) -> Option<u64> {
        let own = self.first(|change| match change {
            provider::Change::Invalidated(of) | provider::Change::Removed(of) => {
                **of == *id || owner == Some(&**of)
            }
            provider::Change::Gap(scope) => {
                coherence.scope().is_some_and(|own| covers(scope, &own.id))
            }
            provider::Change::ChildrenChanged(_) => false,
        });
        [own, self.renewed].into_iter().flatten().min()
    }

    /// The first event on which names a directory holds.
    pub fn on_binding(&self, directory: &Node) -> Option<u64> {
        let owner = directory.owner.as_ref().map(|(id, _)| &**id);
        let object = self.on_object(&directory.id, owner, &directory.coherence);
        let children = self.first(|change| match change {
            provider::Change::ChildrenChanged(of) => *of == directory.id,
            // Belongs to no scope, and so to all of them.
            provider::Change::Gap(_) => directory.relisted,
            _ => false,
        });
        [object, children].into_iter().flatten().min()
    }

    /// The first event that called an entry gone.
    fn on_removal_in(&self, listing: &Listing) -> Option<u64> {
        self.first(|change| {
            let holds = |id: &str| listing.entries.iter().any(|entry| *entry.node.id == *id);
            matches!(change, provider::Change::Removed(of) if holds(of))
        })
    }

    fn on_removal(&self, id: &str) -> Option<u64> {
        self.first(|change| matches!(change, provider::Change::Removed(of) if **of == *id))
    }
}

pub(super) struct Landing<'a> {
    pub call: &'a Call,
    /// When what lands was asked for.
    pub stamp: u64,
    /// It comes from the disk, and an event on it may have come since.
    pub recalled: bool,
    pub state: &'a mut State,
    pub events: &'a Events,
    pub changes: &'a mut Vec<Change>,
}

impl Landing<'_> {
    /// The one node for what was answered. Where an event on it came in since, the node is there
    /// but already invalid.
    fn intern(&mut self, keyed: &Keyed) -> (Arc<Node>, Option<u64>) {
        let Keyed { node: answered, key, owner, digest } = keyed;
        let instance = self.call.query.instance;
        if self.recalled
            && let Some(known) = self.state.registry.get(*key, &answered.id)
            && known.stamp() > self.stamp
        {
            return (known, None);
        }
        let coherence = match &answered.coherence {
            provider::Coherence::Immutable => Coherence::Immutable,
            provider::Coherence::Volatile => Coherence::Volatile,
            provider::Coherence::Scoped(scope) => {
                // Of one that nobody has heard of nothing is vouched for that was asked for earlier.
                let stamp = self.call.stamp.max(self.stamp);
                let scope = self.state.ledger.scope(instance, scope, stamp);
                let clock = self.state.clocks.get(&instance);
                if let Some(answered) = clock.and_then(|clock| (clock.0)()) {
                    let call = self.call.began.elapsed().as_secs() + CLOCK_MARGIN;
                    scope.began(answered.saturating_sub(call));
                }
                Coherence::Scoped(scope)
            }
        };
        let mut spoiled =
            self.events.on_object(&answered.id, owner.as_ref().map(|o| &*o.0), &coherence);
        if self.recalled {
            let owner = owner.as_ref().map(|(_, owner)| self.state.touched.sequence(*owner));
            let touched = self.state.touched.sequence(*key).max(owner.unwrap_or(0));
            spoiled = spoiled.or((touched > self.stamp).then_some(touched));
        }
        let inode = self.state.inodes.settle(instance, &answered.id, *key);
        let fresh =
            Node::new(instance, answered, inode, *key, owner.clone(), coherence, self.stamp);
        if let Some(digest) = digest {
            let _ = fresh.digest.set(*digest);
        }
        if spoiled.is_some() {
            if self.events.on_removal(&answered.id).is_some() {
                fresh.remove();
            }
            return (self.state.registry.admit_spoiled(fresh), spoiled);
        }
        let interned = self.state.registry.intern(fresh);
        if let Some(old) = interned.replaced {
            self.state.displace(&old, self.changes);
        }
        if self.recalled {
            // Nobody has asked for it: where no feed vouches for it, it answers no use.
            interned.node.withdraw();
        }
        (interned.node, None)
    }

    /// Keeps an answer, on disk too where it is to be found there after the next start.
    fn insert(&mut self, query: Query, memo: Memo) {
        if !self.recalled
            && let Some(disk) = &self.state.touched.disk
        {
            disk.keep(&query, &memo, self.stamp, self.call.forbidden);
        }
        self.state.cache.insert(query, memo);
    }

    /// Keeps an answer in memory alone: the older one on disk is not found any more.
    fn insert_in_memory(&mut self, query: Query, memo: Memo) {
        if !self.recalled {
            self.state.touched.disk.iter().for_each(|disk| disk.outdate(&query));
        }
        self.state.cache.insert(query, memo);
    }

    /// Whether more is known of the object of an answer than that answer says.
    fn is_newer(&self, node: &Node) -> bool {
        self.recalled && node.stamp() > self.stamp
    }

    pub fn child(&mut self, keyed: Keyed) -> (Fetched, Option<u64>) {
        let (node, on_child) = self.intern(&keyed);
        let spoiled =
            [on_child, self.events.on_binding(&self.call.node)].into_iter().flatten().min();
        if spoiled.is_none() {
            let Operation::Lookup(name) = &self.call.query.operation else {
                return (Fetched::Child(node), spoiled);
            };
            // So is one that lacks the name and is said to be whole.
            let call = self.call;
            let listing = self.state.cache.listing(&call.node);
            if listing.is_some_and(|l| l.complete && l.get(name).is_none()) {
                self.state.cache.remove(&Query::new(&call.node, Operation::List));
            }
            self.bind(&call.node, name.clone(), &node);
            self.keep_content(&node, keyed.node.content.as_ref());
        }
        (Fetched::Child(node), spoiled)
    }

    /// Keeps that `name` in `directory` leads to `node`. A listing that binds it to another object is out
    /// of date.
    fn bind(&mut self, directory: &Node, name: Arc<str>, node: &Arc<Node>) {
        let listing = self.state.cache.listing(directory);
        if listing.is_some_and(|l| l.get(&name).is_some_and(|e| e.node.id != node.id)) {
            self.state.cache.remove(&Query::new(directory, Operation::List));
        }
        let binding = Binding::new(directory.binding(node), self.stamp);
        let memo = Memo::Child { node: node.clone(), binding };
        self.insert(Query::new(directory, Operation::Lookup(name)), memo);
    }

    fn keep_content(&mut self, node: &Arc<Node>, content: Option<&Given>) {
        if let Some(bytes) = content.and_then(Given::held)
            && !self.is_newer(node)
            && !node.is_volatile()
            && !node.is_directory()
        {
            let content = Content { bytes: bytes.clone(), node: node.clone() };
            self.insert(Query::new(node, Operation::Read), Memo::Content(content));
        }
    }

    pub fn entries(
        &mut self,
        directory: Key,
        children: impl IntoIterator<Item = Keyed>,
    ) -> Vec<ListEntry> {
        children
            .into_iter()
            .map(|keyed| {
                let (node, _) = self.intern(&keyed);
                node.note_listed(directory);
                let content = keyed.content().filter(|_| !node.is_volatile());
                let content = content.filter(|_| !self.is_newer(&node)).cloned();
                let name: Arc<str> = keyed.node.name.into();
                ListEntry { cookie: cookie(&name), name, content, node }
            })
            .collect()
    }

    /// Keeps the listing that was asked for. One that the provider calls `partial` stops short.
    pub fn listing(&mut self, listing: Listing, partial: bool) -> (Fetched, Option<u64>) {
        let removed = self.events.on_removal_in(&listing);
        let directory = self.call.node.clone();
        let spoiled = [removed, self.events.on_binding(&directory)].into_iter().flatten().min();
        let listing = Arc::new(listing);
        if spoiled.is_none() {
            let instance = directory.instance;
            if !partial {
                self.state.compare(&directory, &listing, self.changes);
            }
            self.state.contradict(&directory, &listing, self.changes);
            self.state.cache.forget_children(instance, &directory.id);
            let (query, memo) = (self.call.query.clone(), Memo::Listing(listing.clone()));
            // Where entries are missing, or nothing watches which there are, the next start asks.
            match partial || directory.relisted {
                true => self.insert_in_memory(query, memo),
                false => self.insert(query, memo),
            }
        }
        (Fetched::Listing(listing), spoiled)
    }

    pub fn content(&mut self, bytes: Bytes, digest: u64) -> (Fetched, Option<u64>) {
        let asked = self.call.node.clone();
        let (node, spoiled) = self.read(&asked, &bytes, digest);
        (Fetched::Content(bytes, node), spoiled)
    }

    /// A piece is of one state for ever, whatever has happened since.
    pub fn piece(&mut self, piece: Piece) -> (Fetched, Option<u64>) {
        let (query, memo) = match &piece.whole {
            Some(whole) => {
                let node = self.call.node.clone();
                let content = Content { bytes: whole.clone(), node: node.clone() };
                (Query::new(&node, Operation::Read), Memo::Content(content))
            }
            None => (self.call.query.clone(), Memo::Piece(piece.bytes.clone())),
        };
        self.insert_in_memory(query, memo);
        (Fetched::Piece(piece), None)
    }

    /// Keeps the content of another file that came along, where what is known of that file is not
    /// newer. Outside a live scope nothing would tell.
    pub fn along(&mut self, content: KeyedContent) {
        let Some(node) = self.state.registry.get(content.key, &content.node) else { return };
        let owner = node.owner.as_ref().map(|(id, _)| &**id);
        let spoiled = self.events.on_object(&node.id, owner, &node.coherence);
        let known = node.is_live() && node.stamp() <= self.stamp && spoiled.is_none();
        let fits = node.kind != Kind::Symlink || content.bytes.len() <= TARGET_MAX;
        // Of one that says where its content is, nothing else is.
        if known && fits && node.remote.is_none() && !node.is_directory() {
            self.read(&node, &content.bytes, content.digest);
        }
    }

    /// Keeps what was read of `asked`; gives the node whose content it is.
    fn read(&mut self, asked: &Arc<Node>, bytes: &Bytes, digest: u64) -> (Arc<Node>, Option<u64>) {
        let owner = asked.owner.as_ref().map(|(id, _)| &**id);
        let spoiled = self.events.on_object(&asked.id, owner, &asked.coherence);
        let length = bytes.len() as u64;
        let mut node = asked.clone();
        if asked.is_volatile() {
            return (node, spoiled);
        }
        let known = asked.is_valid() && asked.holds(length, digest);
        if !known {
            // What was announced, or read before, is not what was read now, or an event has called
            // it out of date. What was read now is shown, and whoever cached the other is told.
            let fresh = asked.with_content(length, digest, self.stamp);
            if spoiled.is_some() {
                return (self.state.registry.admit_spoiled(fresh), spoiled);
            }
            let newest = self.state.registry.get(asked.key, &asked.id);
            // Somebody has asked for the object itself meanwhile. Which of the two answers is the
            // newer one nobody can say, so this one is that object's only where it is proven.
            let other = newest.filter(|newest| newest.is_valid() && !Arc::ptr_eq(newest, asked));
            node = match other {
                Some(newest) if newest.digest.get() == Some(&digest) => newest,
                Some(_) => return (self.state.registry.admit_spoiled(fresh), spoiled),
                None => {
                    let interned = self.state.registry.intern(fresh);
                    if let Some(old) = interned.replaced {
                        self.state.displace(&old, self.changes);
                    }
                    interned.node
                }
            };
        }
        if spoiled.is_none() && node.is_valid() {
            let content = Content { bytes: bytes.clone(), node: node.clone() };
            self.insert(Query::new(asked, Operation::Read), Memo::Content(content));
        }
        (node, spoiled)
    }

    /// Keeps what came along for other directories, as far as these are known: one may be offered after
    /// what is in it.
    pub fn all_offers(&mut self, mut offers: Vec<KeyedOffer>) {
        loop {
            let before = offers.len();
            offers = offers.into_iter().filter_map(|offer| self.offer(offer)).collect();
            if offers.is_empty() || offers.len() == before {
                return;
            }
        }
    }

    /// Keeps entries that came along for another directory. Gives the offer back where that
    /// directory is not known.
    pub fn offer(&mut self, offer: KeyedOffer) -> Option<KeyedOffer> {
        let Some(parent) = self.state.registry.get(offer.key, &offer.parent) else {
            return Some(offer);
        };
        if !parent.is_directory() || self.events.on_binding(&parent).is_some() {
            return None;
        }
        let stamp = self.stamp;
        if offer.whole || planted(Mutant::BelievesPartial) {
            let entries = self.entries(parent.key, offer.children);
            let (key, coherence) = (parent.key, parent.coherence.clone());
            let listing = Listing::new(key, entries, parent.complete, stamp, coherence);
            self.state.compare(&parent, &listing, self.changes);
            self.state.contradict(&parent, &listing, self.changes);
            self.state.cache.forget_children(parent.instance, &parent.id);
            let (query, memo) =
                (Query::new(&parent, Operation::List), Memo::Listing(Arc::new(listing)));
            match parent.relisted {
                true => self.insert_in_memory(query, memo),
                false => self.insert(query, memo),
            }
            return None;
        }
        for mut keyed in offer.children {
            let content = keyed.node.content.clone();
            let name: Arc<str> = std::mem::take(&mut keyed.node.name).into();
            let (node, spoiled) = self.intern(&keyed);
            if spoiled.is_some() {
                continue;
            }
            self.bind(&parent, name, &node);
            self.keep_content(&node, content.as_ref());
        }
        None
    }
}
