//! What an answer holds beyond what it was asked for. Entries made by
//! [`Entry::object`](crate::Entry::object) offer their leaves by themselves; these functions are for
//! the rest.

use crate::entry::{self, Entry, Listing, Offer};
use crate::items::Items;
use crate::shape::Tree;
use crate::{Error, Result, host, id};
use std::collections::BTreeSet;

pub use crate::object::offer_leaves;

/// All entries of another directory, but for those that could not be read.
pub fn whole<I: Tree>(directory: I, entries: impl Into<Listing<I>>) {
    Offer::of(&directory, entries.into()).into_iter().for_each(Offer::send);
}

/// Some entries of another directory.
pub fn part<I: Tree>(directory: I, entries: Vec<Entry<I>>) {
    let (children, offers) = entry::nodes(entries);
    let own = Offer::new(directory.encode(), children, false);
    Offer::above(own, offers).into_iter().for_each(Offer::send);
}

/// The content of `leaf` of the object `id`, which the answer to a read of another leaf holds as
/// well. Kept where the host shows that leaf and may keep it: neither needs to be known here.
pub fn leaf_content<I: Tree>(object: &I, leaf: &str, content: &[u8]) {
    host::content(&id::leaf(&object.encode(), leaf, None), content);
}

/// A program that reads the files of a tree one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk<I> {
    /// Those above the file, from its own to the first that is not immutable: below that one it reads.
    pub directories: Vec<I>,
    /// Bytes of all files below that one, held by the host or not, where all of them are known.
    pub size: Option<u64>,
    /// Files below it whose content the host lacks, the likeliest to be read first.
    pub files: Vec<I>,
}

/// What is wanted soon beside the file that is being read: where one request brings more of it,
/// [`content`] hands that over. `None` for a file that is read by itself, and in any other call.
pub fn ahead<I: Tree>() -> Option<Walk<I>> {
    let walk = host::ahead()?;
    let ids = |texts: Vec<String>| texts.iter().filter_map(|text| I::decode(text)).collect();
    let (directories, files) = (ids(walk.directories), ids(walk.files));
    Some(Walk { directories, size: walk.size, files })
}

/// The whole content of another file.
pub fn content<I: Tree>(file: &I, content: &[u8]) {
    host::content(&file.encode(), content);
}

/// The entries of `asked`, where one answer fills several directories: every other one of
/// `directories` is offered whole, or in part where some objects could not be read. `show` says how
/// a directory shows an object, if it does. What is not among `directories` is "not found", or
/// "invalid" where what could not be read might have been in it.
pub fn views<I: Tree + PartialEq, T, E: IntoIterator<Item = Entry<I>>>(
    asked: &I,
    directories: &[I],
    objects: &Items<T>,
    show: impl Fn(&I, &T) -> E,
) -> Result<Listing<I>> {
    let shown = |directory| -> Listing<I> {
        let entries = objects.iter().flat_map(|object| show(directory, object));
        Listing::from(entries.collect::<Vec<_>>()).noting(objects)
    };
    let listing = shown(asked);
    if !directories.contains(asked) {
        return Err(listing.missing().map_or(Error::NotFound, Error::Invalid));
    }
    // Leaves are the same wherever an object shows: once is enough.
    let mut offered: BTreeSet<String> =
        listing.entries.iter().flat_map(Entry::offered).map(str::to_owned).collect();
    for (at, other) in directories.iter().enumerate() {
        if other != asked && !directories[..at].contains(other) {
            let offers = Offer::of(other, shown(other)).into_iter();
            offers.filter(|offer| offered.insert(offer.parent.clone())).for_each(Offer::send);
        }
    }
    Ok(listing)
}
