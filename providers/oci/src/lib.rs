//! A registry of container images (OCI Distribution Specification): repositories, their tags, and of each image
//! its manifest, configuration, layers and the files in them. An instance is one registry, whose URL the user sets.
//!
//! What a digest names never changes, and is verified by it. Tags are covered by polls:
//!
//! | scope | holds | a poll |
//! |---|---|---|
//! | `tags:{repository}` | which tags there are | the list of tags |
//! | `tag:{repository}:{tag}` | what a tag leads to | a HEAD, which tells its digest |

mod api;
mod feed;
mod files;
mod guide;
mod image;
mod repository;

use api::registry;
use omnifs_sdk::manifest::{Credential, Endpoint, Feed, Scheme, Setting};
use omnifs_sdk::*;

/// Which tags a repository has.
fn tags_of(repo: &str) -> Coherence {
    scoped(format!("tags:{repo}"))
}

/// What is shown of a manifest that a tag or a digest names.
fn of(repo: &str, reference: &str) -> Coherence {
    if api::is_digest(reference) { immutable() } else { scoped(format!("tag:{repo}:{reference}")) }
}

ids! {
    pub enum Id {
        _: immutable(),
        Root = "root": volatile(),
        Repo(repo: String) = "repo",
        Tags(repo: String) = "tags": tags_of(repo),
        Digests(repo: String) = "digests": volatile(),
        /// What a tag or a digest names, and what is shown of it.
        At(repo: String, reference: String) = "at",
        Digest(repo: String, reference: String) = "digest": of(repo, reference),
        Manifest(repo: String, reference: String) = "manifest": of(repo, reference),
        Config(repo: String, reference: String) = "config": of(repo, reference),
        Layers(repo: String, reference: String) = "layers": of(repo, reference),
        Platforms(repo: String, reference: String) = "platforms": of(repo, reference),
        Files(repo: String, reference: String) = "files": of(repo, reference),

        Layer(repo: String, digest: String) = "layer",
        /// A directory in the files of the image with this digest.
        Dir(repo: String, image: String, path: String) = "dir",
        /// What a layer has at a path may be each of these, and an object has one kind.
        File(repo: String, layer: String, path: String) = "file",
        Program(repo: String, layer: String, path: String) = "program",
        Link(repo: String, layer: String, path: String) = "link",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => open_ended((), |()| repository::list(), |(), name| repository::find(name)),
            Repo(repo) => fixed([("tags", Tags(repo.clone())), ("digests", Digests(repo))]),
            Tags(repo) => {
                let again = repo.clone();
                listing(move || repository::tags(&repo))
                    .beyond(move |name| repository::tag(&again, name))
            }
            Digests(repo) => open_ended(
                repo,
                |_| repository::digests(),
                |repo, name| repository::digest(repo, name),
            ),
            At(repo, reference) => listing(move || image::entries(&repo, &reference)),
            Digest(repo, reference) => {
                file(move || Ok(scalar(image::Found::of(&repo, &reference)?.digest)))
            }
            Manifest(repo, reference) => {
                file(move || Ok(image::Found::of(&repo, &reference)?.bytes))
            }
            // Its entry says where the content is, unless there is none.
            Config(..) => file(|| Ok(Content::default())),
            Layers(repo, reference) => listing(move || image::layers(&repo, &reference)),
            Platforms(repo, reference) => listing(move || image::platforms(&repo, &reference)),
            Files(repo, reference) => listing(move || files::list(&repo, &reference, "")),
            Layer(..) => file_at(),
            Dir(repo, image, path) => listing(move || files::list(&repo, &image, &path)),
            File(repo, layer, path) | Program(repo, layer, path) | Link(repo, layer, path) => {
                file(move || files::read(&repo, &layer, &path))
            }
        }
    }

    fn whole(&self) -> Option<Id> {
        use Id::*;
        match self {
            Digest(repo, to)
            | Manifest(repo, to)
            | Config(repo, to)
            | Layers(repo, to)
            | Platforms(repo, to)
            | Files(repo, to) => Some(At(repo.clone(), to.clone())),
            _ => None,
        }
    }
}

/// Where public registries have tokens given: Docker Hub, GitLab. Those of GitHub, Quay and others give them themselves.
const TOKEN_SERVICES: &[&str] = &["auth.docker.io", "gitlab.com"];

/// Where they have their blobs read: Docker Hub, GitHub, Quay, GitLab.
const STORAGE: &[&str] = &[
    "production.cloudflare.docker.com",
    "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
    "pkg-containers.githubusercontent.com",
    "cdn01.quay.io",
    "cdn02.quay.io",
    "cdn03.quay.io",
    "cdn.registry.gitlab-static.net",
];

/// The provider.
#[derive(Debug)]
pub struct Oci;

impl Provider for Oci {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting {
            name: "platform",
            description: "OS/ARCHITECTURE[/VARIANT]: which image of several is shown under a tag",
            default: Some("linux/amd64"),
        }],
        endpoints: &[Endpoint {
            allow: registry::RULES,
            credentials: &["registry"],
            redirect_hosts: STORAGE,
            ..Endpoint::new(
                registry::ENDPOINT,
                "https://localhost:5000",
                "reads repositories, tags, manifests and layers",
            )
        }],
        credentials: &[Credential {
            scheme: Scheme::Challenge(TOKEN_SERVICES),
            ..Credential::new(
                "registry",
                "https://distribution.github.io/distribution/about/configuration/",
            )
        }],
        feeds: &[
            Feed::poll("tag-lists", "tags:", registry::ENDPOINT),
            Feed::poll("tags", "tag:", registry::ENDPOINT),
        ],
        guide: guide::GUIDE,
        ..Manifest::new(
            "oci",
            env!("CARGO_PKG_VERSION"),
            "Tags, manifests, configurations, layers and files of a container registry",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        feed::poll(position)
    }
}

export!(service, Oci);
