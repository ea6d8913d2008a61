//! What is told to those who watch: which names came, went and moved.
//!
//! An event of a feed seldom says by which names a directory has changed; the next listing does. So
//! what a listing showed is remembered when an event drops it, and compared with the one that
//! follows. Nothing is asked for that: whoever lists the directory brings it about.

use super::State;
use crate::cache::Listing;
use crate::inodes::{Link, Told, same_object};
use crate::nodes::{InstanceId, Node};
use lru::LruCache;
use omnifs_platform::{Change, Event, Fate, Handle};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Directories whose last listing is remembered, and deleted names.
const DIRECTORIES: usize = 256;
const NAMES: usize = 4096;
/// Listings longer than this are not compared.
const LONGEST: usize = 20_000;

/// What a listing showed: name, identity, and whether it is a directory.
type Shown = Vec<(Arc<str>, Arc<str>, bool)>;

#[derive(Debug)]
pub(super) struct Before {
    listings: LruCache<(InstanceId, Arc<str>), Shown>,
    /// Names whose deletion was told by the event itself.
    deleted: LruCache<(Handle, Arc<str>), ()>,
}

impl Before {
    pub fn new() -> Self {
        let some = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        let (listings, deleted) = (LruCache::new(some(DIRECTORIES)), LruCache::new(some(NAMES)));
        Before { listings, deleted }
    }
}

fn shown(listing: &Listing) -> Option<Shown> {
    let entries = listing.entries.iter();
    (listing.entries.len() <= LONGEST).then(|| {
        entries
            .map(|entry| (entry.name.clone(), entry.node.id.clone(), entry.node.is_directory()))
            .collect()
    })
}

impl State {
    /// An event concerns this object: its content, its attributes, or which entries it has.
    pub(super) fn stir(&self, node: &Node, out: &mut Vec<Change>) {
        for handle in self.inodes.handles_of(node) {
            let places = if node.is_directory() { Vec::new() } else { self.places(handle) };
            out.push(Change::Event(Event::Modified { handle, places }));
        }
    }

    /// Remembers the listings of directories that back ends hold, before they are dropped.
    pub(super) fn note_before(&mut self, nodes: &[Arc<Node>]) {
        for node in nodes.iter().filter(|node| node.is_directory()) {
            let key = (node.instance, node.id.clone());
            if self.before.listings.contains(&key)
                || self.partials.contains_key(&key)
                || self.inodes.handles_of(node).is_empty()
            {
                continue;
            }
            if let Some(shown) = self.cache.listing(node).as_deref().and_then(shown) {
                self.before.listings.push(key, shown);
            }
        }
    }

    /// Tells of a name that a back end knows and whose object is deleted.
    pub(super) fn tell_deleted(
        &mut self,
        link: &Link,
        handle: Handle,
        directory: bool,
        out: &mut Vec<Change>,
    ) {
        if self.inodes.told_of(link.parent, &link.name) != Some(Told::Present(handle)) {
            return;
        }
        let (parent, name) = (link.parent, link.name.to_string());
        self.before.deleted.push((parent, link.name.clone()), ());
        out.push(Change::Event(Event::Deleted { parent, name, directory }));
    }

    /// Tells what a new listing shows otherwise than the one that an event dropped. A listing that
    /// stops short says nothing of what it lacks.
    pub(super) fn compare(&mut self, node: &Node, listing: &Listing, out: &mut Vec<Change>) {
        let key = (node.instance, node.id.clone());
        let Some(before) = self.before.listings.pop(&key) else { return };
        let Some(after) = shown(listing) else { return };
        for parent in self.inodes.handles_of(node) {
            let events = differences(parent, &before, &after);
            let unsaid = events.into_iter().filter(|event| match event {
                Event::Deleted { name, .. } => {
                    self.before.deleted.pop(&(parent, name.as_str().into())).is_none()
                }
                _ => true,
            });
            out.extend(unsaid.collect::<Vec<_>>().into_iter().map(Change::Event));
        }
    }

    /// What back ends were told of names that a listing contradicts is asked for again: an event about
    /// it was missed, where nothing watches the directory or its feed was lost.
    pub(super) fn contradict(&mut self, node: &Node, listing: &Listing, out: &mut Vec<Change>) {
        let before = self.cache.listing(node);
        if self.inodes.silent && !before.is_some_and(|before| before.shows_the_same(listing)) {
            // A kernel that lists by itself may hold what was listed before.
            for handle in self.inodes.handles_of(node) {
                let slot = self.inodes.slot_mut(handle);
                if slot.is_some_and(|slot| slot.paged.take().is_some()) {
                    out.push(Change::Content { handle, open: false });
                }
            }
        }
        for parent in self.inodes.handles_of(node) {
            let told = self.inodes.told(parent);
            let doubtful = told.filter(|(name, told)| match (told, listing.get(name)) {
                (Told::Present(child), Some(entry)) => {
                    self.inodes.slot(*child).is_some_and(|slot| slot.node.id != entry.node.id)
                }
                (Told::Present(_), None) => listing.complete,
                (Told::Absent, entry) => entry.is_some(),
            });
            let names: Vec<_> = doubtful.map(|(name, _)| name.to_string()).collect();
            let entry = |name| Change::Entry { parent, name, fate: Fate::Doubtful };
            out.extend(names.into_iter().map(entry));
        }
    }

    /// The places of a handle that back ends know, as far as they still lead to its object.
    pub(super) fn places(&self, handle: Handle) -> Vec<(Handle, String)> {
        let Some(slot) = self.inodes.slot(handle) else { return Vec::new() };
        let leads_here = |link: &&Link| match self.inodes.told_of(link.parent, &link.name) {
            Some(Told::Present(child)) => {
                self.inodes.slot(child).is_some_and(|s| same_object(&s.node, &slot.node))
            }
            _ => false,
        };
        let links = slot.links.iter().filter(leads_here);
        links.map(|link| (link.parent, link.name.to_string())).collect()
    }
}

fn differences(parent: Handle, before: &Shown, after: &Shown) -> Vec<Event> {
    fn by_name(shown: &Shown) -> HashMap<&str, &Arc<str>> {
        shown.iter().map(|(name, id, _)| (&**name, id)).collect()
    }
    let (old, new) = (by_name(before), by_name(after));
    let gone = before.iter().filter(|(name, id, _)| new.get(&**name) != Some(&id));
    let mut come: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, id, _) in after.iter().filter(|(name, id, _)| old.get(&**name) != Some(&id)) {
        come.entry(id).or_default().push(name);
    }
    let mut events = Vec::new();
    for (name, id, directory) in gone {
        let (name, directory) = (name.to_string(), *directory);
        events.push(match come.get_mut(&**id).and_then(Vec::pop) {
            Some(to) => {
                let to = (parent, to.to_owned());
                Event::Moved { from: (parent, name), to, directory }
            }
            None => Event::Deleted { parent, name, directory },
        });
    }
    let rest = after
        .iter()
        .filter(|(name, id, _)| come.get(&**id).is_some_and(|names| names.contains(&&**name)));
    events.extend(rest.map(|(name, ..)| Event::Created { parent, name: name.to_string() }));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(entries: &[(&str, &str)]) -> Shown {
        entries.iter().map(|(name, id)| ((*name).into(), (*id).into(), true)).collect()
    }

    #[test]
    fn two_listings_differ_by_what_came_went_moved_and_was_replaced() {
        let before = shown(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
        let after = shown(&[("a", "1"), ("bb", "2"), ("d", "5"), ("e", "6")]);
        let parent = Handle(7);
        let deleted = |name: &str| Event::Deleted { parent, name: name.into(), directory: true };
        let created = |name: &str| Event::Created { parent, name: name.into() };
        let (from, to) = ((parent, "b".to_owned()), (parent, "bb".to_owned()));
        let moved = Event::Moved { from, to, directory: true };
        let expected = [moved, deleted("c"), deleted("d"), created("d"), created("e")];
        assert_eq!(differences(parent, &before, &after), expected);
        assert_eq!(differences(parent, &after, &after), []);
    }
}
