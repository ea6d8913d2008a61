//! Requests, pages, and the parts of GitHub's answers that several modules read.
//!
//! Every field that GitHub may leave out or send as `null` is optional here: accounts are deleted
//! (`user: null`), bodies are empty, forks vanish.

use omnifs_sdk::http::{Client, Request, Response};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::{Error, Result, config, content, time};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const API: Client = Client::new("api");
const JSON: &str = "application/vnd.github+json";
/// Calendar version of the REST API that the answers are read as.
const VERSION: &str = "2022-11-28";
/// The largest page GitHub gives.
pub const PAGE: usize = 100;
/// Pages beyond this are a server that links in circles.
const PAGES: usize = 1_000;

/// `GET` with the media type `accept`, which is `JSON` where nothing else is asked for.
fn request(segments: &[&str], accept: &str) -> Request {
    API.get(segments).header("accept", accept).header("x-github-api-version", VERSION)
}

pub fn get(segments: &[&str]) -> Request {
    request(segments, JSON)
}

/// A request below `/repositories/{repo}`.
pub fn of(repo: u64, segments: &[&str]) -> Request {
    of_as(repo, segments, JSON)
}

/// The same in another media type.
pub fn of_as(repo: u64, segments: &[&str], accept: &str) -> Request {
    let repo = repo.to_string();
    let mut path = vec!["repositories", repo.as_str()];
    path.extend(segments);
    request(&path, accept)
}

/// Asks page after page, along the `Link` headers, until `take` says that it has enough. Whether the
/// service has more.
pub fn each_page(
    base: &Request,
    query: &[(&str, &str)],
    mut take: impl FnMut(&Response) -> Result<bool>,
) -> Result<bool> {
    let mut pairs: Vec<(String, String)> =
        query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    for _ in 0..PAGES {
        let request =
            pairs.iter().fold(base.clone(), |request, (name, value)| request.query(name, value));
        let response = request.ok()?;
        let next = response.link("next").and_then(query_of);
        match (next, take(&response)?) {
            (None, _) => return Ok(false),
            (Some(_), false) => return Ok(true),
            (Some(next), true) => pairs = next,
        }
    }
    Err(Error::Invalid(format!("api: {} has more than {PAGES} pages", base.path())))
}

/// At most `bound` items, and whether there are more. `items` takes them out of a page.
pub fn pages<P: DeserializeOwned, T>(
    base: &Request,
    query: &[(&str, &str)],
    bound: usize,
    items: impl Fn(P) -> Vec<T>,
) -> Result<(Vec<T>, bool)> {
    let mut found = Vec::new();
    let mut all = vec![("per_page", "100")];
    all.extend(query);
    let more = each_page(base, &all, |response| {
        found.extend(items(response.json()?));
        Ok(found.len() < bound)
    })?;
    let more = more || found.len() > bound;
    found.truncate(bound);
    Ok((found, more))
}

/// The query of a link, decoded. Only the query: its path is the server's, not the endpoint's.
fn query_of(link: &str) -> Option<Vec<(String, String)>> {
    let query = link.split_once('?')?.1;
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (pair, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// The number of the last page, which GitHub names on every page but the last.
pub fn last_page(response: &Response) -> Option<u64> {
    let pairs = query_of(response.link("last")?)?;
    pairs.iter().find(|(name, _)| name == "page")?.1.parse().ok()
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

/// What `omnifs status` says of a listing that stops at the bound.
pub fn bound_note(shown: usize, what: &str) -> String {
    format!(
        "the {shown} newest {what} are listed, all can be opened; raise listing-bound to see more"
    )
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
    #[serde(default)]
    pub login: String,
    /// `User`, `Organization`, `Bot`. Listings of organizations leave it out.
    #[serde(rename = "type", default)]
    pub kind: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Repository {
    pub id: u64,
    pub name: String,
    #[serde(default)]
    pub full_name: String,
    #[serde(default)]
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
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Label {
    Named {
        #[serde(default, deserialize_with = "null")]
        name: String,
    },
    Name(String),
}

impl Label {
    pub fn name(&self) -> &str {
        match self {
            Label::Named { name } | Label::Name(name) => name,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Branch {
    #[serde(rename = "ref", default)]
    pub name: String,
    #[serde(default)]
    pub sha: String,
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
    #[serde(default, deserialize_with = "null")]
    pub assignees: Vec<Account>,
    #[serde(default, deserialize_with = "null")]
    pub labels: Vec<Label>,
    pub milestone: Option<Milestone>,
    /// Listings of pull requests leave it out.
    pub comments: Option<u64>,
    pub created_at: String,
    pub updated_at: String,
    pub closed_at: Option<String>,
    pub html_url: String,
    /// In listings of issues, for what is a pull request.
    pub pull_request: Option<serde::de::IgnoredAny>,
    #[serde(default)]
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
    pub created_at: String,
    pub updated_at: String,
    #[serde(default)]
    pub html_url: String,
    #[serde(default)]
    pub issue_url: String,
}

impl Comment {
    /// The number of the issue or pull request.
    pub fn number(&self) -> Option<u64> {
        self.issue_url.rsplit('/').next()?.parse().ok()
    }

    /// Whether it stands below a pull request: only the page for people tells.
    pub fn on_pull(&self) -> bool {
        self.html_url.contains("/pull/")
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
    #[serde(default)]
    pub workflow_id: u64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(default)]
    pub html_url: String,
}

impl Run {
    pub fn is_over(&self) -> bool {
        self.status.as_deref() == Some("completed")
    }
}

/// The first line of a message.
pub fn subject(message: &str) -> String {
    content::one_line(message.lines().next().unwrap_or_default())
}

/// `value` without these members.
pub fn without(mut value: Value, members: &[&str]) -> Value {
    if let Some(object) = value.as_object_mut() {
        members.iter().for_each(|member| drop(object.remove(*member)));
    }
    value
}
