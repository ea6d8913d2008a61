//! Keys as paths: a slash in a key makes a directory. S3 has none; they are what a listing with a delimiter shows.

use crate::Id;
use crate::api::{Asked, Buckets, Page, Stored, service};
use omnifs_sdk::http::Request;
use omnifs_sdk::*;
use std::collections::BTreeSet;

const DELIMITER: &str = "/";
/// Bytes of an id that the host takes.
const LONGEST: usize = 1024;
/// What is shown of an object beside which keys begin with its own and a slash. The directory has the name.
const BESIDE: &str = "@object";
/// In a bucket: the versions of its keys.
pub const VERSIONS: &str = "_versions";

fn bound() -> usize {
    config::parse("listing-bound").filter(|bound| *bound > 0).unwrap_or(10_000)
}

pub fn buckets() -> Result<Listing<Id>> {
    let Buckets { buckets } = service::buckets().xml()?;
    Ok(buckets.all.map(|bucket| directory(&bucket.name, "", &bucket.name)).into())
}

/// A bucket that may be another account's, which no listing shows.
pub fn bucket(name: &str) -> Result<Entry<Id>> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !(3..=63).contains(&name.len()) || !name.bytes().all(fits) || name.starts_with('.') {
        return Err(Error::NotFound);
    }
    listed(name, "").query("max-keys", 1).xml::<Page>()?;
    Ok(directory(name, "", name))
}

fn directory(bucket: &str, prefix: &str, name: &str) -> Entry<Id> {
    Entry::directory(name, Id::Directory(bucket.to_owned(), prefix.to_owned()))
}

fn listed(bucket: &str, prefix: &str) -> Request {
    service::keys(bucket)
        .query("list-type", 2)
        .query("delimiter", DELIMITER)
        .query("prefix", prefix)
}

fn versioned(bucket: &str, prefix: &str) -> Request {
    service::keys(bucket)
        .query("versions", "")
        .query("delimiter", DELIMITER)
        .query("prefix", prefix)
}

/// Whether a request can name the key, and an id can hold it: what proxies and servers take for another path is
/// never sent.
fn is_path(bucket: &str, key: &str) -> bool {
    let id = Id::Version(bucket.to_owned(), key.to_owned(), String::new()).encode();
    id.len() + 128 <= LONGEST && key.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn modified(stored: &Stored) -> Option<u64> {
    time::rfc3339_ms(stored.last_modified.as_deref()?)
}

/// What tells one state of a key from the others.
fn state(stored: &Stored) -> String {
    let tag = stored.tag().unwrap_or_default();
    format!("{} {} {}", tag.trim_matches('"'), modified(stored).unwrap_or_default(), stored.size)
}

fn object(bucket: &str, name: &str, stored: &Stored) -> Entry<Id> {
    let id = Id::Object(bucket.to_owned(), stored.key.clone(), state(stored));
    file_of(Entry::file(name, id), service::object(bucket, &stored.key), stored)
}

/// The file of what is answered to a request.
fn file_of(mut entry: Entry<Id>, request: Request, stored: &Stored) -> Entry<Id> {
    let mut source = request.content(stored.size);
    if let Some(tag) = stored.tag() {
        source = source.validator(&tag);
        entry = entry.version(tag);
    }
    entry.at(source).modified(modified(stored))
}

/// Takes what no path can name out of a listing, and says how many that were.
struct Paths<'a> {
    bucket: &'a str,
    prefix: &'a str,
    left_out: usize,
}

impl Paths<'_> {
    /// The name below the prefix.
    fn name(&mut self, key: &str) -> Option<String> {
        let name = key.strip_prefix(self.prefix)?;
        let good = is_path(self.bucket, key) && key != VERSIONS;
        self.left_out += usize::from(!good);
        good.then(|| name.to_owned())
    }

    fn listing(self, all: Items<Entry<Id>>, more: bool) -> Listing<Id> {
        let mut notes = Vec::new();
        if more {
            let bound = bound();
            notes.push(format!("the first {bound} names; the setting listing-bound raises that"));
        }
        if self.left_out > 0 {
            notes.push(format!("left out are {} keys that are no paths", self.left_out));
        }
        if notes.is_empty() { all.into() } else { Listing::partial(all, notes.join("; ")) }
    }
}

/// What is below `prefix`, which is empty or ends in a slash.
pub fn list(bucket: &str, prefix: &str) -> Result<Listing<Id>> {
    let (mut stored, mut common, bound) = (Items::default(), Items::default(), bound());
    let more = listed(bucket, prefix).all(|page| {
        stored.append(page.contents);
        common.append(page.common_prefixes);
        stored.count() + common.count() >= bound
    })?;
    let mut paths = Paths { bucket, prefix, left_out: 0 };
    let mut all = common.flat_map(|common| {
        let name = paths.name(common.prefix.strip_suffix(DELIMITER)?)?;
        Some(directory(bucket, &common.prefix, &name))
    });
    let taken: BTreeSet<String> = all.iter().map(|entry| entry.name().to_owned()).collect();
    // A console makes an empty object for the directory itself.
    stored.retain(|stored| stored.key != prefix);
    all.append(stored.flat_map(|stored| {
        let name = paths.name(&stored.key)?;
        let beside = if taken.contains(&name) { BESIDE } else { "" };
        Some(object(bucket, &format!("{name}{beside}"), &stored))
    }));
    Ok(paths.listing(all, more))
}

/// The object of this key, and whether keys begin with it and a slash.
fn look(bucket: &str, key: &str) -> Result<(Option<Stored>, bool)> {
    const ENOUGH: u32 = 100;
    let below = format!("{key}{DELIMITER}");
    let page: Page = listed(bucket, key).query("max-keys", ENOUGH).xml()?;
    let mut found = page.common_prefixes.iter().any(|common| common.prefix == below);
    // Of the keys that begin so, this one comes first, and its slash after a dozen other characters.
    if !found && page.next_continuation_token.is_some() {
        let page: Page = listed(bucket, &below).query("max-keys", 1).xml()?;
        found = page.contents.count() + page.common_prefixes.count() > 0;
    }
    let stored = page.contents.flat_map(|stored| (stored.key == key).then_some(stored));
    match stored.one() {
        Err(Error::NotFound) => Ok((None, found)),
        stored => Ok((Some(stored?), found)),
    }
}

pub fn find(bucket: &str, prefix: &str, name: &str) -> Result<Entry<Id>> {
    let key = format!("{prefix}{name}");
    if name.contains('/') || !is_path(bucket, &key) {
        return Err(Error::NotFound);
    }
    if key == VERSIONS {
        return Ok(Entry::directory(VERSIONS, Id::Versions(bucket.to_owned(), String::new())));
    }
    match look(bucket, &key)? {
        (_, true) => return Ok(directory(bucket, &format!("{key}{DELIMITER}"), name)),
        (Some(stored), false) => return Ok(object(bucket, name, &stored)),
        (None, false) => {}
    }
    let other = key.strip_suffix(BESIDE).ok_or(Error::NotFound)?;
    match look(bucket, other)? {
        (Some(stored), true) => Ok(object(bucket, name, &stored)),
        _ => Err(Error::NotFound),
    }
}

/// The versions of the key `path`, and a directory for each name below it. `path` is empty for the bucket.
pub fn versions(bucket: &str, path: &str) -> Result<Listing<Id>> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}{DELIMITER}") };
    let (mut own, mut below, bound) = (Items::default(), Items::default(), bound());
    let mut names = BTreeSet::new();
    let mut more = false;
    if !path.is_empty() {
        // They come before those of all longer keys.
        more |= versioned(bucket, path).all(|page| {
            let others = page.versions.iter().any(|version| version.key != path);
            own.append(page.versions);
            others || own.count() >= bound
        })? && own.iter().all(|version: &Stored| version.key == path);
    }
    let mut paths = Paths { bucket, prefix: &prefix, left_out: 0 };
    more |= versioned(bucket, &prefix).all(|page| {
        let keys = page.versions.iter().map(|version| version.key.as_str());
        let keys = keys.filter(|key| *key != prefix);
        let common = page.common_prefixes.iter();
        let common = common.filter_map(|common| common.prefix.strip_suffix(DELIMITER));
        names.extend(keys.chain(common).filter_map(|key| paths.name(key)));
        below.append(page.versions.map(|_| ()));
        below.append(page.common_prefixes.map(|_| ()));
        below.count() >= bound
    })?;
    let mut all = own.flat_map(|stored| version(bucket, path, &stored));
    all.extend(names.into_iter().map(|name| {
        let id = Id::Versions(bucket.to_owned(), format!("{prefix}{name}"));
        Entry::directory(name, id)
    }));
    Ok(paths.listing(all, more).noting(&below))
}

fn version(bucket: &str, key: &str, stored: &Stored) -> Option<Entry<Id>> {
    let version = stored.version_id.as_deref().filter(|_| stored.key == key)?;
    let request = service::object(bucket, key).query("versionId", version);
    // What was stored without versions is replaced.
    let state = if version == "null" { state(stored) } else { String::new() };
    let id = Id::Version(bucket.to_owned(), key.to_owned(), version.to_owned() + &state);
    Some(file_of(Entry::file(version, id), request, stored))
}
