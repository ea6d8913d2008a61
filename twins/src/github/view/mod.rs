//! GitHub's JSON documents, from the data.

mod actions;
mod code;
mod issues;
mod pulls;
mod repos;

pub(crate) use pulls::{changes, commits};

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::data::{Account, AccountKind, Repo, World};
use super::generate::BEGIN;
use crate::clock::iso;
use crate::requests::hex;
use crate::server::encode;

/// Renders with this twin's own address in every API URL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub world: &'a World,
    /// `http://127.0.0.1:PORT`, no slash at the end.
    pub api: &'a str,
    pub memo: &'a Memo,
}

/// Documents that many entries of one listing repeat, and that take a walk over all issues.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    repos: RefCell<HashMap<u64, Value>>,
    milestones: RefCell<HashMap<u64, Value>>,
}

/// Pages for people are not served by the twin; their addresses are only shown.
pub(crate) const HTML: &str = "https://github.com";

/// An opaque id in the form of GitHub's own.
pub(crate) fn node_id(kind: &str, id: u64) -> String {
    format!("{kind}_kwDO{}", hex(&id.to_be_bytes()))
}

/// A path's slashes stay, everything else that needs it is escaped.
pub(crate) fn escape_path(path: &str) -> String {
    encode(path, "/")
}

impl View<'_> {
    /// `simple-user`
    pub fn user(&self, login: &str) -> Value {
        let Some(account) = self.world.account(login) else {
            return self.ghost(login);
        };
        self.account_fields(account)
    }

    pub fn user_or_null(&self, login: Option<&str>) -> Value {
        login.map_or(Value::Null, |login| self.user(login))
    }

    /// An account that was deleted or was never made: GitHub shows `ghost` in its place.
    fn ghost(&self, login: &str) -> Value {
        let account = Account {
            id: 10_137,
            login: login.to_owned(),
            kind: AccountKind::User,
            name: String::new(),
            bio: String::new(),
            created: BEGIN,
        };
        self.account_fields(&account)
    }

    fn account_fields(&self, account: &Account) -> Value {
        let login = &account.login;
        let url = format!("{}/users/{login}", self.api);
        let organization = account.kind == AccountKind::Organization;
        json!({
            "login": login,
            "id": account.id,
            "node_id": node_id(if organization { "O" } else { "U" }, account.id),
            "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", account.id),
            "gravatar_id": "",
            "url": url,
            "html_url": format!("{HTML}/{login}"),
            "followers_url": format!("{url}/followers"),
            "following_url": format!("{url}/following{{/other_user}}"),
            "gists_url": format!("{url}/gists{{/gist_id}}"),
            "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{url}/subscriptions"),
            "organizations_url": format!("{url}/orgs"),
            "repos_url": format!("{url}/repos"),
            "events_url": format!("{url}/events{{/privacy}}"),
            "received_events_url": format!("{url}/received_events"),
            "type": if organization { "Organization" } else { "User" },
            "user_view_type": "public",
            "site_admin": false,
        })
    }

    fn repos_of(&self, login: &str) -> usize {
        self.world.repos.values().filter(|r| r.owner.eq_ignore_ascii_case(login)).count()
    }

    /// `public-user`, or `private-user` where the viewer asks about themselves.
    pub fn profile(&self, account: &Account, private: bool) -> Value {
        let mut user = self.account_fields(account);
        let public = json!({
            "name": account.name, "company": null, "blog": "", "location": null, "email": null,
            "hireable": null, "bio": account.bio, "twitter_username": null,
            "public_repos": self.repos_of(&account.login), "public_gists": 0,
            "followers": 3, "following": 2,
            "created_at": iso(account.created), "updated_at": iso(account.created),
        });
        merge(&mut user, public);
        if private {
            let more = json!({
                "user_view_type": "private",
                "private_gists": 0, "total_private_repos": 0, "owned_private_repos": 0,
                "disk_usage": 120, "collaborators": 0, "two_factor_authentication": true,
                "plan": {"name": "free", "space": 976_562_499, "private_repos": 10_000,
                         "collaborators": 0},
            });
            merge(&mut user, more);
        }
        user
    }

    /// `organization-simple`
    pub fn organization(&self, account: &Account) -> Value {
        let url = format!("{}/orgs/{}", self.api, account.login);
        json!({
            "login": account.login, "id": account.id, "node_id": node_id("O", account.id),
            "url": url, "repos_url": format!("{url}/repos"),
            "events_url": format!("{url}/events"), "hooks_url": format!("{url}/hooks"),
            "issues_url": format!("{url}/issues"),
            "members_url": format!("{url}/members{{/member}}"),
            "public_members_url": format!("{url}/public_members{{/member}}"),
            "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", account.id),
            "description": account.bio,
        })
    }

    /// `organization-full`
    pub fn organization_profile(&self, account: &Account) -> Value {
        let mut organization = self.organization(account);
        let more = json!({
            "name": account.name, "is_verified": false, "has_organization_projects": true, "has_repository_projects": true,
            "public_repos": self.repos_of(&account.login), "public_gists": 0,
            "followers": 0, "following": 0,
            "html_url": format!("{HTML}/{}", account.login), "type": "Organization",
            "created_at": iso(account.created), "updated_at": iso(account.created),
            "archived_at": null,
        });
        merge(&mut organization, more);
        organization
    }

    pub fn repo_url(&self, repo: &Repo) -> String {
        format!("{}/repos/{}", self.api, repo.full_name())
    }

    pub fn repo_html(&self, repo: &Repo) -> String {
        format!("{HTML}/{}", repo.full_name())
    }

    pub fn reactions(&self, url: &str) -> Value {
        json!({
            "url": format!("{url}/reactions"), "total_count": 0, "+1": 0, "-1": 0, "laugh": 0,
            "hooray": 0, "confused": 0, "heart": 0, "rocket": 0, "eyes": 0,
        })
    }

    /// How the account stands to the repository.
    pub fn association(&self, repo: &Repo, login: &str) -> &'static str {
        if login == repo.owner {
            "OWNER"
        } else if self.world.account(login).is_some() {
            "MEMBER"
        } else {
            "NONE"
        }
    }
}

/// Adds the members of `more` to `target`; both are objects.
pub(crate) fn merge(target: &mut Value, more: Value) {
    if let (Value::Object(target), Value::Object(more)) = (target, more) {
        target.extend(more);
    }
}
