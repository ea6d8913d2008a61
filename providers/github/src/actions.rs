//! Workflows, runs, jobs and their logs.
//!
//! A job's log is complete when the job is over, and its id belongs to one attempt of the run, so it
//! is kept; until then it is empty, because GitHub has none, and asked for at each open. GitHub
//! puts a log together in the seconds after its job: where it answers 404 then, reading is an error that
//! nobody keeps. A log that it has deleted (after 90 days, as a rule) is one line that says so.

use crate::Id;
use crate::api::{self, Run, github};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Value, json};

mod page;

pub struct RunObject {
    repo: u64,
    run: Run,
    document: Content,
}

impl Object for RunObject {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("status", |r: &Self| optional(r.run.status.as_ref())),
        leaf("conclusion", |r| optional(r.run.conclusion.as_ref())),
        leaf("name", |r| optional(r.run.name.as_ref())),
        leaf("event", |r| scalar(&r.run.event)),
        leaf("branch", |r| optional(r.run.head_branch.as_ref())),
        leaf("sha", |r| scalar(&r.run.head_sha)),
        leaf("attempt", |r| scalar(r.run.run_attempt.unwrap_or(1))),
        leaf("created", |r| scalar(&r.run.created_at)),
        leaf("updated", |r| scalar(&r.run.updated_at)),
        leaf("url", |r| scalar(&r.run.html_url)),
        leaf("run.json", |r: &Self| r.document.clone()),
        dir("jobs", |r: &Self| Id::Jobs(r.repo, r.run.id)),
        own("log", run_log).volatile_while(|r: &Self| !r.run.is_over()),
        own("run.md", run_page).volatile_while(|r: &Self| !r.run.is_over()).unlisted(),
    ];

    fn id(&self) -> Id {
        Id::Run(self.repo, self.run.id)
    }

    fn modified(&self) -> Option<u64> {
        api::ms(&self.run.updated_at)
    }
}

impl RunObject {
    /// `run.json` lacks the repositories, which are `repo.json`.
    fn new(repo: u64, answer: Raw<Run>) -> Self {
        let (document, run) = answer.into_parts();
        let document = document.content(&[&["repository"], &["head_repository"]]);
        RunObject { repo, run, document }
    }

    fn entry(&self) -> Entry<Id> {
        Entry::object(self.run.id.to_string(), self)
    }

    /// Its row of a table.
    fn cells(&self) -> Vec<Value> {
        let run = &self.run;
        vec![
            json!(run.id),
            json!(run.status),
            json!(run.conclusion),
            json!(run.updated_at),
            json!(run.name),
            json!(run.event),
            json!(run.head_branch),
            json!(run.head_sha),
            json!(run.run_attempt.unwrap_or(1)),
            json!(run.display_title),
        ]
    }

    /// The link to it in `_failed`.
    fn link(&self) -> Option<Entry<Id>> {
        let id = self.run.id;
        self.run.failed().then(|| {
            Entry::symlink(id.to_string(), Id::RunPointer(self.repo, id))
                .content(target(id))
                .modified(self.modified())
                .part_of(&self.id())
        })
    }
}

pub fn target(run: u64) -> Content {
    document(format!("../runs/{run}"))
}

/// The columns of [`RunObject::cells`].
const COLUMNS: [&str; 10] = [
    "id",
    "status",
    "conclusion",
    "updated",
    "workflow",
    "event",
    "branch",
    "sha",
    "attempt",
    "title",
];

/// The runs of a repository, and what a listing of them tells besides.
struct Runs {
    entries: Pages<Entry<Id>>,
    table: Table,
    failed: Vec<Entry<Id>>,
}

impl Runs {
    fn fetch(repo: u64) -> Result<Self> {
        let (mut table, mut failed) = (Table::new(COLUMNS), Vec::new());
        let bound = api::listing_bound();
        let entries = api::pages(github::runs(repo), bound, |page: RunPage| {
            page.workflow_runs.map(|run| {
                let run = RunObject::new(repo, run);
                table.row(run.cells());
                failed.extend(run.link());
                run.entry()
            })
        })?;
        table.noting(&entries.items);
        if entries.more {
            table.missing(&Runs::stops_short(&entries));
        }
        Ok(Runs { entries, table, failed })
    }

    fn stops_short(entries: &Pages<Entry<Id>>) -> String {
        let shown = entries.items.len();
        format!("of the {shown} newest runs; raise listing-bound to see more")
    }

    /// The directory and that of links to the failed ones; the tables are offered.
    fn listings(self, repo: u64) -> (Listing<Id>, Listing<Id>) {
        let tables = self.table.entries("runs", |form| Id::RunOverview(repo, form));
        let mut beside = Vec::from(tables);
        beside.push(Entry::directory("_failed", Id::Failed(repo)));
        preload::part(Id::Actions(repo), beside);
        let failed = Runs::bounded(self.failed, &self.entries);
        (listed(self.entries), failed)
    }

    fn bounded(failed: Vec<Entry<Id>>, entries: &Pages<Entry<Id>>) -> Listing<Id> {
        let listing = if entries.more {
            Listing::partial(failed, Runs::stops_short(entries))
        } else {
            failed.into()
        };
        listing.noting(&entries.items)
    }
}

fn listed(runs: Pages<Entry<Id>>) -> Listing<Id> {
    api::listing(runs, "newest runs", |entry| entry)
}

/// `runs.tsv` and `runs.jsonl`.
pub fn overview(repo: u64, form: Form) -> Result<Content> {
    let runs = Runs::fetch(repo)?;
    let content = runs.table.content(form);
    let (listing, failed) = runs.listings(repo);
    preload::whole(Id::Runs(repo), listing);
    preload::whole(Id::Failed(repo), failed);
    Ok(content)
}

/// Links to those runs that failed.
pub fn failed(repo: u64) -> Result<Listing<Id>> {
    let (listing, failed) = Runs::fetch(repo)?.listings(repo);
    preload::whole(Id::Runs(repo), listing);
    Ok(failed)
}

#[derive(Deserialize)]
struct RunPage {
    workflow_runs: Items<Raw<Run>>,
}

/// The runs of a repository or of one workflow, newest first.
pub fn runs(directory: &Id) -> Result<Listing<Id>> {
    let (repo, workflow) = match directory {
        Id::WorkflowRuns(repo, id) => (*repo, *id),
        Id::Runs(repo) => {
            let (listing, failed) = Runs::fetch(*repo)?.listings(*repo);
            preload::whole(Id::Failed(*repo), failed);
            return Ok(listing);
        }
        _ => return Err(Error::NotFound),
    };
    let request = github::workflow_runs(repo, workflow);
    let runs = api::pages(request, api::listing_bound(), |page: RunPage| {
        page.workflow_runs.map(|run| RunObject::new(repo, run).entry())
    })?;
    Ok(listed(runs))
}

pub fn find_run(directory: &Id, name: &str) -> Result<Entry<Id>> {
    let id = api::number(name).ok_or(Error::NotFound)?;
    match directory {
        Id::Runs(repo) => Ok(run(*repo, id)?.entry()),
        Id::WorkflowRuns(repo, workflow) => {
            let run = run(*repo, id)?;
            if run.run.workflow_id == *workflow { Ok(run.entry()) } else { Err(Error::NotFound) }
        }
        _ => Err(Error::NotFound),
    }
}

pub fn run(repo: u64, id: u64) -> Result<RunObject> {
    let answer = github::run(repo, id).json()?;
    Ok(RunObject::new(repo, answer))
}

/// The logs of all jobs, each below a line `==> JOB <==` as `tail` writes it.
fn run_log(run: &Id) -> Result<Content> {
    let Id::Run(repo, id) = *run else { return Err(Error::NotFound) };
    let (mut whole, mut page) = (Vec::new(), page::Page::default());
    let jobs = fetch_jobs(repo, id)?;
    if let Some(odd) = jobs.odd().iter().find(|odd| !odd.shown) {
        return Err(Error::Invalid(format!("api: a job's log is missing: {odd}")));
    }
    for job in jobs.iter() {
        let log = log_of(repo, &job.job)?;
        if !whole.is_empty() {
            whole.push(b'\n');
        }
        whole.extend(format!("==> {} <==\n", content::one_line(&job.job.name)).bytes());
        whole.extend(&log);
        page.job(&job.job, &log);
        preload::offer_leaves(job, [("log", Content(log))]);
    }
    preload::leaf_content(run, "run.md", &page.content().0);
    Ok(whole.into())
}

/// The jobs with their steps, and how the logs of those that failed end.
fn run_page(run: &Id) -> Result<Content> {
    let Id::Run(repo, id) = *run else { return Err(Error::NotFound) };
    let mut page = page::Page::default();
    let jobs = fetch_jobs(repo, id)?;
    for job in jobs.iter() {
        if !job.job.failed() {
            page.job(&job.job, &[]);
            continue;
        }
        let log = log_of(repo, &job.job)?;
        page.job(&job.job, &log);
        preload::offer_leaves(job, [("log", Content(log))]);
    }
    page.noting(&jobs);
    Ok(page.content())
}

#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    id: u64,
    run_id: u64,
    name: String,
    status: String,
    conclusion: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
    #[serde(default)]
    steps: Items<Step>,
}

#[derive(Clone, Debug, Deserialize)]
struct Step {
    #[serde(default, deserialize_with = "null")]
    name: String,
    #[serde(default, deserialize_with = "null")]
    status: String,
    conclusion: Option<String>,
}

pub struct JobObject {
    repo: u64,
    job: Job,
}

impl Object for JobObject {
    type Id = Id;

    /// Part of the run's jobs: a poll sees that a run went on, and not which job.
    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("status", |j: &Self| scalar(&j.job.status)).part_of(JobObject::siblings),
        leaf("conclusion", |j: &Self| optional(j.job.conclusion.as_ref()))
            .part_of(JobObject::siblings),
        own("log", job_log)
            .known(|j: &Self| j.job.is_skipped().then(Content::default))
            .part_of(JobObject::siblings)
            .volatile_while(|j| j.job.status != "completed"),
    ];

    fn id(&self) -> Id {
        Id::Job(self.repo, self.job.id)
    }

    fn modified(&self) -> Option<u64> {
        api::ms(self.job.completed_at.as_ref().or(self.job.started_at.as_ref())?)
    }
}

impl JobObject {
    fn siblings(&self) -> Id {
        Id::Jobs(self.repo, self.job.run_id)
    }
}

impl Job {
    fn failed(&self) -> bool {
        self.conclusion.as_deref().is_some_and(api::is_failure)
    }

    fn is_skipped(&self) -> bool {
        self.conclusion.as_deref() == Some("skipped")
    }
}

#[derive(Deserialize)]
struct JobPage {
    jobs: Items<Job>,
}

/// The jobs of the last attempt, in GitHub's order.
fn fetch_jobs(repo: u64, run: u64) -> Result<Items<JobObject>> {
    let request = github::jobs(repo, run);
    let jobs = api::pages(request, usize::MAX, |page: JobPage| page.jobs)?.items;
    Ok(jobs.map(|job| JobObject { repo, job }))
}

/// Two jobs may have one name.
pub fn jobs(repo: u64, run: u64) -> Result<Items<Entry<Id>>> {
    let entry =
        |job: JobObject| Entry::object(job.job.name.as_str(), &job).tie(job.job.id.to_string());
    Ok(fetch_jobs(repo, run)?.map(entry))
}

pub fn job(repo: u64, id: u64) -> Result<JobObject> {
    let job = github::job(repo, id).json()?;
    Ok(JobObject { repo, job })
}

fn job_log(id: &Id) -> Result<Content> {
    let Id::Job(repo, id) = *id else { return Err(Error::NotFound) };
    Ok(log_of(repo, &job(repo, id)?.job)?.into())
}

/// Milliseconds after the end of a job within which its log may still come.
const LOG_COMES: u64 = 3_600_000;

/// What a log shows that GitHub no longer has.
const EXPIRED: &[u8] = b"This log has expired: GitHub has deleted it.\n";

fn log_of(repo: u64, job: &Job) -> Result<Vec<u8>> {
    if job.status != "completed" || job.is_skipped() {
        return Ok(Vec::new());
    }
    // Leads to another host.
    let answer = github::job_log(repo, job.id).send()?;
    let ended = job.completed_at.as_deref().and_then(api::ms);
    let now = answer.date().map(|seconds| seconds * 1000);
    match answer.status {
        410 => Ok(EXPIRED.to_vec()),
        404 if now.zip(ended).is_some_and(|(now, ended)| now >= ended + LOG_COMES) => {
            Ok(EXPIRED.to_vec())
        }
        404 => {
            Err(Error::Unavailable(format!("api: 404: the log of job {} is not there yet", job.id)))
        }
        _ => Ok(answer.ok()?.body),
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Workflow {
    id: u64,
    #[serde(default, deserialize_with = "null")]
    name: String,
    #[serde(default, deserialize_with = "null")]
    path: String,
    #[serde(default, deserialize_with = "null")]
    state: String,
    created_at: String,
    updated_at: String,
    #[serde(default, deserialize_with = "null")]
    html_url: String,
}

pub struct WorkflowObject {
    repo: u64,
    workflow: Raw<Workflow>,
}

impl Object for WorkflowObject {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |w: &Self| scalar(w.workflow.id)).immutable(),
        leaf("name", |w: &Self| scalar(&w.workflow.name)).part_of(WorkflowObject::all),
        leaf("path", |w: &Self| scalar(&w.workflow.path)).part_of(WorkflowObject::all),
        leaf("state", |w: &Self| scalar(&w.workflow.state)).part_of(WorkflowObject::all),
        leaf("created", |w: &Self| scalar(&w.workflow.created_at)).part_of(WorkflowObject::all),
        leaf("updated", |w: &Self| scalar(&w.workflow.updated_at)).part_of(WorkflowObject::all),
        leaf("url", |w: &Self| scalar(&w.workflow.html_url)).part_of(WorkflowObject::all),
        leaf("workflow.json", |w: &Self| w.workflow.json.content(&[])).part_of(WorkflowObject::all),
        dir("runs", |w: &Self| Id::WorkflowRuns(w.repo, w.workflow.id)),
    ];

    fn id(&self) -> Id {
        Id::Workflow(self.repo, self.workflow.id)
    }

    fn modified(&self) -> Option<u64> {
        api::ms(&self.workflow.updated_at)
    }
}

impl WorkflowObject {
    fn all(&self) -> Id {
        Id::Workflows(self.repo)
    }
}

#[derive(Deserialize)]
struct WorkflowPage {
    workflows: Items<Raw<Workflow>>,
}

/// Two workflows may have one name: their files differ.
pub fn workflows(repo: u64) -> Result<Items<Entry<Id>>> {
    let request = github::workflows(repo);
    let all = api::pages(request, usize::MAX, |page: WorkflowPage| page.workflows)?.items;
    let entry = |workflow: Raw<Workflow>| {
        let name = if workflow.name.is_empty() { &workflow.path } else { &workflow.name };
        let (name, tie) = (name.clone(), workflow.id.to_string());
        Entry::object(name, &WorkflowObject { repo, workflow }).tie(tie)
    };
    Ok(all.map(entry))
}

pub fn workflow(repo: u64, id: u64) -> Result<WorkflowObject> {
    let workflow = github::workflow(repo, id).json()?;
    Ok(WorkflowObject { repo, workflow })
}

pub fn run_moved(out: &mut Changes, repo: u64, run: u64) {
    out.invalidated([Id::Run(repo, run), Id::Jobs(repo, run), Id::RunIndex(repo)]);
}
