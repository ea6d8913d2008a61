//! Workflows, runs, jobs and their logs, which lie on the second host.

use axum::body::Bytes;
use sha2::{Digest, Sha256};

use super::{Ask, Found};
use crate::github::data::{Job, Repo, Run};
use crate::github::{tar, zip};
use crate::requests::hex;

impl<'a> Ask<'a> {
    pub fn actions(&self, repo: &'a Repo, rest: &[&str]) -> Option<Found> {
        match rest {
            ["workflows"] => Some(
                self.wrapped("workflows", repo.workflows.iter(), |w| self.view.workflow(repo, w)),
            ),
            ["workflows", id, rest @ ..] => {
                let workflow = repo
                    .workflows
                    .iter()
                    .find(|w| id.parse() == Ok(w.id) || w.path.rsplit('/').next() == Some(id))?;
                match rest {
                    [] => Some(Found::Json(self.view.workflow(repo, workflow))),
                    ["runs"] => Some(self.runs(repo, Some(workflow.id))),
                    _ => None,
                }
            }
            ["runs"] => Some(self.runs(repo, None)),
            ["runs", id, rest @ ..] => {
                let run = repo.runs.get(&id.parse().ok()?)?;
                match rest {
                    [] => Some(Found::Json(self.view.run(repo, run))),
                    ["jobs"] | ["attempts", _, "jobs"] => {
                        Some(self.wrapped("jobs", run.jobs.iter(), |j| self.view.job(repo, run, j)))
                    }
                    // The archive is there once the run has ended.
                    ["logs"] if run.status == "completed" => Some(self.download("runs", run.id)),
                    _ => None,
                }
            }
            ["jobs", id, rest @ ..] => {
                let (run, job) = job(repo, id.parse().ok()?)?;
                match rest {
                    [] => Some(Found::Json(self.view.job(repo, run, job))),
                    ["logs"] if job.status == "completed" => Some(self.download("jobs", job.id)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn runs(&self, repo: &'a Repo, workflow: Option<u64>) -> Found {
        let is = |name: &str, value: &str| self.query(name).is_none_or(|wanted| wanted == value);
        let runs = repo.runs.values().rev().filter(|run| {
            let status = self.query("status");
            workflow.is_none_or(|id| run.workflow == id)
                && is("branch", &run.branch)
                && is("event", &run.event)
                && is("actor", &run.actor)
                && is("head_sha", &run.sha)
                // One parameter filters by either.
                && status.is_none_or(|s| run.status == s || run.conclusion.as_deref() == Some(s))
        });
        self.wrapped("workflow_runs", runs, |run| self.view.run(repo, run))
    }

    pub fn check_runs(&self, repo: &'a Repo, reference: &str) -> Option<Found> {
        let sha = super::code::resolve(repo, reference)?;
        let runs = repo.runs.values().filter(|run| run.sha == sha);
        let jobs = runs.flat_map(|run| run.jobs.iter().map(move |job| (run, job)));
        let name = self.query("check_name");
        let jobs = jobs.filter(|(_, job)| {
            name.is_none_or(|n| job.name == n)
                && self.query("status").is_none_or(|s| job.status == s)
        });
        Some(self.wrapped("check_runs", jobs, |(run, job)| self.view.check_run(repo, run, job)))
    }

    /// A download is redirected to another host with a signature in the query.
    pub fn download(&self, kind: &str, id: u64) -> Found {
        Found::Redirect(302, format!("{}/{kind}/{id}?{}", self.storage, signature(kind, id)))
    }
}

fn job(repo: &Repo, id: u64) -> Option<(&Run, &Job)> {
    repo.runs.values().find_map(|run| Some((run, run.jobs.iter().find(|job| job.id == id)?)))
}

/// What the second host checks in place of a credential.
pub(crate) fn signature(kind: &str, id: u64) -> String {
    let name = format!("{kind}/{id}");
    format!("se=2099-01-01&sig={}", crate::requests::credential_hash(&name))
}

/// Something on the second host.
pub(crate) struct Stored {
    pub content_type: String,
    pub body: Bytes,
    /// SHA-256 of the body, in hexadecimal.
    pub digest: String,
}

impl Stored {
    fn new(content_type: &str, body: Vec<u8>) -> Stored {
        let digest = hex(&Sha256::digest(&body));
        Stored { content_type: content_type.to_owned(), body: body.into(), digest }
    }
}

/// What the second host serves: the log of a job, the archive of a run, a release's asset.
pub(crate) fn stored<'a>(
    mut repos: impl Iterator<Item = &'a Repo>,
    kind: &str,
    id: u64,
) -> Option<Stored> {
    repos.find_map(|repo| match kind {
        "jobs" => {
            let (_, job) = job(repo, id)?;
            Some(Stored::new("text/plain; charset=utf-8", job.log.clone().into()))
        }
        "runs" => {
            let run = repo.runs.get(&id)?;
            Some(Stored::new("application/zip", zip::archive(&log_files(run))))
        }
        "archives" => {
            let mut trees = repo.git.trees.keys();
            let tree = trees.find(|tree| super::code::archive_id(tree) == id)?;
            let folder = format!("{}-{}-{}", repo.owner, repo.name, &tree[..7]);
            Some(Stored::new("application/x-gzip", tar::archive(&repo.git, tree, &folder)?))
        }
        "assets" => {
            let mut assets = repo.releases.values().flat_map(|r| &r.assets);
            let asset = assets.find(|asset| asset.id == id)?;
            let (content_type, body) = (asset.content_type.clone(), asset.content.clone());
            Some(Stored { content_type, body, digest: asset.digest.clone() })
        }
        _ => None,
    })
}

/// One file for each job and one for each of its steps. A job's name may hold a slash, which no
/// name in the archive may.
fn log_files(run: &Run) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (index, job) in run.jobs.iter().enumerate() {
        let name = job.name.replace(['/', ':', '*', '?', '"', '<', '>', '|', '\\'], "_");
        files.push((format!("{index}_{name}.txt"), job.log.clone().into_bytes()));
        let lines: Vec<&str> = job.log.split_inclusive('\n').collect();
        let share = lines.len().div_ceil(job.steps.len().max(1)).max(1);
        for (step, text) in job.steps.iter().zip(lines.chunks(share)) {
            let number = files.len();
            files.push((format!("{name}/{number}_{step}.txt"), text.concat().into_bytes()));
        }
    }
    files
}
