//! What changed: by asking, and by Linear's webhooks.
//!
//! A poll asks for what was updated since a little before the newest change known, and leaves out
//! what the last poll has told ([`cursor`]). What such a question never shows is found otherwise:
//!
//! - a deleted issue, by the number of issues there are: fewer than before and those made since is
//!   a gap;
//! - a deleted comment, somebody who joins or leaves a team, and anything else that moves no time, by
//!   a gap every [`RECHECK`] seconds of Linear's clock, after which everything is asked for again as
//!   it is used;
//! - a renamed state, label, project, cycle or person moves the time of no issue that names it: those
//!   issues are asked for, and where there are more than a page of them it is a gap.
//!
//! An update does not say what it changed, so every directory of the issue's team that the issue may
//! have entered or left is listed anew.

mod cursor;
mod delivery;
mod tick;

pub use delivery::deliver;

use crate::api::{Nodes, OfComments, OfIssues, OfProjects, ask, query};
use crate::{ISSUES, Id, OBJECTS};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// Seconds after which a poll says that it may have missed something.
const RECHECK: u64 = 600;

pub fn poll(position: &Position) -> Result<Progress> {
    match position.scope.as_str() {
        ISSUES | OBJECTS => tick::poll(position),
        other => Err(Error::Invalid(format!("there is no scope {other:?}"))),
    }
}

#[derive(Debug, Deserialize)]
struct Found {
    id: String,
}

/// An issue of this team changed, or came into it, or left it.
fn issue_moved(team: &str, changes: &mut Changes) {
    let id = || team.to_owned();
    changes
        .children_changed([Id::Open(id()), Id::All(id()), Id::Assigned, Id::Created])
        .invalidated([Id::InStates(id())]);
}

fn issue_gone(id: &str, changes: &mut Changes) {
    changes.removed([Id::Issue(id.to_owned()), Id::Comments(id.to_owned())]);
}

/// Objects that issues and comments name.
#[derive(Debug, Default)]
struct Names {
    /// What an issue that names one of them passes.
    filters: Vec<Value>,
    people: Vec<String>,
}

impl Names {
    fn add(&mut self, ids: &[String], filter: impl Fn(Value) -> Value) {
        if !ids.is_empty() {
            self.filters.push(filter(json!({ "id": { "in": ids } })));
        }
    }

    fn states(&mut self, ids: &[String]) {
        self.add(ids, |ids| json!({ "state": ids }));
    }

    fn labels(&mut self, ids: &[String]) {
        self.add(ids, |ids| json!({ "labels": { "some": ids } }));
    }

    fn projects(&mut self, ids: &[String]) {
        self.add(ids, |ids| json!({ "project": ids }));
    }

    fn cycles(&mut self, ids: &[String]) {
        self.add(ids, |ids| json!({ "cycle": ids }));
    }

    fn people(&mut self, ids: &[String]) {
        self.add(ids, |ids| json!({ "assignee": ids }));
        self.add(ids, |ids| json!({ "creator": ids }));
        self.people.extend_from_slice(ids);
    }

    /// An issue that moves to another team gets another identifier, which its children name.
    fn parents(&mut self, ids: &[String]) {
        self.add(ids, |ids| json!({ "parent": ids }));
    }

    /// The issues and comments that name one of these changed.
    fn tell(self, changes: &mut Changes) -> Result<()> {
        if !self.filters.is_empty() {
            let variables = json!({ "filter": { "or": self.filters } });
            let found: OfIssues<Nodes<Found>> = ask(query::CONCERNED, variables)?;
            tell_all(found.issues, Id::Issue, ISSUES, changes);
        }
        if !self.people.is_empty() {
            let variables = json!({ "people": self.people });
            let found: OfComments<Nodes<Found>> = ask(query::WRITTEN, variables)?;
            tell_all(found.comments, Id::Comment, ISSUES, changes);
        }
        Ok(())
    }
}

/// These changed; where they fill the page of 100 there may be more.
fn tell_all(found: Nodes<Found>, id: fn(String) -> Id, scope: &str, changes: &mut Changes) {
    if found.nodes.len() < 100 {
        changes.invalidated(found.nodes.iter().map(|found| id(found.id.clone())));
    } else {
        changes.gap(scope);
    }
}

/// The projects that these people lead changed.
fn tell_led(people: &[String], changes: &mut Changes) -> Result<()> {
    if people.is_empty() {
        return Ok(());
    }
    let variables = json!({ "people": people });
    let found: OfProjects<Nodes<Found>> = ask(query::LED, variables)?;
    tell_all(found.projects, Id::Project, OBJECTS, changes);
    Ok(())
}
