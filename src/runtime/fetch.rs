//! Provider calls: one at a time for each (node, operation), and the landing of their answers.
//!
//! An answer is kept only if no event that concerns it came between the beginning of the call and
//! its landing. Whoever asks while a call is under way shares it, unless such an event came before
//! they asked: then they would see something older than what they had been told, so they ask again.

use super::{Runtime, State};
use crate::cache::{Binding, Content, ListEntry, Listing, Memo, Operation, Query, cookie};
use crate::inodes::key;
use crate::nodes::{Coherence, InstanceId, Key, Node, digest};
use crate::provider::{self, Along, Answer, Cause, Failure, Kind, Offer};
use crate::scopes::covers;
use bytes::Bytes;
use omnifs_platform::Change;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::Notify;

/// What a call brought.
#[derive(Clone, Debug)]
pub(super) enum Fetched {
    Child(Arc<Node>),
    Listing(Arc<Listing>),
    Content(Bytes, Arc<Node>),
}

#[derive(Clone, Debug)]
pub(super) struct Landed {
    pub result: Result<Fetched, Failure>,
    pub stamp: u64,
    /// The first event since the call began that concerns the answer.
    spoiled: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Flight {
    stamp: u64,
    landed: OnceLock<Landed>,
    done: Notify,
}

impl Flight {
    async fn wait(&self) -> &Landed {
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if let Some(landed) = self.landed.get() {
                return landed;
            }
            done.await;
        }
    }
}

/// An answer as the provider gave it.
enum Raw {
    Child(Answer<provider::Node>),
    Listing(Answer<Vec<provider::Node>>),
    Content(Answer<Bytes>),
}

impl Runtime {
    /// Asks the provider, or shares a call that is under way.
    pub(super) async fn fetch(&self, node: &Arc<Node>, operation: Operation) -> Landed {
        let query = Query::new(node, operation);
        let asked = self.state().ledger.sequence();
        loop {
            let flight = self.join(&query, node);
            let landed = flight.wait().await;
            match landed.spoiled {
                Some(event) if event <= asked => continue,
                _ => return landed.clone(),
            }
        }
    }

    fn join(&self, query: &Query, node: &Arc<Node>) -> Arc<Flight> {
        let mut state = self.state();
        if let Some(flight) = state.flights.get(query) {
            // One that an event has already overtaken is not worth waiting for.
            let events = Events::since(&state, query.instance, flight.stamp);
            if events.on_binding(node).is_none() {
                return flight.clone();
            }
        }
        let stamp = state.ledger.begin();
        let flight = Arc::new(Flight { stamp, landed: OnceLock::new(), done: Notify::new() });
        state.flights.insert(query.clone(), flight.clone());
        drop(state);
        let call = Call {
            runtime: self.arc(),
            query: query.clone(),
            node: node.clone(),
            stamp,
            began: Instant::now(),
            flight: flight.clone(),
        };
        // Its own task, so that the call lands whoever stops waiting for it.
        self.tokio.spawn(call.run());
        flight
    }
}

struct Call {
    runtime: Arc<Runtime>,
    query: Query,
    node: Arc<Node>,
    stamp: u64,
    began: Instant,
    flight: Arc<Flight>,
}

/// Services count whole seconds, and answer with the time at which they began to.
const CLOCK_MARGIN: u64 = 2;

impl Call {
    async fn run(self) {
        if let Some(calls) = self.runtime.calls.get(usize::from(self.query.instance.0)) {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        let raw = match self.runtime.router.provider(self.query.instance) {
            Err(failure) => Err(failure),
            Ok(provider) => match &self.query.operation {
                Operation::Lookup(name) => {
                    provider.lookup_child(&self.query.id, name).await.map(Raw::Child)
                }
                Operation::List => provider.list_children(&self.query.id).await.map(Raw::Listing),
                Operation::Read => provider.read_file(&self.query.id).await.map(Raw::Content),
            },
        };
        let prepared = raw.map(|raw| self.prepare(raw));
        let mut changes = Vec::new();
        let landed = {
            let mut state = self.runtime.state();
            let landed = self.land(&mut state, prepared, &mut changes);
            self.leave(&mut state);
            landed
        };
        self.runtime.notify(changes);
        let _ = self.flight.landed.set(landed);
        self.flight.done.notify_waiters();
    }

    fn leave(&self, state: &mut State) {
        state.ledger.end(self.stamp);
        // A later call may have taken this one's place.
        if state.flights.get(&self.query).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            state.flights.remove(&self.query);
        }
    }

    /// Hashes identities before the lock is taken.
    fn prepare(&self, raw: Raw) -> Prepared {
        let instance = self.runtime.router.name(self.query.instance);
        let mut last: Option<(Arc<str>, Key)> = None;
        let mut keyed = |node: provider::Node| {
            let owner = node.part_of.clone().map(|owner| match &last {
                Some((id, key)) if *id == owner => (id.clone(), *key),
                _ => {
                    let pair = (owner.clone(), key(&instance, &owner));
                    last = Some(pair.clone());
                    pair
                }
            });
            let content = node.content.as_ref().filter(|_| node.kind != Kind::Directory);
            let digest = content.map(|bytes| digest(bytes));
            Keyed { key: key(&instance, &node.id), owner, digest, node }
        };
        let (body, offers, along, partials) = match raw {
            Raw::Child(answer) => {
                (Body::Child(keyed(answer.value)), answer.offers, answer.along, answer.partials)
            }
            Raw::Listing(answer) => {
                let children = answer.value.into_iter().map(&mut keyed).collect();
                (Body::Listing(children), answer.offers, answer.along, answer.partials)
            }
            Raw::Content(answer) => {
                let body = Body::Content(answer.value.clone(), digest(&answer.value));
                (body, answer.offers, answer.along, answer.partials)
            }
        };
        let along = along.into_iter().map(|Along { node, bytes }| KeyedContent {
            key: key(&instance, &node),
            digest: digest(&bytes),
            node,
            bytes,
        });
        let along = along.collect();
        let offers = offers
            .into_iter()
            .map(|Offer { parent, children, whole }| KeyedOffer {
                key: key(&instance, &parent),
                parent,
                children: children.into_iter().map(&mut keyed).collect(),
                whole,
            })
            .collect();
        Prepared { body, offers, along, partials }
    }

    /// Judges the answer against the events since it was asked for, and keeps what may be kept.
    fn land(
        &self,
        state: &mut State,
        prepared: Result<Prepared, Failure>,
        changes: &mut Vec<Change>,
    ) -> Landed {
        let events = Events::since(state, self.query.instance, self.stamp);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => {
                let spoiled = events.on_binding(&self.node);
                if let (Cause::NotFound, Operation::Lookup(name), None) =
                    (failure.cause, &self.query.operation, spoiled)
                {
                    // A listing that still has the name is out of date.
                    if state.cache.listing(&self.node).is_some_and(|l| l.get(name).is_some()) {
                        state.note_before(std::slice::from_ref(&self.node));
                        state.cache.remove(&Query::new(&self.node, Operation::List));
                    }
                    let binding = Binding::new(self.node.coherence.clone(), self.stamp);
                    state.cache.insert(self.query.clone(), Memo::Absent(binding));
                }
                // A failed call is nobody's news but the caller's: only "not found" is an answer.
                let spoiled = spoiled.filter(|_| failure.cause == Cause::NotFound);
                return Landed { result: Err(failure), stamp: self.stamp, spoiled };
            }
        };
        let Prepared { body, offers, along, partials } = prepared;
        let partial = partials.iter().any(|partial| partial.directory == self.query.id);
        let mut landing = Landing { call: self, state, events: &events, changes, partial };
        let (fetched, spoiled) = match body {
            Body::Child(child) => landing.child(child),
            Body::Listing(children) => landing.listing(children),
            Body::Content(bytes, digest) => landing.content(bytes, digest),
        };
        // A directory may be offered after what is in it.
        let mut waiting = offers;
        loop {
            let before = waiting.len();
            waiting = waiting.into_iter().filter_map(|offer| landing.offer(offer)).collect();
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        for content in along {
            landing.along(content);
        }
        if let Operation::List = self.query.operation {
            let directory = (self.query.instance, self.query.id.clone());
            landing.state.partials.remove(&directory);
            for partial in partials {
                if partial.directory == self.query.id {
                    landing.state.partials.insert(directory.clone(), partial);
                }
            }
        }
        Landed { result: Ok(fetched), stamp: self.stamp, spoiled }
    }
}

/// A call that ends in any way lets its waiters go: `run` is dropped with its flight unlanded only
/// by a panic in the provider's host code or at shutdown.
impl Drop for Call {
    fn drop(&mut self) {
        if self.flight.landed.get().is_some() {
            return;
        }
        let mut state = self.runtime.state();
        self.leave(&mut state);
        drop(state);
        let failure = Failure {
            provider: self.runtime.router.name(self.query.instance),
            cause: Cause::Unavailable,
            detail: "the call was abandoned; try again, and see `omnifs logs`".into(),
            retry_after: None,
        };
        let landed = Landed { result: Err(failure), stamp: self.stamp, spoiled: None };
        let _ = self.flight.landed.set(landed);
        self.flight.done.notify_waiters();
    }
}

struct Keyed {
    node: provider::Node,
    key: Key,
    owner: Option<(Arc<str>, Key)>,
    /// Of the content, where it came along.
    digest: Option<u64>,
}

struct KeyedOffer {
    parent: Arc<str>,
    key: Key,
    children: Vec<Keyed>,
    whole: bool,
}

struct KeyedContent {
    node: Arc<str>,
    key: Key,
    bytes: Bytes,
    digest: u64,
}

enum Body {
    Child(Keyed),
    Listing(Vec<Keyed>),
    Content(Bytes, u64),
}

struct Prepared {
    body: Body,
    offers: Vec<KeyedOffer>,
    along: Vec<KeyedContent>,
    partials: Vec<provider::Partial>,
}

/// The events of an instance since a call began.
struct Events(Vec<(u64, provider::Change)>);

impl Events {
    fn since(state: &State, instance: InstanceId, stamp: u64) -> Self {
        let hits = state.ledger.hits(instance, stamp);
        Events(hits.map(|(sequence, change)| (sequence, change.clone())).collect())
    }

    fn first(&self, concerns: impl Fn(&provider::Change) -> bool) -> Option<u64> {
        self.0.iter().find(|(_, change)| concerns(change)).map(|(sequence, _)| *sequence)
    }

    /// The first event on an object's own state.
    fn on_object(&self, id: &str, owner: Option<&str>, coherence: &Coherence) -> Option<u64> {
        self.first(|change| match change {
            provider::Change::Invalidated(of) | provider::Change::Removed(of) => {
                **of == *id || owner == Some(&**of)
            }
            provider::Change::Gap(scope) => {
                coherence.scope().is_some_and(|own| covers(scope, &own.id))
            }
            provider::Change::ChildrenChanged(_) => false,
        })
    }

    /// The first event on which names a directory holds.
    fn on_binding(&self, directory: &Node) -> Option<u64> {
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

    fn on_removal(&self, id: &str) -> Option<u64> {
        self.first(|change| matches!(change, provider::Change::Removed(of) if **of == *id))
    }
}

struct Landing<'a> {
    call: &'a Call,
    state: &'a mut State,
    events: &'a Events,
    changes: &'a mut Vec<Change>,
    /// The provider said that its listing stops short.
    partial: bool,
}

impl Landing<'_> {
    /// The one node for what was answered. Where an event on it came in since, the node is there
    /// but already invalid.
    fn intern(&mut self, keyed: &Keyed) -> (Arc<Node>, Option<u64>) {
        let Keyed { node: answered, key, owner, digest } = keyed;
        let instance = self.call.query.instance;
        let coherence = match &answered.coherence {
            provider::Coherence::Immutable => Coherence::Immutable,
            provider::Coherence::Volatile => Coherence::Volatile,
            provider::Coherence::Scoped(scope) => {
                let scope = self.state.ledger.scope(instance, scope, self.call.stamp);
                let clock = self.state.clocks.get(&instance);
                if let Some(answered) = clock.and_then(|clock| (clock.0)()) {
                    let call = self.call.began.elapsed().as_secs() + CLOCK_MARGIN;
                    scope.began(answered.saturating_sub(call));
                }
                Coherence::Scoped(scope)
            }
        };
        let spoiled =
            self.events.on_object(&answered.id, owner.as_ref().map(|o| &*o.0), &coherence);
        let inode = self.state.inodes.settle(instance, &answered.id, *key);
        let fresh =
            Node::new(instance, answered, inode, *key, owner.clone(), coherence, self.call.stamp);
        if let Some(digest) = digest {
            let _ = fresh.digest.set(*digest);
        }
        if spoiled.is_some() {
            if self.events.on_removal(&answered.id).is_some() {
                fresh.remove();
            }
            return (self.spoil(fresh), spoiled);
        }
        let interned = self.state.registry.intern(fresh);
        if let Some(old) = interned.replaced {
            self.state.displace(&old, Some(&interned.node), self.changes);
        }
        (interned.node, None)
    }

    /// A node that an event had called out of date before it came: it serves who asked for it.
    fn spoil(&mut self, fresh: Node) -> Arc<Node> {
        fresh.invalidate();
        let node = Arc::new(fresh);
        self.state.registry.admit_spoiled(&node);
        node
    }

    fn child(&mut self, keyed: Keyed) -> (Fetched, Option<u64>) {
        let (node, on_child) = self.intern(&keyed);
        let spoiled =
            [on_child, self.events.on_binding(&self.call.node)].into_iter().flatten().min();
        if spoiled.is_none() {
            let Operation::Lookup(name) = &self.call.query.operation else {
                return (Fetched::Child(node), spoiled);
            };
            // So is one that lacks the name.
            let call = self.call;
            let listing = self.state.cache.listing(&call.node);
            if listing.is_some_and(|l| l.get(name).is_none()) {
                self.state.cache.remove(&Query::new(&call.node, Operation::List));
            }
            self.bind(&call.node, name.clone(), &node);
            self.keep_content(&node, keyed.node.content);
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
        let binding = Binding::new(directory.binding(node), self.call.stamp);
        let memo = Memo::Child { node: node.clone(), binding };
        self.state.cache.insert(Query::new(directory, Operation::Lookup(name)), memo);
    }

    fn keep_content(&mut self, node: &Arc<Node>, content: Option<Bytes>) {
        if let Some(bytes) = content
            && !node.is_volatile()
            && !node.is_directory()
        {
            let content = Content { bytes, node: node.clone() };
            self.state.cache.insert(Query::new(node, Operation::Read), Memo::Content(content));
        }
    }

    fn entries(&mut self, children: Vec<Keyed>) -> Vec<ListEntry> {
        children
            .into_iter()
            .map(|mut keyed| {
                let content = keyed.node.content.take();
                if let (Some(bytes), None) = (&content, keyed.node.size) {
                    keyed.node.size = Some(bytes.len() as u64);
                }
                let (node, _) = self.intern(&keyed);
                ListEntry {
                    cookie: cookie(&keyed.node.name),
                    name: keyed.node.name.into(),
                    content: content.filter(|_| !node.is_volatile()),
                    node,
                }
            })
            .collect()
    }

    fn listing(&mut self, children: Vec<Keyed>) -> (Fetched, Option<u64>) {
        let removed =
            children.iter().filter_map(|keyed| self.events.on_removal(&keyed.node.id)).min();
        let directory = self.call.node.clone();
        let spoiled = [removed, self.events.on_binding(&directory)].into_iter().flatten().min();
        let entries = self.entries(children);
        let listing = Arc::new(Listing::new(
            entries,
            directory.complete && !self.partial,
            self.call.stamp,
            directory.coherence.clone(),
        ));
        if spoiled.is_none() {
            let instance = directory.instance;
            if !self.partial {
                self.state.compare(&directory, &listing, self.changes);
            }
            self.state.contradict(&directory, &listing, self.changes);
            self.state.cache.forget_children(instance, &directory.id);
            self.state.cache.insert(self.call.query.clone(), Memo::Listing(listing.clone()));
        }
        (Fetched::Listing(listing), spoiled)
    }

    fn content(&mut self, bytes: Bytes, digest: u64) -> (Fetched, Option<u64>) {
        let asked = self.call.node.clone();
        let (node, spoiled) = self.read(&asked, &bytes, digest);
        (Fetched::Content(bytes, node), spoiled)
    }

    /// Keeps the content of another file that came along, where what is known of that file is not
    /// newer. Outside a live scope nothing would tell.
    fn along(&mut self, content: KeyedContent) {
        let Some(node) = self.state.registry.get(content.key, &content.node) else { return };
        let owner = node.owner.as_ref().map(|(id, _)| &**id);
        let spoiled = self.events.on_object(&node.id, owner, &node.coherence);
        let known = node.is_live() && node.stamp() <= self.call.stamp && spoiled.is_none();
        if known && matches!(node.kind, Kind::File | Kind::Executable) {
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
            let fresh = asked.with_content(length, digest, self.call.stamp);
            if spoiled.is_some() {
                return (self.spoil(fresh), spoiled);
            }
            let newest = self.state.registry.get(asked.key, &asked.id);
            // Somebody has asked for the object itself meanwhile. Which of the two answers is the
            // newer one nobody can say, so this one is that object's only where it is proven.
            let other = newest.filter(|newest| newest.is_valid() && !Arc::ptr_eq(newest, asked));
            node = match other {
                Some(newest) if newest.digest.get() == Some(&digest) => newest,
                Some(_) => return (self.spoil(fresh), spoiled),
                None => {
                    let interned = self.state.registry.intern(fresh);
                    if let Some(old) = interned.replaced {
                        self.state.displace(&old, Some(&interned.node), self.changes);
                    }
                    interned.node
                }
            };
        }
        if spoiled.is_none() && node.is_valid() {
            let content = Content { bytes: bytes.clone(), node: node.clone() };
            self.state.cache.insert(Query::new(asked, Operation::Read), Memo::Content(content));
        }
        (node, spoiled)
    }

    /// Keeps entries that came along for another directory. Gives the offer back where that
    /// directory is not known.
    fn offer(&mut self, offer: KeyedOffer) -> Option<KeyedOffer> {
        let Some(parent) = self.state.registry.get(offer.key, &offer.parent) else {
            return Some(offer);
        };
        if !parent.is_directory() || self.events.on_binding(&parent).is_some() {
            return None;
        }
        let stamp = self.call.stamp;
        if offer.whole {
            let entries = self.entries(offer.children);
            let listing = Listing::new(entries, parent.complete, stamp, parent.coherence.clone());
            self.state.compare(&parent, &listing, self.changes);
            self.state.contradict(&parent, &listing, self.changes);
            self.state.cache.forget_children(parent.instance, &parent.id);
            let query = Query::new(&parent, Operation::List);
            self.state.cache.insert(query, Memo::Listing(Arc::new(listing)));
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
            self.keep_content(&node, content);
        }
        None
    }
}
