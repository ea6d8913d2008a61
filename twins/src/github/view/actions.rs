//! Workflows, runs, jobs and check runs.

use serde_json::{Value, json};

use super::{View, merge, node_id};
use crate::clock::iso;
use crate::github::data::{Job, Repo, Run, Workflow};
use crate::server::encode;

impl View<'_> {
    /// `workflow`
    pub fn workflow(&self, repo: &Repo, workflow: &Workflow) -> Value {
        let html = self.repo_html(repo);
        let file = workflow.path.rsplit('/').next().unwrap_or_default();
        json!({
            "id": workflow.id, "node_id": node_id("W", workflow.id), "name": workflow.name,
            "path": workflow.path, "state": "active", "created_at": iso(workflow.created),
            "updated_at": iso(workflow.updated),
            "url": format!("{}/actions/workflows/{}", self.repo_url(repo), workflow.id),
            "html_url": format!("{html}/blob/{}/{}", repo.default_branch, workflow.path),
            "badge_url": format!("{html}/actions/workflows/{}/badge.svg", encode(file, "")),
        })
    }

    /// `workflow-run`
    pub fn run(&self, repo: &Repo, run: &Run) -> Value {
        let api = self.repo_url(repo);
        let url = format!("{api}/actions/runs/{}", run.id);
        let workflow = repo.workflows.iter().find(|w| w.id == run.workflow);
        let head = repo.git.commits.get(&run.sha).map(|commit| {
            let person = json!({"name": commit.author.0, "email": commit.author.1});
            json!({
                "id": run.sha, "tree_id": commit.tree, "message": commit.message.trim_end(),
                "timestamp": iso(commit.time), "author": person, "committer": person,
            })
        });
        let suite = run.id + 5_000_000;
        let mut value = json!({
            "id": run.id, "name": workflow.map(|w| &w.name), "node_id": node_id("WFR", run.id),
            "head_branch": run.branch, "head_sha": run.sha,
            "path": workflow.map_or("", |w| &w.path), "display_title": run.title,
            "run_number": run.number, "event": run.event, "status": run.status,
            "conclusion": run.conclusion, "workflow_id": run.workflow,
            "check_suite_id": suite, "check_suite_node_id": node_id("CS", suite),
            "url": url, "html_url": format!("{}/actions/runs/{}", self.repo_html(repo), run.id),
            "pull_requests": run.pulls.iter().filter_map(|n| self.pull_ref(repo, *n))
                .collect::<Vec<_>>(),
            "created_at": iso(run.created), "updated_at": iso(run.updated),
            "actor": self.user(&run.actor), "run_attempt": run.attempt,
            "referenced_workflows": [], "run_started_at": iso(run.created),
            "triggering_actor": self.user(&run.actor),
        });
        let more = json!({
            "jobs_url": format!("{url}/jobs"), "logs_url": format!("{url}/logs"),
            "check_suite_url": format!("{api}/check-suites/{suite}"),
            "artifacts_url": format!("{url}/artifacts"), "cancel_url": format!("{url}/cancel"),
            "rerun_url": format!("{url}/rerun"), "previous_attempt_url": null,
            "workflow_url": format!("{api}/actions/workflows/{}", run.workflow),
            "head_commit": head, "repository": self.minimal_repo(repo),
            "head_repository": self.minimal_repo(repo),
        });
        merge(&mut value, more);
        value
    }

    /// `pull-request-minimal`
    pub fn pull_ref(&self, repo: &Repo, number: u64) -> Option<Value> {
        let pull = repo.issues.get(&number)?.pull.as_ref()?;
        let url = self.repo_url(repo);
        let place = json!({"id": repo.id, "url": url, "name": repo.name});
        Some(json!({
            "id": pull.id, "number": number, "url": format!("{url}/pulls/{number}"),
            "head": {"ref": pull.head, "sha": pull.head_sha, "repo": place},
            "base": {"ref": pull.base, "sha": pull.base_sha, "repo": place},
        }))
    }

    /// `job`
    pub fn job(&self, repo: &Repo, run: &Run, job: &Job) -> Value {
        let api = self.repo_url(repo);
        let workflow = repo.workflows.iter().find(|w| w.id == run.workflow);
        let steps = job.steps.iter().enumerate().map(|(index, name)| {
            json!({
                "name": name, "number": index + 1, "status": job.status,
                "conclusion": job.conclusion, "started_at": iso(job.started),
                "completed_at": job.completed.map(iso),
            })
        });
        json!({
            "id": job.id, "run_id": run.id, "workflow_name": workflow.map(|w| &w.name),
            "head_branch": run.branch, "run_url": format!("{api}/actions/runs/{}", run.id),
            "run_attempt": run.attempt, "node_id": node_id("CR", job.id), "head_sha": run.sha,
            "url": format!("{api}/actions/jobs/{}", job.id),
            "html_url": format!("{}/actions/runs/{}/job/{}", self.repo_html(repo), run.id, job.id),
            "status": job.status, "conclusion": job.conclusion, "created_at": iso(job.created),
            "started_at": iso(job.started), "completed_at": job.completed.map(iso),
            "name": job.name, "steps": steps.collect::<Vec<_>>(),
            "check_run_url": format!("{api}/check-runs/{}", job.id),
            "labels": ["ubuntu-latest"], "runner_id": 3, "runner_name": "Hosted 3",
            "runner_group_id": 0, "runner_group_name": "Hosted",
        })
    }

    /// `check-run`
    pub fn check_run(&self, repo: &Repo, run: &Run, job: &Job) -> Value {
        let api = self.repo_url(repo);
        let url = format!("{api}/check-runs/{}", job.id);
        let page = format!("{}/actions/runs/{}/job/{}", self.repo_html(repo), run.id, job.id);
        let app = json!({
            "id": 15_368, "slug": "github-actions", "node_id": node_id("A", 15_368),
            "owner": self.user("github"), "name": "GitHub Actions",
            "description": "Automate your workflow", "client_id": "Iv1.05c79e9ad1f6bdfa",
            "external_url": "https://help.github.com/en/actions",
            "html_url": "https://github.com/apps/github-actions",
            "created_at": iso(repo.created), "updated_at": iso(repo.created),
            "permissions": {"checks": "write"}, "events": [],
        });
        json!({
            "id": job.id, "name": job.name, "node_id": node_id("CR", job.id),
            "head_sha": run.sha, "external_id": "", "url": url, "html_url": page,
            "details_url": page, "status": job.status, "conclusion": job.conclusion,
            "started_at": iso(job.started), "completed_at": job.completed.map(iso),
            "output": {"title": null, "summary": null, "text": null, "annotations_count": 0,
                       "annotations_url": format!("{url}/annotations")},
            "check_suite": {"id": run.id + 5_000_000}, "app": app,
            "pull_requests": run.pulls.iter().filter_map(|n| self.pull_ref(repo, *n))
                .collect::<Vec<_>>(),
        })
    }
}
