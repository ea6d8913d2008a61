//! How a change is made: the data, its history, the events listing and the webhooks move in one
//! step under one lock, so that no reader sees one without the others.

use serde_json::{Value, json};

use super::GithubTwin;
use super::data::World;
use super::view::{Memo, View, merge};
use crate::clock::{iso, lock};
use crate::webhook::{Delivery, github_signature};
use crate::{Result, TwinError};

/// The listing shows 300; the rest waits for events that are held back.
const EVENTS_KEPT: usize = 1_000;
/// What GitHub calls the sender of its deliveries.
const AGENT: &str = "GitHub-Hookshot/0a1b2c3";

pub(crate) fn missing(kind: &str, name: impl std::fmt::Display) -> TwinError {
    TwinError::Missing(format!("{kind} {name}"))
}

/// One change in the making.
pub(crate) struct Work<'a> {
    pub world: &'a mut World,
    pub now: i64,
    api: &'a str,
    edit_events: bool,
    hooked: bool,
    created: Vec<String>,
    emitted: Vec<Emitted>,
}

enum Emitted {
    Hook { repo: u64, event: &'static str, payload: Value },
    Listed { repo: u64, kind: &'static str, payload: Value },
}

impl Work<'_> {
    pub fn render<T>(&self, f: impl FnOnce(View<'_>) -> T) -> T {
        let memo = Memo::default();
        f(View { world: self.world, api: self.api, memo: &memo })
    }

    /// The id of a repository by its name.
    pub fn repo_id(&self, full_name: &str) -> Result<u64> {
        let repo = self.world.repo(full_name);
        Ok(repo.ok_or_else(|| missing("repository", full_name))?.id)
    }

    pub fn repo(&mut self, id: u64) -> Result<&mut super::data::Repo> {
        self.world.repos.get_mut(&id).ok_or_else(|| missing("repository", id))
    }

    /// An object that this change brought into being.
    pub fn created(&mut self, object: String) {
        self.created.push(object);
    }

    /// A webhook. `payload` is made only where somebody receives it.
    pub fn hook(
        &mut self,
        repo: u64,
        event: &'static str,
        payload: impl FnOnce(View<'_>) -> Value,
    ) {
        if self.hooked {
            let payload = self.render(payload);
            self.emitted.push(Emitted::Hook { repo, event, payload });
        }
    }

    /// An entry of the events listing. `edit` marks what the service's listing does not show.
    pub fn list(
        &mut self,
        repo: u64,
        kind: &'static str,
        edit: bool,
        payload: impl FnOnce(View<'_>) -> Value,
    ) {
        if !edit || self.edit_events {
            let payload = self.render(payload);
            self.emitted.push(Emitted::Listed { repo, kind, payload });
        }
    }
}

impl GithubTwin {
    /// Makes one change. `objects` are those it touches; what it creates it names itself.
    pub(crate) fn change<T>(
        &self,
        objects: &[String],
        make: impl FnOnce(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let shared = &self.shared;
        let webhooks = &shared.harness.webhooks;
        let mut guard = lock(&shared.state);
        let state = &mut *guard;
        let before: Vec<Option<Value>> =
            objects.iter().map(|object| state.world.snapshot(object)).collect();
        let mut work = Work {
            world: &mut state.world,
            now: shared.harness.clock.now(),
            api: &shared.api,
            edit_events: state.edit_events,
            hooked: webhooks.wanted(),
            created: Vec::new(),
            emitted: Vec::new(),
        };
        let made = make(&mut work)?;
        let Work { now, created, emitted, .. } = work;
        for (object, before) in objects.iter().zip(before) {
            let after = state.world.snapshot(object);
            if before != after {
                state.history.record(object, before, after);
            }
        }
        for object in &created {
            let after = state.world.snapshot(object);
            state.history.record(object, None, after);
        }
        let memo = Memo::default();
        for emitted in emitted {
            state.last_event += 1;
            let view = View { world: &state.world, api: &shared.api, memo: &memo };
            match emitted {
                Emitted::Listed { repo, kind, payload } => {
                    let event = listing_entry(view, repo, state.last_event, kind, payload, now);
                    if let Some(repo) = state.world.repos.get_mut(&repo) {
                        repo.events.push_back((state.last_event, event));
                        if repo.events.len() > EVENTS_KEPT {
                            repo.events.pop_front();
                        }
                    }
                }
                Emitted::Hook { repo, event, payload } => {
                    let body = hook_payload(view, repo, payload).to_string().into_bytes();
                    let signature = github_signature(&webhooks.secret(), &body);
                    webhooks.offer(delivery(state.rng.uuid(), event, &signature, body));
                }
            }
        }
        Ok(made)
    }
}

fn listing_entry(
    view: View<'_>,
    repo: u64,
    number: u64,
    kind: &str,
    payload: Value,
    now: i64,
) -> Value {
    let actor = view.user(&view.world.viewer);
    let name = view.world.repos.get(&repo).map(super::data::Repo::full_name).unwrap_or_default();
    let login = &actor["login"];
    json!({
        "id": number.to_string(), "type": kind,
        "actor": {
            "id": actor["id"], "login": login, "display_login": login, "gravatar_id": "",
            "url": actor["url"], "avatar_url": actor["avatar_url"],
        },
        "repo": {"id": repo, "name": name, "url": format!("{}/repos/{name}", view.api)},
        "payload": payload, "public": true, "created_at": iso(now),
    })
}

/// The members that every delivery about a repository has, beside its own.
fn hook_payload(view: View<'_>, repo: u64, mut payload: Value) -> Value {
    if let Some(repo) = view.world.repos.get(&repo) {
        let organization = view.world.account(&repo.owner);
        let organization =
            organization.filter(|account| account.kind == super::data::AccountKind::Organization);
        if let Some(account) = organization {
            merge(&mut payload, json!({"organization": view.organization(account)}));
        }
        if payload.get("repository").is_none() {
            merge(&mut payload, json!({"repository": view.repo(repo)}));
        }
    }
    merge(&mut payload, json!({"sender": view.user(&view.world.viewer)}));
    payload
}

fn delivery(id: String, event: &str, signature: &str, body: Vec<u8>) -> Delivery {
    let headers = [
        ("Accept", "*/*"),
        ("Content-Type", "application/json"),
        ("User-Agent", AGENT),
        ("X-GitHub-Delivery", &id),
        ("X-GitHub-Event", event),
        ("X-GitHub-Hook-ID", "512"),
        ("X-GitHub-Hook-Installation-Target-ID", "1"),
        ("X-GitHub-Hook-Installation-Target-Type", "organization"),
        ("X-Hub-Signature-256", signature),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Delivery { id, event: event.to_owned(), headers: headers.into(), body }
}
