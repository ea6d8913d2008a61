//! Requests, pages, and the parts of GitHub's answers that several modules read.
//!
//! Every field that GitHub may leave out or send as `null` is optional here: accounts are deleted
//! (`user: null`), bodies are empty, forks vanish.

use crate::Id;
use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::{
    Content, Entry, Error, Items, Listing, Next, Pages, Result, config, content, lines, time,
};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

mod refusal;

omnifs_sdk::routes! {
    /// What is asked of GitHub.
    pub mod github = "api" with super::prepared {
        get user() = "/user",
        get user_orgs() = "/user/orgs",
        get user_repos() = "/user/repos",
        get installation_repos() = "/installation/repositories",
        get search() = "/search/issues",
        get search_code() = "/search/code",
        get search_commits() = "/search/commits",
        get search_repositories() = "/search/repositories",
        get account(login) = "/users/*",
        get account_repos(login) = "/users/*/repos",
        get org_repos(login) = "/orgs/*/repos",
        get named_repo(owner, name) = "/repos/*/*",
        get repo(repo) = "/repositories/*",
        get issues(repo) = "/repositories/*/issues",
        /// One by its number, or all `comments` or `events`.
        get issue(repo, number) = "/repositories/*/issues/*",
        get labels(repo) = "/repositories/*/labels",
        get milestones(repo) = "/repositories/*/milestones",
        get comments(repo, number) = "/repositories/*/issues/*/comments",
        get timeline(repo, number) = "/repositories/*/issues/*/timeline",
        get comment(repo, id) = "/repositories/*/issues/comments/*",
        get pulls(repo) = "/repositories/*/pulls",
        get pull(repo, number) = "/repositories/*/pulls/*",
        get commits(repo, pull) = "/repositories/*/pulls/*/commits",
        get files(repo, pull) = "/repositories/*/pulls/*/files",
        get reviews(repo, pull) = "/repositories/*/pulls/*/reviews",
        get review(repo, pull, id) = "/repositories/*/pulls/*/reviews/*",
        get commit(repo, name) = "/repositories/*/commits/*%2F*",
        get check_runs(repo, commit) = "/repositories/*/commits/*/check-runs",
        get runs(repo) = "/repositories/*/actions/runs",
        get run(repo, id) = "/repositories/*/actions/runs/*",
        get jobs(repo, run) = "/repositories/*/actions/runs/*/jobs",
        get job(repo, id) = "/repositories/*/actions/jobs/*",
        get job_log(repo, id) = "/repositories/*/actions/jobs/*/logs",
        get workflows(repo) = "/repositories/*/actions/workflows",
        get workflow(repo, id) = "/repositories/*/actions/workflows/*",
        get workflow_runs(repo, id) = "/repositories/*/actions/workflows/*/runs",
        get releases(repo) = "/repositories/*/releases",
        get release(repo, id) = "/repositories/*/releases/*",
        get tagged_release(repo, tag) = "/repositories/*/releases/tags/*%2F*",
        get assets(repo, release) = "/repositories/*/releases/*/assets",
        get asset(repo, id) = "/repositories/*/releases/assets/*",
        get branches(repo) = "/repositories/*/branches",
        get branch(repo, name) = "/repositories/*/branches/*%2F*",
        get tags(repo) = "/repositories/*/tags",
        get readme(repo) = "/repositories/*/readme",
        get contents(repo, path) = "/repositories/*/contents/*%2F*",
        get tree(repo, name) = "/repositories/*/git/trees/*%2F*",
        get blob(repo, sha) = "/repositories/*/git/blobs/*",
        get tarball(repo, name) = "/repositories/*/tarball/*%2F*",
    }
}

/// Calendar version of the REST API that the answers are read as.
const VERSION: &str = "2022-11-28";
/// The largest page GitHub gives.
pub const PAGE: usize = 100;

/// With what every request has. Another media type takes the place of this one.
fn prepared(request: Request) -> Request {
    let request = request.judged_by(refusal::judge).header("x-github-api-version", VERSION);
    request.header("accept", "application/vnd.github+json")
}

/// The request for a listing's first page, as large as GitHub makes them.
pub fn first_page(request: Request) -> Request {
    request.query("per_page", PAGE)
}

/// At most `bound` items of a listing. `items` takes them out of a page that wraps them.
pub fn pages<P: DeserializeOwned, T>(
    request: Request,
    bound: usize,
    items: impl FnMut(P) -> Items<T>,
) -> Result<Pages<T>> {
    first_page(request).pages(&Next::link(PAGE), bound, items)
}

/// A listing of what was found, which says where it stops short.
pub fn listing<T>(found: Pages<T>, what: &str, entry: impl FnMut(T) -> Entry<Id>) -> Listing<Id> {
    let entries = found.items.map(entry);
    if !found.more {
        return entries.into();
    }
    let shown = entries.len();
    let note = format!(
        "the {shown} {what} are listed, all can be opened; raise listing-bound to see more"
    );
    Listing::partial(entries, note)
}

/// The first answer of a collection of the repository, or nothing where it is switched off there:
/// GitHub answers 410 or 404 then, and the repository says so itself (`has_issues` as `flag`). Without
/// that such an answer is a failure, and never an empty collection.
pub fn unless_off(repo: u64, answer: Response, flag: &str) -> Result<Option<Response>> {
    let status = answer.status;
    if !matches!(status, 404 | 410) {
        return answer.ok().map(Some);
    }
    // Or the repository is gone.
    let repository: Value = github::repo(repo).json()?;
    if repository[flag] == false {
        return Ok(None);
    }
    let what = flag.trim_start_matches("has_").replace('_', " ");
    let shown = format!("api: {status} for the {what} of a repository that is shown");
    Err(match status {
        404 => Error::Denied(format!("{shown}: the token may not read them")),
        _ => Error::Unavailable(shown),
    })
}

/// A line for each item; of one that cannot be read, what is wrong with it.
pub fn lines_of<T>(items: Items<T>, line: impl Fn(&T) -> String) -> Content {
    let odd = items.odd().iter().filter(|odd| !odd.shown).map(|odd| format!("? {odd}"));
    lines(items.iter().map(line).chain(odd))
}

/// A collection that is switched off.
pub fn off(what: &str) -> Listing<Id> {
    Listing::partial(Vec::new(), format!("{what} are switched off in this repository"))
}

/// The number of the first issue or pull request of an answer; 0 where it has none.
pub fn first_number(answer: &Response) -> Result<u64> {
    let items: Items<Value> = answer.json()?;
    Ok(items.first().and_then(|item| item["number"].as_u64()).unwrap_or(0))
}

/// Of the answers for which GitHub has a status of its own: an unknown ref (422), an empty
/// repository (409).
pub fn known_ref(response: Response) -> Result<Response> {
    if matches!(response.status, 409 | 422) { Err(Error::NotFound) } else { response.ok() }
}

/// How many of the newest entries a listing shows.
pub fn listing_bound() -> usize {
    config::parse("listing-bound").filter(|bound| *bound > 0).unwrap_or(1000)
}

/// `Some(12)` for `12` and nothing else: `012` and `+12` are other names.
pub fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

pub fn ms(time: &str) -> Option<u64> {
    time::rfc3339_ms(time)
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Account {
    #[serde(default, deserialize_with = "null")]
    pub login: String,
    /// `User`, `Organization`, `Bot`. Listings of organizations leave it out.
    #[serde(rename = "type", default, deserialize_with = "null")]
    pub kind: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Repository {
    pub id: u64,
    pub name: String,
    #[serde(default, deserialize_with = "null")]
    pub full_name: String,
    #[serde(default, deserialize_with = "null")]
    pub owner: Account,
    #[serde(default, deserialize_with = "null")]
    pub created_at: String,
    #[serde(default, deserialize_with = "null")]
    pub updated_at: String,
    #[serde(default, deserialize_with = "null")]
    pub pushed_at: String,
    #[serde(default, deserialize_with = "null")]
    pub default_branch: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Milestone {
    pub title: String,
}

/// A label is an object; in old answers just its name.
#[derive(Clone, Debug)]
pub struct Label(String);

impl Label {
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default, deserialize_with = "null")]
            name: String,
        }
        // Its first character says which it is. Serde's own way is to make a tree of it first.
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let name = match text.starts_with('"') {
            true => serde_json::from_str(text),
            false => serde_json::from_str(text).map(|Named { name }| name),
        };
        name.map(Label).map_err(D::Error::custom)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Branch {
    #[serde(rename = "ref", default, deserialize_with = "null")]
    pub name: String,
    #[serde(default, deserialize_with = "null")]
    pub sha: String,
}

impl Thread {
    pub fn author(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.login.as_str())
    }

    pub fn assignees(&self) -> Vec<&str> {
        self.assignees.iter().map(|user| user.login.as_str()).collect()
    }

    pub fn labels(&self) -> Vec<&str> {
        self.labels.iter().map(Label::name).collect()
    }
}

/// What issues and pull requests have in common.
#[derive(Clone, Debug, Deserialize)]
pub struct Thread {
    pub number: u64,
    pub title: String,
    #[serde(default, deserialize_with = "null")]
    pub body: String,
    pub state: String,
    pub user: Option<Account>,
    #[serde(default)]
    pub assignees: Items<Account>,
    #[serde(default)]
    pub labels: Items<Label>,
    pub milestone: Option<Milestone>,
    /// Listings of pull requests leave it out.
    pub comments: Option<u64>,
    pub created_at: String,
    pub updated_at: String,
    pub closed_at: Option<String>,
    #[serde(default, deserialize_with = "null")]
    pub html_url: String,
    /// In listings of issues, for what is a pull request.
    pub pull_request: Option<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "null")]
    pub draft: bool,
    pub merged_at: Option<String>,
    pub base: Option<Branch>,
    pub head: Option<Branch>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Comment {
    pub id: u64,
    #[serde(default, deserialize_with = "null")]
    pub body: String,
    pub user: Option<Account>,
    #[serde(default, deserialize_with = "null")]
    pub created_at: String,
    #[serde(default, deserialize_with = "null")]
    pub updated_at: String,
    pub html_url: String,
    pub issue_url: String,
}

/// The number at the end of a URL of the API.
pub fn number_in(url: &str) -> Option<u64> {
    url.rsplit('/').next()?.parse().ok()
}

/// Whether the page of a comment is that of a pull request, `.../OWNER/NAME/pull/7#issuecomment-9`:
/// nothing else tells. A repository may be called `pull`.
pub fn is_of_pull(page: &str) -> bool {
    let page = page.split('#').next().unwrap_or_default();
    page.rsplit('/').nth(1) == Some("pull")
}

impl Comment {
    /// The number of the issue or pull request.
    pub fn number(&self) -> Option<u64> {
        number_in(&self.issue_url)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    pub id: u64,
    pub name: Option<String>,
    pub status: Option<String>,
    pub conclusion: Option<String>,
    #[serde(default, deserialize_with = "null")]
    pub event: String,
    pub head_branch: Option<String>,
    #[serde(default, deserialize_with = "null")]
    pub head_sha: String,
    pub run_attempt: Option<u64>,
    pub display_title: Option<String>,
    #[serde(default, deserialize_with = "null")]
    pub workflow_id: u64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(default, deserialize_with = "null")]
    pub html_url: String,
}

impl Run {
    pub fn failed(&self) -> bool {
        self.conclusion.as_deref().is_some_and(is_failure)
    }

    pub fn is_over(&self) -> bool {
        self.status.as_deref() == Some("completed")
    }
}

/// Whether a run, a job or a step that ended so went wrong: cancelled ones and skipped ones did not.
pub fn is_failure(conclusion: &str) -> bool {
    matches!(conclusion, "failure" | "timed_out" | "startup_failure")
}

/// The first line of a message.
pub fn subject(message: &str) -> String {
    content::one_line(message.lines().next().unwrap_or_default())
}

/// A label or milestone as whoever carries it shows it.
pub fn named(value: Value) -> Value {
    without(value, &["open_issues", "closed_issues", "updated_at"])
}

/// `value` without these members.
pub fn without(mut value: Value, members: &[&str]) -> Value {
    if let Some(object) = value.as_object_mut() {
        members.iter().for_each(|member| drop(object.remove(*member)));
    }
    value
}
