//! Polls. Each compares a crate's file in the index with what it was: all that is shown of the crate is made of it.

use crate::{Id, api};
use omnifs_sdk::poll::{digest, once};
use omnifs_sdk::*;

/// Nothing has to be asked for again.
const NEVER: u64 = u64::MAX / 2;

pub fn poll(position: &Position) -> Result<Progress> {
    let scope = position.scope.as_str();
    let unknown = || Error::Invalid(format!("no feed polls the scope {scope:?}"));
    let name = scope.strip_prefix("crate:").ok_or_else(unknown)?;
    let one = || [Id::Crate(name.to_owned())];
    let polled = once(position, NEVER, |poll, was: &mut u64| {
        let answer = poll.note(api::file(name).ok()?);
        // No time tells whether it was so at the first fetch already.
        if !poll.resumed {
            poll.gap();
        }
        if poll.moved(was, digest::of(&String::from_utf8_lossy(&answer.body)), None) {
            poll.changes.invalidated(one());
        }
        Ok(())
    });
    let Err(Error::NotFound) = polled else { return polled };
    let mut progress = Progress::default();
    progress.changes.removed(one()).children_changed([Id::Root]).gap(scope);
    Ok(progress)
}
