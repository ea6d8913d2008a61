//! Commits: their messages, and the history before them.

use crate::{Id, refs, service, tree};
use omnifs_gitpack::object::{Commit, Person, Tag};
use omnifs_gitpack::protocol::Filter;
use omnifs_gitpack::{Kind, Oid};
use omnifs_sdk::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// What a commit's directory shows, and that of a ref which points to it.
pub fn entries(path: &str, commit: Oid) -> Vec<Entry<Id>> {
    let (path, hash) = (|| path.to_owned(), || commit.to_string());
    vec![
        Entry::file("commit", Id::Hash(path(), hash())).content(scalar(commit)),
        Entry::file("log", Id::Log(path(), hash())),
        Entry::file("message", Id::Message(path(), hash())),
        Entry::directory("tree", Id::Tree(path(), hash())),
    ]
}

/// Beside those, what is found by its name only, since it costs what has changed.
pub fn named(path: &str, commit: Oid, name: &str) -> Result<Entry<Id>> {
    let diff = || Entry::file("diff", Id::Diff(path.to_owned(), commit.to_string()));
    let found =
        entries(path, commit).into_iter().chain([diff()]).find(|entry| entry.name() == name);
    found.ok_or(Error::NotFound)
}

/// How many commits `_commits` and a log show.
fn bound() -> u32 {
    config::parse::<u32>("commits").unwrap_or(100).clamp(1, 10_000)
}

/// The newest commits before and with `commit`, in the order of `git log`, and whether there are more.
fn history(path: &str, commit: Oid) -> Result<(Vec<(Oid, Commit)>, bool)> {
    let bound = bound();
    let mut commits = HashMap::new();
    let fetched = service::fetch(path, &[commit], Some(bound), Filter::Trees)?;
    fetched.each(|id, kind, content| {
        if kind == Kind::Commit {
            commits.insert(id, Commit::read(content).map_err(service::error)?);
        }
        Ok(())
    })?;
    let (mut log, mut seen, mut next) = (Vec::new(), HashSet::from([commit]), BinaryHeap::new());
    let key = |commits: &HashMap<Oid, Commit>, id: Oid, at: usize| {
        // Of commits of one time, the one that was met first.
        Some((commits.get(&id)?.committer.time, Reverse(at), id))
    };
    next.extend(key(&commits, commit, 0));
    while let Some((_, _, id)) = next.pop() {
        if log.len() == bound as usize {
            return Ok((log, true));
        }
        // Each is met once.
        let Some(commit) = commits.remove(&id) else { continue };
        for parent in &commit.parents {
            if seen.insert(*parent) {
                next.extend(key(&commits, *parent, seen.len()));
            }
        }
        log.push((id, commit));
    }
    Ok((log, !fetched.shallow.is_empty()))
}

pub fn list(path: &str) -> Result<Listing<Id>> {
    let Some(head) = refs::head(path)? else {
        return Ok(Listing::partial(Vec::new(), "no commit of HEAD, any other can be opened"));
    };
    let (log, _) = history(path, head.peeled.unwrap_or(head.id))?;
    let entry = |(id, commit): &(Oid, Commit)| {
        let mut entries = entries(path, *id);
        let message = Id::Message(path.to_owned(), id.to_string());
        entries.retain(|entry| entry.name() != "message");
        entries.push(Entry::file("message", message).content(document(commit.message.clone())));
        Entry::holding(id.to_string(), Id::Commit(path.to_owned(), id.to_string()), entries)
    };
    let entries: Vec<_> = log.iter().map(entry).collect();
    let note =
        format!("the newest {} of HEAD, any other can be opened by its whole hash", entries.len());
    Ok(Listing::partial(entries, note))
}

/// A commit by its whole hash. The protocol knows no other name of one.
pub fn find(path: &str, name: &str) -> Result<Entry<Id>> {
    let commit = tree::object(path, name, Kind::Commit, Commit::read)?;
    let id = tree::oid(name)?;
    let mut entries = entries(path, id);
    entries.retain(|entry| entry.name() != "message");
    let message = Id::Message(path.to_owned(), name.to_owned());
    entries.push(Entry::file("message", message).content(document(commit.message)));
    Ok(Entry::holding(name, Id::Commit(path.to_owned(), name.to_owned()), entries))
}

pub fn inside(path: &str, id: &str) -> Result<Listing<Id>> {
    Ok(entries(path, tree::oid(id)?).into())
}

pub fn find_inside(path: &str, id: &str, name: &str) -> Result<Entry<Id>> {
    named(path, tree::oid(id)?, name)
}

pub fn message(path: &str, id: &str) -> Result<Content> {
    Ok(document(tree::object(path, id, Kind::Commit, Commit::read)?.message))
}

pub fn annotation(path: &str, id: &str) -> Result<Content> {
    Ok(document(tree::object(path, id, Kind::Tag, Tag::read)?.message))
}

/// As `git log --no-abbrev --date=iso-strict` writes it.
pub fn log(path: &str, id: &str) -> Result<Content> {
    let (log, _) = history(path, tree::oid(id)?)?;
    let texts: Vec<Vec<u8>> = log.iter().map(|(id, commit)| text(*id, commit)).collect();
    Ok(document(texts.join(&b'\n')))
}

fn text(id: Oid, commit: &Commit) -> Vec<u8> {
    let mut out = format!("commit {id}\n").into_bytes();
    if commit.parents.len() > 1 {
        let parents = commit.parents.iter().map(Oid::to_string).collect::<Vec<_>>();
        out.extend(format!("Merge: {}\n", parents.join(" ")).into_bytes());
    }
    out.extend_from_slice(b"Author: ");
    out.extend_from_slice(&commit.author.name);
    out.extend(format!("\nDate:   {}\n", date(&commit.author)).into_bytes());
    let text = commit.message.trim_ascii_end();
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).peekable();
    while lines.next_if(|line| line.is_empty()).is_some() {}
    if lines.peek().is_some() {
        out.push(b'\n');
    }
    for line in lines {
        out.extend_from_slice(b"    ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out
}

/// RFC 3339, in the person's own time.
fn date(person: &Person) -> String {
    let zone = i64::from(person.zone_minutes);
    // Before the epoch and beyond the year 9999 there is nothing to show.
    let local = person.time.saturating_add(zone * 60).clamp(0, 253_402_300_799);
    let utc = time::rfc3339(local.unsigned_abs() * 1000);
    match person.zone_minutes {
        0 => utc,
        zone => {
            let sign = if zone < 0 { '-' } else { '+' };
            let zone = zone.unsigned_abs();
            format!("{}{sign}{:02}:{:02}", utc.trim_end_matches('Z'), zone / 60, zone % 60)
        }
    }
}
