//! Comments: who wrote them and when, and their text as it is.

use crate::Id;
use crate::api::{
    Comment, Issue, OfComment, OfComments, OfIssue, Page, ask, ask_all, ask_some, query,
};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Issues whose comments are asked for together.
const TOGETHER: usize = 50;

/// Issues for each page of 250 comments that such a question may take. Where there are more
/// comments, each issue is asked by itself when somebody looks.
const FOR_A_PAGE: usize = 2;

/// Settles which issues of a listing hold all their comments, of which `asked` came along. The rest
/// are asked for many issues at once.
pub fn complete(issues: &mut [Issue], asked: usize) -> Result<()> {
    let mut rest = Vec::new();
    for issue in issues.iter_mut() {
        issue.has_comments = issue.comments.is_whole() && issue.comments.len() < asked;
        if !issue.has_comments {
            rest.push(issue.id.clone());
        }
    }
    let mut found: BTreeMap<String, Vec<Comment>> = BTreeMap::new();
    for ids in rest.chunks(TOGETHER) {
        let variables = json!({ "issues": ids });
        let take = |data: OfComments<Page<Comment>>| data.comments;
        let bound = ids.len().div_ceil(FOR_A_PAGE) * 250;
        let Pages { items, more } = ask_some(query::COMMENTS, variables, bound, take)?;
        // Of which issue a comment is that cannot be read, nobody knows.
        if more || !items.is_whole() {
            continue;
        }
        found.extend(ids.iter().map(|id| (id.clone(), Vec::new())));
        for comment in items.iter() {
            let issue = comment.issue_id.as_deref().and_then(|id| found.get_mut(id));
            if let Some(of_issue) = issue {
                of_issue.push(comment.clone());
            }
        }
    }
    for issue in issues {
        if let Some(comments) = found.remove(&issue.id) {
            issue.comments = comments.into();
            issue.has_comments = true;
        }
    }
    Ok(())
}

/// The entries of an issue that holds its comments.
pub fn entries(issue: &Issue) -> (Id, Listing<Id>) {
    let entries = issue.comments.clone().map(|comment| entry(&issue.id, &comment));
    (Id::Comments(issue.id.clone()), entries.into())
}

fn page(comment: &Comment) -> Content {
    let fields = [
        // Absent where an integration wrote it.
        ("author", json!(comment.user.as_ref().map(|user| &user.display_name))),
        ("created", json!(comment.created_at)),
        ("updated", json!(comment.updated_at)),
        ("url", json!(comment.url)),
    ];
    markdown::page(&fields, &comment.body)
}

fn entry(issue: &str, comment: &Comment) -> Entry<Id> {
    Entry::file(format!("{}.md", comment.id), Id::Comment(comment.id.clone()))
        .content(page(comment))
        .modified(time::rfc3339_ms(&comment.updated_at))
        .part_of(&Id::Issue(issue.to_owned()))
}

pub fn list(issue: &str) -> Result<Listing<Id>> {
    #[derive(Deserialize)]
    struct OfOne {
        trashed: Option<bool>,
        comments: Page<Comment>,
    }
    let gone = std::cell::Cell::new(false);
    let take = |OfIssue { issue: OfOne { trashed, comments } }| {
        gone.set(trashed == Some(true));
        comments
    };
    let comments = ask_all(query::ISSUE_COMMENTS, json!({ "issue": issue }), take)?;
    if gone.get() {
        return Err(Error::NotFound);
    }
    Ok(comments.map(|comment| entry(issue, &comment)).into())
}

pub fn find(issue: &str, name: &str) -> Result<Entry<Id>> {
    let id = name.strip_suffix(".md").ok_or(Error::NotFound)?;
    if id.len() != 36 || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(Error::NotFound);
    }
    let comment = fetch(id)?;
    match comment.issue_id.as_deref() {
        Some(of) if of == issue => Ok(entry(issue, &comment)),
        _ => Err(Error::NotFound),
    }
}

pub fn read(id: &str) -> Result<Content> {
    Ok(page(&fetch(id)?))
}

fn fetch(id: &str) -> Result<Comment> {
    let OfComment { comment } = ask::<OfComment<Comment>>(query::COMMENT, json!({ "id": id }))?;
    if comment.archived_at.is_some() { Err(Error::NotFound) } else { Ok(comment) }
}
