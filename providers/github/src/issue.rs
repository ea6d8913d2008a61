//! Issues. GitHub lists pull requests among them, which are left to `_prs`.

use crate::api::{self, github};
use crate::thread::Thread;
use crate::{Id, View};
use omnifs_sdk::*;

pub fn list(repo: u64, view: View) -> Result<Listing<Id>> {
    let issues = api::first_page(github::issues(repo).query("state", view.state()));
    let first = issues.clone().send()?;
    let Some(first) = api::unless_off(repo, first, "has_issues")? else {
        return Ok(api::off("issues"));
    };
    // The bound is one of cost too: where pull requests take up room, fewer issues are listed.
    let bound = api::listing_bound();
    let found = issues.pages_from(first, &Next::link(api::PAGE), bound, |page: Items<_>| {
        let own = |answer: &Raw<api::Thread>| answer.pull_request.is_none();
        page.flat_map(|answer| own(&answer).then(|| Thread::issue(repo, answer)))
    })?;
    Ok(listing(repo, view, found, "newest issues", Id::IssueList))
}

/// The listing of a view. A complete one of everything fills the other two views as well.
pub fn listing(
    repo: u64,
    view: View,
    found: Pages<Thread>,
    what: &str,
    directory: fn(u64, View) -> Id,
) -> Listing<Id> {
    if view == View::All && !found.more {
        for other in [View::Open, View::Closed] {
            let shown = found.items.iter().filter(|thread| other.shows(thread.state()));
            let shown: Vec<_> = shown.map(Thread::bare_entry).collect();
            preload::whole(directory(repo, other), Listing::from(shown).noting(&found.items));
        }
    }
    // Each thread is dropped once its entry holds the bytes.
    api::listing(found, what, |thread| thread.entry())
}

pub fn find(repo: u64, view: View, name: &str) -> Result<Entry<Id>> {
    let number = api::number(name).ok_or(Error::NotFound)?;
    shown(repo, view, &fetch(repo, number)?, Id::IssueList)
}

/// The entry in `view`, offered to the other views that show it.
pub fn shown(
    repo: u64,
    view: View,
    thread: &Thread,
    directory: fn(u64, View) -> Id,
) -> Result<Entry<Id>> {
    for other in View::EACH {
        if other != view && other.shows(thread.state()) {
            preload::part(directory(repo, other), vec![thread.bare_entry()]);
        }
    }
    if view.shows(thread.state()) { Ok(thread.entry()) } else { Err(Error::NotFound) }
}

pub fn fetch(repo: u64, number: u64) -> Result<Thread> {
    let answer: Raw<api::Thread> = github::issue(repo, number).json()?;
    // A transferred issue is answered by what it has become in another repository.
    if answer.number != number || answer.pull_request.is_some() {
        return Err(Error::NotFound);
    }
    Ok(Thread::issue(repo, answer))
}
