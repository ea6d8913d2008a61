//! Linear's webhooks. A payload names the object and, in `updatedFrom`, the fields that changed with
//! their old values. Both are hints; nothing of it is shown.

use super::moved::{self, Kind, Moved};
use crate::{ISSUES, OBJECTS};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    action: String,
    #[serde(rename = "type")]
    kind: String,
    /// Absent where it is about no object: service levels, apps, notifications.
    #[serde(default, deserialize_with = "omnifs_sdk::json::null_as_default")]
    data: Map<String, Value>,
    #[serde(default, deserialize_with = "omnifs_sdk::json::null_as_default")]
    updated_from: Map<String, Value>,
}

fn text(object: &Map<String, Value>, field: &str) -> Option<String> {
    object.get(field)?.as_str().map(str::to_owned)
}

pub fn deliver(delivery: &Delivery) -> Result<Changes> {
    let payload: Payload = delivery.json()?;
    let mut changes = Changes::default();
    let kind = match payload.kind.as_str() {
        "Issue" => Kind::Issue,
        "Comment" => Kind::Comment,
        "IssueLabel" => Kind::Label,
        "Project" => Kind::Project,
        "Cycle" => Kind::Cycle,
        "User" => Kind::User,
        // Reactions, attachments, documents, service levels, notifications: shown nowhere.
        _ => return Ok(changes),
    };
    let Some(id) = text(&payload.data, "id") else {
        return Err(Error::Invalid(format!("a {:?} delivery names no object", payload.kind)));
    };
    let old = &payload.updated_from;
    // `teamId`, or `team` with its `id`.
    let neighbour = |name: &str| {
        let inside = || text(payload.data.get(name)?.as_object()?, "id");
        text(&payload.data, &format!("{name}Id")).or_else(inside)
    };
    let teams = match (kind, payload.data.get("teamIds").and_then(Value::as_array)) {
        // Which teams a project leaves is not said.
        (Kind::Project, Some(teams)) => (!old.contains_key("teamIds"))
            .then(|| teams.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => neighbour("team")
            .map(|team| [Some(team), text(old, "teamId")].into_iter().flatten().collect()),
    };
    let updated = payload.action == "update";
    // Without the old values a name may be another one.
    let fields = ["name", "displayName", "number"];
    let moved = Moved {
        kind,
        id,
        at: None,
        made: None,
        teams,
        renamed: match kind {
            Kind::Issue => old.contains_key("teamId"),
            _ => updated && (old.is_empty() || fields.iter().any(|field| old.contains_key(*field))),
        },
        gone: payload.action == "remove"
            || payload.data.get("trashed").and_then(Value::as_bool) == Some(true),
        // Of a comment on a project there is no issue.
        listed: neighbour("issue").filter(|_| kind == Kind::Comment && !updated),
    };
    moved::tell(&[moved], None, &[ISSUES, OBJECTS], &mut changes)?;
    Ok(changes)
}
