//! A provider whose service is a tree in memory: what the benchmarks and the model check drive.
//!
//! The test holds the [`Memory`] and changes it; each change returns the events that a feed would
//! bring, and the test decides when, whether and in what order they arrive.

use bytes::Bytes;
use futures_util::FutureExt;
use omnifs::provider::{
    Along, Answer, Body, Cause, Change, Coherence, Delivery, Failure, Kind, Node, Offer, Position,
    Progress, Provider, Reply, Request, ScopedChange, Walk,
};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// The scope that every scoped node of the tree belongs to.
pub const SCOPE: &str = "tree";
/// The node-id of the root directory.
pub const ROOT: &str = "root";

#[derive(Clone, Debug)]
struct Item {
    kind: Kind,
    content: Bytes,
    version: u64,
    children: BTreeMap<String, Arc<str>>,
    volatile: bool,
    immutable: bool,
    part_of: Option<Arc<str>>,
    /// Files whose content a read of this one brings along.
    along: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct Tree {
    /// Ordered, so that a run with one seed is the same every time.
    items: BTreeMap<Arc<str>, Item>,
    version: u64,
    /// What the listing or the content of an object fails with.
    failing: BTreeMap<Arc<str>, Cause>,
}

/// How answers are given.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Listings and lookups carry the content.
    pub inline: bool,
    /// Answers carry the exact size.
    pub sizes: bool,
    /// Answers carry a version.
    pub versions: bool,
    /// Answers carry a modified time: that of the version, see [`Memory::modified`].
    pub modified: bool,
}

impl Default for Style {
    fn default() -> Self {
        Style { inline: false, sizes: true, versions: true, modified: true }
    }
}

#[derive(Debug)]
pub struct Memory {
    tree: Mutex<Tree>,
    style: Style,
    calls: AtomicU64,
    /// Listings bring along what is in each of their directories.
    preloads: AtomicBool,
    /// Closed to hold every answer back after it was computed.
    gate: Mutex<Option<Arc<Semaphore>>>,
    fault: Mutex<Option<Cause>>,
    /// What was wanted beside the files that were read.
    walks: Mutex<Vec<Walk>>,
    /// How many of those are brought along with one.
    brings_walks: AtomicUsize,
}

impl Memory {
    pub fn new(style: Style) -> Arc<Self> {
        let mut tree = Tree::default();
        tree.items.insert(ROOT.into(), Item::directory());
        Arc::new(Memory {
            tree: Mutex::new(tree),
            style,
            calls: AtomicU64::new(0),
            preloads: AtomicBool::new(false),
            gate: Mutex::new(None),
            fault: Mutex::new(None),
            walks: Mutex::default(),
            brings_walks: AtomicUsize::new(0),
        })
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock()
    }

    /// Calls answered so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Adds a directory `id` as `name` in `parent`.
    pub fn directory(&self, parent: &str, name: &str, id: &str) -> Vec<Change> {
        self.add(parent, name, id, Item::directory())
    }

    /// Adds a file `id` as `name` in `parent`.
    pub fn file(&self, parent: &str, name: &str, id: &str, content: &[u8]) -> Vec<Change> {
        let content = Bytes::copy_from_slice(content);
        self.add(parent, name, id, Item { content, ..Item::file() })
    }

    /// Adds a symlink.
    pub fn symlink(&self, parent: &str, name: &str, id: &str, target: &str) -> Vec<Change> {
        let content = Bytes::copy_from_slice(target.as_bytes());
        self.add(parent, name, id, Item { kind: Kind::Symlink, content, ..Item::file() })
    }

    /// Adds a file that no feed covers.
    pub fn volatile(&self, parent: &str, name: &str, id: &str, content: &[u8]) -> Vec<Change> {
        let content = Bytes::copy_from_slice(content);
        self.add(parent, name, id, Item { content, volatile: true, ..Item::file() })
    }

    /// Adds a file that is part of the object `whole`: an event names the whole.
    pub fn part(
        &self,
        parent: &str,
        name: &str,
        id: &str,
        whole: &str,
        content: &[u8],
    ) -> Vec<Change> {
        let content = Bytes::copy_from_slice(content);
        let part_of = Some(whole.into());
        self.add(parent, name, id, Item { content, part_of, ..Item::file() })
    }

    fn add(&self, parent: &str, name: &str, id: &str, item: Item) -> Vec<Change> {
        let mut tree = self.tree();
        let id: Arc<str> = id.into();
        tree.version += 1;
        let version = tree.version;
        tree.items.entry(id.clone()).or_insert(Item { version, ..item });
        let mut changes = Vec::new();
        if let Some(directory) = tree.items.get_mut(parent) {
            directory.children.insert(name.to_owned(), id);
            directory.version = version;
            changes.push(Change::ChildrenChanged(parent.into()));
        }
        changes
    }

    /// From now on a read of the file `id` brings the content of `other` along.
    pub fn brings(&self, id: &str, other: &str) {
        if let Some(item) = self.tree().items.get_mut(id) {
            item.along.push(other.into());
        }
    }

    /// The object never changes.
    pub fn settle_for_good(&self, id: &str) {
        if let Some(item) = self.tree().items.get_mut(id) {
            item.immutable = true;
        }
    }

    /// What was wanted beside files that were read, so far. From now on it is brought along, or not.
    pub fn walks(&self, brings: bool) -> Vec<Walk> {
        self.brings_of_walks(if brings { usize::MAX } else { 0 });
        std::mem::take(&mut *self.walks.lock())
    }

    /// From now on so many of what is wanted beside a file are brought along at once.
    pub fn brings_of_walks(&self, most: usize) {
        self.brings_walks.store(most, Ordering::Relaxed);
    }

    /// From now on a listing brings along what is in each of its directories, with the contents.
    pub fn preload(&self) {
        self.preloads.store(true, Ordering::Relaxed);
    }

    fn offers(&self, tree: &Tree, directory: &str) -> Vec<Offer> {
        let listed = |id: &str| tree.items.get(id).into_iter().flat_map(|item| &item.children);
        let nodes = |id: &str| {
            let children = listed(id).filter_map(|(name, id)| {
                let item = tree.items.get(id)?;
                let content =
                    (item.kind != Kind::Directory).then(|| Body::Held(item.content.clone()));
                Some(Node { content, ..self.node(name, id, item) })
            });
            children.collect::<Vec<_>>()
        };
        let is_directory =
            |id: &str| tree.items.get(id).is_some_and(|item| item.kind == Kind::Directory);
        let directories = listed(directory).map(|(_, id)| id).filter(|id| is_directory(id));
        directories
            .map(|id| Offer { parent: id.clone(), children: nodes(id), whole: true })
            .collect()
    }

    /// Replaces the content of a file.
    pub fn set(&self, id: &str, content: &[u8]) -> Vec<Change> {
        let mut tree = self.tree();
        tree.version += 1;
        let version = tree.version;
        let Some(item) = tree.items.get_mut(id) else { return Vec::new() };
        item.content = Bytes::copy_from_slice(content);
        item.version = version;
        vec![Change::Invalidated(item.part_of.clone().unwrap_or_else(|| id.into()))]
    }

    /// A file that no feed covered is covered from now on: it grows no more.
    pub fn settle(&self, id: &str) -> Vec<Change> {
        let mut tree = self.tree();
        let Some(item) = tree.items.get_mut(id) else { return Vec::new() };
        item.volatile = false;
        vec![Change::Invalidated(id.into())]
    }

    /// Renames an entry within a directory.
    pub fn rename(&self, parent: &str, from: &str, to: &str) -> Vec<Change> {
        let mut tree = self.tree();
        tree.version += 1;
        let version = tree.version;
        let Some(directory) = tree.items.get_mut(parent) else { return Vec::new() };
        let Some(id) = directory.children.remove(from) else { return Vec::new() };
        directory.children.insert(to.to_owned(), id);
        directory.version = version;
        vec![Change::ChildrenChanged(parent.into())]
    }

    /// Takes an entry out of a directory; the object stays.
    pub fn unlink(&self, parent: &str, name: &str) -> Vec<Change> {
        let mut tree = self.tree();
        tree.version += 1;
        let version = tree.version;
        let Some(directory) = tree.items.get_mut(parent) else { return Vec::new() };
        directory.children.remove(name);
        directory.version = version;
        vec![Change::ChildrenChanged(parent.into())]
    }

    /// Deletes an object and its parts wherever they show.
    pub fn delete(&self, id: &str) -> Vec<Change> {
        let mut tree = self.tree();
        tree.version += 1;
        let version = tree.version;
        tree.items.retain(|known, item| **known != *id && item.part_of.as_deref() != Some(id));
        let mut changes = vec![Change::Removed(id.into())];
        let left: HashSet<Arc<str>> = tree.items.keys().cloned().collect();
        for (parent, directory) in &mut tree.items {
            let before = directory.children.len();
            directory.children.retain(|_, child| left.contains(child));
            if directory.children.len() != before {
                directory.version = version;
                changes.push(Change::ChildrenChanged(parent.clone()));
            }
        }
        changes
    }

    /// The content as the service has it now.
    pub fn content(&self, id: &str) -> Option<Bytes> {
        self.tree().items.get(id).map(|item| item.content.clone())
    }

    /// The entries of a directory, name to node-id, as the service has them now.
    pub fn children(&self, id: &str) -> Option<BTreeMap<String, Arc<str>>> {
        let tree = self.tree();
        let item = tree.items.get(id).filter(|item| item.kind == Kind::Directory)?;
        Some(item.children.clone())
    }

    /// The modified time that answers of now carry.
    pub fn modified(&self, id: &str) -> Option<SystemTime> {
        self.tree().items.get(id).map(Item::modified)
    }

    /// Holds every answer back, after it was computed, until the permits of the semaphore let it
    /// go; `None` opens the gate.
    pub fn hold(&self, gate: Option<Arc<Semaphore>>) {
        *self.gate.lock() = gate;
    }

    /// Makes every call fail.
    pub fn fail(&self, cause: Option<Cause>) {
        *self.fault.lock() = cause;
    }

    /// Makes what is in an object fail, and not the lookup that shows it.
    pub fn fail_inside(&self, id: &str, cause: Option<Cause>) {
        let mut tree = self.tree();
        match cause {
            Some(cause) => tree.failing.insert(id.into(), cause),
            None => tree.failing.remove(id),
        };
    }

    fn node(&self, name: &str, id: &Arc<str>, item: &Item) -> Node {
        let leaf = item.kind != Kind::Directory && !item.volatile;
        let size = (leaf && self.style.sizes).then_some(item.content.len() as u64);
        Node {
            id: id.clone(),
            name: name.to_owned(),
            kind: item.kind,
            size,
            modified: self.style.modified.then(|| item.modified()),
            version: self.style.versions.then(|| item.version.to_string()),
            content: (leaf && self.style.inline).then(|| Body::Held(item.content.clone())),
            coherence: match item {
                Item { volatile: true, .. } => Coherence::Volatile,
                Item { immutable: true, .. } => Coherence::Immutable,
                _ => Coherence::Scoped(SCOPE.into()),
            },
            part_of: item.part_of.clone(),
            complete: true,
        }
    }

    fn failure(&self, cause: Cause) -> Failure {
        Failure {
            provider: "memory".into(),
            cause,
            detail: format!("the tree answered {cause:?}"),
            retry_after: None,
        }
    }

    fn answer<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&Tree) -> Result<T, Cause>,
    ) -> Reply<'_, Answer<T>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let fault = *self.fault.lock();
        let result = match fault {
            Some(cause) => Err(cause),
            None => compute(&self.tree()),
        };
        let result = result.map(Answer::plain).map_err(|cause| self.failure(cause));
        let gate = self.gate.lock().clone();
        async move {
            if let Some(gate) = gate
                && let Ok(permit) = gate.acquire().await
            {
                permit.forget();
            }
            result
        }
        .boxed()
    }
}

impl Tree {
    fn may_answer(&self, id: &str) -> Result<(), Cause> {
        self.failing.get(id).map_or(Ok(()), |cause| Err(*cause))
    }
}

impl Item {
    fn modified(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.version)
    }

    fn directory() -> Self {
        Item { kind: Kind::Directory, ..Item::file() }
    }

    fn file() -> Self {
        Item {
            kind: Kind::File,
            content: Bytes::new(),
            version: 0,
            children: BTreeMap::new(),
            volatile: false,
            immutable: false,
            part_of: None,
            along: Vec::new(),
        }
    }
}

impl Provider for Memory {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        self.answer(|tree| {
            let directory = tree.items.get(parent).ok_or(Cause::NotFound)?;
            let id = directory.children.get(name).ok_or(Cause::NotFound)?;
            let item = tree.items.get(id).ok_or(Cause::NotFound)?;
            Ok(self.node(name, id, item))
        })
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        let offers = match self.preloads.load(Ordering::Relaxed) {
            true => self.offers(&self.tree(), parent),
            false => Vec::new(),
        };
        let reply = self.answer(|tree| {
            tree.may_answer(parent)?;
            let directory = tree.items.get(parent).ok_or(Cause::NotFound)?;
            let children = directory.children.iter();
            Ok(children
                .filter_map(|(name, id)| Some(self.node(name, id, tree.items.get(id)?)))
                .collect())
        });
        async move { Ok(Answer { offers, ..reply.await? }) }.boxed()
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        let along = {
            let tree = self.tree();
            let others = tree.items.get(node).into_iter().flat_map(|item| &item.along);
            let content = |id: &Arc<str>| {
                Some(Along { node: id.clone(), bytes: tree.items.get(id)?.content.clone() })
            };
            others.filter_map(content).collect()
        };
        let reply = self.answer(|tree| {
            tree.may_answer(node)?;
            tree.items.get(node).map(|item| item.content.clone()).ok_or(Cause::NotFound)
        });
        async move { Ok(Answer { along, ..reply.await? }) }.boxed()
    }

    fn read_ahead<'a>(&'a self, node: &'a str, walk: Walk) -> Reply<'a, Answer<Bytes>> {
        let content = |tree: &Tree, id: &Arc<str>| {
            Some(Along { node: id.clone(), bytes: tree.items.get(id)?.content.clone() })
        };
        let brought = walk.files.iter().take(self.brings_walks.load(Ordering::Relaxed));
        let along = {
            let tree = self.tree();
            brought.filter_map(|id| content(&tree, id)).collect()
        };
        self.walks.lock().push(walk);
        let reply = self.read_file(node);
        async move { Ok(Answer { along, ..reply.await? }) }.boxed()
    }

    fn open_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Request> {
        async { Err(self.failure(Cause::Invalid)) }.boxed()
    }

    fn feed_line<'a>(&'a self, _: &'a Position, _: Bytes) -> Reply<'a, Progress> {
        async { Err(self.failure(Cause::Invalid)) }.boxed()
    }

    fn poll_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Progress> {
        async { Err(self.failure(Cause::Invalid)) }.boxed()
    }

    fn deliver(&self, _: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        async { Err(self.failure(Cause::Invalid)) }.boxed()
    }
}
