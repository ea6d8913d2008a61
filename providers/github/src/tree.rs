//! Trees of code. One recursive request gives the names, modes, sizes and hashes of a whole tree,
//! and every directory in it is offered; what is named by a hash never changes.
//!
//! GitHub cuts a recursive listing at 100,000 entries or 7 MB. Then the directory alone is asked for,
//! and each one below it when somebody opens it. Where that is cut too the listing is partial, and a
//! name beyond it is asked for by itself, in a directory that is that of a commit: of the others GitHub
//! answers no such question.

use crate::api::{self, github};
use crate::{Id, archive};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
struct Answer {
    tree: Items<Node>,
    #[serde(default, deserialize_with = "null")]
    truncated: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Node {
    path: String,
    mode: String,
    sha: String,
    size: Option<u64>,
}

const DIRECTORY: &str = "040000";

/// `reference` is whatever GitHub takes for a tree: a hash of one or of a commit, a branch, a tag,
/// `HEAD`.
pub fn at(repo: u64, reference: &str) -> Result<Listing<Id>> {
    let request = github::tree(repo, reference);
    let answer = request.clone().query("recursive", 1).send()?;
    if answer.status == 409 {
        // A repository without a commit.
        return Ok(Vec::new().into());
    }
    let mut tree: Answer = api::known_ref(answer)?.json()?;
    if tree.truncated {
        tree = api::known_ref(request.send()?)?.json()?;
        let own = |node: Node| (!node.path.contains('/')).then(|| entry(repo, &node.path, &node));
        let entries = tree.tree.flat_map(own);
        if !tree.truncated {
            return Ok(entries.into());
        }
        let note = format!("the {} entries that GitHub lists, all can be opened", entries.len());
        return Ok(Listing::partial(entries, note));
    }
    let mut directories: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in tree.tree.iter() {
        let parent = node.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        directories.entry(parent).or_default().push(node);
    }
    Ok(entries(repo, "", &directories, &tree.tree, 0))
}

#[derive(Debug, Deserialize)]
struct Found {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    sha: String,
    size: Option<u64>,
}

/// An entry that the listing of a tree stops short of. GitHub does not say here which files are
/// executable.
pub fn beyond(repo: u64, reference: &str, name: &str) -> Result<Entry<Id>> {
    let request = github::contents(repo, name);
    let request = request.header("accept", "application/vnd.github.object+json");
    let request = if reference == "HEAD" { request } else { request.query("ref", reference) };
    let answer = request.send()?;
    if answer.status == 404 && answer.complaint().contains("No commit found") {
        let why = format!("api: {name:?} lies beyond what GitHub lists of a directory");
        return Err(Error::Unavailable(why));
    }
    let found: Found = answer.ok()?.json()?;
    let mode = match found.kind.as_str() {
        "dir" => DIRECTORY,
        "symlink" => "120000",
        "submodule" => "160000",
        _ => "100644",
    };
    let node = Node { path: found.name, mode: mode.to_owned(), sha: found.sha, size: found.size };
    Ok(entry(repo, &node.path, &node))
}

/// As deep as the host walks.
const DEPTH: usize = 64;

/// Where one of `all` cannot be read, any directory may be the one that lacks it: each is asked for when
/// somebody opens it, and says so itself.
fn entries(
    repo: u64,
    directory: &str,
    directories: &BTreeMap<&str, Vec<&Node>>,
    all: &Items<Node>,
    depth: usize,
) -> Listing<Id> {
    let nodes = directories.get(directory).map(Vec::as_slice).unwrap_or_default();
    let entry = |node: &&Node| {
        let name = node.path.rsplit_once('/').map_or(&*node.path, |(_, name)| name);
        if node.mode == DIRECTORY && depth < DEPTH {
            let below = entries(repo, &node.path, directories, all, depth + 1);
            Entry::holding(name, Id::Tree(repo, node.sha.clone()), below)
        } else {
            entry(repo, name, node)
        }
    };
    Listing::from(nodes.iter().map(entry).collect::<Vec<_>>()).noting(all)
}

fn entry(repo: u64, name: &str, node: &Node) -> Entry<Id> {
    let sha = node.sha.clone();
    let sized = |entry: Entry<Id>| match node.size {
        Some(bytes) => entry.size(bytes),
        None => entry,
    };
    match node.mode.as_str() {
        DIRECTORY => Entry::directory(name, Id::Tree(repo, sha)),
        "100755" => sized(Entry::executable(name, Id::Program(repo, sha))),
        "120000" => sized(Entry::symlink(name, Id::Link(repo, sha))),
        // A submodule is a commit of another repository: a file that names it.
        "160000" => {
            let commit = scalar(&sha);
            Entry::file(name, Id::Submodule(repo, sha)).content(commit)
        }
        _ => sized(Entry::file(name, Id::Blob(repo, sha))),
    }
}

/// Of the tree that a name stands for. A poll and a push tell of branches, tags and `HEAD`. What else
/// GitHub resolves moves with no event: the head of a pull request from a fork, an expression over
/// commits, the beginning of a hash.
pub fn coherence(repo: &u64, name: &str) -> Coherence {
    let plain = name.strip_prefix("refs/").unwrap_or(name);
    let short_hash = (4..40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit());
    let expression = name == "@" || name.contains("@{") || name.contains(['~', '^', ':']);
    if plain.starts_with("pull/") || short_hash || expression {
        volatile()
    } else {
        crate::refs(repo)
    }
}

/// `_tree/{ref}`: found by asking for the tree itself, which comes along.
pub fn find(repo: u64, name: &str) -> Result<Entry<Id>> {
    let hash =
        name.len() == 40 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if name.is_empty() || name.starts_with('.') {
        return Err(Error::NotFound);
    }
    let entries = at(repo, name)?;
    if hash {
        // A commit, or a tree: no ref can move it.
        return Ok(Entry::holding(name, Id::Tree(repo, name.to_owned()), entries));
    }
    let id = Id::TreeOf(repo, name.to_owned());
    Ok(Entry::holding(name, id, entries).part_of(&Id::Refs(repo)))
}

pub fn blob(repo: u64, sha: &str) -> Result<Content> {
    if let Some(content) = preload::ahead().and_then(|walk| archive::bring(repo, sha, &walk)) {
        return Ok(content.into());
    }
    let request = github::blob(repo, sha).header("accept", "application/vnd.github.raw");
    Ok(request.ok()?.body.into())
}
