//! Changes to the workspace: data, history and webhooks move in one step under one lock.

mod rename;

use std::time::Duration;

use serde_json::{Value, json};

use super::LinearTwin;
use super::data::{Comment, Issue, PRIORITIES, World};
use super::generate;
use super::node::{Node, Out};
use crate::clock::{iso_ms, lock, wall_ms};
use crate::text::Text;
use crate::webhook::{Delivery, linear_signature};
use crate::{Result, TwinError};

/// An issue to make.
#[derive(Clone, Debug, Default)]
pub struct NewIssue {
    pub title: String,
    pub description: Option<String>,
    /// The name of a state of the team; its first one where empty.
    pub state: String,
    /// 0 (none) to 4 (low).
    pub priority: u8,
    /// A display name.
    pub assignee: Option<String>,
}

/// What to change in an issue; what is absent stays, and `Some(None)` takes away. People go by
/// display name, states, labels and projects by name, cycles by number.
#[derive(Clone, Debug, Default)]
pub struct IssueEdit {
    pub title: Option<String>,
    pub description: Option<Option<String>>,
    pub state: Option<String>,
    pub priority: Option<u8>,
    pub estimate: Option<Option<f64>>,
    pub assignee: Option<Option<String>>,
    pub labels: Option<Vec<String>>,
    pub cycle: Option<Option<u64>>,
    pub project: Option<Option<String>>,
    pub due: Option<Option<String>>,
    /// An identifier.
    pub parent: Option<Option<String>>,
}

fn missing(kind: &str, name: &str) -> TwinError {
    TwinError::Missing(format!("{kind} {name}"))
}

/// A webhook in the making: `create`, `update` or `remove` of an object of this type.
struct Told {
    action: &'static str,
    kind: &'static str,
    data: Value,
    updated_from: Option<Value>,
}

struct Work<'a> {
    world: &'a mut World,
    /// Milliseconds.
    now: i64,
    touch: bool,
    new_id: String,
    created: Vec<String>,
    told: Vec<Told>,
}

impl Work<'_> {
    fn issue(&mut self, id: &str) -> Result<&mut Issue> {
        self.world.issues.get_mut(id).ok_or_else(|| missing("issue", id))
    }

    fn tell(&mut self, action: &'static str, kind: &'static str, id: &str, from: Option<Value>) {
        let node = match kind {
            "Issue" => self.world.issues.get(id).map(Node::Issue),
            "Comment" => self.world.comments.get(id).map(Node::Comment),
            "Project" => self.world.projects.get(id).map(Node::Project),
            _ => None,
        };
        let data = node.map(|node| fields(self.world, node, self.now)).unwrap_or_default();
        self.told.push(Told { action, kind, data, updated_from: from });
    }
}

/// The members of a webhook's `data`: the object's own, and the ids of its neighbours.
fn fields(world: &World, node: Node<'_>, now: i64) -> Value {
    let names = match node {
        Node::Issue(_) => {
            "id identifier number title description priority priorityLabel estimate dueDate \
             createdAt updatedAt archivedAt startedAt completedAt canceledAt labelIds url \
             previousIdentifiers state team assignee creator cycle project parent"
        }
        Node::Comment(_) => "id body createdAt updatedAt editedAt issueId parentId user issue",
        _ => "id name description state url createdAt updatedAt",
    };
    let mut data = json!({});
    for name in names.split_whitespace() {
        match node.get(world, name, now) {
            Some(Out::Value(value)) => data[name] = value,
            Some(Out::Node(other)) => {
                data[format!("{name}Id")] = json!(other.map(Node::id));
                let Some(other) = other else { continue };
                let mut short = json!({});
                for name in ["id", "key", "name", "type", "color", "number", "identifier", "title"]
                {
                    if let Some(Out::Value(value)) = other.get(world, name, now) {
                        short[name] = value;
                    }
                }
                data[name] = short;
            }
            _ => {}
        }
    }
    data
}

impl LinearTwin {
    fn change<T>(
        &self,
        objects: &[String],
        make: impl FnOnce(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let harness = &self.shared.harness;
        let mut guard = lock(&self.shared.state);
        let state = &mut *guard;
        let before: Vec<Option<Value>> =
            objects.iter().map(|object| state.world.snapshot(object)).collect();
        let mut work = Work {
            world: &mut state.world,
            now: harness.clock.now_ms(),
            touch: state.comments_touch_issue,
            new_id: state.rng.uuid(),
            created: Vec::new(),
            told: Vec::new(),
        };
        let made = make(&mut work)?;
        let Work { now, created, told, .. } = work;
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
        if harness.webhooks.wanted() {
            for told in told {
                let id = state.rng.uuid();
                let body = payload(&state.world, &told, now).to_string().into_bytes();
                harness.webhooks.offer(delivery(id, told.kind, &harness.webhooks.secret(), body));
            }
        }
        Ok(made)
    }

    /// Makes an issue in a team, by its key; returns the identifier.
    ///
    /// # Errors
    /// Where something named does not exist; so for every change below.
    pub fn create_issue(&self, team: &str, new: &NewIssue) -> Result<String> {
        self.change(&[], |work| {
            let (id, now) = (work.new_id.clone(), work.now);
            let found = work.world.team_by_key(team).ok_or_else(|| missing("team", team))?;
            let (team, number) = (found.id.clone(), found.last_number + 1);
            let state = match new.state.as_str() {
                "" => generate::state(work.world, &team, "Todo"),
                name => generate::state(work.world, &team, name),
            };
            let state = state.ok_or_else(|| missing("state", &new.state))?;
            let assignee = match &new.assignee {
                Some(name) => {
                    let user = generate::user(work.world, name);
                    Some(user.ok_or_else(|| missing("user", name))?)
                }
                None => None,
            };
            let issue = Issue {
                id: id.clone(),
                team,
                number,
                former: Vec::new(),
                title: Text::Given(new.title.clone()),
                description: new.description.clone().map(Text::Given),
                priority: new.priority.min(PRIORITIES.len() as u8 - 1),
                estimate: None,
                state,
                creator: Some(work.world.viewer.clone()),
                assignee,
                labels: Vec::new(),
                cycle: None,
                project: None,
                parent: None,
                due: None,
                created: now,
                updated: now,
                archived: None,
                trashed: false,
                started: None,
                completed: None,
                canceled: None,
            };
            let identifier = work.world.identifier(&issue);
            work.world.add_issue(issue);
            work.created.push(format!("issue:{id}"));
            work.tell("create", "Issue", &id, None);
            Ok(identifier)
        })
    }

    /// Changes an issue, named by identifier or UUID.
    pub fn edit_issue(&self, issue: &str, edit: &IssueEdit) -> Result<()> {
        let id = self.issue_id(issue).ok_or_else(|| missing("issue", issue))?;
        self.change(&[format!("issue:{id}")], |work| {
            let now = work.now;
            let before = work.issue(&id)?.clone();
            let mut next = before.clone();
            let mut from = json!({"updatedAt": iso_ms(before.updated)});
            if let Some(title) = &edit.title {
                from["title"] = json!(before.title.get());
                next.title = Text::Given(title.clone());
            }
            if let Some(description) = &edit.description {
                from["description"] = json!(before.description.as_ref().map(Text::get));
                next.description = description.clone().map(Text::Given);
            }
            if let Some(name) = &edit.state {
                from["stateId"] = json!(before.state);
                let state = generate::state(work.world, &before.team, name);
                next.state = state.ok_or_else(|| missing("state", name))?;
                let kind = work.world.states.get(&next.state).map(|state| state.kind.as_str());
                let kind = kind.unwrap_or_default();
                if matches!(kind, "started" | "completed") {
                    next.started = next.started.or(Some(now));
                }
                next.completed = (kind == "completed").then_some(now);
                next.canceled = (kind == "canceled").then_some(now);
            }
            if let Some(priority) = edit.priority {
                from["priority"] = json!(before.priority);
                next.priority = priority.min(PRIORITIES.len() as u8 - 1);
            }
            if let Some(estimate) = edit.estimate {
                from["estimate"] = json!(before.estimate);
                next.estimate = estimate;
            }
            if let Some(assignee) = &edit.assignee {
                from["assigneeId"] = json!(before.assignee);
                next.assignee = match assignee {
                    Some(name) => {
                        let user = generate::user(work.world, name);
                        Some(user.ok_or_else(|| missing("user", name))?)
                    }
                    None => None,
                };
            }
            if let Some(labels) = &edit.labels {
                from["labelIds"] = json!(before.labels);
                let labels = labels.iter().map(|name| {
                    generate::label(work.world, name).ok_or_else(|| missing("label", name))
                });
                next.labels = labels.collect::<Result<_>>()?;
            }
            if let Some(cycle) = edit.cycle {
                from["cycleId"] = json!(before.cycle);
                let mut cycles = work.world.cycles.values().filter(|c| c.team == before.team);
                next.cycle = match cycle {
                    Some(number) => {
                        let found = cycles.find(|cycle| cycle.number == number);
                        let found = found.ok_or_else(|| missing("cycle", &number.to_string()))?;
                        Some(found.id.clone())
                    }
                    None => None,
                };
            }
            if let Some(project) = &edit.project {
                from["projectId"] = json!(before.project);
                next.project = match project {
                    Some(name) => {
                        let mut projects = work.world.projects.values();
                        let found = projects.find(|project| project.name == *name);
                        Some(found.ok_or_else(|| missing("project", name))?.id.clone())
                    }
                    None => None,
                };
            }
            if let Some(due) = &edit.due {
                from["dueDate"] = json!(before.due);
                next.due.clone_from(due);
            }
            if let Some(parent) = &edit.parent {
                from["parentId"] = json!(before.parent);
                next.parent = match parent {
                    Some(name) => {
                        let found = work.world.issue(name);
                        Some(found.ok_or_else(|| missing("issue", name))?.id.clone())
                    }
                    None => None,
                };
            }
            next.updated = now;
            *work.issue(&id)? = next;
            work.tell("update", "Issue", &id, Some(from));
            Ok(())
        })
    }

    pub fn retitle(&self, issue: &str, title: &str) -> Result<()> {
        let title = Some(title.to_owned());
        self.edit_issue(issue, &IssueEdit { title, ..IssueEdit::default() })
    }

    /// Moves an issue to a state of its team, by name.
    pub fn set_state(&self, issue: &str, state: &str) -> Result<()> {
        let state = Some(state.to_owned());
        self.edit_issue(issue, &IssueEdit { state, ..IssueEdit::default() })
    }

    pub fn set_priority(&self, issue: &str, priority: u8) -> Result<()> {
        let priority = Some(priority);
        self.edit_issue(issue, &IssueEdit { priority, ..IssueEdit::default() })
    }

    /// Moves an issue to another team: the UUID stays, the identifier changes, and the old one
    /// still leads to it. Returns the new one.
    pub fn move_issue(&self, issue: &str, team: &str) -> Result<String> {
        let id = self.issue_id(issue).ok_or_else(|| missing("issue", issue))?;
        self.change(&[format!("issue:{id}")], |work| {
            let now = work.now;
            let target = work.world.team_by_key(team).ok_or_else(|| missing("team", team))?;
            let (target, number) = (target.id.clone(), target.last_number + 1);
            let mut moved = work.issue(&id)?.clone();
            let old = work.world.identifier(&moved);
            let name = work.world.states.get(&moved.state).map(|state| state.name.clone());
            let state = generate::state(work.world, &target, name.as_deref().unwrap_or("Todo"));
            let from = json!({"teamId": moved.team, "stateId": moved.state, "number": moved.number,
                              "updatedAt": iso_ms(moved.updated)});
            moved.former.push(old);
            moved.state = state.ok_or_else(|| missing("state", "Todo"))?;
            (moved.team, moved.number, moved.cycle, moved.updated) = (target, number, None, now);
            let identifier = work.world.identifier(&moved);
            work.world.add_issue(moved);
            work.tell("update", "Issue", &id, Some(from));
            Ok(identifier)
        })
    }

    /// Archives an issue: listings leave it out unless asked, its id still answers.
    pub fn archive_issue(&self, issue: &str) -> Result<()> {
        let id = self.issue_id(issue).ok_or_else(|| missing("issue", issue))?;
        self.change(&[format!("issue:{id}")], |work| {
            let now = work.now;
            let issue = work.issue(&id)?;
            issue.archived = Some(now);
            issue.updated = now;
            work.tell("update", "Issue", &id, Some(json!({"archivedAt": null})));
            Ok(())
        })
    }

    /// Removes an issue and its comments for good.
    pub fn delete_issue(&self, issue: &str) -> Result<()> {
        let id = self.issue_id(issue).ok_or_else(|| missing("issue", issue))?;
        let mut objects: Vec<String> =
            self.comment_ids(&id).iter().map(|id| format!("comment:{id}")).collect();
        objects.push(format!("issue:{id}"));
        self.change(&objects, |work| {
            work.tell("remove", "Issue", &id, None);
            for comment in work.world.comments_of.remove(&id).unwrap_or_default() {
                work.world.comments.remove(&comment);
            }
            work.world.identifiers.retain(|_, known| *known != id);
            work.world.issues.remove(&id).map(|_| ()).ok_or_else(|| missing("issue", &id))
        })
    }

    /// Adds a comment by a person's display name and returns its UUID.
    pub fn add_comment(&self, issue: &str, user: &str, body: &str) -> Result<String> {
        let issue = self.issue_id(issue).ok_or_else(|| missing("issue", issue))?;
        self.change(&[format!("issue:{issue}")], |work| {
            let (id, now) = (work.new_id.clone(), work.now);
            let user = generate::user(work.world, user).ok_or_else(|| missing("user", user))?;
            work.world.add_comment(Comment {
                id: id.clone(),
                issue: issue.clone(),
                user: Some(user),
                parent: None,
                body: body.into(),
                created: now,
                updated: now,
                edited: None,
            });
            if work.touch {
                work.issue(&issue)?.updated = now;
            }
            work.created.push(format!("comment:{id}"));
            work.tell("create", "Comment", &id, None);
            Ok(id)
        })
    }

    pub fn edit_comment(&self, comment: &str, body: &str) -> Result<()> {
        let issue = self.issue_of(comment)?;
        self.change(&[format!("issue:{issue}"), format!("comment:{comment}")], |work| {
            let (now, touch) = (work.now, work.touch);
            let found = work.world.comments.get_mut(comment);
            let found = found.ok_or_else(|| missing("comment", comment))?;
            let from = json!({"body": found.body.get(), "updatedAt": iso_ms(found.updated)});
            found.body = body.into();
            (found.updated, found.edited) = (now, Some(now));
            if touch {
                work.issue(&issue)?.updated = now;
            }
            work.tell("update", "Comment", comment, Some(from));
            Ok(())
        })
    }

    pub fn delete_comment(&self, comment: &str) -> Result<()> {
        let issue = self.issue_of(comment)?;
        self.change(&[format!("issue:{issue}"), format!("comment:{comment}")], |work| {
            work.tell("remove", "Comment", comment, None);
            if let Some(list) = work.world.comments_of.get_mut(&issue) {
                list.retain(|known| known != comment);
            }
            if work.touch {
                work.issue(&issue)?.updated = work.now;
            }
            let removed = work.world.comments.remove(comment);
            removed.map(|_| ()).ok_or_else(|| missing("comment", comment))
        })
    }

    fn issue_of(&self, comment: &str) -> Result<String> {
        let state = lock(&self.shared.state);
        let found = state.world.comments.get(comment);
        Ok(found.ok_or_else(|| missing("comment", comment))?.issue.clone())
    }

    /// Renames a workflow state of a team. Linear moves no issue's `updatedAt` for it.
    pub fn rename_state(&self, team: &str, state: &str, name: &str) -> Result<()> {
        let id = {
            let guard = lock(&self.shared.state);
            let team = guard.world.team_by_key(team).ok_or_else(|| missing("team", team))?;
            let found = generate::state(&guard.world, &team.id, state);
            found.ok_or_else(|| missing("state", state))?
        };
        self.change(&[format!("state:{id}")], |work| {
            let now = work.now;
            let states = &mut work.world.states;
            let found = states.get_mut(&id).ok_or_else(|| missing("state", &id))?;
            found.name = name.to_owned();
            found.updated = now;
            Ok(())
        })
    }

    pub fn rename_project(&self, project: &str, name: &str) -> Result<()> {
        let id = {
            let guard = lock(&self.shared.state);
            let found = guard.world.projects.values().find(|p| p.name == project);
            found.ok_or_else(|| missing("project", project))?.id.clone()
        };
        self.change(&[format!("project:{id}")], |work| {
            let now = work.now;
            let projects = &mut work.world.projects;
            let found = projects.get_mut(&id).ok_or_else(|| missing("project", &id))?;
            let from = json!({"name": found.name, "updatedAt": iso_ms(found.updated)});
            found.name = name.to_owned();
            found.updated = now;
            work.tell("update", "Project", &id, Some(from));
            Ok(())
        })
    }
}

fn payload(world: &World, told: &Told, now: i64) -> Value {
    let viewer = world.users.get(&world.viewer);
    let actor = viewer.map(|user| json!({"id": user.id, "name": user.name, "type": "user"}));
    let mut payload = json!({
        "action": told.action, "type": told.kind, "actor": actor, "createdAt": iso_ms(now),
        "data": told.data, "url": told.data.get("url"), "organizationId": world.organization,
        // Receivers compare it with their own clock, so it is the wall's.
        "webhookTimestamp": wall_ms(), "webhookId": world.organization,
    });
    if let Some(from) = &told.updated_from {
        payload["updatedFrom"] = from.clone();
    }
    payload
}

fn delivery(id: String, kind: &str, secret: &str, body: Vec<u8>) -> Delivery {
    let signature = linear_signature(secret, &body);
    let headers = [
        ("Accept-Charset", "utf-8"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("User-Agent", "Linear-Webhook"),
        ("Linear-Delivery", &id),
        ("Linear-Event", kind),
        ("Linear-Signature", &signature),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Delivery { id, event: kind.to_owned(), headers: headers.into(), body }
}
