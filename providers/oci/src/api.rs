//! What is asked of a registry, and what it answers (OCI Distribution Specification 1.1, OCI Image Specification
//! 1.1, and Docker's manifests of version 2).

use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::json::null_as_default;
use omnifs_sdk::{Error, Items, Next, Pages, Result, routes};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

routes! {
    /// The name of a repository has any number of segments, and what is asked of it follows.
    pub mod registry = "registry" {
        get read(path) = "/v2/**",
        head look(path) = "/v2/**",
    }
}

/// Without these a registry answers with an older form.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Repositories and tags that one request asks for. A registry may answer fewer, or, as Docker's own does with
/// tags, all there are.
const PAGE: usize = 1_000;

/// `reference` is a tag or a digest.
pub fn manifest(repo: &str, reference: &str) -> Request {
    registry::read(format!("{repo}/manifests/{reference}")).header("accept", MANIFESTS)
}

/// The same without the content: what the registry names it by.
pub fn look(repo: &str, reference: &str) -> Request {
    registry::look(format!("{repo}/manifests/{reference}")).header("accept", MANIFESTS)
}

pub fn blob(repo: &str, digest: &str) -> Request {
    registry::read(format!("{repo}/blobs/{digest}"))
}

pub fn tags(repo: &str) -> Request {
    registry::read(format!("{repo}/tags/list")).query("n", PAGE)
}

pub fn catalog() -> Request {
    registry::read("_catalog").query("n", PAGE)
}

/// The names on every page until there are `bound` of them; `first` is the answer to `request`. Only a link leads
/// on: a page may hold more than it was asked for.
pub fn names<P: DeserializeOwned>(
    request: Request,
    first: Response,
    bound: usize,
    names: fn(P) -> Items<String>,
) -> Result<Pages<String>> {
    request.pages_from(first, &Next::link(usize::MAX), bound, names)
}

#[derive(Deserialize)]
pub struct Catalog {
    pub repositories: Items<String>,
}

#[derive(Deserialize)]
pub struct Tags {
    /// `null` where there is none.
    pub tags: Items<String>,
}

/// A manifest of an image, or an index of several.
#[derive(Debug, Default, Deserialize)]
pub struct Manifest {
    pub config: Option<Descriptor>,
    /// One that cannot be read makes all of it unreadable: with a layer left out it is another image.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Items<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    /// In bytes.
    pub size: u64,
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub variant: String,
}

impl Platform {
    /// `linux/arm64/v8`.
    pub fn is(&self, wanted: &str) -> bool {
        let mut parts = wanted.split('/');
        parts.next() == Some(&self.os)
            && parts.next() == Some(&self.architecture)
            && parts.next().is_none_or(|variant| variant == self.variant)
    }

    /// `linux-arm64-v8`.
    pub fn name(&self) -> String {
        let parts = [&self.os, &self.architecture, &self.variant].map(String::as_str);
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("-")
    }
}

/// `sha256:HEX` of a content.
pub fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to memory does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether this is `sha256:HEX`. No tag is.
pub fn is_digest(reference: &str) -> bool {
    let hex = reference.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The content, if it is what its digest says.
pub fn verified(content: Vec<u8>, expected: &str) -> Result<Vec<u8>> {
    if digest(&content) == expected {
        return Ok(content);
    }
    Err(Error::Invalid(format!("registry: what is answered for {expected} has another digest")))
}
