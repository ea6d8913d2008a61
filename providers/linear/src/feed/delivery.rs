//! Linear's webhooks. A payload names the object and, in `updatedFrom`, the fields that changed with
//! their old values. Both are hints; nothing of it is shown.

use super::{Names, issue_gone, issue_moved, tell_led};
use crate::{ISSUES, Id, OBJECTS};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    action: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default, deserialize_with = "omnifs_sdk::json::null_as_default")]
    updated_from: Map<String, Value>,
}

impl Payload {
    fn text(&self, field: &str) -> Option<String> {
        text(&self.data, field)
    }

    /// The id of a neighbour: `teamId`, or `team` with its `id`.
    fn neighbour(&self, name: &str) -> Option<String> {
        let inside = || text(self.data.get(name)?.as_object()?, "id");
        self.text(&format!("{name}Id")).or_else(inside)
    }

    fn is_removed(&self) -> bool {
        self.action == "remove"
    }

    /// Whether a name that issues show may be another one now. Without the old values it may.
    fn renames(&self) -> bool {
        let fields = ["name", "displayName", "number"];
        self.action != "create"
            && (self.updated_from.is_empty()
                || fields.iter().any(|field| self.updated_from.contains_key(*field)))
    }
}

fn text(object: &Map<String, Value>, field: &str) -> Option<String> {
    object.get(field)?.as_str().map(str::to_owned)
}

pub fn deliver(delivery: &Delivery) -> Result<Changes> {
    let payload: Payload = delivery.json()?;
    let mut changes = Changes::default();
    let Some(id) = payload.text("id") else {
        return Err(Error::Invalid(format!("a {:?} delivery names no object", payload.kind)));
    };
    match payload.kind.as_str() {
        "Issue" => issue(&payload, id, &mut changes)?,
        "Comment" => comment(&payload, id, &mut changes),
        "IssueLabel" => {
            let mut names = Names::default();
            names.labels(&[id]);
            tell(&payload, names, &mut changes)?;
        }
        "Project" => {
            let project = [Id::Project(id.clone())];
            _ = if payload.is_removed() {
                changes.removed(project)
            } else {
                changes.invalidated(project)
            };
            changes.children_changed([Id::Projects]);
            // Which teams a project leaves is not said.
            match payload.data.get("teamIds").and_then(Value::as_array) {
                Some(teams) if !payload.updated_from.contains_key("teamIds") => {
                    let teams = teams.iter().filter_map(Value::as_str);
                    changes.children_changed(teams.map(|id| Id::TeamProjects(id.to_owned())));
                }
                _ => _ = changes.gap(OBJECTS),
            }
            let mut names = Names::default();
            names.projects(&[id]);
            tell(&payload, names, &mut changes)?;
        }
        "Cycle" => {
            changes.invalidated([Id::Cycle(id.clone())]);
            match payload.neighbour("team") {
                Some(team) => _ = changes.children_changed([Id::Cycles(team)]),
                None => _ = changes.gap(OBJECTS),
            }
            let mut names = Names::default();
            names.cycles(&[id]);
            tell(&payload, names, &mut changes)?;
        }
        "User" => {
            changes.invalidated([Id::User(id.clone())]).children_changed([Id::Users]);
            let people = [id];
            if payload.renames() {
                tell_led(&people, &mut changes)?;
            }
            let mut names = Names::default();
            names.people(&people);
            tell(&payload, names, &mut changes)?;
        }
        // Reactions, attachments, documents, initiatives: shown nowhere.
        _ => {}
    }
    Ok(changes)
}

/// The issues that name a renamed object.
fn tell(payload: &Payload, names: Names, changes: &mut Changes) -> Result<()> {
    if payload.renames() { names.tell(changes) } else { Ok(()) }
}

fn issue(payload: &Payload, id: String, changes: &mut Changes) -> Result<()> {
    let old = text(&payload.updated_from, "teamId");
    match payload.neighbour("team") {
        Some(team) => {
            issue_moved(&team, changes);
            old.iter().for_each(|team| issue_moved(team, changes));
        }
        None => _ = changes.gap(ISSUES),
    }
    let trashed = payload.data.get("trashed").and_then(Value::as_bool) == Some(true);
    if payload.is_removed() || trashed {
        issue_gone(&id, changes);
        return Ok(());
    }
    changes.invalidated([Id::Issue(id.clone())]);
    if old.is_some() {
        let mut names = Names::default();
        names.parents(&[id]);
        names.tell(changes)?;
    }
    Ok(())
}

fn comment(payload: &Payload, id: String, changes: &mut Changes) {
    let comment = [Id::Comment(id)];
    _ = match payload.action.as_str() {
        "remove" => changes.removed(comment),
        _ => changes.invalidated(comment),
    };
    // Of a comment on a project there is no issue.
    if payload.action != "update" {
        changes.children_changed(payload.neighbour("issue").map(Id::Comments));
    }
}
