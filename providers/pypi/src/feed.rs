//! Polls. Each compares a project's page with what it was: all that is shown of the project is made of it. Which archive
//! it names is proven by its digest.

use crate::{Id, api};
use omnifs_sdk::poll::{digest, once};
use omnifs_sdk::*;

/// Nothing has to be asked for again.
const NEVER: u64 = u64::MAX / 2;

pub fn poll(position: &Position) -> Result<Progress> {
    let scope = position.scope.as_str();
    let unknown = || Error::Invalid(format!("no feed polls the scope {scope:?}"));
    let name = scope.strip_prefix("project:").ok_or_else(unknown)?;
    let project = || [Id::Project(name.to_owned())];
    let polled = once(position, NEVER, |poll, was: &mut u64| {
        let page: serde_json::Value = poll.note(api::project(name).ok()?).json()?;
        // No time tells whether it was so at the first fetch already.
        if !poll.resumed {
            poll.gap();
        }
        if poll.moved(was, digest::of(&page["files"]), None) {
            poll.changes.invalidated(project());
        }
        Ok(())
    });
    let Err(Error::NotFound) = polled else { return polled };
    let mut progress = Progress::default();
    progress.changes.removed(project()).children_changed([Id::Root]).gap(scope);
    Ok(progress)
}
