//! What a tag or a digest names: the manifest of an image, or an index of the images of several platforms.

use crate::Id;
use crate::api::{self, Descriptor, Manifest};
use omnifs_sdk::*;

/// A manifest, and the digest of its bytes.
pub struct Found {
    pub digest: String,
    pub manifest: Manifest,
}

fn fetch(repo: &str, reference: &str) -> Result<(String, http::Response)> {
    let answer = api::manifest(repo, reference).ok()?;
    let digest = api::digest(&answer.body);
    if api::is_digest(reference) && digest != reference {
        let why = format!("registry: the manifest that is answered for {reference} is {digest}");
        return Err(Error::Invalid(why));
    }
    Ok((digest, answer))
}

impl Found {
    pub fn of(repo: &str, reference: &str) -> Result<Found> {
        let (digest, answer) = fetch(repo, reference)?;
        let at = || (repo.to_owned(), reference.to_owned());
        let ((a, b), (c, d)) = (at(), at());
        preload::content(&Id::Digest(a, b), &scalar(&digest).0);
        preload::content(&Id::Manifest(c, d), &answer.body);
        Ok(Found { digest, manifest: answer.json()? })
    }

    /// The image itself, or of an index that of the setting's platform, else the first there is.
    pub fn image(repo: &str, reference: &str) -> Result<Found> {
        let found = Found::of(repo, reference)?;
        let wanted = config::get("platform").unwrap_or_default();
        let is = |test: &dyn Fn(&api::Platform) -> bool| {
            let mut all = found.manifest.manifests.iter();
            all.find(|one| one.platform.as_ref().is_some_and(test))
        };
        let chosen = is(&|platform| platform.is(&wanted))
            // Attestations are images of an unknown platform.
            .or_else(|| is(&|platform| platform.os != "unknown"))
            .or_else(|| found.manifest.manifests.first());
        match chosen {
            Some(chosen) => Found::of(repo, &chosen.digest),
            None => Ok(found),
        }
    }
}

pub fn digest(repo: &str, reference: &str) -> Result<Content> {
    let (digest, answer) = fetch(repo, reference)?;
    preload::content(&Id::Manifest(repo.to_owned(), reference.to_owned()), &answer.body);
    Ok(scalar(digest))
}

/// The bytes that the registry answers.
pub fn manifest(repo: &str, reference: &str) -> Result<Content> {
    let (digest, answer) = fetch(repo, reference)?;
    let digest = scalar(digest);
    preload::content(&Id::Digest(repo.to_owned(), reference.to_owned()), &digest.0);
    Ok(answer.body.into())
}

/// Empty where the manifest names none.
pub fn config(repo: &str, reference: &str) -> Result<Content> {
    let Some(config) = Found::image(repo, reference)?.manifest.config else {
        return Ok(Content::default());
    };
    Ok(api::verified(api::blob(repo, &config.digest).ok()?.body, &config.digest)?.into())
}

/// In the order in which they are laid upon each other.
pub fn layers(repo: &str, reference: &str) -> Result<Listing<Id>> {
    let image = Found::image(repo, reference)?;
    let entry = |(at, layer): (usize, &Descriptor)| {
        let hex = layer.digest.split_once(':').map_or("", |(_, hex)| hex);
        let name = format!("{at:03}-{}{}", hex.get(..12).unwrap_or(hex), ending(layer));
        let content = api::blob(repo, &layer.digest).content(layer.size);
        let id = Id::Layer(repo.to_owned(), layer.digest.clone());
        Entry::file(name, id).at(content.digest(Some(&layer.digest)))
    };
    Ok(image.manifest.layers.iter().enumerate().map(entry).collect::<Vec<_>>().into())
}

/// By the media type. What is no archive has none.
fn ending(layer: &Descriptor) -> &'static str {
    let kind = layer.media_type.as_str();
    if kind.ends_with("tar+gzip") || kind.ends_with("tar.gzip") {
        ".tar.gz"
    } else if kind.ends_with("tar+zstd") {
        ".tar.zst"
    } else if kind.ends_with(".tar") {
        ".tar"
    } else {
        ""
    }
}

/// Those of an index; none where it is an image.
pub fn platforms(repo: &str, reference: &str) -> Result<Listing<Id>> {
    let all = Found::of(repo, reference)?.manifest.manifests;
    Ok(all
        .map(|one| {
            let name = one.platform.as_ref().map_or_else(|| "unknown".to_owned(), |p| p.name());
            let tie = one.digest.get(7..19).unwrap_or_default().to_owned();
            Entry::directory(name, Id::At(repo.to_owned(), one.digest)).tie(tie)
        })
        .into())
}
