//! A registry of npm packages: versions, tags, manifests, and the files in each version's archive. An instance is one
//! registry, whose URL the user sets.
//!
//! What a digest names never changes, and is verified by it. All else of a package is one scope, `package:{name}`,
//! which a poll covers by the entity tag of its document.

mod api;
mod archive;
mod feed;
mod guide;
mod package;

use api::{Archive, registry};
use omnifs_sdk::manifest::{Credential, Endpoint, Feed};
use omnifs_sdk::*;

/// What the registry says of a package.
fn of(name: &str) -> Coherence {
    scoped(format!("package:{name}"))
}

ids! {
    pub enum Id {
        _: immutable(),
        Root = "root": volatile(),
        Package(name: String) = "package",
        Latest(name: String) = "latest": of(name),
        Tags(name: String) = "tags": of(name),
        Versions(name: String) = "versions": of(name),
        /// The link in `_latest`.
        Newest(name: String, version: String) = "newest": of(name),
        Tag(name: String, tag: String) = "tag": of(name),
        Version(version: String, archive: Archive) = "version",
        Metadata(name: String, version: String) = "metadata": of(name),

        Integrity(archive: Archive) = "integrity",
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
            Package(name) => fixed([
                ("_latest", Latest(name.clone())),
                ("tags", Tags(name.clone())),
                ("versions", Versions(name)),
            ]),
            Latest(name) => listing(move || package::latest(&name)),
            Tags(name) => listing(move || package::tags(&name)),
            Versions(name) => listing(move || package::versions(&name)),
            Newest(_, version) => file(move || Ok(package::target(&version))),
            Tag(name, tag) => file(move || package::tagged(&name, &tag)),
            Version(version, archive) => fixed([
                ("README", Readme(archive.clone())),
                ("files", Files(archive.clone())),
                ("integrity", Integrity(archive.clone())),
                ("metadata.json", Metadata(archive.package.clone(), version)),
                ("package.tgz", Packed(archive)),
            ]),
            Metadata(name, version) => file(move || package::metadata(&name, &version)),
            Integrity(archive) => {
                file(move || Ok(optional(Some(archive.integrity).filter(|text| !text.is_empty()))))
            }
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
            | Tags(name)
            | Versions(name)
            | Newest(name, _)
            | Tag(name, _)
            | Metadata(name, _) => Some(Package(name.clone())),
            Version(_, archive) => Some(Package(archive.package.clone())),
            _ => None,
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct Npm;

impl Provider for Npm {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        endpoints: &[Endpoint {
            allow: registry::RULES,
            credentials: &["registry"],
            ..Endpoint::new(
                registry::ENDPOINT,
                "https://localhost:4873",
                "reads packages, versions and their archives",
            )
        }],
        credentials: &[Credential::new("registry", "https://verdaccio.org/docs/cli-registry/")],
        feeds: &[Feed::poll("packages", "package:", registry::ENDPOINT)],
        guide: guide::GUIDE,
        ..Manifest::new(
            "npm",
            env!("CARGO_PKG_VERSION"),
            "Versions, tags, manifests and files of packages of an npm registry",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        feed::poll(position)
    }
}

export!(service, Npm);
