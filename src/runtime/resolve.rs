//! From a handle and a name to a node or a content that may be served.

use super::fetch::{Fetched, Had, Landed};
use super::memory::{Found, Known};
use super::silent::is_kept;
use super::{Body, Runtime, State};
use crate::cache::{Listing, Operation, Query};
use crate::events::Prover;
use crate::mutants::{Mutant, planted};
use crate::nodes::{Node, Use};
use crate::provider::{Cause, Failure};
use crate::remote::Remote;
use bytes::Bytes;
use omnifs_platform::{Change, Error, Fate, Handle, Result};
use std::sync::Arc;

/// What a node is confirmed for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    use_: Use,
    /// The attributes of a file that may have been open when they were asked for.
    of_what_is_open: bool,
}

/// How often a call starts over because events overtook it. Each round began after an event, so
/// more rounds mean an upstream that changes faster than it answers.
pub(super) const ROUNDS: usize = 4;

impl Runtime {
    /// The node of a live handle.
    pub(super) fn node(&self, handle: Handle) -> Result<Arc<Node>> {
        let state = self.state();
        let slot = state.inodes.slot(handle).ok_or(Error::Stale)?;
        if slot.gone { Err(Error::Stale) } else { Ok(slot.node.clone()) }
    }

    pub(super) fn directory(&self, handle: Handle) -> Result<Arc<Node>> {
        let node = self.node(handle)?;
        if node.is_directory() { Ok(node) } else { Err(Error::NotDirectory) }
    }

    /// The entry `name` of `directory`, from memory or from the provider. `Err(NotFound)` carries
    /// the stamp of the answer.
    pub(super) async fn child(&self, directory: &Arc<Node>, name: &str) -> Result<Found, Miss> {
        let suspects = self.state().suspects_of_name(directory, name);
        self.prove(suspects).await;
        {
            let mut state = self.state();
            if state.is_mount_root(directory) {
                let found = state.roots.get(name).map(|entry| entry.node.clone());
                return found
                    .map(|node| Found { node, stamp: 0, asked: false })
                    .ok_or(Miss::Absent { stamp: Some(0) });
            }
            match state.known(directory, name) {
                Known::Present(found) => {
                    state.cache.note_hit(directory.instance);
                    return Ok(found);
                }
                Known::Absent { stamp } => {
                    state.cache.note_hit(directory.instance);
                    return Err(Miss::Absent { stamp: Some(stamp) });
                }
                Known::Unknown => state.cache.note_miss(directory.instance),
            }
        }
        self.brought_again(directory).await;
        let known = |state: &mut State| match state.known(directory, name) {
            Known::Present(found) => Some(Ok(found)),
            Known::Absent { stamp } => Some(Err(Miss::Absent { stamp: Some(stamp) })),
            Known::Unknown => None,
        };
        match self.fetch_missing(directory, Operation::Lookup(name.into()), known).await {
            Had::Held(known) => known,
            Had::Landed(landed) => self.answered(directory, name, landed),
        }
    }

    /// Where much is missing of what came along with a listing, asks for that listing again.
    async fn brought_again(&self, missed: &Arc<Node>) {
        let again = self.state().miss(missed);
        let Some((walked, directory)) = again else { return };
        self.fetch(&walked, Operation::List).await;
        let mut state = self.state();
        if !state.cache.holds(&Query::new(&directory, Operation::List)) {
            state.missed_again(&walked);
        }
    }

    /// Has the feeds of these scopes prove what they missed, so that what is held need not be asked for
    /// one by one. Ends, proven or not: a feed that cannot work has nobody wait for it.
    pub(super) async fn prove(&self, suspects: Vec<(Prover, Arc<str>)>) {
        // Side by side: of two feeds that are stuck, the second one is waited for as long as the first.
        let proofs = suspects.into_iter().map(|(Prover(prove), scope)| prove(scope));
        futures_util::future::join_all(proofs).await;
    }

    /// The entry `name` of `directory` from the provider.
    async fn ask(&self, directory: &Arc<Node>, name: &str) -> Result<Found, Miss> {
        let landed = self.fetch(directory, Operation::Lookup(name.into())).await;
        self.answered(directory, name, landed)
    }

    fn answered(&self, directory: &Arc<Node>, name: &str, landed: Landed) -> Result<Found, Miss> {
        match landed.result {
            Ok(Fetched::Child(node)) => {
                node.spend(Use::Lookup);
                Ok(Found { node, stamp: landed.stamp, asked: true })
            }
            Ok(_) => Err(Miss::Failed(Error::Invalid)),
            Err(failure)
                if failure.cause == Cause::NotFound || planted(Mutant::TakesFailureForAbsence) =>
            {
                Err(Miss::Absent { stamp: Some(landed.stamp) })
            }
            Err(failure) => {
                let error = self.failed(directory, Some(name), failure);
                self.stale_child(directory, name, error)
            }
        }
    }

    /// The entry `name` of `directory` for this use of it. Where memory may still answer a lookup of
    /// the name but has answered this use before, the provider is asked.
    async fn child_for(&self, directory: &Arc<Node>, name: &str, use_: Use) -> Result<Found, Miss> {
        let mut found = self.child(directory, name).await?;
        if !found.asked && !found.node.usable(use_) {
            found = self.ask(directory, name).await?;
        }
        found.node.spend(use_);
        Ok(found)
    }

    /// The listing of `directory`, from memory or from the provider.
    pub(super) async fn listing(&self, directory: &Arc<Node>) -> Result<Arc<Listing>, Failure> {
        {
            let mut state = self.state();
            if state.is_mount_root(directory) {
                return Ok(state.roots.clone());
            }
            if let Some(listing) = state.held_listing(directory) {
                state.cache.note_hit(directory.instance);
                return Ok(listing);
            }
            state.cache.note_miss(directory.instance);
        }
        self.brought_again(directory).await;
        let held = |state: &mut State| state.held_listing(directory);
        let landed = match self.fetch_missing(directory, Operation::List, held).await {
            Had::Held(listing) => return Ok(listing),
            Had::Landed(landed) => landed,
        };
        match landed.result {
            Ok(Fetched::Listing(listing)) => {
                directory.spend(Use::Listing);
                Ok(listing)
            }
            Ok(_) => Err(Failure {
                provider: self.router.name(directory.instance),
                cause: Cause::Invalid,
                detail: "what came is no listing".into(),
                retry_after: None,
            }),
            Err(failure) => Err(failure),
        }
    }

    /// The listing of a directory that was just confirmed.
    pub(super) async fn listing_of(
        &self,
        handle: Handle,
        directory: &Arc<Node>,
    ) -> Result<Arc<Listing>> {
        let failure = match self.listing(directory).await {
            Ok(listing) => return Ok(listing),
            Err(failure) => failure,
        };
        if failure.cause == Cause::NotFound && !directory.relisted {
            // Its parent shows it and it is not there: the name is asked for again.
            directory.invalidate();
            let links = self.state().inodes.slot(handle).map(|slot| slot.links.clone());
            let doubtful = links.into_iter().flatten().map(|link| Change::Entry {
                parent: link.parent,
                name: link.name.to_string(),
                fate: Fate::Doubtful,
            });
            self.notify(doubtful.collect());
        }
        let error = self.failed(directory, None, failure);
        self.stale_listing(directory, error)
    }

    /// The node of a handle, confirmed for this use: asked for again where an event or a lost feed
    /// made it doubtful.
    pub(super) async fn confirmed(&self, handle: Handle, use_: Use) -> Result<Arc<Node>> {
        let suspects = self.state().suspects_of_handle(handle, use_);
        self.prove(suspects).await;
        for _ in 0..ROUNDS {
            let (node, link, asked) = {
                let mut state = self.state();
                let slot = state.inodes.slot_mut(handle).ok_or(Error::Stale)?;
                if (slot.gone || slot.superseded) && !slot.may_be_open() {
                    return Err(Error::Stale);
                }
                // Reading an open file has the kernel ask for its attributes again and again; they are
                // those of what was opened. Who comes by the path has looked it up before.
                let of_what_is_open = use_ == Use::Attributes && slot.may_be_open();
                let opened = of_what_is_open && slot.node.is_snapshot();
                let left = slot.superseded || slot.gone;
                if opened
                    && !left
                    && let Some(newer) = slot.silent.newer.take()
                {
                    return Ok(newer);
                }
                let slot = state.inodes.slot(handle).ok_or(Error::Stale)?;
                // The snapshot that open files hold does not change any more.
                if left || opened || slot.node.usable(use_) {
                    return Ok(slot.node.clone());
                }
                let Some(link) = slot.links.last().cloned() else { return Err(Error::Stale) };
                let parent = state.inodes.slot(link.parent).map(|slot| slot.node.clone());
                // Of a volatile file the content is asked for at each use, and that is enough where
                // events would tell that its name or what it is part of has changed.
                let shown =
                    |parent| state.binding_is_live(parent, Some(&slot.node), slot.node.stamp());
                if slot.node.is_volatile_file() && parent.as_deref().is_some_and(shown) {
                    return Ok(slot.node.clone());
                }
                let asked = Asked { use_, of_what_is_open };
                (slot.node.clone(), parent.map(|parent| (parent, link)), asked)
            };
            // Without its directory a position cannot be asked for; the object may still be.
            let Some((parent, link)) = link else { return self.orphan(handle, &node, asked).await };
            match self.child_for(&parent, &link.name, use_).await {
                // Confirmed just now, so served, also if an event has already overtaken it.
                Ok(found) if found.node.id == node.id => {
                    return self.adopt(handle, &found.node, asked);
                }
                Ok(_) | Err(Miss::Absent { .. }) => {
                    let listing = match self.listing(&parent).await {
                        Ok(listing) => listing,
                        // The directory is gone; what was in it may be somewhere else.
                        Err(failure) if failure.cause == Cause::NotFound => {
                            return self.orphan(handle, &node, asked).await;
                        }
                        Err(failure) => {
                            let error = self.failed(&parent, None, failure);
                            self.stale_listing(&parent, error)?
                        }
                    };
                    match listing.entries.iter().find(|entry| entry.node.id == node.id) {
                        Some(entry) if entry.node.usable(use_) => {
                            return self.adopt(handle, &entry.node, asked);
                        }
                        Some(entry) => {
                            let name = entry.name.clone();
                            if let Ok(found) = self.child_for(&parent, &name, use_).await
                                && found.node.id == node.id
                            {
                                return self.adopt(handle, &found.node, asked);
                            }
                        }
                        None => return self.orphan(handle, &node, asked).await,
                    }
                }
                Err(Miss::Failed(error)) => return self.stale_node(&node, error),
            }
        }
        Err(Error::Unavailable)
    }

    /// An object that left its position (an issue that was closed leaves `_open`): a directory that
    /// still answers lives on under the handles that others hold; a file's content is asked for.
    async fn orphan(&self, handle: Handle, node: &Arc<Node>, asked: Asked) -> Result<Arc<Node>> {
        let landed = match &node.remote {
            // Who has it open goes on with that.
            Some(Remote::Growing(_)) => {
                return self.growing(handle).map(|_| node.clone()).ok_or(Error::Stale);
            }
            Some(Remote::At(at)) => self.confirm_pieces(node, at).await,
            _ if node.is_directory() => self.fetch(node, Operation::List).await,
            _ => self.fetch(node, Operation::Read).await,
        };
        match landed.result {
            Ok(fetched) => {
                let read = match fetched {
                    Fetched::Content(_, read) => read,
                    _ => node.clone(),
                };
                let node = self.known_by_content(read, landed.stamp);
                // Under the lock that an event takes: one since the call began leaves the node
                // marked, and so does a loss of the feed. Then the next use asks again.
                let state = self.state();
                if state.is_untouched(&node, landed.stamp) && node.coherence.covers(landed.stamp) {
                    node.refresh(landed.stamp);
                }
                drop(state);
                self.adopt(handle, &node, asked)
            }
            Err(failure) if failure.cause == Cause::NotFound => {
                let mut state = self.state();
                let slot = state.inodes.slot_mut(handle).ok_or(Error::Stale)?;
                slot.gone = true;
                // Who has it open goes on with that.
                let open = asked.of_what_is_open && slot.may_be_open();
                if open { Ok(slot.node.clone()) } else { Err(Error::Stale) }
            }
            Err(failure) => {
                let error = self.failed(node, None, failure);
                self.stale_node(node, error)
            }
        }
    }

    /// What was asked for its content or its entries alone: where nothing vouched for its time and version
    /// any more, that these are the same does not prove them, and an event that comes now proves no more. A
    /// file that is read in pieces keeps them: its validator stands for the state that they came with.
    fn known_by_content(&self, read: Arc<Node>, stamp: u64) -> Arc<Node> {
        let told = read.modified.is_some() || read.version.is_some();
        if read.is_live() || !told || read.remote.is_some() || stamp <= read.stamp() {
            return read;
        }
        let mut state = self.state();
        // Somebody has asked for the object itself meanwhile, and knows more of it.
        let newest = state.registry.get(read.key, &read.id);
        let other = newest.filter(|newest| newest.is_valid() && !Arc::ptr_eq(newest, &read));
        if let Some(newest) = other.as_ref().filter(|newest| newest.is_live()) {
            return newest.clone();
        }
        let fresh = read.known_by_content(stamp);
        if other.is_some() || !state.is_untouched(&read, stamp) {
            return state.registry.admit_spoiled(fresh);
        }
        let interned = state.registry.intern(fresh);
        let mut changes = Vec::new();
        if let Some(old) = interned.replaced {
            state.displace(&old, &mut changes);
        }
        drop(state);
        self.notify(changes);
        interned.node
    }

    /// Puts a newer node of the same object behind a handle, and gives the node that the handle
    /// now shows: a superseded one keeps what its holders opened.
    ///
    /// # Errors
    /// [`Error::Stale`] for one that is left to its holders and has none.
    fn adopt(&self, handle: Handle, node: &Arc<Node>, asked: Asked) -> Result<Arc<Node>> {
        let mut state = self.state();
        let silent = state.inodes.silent;
        let adopted = match state.inodes.slot_mut(handle) {
            // Left since this was asked: those who have it open may ask for it, and by its name there
            // is another one.
            Some(slot) if slot.superseded || slot.gone => {
                let theirs = asked.of_what_is_open || asked.use_ != Use::Attributes;
                if !theirs || !slot.may_be_open() {
                    return Err(Error::Stale);
                }
                slot.node.clone()
            }
            // Not known to be what was read by this handle, and its holders go on with that.
            Some(slot) if !slot.is_read_as(node) && !node.is_volatile() => node.clone(),
            // Not what was told of this handle, or opened by it.
            Some(slot)
                if (silent || slot.opens > 0) && is_kept(node) && !slot.has_size_of(node) =>
            {
                node.clone()
            }
            // An answer that was overtaken serves who asked, and never takes the place of what is
            // known better; who has that open is shown no other size.
            Some(slot)
                if !node.is_valid()
                    && (slot.node.is_valid() || slot.node.stamp() > node.stamp()) =>
            {
                if asked.of_what_is_open && slot.opens > 0 {
                    slot.node.clone()
                } else {
                    node.clone()
                }
            }
            Some(slot) => {
                slot.node = node.clone();
                node.clone()
            }
            None => node.clone(),
        };
        Ok(adopted)
    }

    /// The content of a file or symlink that is read as a whole, and the node whose version it is.
    pub(super) async fn content(&self, handle: Handle) -> Result<(Bytes, Arc<Node>)> {
        match self.body(handle).await? {
            (Body::Held(bytes), node) => Ok((bytes, node)),
            (Body::Pieces | Body::Growing(_), _) => Err(Error::Invalid),
        }
    }

    /// What a file or symlink is opened with, and the node whose version it is.
    pub(super) async fn body(&self, handle: Handle) -> Result<(Body, Arc<Node>)> {
        let mut absent = None;
        for _ in 0..ROUNDS {
            let node = self.confirmed(handle, Use::Content).await?;
            if let Some(Remote::At(_)) = &node.remote {
                return Ok((Body::Pieces, node));
            }
            if let Some(growth) = self.grown(&node, true).await? {
                return Ok((Body::Growing(growth), node));
            }
            if !node.is_volatile() {
                {
                    let mut state = self.state();
                    if let Some(bytes) = state.held_content(handle, &node) {
                        state.cache.note_hit(node.instance);
                        return Ok((Body::Held(bytes), node));
                    }
                    state.cache.note_miss(node.instance);
                }
                self.brought_again(&node).await;
            }
            let held = |state: &mut State| {
                if node.is_volatile() { None } else { state.held_content(handle, &node) }
            };
            let landed = match self.fetch_missing(&node, Operation::Read, held).await {
                Had::Held(bytes) => return Ok((Body::Held(bytes), node)),
                Had::Landed(landed) => landed,
            };
            match landed.result {
                Ok(Fetched::Content(bytes, node)) => {
                    self.adopt(
                        handle,
                        &node,
                        Asked { use_: Use::Content, of_what_is_open: false },
                    )?;
                    return Ok((Body::Held(bytes), node));
                }
                Ok(_) => return Err(Error::Invalid),
                Err(failure) if failure.cause == Cause::NotFound => {
                    // The directory shows it and its content is not there: ask about it again. Who has
                    // it open goes on with what was opened.
                    node.invalidate();
                    let mut changes = Vec::new();
                    self.state().displace(&node, &mut changes);
                    self.notify(changes);
                    absent = Some((node, failure));
                }
                Err(failure) => return Err(self.failed(&node, None, failure)),
            }
        }
        if let Some((node, failure)) = absent {
            self.failed(&node, None, failure);
        }
        Err(Error::Stale)
    }
}

/// Why there is no child.
#[derive(Clone, Debug)]
pub(super) enum Miss {
    /// There is none, by an answer of this age; `None`: nobody was asked.
    Absent {
        stamp: Option<u64>,
    },
    Failed(Error),
}
