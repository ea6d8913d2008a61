//! Branches and tags: each a file with the hash of its commit.

use crate::Id;
use crate::api::{self, github};
use omnifs_sdk::http::Request;
use omnifs_sdk::*;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
struct Ref {
    name: String,
    commit: Commit,
}

#[derive(Clone, Debug, Deserialize)]
struct Commit {
    sha: String,
}

/// The kinds of refs that have a directory.
#[derive(Clone, Copy)]
enum Kind {
    Branches,
    Tags,
}

impl Kind {
    /// What GitHub calls them, and the request that lists them.
    fn listed(self, repo: u64) -> (&'static str, Request) {
        match self {
            Kind::Branches => ("branches", github::branches(repo)),
            Kind::Tags => ("tags", github::tags(repo)),
        }
    }

    fn id(self, repo: u64, name: &str) -> Id {
        match self {
            Kind::Branches => Id::Branch(repo, name.to_owned()),
            Kind::Tags => Id::Tag(repo, name.to_owned()),
        }
    }

    fn entry(self, repo: u64, name: &str, sha: &str) -> Entry<Id> {
        let id = self.id(repo, name);
        Entry::file(name, id).content(scalar(sha)).part_of(&Id::Refs(repo))
    }

    fn fetch(self, repo: u64) -> Result<Pages<Ref>> {
        api::pages(self.listed(repo).1, api::listing_bound(), |page: Items<Ref>| page)
    }

    fn list(self, repo: u64) -> Result<Listing<Id>> {
        let entry = |one: Ref| self.entry(repo, &one.name, &one.commit.sha);
        Ok(api::listing(self.fetch(repo)?, &format!("first {}", self.listed(repo).0), entry))
    }
}

pub fn branches(repo: u64) -> Result<Listing<Id>> {
    Kind::Branches.list(repo)
}

pub fn tags(repo: u64) -> Result<Listing<Id>> {
    Kind::Tags.list(repo)
}

/// `_tree`: every branch and tag. Any other name of a commit can be looked up.
pub fn trees(repo: u64) -> Result<Listing<Id>> {
    let (mut refs, tags) = (Kind::Branches.fetch(repo)?, Kind::Tags.fetch(repo)?);
    refs.more |= tags.more;
    refs.items.append(tags.items);
    Ok(api::listing(refs, "first branches and tags", |one| {
        let name = one.name.as_str();
        Entry::directory(name, Id::TreeOf(repo, name.to_owned())).part_of(&Id::Refs(repo))
    }))
}

pub fn branch(repo: u64, name: &str) -> Result<Entry<Id>> {
    // Under a former name GitHub answers the renamed branch, which is then not this one.
    let branch: Ref = github::branch(repo, name).json()?;
    Ok(Kind::Branches.entry(repo, &branch.name, &branch.commit.sha))
}

pub fn branch_head(repo: u64, name: &str) -> Result<Content> {
    let branch: Ref = github::branch(repo, name).json()?;
    if branch.name == name { Ok(scalar(branch.commit.sha)) } else { Err(Error::NotFound) }
}

pub fn tag(repo: u64, name: &str) -> Result<Entry<Id>> {
    Ok(Kind::Tags.entry(repo, name, &tag_commit(repo, name)?))
}

pub fn tag_head(repo: u64, name: &str) -> Result<Content> {
    Ok(scalar(tag_commit(repo, name)?))
}

/// The commit of a tag, also of an annotated one, as the listing shows it.
fn tag_commit(repo: u64, name: &str) -> Result<String> {
    let commit = github::commit(repo, format!("tags/{name}"));
    let answer = commit.header("accept", "application/vnd.github.sha").send()?;
    let sha = String::from_utf8(api::known_ref(answer)?.body).unwrap_or_default();
    let hash = sha.len() >= 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hash { Ok(sha) } else { Err(Error::Invalid("api: a commit's hash is not one".to_owned())) }
}

/// The document GitHub shows below the files, whatever its name; empty where there is none.
pub fn readme(repo: u64) -> Result<Content> {
    match github::readme(repo).header("accept", "application/vnd.github.raw").ok() {
        Ok(answer) => Ok(answer.body.into()),
        Err(Error::NotFound) => Ok(Content::default()),
        Err(error) => Err(error),
    }
}

/// Any ref may have moved, appeared or gone.
pub fn any_moved(out: &mut Changes, repo: u64) {
    out.invalidated([Id::Refs(repo), Id::Head(repo), Id::Readme(repo)]);
    out.children_changed([Id::Trees(repo), Id::Branches(repo), Id::Tags(repo)]);
}

/// A branch or tag moved; `made` where it appeared or went.
pub fn moved(out: &mut Changes, repo: u64, default: &str, full: &str, made: bool) {
    let branch = full.strip_prefix("refs/heads/");
    // No other refs are shown by name, but one may be looked up as a tree.
    let Some(name) = branch.or(full.strip_prefix("refs/tags/")) else {
        return any_moved(out, repo);
    };
    let (one, all) = match branch {
        Some(_) => (Id::Branch(repo, name.to_owned()), Id::Branches(repo)),
        None => (Id::Tag(repo, name.to_owned()), Id::Tags(repo)),
    };
    let tree = |name: &str| Id::TreeOf(repo, name.to_owned());
    let short = full.trim_start_matches("refs/");
    out.invalidated([one, Id::RepoJson(repo), tree(name), tree(short), tree(full)]);
    if made {
        out.children_changed([all, Id::Trees(repo)]);
    }
    if branch.is_some() && (default.is_empty() || default == name) {
        out.invalidated([Id::Head(repo), tree("HEAD"), Id::Readme(repo), Id::Workflows(repo)]);
    }
}
