//! What a repository's issues, or its pull requests, show beside the directories of them: tables, and
//! directories of links by label, assignee, author and milestone.
//!
//! All of it is made of what a listing holds, and offered with it: whoever has listed `_open` pays nothing
//! more for any of it, and whoever reads one of them first has paid for `_open`. Nothing but its listing
//! changes it: it is part of [`Id::Index`], which every event about one of them names.
//!
//! A link leads to the object's own place, `_issues/17`: a walk meets each object once, by whichever
//! way it comes.

use crate::api::{self, Account, github};
use crate::thread::Thread;
use crate::{Id, View, issue, pull};
use omnifs_sdk::*;

/// Issues or pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    Issues,
    Pulls,
}

words!(Collection { Issues = "issues", Pulls = "pulls" });

/// By what the open ones are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Label,
    Assignee,
    Author,
    Milestone,
}

words!(Field { Label = "label", Assignee = "assignee", Author = "author", Milestone = "milestone" });

impl Field {
    const EACH: [Field; 4] = [Field::Label, Field::Assignee, Field::Author, Field::Milestone];

    fn values(self, thread: &Thread) -> Vec<&str> {
        match self {
            Field::Label => thread.labels(),
            Field::Assignee => thread.assignees(),
            Field::Author => thread.author().into_iter().collect(),
            Field::Milestone => thread.milestone().into_iter().collect(),
        }
    }
}

impl Collection {
    /// The directory of the directories.
    pub fn directory(self, repo: u64) -> Id {
        (if self == Collection::Issues { Id::Issues } else { Id::Pulls })(repo)
    }

    pub fn list(self, repo: u64, view: View) -> Id {
        (if self == Collection::Issues { Id::IssueList } else { Id::PullList })(repo, view)
    }

    pub fn plural(self) -> &'static str {
        match self {
            Collection::Issues => "issues",
            Collection::Pulls => "pull requests",
        }
    }

    /// What that directory shows. The tables of the two other directories are found by name alone: who asks
    /// for the size of one, as `ls -l` does of all, has it listed.
    pub fn entries(self, repo: u64) -> Vec<(&'static str, Id)> {
        let list = |view| self.list(repo, view);
        let table = |form| Id::Overview(repo, self, View::Open, form);
        let by = |field| Id::By(repo, self, field);
        vec![
            ("_open", list(View::Open)),
            ("_closed", list(View::Closed)),
            ("_all", list(View::All)),
            ("_open.tsv", table(Form::Tsv)),
            ("_open.jsonl", table(Form::Jsonl)),
            ("_by-label", by(Field::Label)),
            ("_by-assignee", by(Field::Assignee)),
            ("_by-author", by(Field::Author)),
            ("_by-milestone", by(Field::Milestone)),
            ("_mine", Id::Mine(repo, self)),
            ("_recent", Id::Recent(repo, self)),
            ("_search", Id::Searches(repo, self)),
        ]
    }

    /// The listing of a view; nothing where the repository has none of the kind.
    fn fetch(self, repo: u64, view: View) -> Result<Option<Pages<Thread>>> {
        match self {
            Collection::Issues => issue::pages(repo, view),
            Collection::Pulls => pull::pages(repo, view),
        }
    }

    fn fetch_one(self, repo: u64, number: u64) -> Result<Thread> {
        match self {
            Collection::Issues => issue::fetch(repo, number),
            Collection::Pulls => pull::fetch(repo, number),
        }
    }

    /// The columns of its table: what a [`Thread::cells`] has.
    pub fn columns(self) -> impl Iterator<Item = &'static str> {
        let columns: &[&str] = match self {
            Collection::Issues => {
                &["number", "state", "updated", "author", "assignees", "labels", "title"]
            }
            Collection::Pulls => &[
                "number",
                "state",
                "draft",
                "merged",
                "updated",
                "author",
                "assignees",
                "labels",
                "base",
                "head",
                "closes",
                "title",
            ],
        };
        columns.iter().copied()
    }
}

/// One of the three directories.
pub fn list(repo: u64, of: Collection, view: View) -> Result<Listing<Id>> {
    let Some(found) = of.fetch(repo, view)? else { return Ok(api::off(of.plural())) };
    offer(repo, of, view, &found);
    Ok(listing(of, found))
}

fn listing(of: Collection, found: Pages<Thread>) -> Listing<Id> {
    let what = format!("newest {}", of.plural());
    // Each thread is dropped once its entry holds the bytes.
    api::listing(found, &what, |thread| thread.entry())
}

/// A table that is not listed, or an object by its number.
pub fn beside(repo: u64, of: Collection, name: &str) -> Result<Entry<Id>> {
    for view in [View::Closed, View::All] {
        for form in Form::EACH {
            if name == format!("_{view}.{form}") {
                return Ok(Entry::file(name, Id::Overview(repo, of, view, form)));
            }
        }
    }
    find(repo, of, None, name)
}

/// An object by its number: in a view, or in the directory above.
pub fn find(repo: u64, of: Collection, view: Option<View>, name: &str) -> Result<Entry<Id>> {
    let number = api::number(name).ok_or(Error::NotFound)?;
    let thread = of.fetch_one(repo, number)?;
    for other in View::EACH.into_iter().filter(|other| Some(*other) != view) {
        if other.shows(thread.state()) {
            preload::part(of.list(repo, other), vec![thread.bare_entry()]);
        }
    }
    if view.is_some() {
        preload::part(of.directory(repo), vec![thread.bare_entry()]);
    }
    match view {
        Some(view) if !view.shows(thread.state()) => Err(Error::NotFound),
        _ => Ok(thread.entry()),
    }
}

/// Everything that the listing of `view` tells of other directories. A complete one of all tells of the
/// other two views as well.
fn offer(repo: u64, of: Collection, view: View, found: &Pages<Thread>) {
    let shown = |view: View| found.items.iter().filter(move |thread| view.shows(thread.state()));
    let whole = view == View::All && !found.more;
    let told = if whole { &View::EACH[..] } else { std::slice::from_ref(&view) };
    let few = found.items.len() <= Groups::<Thread>::MOST_OFFERED;
    let mut beside: Vec<Entry<Id>> = Vec::new();
    for view in told.iter().copied() {
        let table = table_of(of, shown(view), found);
        let id = |form| Id::Overview(repo, of, view, form);
        beside.extend(table.entries(&format!("_{view}"), id));
    }
    let open = few && told.contains(&View::Open);
    if open {
        let by = |field| Entry::directory(format!("_by-{field}"), Id::By(repo, of, field));
        beside.extend(Field::EACH.map(by));
    }
    beside.extend(found.items.iter().filter(|_| few).map(Thread::bare_entry));
    preload::part(of.directory(repo), beside);
    for other in told.iter().filter(|other| **other != view) {
        let entries: Vec<_> = shown(*other).map(Thread::bare_entry).collect();
        preload::whole(of.list(repo, *other), Listing::from(entries).noting(&found.items));
    }
    for field in Field::EACH.into_iter().filter(|_| open) {
        let groups = Groups::new(shown(View::Open), |thread| field.values(thread));
        preload::whole(Id::By(repo, of, field), directories(repo, of, field, &groups, found));
        for (value, threads) in groups.shown() {
            let id = Id::With(repo, of, field, value.to_owned());
            preload::whole(id, bounded(of, links(threads, 2), found));
        }
    }
}

fn table_of<'a>(
    of: Collection,
    threads: impl Iterator<Item = &'a Thread>,
    found: &Pages<Thread>,
) -> Table {
    let mut table = Table::new(of.columns());
    threads.for_each(|thread| table.row(thread.cells()));
    table.noting(&found.items);
    if found.more {
        table.missing(&bound(of, found));
    }
    table
}

/// What a view says that is made of a listing which stops short.
fn bound(of: Collection, found: &Pages<Thread>) -> String {
    let (shown, of) = (found.items.len(), of.plural());
    format!("of the {shown} newest {of}; raise listing-bound to see more")
}

fn bounded(of: Collection, listing: impl Into<Listing<Id>>, found: &Pages<Thread>) -> Listing<Id> {
    let listing =
        if found.more { Listing::partial(listing, bound(of, found)) } else { listing.into() };
    listing.noting(&found.items)
}

/// The directories of a field.
fn directories(
    repo: u64,
    of: Collection,
    field: Field,
    groups: &Groups<'_, Thread>,
    found: &Pages<Thread>,
) -> Listing<Id> {
    bounded(of, groups.directories(|value| Id::With(repo, of, field, value)), found)
}

/// Links from so many levels below the directory of the objects.
fn links(threads: &[&Thread], levels: u8) -> Vec<Entry<Id>> {
    threads.iter().map(|thread| link(thread, levels)).collect()
}

fn link(thread: &Thread, levels: u8) -> Entry<Id> {
    let which = thread.which();
    let id = Id::Pointer(which.repo, which.collection(), levels, which.number);
    Entry::symlink(which.number.to_string(), id)
        .content(target(levels, which.number))
        .modified(thread.modified())
        .part_of(&thread.id())
}

pub fn target(levels: u8, number: u64) -> Content {
    document(format!("{}{number}", "../".repeat(levels.into())))
}

/// Has `make` look at the listing of the open ones, which fills `_open` too.
fn over_open<T>(
    repo: u64,
    of: Collection,
    make: impl FnOnce(&Pages<Thread>) -> Result<T>,
) -> Result<T> {
    let Some(found) = of.fetch(repo, View::Open)? else {
        return make(&Pages { items: Items::default(), more: false });
    };
    let made = make(&found);
    give(repo, of, View::Open, found);
    made
}

/// Hands the host the listing that something else was asked for with.
fn give(repo: u64, of: Collection, view: View, found: Pages<Thread>) {
    offer(repo, of, view, &found);
    preload::whole(of.list(repo, view), listing(of, found));
}

/// `_by-label` and the like.
pub fn by(repo: u64, of: Collection, field: Field) -> Result<Listing<Id>> {
    over_open(repo, of, |found| {
        let groups = Groups::new(found.items.iter(), |thread| field.values(thread));
        Ok(directories(repo, of, field, &groups, found))
    })
}

/// `_by-label/bug`.
pub fn with(repo: u64, of: Collection, field: Field, value: &str) -> Result<Listing<Id>> {
    over_open(repo, of, |found| {
        let groups = Groups::new(found.items.iter(), |thread| field.values(thread));
        Ok(bounded(of, links(groups.of(value), 2), found))
    })
}

/// `_open.tsv` and the like.
pub fn overview(repo: u64, of: Collection, view: View, form: Form) -> Result<Content> {
    let Some(found) = of.fetch(repo, view)? else {
        let mut table = Table::new(of.columns());
        table.missing(&format!("{} are switched off in this repository", of.plural()));
        return Ok(table.content(form));
    };
    let shown = found.items.iter().filter(|thread| view.shows(thread.state()));
    let content = table_of(of, shown, &found).content(form);
    give(repo, of, view, found);
    Ok(content)
}

/// The hundred that changed last, whatever their state.
pub fn recent(repo: u64, of: Collection) -> Result<Listing<Id>> {
    let newest = |request: http::Request| {
        let request = request.query("state", "all").query("sort", "updated");
        request.query("direction", "desc")
    };
    let found = match of {
        Collection::Issues => issue::some(repo, newest(github::issues(repo)), api::PAGE)?,
        Collection::Pulls => pull::some(repo, newest(github::pulls(repo)), api::PAGE)?,
    };
    let found = found.map_or_else(Items::default, |found| found.items);
    Ok(linked(repo, of, View::All, found, None))
}

/// What is open and the user's: issues by assignee, pull requests by author.
pub fn mine(repo: u64, of: Collection) -> Result<Listing<Id>> {
    let user = github::user().send()?;
    if user.status == 403 && !user.is_throttled() {
        return Ok(Listing::partial(Vec::new(), "the token stands for no user".to_owned()));
    }
    let login = user.ok()?.json::<Account>()?.login;
    let open = github::issues(repo).query("state", "open");
    match of {
        Collection::Issues => {
            let request = open.query("assignee", login);
            let Some(found) = issue::some(repo, request, api::listing_bound())? else {
                return Ok(Vec::new().into());
            };
            let note = found.more.then(|| bound(of, &found));
            Ok(linked(repo, of, View::Open, found.items, note))
        }
        Collection::Pulls => {
            let request = open.query("creator", login);
            let found = pull::among_issues(repo, request)?;
            Ok(found.map(|thread| link(&thread, 1)).into())
        }
    }
}

/// Links to what was found, which is offered where it belongs. `note` says where that stops short.
fn linked(
    repo: u64,
    of: Collection,
    view: View,
    found: Items<Thread>,
    note: Option<String>,
) -> Listing<Id> {
    preload::part(of.directory(repo), found.iter().map(Thread::entry).collect());
    preload::part(of.list(repo, view), found.iter().map(Thread::bare_entry).collect());
    let links = found.map(|thread| link(&thread, 1));
    match note {
        Some(note) => Listing::partial(links, note),
        None => links.into(),
    }
}
