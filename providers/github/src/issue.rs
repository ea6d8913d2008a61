//! Issues. GitHub lists pull requests among them, which are left to `_prs`.

use crate::api;
use crate::thread::Thread;
use crate::{Id, View};
use omnifs_sdk::*;

pub fn list(repo: u64, view: View) -> Result<Listing<Id>> {
    let bound = api::listing_bound();
    // The bound is one of cost too: where pull requests take up room, fewer issues are listed.
    let most = bound.div_ceil(api::PAGE);
    let (mut found, mut pages) = (Vec::new(), 0);
    let query = [("state", view.state()), ("per_page", "100")];
    let more = api::each_page(&api::of(repo, &["issues"]), &query, |response| {
        let page: Vec<Raw<api::Thread>> = response.json()?;
        let issues = page.into_iter().filter(|answer| answer.pull_request.is_none());
        found.extend(issues.map(|answer| Thread::issue(repo, answer)));
        pages += 1;
        Ok(found.len() < bound && pages < most)
    })?;
    Ok(listing(repo, view, found, more, bound, "issues", Id::IssueList))
}

/// The listing of a view. A complete one of everything fills the other two views as well.
pub fn listing(
    repo: u64,
    view: View,
    mut found: Vec<Thread>,
    more: bool,
    bound: usize,
    what: &str,
    directory: fn(u64, View) -> Id,
) -> Listing<Id> {
    let more = more || found.len() > bound;
    found.truncate(bound);
    if view == View::All && !more {
        for other in [View::Open, View::Closed] {
            let shown = found.iter().filter(|thread| other.shows(thread.state()));
            preload::whole(
                directory(repo, other),
                shown.map(Thread::bare_entry).collect::<Vec<_>>(),
            );
        }
    }
    // Each thread is dropped once its entry holds the bytes.
    let entries: Vec<_> = found.into_iter().map(|thread| thread.entry()).collect();
    if !more {
        return entries.into();
    }
    let note = api::bound_note(entries.len(), what);
    Listing::partial(entries, note)
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
    let answer: Raw<api::Thread> = api::of(repo, &["issues", &number.to_string()]).json()?;
    // A transferred issue is answered by what it has become in another repository.
    if answer.number != number || answer.pull_request.is_some() {
        return Err(Error::NotFound);
    }
    Ok(Thread::issue(repo, answer))
}
