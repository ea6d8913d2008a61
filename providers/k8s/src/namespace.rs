//! Namespaces, and the kinds of objects in them.

use crate::kind::{Found, Kind};
use crate::{Id, NAMESPACES, api};
use omnifs_sdk::*;

/// The directory of what is in no namespace: none has such a name.
const OWN: &str = "_cluster";

/// The only ones that are shown, where the user has said so.
pub fn chosen() -> Option<Vec<String>> {
    let text = config::get(NAMESPACES)?;
    let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    (!names.is_empty()).then_some(names)
}

fn entry(name: &str) -> Entry<Id> {
    Entry::directory(name, Id::Namespace(name.to_owned()))
}

pub fn list() -> Result<Listing<Id>> {
    let own = Entry::directory(OWN, Id::Cluster);
    if let Some(names) = chosen() {
        let entries: Vec<_> = names.iter().map(|name| entry(name)).chain([own]).collect();
        return Ok(entries.into());
    }
    match api::items(&api::metadata_only(api::list(&Kind::namespaces(), ""))) {
        Ok(found) => {
            let entries = found.map(|item| entry(item.name()));
            Ok(Listing::from(entries).and([own]))
        }
        Err(error) if api::is_forbidden(&error) => {
            let note = "the account may not list namespaces: each is found by its name, and the setting \
                        `namespaces` says which are listed";
            Ok(Listing::partial(vec![own], note))
        }
        Err(error) => Err(error),
    }
}

/// A namespace by its name. Of one that the account may not see nobody can tell whether it is there: what is
/// in it may be seen all the same.
pub fn find(name: &str) -> Result<Entry<Id>> {
    if name == OWN {
        return Ok(Entry::directory(OWN, Id::Cluster));
    }
    let of = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label =
        name.len() <= 63 && !name.is_empty() && name.chars().all(of) && !name.starts_with('-');
    if !label || chosen().is_some_and(|names| names.iter().all(|one| one != name)) {
        return Err(Error::NotFound);
    }
    if chosen().is_none() {
        match api::metadata_only(api::object(&Kind::namespaces(), "", name)).ok() {
            Err(error) if api::is_forbidden(&error) => {}
            answer => drop(answer?),
        }
    }
    Ok(entry(name))
}

/// The kinds of objects that are in a namespace, or else in none.
fn kinds_in(namespace: &str, found: Found) -> impl Iterator<Item = Entry<Id>> {
    let shown = found.kinds.into_iter().filter(|one| one.namespaced != namespace.is_empty());
    shown.map(|one| Entry::directory(one.name, Id::Objects(one.kind, namespace.to_owned())))
}

pub fn kinds(namespace: &str) -> Result<Listing<Id>> {
    let mut found = Found::all()?;
    let missing = std::mem::take(&mut found.missing);
    let entries: Vec<_> = kinds_in(namespace, found).collect();
    if missing.is_empty() {
        return Ok(entries.into());
    }
    Ok(Listing::partial(entries, missing.join("; ")))
}

/// One of them alone: each that is shown is watched for a while.
pub fn kind(namespace: &str, name: &str) -> Result<Entry<Id>> {
    let found = Found::all()?;
    let absent = if found.missing.is_empty() {
        Error::NotFound
    } else {
        let missing = found.missing.join("; ");
        Error::Unavailable(format!("whether there is such a kind is not known: {missing}"))
    };
    kinds_in(namespace, found).find(|entry| entry.name() == name).ok_or(absent)
}
