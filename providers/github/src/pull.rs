//! Pull requests, and what of them is asked for by itself: commits, files, diff, patch, checks and
//! reviews.

use crate::api::{self, github};
use crate::thread::Thread;
use crate::{Id, View};
use omnifs_sdk::http::Request;
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A part of a pull request of which GitHub lists no more than so many, and does not say so.
struct Part {
    what: &'static str,
    most: usize,
    /// The member of the pull request's own answer that counts them.
    counted: &'static str,
}

/// docs.github.com, "List commits on a pull request" and "List pull requests files".
const COMMITS: Part = Part { what: "commits", most: 250, counted: "commits" };
const FILES: Part = Part { what: "files", most: 3_000, counted: "changed_files" };

/// The pull requests of a view; nothing where the repository has none.
pub fn pages(repo: u64, view: View) -> Result<Option<Pages<Thread>>> {
    some(repo, github::pulls(repo).query("state", view.state()), api::listing_bound())
}

/// Those that `request` lists, up to a bound.
pub fn some(repo: u64, request: Request, bound: usize) -> Result<Option<Pages<Thread>>> {
    let pulls = api::first_page(request);
    let first = pulls.clone().send()?;
    let Some(first) = api::unless_off(repo, first, "has_pull_requests")? else { return Ok(None) };
    let found = pulls.pages_from(first, &Next::link(api::PAGE), bound, |page: Items<_>| {
        page.map(|answer| Thread::pull(repo, answer))
    })?;
    Ok(Some(found))
}

/// Those that a listing of issues shows. It lacks their branches: they do for links and no more.
pub fn among_issues(repo: u64, request: Request) -> Result<Items<Thread>> {
    let found = api::pages(request, api::listing_bound(), |page: Items<Raw<api::Thread>>| {
        let is_pull = |answer: &Raw<api::Thread>| answer.pull_request.is_some();
        page.flat_map(|answer| is_pull(&answer).then(|| Thread::pull(repo, answer)))
    })?;
    Ok(found.items)
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

impl Part {
    /// A line for each, and one that says where GitHub stops short.
    fn lines<T: DeserializeOwned>(
        &self,
        pull: &Id,
        listing: fn(u64, u64) -> Request,
        line: impl Fn(&T) -> String,
    ) -> Result<Content> {
        let (repo, number) = numbers(pull)?;
        let found = api::pages(listing(repo, number), usize::MAX, |page: Items<T>| page)?.items;
        let listed = found.count();
        let mut text = api::lines_of(found, line);
        if listed >= self.most {
            let pull: Value = github::pull(repo, number).json()?;
            let (what, total) = (self.what, pull[self.counted].as_u64());
            let note = match total {
                Some(total) if total <= listed as u64 => return Ok(text),
                Some(total) => format!("? GitHub lists no more than {listed} of {total} {what}"),
                None => format!("? GitHub lists no more than {listed} {what}"),
            };
            text.0.extend(scalar(note).0);
        }
        Ok(text)
    }
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
    let line = |c: &Commit| format!("{} {}", c.sha, api::subject(&c.commit.message));
    COMMITS.lines(pull, github::commits, line)
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
    FILES.lines(pull, github::files, |file: &File| {
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
    })
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
    let mut checks = api::pages(request, usize::MAX, |page: CheckRuns| page.check_runs)?.items;
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
    let reviews = api::pages(request, usize::MAX, |page: Items<Review>| page)?.items;
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
