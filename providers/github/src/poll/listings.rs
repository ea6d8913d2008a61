//! Scopes that are compared by the digest of a listing.

use super::Poll;
use super::cursor::digest;
use crate::api::{self, Repository};
use crate::{Id, release, repo};
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    seen: u64,
    walked: u64,
}

/// Ends a poll that saw `values`; whether they differ from the last time's. At the first time,
/// whether `newest`, the time of the last change, is one that the host may have missed.
fn compare(
    mut poll: Poll,
    values: &[Value],
    newest: &str,
    changed: impl FnOnce(&mut Changes),
) -> Result<Progress> {
    let known: Option<Cursor> = poll.held();
    let seen = digest(values);
    let news = match &known {
        Some(known) => known.seen != seen,
        None => newest >= poll.beginning().as_str(),
    };
    if news {
        changed(&mut poll.changes);
    }
    let mut cursor = Cursor { seen, walked: known.map_or(0, |known| known.walked) };
    Ok(poll.done(&mut cursor, |cursor| &mut cursor.walked))
}

pub fn repository(mut poll: Poll, repo: u64) -> Result<Progress> {
    let answer: Raw<Repository> = poll.ask(api::of(repo, &[]))?.json()?;
    let value = api::without(answer.json.clone(), &["temp_clone_token"]);
    compare(poll, &[value], &answer.updated_at, |changes| {
        changes.invalidated([Id::RepoJson(repo)]);
    })
}

pub fn refs(mut poll: Poll, repo: u64) -> Result<Progress> {
    let answer: Repository = poll.ask(api::of(repo, &[]))?.json()?;
    let branches: Value = poll.first_page(api::of(repo, &["branches"]))?;
    let tags: Value = poll.first_page(api::of(repo, &["tags"]))?;
    let names = json!([answer.pushed_at, answer.default_branch]);
    compare(poll, &[names, branches, tags], &answer.pushed_at, |changes| moved(changes, repo))
}

/// Any ref may have moved, appeared or gone.
pub fn moved(changes: &mut Changes, repo: u64) {
    changes.invalidated([Id::Refs(repo)]).invalidated([Id::Head(repo)]);
    changes.invalidated([Id::Readme(repo)]).children_changed([Id::Trees(repo)]);
    changes.children_changed([Id::Branches(repo)]).children_changed([Id::Tags(repo)]);
}

pub fn releases(mut poll: Poll, repo: u64) -> Result<Progress> {
    let releases: Vec<Value> = poll.first_page(api::of(repo, &["releases"]))?;
    let releases: Vec<Value> = releases.into_iter().map(release::stable).collect();
    let time = |release: &Value| release["published_at"].as_str().map(str::to_owned);
    let newest = releases.iter().filter_map(time).max().unwrap_or_default();
    compare(poll, &releases, &newest, |changes| {
        changes.invalidated([Id::Releases(repo)]);
        for release in releases.iter().filter_map(|release| release["id"].as_u64()) {
            changes.invalidated([Id::Release(repo, release)]);
            changes.children_changed([Id::Assets(repo, release)]);
        }
    })
}

/// Which repositories an account has, under which names. Their own changes are not news here.
pub fn owner(mut poll: Poll, owner: Id) -> Result<Progress> {
    let (request, query) = repo::all_of(&owner)?;
    let request = query.iter().fold(request, |r, (name, value)| r.query(name, value));
    let repos: Vec<Repository> = poll.first_page(request.query("sort", "updated"))?;
    let newest = repos.iter().map(|repo| repo.updated_at.clone()).max().unwrap_or_default();
    let mut names: Vec<_> = repos.iter().map(|repo| (repo.id, repo.full_name.clone())).collect();
    names.sort();
    compare(poll, &[json!(names)], &newest, |changes| {
        changes.children_changed([owner]);
    })
}
