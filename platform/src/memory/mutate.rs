//! What happens upstream: the calls that change a [`Memory`] and say what a kernel must drop.

use super::tree::{Body, Directory, Tree};
use super::{Memory, ROOT};
use crate::{Change, Error, Event, Fate, Handle, Inode, Kind, Result};
use bytes::Bytes;

/// An object to be added.
#[derive(Clone, Debug)]
pub enum New {
    Directory,
    File(Bytes),
    Executable(Bytes),
    /// Its target.
    Symlink(String),
    /// A file that may grow while it is open, such as a live log: not cached, and never superseded.
    Volatile(Bytes),
}

impl New {
    pub fn file(content: impl Into<Bytes>) -> New {
        New::File(content.into())
    }

    pub fn volatile(content: impl Into<Bytes>) -> New {
        New::Volatile(content.into())
    }
}

impl Memory {
    /// Adds an object as `name` in `directory`. Fails with [`Error::Invalid`] where the name is
    /// taken or is not a name.
    pub fn add(&self, directory: Inode, name: &str, new: New) -> Result<Inode> {
        self.mutate(|tree, changes| {
            tree.vacant(directory, name)?;
            let (kind, volatile, content) = match new {
                New::Directory => (Kind::Directory, false, Bytes::new()),
                New::File(content) => (Kind::File, false, content),
                New::Executable(content) => (Kind::Executable, false, content),
                New::Symlink(target) => (Kind::Symlink, false, target.into()),
                New::Volatile(content) => (Kind::File, true, content),
            };
            let inode = tree.insert(kind, |inode| match kind {
                Kind::Directory => Body::Directory(Directory::default()),
                _ => Body::Leaf { current: Handle(inode.0), volatile },
            });
            if kind != Kind::Directory {
                let built = tree.node(inode)?.modified;
                tree.insert_version(Handle(inode.0), inode, content, built);
            }
            tree.show(directory, name, inode, changes)?;
            tree.tell_created(directory, name, changes)?;
            Ok(inode)
        })
    }

    /// Shows an object that is somewhere already as `name` in `directory` too: a hard link, for
    /// directories as well.
    pub fn link(&self, directory: Inode, name: &str, object: Inode) -> Result<()> {
        self.mutate(|tree, changes| {
            tree.vacant(directory, name)?;
            if tree.below(object, directory) {
                return Err(Error::Invalid);
            }
            tree.show(directory, name, object, changes)?;
            tree.tell_created(directory, name, changes)
        })
    }

    /// Takes one name away, and with its last name the object and all that only it shows.
    pub fn remove(&self, directory: Inode, name: &str) -> Result<()> {
        self.mutate(|tree, changes| {
            let object = tree.hide(directory, name)?;
            let gone = tree.node(object)?.names.is_empty();
            let is_directory = tree.node(object)?.kind == Kind::Directory;
            for &place in &tree.directory(directory)?.places.clone() {
                let key = (place, name.to_owned());
                let child = tree.by_name.get(&key).copied().or_else(|| tree.current(object));
                let fate = child.filter(|_| gone).map_or(Fate::Doubtful, Fate::Removed);
                changes.push(Change::Entry { parent: place, name: name.to_owned(), fate });
                changes.push(Change::Event(Event::Deleted {
                    parent: place,
                    name: name.to_owned(),
                    directory: is_directory,
                }));
                if let Some(handle) = tree.by_name.remove(&key) {
                    tree.drop_place(handle);
                }
            }
            tree.tell_listing(directory, changes)?;
            if gone {
                tree.discard(object);
            }
            Ok(())
        })
    }

    /// Moves an object to another name. It keeps its identity and its handles.
    pub fn rename(&self, from: Inode, old: &str, to: Inode, new: &str) -> Result<()> {
        self.mutate(|tree, changes| {
            tree.vacant(to, new)?;
            let object = tree.child(from, old)?;
            if tree.below(object, to) {
                return Err(Error::Invalid);
            }
            tree.hide(from, old)?;
            let sources = tree.directory(from)?.places.clone();
            let targets = tree.directory(to)?.places.clone();
            for (index, &source) in sources.iter().enumerate() {
                let name = old.to_owned();
                changes.push(Change::Entry { parent: source, name, fate: Fate::Doubtful });
                let Some(handle) = tree.by_name.remove(&(source, old.to_owned())) else { continue };
                match targets.get(index) {
                    Some(&target) => {
                        tree.by_name.insert((target, new.to_owned()), handle);
                        if let Some(place) = tree.places.get_mut(&handle) {
                            place.parent = target;
                        }
                    }
                    None => tree.drop_place(handle),
                }
            }
            if from != to {
                tree.tell_listing(from, changes)?;
            }
            tree.show(to, new, object, changes)?;
            let directory = tree.node(object)?.kind == Kind::Directory;
            let old = |&place: &Handle| (place, old.to_owned());
            let new = |&place: &Handle| (place, new.to_owned());
            changes.extend(
                sources
                    .iter()
                    .map(old)
                    .zip(targets.iter().map(new))
                    .map(|(from, to)| Change::Event(Event::Moved { from, to, directory })),
            );
            let (only_old, only_new) = (sources.len().min(targets.len()), sources.len());
            changes.extend(
                sources[only_old..].iter().map(old).map(|(parent, name)| {
                    Change::Event(Event::Deleted { parent, name, directory })
                }),
            );
            let rest = targets.iter().skip(only_new).map(new);
            changes
                .extend(rest.map(|(parent, name)| Change::Event(Event::Created { parent, name })));
            Ok(())
        })
    }

    /// Replaces the content of a file, or the target of a symbolic link.
    pub fn set_content(&self, inode: Inode, content: impl Into<Bytes>) -> Result<()> {
        let content = content.into();
        self.mutate(|tree, changes| tree.replace(inode, content, changes))
    }

    /// Adds to the end of a file.
    pub fn append(&self, inode: Inode, more: &[u8]) -> Result<()> {
        self.mutate(|tree, changes| {
            let handle = tree.current(inode).ok_or(Error::IsDirectory)?;
            let version = tree.versions.get(&handle).ok_or(Error::Stale)?;
            let content = [&version.content[..], more].concat();
            tree.replace(inode, content.into(), changes)
        })
    }

    /// Says that something about an object has changed, and not what.
    pub fn announce(&self, inode: Inode) -> Result<()> {
        self.mutate(|tree, changes| {
            let handles = match &tree.node(inode)?.body {
                Body::Directory(directory) => directory.places.clone(),
                Body::Leaf { current, .. } => vec![*current],
            };
            changes.extend(handles.into_iter().map(|h| Change::Event(Event::modified(h))));
            Ok(())
        })
    }

    /// The object at a path below the root, such as `a/b`.
    pub fn find(&self, path: &str) -> Result<Inode> {
        let tree = self.tree();
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(ROOT, |at, name| tree.child(at, name))
    }

    /// What a directory shows by a name.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn child(&self, directory: Inode, name: &str) -> Result<Inode> {
        self.tree().child(directory, name)
    }
}

impl Tree {
    fn child(&self, directory: Inode, name: &str) -> Result<Inode> {
        let Body::Directory(directory) = &self.node(directory)?.body else {
            return Err(Error::NotDirectory);
        };
        let cookie = directory.cookies.get(name).ok_or(Error::NotFound)?;
        directory.children.get(cookie).map(|(_, child)| *child).ok_or(Error::NotFound)
    }

    fn vacant(&self, directory: Inode, name: &str) -> Result<()> {
        let fits = (1..=255).contains(&name.len()) && name != "." && name != "..";
        if !fits || name.contains(['/', '\0']) {
            return Err(Error::Invalid);
        }
        match self.child(directory, name) {
            Ok(_) => Err(Error::Invalid),
            Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether `directory` is `object` or lies below it.
    fn below(&self, object: Inode, directory: Inode) -> bool {
        let up = |node: &super::tree::Node| node.names.iter().any(|(d, _)| self.below(object, *d));
        object == directory || self.nodes.get(&directory).is_some_and(up)
    }

    /// The handle by which a file is looked up now.
    fn current(&self, inode: Inode) -> Option<Handle> {
        match self.nodes.get(&inode)?.body {
            Body::Leaf { current, .. } => Some(current),
            Body::Directory(_) => None,
        }
    }

    fn show(
        &mut self,
        directory: Inode,
        name: &str,
        object: Inode,
        changes: &mut Vec<Change>,
    ) -> Result<Inode> {
        let entries = self.directory(directory)?;
        let next = entries.cookies.len() as u64 + 1;
        let cookie = *entries.cookies.entry(name.to_owned()).or_insert(next);
        entries.children.insert(cookie, (name.to_owned(), object));
        for &parent in &entries.places {
            changes.push(Change::Entry { parent, name: name.to_owned(), fate: Fate::Doubtful });
        }
        self.node_mut(object)?.names.push((directory, name.to_owned()));
        self.tell_listing(directory, changes)?;
        Ok(object)
    }

    fn hide(&mut self, directory: Inode, name: &str) -> Result<Inode> {
        let object = self.child(directory, name)?;
        let entries = self.directory(directory)?;
        let cookie = entries.cookies.get(name).copied();
        cookie.and_then(|cookie| entries.children.remove(&cookie));
        let names = &mut self.node_mut(object)?.names;
        if let Some(at) = names.iter().position(|(d, n)| *d == directory && n == name) {
            names.swap_remove(at);
        }
        Ok(object)
    }

    fn tell_created(
        &mut self,
        directory: Inode,
        name: &str,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let created = |&parent: &Handle| Event::Created { parent, name: name.to_owned() };
        changes.extend(self.directory(directory)?.places.iter().map(created).map(Change::Event));
        Ok(())
    }

    fn tell_listing(&mut self, directory: Inode, changes: &mut Vec<Change>) -> Result<()> {
        self.touch(directory)?;
        let places = &self.directory(directory)?.places;
        changes.extend(places.iter().map(|&handle| Change::Content { handle, open: false }));
        Ok(())
    }

    fn replace(&mut self, inode: Inode, content: Bytes, changes: &mut Vec<Change>) -> Result<()> {
        let now = self.tick();
        let node = self.node_mut(inode)?;
        let Body::Leaf { current, volatile } = node.body else {
            return Err(Error::IsDirectory);
        };
        node.modified = now;
        let link = node.kind == Kind::Symlink;
        let versions = self.versions.iter().filter(|(_, version)| version.inode == inode);
        changes.extend(versions.map(|(&handle, _)| {
            Change::Event(Event::Modified { handle, places: self.places(handle) })
        }));
        let open = self.may_be_open(current);
        let version = self.versions.get_mut(&current).ok_or(Error::Stale)?;
        if !open || link || volatile {
            version.content = content;
            version.modified = now;
            version.revision += 1;
            // Of a volatile file nothing is kept by anybody.
            if !volatile {
                changes.push(Change::Content { handle: current, open: false });
            }
            return Ok(());
        }
        // It may be being read: its readers keep this handle, and the next lookup gets another.
        version.superseded = true;
        changes.push(Change::Content { handle: current, open: true });
        let next = self.fresh_handle();
        self.insert_version(next, inode, content, now);
        let node = self.node_mut(inode)?;
        node.body = Body::Leaf { current: next, volatile };
        for (directory, name) in node.names.clone() {
            for &parent in &self.directory(directory)?.places {
                changes.push(Change::Entry { parent, name: name.clone(), fate: Fate::Replaced });
            }
        }
        Ok(())
    }

    /// Forgets a position of a directory and all positions below it.
    fn drop_place(&mut self, handle: Handle) {
        let Some(place) = self.places.remove(&handle) else { return };
        let Ok(directory) = self.directory(place.inode) else { return };
        directory.places.retain(|&other| other != handle);
        let names: Vec<String> =
            directory.children.values().map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(child) = self.by_name.remove(&(handle, name)) {
                self.drop_place(child);
            }
        }
    }

    /// Ends an object that no directory shows any more.
    fn discard(&mut self, inode: Inode) {
        let Some(node) = self.nodes.get(&inode) else { return };
        match &node.body {
            Body::Leaf { current, .. } => {
                let current = *current;
                if let Some(version) = self.versions.get_mut(&current) {
                    version.superseded = true;
                }
                self.reap(current);
            }
            Body::Directory(directory) => {
                let children: Vec<_> = directory.children.values().cloned().collect();
                for (name, child) in children {
                    if self.hide(inode, &name).is_ok()
                        && self.nodes.get(&child).is_some_and(|node| node.names.is_empty())
                    {
                        self.discard(child);
                    }
                }
            }
        }
        self.nodes.remove(&inode);
    }
}
