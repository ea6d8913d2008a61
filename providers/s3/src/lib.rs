//! An S3 service: buckets, and the objects in them by the parts of their keys.
//!
//! Nothing tells of changes without a queue in the owner's account. So directories are volatile: each use of a name asks
//! for it. What it leads to is one state of an object, which never changes, as a version does not.

mod api;
mod keys;
mod xml;

use api::service;
use omnifs_sdk::manifest::{Credential, Endpoint, Path, Scheme, Search, Setting};
use omnifs_sdk::*;

ids! {
    pub enum Id {
        _: volatile(),
        Root = "root",
        /// A bucket, or what of it begins so and with a slash at the end.
        Directory(bucket: String, prefix: String) = "directory",
        /// One state of an object: another content is another file.
        Object(bucket: String, key: String, state: String) = "object" : immutable(),
        /// Of a key, and of those below it.
        Versions(bucket: String, path: String) = "versions",
        Version(bucket: String, key: String, version: String) = "version" : immutable(),
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        match self {
            Id::Root => open_ended((), |()| keys::buckets(), |(), name| keys::bucket(name)),
            Id::Directory(bucket, prefix) => open_ended(
                (bucket, prefix),
                |(bucket, prefix)| keys::list(bucket, prefix),
                |(bucket, prefix), name| keys::find(bucket, prefix, name),
            ),
            Id::Versions(bucket, path) => listing(move || keys::versions(&bucket, &path)),
            Id::Object(..) | Id::Version(..) => file_at(),
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct S3;

impl Provider for S3 {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[
            Setting {
                name: "region",
                description: "the region that requests are signed for, if the endpoint does not name it",
                default: None,
            },
            Setting {
                name: "listing-bound",
                description: "how many names of a directory are listed",
                default: Some("10000"),
            },
        ],
        endpoints: &[Endpoint {
            allow: service::RULES,
            credentials: &["s3"],
            ..Endpoint::new(
                service::ENDPOINT,
                "https://s3.us-east-1.amazonaws.com",
                "lists buckets and reads objects",
            )
        }],
        credentials: &[Credential {
            scheme: Scheme::AwsSigv4 { service: "s3", region: Some("region") },
            environment: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
            ..Credential::new(
                "s3",
                "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
            )
        }],
        guide: &[
            Path {
                requests: 1,
                each_open: true,
                search: Search::Costly,
                ..Path::new("{bucket}/**", "an object by its key", "photos/2026/january/cat.jpg")
            },
            Path {
                requests: 2,
                page: Some(1000),
                search: Search::Costly,
                ..Path::new(
                    "{bucket}/_versions/**",
                    "versions of a key, in a directory of its name",
                    "photos/_versions/2026/january/cat.jpg/",
                )
            },
        ],
        ..Manifest::new("s3", env!("CARGO_PKG_VERSION"), "Buckets and objects of an S3 service")
    };
}

export!(service, S3);
