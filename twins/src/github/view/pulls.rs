//! Pull requests, their reviews, commits and files.

use serde_json::{Value, json};

use super::{View, escape_path, merge, node_id};
use crate::clock::iso;
use crate::github::data::{Issue, Pull, Repo, Review, ReviewComment};
use crate::github::diff::{self, FileChange};

impl View<'_> {
    /// `pull-request-simple`; nothing for a plain issue.
    pub fn pull(&self, repo: &Repo, issue: &Issue) -> Option<Value> {
        let pull = issue.pull.as_ref()?;
        let (api, html) = (self.repo_url(repo), self.repo_html(repo));
        let number = issue.number;
        let (url, page) = (format!("{api}/pulls/{number}"), format!("{html}/pull/{number}"));
        let issue_url = format!("{api}/issues/{number}");
        let statuses = format!("{api}/statuses/{}", pull.head_sha);
        let mut value = self.issue(repo, issue);
        if let Value::Object(members) = &mut value {
            for name in [
                "repository_url",
                "labels_url",
                "events_url",
                "timeline_url",
                "comments",
                "closed_by",
                "reactions",
                "performed_via_github_app",
                "state_reason",
                "pull_request",
            ] {
                members.remove(name);
            }
        }
        let side = |branch: &str, sha: &str| {
            json!({
                "label": format!("{}:{branch}", repo.owner), "ref": branch, "sha": sha,
                "user": self.user(&repo.owner), "repo": self.repo(repo),
            })
        };
        let more = json!({
            "id": pull.id, "url": url, "html_url": page,
            "diff_url": format!("{page}.diff"), "patch_url": format!("{page}.patch"),
            "issue_url": issue_url, "commits_url": format!("{url}/commits"),
            "review_comments_url": format!("{url}/comments"),
            "review_comment_url": format!("{api}/pulls/comments{{/number}}"),
            "comments_url": format!("{issue_url}/comments"), "statuses_url": statuses,
            "merged_at": pull.merged.map(iso), "merge_commit_sha": pull.merge_commit,
            "requested_reviewers": [], "requested_teams": [], "draft": pull.draft,
            "auto_merge": null,
            "head": side(&pull.head, &pull.head_sha), "base": side(&pull.base, &pull.base_sha),
            "_links": {
                "self": {"href": url}, "html": {"href": page}, "issue": {"href": issue_url},
                "comments": {"href": format!("{issue_url}/comments")},
                "review_comments": {"href": format!("{url}/comments")},
                "review_comment": {"href": format!("{api}/pulls/comments{{/number}}")},
                "commits": {"href": format!("{url}/commits")},
                "statuses": {"href": statuses},
            },
        });
        merge(&mut value, more);
        Some(value)
    }

    /// `pull-request`
    pub fn full_pull(&self, repo: &Repo, issue: &Issue) -> Option<Value> {
        let pull = issue.pull.as_ref()?;
        let mut value = self.pull(repo, issue)?;
        let files = changes(repo, pull);
        let mergeable = issue.open.then_some(true);
        let more = json!({
            "merged": pull.merged.is_some(), "mergeable": mergeable, "rebaseable": mergeable,
            "mergeable_state": if issue.open { "clean" } else { "unknown" },
            "merged_by": self.user_or_null(pull.merged_by.as_deref()),
            "comments": issue.comments, "review_comments": pull.comments.len(),
            "maintainer_can_modify": false, "commits": commits(repo, pull).len(),
            "additions": files.iter().map(|f| f.additions).sum::<usize>(),
            "deletions": files.iter().map(|f| f.deletions).sum::<usize>(),
            "changed_files": files.len(),
        });
        merge(&mut value, more);
        Some(value)
    }

    /// `diff-entry`
    pub fn file(&self, repo: &Repo, pull: &Pull, file: &FileChange) -> Value {
        let (api, html) = (self.repo_url(repo), self.repo_html(repo));
        let (path, sha) = (escape_path(&file.path), &pull.head_sha);
        let mut value = json!({
            "sha": file.oid, "filename": file.path, "status": file.status,
            "additions": file.additions, "deletions": file.deletions,
            "changes": file.additions + file.deletions,
            "blob_url": format!("{html}/blob/{sha}/{path}"),
            "raw_url": format!("{html}/raw/{sha}/{path}"),
            "contents_url": format!("{api}/contents/{path}?ref={sha}"),
        });
        if let Some(patch) = &file.patch {
            value["patch"] = json!(patch);
        }
        if let Some(previous) = &file.previous {
            value["previous_filename"] = json!(previous);
        }
        value
    }

    /// `pull-request-review`
    pub fn review(&self, repo: &Repo, number: u64, review: &Review) -> Value {
        let page = format!("{}/pull/{number}", self.repo_html(repo));
        let page = format!("{page}#pullrequestreview-{}", review.id);
        let pull = format!("{}/pulls/{number}", self.repo_url(repo));
        json!({
            "id": review.id, "node_id": node_id("PRR", review.id),
            "user": self.user(&review.author), "body": review.body, "state": review.state,
            "html_url": page, "pull_request_url": pull,
            "_links": {"html": {"href": page}, "pull_request": {"href": pull}},
            "submitted_at": iso(review.submitted), "commit_id": review.commit,
            "author_association": self.association(repo, &review.author),
        })
    }

    /// `pull-request-review-comment`
    pub fn review_comment(&self, repo: &Repo, number: u64, comment: &ReviewComment) -> Value {
        let url = format!("{}/pulls/comments/{}", self.repo_url(repo), comment.id);
        let page = format!("{}/pull/{number}#discussion_r{}", self.repo_html(repo), comment.id);
        let pull = format!("{}/pulls/{number}", self.repo_url(repo));
        json!({
            "url": url, "pull_request_review_id": comment.review, "id": comment.id,
            "node_id": node_id("PRRC", comment.id), "diff_hunk": comment.hunk,
            "path": comment.path, "commit_id": comment.commit,
            "original_commit_id": comment.commit, "user": self.user(&comment.author),
            "body": comment.body, "created_at": iso(comment.created),
            "updated_at": iso(comment.updated), "html_url": page, "pull_request_url": pull,
            "author_association": self.association(repo, &comment.author),
            "_links": {"self": {"href": url}, "html": {"href": page},
                       "pull_request": {"href": pull}},
            "reactions": self.reactions(&url), "line": comment.line, "side": "RIGHT",
            "original_line": comment.line, "position": 1, "original_position": 1,
            "start_line": null, "original_start_line": null, "start_side": null,
            "subject_type": "line",
        })
    }
}

/// The commits of a pull request, oldest first.
pub(crate) fn commits<'a>(repo: &'a Repo, pull: &'a Pull) -> Vec<&'a str> {
    repo.git.between(&pull.base_sha, &pull.head_sha)
}

/// The files of a pull request: from where the branches parted to the head.
pub(crate) fn changes(repo: &Repo, pull: &Pull) -> Vec<FileChange> {
    let base = repo.git.merge_base(&pull.base_sha, &pull.head_sha);
    diff::between_commits(&repo.git, Some(base), &pull.head_sha)
}
