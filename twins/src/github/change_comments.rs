//! Changes to comments, and those that move no time of the issue that shows them.

use serde_json::{Value, json};

use super::GithubTwin;
use super::change::{Work, missing};
use super::change_issues::object;
use super::data::{Comment, IssueEvent, Pull};
use super::view::merge;
use crate::Result;

impl Work<'_> {
    /// An entry of the issue events.
    pub fn note(&mut self, repo: u64, issue: u64, name: &str) {
        let (id, at) = (self.world.next_id() + 9_000_000_000, self.now);
        let actor = self.world.viewer.clone();
        if let Ok(repo) = self.repo(repo) {
            repo.issue_events.push(IssueEvent { id, name: name.to_owned(), issue, actor, at });
        }
    }

    fn tell_comment(&mut self, repo: u64, comment: &Comment, action: &str, more: Value) {
        let make = |view: &super::view::View<'_>| -> Value {
            let Some(repo) = view.world.repos.get(&repo) else { return Value::Null };
            let issue = repo.issues.get(&comment.issue).map(|issue| view.issue(repo, issue));
            json!({"action": action, "issue": issue, "comment": view.comment(repo, comment)})
        };
        self.hook(repo, "issue_comment", |view| {
            let mut payload = make(&view);
            merge(&mut payload, more);
            payload
        });
        self.list(repo, "IssueCommentEvent", action != "created", |view| make(&view));
    }
}

impl GithubTwin {
    /// Adds a comment and returns its id.
    pub fn add_comment(&self, repo: &str, number: u64, author: &str, body: &str) -> Result<u64> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[object(id, number)], |work| {
            let now = work.now;
            let comment = Comment {
                id: work.world.next_id() + 1_900_000_000,
                issue: number,
                author: author.into(),
                body: body.into(),
                created: now,
                updated: now,
            };
            let issue = work.issue(id, number)?;
            issue.comments += 1;
            issue.updated = now;
            work.repo(id)?.comments.insert(comment.id, comment.clone());
            work.created(format!("comment:{}", comment.id));
            work.tell_comment(id, &comment, "created", json!({}));
            Ok(comment.id)
        })
    }

    /// Editing a comment moves the issue's `updated_at` too.
    pub fn edit_comment(&self, repo: &str, comment: u64, body: &str) -> Result<()> {
        let (id, number) = self.place_of(repo, comment)?;
        self.change(&[object(id, number), format!("comment:{comment}")], |work| {
            let now = work.now;
            let comments = &mut work.repo(id)?.comments;
            let found = comments.get_mut(&comment).ok_or_else(|| missing("comment", comment))?;
            let changes = json!({"changes": {"body": {"from": found.body.get()}}});
            found.body = body.into();
            found.updated = now;
            let found = found.clone();
            work.issue(id, number)?.updated = now;
            work.tell_comment(id, &found, "edited", changes);
            Ok(())
        })
    }

    pub fn delete_comment(&self, repo: &str, comment: u64) -> Result<()> {
        let (id, number) = self.place_of(repo, comment)?;
        self.change(&[object(id, number), format!("comment:{comment}")], |work| {
            let now = work.now;
            let removed = work.repo(id)?.comments.remove(&comment);
            let removed = removed.ok_or_else(|| missing("comment", comment))?;
            let issue = work.issue(id, number)?;
            issue.comments = issue.comments.saturating_sub(1);
            issue.updated = now;
            work.note(id, number, "comment_deleted");
            work.tell_comment(id, &removed, "deleted", json!({}));
            Ok(())
        })
    }

    fn place_of(&self, repo: &str, comment: u64) -> Result<(u64, u64)> {
        let state = crate::clock::lock(&self.shared.state);
        let repo = state.world.repo(repo).ok_or_else(|| missing("repository", repo))?;
        let found = repo.comments.get(&comment).ok_or_else(|| missing("comment", comment))?;
        Ok((repo.id, found.issue))
    }

    /// The name shows in every issue that has the label, and moves none of them.
    pub fn rename_label(&self, repo: &str, from: &str, to: &str) -> Result<()> {
        self.change(&[], |work| {
            let id = work.repo_id(repo)?;
            let repo = work.repo(id)?;
            let label = repo.labels.iter_mut().find(|label| label.name == from);
            label.ok_or_else(|| missing("label", from))?.name = to.to_owned();
            let labels = repo.issues.values_mut().flat_map(|issue| &mut issue.labels);
            labels.filter(|label| &***label == from).for_each(|label| *label = to.into());
            let changes = json!({"action": "edited", "changes": {"name": {"from": from}}});
            work.hook(id, "label", |_| changes);
            Ok(())
        })
    }

    /// The title shows in every issue that has the milestone, and moves none of them.
    pub fn rename_milestone(&self, repo: &str, number: u64, title: &str) -> Result<()> {
        self.change(&[], |work| {
            let (id, now) = (work.repo_id(repo)?, work.now);
            let mut milestones = work.repo(id)?.milestones.iter_mut();
            let milestone = milestones.find(|milestone| milestone.number == number);
            let milestone = milestone.ok_or_else(|| missing("milestone", number))?;
            (milestone.title, milestone.updated) = (title.to_owned(), now);
            work.hook(id, "milestone", |_| json!({"action": "edited"}));
            Ok(())
        })
    }

    /// Reopens an issue without a reason.
    pub fn reopen_without_reason(&self, repo: &str, number: u64) -> Result<()> {
        self.reopen(repo, number)?;
        self.change(&[], |work| {
            let id = work.repo_id(repo)?;
            work.issue(id, number)?.reason = None;
            Ok(())
        })
    }

    /// Makes an issue a pull request, with its number (`POST /pulls` with `issue`).
    pub fn make_pull(&self, repo: &str, number: u64, head: &str, base: &str) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[object(id, number)], |work| {
            let (now, pull) = (work.now, work.world.next_id());
            let repo = work.repo(id)?;
            let sha = |branch: &str| {
                let found = repo.branch(branch).map(str::to_owned);
                found.ok_or_else(|| missing("branch", branch))
            };
            let pull = Pull {
                id: pull,
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
            let issue = work.issue(id, number)?;
            (issue.pull, issue.updated) = (Some(Box::new(pull)), now);
            work.tell(id, number, "opened", json!({}));
            Ok(())
        })
    }
}
