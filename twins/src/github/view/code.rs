//! Releases, refs, commits, trees and file contents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{View, escape_path, merge, node_id};
use crate::clock::iso;
use crate::github::data::{Asset, Release, Repo};
use crate::github::diff;
use crate::github::git::{Mode, TreeEntry};
use crate::server::encode;

/// The contents API leaves out the content of larger files.
const LARGEST_INLINE: usize = 1024 * 1024;

/// Base64 as GitHub sends it: lines of 60 characters.
fn base64_lines(content: &[u8]) -> String {
    let text = STANDARD.encode(content);
    let mut lines = String::with_capacity(text.len() + text.len() / 60 + 1);
    for line in text.as_bytes().chunks(60) {
        lines.push_str(std::str::from_utf8(line).unwrap_or_default());
        lines.push('\n');
    }
    lines
}

impl View<'_> {
    /// `release`
    pub fn release(&self, repo: &Repo, release: &Release) -> Value {
        let api = self.repo_url(repo);
        let html = self.repo_html(repo);
        let url = format!("{api}/releases/{}", release.id);
        let tag = encode(&release.tag, "");
        json!({
            "url": url, "html_url": format!("{html}/releases/tag/{tag}"),
            "assets_url": format!("{url}/assets"),
            "upload_url": format!("{url}/assets{{?name,label}}"),
            "tarball_url": format!("{api}/tarball/{tag}"),
            "zipball_url": format!("{api}/zipball/{tag}"),
            "id": release.id, "node_id": node_id("RE", release.id), "tag_name": release.tag,
            "target_commitish": release.target, "name": release.name, "body": release.notes,
            "draft": release.draft, "prerelease": release.prerelease, "immutable": false,
            "created_at": iso(release.created), "published_at": iso(release.published),
            "updated_at": iso(release.updated), "author": self.user(&release.author),
            "assets": release.assets.iter().map(|a| self.asset(repo, release, a))
                .collect::<Vec<_>>(),
        })
    }

    /// `release-asset`
    pub fn asset(&self, repo: &Repo, release: &Release, asset: &Asset) -> Value {
        let (tag, name) = (encode(&release.tag, ""), encode(&asset.name, ""));
        json!({
            "url": format!("{}/releases/assets/{}", self.repo_url(repo), asset.id),
            "browser_download_url":
                format!("{}/releases/download/{tag}/{name}", self.repo_html(repo)),
            "id": asset.id, "node_id": node_id("RA", asset.id), "name": asset.name,
            "label": "", "state": "uploaded", "content_type": asset.content_type,
            "size": asset.content.len(), "digest": format!("sha256:{}", asset.digest),
            "download_count": 0, "created_at": iso(asset.created),
            "updated_at": iso(asset.created), "uploader": self.user(&release.author),
        })
    }

    /// `short-branch`
    pub fn branch(&self, repo: &Repo, name: &str, sha: &str) -> Value {
        let url = format!("{}/commits/{sha}", self.repo_url(repo));
        json!({"name": name, "commit": {"sha": sha, "url": url}, "protected": false})
    }

    /// `branch-with-protection`
    pub fn full_branch(&self, repo: &Repo, name: &str, sha: &str) -> Option<Value> {
        let url = format!("{}/branches/{}", self.repo_url(repo), encode(name, ""));
        let html = format!("{}/tree/{}", self.repo_html(repo), escape_path(name));
        Some(json!({
            "name": name, "commit": self.commit(repo, sha)?, "protected": false,
            "_links": {"self": url, "html": html},
            "protection": {
                "enabled": false,
                "required_status_checks":
                    {"enforcement_level": "off", "contexts": [], "checks": []},
            },
            "protection_url": format!("{url}/protection"),
        }))
    }

    /// `tag`
    pub fn tag(&self, repo: &Repo, name: &str, sha: &str) -> Value {
        let api = self.repo_url(repo);
        let full = format!("refs/tags/{}", escape_path(name));
        json!({
            "name": name,
            "commit": {"sha": sha, "url": format!("{api}/commits/{sha}")},
            "zipball_url": format!("{api}/zipball/{full}"),
            "tarball_url": format!("{api}/tarball/{full}"), "node_id": node_id("REF", repo.id),
        })
    }

    /// `git-ref`
    pub fn reference(&self, repo: &Repo, name: &str, sha: &str) -> Value {
        let git = format!("{}/git", self.repo_url(repo));
        json!({
            "ref": name, "node_id": node_id("REF", repo.id),
            "url": format!("{git}/{}", escape_path(name)),
            "object": {"sha": sha, "type": "commit", "url": format!("{git}/commits/{sha}")},
        })
    }

    /// `git-tree`. A listing over the repository's limit is cut and says so.
    pub fn tree(&self, repo: &Repo, sha: &str, recursive: bool) -> Option<Value> {
        let git = format!("{}/git", self.repo_url(repo));
        let direct = repo.git.trees.get(sha)?;
        let mut entries: Vec<(String, &TreeEntry)> = match recursive {
            true => repo.git.walk(sha),
            false => direct.iter().map(|entry| (entry.name.clone(), entry)).collect(),
        };
        let truncated = recursive && entries.len() > repo.tree_limit;
        if truncated {
            entries.truncate(repo.tree_limit);
        }
        let entries = entries.into_iter().map(|(path, entry)| {
            let (kind, oid) = (entry.mode.kind(), &entry.oid);
            let mut value = json!({
                "path": path, "mode": entry.mode.octal(), "type": kind, "sha": oid,
            });
            if entry.mode != Mode::Submodule {
                value["url"] = json!(format!("{git}/{kind}s/{oid}"));
            }
            if let Some(blob) = repo.git.blobs.get(oid) {
                value["size"] = json!(blob.len());
            }
            value
        });
        let entries: Vec<Value> = entries.collect();
        let url = format!("{git}/trees/{sha}");
        Some(json!({"sha": sha, "url": url, "tree": entries, "truncated": truncated}))
    }

    /// `blob`
    pub fn blob(&self, repo: &Repo, sha: &str) -> Option<Value> {
        let content = repo.git.blobs.get(sha)?;
        Some(json!({
            "sha": sha, "node_id": node_id("B", repo.id), "size": content.len(),
            "url": format!("{}/git/blobs/{sha}", self.repo_url(repo)),
            "content": base64_lines(content), "encoding": "base64",
        }))
    }

    fn verification(&self) -> Value {
        json!({"verified": false, "reason": "unsigned", "signature": null, "payload": null,
               "verified_at": null})
    }

    /// `git-commit`
    pub fn git_commit(&self, repo: &Repo, sha: &str) -> Option<Value> {
        let commit = repo.git.commits.get(sha)?;
        let (git, html) = (format!("{}/git", self.repo_url(repo)), self.repo_html(repo));
        let person = json!({
            "name": commit.author.0, "email": commit.author.1, "date": iso(commit.time),
        });
        Some(json!({
            "sha": sha, "node_id": node_id("C", repo.id),
            "url": format!("{git}/commits/{sha}"), "html_url": format!("{html}/commit/{sha}"),
            "author": person, "committer": person, "message": commit.message.trim_end(),
            "tree": {"sha": commit.tree, "url": format!("{git}/trees/{}", commit.tree)},
            "parents": commit.parents.iter().map(|p| json!({
                "sha": p, "url": format!("{git}/commits/{p}"),
                "html_url": format!("{html}/commit/{p}"),
            })).collect::<Vec<_>>(),
            "verification": self.verification(),
        }))
    }

    /// `commit`, without statistics and files, as the listings show it.
    pub fn commit(&self, repo: &Repo, sha: &str) -> Option<Value> {
        let commit = repo.git.commits.get(sha)?;
        let (api, html) = (self.repo_url(repo), self.repo_html(repo));
        let url = format!("{api}/commits/{sha}");
        let person = json!({
            "name": commit.author.0, "email": commit.author.1, "date": iso(commit.time),
        });
        let mut accounts = self.world.accounts.values();
        let login = accounts.find(|a| a.name == commit.author.0).map(|a| a.login.as_str());
        Some(json!({
            "sha": sha, "node_id": node_id("C", repo.id), "url": url,
            "html_url": format!("{html}/commit/{sha}"), "comments_url": format!("{url}/comments"),
            "commit": {
                "author": person, "committer": person, "message": commit.message.trim_end(),
                "tree": {"sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree)},
                "url": format!("{api}/git/commits/{sha}"), "comment_count": 0,
                "verification": self.verification(),
            },
            "author": self.user_or_null(login), "committer": self.user_or_null(login),
            "parents": commit.parents.iter().map(|p| json!({
                "sha": p, "url": format!("{api}/commits/{p}"),
                "html_url": format!("{html}/commit/{p}"),
            })).collect::<Vec<_>>(),
        }))
    }

    /// `commit` with statistics and files.
    pub fn full_commit(&self, repo: &Repo, sha: &str) -> Option<Value> {
        let mut value = self.commit(repo, sha)?;
        let parent = repo.git.commits.get(sha)?.parents.first().map(String::as_str);
        let files = diff::between_commits(&repo.git, parent, sha);
        let additions: usize = files.iter().map(|f| f.additions).sum();
        let deletions: usize = files.iter().map(|f| f.deletions).sum();
        let (api, html) = (self.repo_url(repo), self.repo_html(repo));
        let entries = files.iter().map(|file| {
            let path = escape_path(&file.path);
            json!({
                "sha": file.oid, "filename": file.path, "status": file.status,
                "additions": file.additions, "deletions": file.deletions,
                "changes": file.additions + file.deletions,
                "blob_url": format!("{html}/blob/{sha}/{path}"),
                "raw_url": format!("{html}/raw/{sha}/{path}"),
                "contents_url": format!("{api}/contents/{path}?ref={sha}"),
            })
        });
        let stats = json!({"total": additions + deletions, "additions": additions,
                           "deletions": deletions});
        let files: Vec<Value> = entries.collect();
        merge(&mut value, json!({"stats": stats, "files": files}));
        Some(value)
    }

    /// `code-search-result-item`
    pub fn code_hit(&self, repo: &Repo, path: &str, entry: &TreeEntry, head: &str) -> Value {
        let mut value = self.content(repo, path, entry, head, false);
        if let Value::Object(members) = &mut value {
            members.retain(|name, _| {
                ["name", "path", "sha", "url", "git_url", "html_url"].contains(&name.as_str())
            });
        }
        merge(&mut value, json!({"repository": self.minimal_repo(repo), "score": 1.0}));
        value
    }

    /// `content-file`, `content-symlink`, `content-submodule`, or an entry of `content-directory`
    /// where `inline` is false.
    pub fn content(
        &self,
        repo: &Repo,
        path: &str,
        entry: &TreeEntry,
        reference: &str,
        inline: bool,
    ) -> Value {
        let (api, html) = (self.repo_url(repo), self.repo_html(repo));
        let escaped = escape_path(path);
        let at = format!("?ref={}", encode(reference, ""));
        let url = format!("{api}/contents/{escaped}{at}");
        let blob = repo.git.blobs.get(&entry.oid);
        let kind = match entry.mode {
            Mode::Tree => "dir",
            Mode::Symlink => "symlink",
            // The directory listing calls a submodule a file, for old clients' sake.
            Mode::Submodule if inline => "submodule",
            _ => "file",
        };
        let folder = entry.mode == Mode::Tree;
        let git = format!("{api}/git/{}s/{}", if folder { "tree" } else { "blob" }, entry.oid);
        let page = format!("{html}/{}/{}", if folder { "tree" } else { "blob" }, reference);
        let page = format!("{page}/{escaped}");
        let raw = blob.map(|_| {
            format!("https://raw.githubusercontent.com/{}/{reference}/{escaped}", repo.full_name())
        });
        let mut value = json!({
            "type": kind, "name": path.rsplit('/').next(), "path": path, "sha": entry.oid,
            "size": blob.map_or(0, |b| b.len()), "url": url, "html_url": page, "git_url": git,
            "download_url": raw, "_links": {"self": url, "git": git, "html": page},
        });
        if !inline {
            return value;
        }
        if let Some(blob) = blob {
            let more = match entry.mode {
                Mode::Symlink => json!({"target": String::from_utf8_lossy(blob)}),
                _ if blob.len() > LARGEST_INLINE => json!({"content": "", "encoding": "none"}),
                _ => json!({"content": base64_lines(blob), "encoding": "base64"}),
            };
            merge(&mut value, more);
        } else if entry.mode == Mode::Submodule {
            value["submodule_git_url"] = json!("https://github.com/acme/client.git");
        }
        value
    }
}
