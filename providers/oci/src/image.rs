//! What a tag or a digest names: the manifest of an image, or an index of the images of several platforms.

use crate::Id;
use crate::api::{self, Descriptor, Manifest};
use omnifs_sdk::*;

/// A manifest as it is answered, and the digest of its bytes.
pub struct Found {
    pub digest: String,
    pub manifest: Manifest,
    pub bytes: Vec<u8>,
}

impl Found {
    pub fn of(repo: &str, reference: &str) -> Result<Found> {
        let answer = api::manifest(repo, reference).ok()?;
        let digest = api::digest(&answer.body);
        if api::is_digest(reference) && digest != reference {
            let why =
                format!("registry: the manifest that is answered for {reference} is {digest}");
            return Err(Error::Invalid(why));
        }
        Ok(Found { digest, manifest: answer.json()?, bytes: answer.body })
    }

    /// The image itself, or of an index that of the setting's platform, else the first there is.
    pub fn image(repo: &str, reference: &str) -> Result<Found> {
        let found = Found::of(repo, reference)?;
        Ok(found.chosen(repo)?.unwrap_or(found))
    }

    /// Nothing where this is no index, or the registry has none of its images.
    fn chosen(&self, repo: &str) -> Result<Option<Found>> {
        let wanted = config::get("platform").unwrap_or_default();
        let is = |test: &dyn Fn(&api::Platform) -> bool| {
            let mut all = self.manifest.manifests.iter();
            all.find(|one| one.platform.as_ref().is_some_and(test))
        };
        let chosen = is(&|platform| platform.is(&wanted))
            // Attestations are images of an unknown platform.
            .or_else(|| is(&|platform| platform.os != "unknown"))
            .or_else(|| self.manifest.manifests.first());
        match chosen.map(|chosen| Found::of(repo, &chosen.digest)) {
            None | Some(Err(Error::NotFound)) => Ok(None),
            Some(found) => found.map(Some),
        }
    }

    /// In the order in which they are laid upon each other.
    fn layers(&self, repo: &str) -> Vec<Entry<Id>> {
        let entry = |(at, layer): (usize, &Descriptor)| {
            let hex = layer.digest.split_once(':').map_or("", |(_, hex)| hex);
            let name = format!("{at:03}-{}{}", hex.get(..12).unwrap_or(hex), ending(layer));
            Entry::file(name, Id::Layer(repo.to_owned(), layer.digest.clone()))
                .at(blob(repo, layer))
        };
        self.manifest.layers.iter().enumerate().map(entry).collect()
    }

    /// Those of an index; none where it is an image.
    fn platforms(&self, repo: &str) -> Listing<Id> {
        let entry = |one: Descriptor| {
            let name = one.platform.as_ref().map_or_else(|| "unknown".to_owned(), |p| p.name());
            let tie = one.digest.get(7..19).unwrap_or_default().to_owned();
            Entry::directory(name, Id::At(repo.to_owned(), one.digest)).tie(tie)
        };
        self.manifest.manifests.clone().map(entry).into()
    }
}

fn blob(repo: &str, of: &Descriptor) -> http::Source {
    api::blob(repo, &of.digest).content(of.size).digest(Some(&of.digest))
}

/// What is shown of a manifest. The names are always these: what a tag leads to is another scope's than which tags
/// there are.
pub fn entries(repo: &str, reference: &str) -> Result<Vec<Entry<Id>>> {
    let found = Found::of(repo, reference)?;
    let chosen = found.chosen(repo)?;
    let image = chosen.as_ref().unwrap_or(&found);
    let id = |id: fn(String, String) -> Id| id(repo.to_owned(), reference.to_owned());
    let config = Entry::file("config.json", id(Id::Config));
    Ok(vec![
        Entry::file("digest", id(Id::Digest)).content(scalar(&found.digest)),
        match &image.manifest.config {
            Some(of) => config.at(blob(repo, of)),
            None => config.content(Content::default()),
        },
        Entry::holding("layers", id(Id::Layers), image.layers(repo)),
        Entry::holding("platforms", id(Id::Platforms), found.platforms(repo)),
        Entry::directory("files", id(Id::Files)),
        Entry::file("manifest.json", id(Id::Manifest)).content(found.bytes.into()),
    ])
}

pub fn layers(repo: &str, reference: &str) -> Result<Vec<Entry<Id>>> {
    Ok(Found::image(repo, reference)?.layers(repo))
}

pub fn platforms(repo: &str, reference: &str) -> Result<Listing<Id>> {
    Ok(Found::of(repo, reference)?.platforms(repo))
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
