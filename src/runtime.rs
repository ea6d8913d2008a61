//! The file system over router, cache, inodes and providers: what a back end mounts.
//!
//! One mutex guards the core's state. It is held for map operations only, never across an await, a
//! provider call or a notification, so any thread may take it, a back end's event loop included.
//!
//! - `fetch`: provider calls, one at a time for each (node, operation)
//! - `calls`: one of them
//! - `landing`: what of their answers may be kept
//! - `opens`: what is open
//! - `pieces`: contents that are read in pieces
//! - `growths`: contents that grow while somebody looks
//! - `memory`: what it may answer with
//! - `resolve`: from a handle and a name to a node or a content that may be served
//! - `recall`: what the disk has of earlier answers
//! - `scans`: walks over more than there is room for
//! - `walks`: what is asked for along with a file, where a program reads one after the other
//! - `followed`: files that grow under those who have them open
//! - `silent`: back ends that do not say what is open
//! - `stale`: what may be served where the service cannot be reached
//! - `shown`: entries, attributes and kinds
//! - `vfs`: the [`omnifs_platform::Vfs`] calls on top of it
//! - `changes`: events in, notifications out
//! - `feeds`: what feeds say of their scopes
//! - `watch`: what file watchers are told
//! - `seams`: what tests and benchmarks put in

mod calls;
mod changes;
mod feeds;
mod fetch;
mod followed;
mod growths;
mod landing;
mod memory;
mod opens;
mod pieces;
mod recall;
mod resolve;
mod scans;
mod seams;
mod shown;
mod silent;
mod slowest;
mod stale;
mod status;
mod vfs;
mod walks;
mod watch;

pub use seams::{Meter, Seams};
pub use slowest::SlowCall;
pub use status::{FailureRecord, PartialListing, Snapshot};

use crate::cache::{Cache, Capacity, Listing, Query};
use crate::disk::Disk;
use crate::events::Prover;
use crate::growing::Growth;
use crate::inodes::{Inodes, ROOT};
use crate::mutants;
use crate::nodes::{Key, Node, Registry};
use crate::provider::Partial;
use crate::router::{MOUNT, Router};
use crate::scopes::Ledger;
use bytes::Bytes;
use fetch::Flight;
use lru::LruCache;
use omnifs_platform::{Change, Handle, OpenId};
use parking_lot::{Mutex, MutexGuard};
use seams::Between;
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

/// Directories whose last change of entries is remembered by itself.
const TOUCHED: usize = 65_536;

#[derive(Debug)]
pub struct Runtime {
    me: Weak<Runtime>,
    router: Router,
    state: Mutex<State>,
    observers: Mutex<Vec<Sender<Vec<Change>>>>,
    failures: Mutex<VecDeque<FailureRecord>>,
    /// Taken after the state where both are.
    slowest: Mutex<slowest::Slowest>,
    /// Stands in for times that no service gives. The same at every start.
    epoch: SystemTime,
    tokio: tokio::runtime::Handle,
    next_open: AtomicU64,
    /// What no event has called out of date is served where the service cannot be reached.
    stale_if_error: AtomicBool,
    /// Uses that were served so.
    stale_served: AtomicU64,
    /// Provider calls made, by instance.
    calls: Vec<AtomicU64>,
    growths: growths::Growths,
    /// What is kept for the next start. Set before anything is asked, if at all.
    disk: OnceLock<Arc<Disk>>,
    between: Option<Between>,
    meter: Option<Meter>,
}

/// The state, locked. What the cache has dropped meanwhile is freed once the lock is released: that
/// may be a listing of many thousand nodes.
struct Locked<'a> {
    /// Until it is dropped.
    state: Option<MutexGuard<'a, State>>,
    since: Option<(&'a Meter, Duration)>,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_deref().expect("locked until it is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_deref_mut().expect("locked until it is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let freed = self.cache.take_freed();
        drop(self.state.take());
        if let Some((meter, since)) = self.since {
            (meter.tell)((meter.now)() - since);
        }
        drop(freed);
    }
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    registry: Registry,
    cache: Cache,
    inodes: Inodes,
    flights: HashMap<Query, Arc<Flight>>,
    opens: opens::Opens,
    partials: HashMap<(crate::nodes::InstanceId, Arc<str>), Partial>,
    touched: Touched,
    /// The sequence numbers at which another provider took the place of an instance's.
    renewed: HashMap<crate::nodes::InstanceId, u64>,
    /// The sequence number of the last removal of an object.
    removal: u64,
    /// What the disk has from before this sequence number is not believed.
    recalled_from: u64,
    /// Events applied.
    events: u64,
    before: watch::Before,
    ahead: silent::Ahead,
    scans: scans::Scans,
    walks: walks::Walks,
    /// Scopes of which kernels are to be told once the lock is released.
    suspected: Vec<(crate::nodes::InstanceId, Arc<str>)>,
    /// What back ends are to be told once the lock is released.
    pending: Vec<Change>,
    /// Steps of readers from a piece to the next.
    steps: u64,
    waits: LockWaits,
    /// Keeps the instances' root nodes reachable for events.
    roots: Arc<Listing>,
    clocks: HashMap<crate::nodes::InstanceId, ServiceClock>,
    provers: HashMap<crate::nodes::InstanceId, Prover>,
}

/// How often the state's lock was taken already when somebody wanted it, and how long they all waited.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockWaits {
    pub count: u64,
    pub time: Duration,
}

/// A service's own clock, by its last answer: seconds since the Unix epoch.
#[derive(Clone)]
pub struct ServiceClock(pub Arc<dyn Fn() -> Option<u64> + Send + Sync>);

impl std::fmt::Debug for ServiceClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceClock")
    }
}

#[derive(Debug)]
enum Open {
    File {
        handle: Handle,
        bytes: Bytes,
        volatile: bool,
        /// A read has reached the end of what is held; the next one there asks for more.
        at_end: bool,
    },
    /// One state of a content that is read in pieces.
    Pieces {
        handle: Handle,
        node: Arc<Node>,
        /// The piece that comes next where it is read in order.
        ahead: u64,
        /// Which of all steps from a piece to the next was its last one.
        step: u64,
    },
    Growing {
        handle: Handle,
        growth: Arc<Growth>,
        /// The position of the file's first byte.
        begin: u64,
    },
    Directory {
        handle: Handle,
        node: Arc<Node>,
        listing: Arc<Listing>,
    },
}

impl Open {
    /// Bytes that it holds.
    fn held(&self) -> u64 {
        match self {
            Open::File { bytes, .. } => bytes.len() as u64,
            Open::Pieces { .. } | Open::Growing { .. } | Open::Directory { .. } => 0,
        }
    }
}

/// What a file is opened with.
#[derive(Clone, Debug)]
enum Body {
    Held(Bytes),
    /// Its node says where it is.
    Pieces,
    Growing(Arc<Growth>),
}

/// When an event last changed each object, in the order of events and in time.
#[derive(Debug)]
struct Touched {
    last: LruCache<Key, Touch>,
    /// The newest sequence number that has been dropped from `last`.
    floor: u64,
    /// Where all of them are written too.
    disk: Option<Arc<Disk>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Touch {
    sequence: u64,
    /// That of the last removal; 0: none is known.
    removed: u64,
    time: Option<SystemTime>,
}

impl Touched {
    fn new() -> Self {
        let capacity = NonZeroUsize::new(TOUCHED).expect("TOUCHED is not 0");
        Touched { last: LruCache::new(capacity), floor: 0, disk: None }
    }

    fn touch(&mut self, key: Key, sequence: u64, now: SystemTime) {
        self.put(key, sequence, Some(now), false);
    }

    fn remove(&mut self, key: Key, sequence: u64, now: SystemTime) {
        self.put(key, sequence, Some(now), true);
    }

    /// What was asked for before is not believed any more, and nothing is known to have changed.
    fn doubt(&mut self, key: Key, sequence: u64) {
        let time = self.time(key);
        self.put(key, sequence, time, false);
    }

    fn put(&mut self, key: Key, sequence: u64, time: Option<SystemTime>, removed: bool) {
        if let Some(disk) = &self.disk {
            disk.touched(key, sequence, removed);
        }
        let removed = if removed { sequence } else { self.removed(key) };
        self.note(key, Touch { sequence, removed, time });
    }

    fn note(&mut self, key: Key, touch: Touch) {
        if let Some((old, dropped)) = self.last.push(key, touch)
            && old != key
        {
            self.floor = self.floor.max(dropped.sequence);
        }
    }

    /// The sequence number of the last event on this object, or a later one.
    fn sequence(&self, key: Key) -> u64 {
        self.last.peek(&key).map_or(self.floor, |touch| touch.sequence)
    }

    /// The sequence number of the last removal of this object, or a later one.
    fn removed(&self, key: Key) -> u64 {
        self.last.peek(&key).map_or(self.floor, |touch| touch.removed)
    }

    fn time(&self, key: Key) -> Option<SystemTime> {
        self.last.peek(&key).and_then(|touch| touch.time)
    }
}

impl Runtime {
    /// `epoch` stands in for the modified time of what has none; the daemon keeps one for each
    /// installation so that it does not move between mounts.
    pub fn new(
        router: Router,
        capacity: Capacity,
        epoch: SystemTime,
        tokio: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Runtime::with_seams(router, capacity, epoch, tokio, Seams::default())
    }

    #[doc(hidden)]
    pub fn with_seams(
        router: Router,
        capacity: Capacity,
        epoch: SystemTime,
        tokio: tokio::runtime::Handle,
        seams: Seams,
    ) -> Arc<Self> {
        mutants::plant(seams.mutant);
        let mut registry = Registry::default();
        let root = registry.intern(Router::mount_root()).node;
        let entries = router
            .roots()
            .into_iter()
            .map(|(name, node)| crate::cache::ListEntry {
                cookie: crate::cache::cookie(&name),
                name,
                node: registry.intern(node).node,
                content: None,
            })
            .collect();
        let calls = router.instances().map(|_| AtomicU64::new(0)).collect();
        let immutable = crate::nodes::Coherence::Immutable;
        let roots = Arc::new(Listing::new(root.key, entries, true, 0, immutable));
        Arc::new_cyclic(|me| Runtime {
            me: me.clone(),
            router,
            state: Mutex::new(State {
                ledger: Ledger::default(),
                registry,
                cache: Cache::new(capacity),
                inodes: Inodes::new(root),
                flights: HashMap::new(),
                opens: opens::Opens::default(),
                partials: HashMap::new(),
                touched: Touched::new(),
                renewed: HashMap::new(),
                removal: 0,
                recalled_from: 0,
                events: 0,
                before: watch::Before::new(),
                ahead: silent::Ahead::default(),
                scans: scans::Scans::new(),
                walks: walks::Walks::new(),
                suspected: Vec::new(),
                pending: Vec::new(),
                steps: 0,
                waits: LockWaits::default(),
                roots,
                clocks: HashMap::new(),
                provers: HashMap::new(),
            }),
            observers: Mutex::new(Vec::new()),
            failures: Mutex::new(VecDeque::new()),
            slowest: Mutex::default(),
            epoch,
            tokio,
            next_open: AtomicU64::new(1),
            stale_if_error: AtomicBool::new(false),
            stale_served: AtomicU64::new(0),
            calls,
            growths: growths::Growths::default(),
            disk: OnceLock::new(),
            between: seams.between.map(Between),
            meter: seams.meter,
        })
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    fn state(&self) -> Locked<'_> {
        if let Some(Between(hook)) = &self.between {
            hook();
        }
        // A panic under the lock is a bug of ours; what the maps hold is still whole, since every
        // change to them is a single call.
        let state = match self.state.try_lock() {
            Some(state) => state,
            // Only who has to wait looks at the clock.
            None => {
                let began = Instant::now();
                let mut state = self.state.lock();
                state.waits.count += 1;
                state.waits.time += began.elapsed();
                state
            }
        };
        let since = self.meter.as_ref().map(|meter| (meter, (meter.now)()));
        Locked { state: Some(state), since }
    }

    fn arc(&self) -> Arc<Runtime> {
        self.me.upgrade().expect("a method runs on a Runtime that somebody holds")
    }

    fn next_open(&self) -> OpenId {
        OpenId(self.next_open.fetch_add(1, Ordering::Relaxed))
    }

    fn subscribe(&self) -> Receiver<Vec<Change>> {
        let (sender, receiver) = channel();
        self.observers.lock().push(sender);
        receiver
    }

    /// Tells every back end. Called with no lock held.
    fn notify(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut observers = self.observers.lock();
        observers.retain(|observer| observer.send(changes.clone()).is_ok());
    }

    /// The modified time to show for a node: the service's, else that of the last event on it or
    /// on what it is part of.
    fn modified(&self, state: &State, node: &Node) -> SystemTime {
        if let Some(modified) = node.modified {
            // A kernel that lists a directory again by itself compares this time only, and a service's
            // says nothing of the entries.
            let version = match state.inodes.silent && node.is_directory() {
                true => state.touched.sequence(node.key) % 1_000_000,
                false => 0,
            };
            return modified + Duration::from_nanos(version);
        }
        let own = state.touched.time(node.key);
        let owner = node.owner.as_ref().and_then(|(_, key)| state.touched.time(*key));
        own.max(owner).unwrap_or(self.epoch)
    }
}

/// References for the length of a call, given back however it ends: its caller may stop waiting.
struct Borrowed<'a> {
    runtime: &'a Runtime,
    handles: Vec<Handle>,
}

impl<'a> Borrowed<'a> {
    fn new(runtime: &'a Runtime) -> Self {
        Borrowed { runtime, handles: Vec::new() }
    }

    /// Takes over one reference.
    fn take(&mut self, handle: Handle) -> Handle {
        self.handles.push(handle);
        handle
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut state = self.runtime.state();
        for handle in self.handles.drain(..) {
            state.inodes.forget(handle, 1);
        }
    }
}

impl State {
    /// The path of a handle below the mount point, for messages.
    fn path(&self, handle: Handle) -> String {
        let mut names = Vec::new();
        let mut at = handle;
        while let Some(link) = self.inodes.slot(at).and_then(|slot| slot.links.last()) {
            names.push(link.name.to_string());
            at = link.parent;
            if names.len() > usize::from(crate::inodes::DEPTH) {
                break;
            }
        }
        names.reverse();
        names.join("/")
    }

    fn is_mount_root(&self, node: &Node) -> bool {
        node.instance == MOUNT
    }
}

/// The handle of the mount's root directory.
pub const ROOT_HANDLE: Handle = ROOT;
