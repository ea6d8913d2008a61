//! What an answer holds beyond what it was asked for. Entries made by
//! [`Entry::object`](crate::Entry::object) offer their leaves by themselves; these functions are for
//! the rest.

use crate::entry::{self, Entry, Offer};
use crate::shape::Tree;
use crate::{Error, Result, host, id};
use std::collections::BTreeSet;

pub use crate::object::offer_leaves;

/// All entries of another directory.
pub fn whole<I: Tree>(directory: I, entries: Vec<Entry<I>>) {
    offer(directory, entries, true);
}

/// Some entries of another directory.
pub fn part<I: Tree>(directory: I, entries: Vec<Entry<I>>) {
    offer(directory, entries, false);
}

/// The content of `leaf` of the object `id`, which the answer to a read of another leaf holds as
/// well. Kept where the host shows that leaf and may keep it: neither needs to be known here.
pub fn leaf_content<I: Tree>(object: &I, leaf: &str, content: &[u8]) {
    host::content(&id::leaf(&object.encode(), leaf, None), content);
}

/// The entries of `asked`, where one answer fills several directories: every other one of
/// `directories` is offered whole. `show` says how a directory shows an object, if it does. What is
/// not among `directories` is "not found".
pub fn views<I: Tree + PartialEq, T, E: IntoIterator<Item = Entry<I>>>(
    asked: &I,
    directories: &[I],
    objects: &[T],
    show: impl Fn(&I, &T) -> E,
) -> Result<Vec<Entry<I>>> {
    if !directories.contains(asked) {
        return Err(Error::NotFound);
    }
    let entries = |directory| objects.iter().flat_map(|object| show(directory, object)).collect();
    let asked_entries: Vec<Entry<I>> = entries(asked);
    // Leaves are the same wherever an object shows: once is enough.
    let mut offered: BTreeSet<String> =
        asked_entries.iter().flat_map(Entry::offered).map(str::to_owned).collect();
    for (at, other) in directories.iter().enumerate() {
        if other != asked && !directories[..at].contains(other) {
            let (children, offers) = entry::nodes(entries(other));
            let fresh = offers.into_iter().filter(|offer| offered.insert(offer.parent.clone()));
            let own = Offer::whole(other.encode(), children);
            Offer::above(own, fresh.collect()).into_iter().for_each(Offer::send);
        }
    }
    Ok(asked_entries)
}

fn offer<I: Tree>(directory: I, entries: Vec<Entry<I>>, whole: bool) {
    let (children, offers) = entry::nodes(entries);
    let own = Offer::new(directory.encode(), children, whole);
    Offer::above(own, offers).into_iter().for_each(Offer::send);
}
