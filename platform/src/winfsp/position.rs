//! What Windows has open or looks at, by place and by handle: to find the paths that a change is
//! about.
//!
//! Invariant: a position holds one reference of its handle, and its parents' as long as it lives,
//! so the file system goes on telling what changes there. No lock is held while a reference is
//! given back.

use super::names;
use crate::{Entry, Handle, Kind, Vfs};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// One place in the tree at which an object was found.
pub(super) struct Position<V: Vfs> {
    vfs: Arc<V>,
    table: Arc<Table<V>>,
    /// `None`: the root, which needs no reference.
    pub parent: Option<Arc<Position<V>>>,
    pub handle: Handle,
    pub kind: Kind,
    /// As the file system has it.
    pub name: Box<str>,
    /// From the root of the volume, as it is shown: the normalized name.
    pub path: Box<[u16]>,
    /// What this place is bound to has changed since.
    moved: AtomicBool,
}

impl<V: Vfs> Position<V> {
    pub fn root(vfs: Arc<V>, table: Arc<Table<V>>) -> Arc<Position<V>> {
        let handle = vfs.root();
        let position = Arc::new(Position {
            vfs,
            table: table.clone(),
            parent: None,
            handle,
            kind: Kind::Directory,
            name: "".into(),
            path: [b'\\' as u16].into(),
            moved: AtomicBool::new(false),
        });
        table.add(&position);
        position
    }

    /// Of an entry that a look-up gave, with the reference that came with it.
    pub fn new(parent: &Arc<Position<V>>, entry: &Entry, name: &str, shown: &[u16]) -> Arc<Self> {
        let position = Arc::new(Position {
            vfs: parent.vfs.clone(),
            table: parent.table.clone(),
            parent: Some(parent.clone()),
            handle: entry.handle,
            kind: entry.kind,
            name: name.into(),
            path: names::join(&parent.path, shown).into(),
            moved: AtomicBool::new(false),
        });
        position.table.add(&position);
        position
    }

    /// Whether what is bound here has changed since the last call.
    pub fn take_moved(&self) -> bool {
        self.moved.swap(false, Ordering::SeqCst)
    }

    pub fn shown(&self) -> &[u16] {
        let from = self.path.iter().rposition(|unit| *unit == b'\\' as u16).map_or(0, |at| at + 1);
        &self.path[from..]
    }

    fn key(&self) -> Option<(Handle, Vec<u16>)> {
        Some((self.parent.as_ref()?.handle, key(&self.name)))
    }
}

/// The same for all names that differ in case only.
fn key(name: &str) -> Vec<u16> {
    names::fold(&name.encode_utf16().collect::<Vec<_>>())
}

impl<V: Vfs> Drop for Position<V> {
    fn drop(&mut self) {
        self.table.prune(self.handle, self.key());
        if self.parent.is_some() {
            self.vfs.forget(self.handle, 1);
        }
    }
}

impl<V: Vfs> fmt::Debug for Position<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({:?} at {})", self.handle, String::from_utf16_lossy(&self.path))
    }
}

type Few<V> = Vec<Weak<Position<V>>>;

/// Every position that lives.
pub(super) struct Table<V: Vfs>(Mutex<Maps<V>>);

struct Maps<V: Vfs> {
    by_handle: HashMap<Handle, Few<V>>,
    by_name: HashMap<(Handle, Vec<u16>), Few<V>>,
}

impl<V: Vfs> Table<V> {
    pub fn new() -> Arc<Table<V>> {
        Arc::new(Table(Mutex::new(Maps { by_handle: HashMap::new(), by_name: HashMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Maps<V>> {
        self.0.lock()
    }

    fn add(&self, position: &Arc<Position<V>>) {
        let mut maps = self.lock();
        maps.by_handle.entry(position.handle).or_default().push(Arc::downgrade(position));
        if let Some(key) = position.key() {
            maps.by_name.entry(key).or_default().push(Arc::downgrade(position));
        }
    }

    fn prune(&self, handle: Handle, key: Option<(Handle, Vec<u16>)>) {
        fn drop_dead<K: std::hash::Hash + Eq, V: Vfs>(map: &mut HashMap<K, Few<V>>, key: K) {
            if let Some(few) = map.get_mut(&key) {
                few.retain(|position| position.strong_count() > 0);
                if few.is_empty() {
                    map.remove(&key);
                }
            }
        }
        let mut maps = self.lock();
        drop_dead(&mut maps.by_handle, handle);
        if let Some(key) = key {
            drop_dead(&mut maps.by_name, key);
        }
    }

    /// The paths at which a handle is known, each once.
    pub fn paths(&self, handle: Handle) -> Vec<(Box<[u16]>, Kind)> {
        let living = self.upgrade(|maps| maps.by_handle.get(&handle));
        distinct(living.iter().map(|position| (position.path.clone(), position.kind)))
    }

    /// The paths at which `name` of the directory `parent` is known; from now on they count as
    /// moved.
    pub fn moved(&self, parent: Handle, name: &str) -> Vec<(Box<[u16]>, Kind)> {
        let mut living = self.upgrade(|maps| maps.by_name.get(&(parent, key(name))));
        living.retain(|position| *position.name == *name);
        living.iter().for_each(|position| position.moved.store(true, Ordering::SeqCst));
        distinct(living.iter().map(|position| (position.path.clone(), position.kind)))
    }

    /// Whether another name that differs from `name` in case only is known by the path that `name`
    /// would have: the driver would take the two for one file.
    pub fn contested(&self, parent: &Position<V>, name: &str, shown: &[u16]) -> bool {
        let path = names::fold(&names::join(&parent.path, shown));
        let living = self.upgrade(|maps| maps.by_name.get(&(parent.handle, key(name))));
        living.iter().any(|other| *other.name != *name && names::fold(&other.path) == path)
    }

    /// All paths that are known.
    pub fn all(&self) -> Vec<(Box<[u16]>, Kind)> {
        let living: Vec<_> = {
            let maps = self.lock();
            maps.by_handle.values().flatten().filter_map(Weak::upgrade).collect()
        };
        distinct(living.iter().map(|position| (position.path.clone(), position.kind)))
    }

    /// Upgraded out of the lock's reach: the last of them may be dropped by the caller, and that
    /// takes the lock.
    fn upgrade(
        &self,
        few: impl for<'a> FnOnce(&'a Maps<V>) -> Option<&'a Few<V>>,
    ) -> Vec<Arc<Position<V>>> {
        let maps = self.lock();
        let living = few(&maps).into_iter().flatten().filter_map(Weak::upgrade).collect();
        drop(maps);
        living
    }
}

fn distinct(paths: impl Iterator<Item = (Box<[u16]>, Kind)>) -> Vec<(Box<[u16]>, Kind)> {
    let mut found: Vec<(Box<[u16]>, Kind)> = Vec::new();
    for (path, kind) in paths {
        if found.iter().all(|(known, _)| *known != path) {
            found.push((path, kind));
        }
    }
    found
}
