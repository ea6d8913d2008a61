//! Where repositories are. No server tells which there are: the setting `repositories` names those that
//! listings show, and any other is found by its path.

use crate::{Id, service};
use omnifs_sdk::*;
use std::collections::BTreeMap;

/// What `path` is. A name that is no repository may be a directory on the way to one, which no server tells:
/// 404 is what it answers to both, and 401 to those who may not know.
pub fn find(path: &str, name: &str) -> Result<Entry<Id>> {
    if !path.is_empty() && name.starts_with('_') {
        // It would be there if this were a repository, which may be hidden.
        service::repository(path)?;
    }
    let below = join(path, name)?;
    match service::repository(&below) {
        Ok(Some((place, _))) => Ok(Entry::directory(name, Id::Repo(place))),
        Ok(None) | Err(Error::Denied(_)) if leads_on(&below) || may_lead_on(&below, name) => {
            Ok(Entry::directory(name, Id::Directory(below)))
        }
        Ok(None) => Err(Error::NotFound),
        Err(error) => Err(error),
    }
}

/// A repository below a repository, which is a directory to no other.
pub fn find_nested(path: &str, name: &str) -> Result<Entry<Id>> {
    let below = join(path, name)?;
    match service::repository(&below)? {
        Some((place, _)) => Ok(Entry::directory(name, Id::Repo(place))),
        None if leads_on(&below) => Ok(Entry::directory(name, Id::Directory(below))),
        None => Err(Error::NotFound),
    }
}

/// Bytes of the longest path: ids hold it.
const LONGEST: usize = 512;

fn join(path: &str, name: &str) -> Result<String> {
    let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    // What tools look for in any directory, and what a repository's own directory shows.
    let ours =
        name.starts_with("_") || matches!(name, ".git" | ".hg" | ".svn" | ".ignore" | ".gitignore");
    let depth = below.split('/').count();
    let fits = below.len() <= LONGEST && depth <= service::DEEPEST && !name.contains('/');
    if fits && !ours { Ok(below) } else { Err(Error::NotFound) }
}

/// Whether one of the setting lies below.
fn leads_on(path: &str) -> bool {
    configured().iter().any(|known| known.starts_with(&format!("{path}/")))
}

fn may_lead_on(path: &str, name: &str) -> bool {
    path.split('/').count() < service::DEEPEST && !name.starts_with('.')
}

/// The paths of the setting.
fn configured() -> Vec<String> {
    let text = config::get("repositories").unwrap_or_default();
    let paths = text.split([',', ' ', '\n']).map(|path| path.trim_matches('/'));
    paths.filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

/// What of the setting lies in the directory `path`.
pub fn list(path: &str) -> Result<Listing<Id>> {
    let entries = below(path)?;
    if entries.is_empty() && !path.is_empty() && service::repository(path)?.is_none() {
        let note = "no server lists its repositories: name one by its path, or in the setting repositories";
        return Ok(Listing::partial(entries, note));
    }
    let note = "what the setting repositories names; any other is found by its path";
    Ok(Listing::partial(entries, note))
}

/// The same as entries. A repository that cannot be reached is left out, and found by its name.
pub fn below(path: &str) -> Result<Vec<Entry<Id>>> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    // Whether one of the setting ends there.
    let mut names: BTreeMap<String, bool> = BTreeMap::new();
    for known in configured() {
        if let Some(rest) = known.strip_prefix(&prefix) {
            let (name, ends) = rest.split_once('/').map_or((rest, true), |(name, _)| (name, false));
            *names.entry(name.to_owned()).or_default() |= ends;
        }
    }
    let entry = |(name, ends): (String, bool)| {
        let below = format!("{prefix}{name}");
        if !ends {
            return Some(Entry::directory(name, Id::Directory(below)));
        }
        match service::repository(&below) {
            Ok(Some((place, _))) => Some(Entry::directory(name, Id::Repo(place))),
            _ => {
                log::warn(&format!("git: {below:?} of the setting repositories cannot be reached"));
                None
            }
        }
    };
    Ok(names.into_iter().filter_map(entry).collect())
}

/// A repository: what it holds, and those of the setting that lie below it.
pub fn inside(path: &str) -> Result<Listing<Id>> {
    let mut entries: Vec<_> =
        rooms(path).into_iter().map(|(name, id)| Entry::directory(name, id)).collect();
    entries.extend(below(path)?);
    Ok(entries.into())
}

fn rooms(path: &str) -> [(&'static str, Id); 4] {
    let path = || path.to_owned();
    [
        ("_branches", Id::Branches(path())),
        ("_commits", Id::Commits(path())),
        ("_head", Id::Head(path())),
        ("_tags", Id::Tags(path())),
    ]
}

pub fn find_inside(path: &str, name: &str) -> Result<Entry<Id>> {
    let room = rooms(path).into_iter().find(|(room, _)| *room == name);
    room.map_or_else(|| find_nested(path, name), |(name, id)| Ok(Entry::directory(name, id)))
}
