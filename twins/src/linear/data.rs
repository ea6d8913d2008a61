//! What Linear holds, as far as a reader of a workspace can see it. Objects refer to each other by
//! UUID; times are milliseconds since the Unix epoch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clock::iso_ms;
use crate::text::Text;

pub(crate) const PRIORITIES: [&str; 5] = ["No priority", "Urgent", "High", "Medium", "Low"];

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub created: i64,
    pub updated: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Team {
    pub id: String,
    pub key: String,
    pub name: String,
    pub members: Vec<String>,
    pub created: i64,
    pub updated: i64,
    pub last_number: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub id: String,
    pub team: String,
    pub name: String,
    /// `triage`, `backlog`, `unstarted`, `started`, `completed`, `canceled`, `duplicate`.
    pub kind: String,
    pub color: String,
    pub position: f64,
    pub created: i64,
    pub updated: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Cycle {
    pub id: String,
    pub team: String,
    pub number: u64,
    pub name: Option<String>,
    pub starts: i64,
    pub ends: i64,
    pub created: i64,
    pub updated: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub id: String,
    pub name: String,
    pub description: String,
    pub content: Option<String>,
    /// `backlog`, `planned`, `started`, `paused`, `completed`, `canceled`.
    pub state: String,
    pub lead: Option<String>,
    pub teams: Vec<String>,
    pub slug: String,
    pub target: Option<String>,
    pub created: i64,
    pub updated: i64,
    pub archived: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub id: String,
    pub name: String,
    pub color: String,
    pub created: i64,
    pub updated: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Issue {
    pub id: String,
    pub team: String,
    pub number: u64,
    pub former: Vec<String>,
    pub title: Text,
    pub description: Option<Text>,
    pub priority: u8,
    pub estimate: Option<f64>,
    pub state: String,
    pub creator: Option<String>,
    pub assignee: Option<String>,
    pub labels: Vec<String>,
    pub cycle: Option<String>,
    pub project: Option<String>,
    pub parent: Option<String>,
    pub due: Option<String>,
    pub created: i64,
    pub updated: i64,
    pub archived: Option<i64>,
    pub trashed: bool,
    pub started: Option<i64>,
    pub completed: Option<i64>,
    pub canceled: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub id: String,
    pub issue: String,
    pub user: Option<String>,
    pub parent: Option<String>,
    pub body: Text,
    pub created: i64,
    pub updated: i64,
    pub edited: Option<i64>,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub organization: String,
    pub organization_name: String,
    pub url_key: String,
    pub viewer: String,
    pub founded: i64,
    pub users: BTreeMap<String, User>,
    pub teams: BTreeMap<String, Team>,
    pub states: BTreeMap<String, State>,
    pub cycles: BTreeMap<String, Cycle>,
    pub projects: BTreeMap<String, Project>,
    pub labels: BTreeMap<String, Label>,
    pub issues: BTreeMap<String, Issue>,
    pub comments: BTreeMap<String, Comment>,
    /// The comments of each issue, oldest first.
    pub comments_of: BTreeMap<String, Vec<String>>,
    /// `ENG-204` to UUID, former identifiers included.
    pub identifiers: BTreeMap<String, String>,
}

impl World {
    pub fn team_by_key(&self, key: &str) -> Option<&Team> {
        self.teams.values().find(|team| team.key.eq_ignore_ascii_case(key))
    }

    pub fn identifier(&self, issue: &Issue) -> String {
        let key = self.teams.get(&issue.team).map_or("", |team| &team.key);
        format!("{key}-{}", issue.number)
    }

    /// By UUID or by identifier.
    pub fn issue(&self, id: &str) -> Option<&Issue> {
        match self.issues.get(id) {
            Some(issue) => Some(issue),
            None => self.issues.get(self.identifiers.get(&id.to_uppercase())?),
        }
    }

    pub fn add_issue(&mut self, issue: Issue) {
        let identifier = self.identifier(&issue);
        if let Some(team) = self.teams.get_mut(&issue.team) {
            team.last_number = team.last_number.max(issue.number);
        }
        self.identifiers.insert(identifier, issue.id.clone());
        self.issues.insert(issue.id.clone(), issue);
    }

    pub fn add_comment(&mut self, comment: Comment) {
        let list = self.comments_of.entry(comment.issue.clone()).or_default();
        list.push(comment.id.clone());
        self.comments.insert(comment.id.clone(), comment);
    }

    pub fn url(&self, rest: &str) -> String {
        format!("https://linear.app/{}/{rest}", self.url_key)
    }

    pub fn newest(&self) -> i64 {
        let issues = self.issues.values().map(|issue| issue.updated).max().unwrap_or(0);
        let comments = self.comments.values().map(|comment| comment.updated).max().unwrap_or(0);
        issues.max(comments)
    }

    /// The object's fields as the history keeps them: `issue:{uuid}`, `comment:{uuid}`,
    /// `project:{uuid}`, `state:{uuid}`, `team:{uuid}`.
    pub fn snapshot(&self, object: &str) -> Option<Value> {
        let (kind, id) = object.split_once(':')?;
        Some(match kind {
            "issue" => {
                let issue = self.issues.get(id)?;
                let label = |id: &String| self.labels.get(id).map(|label| label.name.clone());
                json!({
                    "identifier": self.identifier(issue), "title": issue.title.get(),
                    "description": issue.description.as_ref().map(Text::get),
                    "team": self.teams.get(&issue.team).map(|team| &team.key),
                    "state": self.states.get(&issue.state).map(|state| &state.name),
                    "priority": PRIORITIES.get(usize::from(issue.priority)),
                    "estimate": issue.estimate, "due": issue.due,
                    "assignee": self.user_name(issue.assignee.as_ref()),
                    "labels": issue.labels.iter().filter_map(label).collect::<Vec<_>>(),
                    "cycle": issue.cycle, "project": issue.project, "parent": issue.parent,
                    "archived": issue.archived.is_some(),
                    "created_at": iso_ms(issue.created), "updated_at": iso_ms(issue.updated),
                })
            }
            "comment" => {
                let comment = self.comments.get(id)?;
                json!({
                    "issue": comment.issue, "body": comment.body.get(),
                    "user": self.user_name(comment.user.as_ref()),
                    "updated_at": iso_ms(comment.updated),
                })
            }
            "project" => {
                let project = self.projects.get(id)?;
                json!({
                    "name": project.name, "description": project.description,
                    "content": project.content, "state": project.state,
                    "updated_at": iso_ms(project.updated),
                })
            }
            "state" => {
                let state = self.states.get(id)?;
                json!({"name": state.name, "type": state.kind})
            }
            "team" => {
                let team = self.teams.get(id)?;
                json!({"key": team.key, "name": team.name})
            }
            _ => return None,
        })
    }

    fn user_name(&self, id: Option<&String>) -> Option<&str> {
        self.users.get(id?).map(|user| user.display_name.as_str())
    }
}
