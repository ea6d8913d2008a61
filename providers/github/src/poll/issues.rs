//! The scope `issues:{id}`.

use super::Poll;
use super::cursor::Mark;
use crate::api;
use crate::{Id, View};
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    issues: Mark,
    comments: Mark,
    /// The highest number seen: a higher one is new, also where it was transferred here and is old.
    newest: u64,
    walked: u64,
}

/// More changed than this is a gap: asking again is cheaper than hearing of each.
const MOST: usize = 1_000;

pub fn poll(mut poll: Poll, repo: u64) -> Result<Progress> {
    let mut cursor: Cursor = match poll.held() {
        Some(cursor) => cursor,
        None => {
            if poll.position.since == 0 {
                // For its time.
                poll.ask(api::of(repo, &[]))?;
            }
            let mark = Mark { at: poll.beginning(), seen: 0 };
            Cursor { issues: mark.clone(), comments: mark, ..Cursor::default() }
        }
    };
    let from = cursor.issues.at.clone();
    let issues = since(&mut poll, repo, &["issues"], &cursor.issues, &[("state", "all")])?;
    for item in cursor.issues.pass(&issues) {
        let known = cursor.newest;
        cursor.newest = cursor.newest.max(item["number"].as_u64().unwrap_or(0));
        moved(&mut poll.changes, repo, item, known, &from);
    }
    let comments = since(&mut poll, repo, &["issues", "comments"], &cursor.comments, &[])?;
    for item in cursor.comments.pass(&comments) {
        commented(&mut poll.changes, repo, item);
    }
    Ok(poll.done(&mut cursor, |cursor| &mut cursor.walked))
}

/// The items from the mark on, ascending. Each further page asks from the last item on, not for a
/// page number: an item that moves to the end meanwhile would shift another one over the edge of two
/// pages, and it would be missed.
fn since(
    poll: &mut Poll,
    repo: u64,
    path: &[&str],
    mark: &Mark,
    query: &[(&str, &str)],
) -> Result<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    let mut from = mark.at.clone();
    loop {
        let request =
            query.iter().fold(api::of(repo, path), |r, (name, value)| r.query(name, value));
        let request = request.query("sort", "updated").query("direction", "asc");
        let response = poll.ask(request.query("since", &from).query("per_page", api::PAGE))?;
        let page: Vec<Value> = response.json()?;
        let last = page.last().and_then(|item| item["updated_at"].as_str()).map(str::to_owned);
        let full = response.link("next").is_some();
        for item in page {
            match all.iter_mut().find(|known| known["id"] == item["id"]) {
                Some(known) => *known = item,
                None => all.push(item),
            }
        }
        match last {
            Some(last) if full && last > from && all.len() < MOST => from = last,
            Some(_) if full => {
                poll.changes.gap(poll.position.scope.as_str());
                return Ok(all);
            }
            _ => return Ok(all),
        }
    }
}

/// An issue or a pull request changed in some way.
fn moved(changes: &mut Changes, repo: u64, item: &Value, newest: u64, from: &str) {
    let Some(number) = item["number"].as_u64() else { return };
    let closed = item["closed_at"].as_str().is_some_and(|at| at >= from);
    let fresh = number > newest || closed;
    if item.get("pull_request").is_some_and(|pull| !pull.is_null()) {
        changes.invalidated([Id::Pull(repo, number)]);
        changes.children_changed([Id::PullComments(repo, number)]);
        changes.invalidated([Id::Reviews(repo, number)]);
        // Nothing tells that a pull request was reopened.
        if fresh || item["state"] == "open" {
            changes.children_changed(View::EACH.map(|view| Id::PullList(repo, view)));
        }
    } else {
        changes.invalidated([Id::Issue(repo, number)]);
        // A comment that was deleted shows nowhere else.
        changes.children_changed([Id::Comments(repo, number)]);
        if fresh || item["state_reason"] == "reopened" {
            changes.children_changed(View::EACH.map(|view| Id::IssueList(repo, view)));
        }
    }
}

/// A comment is new or was edited.
fn commented(changes: &mut Changes, repo: u64, item: &Value) {
    let Ok(comment) = api::Comment::deserialize(item) else { return };
    let Some(number) = comment.number() else { return };
    let directory = if comment.on_pull() { Id::PullComments } else { Id::Comments };
    changes.invalidated([Id::Comment(repo, comment.id)]);
    changes.children_changed([directory(repo, number)]);
}
