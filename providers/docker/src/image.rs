//! Images. What the id names never changes; tags and digests do, and a tag may leave one image for
//! another with an event about the other alone, so they are part of [`Id::Tags`].

use crate::api::{History, Image, ImageInspect, ImageSummary};
use crate::{Id, engine};
use omnifs_sdk::*;

impl Object for Image {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |i: &Self| scalar(&i.id)).immutable(),
        leaf("tags", |i: &Self| lines(&i.tags)).part_of(|_| Id::Tags),
        leaf("digests", |i: &Self| lines(&i.digests)).part_of(|_| Id::Tags),
        detail("created", |i: &Self| Some(optional(i.full.as_ref()?.created.as_ref()))).immutable(),
        detail("size", |i: &Self| Some(scalar(i.full.as_ref()?.size))).part_of(|_| Id::Tags),
        detail("architecture", |i: &Self| Some(scalar(&i.full.as_ref()?.architecture))).immutable(),
        detail("os", |i: &Self| Some(scalar(&i.full.as_ref()?.os))).immutable(),
        map("labels", |i: &Self| scalars(&i.labels)).immutable(),
        detail("inspect.json", |i: &Self| Some(i.full.as_ref()?.json.content(&[])))
            .part_of(|_| Id::Tags),
        own("history.json", history).immutable(),
    ];

    fn id(&self) -> Id {
        Id::Image(self.id.clone())
    }

    fn directory_modified(&self) -> Option<u64> {
        Some(self.created? * 1000)
    }
}

impl Image {
    /// The names by which `directory` shows the image.
    fn entries(&self, directory: &Id) -> Vec<Entry<Id>> {
        let id = std::slice::from_ref(&self.id);
        let names = if *directory == Id::ImageNames { &self.tags } else { id };
        names.iter().map(|name| Entry::object(name, self)).collect()
    }
}

pub fn list(directory: &Id) -> Result<Listing<Id>> {
    let all: Items<ImageSummary> = engine::images().json()?;
    let all = all.map(Image::from);
    // The other way round nothing would be gained: which ids there are is asked at each listing.
    let directories = [directory.clone(), Id::ImageNames];
    preload::views(directory, &directories, &all, |directory, image| image.entries(directory))
}

/// The engine completes a name without a tag and the beginning of an id; neither is asked for.
pub fn find(directory: &Id, name: &str) -> Result<Entry<Id>> {
    match directory {
        Id::ImageNames if !name.contains(':') => return Err(Error::NotFound),
        Id::ImageIds if name.len() != "sha256:".len() + 64 => return Err(Error::NotFound),
        _ => {}
    }
    let mut entries = inspect(name)?.entries(directory).into_iter();
    entries.find(|entry| entry.name() == name).ok_or(Error::NotFound)
}

pub fn inspect(id: &str) -> Result<Image> {
    Ok(engine::image(id).json::<Raw<ImageInspect>>()?.into())
}

fn history(image: &Id) -> Result<Content> {
    let Id::Image(id) = image else { return Err(Error::NotFound) };
    Ok(engine::history(id).json::<History>()?.stable())
}
