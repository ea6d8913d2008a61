//! The scope `actions:{id}`.

use super::Poll;
use super::cursor::{Mark, digest};
use crate::Id;
use crate::api::{self, Run};
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    runs: Mark,
    workflows: u64,
    walked: u64,
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Value>,
}

#[derive(Deserialize)]
struct Workflows {
    workflows: Vec<Value>,
}

pub fn poll(mut poll: Poll, repo: u64) -> Result<Progress> {
    let Runs { workflow_runs: mut runs } = poll.first_page(api::of(repo, &["actions", "runs"]))?;
    let Workflows { workflows } = poll.first_page(api::of(repo, &["actions", "workflows"]))?;
    let known: Option<Cursor> = poll.held();
    let workflows = digest(&workflows);
    if known.as_ref().is_some_and(|known| known.workflows != workflows) {
        poll.changes.invalidated([Id::Workflows(repo)]);
    }
    let mut cursor = match known {
        Some(cursor) => Cursor { workflows, ..cursor },
        None => {
            let runs = Mark { at: poll.beginning(), seen: 0 };
            Cursor { runs, workflows, walked: 0 }
        }
    };
    let from = cursor.runs.at.clone();
    // The repositories hold counters that move by themselves.
    runs.iter_mut().for_each(|run| {
        *run = api::without(run.take(), &["repository", "head_repository"]);
    });
    let read = |run: &Value| Run::deserialize(run).ok();
    for run in cursor.runs.pass(&runs).into_iter().filter_map(read) {
        poll.changes.invalidated([Id::Run(repo, run.id)]).invalidated([Id::Jobs(repo, run.id)]);
        if run.created_at >= from {
            poll.changes.children_changed([Id::Runs(repo)]);
            poll.changes.children_changed([Id::WorkflowRuns(repo, run.workflow_id)]);
        }
    }
    // A job may go on without moving its run.
    for run in runs.iter().filter_map(read).filter(|run| !run.is_over()) {
        poll.changes.invalidated([Id::Jobs(repo, run.id)]);
    }
    Ok(poll.done(&mut cursor, |cursor| &mut cursor.walked))
}
