//! Linear's search among the issues of a team: `_search/WORDS/` with a link for each hit, and `results.tsv` with
//! a line for each.
//!
//! Any words are a directory, and no listing shows one. Nothing tells when the index that Linear searches has a
//! change. So each open asks, and nothing of an answer is kept as what the issues themselves are.

use crate::api::{Issue, Named, Nodes, Page, ask_some, query};
use crate::{Id, issues, views};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json;

/// Bytes of the longest text that is searched for: a name holds no more.
const LONGEST: usize = 255;

/// A text as it is typed. Names that begin with a dot are those of programs that look for something.
pub fn named(team: &str, term: &str) -> Result<Entry<Id>> {
    let is_one = !term.trim().is_empty() && term.len() <= LONGEST && !term.starts_with('.');
    if !is_one {
        return Err(Error::NotFound);
    }
    Ok(Entry::directory(term, Id::Search(team.to_owned(), term.to_owned())))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    search_issues: Page<Issue>,
    issue_labels: Nodes<Named>,
}

/// The first page of hits, the best first, and whether there are more.
fn hits(team: &str, term: &str) -> Result<Pages<Issue>> {
    let filter = json!({ "team": { "id": { "eq": team } } });
    let variables = json!({ "term": term, "filter": filter, "first": issues::PAGE });
    let mut labels = Items::default();
    let take = |Answer { search_issues, issue_labels }: Answer| {
        labels.append(issue_labels.nodes);
        search_issues
    };
    let Pages { mut items, more } = ask_some(query::SEARCH, variables, issues::PAGE, take)?;
    items.retain(|hit| !hit.is_trashed());
    issues::label(&mut items, &labels)?;
    Ok(Pages { items, more })
}

fn bound(found: &Pages<Issue>) -> String {
    format!("the best {} hits; a narrower search shows all", found.items.len())
}

fn tables(team: &str, term: &str) -> [Entry<Id>; 2] {
    Form::EACH.map(|form| {
        let id = Id::Results(team.to_owned(), term.to_owned(), form);
        Entry::file(format!("results.{form}"), id)
    })
}

fn link(hit: &Issue) -> Entry<Id> {
    let target = views::target(2, &hit.identifier);
    Entry::symlink(&hit.identifier, Id::Hit(hit.identifier.clone())).content(target)
}

pub fn list(team: &str, term: &str) -> Result<Listing<Id>> {
    let found = hits(team, term)?;
    let note = found.more.then(|| bound(&found));
    let links = found.items.map(|hit| link(&hit));
    let listing = match note {
        Some(note) => Listing::partial(links, note),
        None => links.into(),
    };
    Ok(listing.and(tables(team, term)))
}

pub fn find(team: &str, term: &str, name: &str) -> Result<Entry<Id>> {
    if let Some(table) = tables(team, term).into_iter().find(|table| table.name() == name) {
        return Ok(table);
    }
    if !issues::is_identifier(name) {
        return Err(Error::NotFound);
    }
    let found = hits(team, term)?.items;
    found.iter().find(|hit| hit.identifier == name).map(link).ok_or(Error::NotFound)
}

/// The hits as a table, the best first.
pub fn results(team: &str, term: &str, form: Form) -> Result<Content> {
    let found = hits(team, term)?;
    let mut table = issues::rows(&found.items);
    if found.more {
        table.missing(&bound(&found));
    }
    Ok(table.content(form))
}
