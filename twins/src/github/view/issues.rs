//! Issues and their comments.

use serde_json::{Value, json};

use super::{View, merge, node_id};
use crate::clock::iso;
use crate::github::data::{Comment, Issue, IssueEvent, Repo};
use crate::text::Text;

impl View<'_> {
    /// `issue`, as the listings and the single issue show it.
    pub fn issue(&self, repo: &Repo, issue: &Issue) -> Value {
        let (api, html) = (self.repo_url(repo), self.repo_html(repo));
        let number = issue.number;
        let url = format!("{api}/issues/{number}");
        let page = if issue.pull.is_some() { "pull" } else { "issues" };
        let assignees: Vec<Value> = issue.assignees.iter().map(|login| self.user(login)).collect();
        let labels = issue.labels.iter().filter_map(|name| repo.label(name));
        let milestone = repo.milestones.iter().find(|m| issue.milestone == Some(m.number));
        let mut value = json!({
            "url": url, "repository_url": api, "labels_url": format!("{url}/labels{{/name}}"),
            "comments_url": format!("{url}/comments"), "events_url": format!("{url}/events"),
            "html_url": format!("{html}/{page}/{number}"),
            "id": issue.id, "number": number, "title": issue.title.get(),
            "node_id": node_id(if issue.pull.is_some() { "PR" } else { "I" }, issue.id),
            "user": self.user(&issue.author),
            "labels": labels.map(|label| self.label(repo, label)).collect::<Vec<_>>(),
            "state": if issue.open { "open" } else { "closed" },
            "locked": issue.locked, "assignee": assignees.first(), "assignees": assignees,
            "milestone": milestone.map(|m| self.milestone(repo, m)), "comments": issue.comments,
            "created_at": iso(issue.created), "updated_at": iso(issue.updated),
            "closed_at": issue.closed.map(iso),
            "author_association": self.association(repo, &issue.author),
            "active_lock_reason": null, "body": issue.body.as_ref().map(Text::get),
            "closed_by": self.user_or_null(issue.closed_by.as_deref()),
            "reactions": self.reactions(&url), "timeline_url": format!("{url}/timeline"),
            "performed_via_github_app": null, "state_reason": issue.reason,
        });
        if let Some(pull) = &issue.pull {
            let more = json!({
                "draft": pull.draft,
                "pull_request": {
                    "url": format!("{api}/pulls/{number}"),
                    "html_url": format!("{html}/pull/{number}"),
                    "diff_url": format!("{html}/pull/{number}.diff"),
                    "patch_url": format!("{html}/pull/{number}.patch"),
                    "merged_at": pull.merged.map(iso),
                },
            });
            merge(&mut value, more);
        }
        value
    }

    /// `issue-event`
    pub fn issue_event(&self, repo: &Repo, event: &IssueEvent) -> Value {
        let issue = repo.issues.get(&event.issue).map(|issue| self.issue(repo, issue));
        json!({
            "id": event.id, "node_id": node_id("IE", event.id),
            "url": format!("{}/issues/events/{}", self.repo_url(repo), event.id),
            "actor": self.user(&event.actor), "event": event.name, "commit_id": null,
            "commit_url": null, "created_at": iso(event.at), "issue": issue,
            "performed_via_github_app": null,
        })
    }

    /// `issue-comment`
    pub fn comment(&self, repo: &Repo, comment: &Comment) -> Value {
        let (api, html) = (self.repo_url(repo), self.repo_html(repo));
        let url = format!("{api}/issues/comments/{}", comment.id);
        let pull = repo.issues.get(&comment.issue).is_some_and(|issue| issue.pull.is_some());
        let page = if pull { "pull" } else { "issues" };
        json!({
            "url": url, "id": comment.id, "node_id": node_id("IC", comment.id),
            "html_url": format!("{html}/{page}/{}#issuecomment-{}", comment.issue, comment.id),
            "issue_url": format!("{api}/issues/{}", comment.issue),
            "user": self.user(&comment.author),
            "created_at": iso(comment.created), "updated_at": iso(comment.updated),
            "author_association": self.association(repo, &comment.author),
            "body": comment.body.get(), "reactions": self.reactions(&url),
            "performed_via_github_app": null,
        })
    }
}
