//! Repositories, and which tags they have. No registry lists its digests: each is found by its name.

use crate::api::{self, Catalog, Tags};
use crate::{Id, image, tags_of};
use omnifs_sdk::http::Response;
use omnifs_sdk::*;

/// Repositories that are listed. Any other is found by its name.
const REPOSITORIES: usize = 10_000;
/// Tags of a repository likewise.
const TAGS: usize = 20_000;

pub fn list() -> Result<Listing<Id>> {
    let first = match api::catalog().ok() {
        Err(Error::NotFound) => {
            let note = "the registry does not list its repositories: each is found by its name";
            return Ok(Listing::partial(Vec::new(), note));
        }
        first => first?,
    };
    let names = |page: Catalog| page.repositories;
    let found = api::names(api::catalog(), first, REPOSITORIES, names)?;
    let entries = found.items.map(|repo| Entry::directory(repo.clone(), Id::Repo(repo)));
    if !found.more {
        return Ok(entries.into());
    }
    Ok(Listing::partial(entries, format!("the first {REPOSITORIES}, others are found by name")))
}

/// Whether it is one by the specification's grammar, as far as that keeps away what tools look for in any
/// directory.
fn is_name(text: &str) -> bool {
    let of = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-' | '/');
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) && text.chars().all(of)
}

/// A repository, whose tags come along.
pub fn find(repo: &str) -> Result<Entry<Id>> {
    if !is_name(repo) {
        return Err(Error::NotFound);
    }
    let tags = Entry::holding("tags", Id::Tags(repo.to_owned()), tags(repo)?);
    let digests = Entry::directory("digests", Id::Digests(repo.to_owned()));
    Ok(Entry::holding(repo, Id::Repo(repo.to_owned()), vec![tags, digests]))
}

fn entry(repo: &str, tag: String) -> Entry<Id> {
    Entry::directory(tag.clone(), Id::At(repo.to_owned(), tag)).coherence(tags_of(repo))
}

/// `first` is the answer to [`api::tags`].
pub fn tags_from(first: Response, repo: &str) -> Result<Pages<String>> {
    api::names(api::tags(repo), first, TAGS, |page: Tags| page.tags)
}

pub fn tags(repo: &str) -> Result<Listing<Id>> {
    let found = tags_from(api::tags(repo).ok()?, repo)?;
    let entries = found.items.map(|tag| entry(repo, tag));
    if !found.more {
        return Ok(entries.into());
    }
    Ok(Listing::partial(entries, format!("the first {TAGS}, others are found by name")))
}

/// A tag that the listing stops short of.
pub fn tag(repo: &str, tag: &str) -> Result<Entry<Id>> {
    let of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if tag.starts_with(['.', '-']) || !tag.chars().all(of) {
        return Err(Error::NotFound);
    }
    api::look(repo, tag).ok()?;
    Ok(entry(repo, tag.to_owned()))
}

pub fn digests() -> Result<Listing<Id>> {
    let note = "no registry lists its digests: each is found by its name, sha256:HEX";
    Ok(Listing::partial(Vec::new(), note))
}

/// A manifest that a digest names.
pub fn digest(repo: &str, digest: &str) -> Result<Entry<Id>> {
    if !api::is_digest(digest) {
        return Err(Error::NotFound);
    }
    let entries = image::entries(repo, digest)?;
    Ok(Entry::holding(digest, Id::At(repo.to_owned(), digest.to_owned()), entries))
}
