//! What GitHub holds, as far as a reader of repositories can see it. Times are seconds since the
//! Unix epoch; logins and labels are referred to by name, as the API does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use axum::body::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::git::Store;
use crate::clock::iso;
use crate::requests::hex;
use crate::text::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountKind {
    User,
    Organization,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub id: u64,
    pub login: String,
    pub kind: AccountKind,
    pub name: String,
    pub bio: String,
    pub created: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub id: u64,
    pub name: String,
    pub color: String,
    pub description: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Milestone {
    pub id: u64,
    pub number: u64,
    pub title: String,
    pub description: String,
    pub creator: String,
    pub created: i64,
    pub updated: i64,
    pub due: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Issue {
    pub id: u64,
    pub number: u64,
    pub title: Text,
    pub body: Option<Text>,
    pub open: bool,
    /// `completed`, `not_planned`, `reopened`.
    pub reason: Option<&'static str>,
    pub author: Arc<str>,
    pub assignees: Vec<Arc<str>>,
    pub labels: Vec<Arc<str>>,
    pub milestone: Option<u64>,
    pub locked: bool,
    pub comments: u32,
    pub created: i64,
    pub updated: i64,
    pub closed: Option<i64>,
    pub closed_by: Option<Arc<str>>,
    pub pull: Option<Box<Pull>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub id: u64,
    pub draft: bool,
    pub merged: Option<i64>,
    pub merged_by: Option<Arc<str>>,
    pub merge_commit: Option<String>,
    pub base: String,
    pub base_sha: String,
    pub head: String,
    pub head_sha: String,
    pub reviews: Vec<Review>,
    pub comments: Vec<ReviewComment>,
}

#[derive(Clone, Debug)]
pub(crate) struct Review {
    pub id: u64,
    pub author: String,
    pub body: String,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`.
    pub state: String,
    pub commit: String,
    pub submitted: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct ReviewComment {
    pub id: u64,
    pub review: u64,
    pub author: String,
    pub body: String,
    pub path: String,
    pub line: u64,
    pub hunk: String,
    pub commit: String,
    pub created: i64,
    pub updated: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub id: u64,
    pub issue: u64,
    pub author: Arc<str>,
    pub body: Text,
    pub created: i64,
    pub updated: i64,
}

/// An entry of `/issues/events`.
#[derive(Clone, Debug)]
pub(crate) struct IssueEvent {
    pub id: u64,
    pub name: String,
    pub issue: u64,
    pub actor: String,
    pub at: i64,
}

/// Where a number went that no longer answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gone {
    Deleted,
    Transferred { repo: u64, number: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Workflow {
    pub id: u64,
    pub name: String,
    pub path: String,
    pub created: i64,
    pub updated: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub id: u64,
    pub workflow: u64,
    pub number: u64,
    pub attempt: u32,
    pub title: String,
    pub event: String,
    /// `queued`, `in_progress`, `completed`.
    pub status: String,
    pub conclusion: Option<String>,
    pub branch: String,
    pub sha: String,
    pub actor: String,
    pub pulls: Vec<u64>,
    pub created: i64,
    pub updated: i64,
    pub jobs: Vec<Job>,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub id: u64,
    pub name: String,
    pub status: String,
    pub conclusion: Option<String>,
    pub created: i64,
    pub started: i64,
    pub completed: Option<i64>,
    pub steps: Vec<String>,
    pub log: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub id: u64,
    pub tag: String,
    pub target: String,
    pub name: String,
    pub notes: String,
    pub draft: bool,
    pub prerelease: bool,
    pub author: String,
    pub created: i64,
    pub published: i64,
    pub updated: i64,
    pub assets: Vec<Asset>,
}

#[derive(Clone, Debug)]
pub(crate) struct Asset {
    pub id: u64,
    pub name: String,
    pub content_type: String,
    pub content: Bytes,
    /// SHA-256 of the content, in hexadecimal.
    pub digest: String,
    pub created: i64,
}

impl Asset {
    pub fn new(id: u64, name: String, content_type: String, content: Vec<u8>, now: i64) -> Asset {
        let digest = hex(&Sha256::digest(&content));
        Asset { id, name, content_type, content: content.into(), digest, created: now }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub description: String,
    pub private: bool,
    pub default_branch: String,
    pub created: i64,
    pub updated: i64,
    pub pushed: i64,
    pub labels: Vec<Label>,
    pub milestones: Vec<Milestone>,
    pub issues: BTreeMap<u64, Issue>,
    pub gone: BTreeMap<u64, Gone>,
    pub comments: BTreeMap<u64, Comment>,
    /// Newest last.
    pub issue_events: Vec<IssueEvent>,
    pub workflows: Vec<Workflow>,
    pub runs: BTreeMap<u64, Run>,
    pub releases: BTreeMap<u64, Release>,
    /// Full names: `refs/heads/main`, `refs/tags/v1.0.0`.
    pub refs: BTreeMap<String, String>,
    pub git: Store,
    /// A recursive listing with more entries than this is cut there and says `truncated`.
    pub tree_limit: usize,
    /// Newest last: a number that grows, and the document of the events listing. Bounded.
    pub events: VecDeque<(u64, Value)>,
}

impl Repo {
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub fn next_number(&self) -> u64 {
        let issues = self.issues.last_key_value().map_or(0, |(n, _)| *n);
        let gone = self.gone.last_key_value().map_or(0, |(n, _)| *n);
        issues.max(gone) + 1
    }

    pub fn label(&self, name: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.name == name)
    }

    pub fn open_issues(&self) -> usize {
        self.issues.values().filter(|issue| issue.open).count()
    }

    pub fn comments_of(&self, number: u64) -> impl Iterator<Item = &Comment> {
        self.comments.values().filter(move |c| c.issue == number)
    }

    pub fn branch(&self, name: &str) -> Option<&str> {
        self.refs.get(&format!("refs/heads/{name}")).map(String::as_str)
    }
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub viewer: String,
    pub accounts: BTreeMap<String, Account>,
    /// Organisations of the viewer.
    pub organizations: Vec<String>,
    pub repos: BTreeMap<u64, Repo>,
    /// Lower-case full name to id, for names in use.
    pub names: HashMap<String, u64>,
    /// Lower-case former full name to id.
    pub former: HashMap<String, u64>,
    pub last_id: u64,
}

impl World {
    /// Ids are shared by all kinds of object, as they need only be unique within one.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn account(&self, login: &str) -> Option<&Account> {
        self.accounts.get(&login.to_lowercase())
    }

    pub fn add_account(&mut self, kind: AccountKind, login: &str, name: &str, created: i64) {
        let id = self.next_id();
        let bio = String::new();
        let (login, name) = (login.to_owned(), name.to_owned());
        let account = Account { id, login: login.clone(), kind, name, bio, created };
        self.accounts.insert(login.to_lowercase(), account);
    }

    pub fn add_repo(&mut self, repo: Repo) {
        self.names.insert(repo.full_name().to_lowercase(), repo.id);
        self.repos.insert(repo.id, repo);
    }

    pub fn repo(&self, full_name: &str) -> Option<&Repo> {
        self.repos.get(self.names.get(&full_name.to_lowercase())?)
    }

    pub fn repo_mut(&mut self, full_name: &str) -> Option<&mut Repo> {
        self.repos.get_mut(self.names.get(&full_name.to_lowercase())?)
    }

    /// The newest time in the data.
    pub fn newest(&self) -> i64 {
        let repos = self.repos.values();
        repos
            .map(|repo| {
                let issues = repo.issues.values().map(|i| i.updated).max().unwrap_or(0);
                let comments = repo.comments.values().map(|c| c.updated).max().unwrap_or(0);
                let runs = repo.runs.values().map(|r| r.updated).max().unwrap_or(0);
                issues.max(comments).max(runs).max(repo.updated).max(repo.pushed)
            })
            .max()
            .unwrap_or(0)
    }

    /// The object's fields as the history keeps them; see the `history` module for the names.
    pub fn snapshot(&self, object: &str) -> Option<Value> {
        let (kind, id) = object.split_once(':')?;
        match kind {
            "repo" => {
                let repo = self.repos.get(&id.parse().ok()?)?;
                Some(json!({
                    "full_name": repo.full_name(), "description": repo.description,
                    "default_branch": repo.default_branch, "updated_at": iso(repo.updated),
                }))
            }
            "issue" => {
                let (repo, number) = id.split_once('/')?;
                let repo = self.repos.get(&repo.parse().ok()?)?;
                Some(issue_fields(repo, repo.issues.get(&number.parse().ok()?)?))
            }
            "comment" => {
                let id = id.parse().ok()?;
                let comment = self.repos.values().find_map(|r| r.comments.get(&id))?;
                Some(json!({
                    "issue": comment.issue, "author": &*comment.author,
                    "body": comment.body.get(), "updated_at": iso(comment.updated),
                }))
            }
            "run" => {
                let id = id.parse().ok()?;
                let run = self.repos.values().find_map(|r| r.runs.get(&id))?;
                Some(json!({
                    "status": run.status, "conclusion": run.conclusion, "attempt": run.attempt,
                    "sha": run.sha, "branch": run.branch, "updated_at": iso(run.updated),
                    "jobs": run.jobs.iter().map(|j| json!({
                        "name": j.name, "status": j.status, "conclusion": j.conclusion,
                        "log": j.log,
                    })).collect::<Vec<_>>(),
                }))
            }
            "release" => {
                let id = id.parse().ok()?;
                let release = self.repos.values().find_map(|r| r.releases.get(&id))?;
                Some(json!({
                    "tag": release.tag, "name": release.name, "notes": release.notes,
                    "assets": release.assets.iter().map(|a| &a.name).collect::<Vec<_>>(),
                }))
            }
            "ref" => {
                let (repo, name) = id.split_once('/')?;
                let repo = self.repos.get(&repo.parse().ok()?)?;
                repo.refs.get(name).map(|sha| json!(sha))
            }
            _ => None,
        }
    }
}

fn issue_fields(repo: &Repo, issue: &Issue) -> Value {
    let strings = |list: &[Arc<str>]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let mut fields = json!({
        "repo": repo.full_name(), "number": issue.number, "title": issue.title.get(),
        "body": issue.body.as_ref().map(Text::get),
        "state": if issue.open { "open" } else { "closed" },
        "author": &*issue.author, "assignees": strings(&issue.assignees),
        "labels": strings(&issue.labels), "milestone": issue.milestone,
        "locked": issue.locked, "comments": issue.comments,
        "created_at": iso(issue.created), "updated_at": iso(issue.updated),
        "closed_at": issue.closed.map(iso),
    });
    if let Some(pull) = &issue.pull {
        fields["draft"] = json!(pull.draft);
        fields["merged"] = json!(pull.merged.is_some());
        fields["head_sha"] = json!(pull.head_sha);
        fields["base"] = json!(pull.base);
        fields["reviews"] = json!(pull.reviews.len());
    }
    fields
}
