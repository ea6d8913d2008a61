//! Webhook deliveries. What a change of each kind comes to is with the objects: polls say it too.
//!
//! A payload only says *what* changed; nothing of its content is kept. An event that this module does
//! not know changes nothing that is shown; a known one that lacks what it must have is refused,
//! which the host takes for a gap.

use crate::actions::run_moved;
use crate::thread::Number;
use crate::{Id, View, refs};
use omnifs_sdk::*;
use serde_json::Value;

pub fn deliver(delivery: &Delivery) -> Result<Changes> {
    let event = delivery.header("x-github-event").unwrap_or_default();
    let mut changes = Changes::default();
    delivery.read(event, |payload| read(event, payload, &mut changes))?;
    Ok(changes)
}

/// `None` where the payload lacks what the event must have.
fn read(event: &str, payload: &Value, out: &mut Changes) -> Option<()> {
    let action = payload["action"].as_str().unwrap_or_default();
    let id = |of: &str| payload[of]["id"].as_u64();
    let repository = &payload["repository"];
    // Events of accounts and installations show nowhere.
    if repository.is_null() {
        return Some(());
    }
    let repo = repository["id"].as_u64()?;
    match event {
        "issues" | "pull_request" => {
            let subject = if event == "issues" { "issue" } else { "pull_request" };
            let number = payload[subject]["number"].as_u64()?;
            let thread = Number { repo, number, is_pull: event == "pull_request" };
            let gone = matches!(action, "deleted" | "transferred");
            let views: &[View] = match action {
                "opened" => &[View::Open, View::All],
                "closed" | "reopened" => &[View::Open, View::Closed],
                _ if gone => &View::EACH,
                _ => &[],
            };
            out.moved([thread.id()], gone);
            thread.viewed(out);
            thread.listed(out, views.iter().copied());
            if let Some(to) = payload["changes"]["new_repository"]["id"].as_u64() {
                let there = Number { repo: to, ..thread };
                there.viewed(out);
                there.listed(out, [View::Open, View::All]);
            }
        }
        "issue_comment" => {
            let (thread, comment) = (Number::of(repo, &payload["issue"])?, id("comment")?);
            // Its `updated` and the JSON's count move as well.
            thread.changed(out);
            let known = matches!(action, "edited" | "deleted");
            out.moved(known.then_some(Id::Comment(repo, comment)), action == "deleted");
            out.children_changed((action != "edited").then(|| thread.comments()));
        }
        "pull_request_review" | "pull_request_review_comment" | "pull_request_review_thread" => {
            let number = payload["pull_request"]["number"].as_u64()?;
            Number { repo, number, is_pull: true }.changed(out);
            out.invalidated([Id::Reviews(repo, number)]);
            if event == "pull_request_review" {
                out.invalidated([Id::Review(repo, number, id("review")?)]);
            }
        }
        "sub_issues" | "issue_dependencies" => {
            let issues =
                ["parent_issue", "sub_issue", "issue"].map(|name| &payload[name]["number"]);
            for number in issues.iter().filter_map(|number| number.as_u64()) {
                Number { repo, number, is_pull: false }.changed(out);
            }
        }
        // An object that carries a label or a milestone shows its name, and none says which do.
        "label" | "milestone" if action != "created" => _ = out.gap(format!("issues:{repo}")),
        "workflow_run" => {
            run_moved(out, repo, id("workflow_run")?);
            let workflow = payload["workflow_run"]["workflow_id"].as_u64().unwrap_or(0);
            out.children_changed([Id::Runs(repo), Id::WorkflowRuns(repo, workflow)]);
        }
        "workflow_job" => run_moved(out, repo, payload["workflow_job"]["run_id"].as_u64()?),
        "push" | "create" | "delete" => {
            let name = payload["ref"].as_str()?;
            let flag = |name: &str| payload[name] == true;
            let (full, made) = match (event, payload["ref_type"].as_str()) {
                ("push", _) => (name.to_owned(), flag("created") || flag("deleted")),
                (_, Some("branch")) => (format!("refs/heads/{name}"), true),
                (_, Some("tag")) => (format!("refs/tags/{name}"), true),
                (_, None) => return None,
                // A repository: told by the event of that name too.
                _ => return Some(()),
            };
            // Where the payload does not say which branch is the default one, any may be.
            let default = repository["default_branch"].as_str().unwrap_or_default();
            refs::moved(out, repo, default, &full, made);
        }
        "release" => {
            let release = id("release")?;
            out.children_changed([Id::Releases(repo), Id::Assets(repo, release)]);
            out.invalidated([Id::LatestRelease(repo)]);
            out.moved([Id::Release(repo, release)], action == "deleted");
        }
        "repository" => repository_moved(action, payload, repo, out),
        "fork" | "star" | "watch" | "public" | "branch_protection_configuration" => {
            out.invalidated([Id::RepoJson(repo)]);
        }
        _ => {}
    }
    Some(())
}

fn repository_moved(action: &str, payload: &Value, repo: u64, out: &mut Changes) {
    let changes = &payload["changes"];
    match action {
        "deleted" => _ = out.removed([Id::Repo(repo)]),
        // Every URL and `full_name` in it changed.
        "renamed" | "transferred" => {
            let kinds = ["repo", "issues", "actions", "releases", "refs"];
            kinds.iter().for_each(|kind| _ = out.gap(format!("{kind}:{repo}")));
        }
        "edited" if !changes["default_branch"].is_null() => refs::any_moved(out, repo),
        _ => {}
    }
    out.invalidated([Id::RepoJson(repo)]);
    if !matches!(action, "edited" | "archived" | "unarchived") {
        let from = &changes["owner"]["from"];
        let owners = [&from["user"], &from["organization"], &payload["repository"]["owner"]];
        for login in owners.into_iter().filter_map(|owner| owner["login"].as_str()) {
            out.children_changed([Id::User(login.to_owned()), Id::Org(login.to_owned())]);
        }
    }
}
