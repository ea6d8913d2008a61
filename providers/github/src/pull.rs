//! Pull requests, and what of them is asked for by itself: commits, files, diff, patch, checks and
//! reviews.

use crate::api::{self, github};
use crate::thread::Thread;
use crate::{Id, View, issue};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json;

/// GitHub lists at most 250 commits and 3,000 files of a pull request.
const PARTS: usize = 3_000;

pub fn list(repo: u64, view: View) -> Result<Listing<Id>> {
    let pulls = api::first_page(github::pulls(repo).query("state", view.state()));
    let first = pulls.clone().send()?;
    let Some(first) = api::unless_off(repo, first, "has_pull_requests")? else {
        return Ok(api::off("pull requests"));
    };
    let next = Next::link(api::PAGE);
    let found = pulls.pages_from(first, &next, api::listing_bound(), |page: Items<_>| {
        page.map(|answer| Thread::pull(repo, answer))
    })?;
    Ok(issue::listing(repo, view, found, "newest pull requests", Id::PullList))
}

pub fn find(repo: u64, view: View, name: &str) -> Result<Entry<Id>> {
    let number = api::number(name).ok_or(Error::NotFound)?;
    issue::shown(repo, view, &fetch(repo, number)?, Id::PullList)
}

pub fn fetch(repo: u64, number: u64) -> Result<Thread> {
    let pull = Thread::pull(repo, github::pull(repo, number).json()?);
    if pull.number() == number { Ok(pull) } else { Err(Error::NotFound) }
}

/// The repository and number of a pull request.
fn numbers(pull: &Id) -> Result<(u64, u64)> {
    match pull {
        Id::Pull(repo, number) => Ok((*repo, *number)),
        _ => Err(Error::NotFound),
    }
}

/// `diff` or `patch`: media types of the same names.
pub fn text(pull: &Id, form: &str) -> Result<Content> {
    let (repo, number) = numbers(pull)?;
    let accept = format!("application/vnd.github.{form}");
    let answer = github::pull(repo, number).header("accept", accept).send()?;
    // Not acceptable, says GitHub of a diff beyond its limits.
    if answer.status == 406 { Err(Error::TooLarge) } else { Ok(answer.ok()?.body.into()) }
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
    commit: CommitMessage,
}

#[derive(Deserialize)]
struct CommitMessage {
    #[serde(default, deserialize_with = "null")]
    message: String,
}

/// `SHA SUBJECT`, oldest first.
pub fn commits(pull: &Id) -> Result<Content> {
    let (repo, number) = numbers(pull)?;
    let request = github::commits(repo, number);
    let commits = api::pages(request, PARTS, |page: Items<Commit>| page)?.items;
    Ok(api::lines_of(commits, |c| format!("{} {}", c.sha, api::subject(&c.commit.message))))
}

#[derive(Deserialize)]
struct File {
    filename: String,
    previous_filename: Option<String>,
    #[serde(default, deserialize_with = "null")]
    status: String,
}

/// As `git diff --name-status` writes it.
pub fn files(pull: &Id) -> Result<Content> {
    let (repo, number) = numbers(pull)?;
    let request = github::files(repo, number);
    let files = api::pages(request, PARTS, |page: Items<File>| page)?.items;
    Ok(api::lines_of(files, |file| {
        let letter = match file.status.as_str() {
            "added" => "A",
            "removed" => "D",
            "renamed" => "R",
            "copied" => "C",
            _ => "M",
        };
        match &file.previous_filename {
            Some(previous) => format!("{letter}\t{previous}\t{}", file.filename),
            None => format!("{letter}\t{}", file.filename),
        }
    }))
}

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Items<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    status: String,
    conclusion: Option<String>,
}

/// `CONCLUSION NAME` of the checks of the head commit, or `STATUS NAME` until there is a conclusion,
/// with a tab between.
pub fn checks(pull: &Id) -> Result<Content> {
    let (repo, number) = numbers(pull)?;
    let pull = fetch(repo, number)?;
    let Some(head) = pull.head().filter(|head| !head.is_empty()) else {
        return Ok(Content::default());
    };
    let request = github::check_runs(repo, head);
    let mut checks = api::pages(request, PARTS, |page: CheckRuns| page.check_runs)?.items;
    checks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(api::lines_of(checks, |check| {
        format!("{}\t{}", check.conclusion.as_ref().unwrap_or(&check.status), check.name)
    }))
}

#[derive(Deserialize)]
struct Review {
    id: u64,
    user: Option<api::Account>,
    #[serde(default, deserialize_with = "null")]
    body: String,
    state: String,
    /// Absent while its author has not submitted it.
    submitted_at: Option<String>,
    commit_id: Option<String>,
    #[serde(default, deserialize_with = "null")]
    html_url: String,
}

impl Review {
    fn page(&self) -> Content {
        let fields = [
            ("author", json!(self.user.as_ref().map(|user| &user.login))),
            ("state", json!(self.state.to_ascii_lowercase())),
            ("submitted", json!(self.submitted_at)),
            ("commit", json!(self.commit_id)),
            ("url", json!(self.html_url)),
        ];
        markdown::page(&fields, &self.body)
    }
}

/// Part of the pull request: what changes a review moves it.
pub fn reviews(repo: u64, number: u64) -> Result<Items<Entry<Id>>> {
    let request = github::reviews(repo, number);
    let reviews = api::pages(request, PARTS, |page: Items<Review>| page)?.items;
    Ok(reviews.map(|review| {
        Entry::file(format!("{}.md", review.id), Id::Review(repo, number, review.id))
            .content(review.page())
            .modified(review.submitted_at.as_deref().and_then(api::ms))
            .part_of(&Id::Reviews(repo, number))
    }))
}

pub fn review(repo: u64, number: u64, id: u64) -> Result<Content> {
    Ok(github::review(repo, number, id).json::<Review>()?.page())
}
