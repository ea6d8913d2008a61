//! A map in many parts, each of which grows by itself.
//!
//! A map of a million entries that doubles takes tens of milliseconds for it, and whoever wants the lock
//! under which that happens waits. A part of it takes a thousandth of that.

use crate::nodes::Key;
use omnifs_platform::{Handle, Inode};
use std::collections::HashMap;
use std::hash::Hash;

pub const PARTS: usize = 1 << BITS;
const BITS: u32 = 10;

/// Keys that are numbers: hashes, or counted.
pub trait Number {
    fn number(&self) -> u64;
}

impl Number for Key {
    fn number(&self) -> u64 {
        self.0
    }
}

impl Number for Handle {
    fn number(&self) -> u64 {
        self.0
    }
}

impl Number for Inode {
    fn number(&self) -> u64 {
        self.0
    }
}

/// The part to which a key belongs.
fn part(key: &impl Number) -> usize {
    // The upper bits of Fibonacci hashing: counted numbers are spread as well.
    (key.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize
}

/// Something for each part of the keys.
#[derive(Debug)]
pub struct Parts<T>(Box<[T]>);

impl<T: Default> Default for Parts<T> {
    fn default() -> Self {
        Parts((0..PARTS).map(|_| T::default()).collect())
    }
}

impl<T> Parts<T> {
    pub fn of(&self, key: &impl Number) -> &T {
        &self.0[part(key)]
    }

    pub fn of_mut(&mut self, key: &impl Number) -> &mut T {
        &mut self.0[part(key)]
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// Keys are numbers already, looked up for each entry of each listing. Where a service could choose them, it does
/// not know the seed.
pub type Numbers = foldhash::fast::RandomState;

#[derive(Debug)]
pub struct Sharded<K, V> {
    parts: Parts<HashMap<K, V, Numbers>>,
    len: usize,
}

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        Sharded { parts: Parts::default(), len: 0 }
    }
}

impl<K: Number + Eq + Hash, V> Sharded<K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        self.parts.of(key).get(key)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.parts.of_mut(key).get_mut(key)
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.parts.of_mut(&key).insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let old = self.parts.of_mut(key).remove(key);
        self.len -= usize::from(old.is_some());
        old
    }

    pub fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let len = &mut self.len;
        self.parts.of_mut(&key).entry(key).or_insert_with(|| {
            *len += 1;
            value()
        })
    }

    /// The keys of a part, of which there are [`PARTS`].
    pub fn keys_in(&self, part: usize) -> impl Iterator<Item = &K> {
        self.parts.0[part].keys()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flatten()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_and_hashed_keys_are_spread_over_the_parts() {
        let mut map = Sharded::default();
        for n in 0..100_000 {
            map.insert(Handle(n), n);
        }
        assert_eq!(map.len(), 100_000);
        let largest = map.parts.iter().map(HashMap::len).max();
        assert!(largest < Some(300), "{largest:?} in one part");
        assert_eq!(map.remove(&Handle(7)), Some(7));
        assert_eq!((map.len(), map.get(&Handle(7))), (99_999, None));
    }
}
