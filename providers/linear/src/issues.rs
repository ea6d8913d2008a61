//! Directories of issues.

use crate::Id;
use crate::api::{Issue, Named, Nodes, OfIssue, OfLabels, Page, Person, ask, ask_first, query};
use crate::{comment, views};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Linear's own default page: with all leaves 1,300 to 1,600 of the 10,000 points of a query.
pub const PAGE: usize = 50;

/// Comments of each issue that come along in a listing, less one: as many as were asked for may
/// not be all.
pub const INLINE: usize = 5;

/// The same for an issue by itself.
const SINGLE: usize = 20;

/// Types of states in which nothing is left to do.
const CLOSED: [&str; 3] = ["completed", "canceled", "duplicate"];

/// What a directory asks for. Linear leaves out what is archived unless asked.
fn filter(directory: &Id) -> Value {
    match directory {
        Id::Open(team) => {
            json!({ "team": { "id": { "eq": team } }, "state": { "type": { "nin": CLOSED } } })
        }
        Id::All(team) => json!({ "team": { "id": { "eq": team } } }),
        Id::InState(state) => json!({ "state": { "id": { "eq": state } } }),
        Id::Assigned => json!({ "assignee": { "isMe": { "eq": true } } }),
        Id::Created => json!({ "creator": { "isMe": { "eq": true } } }),
        other => unreachable!("{other:?} is no directory of issues"),
    }
}

/// Whether the directory shows the issue. `_all` finds an archived issue by its name, though it
/// does not list it.
fn shows(directory: &Id, issue: &Issue) -> bool {
    let mine = |person: &Option<Person>| person.as_ref().is_some_and(|who| who.is_me);
    let archived = issue.archived_at.is_some();
    match directory {
        Id::Open(team) => {
            issue.team.id == *team && !CLOSED.contains(&issue.state.kind.as_str()) && !archived
        }
        Id::All(team) => issue.team.id == *team,
        Id::InState(state) => issue.state.id == *state && !archived,
        Id::Assigned => mine(&issue.assignee) && !archived,
        Id::Created => mine(&issue.creator) && !archived,
        _ => false,
    }
}

pub fn list(directory: &Id) -> Result<Listing<Id>> {
    let found = all_of(directory)?;
    offer(directory, &found);
    Ok(listing(found))
}

/// The issues of a directory as one file, with the directory offered.
pub fn table(directory: &Id, form: Form) -> Result<Content> {
    over(directory, |found| table_of(found).content(form))
}

/// What `make` makes of the issues of a directory, with the directory offered.
pub fn over<T>(directory: &Id, make: impl FnOnce(&Pages<Issue>) -> T) -> Result<T> {
    let found = all_of(directory)?;
    let made = make(&found);
    offer(directory, &found);
    preload::whole(directory.clone(), listing(found));
    Ok(made)
}

/// The issues of a directory with their labels and comments.
fn all_of(directory: &Id) -> Result<Pages<Issue>> {
    let bound = config::parse::<usize>("listing-bound").unwrap_or(1000).max(1);
    let mut variables = json!({ "filter": filter(directory), "comments": INLINE });
    variables["first"] = json!(bound.min(PAGE));
    let mut labels = Items::default();
    let take = |First { issues, issue_labels }: First| {
        labels.append(issue_labels.map(|labels| labels.nodes).unwrap_or_default());
        issues
    };
    let Pages { items: mut issues, more } =
        ask_first([query::ISSUES, query::MORE_ISSUES], variables, bound, take)?;
    // One that was updated between two pages moves to the front; it may be there twice.
    let mut seen = BTreeSet::new();
    issues.retain(|issue| !issue.is_trashed() && seen.insert(issue.id.clone()));
    label(&mut issues, &labels)?;
    comment::complete(&mut issues, INLINE)?;
    Ok(Pages { items: issues, more })
}

fn bound(shown: usize) -> String {
    format!("the {shown} most recently updated issues; listing-bound shows more")
}

/// What is made of a listing which may stop short.
pub fn bounded(shown: impl Into<Listing<Id>>, found: &Pages<Issue>) -> Listing<Id> {
    let listing = match found.more {
        true => Listing::partial(shown, bound(found.items.len())),
        false => shown.into(),
    };
    listing.noting(&found.items)
}

fn listing(found: Pages<Issue>) -> Listing<Id> {
    let shown = found.items.len();
    let entries = found.items.map(|issue| Entry::object(&issue.identifier, &issue));
    if found.more { Listing::partial(entries, bound(shown)) } else { entries.into() }
}

/// The tables, the issues beside them and the views that the listing of a team's directory holds as well.
fn offer(directory: &Id, found: &Pages<Issue>) {
    let table = |name: &str, team: &String, id: fn(String, Form) -> Id| {
        let mut beside = Vec::from(table_of(found).entries(name, |form| id(team.clone(), form)));
        let bare = |issue: &Issue| {
            Entry::directory(&issue.identifier, issue.id()).modified(issue.modified())
        };
        beside.extend(found.items.iter().map(bare));
        preload::part(Id::TeamIssues(team.clone()), beside);
    };
    match directory {
        Id::Open(team) => {
            table("_open", team, Id::OpenTable);
            views::offer(team, found);
        }
        Id::All(team) => table("_all", team, Id::AllTable),
        _ => {}
    }
}

/// Columns of the tables.
const COLUMNS: [&str; 10] = [
    "id", "state", "priority", "updated", "creator", "assignee", "labels", "cycle", "project",
    "title",
];

fn table_of(found: &Pages<Issue>) -> Table {
    let mut table = rows(&found.items);
    if found.more {
        table.missing(&bound(found.items.len()));
    }
    table
}

/// A table of issues.
pub fn rows(issues: &Items<Issue>) -> Table {
    let mut table = Table::new(COLUMNS);
    for issue in issues.iter() {
        let person = |person: &Option<Person>| json!(person.as_ref().map(|p| &p.display_name));
        let labels: Vec<_> = issue.labels.iter().map(|label| &label.name).collect();
        table.row([
            json!(issue.identifier),
            json!(issue.state.name),
            json!(issue.priority_label),
            json!(issue.updated_at),
            person(&issue.creator),
            person(&issue.assignee),
            json!(labels),
            json!(issue.cycle.as_ref().map(|cycle| cycle.number as i64)),
            json!(issue.project.as_ref().map(|project| &project.name)),
            json!(issue.title),
        ]);
    }
    table.noting(issues);
    table
}

/// A page of a directory and, on the first one, the names of the workspace's first 250 labels.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct First {
    issues: Page<Issue>,
    issue_labels: Option<Nodes<Named>>,
}

/// Whether the name can be that of an issue.
pub fn is_identifier(name: &str) -> bool {
    let Some((key, number)) = name.rsplit_once('-') else { return false };
    let word = |text: &str, valid: fn(&u8) -> bool| {
        (1..=32).contains(&text.len()) && text.bytes().all(|byte| valid(&byte))
    };
    word(key, u8::is_ascii_alphanumeric) && word(number, u8::is_ascii_digit)
}

/// One request; what cannot be an identifier is not asked for.
pub fn find(directory: &Id, name: &str) -> Result<Entry<Id>> {
    if !is_identifier(name) {
        return Err(Error::NotFound);
    }
    let issue = fetch(name)?;
    // A former identifier leads to the issue too; there it is another name, and so not found.
    if !shows(directory, &issue) {
        return Err(Error::NotFound);
    }
    Ok(Entry::object(&issue.identifier, &issue))
}

/// An issue by its UUID or identifier. What is in the trash is gone.
pub fn fetch(id: &str) -> Result<Issue> {
    let variables = json!({ "id": id, "comments": SINGLE });
    let OfIssue { issue } = ask::<OfIssue<Issue>>(query::ISSUE, variables)?;
    if issue.is_trashed() {
        return Err(Error::NotFound);
    }
    let mut issues = [issue];
    label(&mut issues, &[])?;
    let [mut issue] = issues;
    issue.has_comments = issue.comments.is_whole() && issue.comments.len() < SINGLE;
    Ok(issue)
}

/// Gives every issue the names of its labels: those it has, those that are `known`, and one more
/// request for each 250 that are not. A label whose name cannot be read shows as its id.
pub fn label(issues: &mut [Issue], known: &[Named]) -> Result<()> {
    let own = issues.iter().flat_map(|issue| issue.labels.iter());
    let mut names: BTreeMap<String, String> =
        own.chain(known).map(|label| (label.id.clone(), label.name.clone())).collect();
    let missing: BTreeSet<&String> = issues
        .iter()
        .flat_map(|issue| &issue.label_ids)
        .filter(|id| !names.contains_key(*id))
        .collect();
    let missing: Vec<String> = missing.into_iter().cloned().collect();
    // What is not found at all is a label that was deleted meanwhile.
    let mut unreadable = false;
    for ids in missing.chunks(250) {
        let found: OfLabels<Nodes<Named>> = ask(query::LABELS, json!({ "ids": ids }))?;
        let found = found.issue_labels.nodes;
        unreadable |= !found.is_whole();
        names.extend(found.iter().map(|label| (label.id.clone(), label.name.clone())));
    }
    for issue in issues {
        let named = |id: &String| {
            let name = names.get(id).or(unreadable.then_some(id))?;
            Some(Named { id: id.clone(), name: name.clone() })
        };
        let mut labels: Vec<Named> = issue.label_ids.iter().filter_map(named).collect();
        labels.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        issue.labels = labels.into();
    }
    Ok(())
}
