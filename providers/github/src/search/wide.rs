//! GitHub's search in the code and among the commits of a repository, and among all repositories:
//! `_search/{code,commits}/QUERY/` and `_search/repositories/QUERY/`, with links to the files, the trees of the
//! commits, and the repositories.

use super::{Answer, Found, is_query, note, whole_quotes};
use crate::Id;
use crate::api::{self, Account, Repository, github};
use omnifs_sdk::http::Request;
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::{name, *};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// Bytes of the longest target of a link: it is part of an id, which may be three times as long.
const LONGEST_TARGET: usize = 300;

/// What is searched for, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// Files of the default branch, which is all that GitHub has an index of.
    Code(u64),
    Commits(u64),
    Repositories,
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wide::Code(repo) => write!(f, "code-{repo}"),
            Wide::Commits(repo) => write!(f, "commits-{repo}"),
            Wide::Repositories => f.write_str("repositories"),
        }
    }
}

impl FromStr for Wide {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let number = |text: &str| api::number(text).ok_or(());
        match text.split_once('-') {
            Some(("code", repo)) => number(repo).map(Wide::Code),
            Some(("commits", repo)) => number(repo).map(Wide::Commits),
            None if text == "repositories" => Ok(Wide::Repositories),
            _ => Err(()),
        }
    }
}

/// What one search found, as it is shown.
struct Hit {
    name: String,
    /// From the directory of the query.
    target: String,
    cells: Vec<Value>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    sha: String,
    #[serde(default, deserialize_with = "null")]
    html_url: String,
    repository: Repository,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
    commit: Said,
    author: Option<Account>,
    #[serde(default, deserialize_with = "null")]
    html_url: String,
    repository: Repository,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "null")]
    message: String,
    author: Option<Person>,
}

#[derive(Deserialize)]
struct Person {
    #[serde(default, deserialize_with = "null")]
    name: String,
    #[serde(default, deserialize_with = "null")]
    date: String,
}

#[derive(Deserialize)]
struct Named {
    #[serde(flatten)]
    repository: Repository,
    #[serde(default, deserialize_with = "null")]
    description: String,
    #[serde(default, deserialize_with = "null")]
    language: String,
    #[serde(default, deserialize_with = "null")]
    stargazers_count: u64,
    #[serde(default, deserialize_with = "null")]
    archived: bool,
}

impl File {
    fn hit(self) -> Hit {
        let shown: Vec<_> = self.path.split('/').map(name::escape).collect();
        let target = format!("../../../_repo/{}", shown.join("/"));
        let cells = vec![json!(self.path), json!(self.sha), json!(self.html_url)];
        Hit { name: self.path, target, cells }
    }
}

impl Commit {
    fn hit(self) -> Hit {
        let by = self.commit.author.as_ref();
        let login = self.author.map(|account| account.login).filter(|login| !login.is_empty());
        let author = login.or(by.map(|person| person.name.clone()));
        let cells = vec![
            json!(self.sha),
            json!(by.map(|person| &person.date)),
            json!(author),
            json!(api::subject(&self.commit.message)),
            json!(self.html_url),
        ];
        Hit { target: format!("../../../_tree/{}", self.sha), name: self.sha, cells }
    }
}

impl Named {
    fn hit(self) -> Hit {
        let Repository { full_name, .. } = self.repository;
        let cells = vec![
            json!(full_name),
            json!(self.stargazers_count),
            json!(self.language),
            json!(self.archived),
            json!(self.description),
        ];
        Hit { target: format!("../../../{full_name}"), name: full_name, cells }
    }
}

impl Wide {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Wide::Code(_) => &["path", "sha", "url"],
            Wide::Commits(_) => &["sha", "date", "author", "subject", "url"],
            Wide::Repositories => &["repository", "stars", "language", "archived", "description"],
        }
    }

    /// Whether a hit of this name has a link. No search is spent on names that none can have, as those that
    /// programs look for in every directory; where they are hits, the table alone names them.
    fn has_link(self, name: &str) -> bool {
        match self {
            Wide::Code(_) => {
                let is_table = Form::EACH.iter().any(|form| name == format!("results.{form}"));
                !is_table && (name.contains('/') || !name.starts_with('.'))
            }
            Wide::Commits(_) => name.len() >= 40 && name.bytes().all(|b| b.is_ascii_hexdigit()),
            Wide::Repositories => name.matches('/').count() == 1,
        }
    }

    fn ask(self, query: &str) -> Result<Found<Hit>> {
        whole_quotes(query)?;
        match self {
            Wide::Code(repo) => hits(github::search_code(), Some(repo), query, |file: File| {
                (file.repository.id == repo).then(|| file.hit())
            }),
            Wide::Commits(repo) => {
                hits(github::search_commits(), Some(repo), query, |commit: Commit| {
                    (commit.repository.id == repo).then(|| commit.hit())
                })
            }
            Wide::Repositories => {
                hits(github::search_repositories(), None, query, |named: Named| {
                    named.repository.full_name.contains('/').then(|| named.hit())
                })
            }
        }
    }
}

/// The first page of what is found. A query may name other repositories, too: `shown` leaves them out.
fn hits<T: serde::de::DeserializeOwned>(
    request: Request,
    repo: Option<u64>,
    query: &str,
    shown: impl Fn(T) -> Option<Hit>,
) -> Result<Found<Hit>> {
    let query = match repo {
        // First, where no operator of the query binds it.
        Some(repo) => {
            format!("repo:{} {query}", github::repo(repo).json::<Repository>()?.full_name)
        }
        None => query.to_owned(),
    };
    let answer: Answer<T> = api::first_page(request.query("q", query)).json()?;
    let note = note(answer.total_count, answer.items.count(), answer.incomplete_results);
    Ok(Found { items: answer.items.flat_map(shown), note })
}

/// `_search` of a repository, and of the service.
pub fn kinds(repo: Option<u64>) -> Vec<(&'static str, Id)> {
    let of = |name, wide| (name, Id::SearchesOf(wide));
    match repo {
        Some(repo) => vec![of("code", Wide::Code(repo)), of("commits", Wide::Commits(repo))],
        None => vec![of("repositories", Wide::Repositories)],
    }
}

pub fn named(of: Wide, query: &str) -> Result<Entry<Id>> {
    if !is_query(query) {
        return Err(Error::NotFound);
    }
    Ok(Entry::directory(query, Id::SearchOf(of, query.to_owned())))
}

fn tables(of: Wide, query: &str) -> [Entry<Id>; 2] {
    Form::EACH.map(|form| {
        Entry::file(format!("results.{form}"), Id::ResultsOf(of, query.to_owned(), form))
    })
}

fn link(of: Wide, hit: Hit) -> Entry<Id> {
    let target = document(hit.target.clone());
    Entry::symlink(hit.name, Id::HitAt(of, hit.target)).content(target)
}

pub fn list(of: Wide, query: &str) -> Result<Listing<Id>> {
    let found = of.ask(query)?;
    let is_link = |hit: &Hit| of.has_link(&hit.name) && hit.target.len() <= LONGEST_TARGET;
    let links = found.items.flat_map(|hit| is_link(&hit).then(|| link(of, hit)));
    let listing = match found.note {
        Some(note) => Listing::partial(links, note),
        None => links.into(),
    };
    Ok(listing.and(tables(of, query)))
}

pub fn find(of: Wide, query: &str, name: &str) -> Result<Entry<Id>> {
    if let Some(table) = tables(of, query).into_iter().find(|table| table.name() == name) {
        return Ok(table);
    }
    if !of.has_link(name) {
        return Err(Error::NotFound);
    }
    let mut hits = of.ask(query)?.items;
    let at = hits.iter().position(|hit| hit.name == name).ok_or(Error::NotFound)?;
    Ok(link(of, hits.swap_remove(at)))
}

/// The hits as a table, the best first.
pub fn results(of: Wide, query: &str, form: Form) -> Result<Content> {
    let found = of.ask(query)?;
    let mut table = Table::new(of.columns().iter().copied());
    found.items.iter().for_each(|hit| table.row(hit.cells.clone()));
    table.noting(&found.items);
    found.note.iter().for_each(|note| table.missing(note));
    Ok(table.content(form))
}
