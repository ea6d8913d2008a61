//! One call of a provider: asked, and landed under the lock a few nodes at a time.

use super::fetch::{Flight, Landed, Raw};
use super::landing::{Body, Events, Keyed, KeyedContent, KeyedOffer, Landing, Prepared};
use super::walks::Place;
use super::{Runtime, State, scans};
use crate::cache::{Binding, Listing, Memo, Operation, Query};
use crate::inodes::key;
use crate::nodes::{Key, Node, digest};
use crate::provider::{self, Along, Answer, Cause, Failure, Kind, Offer, Piece, Provider};
use crate::remote::Remote;
use bytes::Bytes;
use omnifs_platform::Change;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A failure that took so long is that of a service that is stuck,
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// and is shared with those who ask so soon after it. It is no answer: nothing is remembered.
const SHARED_AFTER: Duration = Duration::from_millis(250);

/// Nodes that land under the lock at a time.
const BATCH: usize = 8;

pub(super) struct Call {
    pub runtime: Arc<Runtime>,
    pub query: Query,
    pub node: Arc<Node>,
    pub stamp: u64,
    pub began: Instant,
    pub flight: Arc<Flight>,
    /// Answers by then of which the service has said that they are not to be stored.
    pub forbidden: u64,
    /// Of a content that is part of a tree that does not change.
    pub place: Option<Place>,
}

impl Call {
    pub async fn run(mut self) {
        if let Some(landed) = self.recall().await {
            let _ = self.flight.landed.set(landed);
            self.flight.done.notify_waiters();
            return;
        }
        if let Some(calls) = self.runtime.calls.get(usize::from(self.query.instance.0)) {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        let raw = match self.runtime.router.provider(self.query.instance) {
            Err(failure) => Err(failure),
            Ok(provider) => provider::about(self.node.vouched_for(), self.ask(&*provider)).await,
        };
        let mut changes = Vec::new();
        let (landed, stuck) = self.land(raw.map(|raw| self.prepare(raw)), &mut changes);
        self.runtime.notify(changes);
        let _ = self.flight.landed.set(landed);
        self.flight.done.notify_waiters();
        if stuck {
            tokio::time::sleep(SHARED_AFTER).await;
            self.leave(&mut self.runtime.state());
        }
    }

    async fn ask(&self, provider: &dyn Provider) -> Result<Raw, Failure> {
        match &self.query.operation {
            Operation::Lookup(name) => {
                provider.lookup_child(&self.query.id, name).await.map(Raw::Child)
            }
            Operation::List => provider.list_children(&self.query.id).await.map(Raw::Listing),
            Operation::Read => self.read(provider).await.map(Raw::Content),
            Operation::Piece { index, .. } => self.piece(provider, *index).await.map(Raw::Piece),
        }
    }

    /// A content, with others where a program reads one file after the other.
    async fn read(&self, provider: &dyn Provider) -> Result<Answer<Bytes>, Failure> {
        let id = &self.query.id;
        let Some(place) = &self.place else { return provider.read_file(id).await };
        let Some(walk) = self.runtime.walk(&self.node, place) else {
            let answer = provider.read_file(id).await;
            self.runtime.state().walks.note(place.tree);
            return answer;
        };
        let wanted = walk.files.len();
        let answer = provider.read_ahead(id, walk).await;
        let mut state = self.runtime.state();
        match &answer {
            Ok(answer) => state.walks.note_brought(place.tree, wanted, answer.along.len()),
            Err(_) => {
                state.walks.note(place.tree);
            }
        }
        drop(state);
        answer
    }

    /// A piece, judged before anybody sees it.
    async fn piece(&self, provider: &dyn Provider, index: u64) -> Result<Piece, Failure> {
        let fail = |cause, detail| {
            let provider = self.runtime.router.name(self.query.instance);
            Err(Failure { provider, cause, detail, retry_after: None })
        };
        let Some(Remote::At(at)) = &self.node.remote else {
            return fail(Cause::Invalid, "its content has no pieces".to_owned());
        };
        let piece = provider.read_part(at.wanted(index)).await?;
        match at.admit(&piece, self.node.is_valid()) {
            Ok(()) => Ok(piece),
            Err((cause, detail)) => fail(cause, detail),
        }
    }

    pub(super) fn leave(&self, state: &mut State) {
        state.ledger.end(self.stamp);
        state.walks.leave(&self.flight);
        // A later call may have taken this one's place.
        if state.flights.get(&self.query).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            state.flights.remove(&self.query);
        }
    }

    /// Hashes identities before the lock is taken.
    pub(super) fn prepare(&self, raw: Raw) -> Prepared {
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
            let content = node.content.as_ref().and_then(provider::Body::held);
            let content = content.filter(|_| node.kind != Kind::Directory);
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
            Raw::Piece(piece) => (Body::Piece(piece), Vec::new(), Vec::new(), Vec::new()),
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

    /// Judges the answer against the events since it was asked for, and keeps what may be kept. What a
    /// listing brings lands in batches, each judged anew, as does what comes along; the listing itself at last, and under the lock
    /// under which nobody can join the call any more. Also whether the service has not answered for so
    /// long that others are to share that.
    fn land(
        &self,
        prepared: Result<Prepared, Failure>,
        changes: &mut Vec<Change>,
    ) -> (Landed, bool) {
        let prepared = match prepared {
            Ok(Prepared { body: Body::Listing(children), offers, along, partials }) => {
                return (self.land_listing(children, offers, along, partials, changes), false);
            }
            prepared => prepared,
        };
        let prepared = match prepared {
            // What comes along with a content may be a tree.
            Ok(Prepared { body: body @ Body::Content(..), offers, along, partials }) => {
                self.with_landing(changes, |landing| landing.all_offers(offers));
                self.land_along(along, changes);
                Ok(Prepared { body, offers: Vec::new(), along: Vec::new(), partials })
            }
            prepared => prepared,
        };
        let mut state = self.runtime.state();
        let events = Events::since(&state, self.query.instance, self.stamp);
        let landed = match prepared {
            Ok(Prepared { body, offers, along, .. }) => {
                let mut landing = self.landing(&mut state, &events, changes);
                let (fetched, spoiled) = match body {
                    Body::Child(child) => landing.child(child),
                    Body::Content(bytes, digest) => landing.content(bytes, digest),
                    Body::Piece(piece) => landing.piece(piece),
                    Body::Listing(_) => unreachable!("has landed above"),
                };
                landing.all_offers(offers);
                along.into_iter().for_each(|content| landing.along(content));
                Landed { result: Ok(fetched), stamp: self.stamp, spoiled }
            }
            Err(failure) => self.land_failure(&mut state, failure, &events),
        };
        self.note_time(&state);
        state.drop_pages_of_evicted(changes);
        let stuck = self.began.elapsed() >= SLOW && landed.is_unanswered();
        if !stuck {
            self.leave(&mut state);
        }
        (landed, stuck)
    }

    fn land_listing(
        &self,
        children: Vec<Keyed>,
        offers: Vec<KeyedOffer>,
        along: Vec<KeyedContent>,
        partials: Vec<provider::Partial>,
        changes: &mut Vec<Change>,
    ) -> Landed {
        let directory = &self.node;
        let (course, room) = self.runtime.state().course(directory, children.len());
        let (mut offers, all) = scans::choose(&children, offers, course, room);
        let mut entries = Vec::with_capacity(children.len());
        for batch in batches(children, |_| 1) {
            self.with_landing(changes, |landing| {
                entries.extend(landing.entries(directory.key, batch));
            });
        }
        // A directory may be offered after what is in it.
        loop {
            let before = offers.len();
            let mut waiting = Vec::new();
            for batch in batches(offers, |offer| offer.children.len() + 1) {
                self.with_landing(changes, |landing| {
                    waiting.extend(batch.into_iter().filter_map(|offer| landing.offer(offer)));
                });
            }
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
            offers = waiting;
        }
        self.land_along(along, changes);
        let partial = partials.into_iter().find(|partial| partial.directory == self.query.id);
        let complete = directory.complete && partial.is_none();
        let count = entries.len();
        let coherence = directory.coherence.clone();
        let listing = Listing::new(directory.key, entries, complete, self.stamp, coherence);

        let mut state = self.runtime.state();
        let events = Events::since(&state, self.query.instance, self.stamp);
        let mut landing = self.landing(&mut state, &events, changes);
        let (fetched, spoiled) = landing.listing(listing, partial.is_some());
        state.note_brought(directory, count, all);
        let key = (self.query.instance, self.query.id.clone());
        match partial {
            Some(partial) => state.partials.insert(key, partial),
            None => state.partials.remove(&key),
        };
        self.note_time(&state);
        state.drop_pages_of_evicted(changes);
        self.leave(&mut state);
        Landed { result: Ok(fetched), stamp: self.stamp, spoiled }
    }

    fn land_along(&self, along: Vec<KeyedContent>, changes: &mut Vec<Change>) {
        for batch in batches(along, |_| 1) {
            self.with_landing(changes, |landing| {
                batch.into_iter().for_each(|content| landing.along(content));
            });
        }
    }

    /// Keeps how long the answer took, if that is among the longest.
    fn note_time(&self, state: &State) {
        let (took, now) = (self.began.elapsed(), Instant::now());
        let mut slowest = self.runtime.slowest.lock();
        if !slowest.admits(took, now) {
            return;
        }
        let (operation, name) = match &self.query.operation {
            Operation::Lookup(name) => ("lookup", Some(&**name)),
            Operation::List => ("list", None),
            Operation::Read => ("read", None),
            Operation::Piece { .. } => ("piece", None),
        };
        let instance = self.runtime.router.name(self.query.instance);
        let path = state.path_of(&self.node, name, &instance);
        slowest.note(instance, path, operation, took, now);
    }

    /// Lands a part of the answer under the lock, and tells of it with the lock free.
    fn with_landing(&self, changes: &mut Vec<Change>, land: impl FnOnce(&mut Landing<'_>)) {
        let mut state = self.runtime.state();
        let events = Events::since(&state, self.query.instance, self.stamp);
        land(&mut self.landing(&mut state, &events, changes));
        state.drop_pages_of_evicted(changes);
        drop(state);
        self.runtime.notify(std::mem::take(changes));
    }

    fn landing<'a>(
        &'a self,
        state: &'a mut State,
        events: &'a Events,
        changes: &'a mut Vec<Change>,
    ) -> Landing<'a> {
        Landing { call: self, stamp: self.stamp, recalled: false, state, events, changes }
    }

    fn land_failure(&self, state: &mut State, failure: Failure, events: &Events) -> Landed {
        let spoiled = events.on_binding(&self.node);
        if let (Cause::NotFound, Operation::Lookup(name), None) =
            (failure.cause, &self.query.operation, spoiled)
        {
            // A listing that still has the name is out of date.
            if state.cache.listing(&self.node).is_some_and(|l| l.get(name).is_some()) {
                state.note_before(std::slice::from_ref(&self.node));
                let list = Query::new(&self.node, Operation::List);
                state.touched.disk.iter().for_each(|disk| disk.outdate(&list));
                state.cache.remove(&list);
            }
            state.touched.disk.iter().for_each(|disk| disk.outdate(&self.query));
            let binding = Binding::new(self.node.coherence.clone(), self.stamp);
            state.cache.insert(self.query.clone(), Memo::Absent(binding));
        }
        // A failed call is nobody's news but the caller's: only "not found" is an answer.
        let spoiled = spoiled.filter(|_| failure.cause == Cause::NotFound);
        Landed { result: Err(failure), stamp: self.stamp, spoiled }
    }
}

/// Splits what is to land so that the lock is not held for more than [`BATCH`] nodes at a time.
pub(super) fn batches<T>(
    items: Vec<T>,
    nodes: impl Fn(&T) -> usize,
) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut batch = vec![items.next()?];
        let mut left = BATCH.saturating_sub(nodes(&batch[0]));
        while let Some(item) = items.next_if(|item| nodes(item) <= left) {
            left -= nodes(&item);
            batch.push(item);
        }
        Some(batch)
    })
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
