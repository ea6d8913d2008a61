//! What the disk has of earlier answers, also of those that another process was given.
//!
//! **Invariant:** it answers only where an answer in memory of the same age would: a live feed vouches for it since it
//! was asked for, or it never changes, and no event has named it. The sequence of events goes on over starts, so both
//! are the same question. What nobody vouches for is asked for, and costs what a validator saves.

use super::calls::{Call, batches};
use super::fetch::{Fetched, Landed, Raw};
use super::landing::{Body, Events, Keyed, Landing, Prepared};
use super::{Runtime, State, Touch};
use crate::cache::{Listing, Operation, Query};
use crate::disk::{Answer, Disk, Space, Start};
use crate::events::Prover;
use crate::nodes::{self, InstanceId, Node};
use crate::provider::{self, Coherence};
use crate::scopes::Scope;
use omnifs_platform::Change;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Scopes, held so that they stay, and the feeds that can prove those which are suspect.
type Unproven = (Vec<Arc<Scope>>, Vec<(Prover, Arc<str>)>);

/// What is known of an answer on disk beside what it says.
struct Found {
    stamp: u64,
    /// Of a content.
    version: Option<String>,
}

impl Found {
    /// Whether what is known of a file is not newer than the content, or of the same state.
    fn is_content_of(&self, file: &Node, digest: u64) -> bool {
        file.stamp() <= self.stamp
            || matches!(file.coherence, nodes::Coherence::Immutable)
            || file.digest.get() == Some(&digest)
            || file.version.is_some() && file.version.as_deref() == self.version.as_deref()
    }
}

impl Runtime {
    /// Goes on with what an earlier process has kept, and keeps what comes. To be called before anything is asked.
    pub fn set_disk(&self, disk: Arc<Disk>, start: Start) {
        let mut state = self.state();
        state.ledger.go_on(start.sequence.max(start.floor));
        state.recalled_from = start.floor;
        for (key, sequence, removed) in start.touched {
            state.touched.note(key, Touch { sequence, removed, time: None });
        }
        state.touched.disk = Some(disk.clone());
        drop(state);
        let _ = self.disk.set(disk);
    }

    /// Takes over what the disk has of an instance. To be called before its feeds start.
    pub fn admit(&self, space: Space) {
        let Some(disk) = self.disk.get() else { return };
        let instance = space.instance;
        let stood = disk.admit(space);
        self.state().ledger.stood(instance, stood);
    }

    pub(super) fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.get()
    }
}

impl State {
    /// Whether what was said at `stamp` of an object, or of the names in a directory, still stands.
    fn stands(&self, node: &Node, stamp: u64) -> bool {
        let covered = node.is_live() && node.coherence.covers(stamp);
        covered && stamp > self.recalled_from && self.is_untouched(node, stamp)
    }

    /// Whether an event has called an object gone since `stamp`.
    fn is_gone_since(&self, keyed: &Keyed, stamp: u64) -> bool {
        self.touched.removed(keyed.key) > stamp
    }

    /// The scopes with these ids, of which some may be new to this process.
    fn unproven(&mut self, instance: InstanceId, ids: Vec<Arc<str>>) -> Unproven {
        let now = self.ledger.sequence();
        let scopes: Vec<_> = ids.iter().map(|id| self.ledger.scope(instance, id, now)).collect();
        scopes.iter().for_each(|scope| scope.note_use());
        let prover = self.provers.get(&instance);
        let suspects = scopes.iter().filter(|scope| !scope.is_live());
        let suspects = suspects.filter_map(|scope| Some((prover?.clone(), scope.id.clone())));
        let suspects = suspects.collect();
        (scopes, suspects)
    }
}

impl Call {
    /// The answer that the disk has, if it may be shown. Else the provider is asked from now on.
    pub(super) async fn recall(&mut self) -> Option<Landed> {
        let disk = self.runtime.disk()?.clone();
        let landed = self.find_standing(&disk).await;
        if landed.is_none() {
            // What a feed has told meanwhile came before the provider is asked.
            let mut state = self.runtime.state();
            let stamp = state.ledger.begin();
            state.ledger.end(self.stamp);
            self.flight.stamp.store(stamp, Ordering::Release);
            self.stamp = stamp;
            self.forbidden = disk.forbidden(self.query.instance);
        }
        landed
    }

    async fn find_standing(&self, disk: &Disk) -> Option<Landed> {
        let is_list = self.query.operation == Operation::List;
        if self.node.is_volatile() || self.node.relisted && is_list {
            return None;
        }
        if !disk.holds(self.query.instance) || !self.prove_first().await {
            return None;
        }
        let (stamp, answer) = self.find(disk)?;
        let mut scopes: Vec<Arc<str>> = Vec::new();
        if let Answer::Child(provider::Node { coherence: Coherence::Scoped(scope), .. }) = &answer {
            scopes.push(scope.clone());
        }
        let (held, suspects) = self.runtime.state().unproven(self.query.instance, scopes);
        self.runtime.prove(suspects).await;
        if !disk.is_believed(self.query.instance) {
            return None;
        }
        let mut version = None;
        let raw = match answer {
            Answer::Child(node) => Raw::Child(provider::Answer::plain(node)),
            Answer::Listing(nodes) => Raw::Listing(provider::Answer::plain(nodes)),
            Answer::Content(bytes, of) => {
                version = of;
                Raw::Content(provider::Answer::plain(bytes))
            }
        };
        let found = Found { stamp, version };
        let mut changes = Vec::new();
        let landed = self.land_recalled(self.prepare(raw), &found, &mut changes);
        drop(held);
        self.runtime.notify(changes);
        if landed.is_some() {
            disk.note_recalled();
        }
        landed
    }

    /// Has the feed of what is asked about prove what it missed. False where nothing vouches for that.
    async fn prove_first(&self) -> bool {
        let scope = self.node.coherence.scope().map(|scope| scope.id.clone());
        let own = scope.into_iter().collect();
        let (_held, suspects) = self.runtime.state().unproven(self.query.instance, own);
        self.runtime.prove(suspects).await;
        self.node.is_live()
    }

    /// What the disk has of the question, or of all names in the directory where that is newer.
    fn find(&self, disk: &Disk) -> Option<(u64, Answer)> {
        let Operation::Lookup(name) = &self.query.operation else { return disk.find(&self.query) };
        let list = Query::new(&self.node, Operation::List);
        let (own, listed) = (disk.stamp(&self.query), disk.stamp(&list));
        // What was asked for at one moment is the same.
        if own >= listed {
            return disk.find(&self.query);
        }
        let (stamp, listing) = disk.find(&list)?;
        let Answer::Listing(nodes) = listing else { return None };
        let child = nodes.into_iter().find(|node| *node.name == **name)?;
        Some((stamp, Answer::Child(child)))
    }

    /// Judged as it lands. `None`: the provider is to be asked.
    fn land_recalled(
        &self,
        prepared: Prepared,
        found: &Found,
        changes: &mut Vec<Change>,
    ) -> Option<Landed> {
        let (directory, stamp) = (&self.node, found.stamp);
        let mut entries = Vec::new();
        let body = match prepared.body {
            Body::Listing(children) => {
                for batch in batches(children, |_| 1) {
                    let mut state = self.runtime.state();
                    if batch.iter().any(|child| state.is_gone_since(child, stamp)) {
                        return None;
                    }
                    let events = Events::none();
                    let mut landing = self.recalled(stamp, &mut state, &events, changes);
                    entries.extend(landing.entries(directory.key, batch));
                    state.drop_pages_of_evicted(changes);
                    drop(state);
                    self.runtime.notify(std::mem::take(changes));
                }
                None
            }
            body => Some(body),
        };
        let mut state = self.runtime.state();
        let renewed = state.renewed.get(&self.query.instance).is_some_and(|at| *at > self.stamp);
        if renewed || !state.stands(directory, stamp) {
            return None;
        }
        if let Some(Body::Content(_, digest)) = &body
            && !found.is_content_of(directory, *digest)
        {
            return None;
        }
        if directory.is_directory() && state.cache.has_names_since(directory, stamp) {
            return None;
        }
        let events = Events::none();
        let mut landing = self.recalled(stamp, &mut state, &events, changes);
        let (fetched, spoiled) = match body {
            None => {
                let coherence = directory.coherence.clone();
                let complete = directory.complete;
                let listing = Listing::new(directory.key, entries, complete, stamp, coherence);
                landing.listing(listing, false)
            }
            Some(Body::Child(child)) => landing.child(child),
            Some(Body::Content(bytes, digest)) => landing.content(bytes, digest),
            Some(Body::Listing(_) | Body::Piece(_)) => return None,
        };
        if let Fetched::Child(child) = &fetched {
            let is_known = child.is_live() || child.is_volatile_file();
            if !is_known || !directory.binding(child).covers(stamp) {
                return None;
            }
        }
        if spoiled.is_some() {
            return None;
        }
        state.drop_pages_of_evicted(changes);
        self.leave(&mut state);
        Some(Landed { result: Ok(fetched), stamp, spoiled: None })
    }

    fn recalled<'a>(
        &'a self,
        stamp: u64,
        state: &'a mut State,
        events: &'a Events,
        changes: &'a mut Vec<Change>,
    ) -> Landing<'a> {
        Landing { call: self, stamp, recalled: true, state, events, changes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inodes;
    use crate::scopes::Ledger;
    use omnifs_platform::Inode;

    #[test]
    fn an_older_content_is_that_of_a_newer_file_only_where_its_version_or_its_bytes_are_the_same() {
        let instance = InstanceId(0);
        let file = |version: Option<&str>, stamp| {
            let described = provider::Node {
                id: "f".into(),
                name: "f".into(),
                kind: provider::Kind::File,
                size: None,
                modified: None,
                version: version.map(str::to_owned),
                content: None,
                coherence: Coherence::Scoped("s".into()),
                part_of: None,
                complete: false,
            };
            let scope = Ledger::default().scope(instance, &"s".into(), 0);
            let coherence = nodes::Coherence::Scoped(scope);
            let key = inodes::key("i", "f");
            Node::new(instance, &described, Inode(9), key, None, coherence, stamp)
        };
        let found = Found { stamp: 50, version: Some("v1".to_owned()) };
        assert!(found.is_content_of(&file(Some("v2"), 50), 1));
        assert!(found.is_content_of(&file(Some("v1"), 60), 1));
        assert!(!found.is_content_of(&file(Some("v2"), 60), 1));
        assert!(!Found { stamp: 50, version: None }.is_content_of(&file(None, 60), 1));
        let read = file(None, 60);
        assert!(
            read.holds(3, 1) && found.is_content_of(&read, 1) && !found.is_content_of(&read, 2)
        );
    }
}
