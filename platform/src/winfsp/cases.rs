//! How the names of a directory are shown, and which of them is meant by a name in any case.
//!
//! Kept by directory until it changes, as far as the file system says that it may be kept.

use super::names::{self, Group};
use super::position::Position;
use crate::{Handle, Vfs};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Names that are remembered, of all directories together: some 100 bytes each.
const MOST: usize = 500_000;

/// The names of one directory.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By what the shown name folds to: the file system's name and the shown one.
    by_shown: HashMap<Vec<u16>, (Box<str>, Vec<u16>)>,
    /// By the file system's name, for those that are not shown plainly.
    escaped: HashMap<Box<str>, Vec<u16>>,
}

impl Index {
    pub fn new<'a>(all: impl Iterator<Item = &'a str> + Clone) -> Index {
        let folded = |name: &str| names::fold(&name.encode_utf16().collect::<Vec<_>>());
        let mut groups: HashMap<Vec<u16>, Group<'a>> = HashMap::new();
        for name in all.clone() {
            groups.entry(folded(name)).or_default().add(name);
        }
        let mut index = Index::default();
        for name in all {
            let shown = match groups.get(&folded(name)) {
                Some(group) => group.shown(name),
                None => names::encode(name),
            };
            if shown != names::encode(name) {
                index.escaped.insert(name.into(), shown.clone());
            }
            index.by_shown.insert(names::fold(&shown), (name.into(), shown));
        }
        index
    }

    /// What is meant by a name in any case: the file system's name and how it is shown.
    pub fn find(&self, typed: &[u16]) -> Option<(&str, &[u16])> {
        self.by_shown.get(&names::fold(typed)).map(|(name, shown)| (&**name, &shown[..]))
    }

    /// How a name of the file system is shown.
    pub fn shown(&self, name: &str) -> Vec<u16> {
        self.escaped.get(name).cloned().unwrap_or_else(|| names::encode(name))
    }

    fn len(&self) -> usize {
        self.by_shown.len()
    }
}

/// The indexes that are still right. Each keeps its directory referenced, so that the file system
/// tells of its changes.
pub(super) struct Cases<V: Vfs>(Mutex<Kept<V>>);

struct Kept<V: Vfs> {
    indexes: HashMap<Handle, (Arc<Position<V>>, Arc<Index>)>,
    names: usize,
}

impl<V: Vfs> Cases<V> {
    pub fn new() -> Cases<V> {
        Cases(Mutex::new(Kept { indexes: HashMap::new(), names: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept<V>> {
        self.0.lock()
    }

    pub fn get(&self, directory: Handle) -> Option<Arc<Index>> {
        self.lock().indexes.get(&directory).map(|(_, index)| index.clone())
    }

    pub fn keep(&self, directory: &Arc<Position<V>>, index: &Arc<Index>) {
        let mut kept = self.lock();
        let mut old: Vec<_> = kept.indexes.remove(&directory.handle).into_iter().collect();
        kept.names -= old.iter().map(|(_, index)| index.len()).sum::<usize>();
        if kept.names + index.len() > MOST {
            old.extend(kept.indexes.drain().map(|(_, entry)| entry));
            kept.names = 0;
        }
        kept.names += index.len();
        kept.indexes.insert(directory.handle, (directory.clone(), index.clone()));
        drop(kept);
        // Positions are given back here, out of the lock.
        drop(old);
    }

    pub fn forget(&self, directory: Handle) {
        let mut kept = self.lock();
        let old = kept.indexes.remove(&directory);
        kept.names -= old.as_ref().map_or(0, |(_, index)| index.len());
        drop(kept);
        drop(old);
    }

    pub fn clear(&self) {
        let mut kept = self.lock();
        let old = std::mem::take(&mut kept.indexes);
        kept.names = 0;
        drop(kept);
        drop(old);
    }

    /// How a name is shown, where its directory is remembered.
    pub fn shown(&self, directory: Handle, name: &str) -> Option<Vec<u16>> {
        self.get(directory).map(|index| index.shown(name))
    }
}

impl<V: Vfs> fmt::Debug for Cases<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cases({} names)", self.lock().names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn a_name_in_any_case_means_the_one_that_is_shown_so() {
        let index = Index::new(["README.md", "upper", "UPPER", "a:b"].into_iter());
        let find = |typed: &str| index.find(&wide(typed)).map(|(name, _)| name);
        assert_eq!(find("readme.MD"), Some("README.md"));
        // Two names: the plain one is meant in every case, the other has a name of its own.
        assert_eq!(find("upper"), Some("upper"));
        assert_eq!(find("UPPER"), Some("upper"));
        let other = String::from_utf16(&index.shown("UPPER")).unwrap();
        assert_eq!(other, "\u{f055}\u{f050}\u{f050}\u{f045}\u{f052}");
        assert_eq!(find(&other), Some("UPPER"));
        assert_eq!(find("A\u{f03a}B"), Some("a:b"));
        assert_eq!(find("absent"), None);
    }
}
