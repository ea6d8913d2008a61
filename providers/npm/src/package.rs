//! Packages, their versions and tags.

use crate::api::{self, Archive, Package, registry};
use crate::{Id, of};
use omnifs_sdk::*;
use serde_json::Value;

pub fn list() -> Result<Listing<Id>> {
    let answer = api::search().send()?;
    if matches!(answer.status, 400 | 404 | 405) {
        let note = "the registry does not list its packages: each is found by its name";
        return Ok(Listing::partial(Vec::new(), note));
    }
    let found: api::Search = answer.ok()?.json()?;
    let count = found.objects.count();
    let mut hits = found.objects;
    hits.truncate(api::PACKAGES);
    let entry = |hit: api::Hit| {
        let name = hit.package.name;
        Entry::directory(name.clone(), Id::Package(name))
    };
    let entries = hits.map(entry);
    if count <= api::PACKAGES && found.total <= count {
        return Ok(entries.into());
    }
    let note = format!("the first {}, others are found by name", count.min(api::PACKAGES));
    Ok(Listing::partial(entries, note))
}

fn fetch(name: &str) -> Result<Package> {
    api::package(name).json()
}

/// A package. Its versions and tags come along.
pub fn find(name: &str) -> Result<Entry<Id>> {
    if !api::is_name(name) {
        return Err(Error::NotFound);
    }
    let found = fetch(name)?;
    let own = name.to_owned();
    let entries = vec![
        Entry::holding("_latest", Id::Latest(own.clone()), newest(name, &found)),
        Entry::holding("tags", Id::Tags(own.clone()), tags_of(name, &found)),
        Entry::holding("versions", Id::Versions(own.clone()), versions_of(name, found)),
    ];
    Ok(Entry::holding(name, Id::Package(own), entries))
}

pub fn latest(name: &str) -> Result<Listing<Id>> {
    Ok(newest(name, &fetch(name)?).into())
}

pub fn tags(name: &str) -> Result<Listing<Id>> {
    Ok(tags_of(name, &fetch(name)?))
}

pub fn versions(name: &str) -> Result<Listing<Id>> {
    Ok(versions_of(name, fetch(name)?))
}

/// Where the link of a tag leads.
pub fn tagged(name: &str, tag: &str) -> Result<Content> {
    let version = version_of(&fetch(name)?, tag).ok_or(Error::NotFound)?;
    Ok(target(&version))
}

/// A link's target, from beside `versions`.
pub fn target(version: &str) -> Content {
    document(format!("../versions/{}", name::escape(version)))
}

fn version_of(package: &Package, tag: &str) -> Option<String> {
    package.tags.iter().find(|(own, _)| own == tag).map(|(_, version)| version.clone())
}

fn newest(name: &str, package: &Package) -> Vec<Entry<Id>> {
    let entry = |version: String| {
        let content = target(&version);
        Entry::symlink(version.clone(), Id::Newest(name.to_owned(), version)).content(content)
    };
    version_of(package, "latest").map(entry).into_iter().collect()
}

fn tags_of(name: &str, package: &Package) -> Listing<Id> {
    let entry = |(tag, version): (String, String)| {
        let id = Id::Tag(name.to_owned(), tag.clone());
        Entry::symlink(tag, id).content(target(&version))
    };
    package.tags.0.clone().map(entry).into()
}

fn versions_of(name: &str, package: Package) -> Listing<Id> {
    let entry = |(version, published): (String, api::Published)| {
        let archive = Archive::new(name, &published.dist);
        Entry::directory(version.clone(), Id::Version(version, archive)).coherence(of(name))
    };
    package.versions.0.map(entry).into()
}

/// The manifest of a version as it was published, and what the registry adds to it.
pub fn metadata(name: &str, version: &str) -> Result<Content> {
    Ok(json_value(&registry::version(name, version).json::<Value>()?))
}
