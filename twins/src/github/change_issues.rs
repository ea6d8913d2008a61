//! Changes to issues, pull requests and their comments.

use std::sync::Arc;

use serde_json::{Value, json};

use super::GithubTwin;
use super::change::{Work, missing};
use super::data::{Comment, Gone, Issue, Pull, Review};
use super::view::merge;
use crate::Result;
use crate::text::Text;

/// An issue to open.
#[derive(Clone, Debug, Default)]
pub struct NewIssue {
    pub title: String,
    pub body: Option<String>,
    /// The viewer where empty.
    pub author: String,
    pub labels: Vec<String>,
    pub assignees: Vec<String>,
}

/// What to change in an issue; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct IssueEdit {
    pub title: Option<String>,
    /// `Some(None)` takes the body away.
    pub body: Option<Option<String>>,
    pub open: Option<bool>,
    pub labels: Option<Vec<String>>,
    pub assignees: Option<Vec<String>>,
    pub milestone: Option<Option<u64>>,
    pub draft: Option<bool>,
}

pub(super) fn object(repo: u64, number: u64) -> String {
    format!("issue:{repo}/{number}")
}

fn shared(names: &[String]) -> Vec<Arc<str>> {
    names.iter().map(|name| name.as_str().into()).collect()
}

impl Work<'_> {
    pub fn issue(&mut self, repo: u64, number: u64) -> Result<&mut Issue> {
        let issues = &mut self.repo(repo)?.issues;
        issues.get_mut(&number).ok_or_else(|| missing("issue", number))
    }

    /// The event that tells of a change to this issue or pull request.
    pub fn tell(&mut self, repo: u64, number: u64, action: &str, more: Value) {
        if matches!(action, "closed" | "reopened" | "labeled" | "unlabeled") {
            self.note(repo, number, action);
        }
        let pull = self.issue(repo, number).is_ok_and(|issue| issue.pull.is_some());
        let edit = !matches!(
            action,
            "opened" | "closed" | "reopened" | "labeled" | "unlabeled" | "assigned" | "unassigned"
        );
        let (hook, kind) = match pull {
            true => ("pull_request", "PullRequestEvent"),
            false => ("issues", "IssuesEvent"),
        };
        let find = |view: &super::view::View<'_>, full: bool| -> Value {
            let Some(repo) = view.world.repos.get(&repo) else { return Value::Null };
            let Some(issue) = repo.issues.get(&number) else { return Value::Null };
            let mut payload = json!({"action": action});
            if !pull {
                merge(&mut payload, json!({"issue": view.issue(repo, issue)}));
            } else if full {
                let pull = view.full_pull(repo, issue);
                merge(&mut payload, json!({"number": number, "pull_request": pull}));
            } else {
                let pull = view.pull_ref(repo, number);
                merge(&mut payload, json!({"number": number, "pull_request": pull}));
            }
            payload
        };
        self.hook(repo, hook, |view| {
            let mut payload = find(&view, true);
            merge(&mut payload, more);
            payload
        });
        self.list(repo, kind, edit, |view| find(&view, false));
    }
}

impl GithubTwin {
    /// Opens an issue and returns its number.
    ///
    /// # Errors
    /// Where there is no such repository; so for every change below.
    pub fn open_issue(&self, repo: &str, new: NewIssue) -> Result<u64> {
        self.change(&[], |work| {
            let repo = work.repo_id(repo)?;
            let (now, id) = (work.now, work.world.next_id() + 2_400_000_000);
            let author = if new.author.is_empty() { &work.world.viewer } else { &new.author };
            let author: Arc<str> = author.as_str().into();
            let number = work.repo(repo)?.next_number();
            let issue = Issue {
                id,
                number,
                title: Text::Given(new.title),
                body: new.body.map(Text::Given),
                open: true,
                reason: None,
                author,
                assignees: shared(&new.assignees),
                labels: shared(&new.labels),
                milestone: None,
                locked: false,
                comments: 0,
                created: now,
                updated: now,
                closed: None,
                closed_by: None,
                pull: None,
            };
            work.repo(repo)?.issues.insert(number, issue);
            work.created(object(repo, number));
            work.tell(repo, number, "opened", json!({}));
            Ok(number)
        })
    }

    /// Opens a pull request between two branches and returns its number.
    ///
    /// # Errors
    /// Where a branch does not exist.
    pub fn open_pull(&self, repo: &str, title: &str, head: &str, base: &str) -> Result<u64> {
        let new = NewIssue { title: title.to_owned(), ..NewIssue::default() };
        let number = self.change(&[], |work| {
            let id = work.repo_id(repo)?;
            let (now, ids) = (work.now, (work.world.next_id(), work.world.next_id()));
            let author: Arc<str> = work.world.viewer.as_str().into();
            let repo = work.repo(id)?;
            let sha = |branch: &str| {
                let found = repo.branch(branch).map(str::to_owned);
                found.ok_or_else(|| missing("branch", branch))
            };
            let pull = Pull {
                id: ids.0,
                draft: false,
                merged: None,
                merged_by: None,
                merge_commit: None,
                base_sha: sha(base)?,
                head_sha: sha(head)?,
                base: base.to_owned(),
                head: head.to_owned(),
                reviews: Vec::new(),
                comments: Vec::new(),
            };
            let number = repo.next_number();
            let issue = Issue {
                id: ids.1 + 2_400_000_000,
                number,
                title: Text::Given(new.title),
                body: None,
                open: true,
                reason: None,
                author,
                assignees: vec![],
                labels: vec![],
                milestone: None,
                locked: false,
                comments: 0,
                created: now,
                updated: now,
                closed: None,
                closed_by: None,
                pull: Some(Box::new(pull)),
            };
            repo.issues.insert(number, issue);
            work.created(object(id, number));
            work.tell(id, number, "opened", json!({}));
            Ok(number)
        })?;
        Ok(number)
    }

    /// Changes an issue or pull request; one event for each kind of change, as at the service.
    ///
    /// # Errors
    /// Where there is no such issue; so for all that follow.
    pub fn edit_issue(&self, repo: &str, number: u64, edit: &IssueEdit) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[object(id, number)], |work| {
            let now = work.now;
            let viewer: Arc<str> = work.world.viewer.as_str().into();
            let issue = work.issue(id, number)?;
            let mut told: Vec<(&str, Value)> = Vec::new();
            let mut changes = json!({});
            if let Some(title) = &edit.title {
                changes["title"] = json!({"from": issue.title.get()});
                issue.title = Text::Given(title.clone());
            }
            if let Some(body) = &edit.body {
                changes["body"] = json!({"from": issue.body.as_ref().map(Text::get)});
                issue.body = body.clone().map(Text::Given);
            }
            if changes != json!({}) {
                told.push(("edited", json!({"changes": changes})));
            }
            if let Some(labels) = &edit.labels {
                let fewer = labels.len() < issue.labels.len();
                issue.labels = shared(labels);
                told.push((if fewer { "unlabeled" } else { "labeled" }, json!({})));
            }
            if let Some(assignees) = &edit.assignees {
                let fewer = assignees.len() < issue.assignees.len();
                issue.assignees = shared(assignees);
                told.push((if fewer { "unassigned" } else { "assigned" }, json!({})));
            }
            if let Some(milestone) = edit.milestone {
                issue.milestone = milestone;
                let action = if milestone.is_some() { "milestoned" } else { "demilestoned" };
                told.push((action, json!({"milestone": milestone})));
            }
            if let (Some(draft), Some(pull)) = (edit.draft, issue.pull.as_mut()) {
                pull.draft = draft;
                let action = if draft { "converted_to_draft" } else { "ready_for_review" };
                told.push((action, json!({})));
            }
            if let Some(open) = edit.open
                && open != issue.open
            {
                issue.open = open;
                issue.closed = (!open).then_some(now);
                issue.closed_by = (!open).then_some(viewer);
                issue.reason = match issue.pull {
                    Some(_) => None,
                    None => Some(if open { "reopened" } else { "completed" }),
                };
                told.push((if open { "reopened" } else { "closed" }, json!({})));
            }
            if !told.is_empty() {
                issue.updated = now;
            }
            for (action, mut more) in told {
                if let Some(milestone) = more.get("milestone").and_then(Value::as_u64) {
                    more["milestone"] = work.render(|view| {
                        let repo = view.world.repos.get(&id);
                        let found = repo.and_then(|repo| {
                            let mut all = repo.milestones.iter();
                            Some(view.milestone(repo, all.find(|m| m.number == milestone)?))
                        });
                        found.unwrap_or_default()
                    });
                }
                work.tell(id, number, action, more);
            }
            Ok(())
        })
    }

    pub fn retitle(&self, repo: &str, number: u64, title: &str) -> Result<()> {
        let edit = IssueEdit { title: Some(title.to_owned()), ..IssueEdit::default() };
        self.edit_issue(repo, number, &edit)
    }

    pub fn edit_body(&self, repo: &str, number: u64, body: Option<&str>) -> Result<()> {
        let body = Some(body.map(str::to_owned));
        self.edit_issue(repo, number, &IssueEdit { body, ..IssueEdit::default() })
    }

    pub fn close(&self, repo: &str, number: u64) -> Result<()> {
        self.edit_issue(repo, number, &IssueEdit { open: Some(false), ..IssueEdit::default() })
    }

    pub fn reopen(&self, repo: &str, number: u64) -> Result<()> {
        self.edit_issue(repo, number, &IssueEdit { open: Some(true), ..IssueEdit::default() })
    }

    pub fn set_labels(&self, repo: &str, number: u64, labels: &[&str]) -> Result<()> {
        let labels = Some(labels.iter().map(|l| (*l).to_owned()).collect());
        self.edit_issue(repo, number, &IssueEdit { labels, ..IssueEdit::default() })
    }

    pub fn assign(&self, repo: &str, number: u64, logins: &[&str]) -> Result<()> {
        let assignees = Some(logins.iter().map(|l| (*l).to_owned()).collect());
        self.edit_issue(repo, number, &IssueEdit { assignees, ..IssueEdit::default() })
    }

    /// Deletes an issue with its comments: its number answers 410 from then on.
    pub fn delete_issue(&self, repo: &str, number: u64) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        let mut objects = self.comment_objects(repo, number);
        objects.push(object(id, number));
        self.change(&objects, |work| {
            work.issue(id, number)?;
            work.tell(id, number, "deleted", json!({}));
            let repo = work.repo(id)?;
            repo.issues.remove(&number);
            repo.comments.retain(|_, comment| comment.issue != number);
            repo.gone.insert(number, Gone::Deleted);
            Ok(())
        })
    }

    /// Moves an issue to another repository and returns its number there. The old number answers
    /// 301 from then on; issue and comments have new ids.
    pub fn transfer_issue(&self, repo: &str, number: u64, to: &str) -> Result<u64> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        let mut objects = self.comment_objects(repo, number);
        objects.push(object(id, number));
        self.change(&objects, |work| {
            let target = work.repo_id(to)?;
            let new_number = work.repo(target)?.next_number();
            let mut moved = work.issue(id, number)?.clone();
            moved.id = work.world.next_id() + 2_400_000_000;
            moved.number = new_number;
            moved.milestone = None;
            moved.updated = work.now;
            let comments: Vec<Comment> = work.repo(id)?.comments_of(number).cloned().collect();
            work.repo(target)?.issues.insert(new_number, moved);
            work.created(object(target, new_number));
            for mut comment in comments {
                comment.id = work.world.next_id() + 1_900_000_000;
                comment.issue = new_number;
                work.created(format!("comment:{}", comment.id));
                work.repo(target)?.comments.insert(comment.id, comment);
            }
            let changes = work.render(|view| {
                let new = view.world.repos.get(&target);
                let issue = new.and_then(|r| Some(view.issue(r, r.issues.get(&new_number)?)));
                json!({"new_issue": issue, "new_repository": new.map(|r| view.repo(r))})
            });
            work.tell(id, number, "transferred", json!({"changes": changes}));
            let old = work.repo(id)?;
            old.issues.remove(&number);
            old.comments.retain(|_, comment| comment.issue != number);
            old.gone.insert(number, Gone::Transferred { repo: target, number: new_number });
            work.tell(target, new_number, "opened", json!({}));
            Ok(new_number)
        })
    }

    fn comment_objects(&self, repo: &str, number: u64) -> Vec<String> {
        self.comment_ids(repo, number).iter().map(|id| format!("comment:{id}")).collect()
    }

    /// Adds a review (`APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`) and returns its id.
    pub fn review(
        &self,
        repo: &str,
        number: u64,
        author: &str,
        state: &str,
        body: &str,
    ) -> Result<u64> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[object(id, number)], |work| {
            let (now, review) = (work.now, work.world.next_id());
            let issue = work.issue(id, number)?;
            issue.updated = now;
            let pull = issue.pull.as_mut().ok_or_else(|| missing("pull request", number))?;
            let made = Review {
                id: review,
                author: author.to_owned(),
                body: body.to_owned(),
                state: state.to_owned(),
                commit: pull.head_sha.clone(),
                submitted: now,
            };
            pull.reviews.push(made.clone());
            let make = |view: &super::view::View<'_>, full: bool| -> Value {
                let Some(repo) = view.world.repos.get(&id) else { return Value::Null };
                let Some(issue) = repo.issues.get(&number) else { return Value::Null };
                let pull = if full { view.pull(repo, issue) } else { view.pull_ref(repo, number) };
                let review = view.review(repo, number, &made);
                let action = if full { "submitted" } else { "created" };
                json!({"action": action, "review": review, "pull_request": pull})
            };
            work.hook(id, "pull_request_review", |view| make(&view, true));
            work.list(id, "PullRequestReviewEvent", false, |view| make(&view, false));
            Ok(review)
        })
    }

    /// Merges a pull request: the base branch moves to its head.
    pub fn merge(&self, repo: &str, number: u64) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        let base = {
            let state = crate::clock::lock(&self.shared.state);
            let issue = state.world.repos.get(&id).and_then(|r| r.issues.get(&number));
            let pull = issue.and_then(|issue| issue.pull.as_ref());
            pull.ok_or_else(|| missing("pull request", number))?.base.clone()
        };
        let branch = format!("refs/heads/{base}");
        self.change(&[object(id, number), format!("ref:{id}/{branch}")], |work| {
            let now = work.now;
            let viewer: Arc<str> = work.world.viewer.as_str().into();
            let issue = work.issue(id, number)?;
            let pull = issue.pull.as_mut().ok_or_else(|| missing("pull request", number))?;
            pull.merged = Some(now);
            pull.merged_by = Some(viewer.clone());
            pull.merge_commit = Some(pull.head_sha.clone());
            let head = pull.head_sha.clone();
            issue.open = false;
            (issue.closed, issue.updated) = (Some(now), now);
            issue.closed_by = Some(viewer);
            work.move_branch(id, &branch, &head)?;
            work.tell(id, number, "closed", json!({}));
            Ok(())
        })
    }
}

/// A push moves the head of every open pull request from that branch.
pub(super) fn follow_branch(work: &mut Work<'_>, repo: u64, branch: &str, sha: &str) -> Result<()> {
    let now = work.now;
    let mut moved = Vec::new();
    for issue in work.repo(repo)?.issues.values_mut().filter(|issue| issue.open) {
        if let Some(pull) = issue.pull.as_mut().filter(|pull| pull.head == branch) {
            let before = std::mem::replace(&mut pull.head_sha, sha.to_owned());
            issue.updated = now;
            moved.push((issue.number, before));
        }
    }
    for (number, before) in moved {
        work.tell(repo, number, "synchronize", json!({"before": before, "after": sha}));
    }
    Ok(())
}
