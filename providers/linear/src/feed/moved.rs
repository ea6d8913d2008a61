//! What a change of an object means for what is shown.
//!
//! Issues are read with the names of what they refer to, and a renamed state, label, person, project or
//! cycle moves no issue's time: the issues that name it are asked for.

use crate::api::{Nodes, OfComments, OfIssues, OfProjects, ask, query};
use crate::{ISSUES, Id, OBJECTS};
use omnifs_sdk::poll::since::Seen;
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Issue,
    Comment,
    State,
    Cycle,
    Project,
    User,
    Label,
}

impl Kind {
    /// Nodes of it that [`query::CHANGED`] asks for.
    pub fn first(self) -> usize {
        if matches!(self, Kind::Issue | Kind::Comment) { 20 } else { 10 }
    }

    fn scope(self) -> &'static str {
        if matches!(self, Kind::Issue | Kind::Comment) { ISSUES } else { OBJECTS }
    }
}

/// An object that changed.
#[derive(Clone, Debug)]
pub struct Moved {
    pub kind: Kind,
    pub id: String,
    /// When, and when it was made, in milliseconds since the Unix epoch.
    pub at: Option<u64>,
    pub made: Option<u64>,
    /// Every team that shows it or did; `None` where it may be any.
    pub teams: Option<Vec<String>>,
    /// What issues show of it is another one now.
    pub renamed: bool,
    pub gone: bool,
    /// The issue whose comments it came to or left.
    pub listed: Option<String>,
}

/// The same as a poll's answer holds it, with what is asked for of its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    id: String,
    updated_at: String,
    created_at: Option<String>,
    archived_at: Option<String>,
    trashed: Option<bool>,
    #[serde(default)]
    previous_identifiers: Vec<String>,
    team: Option<Found>,
    issue_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Found {
    id: String,
}

impl Node {
    pub fn moved(self, kind: Kind, from: u64) -> Moved {
        let ms = |text: Option<&str>| text.and_then(time::rfc3339_ms);
        let (archived, made) = (ms(self.archived_at.as_deref()), ms(self.created_at.as_deref()));
        let was_elsewhere = !self.previous_identifiers.is_empty();
        let gone = match kind {
            // An archived one is still found by its name.
            Kind::Issue => self.trashed == Some(true),
            _ => self.archived_at.is_some(),
        };
        let new = made.is_none_or(|made| made >= from);
        Moved {
            kind,
            at: ms(Some(&self.updated_at)).map(|at| at.max(archived.unwrap_or(0))),
            made,
            // From which team an issue came is not said.
            teams: self.team.filter(|_| !was_elsewhere).map(|team| vec![team.id]),
            renamed: kind != Kind::Issue || was_elsewhere,
            gone,
            listed: self.issue_id.filter(|_| new || gone),
            id: self.id,
        }
    }
}

impl Moved {
    pub fn seen(&self) -> Option<Seen> {
        Seen::of(&(&self.id, self.at), self.at)
    }

    pub fn is_issue_made_after(&self, ms: u64) -> bool {
        self.kind == Kind::Issue && self.made.is_none_or(|made| made > ms)
    }

    /// How issues refer to it.
    fn relations(&self) -> &'static [&'static str] {
        match self.kind {
            // A child shows the identifier of its parent.
            Kind::Issue => &["parent"],
            Kind::Comment => &[],
            Kind::State => &["state"],
            Kind::Cycle => &["cycle"],
            Kind::Project => &["project"],
            Kind::User => &["assignee", "creator"],
            Kind::Label => &["labels"],
        }
    }
}

/// Says what `news` means in these scopes. `all` are the teams there are, where that is known.
pub fn tell(
    news: &[Moved],
    all: Option<&[String]>,
    scopes: &[&str],
    changes: &mut Changes,
) -> Result<()> {
    let mut names: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for moved in news {
        if scopes.contains(&moved.kind.scope()) {
            tell_of(moved, all, changes);
        }
        if moved.kind.scope() == OBJECTS && moved.kind != Kind::User && moved.gone {
            // What named it names it no more, and cannot be found by it.
            _ = scopes.contains(&ISSUES).then(|| changes.gap(ISSUES));
        }
        let relations = moved.relations().iter().filter(|_| moved.renamed && !moved.gone);
        relations.for_each(|relation| names.entry(relation).or_default().push(&moved.id));
    }
    let people = names.get("creator").cloned().unwrap_or_default();
    if scopes.contains(&ISSUES) && !names.is_empty() {
        let filters = names.into_iter().map(|(relation, ids)| {
            let ids = json!({ "id": { "in": ids } });
            json!({ relation: if relation == "labels" { json!({ "some": ids }) } else { ids } })
        });
        let variables = json!({ "filter": { "or": filters.collect::<Vec<_>>() } });
        let found: OfIssues<Nodes<Found>> = ask(query::CONCERNED, variables)?;
        tell_found(&found.issues.nodes, Id::Issue, ISSUES, changes);
        changes.invalidated((!found.issues.nodes.is_empty()).then_some(Id::Index));
    }
    if scopes.contains(&ISSUES) && !people.is_empty() {
        let found: OfComments<Nodes<Found>> = ask(query::WRITTEN, json!({ "people": people }))?;
        tell_found(&found.comments.nodes, Id::Comment, ISSUES, changes);
    }
    if scopes.contains(&OBJECTS) && !people.is_empty() {
        let found: OfProjects<Nodes<Found>> = ask(query::LED, json!({ "people": people }))?;
        tell_found(&found.projects.nodes, Id::Project, OBJECTS, changes);
    }
    Ok(())
}

/// The object itself and the directories that show it.
fn tell_of(moved: &Moved, all: Option<&[String]>, changes: &mut Changes) {
    let id = moved.id.clone();
    _ = match moved.kind {
        Kind::Issue if moved.gone => changes.removed([Id::Issue(id.clone()), Id::Comments(id)]),
        Kind::Issue => changes.invalidated([Id::Issue(id)]),
        Kind::Comment => changes.moved([Id::Comment(id)], moved.gone),
        Kind::State => changes.invalidated([Id::State(id)]),
        Kind::Cycle => changes.invalidated([Id::Cycle(id)]),
        Kind::Project => changes.invalidated([Id::Project(id)]).children_changed([Id::Projects]),
        Kind::User => changes.invalidated([Id::User(id)]).children_changed([Id::Users]),
        Kind::Label => changes,
    };
    changes.children_changed(moved.listed.clone().map(Id::Comments));
    if matches!(moved.kind, Kind::Comment | Kind::User | Kind::Label) {
        return;
    }
    let Some(teams) = moved.teams.as_deref().or(all) else {
        changes.gap(moved.kind.scope());
        return;
    };
    for team in teams {
        let team = || team.clone();
        _ = match moved.kind {
            Kind::Issue => changes
                .children_changed([Id::Open(team()), Id::All(team()), Id::TeamIssues(team())])
                .children_changed([Id::Assigned, Id::Created])
                .invalidated([Id::InStates(team()), Id::Index]),
            Kind::State => changes.children_changed([Id::States(team()), Id::ByState(team())]),
            Kind::Cycle => changes.children_changed([Id::Cycles(team())]),
            _ => changes.children_changed([Id::TeamProjects(team())]),
        };
    }
}

/// These changed; where they fill the page of 100 there may be more.
fn tell_found(found: &Items<Found>, id: fn(String) -> Id, scope: &str, changes: &mut Changes) {
    if found.is_whole() && found.len() < 100 {
        changes.invalidated(found.iter().map(|found| id(found.id.clone())));
    } else {
        changes.gap(scope);
    }
}
