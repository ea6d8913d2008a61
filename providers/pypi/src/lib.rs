//! A Python package index: versions of projects, their metadata, and the files in each archive. An instance is one
//! index, whose URL the user sets.
//!
//! What a digest names never changes, and is verified by it. All else of a project is one scope, `project:{name}`,
//! which a poll covers by the project's page.

mod api;
mod archive;
mod feed;
mod guide;
mod project;
mod version;

use api::{Archive, files, index};
use omnifs_sdk::manifest::{Credential, Endpoint, Feed, Scheme, Setting};
use omnifs_sdk::*;

/// What the index says of a project.
fn of(name: &str) -> Coherence {
    scoped(format!("project:{name}"))
}

ids! {
    pub enum Id {
        _: immutable(),
        Root = "root": volatile(),
        Project(name: String) = "project",
        Latest(name: String) = "latest": of(name),
        Versions(name: String) = "versions": of(name),
        /// The link in `_latest`.
        Newest(name: String, version: String) = "newest": of(name),
        Version(name: String, version: String) = "version": of(name),
        Releases(name: String, version: String) = "releases": of(name),
        Archives(name: String, version: String) = "archives": of(name),
        Unpacked(name: String, version: String) = "unpacked": of(name),

        Core(archive: Archive) = "core",
        Readme(archive: Archive) = "readme",
        Packed(archive: Archive) = "packed",
        Files(archive: Archive) = "files",
        Dir(archive: Archive, path: String) = "dir",
        /// What an archive has at a path may be each of these, and an object has one kind.
        File(archive: Archive, path: String) = "file",
        Program(archive: Archive, path: String) = "program",
        Link(archive: Archive, path: String) = "link",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => open_ended((), |()| project::list(), |(), name| project::find(name)),
            Project(name) => {
                fixed([("_latest", Latest(name.clone())), ("versions", Versions(name))])
            }
            Latest(name) => listing(move || project::latest(&name)),
            Versions(name) => listing(move || project::versions(&name)),
            Newest(_, version) => file(move || Ok(project::target(&version))),
            Version(name, version) => listing(move || project::version(&name, &version)),
            Releases(name, version) => file(move || project::metadata(&name, &version)),
            Archives(name, version) => listing(move || project::archives(&name, &version)),
            Unpacked(name, version) => listing(move || project::unpacked(&name, &version)),
            Core(archive) => file(move || archive::core(&archive)),
            Readme(archive) => file(move || archive::readme(&archive)),
            Packed(archive) => file(move || archive.fetch()),
            Files(archive) => listing(move || archive::list(&archive, "")),
            Dir(archive, path) => listing(move || archive::list(&archive, &path)),
            File(archive, path) | Program(archive, path) | Link(archive, path) => {
                file(move || archive::read(&archive, &path))
            }
        }
    }

    fn whole(&self) -> Option<Id> {
        use Id::*;
        match self {
            Latest(name)
            | Versions(name)
            | Newest(name, _)
            | Version(name, _)
            | Releases(name, _)
            | Archives(name, _)
            | Unpacked(name, _) => Some(Project(name.clone())),
            _ => None,
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct Pypi;

impl Provider for Pypi {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting {
            name: "list",
            description: "the directory of the index that has a page for each project; +simple in devpi",
            default: Some("simple"),
        }],
        endpoints: &[
            Endpoint {
                allow: index::RULES,
                credentials: &["index"],
                ..Endpoint::new(
                    index::ENDPOINT,
                    "https://localhost:3141",
                    "reads projects, and archives that lie there",
                )
            },
            Endpoint {
                allow: files::RULES,
                ..Endpoint::new(
                    files::ENDPOINT,
                    "https://localhost:3142",
                    "reads archives that lie on a host of their own",
                )
            },
        ],
        credentials: &[Credential {
            scheme: Scheme::Basic(None),
            ..Credential::new(
                "index",
                "https://packaging.python.org/en/latest/specifications/pypirc/",
            )
        }],
        feeds: &[Feed::poll("projects", "project:", index::ENDPOINT)],
        guide: guide::GUIDE,
        ..Manifest::new(
            "pypi",
            env!("CARGO_PKG_VERSION"),
            "Versions, metadata and files of projects of a Python package index",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        feed::poll(position)
    }
}

export!(service, Pypi);
