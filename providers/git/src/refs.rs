//! Branches and tags: each shows what its commit does. One answer names all refs, and proves all that was
//! shown of them.

use crate::{Id, commit, service};
use omnifs_gitpack::protocol::Ref;
use omnifs_sdk::poll::{Poll, digest, once};
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// More are not listed; each is found by its name.
const MOST: usize = 20_000;

impl Id {
    /// The directory of the ref with this whole name.
    /// Nothing for a ref of another kind, and for one whose name is too long for an id.
    fn of_ref(path: &str, name: &str) -> Option<Id> {
        let path = path.to_owned();
        let id = if name == "HEAD" {
            Id::Head(path)
        } else if let Some(name) = name.strip_prefix(BRANCHES) {
            Id::Branch(path, name.to_owned())
        } else {
            Id::Tag(path, name.strip_prefix(TAGS)?.to_owned())
        };
        (id.encode().len() <= LONGEST).then_some(id)
    }
}

pub fn branches(path: &str) -> Result<Listing<Id>> {
    list(path, BRANCHES)
}

pub fn tags(path: &str) -> Result<Listing<Id>> {
    list(path, TAGS)
}

fn list(path: &str, prefix: &str) -> Result<Listing<Id>> {
    let (refs, _) = service::refs(path, &[prefix])?;
    let all = refs.len();
    let entry = |one: &Ref| {
        let name = str::from_utf8(&one.name).ok()?;
        let (id, short) = (Id::of_ref(path, name)?, name.strip_prefix(prefix)?);
        Some(Entry::holding(short, id, entries(path, one)))
    };
    let entries: Vec<_> = refs.iter().filter_map(entry).take(MOST).collect();
    if entries.len() == all {
        return Ok(entries.into());
    }
    let note =
        format!("{} of {all}: the first {MOST}, and none whose name is not UTF-8", entries.len());
    Ok(Listing::partial(entries, note))
}

/// What the ref's directory shows.
fn entries(path: &str, one: &Ref) -> Vec<Entry<Id>> {
    let mut entries = commit::entries(path, one.peeled.unwrap_or(one.id));
    if one.peeled.is_some() {
        entries
            .push(Entry::file("annotation", Id::Annotation(path.to_owned(), one.id.to_string())));
    }
    entries
}

fn one(path: &str, name: &str) -> Result<Option<Ref>> {
    // Neither is in a ref's name, and a line end would end the line of the request.
    if name.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Ok(None);
    }
    let (refs, _) = service::refs(path, &[name])?;
    Ok(refs.into_iter().find(|one| one.name == name.as_bytes()))
}

pub fn branch(path: &str, name: &str) -> Result<Entry<Id>> {
    find(path, BRANCHES, name)
}

pub fn tag(path: &str, name: &str) -> Result<Entry<Id>> {
    find(path, TAGS, name)
}

fn find(path: &str, prefix: &str, name: &str) -> Result<Entry<Id>> {
    let full = format!("{prefix}{name}");
    let found = one(path, &full)?.ok_or(Error::NotFound)?;
    let id = Id::of_ref(path, &full).ok_or(Error::NotFound)?;
    Ok(Entry::holding(name, id, entries(path, &found)))
}

pub fn in_branch(path: &str, name: &str) -> Result<Listing<Id>> {
    inside(path, &format!("{BRANCHES}{name}"))
}

pub fn in_tag(path: &str, name: &str) -> Result<Listing<Id>> {
    inside(path, &format!("{TAGS}{name}"))
}

pub fn find_in_branch(path: &str, branch: &str, name: &str) -> Result<Entry<Id>> {
    find_in(path, &format!("{BRANCHES}{branch}"), name)
}

pub fn find_in_tag(path: &str, tag: &str, name: &str) -> Result<Entry<Id>> {
    find_in(path, &format!("{TAGS}{tag}"), name)
}

fn inside(path: &str, full: &str) -> Result<Listing<Id>> {
    Ok(entries(path, &one(path, full)?.ok_or(Error::NotFound)?).into())
}

/// What the directory of a ref shows by a name, `HEAD` or one below these.
pub fn find_in(path: &str, full: &str, name: &str) -> Result<Entry<Id>> {
    // What tools look for in any directory is not asked for.
    if !matches!(name, "annotation" | "commit" | "diff" | "log" | "message" | "tree") {
        return Err(Error::NotFound);
    }
    let one = one(path, full)?.ok_or(Error::NotFound)?;
    let directory = Id::of_ref(path, full).ok_or(Error::NotFound)?;
    // Whoever opens one of them next asks for no ref.
    preload::part(directory, entries(path, &one));
    let listed = entries(path, &one).into_iter().find(|entry| entry.name() == name);
    listed.map_or_else(|| commit::named(path, one.peeled.unwrap_or(one.id), name), Ok)
}

/// Nothing in a repository without a commit.
pub fn in_head(path: &str) -> Result<Listing<Id>> {
    Ok(one(path, "HEAD")?.map(|head| entries(path, &head)).unwrap_or_default().into())
}

pub fn head(path: &str) -> Result<Option<Ref>> {
    one(path, "HEAD")
}

/// Bytes of an id.
const LONGEST: usize = 1024;

/// Refs that a poll names. More of them are a gap.
const NAMED: usize = 1_000;

/// Seconds between two gaps.
const RECHECK: u64 = 3600;

/// So many fit a cursor, each as a sum over the refs whose names have a digest of its number.
const PARTS: usize = 256;

#[derive(Default, Serialize, Deserialize)]
struct Cursor(Vec<u32>);

fn part(name: &[u8]) -> usize {
    (digest::of(&name) % PARTS as u64) as usize
}

fn sums(refs: &[Ref]) -> Vec<u32> {
    let mut sums = vec![0_u32; PARTS];
    for one in refs {
        let content =
            digest::of(&(&one.name, one.id.to_string(), one.peeled.map(|id| id.to_string())));
        let sum = &mut sums[part(&one.name)];
        *sum = sum.wrapping_add((content >> 32) as u32);
    }
    sums
}

pub fn poll(position: &Position, path: &str) -> Result<Progress> {
    let polled = once(position, RECHECK, |poll, cursor| ask(poll, cursor, path));
    let Err(Error::NotFound) = polled else { return polled };
    let mut progress = Progress::default();
    progress.changes.removed([Id::Repo(path.to_owned())]).gap(position.scope.as_str());
    Ok(progress)
}

fn ask(poll: &mut Poll, cursor: &mut Cursor, path: &str) -> Result<()> {
    let (refs, date) = service::refs(path, &["HEAD", BRANCHES, TAGS])?;
    poll.note_time(date);
    let before = std::mem::replace(&mut cursor.0, sums(&refs));
    if !poll.resumed || before.len() != PARTS {
        // No time tells whether a ref moved between the first fetch and now.
        poll.gap();
        return Ok(());
    }
    let moved: Vec<bool> = before.iter().zip(&cursor.0).map(|(was, is)| was != is).collect();
    if !moved.contains(&true) {
        return Ok(());
    }
    let here = || path.to_owned();
    let names = refs.iter().filter(|one| moved[part(&one.name)]);
    let names = names.filter_map(|one| str::from_utf8(&one.name).ok());
    let ids: Vec<Id> = names.filter_map(|name| Id::of_ref(path, name)).collect();
    if ids.len() > NAMED {
        poll.gap();
        return Ok(());
    }
    poll.changes.invalidated(ids.into_iter().chain([Id::Head(here())]));
    // One that is gone is in no answer, so any of them may have lost it.
    poll.changes.children_changed([Id::Branches(here()), Id::Tags(here()), Id::Commits(here())]);
    Ok(())
}

/// Whether a directory on the way has become a repository.
pub fn poll_way(position: &Position, path: &str) -> Result<Progress> {
    once(position, RECHECK, |poll, _: &mut ()| {
        let answer = poll.note(service::info_refs(path).send()?);
        if let Ok(Some(_)) = service::advertised(path, answer) {
            poll.changes.removed([Id::Directory(path.to_owned())]);
            poll.gap();
        }
        Ok(())
    })
}
