//! Listings that are compared with what they were.
//!
//! FNV-1a, 64 bits, over an item's JSON with its keys in order. That is no proof against somebody who
//! wants two items to look alike, and needs to be none: whoever writes the item can change it anyway.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Items that are known one by one. What lies beyond counts as changed whenever anything did.
const KNOWN: usize = 128;

/// The digest of a value as JSON.
pub fn of(value: &impl Serialize) -> u64 {
    // Through a value: its maps are sorted. What has no JSON cannot have come from an answer.
    let text = serde_json::to_value(value).unwrap_or_default().to_string();
    let byte = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, byte)
}

/// Of several, whatever their order. 0 of none.
pub fn sum(digests: impl IntoIterator<Item = u64>) -> u64 {
    digests.into_iter().fold(0, |sum, digest| sum.wrapping_add(digest.rotate_left(17) ^ digest))
}

/// The digest of a member of an object.
pub fn of_member(name: &'static str) -> impl Fn(&serde_json::Value) -> u64 {
    move |object| of(&object[name])
}

/// A listing as it was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    all: u64,
    /// Half of each is the item's key, half its content.
    items: Digests,
}

/// What a listing shows that it did not show the last time.
#[derive(Clone, Debug)]
pub struct News<'a, T> {
    /// Whether there is any difference.
    pub any: bool,
    /// With a key that was there, and other content.
    pub changed: Vec<&'a T>,
    pub came: Vec<&'a T>,
    /// How many keys are there no more.
    pub gone: usize,
}

impl<'a, T> News<'a, T> {
    /// Those that changed and those that came, and whether it is one that came.
    pub fn each(&self) -> impl Iterator<Item = (&'a T, bool)> {
        let changed = self.changed.iter().map(|item| (*item, false));
        changed.chain(self.came.iter().map(|item| (*item, true)))
    }
}

const KEY: u64 = 0xffff_ffff_0000_0000;

impl Listing {
    /// `key` tells items apart, and is the digest of what never changes of one: its id.
    pub fn of<T: Serialize>(items: &[T], key: impl Fn(&T) -> u64) -> Self {
        let content: Vec<u64> = items.iter().map(of).collect();
        let pair = |(item, content): (&T, &u64)| (key(item) & KEY) | (content >> 32);
        let pairs = items.iter().zip(&content).take(KNOWN).map(pair).collect();
        Listing { all: sum(content), items: pairs }
    }

    /// Moves on to what the listing is now.
    pub fn compare<'a, T: Serialize>(
        &mut self,
        items: &'a [T],
        key: impl Fn(&T) -> u64,
    ) -> News<'a, T> {
        let before = std::mem::replace(self, Listing::of(items, key));
        let mut news = News { any: self.all != before.all, changed: vec![], came: vec![], gone: 0 };
        if !news.any {
            return news;
        }
        let key_is = |one: u64| move |other: &u64| (one ^ other) & KEY == 0;
        for (item, now) in items.iter().zip(&self.items.0) {
            if !before.items.0.iter().any(key_is(*now)) {
                news.came.push(item);
            } else if !before.items.contains(*now) {
                news.changed.push(item);
            }
        }
        news.changed.extend(items.iter().skip(KNOWN));
        let there = |was: &&u64| self.items.0.iter().any(key_is(**was));
        news.gone = before.items.0.len() - before.items.0.iter().filter(there).count();
        news
    }
}

/// A listing of which only those are of interest that were there the last time: what is new has been
/// named by nobody yet. Ids ascend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    newest: u64,
    all: u64,
}

impl Known {
    /// Moves on to what the listing is now; whether one that was there changed or is gone.
    pub fn moved<T>(
        &mut self,
        items: &[T],
        id: impl Fn(&T) -> u64,
        shown: impl Fn(&T) -> u64,
    ) -> bool {
        let known = items.iter().filter(|item| id(item) <= self.newest).map(&shown);
        let moved = sum(known) != self.all;
        self.newest = items.iter().map(id).fold(self.newest, u64::max);
        self.all = sum(items.iter().map(shown));
        moved
    }
}

/// Digests in a cursor: 11 characters each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digests(Vec<u64>);

impl Digests {
    pub fn contains(&self, digest: u64) -> bool {
        self.0.contains(&digest)
    }
}

impl FromIterator<u64> for Digests {
    fn from_iter<T: IntoIterator<Item = u64>>(digests: T) -> Self {
        Digests(digests.into_iter().collect())
    }
}

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|digest| digest.to_be_bytes()).collect();
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text).map_err(de::Error::custom)?;
        let (digests, rest) = bytes.as_chunks();
        match rest {
            [] => Ok(digests.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect()),
            _ => Err(de::Error::custom("digests of eight bytes each")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn item(id: u64, name: &str) -> Value {
        json!({"id": id, "name": name})
    }

    fn key(item: &Value) -> u64 {
        of(&item["id"])
    }

    #[test]
    fn a_listing_says_what_changed_what_came_and_that_something_went() {
        let (a, b, c) = (item(1, "a"), item(2, "b"), item(3, "c"));
        let mut known = Listing::of(&[a.clone(), b.clone()], key);
        known = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
        let reordered = [b.clone(), a.clone()];
        assert!(!known.compare(&reordered, key).any, "an order is no news");
        let now = [a.clone(), item(2, "renamed"), c.clone()];
        let news = known.compare(&now, key);
        assert_eq!(
            (news.any, news.changed, news.came, news.gone),
            (true, vec![&now[1]], vec![&c], 0)
        );
        let now = [c];
        let news = known.compare(&now, key);
        assert_eq!((news.any, news.changed.len(), news.came.len(), news.gone), (true, 0, 0, 2));
        assert!(!known.compare(&now, key).any);
    }

    #[test]
    fn of_what_was_known_a_change_and_an_end_are_told_and_an_addition_is_not() {
        let mut known = Known::default();
        let mut moved = |items: &[(u64, u64)]| known.moved(items, |i| i.0, |i| i.1);
        assert!(!moved(&[(1, 10), (2, 20)]), "the first time");
        assert!(!moved(&[(3, 30), (2, 20), (1, 10)]), "one was made");
        assert!(moved(&[(1, 10), (2, 21), (3, 30)]), "one was changed");
        assert!(moved(&[(1, 10), (4, 30), (2, 21)]), "one was deleted, and one made");
        assert!(!moved(&[(1, 10), (2, 21), (4, 30)]));
    }

    #[test]
    fn the_order_of_members_is_no_difference() {
        let a: Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
        assert_eq!(of(&a), of(&b));
        assert_ne!(of(&a), of(&json!({"a": 1})));
        assert_eq!(sum([1, 2]), sum([2, 1]));
        assert_ne!(sum([1, 1]), sum([2, 2]));
    }

    #[test]
    fn what_lies_beyond_those_known_one_by_one_counts_as_changed_with_anything() {
        let many: Vec<Value> = (0..200).map(|id| item(id, "x")).collect();
        let mut known = Listing::of(&many, key);
        assert!(known.compare(&many, key).changed.is_empty());
        let mut now = many.clone();
        now[0] = item(0, "renamed");
        assert_eq!(known.compare(&now, key).changed.len(), 1 + 200 - KNOWN);
        assert!(serde_json::to_string(&known).unwrap().len() < 1_500);
    }

    #[test]
    fn a_damaged_text_is_no_listing() {
        for text in [r#"{"all":1,"items":"AAA"}"#, r#"{"all":1,"items":"?"}"#] {
            assert!(serde_json::from_str::<Listing>(text).is_err(), "{text}");
        }
    }
}
