//! The state of a [`Memory`](super::Memory) and the calls of [`Vfs`](crate::Vfs) on it, each one
//! a plain function under the lock.

use super::ROOT;
use crate::{
    Attr, DirEntry, DirPage, Entry, Error, Handle, Inode, Kind, OpenFile, OpenId, Opened, Result,
    Statfs,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// When everything that has not changed since it was added was last modified, after the Unix epoch:
/// a constant, so that two processes build the same tree.
pub const BUILT: Duration = Duration::from_secs(1_700_000_000);

/// Handles that are not an inode's own number start here, far above every inode.
const FIRST_EXTRA_HANDLE: u64 = 1 << 62;

#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub modified: SystemTime,
    /// Each (directory, name) that shows it.
    pub names: Vec<(Inode, String)>,
    pub body: Body,
    pub cacheable: bool,
    pub size_known: bool,
    pub error: Option<Error>,
    pub delay: Duration,
}

#[derive(Debug)]
pub(super) enum Body {
    Directory(Directory),
    Leaf { current: Handle, volatile: bool },
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    /// By cookie, so in the order of a listing.
    pub children: BTreeMap<u64, (String, Inode)>,
    /// Never shrinks: a name that comes back gets its old cookie.
    pub cookies: HashMap<String, u64>,
    /// Moves with the entry set.
    pub version: u64,
    /// The positions given out so far.
    pub places: Vec<Handle>,
    /// What its listings fail with.
    pub error: Option<Error>,
    listing: Option<Arc<[(u64, String, Inode)]>>,
}

/// One position of a directory.
#[derive(Debug)]
pub(super) struct Place {
    pub inode: Inode,
    pub parent: Handle,
    /// The version of the last open: what a kernel may have cached.
    listed: Option<u64>,
}

/// The content behind one handle of a file or symbolic link.
#[derive(Debug)]
pub(super) struct Version {
    pub inode: Inode,
    pub content: Bytes,
    pub modified: SystemTime,
    pub opens: u32,
    /// Another handle has taken its place; it lives on for those who hold it open.
    pub superseded: bool,
    /// Moves with the content.
    pub revision: u64,
    /// The revision of the last open: what a kernel's page cache may hold.
    paged: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Open {
    File { handle: Handle, content: Bytes },
    Directory { place: Handle, entries: Arc<[(u64, String, Inode)]>, modified: SystemTime },
}

#[derive(Debug)]
pub(super) struct Tree {
    pub nodes: HashMap<Inode, Node>,
    pub places: HashMap<Handle, Place>,
    /// Where a directory shows: (position of its parent, name) to its own position.
    pub by_name: HashMap<(Handle, String), Handle>,
    pub versions: HashMap<Handle, Version>,
    pub opens: HashMap<OpenId, Open>,
    /// Whoever holds a handle may have it open, and nobody says so.
    pub silent: bool,
    references: HashMap<Handle, u64>,
    next_inode: u64,
    next_handle: u64,
    next_open: u64,
    last_modified: SystemTime,
}

impl Tree {
    pub fn new() -> Tree {
        let built = SystemTime::UNIX_EPOCH + BUILT;
        let root = Handle(ROOT.0);
        let mut tree = Tree {
            nodes: HashMap::new(),
            places: HashMap::new(),
            by_name: HashMap::new(),
            versions: HashMap::new(),
            opens: HashMap::new(),
            silent: false,
            references: HashMap::new(),
            next_inode: ROOT.0,
            next_handle: FIRST_EXTRA_HANDLE,
            next_open: 0,
            last_modified: built,
        };
        let directory = Directory { places: vec![root], ..Directory::default() };
        let inode = tree.insert(Kind::Directory, |_| Body::Directory(directory));
        tree.places.insert(root, Place { inode, parent: root, listed: None });
        tree
    }

    /// A new object that no directory shows yet.
    pub fn insert(&mut self, kind: Kind, body: impl FnOnce(Inode) -> Body) -> Inode {
        let inode = Inode(self.next_inode);
        self.next_inode += 1;
        let node = Node {
            kind,
            modified: SystemTime::UNIX_EPOCH + BUILT,
            names: Vec::new(),
            body: body(inode),
            cacheable: true,
            size_known: true,
            error: None,
            delay: Duration::ZERO,
        };
        self.nodes.insert(inode, node);
        inode
    }

    pub fn insert_version(&mut self, handle: Handle, inode: Inode, content: Bytes, at: SystemTime) {
        let version = Version {
            inode,
            content,
            modified: at,
            opens: 0,
            superseded: false,
            revision: 0,
            paged: None,
        };
        self.versions.insert(handle, version);
    }

    pub fn fresh_handle(&mut self) -> Handle {
        self.next_handle += 1;
        Handle(self.next_handle)
    }

    /// A time after every time given so far.
    pub fn tick(&mut self) -> SystemTime {
        let now = SystemTime::now().max(self.last_modified + Duration::from_nanos(1));
        self.last_modified = now;
        now
    }

    pub fn node(&self, inode: Inode) -> Result<&Node> {
        self.nodes.get(&inode).ok_or(Error::Stale)
    }

    pub fn node_mut(&mut self, inode: Inode) -> Result<&mut Node> {
        self.nodes.get_mut(&inode).ok_or(Error::Stale)
    }

    pub fn directory(&mut self, inode: Inode) -> Result<&mut Directory> {
        match &mut self.node_mut(inode)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::Leaf { .. } => Err(Error::NotDirectory),
        }
    }

    fn inode(&self, handle: Handle) -> Result<Inode> {
        match self.places.get(&handle) {
            Some(place) => Ok(place.inode),
            None => self.versions.get(&handle).map(|v| v.inode).ok_or(Error::Stale),
        }
    }

    pub fn trouble(&self, handle: Handle) -> Result<(Duration, Option<Error>)> {
        // The object of a superseded version may be gone while the version is still held open.
        let node = self.nodes.get(&self.inode(handle)?);
        Ok(node.map_or((Duration::ZERO, None), |node| (node.delay, node.error)))
    }

    fn place(&self, handle: Handle) -> Result<&Place> {
        match self.places.get(&handle) {
            Some(place) => Ok(place),
            None if self.versions.contains_key(&handle) => Err(Error::NotDirectory),
            None => Err(Error::Stale),
        }
    }

    fn version(&mut self, handle: Handle) -> Result<&mut Version> {
        match self.versions.get_mut(&handle) {
            Some(version) => Ok(version),
            None if self.places.contains_key(&handle) => Err(Error::IsDirectory),
            None => Err(Error::Stale),
        }
    }

    pub fn lookup(&mut self, parent: Handle, name: &str) -> Result<Option<Entry>> {
        let inode = self.place(parent)?.inode;
        let cacheable = self.node(inode)?.cacheable;
        let directory = self.directory(inode)?;
        let child = directory.cookies.get(name).and_then(|cookie| directory.children.get(cookie));
        match child {
            Some(&(_, child)) => self.entry(parent, name, child, cacheable).map(Some),
            None if cacheable => Ok(None),
            None => Err(Error::NotFound),
        }
    }

    /// Where the object of a handle shows.
    pub fn places(&self, handle: Handle) -> Vec<(Handle, String)> {
        if self.places.contains_key(&handle) {
            let named = self.by_name.iter().filter(|(_, child)| **child == handle);
            return named.map(|((parent, name), _)| (*parent, name.clone())).collect();
        }
        let Some(version) = self.versions.get(&handle) else { return Vec::new() };
        let Some(node) = self.nodes.get(&version.inode) else { return Vec::new() };
        let shown = |(directory, name): &(Inode, String)| {
            let places = match &self.nodes.get(directory)?.body {
                Body::Directory(directory) => directory.places.clone(),
                Body::Leaf { .. } => Vec::new(),
            };
            Some(places.into_iter().map(move |place| (place, name.clone())).collect::<Vec<_>>())
        };
        node.names.iter().filter_map(shown).flatten().collect()
    }

    pub fn hold(&mut self, handle: Handle) -> bool {
        let known = self.places.contains_key(&handle) || self.versions.contains_key(&handle);
        if known {
            *self.references.entry(handle).or_default() += 1;
        }
        known
    }

    /// The entry of `child` as `name` in `parent`, with a reference.
    fn entry(&mut self, parent: Handle, name: &str, child: Inode, keep: bool) -> Result<Entry> {
        let handle = match &self.node(child)?.body {
            Body::Leaf { current, .. } => *current,
            Body::Directory(_) => self.place_at(parent, name, child)?,
        };
        let node = self.node(child)?;
        let (kind, known) = (node.kind, node.size_known);
        let attr = if known { Some(self.attr(handle)?) } else { None };
        *self.references.entry(handle).or_default() += 1;
        Ok(Entry { handle, attr, inode: child, kind, cacheable: keep })
    }

    /// The position of the directory `child` as `name` in `parent`, made at its first use.
    fn place_at(&mut self, parent: Handle, name: &str, child: Inode) -> Result<Handle> {
        let key = (parent, name.to_owned());
        if let Some(&handle) = self.by_name.get(&key) {
            return Ok(handle);
        }
        let own = Handle(child.0);
        let free = !self.places.contains_key(&own) && !self.references.contains_key(&own);
        let handle = if free { own } else { self.fresh_handle() };
        self.places.insert(handle, Place { inode: child, parent, listed: None });
        self.by_name.insert(key, handle);
        self.directory(child)?.places.push(handle);
        Ok(handle)
    }

    fn attr(&self, handle: Handle) -> Result<Attr> {
        let inode = self.inode(handle)?;
        let Some(version) = self.versions.get(&handle) else {
            let node = self.node(inode)?;
            let (kind, modified) = (node.kind, node.modified);
            return Ok(Attr { inode, kind, size: 0, modified, cacheable: node.cacheable });
        };
        let (kind, cacheable) = match self.nodes.get(&inode) {
            Some(node) => {
                let volatile = matches!(node.body, Body::Leaf { volatile: true, .. });
                (node.kind, node.cacheable && !volatile && !version.superseded)
            }
            None => (Kind::File, false),
        };
        let size = version.content.len() as u64;
        Ok(Attr { inode, kind, size, modified: version.modified, cacheable })
    }

    pub fn getattr(&mut self, handle: Handle) -> Result<Attr> {
        let open = |v: &Version| v.opens > 0 || self.silent;
        let gone = |v: &Version| !open(v) && !self.nodes.contains_key(&v.inode);
        if self.versions.get(&handle).is_some_and(gone) {
            return Err(Error::Stale);
        }
        // A superseded version goes on telling its own attributes. That is what a kernel with a
        // cached name would have told, and it spares the caller an error.
        let attr = self.attr(handle)?;
        if let Some(node) = self.nodes.get_mut(&attr.inode) {
            node.size_known = true;
            if matches!(node.body, Body::Leaf { volatile: true, .. }) {
                self.advance(handle);
            }
        }
        Ok(attr)
    }

    /// Open snapshots of a volatile file move to its present content.
    fn advance(&mut self, handle: Handle) {
        let Some(version) = self.versions.get(&handle) else { return };
        if version.opens == 0 {
            return;
        }
        let present = version.content.clone();
        for open in self.opens.values_mut() {
            match open {
                Open::File { handle: of, content } if *of == handle => *content = present.clone(),
                _ => {}
            }
        }
    }

    pub fn readlink(&mut self, handle: Handle) -> Result<Bytes> {
        if self.node(self.inode(handle)?)?.kind != Kind::Symlink {
            return Err(Error::NotSymlink);
        }
        self.version(handle).map(|version| version.content.clone())
    }

    pub fn open(&mut self, handle: Handle) -> Result<OpenFile> {
        let silent = self.silent;
        let version = self.version(handle)?;
        if version.superseded && !silent {
            return Err(Error::Stale);
        }
        let inode = version.inode;
        let content = version.content.clone();
        let keep_cache = version.paged == Some(version.revision);
        version.paged = Some(version.revision);
        version.opens += 1;
        let size = content.len() as u64;
        let direct = self.nodes.get_mut(&inode).is_some_and(|node| {
            node.size_known = true;
            matches!(node.body, Body::Leaf { volatile: true, .. })
        });
        let id = self.record(Open::File { handle, content });
        Ok(OpenFile { id, size, held: size, keep_cache: keep_cache && !direct, direct })
    }

    fn record(&mut self, open: Open) -> OpenId {
        self.next_open += 1;
        let id = OpenId(self.next_open);
        self.opens.insert(id, open);
        id
    }

    pub fn snapshot(&self, open: OpenId) -> Result<Bytes> {
        match self.opens.get(&open) {
            Some(Open::File { content, .. }) => Ok(content.clone()),
            Some(Open::Directory { .. }) => Err(Error::IsDirectory),
            None => Err(Error::Stale),
        }
    }

    /// The same in every process: its keys are fixed.
    pub fn edition(&mut self, handle: Handle) -> Option<u64> {
        let version = self.version(handle).ok()?;
        let (inode, content) = (version.inode, version.content.clone());
        let volatile = match &self.nodes.get(&inode)?.body {
            Body::Leaf { volatile, .. } => *volatile,
            Body::Directory(_) => true,
        };
        (!volatile).then(|| BuildHasherDefault::<DefaultHasher>::default().hash_one(&content))
    }

    pub fn opendir(&mut self, handle: Handle) -> Result<Opened> {
        let inode = self.place(handle)?.inode;
        let node = self.node(inode)?;
        let (modified, cacheable) = (node.modified, node.cacheable);
        let directory = self.directory(inode)?;
        if let Some(error) = directory.error {
            return Err(error);
        }
        let version = directory.version;
        let entries = match &directory.listing {
            Some(entries) => entries.clone(),
            None => {
                let children = directory.children.iter();
                let entries: Arc<[_]> = children
                    .map(|(cookie, (name, child))| (*cookie, name.clone(), *child))
                    .collect();
                directory.listing = Some(entries.clone());
                entries
            }
        };
        let mut keep_cache = false;
        if let Some(place) = self.places.get_mut(&handle) {
            keep_cache = cacheable && place.listed == Some(version);
            place.listed = Some(version);
        }
        let id = self.record(Open::Directory { place: handle, entries, modified });
        Ok(Opened { id, keep_cache })
    }

    pub fn readdir(
        &mut self,
        open: OpenId,
        cookie: u64,
        limit: usize,
        plus: bool,
    ) -> Result<DirPage> {
        let (place, all, modified) = match self.opens.get(&open) {
            Some(Open::Directory { place, entries, modified }) => {
                (*place, entries.clone(), *modified)
            }
            Some(Open::File { .. }) => return Err(Error::NotDirectory),
            None => return Err(Error::Stale),
        };
        let cacheable =
            self.inode(place).and_then(|inode| self.node(inode)).is_ok_and(|node| node.cacheable);
        let start = all.partition_point(|(at, _, _)| *at <= cookie);
        let mut entries = Vec::new();
        for (cookie, name, child) in all.iter().skip(start).take(limit) {
            // What went away since the open is still listed, and has no entry.
            let shown = self.lookup_child(place, name) == Some(*child);
            let kind = self.nodes.get(child).map_or(Kind::File, |node| node.kind);
            let entry = if plus && shown {
                Some(self.entry(place, name, *child, cacheable)?)
            } else {
                None
            };
            entries.push(DirEntry {
                name: name.clone(),
                cookie: *cookie,
                inode: *child,
                kind,
                entry,
            });
        }
        Ok(DirPage { entries, modified: Some(modified) })
    }

    fn lookup_child(&mut self, place: Handle, name: &str) -> Option<Inode> {
        let inode = self.inode(place).ok()?;
        let directory = self.directory(inode).ok()?;
        let cookie = directory.cookies.get(name)?;
        directory.children.get(cookie).map(|(_, child)| *child)
    }

    pub fn release(&mut self, open: OpenId) {
        if let Some(Open::File { handle, .. }) = self.opens.remove(&open) {
            if let Some(version) = self.versions.get_mut(&handle) {
                version.opens -= 1;
            }
            self.reap(handle);
        }
    }

    pub fn parent(&self, handle: Handle) -> Result<(Handle, Inode)> {
        let parent = self.place(handle)?.parent;
        self.place(parent).map(|place| (parent, place.inode))
    }

    pub fn forget(&mut self, handle: Handle, count: u64) {
        let Some(held) = self.references.get_mut(&handle) else { return };
        *held = held.saturating_sub(count);
        if *held == 0 {
            self.references.remove(&handle);
            self.reap(handle);
        }
    }

    /// Whether somebody may have the file open by this handle.
    pub fn may_be_open(&self, handle: Handle) -> bool {
        let opens = self.versions.get(&handle).is_some_and(|version| version.opens > 0);
        opens || self.silent && self.references.contains_key(&handle)
    }

    /// Drops a superseded version that nobody holds any more.
    pub fn reap(&mut self, handle: Handle) {
        let held = self.references.contains_key(&handle);
        let done = |v: &Version| v.superseded && v.opens == 0;
        if !held && self.versions.get(&handle).is_some_and(done) {
            self.versions.remove(&handle);
        }
    }

    pub fn references(&self) -> u64 {
        self.references.values().sum()
    }

    pub fn statfs(&self) -> Statfs {
        let used = self.versions.values().map(|version| version.content.len() as u64).sum();
        Statfs { used, nodes: self.nodes.len() as u64 }
    }

    /// The entry set of `inode` has moved.
    pub fn touch(&mut self, inode: Inode) -> Result<()> {
        let now = self.tick();
        self.node_mut(inode)?.modified = now;
        let directory = self.directory(inode)?;
        directory.version += 1;
        directory.listing = None;
        Ok(())
    }
}
