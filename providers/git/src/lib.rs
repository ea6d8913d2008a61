//! Git repositories over smart HTTP: any server, no forge needed. An instance is one server, whose URL the user
//! sets; a repository is a path below it.
//!
//! What is named by a hash never changes, and is verified by that hash when it comes. What a ref points to is
//! covered by one poll for each repository, an `ls-refs` that names all of them.
//!
//! | scope | holds |
//! |---|---|
//! | `refs:{path}` | the repository, its branches, tags and `HEAD` |
//! | `way:{path}` | that a path is no repository, and may lead to one |

mod commit;
mod diff;
mod place;
mod refs;
mod service;
mod tree;
mod unified;

#[cfg(test)]
mod tests;

use omnifs_sdk::manifest::{Credential, Endpoint, Feed, Scheme, Setting};
use omnifs_sdk::*;
use service::git;

fn refs_of(path: &str) -> Coherence {
    scoped(format!("refs:{path}"))
}

ids! {
    pub enum Id {
        _: immutable(),
        Root = "root": volatile(),
        Directory(path: String) = "directory": scoped(format!("way:{path}")),
        Repo(path: String) = "repo": refs_of(path),
        Branches(path: String) = "branches": refs_of(path),
        Branch(path: String, name: String) = "branch": refs_of(path),
        Tags(path: String) = "tags": refs_of(path),
        Tag(path: String, name: String) = "tag": refs_of(path),
        Head(path: String) = "head": refs_of(path),
        Commits(path: String) = "commits": refs_of(path),

        Commit(path: String, id: String) = "commit",
        Hash(path: String, commit: String) = "hash",
        Diff(path: String, commit: String) = "diff",
        Log(path: String, commit: String) = "log",
        Message(path: String, commit: String) = "message",
        Annotation(path: String, tag: String) = "annotation",
        /// A tree by its hash, or by that of its commit.
        Tree(path: String, id: String) = "tree",
        /// One blob may show as each of these, and an object has one kind.
        Blob(path: String, id: String) = "blob",
        Program(path: String, id: String) = "program",
        Link(path: String, id: String) = "link",
        Submodule(path: String, commit: String) = "submodule",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => open_ended((), |()| place::list(""), |(), name| place::find("", name)),
            Directory(path) => open_ended(path, |p| place::list(p), |p, name| place::find(p, name)),
            Repo(path) => {
                open_ended(path, |p| place::inside(p), |p, name| place::find_inside(p, name))
            }
            Branches(path) => {
                open_ended(path, |p| refs::branches(p), |p, name| refs::branch(p, name))
            }
            Tags(path) => open_ended(path, |p| refs::tags(p), |p, name| refs::tag(p, name)),
            Branch(path, name) => open_ended(
                (path, name),
                |(p, branch)| refs::in_branch(p, branch),
                |(p, branch), name| refs::find_in_branch(p, branch, name),
            ),
            Tag(path, name) => open_ended(
                (path, name),
                |(p, tag)| refs::in_tag(p, tag),
                |(p, tag), name| refs::find_in_tag(p, tag, name),
            ),
            Head(path) => {
                open_ended(path, |p| refs::in_head(p), |p, name| refs::find_in(p, "HEAD", name))
            }
            Commits(path) => open_ended(path, |p| commit::list(p), |p, name| commit::find(p, name)),
            Commit(path, id) => open_ended(
                (path, id),
                |(p, id)| commit::inside(p, id),
                |(p, id), name| commit::find_inside(p, id, name),
            ),
            Hash(_, commit) | Submodule(_, commit) => file(move || Ok(scalar(commit))),
            Diff(path, id) => file(move || diff::read(&path, &id)),
            Log(path, id) => file(move || commit::log(&path, &id)),
            Message(path, id) => file(move || commit::message(&path, &id)),
            Annotation(path, id) => file(move || commit::annotation(&path, &id)),
            Tree(path, id) => listing(move || tree::list(&path, &id)),
            Blob(path, id) | Program(path, id) | Link(path, id) => {
                file(move || tree::blob(&path, &id))
            }
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct Git;

impl Provider for Git {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[
            Setting {
                name: "repositories",
                description: "paths of repositories that listings show, separated by commas",
                default: None,
            },
            Setting {
                name: "commits",
                description: "how many commits a log and _commits show",
                default: Some("100"),
            },
        ],
        endpoints: &[Endpoint {
            allow: git::RULES,
            credentials: &["git"],
            ..Endpoint::new(
                git::ENDPOINT,
                "https://github.com",
                "reads repositories over git's protocol",
            )
        }],
        credentials: &[Credential {
            scheme: Scheme::Basic(None),
            ..Credential::new("git", "https://git-scm.com/docs/gitcredentials")
        }],
        feeds: &[
            Feed::poll("refs", "refs:", git::ENDPOINT),
            Feed::poll("ways", "way:", git::ENDPOINT),
        ],
        ..Manifest::new(
            "git",
            env!("CARGO_PKG_VERSION"),
            "Branches, tags, commits and code of repositories over smart HTTP",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        let unknown = || Error::Invalid(format!("no feed polls the scope {:?}", position.scope));
        match position.scope.split_once(':').ok_or_else(unknown)? {
            ("refs", path) => refs::poll(position, path),
            ("way", path) => refs::poll_way(position, path),
            _ => Err(unknown()),
        }
    }
}

export!(service, Git);
