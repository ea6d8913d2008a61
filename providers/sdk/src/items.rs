//! Lists whose items are decoded one by one.
//!
//! A page of a hundred issues in which one has no title is ninety-nine issues and a note. [`Items`]
//! stands where a `Vec` would: an item that cannot be read is left out of it and named in the note
//! of the listing that is made from it. [`Members`] is the same for the members of an object.

use crate::{Error, json, log};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Items named in one note. The rest are counted.
const NAMED: usize = 5;

/// The items of a list that could be read, in order, and what is wrong with the others.
///
/// Turned into a [`Listing`](crate::Listing) by [`map`](Items::map) and `into`, which carries the
/// note along. `null` is an empty list. It is read from a text, of which an item is a piece, and from
/// no tree of values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Items<T> {
    found: Vec<T>,
    odd: Vec<Odd>,
    /// Those in the answer, read or not.
    pub(crate) count: usize,
}

/// An item that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Odd {
    /// What identifies it, as far as that could be read, else its place.
    pub item: String,
    /// The field and the reason.
    pub why: String,
    /// It is among the items all the same, with less.
    pub shown: bool,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Odd { item, why, shown } = self;
        let how = if *shown { "shown with less" } else { "left out" };
        write!(f, "{item} is {how} ({why})")
    }
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items { found: Vec::new(), odd: Vec::new(), count: 0 }
    }
}

impl<T> From<Vec<T>> for Items<T> {
    fn from(found: Vec<T>) -> Self {
        Items { count: found.len(), found, odd: Vec::new() }
    }
}

impl<T> Deref for Items<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.found
    }
}

impl<T> DerefMut for Items<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.found
    }
}

impl<T> Items<T> {
    /// These and what is wrong with the others.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Items<U> {
        let Items { found, odd, count } = self;
        Items { found: found.into_iter().map(make).collect(), odd, count }
    }

    /// As [`map`](Items::map), with any number of values for each.
    pub fn flat_map<U, V: IntoIterator<Item = U>>(self, make: impl FnMut(T) -> V) -> Items<U> {
        let Items { found, odd, count } = self;
        Items { found: found.into_iter().flat_map(make).collect(), odd, count }
    }

    /// The one that a question about one was asked for. What was found and cannot be read is
    /// "invalid", and not "not found".
    pub fn one(self) -> crate::Result<T> {
        match (self.found.into_iter().next(), self.odd.into_iter().find(|odd| !odd.shown)) {
            (Some(one), _) => Ok(one),
            (None, Some(odd)) => Err(Error::Invalid(odd.to_string())),
            (None, None) => Err(Error::NotFound),
        }
    }

    /// Adds the items of another page.
    pub fn append(&mut self, page: Items<T>) {
        self.found.extend(page.found);
        self.odd.extend(page.odd);
        self.count += page.count;
    }

    /// Whether nothing was left out.
    pub fn is_whole(&self) -> bool {
        self.odd.iter().all(|odd| odd.shown)
    }

    /// How many the answer holds, those that cannot be read among them.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn odd(&self) -> &[Odd] {
        &self.odd
    }

    /// What identifies those that are not as expected, where that is such an id.
    pub fn odd_ids<I: std::str::FromStr>(&self) -> impl Iterator<Item = I> {
        self.odd.iter().filter_map(|odd| odd.item.parse().ok())
    }

    pub(crate) fn into_parts(self) -> (Vec<T>, Vec<Odd>) {
        (self.found, self.odd)
    }
}

impl<T: DeserializeOwned> Items<T> {
    /// Reads one item, and notes what is wrong with it. `name` identifies it where it does not
    /// do so itself.
    fn read(&mut self, text: &str, name: impl FnOnce() -> String) -> Option<T> {
        self.count += 1;
        let (withheld, text) = match withheld(text) {
            Some((why, text)) => (Some(why), Cow::Owned(text)),
            None => (None, Cow::Borrowed(text)),
        };
        let (value, why) = match withheld.map_or_else(|| json::read(&text), Err) {
            Ok((value, None)) => return Some(value),
            Ok((value, Some(why))) => (Some(value), why),
            Err(why) => (None, why),
        };
        // A member's name, and a path to it, is whatever the service calls it.
        let item = identity(&text, &why).unwrap_or_else(|| crate::content::one_line(&name()));
        let why = crate::content::one_line(&why);
        let odd = Odd { item, why, shown: value.is_some() };
        log::warn(&odd.to_string());
        self.odd.push(odd);
        value
    }
}

/// One line that names the odd ones of a list.
pub(crate) fn note(odd: &[Odd]) -> Option<String> {
    let mut named: Vec<String> = odd.iter().take(NAMED).map(Odd::to_string).collect();
    if odd.len() > NAMED {
        named.push(format!("and {} more", odd.len() - NAMED));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

const WITHHELD: &str = r#"{"omnifs:withheld":"#;

/// An item as a service answers it that says of a part of it that it could not be had.
pub(crate) fn withhold(item: &serde_json::Value, why: &str) -> serde_json::Value {
    serde_json::json!({ "omnifs:withheld": [why, item] })
}

/// The reason, and the item as far as it was had.
fn withheld(text: &str) -> Option<(String, String)> {
    let (why, item): (String, Box<RawValue>) =
        serde_json::from_str(text.strip_prefix(WITHHELD)?.strip_suffix('}')?).ok()?;
    Some((why, item.get().to_owned()))
}

/// What people know an item by: the first of these members that is a number or a text, and is not
/// what the item is odd for.
fn identity(text: &str, why: &str) -> Option<String> {
    const NAMES: [&str; 16] = [
        "identifier",
        "number",
        "full_name",
        "tag_name",
        "name",
        "Name",
        "key",
        "login",
        "displayName",
        "title",
        "id",
        "Id",
        "ID",
        "sha",
        "node_id",
        "url",
    ];
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    let scalar = |name: &&str| match serde_json::from_str(members.get(*name)?.get()).ok()? {
        serde_json::Value::String(text) if !text.is_empty() => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let field = why.split([':', '.', '[']).next().unwrap_or_default();
    let name = NAMES.iter().filter(|name| **name != field).find_map(scalar)?;
    Some(crate::content::one_line(&name[..name.floor_char_boundary(80)]))
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for List<T> {
            type Value = Items<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Items<T>, E> {
                Ok(Items::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<T>, A::Error> {
                let mut items = Items::default();
                while let Some(text) = list.next_element::<&RawValue>()? {
                    let place = items.count + 1;
                    let item = items.read(text.get(), || format!("item {place}"));
                    items.found.extend(item);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_any(List(PhantomData))
    }
}

/// The members of an object, each a name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members<T>(pub Items<(String, T)>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Members(Items::default())
    }
}

impl<T> Deref for Members<T> {
    type Target = Items<(String, T)>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for Object<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Members<T>, E> {
                Ok(Members::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members<T>, A::Error> {
                let mut items: Items<T> = Items::default();
                let mut names = Vec::new();
                while let Some((name, text)) = object.next_entry::<String, &RawValue>()? {
                    if let Some(value) = items.read(text.get(), || name.clone()) {
                        items.found.push(value);
                        names.push(name);
                    }
                }
                let mut names = names.into_iter();
                // A name was kept for each value.
                Ok(Members(items.map(|value| (names.next().unwrap_or_default(), value))))
            }
        }
        deserializer.deserialize_any(Object(PhantomData))
    }
}
