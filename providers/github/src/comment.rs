//! Comments of issues and pull requests.
//!
//! A directory of comments is listed by the listing of *all* comments of the repository, 100 a
//! request, which fills the directories of all others too: a walk over every issue and pull request
//! costs as many requests as there are hundreds of comments.
//!
//! A listing of issues says which have no comments; one of pull requests does not. So where a pull
//! request's comments are asked for, one request more tells the newest number there is, and every
//! number up to it that has no comment is known to have none.
//!
//! Where a repository has more comments than `comments-bound`, each issue or pull request with
//! comments costs two requests: a page of the common listing, which says how many there are, and
//! its own. GitHub does not count the first while no comment is made: it is answered by a 304.

use crate::Id;
use crate::api::{self, Comment, github};
use crate::thread::Number;
use omnifs_sdk::*;
use serde_json::json;
use std::collections::BTreeMap;

/// Front matter and body.
fn page(comment: &Comment) -> Content {
    let fields = [
        ("author", json!(comment.user.as_ref().map(|user| &user.login))),
        ("created", json!(comment.created_at)),
        ("updated", json!(comment.updated_at)),
        ("url", json!(comment.html_url)),
    ];
    markdown::page(&fields, &comment.body)
}

fn entry(directory: &Id, repo: u64, comment: &Comment) -> Entry<Id> {
    Entry::file(format!("{}.md", comment.id), Id::Comment(repo, comment.id))
        .content(page(comment))
        .modified(api::ms(&comment.updated_at))
        .part_of(directory)
}

/// A comment as the listing of all shows it. One that cannot be read still names its thread.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Said {
    Comment(Comment),
    Odd { id: u64, issue_url: String, html_url: String },
}

impl Said {
    /// The number of its issue or pull request, and that one's directory of comments.
    fn thread(&self, repo: u64) -> Option<(u64, Id)> {
        let (issue, page) = match self {
            Said::Comment(comment) => (&comment.issue_url, &comment.html_url),
            Said::Odd { issue_url, html_url, .. } => (issue_url, html_url),
        };
        let (number, is_pull) = (api::number_in(issue)?, api::is_of_pull(page));
        Some((number, Number { repo, number, is_pull }.comments()))
    }
}

pub fn list(directory: &Id, repo: u64, number: u64) -> Result<Listing<Id>> {
    let pulls = matches!(directory, Id::PullComments(..));
    let Some(mut all) = everyones(repo, pulls)? else {
        let request = github::comments(repo, number);
        let comments = api::pages(request, usize::MAX, |page: Items<Comment>| page)?.items;
        return Ok(comments.map(|comment| entry(directory, repo, &comment)).into());
    };
    let own = all.threads.remove(&number).map_or_else(Vec::new, |(_, own)| own);
    for silent in all.silent(number) {
        preload::whole(Id::PullComments(repo, silent), Vec::new());
    }
    for (id, said) in all.threads.values() {
        match listing(id, repo, said) {
            (entries, None) => preload::whole(id.clone(), entries),
            // Its own listing says which one is missing.
            (entries, Some(_)) => preload::part(id.clone(), entries),
        }
    }
    let (entries, odd) = listing(directory, repo, &own);
    let listing = match odd {
        Some(odd) => Listing::partial(entries, odd),
        None => entries.into(),
    };
    // Whose thread nobody knows.
    Ok(listing.noting(&all.unknown))
}

/// The entries of a directory, and which comments of it cannot be read.
fn listing(directory: &Id, repo: u64, said: &[Said]) -> (Vec<Entry<Id>>, Option<String>) {
    let (mut entries, mut odd) = (Vec::new(), Vec::new());
    for said in said {
        match said {
            Said::Comment(comment) => entries.push(entry(directory, repo, comment)),
            Said::Odd { id, .. } => odd.push(id.to_string()),
        }
    }
    let note = || format!("left out, since they are not as expected: comments {}", odd.join(", "));
    (entries, (!odd.is_empty()).then(note))
}

/// Every comment of a repository.
#[derive(Default)]
struct Everyones {
    /// By the number of their issue or pull request, with its directory.
    threads: BTreeMap<u64, (Id, Vec<Said>)>,
    /// Those that do not even say that.
    unknown: Items<Said>,
    /// No number beyond this one is known to have no comment.
    newest: u64,
}

/// So many numbers without a comment are offered: far more than a listing shows.
const SILENT: u64 = 20_000;

impl Everyones {
    /// Numbers other than `asked` that have no comment, newest first. Which of them are pull
    /// requests is for the host to know: it keeps what belongs to a directory that it shows.
    fn silent(&self, asked: u64) -> Vec<u64> {
        let oldest = self.newest.saturating_sub(SILENT);
        let numbers = (oldest + 1..=self.newest).rev();
        numbers.filter(|n| *n != asked && !self.threads.contains_key(n)).collect()
    }
}

/// Every comment of the repository, or nothing where there are more than the bound. `pulls`: also
/// which numbers have none.
fn everyones(repo: u64, pulls: bool) -> Result<Option<Everyones>> {
    let bound: usize = config::parse("comments-bound").unwrap_or(3000);
    let request = api::first_page(github::issue(repo, "comments"));
    let first = request.clone().ok()?;
    let most = bound.div_ceil(api::PAGE) as u64;
    if first.last_page().is_some_and(|last| last > most) {
        return Ok(None);
    }
    let found =
        request.pages_from(first, &Next::link(api::PAGE), bound, |page: Items<Said>| page)?;
    if found.more {
        return Ok(None);
    }
    let mut all = Everyones::default();
    all.unknown = found.items.flat_map(|said| {
        if let Some((number, directory)) = said.thread(repo) {
            let held = all.threads.entry(number);
            held.or_insert_with(|| (directory, Vec::new())).1.push(said);
        }
        None
    });
    // Any thread may be that of a comment that does not say which is its.
    if pulls && all.unknown.is_whole() {
        all.newest = newest(repo)?;
    }
    Ok(Some(all))
}

/// The number of the newest issue or pull request.
fn newest(repo: u64) -> Result<u64> {
    let newest = github::issues(repo).query("state", "all").query("per_page", 1);
    api::first_number(&newest.ok()?)
}

pub fn find(directory: &Id, repo: u64, number: u64, name: &str) -> Result<Entry<Id>> {
    let id = name.strip_suffix(".md").and_then(api::number).ok_or(Error::NotFound)?;
    let comment = fetch(repo, id)?;
    if comment.number() == Some(number) {
        Ok(entry(directory, repo, &comment))
    } else {
        Err(Error::NotFound)
    }
}

pub fn read(repo: u64, id: u64) -> Result<Content> {
    Ok(page(&fetch(repo, id)?))
}

fn fetch(repo: u64, id: u64) -> Result<Comment> {
    github::comment(repo, id).json()
}

/// One is new or was edited.
pub fn said(out: &mut Changes, repo: u64, comment: &Comment) {
    let Some(number) = comment.number() else { return };
    out.invalidated([Id::Comment(repo, comment.id)]);
    let is_pull = api::is_of_pull(&comment.html_url);
    out.children_changed([Number { repo, number, is_pull }.comments()]);
}
