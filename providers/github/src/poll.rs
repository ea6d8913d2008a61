//! Polling: what changed in a scope since the last time, by requests that GitHub answers with 304
//! while nothing did.
//!
//! Issues, comments and runs are asked for from a *mark* on: the newest `updated_at` seen, and a
//! digest of the items that have it. GitHub counts whole seconds and a `since` includes its own, so the
//! same request comes again until something changes, and a second change within the second shows
//! in the digest. Repositories, releases and refs are compared by the digest of one listing.
//!
//! What no such query shows is a deletion, a transfer, and whatever lies beyond the first page. Once
//! an hour, by GitHub's clock, the scope is therefore reported as a gap: what is cached is asked again
//! at its next use, and what is gone answers 404, 410 or 301.
//!
//! | scope | requests of one poll |
//! |---|---|
//! | `issues:{id}` | issues and comments since their marks: 2 |
//! | `actions:{id}` | the newest 100 runs, the workflows: 2 |
//! | `refs:{id}` | the repository, its first 100 branches and tags: 3 |
//! | `releases:{id}`, `repo:{id}` | 1 |
//! | `owner:{kind}/{login}` | the 100 repositories changed last: 1, and `/user` for a user's: 2 |

mod cursor;
mod issues;
mod listings;
mod runs;

pub use listings::moved;

use crate::Id;
use crate::api;
use cursor::iso;
use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::*;
use serde::de::DeserializeOwned;

/// Seconds between two gaps.
const WALK: u64 = 3600;

/// Where the host does not know when a scope was first fetched: that long ago at most, in seconds. A
/// call takes at most two minutes, and the first poll follows at once.
const SLACK: u64 = 180;

/// One poll of one scope, on its way to a [`Progress`].
struct Poll<'a> {
    position: &'a Position,
    changes: Changes,
    /// GitHub's time, from the last answer, in seconds.
    now: u64,
    wait: Option<u32>,
    resumed: bool,
}

impl<'a> Poll<'a> {
    fn new(position: &'a Position) -> Self {
        Poll { position, changes: Changes::default(), now: 0, wait: None, resumed: false }
    }

    /// The cursor that is held. One that cannot be read says nothing of what was missed.
    fn held<C: DeserializeOwned>(&mut self) -> Option<C> {
        let text = self.position.cursor.as_deref()?;
        let cursor = serde_json::from_str(text).ok();
        self.resumed = cursor.is_some();
        if cursor.is_none() {
            self.changes.gap(self.position.scope.as_str());
        }
        cursor
    }

    fn ask(&mut self, request: Request) -> Result<Response> {
        let response = request.ok()?;
        self.now = response.date().unwrap_or(self.now);
        let interval = response.header("x-poll-interval").and_then(|text| text.parse().ok());
        self.wait = self.wait.max(interval);
        Ok(response)
    }

    fn first_page<T: DeserializeOwned>(&mut self, request: Request) -> Result<T> {
        self.ask(request.query("per_page", api::PAGE))?.json()
    }

    /// The time before which nothing of the scope was fetched, as GitHub writes times. To be called
    /// after the first answer, which tells GitHub's time.
    fn beginning(&self) -> String {
        iso(match self.position.since {
            0 => self.now.saturating_sub(SLACK),
            since => since,
        })
    }

    /// Ends the poll. `walked` is when the scope was last reported as a gap.
    fn done<C: serde::Serialize>(
        mut self,
        cursor: &mut C,
        walked: impl Fn(&mut C) -> &mut u64,
    ) -> Progress {
        let last = walked(cursor);
        if *last == 0 {
            *last = self.now;
        } else if self.now >= *last + WALK {
            *last = self.now;
            self.changes.gap(self.position.scope.as_str());
        }
        Progress {
            changes: self.changes,
            cursor: serde_json::to_string(cursor).ok(),
            // From the cursor on nothing was missed but what the hourly gap is for.
            resumed: self.resumed,
            wait: self.wait,
        }
    }
}

pub fn poll(position: &Position) -> Result<Progress> {
    let unknown = || Error::Invalid(format!("no feed polls the scope {:?}", position.scope));
    let (kind, key) = position.scope.split_once(':').ok_or_else(unknown)?;
    let poll = Poll::new(position);
    if kind == "owner" {
        return listings::owner(poll, Id::decode(key).ok_or_else(unknown)?);
    }
    let repo = key.parse().map_err(|_| unknown())?;
    let polled = match kind {
        "issues" => issues::poll(poll, repo),
        "actions" => runs::poll(poll, repo),
        "refs" => listings::refs(poll, repo),
        "releases" => listings::releases(poll, repo),
        "repo" => listings::repository(poll, repo),
        _ => return Err(unknown()),
    };
    match polled {
        Err(Error::NotFound) => gone(position, repo),
        other => other,
    }
}

/// Something answered 404: the repository is gone, or the token may no longer see it, or what was
/// asked for is switched off there.
fn gone(position: &Position, repo: u64) -> Result<Progress> {
    match api::of(repo, &[]).ok() {
        Err(Error::NotFound) => {
            let mut progress = Progress::default();
            progress.changes.removed([Id::Repo(repo)]).gap(position.scope.as_str());
            Ok(progress)
        }
        Err(error) => Err(error),
        Ok(_) => Err(Error::NotFound),
    }
}
