//! Programs that read the files of a tree one after the other.
//!
//! A tree of code is listed by one request, and each of its files costs another one. Who reads a second
//! file of it right after a first one is likely to read them all, so the provider is told what else is
//! wanted: one answer may bring it along. A file that is read by itself is asked for alone.

use super::fetch::Flight;
use super::{Runtime, State};
use crate::cache::{ListEntry, Operation, Query};
use crate::inodes::ROOT;
use crate::nodes::{Coherence, Key, Node};
use crate::provider::{Kind, Walk};
use lru::LruCache;
use omnifs_platform::Handle;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Trees of which it is known when somebody has read in them.
const WALKED: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// A reader who comes back later than this has not gone on reading. It says what is asked for, and never how
/// long something is served.
const PAUSE: Duration = Duration::from_secs(3);

/// How long a provider that has brought nothing along is not told of more.
const RESPITE: Duration = Duration::from_secs(60);

/// Bytes and files that one answer is asked to bring: what fits into one with its headers.
const BYTES: u64 = 60 << 20;
const FILES: usize = 1 << 15;

/// Bytes of a file whose size is not known.
const ASSUMED: u64 = 16 << 10;

/// Nodes that are looked through for them.
const NODES: usize = 100_000;

/// Files that are looked for in memory in one step.
const STEP: usize = 64;

/// By the handle of the first directory above a file that is not immutable, or its instance's.
#[derive(Debug)]
pub(super) struct Walks {
    read: LruCache<Handle, Read>,
    under_way: Vec<Coming>,
}

#[derive(Debug)]
pub(super) struct Read {
    last: Instant,
    /// When nothing came along that was wanted.
    in_vain: Option<Instant>,
    /// How many came along, where that was fewer than were wanted: the provider could bring no more at once, or
    /// only after answers that were too large.
    fits: Option<usize>,
}

/// A call that is under way, and what it was asked to bring along.
#[derive(Debug)]
struct Coming {
    tree: Handle,
    /// `None` while they are looked for.
    files: Option<HashSet<Key>>,
    flight: Arc<Flight>,
}

impl Walks {
    pub fn new() -> Walks {
        Walks { read: LruCache::new(WALKED), under_way: Vec::new() }
    }

    /// A call has ended.
    pub fn leave(&mut self, flight: &Arc<Flight>) {
        self.under_way.retain(|coming| !Arc::ptr_eq(&coming.flight, flight));
    }

    /// Notes that somebody reads in this tree.
    pub fn note(&mut self, tree: Handle) -> &mut Read {
        let last = Instant::now();
        let read = self.read.get_or_insert_mut(tree, || Read { last, in_vain: None, fits: None });
        read.last = last;
        read
    }

    /// Notes how many files came along of those that were wanted, which were at least one.
    pub fn note_brought(&mut self, tree: Handle, wanted: usize, came: usize) {
        let read = self.note(tree);
        match read.fits {
            _ if came == 0 => read.in_vain = Some(read.last),
            _ if came < wanted => read.fits = Some(came),
            // Those that come next may be smaller.
            Some(fits) if wanted >= fits => read.fits = Some((fits + fits / 4 + 1).min(FILES)),
            Some(_) | None => {}
        }
    }

    /// How many are wanted with one answer, as far as is known.
    fn fits(&self, tree: Handle) -> Option<usize> {
        self.read.peek(&tree)?.fits
    }

    /// Whether somebody has just read another file of this tree, and nobody brings the others.
    fn goes_on(&self, tree: Handle) -> bool {
        let goes_on = |read: &Read| {
            let in_vain = read.in_vain.is_some_and(|when| when.elapsed() < RESPITE);
            read.last.elapsed() < PAUSE && !in_vain
        };
        self.read.peek(&tree).is_some_and(goes_on)
            && !self.under_way.iter().any(|coming| coming.tree == tree)
    }
}

/// Where an immutable file shows.
pub(super) struct Place {
    /// The first directory above it that is not immutable, or its instance's.
    pub tree: Handle,
    /// The directories from its own up to that one.
    above: Vec<Arc<Node>>,
    goes_on: bool,
}

impl State {
    /// Where this file shows, if it is part of a tree that does not change. Where a reader goes on, the call
    /// that lands on `flight` is the one that brings the others.
    pub(super) fn read_in_tree(&mut self, node: &Node, flight: &Arc<Flight>) -> Option<Place> {
        let mut place = self.place_in_tree(node)?;
        place.goes_on = self.walks.goes_on(place.tree);
        if place.goes_on {
            let coming = Coming { tree: place.tree, files: None, flight: flight.clone() };
            self.walks.under_way.push(coming);
        }
        self.walks.note(place.tree);
        Some(place)
    }

    /// The call that may bring the content of this node along.
    pub(super) fn brings(&self, node: &Node) -> Option<Arc<Flight>> {
        if self.walks.under_way.is_empty() {
            return None;
        }
        let tree = self.place_in_tree(node)?.tree;
        let brings = |coming: &&Coming| {
            coming.tree == tree && coming.files.as_ref().is_none_or(|f| f.contains(&node.key))
        };
        self.walks.under_way.iter().find(brings).map(|coming| coming.flight.clone())
    }

    fn place_in_tree(&self, node: &Node) -> Option<Place> {
        if !matches!(node.coherence, Coherence::Immutable) {
            return None;
        }
        let handle = *self.inodes.handles_of(node).first()?;
        let mut above = Vec::new();
        let mut at = self.inodes.slot(handle)?.links.last()?.parent;
        loop {
            let slot = self.inodes.slot(at)?;
            above.push(slot.node.clone());
            match slot.links.last() {
                Some(link)
                    if link.parent != ROOT
                        && matches!(slot.node.coherence, Coherence::Immutable) =>
                {
                    at = link.parent;
                }
                _ => return Some(Place { tree: at, above, goes_on: false }),
            }
        }
    }
}

impl Runtime {
    /// What is wanted along with a file at this place.
    pub(super) fn walk(&self, node: &Node, place: &Place) -> Option<Walk> {
        if !place.goes_on {
            return None;
        }
        let (capacity, fits) = {
            let state = self.state();
            (state.cache.capacity(), state.walks.fits(place.tree))
        };
        let most = FILES.min(capacity.nodes / 2);
        let mut wanted = Wanted {
            runtime: self,
            room: BYTES.min((capacity.bytes - capacity.bytes / 4) as u64),
            most: fits.map_or(most, |fits| fits.min(most)),
            size: Some(0),
            seen: HashSet::from([node.key]),
            files: Vec::new(),
        };
        for directory in &place.above {
            wanted.add_below(directory);
        }
        let size = wanted.size.map(|others| others + node.size.get().copied().unwrap_or(0));
        let files = wanted.files;
        let keys = files.iter().map(|file| file.key).collect();
        let mut state = self.state();
        if let Some(coming) = state.walks.under_way.iter_mut().find(|c| c.tree == place.tree) {
            coming.files = Some(keys);
        }
        drop(state);
        let ids = |nodes: &[Arc<Node>]| nodes.iter().map(|node| node.id.clone()).collect();
        let walk = Walk { directories: ids(&place.above), size, files: ids(&files) };
        (!files.is_empty()).then_some(walk)
    }
}

/// The files below some directories that are not held.
struct Wanted<'a> {
    runtime: &'a Runtime,
    /// Bytes that may still be added.
    room: u64,
    most: usize,
    /// Of all files, where it is known.
    size: Option<u64>,
    /// Objects that were looked at.
    seen: HashSet<Key>,
    files: Vec<Arc<Node>>,
}

impl Wanted<'_> {
    /// Those below `directory`, as far as listings are held.
    fn add_below(&mut self, directory: &Arc<Node>) {
        let mut directories = vec![directory.clone()];
        while let Some(directory) = directories.pop() {
            if self.seen.len() > NODES {
                self.size = None;
                return;
            }
            if !self.seen.insert(directory.key) {
                continue;
            }
            let listing = self.runtime.state().cache.listing(&directory);
            let Some(listing) = listing.filter(|listing| listing.complete) else {
                self.size = None;
                continue;
            };
            let entries = listing.entries.iter();
            for step in entries.collect::<Vec<_>>().chunks(STEP) {
                self.add(step);
            }
            let below = listing.entries.iter().rev().filter(|entry| entry.node.is_directory());
            directories.extend(below.map(|entry| entry.node.clone()));
        }
    }

    fn add(&mut self, entries: &[&ListEntry]) {
        let mut absent: Vec<_> = entries
            .iter()
            .filter(|entry| !entry.node.is_directory() && self.seen.insert(entry.node.key))
            .filter(|entry| {
                let size = entry.node.size.get();
                self.size = self.size.zip(size).and_then(|(all, one)| all.checked_add(*one));
                is_wanted(entry)
            })
            .map(|entry| &entry.node)
            .collect();
        let state = self.runtime.state();
        absent.retain(|node| !state.cache.holds(&Query::new(node, Operation::Read)));
        drop(state);
        for node in absent {
            let size = node.size.get().copied().unwrap_or(ASSUMED);
            if self.files.len() < self.most && size <= self.room {
                self.room -= size;
                self.files.push(node.clone());
            }
        }
    }
}

/// Whether its content is something that a reader of the tree would have to ask for.
fn is_wanted(entry: &ListEntry) -> bool {
    let node = &entry.node;
    matches!(node.coherence, Coherence::Immutable)
        && matches!(node.kind, Kind::File | Kind::Executable | Kind::Symlink)
        && node.remote.is_none()
        && entry.content.is_none()
}
