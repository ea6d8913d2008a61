//! Users, under their display names, which are unique in a workspace.

use crate::Id;
use crate::api::{OfMembers, OfTeam, OfUser, OfUsers, Page, User, ask, ask_all, query};
use omnifs_sdk::*;
use serde_json::json;

fn entry(user: &User) -> Entry<Id> {
    Entry::object(&user.display_name, user)
}

pub fn list() -> Result<Listing<Id>> {
    let take = |data: OfUsers<Page<User>>| data.users;
    Ok(ask_all(query::USERS, json!({}), take)?.map(|user| entry(&user)).into())
}

pub fn find(name: &str) -> Result<Entry<Id>> {
    let variables = json!({ "filter": { "displayName": { "eq": name } } });
    let found: OfUsers<Page<User>> = ask(query::USERS, variables)?;
    Ok(entry(&found.users.nodes.one()?))
}

pub fn members(team: &str) -> Result<Listing<Id>> {
    let take = |data: OfTeam<OfMembers<Page<User>>>| data.team.members;
    Ok(ask_all(query::MEMBERS, json!({ "team": team }), take)?.map(|user| entry(&user)).into())
}

pub fn fetch(id: &str) -> Result<User> {
    Ok(ask::<OfUser<User>>(query::USER, json!({ "id": id }))?.user)
}

impl Object for User {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |u: &Self| scalar(&u.id)).immutable(),
        leaf("name", |u| scalar(&u.name)),
        leaf("display-name", |u| scalar(&u.display_name)),
        leaf("email", |u| scalar(&u.email)),
        leaf("title", |u| optional(u.title.as_ref())),
        leaf("description.md", |u| document(u.description.as_deref().unwrap_or_default())),
        leaf("timezone", |u| optional(u.timezone.as_ref())),
        leaf("active", |u| scalar(u.active)),
        leaf("admin", |u| scalar(u.admin)),
        leaf("guest", |u| scalar(u.guest)),
        leaf("created", |u: &Self| scalar(&u.created_at)),
        leaf("updated", |u| scalar(&u.updated_at)),
        leaf("url", |u| scalar(&u.url)),
        leaf("user.json", json),
    ];

    fn id(&self) -> Id {
        Id::User(self.id.clone())
    }

    fn modified(&self) -> Option<u64> {
        time::rfc3339_ms(&self.updated_at)
    }
}
