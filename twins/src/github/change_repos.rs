//! Changes to repositories and to workflow runs.

use serde_json::{Value, json};

use super::GithubTwin;
use super::change::{Work, missing};
use super::data::{AccountKind, Run};
use super::generate::{self, RepoShape};
use crate::{Result, TwinError};

impl Work<'_> {
    fn tell_repo(&mut self, id: u64, action: &str, more: Value) {
        self.hook(id, "repository", |_| {
            let mut payload = json!({"action": action});
            super::view::merge(&mut payload, more);
            payload
        });
    }

    fn tell_run(&mut self, id: u64, run: u64, action: &str) {
        self.hook(id, "workflow_run", |view| {
            let repo = view.world.repos.get(&id);
            let found = repo.and_then(|repo| Some((repo, repo.runs.get(&run)?)));
            let workflow = found.and_then(|(repo, run)| {
                let workflow = repo.workflows.iter().find(|w| w.id == run.workflow)?;
                Some(view.workflow(repo, workflow))
            });
            let run = found.map(|(repo, run)| view.run(repo, run));
            json!({"action": action, "workflow_run": run, "workflow": workflow})
        });
    }

    fn tell_job(&mut self, id: u64, run: u64, job: u64, action: &str) {
        self.hook(id, "workflow_job", |view| {
            let repo = view.world.repos.get(&id);
            let found = repo.and_then(|repo| {
                let run = repo.runs.get(&run)?;
                Some(view.job(repo, run, run.jobs.iter().find(|j| j.id == job)?))
            });
            json!({"action": action, "workflow_job": found})
        });
    }
}

impl GithubTwin {
    /// Makes a repository of this shape and returns its id.
    ///
    /// # Errors
    /// Where the name is in use.
    pub fn create_repo(&self, shape: &RepoShape, seed: u64) -> Result<u64> {
        let full_name = format!("{}/{}", shape.owner, shape.name);
        self.change(&[], |work| {
            if work.world.repo(&full_name).is_some() {
                return Err(TwinError::Exists(format!("repository {full_name}")));
            }
            generate::repo(work.world, shape, seed);
            // The new name wins over a redirect from an old one.
            work.world.former.remove(&full_name.to_lowercase());
            let id = work.repo_id(&full_name)?;
            let now = work.now;
            let repo = work.repo(id)?;
            (repo.created, repo.updated) = (now, now);
            work.created(format!("repo:{id}"));
            work.tell_repo(id, "created", json!({}));
            Ok(id)
        })
    }

    /// Renames a repository. The old name answers 301 until another repository takes it.
    ///
    /// # Errors
    /// Where there is no such repository, or the new name is in use.
    pub fn rename_repo(&self, repo: &str, name: &str) -> Result<()> {
        let owner = repo.split('/').next().unwrap_or_default();
        self.move_repo(repo, &format!("{owner}/{name}"), "renamed")
    }

    /// Gives a repository to another account, which is made where it does not exist.
    ///
    /// # Errors
    /// As [`GithubTwin::rename_repo`].
    pub fn transfer_repo(&self, repo: &str, owner: &str) -> Result<()> {
        let name = repo.split('/').nth(1).unwrap_or_default();
        self.move_repo(repo, &format!("{owner}/{name}"), "transferred")
    }

    fn move_repo(&self, from: &str, to: &str, action: &str) -> Result<()> {
        let id = self.repo_id(from).ok_or_else(|| missing("repository", from))?;
        let objects = {
            let state = crate::clock::lock(&self.shared.state);
            let repo = state.world.repos.get(&id);
            let numbers = repo.into_iter().flat_map(|repo| repo.issues.keys());
            let issues = numbers.map(|number| format!("issue:{id}/{number}"));
            issues.chain([format!("repo:{id}")]).collect::<Vec<_>>()
        };
        self.change(&objects, |work| {
            let (owner, name) = to.split_once('/').ok_or_else(|| missing("name", to))?;
            let (old, new) = (from.to_lowercase(), to.to_lowercase());
            if old != new && work.world.names.contains_key(&new) {
                return Err(TwinError::Exists(format!("repository {to}")));
            }
            if work.world.account(owner).is_none() {
                let now = work.now;
                work.world.add_account(AccountKind::Organization, owner, owner, now);
            }
            let login = work.world.account(owner).map(|account| account.login.clone());
            let now = work.now;
            let repo = work.repo(id)?;
            let before = (repo.owner.clone(), repo.name.clone());
            repo.owner = login.unwrap_or_else(|| owner.to_owned());
            repo.name = name.to_owned();
            repo.updated = now;
            work.world.names.remove(&old);
            work.world.former.insert(old, id);
            work.world.former.remove(&new);
            work.world.names.insert(new, id);
            let changes = match action {
                "renamed" => json!({"repository": {"name": {"from": before.1}}}),
                _ => {
                    let owner = work.render(|view| view.user(&before.0));
                    json!({"owner": {"from": {"user": owner}}})
                }
            };
            work.tell_repo(id, action, json!({"changes": changes}));
            Ok(())
        })
    }

    /// Deletes a repository and all in it.
    ///
    /// # Errors
    /// Where there is no such repository; so for all that follow.
    pub fn delete_repo(&self, repo: &str) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        let mut objects: Vec<String> =
            self.numbers(repo).iter().map(|number| format!("issue:{id}/{number}")).collect();
        objects.push(format!("repo:{id}"));
        self.change(&objects, |work| {
            let document = work.render(|view| {
                view.world.repos.get(&id).map(|repo| json!({"repository": view.full_repo(repo)}))
            });
            work.tell_repo(id, "deleted", document.unwrap_or_default());
            work.world.repos.remove(&id);
            work.world.names.retain(|_, known| *known != id);
            work.world.former.retain(|_, known| *known != id);
            Ok(())
        })
    }

    pub fn describe_repo(&self, repo: &str, description: &str) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[format!("repo:{id}")], |work| {
            let now = work.now;
            let repo = work.repo(id)?;
            repo.description = description.to_owned();
            repo.updated = now;
            work.tell_repo(id, "edited", json!({"changes": {}}));
            Ok(())
        })
    }

    /// Starts a queued run of the repository's first workflow with these jobs; returns its id.
    pub fn start_run(&self, repo: &str, branch: &str, jobs: &[&str]) -> Result<u64> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[], |work| {
            let (now, run) = (work.now, work.world.next_id() + 9_000_000);
            let first = work.world.last_id + 20_000_001;
            work.world.last_id += jobs.len() as u64;
            let actor = work.world.viewer.clone();
            let repo = work.repo(id)?;
            let sha = repo.branch(branch).ok_or_else(|| missing("branch", branch))?.to_owned();
            let workflow = repo.workflows.first().map_or(0, |workflow| workflow.id);
            let number = repo.runs.values().map(|run| run.number).max().unwrap_or(0) + 1;
            let jobs = (first..).zip(jobs).map(|(id, name)| {
                let mut job = generate::job(id, name, now, false);
                (job.status, job.conclusion, job.completed) = ("queued".to_owned(), None, None);
                job.log.clear();
                job
            });
            let started = Run {
                id: run,
                workflow,
                number,
                attempt: 1,
                title: "Pushed".to_owned(),
                event: "push".to_owned(),
                status: "queued".to_owned(),
                conclusion: None,
                branch: branch.to_owned(),
                sha,
                actor,
                pulls: vec![],
                created: now,
                updated: now,
                jobs: jobs.collect(),
            };
            repo.runs.insert(run, started);
            work.created(format!("run:{run}"));
            work.tell_run(id, run, "requested");
            Ok(run)
        })
    }

    /// Moves a run on: `queued`, `in_progress`, or `completed` with a conclusion. Its jobs that
    /// have not ended follow.
    pub fn progress_run(
        &self,
        repo: &str,
        run: u64,
        status: &str,
        conclusion: Option<&str>,
    ) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[format!("run:{run}")], |work| {
            let now = work.now;
            let found = work.repo(id)?.runs.get_mut(&run).ok_or_else(|| missing("run", run))?;
            found.status = status.to_owned();
            found.conclusion = conclusion.map(str::to_owned);
            found.updated = now;
            let mut moved = Vec::new();
            for job in found.jobs.iter_mut().filter(|job| job.status != "completed") {
                job.status = status.to_owned();
                job.conclusion = conclusion.map(str::to_owned);
                job.completed = (status == "completed").then_some(now);
                moved.push(job.id);
            }
            for job in moved {
                work.tell_job(id, run, job, status);
            }
            work.tell_run(id, run, status);
            Ok(())
        })
    }

    pub fn delete_run(&self, repo: &str, run: u64) -> Result<()> {
        self.change(&[], |work| {
            let id = work.repo_id(repo)?;
            work.repo(id)?.runs.remove(&run).ok_or_else(|| missing("run", run))?;
            Ok(())
        })
    }

    /// Runs a finished run again: the same id, the next attempt.
    pub fn rerun(&self, repo: &str, run: u64) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[format!("run:{run}")], |work| {
            let (now, first) = (work.now, work.world.last_id + 20_000_001);
            let found = work.repo(id)?.runs.get_mut(&run).ok_or_else(|| missing("run", run))?;
            found.attempt += 1;
            (found.status, found.conclusion, found.updated) = ("queued".to_owned(), None, now);
            let jobs = found.jobs.len() as u64;
            // A new attempt has new jobs.
            for (id, job) in (first..).zip(&mut found.jobs) {
                job.id = id;
                (job.status, job.conclusion, job.completed) = ("queued".to_owned(), None, None);
                job.started = now;
                job.log.clear();
            }
            work.world.last_id += jobs;
            work.tell_run(id, run, "requested");
            Ok(())
        })
    }

    /// Appends to the log of a job, by its name.
    pub fn append_log(&self, repo: &str, run: u64, job: &str, text: &str) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[format!("run:{run}")], |work| {
            let found = work.repo(id)?.runs.get_mut(&run).ok_or_else(|| missing("run", run))?;
            let mut jobs = found.jobs.iter_mut();
            let found = jobs.find(|j| j.name == job).ok_or_else(|| missing("job", job))?;
            found.log.push_str(text);
            Ok(())
        })
    }
}
