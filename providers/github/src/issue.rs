//! Issues. GitHub lists pull requests among them, which are left to `_prs`.

use crate::View;
use crate::api::{self, github};
use crate::thread::Thread;
use omnifs_sdk::http::Request;
use omnifs_sdk::*;

/// The issues of a view; nothing where the repository has none.
pub fn pages(repo: u64, view: View) -> Result<Option<Pages<Thread>>> {
    let request = github::issues(repo).query("state", view.state());
    // The bound is one of cost too: where pull requests take up room, fewer issues are listed.
    some(repo, request, api::listing_bound())
}

/// Those that `request` lists, up to a bound.
pub fn some(repo: u64, request: Request, bound: usize) -> Result<Option<Pages<Thread>>> {
    let issues = api::first_page(request);
    let first = issues.clone().send()?;
    let Some(first) = api::unless_off(repo, first, "has_issues")? else { return Ok(None) };
    let found = issues.pages_from(first, &Next::link(api::PAGE), bound, |page: Items<_>| {
        let own = |answer: &Raw<api::Thread>| answer.pull_request.is_none();
        page.flat_map(|answer| own(&answer).then(|| Thread::issue(repo, answer)))
    })?;
    Ok(Some(found))
}

pub fn fetch(repo: u64, number: u64) -> Result<Thread> {
    let answer: Raw<api::Thread> = github::issue(repo, number).json()?;
    // A transferred issue is answered by what it has become in another repository.
    if answer.number != number || answer.pull_request.is_some() {
        return Err(Error::NotFound);
    }
    Ok(Thread::issue(repo, answer))
}
