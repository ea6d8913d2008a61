//! Polls. Each is a HEAD of a package's document in the form that is shown, whose entity tag is another one whenever any
//! of its versions, tags or manifests is. A registry that gives none proves nothing.

use crate::{Id, api};
use omnifs_sdk::poll::once;
use omnifs_sdk::*;

/// Nothing has to be asked for again.
const NEVER: u64 = u64::MAX / 2;

pub fn poll(position: &Position) -> Result<Progress> {
    let scope = position.scope.as_str();
    let unknown = || Error::Invalid(format!("no feed polls the scope {scope:?}"));
    let name = scope.strip_prefix("package:").ok_or_else(unknown)?;
    let package = || [Id::Package(name.to_owned())];
    let polled = once(position, NEVER, |poll, was: &mut String| {
        let answer = poll.note(api::look(name).ok()?);
        let none = || Error::Invalid("registry: no entity tag in the answer to HEAD".to_owned());
        let now = answer.header("etag").ok_or_else(none)?.to_owned();
        // No time tells whether it was so at the first fetch already.
        if !poll.resumed {
            poll.gap();
        }
        if poll.moved(was, now, None) {
            poll.changes.invalidated(package());
        }
        Ok(())
    });
    let Err(Error::NotFound) = polled else { return polled };
    let mut progress = Progress::default();
    progress.changes.removed(package()).children_changed([Id::Root]).gap(scope);
    Ok(progress)
}
