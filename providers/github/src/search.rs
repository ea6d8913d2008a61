//! GitHub's search among the issues, or the pull requests, of a repository: `_search/QUERY/` with a link for
//! each hit, and `results.tsv` with a line for each.
//!
//! Any query is a directory, and no listing shows one. The index that GitHub searches lags behind its
//! objects. So each open asks, and nothing of an answer is kept as what the objects themselves are.
//! Searches have a rate limit of their own, of 30 within a minute; those in code one of 10.

use crate::api::{self, Repository, Thread, github};
use crate::views::Collection;
use crate::{Id, thread};
use omnifs_sdk::*;
use serde::Deserialize;

pub mod wide;

/// GitHub takes no longer ones ("Limitations on query length").
const LONGEST: usize = 256;

/// A query as it is typed. Names that begin with a dot are those of programs that look for something.
pub fn named(repo: u64, of: Collection, query: &str) -> Result<Entry<Id>> {
    if !is_query(query) {
        return Err(Error::NotFound);
    }
    Ok(Entry::directory(query, Id::Search(repo, of, query.to_owned())))
}

fn is_query(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST && !name.starts_with('.')
}

fn whole_quotes(query: &str) -> Result<()> {
    if query.matches('"').count().is_multiple_of(2) {
        return Ok(());
    }
    Err(Error::Invalid(format!("api: {query:?} has a quote that does not end")))
}

#[derive(Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
struct Answer<T> {
    #[serde(default)]
    total_count: u64,
    #[serde(default)]
    incomplete_results: bool,
    items: Items<T>,
}

/// What was found, and what is to be said of it.
struct Found<T> {
    items: Items<T>,
    note: Option<String>,
}

/// What an answer leaves out.
fn note(total: u64, listed: usize, incomplete: bool) -> Option<String> {
    match (total > listed as u64, incomplete) {
        (true, _) => Some(format!("the best {listed} of {total} hits; a narrower query shows all")),
        (false, true) => Some("GitHub ran out of time and found some".to_owned()),
        (false, false) => None,
    }
}

fn ask(repo: u64, of: Collection, query: &str) -> Result<Found<Thread>> {
    let name = github::repo(repo).json::<Repository>()?.full_name;
    let kind = match of {
        Collection::Issues => "issue",
        Collection::Pulls => "pull-request",
    };
    whole_quotes(query)?;
    // First, where no operator of the query binds them.
    let query = format!("repo:{name} is:{kind} {query}");
    let answer: Answer<Raw<Thread>> = api::first_page(github::search().query("q", query)).json()?;
    let note = note(answer.total_count, answer.items.count(), answer.incomplete_results);
    // A query may name other repositories, too.
    let here = format!("/repos/{name}");
    let is_here = |hit: &Raw<Thread>| {
        let hit = hit.json.value();
        if hit["pull_request"].is_null() != matches!(of, Collection::Issues) {
            return false;
        }
        let url = hit["repository_url"].as_str().unwrap_or_default();
        let from = url.len().saturating_sub(here.len());
        url.get(from..).is_some_and(|end| end.eq_ignore_ascii_case(&here))
    };
    let items = answer.items.flat_map(|hit| is_here(&hit).then(|| hit.into_parts().1));
    Ok(Found { items, note })
}

fn tables(repo: u64, of: Collection, query: &str) -> [Entry<Id>; 2] {
    Form::EACH.map(|form| {
        let id = Id::Results(repo, of, query.to_owned(), form);
        Entry::file(format!("results.{form}"), id)
    })
}

pub fn list(repo: u64, of: Collection, query: &str) -> Result<Listing<Id>> {
    let found = ask(repo, of, query)?;
    let links = found.items.map(|hit| link(repo, of, hit.number));
    let listing = match found.note {
        Some(note) => Listing::partial(links, note),
        None => links.into(),
    };
    Ok(listing.and(tables(repo, of, query)))
}

fn link(repo: u64, of: Collection, number: u64) -> Entry<Id> {
    let target = crate::views::target(2, number);
    Entry::symlink(number.to_string(), Id::Hit(repo, of, number)).content(target)
}

pub fn find(repo: u64, of: Collection, query: &str, name: &str) -> Result<Entry<Id>> {
    if let Some(table) = tables(repo, of, query).into_iter().find(|table| table.name() == name) {
        return Ok(table);
    }
    let number = api::number(name).ok_or(Error::NotFound)?;
    let found = ask(repo, of, query)?.items;
    let hit = found.iter().find(|hit| hit.number == number);
    hit.map(|hit| link(repo, of, hit.number)).ok_or(Error::NotFound)
}

/// The hits as a table, the best first. GitHub says less of a pull request here than elsewhere: it has
/// the columns of an issue.
pub fn results(repo: u64, of: Collection, query: &str, form: Form) -> Result<Content> {
    let found = ask(repo, of, query)?;
    let mut table = Table::new(Collection::Issues.columns());
    found.items.iter().for_each(|hit| table.row(thread::cells(hit, None)));
    table.noting(&found.items);
    found.note.iter().for_each(|note| table.missing(note));
    Ok(table.content(form))
}
