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

use crate::api::{self, Comment};
use crate::{Id, markdown};
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

pub fn list(directory: &Id, repo: u64, number: u64) -> Result<Vec<Entry<Id>>> {
    let pulls = matches!(directory, Id::PullComments(..));
    if let Some(mut all) = everyones(repo, pulls)? {
        let own = all.threads.remove(&number).map_or_else(Vec::new, |(_, own)| own);
        for silent in all.silent(number) {
            preload::whole(Id::PullComments(repo, silent), Vec::new());
        }
        for (id, comments) in all.threads.into_values() {
            preload::whole(id.clone(), entries(&id, repo, &comments));
        }
        return Ok(entries(directory, repo, &own));
    }
    let request = api::of(repo, &["issues", &number.to_string(), "comments"]);
    let bound = usize::MAX;
    let (comments, _) = api::pages(&request, &[], bound, |page: Vec<Comment>| page)?;
    Ok(entries(directory, repo, &comments))
}

fn entries(directory: &Id, repo: u64, comments: &[Comment]) -> Vec<Entry<Id>> {
    comments.iter().map(|comment| entry(directory, repo, comment)).collect()
}

/// Every comment of a repository.
#[derive(Default)]
struct Everyones {
    /// By the number of their issue or pull request, with its directory.
    threads: BTreeMap<u64, (Id, Vec<Comment>)>,
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
    let bound: u64 = config::parse("comments-bound").unwrap_or(3000);
    let mut all = Everyones::default();
    let mut fits = true;
    let request = api::of(repo, &["issues", "comments"]);
    api::each_page(&request, &[("per_page", "100")], |response| {
        fits = api::last_page(response).is_none_or(|last| last <= bound.div_ceil(100));
        if !fits {
            return Ok(false);
        }
        for comment in response.json::<Vec<Comment>>()? {
            let Some(number) = comment.number() else { continue };
            let directory = match comment.on_pull() {
                true => Id::PullComments(repo, number),
                false => Id::Comments(repo, number),
            };
            let held = all.threads.entry(number);
            held.or_insert_with(|| (directory, Vec::new())).1.push(comment);
        }
        Ok(true)
    })?;
    if fits && pulls {
        all.newest = newest(repo)?;
    }
    Ok(fits.then_some(all))
}

/// The number of the newest issue or pull request.
fn newest(repo: u64) -> Result<u64> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        number: u64,
    }
    let request = api::of(repo, &["issues"]).query("state", "all").query("per_page", 1);
    let newest: Vec<Numbered> = request.json()?;
    Ok(newest.first().map_or(0, |thread| thread.number))
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
    api::of(repo, &["issues", "comments", &id.to_string()]).json()
}
