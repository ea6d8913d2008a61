//! What the core knows of upstream objects, and the index that lets an event reach every copy of it.
//!
//! A [`Node`] is one answer about one object. Listings, memos, handles and open files share it by
//! reference. When an event says that the object changed, [`Registry::invalidate`] marks the node
//! itself, so no holder can go on serving it, and none has to be found.

mod registry;

pub use registry::{Interned, Registry};

use crate::mutants::{Mutant, planted};
use crate::provider::{self, Body, Kind, Node as Answered};
use crate::remote::Remote;
use crate::scopes::Scope;
use crate::sharded::Numbers;
use omnifs_platform::Inode;
use parking_lot::Mutex;
use siphasher::sip::SipHasher13;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// Index of a provider instance in the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub u16);

/// The 64-bit hash of (instance, node-id) under which nodes are indexed. Two objects may share
/// one: an index that is keyed by it may only ever do too much (invalidate a stranger), never too
/// little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u64);

#[derive(Clone, Debug)]
pub enum Coherence {
    Immutable,
    Scoped(Arc<Scope>),
    Volatile,
}

/// A way of using a node; see [`Node::usable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    Lookup = 1,
    Attributes = 2,
    Content = 4,
    Listing = 8,
}

/// Kinds of use, and the bits of all of them.
const USES: u32 = 4;
const ALL_USES: u64 = (1 << USES) - 1;

#[derive(Debug)]
pub struct Node {
    pub instance: InstanceId,
    pub id: Arc<str>,
    pub key: Key,
    /// The object this node is a part of.
    pub owner: Option<(Arc<str>, Key)>,
    pub kind: Kind,
    pub inode: Inode,
    /// Bytes; set once, by the answer or by the first read of the content.
    pub size: OnceLock<u64>,
    pub modified: Option<SystemTime>,
    pub version: Option<Box<str>>,
    pub coherence: Coherence,
    /// Directories: the listing is exhaustive.
    pub complete: bool,
    /// Directories: the listing is asked for again at every open, while what was looked up in it
    /// holds as long as its own coherence says (the root of a provider instance).
    pub relisted: bool,
    /// A digest of the content, once it has been read, or of what proves a content that is read in
    /// pieces. A node has one content: another one makes another node.
    pub digest: OnceLock<u64>,
    /// Where the content comes from, where no answer holds it.
    pub remote: Option<Remote>,
    /// The ledger's sequence number when the newest fetch that confirmed this node began.
    stamp: AtomicU64,
    valid: AtomicBool,
    /// An event has said that the object is gone: listings that hold it are out of date.
    removed: AtomicBool,
    /// One bit for each [`Use`] that a fetch outside a live scope still covers, below the era of the
    /// scope in which it was granted.
    fresh: AtomicU64,
    /// Where an event on it may have to be looked for.
    listed: Mutex<Listed>,
}

impl Node {
    pub fn new(
        instance: InstanceId,
        answered: &Answered,
        inode: Inode,
        key: Key,
        owner: Option<(Arc<str>, Key)>,
        coherence: Coherence,
        stamp: u64,
    ) -> Self {
        let immutable = matches!(coherence, Coherence::Immutable);
        let remote = answered.content.as_ref().and_then(|body| Remote::of(body, immutable));
        let version = answered.version.as_deref();
        let proof = remote.as_ref().and_then(|remote| remote.proof(version));
        let size = OnceLock::new();
        if answered.kind != Kind::Directory
            && let Some(bytes) = answered.content.as_ref().and_then(Body::length).or(answered.size)
        {
            let _ = size.set(bytes);
        }
        Node {
            instance,
            id: answered.id.clone(),
            key,
            owner,
            kind: answered.kind,
            inode,
            size,
            modified: answered.modified,
            version: version.map(Box::from),
            coherence,
            complete: answered.complete,
            relisted: false,
            digest: proof.map(OnceLock::from).unwrap_or_default(),
            remote,
            stamp: AtomicU64::new(stamp),
            valid: AtomicBool::new(true),
            removed: AtomicBool::new(false),
            fresh: AtomicU64::new(0),
            listed: Mutex::default(),
        }
    }

    /// Whether this is the node's content, which it is from now on where none was known.
    pub fn holds(&self, bytes: u64, digest: u64) -> bool {
        *self.size.get_or_init(|| bytes) == bytes && *self.digest.get_or_init(|| digest) == digest
    }

    /// The same object with another content: what a call at `stamp` read where the answer had said
    /// otherwise. A version and a time that nothing vouches for any more are not that content's.
    pub fn with_content(&self, bytes: u64, digest: u64, stamp: u64) -> Node {
        let (size, digest) = (OnceLock::from(bytes), OnceLock::from(digest));
        Node { size, digest, ..self.known_by_content(stamp) }
    }

    /// The same object, of which a call at `stamp` has proven the content or the entries alone.
    pub fn known_by_content(&self, stamp: u64) -> Node {
        let live = self.is_live();
        Node {
            instance: self.instance,
            id: self.id.clone(),
            key: self.key,
            owner: self.owner.clone(),
            kind: self.kind,
            inode: self.inode,
            size: self.size.clone(),
            modified: self.modified.filter(|_| live),
            version: self.version.clone().filter(|_| live),
            coherence: self.coherence.clone(),
            complete: self.complete,
            relisted: self.relisted,
            digest: self.digest.clone(),
            remote: None,
            stamp: AtomicU64::new(stamp),
            valid: AtomicBool::new(true),
            removed: AtomicBool::new(false),
            fresh: AtomicU64::new(0),
            listed: Mutex::default(),
        }
    }

    /// The digest of a content that is read in pieces: where nothing proves it, one that no other has.
    pub fn proof(&self) -> u64 {
        *self.digest.get_or_init(crate::remote::unproven)
    }

    /// What speaks for an answer about it, as a provider says that. Nothing does for which entries an instance's root has.
    pub fn vouched_for(&self) -> provider::Coherence {
        match &self.coherence {
            _ if self.relisted => provider::Coherence::Volatile,
            Coherence::Immutable => provider::Coherence::Immutable,
            Coherence::Scoped(scope) => provider::Coherence::Scoped(scope.id.clone()),
            Coherence::Volatile => provider::Coherence::Volatile,
        }
    }

    pub fn is_volatile(&self) -> bool {
        matches!(self.coherence, Coherence::Volatile)
    }

    /// A file that is read anew at each use, and that no event has named since it was fetched.
    pub fn is_volatile_file(&self) -> bool {
        self.is_valid() && self.is_volatile() && !self.is_directory()
    }

    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// How long the binding of a name in this directory to `child` holds. Nothing watches which names
    /// a relisted directory has, so there it holds as long as the child itself.
    pub fn binding(&self, child: &Node) -> Coherence {
        if self.relisted { child.coherence.clone() } else { self.coherence.clone() }
    }

    pub fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Acquire)
    }

    /// No event has named this object since it was fetched, and the feed that would have is live.
    /// What is so may be kept by a kernel until it is told otherwise.
    pub fn is_live(&self) -> bool {
        self.valid.load(Ordering::Acquire) && self.coherence.covers(self.stamp())
    }

    /// Whether this node may answer one more use without asking the provider. In a live scope
    /// always; outside of one, a fetch answers each kind of use once (the lookup, stat and open of
    /// a single `cat`), so that every next use asks again. A path that only leads through a directory
    /// does not: what was asked for since the last attempt of the scope's feed serves all of them.
    pub fn usable(&self, use_: Use) -> bool {
        if !self.valid.load(Ordering::Acquire) {
            return false;
        }
        if self.coherence.covers(self.stamp()) {
            return true;
        }
        let passed = self.is_directory() && matches!(use_, Use::Lookup | Use::Attributes);
        if passed && self.coherence.shares(self.stamp()) {
            return true;
        }
        let granted = self.fresh.fetch_and(!(use_ as u64), Ordering::AcqRel);
        let turned = granted >> USES != self.coherence.era() && !planted(Mutant::GrantsOverEras);
        granted & use_ as u64 != 0 && !turned
    }

    /// Takes away what [`Node::usable`] would still grant this kind of use: the fetch that it asked
    /// for has answered it.
    pub fn spend(&self, use_: Use) {
        self.fresh.fetch_and(!(use_ as u64), Ordering::AcqRel);
    }

    /// Takes away all that [`Node::usable`] would grant outside a live scope.
    pub fn withdraw(&self) {
        self.fresh.store(0, Ordering::Release);
    }

    /// Lets the fetch that confirmed this node answer this kind of use once more.
    pub fn grant(&self, use_: Use) {
        let era = self.coherence.era() << USES;
        let granted = self.fresh.load(Ordering::Acquire);
        if self.is_valid() && !self.is_live() && granted >> USES == era >> USES {
            self.fresh.fetch_or(use_ as u64, Ordering::AcqRel);
        }
    }

    /// Called when a fetch has just confirmed the node. Outside a live scope it grants one use of
    /// each kind, until the feed turns.
    pub fn refresh(&self, stamp: u64) {
        self.stamp.fetch_max(stamp, Ordering::AcqRel);
        let covered = self.coherence.covers(self.stamp());
        let granted = if covered { 0 } else { self.coherence.era() << USES | ALL_USES };
        self.fresh.store(granted, Ordering::Release);
        self.removed.store(false, Ordering::Release);
        self.valid.store(true, Ordering::Release);
    }

    pub fn invalidate(&self) {
        self.valid.store(false, Ordering::Release);
        self.fresh.store(0, Ordering::Release);
    }

    pub fn remove(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// Notes that the listing of this directory shows it.
    pub fn note_listed(&self, directory: Key) {
        let mut listed = self.listed.lock();
        let several =
            |known: &[Key]| Listed::Several(known.iter().copied().chain([directory]).collect());
        *listed = match std::mem::take(&mut *listed) {
            Listed::Nowhere => Listed::In(directory),
            Listed::In(known) if known != directory => several(&[known]),
            Listed::Several(known) if !known.contains(&directory) => several(&known),
            same => same,
        };
    }

    /// The directories whose listings have shown it.
    pub fn listed(&self) -> Vec<Key> {
        match &*self.listed.lock() {
            Listed::Nowhere => Vec::new(),
            Listed::In(directory) => vec![*directory],
            Listed::Several(directories) => directories.to_vec(),
        }
    }

    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// A file whose content an open file keeps, and that no event has called out of date.
    pub fn is_snapshot(&self) -> bool {
        self.is_valid() && !self.is_directory() && !self.is_volatile()
    }

    pub fn is_valid(&self) -> bool {
        self.valid.load(Ordering::Acquire)
    }

    /// Whether it has a time and a version wherever `other` has them. One that was proven by its content alone
    /// has neither.
    pub fn tells_as_much_as(&self, other: &Node) -> bool {
        self.modified.is_some() >= other.modified.is_some()
            && self.version.is_some() >= other.version.is_some()
    }

    /// The two answers describe the same state of the object.
    fn describes_the_same(&self, other: &Node) -> bool {
        let agree = |mine: &OnceLock<u64>, theirs: &OnceLock<u64>| {
            mine.get().zip(theirs.get()).is_none_or(|(mine, theirs)| mine == theirs)
        };
        self.kind == other.kind
            && self.modified == other.modified
            && self.version == other.version
            && self.complete == other.complete
            && agree(&self.size, &other.size)
            && agree(&self.digest, &other.digest)
            && self.remote == other.remote
            && self.owner.as_ref().map(|o| &o.0) == other.owner.as_ref().map(|o| &o.0)
            && self.coherence.same(&other.coherence)
    }
}

impl Coherence {
    /// Whether something fetched at `stamp` is still vouched for.
    pub fn covers(&self, stamp: u64) -> bool {
        match self {
            Coherence::Immutable => true,
            Coherence::Scoped(scope) => scope.covers(stamp),
            Coherence::Volatile => false,
        }
    }

    /// Whether what was fetched at `stamp` may lead through a directory; see [`Scope::shares`].
    pub fn shares(&self, stamp: u64) -> bool {
        self.scope().is_some_and(|scope| scope.shares(stamp))
    }

    /// Moves whenever the feed is lost, fails to come back, comes back or reports a gap.
    pub fn era(&self) -> u64 {
        self.scope().map_or(0, |scope| scope.era())
    }

    pub fn scope(&self) -> Option<&Arc<Scope>> {
        match self {
            Coherence::Scoped(scope) => Some(scope),
            _ => None,
        }
    }

    fn same(&self, other: &Coherence) -> bool {
        match (self, other) {
            (Coherence::Immutable, Coherence::Immutable)
            | (Coherence::Volatile, Coherence::Volatile) => true,
            (Coherence::Scoped(a), Coherence::Scoped(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

static SECRET: OnceLock<[u8; 16]> = OnceLock::new();

/// Has contents told apart by the secret of another process, so that both tell the same. To be called before anything
/// is told apart; false, and without effect, after that.
pub fn tell_apart_by(secret: [u8; 16]) -> bool {
    SECRET.set(secret).is_ok()
}

/// Tells contents apart, not keyed by anything a provider could know.
pub fn digest(bytes: &[u8]) -> u64 {
    let secret = SECRET.get_or_init(|| {
        let random = RandomState::new();
        (u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1))).to_ne_bytes()
    });
    SipHasher13::new_with_key(secret).hash(bytes)
}

/// Directories whose listings have shown a node.
#[derive(Debug, Default)]
enum Listed {
    #[default]
    Nowhere,
    In(Key),
    Several(Box<[Key]>),
}

#[cfg(test)]
mod tests;
