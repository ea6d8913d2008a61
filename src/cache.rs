//! The capacity-bounded memo of the three read operations.
//!
//! Each entry is what one operation on one directory or file answered: a listing, one looked-up
//! child, the absence of one, a content. The bound is in nodes and in bytes; the least recently used
//! entry goes first. Nothing here expires by time: whether an entry may still be served is asked of
//! its nodes and scopes at each use (see `nodes` and `scopes`).

use crate::mutants::{Mutant, planted};
use crate::nodes::{Coherence, InstanceId, Key, Node, Use};
use crate::remote::Remote;
use bytes::Bytes;
use lru::LruCache;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of pieces: a kernel keeps what it has read, and a scan of one large file shall not drop
/// everything else.
pub const PIECES_MAX: usize = 32 << 20;

/// Answers that are held, however many nodes the bound allows: a table for so many is made at the start.
const MOST_ENTRIES: NonZeroUsize = NonZeroUsize::new(1 << 21).expect("not zero");

/// An answer may hold no node at all, as the listing of an empty directory does.
fn most(capacity: Capacity) -> NonZeroUsize {
    let answers = capacity.nodes.saturating_mul(2).saturating_add(64);
    NonZeroUsize::new(answers).unwrap_or(NonZeroUsize::MAX)
}

/// Cookies 0 to 2 are the start, `.` and `..`.
const FIRST_COOKIE: u64 = 3;

/// The cookie of a name: its hash, so that it is the same in every listing of the directory, after
/// an eviction and after a restart. 62 bits: `telldir` is signed, and back ends add `.` and `..`.
pub fn cookie(name: &str) -> u64 {
    // FNV-1a with a final mix: stable over builds, which std's hashers do not promise.
    let mut hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hash ^ (hash >> 29)) >> 2).max(FIRST_COOKIE)
}

#[derive(Clone, Debug)]
pub struct ListEntry {
    pub cookie: u64,
    pub name: Arc<str>,
    pub node: Arc<Node>,
    /// The content, where the answer held it.
    pub content: Option<Bytes>,
}

/// What an answer said of a name: that it is bound, to whatever it is, or that there is none.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Of the directory, or of the child where nothing watches the directory ([`Node::binding`]).
    coherence: Coherence,
    /// The ledger's sequence number when the call began.
    pub stamp: u64,
    era: u64,
}

impl Binding {
    /// One that has just been answered.
    pub fn new(coherence: Coherence, stamp: u64) -> Self {
        let era = coherence.era();
        Binding { coherence, stamp, era }
    }

    /// It is asked for at each use.
    pub fn is_volatile(&self) -> bool {
        matches!(self.coherence, Coherence::Volatile)
    }

    /// Whether the feed vouches for it.
    pub fn is_covered(&self) -> bool {
        self.coherence.covers(self.stamp)
    }

    /// Whether it leads on to a directory without being asked for again: the feed vouches for it, or has
    /// not failed to come back since.
    fn leads(&self) -> bool {
        self.is_covered() || self.coherence.shares(self.stamp)
    }

    /// Whether it still answers a lookup that led to `child`. Outside a live scope the child's own
    /// grant decides, if it is of the same call (one about the child at another place says nothing
    /// about this name) and the feed has not turned since.
    pub fn holds(&self, child: &Node) -> bool {
        // A volatile child's grant knows nothing of the turns of the directory's feed.
        let granted = || {
            let same = self.stamp == child.stamp() && self.era == self.coherence.era();
            same && !child.is_live() && !child.is_volatile()
        };
        // What is asked for at each use of a volatile file is its content.
        let named = || child.is_volatile_file() && self.is_covered();
        let covered = if child.is_directory() { self.leads() } else { self.is_covered() };
        named() || (covered || granted()) && child.usable(Use::Lookup)
    }
}

/// The entries of a directory at one moment, in cookie order.
#[derive(Debug)]
pub struct Listing {
    /// Whose entries they are.
    pub directory: Key,
    pub entries: Vec<ListEntry>,
    /// A name that is not among the entries does not exist.
    pub complete: bool,
    pub stamp: u64,
    /// That of its names: with the directory's coherence.
    pub binding: Binding,
    bytes: usize,
    /// The sequence number of the last removal of anything at which the entries were looked through.
    checked: AtomicU64,
}

impl Listing {
    /// Sorts the entries and gives each its cookie. Two names with one hash get neighbouring
    /// cookies, in the order of their names.
    pub fn new(
        directory: Key,
        mut entries: Vec<ListEntry>,
        complete: bool,
        stamp: u64,
        coherence: Coherence,
    ) -> Self {
        entries.sort_by(|a, b| (a.cookie, &a.name).cmp(&(b.cookie, &b.name)));
        let mut last = 0;
        for entry in &mut entries {
            entry.cookie = entry.cookie.max(last + 1);
            last = entry.cookie;
        }
        let bytes = entries.iter().map(entry_bytes).sum();
        let (binding, checked) = (Binding::new(coherence, stamp), AtomicU64::new(stamp));
        Listing { directory, entries, complete, stamp, binding, bytes, checked }
    }

    pub fn get(&self, name: &str) -> Option<&ListEntry> {
        let hash = cookie(name);
        let start = self.entries.partition_point(|entry| entry.cookie < hash);
        // The order is that of the hashes, so the first greater hash ends the search, also where a
        // collision pushed names to later cookies.
        self.entries[start..]
            .iter()
            .take_while(|entry| cookie(&entry.name) <= hash)
            .find(|entry| &*entry.name == name)
    }

    /// Whether it holds nothing that an event has called gone; `removal` is the sequence number of the
    /// last such event. The entries are looked through once for each.
    pub fn is_whole(&self, removal: u64) -> bool {
        if self.checked.load(Ordering::Acquire) >= removal || planted(Mutant::ListsRemoved) {
            return true;
        }
        let whole = !self.entries.iter().any(|entry| entry.node.is_removed());
        if whole {
            self.checked.store(removal, Ordering::Release);
        }
        whole
    }

    /// Whether both bind the same names to the same objects.
    pub fn shows_the_same(&self, other: &Listing) -> bool {
        let same = |(one, two): (&ListEntry, &ListEntry)| {
            one.name == two.name && one.node.id == two.node.id
        };
        self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(same)
    }

    /// The entries after `cookie`.
    pub fn after(&self, cookie: u64) -> &[ListEntry] {
        &self.entries[self.entries.partition_point(|entry| entry.cookie <= cookie)..]
    }
}

fn entry_bytes(entry: &ListEntry) -> usize {
    size_of::<ListEntry>()
        + entry.name.len()
        + node_bytes(&entry.node)
        + entry.content.as_ref().map_or(0, Bytes::len)
}

/// What a node costs in memory, roughly: its struct, strings and index entries.
fn node_bytes(node: &Node) -> usize {
    let remote = node.remote.as_ref().map_or(0, Remote::weight);
    size_of::<Node>() + node.id.len() + node.version.as_ref().map_or(0, |v| v.len()) + remote + 160
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    List,
    Read,
    Lookup(Arc<str>),
    /// A piece of one state of a content; see [`crate::remote::At`].
    Piece {
        state: u64,
        index: u64,
    },
}

/// One operation on one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    pub instance: InstanceId,
    pub id: Arc<str>,
    pub operation: Operation,
}

impl Query {
    pub fn new(node: &Node, operation: Operation) -> Self {
        Query { instance: node.instance, id: node.id.clone(), operation }
    }
}

/// A content, and the node whose version it is.
#[derive(Clone, Debug)]
pub struct Content {
    pub bytes: Bytes,
    pub node: Arc<Node>,
}

#[derive(Clone, Debug)]
pub enum Memo {
    Listing(Arc<Listing>),
    /// A looked-up child.
    Child {
        node: Arc<Node>,
        binding: Binding,
    },
    /// The provider said that there is no such name.
    Absent(Binding),
    Content(Content),
    Piece(Bytes),
}

impl Memo {
    /// Bytes of memory that it takes, roughly.
    pub fn bytes(&self) -> usize {
        self.cost().bytes
    }

    fn cost(&self) -> Cost {
        match self {
            Memo::Listing(listing) => {
                // The directory itself is counted where it is an entry.
                Cost { nodes: listing.entries.len(), bytes: listing.bytes + 256 }
            }
            Memo::Child { node, .. } => Cost { nodes: 1, bytes: node_bytes(node) + 128 },
            Memo::Absent(_) => Cost { nodes: 1, bytes: 160 },
            Memo::Content(content) => Cost { nodes: 1, bytes: content.bytes.len() + 160 },
            Memo::Piece(bytes) => Cost { nodes: 1, bytes: bytes.len() + 160 },
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub nodes: usize,
    pub bytes: usize,
}

/// The bound of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub nodes: usize,
    pub bytes: usize,
}

impl Default for Capacity {
    /// 200,000 nodes and 512 MiB: a large team's open work, a small part of a laptop's memory.
    fn default() -> Self {
        Capacity { nodes: 200_000, bytes: 512 << 20 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
}

#[derive(Debug)]
pub struct Cache {
    entries: LruCache<Query, Memo>,
    /// Names with a `Child` or `Absent` entry, by directory, so that an event on the directory
    /// finds them.
    looked_up: BTreeSet<(InstanceId, Arc<str>, Arc<str>)>,
    /// The pieces among the entries, in the same order, and their bytes.
    pieces: LruCache<Query, ()>,
    piece_bytes: usize,
    capacity: Capacity,
    held: Cost,
    /// Directories whose listings went to make room, until somebody asks.
    evicted: Vec<Key>,
    /// What is held no more and is still to be freed: not under the lock.
    freed: Vec<Memo>,
    pub counters: Counters,
    /// The hits and misses among them, by instance.
    uses: Vec<(u64, u64)>,
}

impl Cache {
    pub fn new(capacity: Capacity) -> Self {
        Cache {
            // As large as it may become, so that it never grows under the lock. Memory that is not
            // written to is not taken.
            entries: LruCache::new(MOST_ENTRIES.min(most(capacity))),
            looked_up: BTreeSet::new(),
            pieces: LruCache::unbounded(),
            piece_bytes: 0,
            capacity,
            held: Cost::default(),
            evicted: Vec::new(),
            freed: Vec::new(),
            counters: Counters::default(),
            uses: Vec::new(),
        }
    }

    /// A use that memory answered.
    pub fn note_hit(&mut self, instance: InstanceId) {
        self.counters.hits += 1;
        self.uses_of_mut(instance).0 += 1;
    }

    /// A use that a provider is asked for.
    pub fn note_miss(&mut self, instance: InstanceId) {
        self.counters.misses += 1;
        self.uses_of_mut(instance).1 += 1;
    }

    fn uses_of_mut(&mut self, instance: InstanceId) -> &mut (u64, u64) {
        let index = usize::from(instance.0);
        if self.uses.len() <= index {
            self.uses.resize(index + 1, (0, 0));
        }
        &mut self.uses[index]
    }

    /// Hits and misses of an instance.
    pub fn uses_of(&self, instance: InstanceId) -> (u64, u64) {
        self.uses.get(usize::from(instance.0)).copied().unwrap_or_default()
    }

    pub fn held(&self) -> Cost {
        self.held
    }

    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Keeps an answer. One that alone exceeds the capacity is not kept.
    pub fn insert(&mut self, query: Query, memo: Memo) {
        let cost = memo.cost();
        self.remove(&query);
        if cost.nodes > self.capacity.nodes || cost.bytes > self.capacity.bytes {
            return;
        }
        if let Operation::Lookup(name) = &query.operation {
            self.looked_up.insert((query.instance, query.id.clone(), name.clone()));
        }
        if let Memo::Piece(bytes) = &memo {
            self.pieces.put(query.clone(), ());
            self.piece_bytes += bytes.len();
        }
        if self.entries.len() == self.entries.cap().get() {
            self.evict();
        }
        self.entries.put(query, memo);
        self.held.nodes += cost.nodes;
        self.held.bytes += cost.bytes;
        while self.held.nodes > self.capacity.nodes || self.held.bytes > self.capacity.bytes {
            if !self.evict() {
                break;
            }
        }
        while self.piece_bytes > PIECES_MAX {
            let Some((oldest, ())) = self.pieces.peek_lru() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
            self.counters.evictions += 1;
        }
    }

    /// Drops what was used least recently. False where there is nothing.
    fn evict(&mut self) -> bool {
        let Some((query, memo)) = self.entries.pop_lru() else { return false };
        self.uncount(&query, &memo);
        self.counters.evictions += 1;
        if let Memo::Listing(listing) = &memo {
            self.evicted.push(listing.directory);
        }
        self.freed.push(memo);
        true
    }

    /// Directories whose listings went to make room since this was last asked.
    pub fn take_evicted(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.evicted)
    }

    /// What is to be freed once the lock is released.
    pub fn take_freed(&mut self) -> Vec<Memo> {
        std::mem::take(&mut self.freed)
    }

    /// A piece that is held.
    pub fn piece(&mut self, query: &Query) -> Option<Bytes> {
        match self.entries.get(query)? {
            Memo::Piece(bytes) => {
                self.pieces.promote(query);
                Some(bytes.clone())
            }
            _ => None,
        }
    }

    /// Drops an answer, if it is held.
    pub fn remove(&mut self, query: &Query) {
        if let Some(memo) = self.entries.pop(query) {
            self.uncount(query, &memo);
            self.freed.push(memo);
        }
    }

    fn uncount(&mut self, query: &Query, memo: &Memo) {
        let cost = memo.cost();
        self.held.nodes -= cost.nodes;
        self.held.bytes -= cost.bytes;
        if let Memo::Piece(bytes) = memo {
            self.pieces.pop(query);
            self.piece_bytes -= bytes.len();
        }
        if let Operation::Lookup(name) = &query.operation {
            self.looked_up.remove(&(query.instance, query.id.clone(), name.clone()));
        }
    }

    /// The node that `name` in `directory` last led to, whether it may be served or not.
    pub fn last_child(&self, directory: &Node, name: &str) -> Option<&Arc<Node>> {
        match self.entries.peek(&Query::new(directory, Operation::Lookup(name.into()))) {
            Some(Memo::Child { node, .. }) => return Some(node),
            Some(_) => return None,
            None => {}
        }
        match self.entries.peek(&Query::new(directory, Operation::List))? {
            Memo::Listing(listing) => listing.get(name).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// Whether a name in the directory was looked up by a call that began after `stamp`.
    pub fn has_names_since(&self, directory: &Node, stamp: u64) -> bool {
        let (instance, id) = (directory.instance, &directory.id);
        let names = self.looked_up.range((instance, id.clone(), "".into())..);
        let mut names = names.take_while(|(of, directory, _)| *of == instance && directory == id);
        names.any(|(.., name)| {
            match self.entries.peek(&Query::new(directory, Operation::Lookup(name.clone()))) {
                Some(Memo::Child { binding, .. } | Memo::Absent(binding)) => binding.stamp > stamp,
                _ => false,
            }
        })
    }

    pub fn holds(&self, query: &Query) -> bool {
        self.entries.contains(query)
    }

    /// What is held for this query, without a judgement on whether it may be served.
    pub fn get(&mut self, query: &Query) -> Option<&Memo> {
        self.entries.get(query)
    }

    pub fn listing(&mut self, directory: &Node) -> Option<Arc<Listing>> {
        match self.get(&Query::new(directory, Operation::List))? {
            Memo::Listing(listing) => Some(listing.clone()),
            _ => None,
        }
    }

    /// The bytes of this very node, where they are held: from a read, or from the listing of the
    /// directory `parent` that showed it as `name`.
    pub fn content(&mut self, node: &Arc<Node>, parent: Option<(&Node, &str)>) -> Option<Bytes> {
        if let Some(Memo::Content(content)) = self.get(&Query::new(node, Operation::Read))
            && Arc::ptr_eq(&content.node, node)
        {
            return Some(content.bytes.clone());
        }
        let (parent, name) = parent?;
        let listing = self.listing(parent)?;
        let entry = listing.get(name)?;
        if Arc::ptr_eq(&entry.node, node) { entry.content.clone() } else { None }
    }

    /// Drops what is known of a directory's entries.
    pub fn forget_children(&mut self, instance: InstanceId, id: &Arc<str>) {
        let list = Query { instance, id: id.clone(), operation: Operation::List };
        self.remove(&list);
        let names = self.looked_up.range((instance, id.clone(), "".into())..);
        let names = names.take_while(|(of, directory, _)| *of == instance && directory == id);
        for name in names.map(|(.., name)| name.clone()).collect::<Vec<_>>() {
            let lookup = Query { instance, id: id.clone(), operation: Operation::Lookup(name) };
            self.remove(&lookup);
        }
    }

    /// Drops all that is known of an instance's objects but those that `keep` names.
    pub fn forget_all_but(&mut self, instance: InstanceId, keep: impl Fn(&Arc<str>) -> bool) {
        let entries = self.entries.iter().map(|(query, _)| query);
        let of = entries.filter(|query| query.instance == instance && !keep(&query.id));
        for query in of.cloned().collect::<Vec<_>>() {
            self.remove(&query);
        }
    }

    /// Drops the content of an object.
    pub fn forget_content(&mut self, instance: InstanceId, id: &Arc<str>) {
        self.remove(&Query { instance, id: id.clone(), operation: Operation::Read });
    }
}
