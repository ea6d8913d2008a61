//! Comments of issues and pull requests.
//!
//! A directory of comments is listed by the listing of *all* comments of the repository, 100 a
//! request, which fills the directories of all other issues too: a walk over every issue costs as
//! many requests as there are hundreds of comments. Where a repository has more of them than
//! `comments-bound`, and for pull requests, whose listing does not say which have any, an issue's own
//! comments are asked for.

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
    if let Id::Comments(..) = directory
        && let Some(mut all) = everyones(repo)?
    {
        let own = all.remove(&directory.encode()).map_or_else(Vec::new, |(_, own)| own);
        for (id, comments) in all.into_values() {
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

/// Directories by their encoded id.
type ByDirectory = BTreeMap<String, (Id, Vec<Comment>)>;

/// Every comment of the repository, or nothing where there are more than the bound.
fn everyones(repo: u64) -> Result<Option<ByDirectory>> {
    let bound: u64 = config::parse("comments-bound").unwrap_or(3000);
    let mut all = ByDirectory::new();
    let mut fits = true;
    let request = api::of(repo, &["issues", "comments"]);
    api::each_page(&request, &[("per_page", "100")], |response| {
        fits = api::last_page(response).is_none_or(|last| last <= bound.div_ceil(100));
        if fits {
            for comment in response.json::<Vec<Comment>>()? {
                let Some(number) = comment.number() else { continue };
                let directory = match comment.on_pull() {
                    true => Id::PullComments(repo, number),
                    false => Id::Comments(repo, number),
                };
                let held = all.entry(directory.encode());
                held.or_insert_with(|| (directory, Vec::new())).1.push(comment);
            }
        }
        Ok(fits)
    })?;
    Ok(fits.then_some(all))
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
