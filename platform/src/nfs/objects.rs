//! The objects that clients' handles stand for: each with the one reference to its [`Handle`] that the
//! file system gave, in a bounded table.
//!
//! What is not in the table (evicted, or from before a restart) is found again by its names. What a
//! [`Change`] concerns is marked, and looked up again at its next use: a file that changed while it
//! was being read has another handle by then, and an object that is gone has none.
//!
//! Invariants: a directory stays while objects found in it do, so a change that names the directory
//! finds them; the lock is held for no call of the file system but `forget`.

use super::handle::{Place, Position};
use super::positions::Positions;
use crate::{Change, Entry, Error, Fate, Handle, Inode, Kind, Result, Vfs};
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
struct Object {
    handle: Handle,
    kind: Kind,
    /// The directory it was found in, and the name; the root has none.
    found: Option<(Place, Arc<str>)>,
    /// It is counted among its directory's `children`.
    counted: bool,
    /// Objects in the table that were found in this one.
    children: usize,
    /// When a change first named it, and which one did last.
    marked: Option<(Instant, u64)>,
    /// It was deleted, as far as the changes tell.
    gone: bool,
    /// Which change moved its content last; 0 for none.
    moved: u64,
}

/// What the table says about a place right now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub handle: Handle,
    pub kind: Kind,
    pub moved: u64,
    pub gone: bool,
    /// Since when it waits to be looked up again.
    pub marked: Option<Instant>,
}

#[derive(Debug)]
struct Table {
    objects: LruCache<Place, Object>,
    at: HashMap<Position, Vec<Inode>>,
    places: HashMap<Handle, Vec<Place>>,
    /// Moves with every change.
    sequence: u64,
}

#[derive(Debug)]
pub(super) struct Objects<V: Vfs> {
    vfs: Arc<V>,
    positions: Positions,
    root: Place,
    capacity: usize,
    table: Mutex<Table>,
}

/// What changes make of what the server keeps beside the table.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// Their open files and directories are no longer right.
    pub places: Vec<Place>,
}

impl<V: Vfs> Objects<V> {
    /// `root` is the root directory's inode. `sequence` numbers the first change.
    pub fn new(
        vfs: Arc<V>,
        positions: Positions,
        root: Inode,
        capacity: usize,
        sequence: u64,
    ) -> Objects<V> {
        let place = Place { inode: root, position: Position::ROOT };
        let mut table = Table {
            objects: LruCache::unbounded(),
            at: HashMap::new(),
            places: HashMap::new(),
            sequence,
        };
        let object = Object {
            handle: vfs.root(),
            kind: Kind::Directory,
            found: None,
            counted: false,
            // Itself, so that it is never evicted.
            children: 1,
            marked: None,
            gone: false,
            moved: 0,
        };
        table.insert(place, object);
        Objects { vfs, positions, root: place, capacity: capacity.max(16), table: table.into() }
    }

    pub fn root(&self) -> Place {
        self.root
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    pub fn known(&self, place: Place) -> Option<Known> {
        let mut table = self.table();
        table.objects.get(&place).map(|object| Known {
            handle: object.handle,
            kind: object.kind,
            moved: object.moved,
            gone: object.gone,
            marked: object.marked.map(|(since, _)| since),
        })
    }

    /// Number of the last change applied. An answer that was asked for before a change may say what
    /// was true before it.
    pub fn stamp(&self) -> u64 {
        self.table().sequence
    }

    /// The object at `place`, looked up again where a change has named it.
    ///
    /// # Errors
    /// [`Error::Stale`]: it is gone, or was never there.
    pub async fn resolve(&self, place: Place) -> Result<Known> {
        match self.known(place) {
            Some(known) if known.marked.is_none() => Ok(known),
            Some(_) => self.look_again(place).await,
            None => self.find(place).await,
        }
    }

    /// [`Objects::resolve`] for a call within one: a directory above the object.
    fn resolve_above(
        &self,
        place: Place,
    ) -> Pin<Box<dyn Future<Output = Result<Known>> + Send + '_>> {
        Box::pin(self.resolve(place))
    }

    /// Asks the directory of a marked object whether the object is still there.
    async fn look_again(&self, place: Place) -> Result<Known> {
        let (found, handle, gone, stamp) = {
            let mut table = self.table();
            let stamp = table.sequence;
            let Some(object) = table.objects.get(&place) else { return Err(Error::Stale) };
            (object.found.clone(), object.handle, object.gone, stamp)
        };
        // Nothing can name the root but a change of its own listing.
        let Some((above, name)) = found else {
            self.clear(place, stamp);
            return self.known(place).ok_or(Error::Stale);
        };
        let looked = match self.resolve_above(above).await {
            Ok(directory) => self.vfs.lookup(directory.handle, &name).await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(Some(entry)) => {
                let there = self.enter(above, &name, &entry, stamp);
                if there == place {
                    return self.known(place).ok_or(Error::Stale);
                }
            }
            Ok(None) | Err(Error::NotFound | Error::NotDirectory | Error::Stale) => {}
            Err(error) => return Err(error),
        }
        // Its name is no longer its own. It may have been renamed, and then its handle is good.
        if gone {
            return Err(Error::Stale);
        }
        match self.vfs.getattr(handle).await {
            Ok(attr) if attr.inode == place.inode => {
                self.clear(place, stamp);
                self.known(place).ok_or(Error::Stale)
            }
            Ok(_) | Err(Error::Stale | Error::NotFound) => Err(Error::Stale),
            Err(error) => Err(error),
        }
    }

    fn clear(&self, place: Place, stamp: u64) {
        if let Some(object) = self.table().objects.get_mut(&place) {
            object.marked = object.marked.filter(|(_, number)| *number > stamp);
        }
    }

    /// Walks to the place by its names.
    async fn find(&self, place: Place) -> Result<Known> {
        let way = self.positions.way(place.position).ok_or(Error::Stale)?;
        let mut at = self.root;
        for (position, name) in way {
            let stamp = self.stamp();
            if position != place.position
                && let Some(directory) = self.directory_at(position)
            {
                at = directory;
                continue;
            }
            let directory = self.resolve_above(at).await?;
            at = match self.vfs.lookup(directory.handle, &name).await {
                Ok(Some(entry)) => self.enter(at, &name, &entry, stamp),
                Ok(None) | Err(Error::NotFound | Error::NotDirectory) => return Err(Error::Stale),
                Err(error) => return Err(error),
            };
        }
        if at == place { self.known(place).ok_or(Error::Stale) } else { Err(Error::Stale) }
    }

    /// A directory in the table at this position that no change has named.
    fn directory_at(&self, position: Position) -> Option<Place> {
        let table = self.table();
        table.at.get(&position)?.iter().map(|&inode| Place { inode, position }).find(|place| {
            let object = table.objects.peek(place);
            object.is_some_and(|o| o.kind == Kind::Directory && o.marked.is_none())
        })
    }

    /// Takes the entry `name` of `directory` into the table, and its reference with it. `stamp` is
    /// that of before the call which gave the entry.
    pub fn enter(&self, directory: Place, name: &str, entry: &Entry, stamp: u64) -> Place {
        let (position, name) = self.positions.enter(directory.position, name);
        let place = Place { inode: entry.inode, position };
        let mut forget = Vec::new();
        let mut table = self.table();
        let table = &mut *table;
        // Whatever else was found there is not there now.
        let others = table.at.get(&position).into_iter().flatten().copied();
        let others: Vec<Inode> = others.filter(|inode| *inode != entry.inode).collect();
        for inode in others {
            table.mark(Place { inode, position });
        }
        // A change since then may be one that the entry does not show.
        let doubtful = (table.sequence != stamp).then(|| (Instant::now(), table.sequence));
        if let Some(object) = table.objects.get_mut(&place) {
            let old = std::mem::replace(&mut object.handle, entry.handle);
            object.kind = entry.kind;
            object.gone = false;
            object.marked = object.marked.and(doubtful);
            forget.push(old);
            if old != entry.handle {
                table.unlist(old, place);
                table.places.entry(entry.handle).or_default().push(place);
            }
        } else {
            let counted = table.objects.peek_mut(&directory).map(|above| above.children += 1);
            let object = Object {
                handle: entry.handle,
                kind: entry.kind,
                found: Some((directory, name)),
                counted: counted.is_some(),
                children: 0,
                marked: doubtful,
                gone: false,
                moved: 0,
            };
            table.insert(place, object);
            table.evict(self.capacity, &mut forget);
        }
        for handle in forget {
            self.vfs.forget(handle, 1);
        }
        place
    }

    /// The directory that holds the directory at `place`; the root's is the root.
    pub fn above(&self, place: Place) -> Result<Place> {
        if place.position == Position::ROOT {
            return Ok(self.root);
        }
        let known = self.known(place).ok_or(Error::Stale)?;
        let (_, inode) = self.vfs.parent(known.handle)?;
        let position = self.positions.parent(place.position).ok_or(Error::Stale)?;
        Ok(Place { inode, position })
    }

    /// Has the object looked up again at its next use.
    pub fn doubt(&self, place: Place) {
        self.table().mark(place);
    }

    /// The content is another one than was read before under the same attributes.
    pub fn moved(&self, place: Place) {
        let mut table = self.table();
        table.sequence += 1;
        let sequence = table.sequence;
        if let Some(object) = table.objects.get_mut(&place) {
            object.moved = sequence;
        }
    }

    pub fn apply(&self, changes: &[Change]) -> Dropped {
        let mut dropped = Dropped::default();
        let mut table = self.table();
        let table = &mut *table;
        for change in changes {
            table.sequence += 1;
            match change {
                // Only attributes are in doubt, and those are asked for each time.
                // NFS version 3 has nobody to tell of an event.
                // What is known by a number here is bounded by itself.
                // The answer to whoever asks next is from after this.
                Change::Content { open: true, .. }
                | Change::Event(_)
                | Change::Unneeded { .. }
                | Change::Barrier(_) => {}
                Change::Content { handle, open: false } => {
                    for place in table.places.get(handle).into_iter().flatten() {
                        if let Some(object) = table.objects.peek_mut(place) {
                            if object.kind != Kind::Directory {
                                object.moved = table.sequence;
                            }
                            dropped.places.push(*place);
                        }
                    }
                }
                Change::Entry { parent, name, fate } => {
                    for place in table.named(&self.positions, *parent, name) {
                        table.mark(place);
                    }
                    let Fate::Removed(handle) = fate else { continue };
                    for place in table.of(*handle) {
                        table.mark(place);
                        if let Some(object) = table.objects.peek_mut(&place) {
                            object.gone = true;
                        }
                        dropped.places.push(place);
                    }
                }
            }
        }
        dropped
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.table().objects.len()
    }
}

impl<V: Vfs> Drop for Objects<V> {
    fn drop(&mut self) {
        let root = self.root;
        for (place, object) in self.table().objects.iter() {
            if *place != root {
                self.vfs.forget(object.handle, 1);
            }
        }
    }
}

impl Table {
    fn insert(&mut self, place: Place, object: Object) {
        self.at.entry(place.position).or_default().push(place.inode);
        self.places.entry(object.handle).or_default().push(place);
        self.objects.put(place, object);
    }

    fn of(&self, handle: Handle) -> Vec<Place> {
        self.places.get(&handle).cloned().unwrap_or_default()
    }

    /// Every place whose object shows as `name` in the directory `parent`, and every other place of
    /// the same objects.
    fn named(&self, positions: &Positions, parent: Handle, name: &str) -> Vec<Place> {
        let mut found = Vec::new();
        for above in self.places.get(&parent).into_iter().flatten() {
            let position = positions.of(above.position, name);
            for &inode in self.at.get(&position).into_iter().flatten() {
                let place = Place { inode, position };
                if let Some(object) = self.objects.peek(&place) {
                    found.extend(self.of(object.handle));
                }
            }
        }
        found
    }

    fn mark(&mut self, place: Place) {
        if let Some(object) = self.objects.peek_mut(&place) {
            let since = object.marked.map_or_else(Instant::now, |(since, _)| since);
            object.marked = Some((since, self.sequence));
        }
    }

    fn unlist(&mut self, handle: Handle, place: Place) {
        if let Some(places) = self.places.get_mut(&handle) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.places.remove(&handle);
            }
        }
    }

    /// Brings the table to its size. Directories of what stays are passed over: each goes to the
    /// front, so this ends.
    fn evict(&mut self, capacity: usize, forget: &mut Vec<Handle>) {
        let mut turns = self.objects.len();
        while self.objects.len() > capacity && turns > 0 {
            turns -= 1;
            let Some((place, object)) = self.objects.pop_lru() else { return };
            if object.children > 0 {
                self.objects.put(place, object);
                continue;
            }
            if let Some(inodes) = self.at.get_mut(&place.position) {
                inodes.retain(|inode| *inode != place.inode);
                if inodes.is_empty() {
                    self.at.remove(&place.position);
                }
            }
            self.unlist(object.handle, place);
            if let Some((above, _)) = object.found.filter(|_| object.counted)
                && let Some(directory) = self.objects.peek_mut(&above)
            {
                directory.children -= 1;
            }
            forget.push(object.handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::handle::Sealer;
    use super::*;
    use crate::memory::{Memory, New, ROOT};
    use std::task::{Context, Poll, Waker};

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the memory answers at once"),
        }
    }

    struct Scene {
        memory: Arc<Memory>,
        objects: Objects<Memory>,
        changes: std::sync::mpsc::Receiver<Vec<Change>>,
        directory: tempfile::TempDir,
    }

    fn objects(
        memory: &Arc<Memory>,
        directory: &std::path::Path,
        capacity: usize,
    ) -> Objects<Memory> {
        let positions = Positions::open(directory, Sealer::new(&[1; 16]), 1000).unwrap();
        Objects::new(memory.clone(), positions, ROOT, capacity, 1)
    }

    fn scene(capacity: usize) -> Scene {
        let memory = Memory::new();
        let directory = tempfile::tempdir().unwrap();
        let changes = memory.changes();
        let objects = objects(&memory, directory.path(), capacity);
        Scene { memory, objects, changes, directory }
    }

    impl Scene {
        fn walk(&self, path: &str) -> Place {
            path.split('/').fold(self.objects.root(), |at, name| {
                let stamp = self.objects.stamp();
                let above = now(self.objects.resolve(at)).unwrap();
                let entry = now(self.memory.lookup(above.handle, name)).unwrap().unwrap();
                self.objects.enter(at, name, &entry, stamp)
            })
        }

        fn settle(&self) -> Vec<Place> {
            let batches = self.changes.try_iter();
            batches.flat_map(|batch| self.objects.apply(&batch).places).collect()
        }
    }

    #[test]
    fn what_was_evicted_is_found_again_by_its_names_and_all_references_come_back() {
        let scene = scene(20);
        let a = scene.memory.add(ROOT, "a", New::Directory).unwrap();
        for index in 0..100 {
            scene.memory.add(a, &format!("f{index}"), New::file("x")).unwrap();
        }
        let places: Vec<Place> = (0..100).map(|index| scene.walk(&format!("a/f{index}"))).collect();
        assert!(scene.objects.len() <= 20 && scene.memory.references() <= 20);
        for place in &places {
            assert!(now(scene.objects.resolve(*place)).is_ok());
        }
        assert!(scene.objects.known(places[0]).is_none());
        drop(scene.objects);
        assert_eq!(scene.memory.references(), 0);
    }

    #[test]
    fn a_place_is_found_after_a_restart_and_is_stale_when_another_object_is_there() {
        let Scene { memory, objects: first, directory, changes } = scene(100);
        let scene = Scene { memory, objects: first, directory, changes };
        let a = scene.memory.add(ROOT, "a", New::Directory).unwrap();
        scene.memory.add(a, "f", New::file("x")).unwrap();
        let place = scene.walk("a/f");
        let Scene { memory, objects: first, directory, .. } = scene;
        drop(first);
        let second = objects(&memory, directory.path(), 100);
        assert!(now(second.resolve(place)).is_ok());
        drop(second);
        memory.remove(a, "f").unwrap();
        let third = objects(&memory, directory.path(), 100);
        assert_eq!(now(third.resolve(place)).unwrap_err(), Error::Stale);
        memory.add(a, "f", New::file("another")).unwrap();
        assert_eq!(now(third.resolve(place)).unwrap_err(), Error::Stale);
    }

    #[test]
    fn a_deleted_object_is_stale_and_a_renamed_one_is_not() {
        let scene = scene(100);
        let a = scene.memory.add(ROOT, "a", New::Directory).unwrap();
        scene.memory.add(a, "deleted", New::file("x")).unwrap();
        scene.memory.add(a, "renamed", New::file("x")).unwrap();
        let (deleted, renamed) = (scene.walk("a/deleted"), scene.walk("a/renamed"));
        scene.memory.remove(a, "deleted").unwrap();
        scene.memory.rename(a, "renamed", ROOT, "elsewhere").unwrap();
        assert!(scene.settle().contains(&deleted));
        assert_eq!(now(scene.objects.resolve(deleted)).unwrap_err(), Error::Stale);
        assert!(now(scene.objects.resolve(renamed)).is_ok());
        // The old name goes to another object, and stays stale for the old handle.
        scene.memory.add(a, "deleted", New::file("other")).unwrap();
        scene.settle();
        assert_eq!(now(scene.objects.resolve(deleted)).unwrap_err(), Error::Stale);
        assert_ne!(scene.walk("a/deleted"), deleted);
    }

    #[test]
    fn a_file_that_changed_while_it_was_open_gets_its_new_handle() {
        let scene = scene(100);
        let file = scene.memory.add(ROOT, "f", New::file("old")).unwrap();
        let place = scene.walk("f");
        let before = now(scene.objects.resolve(place)).unwrap();
        let open = now(scene.memory.open(before.handle)).unwrap();
        scene.memory.set_content(file, "newer").unwrap();
        scene.settle();
        let after = now(scene.objects.resolve(place)).unwrap();
        assert_ne!(after.handle, before.handle);
        assert_eq!(now(scene.memory.getattr(after.handle)).unwrap().size, 5);
        scene.memory.release(open.id);
        // Not open, it keeps its handle, and its content is noted to have moved.
        scene.memory.set_content(file, "newest").unwrap();
        assert_eq!(scene.settle(), [place]);
        let last = now(scene.objects.resolve(place)).unwrap();
        assert!(last.handle == after.handle && last.moved > after.moved);
    }
}
