//! What an id is. A provider's [`Tree::shape`] is a table with one row for each id variant.

use crate::entry::{Entry, Listing};
use crate::object::{AnyObject, Fetched, Object};
use crate::{NodeId, Result};
use std::fmt;

/// The provider's tree, stated once.
pub trait Tree: NodeId {
    /// What this id is. Cheap, and makes no request: the closures in the answer do.
    fn shape(self) -> Shape<Self>;

    /// The object that it is part of wherever it shows: an event about that one covers it too. An entry
    /// may say otherwise ([`Entry::part_of`]).
    fn whole(&self) -> Option<Self> {
        None
    }
}

type List<I> = Box<dyn FnOnce() -> Result<Listing<I>>>;
type Find<I> = Box<dyn FnOnce(&str) -> Result<Entry<I>>>;
type Read = Box<dyn FnOnce() -> Result<Vec<u8>>>;

/// See the functions that make one: [`fixed`], [`listing`], [`searchable`], [`open_ended`],
/// [`object`], [`file`](fn@file).
pub struct Shape<I>(pub(crate) Inner<I>);

pub(crate) enum Inner<I> {
    Fixed(Vec<(&'static str, I)>),
    Listing {
        list: List<I>,
        find: Option<Find<I>>,
        /// A name that the listing stops short of.
        beyond: Option<Find<I>>,
        open_ended: bool,
    },
    Object(Box<dyn AnyObject<I>>),
    File(Read),
}

impl<I: fmt::Debug> fmt::Debug for Shape<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Fixed(entries) => f.debug_tuple("Fixed").field(entries).finish(),
            Inner::Listing { .. } => f.write_str("Listing"),
            Inner::Object(_) => f.write_str("Object"),
            Inner::File(_) => f.write_str("File"),
        }
    }
}

/// A directory whose entries are part of the program.
pub fn fixed<I>(entries: impl Into<Vec<(&'static str, I)>>) -> Shape<I> {
    Shape(Inner::Fixed(entries.into()))
}

/// A directory that is listed as a whole; an entry is found in the listing.
pub fn listing<I, L: Into<Listing<I>>>(list: impl FnOnce() -> Result<L> + 'static) -> Shape<I> {
    let list: List<I> = Box::new(|| Ok(list()?.into()));
    Shape(Inner::Listing { list, find: None, beyond: None, open_ended: false })
}

impl<I: Tree> Shape<I> {
    /// Of a [`listing`] that is complete as a rule: where it stops short ([`Listing::partial`]), a
    /// name that it does not show is asked for with `find`. Of [`fixed`] entries: so is every other
    /// name, none of which is listed; the id needs a coherence, since names come and go.
    pub fn beyond(self, find: impl FnOnce(&str) -> Result<Entry<I>> + 'static) -> Self {
        match self.0 {
            Inner::Listing { list, find: None, open_ended, .. } => {
                Shape(Inner::Listing { list, find: None, beyond: Some(Box::new(find)), open_ended })
            }
            Inner::Fixed(entries) => open_ended(
                entries,
                |entries| Ok(entries.iter().cloned().map(Entry::fixed).collect::<Vec<_>>()),
                |entries, name| match entries.iter().find(|(entry, _)| *entry == name) {
                    Some(entry) => Ok(Entry::fixed(entry.clone())),
                    None => find(name),
                },
            ),
            inner => Shape(inner),
        }
    }
}

/// A directory whose entry can also be fetched by name, with less than a listing. `key` is what
/// both closures need to know. `find` gets the upstream name and answers the object it found under
/// that object's own name: where the two differ the asked name does not exist.
pub fn searchable<K: Clone + 'static, I, L: Into<Listing<I>>>(
    key: K,
    list: impl FnOnce(&K) -> Result<L> + 'static,
    find: impl FnOnce(&K, &str) -> Result<Entry<I>> + 'static,
) -> Shape<I> {
    let again = key.clone();
    let list: List<I> = Box::new(move || Ok(list(&key)?.into()));
    let find: Find<I> = Box::new(move |name| find(&again, name));
    Shape(Inner::Listing { list, find: Some(find), beyond: None, open_ended: false })
}

/// As [`searchable`], and names exist that the listing does not show: numbers beyond its bound,
/// owners that are not the user's own.
pub fn open_ended<K: Clone + 'static, I, L: Into<Listing<I>>>(
    key: K,
    list: impl FnOnce(&K) -> Result<L> + 'static,
    find: impl FnOnce(&K, &str) -> Result<Entry<I>> + 'static,
) -> Shape<I> {
    match searchable(key, list, find) {
        Shape(Inner::Listing { list, find, beyond, .. }) => {
            Shape(Inner::Listing { list, find, beyond, open_ended: true })
        }
        other => other,
    }
}

/// A directory of leaves, computed from one fetched answer or read by a request of their own
/// ([`own`](crate::own)).
pub fn object<T: Object>(fetch: impl FnOnce() -> Result<T> + 'static) -> Shape<T::Id> {
    Shape(Inner::Object(Box::new(Fetched::new(fetch))))
}

/// A file of its own, as opposed to a leaf of an object.
pub fn file<I, C: Into<crate::Content>>(read: impl FnOnce() -> Result<C> + 'static) -> Shape<I> {
    Shape(Inner::File(Box::new(|| Ok(read()?.into().0))))
}

/// A file whose content the host reads itself: every [`Entry`](crate::Entry) of it says where that is
/// ([`Entry::at`](crate::Entry::at)).
pub fn file_at<I>() -> Shape<I> {
    let said = || Err(crate::Error::Invalid("its entry says where its content is".to_owned()));
    Shape(Inner::File(Box::new(said)))
}
