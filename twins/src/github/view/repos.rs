//! Repositories, labels and milestones.

use serde_json::{Value, json};

use super::{View, merge, node_id};
use crate::clock::iso;
use crate::github::data::{AccountKind, Issue, Label, Milestone, Repo};
use crate::server::encode;

/// Members whose value is the repository's API URL with this at its end.
const URLS: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];

impl View<'_> {
    /// `minimal-repository` with the members that every form of a repository has.
    pub fn minimal_repo(&self, repo: &Repo) -> Value {
        let url = self.repo_url(repo);
        let mut value = json!({
            "id": repo.id, "node_id": node_id("R", repo.id), "name": repo.name,
            "full_name": repo.full_name(), "private": repo.private,
            "owner": self.user(&repo.owner), "html_url": self.repo_html(repo),
            "description": repo.description, "fork": false,
        });
        if let Value::Object(members) = &mut value {
            for (name, suffix) in URLS {
                members.insert(name.to_owned(), Value::String(format!("{url}{suffix}")));
            }
        }
        value
    }

    /// `repository`
    pub fn repo(&self, repo: &Repo) -> Value {
        if let Some(known) = self.memo.repos.borrow().get(&repo.id) {
            return known.clone();
        }
        let value = self.make_repo(repo);
        self.memo.repos.borrow_mut().insert(repo.id, value.clone());
        value
    }

    fn make_repo(&self, repo: &Repo) -> Value {
        let mut value = self.minimal_repo(repo);
        let html = self.repo_html(repo);
        let open = repo.open_issues();
        let more = json!({
            "git_url": format!("git://github.com/{}.git", repo.full_name()),
            "ssh_url": format!("git@github.com:{}.git", repo.full_name()),
            "clone_url": format!("{html}.git"), "svn_url": html,
            "mirror_url": null, "homepage": null, "language": "Rust",
            "forks_count": 0, "stargazers_count": 7, "watchers_count": 7, "size": 321,
            "default_branch": repo.default_branch, "open_issues_count": open,
            "is_template": false, "topics": [], "has_issues": true, "has_projects": true,
            "has_wiki": false, "has_pages": false, "has_downloads": true,
            "has_discussions": false, "archived": false, "disabled": false,
            "visibility": if repo.private { "private" } else { "public" },
            "pushed_at": iso(repo.pushed), "created_at": iso(repo.created),
            "updated_at": iso(repo.updated),
            "permissions": {"admin": false, "maintain": false, "push": true, "triage": true,
                            "pull": true},
            "allow_forking": true, "web_commit_signoff_required": false, "license": null,
            "forks": 0, "open_issues": open, "watchers": 7,
        });
        merge(&mut value, more);
        value
    }

    /// `full-repository`
    pub fn full_repo(&self, repo: &Repo) -> Value {
        let mut value = self.repo(repo);
        merge(&mut value, json!({"subscribers_count": 3, "network_count": 0}));
        let owner = self.world.account(&repo.owner);
        if owner.is_some_and(|account| account.kind == AccountKind::Organization) {
            merge(&mut value, json!({"organization": self.user(&repo.owner)}));
        }
        value
    }

    /// `label`
    pub fn label(&self, repo: &Repo, label: &Label) -> Value {
        let name = encode(&label.name, "");
        json!({
            "id": label.id, "node_id": node_id("LA", label.id),
            "url": format!("{}/labels/{name}", self.repo_url(repo)),
            "name": label.name, "color": label.color, "description": label.description,
            "default": matches!(label.name.as_str(), "bug" | "enhancement" | "wontfix"),
        })
    }

    /// `milestone`
    pub fn milestone(&self, repo: &Repo, milestone: &Milestone) -> Value {
        if let Some(known) = self.memo.milestones.borrow().get(&milestone.id) {
            return known.clone();
        }
        let value = self.make_milestone(repo, milestone);
        self.memo.milestones.borrow_mut().insert(milestone.id, value.clone());
        value
    }

    fn make_milestone(&self, repo: &Repo, milestone: &Milestone) -> Value {
        let url = format!("{}/milestones/{}", self.repo_url(repo), milestone.number);
        let inside = |issue: &&Issue| issue.milestone == Some(milestone.number);
        let open = repo.issues.values().filter(inside).filter(|i| i.open).count();
        let all = repo.issues.values().filter(inside).count();
        json!({
            "url": url,
            "html_url": format!("{}/milestone/{}", self.repo_html(repo), milestone.number),
            "labels_url": format!("{url}/labels"),
            "id": milestone.id, "node_id": node_id("MI", milestone.id),
            "number": milestone.number, "title": milestone.title,
            "description": milestone.description, "creator": self.user(&milestone.creator),
            "open_issues": open, "closed_issues": all - open, "state": "open",
            "created_at": iso(milestone.created), "updated_at": iso(milestone.updated),
            "due_on": milestone.due.map(iso), "closed_at": null,
        })
    }
}
