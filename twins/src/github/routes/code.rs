//! Branches, tags, refs, git objects, file contents and releases.

use std::cmp::Reverse;

use super::{Ask, Found};
use crate::github::data::{Release, Repo};
use crate::github::diff;
use crate::github::git::Mode;

const RAW: &str = "application/vnd.github.raw; charset=utf-8";
/// GitHub shows a folder's entries up to this many.
const CONTENTS_LIMIT: usize = 1_000;

/// The commit that a branch, tag, full ref or id names.
pub(super) fn resolve<'a>(repo: &'a Repo, name: &str) -> Option<&'a str> {
    if let Some((oid, _)) = repo.git.commits.get_key_value(name) {
        return Some(oid);
    }
    let name = if name == "HEAD" { repo.default_branch.as_str() } else { name };
    ["refs/heads/", "refs/tags/", "refs/", ""]
        .iter()
        .find_map(|prefix| repo.refs.get(&format!("{prefix}{name}")))
        .map(String::as_str)
}

/// By which the second host knows a tree.
pub(crate) fn archive_id(tree: &str) -> u64 {
    u64::from_str_radix(&tree[..15], 16).unwrap_or_default()
}

impl<'a> Ask<'a> {
    pub fn code(&self, repo: &'a Repo, rest: &[&str]) -> Option<Found> {
        match rest {
            ["branches"] => {
                let branches = named(repo, "refs/heads/");
                Some(self.page(branches, |(name, sha)| self.view.branch(repo, name, sha)))
            }
            ["branches", name @ ..] => {
                let name = name.join("/");
                let sha = repo.branch(&name)?;
                Some(Found::Json(self.view.full_branch(repo, &name, sha)?))
            }
            ["tags"] => {
                let tags = named(repo, "refs/tags/").rev();
                Some(self.page(tags, |(name, sha)| self.view.tag(repo, name, sha)))
            }
            ["git", rest @ ..] => self.git(repo, rest),
            ["tarball", name @ ..] => {
                let sha = resolve(repo, &name.join("/"))?;
                let tree = &repo.git.commits.get(sha)?.tree;
                Some(self.download("archives", archive_id(tree)))
            }
            ["commits"] => {
                let name = self.query("sha").unwrap_or(&repo.default_branch);
                let mut line = repo.git.between("", resolve(repo, name)?);
                line.reverse();
                let commits = line.into_iter().filter_map(|sha| self.view.commit(repo, sha));
                Some(self.page(commits, |value| value))
            }
            ["commits", name @ ..] => self.commit(repo, &name.join("/")),
            ["readme"] => {
                let root = self.root(repo)?;
                let entries = repo.git.trees.get(&root.1)?.iter();
                let mut readmes = entries.filter(|e| {
                    e.mode == Mode::File && e.name.to_lowercase().starts_with("readme")
                });
                let name = readmes.next()?.name.clone();
                self.contents(repo, &name)
            }
            ["contents", path @ ..] => self.contents(repo, &path.join("/")),
            ["releases", rest @ ..] => self.releases(repo, rest),
            _ => None,
        }
    }

    fn git(&self, repo: &'a Repo, rest: &[&str]) -> Option<Found> {
        match rest {
            // The singular form wants the whole name.
            ["ref", name @ ..] => {
                let name = format!("refs/{}", name.join("/"));
                let sha = repo.refs.get(&name)?;
                Some(Found::Json(self.view.reference(repo, &name, sha)))
            }
            ["matching-refs" | "refs", prefix @ ..] => {
                let prefix = format!("refs/{}", prefix.join("/"));
                let refs = repo.refs.iter().filter(|(name, _)| name.starts_with(&prefix));
                Some(self.page(refs, |(name, sha)| self.view.reference(repo, name, sha)))
            }
            ["trees", name @ ..] => {
                let name = name.join("/");
                let commit = resolve(repo, &name).and_then(|oid| repo.git.commits.get(oid));
                let tree = commit.map_or(name.as_str(), |commit| &commit.tree);
                // Any value of `recursive` asks for the whole tree, even `0` and `false`.
                let recursive = self.query("recursive").is_some();
                Some(Found::Json(self.view.tree(repo, tree, recursive)?))
            }
            ["blobs", sha] => match self.media() {
                "raw" => Some(Found::Raw(RAW, repo.git.blobs.get(*sha)?.to_vec())),
                _ => Some(Found::Json(self.view.blob(repo, sha)?)),
            },
            ["commits", sha] => Some(Found::Json(self.view.git_commit(repo, sha)?)),
            _ => None,
        }
    }

    fn commit(&self, repo: &'a Repo, name: &str) -> Option<Found> {
        let Some(sha) = resolve(repo, name) else {
            return Some(Found::Invalid(format!("No commit found for SHA: {name}")));
        };
        let parent = repo.git.commits.get(sha)?.parents.first().map(String::as_str);
        let changes = || diff::between_commits(&repo.git, parent, sha);
        Some(match self.media() {
            "sha" => {
                Found::Raw("application/vnd.github.sha; charset=utf-8", sha.as_bytes().to_vec())
            }
            "diff" => Found::Raw(
                "application/vnd.github.diff; charset=utf-8",
                diff::text(&changes()).into_bytes(),
            ),
            "patch" => Found::Raw(
                "application/vnd.github.patch; charset=utf-8",
                diff::mail(&repo.git, &[sha]).into_bytes(),
            ),
            _ => Found::Json(self.view.full_commit(repo, sha)?),
        })
    }

    /// The name of the ref that was asked for and the root tree it shows.
    fn root(&self, repo: &'a Repo) -> Option<(String, String)> {
        let name = self.query("ref").unwrap_or(&repo.default_branch);
        let commit = repo.git.commits.get(resolve(repo, name)?)?;
        Some((name.to_owned(), commit.tree.clone()))
    }

    fn contents(&self, repo: &'a Repo, path: &str) -> Option<Found> {
        let (reference, root) = self.root(repo)?;
        let path = path.trim_matches('/');
        let entry = if path.is_empty() { None } else { Some(repo.git.entry(&root, path)?) };
        let folder = match entry {
            Some(entry) if entry.mode != Mode::Tree => {
                if self.media() == "raw" {
                    return Some(Found::Raw(RAW, repo.git.blobs.get(&entry.oid)?.to_vec()));
                }
                let value = self.view.content(repo, path, entry, &reference, true);
                return Some(Found::Dated(value, repo.pushed));
            }
            Some(entry) => &entry.oid,
            None => &root,
        };
        let at = if path.is_empty() { String::new() } else { format!("{path}/") };
        let entries = repo.git.trees.get(folder)?.iter().take(CONTENTS_LIMIT);
        let entries = entries.map(|entry| {
            let path = format!("{at}{}", entry.name);
            self.view.content(repo, &path, entry, &reference, false)
        });
        Some(Found::Dated(entries.collect(), repo.pushed))
    }

    fn releases(&self, repo: &'a Repo, rest: &[&str]) -> Option<Found> {
        let mut newest: Vec<&Release> = repo.releases.values().collect();
        newest.sort_by_key(|release| Reverse((release.created, release.id)));
        let one = |release: &Release| {
            Some(Found::Dated(self.view.release(repo, release), release.updated))
        };
        match rest {
            [] => Some(self.page(newest.into_iter(), |r| self.view.release(repo, r))),
            ["latest"] => one(newest.iter().find(|r| !r.draft && !r.prerelease)?),
            ["tags", tag @ ..] => {
                let tag = tag.join("/");
                one(newest.iter().find(|r| r.tag == tag && !r.draft)?)
            }
            ["assets", id] => {
                let id: u64 = id.parse().ok()?;
                let found = repo.releases.values().find_map(|release| {
                    Some((release, release.assets.iter().find(|asset| asset.id == id)?))
                });
                let (release, asset) = found?;
                if self.request.header("accept") == Some("application/octet-stream") {
                    return Some(self.download("assets", id));
                }
                Some(Found::Json(self.view.asset(repo, release, asset)))
            }
            [id, rest @ ..] => {
                let release = repo.releases.get(&id.parse().ok()?)?;
                match rest {
                    [] => one(release),
                    ["assets"] => Some(self.page(release.assets.iter(), |asset| {
                        self.view.asset(repo, release, asset)
                    })),
                    _ => None,
                }
            }
        }
    }
}

/// Refs below a prefix by their short names, in the order of their names.
fn named<'a>(
    repo: &'a Repo,
    prefix: &'a str,
) -> impl DoubleEndedIterator<Item = (&'a str, &'a str)> {
    let below = repo.refs.iter();
    below.filter_map(move |(name, sha)| Some((name.strip_prefix(prefix)?, sha.as_str())))
}
