//! Linear's webhooks. A payload names the object and, in `updatedFrom`, the fields that changed with
//! their old values. Both are hints; nothing of it is shown.

use super::moved::{self, Kind, Moved};
use crate::{ISSUES, OBJECTS};
use omnifs_sdk::*;
use serde_json::{Map, Value};

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub fn deliver(delivery: &Delivery) -> Result<Changes> {
    let (moved, mut changes) = (delivery.read("webhook", read)?, Changes::default());
    moved::tell(moved.as_slice(), None, &[ISSUES, OBJECTS], &mut changes)?;
    Ok(changes)
}

/// What moved, if it is shown anywhere. `None` where the payload does not say what it is about.
fn read(payload: &Value) -> Option<Option<Moved>> {
    let kind = match payload["type"].as_str()? {
        "Issue" => Kind::Issue,
        "Comment" => Kind::Comment,
        "IssueLabel" => Kind::Label,
        "Project" => Kind::Project,
        "Cycle" => Kind::Cycle,
        "User" => Kind::User,
        // Reactions, attachments, documents, service levels, notifications: shown nowhere.
        _ => return Some(None),
    };
    let data = &payload["data"];
    let id = text(&data["id"])?;
    let old = payload["updatedFrom"].as_object();
    let was = |field: &str| old.and_then(|old| old.get(field));
    // `teamId`, or `team` with its `id`.
    let neighbour =
        |name: &str| text(&data[&format!("{name}Id")]).or_else(|| text(&data[name]["id"]));
    let teams = match (kind, data["teamIds"].as_array()) {
        // Which teams a project leaves is not said.
        (Kind::Project, Some(teams)) => {
            was("teamIds").is_none().then(|| teams.iter().filter_map(text).collect())
        }
        _ => neighbour("team")
            .map(|team| [Some(team), was("teamId").and_then(text)].into_iter().flatten().collect()),
    };
    let updated = payload["action"] == "update";
    // Without the old values a name may be another one.
    let fields = ["name", "displayName", "number"];
    Some(Some(Moved {
        kind,
        id,
        at: None,
        made: None,
        teams,
        renamed: match kind {
            Kind::Issue => was("teamId").is_some(),
            _ if old.is_none_or(Map::is_empty) => updated,
            _ => updated && fields.iter().any(|field| was(field).is_some()),
        },
        gone: payload["action"] == "remove" || data["trashed"] == true,
        // Of a comment on a project there is no issue.
        listed: neighbour("issue").filter(|_| kind == Kind::Comment && !updated),
    }))
}
