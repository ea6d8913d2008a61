//! Crates and their versions.

use crate::api::{self, Archive, Order, Version};
use crate::{Id, of};
use omnifs_sdk::*;

pub fn list() -> Result<Listing<Id>> {
    let note = "no sparse index lists its crates: each is found by its name";
    Ok(Listing::partial(Vec::new(), note))
}

struct Crate {
    name: String,
    versions: Items<Version>,
}

fn fetch(name: &str) -> Result<Crate> {
    let versions = api::versions(&api::file(name).ok()?.body)?;
    // The file of one name answers for those that differ by their case alone.
    if versions.first().is_some_and(|version| version.name != name) {
        return Err(Error::NotFound);
    }
    Ok(Crate { name: name.to_owned(), versions })
}

/// A crate. Its versions come along.
pub fn find(name: &str) -> Result<Entry<Id>> {
    if !api::is_name(name) {
        return Err(Error::NotFound);
    }
    let (found, own) = (fetch(name)?, name.to_owned());
    let entries = vec![
        Entry::holding("_latest", Id::Latest(own.clone()), found.newest()),
        Entry::holding("versions", Id::Versions(own.clone()), found.versions()),
    ];
    Ok(Entry::holding(name, Id::Crate(own), entries))
}

pub fn latest(name: &str) -> Result<Listing<Id>> {
    Ok(fetch(name)?.newest().into())
}

pub fn versions(name: &str) -> Result<Listing<Id>> {
    Ok(fetch(name)?.versions())
}

/// What the index says of a version.
pub fn metadata(name: &str, version: &str) -> Result<Content> {
    let found = fetch(name)?;
    let one = found.versions.iter().find(|one| one.vers == version).ok_or(Error::NotFound)?;
    Ok(one.json.content(&[]))
}

/// A link's target, from beside `versions`.
pub fn target(version: &str) -> Content {
    document(format!("../versions/{}", name::escape(version)))
}

impl Crate {
    /// The highest release that is not yanked, else the highest version of all.
    fn newest(&self) -> Vec<Entry<Id>> {
        let shown = self.versions.iter().filter(|version| Archive::of(version).is_some());
        let rank = |version: &Version| {
            let order = Order::of(&version.vers)?;
            Some(((!version.yanked, order.is_release, order), version.vers.clone()))
        };
        let entry = |(_, version): (_, String)| {
            let content = target(&version);
            Entry::symlink(version.clone(), Id::Newest(self.name.clone(), version)).content(content)
        };
        shown.filter_map(rank).max().map(entry).into_iter().collect()
    }

    fn versions(&self) -> Listing<Id> {
        let entry = |version: Version| {
            let archive = Archive::of(&version)?;
            let entry = Entry::directory(version.vers.clone(), Id::Version(archive));
            Some(entry.coherence(of(&self.name)))
        };
        self.versions.clone().flat_map(entry).into()
    }
}
