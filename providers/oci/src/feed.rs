//! Polls. Each proves all that its scope holds: a list of tags is whole, and a digest names one content.

use crate::{Id, api, repository};
use omnifs_sdk::poll::{Poll, digest, once};
use omnifs_sdk::*;

/// Nothing has to be asked for again.
const NEVER: u64 = u64::MAX / 2;

pub fn poll(position: &Position) -> Result<Progress> {
    let unknown = || Error::Invalid(format!("no feed polls the scope {:?}", position.scope));
    let (kind, of) = position.scope.split_once(':').ok_or_else(unknown)?;
    let (polled, gone, directory) = match kind {
        "tags" => {
            let repo = of.to_owned();
            (once(position, NEVER, |poll, was| tags(poll, was, of)), Id::Repo(repo), Id::Root)
        }
        "tag" => {
            let (repo, tag) = of.rsplit_once(':').ok_or_else(unknown)?;
            let polled = once(position, NEVER, |poll, was| one(poll, was, repo, tag));
            let repo = repo.to_owned();
            (polled, Id::At(repo.clone(), tag.to_owned()), Id::Tags(repo))
        }
        _ => return Err(unknown()),
    };
    let Err(Error::NotFound) = polled else { return polled };
    let mut progress = Progress::default();
    let scope = position.scope.as_str();
    progress.changes.removed([gone]).children_changed([directory]).gap(scope);
    Ok(progress)
}

/// Moves on from what was there. No time tells whether it was so at the first fetch already.
fn moved<T: PartialEq>(poll: &mut Poll, was: &mut T, now: T) -> bool {
    if !poll.resumed {
        poll.gap();
    }
    poll.moved(was, now, None)
}

fn tags(poll: &mut Poll, was: &mut u64, repo: &str) -> Result<()> {
    let first = poll.note(api::tags(repo).ok()?);
    let names = repository::tags_from(first, repo)?;
    let now = digest::sum(names.items.iter().map(digest::of));
    if moved(poll, was, now) {
        poll.changes.children_changed([Id::Tags(repo.to_owned())]);
    }
    Ok(())
}

fn one(poll: &mut Poll, was: &mut String, repo: &str, tag: &str) -> Result<()> {
    let answer = poll.note(api::look(repo, tag).ok()?);
    let named = answer.header("docker-content-digest").or(answer.header("etag"));
    let unnamed = || Error::Invalid("registry: no digest in the answer to HEAD".to_owned());
    let now = named.ok_or_else(unnamed)?.to_owned();
    if moved(poll, was, now) {
        poll.changes.invalidated([Id::At(repo.to_owned(), tag.to_owned())]);
    }
    Ok(())
}
