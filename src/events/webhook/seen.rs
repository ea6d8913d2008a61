//! Deliveries that were seen, in bounded memory.

use super::signature::Mark;
use lru::LruCache;
use std::num::NonZeroUsize;

pub(super) struct Seen(LruCache<Mark, ()>);

impl Seen {
    pub fn new(remembered: usize) -> Self {
        Seen(LruCache::new(NonZeroUsize::new(remembered).unwrap_or(NonZeroUsize::MIN)))
    }

    /// Whether the delivery is new; it is remembered.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_new_once_and_memory_is_bounded() {
        let mark = |number: u32| {
            let mut mark = Mark::default();
            mark[..4].copy_from_slice(&number.to_le_bytes());
            mark
        };
        let mut seen = Seen::new(100);
        assert!(seen.insert(mark(1)));
        assert!(!seen.insert(mark(1)));
        seen.remove(&mark(1));
        assert!(seen.insert(mark(1)));
        for number in 2..10_000 {
            assert!(seen.insert(mark(number)));
        }
        assert_eq!(seen.0.len(), 100);
    }
}
