//! Changes to branches, tags and releases.

use serde_json::{Value, json};

use super::GithubTwin;
use super::change::{Work, missing};
use super::change_issues::follow_branch;
use super::data::{Asset, Release};
use super::git::{Commit, Files, Mode};
use crate::clock::{iso, lock};
use crate::{Result, TwinError};

/// One file of a push.
#[derive(Clone, Debug)]
pub enum Write<'a> {
    File(&'a [u8]),
    Executable(&'a [u8]),
    Symlink(&'a str),
    Delete,
}

/// A release to publish.
#[derive(Clone, Debug, Default)]
pub struct NewRelease {
    pub tag: String,
    pub name: String,
    pub notes: String,
    pub prerelease: bool,
    /// Name, content type, content.
    pub assets: Vec<(String, String, Vec<u8>)>,
}

impl Work<'_> {
    /// Moves, makes or (where `to` is empty) deletes a ref, and tells of it.
    pub fn move_branch(&mut self, id: u64, name: &str, to: &str) -> Result<()> {
        let now = self.now;
        let repo = self.repo(id)?;
        let zero = "0".repeat(40);
        let before = match to {
            "" => repo.refs.remove(name),
            _ => repo.refs.insert(name.to_owned(), to.to_owned()),
        };
        repo.pushed = now;
        repo.updated = now;
        let (short, kind) = match name.strip_prefix("refs/heads/") {
            Some(short) => (short, "branch"),
            None => (name.strip_prefix("refs/tags/").unwrap_or(name), "tag"),
        };
        let (made, deleted) = (before.is_none(), to.is_empty());
        let before = before.unwrap_or(zero.clone());
        let after = if deleted { zero } else { to.to_owned() };
        if made {
            let default = self.repo(id)?.default_branch.clone();
            let mut payload = json!({
                "ref": short, "ref_type": kind, "master_branch": default, "pusher_type": "user",
            });
            let mut told = payload.clone();
            told["description"] = Value::Null;
            self.hook(id, "create", |_| told);
            payload["full_ref"] = json!(name);
            self.list(id, "CreateEvent", false, |_| payload);
        }
        if deleted {
            let mut payload = json!({"ref": short, "ref_type": kind, "pusher_type": "user"});
            let told = payload.clone();
            self.hook(id, "delete", |_| told);
            payload["full_ref"] = json!(name);
            self.list(id, "DeleteEvent", false, |_| payload);
        }
        let push = self.now;
        self.hook(id, "push", |view| {
            let repo = view.world.repos.get(&id);
            let commit = repo.and_then(|repo| repo.git.commits.get(&after));
            let commit = commit.map(|commit| {
                let person = json!({"name": commit.author.0, "email": commit.author.1});
                json!({
                    "id": after, "tree_id": commit.tree, "distinct": true,
                    "message": commit.message.trim_end(), "timestamp": iso(commit.time),
                    "url": repo.map(|r| format!("{}/commit/{after}", view.repo_html(r))),
                    "author": person, "committer": person, "added": [], "removed": [],
                    "modified": [],
                })
            });
            let commits: Vec<&Value> = commit.iter().collect();
            json!({
                "ref": name, "before": before, "after": after, "created": made,
                "deleted": deleted, "forced": false, "base_ref": null, "commits": commits,
                "compare": repo.map(|r| format!("{}/compare/{before}...{after}",
                                                view.repo_html(r))),
                "head_commit": commit, "pusher": {"name": view.world.viewer, "email": null},
            })
        });
        if !deleted && kind == "branch" {
            self.list(id, "PushEvent", false, |_| {
                json!({
                    "repository_id": id, "push_id": push, "ref": name, "head": after,
                    "before": before,
                })
            });
            follow_branch(self, id, short, &after)?;
        }
        Ok(())
    }
}

impl GithubTwin {
    /// Commits these changes on a branch, which is made from the default branch where it does not
    /// exist, and returns the commit's id.
    ///
    /// # Errors
    /// Where there is no such repository; so for all that follow.
    pub fn push(
        &self,
        repo: &str,
        branch: &str,
        writes: &[(&str, Write<'_>)],
        message: &str,
    ) -> Result<String> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        let full = format!("refs/heads/{branch}");
        self.change(&self.push_objects(id, &full), |work| {
            let now = work.now;
            let repo = work.repo(id)?;
            let from = repo.branch(branch).or_else(|| repo.branch(&repo.default_branch));
            let parent = from.map(str::to_owned);
            let tree = parent.as_ref().and_then(|sha| repo.git.commits.get(sha));
            let mut files =
                tree.map_or_else(Files::new, |commit| repo.git.files(&commit.tree.clone()));
            for (path, write) in writes {
                let (mode, content) = match write {
                    Write::File(content) => (Mode::File, *content),
                    Write::Executable(content) => (Mode::Executable, *content),
                    Write::Symlink(target) => (Mode::Symlink, target.as_bytes()),
                    Write::Delete => {
                        files.remove(*path);
                        continue;
                    }
                };
                let oid = repo.git.blob(content);
                files.insert((*path).to_owned(), (mode, oid));
            }
            let tree = repo.git.tree(&files);
            let author = ("Mira Okafor".to_owned(), "mira@example.com".to_owned());
            let parents = parent.into_iter().collect();
            let message = format!("{}\n", message.trim_end());
            let sha = repo.git.commit(Commit { tree, parents, author, time: now, message });
            work.move_branch(id, &full, &sha)?;
            Ok(sha)
        })
    }

    /// The ref, and the pull requests that a push to it moves.
    fn push_objects(&self, id: u64, full: &str) -> Vec<String> {
        let state = lock(&self.shared.state);
        let mut objects = vec![format!("ref:{id}/{full}")];
        let short = full.strip_prefix("refs/heads/");
        if let (Some(repo), Some(short)) = (state.world.repos.get(&id), short) {
            let moved = repo.issues.values().filter(|issue| {
                issue.open && issue.pull.as_ref().is_some_and(|pull| pull.head == short)
            });
            objects.extend(moved.map(|issue| format!("issue:{id}/{}", issue.number)));
        }
        objects
    }

    /// Makes or moves a ref by its full name, `refs/heads/x` or `refs/tags/x`, to a commit.
    pub fn set_ref(&self, repo: &str, full: &str, sha: &str) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&self.push_objects(id, full), |work| {
            let commits = &work.repo(id)?.git.commits;
            commits.get(sha).ok_or_else(|| missing("commit", sha))?;
            work.move_branch(id, full, sha)
        })
    }

    pub fn delete_ref(&self, repo: &str, full: &str) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[format!("ref:{id}/{full}")], |work| {
            work.repo(id)?.refs.get(full).ok_or_else(|| missing("ref", full))?;
            work.move_branch(id, full, "")
        })
    }

    /// The commit that a full ref names.
    pub fn ref_sha(&self, repo: &str, full: &str) -> Option<String> {
        lock(&self.shared.state).world.repo(repo)?.refs.get(full).cloned()
    }

    /// The ids of the repository's releases, ascending.
    pub fn release_ids(&self, repo: &str) -> Vec<u64> {
        let state = lock(&self.shared.state);
        state.world.repo(repo).map(|r| r.releases.keys().copied().collect()).unwrap_or_default()
    }

    /// Publishes a release, with its tag where that does not exist, and returns its id.
    pub fn publish_release(&self, repo: &str, new: NewRelease) -> Result<u64> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        let full = format!("refs/tags/{}", new.tag);
        self.change(&[format!("ref:{id}/{full}")], |work| {
            let (now, release) = (work.now, work.world.next_id());
            let first = work.world.last_id + 1;
            work.world.last_id += new.assets.len() as u64;
            let assets = (first..).zip(new.assets).map(|(id, (name, content_type, content))| {
                Asset::new(id, name, content_type, content, now)
            });
            let assets = assets.collect();
            let author = work.world.viewer.clone();
            let repo = work.repo(id)?;
            if repo.releases.values().any(|known| known.tag == new.tag) {
                return Err(TwinError::Exists(format!("release {}", new.tag)));
            }
            let made = Release {
                id: release,
                tag: new.tag,
                target: repo.default_branch.clone(),
                name: new.name,
                notes: new.notes,
                draft: false,
                prerelease: new.prerelease,
                author,
                created: now,
                published: now,
                updated: now,
                assets,
            };
            repo.releases.insert(release, made);
            work.created(format!("release:{release}"));
            if !work.repo(id)?.refs.contains_key(&full) {
                let default = work.repo(id)?.default_branch.clone();
                let sha = work.repo(id)?.branch(&default).unwrap_or_default().to_owned();
                work.move_branch(id, &full, &sha)?;
            }
            work.tell_release(id, release, "published", Value::Null);
            Ok(release)
        })
    }

    /// Has the storage answer an asset with its last byte turned, or, the second time, as it was.
    pub fn turn_asset(&self, repo: &str, name: &str) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let repo = state.world.repo_mut(repo).ok_or_else(|| missing("repository", repo))?;
        let mut assets = repo.releases.values_mut().flat_map(|release| &mut release.assets);
        let found = assets.find(|asset| asset.name == name);
        let asset = found.ok_or_else(|| missing("asset", name))?;
        let mut content = asset.content.to_vec();
        if let Some(last) = content.last_mut() {
            *last = !*last;
        }
        asset.content = content.into();
        Ok(())
    }

    pub fn edit_release(&self, repo: &str, release: u64, notes: &str) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[format!("release:{release}")], |work| {
            let now = work.now;
            let releases = &mut work.repo(id)?.releases;
            let found = releases.get_mut(&release).ok_or_else(|| missing("release", release))?;
            let before = std::mem::replace(&mut found.notes, notes.to_owned());
            found.updated = now;
            work.tell_release(id, release, "edited", json!({"body": {"from": before}}));
            Ok(())
        })
    }

    /// Deletes a release; its tag stays.
    pub fn delete_release(&self, repo: &str, release: u64) -> Result<()> {
        let id = self.repo_id(repo).ok_or_else(|| missing("repository", repo))?;
        self.change(&[format!("release:{release}")], |work| {
            work.tell_release(id, release, "deleted", Value::Null);
            let removed = work.repo(id)?.releases.remove(&release);
            removed.map(|_| ()).ok_or_else(|| missing("release", release))
        })
    }
}

impl Work<'_> {
    fn tell_release(&mut self, id: u64, release: u64, action: &str, changes: Value) {
        let make = |view: super::view::View<'_>| -> Value {
            let repo = view.world.repos.get(&id);
            let found =
                repo.and_then(|repo| Some(view.release(repo, repo.releases.get(&release)?)));
            json!({"action": action, "release": found})
        };
        self.hook(id, "release", |view| {
            let mut payload = make(view);
            if !changes.is_null() {
                payload["changes"] = changes;
            }
            payload
        });
        self.list(id, "ReleaseEvent", action != "published", make);
    }
}
