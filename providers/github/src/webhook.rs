//! Webhook deliveries: every event of GitHub's that can change a path.
//!
//! A payload only says *what* changed; nothing of its content is kept. An event that this module does
//! not know changes nothing that is shown; a known one that lacks what it must have is refused,
//! which the host takes for a gap.

use crate::api::Account;
use crate::poll::moved;
use crate::{Id, View};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload {
    action: String,
    repository: Option<Repository>,
    issue: Option<Numbered>,
    pull_request: Option<Numbered>,
    comment: Option<Identified>,
    review: Option<Identified>,
    workflow_run: Option<Run>,
    workflow_job: Option<Job>,
    release: Option<Identified>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    ref_type: Option<String>,
    created: bool,
    deleted: bool,
    changes: Value,
    parent_issue: Option<Numbered>,
    sub_issue: Option<Numbered>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    id: u64,
    owner: Account,
    #[serde(default)]
    default_branch: String,
}

#[derive(Debug, Deserialize)]
struct Numbered {
    number: u64,
    /// Of an issue that is a pull request.
    pull_request: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Identified {
    id: u64,
}

#[derive(Debug, Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    workflow_id: u64,
}

#[derive(Debug, Deserialize)]
struct Job {
    run_id: u64,
}

/// The events that are read.
const READ: [&str; 22] = [
    "issues",
    "issue_comment",
    "issue_dependencies",
    "sub_issues",
    "label",
    "milestone",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "workflow_run",
    "workflow_job",
    "push",
    "create",
    "delete",
    "release",
    "repository",
    "fork",
    "star",
    "watch",
    "public",
    "branch_protection_configuration",
];

pub fn deliver(delivery: &Delivery) -> Result<Changes> {
    let event = delivery.header("x-github-event").unwrap_or_default();
    let mut changes = Changes::default();
    if !READ.contains(&event) {
        return Ok(changes);
    }
    let payload: Payload = delivery.json()?;
    // Events of accounts and installations show nowhere.
    let Some(repository) = &payload.repository else { return Ok(changes) };
    let told = read(event, &payload, repository, &mut changes);
    let missing = || Error::Invalid(format!("the {event} delivery lacks what it is about"));
    told.ok_or_else(missing)?;
    Ok(changes)
}

/// `None` where the payload lacks what the event must have.
fn read(event: &str, payload: &Payload, repository: &Repository, out: &mut Changes) -> Option<()> {
    let repo = repository.id;
    match event {
        "issues" => issue(payload, payload.issue.as_ref()?.number, repo, out),
        "issue_comment" => comment(payload, repo, out)?,
        "pull_request" => pull(payload, repo, out)?,
        "pull_request_review" => {
            let number = payload.pull_request.as_ref()?.number;
            out.invalidated([Id::Pull(repo, number)]).invalidated([Id::Reviews(repo, number)]);
            out.invalidated([Id::Review(repo, number, payload.review.as_ref()?.id)]);
        }
        "pull_request_review_comment" | "pull_request_review_thread" => {
            let number = payload.pull_request.as_ref()?.number;
            out.invalidated([Id::Pull(repo, number)]).invalidated([Id::Reviews(repo, number)]);
        }
        "sub_issues" | "issue_dependencies" => {
            let issues = [&payload.parent_issue, &payload.sub_issue, &payload.issue];
            let issues = issues.into_iter().flatten();
            out.invalidated(issues.map(|issue| Id::Issue(repo, issue.number)));
        }
        // An object that carries a label or a milestone shows its name, and none says which do.
        "label" | "milestone" if payload.action != "created" => {
            out.gap(format!("issues:{repo}"));
        }
        "workflow_run" => {
            let run = payload.workflow_run.as_ref()?;
            out.invalidated([Id::Run(repo, run.id)]).invalidated([Id::Jobs(repo, run.id)]);
            out.children_changed([Id::Runs(repo)]);
            out.children_changed([Id::WorkflowRuns(repo, run.workflow_id)]);
        }
        "workflow_job" => {
            let run = payload.workflow_job.as_ref()?.run_id;
            out.invalidated([Id::Run(repo, run)]).invalidated([Id::Jobs(repo, run)]);
        }
        "push" => {
            let made = payload.created || payload.deleted;
            reference(payload.reference.as_ref()?, made, repository, out);
        }
        "create" | "delete" => {
            let prefix = match payload.ref_type.as_deref()? {
                "branch" => "refs/heads/",
                "tag" => "refs/tags/",
                // A repository: told by the event of that name too.
                _ => return Some(()),
            };
            let name = payload.reference.as_ref()?;
            reference(&format!("{prefix}{name}"), true, repository, out);
        }
        "release" => {
            let id = payload.release.as_ref()?.id;
            // Leaves are part of the repository's releases.
            out.invalidated([Id::Releases(repo)]).children_changed([Id::Assets(repo, id)]);
            if payload.action == "deleted" {
                out.removed([Id::Release(repo, id)]);
            } else {
                out.invalidated([Id::Release(repo, id)]);
            }
        }
        "repository" => repository_event(payload, repository, out),
        "fork" | "star" | "watch" | "public" | "branch_protection_configuration" => {
            out.invalidated([Id::RepoJson(repo)]);
        }
        _ => {}
    }
    Some(())
}

fn lists(list: fn(u64, View) -> Id, action: &str, repo: u64, out: &mut Changes) {
    let views: &[View] = match action {
        "opened" => &[View::Open, View::All],
        "closed" | "reopened" => &[View::Open, View::Closed],
        "deleted" | "transferred" => &View::EACH,
        _ => &[],
    };
    out.children_changed(views.iter().map(|view| list(repo, *view)));
}

fn issue(payload: &Payload, number: u64, repo: u64, out: &mut Changes) {
    match payload.action.as_str() {
        "deleted" | "transferred" => out.removed([Id::Issue(repo, number)]),
        _ => out.invalidated([Id::Issue(repo, number)]),
    };
    lists(Id::IssueList, &payload.action, repo, out);
    if payload.action == "transferred"
        && let Some(target) = payload.changes["new_repository"]["id"].as_u64()
    {
        lists(Id::IssueList, "opened", target, out);
    }
}

fn comment(payload: &Payload, repo: u64, out: &mut Changes) -> Option<()> {
    let (issue, comment) = (payload.issue.as_ref()?, payload.comment.as_ref()?.id);
    let number = issue.number;
    let (thread, directory) = match issue.pull_request {
        Some(_) => (Id::Pull(repo, number), Id::PullComments(repo, number)),
        None => (Id::Issue(repo, number), Id::Comments(repo, number)),
    };
    // Its `updated` and the JSON's count move as well.
    out.invalidated([thread]);
    match payload.action.as_str() {
        "deleted" => out.removed([Id::Comment(repo, comment)]).children_changed([directory]),
        "edited" => out.invalidated([Id::Comment(repo, comment)]),
        _ => out.children_changed([directory]),
    };
    Some(())
}

fn pull(payload: &Payload, repo: u64, out: &mut Changes) -> Option<()> {
    let number = payload.pull_request.as_ref()?.number;
    out.invalidated([Id::Pull(repo, number)]);
    lists(Id::PullList, &payload.action, repo, out);
    Some(())
}

/// A branch or tag moved; `made` where it appeared or went.
fn reference(full: &str, made: bool, repository: &Repository, out: &mut Changes) {
    let repo = repository.id;
    let (name, is_branch) =
        match (full.strip_prefix("refs/heads/"), full.strip_prefix("refs/tags/")) {
            (Some(name), _) => (name, true),
            (_, Some(name)) => (name, false),
            // No other refs are shown by name, but one may be looked up as a tree.
            _ => return moved(out, repo),
        };
    let (one, all) = match is_branch {
        true => (Id::Branch(repo, name.to_owned()), Id::Branches(repo)),
        false => (Id::Tag(repo, name.to_owned()), Id::Tags(repo)),
    };
    out.invalidated([one]).invalidated([Id::TreeOf(repo, name.to_owned())]);
    out.invalidated([Id::RepoJson(repo)]);
    if made {
        out.children_changed([all]).children_changed([Id::Trees(repo)]);
    }
    // Where the payload does not say which branch is the default one, any may be.
    if is_branch && (repository.default_branch.is_empty() || repository.default_branch == name) {
        out.invalidated([Id::Head(repo)]).invalidated([Id::Readme(repo)]);
        out.invalidated([Id::Workflows(repo)]);
    }
}

fn repository_event(payload: &Payload, repository: &Repository, out: &mut Changes) {
    let repo = repository.id;
    match payload.action.as_str() {
        "deleted" => {
            out.removed([Id::Repo(repo)]);
        }
        "renamed" | "transferred" => {
            // Every URL and `full_name` in it changed.
            for kind in ["repo", "issues", "actions", "releases", "refs"] {
                out.gap(format!("{kind}:{repo}"));
            }
        }
        "edited" if !payload.changes["default_branch"].is_null() => moved(out, repo),
        _ => {}
    }
    out.invalidated([Id::RepoJson(repo)]);
    if !matches!(payload.action.as_str(), "edited" | "archived" | "unarchived") {
        let from = &payload.changes["owner"]["from"];
        let former = [&from["user"], &from["organization"]].map(|owner| owner["login"].as_str());
        for login in former.into_iter().flatten().chain([repository.owner.login.as_str()]) {
            out.children_changed([Id::User(login.to_owned())]);
            out.children_changed([Id::Org(login.to_owned())]);
        }
    }
}
