//! Delivery ids that were seen, in bounded memory.

use lru::LruCache;
use sha2::{Digest, Sha256};
use std::num::NonZeroUsize;

/// The first 16 bytes of the SHA-256 of instance and id: equal size whatever a sender writes.
pub(super) type Mark = [u8; 16];

pub(super) struct Seen(LruCache<Mark, ()>);

impl Seen {
    pub fn new(remembered: usize) -> Self {
        Seen(LruCache::new(NonZeroUsize::new(remembered).unwrap_or(NonZeroUsize::MIN)))
    }

    /// Whether the id is new; it is remembered.
    pub fn insert(&mut self, mark: Mark) -> bool {
        // A repetition does not renew its mark, so the oldest go first whatever is repeated.
        if self.0.contains(&mark) {
            return false;
        }
        self.0.put(mark, ());
        true
    }

    /// The delivery was not accepted after all and may come again.
    pub fn remove(&mut self, mark: &Mark) {
        self.0.pop(mark);
    }
}

pub(super) fn mark(instance: &str, id: &str) -> Mark {
    let digest = Sha256::new().chain_update(instance).chain_update([0]).chain_update(id).finalize();
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_memory_is_bounded() {
        let mut seen = Seen::new(100);
        assert!(seen.insert(mark("github", "a")));
        assert!(!seen.insert(mark("github", "a")));
        assert!(seen.insert(mark("ghe", "a")));
        seen.remove(&mark("github", "a"));
        assert!(seen.insert(mark("github", "a")));
        for number in 0..10_000 {
            assert!(seen.insert(mark("github", &number.to_string())));
        }
        assert_eq!(seen.0.len(), 100);
    }
}
