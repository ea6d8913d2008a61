//! A registry of Rust crates with a sparse index: versions, dependencies, and the files in each archive. An instance is
//! one registry, whose URLs the user sets.
//!
//! What a digest names never changes, and is verified by it. All else of a crate is one scope, `crate:{name}`, which a
//! poll covers by the crate's file in the index.

mod api;
mod archive;
mod feed;
mod guide;
mod package;

use api::{Archive, files, index};
use omnifs_sdk::manifest::{Credential, Endpoint, Feed, Scheme};
use omnifs_sdk::*;

/// What the index says of a crate.
fn of(name: &str) -> Coherence {
    scoped(format!("crate:{name}"))
}

ids! {
    pub enum Id {
        _: immutable(),
        Root = "root": volatile(),
        Crate(name: String) = "crate",
        Latest(name: String) = "latest": of(name),
        Versions(name: String) = "versions": of(name),
        /// The link in `_latest`.
        Newest(name: String, version: String) = "newest": of(name),
        Version(archive: Archive) = "version",
        Metadata(name: String, version: String) = "metadata": of(name),

        Checksum(archive: Archive) = "checksum",
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
            Root => open_ended((), |()| package::list(), |(), name| package::find(name)),
            Crate(name) => fixed([("_latest", Latest(name.clone())), ("versions", Versions(name))]),
            Latest(name) => listing(move || package::latest(&name)),
            Versions(name) => listing(move || package::versions(&name)),
            Newest(_, version) => file(move || Ok(package::target(&version))),
            Version(archive) => fixed([
                ("README", Readme(archive.clone())),
                ("checksum", Checksum(archive.clone())),
                ("files", Files(archive.clone())),
                ("metadata.json", Metadata(archive.name.clone(), archive.version.clone())),
                ("package.crate", Packed(archive)),
            ]),
            Metadata(name, version) => file(move || package::metadata(&name, &version)),
            Checksum(archive) => file(move || Ok(scalar(archive.checksum))),
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
            Latest(name) | Versions(name) | Newest(name, _) | Metadata(name, _) => {
                Some(Crate(name.clone()))
            }
            Version(archive) => Some(Crate(archive.name.clone())),
            _ => None,
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct Crates;

impl Provider for Crates {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        endpoints: &[
            Endpoint {
                allow: index::RULES,
                credentials: &["registry"],
                ..Endpoint::new(
                    index::ENDPOINT,
                    "https://localhost:8000",
                    "reads the index: which versions crates have",
                )
            },
            Endpoint {
                allow: files::RULES,
                credentials: &["registry"],
                ..Endpoint::new(
                    files::ENDPOINT,
                    "https://localhost:8001",
                    "reads archives of crates",
                )
            },
        ],
        credentials: &[Credential {
            scheme: Scheme::Header("authorization"),
            ..Credential::new(
                "registry",
                "https://doc.rust-lang.org/cargo/reference/registry-authentication.html",
            )
        }],
        feeds: &[Feed::poll("crates", "crate:", index::ENDPOINT)],
        guide: guide::GUIDE,
        ..Manifest::new(
            "crates",
            env!("CARGO_PKG_VERSION"),
            "Versions, dependencies and files of crates of a Rust registry",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        feed::poll(position)
    }
}

export!(service, Crates);
